/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The grammar of PROXY headers, each at every split, and of XCLIENT. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/smtp/proxy.h"
#include "dataplane/smtp/smtp_xclient.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x01\xcb\x00\x71\x05\x30\x39\x00\x19" /* 192.0.2.1 203.0.113.5 12345 25 */
#define V6                                                                                         \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\x30\x39\x00\x19"
#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

/* A copy of exact size: reading behind it is seen. */
static long parse(const uint8_t *p, size_t n, struct proxy_header *h)
{
	uint8_t *copy = malloc(n ? n : 1);
	long rc;

	assert_non_null(copy);
	memcpy(copy, p, n);
	rc = proxy_parse(copy, n, h);
	if (rc > 0 && h->authority.n)
		h->authority.p = p + (h->authority.p - copy);
	if (rc > 0 && h->alpn.n)
		h->alpn.p = p + (h->alpn.p - copy);
	if (rc > 0 && h->ssl.n)
		h->ssl.p = p + (h->ssl.p - copy);
	free(copy);
	return rc;
}

/* Whole, with octets behind, and each beginning of it, which must want more and not too much. */
static struct proxy_header good(const uint8_t *p, size_t n)
{
	uint8_t with_more[4096];
	struct proxy_header h, whole;

	assert_int_equal(parse(p, n, &whole), (long)n);
	memcpy(with_more, p, n);
	memcpy(with_more + n, "EHLO", 4);
	assert_int_equal(parse(with_more, n + 4, &h), (long)n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(parse(p, i, &h), -EAGAIN);
		assert_in_range(proxy_more(p, i), 1, n - i);
	}
	return whole;
}

/* Refused as a whole; no beginning of it is a header. */
static void bad(const uint8_t *p, size_t n)
{
	struct proxy_header h;
	bool refused = false;

	for (size_t i = 0; i <= n; i++) {
		long rc = parse(p, i, &h);

		assert_true(rc == -EBADMSG || (rc == -EAGAIN && !refused));
		refused |= rc == -EBADMSG;
	}
	assert_true(refused);
}

