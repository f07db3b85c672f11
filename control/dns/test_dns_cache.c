/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What was put comes back for as long as it may, whole; nothing else does; and there is an end to how much. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/dns/dns_cache.h"

#define S UINT64_C(1000000)

static struct dns_cache *c;

static int setup(void **state)
{
	(void)state;
	c = dns_cache_new();
	return c ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	dns_cache_free(c);
	return 0;
}

static struct dns_wire_name wire(const char *text)
{
	struct dns_wire_name w;

	assert_int_equal(dns_wire_from_text(str_c(text), &w), 0);
	return w;
}

static void put(const char *name, uint16_t type, uint64_t now, uint32_t ttl, enum dns_status status, const char *rdata,
		size_t times)
{
	struct dns_wire_name w = wire(name);
	struct dns_parsed a;

	dns_parsed_init(&a);
	for (size_t i = 0; i < times; i++)
		assert_int_equal(dns_parsed_add(&a, (const uint8_t *)rdata, strlen(rdata)), 0);
	dns_parsed_seal(&a);
	a.status = status;
	a.ttl = ttl;
	a.secure = status == DNS_OK;
	if (status == DNS_OK) {
		struct dns_wire_name alias = wire("alias.example");

		dns_parsed_alias(&a, &alias);
	}
	dns_cache_put(c, &w, type, now, &a);
	dns_parsed_free(&a);
}

/* -1: it is not there; else its TTL. */
static long ttl(const char *name, uint16_t type, uint64_t now)
{
	struct dns_wire_name w = wire(name);
	struct dns_parsed a;
	long v = -1;

	dns_parsed_init(&a);
	if (dns_cache_get(c, &w, type, now, &a))
		v = a.ttl;
	dns_parsed_free(&a);
	return v;
}

static void whole(void **state)
{
	struct dns_wire_name w = wire("A.Example");
	struct dns_parsed a;

	(void)state;
	put("a.example", DNS_TXT, 0, 300, DNS_OK, "v=spf1", DNS_MAX_RRS);
	dns_parsed_init(&a);
	assert_true(dns_cache_get(c, &w, DNS_TXT, 5 * S, &a));
	assert_int_equal(a.status, DNS_OK);
	assert_true(a.secure);
	assert_int_equal(a.ttl, 295);
	assert_string_equal(a.alias, "alias.example");
	assert_int_equal(a.n, DNS_MAX_RRS);
	for (size_t i = 0; i < a.n; i++) {
		assert_int_equal(a.rr[i].len, 6);
		assert_memory_equal(a.rr[i].data, "v=spf1", 6);
	}
	dns_parsed_free(&a);
	assert_int_equal(ttl("a.example", DNS_A, 5 * S), -1);
	assert_int_equal(ttl("b.example", DNS_TXT, 5 * S), -1);
}

static void negative(void **state)
{
	struct dns_wire_name w = wire("none.example");
	struct dns_parsed a;

	(void)state;
	put("none.example", DNS_MX, 0, 20, DNS_NXDOMAIN, "", 0);
	dns_parsed_init(&a);
	assert_true(dns_cache_get(c, &w, DNS_MX, S, &a));
	assert_int_equal(a.status, DNS_NXDOMAIN);
	assert_int_equal(a.n, 0);
	assert_false(a.secure);
	assert_string_equal(a.alias, "");
	dns_parsed_free(&a);
	put("none.example", DNS_A, 0, 20, DNS_NODATA, "", 0);
	assert_int_equal(ttl("none.example", DNS_A, S), 19);
}

static void no_longer_than_it_may(void **state)
{
	(void)state;
	put("a.example", DNS_A, 0, 7, DNS_OK, "abcd", 1);
	assert_int_equal(ttl("a.example", DNS_A, 7 * S - 1), 1);
	assert_int_equal(ttl("a.example", DNS_A, 7 * S), -1);
	assert_int_equal(ttl("a.example", DNS_A, 6 * S), -1); /* it went */
	put("a.example", DNS_A, 0, 86400, DNS_OK, "abcd", 1);
	assert_int_equal(ttl("a.example", DNS_A, DNS_CACHE_S * S - 1), 86400 - DNS_CACHE_S + 1);
	assert_int_equal(ttl("a.example", DNS_A, DNS_CACHE_S * S), -1);
	put("a.example", DNS_A, 0, 0, DNS_OK, "abcd", 1);
	assert_int_equal(ttl("a.example", DNS_A, 0), -1);
}

/* Neither are kept, nor what they take the place of. */
static void failures(void **state)
{
	static char large[DNS_CACHE_OCTETS / 2 + 2];

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	put("a.example", DNS_A, 0, 60, DNS_OK, "abcd", 1);
	put("a.example", DNS_A, 0, 60, DNS_TEMPFAIL, "", 0);
	assert_int_equal(ttl("a.example", DNS_A, 0), -1);
	put("a.example", DNS_A, 0, 60, DNS_BOGUS, "", 0);
	assert_int_equal(ttl("a.example", DNS_A, 0), -1);
	put("a.example", DNS_TXT, 0, 60, DNS_OK, large, 2);
	assert_int_equal(ttl("a.example", DNS_TXT, 0), -1);
	put("a.example", DNS_TXT, 0, 60, DNS_OK, large, 1);
	assert_int_equal(ttl("a.example", DNS_TXT, 0), 60);
}

static void bounded(void **state)
{
	char name[64];

	(void)state;
	for (unsigned int i = 0; i <= DNS_CACHE_ENTRIES; i++) {
		snprintf(name, sizeof(name), "n%u.example", i);
		put(name, DNS_A, 0, 60, DNS_OK, "abcd", 1);
		assert_int_equal(ttl("n0.example", DNS_A, 0), 60); /* used all the time, so it stays */
	}
	assert_int_equal(ttl("n1.example", DNS_A, 0), -1);
	assert_int_equal(ttl("n2.example", DNS_A, 0), 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole, setup, teardown),
		cmocka_unit_test_setup_teardown(negative, setup, teardown),
		cmocka_unit_test_setup_teardown(no_longer_than_it_may, setup, teardown),
		cmocka_unit_test_setup_teardown(failures, setup, teardown),
		cmocka_unit_test_setup_teardown(bounded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
