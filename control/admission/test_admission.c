/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Sources by scenario, under a clock of the test's own. The limits are the defaults, by name. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/admission/admission.h"
#include "postern/limits.h"

#define SESSIONS DEFAULT_SOURCE_SESSIONS
#define RATE DEFAULT_SOURCE_RATE
#define FAILURES DEFAULT_SOURCE_FAILURES
#define UNKNOWN DEFAULT_SOURCE_UNKNOWN
#define HALF DEFAULT_SOURCE_HALF_LIFE_S

static const uint8_t secret[16] = {1, 2, 3};

static struct admission_rules rules(enum admission_mode mode)
{
	const struct admission_rules r = {
		.limit = {[ADMISSION_FAILURES] = {FAILURES, mode}, [ADMISSION_UNKNOWN] = {UNKNOWN, mode},
			  [ADMISSION_SESSIONS] = {SESSIONS, mode}, [ADMISSION_RATE] = {RATE, mode}},
		.half_life_s = HALF,
	};

	return r;
}

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	assert_true(ip_parse(str_c(text), &a));
	return a;
}

enum op {
	END,
	CONNECT, /* n tries; `pass` of them begin a session */
	VISIT,   /* the same, and each session that begins is over at once */
	LEAVE,   /* the oldest n sessions that are open */
	ACCEPT,  /* n messages taken */
	RCPT,    /* n recipients refused; `pass` of them without running over the limit */
	REJECT, TALK, /* n failures of these kinds, likewise */
	CHECK,   /* pass 1: may go on */
	WAIT,    /* n seconds */
};

struct scenario {
	const char *name, *from;
	bool spread;             /* each time another address of the same /64 */
	struct { enum op op; unsigned int n, pass; } step[16];
};

static const struct scenario scenarios[] = {
	{"a dictionary of recipients, from one address", "203.0.113.7", false,
	 {{CONNECT, 1, 1}, {RCPT, UNKNOWN + 5, UNKNOWN}, {CHECK, 1, 0}, {VISIT, 3, 0},
	  /* Half of it has to fade: an hour-glass that is merely not full is not enough. */
	  {WAIT, HALF / 2, 0}, {VISIT, 1, 0}, {WAIT, HALF, 0}, {CHECK, 1, 1}, {VISIT, 1, 1},
	  {RCPT, UNKNOWN, UNKNOWN * 9 / 16}}},
	{"the same, from all of a /64", "2001:db8:1:2::", true,
	 {{CONNECT, 1, 1}, {RCPT, UNKNOWN + 5, UNKNOWN}, {CHECK, 1, 0}, {VISIT, 3, 0}}},
	{"sessions that stay open, from all of a /64", "2001:db8:1:2::", true,
	 {{CONNECT, SESSIONS + 9, SESSIONS}, {LEAVE, 2, 0}, {CONNECT, 9, 2}}},
	{"an unknown source that connects and connects", "203.0.113.7", false,
	 {{VISIT, RATE + 9, RATE}, {WAIT, 10, 0}, {VISIT, RATE, RATE / 6}, {WAIT, 600, 0},
	  {VISIT, RATE + 1, RATE}}},
	{"a large pool: few addresses, thirty sessions at once, many messages in each", "203.0.113.7",
	 false,
	 {{CONNECT, 5, 5}, {ACCEPT, LIMIT_SOURCE_GOOD, 0}, {CONNECT, 25, 25}, {ACCEPT, 500, 0},
	  {LEAVE, 30, 0}, {CONNECT, 30, 30}, {VISIT, 500, 500}, {RCPT, 50, 50}, {REJECT, 100, 100},
	  {WAIT, 24 * 3600, 0}, {VISIT, 200, 200}, {CHECK, 1, 1}}},
	{"good standing ends some days after the last message", "203.0.113.7", false,
	 {{ACCEPT, LIMIT_SOURCE_GOOD, 0}, {VISIT, 2 * RATE, 2 * RATE}, {WAIT, 7200, 0},
	  {VISIT, RATE + 1, RATE}}},
	{"a thousand good messages and twenty unknown recipients", "203.0.113.7", false,
	 {{CONNECT, 1, 1}, {ACCEPT, 1000, 0}, {RCPT, UNKNOWN, UNKNOWN}, {CHECK, 1, 1},
	  {VISIT, 10 * RATE, 10 * RATE}, {RCPT, 1000 / LIMIT_SOURCE_UNKNOWN_SHARE, 1000 / LIMIT_SOURCE_UNKNOWN_SHARE},
	  /* Now it is more than one in ten, and twenty: */
	  {RCPT, 5, 0}, {VISIT, 1, 0}}},
	{"good standing does not outlive a large share of failures", "203.0.113.7", false,
	 {{ACCEPT, LIMIT_SOURCE_GOOD, 0}, {VISIT, RATE + 1, RATE + 1}, {REJECT, FAILURES / 2 + 4, FAILURES / 2 + 4},
	  {VISIT, RATE, 0}, {WAIT, 2 * HALF, 0}, {REJECT, FAILURES, FAILURES - 6}}},
	{"spam that is refused after all, kind by kind in one budget", "203.0.113.7", false,
	 {{REJECT, FAILURES / 2, FAILURES / 2}, {TALK, FAILURES / 2, FAILURES / 2}, {VISIT, 1, 1},
	  {TALK, 1, 0}, {VISIT, 1, 0}, {WAIT, 2 * HALF, 0}, {VISIT, 1, 1}}},
	{"refused while over: coming again does not keep it over", "203.0.113.7", false,
	 {{RCPT, UNKNOWN + 1, UNKNOWN}, {VISIT, 1000, 0}, {WAIT, HALF + 180, 0}, {VISIT, 1, 1}}},
};

