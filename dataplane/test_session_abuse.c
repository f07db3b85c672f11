/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Sessions that are sent away or held for what they do: what control is told of it, and who has how
 * much of the arena. The worker with its TCP and rings is that of test_session.c. */

int session_main(void);
#define main session_main
#include "dataplane/test_session.c"
#undef main

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_tlvs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
