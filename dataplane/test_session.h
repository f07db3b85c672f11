/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * For the session tests: one worker over a TCP and rings of the test's own; smtp/ and the arena are
 * real. To be included once a program.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/smtp/smtp_reply.h"
#include "dataplane/worker.h"
#include "postern/limits.h"

#define N_CONNS 400
#define N_DESCS 4096

struct tcp_conn {
	struct session *app;
	struct tcp_tuple tuple;
	char out[8192];
	size_t out_n, unacked;
	char in[4096]; /* not taken yet */
	size_t in_n;
	bool closing;
};

static struct {
	struct worker w;
	struct tcp_conn conn[N_CONNS];
	struct handoff_desc desc[N_DESCS]; /* in the rings, oldest first */
	unsigned int n_descs, room;        /* room: descriptors that the rings still take */
	bool broken; /* the rings are gone, and the worker does not know yet */
	uint32_t tx_used;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT];
	struct dp_arena *arena;
	struct generation *generation;
	_Atomic bool drain;
	int listener; /* that net/ tells of all flows; 0: their port */
	const struct handoff_inline *server; /* the same */
} t;

/* ---- the neighbours -------------------------------------------------------------------------- */

uint64_t worker_realtime_ns(const struct worker *w)
{
	return w->now_ms * 1000000;
}

uint32_t worker_random(struct worker *w)
{
	return (uint32_t)w->now_ms;
}

int net_listener_id(const struct net *n, const struct tcp_tuple *tuple)
{
	(void)n;
	return t.listener ? t.listener : tuple->local_port;
}

const struct handoff_inline *net_inline(const struct net *n, const struct tcp_tuple *tuple)
{
	(void)n;
	(void)tuple;
	return t.server;
}

int dp_rings_push(struct dp_rings *r, uint32_t loop, const struct handoff_desc *d)
{
	(void)r;
	(void)loop;
	if (!t.w.up || t.broken)
		return -ENOTCONN;
	if (!t.room)
		return -EAGAIN;
	t.room--;
	assert_true(t.n_descs < N_DESCS);
	t.desc[t.n_descs++] = *d;
	return 0;
}

uint32_t dp_rings_pick(struct dp_rings *r)
{
	(void)r;
	return 0;
}

const struct tcp_tuple *tcp_get_tuple(const struct tcp_conn *c, struct tcp_tuple *out)
{
	*out = c->tuple;
	return out;
}

void tcp_get_usage(const struct tcp_stack *s, struct tcp_usage *out)
{
	(void)s;
	*out = (struct tcp_usage){.tx_blocks_used = t.tx_used};
}

void tcp_get_facts(const struct tcp_conn *c, struct tcp_facts *out)
{
	(void)c;
	*out = (struct tcp_facts){0};
}

int tcp_send(struct tcp_conn *c, const void *p, size_t n)
{
	assert_true(c->out_n + n < sizeof(c->out));
	memcpy(c->out + c->out_n, p, n);
	c->out_n += n;
	c->unacked += n;
	return 0;
}

void tcp_close(struct tcp_conn *c)
{
	c->closing = true;
}

static inline void gone(struct tcp_conn *c, enum tcp_close_reason why)
{
	struct session *s = c->app;

	c->app = NULL;
	session_tcp_app.closed(s, why);
}

void tcp_abort(struct tcp_conn *c)
{
	gone(c, TCP_CLOSED_ABORTED);
}

void tcp_evict(struct tcp_conn *c)
{
	gone(c, TCP_CLOSED_EVICTED);
}

void tcp_set_window(struct tcp_conn *c, uint32_t octets)
{
	(void)c;
	(void)octets;
}

void tcp_resume(struct tcp_conn *c)
{
	while (c->app && c->in_n) {
		struct tcp_view v = {(const uint8_t *)c->in, (uint32_t)c->in_n};
		size_t taken = session_tcp_app.data(c->app, &v, 1);

		memmove(c->in, c->in + taken, c->in_n - taken);
		c->in_n -= taken;
		if (!taken)
			break;
	}
}

/* ---- what the tests do ------------------------------------------------------------------------- */

