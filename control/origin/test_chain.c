/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/origin/origin.h"

#define NOW 1700000000u
#define RECEIVED                                                                                   \
	"Received: from s.example (s.example [203.0.113.5]) by a.example.net (Postern) with ESMTP "  \
	"id 1;\r\n\tTue, 14 Nov 2023 22:13:20 +0000\r\n"
#define BELOW "From: x@example.com\r\nSubject: one\r\nX-Odd : y\r\n\tz\r\n"

static const uint8_t secret[32] = {1, 2, 3}, other[40] = {9};
static const struct chain_key key = {"site", secret, sizeof(secret), 600},
			      key_2 = {"next", other, sizeof(other), 60},
			      forged = {"site", other, sizeof(other), 600};
static const struct chain_key *const both[] = {&key, &key_2}, *const one[] = {&key};
static const uint8_t body[CHAIN_DIGEST] = {7};

static struct chain_facts facts(const char *ip, const char *helo, const char *via)
{
	struct chain_facts f = {.time = NOW};

	assert_true(ip_parse(str_c(ip), &f.ip));
	snprintf(f.helo, sizeof(f.helo), "%s", helo);
	snprintf(f.via, sizeof(f.via), "%s", via);
	return f;
}

static void parse(const char *m, struct headers *h)
{
	static struct iovec iov;
	static struct mail_bytes c;

	iov = (struct iovec){(void *)(uintptr_t)m, strlen(m)};
	c = (struct mail_bytes){&iov, 1, iov.iov_len};
	assert_int_equal(headers_parse(h, &c), 0);
}

/* The field over a header. */
static void sign(const struct chain_key *k, const struct chain_facts *f, const char *below,
		 char out[CHAIN_FIELD])
{
	struct chain_message m = {.mail_from = STR("x@example.com")};
	struct headers h;

	memcpy(m.body, body, sizeof(body));
	parse(below, &h);
	assert_int_equal(chain_header_digest(&h, 0, NULL, m.header), 0);
	headers_free(&h);
	assert_int_equal(chain_write(k, STR("X-Postern"), f, &m, out), 0);
}

static struct chain_claim read_at(const char *message, const char *mail_from, uint64_t now)
{
	struct chain_claim c;
	struct headers h;

	parse(message, &h);
	chain_read(both, 2, STR("X-Postern"), &h, str_c(mail_from), body, now, &c);
	headers_free(&h);
	return c;
}

static void expect(const char *message, enum chain_status want)
{
	struct chain_claim c = read_at(message, "x@example.com", NOW + 5);

	if (c.status != want)
		fail_msg("%s instead of %s:\n%s", chain_status_name(c.status), chain_status_name(want),
			 message);
}

static void round_trip(void **state)
{
	static const struct { const char *ip, *helo, *via; } t[] = {
		{"203.0.113.5", "s.example", "direct"},
		{"2001:db8::5", "[IPv6:2001:db8::5]", "relay:edge-1.a_b"},
		{"203.0.113.5", "", "direct"},
		{"203.0.113.5", "a;h=b%20(x)=\"\\", "direct"},
	};
	char field[CHAIN_FIELD], m[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct chain_facts f = facts(t[i].ip, t[i].helo, t[i].via);
		struct chain_claim c;

		sign(i % 2 ? &key_2 : &key, &f, BELOW, field);
		snprintf(m, sizeof(m), "X-Postern-Score: 1\r\n%s" RECEIVED BELOW "\r\nb\r\n", field);
		c = read_at(m, "x@example.com", NOW + 5);
		assert_int_equal(c.status, CHAIN_VERIFIED);
		assert_ptr_equal(c.key, i % 2 ? &key_2 : &key);
		assert_int_equal(c.field, 1);
		assert_int_equal(c.age, 5);
		assert_memory_equal(&c.facts.ip, &f.ip, sizeof(f.ip));
		assert_string_equal(c.facts.helo, t[i].helo);
		assert_string_equal(c.facts.via, t[i].via);
	}
	/* The longest HELO fits a line. */
	{
		struct chain_facts f = facts("203.0.113.5", "", "direct");

		memset(f.helo, ';', sizeof(f.helo) - 1);
		sign(&key, &f, BELOW, field);
		snprintf(m, sizeof(m), "%s" RECEIVED BELOW "\r\n", field);
		expect(m, CHAIN_VERIFIED);
		for (char *line = field, *end; (end = strchr(line, '\n')); line = end + 1)
			assert_true(end - line <= 998);
	}
}

