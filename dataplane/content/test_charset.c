/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Every character of every charset is compared with Python's codecs in
 * tests/conformance/views_charset.py. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "dataplane/content/charset.h"
#include "postern/utf8.h"

static void test_labels(void **state)
{
	static const char *const known[] = {
		"utf-8",
		"UTF8",
		"\"utf-8\"",
		"us-ascii",
		"ANSI_X3.4-1968",
		"iso-8859-1",
		"ISO8859-1",
		"Latin1",
		"ISO_8859-1:1987",
		"iso-8859-15",
		"ISO-8859-8-I",
		"windows-1252",
		"CP1252",
		"cp-1252",
		"x-cp1252",
		"windows-cp1252",
		"1252",
		"windows-1251",
		"koi8-r",
		"KOI8-U",
		"utf-7",
		"UNICODE-1-1-UTF-7",
		"utf-16",
		"UTF-16LE",
		"utf-16be",
		"gb2312",
		"GB_2312-80",
		"GBK",
		"gb18030",
		"x-gbk",
		"big5",
		"Big5-HKSCS",
		"shift_jis",
		"Shift-JIS",
		"x-sjis",
		"windows-31j",
		"EUC-JP",
		"iso-2022-jp",
		"euc-kr",
		"ks_c_5601-1987",
		"windows-949",
		"cp949",
		"tis-620",
		"iso-8859-11",
		"macintosh",
		"cp437",
		"ibm866",
	};
	static const char *const unknown[] = {
		"foo",
		"x-unknown",
		"utf-9",
		"-",
		"8bit",
		"utf-8utf-8utf-8utf-8utf-8utf-8utf-8utf-8utf-8utf-8utf-8utf-8utf-8utf-8utf-8utf-"
		"8utf-8",
	};
	struct charset c;

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (charset_begin(&c, str_c(known[i])))
			fail_msg("label %zu of the table is not known", i);
	}
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_int_equal(charset_begin(&c, str_c(unknown[i])), -ENOENT);
	assert_int_equal(charset_begin(&c, STR("")), 0);
	assert_int_equal(charset_begin(&c, STR_NONE), 0);
}

struct result {
	uint8_t p[CHARSET_OUT(4096)];
	size_t n;
	bool bad;
};

static void feed(struct charset *c, struct str s, struct result *r)
{
	size_t same = charset_same(c, s.p, s.n);
	uint8_t *out = test_malloc(CHARSET_OUT(s.n));
	size_t n;

	/* What is the same need not be fed. */
	if (same % 2) {
		memcpy(r->p + r->n, s.p, same);
		r->n += same;
		s = str_skip(s, same);
	}
	n = charset_feed(c, s.p, s.n, out);
	assert_true(n <= CHARSET_OUT(s.n));
	memcpy(r->p + r->n, out, n);
	r->n += n;
	test_free(out);
}

static void convert(const char *label, struct str s, size_t step, struct result *r)
{
	uint8_t last[CHARSET_OUT(0)];
	struct charset c;
	size_t n;

	(void)charset_begin(&c, str_c(label));
	r->n = 0;
	for (size_t i = 0; i < s.n; i += step)
		feed(&c, str_make(s.p + i, step < s.n - i ? step : s.n - i), r);
	n = charset_end(&c, last);
	assert_true(n <= sizeof(last));
	memcpy(r->p + r->n, last, n);
	r->n += n;
	r->bad = c.bad;
	for (size_t i = 0, len; i < r->n; i += len)
		assert_true(utf8_at(str_make(r->p, r->n), i, &len) >= 0);
}

static void check(const char *label, struct str in, struct str out, bool bad)
{
	static struct result r;

	for (size_t step = 1; step <= in.n + 1; step++) {
		convert(label, in, step, &r);
		if (!str_eq(str_make(r.p, r.n), out) || r.bad != bad)
			print_error("%s: %.*s gives %.*s\n", label, STR_FMT(in), (int)r.n,
				    (const char *)r.p);
		assert_true(str_eq(str_make(r.p, r.n), out));
		assert_int_equal(r.bad, bad);
	}
}

#define BAD "\xef\xbf\xbd"

