/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Dot-stuffing against a plain one, whatever the pieces and however little the socket takes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/deliver/stuff.h"

#define MAX 600

static uint32_t seed = 1;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static size_t naive(const uint8_t *in, size_t n, uint8_t *out)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		bool start = i == 0 || (i >= 2 && in[i - 1] == '\n' && in[i - 2] == '\r');

		if (start && in[i] == '.')
			out[k++] = '.';
		out[k++] = in[i];
	}
	if (n && !(n >= 2 && in[n - 1] == '\n' && in[n - 2] == '\r')) {
		out[k++] = '\r';
		out[k++] = '\n';
	}
	return k;
}

static size_t make(uint8_t *in)
{
	static const char *const part[] = {"\r\n", ".", "..", "a", "From x", "\r\n.\r\n", "\r\n..", " "};
	size_t n = 0;

	while (n < MAX - 10 && rnd(60)) {
		const char *s = part[rnd(8)];

		memcpy(in + n, s, strlen(s));
		n += strlen(s);
	}
	return n;
}

static void same_as_plain_stuffing(void **state)
{
	uint8_t in[MAX], want[3 * MAX], got[3 * MAX];

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t n = make(in), k = 0, at = 0, cnt, n_iov = 0;
		struct iovec iov[MAX];
		const struct iovec *v;
		struct stuff s;

		while (at < n) {
			size_t len = 1 + rnd(9);

			if (len > n - at)
				len = n - at;
			iov[n_iov++] = (struct iovec){in + at, len};
			at += len;
		}
		stuff_init(&s, iov, n_iov, false);
		while ((v = stuff_next(&s, &cnt)) && cnt) {
			size_t take = 1 + rnd(40), left = take, done = 0;

			for (size_t i = 0; i < cnt && left; i++) {
				size_t m = v[i].iov_len < left ? v[i].iov_len : left;

				assert_true(k + m <= sizeof(got));
				memcpy(got + k, v[i].iov_base, m);
				k += m;
				done += m;
				left -= m;
			}
			stuff_taken(&s, done);
		}
		at = naive(in, n, want);
		assert_int_equal(s.tail_added,
				 n && (n < 2 || in[n - 1] != '\n' || in[n - 2] != '\r'));
		if (n)
			assert_int_equal(k, at);
		assert_memory_equal(got, want, n ? at : 0);
	}
}

/* For BDAT: whatever is in it goes out as it is, and the last octet apart. */
static void raw_is_as_it_is(void **state)
{
	uint8_t in[MAX], got[MAX];

	(void)state;
	for (int round = 0; round < 5000; round++) {
		size_t n = make(in), k = 0, cnt, cut = n ? rnd((uint32_t)n) : 0;
		struct iovec iov[3] = {{in, cut}, {in, 0}, {in + cut, n - cut}};
		const struct iovec *v;
		struct stuff s;

		stuff_init(&s, iov, 3, true);
		while ((v = stuff_next(&s, &cnt)) && cnt) {
			size_t m = 1 + rnd((uint32_t)v->iov_len);

			assert_true(k + m <= sizeof(got));
			memcpy(got + k, v->iov_base, m);
			k += m;
			stuff_taken(&s, m);
		}
		assert_int_equal(k, n ? n - 1 : 0);
		assert_memory_equal(got, in, k);
		assert_int_equal(stuff_count(iov, 3), n);
		assert_ptr_equal(stuff_last(iov, 3), n ? in + n - 1 : NULL);
		assert_false(s.tail_added);
	}
}

static bool naive_beside(const uint8_t *in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t before = i ? in[i - 1] : '\n', after = i + 1 < n ? in[i + 1] : '\r';

		if (in[i] == '\r' && after != '\n' &&
		    (before == '.' || before == '\n' || after == '.'))
			return true;
	}
	return false;
}

static void cr_beside_a_dot_or_lf(void **state)
{
	unsigned int yes = 0;

	(void)state;
	for (int round = 0; round < 50000; round++) {
		uint8_t in[12];
		struct iovec iov[12];
		size_t n = rnd(sizeof(in)), n_iov = 0;

		for (size_t i = 0; i < n; i++)
			in[i] = (uint8_t)"\r\n.a\r\na"[rnd(7)];
		for (size_t at = 0; at < n && n_iov < 12;) {
			size_t len = rnd(4);

			if (len > n - at || n_iov == 11)
				len = n - at;
			iov[n_iov++] = (struct iovec){in + at, len};
			at += len;
		}
		assert_int_equal(stuff_cr_beside(iov, n_iov), naive_beside(in, n));
		yes += naive_beside(in, n);
	}
	assert_in_range(yes, 5000, 45000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_plain_stuffing),
		cmocka_unit_test(raw_is_as_it_is),
		cmocka_unit_test(cr_beside_a_dot_or_lf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
