/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/origin/origin.h"

#define DATE "Tue, 14 Nov 2023 22:13:20 +0000"

static void reads(void **state)
{
	static const struct { const char *line, *ip, *helo, *rdns, *by, *with, *id, *to;
	} t[] = {
		{" from mail.example.com (mx.example.com [192.0.2.1])\r\n\tby gw.example.net "
		 "(Postern) with ESMTPS"
		 " id 0123456789ABCDEF\r\n\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384)\r\n\tfor "
		 "<a@example.net>;\r\n\t" DATE,
		 "192.0.2.1", "mail.example.com", "mx.example.com", "gw.example.net", "ESMTPS",
		 "0123456789ABCDEF", "a@example.net"},
		{"from a.example (unknown [IPv6:2001:db8::1]) by b.example (Postfix) with ESMTP id "
		 "4F; " DATE " (UTC)",
		 "2001:db8::1", "a.example", "", "b.example", "ESMTP", "4F", ""},
		{"from a.example (p.example [192.0.2.9]) (using TLSv1.3 with cipher "
		 "TLS_AES_256_GCM_SHA384 (256/256"
		 " bits) key-exchange X25519) (No client certificate requested) by b.example "
		 "(Postfix) with ESMTPS"
		 " id X for <c@example.org>; " DATE,
		 "192.0.2.9", "a.example", "p.example", "b.example", "ESMTPS", "X",
		 "c@example.org"},
		{"from a.example.com (203.0.113.7) by b.example.net (2001:db8::2) with Microsoft "
		 "SMTP Server"
		 " (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.20.1.2 via "
		 "Frontend"
		 " Transport; " DATE,
		 "203.0.113.7", "a.example.com", "", "b.example.net", "Microsoft SMTP Server",
		 "15.20.1.2", ""},
		{"from A.example.com (2001:db8::7) by b.example.net (10.0.0.1) with Microsoft SMTP "
		 "Server id 8;"
		 " Tue, 14 Nov 2023 22:13:20.123 +0000",
		 "2001:db8::7", "A.example.com", "", "b.example.net", "Microsoft SMTP Server", "8",
		 ""},
		{"from m.example.com (m.example.com. [198.51.100.3]) by mx.example.org with ESMTPS "
		 "id abc-1.2"
		 " for <d@example.org> (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 "
		 "bits=256/256); Tue, 14 Nov"
		 " 2023 14:13:20 -0800 (PST)",
		 "198.51.100.3", "m.example.com", "m.example.com", "mx.example.org", "ESMTPS",
		 "abc-1.2", "d@example.org"},
		{"from [10.1.1.1] ([192.0.2.4]) by b.example with SMTP id 1; 4 Nov 2023 22:13 "
		 "+0000",
		 "192.0.2.4", "[10.1.1.1]", "", "b.example", "SMTP", "1", ""},
		{"from a.example (a.example [192.0.2.4]) by b.example (Postern) with UTF8SMTPS id 1 "
		 "for <\xc3\xa4@b\xc3\xbc.example>; " DATE,
		 "192.0.2.4", "a.example", "a.example", "b.example", "UTF8SMTPS", "1",
		 "\xc3\xa4@b\xc3\xbc.example"},
	};
	struct received r;
	uint8_t scratch[2048];
	const char *why;
	char ip[46];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (received_parse_strict(str_c(t[i].line), scratch, sizeof(scratch), &r, &why))
			fail_msg("%s: %s", why, t[i].line);
		assert_string_equal(ip_format(&r.ip, ip, sizeof(ip)), t[i].ip);
		assert_true(str_eq(r.helo, str_c(t[i].helo)));
		assert_true(str_eq(r.rdns, str_c(t[i].rdns)));
		assert_true(str_eq(r.by, str_c(t[i].by)));
		assert_true(str_eq(r.with, str_c(t[i].with)));
		assert_true(str_eq(r.id, str_c(t[i].id)));
		assert_true(str_eq(r.for_addr, str_c(t[i].to)));
		assert_true(r.date.n > 0);
	}
	assert_int_equal(received_parse_strict(str_c(t[0].line), scratch, 20, &r, &why), -ENOSPC);
}

