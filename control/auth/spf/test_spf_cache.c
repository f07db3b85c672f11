/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/auth/spf/test_spf_lab.h"
#include "postern/limits.h"

static struct siphash128 key(const struct spf_cache *c, const char *ip, const char *domain)
{
	struct ip_addr a;

	assert_true(ip_parse(str_c(ip), &a));
	return spf_cache_key(c, &a, str_c(domain));
}

static void test_table(void **state)
{
	struct spf_cache *c = spf_cache_new(3);
	struct spf_verdict in = {.result = SPF_FAIL,
				 .mechanism = "-all",
				 .explanation = "why",
				 .reason = "r",
				 .lookups = 4,
				 .voids = 1,
				 .ttl = 100},
			   out = {.identity = SPF_ID_HELO, .domain = "mine"};
	struct siphash128 k = key(c, "192.0.2.1", "Example.COM.");

	(void)state;
	assert_false(spf_cache_get(c, k, 50, &out));
	assert_int_equal(spf_cache_put(c, k, 50, &in), 0);
	assert_true(spf_cache_get(c, key(c, "192.0.2.1", "example.com"), 60, &out));
	assert_int_equal(out.result, SPF_FAIL);
	assert_string_equal(out.mechanism, "-all");
	assert_string_equal(out.explanation, "why");
	assert_string_equal(out.reason, "r");
	assert_int_equal(out.lookups, 4);
	assert_int_equal(out.voids, 1);
	assert_int_equal(out.ttl, 90);
	assert_true(out.cacheable);
	/* What the asker is, stays. */
	assert_int_equal(out.identity, SPF_ID_HELO);
	assert_string_equal(out.domain, "mine");
	assert_false(spf_cache_get(c, key(c, "192.0.2.2", "example.com"), 60, &out));
	assert_false(spf_cache_get(c, key(c, "::1", "example.com"), 60, &out));
	assert_false(spf_cache_get(c, key(c, "192.0.2.1", "xexample.com"), 60, &out));
	/* The last second counts, the next does not; what is old goes. */
	assert_true(spf_cache_get(c, k, 149, &out));
	assert_false(spf_cache_get(c, k, 150, &out));
	assert_int_equal(spf_cache_count(c), 0);
	/* No TTL is trusted beyond ours. */
	in.ttl = UINT32_MAX;
	assert_int_equal(spf_cache_put(c, k, 0, &in), 0);
	assert_true(spf_cache_get(c, k, LIMIT_SPF_CACHE_S - 1, &out));
	assert_false(spf_cache_get(c, k, LIMIT_SPF_CACHE_S, &out));
	spf_cache_free(c);
}

static void test_bounded(void **state)
{
	struct spf_cache *c = spf_cache_new(3);
	struct spf_verdict in = {.result = SPF_PASS, .ttl = 100}, out = {0};
	char name[4][32];

	(void)state;
	for (int i = 0; i < 4; i++)
		snprintf(name[i], sizeof(name[i]), "d%d.example", i);
	for (int i = 0; i < 3; i++)
		assert_int_equal(spf_cache_put(c, key(c, "::1", name[i]), 0, &in), 0);
	in.result = SPF_FAIL; /* the same again takes the place of the old one */
	assert_int_equal(spf_cache_put(c, key(c, "::1", name[1]), 0, &in), 0);
	assert_int_equal(spf_cache_count(c), 3);
	assert_true(spf_cache_get(c, key(c, "::1", name[0]), 1, &out)); /* used: 2 is the oldest */
	assert_int_equal(spf_cache_put(c, key(c, "::1", name[3]), 0, &in), 0);
	assert_int_equal(spf_cache_count(c), 3);
	assert_false(spf_cache_get(c, key(c, "::1", name[2]), 1, &out));
	assert_true(spf_cache_get(c, key(c, "::1", name[0]), 1, &out));
	assert_int_equal(out.result, SPF_PASS);
	assert_true(spf_cache_get(c, key(c, "::1", name[1]), 1, &out));
	assert_int_equal(out.result, SPF_FAIL);
	spf_cache_free(c);
}

