/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The table: its bound, what it gives up first, IPv6 by the /32, sessions that end late or never; and the
 * lists of networks against a plain walk over them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/admission/admission.h"
#include "postern/limits.h"

#define ENTRIES 1024u

static const struct admission_rules rules = {
	.limit = {[ADMISSION_FAILURES] = {50, ADMISSION_ENFORCE}, [ADMISSION_UNKNOWN] = {20, ADMISSION_ENFORCE},
		  [ADMISSION_SESSIONS] = {25, ADMISSION_ENFORCE}, [ADMISSION_RATE] = {60, ADMISSION_ENFORCE}},
	.half_life_s = 1800,
};
static const uint8_t secret[16] = {7};

static struct ip_addr v4(uint32_t n)
{
	return (struct ip_addr){{[10] = 0xff, 0xff, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
				 (uint8_t)n}};
}

/* The n-th /64 of a /32. */
static struct ip_addr v6(uint32_t n)
{
	return (struct ip_addr){{0x20, 1, 0xd, 0xb8, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
				 (uint8_t)n, [15] = 1}};
}

static struct admission *make(void)
{
	struct admission *a = admission_new(secret, ENTRIES);

	assert_non_null(a);
	return a;
}

static bool visit(struct admission *a, const struct ip_addr *ip, uint64_t now_ms)
{
	struct admission_verdict v;
	struct admission_ref ref;

	admission_connect(a, &rules, ip, now_ms, &ref, &v);
	admission_leave(a, &ref);
	return !v.barred;
}

static void fail_rcpt(struct admission *a, const struct ip_addr *ip, uint32_t n)
{
	admission_fail(a, &rules, ip, FAILURE_RCPT, n, 0, NULL);
}

static bool is_good(struct admission *a, const struct ip_addr *ip)
{
	struct admission_view v[2];

	return admission_look(a, &rules, ip, 0, v) && v[0].good;
}

/* Far more sources than room, the worst that they can be: who is in good standing stays. */
static void test_full(void **state)
{
	struct admission *a = make();
	struct admission_stats s;
	unsigned int good = 0;

	(void)state;
	for (uint32_t i = 0; i < 60; i++) {
		struct ip_addr ip = v4(0xcb007100 + i);

		for (unsigned int k = 0; k < 10; k++)
			admission_accept(a, &rules, &ip, 0);
	}
	for (uint32_t i = 0; i < 20 * ENTRIES; i++) {
		struct ip_addr ip = v4(0x0a000000 + i * 77);

		visit(a, &ip, 0);
		fail_rcpt(a, &ip, 21);
	}
	admission_stats(a, &s);
	assert_int_equal(s.entries, ENTRIES);
	assert_true(s.used <= ENTRIES / 2);
	assert_true(s.evicted > 18 * ENTRIES);
	for (uint32_t i = 0; i < 60; i++) {
		struct ip_addr ip = v4(0xcb007100 + i);

		good += is_good(a, &ip);
	}
	/* More than a bucket holds may have met in one; that is rare, and luck of the secret. */
	assert_true(good >= 58);
	admission_free(a);
}

/* New ones push out those that have done nothing before those that have. */
static void test_least(void **state)
{
	struct admission *a = make();
	struct ip_addr bad = v4(0xcb007107);

	(void)state;
	fail_rcpt(a, &bad, 21);
	for (uint32_t i = 0; i < 20 * ENTRIES; i++) {
		struct ip_addr ip = v4(0x0a000000 + i);

		visit(a, &ip, 0);
	}
	assert_false(visit(a, &bad, 0));
	admission_free(a);
}

/* All of a /32, /64 by /64: IPv4 keeps its half, a /48 gets so many entries and no more, and what is
 * beyond them has one budget. */
static void test_v6(void **state)
{
	struct admission *a = make();
	struct admission_verdict v;
	struct admission_view view[2];
	struct ip_addr old = v4(0xcb007107), ip;
	struct admission_stats s;
	unsigned int taken = 0;

	(void)state;
	fail_rcpt(a, &old, 21);
	for (uint32_t i = 0; i < 65536; i++) {
		ip = v6(i);
		admission_fail(a, &rules, &ip, FAILURE_RCPT, 1, 0, &v);
		taken += !v.barred;
	}
	/* The first have one of their 20 left over; the rest shares the budget of the /48. */
	assert_int_equal(taken, LIMIT_SOURCES_OF_48 + LIMIT_SOURCE_WIDE * 20);
	admission_stats(a, &s);
	assert_int_equal(s.used, 1 + LIMIT_SOURCES_OF_48 + 1);
	assert_int_equal(v.source.prefix, 48);
	assert_int_equal(admission_look(a, &rules, &ip, 0, view), 1);
	assert_int_equal(view[0].prefixes, LIMIT_SOURCES_OF_48);
	ip = v6(3);
	assert_true(visit(a, &ip, 0));
	/* Now a /48 each. */
	for (uint32_t i = 0; i < 65536; i++) {
		ip = v6(i << 16);
		fail_rcpt(a, &ip, 21);
	}
	admission_stats(a, &s);
	assert_true(s.used <= ENTRIES / 2 + 1);
	assert_false(visit(a, &old, 0));
	admission_free(a);
}

