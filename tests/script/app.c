/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The application above the stack: it does what the script says, also from within an upcall. */

#include "tests/script/script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct tcp_conn *conn_of(struct world *w, struct peer *p)
{
	if (!p->conn)
		fail(w, "%s: there is no connection", p->name);
	return p->conn;
}

void payload(struct world *w, struct bytes *to, uint32_t at)
{
	const struct token *t = next(w, "payload");
	int64_t n;

	if (t->quoted) {
		bytes_add(to, t->s, t->n);
		return;
	}
	if (!parse_number(t->s, &n) || n < 0 || n > 1 << 24)
		fail(w, "'%s' is no number of octets", t->s);
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		uint8_t b = pattern(at + i);

		bytes_add(to, &b, 1);
	}
}

static void send_bytes(struct world *w, struct peer *p)
{
	struct bytes b = {0};
	int want = 0, got;

	payload(w, &b, (uint32_t)p->sent.n + 1);
	if (take(w, "ENOBUFS"))
		want = -ENOBUFS;
	else if (take(w, "EPIPE"))
		want = -EPIPE;
	got = tcp_send(conn_of(w, p), b.p, b.n);
	if (!got)
		bytes_add(&p->sent, b.p, b.n);
	free(b.p);
	if (got != want)
		fail(w, "tcp_send() returned %d, expected %d", got, want);
}

static void action(struct world *w, struct peer *p)
{
	if (take(w, "send"))
		send_bytes(w, p);
	else if (take(w, "close"))
		tcp_close(conn_of(w, p));
	else if (take(w, "abort"))
		tcp_abort(conn_of(w, p));
	else if (take(w, "evict"))
		tcp_evict(conn_of(w, p));
	else if (take(w, "resume"))
		tcp_resume(conn_of(w, p));
	else if (take(w, "window"))
		tcp_set_window(conn_of(w, p), (uint32_t)number(w, "window"));
	else if (take(w, "take"))
		p->take = take(w, "all") ? SIZE_MAX : (size_t)number(w, "take");
	else if (take(w, "refuse"))
		p->refuse = true;
	else
		fail(w, "the application cannot '%s'", more(w) ? w->line.tok[w->line.at].s : "");
	no_more(w);
}

/* Within an upcall: the text after `app on EVENT`, once. */
static void run_on(struct peer *p, enum app_event event)
{
	struct world *w = p->world;
	struct line saved;

	if (!p->on[event][0] || w->ending)
		return;
	saved = w->line;
	memset(&w->line, 0, sizeof(w->line));
	lex(w, p->on[event]);
	p->on[event][0] = 0;
	action(w, p);
	/* The tokens point into the line's own memory, which is back in its place. */
	w->line = saved;
}

static void *on_accept(void *ctx, struct tcp_conn *conn, const struct tcp_tuple *tuple)
{
	struct world *w = ctx;
	struct peer *p = world_peer_of(w, tuple);

	if (!p)
		return NULL;
	if (p->accepted && !p->closed)
		fail(w, "%s: accept() for a connection that is open", p->name);
	p->accepted = true;
	p->closed = p->eof = false;
	p->conn = conn;
	run_on(p, ON_ACCEPT);
	if (p->refuse) {
		p->conn = NULL;
		return NULL;
	}
	return p;
}

static size_t on_data(void *app, const struct tcp_view *view, unsigned int n_views)
{
	struct peer *p = app;
	size_t taken = 0, offered = 0;

	if (p->closed || p->eof)
		fail(p->world, "%s: data() after eof() or closed()", p->name);
	for (unsigned int i = 0; i < n_views; i++) {
		size_t k = view[i].n;

		offered += k;
		if (k > p->take - taken)
			k = p->take - taken;
		bytes_add(&p->got, view[i].p, k);
		taken += k;
	}
	if (!offered)
		fail(p->world, "%s: data() without octets", p->name);
	run_on(p, ON_DATA);
	return taken;
}

static void on_eof(void *app)
{
	struct peer *p = app;

	if (p->eof || p->closed)
		fail(p->world, "%s: eof() twice or after closed()", p->name);
	p->eof = true;
	run_on(p, ON_EOF);
}

static void on_acked(void *app, uint32_t unacked)
{
	struct peer *p = app;

	if (p->closed)
		fail(p->world, "%s: acked() after closed()", p->name);
	p->acked = unacked;
	run_on(p, ON_ACKED);
}

static void on_closed(void *app, enum tcp_close_reason reason)
{
	struct peer *p = app;

	if (p->closed)
		fail(p->world, "%s: closed() twice", p->name);
	p->closed = true;
	p->reason = reason;
	p->conn = NULL;
}

const struct tcp_app script_app = {on_accept, on_data, on_eof, on_acked, on_closed};

void app_command(struct world *w, struct peer *p)
{
	static const char *const name[ON_EVENTS] = {"accept", "data", "eof", "acked"};

	if (!take(w, "on")) {
		action(w, p);
		world_settle(w);
		return;
	}
	for (unsigned int i = 0; i < ON_EVENTS; i++) {
		const char *rest;

		if (!take(w, name[i]))
			continue;
		/* The action is kept as text and read when the upcall comes. */
		rest = strstr(strstr(w->line.text, " on ") + 4, name[i]) + strlen(name[i]);
		if (strlen(rest) >= sizeof(p->on[i]))
			fail(w, "the action is too long");
		snprintf(p->on[i], sizeof(p->on[i]), "%s", rest);
		return;
	}
	fail(w, "app on: accept, data, eof or acked");
}