static inline void up(uint32_t max_sessions)
{
	struct dp_arena_opts o = {.n_workers = 1, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER,
				  .n_records = 8};
	struct smtp_sizes sizes = {.sessions = max_sessions};
	char err[160];

	memset(&t, 0, sizeof(t));
	assert_int_equal(dp_arena_new(&o, &t.arena, err, sizeof(err)), 0);
	t.generation = calloc(1, sizeof(*t.generation));
	assert_non_null(t.generation);
	t.generation->config = (struct handoff_config){
		.hostname = "mx.example.net", .max_message = 100000, .command_timeout_s = 300,
		.verdict_timeout_s = 600, .data_timeout_s = 180};
	t.generation->worker[0].smtp = smtp_config_new(&t.generation->config);
	t.w = (struct worker){
		.opt = {.max_sessions = max_sessions, .n_records = 8, .tcp_tx_blocks = 100},
		.counters = t.counters,
		.arena = dp_arena_worker(t.arena, 0),
		.slice = dp_arena_slice(t.arena, 0),
		.current = t.generation,
		.used = {{.generation = t.generation}},
		.n_used = 1,
		.drain = &t.drain,
		.now_ms = 1000,
		.epoch = 1,
		.up = true,
	};
	t.w.smtp = smtp_server_new(&sizes, &session_smtp_ops, t.counters);
	assert_non_null(t.w.smtp);
	smtp_server_set_config(t.w.smtp, t.generation->worker[0].smtp);
	assert_int_equal(session_table_new(&t.w), 0);
	t.room = N_DESCS;
}

static inline void down(void)
{
	for (unsigned int i = 0; i < N_CONNS; i++)
		if (t.conn[i].app)
			gone(&t.conn[i], TCP_CLOSED_RESET);
	assert_int_equal(t.w.sessions_now, 0);
	smtp_server_free(t.w.smtp);
	session_table_free(&t.w);
	smtp_config_free(t.generation->worker[0].smtp);
	free(t.generation);
	dp_arena_free(t.arena);
}

static inline struct tcp_conn *open_conn(unsigned int i)
{
	struct tcp_conn *c = &t.conn[i];

	*c = (struct tcp_conn){.tuple = {.remote_port = (uint16_t)i, .local_port = 25}};
	c->app = session_tcp_app.accept(&t.w, c, &c->tuple);
	return c;
}

static inline void say(struct tcp_conn *c, const char *text)
{
	size_t n = strlen(text);

	assert_true(c->in_n + n <= sizeof(c->in));
	memcpy(c->in + c->in_n, text, n);
	c->in_n += n;
	tcp_resume(c);
}

/* Everything said since the last time begins with this. */
static inline void hear(struct tcp_conn *c, const char *text)
{
	c->out[c->out_n] = '\0';
	if (strncmp(c->out, text, strlen(text)) != 0 || (!*text && c->out_n))
		fail_msg("heard: %s\nwanted: %s", c->out, text);
	c->out_n = 0;
}

static inline void acked(struct tcp_conn *c)
{
	c->unacked = 0;
	session_tcp_app.acked(c->app, 0);
}

static inline struct handoff_desc *last(uint8_t kind)
{
	assert_true(t.n_descs > 0);
	assert_int_equal(t.desc[t.n_descs - 1].kind, kind);
	return &t.desc[t.n_descs - 1];
}

static inline bool answer(const struct handoff_desc *d, uint16_t code)
{
	struct dp_verdict v = {.head = {.session = d->session, .generation = d->generation,
					.question = d->question, .code = code},
			       .text = STR("as asked")};
	bool taken;

	v.head.kind = d->kind == DESC_CONNECT ? VERDICT_CONNECT
		      : d->kind == DESC_RCPT  ? VERDICT_RCPT
					      : VERDICT_MESSAGE;
	if (d->kind == DESC_SUBMIT) {
		v.head.record = d->msg.record;
		v.head.record_gen = d->msg.record_gen;
	}
	taken = session_verdict(&t.w, &v);
	return taken;
}

static inline struct tcp_conn *established(unsigned int i)
{
	struct tcp_conn *c = open_conn(i);

	assert_non_null(c->app);
	assert_true(answer(last(DESC_CONNECT), 220));
	say(c, "EHLO client.example.org\r\n");
	acked(c);
	hear(c, "220 ");
	return c;
}

/* Up to the final dot, which is the caller's. */
static inline void message(struct tcp_conn *c)
{
	say(c, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
	assert_true(answer(last(DESC_RCPT), 250));
	say(c, "Subject: x\r\n\r\ntext\r\n");
}

static inline void turn(void)
{
	session_control_lost(&t.w);
	if (t.w.outbox_len)
		outbox_drain(&t.w);
	session_ask_waiting(&t.w);
}

static inline uint32_t records(void)
{
	struct dp_usage u;

	dp_worker_usage(t.w.arena, &u);
	return u.records_used;
}
