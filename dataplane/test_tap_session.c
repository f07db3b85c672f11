/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What a tap saw, on its way to control: records, and what becomes of messages that find no room.
 */

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

static int setup_share(uint8_t share)
{
	struct dp_arena_opts o = {
		.n_workers = 1, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER, .n_records = 8};
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
	return setup_share(100);
}

/* Beside a gateway, with states for four large messages. */
static int setup_shared(void **state)
{
	char err[160];
	struct generation *g;

	(void)state;
	if (setup_share(50))
		return -1;
	g = t.generation;
	return scan_generation_new(NULL, 0, 7, &g->scan, err, sizeof(err)) ||
	       scan_worker_new(g->scan, 4, t.counters, &g->worker[0].scan) ||
	       scan_views_new(4, t.counters, &g->worker[0].views);
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

static void message(void **state)
{
	const struct handoff_record *r;
	const uint8_t *slice = dp_arena_slice(t.arena, 0);
	struct dp_arena_info info;

	(void)state;
	open_flow(25);
	begin();
	client(STR("Subject: x\r\n\r\n..dot\r\n"));
	t.now_us = 6000000;
	client(STR(".\r\n"));
	/* A later EHLO is not this message's; its reply has not come. */
	assert_int_equal(t.n_descs, 0);
	server("250 2.0.0 \x1b queued\r\n");
	r = last();
	assert_int_equal(r->flags & (RECORD_F_OBSERVED | RECORD_F_NO_MAIL | RECORD_F_ONE_WAY),
			 RECORD_F_OBSERVED);
	assert_int_equal(r->observed, OBSERVED_MESSAGE);
	assert_int_equal(r->observed_whole, OBSERVED_WHOLE);
	assert_int_equal(r->size, 20);
	assert_int_equal(r->header_size, 14);
	assert_int_equal(r->n_chunks, 1);
	dp_arena_info(t.arena, &info);
	assert_memory_equal(slice + (size_t)info.n_records * HANDOFF_RECORD +
				    (size_t)r->chunk[0] * HANDOFF_CHUNK,
			    "Subject: x\r\n\r\n.dot\r\n", 20);
	assert_int_equal(r->listener, HANDOFF_LISTENER_TAP);
	assert_int_equal(r->peer[15], 10);
	assert_int_equal(r->local[15], 25);
	assert_int_equal(r->peer_port, 4000);
	assert_int_equal(r->proto, PROTO_ESMTP);
	assert_int_equal(r->body, BODY_8BITMIME);
	assert_int_equal(r->scan_generation, 7);
	assert_true(r->connected_ns == 1700000004000000000u &&
		    r->data_done_ns == 1700000006000000000u);
	assert_int_equal(r->n_rcpts, 1); /* the refused one is not told */
	assert_int_equal(r->rcpt[0].accepted, 1);
	text_is(r, r->rcpt[0].addr, "b@example.com");
	text_is(r, r->mail_from, "a@example.org");
	text_is(r, r->helo, "a.example.org");
	text_is(r, r->observed_reply, "250 2.0.0 ? queued");
	assert_int_equal(t.counters[CNT_tap_submitted], 1);
}

static void incomplete(void **state)
{
	const struct handoff_record *r;

	(void)state;
	open_flow(2525);
	begin();
	client(STR("Subject: x\r\n\r\nhalf"));
	tap_session_app.gap(t.flow, TAP_CLIENT, 1000, TAP_CAUSE_never_seen);
	client(STR("rest\r\n.\r\n"));
	server("250 ok\r\n");
	r = last();
	assert_int_equal(r->observed_whole, OBSERVED_GAP);
	assert_int_equal(r->observed_gap, 1000);
	assert_int_equal(r->listener, HANDOFF_LISTENER_INLINE | 4);
}

/* exceptions: gap = bypass. The message is told as it was, and nothing that follows is. */
static void left_behind_a_gap(void **state)
{
	const struct handoff_record *r;

	(void)state;
	t.generation->config.exception[PORT_MODE_TAP][CAUSE_GAP] = ACT_BYPASS;
	open_flow(25);
	begin();
	client(STR("Subject: x\r\n\r\nhalf"));
	tap_session_app.gap(t.flow, TAP_CLIENT, 1000, TAP_CAUSE_never_seen);
	client(STR("rest\r\n.\r\n"));
	server("250 ok\r\n");
	assert_int_equal(t.n_descs, 0);
	assert_int_equal(t.counters[CNT_tap_bypassed], 1);
	begin();
	client(STR("another\r\n.\r\n"));
	server("250 ok\r\n");
	tap_session_app.closed(t.flow);
	t.flow = NULL;
	r = last();
	assert_int_equal(r->observed_whole, OBSERVED_GAP);
	assert_int_equal(r->observed_reply.len, 0);
	assert_int_equal(t.counters[CNT_tap_bypassed], 1);
}

/* midstream: of a tap port and of a cable, each by its own word. */
static void by_its_port(void **state)
{
	(void)state;
	for (unsigned int word = 0; word < 4; word++) {
		tap_sessions_midstream(t.all, word & 1, word & 2);
		for (unsigned int cable = 0; cable < 2; cable++) {
			struct tap_flow_info info = {.tuple = {.remote_port = 4000, .local_port = cable ? 2525 : 25},
						     .midstream = true};
			void *flow = tap_session_app.open(t.all, &info);

			assert_int_equal(flow != NULL, (word >> cable) & 1);
			if (flow)
				tap_session_app.closed(flow);
		}
	}
}

/* Gone to TLS while nobody is there to be told. */
static void encrypted_untold(void **state)
{
	(void)state;
	open_flow(25);
	t.w.up = false;
	client(STR("STARTTLS\r\n"));
	server("220 go\r\n");
	assert_int_equal(t.n_descs, 0);
	assert_int_equal(t.counters[CNT_tap_encrypted_untold], 1);
	t.w.up = true;
}

/* exceptions: control-down = bypass. */
static void not_followed_without_control(void **state)
{
	const struct tap_flow_info info = {.tuple = {.remote_port = 4000, .local_port = 25}};

	(void)state;
	t.w.up = false;
	t.generation->config.exception[PORT_MODE_TAP][CAUSE_CONTROL_DOWN] = ACT_BYPASS;
	assert_null(tap_session_app.open(t.all, &info));
	assert_int_equal(t.counters[CNT_tap_bypassed], 1);
	t.w.up = true;
	open_flow(25);
	assert_int_equal(t.counters[CNT_tap_bypassed], 1);
}

/* The ring is full: counted, and all of it is given back. */
static void ring_full(void **state)
{
	(void)state;
	open_flow(25);
	begin();
	client(STR("x\r\n.\r\n"));
	t.full = true;
	server("250 ok\r\n");
	assert_int_equal(t.n_descs, 0);
	assert_int_equal(t.counters[CNT_tap_unjudged_ring], 1);
	t.full = false;
	begin();
	client(STR("y\r\n.\r\n"));
	server("250 ok\r\n");
	assert_int_equal(last()->size, 3);
}

static void control_down(void **state)
{
	const struct handoff_record *r;

	(void)state;
	open_flow(25);
	/* at the end */
	begin();
	client(STR("x\r\n.\r\n"));
	t.w.up = false;
	server("250 ok\r\n");
	assert_int_equal(t.counters[CNT_tap_unjudged_control], 1);
	/* in between */
	begin();
	client(STR("x\r\n.\r\n"));
	server("250 ok\r\n");
	assert_int_equal(t.counters[CNT_tap_unjudged_control], 2);
	assert_int_equal(t.n_descs, 0);
	/* at its begin only: its envelope may be told */
	begin();
	t.w.up = true;
	client(STR("x\r\n.\r\n"));
	server("250 ok\r\n");
	assert_int_equal(t.counters[CNT_tap_unjudged_control], 3);
	r = last();
	assert_int_equal(r->observed, OBSERVED_UNJUDGED);
	assert_int_equal(r->observed_unjudged, UNJUDGED_CONTROL);
	assert_int_equal(r->size, 0);
	assert_int_equal(r->n_chunks, 0);
	text_is(r, r->mail_from, "a@example.org");
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

static const struct handoff_record *submitted(unsigned int i)
{
	assert_true(i < t.n_descs);
	return dp_record_last(t.w.arena, t.desc[i].msg.record, t.desc[i].msg.record_gen);
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

static void encrypted(void **state)
{
	const struct handoff_record *r;

	(void)state;
	open_flow(25);
	client(STR("STARTTLS\r\n"));
	server("220 go\r\n");
	r = last();
	assert_int_equal(r->observed, OBSERVED_ENCRYPTED);
	assert_int_equal(r->n_rcpts, 0);
	text_is(r, r->helo, "a.example.org");
	assert_int_equal(r->scan_generation, 7);
}

/* What control would not take as a text is left out, and said to be. */
static void odd_texts(void **state)
{
	const struct handoff_record *r;

	(void)state;
	open_flow(25);
	client(STR("MAIL FROM:<a\0b@example.org>\r\n"));
	server("250 ok\r\n");
	client(STR("RCPT TO:<\0@example.com>\r\n"));
	server("250 ok\r\n");
	client(STR("DATA\r\n"));
	server("354 go\r\n");
	client(STR("x\r\n.\r\n"));
	server("250 ok\r\n");
	r = last();
	assert_int_equal(r->n_rcpts, 0);
	assert_int_equal(r->mail_from.len, 0);
	assert_int_equal(r->flags & (RECORD_F_NO_MAIL | RECORD_F_ENVELOPE_CUT),
			 RECORD_F_NO_MAIL | RECORD_F_ENVELOPE_CUT);
}

/* Flows beyond those that there is memory for. */
static void sessions_full(void **state)
{
	struct tap_flow_info info = {.tuple = {.local_port = 25}};
	void *flow[4];

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		flow[i] = tap_session_app.open(t.all, &info);
		assert_non_null(flow[i]);
	}
	assert_null(tap_session_app.open(t.all, &info));
	assert_int_equal(t.counters[CNT_tap_no_session], 1);
	for (unsigned int i = 0; i < 4; i++)
		tap_session_app.closed(flow[i]);
	open_flow(25);
}

static void verdicts(void **state)
{
	struct dp_verdict v = {.head = {.kind = VERDICT_RELEASE}};

	(void)state;
	assert_true(tap_session_verdict(&v));
	v.head.kind = VERDICT_MESSAGE;
	assert_false(tap_session_verdict(&v));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(message), T(incomplete), T(ring_full), T(control_down), T(too_large),
		T(no_room), T(encrypted),  T(odd_texts), T(verdicts),     T(sessions_full),
		T(too_slow), T(old_rules), T(left_behind_a_gap), T(not_followed_without_control), T(encrypted_untold), T(by_its_port),
		cmocka_unit_test_setup_teardown(large, setup_shared, teardown),
	};

	return cmocka_run_group_tests_name("tap_session", tests, NULL, NULL);
}
