/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Sessions of a worker over a TCP and rings of the test's own: what an idle session holds, what
 * happens when the rings are full, when control dies, and when time is up. smtp/ and the arena are
 * real.
 */

#include "dataplane/test_session.h"

static void test_message(void **state)
{
	struct tcp_conn *c;
	struct handoff_desc d;

	(void)state;
	up(16);
	c = established(0);
	/* Idle: nothing but its two cache lines here and two in smtp/. */
	assert_null(c->app->txn);
	assert_int_equal(c->app->on, ON_NONE);
	assert_int_equal(records(), 0);
	message(c);
	assert_non_null(c->app->txn);
	assert_int_equal(t.w.used[0].scanning, 1);
	say(c, ".\r\n");
	d = *last(DESC_SUBMIT);
	assert_int_equal(d.msg.size, strlen("Subject: x\r\n\r\ntext\r\n"));
	assert_null(c->app->txn);
	assert_int_equal(t.w.used[0].scanning, 0);
	assert_false(answer(&(struct handoff_desc){.kind = DESC_RCPT, .question = d.question,
						   .generation = d.generation}, 250));
	c->out_n = 0;
	assert_true(answer(&d, 250));
	hear(c, "250 2.0.0 as asked id=");
	assert_int_equal(c->app->n_replies, 1);
	assert_false(answer(&d, 250)); /* twice */
	acked(c);
	assert_int_equal(last(DESC_REPLY_ACKED)->question, d.question);
	assert_int_equal(c->app->n_replies, 0);
	gone(c, TCP_CLOSED_RESET);
	assert_int_equal(last(DESC_SESSION_END)->generation, d.generation);
	down();
}

static void test_reply_lost(void **state)
{
	struct tcp_conn *c;
	unsigned int lost = 0;

	(void)state;
	up(16);
	c = established(0);
	/* More final replies than are followed: the oldest is given up, never one too many kept. */
	for (unsigned int i = 0; i < SESSION_REPLIES + 2; i++) {
		message(c);
		say(c, ".\r\n");
		assert_true(answer(last(DESC_SUBMIT), 250));
		dp_worker_reclaim(t.w.arena);
		c->out_n = 0;
	}
	for (unsigned int i = 0; i < t.n_descs; i++)
		lost += t.desc[i].kind == DESC_REPLY_LOST;
	assert_int_equal(lost, 2);
	gone(c, TCP_CLOSED_TIMEOUT);
	for (unsigned int i = lost = 0; i < t.n_descs; i++)
		lost += t.desc[i].kind == DESC_REPLY_LOST;
	assert_int_equal(lost, SESSION_REPLIES + 2);
	assert_int_equal(t.counters[CNT_smtp_reply_lost], SESSION_REPLIES + 2);
	down();
}

/* A full ring: sessions wait in order, also with what is said when they end. */
static void test_ring_full(void **state)
{
	struct tcp_conn *c, *k;
	uint32_t generation;

	(void)state;
	up(16);
	c = established(0);
	message(c);
	t.room = 0;
	say(c, ".\r\n");
	k = open_conn(1);
	assert_int_equal(c->app->on, ON_UNSENT);
	assert_int_equal(k->app->on, ON_UNSENT);
	turn();
	assert_int_equal(k->app->on, ON_UNSENT);
	/* One place: the one that came first. Nobody can answer what was not asked. */
	t.room = 1;
	turn();
	assert_int_equal(last(DESC_SUBMIT)->session, session_slot(c->app));
	assert_int_equal(k->app->on, ON_UNSENT);
	assert_false(answer(&(struct handoff_desc){.kind = DESC_CONNECT,
						   .session = session_slot(k->app),
						   .generation = k->app->generation,
						   .question = k->app->question}, 220));
	t.room = 10;
	turn();
	assert_true(answer(last(DESC_CONNECT), 220));
	hear(k, "220 ");
	/* The end of a session waits, and keeps the slot for so long. */
	t.room = 0;
	generation = k->app->generation;
	gone(k, TCP_CLOSED_RESET);
	assert_int_equal(t.w.session[1].on, ON_ENDING);
	assert_int_equal(t.w.session[1].generation, generation);
	k = open_conn(2);
	assert_int_equal(session_slot(k->app), 2);
	t.room = 10;
	turn();
	assert_int_equal(t.w.session[1].on, ON_FREE);
	assert_int_equal(t.w.session[1].generation, generation + 1);
	assert_int_equal(t.desc[t.n_descs - 2].kind, DESC_SESSION_END);
	assert_int_equal(last(DESC_CONNECT)->session, 2);
	down();
}

