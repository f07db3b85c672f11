/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/content/header_end.h"
#include "postern/str.h"

/* The first CRLF at a line start, found with the whole at hand. */
static uint64_t naive(struct str s)
{
	for (size_t i = 0; i + 2 <= s.n; i++) {
		if (memcmp(s.p + i, "\r\n", 2) != 0)
			continue;
		if (i == 0 || (i >= 2 && memcmp(s.p + i - 2, "\r\n", 2) == 0))
			return i + 2;
	}
	return 0;
}

static void check(struct str s)
{
	uint64_t want = naive(s);
	struct content_header_end h;

	for (size_t cut = 0; cut <= s.n; cut++) {
		content_header_end_init(&h);
		content_header_end_feed(&h, s.p, cut);
		assert_int_equal(content_header_end_feed(&h, s.p + cut, s.n - cut), want);
		assert_int_equal(h.seen, s.n);
	}
	content_header_end_init(&h);
	for (size_t i = 0; i < s.n; i++)
		content_header_end_feed(&h, s.p + i, 1);
	assert_int_equal(h.size, want);
}

static void test_table(void **state)
{
	static const struct {
		struct str s;
		uint64_t size;
	} t[] = {
		{STR(""), 0}, {STR("\r\n"), 2}, {STR("\r\nbody"), 2}, {STR("A: b\r\n\r\n"), 8},
		{STR("A: b\r\n\r\nbody\r\n\r\n"), 8}, {STR("A: b\r\n"), 0}, {STR("A: b\r\n\r"), 0},
		{STR("A: b\n\nbody"), 0}, {STR("A: b\r\n\n\r\n"), 0}, {STR("A\r\r\n\r\n"), 6},
		{STR("\rA\r\n\r\n"), 6}, {STR("\r\r\n\r\n"), 5}, {STR("A\r\n\r\r\n\r\n"), 8},
		{STR("\n\r\n"), 0}, {STR("\n\r\n\r\n"), 5},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(naive(t[i].s), t[i].size);
		check(t[i].s);
	}
}

static void test_random(void **state)
{
	uint64_t seed = 42;
	uint8_t buf[24];

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t n = (seed >> 40) % sizeof(buf);

		for (size_t i = 0; i < n; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			buf[i] = (uint8_t)"\r\n\r\nab"[(seed >> 33) % 6];
		}
		check(str_make(buf, n));
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
