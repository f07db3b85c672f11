/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/mail/mail.h"
#include "postern/limits.h"

static void parse(struct headers *h, const char *text, size_t n)
{
	struct iovec iov = {(void *)(uintptr_t)text, n};
	struct mail_bytes b = {&iov, 1, n};

	assert_int_equal(headers_parse(h, &b), 0);
}

static void fields(void **state)
{
	static const char m[] =
		"From: a@example.com\r\nSubject:  two\r\n\tlines\r\nX-Space \t: x\r\nno colon\r\n"
		"bad name: x\r\nfrom: again\r\n\r\nbody: no\r\n";
	struct headers h;
	uint8_t out[64];

	(void)state;
	parse(&h, m, sizeof(m) - 1);
	assert_int_equal(h.n, 6);
	assert_null(h.owned);
	assert_ptr_equal(h.block, m);
	assert_memory_equal(m + h.body_off, "body", 4);
	assert_int_equal(h.size + 2, h.body_off);
	assert_true(str_eq(header_name(&h, 1), STR("Subject")));
	assert_true(str_eq(header_value(&h, 1), STR("  two\r\n\tlines")));
	assert_int_equal(header_unfold(header_value(&h, 1), out, sizeof(out)), 9);
	assert_memory_equal(out, "two\tlines", 9);
	assert_int_equal(header_unfold(header_value(&h, 1), out, 8), -ENOSPC);
	assert_true(str_eq(header_name(&h, 2), STR("X-Space")));
	assert_true(h.field[2].flags & HEADER_F_SPACE_COLON);
	assert_true(h.field[3].flags & HEADER_F_MALFORMED);
	assert_int_equal(h.field[3].name_len, 0);
	assert_true(h.field[4].flags & HEADER_F_MALFORMED);
	assert_int_equal(headers_find(&h, STR("FROM"), 0), 0);
	assert_int_equal(headers_find(&h, STR("FROM"), 1), 5);
	assert_int_equal(headers_find(&h, STR("FROM"), 6), 6);
	assert_int_equal(headers_find(&h, STR(""), 0), 6);
	assert_int_equal(header_name(&h, 6).n, 0);
	headers_free(&h);
}

static void odd_blocks(void **state)
{
	static const struct { const char *m; size_t n, fields, size, body; uint32_t flags; } t[] = {
#define M(s) s, sizeof(s) - 1
		{M(""), 0, 0, 0, HEADERS_F_NO_END},
		{M("\r\nbody"), 0, 0, 2, 0},
		{M("\r\n"), 0, 0, 2, 0},
		{M("A: b"), 1, 4, 4, HEADERS_F_NO_END},
		{M("A: b\r\n"), 1, 6, 6, HEADERS_F_NO_END},
		{M("A: b\r\n\r\n"), 1, 6, 8, 0},
		{M("A: b\r\r\n\r\n"), 1, 7, 9, HEADER_F_BARE},
		{M("A: b\n\nB: c\r\n\r\n"), 1, 12, 14, HEADER_F_BARE},
		{M(" A: b\r\n\r\n"), 1, 7, 9, HEADERS_F_FIRST_FOLDED | HEADER_F_MALFORMED},
		{M("A: b\r\n \r\n\r\n"), 1, 9, 11, 0},
		{M("A: \0\r\nB: \xc3\xa4\r\n\r\n"), 2, 13, 15, HEADER_F_NUL | HEADER_F_8BIT},
		{M(": x\r\n\r\n"), 1, 5, 7, HEADER_F_MALFORMED},
		{M("A: b\r\n\r\r\n\r\nx"), 2, 9, 11, HEADER_F_BARE | HEADER_F_MALFORMED},
		{M("\xc3\xa4: b\r\n\r\n"), 1, 7, 9, HEADER_F_MALFORMED | HEADER_F_8BIT},
	};
	struct headers h;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		parse(&h, t[i].m, t[i].n);
		assert_int_equal(h.n, t[i].fields);
		assert_int_equal(h.size, t[i].size);
		assert_int_equal(h.body_off, t[i].body);
		assert_int_equal(h.flags, t[i].flags);
		headers_free(&h);
	}
}

/* Every cut of the content in two and in single octets gives the same index. */
static void splits(void **state)
{
	static const char m[] = "A: b\r\nB: c\r\n d\r\nbad\r\n\r\nbody\r\n\r\n";
	struct iovec iov[sizeof(m)];
	struct headers whole, h;
	size_t n = sizeof(m) - 1;

	(void)state;
	parse(&whole, m, n);
	for (size_t cut = 0; cut <= n + 1; cut++) {
		struct mail_bytes b = {iov, 2, n};

		if (cut <= n) {
			iov[0] = (struct iovec){(void *)(uintptr_t)m, cut};
			iov[1] = (struct iovec){(void *)(uintptr_t)(m + cut), n - cut};
		} else {
			for (size_t i = 0; i < n; i++)
				iov[i] = (struct iovec){(void *)(uintptr_t)(m + i), 1};
			b.n_iov = n;
		}
		assert_int_equal(headers_parse(&h, &b), 0);
		assert_int_equal(h.size, whole.size);
		assert_int_equal(h.body_off, whole.body_off);
		assert_int_equal(h.n, whole.n);
		assert_memory_equal(h.block, whole.block, h.size);
		assert_memory_equal(h.field, whole.field, h.n * sizeof(*h.field));
		assert_int_equal(h.owned != NULL, cut > 0 && (cut > n || cut < h.size));
		headers_free(&h);
	}
	headers_free(&whole);
}

static void bounds(void **state)
{
	size_t n = LIMIT_HEADER_BLOCK + 100;
	char *m = malloc(n);
	struct headers h;

	(void)state;
	assert_non_null(m);
	for (size_t i = 0; i < n; i += 4)
		memcpy(m + i, "a:\r\n", 4);
	parse(&h, m, n);
	assert_true(h.flags & HEADERS_F_TOO_LARGE);
	assert_int_equal(h.n, LIMIT_HEADER_FIELDS);
	assert_int_equal(h.size, LIMIT_HEADER_BLOCK);
	headers_free(&h);
	memset(m, 'a', n);
	m[1] = ':';
	parse(&h, m, n);
	assert_true(h.flags & HEADERS_F_TOO_LARGE);
	assert_int_equal(h.n, 1);
	headers_free(&h);
	memcpy(m + LIMIT_HEADER_FIELD - 2, "\r\n\r\n", 4);
	parse(&h, m, n);
	assert_int_equal(h.flags, 0);
	assert_int_equal(h.field[0].len, LIMIT_HEADER_FIELD);
	headers_free(&h);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields), cmocka_unit_test(odd_blocks),
		cmocka_unit_test(splits), cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