/* A message that waits for a place in the ring and whose client goes is nobody's but ours. */
static void test_unsent_message(void **state)
{
	struct tcp_conn *c;

	(void)state;
	up(16);
	c = established(0);
	message(c);
	t.room = 0;
	say(c, ".\r\n");
	assert_int_equal(records(), 1);
	gone(c, TCP_CLOSED_RESET);
	assert_int_equal(records(), 0);
	t.room = 10;
	turn();
	last(DESC_SESSION_END);
	for (unsigned int i = 0; i < t.n_descs; i++)
		assert_true(t.desc[i].kind != DESC_SUBMIT && t.desc[i].kind != DESC_CANCEL);
	/* And its deadline: 451, the record is free, the session goes on. */
	c = established(1);
	message(c);
	t.room = 0;
	c->out_n = 0;
	say(c, ".\r\n");
	t.w.now_ms += 602 * 1000;
	while (session_sweep(&t.w))
		;
	hear(c, "451 4.3.2 No decision in time");
	assert_int_equal(records(), 0);
	assert_int_equal(c->app->on, ON_NONE);
	down();
}

static void test_overdue(void **state)
{
	struct tcp_conn *c;
	struct handoff_desc d;

	(void)state;
	up(16);
	c = established(0);
	message(c);
	say(c, ".\r\n");
	d = *last(DESC_SUBMIT);
	c->out_n = 0;
	t.w.now_ms += 598 * 1000;
	session_sweep(&t.w);
	hear(c, "");
	t.w.now_ms += 4 * 1000;
	while (session_sweep(&t.w))
		;
	hear(c, "451 4.3.2 No decision in time");
	assert_int_equal(last(DESC_CANCEL)->msg.record, d.msg.record);
	assert_int_equal(dp_worker_counters(t.w.arena)[CNT_handoff_pinned], 1);
	assert_false(answer(&d, 250));
	hear(c, "");
	assert_int_equal(records(), 1); /* pinned until control lets go */
	down();
}

/* Idle sessions go at their time and not before, so many a turn. */
static void test_idle_timeout(void **state)
{
	unsigned int turns = 0, closed = 0;

	(void)state;
	up(N_CONNS);
	for (unsigned int i = 0; i < N_CONNS; i++)
		established(i);
	t.w.now_ms += 299 * 1000;
	while (session_sweep(&t.w))
		;
	say(&t.conn[7], "NOOP\r\n"); /* buys time */
	for (unsigned int i = 0; i < N_CONNS; i++)
		assert_false(t.conn[i].closing);
	t.w.now_ms += 3 * 1000;
	t.tx_used = 60; /* replies are short of memory: a few at a time */
	assert_false(session_sweep(&t.w));
	for (unsigned int i = 0; i < N_CONNS; i++)
		closed += t.conn[i].closing;
	assert_true(closed < 10);
	closed = t.tx_used = 0;
	while (session_sweep(&t.w))
		turns++;
	assert_true(turns >= 2);
	for (unsigned int i = 0; i < N_CONNS; i++)
		closed += t.conn[i].closing;
	assert_int_equal(closed, N_CONNS - 1);
	assert_false(t.conn[7].closing);
	assert_int_equal(t.counters[CNT_smtp_timeout], N_CONNS - 1);
	down();
}

/* Control dies with hundreds of questions open: each is answered, a part each turn. */
static void test_control_lost(void **state)
{
	struct handoff_desc old;
	unsigned int turns = 0;
	uint32_t i;

	(void)state;
	up(N_CONNS);
	established(0);
	for (i = 1; i < N_CONNS - 1; i++)
		open_conn(i);
	old = *last(DESC_CONNECT);
	t.room = 0;
	open_conn(i); /* was not even asked */
	t.w.up = false;
	outbox_clear(&t.w);
	turn();
	assert_false(TAILQ_EMPTY(&t.w.asked));
	/* A new control is there before all were answered; it is not taken for the old one. */
	t.w.up = true;
	t.w.epoch++;
	t.room = N_DESCS;
	t.n_descs = 0;
	assert_false(answer(&old, 220));
	while (!TAILQ_EMPTY(&t.w.asked) || !TAILQ_EMPTY(&t.w.unsent)) {
		turn();
		assert_true(++turns < 100);
	}
	assert_true(turns > 2);
	assert_int_equal(t.n_descs, 0);
	for (i = 1; i < N_CONNS; i++)
		hear(&t.conn[i], "220 ");
	/* Who was idle did not notice; the new control is told of nobody it does not know. */
	hear(&t.conn[0], "");
	gone(&t.conn[0], TCP_CLOSED_RESET);
	assert_int_equal(t.n_descs, 0);
	down();
}