static void refuses(void **state)
{
#define TAIL " by b.example with SMTP id 1; " DATE
	static const char *const t[] = {
		"",
		"from",
		"by 2001:db8::1 with SMTP id x; " DATE,
		"from a.example by b.example with SMTP id 1; " DATE,
		"from a.example (a.example)" TAIL,
		"from a.example (a.example [192.0.2])" TAIL,
		"from a.example (a.example [192.0.2.1] x)" TAIL,
		"from a.example (a b [192.0.2.1])" TAIL,
		"from a.example (a.example [192.0.2.1)" TAIL,
		"from a.example (a.example [192.0.2.1][192.0.2.2])" TAIL,
		"from a.example ([IPv6:192.0.2.1])" TAIL,
		/* the HELO was "x (198.51.100.1)": two addresses */
		"from x (198.51.100.1) (p.example [192.0.2.1])" TAIL,
		"from x ([198.51.100.1]) (using TLSv1) (p.example [192.0.2.1])" TAIL,
		"from x ([198.51.100.1]) by r.example with SMTP id 1; " DATE
		" ( (p.example [192.0.2.1])" TAIL " (UTC)",
		"from x ([198.51.100.1]) by r.example with SMTP id 1; " DATE
		" (p.example [192.0.2.1])" TAIL,
		"from x ([198.51.100.1]) by r.example (\\) (p.example [192.0.2.1])" TAIL,
		"from x (y (192.0.2.1))" TAIL,
		"from x y (p.example [192.0.2.1])" TAIL,
		"from \"x y\" (p.example [192.0.2.1])" TAIL,
		"from x;y (p.example [192.0.2.1])" TAIL,
		"from a (p [192.0.2.1]) by b by c with SMTP id 1; " DATE,
		"from a (p [192.0.2.1]) by b with SMTP with SMTP id 1; " DATE,
		"from a (p [192.0.2.1]) by b with SMTP id 1 from c ([192.0.2.2]); " DATE,
		"from a (p [192.0.2.1]) by b with SMTP id 1",
		"from a (p [192.0.2.1]) by b with SMTP id 1;",
		"from a (p [192.0.2.1]) by b with SMTP id 1; yesterday",
		"from a (p [192.0.2.1]) by b with SMTP id 1; Tue, 14 Nov 2023 22:13:20 GMT",
		"from a (p [192.0.2.1]) by b with SMTP id 1; " DATE " x",
		"from a (p [192.0.2.1]) by b for <a b>; " DATE,
		"from a (p [192.0.2.1]) by b for <a@b>x; " DATE ";",
		"from a (p [192.0.2.1]) by b with SMTP id 1; " DATE "\xc3\xa4",
		"from a\x01 (p [192.0.2.1])" TAIL,
		"from \xc3\xa4 (p [192.0.2.1])" TAIL,
		"from a (\xc3\xa4 [192.0.2.1])" TAIL,
		"from a (p [192.0.2.1]) (using TLS \xc3\xa4)" TAIL,
		"from a (p [192.0.2.1]) by b for <\xe4@b>; " DATE,
		"from a (p [192.0.2.1]) by b for <a\xe2\x80\xae@b>; " DATE,
		"from a (p [192.0.2.1]) by b for <a\xc2\x85@b>; " DATE,
		"from a (p [192.0.2.1]) by b for \xc3\xa4@b; " DATE,
		"from a (p [192.0.2.1])\nby b; " DATE,
	};
	struct received r;
	uint8_t scratch[2048];
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (received_parse_strict(str_c(t[i]), scratch, sizeof(scratch), &r, &why) !=
		    -EBADMSG)
			fail_msg("taken: %s", t[i]);
		assert_true(why[0] != '\0');
	}
}

/* ---- walk --------------------------------------------------------------------------------- */

static const char *const by_r1[] = {"r1.example.net"};
static struct ip_range net1, net2, net3;
static struct origin_relay relay[3];
static const struct origin_relays relays = {relay, 3};

static int setup(void **state)
{
	(void)state;
	relay[0] = (struct origin_relay){.name = "edge", .range = &net1, .n_ranges = 1, .by = by_r1,
					 .n_by = 1, .hops = 1};
	relay[1] = (struct origin_relay){.name = "inner", .range = &net2, .n_ranges = 1};
	relay[2] = (struct origin_relay){.name = "double", .range = &net3, .n_ranges = 1, .hops = 2};
	return !ip_range_parse(STR("192.0.2.0/28"), &net1) ||
	       !ip_range_parse(STR("10.9.0.0/16"), &net2) ||
	       !ip_range_parse(STR("198.51.100.0-198.51.100.255"), &net3);
}

