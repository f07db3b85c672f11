/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The operator's socket: UNIX stream, mode 0660. A client sends one JSON object in one line, gets one
 * JSON object in one line, and may send the next. Requests are bounded in size (64 KiB) and time; a
 * client that does not read is cut. The owner registers a handler for each command.
 *
 * Request: {"command": "show status", ...}. Answer: the handler's object; errors are
 * {"error": {"code": "unknown-command|bad-request|not-found|busy|failed", "text": "..."}}.
 */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct api;
struct api_request;

/* Answers now or later by api_reply(); exactly once. `body` is borrowed until the answer. */
typedef void api_handler(void *arg, struct api_request *req, const json_t *body);

struct api_command {
	const char *name;      /* "show status" */
	api_handler *handler;
};

/* err (>= 256) says why it is NULL. A stale socket file is replaced; one that answers is not. */
struct api *api_new(struct event_base *base, const char *path, const struct api_command *command,
		    size_t n, void *arg, uint64_t *counters, char *err, size_t err_len);
/* Closes all clients; requests that are not answered are dropped: no api_reply() afterwards. */
void api_free(struct api *a);

/* Takes the reference. The client may be gone: then it is dropped. */
void api_reply(struct api_request *req, json_t *answer);
/*
 * A request that is answered by lines without an end, of an owner who sends them from now on. What the
 * client says meanwhile is thrown away. What it does not take waits in memory, and how much that may be is
 * for the owner to say: it looks before it sends.
 */
struct api_stream_ops {
	/* No more than `low` octets wait. */
	void (*room)(void *arg);
	/* The client is gone, and the request with it. */
	void (*gone)(void *arg);
};
/* Inside the handler. A client that takes nothing for stuck_s is cut. */
void api_stream(struct api_request *req, const struct api_stream_ops *ops, void *arg, size_t low,
		unsigned int stuck_s);
/* Octets that wait. */
size_t api_stream_queued(const struct api_request *req);
/* A line, without its end; copied. Nobody is called back from within. -ENOMEM: none of it is sent. */
int api_stream_send(struct api_request *req, const char *line, size_t n);

void api_error(struct api_request *req, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