static void test_control_lost_message(void **state)
{
	struct tcp_conn *c, *k, *e;

	(void)state;
	up(16);
	c = established(0);
	message(c);
	say(c, ".\r\n");
	k = established(1);
	message(k);
	e = established(2);
	t.room = 0;
	say(k, ".\r\n");
	gone(e, TCP_CLOSED_RESET);
	assert_int_equal(t.w.session[2].on, ON_ENDING);
	c->out_n = k->out_n = 0;
	t.w.up = false;
	outbox_clear(&t.w);
	turn();
	hear(c, "451 4.3.2 ");
	hear(k, "451 4.3.2 ");
	assert_int_equal(t.w.session[2].on, ON_FREE);
	assert_int_equal(records(), 1); /* the one that control has */
	dp_worker_reclaim(t.w.arena);
	assert_int_equal(records(), 0);
	down();
}

static void test_refused(void **state)
{
	struct tcp_conn *c;

	(void)state;
	up(16);
	t.tx_used = 75;
	c = open_conn(0);
	assert_null(c->app); /* the last quarter is for replies of sessions that are there */
	t.tx_used = 74;
	c = open_conn(0);
	assert_non_null(c->app);
	gone(c, TCP_CLOSED_RESET);
	/* Slots are used again before fresh ones. */
	c = open_conn(0);
	assert_int_equal(session_slot(c->app), 0);
	assert_int_equal(t.w.fresh, 1);
	for (unsigned int i = 1; i < 16; i++)
		assert_non_null(open_conn(i)->app);
	assert_null(open_conn(16)->app);
	assert_int_equal(t.counters[CNT_sessions_full], 1);
	/* No control, and told to say so: 421 within accept(). */
	gone(&t.conn[0], TCP_CLOSED_RESET);
	t.w.up = false;
	turn();
	t.generation->worker[0].smtp->c.down_action = DOWN_421;
	c = open_conn(0);
	hear(c, "421 4.3.2");
	assert_true(c->closing);
	down();
}

static bool is_peer(const uint8_t a[16], uint8_t last)
{
	const uint8_t want[16] = {[10] = 0xff, 0xff, 198, 51, 100, last};

	return memcmp(a, want, 16) == 0;
}

/* Who the client is goes to control with the question and with the message, and is forgotten with
 * the session. */
static void test_named(void **state)
{
	const struct handoff_record *rec;
	struct handoff_config *k;
	struct tcp_conn *c;

	(void)state;
	up(16);
	k = &t.generation->config;
	k->n_trusts = 1;
	k->trust[0].flags = TRUST_PROXY | TRUST_XCLIENT;
	smtp_config_free(t.generation->worker[0].smtp);
	t.generation->worker[0].smtp = smtp_config_new(k);
	smtp_server_set_config(t.w.smtp, t.generation->worker[0].smtp);
	c = open_conn(7);
	assert_int_equal(t.n_descs, 0);
	say(c, "PROXY TCP4 198.51.100.7 192.0.2.25 4711 25\r\n");
	assert_true(is_peer(last(DESC_CONNECT)->connect.peer, 7));
	assert_int_equal(last(DESC_CONNECT)->connect.peer_port, 4711);
	assert_int_equal(last(DESC_CONNECT)->connect.via, VIA_PROXY);
	assert_int_equal(last(DESC_CONNECT)->connect.via_port, 7);
	assert_true(answer(last(DESC_CONNECT), 220));
	say(c, "EHLO client.example.org\r\nMAIL FROM:<a@example.org>\r\n");
	rec = dp_msg_record(t.w.arena, &c->app->txn->msg);
	assert_true(is_peer(rec->peer, 7));
	assert_int_equal(rec->peer_port, 4711);
	assert_int_equal(rec->local[15], 25);
	assert_int_equal(rec->via, VIA_PROXY);
	assert_int_equal(rec->via_port, 7);
	assert_int_equal(rec->via_peer[12], 0);
	say(c, "RSET\r\nXCLIENT ADDR=198.51.100.8\r\n");
	assert_true(is_peer(last(DESC_CONNECT)->connect.peer, 8));
	assert_int_equal(last(DESC_CONNECT)->connect.via, VIA_XCLIENT);
	assert_int_equal(last(DESC_CONNECT)->connect.via_peer[12], 0);
	assert_true(answer(last(DESC_CONNECT), 220));
	assert_true(c->app->named);
	gone(c, TCP_CLOSED_RESET);
	c = open_conn(9); /* the same slot */
	assert_int_equal(session_slot(c->app), 0);
	say(c, "PROXY UNKNOWN\r\n");
	assert_int_equal(last(DESC_CONNECT)->connect.via, VIA_NONE);
	assert_int_equal(last(DESC_CONNECT)->connect.peer_port, 9);
	assert_false(is_peer(last(DESC_CONNECT)->connect.peer, 8));
	assert_true(answer(last(DESC_CONNECT), 220));
	down();
}

