/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/dns/dns_zone.h"

static const char zone_text[] = "; a comment\n"
				"$ORIGIN example.com.\n"
				"$TTL 1h30m\n"
				"@  IN SOA ns hostmaster ( 1 ; serial\n"
				"      7200 3600\n"
				"      1209600 600 )\n"
				"   IN NS ns\n"
				"   300 IN MX 10 mail\n"
				"   IN 300 MX 20 mail.example.net.\n"
				"ns A 192.0.2.53\n"
				"   AAAA 2001:db8::53\n"
				"txt TXT \"a \\\"quoted\\\" ; string\" plain \\065\\;b \"\"\n"
				"alias CNAME txt\n"
				"loop CNAME loop\n"
				"*.wild A 192.0.2.99\n"
				"host.wild TXT here\n"
				"deep.er.below A 192.0.2.1\n"
				"odd\\.dot A 192.0.2.2\n"
				"s SPF \"v=spf1 -all\"\n"
				"_25._tcp TLSA 3 1 1 0123456789abcdef 00\n"
				"gen TYPE65280 \\# 3 0a0B0c\n"
				"gena A \\# 4 c0000203\n"
				"$ORIGIN sub\n"
				"www A 192.0.2.80\n"
				"1.2.0.192.in-addr.arpa. PTR ns.example.com.\n";

static struct dns_zone *load(const char *text, int want, char *err)
{
	struct dns_zone *z = dns_zone_new();

	assert_non_null(z);
	err[0] = '\0';
	assert_int_equal(dns_zone_parse(z, (const uint8_t *)text, strlen(text), "z", err, 256),
			 want);
	return z;
}

static void ask(struct dns_zone *z, const char *name, uint16_t type, struct dns_parsed *a)
{
	struct dns_wire_name w;

	assert_int_equal(dns_wire_from_text(str_c(name), &w), 0);
	dns_parsed_init(a);
	assert_int_equal(dns_zone_lookup(z, &w, type, a), 0);
}

static void expect(struct dns_zone *z, const char *name, uint16_t type, enum dns_status status,
		   size_t n)
{
	struct dns_parsed a;

	ask(z, name, type, &a);
	if (a.status != status || a.n != n)
		fail_msg("%s %u: status %d, %zu records", name, type, a.status, a.n);
	dns_parsed_free(&a);
}

