/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/content/decode.h"
#include "postern/str.h"

#define MOST 2048

static uint64_t rng_state = 1;

static uint32_t rng(void)
{
	rng_state = rng_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rng_state >> 33);
}

struct result {
	uint8_t p[MOST + 2 * DECODE_HOLD + 64];
	size_t n;
	bool bad;
};

/* In two runs at `cut`; with cut > n in runs of 1 to 7. Each into a buffer of the promised size. */
static void decode(bool qp, struct str s, size_t cut, struct result *r)
{
	uint8_t buf[DECODE_OUT(MOST)];
	struct decode_base64 b;
	struct decode_qp q;
	size_t at = 0;

	decode_base64_init(&b);
	decode_qp_init(&q);
	r->n = 0;
	while (at < s.n) {
		size_t k = cut > s.n ? 1 + rng() % 7 : at < cut ? cut : s.n, n;

		if (k > s.n - at)
			k = s.n - at;
		n = qp ? decode_qp(&q, s.p + at, k, buf) : decode_base64(&b, s.p + at, k, buf);
		assert_true(n <= DECODE_OUT(k));
		memcpy(r->p + r->n, buf, n);
		r->n += n;
		at += k;
	}
	r->n += qp ? decode_qp_end(&q, r->p + r->n) : decode_base64_end(&b, r->p + r->n);
	r->bad = qp ? q.bad : b.bad;
}

static void check(bool qp, struct str in, struct str want, bool bad)
{
	struct result r;

	for (size_t cut = 0; cut <= in.n + 3; cut++) {
		decode(qp, in, cut, &r);
		if (!str_eq(str_make(r.p, r.n), want))
			print_error("%.*s: %.*s, not %.*s\n", STR_FMT(in), (int)r.n,
				    (const char *)r.p, STR_FMT(want));
		assert_true(str_eq(str_make(r.p, r.n), want));
		assert_int_equal(r.bad, bad);
	}
}