#define LINE(ip, by)                                                                               \
	"Received: from h." by " (p.example [" ip "]) by " by " with ESMTP id 1;\r\n\t" DATE "\r"  \
											     "\n"

static void walk(const char *peer, const char *m, bool allow, enum origin_status status,
		 const char *ip, size_t hops)
{
	struct iovec iov = {(void *)(uintptr_t)m, strlen(m)};
	struct mail_bytes c = {&iov, 1, strlen(m)};
	struct mail_envelope env = {.helo = STR("peer.example")};
	struct headers h;
	struct origin o;
	char buf[46];

	assert_true(ip_parse(str_c(peer), &env.peer));
	assert_int_equal(headers_parse(&h, &c), 0);
	assert_int_equal(origin_walk(&relays, &env, &h, allow, &o), 0);
	if (o.status != status || o.n_hops != hops)
		fail_msg("%s, %zu hops: %s\n%s", origin_status_name(o.status), o.n_hops, o.reason,
			 m);
	assert_string_equal(ip_format(&o.ip, buf, sizeof(buf)), ip);
	assert_int_equal(o.reason[0] != '\0',
			 status == ORIGIN_UNRESOLVED || status == ORIGIN_PRIVATE_PEER);
	assert_int_equal(o.hop[0].field, -1);
	for (size_t i = 0; i < o.n_hops; i++)
		assert_true(o.hop[i].note[0] != '\0');
	origin_free(&o);
	headers_free(&h);
}

static void walks(void **state)
{
	(void)state;
	walk("203.0.113.1", LINE("203.0.113.99", "x"), false, ORIGIN_DIRECT, "203.0.113.1", 1);
	walk("10.0.0.1", "", false, ORIGIN_PRIVATE_PEER, "10.0.0.1", 1);
	walk("10.0.0.1", "", true, ORIGIN_DIRECT, "10.0.0.1", 1);
	walk("192.0.2.1", LINE("203.0.113.5", "mx.r1.example.net") LINE("203.0.113.66", "evil"),
	     false, ORIGIN_VIA, "203.0.113.5", 2);
	/* by: the name itself, another domain with the same end */
	walk("192.0.2.1", LINE("203.0.113.5", "R1.example.net"), false, ORIGIN_VIA, "203.0.113.5",
	     2);
	walk("192.0.2.1", LINE("203.0.113.5", "xr1.example.net"), false, ORIGIN_UNRESOLVED,
	     "192.0.2.1", 1);
	walk("192.0.2.1", "Subject: x\r\n", false, ORIGIN_UNRESOLVED, "192.0.2.1", 1);
	walk("192.0.2.1", "Received: junk\r\n" LINE("203.0.113.5", "r1.example.net"), false,
	     ORIGIN_UNRESOLVED, "192.0.2.1", 1);
	walk("192.0.2.1", "Received : from a ([203.0.113.5]) by r1.example.net; " DATE "\r\n",
	     false, ORIGIN_UNRESOLVED, "192.0.2.1", 1);
	/* two relays, other fields between */
	walk("192.0.2.1",
	     "X-A: b\r\n" LINE("10.9.0.1", "r1.example.net") "X-C: d\r\n" LINE("203.0.113.5", "in"),
	     false, ORIGIN_VIA, "203.0.113.5", 3);
	/* a private hop is the end, whatever it says: behind a NAT anybody may name a relay */
	walk("192.0.2.1",
	     LINE("10.1.1.1", "r1.example.net") LINE("10.9.0.1", "mid") LINE("203.0.113.5", "in"),
	     false, ORIGIN_UNRESOLVED, "192.0.2.1", 2);
	walk("192.0.2.1", LINE("10.1.1.1", "r1.example.net") LINE("203.0.113.5", "mid"), false,
	     ORIGIN_UNRESOLVED, "192.0.2.1", 2);
	walk("192.0.2.1",
	     LINE("10.1.1.1", "r1.example.net") LINE("10.1.1.2", "a") LINE("203.0.113.5", "mid"),
	     true, ORIGIN_VIA, "10.1.1.1", 2);
	/* a relay that adds two lines */
	walk("198.51.100.1", LINE("127.0.0.1", "d") LINE("203.0.113.5", "d"), false, ORIGIN_VIA,
	     "203.0.113.5", 2);
	walk("198.51.100.1", LINE("203.0.113.6", "d") LINE("203.0.113.5", "d"), false,
	     ORIGIN_UNRESOLVED, "198.51.100.1", 1);
	walk("198.51.100.1", LINE("127.0.0.1", "d"), false, ORIGIN_UNRESOLVED, "198.51.100.1", 1);
}