struct play {
	struct admission *a;
	struct admission_rules r;
	struct ip_addr from;
	bool spread;
	uint64_t now_ms;
	struct admission_ref open[4096];
	size_t first, n;
	uint8_t observed;
	bool good;               /* at the last CONNECT */
};

static const struct ip_addr *address(struct play *p)
{
	for (size_t i = 15; p->spread && i >= 8 && !++p->from.a[i]; i--)
		;
	return &p->from;
}

static unsigned int failures(struct play *p, enum admission_failure kind, unsigned int n)
{
	unsigned int passed = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct admission_verdict v;

		admission_fail(p->a, &p->r, address(p), kind, 1, p->now_ms, &v);
		passed += !v.barred;
		p->observed |= v.observed;
	}
	return passed;
}

static unsigned int arrive(struct play *p, unsigned int n, bool stay)
{
	unsigned int passed = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct admission_ref ref;
		struct admission_verdict v;

		admission_connect(p->a, &p->r, address(p), p->now_ms, &ref, &v);
		assert_true(v.barred == !ref.serial);
		p->good = v.good;
		passed += !v.barred;
		p->observed |= v.observed;
		if (stay && !v.barred)
			p->open[p->n++] = ref;
		else
			admission_leave(p->a, &ref);
	}
	return passed;
}

static unsigned int play(struct play *p, enum op op, unsigned int n)
{
	struct admission_verdict v = {0};

	switch (op) {
	case CONNECT: return arrive(p, n, true);
	case VISIT: return arrive(p, n, false);
	case RCPT: return failures(p, FAILURE_RCPT, n);
	case REJECT: return failures(p, FAILURE_REJECTED, n);
	case TALK: return failures(p, FAILURE_EARLY, n);
	case CHECK:
		admission_check(p->a, &p->r, address(p), p->now_ms, &v);
		return !v.barred;
	case LEAVE:
		while (n--)
			admission_leave(p->a, &p->open[p->first++]);
		return 0;
	case ACCEPT:
		while (n--)
			admission_accept(p->a, &p->r, address(p), p->now_ms);
		return 0;
	default:
		p->now_ms += 1000ull * n;
		return 0;
	}
}

static void setup(struct play *p, enum admission_mode mode, const char *from)
{
	*p = (struct play){.a = admission_new(secret, 1024), .r = rules(mode), .from = ip(from)};
	assert_non_null(p->a);
}

