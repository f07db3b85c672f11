/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The breaker against a clock of its own: what opens it, what does not, what closes it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "control/deliver/breaker.h"
#include "postern/limits.h"

static const struct config_breaker rules = {.on = true, .jump = 60, .samples = 50, .window_s = 600};
static struct breaker b;
static uint64_t now, from;       /* `from`: each answer of another source */

static int setup(void **state)
{
	(void)state;
	memset(&b, 0, sizeof(b));
	now = 1000000;
	from = 0;
	return 0;
}

/* n answers over so many seconds, `refused` of 100 of them 5xx, evenly mixed. How often it opened. */
static unsigned int run(unsigned int n, unsigned int seconds, unsigned int refused, bool known)
{
	unsigned int opened = 0, sum = 0;
	uint64_t begin = now;

	for (unsigned int i = 0; i < n; i++) {
		bool no;

		now = begin + (uint64_t)i * seconds / n;
		sum += refused;
		no = sum >= 100;
		sum -= no ? 100 : 0;
		opened += breaker_note(&b, &rules, now, no, known, from++);
	}
	now = begin + seconds;
	return opened;
}

static void a_jump_opens_it(void **state)
{
	(void)state;
	assert_int_equal(run(2000, 6 * 3600, 5, false), 0);
	assert_false(b.open);
	assert_int_equal(run(400, 600, 90, false), 1);
	assert_true(b.open);
	assert_false(b.by_known);
	assert_int_equal(b.opened, 1);
	/* It stays open, whatever comes. */
	assert_int_equal(run(1000, 24 * 3600, 0, false), 0);
	assert_true(b.open);
}

static void everything_refused_opens_it_soon(void **state)
{
	unsigned int n = 0;

	(void)state;
	run(2000, 6 * 3600, 5, false);
	while (!b.open && n++ < 1000)
		run(1, 3, 100, false);
	/* Of the last ten minutes 55 answers were good ones; not more than 60 %% may be refused first. */
	assert_in_range(n, 50, 160);
}

static void a_high_base_is_a_base(void **state)
{
	struct breaker_view v;

	(void)state;
	/* A domain that guessers like: 70 % refused, day and night. */
	assert_int_equal(run(500, 3600, 70, false), 0);
	assert_int_equal(run(5000, 24 * 3600, 70, false), 0);
	breaker_look(&b, &rules, &v);
	assert_true(v.base > 0.66 && v.base < 0.72);
	assert_true(v.limit > 0.85);
	assert_int_equal(run(500, 600, 80, false), 0);
	assert_int_equal(run(500, 600, 99, false), 1);
}

static void few_samples_say_nothing(void **state)
{
	(void)state;
	assert_int_equal(run(49, 500, 100, false), 0);
	/* And what is older than the window is not counted to them. */
	now += 700;
	assert_int_equal(run(49, 500, 100, false), 0);
}

static void known_recipients_need_few(void **state)
{
	(void)state;
	/* A small domain: some ten messages an hour, and suddenly all its people are gone. */
	assert_int_equal(run(9, 500, 100, true), 0);
	assert_int_equal(run(1, 1, 100, true), 1);
	assert_true(b.open);
	assert_true(b.by_known);
	setup(state);
	assert_int_equal(run(100, 500, 50, true), 0);
}

/* The minutes before were full of good answers: that they ended is seen all the same. */
static void a_sudden_end_is_seen_at_once(void **state)
{
	(void)state;
	assert_int_equal(run(1000, 500, 2, true), 0);
	assert_int_equal(run(8, 9, 100, true), 0); /* and the last of those before */
	assert_int_equal(run(1, 1, 0, false), 0); /* one is taken: it is not over */
	assert_int_equal(run(9, 9, 100, true), 0);
	assert_int_equal(run(1, 1, 100, false), 0); /* a stranger says nothing of it */
	assert_int_equal(run(1, 1, 100, true), 1);
	assert_true(b.by_known);
}

static void one_guesser_does_not_open_it(void **state)
{
	(void)state;
	run(200, 6 * 3600, 5, false);
	for (int i = 0; i < 100000; i++) {
		now += i % 300 == 0;
		assert_false(breaker_note(&b, &rules, now, true, false, 7));
	}
	assert_false(b.open);
}

static void an_operator_closes_it(void **state)
{
	struct breaker_view v;

	(void)state;
	run(2000, 6 * 3600, 5, false);
	assert_false(breaker_ack(&b, &rules, now, false));
	run(400, 600, 100, false);
	assert_true(b.open);
	/* What was refused in its window is not believed; older refusals are. */
	assert_true(breaker_suspect(&b, b.opened_s - 1));
	assert_true(breaker_suspect(&b, now + 100));
	assert_false(breaker_suspect(&b, b.opened_s - rules.window_s - 1));
	now += 3600;
	assert_true(breaker_ack(&b, &rules, now, false));
	assert_false(b.open);
	assert_false(breaker_suspect(&b, now));
	assert_true(breaker_suspect(&b, now - 1));
	/* Put right: the base is the old one, and the next time opens it again. */
	breaker_look(&b, &rules, &v);
	assert_true(v.base < 0.1);
	assert_int_equal(v.samples, 0);
	assert_int_equal(run(2000, 6 * 3600, 5, false), 0);
	assert_int_equal(run(400, 600, 100, false), 1);
	assert_int_equal(b.opened, 2);
}

static void an_operator_says_so_shall_it_be(void **state)
{
	(void)state;
	run(2000, 6 * 3600, 5, false);
	assert_int_equal(run(400, 600, 90, false), 1);
	assert_true(breaker_ack(&b, &rules, now, true));
	assert_false(breaker_suspect(&b, b.opened_s));
	assert_int_equal(run(2000, 6 * 3600, 90, false), 0);
	assert_false(b.open);
}

static void off_is_off(void **state)
{
	struct config_breaker off = rules;

	(void)state;
	off.on = false;
	for (int i = 0; i < 1000; i++)
		assert_false(breaker_note(&b, &off, now + (uint64_t)i, true, true, (uint64_t)i));
}

/* The clock may stand, leap, or (after a reload with another window) lie behind. */
static void clocks(void **state)
{
	(void)state;
	run(1000, 10, 5, false);
	now += UINT64_C(1) << 40;
	assert_int_equal(run(10, 10, 100, false), 0);
	now -= 5000;
	assert_int_equal(run(1000, 0, 5, false), 0);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup(t, setup)
	const struct CMUnitTest tests[] = {
		T(a_jump_opens_it), T(everything_refused_opens_it_soon), T(a_high_base_is_a_base),
		T(few_samples_say_nothing), T(known_recipients_need_few),
		T(a_sudden_end_is_seen_at_once), T(one_guesser_does_not_open_it),
		T(an_operator_closes_it), T(an_operator_says_so_shall_it_be), T(off_is_off), T(clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
