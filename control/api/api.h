/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The operator's socket: UNIX stream, mode 0660. A client sends one JSON object in one line, gets one
 * JSON object in one line, and may send the next. Requests are bounded in size (64 KiB) and time; a
 * client that does not read is cut. The owner registers a handler for each command.
 *
 * Request: {"command": "show status", ...}. Answer: the handler's object; errors are
 * {"error": {"code": "unknown-command|bad-request|busy|failed", "text": "..."}}.
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
void api_error(struct api_request *req, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