/* Whatever one source does, its neighbour does not notice. */
static void beside(struct play *p, const char *neighbour)
{
	struct ip_addr from = p->from;
	bool spread = p->spread;

	p->from = ip(neighbour);
	p->spread = false;
	assert_int_equal(play(p, VISIT, 5), 5);
	assert_int_equal(play(p, CHECK, 1), 1);
	p->from = from;
	p->spread = spread;
}

static void test_scenarios(void **state)
{
	static struct play p;
	unsigned int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		const struct scenario *s = &scenarios[i];

		setup(&p, ADMISSION_ENFORCE, s->from);
		p.spread = s->spread;
		for (size_t k = 0; s->step[k].op != END; k++) {
			unsigned int got = play(&p, s->step[k].op, s->step[k].n);

			if (got == s->step[k].pass)
				continue;
			print_error("%s: step %zu: %u of %u passed, not %u\n", s->name, k, got,
				    s->step[k].n, s->step[k].pass);
			wrong++;
		}
		beside(&p, "203.0.113.8");
		assert_false(p.good);
		beside(&p, "2001:db8:1:3::1");
		admission_free(p.a);
	}
	assert_int_equal(wrong, 0);
}

/* Nobody is stopped in observe mode, and each limit says what it would have done. Off says nothing. */
static void test_modes(void **state)
{
	static struct play p;

	(void)state;
	for (int mode = ADMISSION_OFF; mode <= ADMISSION_OBSERVE; mode++) {
		uint8_t all = mode == ADMISSION_OBSERVE ? (1u << ADMISSION_LIMITS) - 1 : 0;

		setup(&p, (enum admission_mode)mode, "203.0.113.7");
		assert_int_equal(play(&p, CONNECT, SESSIONS + 5), SESSIONS + 5);
		assert_int_equal(p.observed, all & 1u << ADMISSION_SESSIONS);
		assert_int_equal(play(&p, VISIT, 3 * RATE), 3 * RATE);
		assert_int_equal(play(&p, RCPT, 3 * UNKNOWN), 3 * UNKNOWN);
		assert_int_equal(play(&p, REJECT, 3 * FAILURES), 3 * FAILURES);
		assert_int_equal(p.observed, all);
		p.observed = 0;
		assert_int_equal(play(&p, CHECK, 1), 1);
		assert_int_equal(play(&p, VISIT, 1), 1);
		assert_int_equal(p.observed, all);
		/* Over already: the next failure is told by whoever asks, not once more by itself. */
		p.observed = 0;
		play(&p, RCPT, 1);
		assert_int_equal(p.observed, 0);
		admission_free(p.a);
	}
	/* One enforced among observed ones: that one is the reason. */
	setup(&p, ADMISSION_OBSERVE, "203.0.113.7");
	p.r.limit[ADMISSION_UNKNOWN].mode = ADMISSION_ENFORCE;
	play(&p, REJECT, FAILURES + 1);
	play(&p, RCPT, UNKNOWN + 1);
	{
		struct admission_verdict v;

		admission_check(p.a, &p.r, &p.from, p.now_ms, &v);
		assert_true(v.barred && v.by == ADMISSION_UNKNOWN);
		assert_int_equal(v.is, UNKNOWN + 1);
		assert_int_equal(v.max, UNKNOWN);
		assert_int_equal(v.observed, 1u << ADMISSION_FAILURES);
		assert_int_equal(v.source.prefix, 128);
	}
	/* A limit that is switched off by a reload lets go of whom it held. */
	p.r.limit[ADMISSION_UNKNOWN].mode = ADMISSION_OFF;
	assert_int_equal(play(&p, CHECK, 1), 1);
	admission_free(p.a);
}

/* Said with each session that begins: who is in good standing. */
static void test_good(void **state)
{
	static struct play p;

	(void)state;
	setup(&p, ADMISSION_ENFORCE, "203.0.113.7");
	play(&p, ACCEPT, LIMIT_SOURCE_GOOD - 1);
	play(&p, VISIT, 1);
	assert_false(p.good);
	play(&p, ACCEPT, 1);
	play(&p, VISIT, 1);
	assert_true(p.good);
	play(&p, RCPT, UNKNOWN / 2 + 1);
	play(&p, VISIT, 1);
	assert_false(p.good);
	admission_free(p.a);
}

