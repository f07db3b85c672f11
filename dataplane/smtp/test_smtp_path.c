/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Paths with UTF-8 (RFC 6531 3.3), good and bad; ASCII ones are in test_smtp_command.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/smtp/smtp_path.h"
#include "postern/limits.h"
#include "postern/utf8.h"

#define AE "\xc3\xa4"             /* U+00E4 */
#define HAN "\xe4\xbe\x8b"        /* U+4F8B */
#define SMILE "\xf0\x9f\x98\x80"  /* U+1F600 */
#define AE8 AE AE AE AE AE AE AE AE
#define AE32 AE8 AE8 AE8 AE8
#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* Parsed from an exact copy, so that the sanitizer sees a read past its end. */
static enum smtp_path_verdict parse(const char *text, struct smtp_path *out)
{
	size_t n = strlen(text);
	uint8_t *copy = malloc(n);
	enum smtp_path_verdict v;

	assert_non_null(copy);
	memcpy(copy, text, n);
	v = smtp_path_parse(str_make(copy, n), SMTP_PATH_FORWARD, out);
	if (v == SMTP_PATH_OK) {
		assert_int_equal(out->used, n);
		assert_int_equal(out->utf8, !utf8_is_ascii(str_c(text)));
	}
	free(copy);
	return v;
}

static void test_good(void **state)
{
	static const char *const t[] = {
		"<a@example.com>",
		"<" AE "@example.com>",
		"<" HAN HAN "@" HAN ".example>",
		"<" SMILE "." AE "@example.com>",
		"<a+" AE "-b@example.com>",
		"<\"" AE " " HAN "\"@example.com>",
		"<\"\\\"" AE "\"@example.com>",
		"<a@b" AE "-c.example>",
		"<a@xn--bcher-kva.example>",
		"<a@" AE ">",
		/* joiners, as Persian and Indic scripts have them */
		"<\xd9\x86\xd8\xa7\xd9\x85\xe2\x80\x8c\xd8\xa7\xdb\x8c@example.com>",
		"<" AE32 "@example.com>",     /* 64 octets */
		"<a@" AE32 AE8 AE8 AE8 AE AE AE ".example>", /* 59 code points */
	};
	struct smtp_path p;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (parse(t[i], &p) != SMTP_PATH_OK)
			fail_msg("%s", t[i]);
}