static const struct handoff_record *record_of(const struct tcp_conn *c)
{
	return dp_msg_record(t.w.arena, &c->app->txn->msg);
}

/* A reload that has a server terminated no longer does not make its sessions somebody else's. */
static void test_listener_gone(void **state)
{
	static const struct handoff_inline server = {.id = HANDOFF_LISTENER_INLINE + 3};
	struct tcp_conn *c;

	(void)state;
	up(16);
	t.listener = HANDOFF_LISTENER_INLINE + 3;
	t.server = &server;
	c = established(0);
	message(c);
	assert_int_equal(record_of(c)->listener, HANDOFF_LISTENER_INLINE + 3);
	say(c, ".\r\n");
	assert_true(answer(last(DESC_SUBMIT), 250));
	/* Its number is another one. */
	t.listener = HANDOFF_LISTENER_INLINE + 4;
	message(c);
	assert_int_equal(record_of(c)->listener, HANDOFF_LISTENER_INLINE + 4);
	say(c, ".\r\n");
	assert_true(answer(last(DESC_SUBMIT), 250));
	t.listener = -1;
	t.server = NULL;
	message(c);
	assert_int_equal(record_of(c)->listener, HANDOFF_LISTENER_INLINE + 3);
	gone(c, TCP_CLOSED_RESET);
	/* While the first question waits for room it is taken off. */
	t.listener = HANDOFF_LISTENER_INLINE + 3;
	t.room = 0;
	c = open_conn(1);
	assert_non_null(c->app);
	t.listener = -1;
	t.room = N_DESCS;
	turn();
	assert_int_equal(last(DESC_CONNECT)->connect.listener, HANDOFF_LISTENER_INLINE + 3);
	down();
}

/* In a cable the next hop is who was dialled, whoever a trusted peer says it was. */
static void test_named_inline(void **state)
{
	static const struct handoff_inline server = {.id = HANDOFF_LISTENER_INLINE};
	struct smtp_client named = {.peer_port = 4711, .local_port = 26, .via = VIA_XCLIENT};
	struct tcp_conn *c;

	(void)state;
	up(16);
	named.peer[15] = 7;
	named.local[15] = 99;
	for (unsigned int i = 0; i < 2; i++) {
		t.listener = i ? HANDOFF_LISTENER_INLINE : 0;
		t.server = i ? &server : NULL;
		c = established(i);
		c->tuple.local[15] = 80;
		session_smtp_ops.set_client(c->app, &named);
		message(c);
		assert_int_equal(record_of(c)->peer[15], 7);
		assert_int_equal(record_of(c)->peer_port, 4711);
		assert_int_equal(record_of(c)->via, VIA_XCLIENT);
		assert_int_equal(record_of(c)->local[15], i ? 80 : 99);
		assert_int_equal(record_of(c)->local_port, i ? 25 : 26);
	}
	down();
}

static bool offers_tls(struct tcp_conn *c)
{
	uint8_t name;
	bool tls;

	session_smtp_ops.face(c->app, &name, &tls);
	return tls;
}

/* STARTTLS in a server's name needs its certificate: that of our own is not shown for it. */
static void test_face(void **state)
{
	static const struct handoff_inline clear = {.id = HANDOFF_LISTENER_INLINE},
					   server = {.id = HANDOFF_LISTENER_INLINE, .flags = INLINE_F_TLS};
	struct tcp_conn *c;

	(void)state;
	up(16);
	c = established(0);
	assert_true(offers_tls(c));
	t.listener = -1;
	assert_true(offers_tls(c));
	t.listener = HANDOFF_LISTENER_INLINE;
	t.server = &server;
	c = established(1);
	assert_true(offers_tls(c));
	t.server = &clear;
	assert_false(offers_tls(c));
	t.listener = -1;
	t.server = NULL;
	assert_false(offers_tls(c));
	down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_named),
		cmocka_unit_test(test_listener_gone),
		cmocka_unit_test(test_named_inline),
		cmocka_unit_test(test_face),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_reply_lost),
		cmocka_unit_test(test_ring_full),
		cmocka_unit_test(test_unsent_message),
		cmocka_unit_test(test_overdue),
		cmocka_unit_test(test_idle_timeout),
		cmocka_unit_test(test_control_lost),
		cmocka_unit_test(test_control_lost_message),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
