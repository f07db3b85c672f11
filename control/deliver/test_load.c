/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The bound of a route before next hops that slow down, die and come back, on a clock of the test's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/deliver/load.h"
#include "postern/limits.h"

#define S UINT64_C(1000000)
#define MS UINT64_C(1000)
#define N 4096

static struct {
	struct load l;
	struct load_rules rules;
	struct load_room room;
	struct load_ticket ticket[N];
	unsigned int n;
	uint64_t now;
} t;

static void up(void)
{
	memset(&t, 0, sizeof(t));
	load_init(&t.l);
	t.rules = (struct load_rules){.config = {.on = true, .wait_s = 5, .factor = 4, .arena_share = 50},
				      .connections = 20};
	t.room = (struct load_room){.chunks_free = 4000, .records_free = 1000};
	t.now = 1000 * S;
}

static enum load_answer enter(uint64_t declared)
{
	enum load_answer a = load_admit(&t.l, &t.rules, t.now, &t.room, declared, &t.ticket[t.n]);

	if (a == LOAD_ADMITTED)
		t.n++;
	return a;
}

static void leave_all(void)
{
	while (t.n)
		load_leave(&t.ticket[--t.n]);
	assert_int_equal(t.l.outstanding, 0);
}

static unsigned int bound(void)
{
	struct load_view v;

	load_look(&t.l, &t.rules, t.now, &v);
	return v.bound;
}

static void second(uint64_t oldest)
{
	t.now += S;
	load_turn(&t.l, &t.rules, t.now, oldest);
}

/* A second in which `n` went through, each a stage that took so long and a wait. */
static void busy_second(unsigned int n, uint64_t took, uint64_t wait)
{
	for (unsigned int i = 0; i < n; i++) {
		load_waited(&t.l, t.now, false, wait);
		load_stage_took(&t.l, LOAD_DOT, t.now, took);
		load_ended(&t.l, t.now, false, took);
	}
	second(0);
}

static void test_well(void **state)
{
	(void)state;
	up();
	for (int i = 0; i < 100; i++) {
		while (t.n < 500)
			assert_int_equal(enter(0), LOAD_ADMITTED);
		busy_second(100, 10 * MS, 0);
		assert_int_equal(t.l.state, LOAD_OK);
	}
	assert_int_equal(bound(), LIMIT_ONWARD_WAITING);
	leave_all();
	assert_false(load_busy(&t.l, &t.rules));
}

/* Off: nobody is refused, and what is so is seen all the same. */
static void test_off(void **state)
{
	(void)state;
	up();
	t.rules.config.on = false;
	t.rules.config.max_outstanding = 3;
	for (int i = 0; i < 10; i++)
		assert_int_equal(enter(0), LOAD_ADMITTED);
	second(6 * S);
	assert_int_equal(t.l.state, LOAD_SLOW);
	leave_all();
}

static void test_fixed(void **state)
{
	(void)state;
	up();
	t.rules.config.max_outstanding = 3;
	for (int i = 0; i < 3; i++)
		assert_int_equal(enter(0), LOAD_ADMITTED);
	assert_int_equal(enter(0), LOAD_OVER_BOUND);
	assert_int_equal(t.l.state, LOAD_SHEDDING);
	assert_int_equal(t.l.opened, 1);
	load_leave(&t.ticket[--t.n]);
	assert_int_equal(enter(0), LOAD_ADMITTED);
	/* Well again after some seconds in which nobody was refused, not before. */
	for (int i = 0; i < LIMIT_LOAD_GOOD; i++) {
		second(0);
		assert_int_equal(t.l.state, LOAD_SHEDDING);
	}
	second(0);
	assert_int_equal(t.l.state, LOAD_OK);
	leave_all();
}