static void test_bad(void **state)
{
	static const struct {
		const char *path;
		enum smtp_path_verdict verdict;
	} t[] = {
		/* no UTF-8 */
		{"<\xe4@example.com>", SMTP_PATH_NOT_UTF8},
		{"<\xc3@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xa4@example.com>", SMTP_PATH_NOT_UTF8},
		{"<\xc0\xaf@example.com>", SMTP_PATH_NOT_UTF8},
		{"<\xc1\x81@example.com>", SMTP_PATH_NOT_UTF8},
		{"<\xe0\x80\xaf@example.com>", SMTP_PATH_NOT_UTF8},
		{"<\xf0\x80\x80\xaf@example.com>", SMTP_PATH_NOT_UTF8},
		{"<\xed\xa0\x80@example.com>", SMTP_PATH_NOT_UTF8},
		{"<\xed\xbf\xbf@example.com>", SMTP_PATH_NOT_UTF8},
		{"<\xf4\x90\x80\x80@example.com>", SMTP_PATH_NOT_UTF8},
		{"<\xf8\x88\x80\x80\x80@example.com>", SMTP_PATH_NOT_UTF8},
		{"<\xff@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a@\xe4.example>", SMTP_PATH_NOT_UTF8},
		{"<a@example.com\xc3", SMTP_PATH_NOT_UTF8},
		/* controls, line ends, white space */
		{"<a\xc2\x80" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xc2\x85" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xc2\x9f" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xc2\xa0" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xe2\x80\xa8" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xe2\x80\xa9" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xe3\x80\x80" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<\"a\xe2\x80\xa8\"@example.com>", SMTP_PATH_NOT_UTF8},
		/* bidi controls and what nobody sees */
		{"<a\xe2\x80\xae" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xe2\x81\xa6" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xe2\x80\x8f" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xd8\x9c" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xe2\x80\x8b" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xc2\xad" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<\xef\xbb\xbf" "b@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xf3\xa0\x81\x81@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xef\xbf\xbf@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xf4\x8f\xbf\xbe@example.com>", SMTP_PATH_NOT_UTF8},
		{"<a\xef\xb7\x90@example.com>", SMTP_PATH_NOT_UTF8},
		/* grammar */
		{"<" AE "@example.com", SMTP_PATH_SYNTAX},
		{"<" AE ">", SMTP_PATH_SYNTAX},
		{"<" AE "..a@example.com>", SMTP_PATH_SYNTAX},
		{"<." AE "@example.com>", SMTP_PATH_SYNTAX},
		{"<" AE " a@example.com>", SMTP_PATH_SYNTAX},
		{"<a@b@" AE ".example>", SMTP_PATH_SYNTAX},
		{"<a@-" AE ".example>", SMTP_PATH_SYNTAX},
		{"<a@" AE "-.example>", SMTP_PATH_SYNTAX},
		{"<a@" AE "..example>", SMTP_PATH_SYNTAX},
		{"<a@[" AE "]>", SMTP_PATH_SYNTAX},
		{"<a@[x:" AE "]>", SMTP_PATH_SYNTAX},
		{"<\"\\" AE "\"@example.com>", SMTP_PATH_SYNTAX}, /* quoted-pairSMTP is ASCII */
		/* full stops of other scripts */
		{"<a@b\xe3\x80\x82" "example>", SMTP_PATH_SYNTAX},
		{"<a@b\xef\xbc\x8e" "example>", SMTP_PATH_SYNTAX},
		{"<a@b\xef\xbd\xa1" "example>", SMTP_PATH_SYNTAX},
		/* RFC 5321 4.5.3.1 counts octets */
		{"<" AE32 "x@example.com>", SMTP_PATH_LONG},
		{"<a@" AE32 AE8 AE8 AE8 AE AE AE "x.example>", SMTP_PATH_SYNTAX},
		{"<a@" AE32 "." AE32 "." AE32 "." AE32 ".x>", SMTP_PATH_LONG},
		{"<" AE32 "@" AE32 "." AE32 "." AE32 ">", SMTP_PATH_LONG},
	};
	struct smtp_path p;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		enum smtp_path_verdict v = parse(t[i].path, &p);

		if (v != t[i].verdict)
			fail_msg("case %zu, %s: %d", i, t[i].path, v);
	}
}

static void put(uint8_t *p, uint32_t cp, size_t *n)
{
	*n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
	for (size_t i = *n - 1; i > 0; i--, cp >>= 6)
		p[i] = (uint8_t)(0x80 | (cp & 0x3f));
	p[0] = *n == 1 ? (uint8_t)cp : (uint8_t)(0xf00u >> *n | cp);
}

/* Each code point is read back, surrogates are none, and one octet less is no code point. */
static void test_every_code_point(void **state)
{
	(void)state;
	for (uint32_t cp = 0; cp < 0x110000; cp++) {
		uint8_t b[4];
		size_t n, len;
		long got;

		put(b, cp, &n);
		got = utf8_at(str_make(b, n), 0, &len);
		if (cp >= 0xd800 && cp < 0xe000)
			assert_int_equal(got, -1);
		else if (got != (long)cp || len != n)
			fail_msg("U+%04X: %ld", cp, got);
		if (n > 1)
			assert_int_equal(utf8_at(str_make(b, n - 1), 0, &len), -1);
	}
}

static void test_ascii_domain(void **state)
{
	(void)state;
	assert_true(smtp_domain_valid(STR("example.com")));
	assert_false(smtp_domain_valid(STR(AE ".example")));
	assert_false(smtp_domain_valid(str_c("a." X64)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_every_code_point), cmocka_unit_test(test_ascii_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
