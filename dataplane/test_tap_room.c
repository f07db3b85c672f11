/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Messages that a tap has no room for, or that hold theirs for too long. */

#include "dataplane/test_tap_session.h"

/* Beside a gateway, with states for four large messages. */
static int setup_shared(void **state)
{
	char err[160];
	struct generation *g;

	(void)state;
	if (setup_share(50, 8))
		return -1;
	g = t.generation;
	return scan_generation_new(NULL, 0, 7, &g->scan, err, sizeof(err)) ||
	       scan_worker_new(g->scan, 4, t.counters, &g->worker[0].scan) ||
	       scan_views_new(4, t.counters, &g->worker[0].views);
}

static int setup_records(void **state)
{
	(void)state;
	return setup_share(100, 16);
}

static const struct handoff_record *submitted(unsigned int i)
{
	assert_true(i < t.n_descs);
	return dp_record_last(t.w.arena, t.desc[i].msg.record, t.desc[i].msg.record_gen);
}

static uint8_t octets[4096];

static void feed(size_t n)
{
	for (; n; n -= n < sizeof(octets) ? n : sizeof(octets))
		client(str_make(octets, n < sizeof(octets) ? n : sizeof(octets)));
	client(STR("\r\n.\r\n"));
	server("250 ok\r\n");
}

static void too_large(void **state)
{
	struct dp_usage u;

	(void)state;
	memset(octets, 'x', sizeof(octets));
	open_flow(25);
	begin();
	feed(300000);
	assert_int_equal(t.counters[CNT_tap_unjudged_size], 1);
	assert_int_equal(last()->observed_unjudged, UNJUDGED_SIZE);
	dp_worker_usage(t.w.arena, &u);
	assert_int_equal(u.chunks_used, 0);
}

static void no_room(void **state)
{
	struct dp_msg other[8] = {0};
	unsigned int n = 0;

	(void)state;
	memset(octets, 'x', sizeof(octets));
	open_flow(25);
	/* Others hold all but what is left to the oldest. */
	for (; n < 8 && !dp_msg_observe(t.w.arena, &other[n], 100); n++)
		while (!dp_msg_append(t.w.arena, &other[n], octets, sizeof(octets)))
			;
	dp_msg_free(t.w.arena, &other[--n]);
	while (!dp_msg_append(t.w.arena, &other[0], octets, 1))
		;
	begin();
	feed(5000000 / 20);
	while (n)
		dp_msg_free(t.w.arena, &other[--n]);
	assert_int_equal(t.counters[CNT_tap_unjudged_arena], 1);
	assert_int_equal(last()->observed_unjudged, UNJUDGED_ARENA);
}

static uint32_t records_used(void)
{
	struct dp_usage u;

	dp_worker_usage(t.w.arena, &u);
	return u.records_used;
}

static void expire_at(uint64_t worker_s, uint64_t packet_s)
{
	t.w.now_us = worker_s * 1000000;
	t.now_us = 5000000 + packet_s * 1000000;
	tap_sessions_expire(t.all);
}

/* Nobody ends it: it holds neither record nor rules for good. */
static void too_slow(void **state)
{
	const struct handoff_record *r;

	(void)state;
	open_flow(25);
	begin();
	client(STR("x\r\n"));
	expire_at(1799, 1799);
	assert_int_equal(records_used(), 1);
	/* While a capture waits, and while it is read faster than it was made. */
	expire_at(9999, 1799);
	expire_at(1799, 9999);
	assert_int_equal(records_used(), 1);
	assert_int_equal(t.w.used[0].scanning, 1);
	expire_at(1800, 1800);
	assert_int_equal(records_used(), 0);
	assert_int_equal(t.w.used[0].scanning, 0);
	assert_int_equal(t.counters[CNT_tap_unjudged_timeout], 0); /* with its end */
	client(STR("y\r\n.\r\n"));
	server("250 ok\r\n");
	assert_int_equal(t.counters[CNT_tap_unjudged_timeout], 1);
	r = last();
	assert_int_equal(r->observed, OBSERVED_UNJUDGED);
	assert_int_equal(r->observed_unjudged, UNJUDGED_TIMEOUT);
	assert_int_equal(r->n_chunks, 0);
	text_is(r, r->mail_from, "a@example.org");
	text_is(r, r->helo, "a.example.org");
}

static void at(uint64_t s)
{
	t.w.now_us = s * 1000000;
	t.now_us = 5000000 + s * 1000000;
}

/* On a flow of its own; what it says is told behind. */
static void *begun(struct str text)
{
	open_flow(25);
	begin();
	client(text);
	return t.flow;
}

static void end(void *flow)
{
	t.flow = flow;
	client(STR(".\r\n"));
	server("250 ok\r\n");
}

/* Records are short: who has not been heard for a minute gives way, who was heard of does not. */
static void silent_one_gives_way(void **state)
{
	struct dp_msg other[8] = {0};
	unsigned int n = 0;
	void *dead, *slow, *early, *late;

	(void)state;
	at(0);
	dead = begun(STR("x\r\n"));
	at(1);
	slow = begun(STR("x\r\n"));
	while (n < 8 && !dp_msg_observe(t.w.arena, &other[n], 100))
		n++;
	assert_in_range(n, 1, 7);
	at(59);
	early = begun(STR("early\r\n"));
	assert_int_equal(t.counters[CNT_tap_gave_way], 0);
	t.flow = slow;
	client(STR("y\r\n"));
	at(60);
	late = begun(STR("late\r\n"));
	assert_int_equal(t.counters[CNT_tap_gave_way], 1);
	assert_int_equal(t.w.used[0].scanning, 2);
	/* slow was heard of at 59: nobody is silent enough. */
	at(61);
	end(early);
	assert_int_equal(t.counters[CNT_tap_unjudged_arena], 1);
	begin();
	client(STR("another\r\n"));
	assert_int_equal(t.counters[CNT_tap_gave_way], 1);
	end(early);
	assert_int_equal(t.counters[CNT_tap_unjudged_arena], 2);
	assert_int_equal(t.n_descs, 0);
	end(late);
	assert_int_equal(submitted(0)->observed, OBSERVED_MESSAGE);
	assert_int_equal(submitted(0)->size, 6);
	end(slow);
	assert_int_equal(submitted(1)->observed, OBSERVED_MESSAGE);
	assert_int_equal(submitted(1)->size, 6);
	while (n)
		dp_msg_free(t.w.arena, &other[--n]);
	end(dead);
	assert_int_equal(t.counters[CNT_tap_unjudged_arena], 3);
	assert_int_equal(submitted(2)->observed_unjudged, UNJUDGED_ARENA);
	tap_session_app.closed(dead);
	tap_session_app.closed(slow);
	tap_session_app.closed(early);
	t.flow = late;
}