static void test_table(void **state)
{
	static const struct {
		const char *label;
		struct str in, out;
		bool bad;
	} t[] = {
		{"utf-8", STR("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"),
		 STR("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"), false},
		/* Unicode 3.9, table 3-8: the longest start of a character is one. */
		{"utf-8",
		 STR("a\xf1\x80\x80\xe1\x80\xc2"
		     "b\x80"
		     "c\x80\xbf"
		     "d"),
		 STR("a" BAD BAD BAD "b" BAD "c" BAD BAD "d"), true},
		{"utf-8",
		 STR("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82"
		     "A"),
		 STR(BAD BAD BAD BAD BAD BAD BAD BAD "A"), true},
		{"utf-8", STR("\xed\xa0\x80\xf4\x90\x80\x80"), STR(BAD BAD BAD BAD BAD BAD BAD),
		 true},
		{"utf-8", STR("x\xe2\x82"), STR("x" BAD), true},
		/* No label, or one nobody knows. */
		{"", STR("\xc3\xa9\xe9 \x80\xe2\x82"),
		 STR("\xc3\xa9\xc3\xa9 \xe2\x82\xac\xc3\xa2"
		     "\xe2\x80\x9a"),
		 true},
		{"", STR("\xc3\xa9"), STR("\xc3\xa9"), false},
		{"us-ascii", STR("\xc3\xa9"), STR("\xc3\xa9"), true},
		{"us-ascii", STR("abc"), STR("abc"), false},
		{"foo", STR("\x93\x81"), STR("\xe2\x80\x9c" BAD), true},
		/* Latin-1 is 1252 in mail. */
		{"iso-8859-1", STR("\xe9\x80"), STR("\xc3\xa9\xe2\x82\xac"), false},
		{"iso-8859-15", STR("\xa4"), STR("\xe2\x82\xac"), false},
		{"windows-1251", STR("\xcf\xf0\xe8"), STR("\xd0\x9f\xd1\x80\xd0\xb8"), false},
		{"koi8-r", STR("\xf0\xd2\xc9"), STR("\xd0\x9f\xd1\x80\xd0\xb8"), false},
		{"windows-1253", STR("\xff"), STR(BAD), true},
		/* RFC 2152 */
		{"utf-7", STR("Hi Mom -+Jjo--!"), STR("Hi Mom -\xe2\x98\xba-!"), false},
		{"utf-7", STR("A+ImIDkQ."), STR("A\xe2\x89\xa2\xce\x91."), false},
		{"utf-7", STR("1 +- 1"), STR("1 + 1"), false},
		{"utf-7", STR("+2D3eAA-"), STR("\xf0\x9f\x98\x80"), false},
		{"utf-7", STR("+2D0-x"), STR(BAD "x"), true},
		{"utf-7", STR("+2D0AYQ-x"), STR(BAD "ax"), true},
		{"utf-7", STR("+3gA-"), STR(BAD), true},
		{"utf-7", STR("+A-\xe9"), STR(BAD BAD), true},
		{"utf-7", STR("+ADw-script+AD4-"), STR("<script>"), false},
		{"utf-16", STR("\xfe\xff\0a\xd8\x3d\xde\x00"), STR("a\xf0\x9f\x98\x80"), false},
		{"utf-16",
		 STR("\xff\xfe"
		     "a\0"),
		 STR("a"), false},
		{"utf-16", STR("a\0b"), STR("a" BAD), true},
		{"utf-16be", STR("\0a\xd8\x3d\0b\xdc\0"), STR("a" BAD "b" BAD), true},
		/* RFC 1468 */
		{"iso-2022-jp", STR("a\033$B$\"\033(Bb"),
		 STR("a\xe3\x81\x82"
		     "b"),
		 false},
		{"iso-2022-jp", STR("\033$B$\"\r\nab"), STR("\xe3\x81\x82\r\nab"), false},
		{"iso-2022-jp", STR("\033(J\\~\033(I1"), STR("\xc2\xa5\xe2\x80\xbe\xef\xbd\xb1"),
		 false},
		{"iso-2022-jp", STR("\033x\033$B$"), STR(BAD "x" BAD), true},
		{"iso-2022-jp", STR("\xa4\xa2"), STR(BAD BAD), true},
		{"shift_jis", STR("\x82\xa0\xb1\\"), STR("\xe3\x81\x82\xef\xbd\xb1\\"), false},
		{"euc-jp", STR("\xa4\xa2\x8e\xb1\x8f\xb0\xa1"),
		 STR("\xe3\x81\x82\xef\xbd\xb1\xe4\xb8\x82"), false},
		{"euc-kr", STR("\xb0\xa1\x81\x41"), STR("\xea\xb0\x80\xea\xb0\x82"), false},
		{"big5", STR("\xa4\x40"), STR("\xe4\xb8\x80"), false},
		{"gb2312", STR("\xb0\xa1\x80"), STR("\xe5\x95\x8a\xe2\x82\xac"), false},
		{"gb18030", STR("\x81\x30\x81\x30\x90\x30\x81\x30"),
		 STR("\xc2\x80\xf0\x90\x80\x80"), false},
		{"gb18030", STR("\x84\x31\xa4\x37\xe3\x32\x9a\x35"),
		 STR("\xef\xbf\xbd\xf4\x8f\xbf\xbf"), false},
		{"gb18030", STR("\x81\x30<\xfe\x39\xfe\x39"), STR(BAD "0<" BAD), true},
		/* A stray lead octet takes no markup with it. */
		{"gbk", STR("\x81<b>"), STR(BAD "<b>"), true},
		{"big5", STR("\xa4<b>"), STR(BAD "<b>"), true},
		{"shift_jis", STR("\x82<b>"), STR(BAD "<b>"), true},
		{"euc-jp", STR("\xa4<\x8f\xb0<"), STR(BAD "<" BAD "<"), true},
		{"euc-kr", STR("\xb0<\xc9\xa1"), STR(BAD "<" BAD), true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		check(t[i].label, t[i].in, t[i].out, t[i].bad);
}

/* Octets of every kind, by every charset: the same in one run and in many. */
static void test_splits(void **state)
{
	static const char *const labels[] = {
		"",       "us-ascii",    "utf-8",   "iso-8859-1", "utf-7",
		"utf-16", "utf-16be",    "gb18030", "big5",       "shift_jis",
		"euc-jp", "iso-2022-jp", "euc-kr",  "koi8-r",
	};
	static struct result whole, cut;
	uint64_t seed = 7;

	(void)state;
	for (int round = 0; round < 30000; round++) {
		uint8_t in[96];
		size_t n = (seed >> 50) % sizeof(in);

		for (size_t i = 0; i < n; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			in[i] = seed >> 63 ? (uint8_t)(seed >> 40)
					   : (uint8_t) "\033$B(J+-AZ\r\n<\x81\x30\xe3\x81"[(seed >>
											    33) %
											   16];
		}
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		convert(labels[round % 14], str_make(in, n), n + 1, &whole);
		convert(labels[round % 14], str_make(in, n), 1 + (seed >> 40) % 5, &cut);
		assert_int_equal(whole.n, cut.n);
		assert_memory_equal(whole.p, cut.p, cut.n);
		assert_int_equal(whole.bad, cut.bad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_splits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