static const char zone[] =
	"$ORIGIN example.com.\n$TTL 600\n"
	"@ SOA ns h 1 2 3 4 300\n"
	"@ TXT \"v=spf1 a:mail.example.com ip4:198.51.100.0/24 -all exp=why.example.com\"\n"
	"mail A 192.0.2.10\n"
	"mail 40 TXT \"v=spf1 a -all\"\n"
	"why TXT \"%{i} is not one of %{d}\"\n"
	"who TXT \"%{l} is nobody\"\n"
	"local TXT \"v=spf1 exists:%{l}.u.example.com -all\"\n"
	"good.u A 127.0.0.2\n"
	"slow TXT \"v=spf1 include:slow2.example.com -all\"\n"
	"short TXT \"v=spf1 a:shorter.example.com -all\"\n"
	"shorter 7 A 192.0.2.10\n"
	"zero 0 TXT \"v=spf1 -all\"\n"
	"ptr TXT \"v=spf1 ptr -all\"\n"
	"host.ptr 9 A 203.0.113.5\n"
	"5.113.0.203.in-addr.arpa. PTR host.ptr.example.com.\n"
	"6.113.0.203.in-addr.arpa. PTR gone.ptr.example.com.\n"
	"m1 TXT \"v=spf1 a:%{s}.example.com -all\"\nm2 TXT \"v=spf1 a:%{L}.example.com -all\"\n"
	"m3 TXT \"v=spf1 a:%{o2r}.example.com -all\"\nm4 TXT \"v=spf1 mx:%{h}.example.com -all\"\n"
	"m5 TXT \"v=spf1 a:%{p}.example.com -all\"\nm6 TXT \"v=spf1 exists:%{i}.example.com -all\"\n"
	"m7 TXT \"v=spf1 include:m2.example.com -all\"\nm8 TXT \"v=spf1 redirect=m1.example.com\"\n"
	"m9 TXT \"v=spf1 redirect=%{l}.example.com\"\nm10 TXT \"v=spf1 -all exp=%{o}.example.com\"\n"
	"m11 TXT \"v=spf1 -all exp=who.example.com\"\nm12 TXT \"v=spf1 -all exp=slow2.example.com\"\n"
	"c1 TXT \"v=spf1 a:%{d} a:%{i}.%{v}.example.com exists:fixed.example.com -all\"\n"
	"c2 TXT \"v=spf1 -all x=%{l}\"\nc3 TXT \"v=spf1 -al\"\n"
	"c4 TXT \"v=spf1 -all exp=no.example.com\"\n";

static int setup(void **state)
{
	struct spf_lab *l = calloc(1, sizeof(*l));

	spf_lab_open(l, zone, &(struct spf_options){.n_workers = 1});
	spf_lab_timeout(l, "slow2.example.com");
	spf_lab_timeout(l, "gone.ptr.example.com");
	*state = l;
	return 0;
}

static int teardown(void **state)
{
	spf_lab_close(*state);
	free(*state);
	return 0;
}

static struct spf_stats stats(const struct spf_lab *l)
{
	struct spf_stats s;

	spf_jail_stats(l->jail, &s);
	return s;
}

static void test_hits(void **state)
{
	struct spf_lab *l = *state;
	struct spf_verdict first;
	uint64_t runs;

	assert_int_equal(spf_lab_check(l, "192.0.2.11", "a@example.com"), SPF_FAIL);
	first = l->v;
	assert_true(first.cacheable);
	assert_int_equal(first.ttl, 600);
	runs = stats(l).runs;
	assert_int_equal(spf_lab_check(l, "192.0.2.11", "other@Example.Com"), SPF_FAIL);
	assert_string_equal(l->v.domain, "Example.Com");
	assert_string_equal(l->v.mechanism, first.mechanism);
	assert_string_equal(l->v.explanation, "192.0.2.11 is not one of example.com");
	assert_int_equal(l->v.identity, SPF_ID_MAILFROM);
	assert_int_equal(l->v.lookups, 1);
	/* HELO of the same name shares it, and so does the null reverse-path. */
	spf_lab_ask(l, "192.0.2.11", "example.com", NULL);
	spf_lab_wait(l, 3);
	assert_int_equal(l->v.result, SPF_FAIL);
	assert_int_equal(l->v.identity, SPF_ID_HELO);
	spf_lab_ask(l, "192.0.2.11", "example.com", "");
	spf_lab_wait(l, 4);
	assert_int_equal(l->v.identity, SPF_ID_HELO);
	assert_int_equal(stats(l).runs, runs);
	/* Another address or domain is another check. */
	assert_int_equal(spf_lab_check(l, "192.0.2.10", "a@example.com"), SPF_PASS);
	assert_int_equal(spf_lab_check(l, "198.51.100.11", "a@example.com"), SPF_PASS);
	assert_int_equal(spf_lab_check(l, "192.0.2.11", "a@mail.example.com"), SPF_FAIL);
	assert_int_equal(l->v.ttl, 40);
	assert_int_equal(stats(l).cache_hits, 3);
	assert_int_equal(stats(l).cache_misses, 4);
	assert_int_equal(stats(l).cached, 4);
	assert_int_equal(stats(l).by_result[SPF_FAIL], 5);
	assert_int_equal(stats(l).checks, 7);
}