static void test_base64(void **state)
{
	static const struct {
		struct str in, out;
		bool bad;
	} t[] = {
		{STR(""), STR(""), false},
		{STR("QUJD"), STR("ABC"), false},
		{STR("QUI="), STR("AB"), false},
		{STR("QQ=="), STR("A"), false},
		{STR("QU\r\nJD\r\n"), STR("ABC"), false},
		{STR(" Q\tU J D\v"), STR("ABC"), false},
		{STR("QQ=\r\n="), STR("A"), false},
		/* Cut short: what is whole. */
		{STR("QUJDQU"), STR("ABCA"), false},
		{STR("QUJDQUI"), STR("ABCAB"), false},
		{STR("QUJDQ"), STR("ABC"), true},
		/* Garbage in between is passed over. */
		{STR("QUJD!QU-JD_"), STR("ABCABC"), true},
		{STR("Q\x80UJ\xff"
		     "D"),
		 STR("ABC"), true},
		{STR("QU\0JD"), STR("ABC"), true},
		/* Padding in between. */
		{STR("QQ==QUJD"), STR("AABC"), true},
		{STR("QUI=\r\nQUJD\r\nQQ==\r\n"), STR("ABABCA"), true},
		{STR("=QUJD"), STR("ABC"), true},
		{STR("Q=UJD"), STR("ABC"), true},
		{STR("QU=JD"), STR("ABC"), true},
		{STR("QQ==="), STR("A"), true},
		{STR("++//"), STR("\xfb\xef\xff"), false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		check(false, t[i].in, t[i].out, t[i].bad);
}

static void test_qp(void **state)
{
	static const struct {
		struct str in, out;
		bool bad;
	} t[] = {
		{STR(""), STR(""), false},
		{STR("a=3Db"), STR("a=b"), false},
		{STR("=e9=E9=0d=0A"), STR("\xe9\xe9\r\n"), false},
		/* RFC 2045 6.7 (3): white space at the end of a line was added on the way. */
		{STR("a \t\r\nb  \nc "), STR("a\r\nb\nc "), false},
		{STR("a =20\r\n"), STR("a  \r\n"), false},
		/* (5) */
		{STR("a=\r\nb=\nc= \t\r\nd"), STR("abcd"), false},
		{STR("a  =\r\n  b"), STR("a    b"), false},
		{STR("=\r\n=\r\n"), STR(""), false},
		{STR("a="), STR("a"), false},
		{STR("a= \t"), STR("a \t"), false},
		/* An escape in two lines. */
		{STR("a=3=\r\nDb"), STR("a=b"), false},
		{STR("a==\r\n3D"), STR("a="), false},
		/* What cannot be decoded stays. */
		{STR("a=XYb"), STR("a=XYb"), true},
		{STR("a=4"), STR("a=4"), true},
		{STR("==41"), STR("=A"), true},
		{STR("=4=41"), STR("=4A"), true},
		{STR("= 41"), STR("= 41"), true},
		{STR("a\rb\r\rc\r"), STR("a\rb\r\rc\r"), false},
		{STR("a \r b"), STR("a \r b"), false},
		{STR("a \r\r\n"), STR("a \r\r\n"), false},
		{STR("=\r=41"), STR("=\rA"), true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		check(true, t[i].in, t[i].out, t[i].bad);
}

/* More white space than is held: from 1 to 3 buffers of it, at the end of a line and elsewhere. */
static void test_qp_blanks(void **state)
{
	static uint8_t in[MOST];
	struct result whole, cut;

	(void)state;
	for (size_t n = 1; n < 3 * DECODE_HOLD;
	     n += n < DECODE_HOLD - 3 || n > DECODE_HOLD + 3 ? 7 : 1) {
		for (int line = 0; line < 2; line++) {
			in[0] = 'a';
			memset(in + 1, ' ', n);
			in[n + 1] = line ? '\n' : 'b';
			decode(true, str_make(in, n + 2), 0, &whole);
			assert_int_equal(whole.n,
					 line ? 2 + (n - 1) / DECODE_HOLD * DECODE_HOLD : n + 2);
			for (size_t at = 1; at < n + 4; at++) {
				decode(true, str_make(in, n + 2), at, &cut);
				assert_int_equal(cut.n, whole.n);
				assert_memory_equal(cut.p, whole.p, whole.n);
			}
		}
	}
}

/* Octets that a good and a bad encoder may bring. */
static size_t noise(bool qp, uint8_t *p)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = rng() % MOST, bad = rng() % 4 ? rng() % 40 : 0;

	for (size_t i = 0; i < n; i++) {
		p[i] = qp ? (uint8_t) "abc def 0123456789ABCDEF"[rng() % 24]
			  : (uint8_t)digits[rng() % 64];
		if (bad && rng() % (bad * bad) == 0)
			p[i] = rng() % 3 ? (uint8_t) "=\r\n \t"[rng() % 5] : (uint8_t)rng();
		if (!bad && i % 78 == 76 && i + 1 < n) {
			p[i++] = '\r';
			p[i] = '\n';
		}
	}
	return n;
}

static void test_levels_and_splits(void **state)
{
	static uint8_t in[MOST];
	static struct result whole, other;
	enum decode_level best = decode_base64_level(DECODE_AVX2);

	(void)state;
	for (int round = 0; round < 20000; round++) {
		bool qp = round & 1;
		struct str s = str_make(in, noise(qp, in));

		decode_base64_level(DECODE_PORTABLE);
		decode(qp, s, s.n, &whole);
		for (int level = DECODE_PORTABLE; level <= (int)best; level++) {
			decode_base64_level((enum decode_level)level);
			decode(qp, s, s.n ? rng() % s.n : 0, &other);
			assert_int_equal(other.n, whole.n);
			assert_memory_equal(other.p, whole.p, whole.n);
			assert_int_equal(other.bad, whole.bad);
			decode(qp, s, s.n + 1, &other);
			assert_int_equal(other.n, whole.n);
			assert_memory_equal(other.p, whole.p, whole.n);
		}
	}
	decode_base64_level(best);
}

/* Every octet in every place of a group and of a vector: a digit or not, as the table of RFC 2045
 * says. */
static void test_alphabet(void **state)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	enum decode_level best = decode_base64_level(DECODE_AVX2);
	struct result r;
	uint8_t in[64];

	(void)state;
	for (int level = DECODE_PORTABLE; level <= (int)best; level++) {
		decode_base64_level((enum decode_level)level);
		for (unsigned int c = 0; c < 256; c++) {
			const char *digit = c ? strchr(digits, (int)c) : NULL;

			for (size_t at = 0; at < sizeof(in); at++) {
				memset(in, 'A', sizeof(in));
				in[at] = (uint8_t)c;
				decode(false, str_make(in, sizeof(in)), 0, &r);
				if (!digit) {
					assert_true(r.n < 48);
					continue;
				}
				assert_int_equal(r.n, 48);
				for (size_t i = 0; i < 48; i++) {
					uint32_t v = (uint32_t)(digit - digits)
						     << (18 - at % 4 * 6);

					assert_int_equal(
						r.p[i],
						i / 3 == at / 4 ? v >> (16 - i % 3 * 8) & 0xff : 0);
				}
			}
		}
	}
	decode_base64_level(best);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64),    cmocka_unit_test(test_qp),
		cmocka_unit_test(test_qp_blanks), cmocka_unit_test(test_levels_and_splits),
		cmocka_unit_test(test_alphabet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