static void refused(void **state)
{
	struct chain_facts f = facts("203.0.113.5", "s.example", "direct");
	char field[CHAIN_FIELD], wrong[CHAIN_FIELD], m[8192];
	struct chain_claim c;

	(void)state;
	sign(&key, &f, BELOW, field);
	sign(&forged, &f, BELOW, wrong);
#define MESSAGE(...) snprintf(m, sizeof(m), __VA_ARGS__)
	MESSAGE("%s" RECEIVED BELOW "\r\n", field);
	expect(m, CHAIN_VERIFIED);
	/* another MAIL FROM, another time */
	c = read_at(m, "X@example.com", NOW);
	assert_int_equal(c.status, CHAIN_WRONG);
	c = read_at(m, "", NOW);
	assert_int_equal(c.status, CHAIN_WRONG);
	c = read_at(m, "x@example.com", NOW + 600);
	assert_int_equal(c.status, CHAIN_VERIFIED);
	c = read_at(m, "x@example.com", NOW + 601);
	assert_int_equal(c.status, CHAIN_EXPIRED);
	c = read_at(m, "x@example.com", NOW - LIMIT_CHAIN_SKEW_S);
	assert_int_equal(c.status, CHAIN_VERIFIED);
	c = read_at(m, "x@example.com", NOW - LIMIT_CHAIN_SKEW_S - 1);
	assert_int_equal(c.status, CHAIN_EXPIRED);
	/* another message below our block: changed, added, taken away, moved */
	MESSAGE("%s" RECEIVED "From: x@example.com\r\nSubject: two\r\nX-Odd : y\r\n\tz\r\n\r\n", field);
	expect(m, CHAIN_WRONG);
	MESSAGE("%s" RECEIVED BELOW "To: y@example.com\r\n\r\n", field);
	expect(m, CHAIN_WRONG);
	MESSAGE("%s" RECEIVED RECEIVED BELOW "\r\n", field);
	expect(m, CHAIN_WRONG);
	MESSAGE("%s" RECEIVED "From: x@example.com\r\n\r\n", field);
	expect(m, CHAIN_WRONG);
	MESSAGE("%s" BELOW RECEIVED "\r\n", field);
	expect(m, CHAIN_WRONG);
	/* not where the first instance writes it */
	MESSAGE(RECEIVED "%s" BELOW "\r\n", field);
	expect(m, CHAIN_MISSING);
	MESSAGE(RECEIVED BELOW "\r\n");
	expect(m, CHAIN_MISSING);
	MESSAGE("X-Other%s" RECEIVED BELOW "\r\n", field + strlen("X-Postern"));
	expect(m, CHAIN_MISSING);
	MESSAGE("%s%s" RECEIVED BELOW "\r\n", field, field);
	expect(m, CHAIN_MALFORMED);
	MESSAGE("%s%s" RECEIVED BELOW "\r\n", wrong, field);
	expect(m, CHAIN_MALFORMED);
	MESSAGE("X-Postern-Chain : %s" RECEIVED BELOW "\r\n", field + strlen("X-Postern-Chain: "));
	expect(m, CHAIN_MALFORMED);
	/* the right name with another secret; a key that the relay does not have */
	MESSAGE("%s" RECEIVED BELOW "\r\n", wrong);
	expect(m, CHAIN_WRONG);
	{
		struct headers h;

		sign(&key_2, &f, BELOW, field);
		MESSAGE("%s" RECEIVED BELOW "\r\n", field);
		parse(m, &h);
		chain_read(one, 1, STR("X-Postern"), &h, STR("x@example.com"), body, NOW, &c);
		assert_int_equal(c.status, CHAIN_UNKNOWN_KEY);
		headers_free(&h);
	}
	assert_int_equal(read_at(m, "x@example.com", NOW + 61).status, CHAIN_EXPIRED);
}

/* Whatever octet of the field is another: it says the same thing, or it is not believed. */
static void every_octet(void **state)
{
	static const char put[] = "0a;=%h \t:.f1\x7f\xc3";
	struct chain_facts f = facts("203.0.113.15", "s-1.example", "relay:edge");
	char field[CHAIN_FIELD], m[4096];
	unsigned int same = 0;
	size_t n;

	(void)state;
	sign(&key, &f, BELOW, field);
	n = strlen(field);
	for (size_t i = strlen("X-Postern-Chain:"); i + 2 < n; i++)
		for (const char *p = put; *p; p++) {
			char was = field[i];
			struct chain_claim c;

			if (was == '\r' || was == '\n')
				continue;
			field[i] = *p;
			snprintf(m, sizeof(m), "%s" RECEIVED BELOW "\r\n", field);
			field[i] = was;
			c = read_at(m, "x@example.com", NOW);
			if (c.status != CHAIN_VERIFIED)
				continue;
			same++;
			assert_memory_equal(&c.facts.ip, &f.ip, sizeof(f.ip));
			assert_string_equal(c.facts.helo, f.helo);
			assert_string_equal(c.facts.via, f.via);
			assert_int_equal(c.facts.time, f.time);
		}
	/* Only what was there already and white space for white space. */
	assert_true(same > 0 && same < n);
}

/* A next hop that cannot say "no final CRLF" adds one. */
static void last_line(void **state)
{
	static const char *const ends[] = {"From: a@example.com\r\nX: y\r\n",
					   "From: a@example.com\r\nX: y"};
	uint8_t digest[2][CHAIN_DIGEST];
	uint8_t drop[2] = {1, 0};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct headers h;

		parse(ends[i], &h);
		assert_int_equal(chain_header_digest(&h, 0, NULL, digest[i]), 0);
		headers_free(&h);
	}
	assert_memory_equal(digest[0], digest[1], CHAIN_DIGEST);
	for (size_t i = 0; i < 2; i++) {
		struct headers h;

		parse(i ? "X: y\r\n" : ends[0], &h);
		assert_int_equal(chain_header_digest(&h, 0, i ? NULL : drop, digest[i]), 0);
		headers_free(&h);
	}
	assert_memory_equal(digest[0], digest[1], CHAIN_DIGEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip), cmocka_unit_test(refused),
		cmocka_unit_test(every_octet), cmocka_unit_test(last_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