/* RFC 7208 has no cache: what a result hangs on besides address and domain keeps it out of ours. */
static void test_kept_or_not(void **state)
{
	static const struct {
		const char *name;
		bool kept;
	} t[] = {
		{"m1", 0}, {"m2", 0},	{"m3", 0},  {"m4", 0},	{"m5", 0},  {"m6", 0},
		{"m7", 0}, {"m8", 0},	{"m9", 0},  {"m10", 0}, {"m11", 0}, {"m12", 0},
		{"c1", 1}, {"c2", 1},	{"c3", 1},  {"c4", 1},	{"zero", 0}, {"none", 1},
		{"local", 0}, {"slow", 0}, {"ptr", 1}, {"short", 1},
	};
	struct spf_lab *l = *state;
	size_t kept = 0;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char from[64];

		snprintf(from, sizeof(from), "a@%s.example.com", t[i].name);
		spf_lab_check(l, "203.0.113.5", from);
		if (l->v.cacheable != t[i].kept)
			fail_msg("%s: %s", t[i].name, l->v.cacheable ? "kept" : "not kept");
		kept += t[i].kept;
		assert_int_equal(stats(l).cached, kept);
	}
	/* The TTL is the smallest of all, that of a forward name behind ptr among them. */
	spf_lab_check(l, "203.0.113.5", "a@ptr.example.com");
	assert_true(l->v.ttl <= 9 && l->v.ttl > 0);
	spf_lab_check(l, "203.0.113.5", "a@short.example.com");
	assert_true(l->v.ttl <= 7 && l->v.ttl > 0);
	/* For ptr a failed lookup is no match, but no lasting one. */
	assert_int_equal(spf_lab_check(l, "203.0.113.6", "a@ptr.example.com"), SPF_FAIL);
	assert_false(l->v.cacheable);
	/* One sender's result is not another's. */
	assert_int_equal(spf_lab_check(l, "192.0.2.1", "good@local.example.com"), SPF_PASS);
	assert_int_equal(spf_lab_check(l, "192.0.2.1", "bad@local.example.com"), SPF_FAIL);
}

static void test_followers(void **state)
{
	struct spf_lab *l = *state;
	struct spf_check *first;
	uint64_t runs;

	/* Five at once are one evaluation. */
	for (int i = 0; i < 4; i++)
		spf_lab_ask(l, "192.0.2.10", "example.com", "a@example.com");
	spf_lab_ask(l, "192.0.2.10", "EXAMPLE.com.", NULL);
	spf_lab_wait(l, 5);
	assert_int_equal(stats(l).by_result[SPF_PASS], 5);
	assert_int_equal(stats(l).cache_shared, 4);
	assert_int_equal(stats(l).cache_misses, 1);
	/* The first is cancelled while they wait. */
	runs = stats(l).runs;
	first = spf_lab_ask(l, "192.0.2.20", "x", "a@example.com");
	spf_lab_ask(l, "192.0.2.20", "x", "b@example.com");
	spf_lab_ask(l, "192.0.2.20", "x", "c@example.com");
	while (stats(l).runs == runs)
		assert_int_equal(event_base_loop(l->base, EVLOOP_ONCE), 0);
	spf_cancel(first);
	spf_lab_wait(l, 7);
	assert_int_equal(stats(l).by_result[SPF_FAIL], 2);
	assert_int_equal(stats(l).cache_shared, 5);
	/* A waiting one is cancelled. */
	spf_lab_ask(l, "192.0.2.21", "x", "a@example.com");
	first = spf_lab_ask(l, "192.0.2.21", "x", "b@example.com");
	assert_int_equal(event_base_loop(l->base, EVLOOP_ONCE), 0);
	spf_cancel(first);
	spf_lab_wait(l, 8);
	/* What hangs on the sender is shared by the same sender only. */
	spf_lab_ask(l, "192.0.2.1", "x", "good@local.example.com");
	spf_lab_ask(l, "192.0.2.1", "x", "good@local.example.com");
	spf_lab_ask(l, "192.0.2.1", "x", "bad@local.example.com");
	spf_lab_ask(l, "192.0.2.1", "y", "good@local.example.com");
	spf_lab_wait(l, 12);
	assert_int_equal(stats(l).by_result[SPF_PASS], 8);
	assert_int_equal(stats(l).by_result[SPF_FAIL], 4);
	assert_int_equal(stats(l).cache_shared, 6);
	/* Open ones when the jail goes: teardown. */
	spf_lab_ask(l, "192.0.2.30", "x", "a@example.com");
	spf_lab_ask(l, "192.0.2.30", "x", "a@example.com");
	assert_int_equal(event_base_loop(l->base, EVLOOP_ONCE), 0);
}

/* A worker that dies takes one check with it, not those that waited for it. */
static void test_error_alone(void **state)
{
	struct spf_lab *l = *state;
	pid_t pid;

	while (spf_jail_workers(l->jail, &pid, 1) == 0)
		assert_int_equal(event_base_loop(l->base, EVLOOP_ONCE), 0);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	for (int i = 0; i < 3; i++)
		spf_lab_ask(l, "192.0.2.10", "x", "a@example.com");
	while (stats(l).workers_busy == 0)
		assert_int_equal(event_base_loop(l->base, EVLOOP_ONCE), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	spf_lab_wait(l, 3);
	assert_int_equal(stats(l).by_result[SPF_TEMPERROR], 1);
	assert_int_equal(stats(l).by_result[SPF_PASS], 2);
	assert_int_equal(stats(l).cache_shared, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table), cmocka_unit_test(test_bounded),
		T(test_hits),		      T(test_kept_or_not),
		T(test_followers),	      T(test_error_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
