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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