/* A burst of any size drains; a queue that stands is cut down to what the connections carry. */
static void test_queue(void **state)
{
	(void)state;
	up();
	while (t.n < 800)
		enter(0);
	load_waited(&t.l, t.now, false, 30 * S);
	load_waited(&t.l, t.now, false, 1 * S);
	load_ended(&t.l, t.now, false, S);
	second(0);
	assert_int_equal(t.l.state, LOAD_OK);
	for (int i = 0; i < 40; i++) {
		load_waited(&t.l, t.now, false, 7 * S);
		load_waited(&t.l, t.now, false, 6 * S);
		load_ended(&t.l, t.now, false, S);
		second(0);
		if (t.n > bound())
			load_leave(&t.ticket[--t.n]);
		assert_int_equal(t.l.cause, LOAD_QUEUE);
	}
	assert_in_range(bound(), 20, 800 * 3 / 4);
	assert_int_equal(enter(0), LOAD_OVER_BOUND);
	while (t.n > 10)
		load_leave(&t.ticket[--t.n]);
	for (int i = 0; i < 30; i++)
		busy_second(0, 0, 0), load_waited(&t.l, t.now, false, 6 * S);
	assert_int_equal(bound(), 20);
	leave_all();
}

/* Nobody gets a connection at all: whoever waits longest says so. */
static void test_oldest(void **state)
{
	(void)state;
	up();
	while (t.n < 100)
		enter(0);
	second(4 * S);
	assert_int_equal(t.l.state, LOAD_OK);
	load_ended(&t.l, t.now, false, S);
	second(6 * S);
	assert_int_equal(t.l.cause, LOAD_QUEUE);
	assert_int_equal(bound(), 75);
	leave_all();
}

/* What usually takes 10 ms takes 2 s: as many as can wait for 5 s, and the rest is told at RCPT. */
static void test_slow(void **state)
{
	(void)state;
	up();
	for (int i = 0; i < 20; i++)
		busy_second(50, 10 * MS, 0);
	while (t.n < 400)
		enter(0);
	for (int i = 0; i < 30; i++)
		busy_second(10, 2 * S, 0);
	assert_int_equal(t.l.cause, LOAD_LATENCY);
	assert_in_range(bound(), 70, 80); /* 20 * (1 + 5 / 2), and the mean is still on its way */
	assert_int_equal(enter(0), LOAD_OVER_BOUND);
	/* Quick again: open after some seconds. */
	while (t.n > 5)
		load_leave(&t.ticket[--t.n]);
	for (int i = 0; i < 30; i++)
		busy_second(50, 10 * MS, 0);
	assert_int_equal(t.l.state, LOAD_OK);
	assert_int_equal(bound(), LIMIT_ONWARD_WAITING);
	leave_all();
}

/* Slow for good is what is usual, in the end; and what always was slow never is. */
static void test_usual(void **state)
{
	(void)state;
	up();
	for (int i = 0; i < 60; i++) {
		busy_second(10, 3 * S, 0);
		assert_int_equal(t.l.state, LOAD_OK);
	}
	up();
	for (int i = 0; i < 20; i++)
		busy_second(10, 200 * MS, 0);
	for (int i = 0; i < 4 * 3600; i++)
		busy_second(10, 2 * S, 0);
	assert_int_equal(t.l.state, LOAD_OK);
	/* A blink below half a second is no slowness, whatever is usual. */
	up();
	for (int i = 0; i < 20; i++)
		busy_second(10, MS, 0);
	busy_second(10, 400 * MS, 0);
	assert_int_equal(t.l.state, LOAD_OK);
}

static void test_dead(void **state)
{
	(void)state;
	up();
	while (t.n < 300)
		enter(0);
	for (unsigned int i = 0; i < LIMIT_LOAD_FAILED - 1; i++)
		load_ended(&t.l, t.now, true, 10 * S);
	second(0);
	assert_int_equal(t.l.state, LOAD_OK);
	for (int i = 0; i < 20; i++) {
		load_ended(&t.l, t.now, true, 10 * S);
		if (t.n)
			load_leave(&t.ticket[--t.n]);
		second(0);
	}
	assert_int_equal(t.l.cause, LOAD_SILENT);
	assert_int_equal(bound(), LIMIT_LOAD_LEAST);
	leave_all();
	/* However long nobody asks: two go, the third does not. */
	for (int i = 0; i < 600; i++)
		second(0);
	assert_int_equal(enter(0), LOAD_ADMITTED);
	assert_int_equal(enter(0), LOAD_ADMITTED);
	assert_int_equal(enter(0), LOAD_OVER_BOUND);
	assert_false(load_lasts(&t.l, t.now));
	t.now += LIMIT_LOAD_LASTS_S * S;
	assert_true(load_lasts(&t.l, t.now));
	/* One answer, and it opens step by step. */
	load_ended(&t.l, t.now, false, S);
	second(0);
	assert_int_equal(bound(), 2 * LIMIT_LOAD_LEAST);
	leave_all();
	for (int i = 0; i < 60; i++)
		second(0);
	assert_int_equal(bound(), LIMIT_ONWARD_WAITING);
	assert_int_equal(t.l.state, LOAD_OK);
	assert_false(load_lasts(&t.l, t.now));
}

