/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/api/api.h"
#include "control/note.h"
#include "postern/stats.h"

#define REQUEST_MAX (64u * 1024)
#define CLIENTS_MAX 64
#define IDLE_S 300
#define WRITE_S 30

struct client {
	struct api *api;
	struct bufferevent *bev;
	struct api_request *open;  /* one at a time; the next line waits */
	TAILQ_ENTRY(client) all;
};

struct api_request {
	struct client *client;     /* NULL: gone */
	struct api *api;
	json_t *body;
	const struct api_stream_ops *stream; /* NULL: one answer */
	void *stream_arg;
	TAILQ_ENTRY(api_request) all;
};

struct api {
	struct event_base *base;
	struct evconnlistener *listener;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const struct api_command *command;
	size_t n_commands;
	void *arg;
	uint64_t *counters;
	unsigned int n_clients;
	TAILQ_HEAD(, client) clients;
	TAILQ_HEAD(, api_request) requests;
};

static void request_free(struct api_request *r)
{
	TAILQ_REMOVE(&r->api->requests, r, all);
	json_decref(r->body);
	free(r);
}

static void client_free(struct client *c)
{
	struct api_request *r = c->open;

	if (r)
		r->client = NULL;
	TAILQ_REMOVE(&c->api->clients, c, all);
	c->api->n_clients--;
	bufferevent_free(c->bev);
	free(c);
	if (!r || !r->stream)
		return; /* its owner answers, into the void */
	r->stream->gone(r->stream_arg);
	request_free(r);
}

static void read_next(struct client *c);

/* "show status" is postern.show-status.1: docs/schemas has one of that name. A command whose answer becomes another
 * one names its schema itself. */
static void name_schema(const struct api_request *req, json_t *answer)
{
	const char *command = json_string_value(json_object_get(req->body, "command"));
	char name[80];

	if (!command || !answer || json_object_get(answer, "error") || json_object_get(answer, "schema"))
		return;
	snprintf(name, sizeof(name), "postern.%.60s.1", command);
	for (char *p = name; *p; p++)
		if (*p == ' ')
			*p = '-';
	json_object_set_new(answer, "schema", json_string(name));
}