static void test_lookup(void **state)
{
	char err[256], text[300];
	struct dns_zone *z = load(zone_text, 0, err);
	struct dns_parsed a;
	long n;

	(void)state;
	expect(z, "example.com", DNS_MX, DNS_OK, 2);
	expect(z, "EXAMPLE.com.", DNS_NS, DNS_OK, 1);
	expect(z, "ns.example.com", DNS_AAAA, DNS_OK, 1);
	expect(z, "ns.example.com", DNS_TXT, DNS_NODATA, 0);
	expect(z, "nope.example.com", DNS_A, DNS_NXDOMAIN, 0);
	expect(z, "er.below.example.com", DNS_A, DNS_NODATA, 0); /* empty non-terminals */
	expect(z, "below.example.com", DNS_A, DNS_NODATA, 0);
	expect(z, "any.wild.example.com", DNS_A, DNS_OK, 1);
	expect(z, "a.b.wild.example.com", DNS_A, DNS_OK, 1);
	expect(z, "any.wild.example.com", DNS_MX, DNS_NODATA, 0);
	expect(z, "host.wild.example.com", DNS_A, DNS_NODATA, 0); /* RFC 4592: the name is there */
	expect(z, "x.host.wild.example.com", DNS_A, DNS_NXDOMAIN, 0); /* another closest encloser */
	expect(z, "s.example.com", DNS_SPF, DNS_OK, 1);
	expect(z, "s.example.com", DNS_TXT, DNS_NODATA, 0);
	expect(z, "_25._tcp.example.com", DNS_TLSA, DNS_OK, 1);
	expect(z, "gen.example.com", 65280, DNS_OK, 1);
	expect(z, "www.sub.example.com", DNS_A, DNS_OK, 1);
	expect(z, "1.2.0.192.in-addr.arpa", DNS_PTR, DNS_OK, 1);
	expect(z, "loop.example.com", DNS_A, DNS_TEMPFAIL, 0);
	ask(z, "alias.example.com", DNS_TXT, &a);
	assert_string_equal(a.alias, "txt.example.com");
	n = dns_txt(&a.rr[0], (uint8_t *)text, sizeof(text));
	assert_true(str_eq(str_make(text, (size_t)n), STR("a \"quoted\" ; stringplainA;b")));
	assert_int_equal(dns_txt(&a.rr[0], (uint8_t *)text, 5), -ENOSPC);
	assert_int_equal(a.ttl, 5400);
	dns_parsed_free(&a);
	ask(z, "gena.example.com", DNS_A, &a);
	assert_memory_equal(a.rr[0].data, "\xc0\x00\x02\x03", 4);
	dns_parsed_free(&a);
	ask(z, "nope.example.com", DNS_A, &a);
	assert_int_equal(a.ttl, 600);
	dns_parsed_free(&a);
	ask(z, "example.com", DNS_MX, &a);
	assert_int_equal(a.ttl, 300);
	assert_int_equal(dns_name(&a.rr[1], 2, text, sizeof(text)), 16);
	assert_string_equal(text, "mail.example.net");
	assert_int_equal(dns_name(&a.rr[1], 2, text, 10), -ENOSPC);
	assert_int_equal(dns_name(&a.rr[1], 99, text, sizeof(text)), -EBADMSG);
	dns_parsed_free(&a);
	dns_zone_free(z);
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *err;
	} t[] = {
		{"a.example. A 192.0.2\n", "z:1: not an IPv4 address"},
		{"\n\n  A 192.0.2.1\n", "z:3: the first record has no owner name"},
		{"a.example. WKS 1\n", "z:1: unknown record type or class"},
		{"a.example. CH A 192.0.2.1\n", "z:1: unknown record type or class"},
		{"a.example. IN\n", "z:1: record type missing"},
		{"a.example. TXT\n", "z:1: record data missing"},
		{"a.example. TXT \"x\n\"\n", "z:1: quoted string does not end on its line"},
		{"a.example. TXT \\300\n", "z:1: bad escape, or a string over 255 octets"},
		{"a.example. SOA ( x y 1 2 3 4\n", "z:1: parenthesis is not closed"},
		{"a.example. A ) 192.0.2.1\n", "z:1: closing parenthesis without an opening one"},
		{"a.example. A (( 192.0.2.1 ))\n", "z:1: nested parenthesis"},
		{"$INCLUDE /etc/passwd\n", "z:1: directive is not supported"},
		{"$TTL soon\n", "z:1: $TTL wants one time"},
		{"$ORIGIN a..b.\n", "z:1: $ORIGIN wants one domain name"},
		{"a..example. A 192.0.2.1\n", "z:1: malformed owner name"},
		{"a.example. CNAME b\na.example. A 192.0.2.1\n",
		 "z:2: record refused: CNAME beside other data, or malformed"},
		{"a.example. A \\# 3 c00002\n", "z:1: malformed record data"},
		{"a.example. TYPE300 x\n",
		 "z:1: data of this type must be written as \\# (RFC 3597)"},
		{"a.example. MX mail\n", "z:1: MX wants a preference and a name"},
		{"a.example. MX 65536 mail\n", "z:1: MX wants a preference and a name"},
		{"a.example. TLSA 3 1 1 0\n", "z:1: TLSA wants three numbers and hexadecimal data"},
	};
	char err[256];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct dns_zone *z = load(t[i].text, -EINVAL, err);

		assert_string_equal(err, t[i].err);
		dns_zone_free(z);
	}
}

static void test_file(void **state)
{
	char path[] = "/tmp/zone-test-XXXXXX", err[256];
	struct dns_zone *z = dns_zone_new();
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, zone_text, sizeof(zone_text) - 1), sizeof(zone_text) - 1);
	close(fd);
	assert_int_equal(dns_zone_load(z, path, err, sizeof(err)), 0);
	expect(z, "ns.example.com", DNS_A, DNS_OK, 1);
	unlink(path);
	assert_int_equal(dns_zone_load(z, path, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, path));
	dns_zone_free(z);
}