/* Who was let in and sends nothing does not shut others out for ever; its memory stays counted. */
static void test_idle(void **state)
{
	struct load_ticket message = {0};

	(void)state;
	up();
	t.rules.config.max_outstanding = 2;
	enter(0);
	enter(0);
	assert_int_equal(enter(0), LOAD_OVER_BOUND);
	t.now += LIMIT_LOAD_OPEN_S * S + 1;
	assert_int_equal(enter(0), LOAD_ADMITTED);
	assert_int_equal(t.l.outstanding, 1);
	assert_int_equal(t.l.records[0], 3);
	/* It sends something after all. */
	load_submit(&t.l, t.now, 0, 100, &t.ticket[0], &message);
	assert_null(t.ticket[0].load);
	assert_int_equal(t.l.outstanding, 2);
	assert_int_equal(t.l.records[0], 3);
	t.now += 1000 * S;
	assert_int_equal(enter(0), LOAD_ADMITTED);
	assert_int_equal(t.l.outstanding, 2); /* a message counts until it is answered */
	load_leave(&message);
	leave_all();
	assert_int_equal(t.l.records[0] + t.l.chunks[0], 0);
}

static struct load_ticket message[N];

/* One route that takes all it can: half of the memory; of two each a third. */
static void test_memory(void **state)
{
	struct load other;
	uint32_t all = 4000, used[2];
	unsigned int n = 0;

	(void)state;
	up();
	t.room.shared = true;
	t.room.records_free = 100000;
	for (;; n++) {
		t.room.chunks_free = all - t.l.chunks[0];
		if (enter(0) != LOAD_ADMITTED)
			break;
		load_submit(&t.l, t.now, 0, 10 * HANDOFF_CHUNK, &t.ticket[--t.n], &message[n]);
	}
	assert_in_range(t.l.chunks[0], 1940, 2000);
	assert_int_equal(t.l.cause, LOAD_MEMORY);
	assert_int_equal(t.l.refused_memory, 1);
	/* The other one gets what it needs, and more than the first one leaves to it by and by. */
	load_init(&other);
	for (;; n++) {
		struct load_ticket ticket = {0};

		t.room.chunks_free = all - t.l.chunks[0] - other.chunks[0];
		if (load_admit(&other, &t.rules, t.now, &t.room, 0, &ticket) != LOAD_ADMITTED)
			break;
		load_submit(&other, t.now, 0, 10 * HANDOFF_CHUNK, &ticket, &message[n]);
	}
	assert_in_range(other.chunks[0], 960, 1000);
	used[0] = t.l.chunks[0];
	used[1] = other.chunks[0];
	assert_in_range(all - used[0] - used[1], 1000, 1100);
	load_fini(&other);
	for (unsigned int i = 0; i < n; i++)
		load_leave(&message[i]);
	assert_int_equal(t.l.chunks[0], 0);
}

