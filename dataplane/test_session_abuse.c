/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Sessions that are sent away or held for what they do: what control is told of it, and who has how
 * much of the arena. */

#include <arpa/inet.h>
#include <stdio.h>

#include "dataplane/test_session.h"

/* What control is told of a session that is over, also if it was told late. */
static void test_end(void **state)
{
	struct handoff_desc *d;
	struct tcp_conn *c;

	(void)state;
	up(16);
	c = established(0);
	message(c);
	say(c, ".\r\n");
	assert_true(answer(last(DESC_SUBMIT), 250));
	dp_worker_reclaim(t.w.arena);
	say(c, "XYZZY\r\nDATA\r\nQUIT\r\n");
	gone(c, TCP_CLOSED_NORMAL);
	d = last(DESC_SESSION_END);
	assert_int_equal(d->end.flags, 0);
	assert_int_equal(d->end.errors, 2);
	assert_int_equal(d->end.messages, 1);
	/* Idle for too long, and before the greeting it spoke; the rings are full. */
	c = open_conn(1);
	say(c, "NOOP\r\n");
	assert_true(answer(last(DESC_CONNECT), 220));
	t.w.now_ms += 303 * 1000;
	while (session_sweep(&t.w))
		;
	t.room = 0;
	gone(c, TCP_CLOSED_NORMAL);
	t.room = N_DESCS;
	turn();
	d = last(DESC_SESSION_END);
	assert_int_equal(d->end.flags, END_F_TIMEOUT | END_F_EARLY_TALKER);
	assert_int_equal(d->end.errors + d->end.messages, 0);
	/* The slot does not remember. */
	c = established(2);
	gone(c, TCP_CLOSED_RESET);
	assert_int_equal(last(DESC_SESSION_END)->end.flags, 0);
	/* Who is sent away for others is not to blame. */
	for (unsigned int i = 0; i < 16; i++)
		established(10 + i);
	t.w.now_ms += LIMIT_EVICT_IDLE_MS;
	session_make_room(&t.w);
	gone(&t.conn[10], TCP_CLOSED_NORMAL);
	assert_int_equal(last(DESC_SESSION_END)->end.flags, END_F_PRESSURE);
	down();
}

/* What the balancer said of its client goes into the record of each message, and of no other client. */
static void test_tlvs(void **state)
{
	static const char header[] =
		"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x1b"
		"\xc6\x33\x64\x07\xc0\0\x02\x19\x12\x67\0\x19"
		"\x04\0\x02zz"         /* NOOP */
		"\x02\0\x07mx.test";
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
	c = open_conn(0);
	memcpy(c->in, header, sizeof(header) - 1);
	c->in_n = sizeof(header) - 1;
	tcp_resume(c);
	assert_true(answer(last(DESC_CONNECT), 220));
	for (int i = 0; i < 2; i++) {
		say(c, "EHLO client.example.org\r\nMAIL FROM:<a@example.org>\r\n");
		rec = dp_msg_record(t.w.arena, &c->app->txn->msg);
		assert_int_equal(rec->proxy_tlv.len, 10);
		assert_memory_equal(rec->text + rec->proxy_tlv.off, "\x02\0\x07mx.test", 10);
		assert_memory_equal(rec->text + rec->helo.off, "client.example.org", rec->helo.len);
		assert_int_equal(rec->flags & RECORD_F_TLV_CUT, 0);
		say(c, "RSET\r\n");
	}
	gone(c, TCP_CLOSED_RESET);
	c = open_conn(1);
	assert_int_equal(session_slot(c->app), 0);
	say(c, "PROXY TCP4 198.51.100.7 192.0.2.25 4711 25\r\n");
	assert_true(answer(last(DESC_CONNECT), 220));
	say(c, "EHLO client.example.org\r\nMAIL FROM:<a@example.org>\r\n");
	rec = dp_msg_record(t.w.arena, &c->app->txn->msg);
	assert_int_equal(rec->proxy_tlv.len, 0);
	down();
}

