/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/auth/authres/authres.h"

#define S(lit) lit, sizeof(lit) - 1

static void claims(void **state)
{
	static const struct { const char *value; size_t n; bool claims;
	} t[] = {
		{S(" mx.example.net; spf=pass"), true},
		{S("mx.example.net"), true},
		{S(" mx.example.net 1; none"), true},
		{S(" MX.Example.NET; none"), true},
		{S("\r\n\tmx.example.net;\r\n\tspf=pass"), true},
		{S(" \"mx.example.net\"; none"), true},
		{S(" \"mx\\.example.net\"; none"), true},
		{S(" (c) mx.example.net (c) 1 (d); none"), true},
		{S(" (a;b (nested \\) ; x)) mx.example.net; none"), true},
		{S(" (;)mx.example.net(;); none"), true},
		{S(" mx.example.net.; none"), true},
		{S(" mx.exa\0mple.net; none"), true},
		{S(" mx.exa\rmple.net; none"), true},
		{S(" mx . example . net; none"), true},
		{S(" mx.(c)example.net; none"), true},
		{S(" mx.example.net/1; none"), true},
		{S(" mx.example.net=; none"), true},
		{S(" other mx.example.net; none"), true},
		{S(" \"mx\".example.net; none"), true},
		{S(" =?utf-8?q?mx.example.net?=; none"), true},
		{S(" (unclosed; mx.example.net; spf=pass"), true},
		{S(" \"unclosed; mx.example.net; spf=pass"), true},
		{S(" mx.example.net\xff; none"), true},
		{S(" mx\xc0\xae"
		   "example.net mx.example.net; none"),
		 true},
		/* full-width letters, full-width stop, mathematical letters, zero width space, long
		   s */
		{S(" \xef\xbd\x8d\xef\xbd\x98.example.net; none"), true},
		{S(" mx\xef\xbc\x8e"
		   "example.net; none"),
		 true},
		{S(" \xf0\x9d\x90\xa6x.example.net; none"), true},
		{S(" mx\xe2\x80\x8b.example.net; none"), true},
		{S(" mx.ex\xc2\xad"
		   "ample.net; none"),
		 true},
		{S(" i=1; mx.example.net; spf=pass"), true},
		{S(" i = 12 ; (x) mx.example.net; spf=pass"), true},
		{S(""), false},
		{S(";"), false},
		{S(" ; mx.example.net"), false},
		{S(" mx.example.com; none"), false},
		{S(" smx.example.net; none"), false},
		{S(" mx.example.net.example.com; none"), false},
		{S(" other.example; spf=pass smtp.helo=mx.example.net"), false},
		{S(" other.example (mx.example.net); none"), false},
		{S(" i=1; other.example; arc=none (mx.example.net)"), false},
		{S(" m\xc3\xa4x.example.net; none"), false},
		{S(" \xd0\xbcx.example.net; none"), false}, /* Cyrillic: no reader folds it */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (authres_claims(str_make(t[i].value, t[i].n), STR("mx.example.net")) !=
		    t[i].claims)
			fail_msg("claims(%s) is not %d", t[i].value, t[i].claims);
	assert_true(authres_claims(STR(" mx.example.net"), STR("MX.example.net")));
	assert_true(authres_claims(STR(" b\xc3\xbc"
				       "cher.example; none"),
				   STR("xn--bcher-kva.example")));
	assert_true(authres_claims(STR(" B\xc3\x9c"
				       "CHER.example; none"),
				   STR("xn--bcher-kva.example")));
	assert_false(authres_claims(STR(" x"), STR("")));
}

static void long_values(void **state)
{
	static uint8_t v[65536];

	(void)state;
	/* An id padded beyond every bound must not slip through. */
	for (size_t i = 0; i + 3 <= sizeof(v); i += 3)
		memcpy(v + i, "\xe2\x84\xab", 3);
	memcpy(v + sizeof(v) - 17, "; mx.example.net;", 17);
	assert_true(authres_claims(str_make(v, sizeof(v)), STR("mx.example.net")));
	memset(v, '(', sizeof(v));
	assert_false(authres_claims(str_make(v, 1000), STR("mx.example.net")));
}

static void writer(void **state)
{
	struct authres_writer w;
	char buf[4096];

	(void)state;
	authres_begin(&w, buf, sizeof(buf), STR("mx.example.net"));
	assert_true(authres_end(&w) > 0);
	assert_int_equal(w.len, strlen(buf));
	assert_string_equal(buf, "Authentication-Results: mx.example.net; none\r\n");

	authres_begin(&w, buf, sizeof(buf), STR("mx.example.net"));
	authres_result(&w, "spf", "pass", STR_NONE);
	authres_property(&w, "smtp", "mailfrom", STR("a.b+c@example.com"));
	authres_property(&w, "smtp", "helo", STR(""));
	authres_property(&w, "policy", "iprev", STR("2001:db8::1"));
	authres_comment(&w, STR("a (b) \\ \r\nX-Evil: 1"));
	authres_result(&w, "dkim", "fail", STR("body \"hash\""));
	authres_property(&w, "header", "i", STR("@example.com"));
	authres_property(&w, "header", "b", STR("ab/+c=12"));
	authres_property(&w, "header", "d", STR("x; dkim=pass"));
	authres_property(&w, "header", "from", STR("a..b@example.com"));
	authres_property(&w, "smtp", "mailfrom", STR("'a@example.com"));
	authres_property(&w, "smtp", "rcptto", STR("\xc3\xa4\0\r\n@example.com"));
	assert_true(authres_end(&w) > 0);
	assert_string_equal(
		buf, "Authentication-Results: mx.example.net;\r\n"
		     "\tspf=pass smtp.mailfrom=a.b+c@example.com policy.iprev=\"2001:db8::1\""
		     " (a \\(b\\) \\\\ ??X-Evil: 1);\r\n"
		     "\tdkim=fail reason=\"body \\\"hash\\\"\" header.i=@example.com "
		     "header.b=\"ab/+c=12\""
		     " header.d=\"x; dkim=pass\" header.from=\"a..b@example.com\""
		     " smtp.mailfrom=\"'a@example.com\""
		     " smtp.rcptto=\"?????@example.com\"\r\n");
	/* What we write is what we recognise. */
	assert_true(authres_claims(str_skip(str_c(buf), 23), STR("mx.example.net")));
}

/* RFC 8616 5: UTF-8 where the message is SMTPUTF8. */
static void writer_utf8(void **state)
{
	struct authres_writer w;
	char buf[2048];

	(void)state;
	authres_begin(&w, buf, sizeof(buf), STR("mx.example.net"));
	w.utf8 = true;
	authres_result(&w, "spf", "pass", STR("\xc3\xa4\xe4"));
	authres_property(&w, "smtp", "mailfrom", STR("\xc3\xa4.b@\xc3\xa4.example"));
	authres_property(&w, "smtp", "helo", STR("a@\xc3\xa4..example"));
	authres_property(&w, "smtp", "rcptto", STR("a\xe2\x80\xae@example.com"));
	authres_property(&w, "header", "from", STR("\xc3\xa4..b@example.com"));
	authres_comment(&w, STR("\xc3\xa4\xc2\x85)"));
	assert_true(authres_end(&w) > 0);
	assert_string_equal(buf, "Authentication-Results: mx.example.net;\r\n"
		"\tspf=pass reason=\"\xc3\xa4?\" smtp.mailfrom=\xc3\xa4.b@\xc3\xa4.example"
		" smtp.helo=\"a@\xc3\xa4..example\" smtp.rcptto=\"a???@example.com\""
		" header.from=\"\xc3\xa4..b@example.com\" (\xc3\xa4??\\))\r\n");
	assert_true(authres_claims(str_skip(str_c(buf), 23), STR("mx.example.net")));
}

static void writer_bounds(void **state)
{
	struct authres_writer w;
	char buf[4096], big[600], small[64];
	size_t line = 0;

	(void)state;
	memset(big, 'x', sizeof(big));
	authres_begin(&w, buf, sizeof(buf), STR("mx.example.net"));
	authres_result(&w, "spf", "pass", str_make(big, 600));
	authres_property(&w, "smtp", "mailfrom", str_make(big, 600));
	authres_comment(&w, str_make(big, 500));
	assert_true(authres_end(&w) > 1700);
	for (size_t i = 0; i < w.len; i++) {
		line = buf[i] == '\n' ? 0 : line + 1;
		assert_true(line <= 999);
	}
	assert_non_null(strstr(buf, "\"\r\n\tsmtp.mailfrom=x"));
	assert_non_null(strstr(buf, "x\r\n\t(x"));

	authres_begin(&w, small, sizeof(small), STR("mx.example.net"));
	authres_result(&w, "spf", "temperror", STR("long text"));
	assert_int_equal(authres_end(&w), -ENOSPC);
	authres_begin(&w, buf, sizeof(buf), STR("mx.example.net"));
	authres_result(&w, "s pf", "pass", STR_NONE);
	assert_int_equal(authres_end(&w), -ENOSPC);
	authres_begin(&w, buf, sizeof(buf), STR("mx.example.net"));
	authres_property(&w, "smtp", "helo", STR("x"));
	assert_int_equal(authres_end(&w), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims), cmocka_unit_test(long_values),
		cmocka_unit_test(writer), cmocka_unit_test(writer_utf8), cmocka_unit_test(writer_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
