/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A tap's worker whose packets are partly another's: what it does while that one is behind. */

#include "dataplane/net/test_net_util.h"

#include <string.h>

#include <rte_mbuf.h>

#include "dataplane/tap_worker.h"
#include "dataplane/worker.h"

#define BURST 32    /* of the worker */
#define STALL_US 5000

static struct worker w;
static struct tap_worker *tap;
static struct port_info mirror;
static struct dp_arena *arena;
static struct generation generation;
static struct frame own, other; /* of flows of worker 0 and of worker 1 */

uint32_t worker_random(struct worker *self)
{
	(void)self;
	return 4;
}

static uint64_t out(void)
{
	return counter[0][CNT_steer_out];
}

static unsigned int poll_with(const struct frame *f, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		inject(f);
	return tap_worker_poll(tap);
}

/* Of worker 1: it takes n bursts out of its ring. */
static void other_takes(unsigned int n)
{
	while (n--)
		assert_int_equal(net_steer_poll(worker[1]), BURST);
}

/* Flows that only the hash tells apart; segments of none that is known go nowhere else. */
static void find_frames(void)
{
	bool have[2] = {false, false};

	for (uint16_t from = 1; !have[0] || !have[1]; from++) {
		struct frame f;
		uint64_t before = out();

		assert_true(from < 1000);
		tcp4_frame(&f, from, "x", 1);
		assert_int_equal(poll_with(&f, 1), 1);
		if (out() > before)
			other = f;
		else
			own = f;
		have[out() > before] = true;
	}
	while (net_steer_poll(worker[1]))
		;
	memset(counter, 0, sizeof(counter));
}

static int start(bool capture, bool whole_queues)
{
	struct tap_worker_options opt = {.worker = &w,
					 .n_workers = 2,
					 .port = &mirror,
					 .n_ports = 1,
					 .sessions = 16,
					 .held = 64,
					 .share = 100,
					 .tap_port = {25},
					 .n_tap_ports = 1,
					 .whole_queues = whole_queues,
					 .hash_key = "0123456789abcde"};
	struct dp_arena_opts memory = {.n_workers = 1, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER};
	char err[160];

	if (bench_up(2) || dp_arena_new(&memory, &arena, err, sizeof(err)))
		return -1;
	mirror = port;
	mirror.receive_only = true;
	mirror.capture = capture;
	w = (struct worker){.counters = counter[0],
			    .arena = dp_arena_worker(arena, 0),
			    .current = &generation,
			    .up = true,
			    .now_us = 1000000};
	opt.net = worker[0];
	tap = tap_worker_new(&opt);
	return tap ? 0 : -1;
}

static int setup_live(void **state)
{
	(void)state;
	if (start(false, false))
		return -1;
	find_frames();
	return 0;
}

static int setup_capture(void **state)
{
	(void)state;
	if (start(true, false))
		return -1;
	find_frames();
	return 0;
}

static int setup_whole(void **state)
{
	(void)state;
	return start(false, true);
}

static int end(void **state)
{
	tap_worker_free(tap);
	dp_arena_free(arena);
	return teardown(state);
}

/* The ring has room for less than a burst. */
static void fill(void)
{
	while (net_steer_room(worker[0]) >= BURST)
		assert_int_equal(poll_with(&other, BURST), BURST);
}

static void waits_and_goes_on(void **state)
{
	unsigned int room;

	(void)state;
	fill();
	assert_int_equal(out(), (NET_STEER_RING - 1) / BURST * BURST);
	room = net_steer_room(worker[0]);
	/* They stay with the port, others' and its own. */
	assert_int_equal(poll_with(&other, BURST - 1), 0);
	assert_int_equal(poll_with(&own, 1), 0);
	w.now_us += STALL_US - 1;
	assert_int_equal(tap_worker_poll(tap), 0);
	assert_count(0, rx_packets, out());
	assert_count(0, steer_drop, 0);
	other_takes(1);
	assert_int_equal(tap_worker_poll(tap), BURST);
	assert_count(0, steer_drop, 0);
	assert_count(0, tap_no_flow, 1);
	assert_int_equal(net_steer_room(worker[0]), room + 1);
}