static void from(struct tcp_conn *c, const char *address)
{
	memset(c->tuple.remote, 0, 16);
	c->tuple.remote[10] = c->tuple.remote[11] = 0xff;
	if (inet_pton(AF_INET, address, c->tuple.remote + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, address, c->tuple.remote), 1);
}

/* To DATA, whose reply is the caller's to hear. */
static struct tcp_conn *to_data(unsigned int i, const char *address)
{
	struct tcp_conn *c = established(i);

	from(c, address);
	say(c, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\n");
	assert_true(answer(last(DESC_RCPT), 250));
	acked(c);
	c->out_n = 0;
	say(c, "DATA\r\n");
	return c;
}

/* Content, until all is said or there is no room for it. */
static void content(struct tcp_conn *c, unsigned int octets)
{
	char line[401];

	memset(line, 'x', sizeof(line));
	memcpy(line + 398, "\r\n", 3);
	for (unsigned int n = 0; n < octets && !c->in_n; n += 400)
		say(c, line);
}

static bool begins(unsigned int i, const char *address)
{
	struct tcp_conn *c = to_data(i, address);
	bool goes = c->out[0] == '3';

	hear(c, goes ? "354 " : "452 4.3.1 ");
	gone(c, TCP_CLOSED_RESET);
	return goes;
}

static void test_share(void **state)
{
	struct tcp_conn *c, *k;

	(void)state;
	up(16);
	dp_worker_set_share(t.w.arena, 1, 100000, MODE_ENFORCE);
	c = to_data(0, "198.51.100.7");
	k = to_data(1, "2001:db8:0:7::1");
	hear(c, "354 ");
	hear(k, "354 ");
	assert_true(begins(2, "198.51.100.7"));
	content(c, 70000);
	content(k, 70000);
	assert_false(begins(2, "198.51.100.7"));
	assert_true(begins(2, "198.51.100.8"));
	assert_false(begins(2, "2001:db8:0:7:ffff::2")); /* the same /64 */
	assert_true(begins(2, "2001:db8:0:8::1"));
	/* What control has of it counts. */
	say(c, ".\r\n");
	last(DESC_SUBMIT);
	assert_false(begins(2, "198.51.100.7"));
	dp_worker_reclaim(t.w.arena);
	assert_true(begins(2, "198.51.100.7"));
	down();
}

/* Good standing comes with the verdict of CONNECT, and is of that client only. */
static void test_good(void **state)
{
	struct tcp_conn *c, *k;
	struct dp_verdict v;

	(void)state;
	up(16);
	dp_worker_set_share(t.w.arena, 1, 100000, MODE_ENFORCE);
	c = to_data(0, "198.51.100.7");
	content(c, 70000);
	k = open_conn(1);
	from(k, "198.51.100.7");
	v = (struct dp_verdict){.head = {.session = session_slot(k->app), .kind = VERDICT_CONNECT,
					 .generation = k->app->generation, .flags = VF_GOOD,
					 .question = k->app->question, .code = 220}};
	assert_true(session_verdict(&t.w, &v));
	assert_true(k->app->good);
	say(k, "EHLO c.example.org\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\n");
	assert_true(answer(last(DESC_RCPT), 250));
	k->out_n = 0;
	say(k, "DATA\r\n");
	hear(k, "354 ");
	gone(k, TCP_CLOSED_RESET);
	assert_false(begins(1, "198.51.100.7"));
	down();
}

/* Little is free and somebody waits: who dawdles goes, with 421, one each 100 ms. */
static void test_relieve(void **state)
{
	struct tcp_conn *slow[2], *c;
	struct dp_usage u;

	(void)state;
	up(16);
	for (unsigned int i = 0; i < 2; i++) {
		slow[i] = to_data(i, i ? "198.51.100.7" : "198.51.100.8");
		content(slow[i], 70000);
	}
	c = to_data(2, "192.0.2.1");
	hear(c, "354 ");
	do {
		assert_true(dp_chunk_alloc(t.w.arena) != UINT32_MAX);
		dp_worker_usage(t.w.arena, &u);
	} while (!u.low);
	t.w.now_ms += 10000;
	session_sweep(&t.w);
	assert_int_equal(t.counters[CNT_arena_evicted], 0); /* nobody waits */
	content(c, 70000);
	assert_true(c->in_n > 0);
	assert_false(TAILQ_EMPTY(&t.w.held));
	slow[0]->out_n = slow[1]->out_n = 0;
	session_sweep(&t.w);
	session_sweep(&t.w);
	assert_int_equal(t.counters[CNT_arena_evicted_slow], 1);
	assert_int_equal(t.counters[CNT_arena_evicted], 1);
	hear(slow[0], "421 4.3.2 Out of memory, try again later");
	hear(slow[1], "");
	assert_true(slow[0]->closing);
	/* Its octets came free, but who waits is content with them. */
	session_room(&t.w);
	assert_int_equal(c->in_n, 0);
	assert_true(TAILQ_EMPTY(&t.w.held));
	t.w.now_ms += LIMIT_EVICT_DATA_MS;
	session_sweep(&t.w);
	assert_int_equal(t.counters[CNT_arena_evicted], 1);
	gone(slow[0], TCP_CLOSED_NORMAL);
	assert_int_equal(last(DESC_SESSION_END)->end.flags, END_F_PRESSURE);
	down();
}

/* Many wait, and the only one for whom there is room is the last of them. */
static void test_room_in_turn(void **state)
{
	struct tcp_conn *c[6];
	uint32_t taken[200], n = 0;

	(void)state;
	up(16);
	for (unsigned int i = 0; i < 6; i++)
		c[i] = to_data(i, "198.51.100.7");
	while ((taken[n] = dp_chunk_alloc(t.w.arena)) != UINT32_MAX)
		n++;
	for (unsigned int i = 0; i < 6; i++)
		content(c[i], 70000);
	for (unsigned int i = 0; i < 6; i++)
		assert_true(c[i]->in_n > 0);
	session_room(&t.w);
	assert_null(t.w.room_next);
	/* The oldest has room; it began to wait first, and now last. */
	session_hold(c[0]->app, false);
	session_hold(c[0]->app, true);
	t.w.room_next = c[3]->app->txn;
	gone(c[3], TCP_CLOSED_RESET); /* who is to be looked at next goes away */
	assert_ptr_equal(t.w.room_next, c[4]->app->txn);
	for (unsigned int i = 0; i < 3; i++)
		dp_chunk_free(t.w.arena, taken[i]);
	session_room(&t.w);
	assert_int_equal(c[0]->in_n, 0);
	assert_true(c[1]->in_n > 0 && c[4]->in_n > 0);
	down();
}

/* Refusals of our own name the message, and no other. */
static void test_trace_id(void **state)
{
	char id[17] = "", want[80];
	struct tcp_conn *c;

	(void)state;
	up(16);
	c = established(0);
	message(c);
	memcpy(id, dp_msg_record(t.w.arena, &c->app->txn->msg)->trace_id, 16);
	c->out_n = 0;
	say(c, "a\nb\r\n.\r\n");
	snprintf(want, sizeof(want), "554 5.6.0 Message refused: bare LF in content id=%s\r\n", id);
	hear(c, want);
	/* Overdue with control. */
	t.w.now_ms++;
	message(c);
	memcpy(id, dp_msg_record(t.w.arena, &c->app->txn->msg)->trace_id, 16);
	say(c, ".\r\n");
	c->out_n = 0;
	t.w.now_ms += 602 * 1000;
	while (session_sweep(&t.w))
		;
	snprintf(want, sizeof(want), "451 4.3.2 No decision in time, try again later id=%s\r\n", id);
	hear(c, want);
	/* Never handed over: control has nothing by that name, and the one before is not meant. */
	message(c);
	t.room = 0;
	say(c, ".\r\n");
	c->out_n = 0;
	t.w.now_ms += 602 * 1000;
	while (session_sweep(&t.w))
		;
	hear(c, "451 4.3.2 No decision in time, try again later\r\n");
	down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_tlvs),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_relieve),
		cmocka_unit_test(test_room_in_turn),
		cmocka_unit_test(test_trace_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
