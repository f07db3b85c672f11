/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/mail/proxy_tlv.h"

/* Parsed from an exact copy, so that the sanitizer sees a read past its end. */
static bool parse(struct str s, struct proxy_facts *f)
{
	static uint8_t *copy;

	free(copy);
	copy = malloc(s.n ? s.n : 1);
	assert_non_null(copy);
	if (s.n)
		memcpy(copy, s.p, s.n);
	return proxy_tlv_parse(str_make(copy, s.n), f);
}

#define SSL_SUB "\x21\0\7TLSv1.3\x22\0\5relay\x23\0\3AES\x24\0\1x"
#define SSL_TLV(flags, verify) "\x20\0\x21" flags verify SSL_SUB

static void good(void **state)
{
	struct proxy_facts f;

	(void)state;
	assert_true(parse(STR(""), &f));
	assert_null(f.authority.p);
	assert_false(f.ssl);
	assert_true(parse(STR("\1\0\4smtp\2\0\3a.b\5\0\2\xff\0\xee\0\1x\x30\0\0"), &f));
	assert_true(str_eq(f.alpn, STR("smtp")));
	assert_true(str_eq(f.authority, STR("a.b")));
	assert_true(str_eq(f.unique_id, STR("\xff\0")));
	/* the first counts, also if it is empty */
	assert_true(parse(STR("\2\0\0\2\0\1x"), &f));
	assert_true(f.authority.p && !f.authority.n);
}

static void ssl_facts(void **state)
{
	static const struct {
		struct str in;
		bool ssl, verified;
	} t[] = {
		{{(const uint8_t *)SSL_TLV("\7", "\0\0\0\0"), 36}, true, true},
		{{(const uint8_t *)SSL_TLV("\3", "\0\0\0\0"), 36}, true, true},
		{{(const uint8_t *)SSL_TLV("\5", "\0\0\0\0"), 36}, true, true},
		{{(const uint8_t *)SSL_TLV("\7", "\0\0\0\1"), 36}, true, false},
		{{(const uint8_t *)SSL_TLV("\7", "\1\0\0\0"), 36}, true, false},
		{{(const uint8_t *)SSL_TLV("\1", "\0\0\0\0"), 36}, true, false}, /* no certificate */
		{{(const uint8_t *)SSL_TLV("\6", "\0\0\0\0"), 36}, false, false}, /* no TLS */
	};
	struct proxy_facts f;

	(void)state;
	_Static_assert(sizeof(SSL_TLV("\7", "\0\0\0\0")) - 1 == 36, "SSL_TLV");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_true(parse(t[i].in, &f));
		assert_int_equal(f.ssl, t[i].ssl);
		assert_int_equal(f.ssl_verified, t[i].verified);
		assert_true(str_eq(f.ssl_version, STR("TLSv1.3")));
		assert_true(str_eq(f.ssl_cn, STR("relay")));
		assert_true(str_eq(f.ssl_cipher, STR("AES")));
	}
}

static void bad(void **state)
{
	static char big[3 + 256] = "\2\1\0", id[3 + 129] = "\5\0\x81";
	const struct str whole = STR("\2\0\3a.b" SSL_TLV("\7", "\0\0\0\0"));
	struct proxy_facts f;

	(void)state;
	/* Cut anywhere but between two, and what was whole is there. */
	for (size_t n = 1; n < whole.n; n++) {
		assert_int_equal(parse(str_cut(whole, n), &f), n == 6);
		assert_int_equal(f.authority.n, n < 6 ? 0 : 3);
	}
	assert_false(parse(STR("\2\0\3a.b\1"), &f));
	assert_true(str_eq(f.authority, STR("a.b")));
	assert_false(parse(STR("\x20\0\4\1\0\0\0"), &f));
	assert_false(parse(STR("\x20\0\7\1\0\0\0\0\x21\0"), &f));
	assert_false(parse(STR("\x20\0\x0a\1\0\0\0\0\x21\0\3x"), &f));
	assert_false(parse(str_make(big, sizeof(big)), &f));
	assert_false(parse(str_make(id, sizeof(id)), &f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good), cmocka_unit_test(ssl_facts), cmocka_unit_test(bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
