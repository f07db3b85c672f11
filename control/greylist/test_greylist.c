/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Slots are looked at. */
#include "control/greylist/greylist.c"

#define T0 1000000u

static const struct greylist_rules rules = {.delay_s = 60, .window_s = 3600, .lifetime_s = 86400};
static char path[64];
static struct greylist *g;

static void reopen(void)
{
	char err[256];

	greylist_close(g);
	g = greylist_open(path, err, sizeof(err));
	if (!g)
		fail_msg("%s", err);
}

static int up(void **state)
{
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/test-greylist-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	reopen();
	return 0;
}

static int down(void **state)
{
	(void)state;
	greylist_close(g);
	g = NULL;
	unlink(path);
	return 0;
}

static struct greylist_source from_ip(const char *text)
{
	struct ip_addr ip;

	assert_true(ip_parse(str_c(text), &ip));
	return greylist_source(&ip, 24, 64);
}

static enum greylist_answer ask(const char *ip, const char *from, const char *rcpt, uint64_t now,
				uint32_t *wait)
{
	struct greylist_source s = from_ip(ip);

	return greylist_ask(g, &s, str_c(from), str_c(rcpt), &rules, now, wait);
}

static void expect(enum greylist_answer want, uint32_t wait, const char *ip, const char *from,
		   const char *rcpt, uint64_t now)
{
	uint32_t got;
	enum greylist_answer a = ask(ip, from, rcpt, now, &got);

	if (a != want || got != wait)
		fail_msg("%s %s %s +%llu: %d after %u", ip, from, rcpt,
			 (unsigned long long)(now - T0), a, got);
}

/* From the first attempt to the end of its lifetime. */
static void life(void **state)
{
	(void)state;
	expect(GREYLIST_FIRST, 60, "192.0.2.1", "a@x.example", "b@example.com", T0);
	expect(GREYLIST_EARLY, 59, "192.0.2.1", "a@x.example", "b@example.com", T0 + 1);
	/* the same prefix, the case does not count */
	expect(GREYLIST_EARLY, 1, "192.0.2.200", "A@X.example", "B@example.com", T0 + 59);
	expect(GREYLIST_PASSED, 0, "192.0.2.1", "a@x.example", "b@example.com", T0 + 60);
	expect(GREYLIST_PASSED, 0, "192.0.2.1", "a@x.example", "b@example.com", T0 + 61);
	/* each part of the triplet counts */
	expect(GREYLIST_FIRST, 60, "192.0.3.1", "a@x.example", "b@example.com", T0 + 61);
	expect(GREYLIST_FIRST, 60, "192.0.2.1", "", "b@example.com", T0 + 61);
	expect(GREYLIST_FIRST, 60, "192.0.2.1", "a@x.example", "c@example.com", T0 + 61);
	expect(GREYLIST_FIRST, 60, "192.0.2.1", "a@x.exampleb", "@example.com", T0 + 61);
	expect(GREYLIST_FIRST, 60, "2001:db8::1", "a@x.example", "b@example.com", T0 + 61);
	expect(GREYLIST_EARLY, 60, "2001:db8::ffff:1", "a@x.example", "b@example.com", T0 + 61);
	expect(GREYLIST_FIRST, 60, "2001:db8:0:1::1", "a@x.example", "b@example.com", T0 + 61);
	/* its lifetime begins again with each use */
	expect(GREYLIST_PASSED, 0, "192.0.2.1", "a@x.example", "b@example.com", T0 + 61 + 86399);
	expect(GREYLIST_PASSED, 0, "192.0.2.1", "a@x.example", "b@example.com",
	       T0 + 61 + 2 * 86399);
	expect(GREYLIST_FIRST, 60, "192.0.2.1", "a@x.example", "b@example.com",
	       T0 + 61 + 3 * 86400);
}

/* RFC 6647 5: behind the window it is a first attempt. */
static void window(void **state)
{
	(void)state;
	expect(GREYLIST_FIRST, 60, "192.0.2.1", "a@x.example", "b@example.com", T0);
	expect(GREYLIST_FIRST, 60, "192.0.2.1", "a@x.example", "b@example.com", T0 + 3600);
	expect(GREYLIST_EARLY, 50, "192.0.2.1", "a@x.example", "b@example.com", T0 + 3610);
	expect(GREYLIST_PASSED, 0, "192.0.2.1", "a@x.example", "b@example.com", T0 + 3600 + 3599);
	/* A clock that went back makes nobody wait for it. */
	expect(GREYLIST_FIRST, 60, "192.0.2.9", "c@x.example", "b@example.com", T0 + 1000);
	expect(GREYLIST_FIRST, 60, "192.0.2.9", "c@x.example", "b@example.com", T0);
	expect(GREYLIST_PASSED, 0, "192.0.2.9", "c@x.example", "b@example.com", T0 + 60);
}