/* A relay's UTF-8 is believed in an SMTPUTF8 message only. */
static void utf8_line(void **state)
{
	static const char m[] = "Received: from h.r1.example.net (p.example [203.0.113.5]) by "
				"r1.example.net with UTF8SMTP id 1 for <\xc3\xa4@example.com>; " DATE "\r\n";
	struct iovec iov = {(void *)(uintptr_t)m, strlen(m)};
	struct mail_bytes c = {&iov, 1, strlen(m)};
	struct mail_envelope env = {.helo = STR("peer.example")};
	struct headers h;
	struct origin o;

	(void)state;
	assert_true(ip_parse(STR("192.0.2.1"), &env.peer));
	assert_int_equal(headers_parse(&h, &c), 0);
	for (int i = 0; i < 2; i++) {
		env.smtputf8 = i;
		assert_int_equal(origin_walk(&relays, &env, &h, false, &o), 0);
		assert_int_equal(o.status, i ? ORIGIN_VIA : ORIGIN_UNRESOLVED);
		origin_free(&o);
	}
	headers_free(&h);
}

/* Who is at a relay's address and cannot prove to be it is a peer like any other. */
static void tls_identity(void **state)
{
	static const char *const names[] = {"relay.example.net", ".edge.example.net"};
	static const uint8_t prints[2][32] = {{1}, {[31] = 0xff}};
	static const char m[] = LINE("203.0.113.5", "r1.example.net");
	static const struct {
		const char *client;
		uint8_t flags, sha0, sha31, via;
		uint16_t version;
		const char *why; /* NULL: it is the relay */
	} t[] = {
		{"relay.example.net", 3, 9, 0, VIA_NONE, 0x0304, NULL},
		{"Relay.Example.NET", 3, 9, 0, VIA_NONE, 0x0303, NULL},
		{"a.edge.example.net", 3, 9, 0, VIA_NONE, 0x0304, NULL},
		{"a.b.edge.example.net", 3 | TLS_F_RESUMED, 9, 0, VIA_NONE, 0x0304, NULL},
		{"relay.example.net", 3, 9, 0, VIA_PROXY, 0x0304, NULL},
		{"other", 1, 1, 0, VIA_NONE, 0x0304, NULL},     /* a fingerprint needs no CA */
		{"", 1, 0, 0xff, VIA_NONE, 0x0304, NULL},
		{"", 0, 0, 0, VIA_NONE, 0, "no TLS"},
		{"relay.example.net", 3, 1, 0, VIA_NONE, 0, "no TLS"},
		{"relay.example.net", 0, 1, 0, VIA_NONE, 0x0304, "no client certificate"},
		{"relay.example.net", 2, 1, 0, VIA_NONE, 0x0304, "no client certificate"},
		{"relay.example.net", 1, 9, 0, VIA_NONE, 0x0304, "did not verify"},
		{"edge.example.net", 3, 9, 0, VIA_NONE, 0x0304, "another certificate"},
		{".edge.example.net", 3, 9, 0, VIA_NONE, 0x0304, "another certificate"},
		{"*.edge.example.net", 3, 9, 0, VIA_NONE, 0x0304, "another certificate"},
		{"x y.edge.example.net", 3, 9, 0, VIA_NONE, 0x0304, "another certificate"},
		{"xedge.example.net", 3, 9, 0, VIA_NONE, 0x0304, "another certificate"},
		{"xrelay.example.net", 3, 9, 0, VIA_NONE, 0x0304, "another certificate"},
		{"relay.example.net.evil.example", 3, 9, 0, VIA_NONE, 0x0304, "another certificate"},
		{"", 3, 9, 0, VIA_NONE, 0x0304, "another certificate"},
		{"relay.example.net", 3, 1, 0, VIA_XCLIENT, 0x0304, "XCLIENT"},
	};
	struct iovec iov = {(void *)(uintptr_t)m, strlen(m)};
	struct mail_bytes c = {&iov, 1, strlen(m)};
	struct headers h;
	struct origin o;

	(void)state;
	relay[0].tls_name = names;
	relay[0].n_tls_names = 2;
	relay[0].tls_sha256 = prints;
	relay[0].n_tls_sha256 = 2;
	relay[0].unproven_direct = true;
	assert_int_equal(headers_parse(&h, &c), 0);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct mail_envelope env = {.helo = STR("peer.example"), .tls_version = t[i].version,
			.tls_client = str_c(t[i].client), .tls_flags = t[i].flags, .via = t[i].via,
			.tls_client_sha256 = {[0] = t[i].sha0, [31] = t[i].sha31}};

		assert_true(ip_parse(STR("192.0.2.1"), &env.peer));
		assert_int_equal(origin_walk(&relays, &env, &h, false, &o), 0);
		if (o.status != (t[i].why ? ORIGIN_DIRECT : ORIGIN_VIA) || o.unproven != !!t[i].why ||
		    (t[i].why && !strstr(o.hop[0].note, t[i].why)))
			fail_msg("case %zu: %s", i, o.hop[0].note);
		assert_int_equal(o.n_hops, t[i].why ? 1 : 2);
		assert_int_equal(o.hop[0].relay != NULL, !t[i].why);
		origin_free(&o);
	}
	headers_free(&h);
	/* Its address is on the next hop's list: by default such mail waits. */
	relay[0].unproven_direct = false;
	walk("192.0.2.1", LINE("203.0.113.5", "r1.example.net"), false, ORIGIN_UNRESOLVED, "192.0.2.1", 1);
	/* Behind another relay it is that one's word that counts. */
	walk("10.9.0.1", LINE("192.0.2.1", "x.example") LINE("203.0.113.5", "r1.example.net"), false,
	     ORIGIN_VIA, "203.0.113.5", 3);
	/* A private address that did not prove itself is hidden by NAT like any other. */
	relay[1].tls_name = names;
	relay[1].n_tls_names = 1;
	relay[1].unproven_direct = true;
	walk("10.9.0.1", LINE("203.0.113.5", "x.example"), false, ORIGIN_PRIVATE_PEER, "10.9.0.1", 1);
	setup(NULL);
}