/* What has faded away makes room by itself, and the /48 has its places back. */
static void test_sweep(void **state)
{
	struct admission *a = make();
	struct admission_stats s;
	struct ip_addr ip;

	(void)state;
	for (uint32_t i = 0; i < LIMIT_SOURCES_OF_48; i++) {
		ip = v6(i);
		visit(a, &ip, 0);
	}
	ip = v4(1);
	for (uint64_t i = 0; i < ENTRIES / 8; i++)
		visit(a, &ip, 3600 * 1000);
	admission_stats(a, &s);
	assert_int_equal(s.used, 1);
	assert_int_equal(s.evicted, 0);
	admission_free(a);
}

static uint32_t open_of(struct admission *a, const struct ip_addr *ip)
{
	struct admission_view v[2];

	return admission_look(a, &rules, ip, 0, v) ? v[0].sessions : 0;
}

/* Sessions are counted once and given back once, whatever became of their entry. */
static void test_sessions(void **state)
{
	struct admission *a = make();
	struct ip_addr ip = v4(0xcb007107);
	struct admission_ref ref[3], none = {0}, copy;
	struct admission_verdict v;

	(void)state;
	admission_leave(a, &none);
	for (int i = 0; i < 3; i++)
		admission_connect(a, &rules, &ip, 0, &ref[i], &v);
	assert_int_equal(open_of(a, &ip), 3);
	copy = ref[0];
	admission_leave(a, &ref[0]);
	admission_leave(a, &ref[0]);
	assert_int_equal(open_of(a, &ip), 2);
	/* The dataplane is gone, and its sessions with it; what comes late is of no session. */
	admission_leave_all(a);
	assert_int_equal(open_of(a, &ip), 0);
	admission_leave(a, &copy);
	assert_int_equal(open_of(a, &ip), 0);
	admission_connect(a, &rules, &ip, 0, &ref[0], &v);
	/* Pushed out, and there again: the session of before is not one of the new entry. */
	for (uint32_t i = 0; i < 20 * ENTRIES; i++) {
		struct ip_addr other = v4(0x0a000000 + i);

		fail_rcpt(a, &other, 1);
	}
	assert_int_equal(open_of(a, &ip), 0);
	admission_connect(a, &rules, &ip, 0, &ref[1], &v);
	admission_leave(a, &ref[0]);
	assert_int_equal(open_of(a, &ip), 1);
	admission_free(a);
}

static void test_listed(void **state)
{
	static const struct { const char *ip; enum admission_listed is; } q[] = {
		{"203.0.113.7", ADMISSION_DENIED}, {"203.0.113.65", ADMISSION_ALLOWED},
		{"203.0.113.66", ADMISSION_DENIED}, {"198.51.100.1", ADMISSION_UNLISTED},
		{"192.0.2.1", ADMISSION_ALLOWED}, {"2001:db8::1", ADMISSION_DENIED},
		{"2001:db8:7::1", ADMISSION_ALLOWED}, {"::1", ADMISSION_DENIED},
	};
	static const char *const deny[] = {"203.0.113.0/24", "203.0.113.66", "::/0"};
	static const char *const allow[] = {"203.0.113.64/26", "192.0.2.0/25", "2001:db8:7::/48"};
	struct ip_net d[3], a[3];
	struct admission_nets dn = {d, 3}, an = {a, 3}, none = {0};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_true(ip_net_parse(str_c(deny[i]), &d[i]));
		assert_true(ip_net_parse(str_c(allow[i]), &a[i]));
	}
	admission_nets_sort(&dn);
	admission_nets_sort(&an);
	admission_nets_sort(&none);
	for (size_t i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
		struct ip_addr ip;

		assert_true(ip_parse(str_c(q[i].ip), &ip));
		assert_int_equal(admission_listed(&dn, &an, &ip), q[i].is);
		assert_int_equal(admission_listed(&none, &none, &ip), ADMISSION_UNLISTED);
	}
}

/* Against the walk over all of them. */
static void test_nets(void **state)
{
	struct ip_net list[200];
	struct admission_nets nets = {list, 200};
	uint64_t x = 88172645463325252ull;

	(void)state;
	for (size_t i = 0; i < nets.n; i++) {
		uint8_t prefix = (uint8_t)(96 + i % 33), bits = (uint8_t)(128 - prefix);

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		list[i] = (struct ip_net){v4((uint32_t)((x & 0xffff0fff) >> bits << bits)), prefix};
	}
	admission_nets_sort(&nets);
	for (int i = 0; i < 5000; i++) {
		struct ip_addr ip;
		int best = -1;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		ip = i % 2 ? list[x % nets.n].addr : v4((uint32_t)x & 0xffff0fff);
		for (size_t k = 0; k < nets.n; k++)
			if (ip_in_net(&ip, &list[k]) && list[k].prefix > best)
				best = list[k].prefix;
		assert_int_equal(admission_nets_match(&nets, &ip), best);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),	 cmocka_unit_test(test_least),
		cmocka_unit_test(test_v6),	 cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_sessions), cmocka_unit_test(test_listed),
		cmocka_unit_test(test_nets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
