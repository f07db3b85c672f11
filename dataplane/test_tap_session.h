/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* For the tests of tap_session.c: a worker with few records, and a ring that is the test's own. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/tap_session.h"
#include "dataplane/worker.h"

static struct {
	struct worker w;
	struct dp_arena *arena;
	struct generation *generation;
	struct tap_sessions *all;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT], now_us;
	struct handoff_desc desc[16];
	unsigned int n_descs;
	bool full; /* the ring */
	void *flow;
} t;

uint32_t worker_random(struct worker *w)
{
	return (uint32_t)w->now_ms;
}

uint32_t dp_rings_pick(struct dp_rings *r)
{
	(void)r;
	return 0;
}

int dp_rings_push(struct dp_rings *r, uint32_t loop, const struct handoff_desc *d)
{
	(void)r;
	(void)loop;
	if (!t.w.up)
		return -ENOTCONN;
	if (t.full)
		return -EAGAIN;
	assert_true(t.n_descs < 16);
	t.desc[t.n_descs++] = *d;
	return 0;
}

static uint16_t listener(void *ctx, const struct tcp_tuple *tuple)
{
	assert_ptr_equal(ctx, &t);
	return tuple->local_port == 2525 ? HANDOFF_LISTENER_INLINE | 4 : HANDOFF_LISTENER_TAP;
}

static int setup_share(uint8_t share, uint32_t n_records)
{
	struct dp_arena_opts o = {
		.n_workers = 1, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER, .n_records = n_records};
	struct tap_session_options opt = {.worker = &t.w,
					  .sessions = 4,
					  .share = share,
					  .now_us = &t.now_us,
					  .listener = listener,
					  .listener_ctx = &t};
	char err[160];

	memset(&t, 0, sizeof(t));
	assert_int_equal(dp_arena_new(&o, &t.arena, err, sizeof(err)), 0);
	t.generation = calloc(1, sizeof(*t.generation));
	t.generation->config = (struct handoff_config){
		.max_message = 300000, .data_total_timeout_s = 1800, .generation = 7};
	t.now_us = 5000000;
	t.w = (struct worker){
		.opt = {.max_sessions = 100},
		.counters = t.counters,
		.arena = dp_arena_worker(t.arena, 0),
		.current = t.generation,
		.used = {{.generation = t.generation}},
		.n_used = 1,
		.up = true,
		.realtime_offset_ns = 1700000000000000000u,
	};
	t.all = tap_sessions_new(&opt);
	assert_non_null(t.all);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_share(100, 8);
}

static int teardown(void **state)
{
	struct dp_usage u;

	(void)state;
	dp_worker_reclaim(t.w.arena);
	if (t.flow)
		tap_session_app.closed(t.flow);
	dp_worker_reclaim(t.w.arena);
	dp_worker_usage(t.w.arena, &u);
	assert_int_equal(u.records_used + u.chunks_used + u.data_flows, 0);
	assert_int_equal(t.w.used[0].scanning, 0);
	assert_int_equal(t.w.large_observed, 0);
	tap_sessions_free(t.all);
	scan_worker_free(t.generation->worker[0].scan);
	scan_views_free(t.generation->worker[0].views);
	scan_generation_free(t.generation->scan);
	free(t.generation);
	dp_arena_free(t.arena);
	return 0;
}

static void client(struct str s)
{
	assert_int_equal(tap_session_app.data(t.flow, TAP_CLIENT, s.p, s.n, 0), s.n);
}

static void server(const char *s)
{
	size_t n = strlen(s);

	assert_int_equal(tap_session_app.data(t.flow, TAP_SERVER, (const uint8_t *)s, n, 0), n);
}

static void open_flow(uint16_t port)
{
	struct tap_flow_info info = {.tuple = {.remote_port = 4000, .local_port = port},
				     .time_us = 4000000};

	info.tuple.remote[15] = 10;
	info.tuple.local[15] = 25;
	t.flow = tap_session_app.open(t.all, &info);
	assert_non_null(t.flow);
	server("220 mx.example.net\r\n");
	client(STR("EHLO a.example.org\r\n"));
	server("250-mx.example.net\r\n250 STARTTLS\r\n");
}

static void begin(void)
{
	client(STR("MAIL FROM:<a@example.org> BODY=8BITMIME\r\n"));
	server("250 ok\r\n");
	client(STR("RCPT TO:<b@example.com>\r\n"));
	server("250 ok\r\n");
	client(STR("RCPT TO:<no@example.com>\r\n"));
	server("550 no\r\n");
	client(STR("DATA\r\n"));
	server("354 go\r\n");
}

static const struct handoff_record *last(void)
{
	assert_int_equal(t.n_descs, 1);
	assert_int_equal(t.desc[0].kind, DESC_SUBMIT);
	assert_int_equal(t.desc[0].flags, DESC_F_OBSERVED);
	assert_int_equal(t.desc[0].session, 100);
	assert_true(
		dp_record_with_control(t.w.arena, t.desc[0].msg.record, t.desc[0].msg.record_gen));
	return dp_record_last(t.w.arena, t.desc[0].msg.record, t.desc[0].msg.record_gen);
}

static void text_is(const struct handoff_record *r, struct handoff_ref ref, const char *want)
{
	assert_true(str_eq(str_make(r->text + ref.off, ref.len), str_c(want)));
}