/* One line a source and LIMIT_ALERT_S, however often it comes. */
static void test_tell(void **state)
{
	struct play p;
	struct admission_verdict v;
	struct admission_ref ref;
	unsigned int told = 0;

	(void)state;
	setup(&p, ADMISSION_ENFORCE, "203.0.113.7");
	play(&p, RCPT, UNKNOWN);
	for (unsigned int i = 0; i < 2 * LIMIT_ALERT_S; i++, p.now_ms += 1000) {
		admission_fail(p.a, &p.r, &p.from, FAILURE_RCPT, 1, p.now_ms, &v);
		told += v.tell;
		admission_connect(p.a, &p.r, &p.from, p.now_ms, &ref, &v);
		told += v.tell;
	}
	assert_int_equal(told, 2);
	admission_free(p.a);
}

static void test_view(void **state)
{
	static struct play p;
	struct admission_view v[LIMIT_SOURCES_SHOWN + 1];
	struct ip_addr a;

	(void)state;
	setup(&p, ADMISSION_ENFORCE, "203.0.113.1");
	for (unsigned int i = 1; i < 100; i++) {
		p.from.a[15] = (uint8_t)i;
		play(&p, REJECT, i < 40 ? i : 0);
		play(&p, CONNECT, i > 90 ? i - 90 : 0);
	}
	assert_int_equal(admission_list(p.a, &p.r, p.now_ms, ADMISSION_WORST, v, LIMIT_SOURCES_SHOWN + 1),
			 LIMIT_SOURCES_SHOWN);
	for (unsigned int i = 0; i < LIMIT_SOURCES_SHOWN; i++) {
		assert_int_equal(v[i].source.addr.a[15], 39 - i);
		assert_true(v[i].failures[FAILURE_REJECTED] > 38.9f - (float)i);
	}
	assert_int_equal(admission_list(p.a, &p.r, p.now_ms, ADMISSION_BUSIEST, v, 3), 3);
	assert_int_equal(v[0].source.addr.a[15], 99);
	assert_int_equal(v[0].sessions, 9);
	assert_int_equal(v[0].connects, 9);
	assert_int_equal(v[2].sessions, 7);
	a = ip("203.0.113.99");
	assert_int_equal(admission_look(p.a, &p.r, &a, p.now_ms, v), 1);
	a = ip("203.0.113.200");
	assert_int_equal(admission_look(p.a, &p.r, &a, p.now_ms, v), 0);
	assert_int_equal(admission_forgive(p.a, &a), 0);
	admission_free(p.a);
}

static void test_forgive(void **state)
{
	static struct play p;
	struct admission_view v[2];

	(void)state;
	setup(&p, ADMISSION_ENFORCE, "2001:db8:1:2::7");
	play(&p, CONNECT, 3);
	play(&p, RCPT, UNKNOWN + 1);
	assert_int_equal(play(&p, VISIT, 1), 0);
	assert_int_equal(admission_look(p.a, &p.r, &p.from, p.now_ms, v), 2);
	assert_int_equal(v[0].source.prefix, 64);
	assert_int_equal(v[0].over, 1u << ADMISSION_UNKNOWN);
	assert_int_equal(v[0].hit[ADMISSION_UNKNOWN], 2);
	assert_int_equal(v[1].source.prefix, 48);
	assert_int_equal(v[1].prefixes, 1);
	assert_int_equal(admission_forgive(p.a, &p.from), 2);
	assert_int_equal(play(&p, VISIT, 1), 1);
	/* What is open stays counted. */
	admission_look(p.a, &p.r, &p.from, p.now_ms, v);
	assert_int_equal(v[0].sessions, 3);
	assert_int_equal(v[0].over, 0);
	admission_free(p.a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenarios),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_tell),
		cmocka_unit_test(test_view),
		cmocka_unit_test(test_forgive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