static void test_names(void **state)
{
	struct dns_wire_name w;
	char label[70], text[300] = "";
	struct ip_addr ip;

	(void)state;
	memset(label, 'a', 64);
	label[64] = '\0';
	assert_int_equal(dns_wire_from_text(str_c(label), &w), -EINVAL);
	assert_int_equal(dns_wire_from_text(str_c(label + 1), &w), 0);
	assert_int_equal(dns_wire_from_text(STR("a..b"), &w), -EINVAL);
	assert_int_equal(dns_wire_from_text(STR(".a"), &w), -EINVAL);
	assert_int_equal(dns_wire_from_text(STR(""), &w), 0);
	assert_int_equal(w.len, 1);
	for (int i = 0; i < 127; i++)
		strcat(text, i ? ".a" : "a");
	assert_int_equal(dns_wire_from_text(str_c(text), &w), 0);
	assert_int_equal(w.len, 255);
	strcat(text, ".a");
	assert_int_equal(dns_wire_from_text(str_c(text), &w), -EINVAL);
	/* A dot inside a label would come out as two labels. */
	assert_int_equal(dns_wire_to_text((const uint8_t *)"\x03"
							   "a.b\x00",
					  5, text, sizeof(text)),
			 -EBADMSG);
	assert_int_equal(dns_wire_to_text((const uint8_t *)"\x03"
							   "a\0b\x00",
					  5, text, sizeof(text)),
			 -EBADMSG);
	assert_int_equal(dns_wire_to_text((const uint8_t *)"\x03"
							   "ab",
					  3, text, sizeof(text)),
			 -EBADMSG);
	assert_true(ip_parse(STR("192.0.2.1"), &ip));
	dns_reverse_name(&ip, text, sizeof(text));
	assert_string_equal(text, "1.2.0.192.in-addr.arpa");
	assert_true(ip_parse(STR("2001:db8::1"), &ip));
	dns_reverse_name(&ip, text, 74);
	assert_string_equal(
		text, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

static const uint8_t
	reply[] =
		{
			0,    1,   0x81, 0x80, 0,   1,   0,   3,   0, 0,  0,  0, 1,   'a',
			7,    'e', 'x',  'a',  'm', 'p', 'l', 'e', 0, 0,  15, 0, 1, /* 12: a.example
										       MX */
			0xc0, 12,  0,    5,    0,   1,   0,   0,   0, 60, 0,  4, 1,   'b',
			0xc0, 14, /* a CNAME b.example */
			0xc0, 39,  0,    15,   0,   1,   0,   0,   0, 30, 0,  6, 0,   5,
			1,    'm', 0xc0, 14, /* b.example MX 5 m.example */
			0xc0, 39,  0,    1,    0,   1,   0,   0,   0, 30, 0,  4, 192, 0,
			2,    1, /* another type: ignored */
};

static int packet(const uint8_t *p, size_t n, const char *name, uint16_t type, struct dns_parsed *a)
{
	struct dns_wire_name w;

	assert_int_equal(dns_wire_from_text(str_c(name), &w), 0);
	dns_parsed_init(a);
	return dns_packet_parse(a, p, n, &w, type);
}

static void test_packet(void **state)
{
	struct dns_parsed a;
	uint8_t copy[sizeof(reply)];
	char text[256];

	(void)state;
	assert_int_equal(packet(reply, sizeof(reply), "A.Example", DNS_MX, &a), 0);
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.n, 1);
	assert_int_equal(a.ttl, 30);
	assert_true(dns_name(&a.rr[0], 2, text, sizeof(text)) > 0);
	assert_string_equal(text, "m.example");
	assert_string_equal(a.alias, "b.example");
	dns_parsed_free(&a);
	assert_int_equal(packet(reply, sizeof(reply), "x.example", DNS_MX, &a), -EBADMSG);
	assert_int_equal(packet(reply, sizeof(reply), "a.example", DNS_A, &a), -EBADMSG);
	for (size_t n = 0; n < sizeof(reply); n++) {
		uint8_t *cut = malloc(n ? n : 1); /* so that ASan sees a read behind it */

		memcpy(cut, reply, n);
		assert_int_equal(packet(cut, n, "a.example", DNS_MX, &a), -EBADMSG);
		assert_int_equal(a.status, DNS_TEMPFAIL);
		assert_true(a.reason[0] != '\0');
		dns_parsed_free(&a);
		free(cut);
	}
	memcpy(copy, reply, sizeof(reply));
	copy[42] = 39; /* the pointer in the CNAME's name points forward, to itself */
	assert_int_equal(packet(copy, sizeof(copy), "a.example", DNS_MX, &a), -EBADMSG);
	dns_parsed_free(&a);
	memcpy(copy, reply, sizeof(reply));
	copy[3] = 0x82;
	assert_int_equal(packet(copy, sizeof(copy), "a.example", DNS_MX, &a), 0);
	assert_int_equal(a.status, DNS_TEMPFAIL);
	assert_string_equal(a.reason, "reply with RCODE 2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup), cmocka_unit_test(test_errors),
		cmocka_unit_test(test_file),   cmocka_unit_test(test_names),
		cmocka_unit_test(test_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