/* Who delivered once is known, whatever it sends to whom; a domain is a source like a prefix. */
static void known(void **state)
{
	struct greylist_source ip = from_ip("192.0.2.1"), domain = {.domain = STR("big.example")};
	uint32_t wait;

	(void)state;
	greylist_accept(g, &ip, &rules, T0);
	expect(GREYLIST_KNOWN, 0, "192.0.2.1", "any@y.example", "b@example.com", T0 + 1);
	expect(GREYLIST_FIRST, 60, "192.0.2.77", "any@y.example", "b@example.com", T0 + 1);
	expect(GREYLIST_FIRST, 60, "192.0.3.77", "any@y.example", "b@example.com", T0 + 1);
	expect(GREYLIST_FIRST, 60, "192.0.2.1", "other@y.example", "b@example.com", T0 + 86400);
	assert_int_equal(greylist_ask(g, &domain, STR("a@big.example"), STR("b@example.com"),
				      &rules, T0, &wait),
			 GREYLIST_FIRST);
	assert_int_equal(greylist_look(g, &domain, STR("a@big.example"), STR("b@example.com"),
				       &rules, T0 + 60),
			 GREYLIST_PASSED);
	/* looking has changed nothing */
	assert_int_equal(greylist_look(g, &domain, STR("a@big.example"), STR("b@example.com"),
				       &rules, T0 + 59),
			 GREYLIST_EARLY);
	greylist_accept(g, &domain, &rules, T0);
	assert_int_equal(greylist_ask(g, &domain, STR("x@big.example"), STR("c@example.com"),
				      &rules, T0, &wait),
			 GREYLIST_KNOWN);
}

/* The file outlives the process; what is torn in it is nothing. */
static void restart(void **state)
{
	struct greylist_source ip = from_ip("198.51.100.1");
	struct found f;
	char err[256];

	(void)state;
	expect(GREYLIST_FIRST, 60, "192.0.2.1", "a@x.example", "b@example.com", T0);
	greylist_accept(g, &ip, &rules, T0);
	assert_null(greylist_open(path, err, sizeof(err)));
	assert_non_null(strstr(err, "another process has it"));
	reopen();
	expect(GREYLIST_PASSED, 0, "192.0.2.1", "a@x.example", "b@example.com", T0 + 60);
	expect(GREYLIST_KNOWN, 0, "198.51.100.1", "a@x.example", "b@example.com", T0 + 60);
	ip = from_ip("192.0.2.1");
	assert_int_equal(
		look(g, &ip, STR("a@x.example"), STR("b@example.com"), &rules, T0 + 60, &f),
		GREYLIST_PASSED);
	f.slot->expires ^= 1;
	expect(GREYLIST_FIRST, 60, "192.0.2.1", "a@x.example", "b@example.com", T0 + 60);
	/* Another layout, or half a file, is made anew. */
	assert_int_equal(truncate(path, 100), 0);
	greylist_close(g);
	g = NULL;
	reopen();
	expect(GREYLIST_FIRST, 60, "198.51.100.1", "a@x.example", "b@example.com", T0 + 60);
	assert_null(greylist_open("/nowhere/at/all", err, sizeof(err)));
	assert_non_null(strstr(err, "/nowhere/at/all: No such file"));
}

/* A flood of strangers: the table keeps its size, and pushes out those that wait only. */
static void flood(void **state)
{
	struct greylist_source ip = from_ip("198.51.100.1");
	struct greylist_stats stats;
	unsigned int lost = 0;
	char from[32];
	uint32_t wait;

	(void)state;
	greylist_accept(g, &ip, &rules, T0);
	expect(GREYLIST_FIRST, 60, "192.0.2.1", "a@x.example", "b@example.com", T0);
	expect(GREYLIST_PASSED, 0, "192.0.2.1", "a@x.example", "b@example.com", T0 + 60);
	for (unsigned int i = 0; i < LIMIT_GREYLIST + LIMIT_GREYLIST / 2; i++) {
		snprintf(from, sizeof(from), "%u@flood.example", i);
		ask("203.0.113.1", from, "b@example.com", T0 + 61, &wait);
	}
	greylist_stats(g, &stats);
	assert_true(stats.pushed_out > LIMIT_GREYLIST / 3);
	expect(GREYLIST_KNOWN, 0, "198.51.100.1", "a@x.example", "b@example.com", T0 + 62);
	expect(GREYLIST_PASSED, 0, "192.0.2.1", "a@x.example", "b@example.com", T0 + 62);
	/* Full of those that passed, the one that ends first goes. */
	for (unsigned int i = 0; i < SLOTS; i++)
		lost += state_of(g, &g->slot[i], T0 + 62) == FREE;
	assert_true(lost < SLOTS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(life, up, down),
		cmocka_unit_test_setup_teardown(window, up, down),
		cmocka_unit_test_setup_teardown(known, up, down),
		cmocka_unit_test_setup_teardown(restart, up, down),
		cmocka_unit_test_setup_teardown(flood, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