/* Memory is of a worker; and whoever has nothing there may begin. */
static void test_workers(void **state)
{
	struct load_ticket m = {0}, none = {0};

	(void)state;
	up();
	t.room = (struct load_room){.shared = true, .chunks_free = 5, .records_free = 5, .worker = 1};
	load_submit(&t.l, t.now, 0, 100 * HANDOFF_CHUNK, &none, &m);
	assert_int_equal(t.l.chunks[0], 100);
	assert_int_equal(enter(0), LOAD_ADMITTED);
	t.room.worker = 0;
	assert_int_equal(enter(0), LOAD_OVER_MEMORY);
	t.room.shared = false;
	assert_int_equal(enter(0), LOAD_ADMITTED);
	load_leave(&m);
	t.room = (struct load_room){.shared = true, .worker = 5};
	assert_int_equal(enter(0), LOAD_ADMITTED);
	/* Records run out as chunks do. */
	t.room.chunks_free = 1000;
	assert_int_equal(enter(0), LOAD_OVER_MEMORY);
	leave_all();
}

/* SIZE says what may come, and is believed as far as messages there are of such a size. */
static void test_declared(void **state)
{
	struct load_ticket m = {0}, none = {0};

	(void)state;
	up();
	enter(UINT64_C(1) << 40);
	assert_int_equal(t.l.chunks[0], 4);
	for (int i = 0; i < 100; i++) {
		load_submit(&t.l, t.now, 0, 64 * HANDOFF_CHUNK, &none, &m);
		load_leave(&m);
	}
	enter(32 * HANDOFF_CHUNK);
	assert_int_equal(t.l.chunks[0], 36);
	leave_all();
}

static void test_end(void **state)
{
	struct load_ticket m = {0};

	(void)state;
	up();
	enter(0);
	enter(0);
	load_submit(&t.l, t.now, 3, 1, &t.ticket[1], &m);
	load_fini(&t.l);
	assert_null(t.ticket[0].load);
	assert_null(m.load);
	load_leave(&m);
}

static void test_histogram(void **state)
{
	static struct histogram h;
	static struct histogram_window w;
	uint64_t us;

	(void)state;
	assert_int_equal(histogram_quantile(&h, 0.5), 0);
	/* Right to an eighth, whatever the size. */
	for (us = 1; us < UINT64_C(1) << HISTOGRAM_EXPONENT; us = us * 5 / 4 + 1) {
		memset(&h, 0, sizeof(h));
		histogram_add(&h, us);
		assert_in_range(histogram_quantile(&h, 0.99), us, us + us / 8);
	}
	histogram_add(&h, UINT64_MAX);
	assert_int_equal(histogram_quantile(&h, 1), (UINT64_C(1) << HISTOGRAM_EXPONENT) - 1);
	memset(&h, 0, sizeof(h));
	for (us = 1; us <= 1000; us++)
		histogram_add(&h, us * 1000);
	assert_in_range(histogram_quantile(&h, 0.5), 500000, 570000);
	assert_in_range(histogram_quantile(&h, 0.99), 990000, 1120000);
	for (int i = 0; i < 100000; i++) /* more than a bucket holds */
		histogram_add(&h, 5);
	assert_int_equal(histogram_quantile(&h, 0.5), 5);
	assert_true(h.n < 70000);
	histogram_window_add(&w, 100, 50, 7);
	histogram_window_add(&w, 140, 50, 3);
	assert_int_equal(histogram_window_quantile(&w, 149, 50, 1), 7);
	histogram_window_add(&w, 160, 50, 3);
	assert_int_equal(histogram_window_quantile(&w, 160, 50, 1), 7);
	assert_int_equal(histogram_window_quantile(&w, 215, 50, 1), 3);
	assert_int_equal(histogram_window_quantile(&w, 300, 50, 1), 0);
	histogram_window_add(&w, 300, 50, 2);
	assert_int_equal(histogram_window_quantile(&w, 300, 50, 1), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_well),	 cmocka_unit_test(test_off),
		cmocka_unit_test(test_fixed),	 cmocka_unit_test(test_queue),
		cmocka_unit_test(test_oldest),	 cmocka_unit_test(test_slow),
		cmocka_unit_test(test_usual),	 cmocka_unit_test(test_dead),
		cmocka_unit_test(test_idle),	 cmocka_unit_test(test_memory),
		cmocka_unit_test(test_workers),	 cmocka_unit_test(test_declared),
		cmocka_unit_test(test_end),	 cmocka_unit_test(test_histogram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