static void test_v1(void **state)
{
	struct proxy_header h = good(BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 12345 25\r\n"));
	uint8_t want[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};

	(void)state;
	assert_false(h.local);
	assert_memory_equal(h.src, want, 16);
	assert_int_equal(h.src_port, 12345);
	assert_int_equal(h.dst_port, 25);
	assert_int_equal(h.dst[12], 203);
	h = good(BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n"));
	assert_int_equal(h.src[15], 1);
	assert_int_equal(h.dst[15], 2);
	assert_int_equal(h.dst_port, 65535);
	assert_true(good(BYTES("PROXY UNKNOWN\r\n")).local);
	assert_true(good(BYTES("PROXY UNKNOWN what ever\r\n")).local);
	/* 2.1: the longest line that can be. */
	good(BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"));
}

static void test_v1_bad(void **state)
{
	static const char *const line[] = {
		"EHLO a\r\n", "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
		"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
		"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
		"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
		"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
		"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
		"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX",
		"PROXY TCP4 192.0.2.1\t192.0.2.2 1 2\r\n",
		"PROXY UNKNOWNX\r\n", "PROXY TCP4\r\n", "PROXY TCP4 \r\n", "PROXY \r\n", "PROXY\r\n",
		"PROXY UNKNOWN \x80\r\n", "\r\nEHLO a\r\n", "\r\n\r\nEHLO\r\n",
	};
	uint8_t longest[200];

	(void)state;
	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++)
		bad((const uint8_t *)line[i], strlen(line[i]));
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "PROXY UNKNOWN ", 14);
	bad(longest, sizeof(longest));
	longest[106] = '\r'; /* 108 octets */
	longest[107] = '\n';
	bad(longest, 108);
}

static void test_v2(void **state)
{
	struct proxy_header h = good(BYTES(SIG "\x21\x11\0\x0c" V4));

	(void)state;
	assert_false(h.local);
	assert_int_equal(h.version, 2);
	assert_int_equal(h.src[10], 0xff);
	assert_int_equal(h.src[15], 1);
	assert_int_equal(h.dst[15], 5);
	assert_int_equal(h.src_port, 12345);
	assert_int_equal(h.dst_port, 25);
	h = good(BYTES(SIG "\x21\x21\0\x24" V6));
	assert_int_equal(h.src[0], 0x20);
	assert_int_equal(h.src[15], 1);
	assert_int_equal(h.dst[15], 2);
	/* LOCAL: whatever stands in the rest. */
	assert_true(good(BYTES(SIG "\x20\x00\0\0")).local);
	assert_true(good(BYTES(SIG "\x20\x11\0\x0c" V4)).local);
	assert_true(good(BYTES(SIG "\x20\xff\0\x03xyz")).local);
	assert_true(good(BYTES(SIG "\x21\x00\0\x03xyz")).local);
}

static void test_v2_tlvs(void **state)
{
	struct proxy_header h = good(BYTES(SIG "\x21\x11\0\x3d" V4 "\x01\0\x04smtp"
					   "\x02\0\x0bmx.test.exa" "\x04\0\0" "\x20\0\x12\x01\0\0\0\0"
					   "\x21\0\x07TLSv1.3\x22\0\0" "\xe0\0\x01z"));

	(void)state;
	assert_true(str_eq(h.alpn, STR("smtp")));
	assert_true(str_eq(h.authority, STR("mx.test.exa")));
	assert_int_equal(h.ssl.n, 18);
	assert_int_equal(h.ssl.p[0], 1);
	good(BYTES(SIG "\x21\x11\0\x13" V4 "\x03\0\x04" "\x35\x39\x1b\xb4"));
}

static void test_v2_bad(void **state)
{
	static uint8_t big[16 + 2100] = SIG "\x21\x11";

	(void)state;
	bad(BYTES("\r\n\r\n\0\r\nQUIX\n"));
	bad(BYTES(SIG "\x11\x11\0\x0c" V4)); /* version */
	bad(BYTES(SIG "\x22\x11\0\x0c" V4)); /* command */
	bad(BYTES(SIG "\x21\x12\0\x0c" V4)); /* datagrams */
	bad(BYTES(SIG "\x21\x31\0\x0c" V4)); /* UNIX */
	bad(BYTES(SIG "\x21\x41\0\x0c" V4));
	bad(BYTES(SIG "\x21\x11\0\x0b" V4)); /* shorter than its addresses */
	bad(BYTES(SIG "\x21\x21\0\x0c" V4));
	bad(BYTES(SIG "\x21\x11\0\x0e" V4 "\x01\0"));         /* half a TLV */
	bad(BYTES(SIG "\x21\x11\0\x10" V4 "\x01\0\x02z"));    /* a TLV over the end */
	bad(BYTES(SIG "\x21\x11\0\x13" V4 "\x20\0\x04\0\0\0\0")); /* SSL without its head */
	bad(BYTES(SIG "\x21\x11\0\x16" V4 "\x20\0\x07\0\0\0\0\0\x21\0")); /* half a sub-TLV */
	bad(BYTES(SIG "\x21\x11\0\x13" V4 "\x03\0\x04" "\0\0\0\1")); /* checksum */
	bad(BYTES(SIG "\x21\x11\0\x12" V4 "\x03\0\x03" "\0\0\0"));
	big[14] = 2100 >> 8;
	big[15] = 2100 & 255;
	bad(big, sizeof(big));
}

static void test_xtext(void **state)
{
	uint8_t out[8];

	(void)state;
	assert_int_equal(smtp_xtext(STR("a+3Db"), out, sizeof(out)), 3);
	assert_memory_equal(out, "a=b", 3);
	assert_int_equal(smtp_xtext(STR("12345678"), out, sizeof(out)), 8);
	assert_int_equal(smtp_xtext(STR("123456789"), out, sizeof(out)), -1);
	assert_int_equal(smtp_xtext(STR("a+3"), out, sizeof(out)), -1);
	assert_int_equal(smtp_xtext(STR("a+3d"), out, sizeof(out)), -1);
	assert_int_equal(smtp_xtext(STR("a=b"), out, sizeof(out)), -1);
	assert_int_equal(smtp_xtext(STR("a b"), out, sizeof(out)), -1);
}

static void test_xclient(void **state)
{
	static const char *const wrong[] = {
		"", "ADDR", "ADDR=", "=x", "ADDR=x", "ADDR=2001:db8::1", "ADDR=IPV6:192.0.2.1",
		"ADDR=192.0.2.1 ADDR=192.0.2.1",
		"PORT=65536", "PORT=x", "PROTO=LMTP", "HELO=a+0D+0Ab",
		"HELO=a+20b", "NAME=a+00", "FOO=bar",
		"ADDR=[192.0.2.1]", "ADDR=192.0.2.1+00",
		"HELO=+", "NAME=\x80", "DESTADDR=IPV6:", "ADDR=192.0.2.1\tPORT=1",
	};
	struct smtp_xclient x;
	char longest[300] = "HELO=";

	(void)state;
	assert_true(smtp_xclient_parse(
		STR("name=mail.example.org  addr=IPV6:2001:db8::7 PORT=25000 PROTO=esmtp "
		    "HELO=mx.example.org LOGIN=a+40b DESTADDR=192.0.2.1 DESTPORT=[UNAVAILABLE]"), &x));
	assert_true(x.has_addr && x.addr_known && x.has_port);
	assert_true(x.has_dest && x.dest_known && x.has_dest_port);
	assert_int_equal(x.addr[15], 7);
	assert_int_equal(x.port, 25000);
	assert_int_equal(x.dest_port, 0);
	assert_int_equal(x.proto, PROTO_ESMTP);
	assert_int_equal(x.helo_len, 14);
	assert_memory_equal(x.helo, "mx.example.org", 14);
	assert_true(smtp_xclient_parse(STR("ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL] HELO=[UNAVAILABLE] "
					   "PORT=[UNAVAILABLE]"), &x));
	assert_true(x.has_addr && !x.addr_known && x.has_helo);
	assert_int_equal(x.helo_len, 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (smtp_xclient_parse(str_c(wrong[i]), &x))
			fail_msg("taken: %s", wrong[i]);
	memset(longest + 5, 'a', 255);
	assert_true(smtp_xclient_parse(str_c(longest), &x));
	longest[5 + 255] = 'a';
	assert_false(smtp_xclient_parse(str_c(longest), &x));
}

/* NOOP and the checksum are dropped, the rest is kept in its order, each whole or not at all. */
static void test_keep(void **state)
{
	static const uint8_t in[] = "\x01\0\x04smtp\x04\0\x02zz\x03\0\x04""crcc\x02\0\x02mx";
	static const uint8_t all[] = "\x01\0\x04smtp\x02\0\x02mx";
	uint8_t out[16];
	bool cut = true;

	(void)state;
	assert_int_equal(proxy_tlvs_keep(str_make(in, sizeof(in) - 1), out, 12, &cut), 12);
	assert_memory_equal(out, all, 12);
	assert_false(cut);
	memset(out, 0xee, sizeof(out));
	assert_int_equal(proxy_tlvs_keep(str_make(in, sizeof(in) - 1), out, 11, &cut), 7);
	assert_memory_equal(out, all, 7);
	assert_int_equal(out[7], 0xee);
	assert_true(cut);
	assert_int_equal(proxy_tlvs_keep(str_make(in, sizeof(in) - 1), out, 6, &cut), 5);
	assert_memory_equal(out, all + 7, 5);
	assert_true(cut);
	assert_int_equal(proxy_tlvs_keep(STR_NONE, out, sizeof(out), &cut), 0);
	assert_false(cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1), cmocka_unit_test(test_v1_bad), cmocka_unit_test(test_v2),
		cmocka_unit_test(test_v2_tlvs), cmocka_unit_test(test_v2_bad), cmocka_unit_test(test_xtext), cmocka_unit_test(test_keep),
		cmocka_unit_test(test_xclient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