static void endless(void **state)
{
	size_t n = 150 * 120;
	char *m = calloc(1, n);

	(void)state;
	assert_non_null(m);
	for (int i = 0; i < 120; i++)
		strcat(m, LINE("192.0.2.2", "r1.example.net"));
	walk("192.0.2.1", m, false, ORIGIN_UNRESOLVED, "192.0.2.1", ORIGIN_MAX_HOPS);
	free(m);
}

static void details(void **state)
{
	static const char m[] = LINE("203.0.113.5", "r1.example.net");
	struct iovec iov = {(void *)(uintptr_t)m, sizeof(m) - 1};
	struct mail_bytes c = {&iov, 1, sizeof(m) - 1};
	struct mail_envelope env = {.helo = STR("bad helo")};
	struct headers h;
	struct origin o;

	(void)state;
	assert_true(ip_parse(STR("192.0.2.3"), &env.peer));
	assert_int_equal(headers_parse(&h, &c), 0);
	assert_int_equal(origin_walk(&relays, &env, &h, false, &o), 0);
	assert_string_equal(o.helo, "h.r1.example.net");
	assert_string_equal(o.via, "edge");
	assert_string_equal(o.hop[0].relay, "edge");
	assert_string_equal(o.hop[0].helo, "");
	assert_null(o.hop[1].relay);
	assert_int_equal(o.hop[1].field, 0);
	assert_string_equal(o.hop[1].by, "r1.example.net");
	origin_free(&o);
	headers_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads), cmocka_unit_test(refuses), cmocka_unit_test(walks),
		cmocka_unit_test(endless), cmocka_unit_test(tls_identity), cmocka_unit_test(utf8_line), cmocka_unit_test(details),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