void api_reply(struct api_request *req, json_t *answer)
{
	struct client *c = req->client;
	char *text;

	name_schema(req, answer);
	text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

	json_decref(answer);
	if (!text)
		text = strdup("{\"error\":{\"code\":\"failed\",\"text\":\"no memory for the answer\"}}");
	if (c && text) {
		c->open = NULL;
		bufferevent_write(c->bev, text, strlen(text));
		bufferevent_write(c->bev, "\n", 1);
	}
	free(text);
	request_free(req);
	if (c)
		bufferevent_trigger(c->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

void api_error(struct api_request *req, const char *code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	api_reply(req, json_pack("{s:{s:s, s:s}}", "error", "code", code, "text", text));
}

static void run(struct api_request *req)
{
	struct api *a = req->api;
	const char *name = json_string_value(json_object_get(req->body, "command"));

	if (!name) {
		api_error(req, "bad-request", "expected an object with a string \"command\"");
		return;
	}
	for (size_t i = 0; i < a->n_commands; i++)
		if (!strcmp(a->command[i].name, name)) {
			note(NOTE_DEBUG, "an operator asks: %s", name);
			a->command[i].handler(a->arg, req, req->body);
			return;
		}
	api_error(req, "unknown-command", "unknown command \"%.64s\"", name);
}

static void read_next(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	struct api_request *req;
	json_error_t error;
	size_t n;
	char *line;

	if (c->open)
		return;
	line = evbuffer_readln(in, &n, EVBUFFER_EOL_LF);
	if (!line) {
		if (evbuffer_get_length(in) >= REQUEST_MAX)
			client_free(c);
		return;
	}
	req = calloc(1, sizeof(*req));
	if (!req) {
		free(line);
		client_free(c);
		return;
	}
	req->api = c->api;
	req->client = c;
	req->body = json_loadb(line, n, JSON_REJECT_DUPLICATES, &error);
	free(line);
	c->open = req;
	c->api->counters[CTL_api_requests]++;
	TAILQ_INSERT_TAIL(&c->api->requests, req, all);
	if (!json_is_object(req->body))
		api_error(req, "bad-request", "not a JSON object: %s", req->body ? "another type" : error.text);
	else
		run(req);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct client *c = arg;

	if (c->open && c->open->stream) {
		struct evbuffer *in = bufferevent_get_input(bev);

		evbuffer_drain(in, evbuffer_get_length(in));
		return;
	}
	read_next(c);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	const struct client *c = arg;

	(void)bev;
	if (c->open && c->open->stream)
		c->open->stream->room(c->open->stream_arg);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
		client_free(arg);
}

void api_stream(struct api_request *req, const struct api_stream_ops *ops, void *arg, size_t low,
		unsigned int stuck_s)
{
	struct timeval stuck = {.tv_sec = stuck_s};
	struct bufferevent *bev = req->client->bev;

	req->stream = ops;
	req->stream_arg = arg;
	bufferevent_setcb(bev, on_read, on_written, on_event, req->client);
	bufferevent_setwatermark(bev, EV_WRITE, low, 0);
	bufferevent_set_timeouts(bev, NULL, &stuck); /* it has nothing to say */
}

size_t api_stream_queued(const struct api_request *req)
{
	return evbuffer_get_length(bufferevent_get_output(req->client->bev));
}

int api_stream_send(struct api_request *req, const char *line, size_t n)
{
	struct evbuffer *out = bufferevent_get_output(req->client->bev);

	/* Both or neither: half a line would spoil the next one. */
	if (evbuffer_expand(out, n + 1) || evbuffer_add(out, line, n))
		return -ENOMEM;
	return evbuffer_add(out, "\n", 1) ? -ENOMEM : 0;
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	struct timeval idle = {.tv_sec = IDLE_S}, stuck = {.tv_sec = WRITE_S};
	struct api *a = arg;
	struct client *c;

	(void)l;
	(void)sa;
	(void)len;
	c = a->n_clients < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		close(fd);
		return;
	}
	c->api = a;
	c->bev = bufferevent_socket_new(a->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c->bev) {
		close(fd);
		free(c);
		return;
	}
	TAILQ_INSERT_TAIL(&a->clients, c, all);
	a->n_clients++;
	bufferevent_setwatermark(c->bev, EV_READ, 0, REQUEST_MAX);
	bufferevent_setcb(c->bev, on_read, NULL, on_event, c);
	bufferevent_set_timeouts(c->bev, &idle, &stuck);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static bool somebody_listens(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = fd >= 0 && !connect(fd, (const struct sockaddr *)sa, sizeof(*sa));

	if (fd >= 0)
		close(fd);
	return yes;
}

static int make_socket(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd, rc;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	if (somebody_listens(&sa))
		return -EADDRINUSE;
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || chmod(path, 0660) || listen(fd, 16)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

struct api *api_new(struct event_base *base, const char *path, const struct api_command *command,
		    size_t n, void *arg, uint64_t *counters, char *err, size_t err_len)
{
	struct api *a = calloc(1, sizeof(*a));
	int fd = a ? make_socket(path) : -ENOMEM;

	if (fd < 0) {
		snprintf(err, err_len, "%s", strerror(-fd));
		free(a);
		return NULL;
	}
	snprintf(a->path, sizeof(a->path), "%s", path);
	a->base = base;
	a->command = command;
	a->n_commands = n;
	a->arg = arg;
	a->counters = counters;
	TAILQ_INIT(&a->clients);
	TAILQ_INIT(&a->requests);
	a->listener = evconnlistener_new(base, on_accept, a, LEV_OPT_CLOSE_ON_FREE, 0, fd);
	if (!a->listener) {
		snprintf(err, err_len, "out of memory");
		close(fd);
		free(a);
		return NULL;
	}
	return a;
}

void api_free(struct api *a)
{
	struct client *c;
	struct api_request *r;

	if (!a)
		return;
	evconnlistener_free(a->listener);
	unlink(a->path);
	while ((c = TAILQ_FIRST(&a->clients)))
		client_free(c);
	while ((r = TAILQ_FIRST(&a->requests)))
		request_free(r);
	free(a);
}