static void who_stays_behind_is_not_waited_for(void **state)
{
	unsigned int room;

	(void)state;
	fill();
	room = net_steer_room(worker[0]);
	assert_int_equal(poll_with(&other, BURST), 0);
	w.now_us += STALL_US;
	assert_int_equal(tap_worker_poll(tap), BURST);
	assert_count(0, steer_drop, BURST - room);
	assert_int_equal(poll_with(&own, 1), 1);
	/* Neither when it takes some and is behind again. */
	other_takes(2);
	assert_int_equal(poll_with(&other, BURST), BURST);
	assert_int_equal(poll_with(&other, BURST), BURST);
	assert_count(0, steer_drop, BURST - room);
	assert_int_equal(poll_with(&other, BURST), BURST);
	assert_count(0, steer_drop, 2 * BURST - room);
}

static void who_came_after_is_waited_for_again(void **state)
{
	uint64_t dropped;

	(void)state;
	fill();
	assert_int_equal(poll_with(&other, BURST), 0);
	w.now_us += STALL_US;
	assert_int_equal(tap_worker_poll(tap), BURST);
	dropped = counter[0][CNT_steer_drop];
	other_takes(NET_STEER_RING / 2 / BURST + 1);
	/* Its ring is seen to be half empty by the next one. */
	assert_int_equal(poll_with(&own, 1), 1);
	fill();
	assert_int_equal(poll_with(&other, BURST), 0);
	w.now_us += STALL_US - 1;
	assert_int_equal(tap_worker_poll(tap), 0);
	w.now_us++;
	assert_int_equal(tap_worker_poll(tap), BURST);
	assert_true(counter[0][CNT_steer_drop] > dropped);
}

/* Nothing is handed over: the others' rings are looked at by nobody. */
static void whole_queues_wait_for_nobody(void **state)
{
	(void)state;
	while (net_steer_room(worker[0]))
		net_hand_over(worker[0], rte_pktmbuf_alloc(rx_pool), 1);
	tcp4_frame(&own, 4000, "x", 1);
	assert_int_equal(poll_with(&own, BURST), BURST);
	assert_count(0, tap_no_flow, BURST);
}

/* A file loses nothing, however long it takes. */
static void captures_wait_for_long(void **state)
{
	(void)state;
	while (net_steer_room(worker[0]) >= 2 * BURST)
		assert_int_equal(poll_with(&other, BURST), BURST);
	assert_int_equal(poll_with(&other, BURST), 0);
	w.now_us += 1000u * STALL_US;
	assert_int_equal(tap_worker_poll(tap), 0);
	other_takes(1);
	assert_int_equal(tap_worker_poll(tap), BURST);
	assert_count(0, steer_drop, 0);
	assert_count(0, rx_packets, out());
}

static void captures_wait_for_control(void **state)
{
	(void)state;
	w.up = false;
	assert_int_equal(poll_with(&own, 1), 0);
	w.up = true;
	w.current = NULL;
	assert_int_equal(tap_worker_poll(tap), 0);
	w.current = &generation;
	assert_int_equal(tap_worker_poll(tap), 1);
}

int main(int argc, char **argv)
{
#define T(f, setup) cmocka_unit_test_setup_teardown(f, setup, end)
	const struct CMUnitTest tests[] = {
		T(waits_and_goes_on, setup_live),
		T(who_stays_behind_is_not_waited_for, setup_live),
		T(who_came_after_is_waited_for_again, setup_live),
		T(whole_queues_wait_for_nobody, setup_whole),
		T(captures_wait_for_long, setup_capture),
		T(captures_wait_for_control, setup_capture),
	};

	(void)argc;
	if (!bench_eal(argv[0]))
		return 77;
	return cmocka_run_group_tests_name("tap_worker", tests, NULL, NULL) ? 1 : 0;
}