/* Chunks are short, and a message has its record already. The clocks of a capture: both count. */
static void silent_one_gives_chunks(void **state)
{
	struct dp_msg other[8] = {0};
	void *dead;

	(void)state;
	memset(octets, 'x', sizeof(octets));
	at(0);
	dead = begun(STR("x\r\n"));
	t.w.now_us = 60 * 1000000; /* the capture waited */
	open_flow(25);
	begin();
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(dp_msg_observe(t.w.arena, &other[i], 100), 0);
		while (!dp_msg_append(t.w.arena, &other[i], octets, sizeof(octets)))
			;
	}
	client(STR("lost\r\n.\r\n"));
	server("250 ok\r\n");
	assert_int_equal(t.counters[CNT_tap_gave_way], 0);
	assert_int_equal(t.counters[CNT_tap_unjudged_arena], 1);
	assert_int_equal(submitted(0)->observed_unjudged, UNJUDGED_ARENA);
	begin();
	at(60);
	client(STR("kept\r\n.\r\n"));
	server("250 ok\r\n");
	assert_int_equal(t.counters[CNT_tap_gave_way], 1);
	assert_int_equal(t.counters[CNT_tap_unjudged_arena], 1);
	assert_int_equal(submitted(1)->observed, OBSERVED_MESSAGE);
	assert_int_equal(submitted(1)->size, 6);
	for (unsigned int i = 0; i < 8; i++)
		dp_msg_free(t.w.arena, &other[i]);
	tap_session_app.closed(dead);
	assert_int_equal(t.counters[CNT_tap_unjudged_arena], 2);
}

/* A reload waits a minute for what began before it, not half an hour. */
static void old_rules(void **state)
{
	struct generation *newer = calloc(1, sizeof(*newer));
	void *slow;

	(void)state;
	open_flow(25);
	slow = t.flow;
	begin();
	client(STR("x\r\n"));
	newer->config = t.generation->config;
	newer->config.generation = 8;
	t.w.used[1].generation = t.w.current = newer;
	t.w.n_used = 2;
	expire_at(59, 59);
	assert_int_equal(t.w.used[0].scanning, 1);
	open_flow(25);
	begin();
	client(STR("y\r\n"));
	expire_at(60, 60);
	assert_int_equal(t.w.used[0].scanning, 0);
	assert_int_equal(t.w.used[1].scanning, 1);
	expire_at(1000, 1000);
	client(STR(".\r\n"));
	server("250 ok\r\n");
	assert_int_equal(last()->observed, OBSERVED_MESSAGE);
	assert_int_equal(last()->scan_generation, 8);
	tap_session_app.closed(slow);
	assert_int_equal(t.counters[CNT_tap_unjudged_timeout], 1);
	dp_worker_reclaim(t.w.arena);
	t.w.n_used = 1;
	t.w.current = t.generation;
	free(newer);
}

/* Half of the states for large messages is left to those of the gateway. */
static void large(void **state)
{
	void *flow[3];

	(void)state;
	memset(octets, 'x', sizeof(octets));
	for (unsigned int i = 0; i < 3; i++) {
		open_flow(25);
		flow[i] = t.flow;
		begin();
		for (size_t n = 0; n < 100000; n += 1000)
			client(str_make(octets, 1000));
	}
	assert_int_equal(t.w.large_observed, 2);
	assert_int_equal(scan_views_left(t.generation->worker[0].views), 2);
	assert_int_equal(t.counters[CNT_scan_no_stream], 1);
	for (unsigned int i = 0; i < 3; i++) {
		t.flow = flow[i];
		client(STR("\r\n.\r\n"));
		server("250 ok\r\n");
		assert_int_equal(submitted(i)->observed, OBSERVED_MESSAGE);
		assert_int_equal(!!(submitted(i)->flags & RECORD_F_SCAN_PARTIAL), i == 2);
	}
	assert_int_equal(t.w.large_observed, 0);
	dp_worker_reclaim(t.w.arena);
	/* What is given up gives its state back. */
	begin();
	for (size_t n = 0; n < 301000; n += 1000)
		client(str_make(octets, 1000));
	assert_int_equal(t.counters[CNT_scan_no_stream], 1);
	assert_int_equal(t.w.large_observed, 0);
	assert_int_equal(scan_views_left(t.generation->worker[0].views), 4);
	tap_session_app.closed(flow[0]);
	tap_session_app.closed(flow[1]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(too_large), T(no_room), T(too_slow), T(silent_one_gives_way), T(old_rules),
		cmocka_unit_test_setup_teardown(silent_one_gives_chunks, setup_records, teardown),
		cmocka_unit_test_setup_teardown(large, setup_shared, teardown),
	};

	return cmocka_run_group_tests_name("tap_room", tests, NULL, NULL);
}
