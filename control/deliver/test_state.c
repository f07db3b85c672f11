/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Breakers over a restart: what one deliver saved another one takes, whatever somebody wrote there. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "control/deliver/fake_hop.h"

#define NOW 1700000000u
#define FROM "sender@example.org"

static struct lab l;
static struct hop *h;
static unsigned int changes;

static void on_change(void *arg)
{
	(void)arg;
	changes++;
}

static int setup(void **state)
{
	(void)state;
	changes = 0;
	lab_init(&l);
	h = hop_new(l.base);
	lab_add(&l, "127.0.0.1", h->port);
	l.route.breaker = (struct config_breaker){.on = true, .jump = 60, .samples = 50, .window_s = 600};
	deliver_on_breaker(l.d, on_change, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hop_free(h);
	lab_fini(&l);
	return 0;
}

static uint16_t code(const char *to)
{
	struct asked a;

	ask(&l, &a, FROM, to);
	lab_run(&l, &a.done);
	return a.reply.code;
}

static void several(const char *prefix, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		char to[64];

		snprintf(to, sizeof(to), "%s%u@example.com", prefix, i);
		code(to);
	}
}

static struct deliver_breaker_status look(void)
{
	struct deliver_breaker_status st = {0};

	assert_int_equal(deliver_breakers(l.d, &l.config, &st, 1), 1);
	return st;
}

/* As a restart: everything in memory is gone. j: taken. */
static int restart(json_t *j, uint64_t real_s)
{
	int rc;

	deliver_free(l.d);
	l.d = deliver_new(l.base, (struct dns *)l.base, l.counters);
	deliver_tuning(l.d)->local_is_own = false;
	deliver_on_breaker(l.d, on_change, NULL);
	rc = deliver_breakers_load(l.d, &l.config, j, real_s);
	json_decref(j);
	return rc;
}

static void open_breaker_stays_open(void **state)
{
	(void)state;
	several("good", 30);
	deliver_tuning(l.d)->skew_s += 3600;
	h->script.rcpt[0] = "550 5.1.1 nobody";
	several("good", 10);
	assert_true(look().open);
	assert_int_equal(changes, 1); /* told at once */
	assert_int_equal(restart(deliver_breakers_save(l.d, NOW), NOW + 90), 1);
	assert_true(look().open);
	assert_true(look().by_known);
	assert_int_equal(look().opened, 1);
	assert_in_range(look().open_s, 90, 95);
	/* A crash in between bounces nobody. */
	assert_int_equal(code("new@example.com"), 451);
	assert_int_equal(code("good1@example.com"), 451);
	/* And again, from a document of its own, with a clock that went back. */
	assert_int_equal(restart(deliver_breakers_save(l.d, NOW), NOW - 86400), 1);
	assert_int_equal(code("new@example.com"), 451);
	assert_int_equal(deliver_breaker_ack(l.d, &l.config, "office", false), 0);
	assert_int_equal(changes, 2);
	assert_int_equal(code("new@example.com"), 550);
	assert_int_equal(restart(deliver_breakers_save(l.d, NOW), NOW), 0);
	assert_false(look().open);
	assert_int_equal(look().opened, 1);
	assert_int_equal(code("new@example.com"), 550);
}

static void what_is_usual_is_kept(void **state)
{
	double before, now;

	(void)state;
	h->script.refuse = "bad";
	h->script.refuse_with = "550 5.1.1 nobody";
	for (unsigned int i = 0; i < 40; i++) {
		char to[64];

		snprintf(to, sizeof(to), "%s%u@example.com", i % 2 ? "bad" : "good", i);
		code(to);
		deliver_tuning(l.d)->skew_s += 60;
	}
	deliver_tuning(l.d)->skew_s += 3600;
	several("later", 1);
	before = look().base;
	assert_true(before > 0.31); /* of a route of which nothing is known it is 0.3 */
	assert_int_equal(restart(deliver_breakers_save(l.d, NOW), NOW), 0);
	now = look().base;
	assert_true(now > before - 0.001 && now < before + 0.001);
	/* It fades while nobody is there, as it does while somebody is. */
	assert_int_equal(restart(deliver_breakers_save(l.d, NOW), NOW + 30 * 86400), 0);
	assert_true(look().base < before - 0.005);
	assert_true(look().base > 0.3 - 0.001);
}

static void nobody_knows(void **state)
{
	(void)state;
	deliver_breakers_doubt(l.d, &l.config);
	assert_true(look().open);
	h->script.rcpt[0] = "550 5.1.1 nobody";
	assert_int_equal(code("new@example.com"), 451);
	deliver_breakers_doubt(l.d, &l.config);
	assert_int_equal(look().opened, 1);
	assert_int_equal(deliver_breaker_ack(l.d, &l.config, "office", false), 0);
	assert_int_equal(code("new@example.com"), 550);
	/* One that was told to have none. */
	l.route.breaker.on = false;
	deliver_breakers_doubt(l.d, &l.config);
	assert_false(look().open);
}

#define ROUTE(name, open, opened, answers, refused)                                                \
	"{\"version\":1,\"routes\":[{\"route\":\"" name "\",\"open\":" open ",\"by_known\":false,"         \
	"\"opened\":" opened ",\"opened_at\":1,\"answers\":" answers ",\"refused\":" refused          \
	",\"at\":1700000000}]}"

static void whatever_stands_there(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} t[] = {
		{ROUTE("office", "true", "1", "10.0", "1.0"), 1},
		{ROUTE("office", "false", "0", "10", "1"), 0},
		{ROUTE("gone", "true", "1", "10.0", "1.0"), 0},  /* no such route any more */
		{ROUTE("office", "1", "1", "10.0", "1.0"), -EBADMSG},
		{ROUTE("office", "true", "0", "10.0", "1.0"), -EBADMSG},
		{ROUTE("office", "true", "-1", "10.0", "1.0"), -EBADMSG},
		{ROUTE("office", "true", "1", "1.0", "10.0"), -EBADMSG},
		{ROUTE("office", "true", "1", "-1.0", "-2.0"), -EBADMSG},
		{ROUTE("office", "true", "1", "1e300", "1.0"), -EBADMSG},
		{ROUTE("", "true", "1", "10.0", "1.0"), 0},
		{"{\"version\":1,\"routes\":[]}", 0},
		{"{\"version\":2,\"routes\":[]}", -EBADMSG},
		{"{\"version\":1,\"routes\":{}}", -EBADMSG},
		{"{\"version\":1,\"routes\":[1]}", -EBADMSG},
		{"{\"version\":1,\"routes\":[{\"route\":\"office\"}]}", -EBADMSG},
		{"[]", -EBADMSG},
		{"{}", -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		json_t *j = json_loads(t[i].text, 0, NULL);

		assert_non_null(j);
		if (restart(j, NOW) != t[i].rc)
			fail_msg("%zu: %s", i, t[i].text);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(open_breaker_stays_open), T(what_is_usual_is_kept), T(nobody_knows),
		T(whatever_stands_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
