/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Limits of RFC 7208 4.6.4, RFC 8616, and legal records that libspf2 alone gets wrong. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/auth/spf/test_spf_lab.h"
#include "postern/limits.h"

#define ZONE_MAX 65536

static char zone[ZONE_MAX];
static size_t zone_len;

static void add(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void add(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	zone_len += (size_t)vsnprintf(zone + zone_len, ZONE_MAX - zone_len, fmt, ap);
	va_end(ap);
	assert_true(zone_len < ZONE_MAX);
}

/* A chain of n includes; the last one passes 192.0.2.1. */
static void add_chain(const char *name, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		add("%s%u TXT \"v=spf1 include:%s%u.example.com -all\"\n", name, i, name, i + 1);
	add("%s%u TXT \"v=spf1 ip4:192.0.2.1 -all\"\n", name, n);
}

static void add_hosts(const char *name, unsigned int n, unsigned int right)
{
	for (unsigned int i = 0; i < n; i++) {
		add("%s MX 10 %s%u\n", name, name, i);
		add("%s%u A 192.0.2.%u\n", name, i, i + 1 == right ? 1 : 100 + i);
	}
}

static void add_reverse(const char *addr, const char *name, unsigned int n, unsigned int right,
			unsigned int host)
{
	for (unsigned int i = 0; i < n; i++) {
		add("%s.in-addr.arpa. PTR %s%u.example.com.\n", addr, name, i);
		add("%s%u A 192.0.2.%u\n", name, i, i + 1 == right ? host : 200);
	}
}

static void make_zone(void)
{
	zone_len = 0;
	add("$ORIGIN example.com.\n$TTL 300\n");
	add("mail A 192.0.2.1\n");
	/* lookups */
	add_chain("c", 10);
	add_chain("d", 11);
	add("ten TXT \"v=spf1\"");
	for (int i = 0; i < 9; i++)
		add(" \" a:other.example.com\"");
	add(" \" mx:mx.example.com -all\"\nother A 192.0.2.77\nmx MX 10 mail\n");
	add("eleven TXT \"v=spf1\"");
	for (int i = 0; i < 10; i++)
		add(" \" a:other.example.com\"");
	add(" \" mx:mx.example.com -all\"\n");
	add("early TXT \"v=spf1 ip4:192.0.2.1\"");
	for (int i = 0; i < 12; i++)
		add(" \" a:other.example.com\"");
	add("\nfree TXT \"v=spf1\"");
	for (int i = 0; i < 30; i++)
		add(" \" ip4:198.51.100.%d\"", i);
	add(" \" ip4:192.0.2.1 -all\"\n");
	add("loop TXT \"v=spf1 include:loop.example.com -all\"\n");
	add("loopr TXT \"v=spf1 redirect=loopr.example.com\"\n");
	add("mixed TXT \"v=spf1 redirect=c1.example.com\"\n"); /* 1 + 9 */
	add("over TXT \"v=spf1 redirect=c0.example.com\"\n");  /* 1 + 10 */
	/* voids */
	add("two TXT \"v=spf1 a:n1.example.com mx:n2.example.com ip4:192.0.2.1 -all\"\n");
	add("three TXT \"v=spf1 a:n1.example.com mx:n2.example.com exists:n3.example.com "
	    "ip4:192.0.2.1 -all\"\n");
	add("nodata TXT \"v=spf1 a:c0.example.com a:c1.example.com a:c2.example.com "
	    "ip4:192.0.2.1 -all\"\n");
	/* MX and PTR */
	add("m10 TXT \"v=spf1 mx -all\"\nm11 TXT \"v=spf1 mx -all\"\n");
	add_hosts("m10", 10, 10);
	add_hosts("m11", 11, 1);
	add("p TXT \"v=spf1 ptr:example.com -all\"\n");
	add("pp TXT \"v=spf1\"");
	for (int i = 0; i < 9; i++)
		add(" \" ptr:n%d.example.com\"", i);
	add(" \" ptr:example.com -all\"\n");
	add_reverse("1.2.0.192", "pt", 10, 10, 1);
	add_reverse("2.2.0.192", "pu", 11, 11, 2);
}

static const struct spf_options one = {.n_workers = 1};

struct row {
	const char *ip, *from;
	enum spf_result want;
	const char *reason;   /* "" : of no interest */
	unsigned int lookups; /* 0: of no interest */
};

static void run(struct spf_lab *l, const struct row *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		enum spf_result got = spf_lab_check(l, t[i].ip, t[i].from);

		if (got != t[i].want || !strstr(l->v.reason, t[i].reason) ||
		    (t[i].lookups && t[i].lookups != l->v.lookups))
			fail_msg("%s %s: %s (%s), %u lookups, %u voids", t[i].ip, t[i].from,
				 spf_result_name(got), l->v.reason, l->v.lookups, l->v.voids);
	}
}

#define RUN(lab, rows) run(lab, rows, sizeof(rows) / sizeof(rows[0]))

static void test_limits(void **state)
{
	static const struct row t[] = {
		{"192.0.2.1", "a@c0.example.com", SPF_PASS, "", 10},
		{"192.0.2.9", "a@c0.example.com", SPF_FAIL, "", 10},
		{"192.0.2.1", "a@d0.example.com", SPF_PERMERROR, "more than 10 DNS lookups", 10},
		{"192.0.2.1", "a@ten.example.com", SPF_PASS, "", 10},
		{"192.0.2.1", "a@eleven.example.com", SPF_PERMERROR, "more than 10 DNS lookups", 0},
		/* What evaluation does not come to does not count. */
		{"192.0.2.1", "a@early.example.com", SPF_PASS, "", 0},
		{"192.0.2.9", "a@early.example.com", SPF_PERMERROR, "more than 10 DNS lookups", 0},
		{"192.0.2.1", "a@free.example.com", SPF_PASS, "", 0},
		{"192.0.2.1", "a@loop.example.com", SPF_PERMERROR, "more than 10 DNS lookups", 0},
		{"192.0.2.1", "a@loopr.example.com", SPF_PERMERROR, "more than 10 DNS lookups", 0},
		{"192.0.2.1", "a@mixed.example.com", SPF_PASS, "", 10},
		{"192.0.2.1", "a@over.example.com", SPF_PERMERROR, "more than 10 DNS lookups", 0},
		{"192.0.2.1", "a@two.example.com", SPF_PASS, "", 2},
		{"192.0.2.1", "a@three.example.com", SPF_PERMERROR, "more than 2 void", 0},
		{"192.0.2.1", "a@nodata.example.com", SPF_PERMERROR, "more than 2 void", 0},
		{"192.0.2.1", "a@m10.example.com", SPF_PASS, "", 1},
		{"192.0.2.1", "a@m11.example.com", SPF_PERMERROR, "more than 10 MX records", 0},
		/* RFC 7208 5.5: names behind the tenth are not looked at. */
		{"192.0.2.1", "a@p.example.com", SPF_PASS, "", 1},
		{"192.0.2.2", "a@p.example.com", SPF_FAIL, "", 1},
		/* Ten terms, ten names each. */
		{"192.0.2.1", "a@pp.example.com", SPF_PASS, "", 10},
		{"192.0.2.2", "a@pp.example.com", SPF_FAIL, "", 10},
	};
	struct spf_lab l;

	(void)state;
	make_zone();
	spf_lab_open(&l, zone, &one);
	assert_int_equal(l.jail->budget.tv_sec, 20); /* RFC 7208 4.6.4; test_budget shows it work */
	assert_int_equal(l.jail->budget.tv_usec, 0);
	RUN(&l, t);
	spf_lab_close(&l);
}

/* Records as published, and the client that shows whether they were understood. */
static void test_forms(void **state)
{
	static const char text[] =
		"$ORIGIN example.com.\n$TTL 300\n"
		"mail A 192.0.2.1\nmail AAAA 2001:db8::1\nmail2 A 192.0.2.77\n@ MX 0 .\n"
		"a MX 10 mail\na A 192.0.2.1\n"
		"n1 TXT \"v=spf1 ip4:0.0.0.0/0 -all\"\n"
		"n2 TXT \"v=spf1 a:mail2.example.com/0 -all\"\n"
		"n3 TXT \"v=spf1 a:mail.example.com//0 -all\"\n"
		"n4 TXT \"v=spf1 ip6:::/0 -all\"\n"
		"n5 TXT \"v=spf1 ip6:::ffff:192.0.2.1 -all\"\n"
		"n6 TXT \"v=spf1 ip6:2001:DB8:0:0::0.0.0.1/128 -all\"\n"
		"n7 TXT \"V=SPF1 A:MAIL.EXAMPLE.COM -ALL\"\n"
		"n8 TXT \"v=spf1 redirect=none.example.com a:mail.example.com -all\"\n"
		"n9 TXT \"v=spf1 exp=none.example.com x-y.z_=%{d}%% a:mail.example.com -all\"\n"
		"n10 TXT \"v=spf1   a:mail.example.com.   -all  \"\n"
		"n11 TXT \"v=spf1 a:foo:bar/baz.example.com/24 -all\"\n"
		"foo:bar/baz A 192.0.2.200\n"
		"n12 TXT \"v=spf1 -all a:mail.example.com\"\n"
		"n13 TXT \"v=spf1\"\n"
		"n14 TXT \"v=spf1 mx:example.com a:mail.example.com -all\"\n"
		"n15 TXT \"v=spf1 exists:mail.example.com -all\"\n"
		"n16 TXT \"v=spf1 a:%{d1r}%{d}.example.com ?all\"\n"
		"n17 TXT \"v=spf1 include:n12.example.com a:mail.example.com ~all\"\n"
		"n18 TXT \"v=spf1 a:%%%_%-.example.com a:mail.example.com -all\"\n"
		"n19 TXT \"v=sp\" \"f1 a:mail.exa\" \"mple.com -all\"\n"
		"n20 TXT \"v=spf1 mx:a.example.com/32//64 -all\"\n"
		"n21 TXT \"v=spf10 -all\"\nn21 TXT \"v=spf1 +all\"\nn21 TXT \"other\"\n"
		"n22 TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n"
		"n23 TXT \"v=spf1 a:%{i}.x.%{v}.example.com -all\"\n"
		"192.0.2.1.x.in-addr A 192.0.2.1\n";
	static const struct row t[] = {
		{"203.0.113.1", "a@n1.example.com", SPF_PASS, "", 0},
		{"2001:db8::1", "a@n1.example.com", SPF_FAIL, "", 0},
		{"203.0.113.1", "a@n2.example.com", SPF_PASS, "", 0},
		{"2001:db9::9", "a@n3.example.com", SPF_PASS, "", 0},
		{"192.0.2.2", "a@n3.example.com", SPF_FAIL, "", 0},
		{"2001:db9::9", "a@n4.example.com", SPF_PASS, "", 0},
		{"192.0.2.1", "a@n4.example.com", SPF_FAIL, "", 0},
		{"192.0.2.1", "a@n5.example.com", SPF_FAIL, "", 0},
		{"2001:db8::1", "a@n6.example.com", SPF_PASS, "", 0},
		{"192.0.2.1", "a@n7.example.com", SPF_PASS, "", 0},
		{"192.0.2.1", "a@n8.example.com", SPF_PASS, "", 1},
		{"192.0.2.9", "a@n8.example.com", SPF_FAIL, "", 1},
		{"192.0.2.1", "a@n9.example.com", SPF_PASS, "", 1},
		{"192.0.2.9", "a@n9.example.com", SPF_FAIL, "", 1},
		{"192.0.2.1", "a@n10.example.com", SPF_PASS, "", 0},
		{"192.0.2.1", "a@n11.example.com", SPF_PASS, "", 0},
		{"192.0.2.1", "a@n12.example.com", SPF_FAIL, "", 0},
		{"192.0.2.1", "a@n13.example.com", SPF_NEUTRAL, "", 0},
		/* RFC 7505: the null MX names no host, and is no void lookup. */
		{"192.0.2.1", "a@n14.example.com", SPF_PASS, "", 2},
		/* RFC 7208 5.7: A, though the client is IPv6. */
		{"2001:db9::9", "a@n15.example.com", SPF_PASS, "", 0},
		{"192.0.2.1", "a@n16.example.com", SPF_NEUTRAL, "", 0},
		{"192.0.2.1", "a@n17.example.com", SPF_PASS, "", 0},
		{"192.0.2.3", "a@n17.example.com", SPF_SOFTFAIL, "", 0},
		{"192.0.2.1", "a@n18.example.com", SPF_PASS, "", 0},
		{"192.0.2.1", "a@n19.example.com", SPF_PASS, "", 0},
		{"2001:db8::ffff", "a@n20.example.com", SPF_PASS, "", 0},
		{"192.0.2.1", "a@n20.example.com", SPF_PASS, "", 0},
		{"192.0.2.1", "a@n21.example.com", SPF_PASS, "", 0},
		{"127.0.0.1", "a@n22.example.com", SPF_PASS, "", 0},
		{"127.0.0.1", "a@n12.example.com", SPF_FAIL, "", 0},
		{"192.0.2.1", "a@n23.example.com", SPF_PASS, "", 0},
	};
	struct spf_lab l;
	struct spf_stats s;

	(void)state;
	spf_lab_open(&l, text, &one);
	RUN(&l, t);
	spf_jail_stats(l.jail, &s);
	assert_int_equal(s.refused_grammar + s.refused_evaluator, 0);
	spf_lab_close(&l);
}

/* RFC 8616 4: names are A-labels; a local part that is not ASCII has no place in a name. */
static void test_international(void **state)
{
	static const char text[] =
		"$ORIGIN example.com.\n$TTL 300\n"
		"b\\195\\188cher TXT \"v=spf1 +all\"\n" /* what no resolver asks for */
		"xn--bcher-kva TXT \"v=spf1 a:%{l}.u.example.com exists:%{s}.s.example.com "
		"a:%{l1r-}.%{o} ip4:192.0.2.7 -all\"\n"
		"*.u A 192.0.2.1\n*.s A 192.0.2.1\n"
		"\\195\\164.u A 192.0.2.1\n"
		"ok TXT \"v=spf1 ip4:192.0.2.1 a:%{l}.u.example.com -all exp=e.example.com\"\n"
		"e TXT \"%{l} not here\"\n";
	static const struct row t[] = {
		/* The caller hands A-labels over (mailbox_alabel()). */
		{"192.0.2.1", "x@xn--bcher-kva.example.com", SPF_PASS, "", 1},
		{"192.0.2.1", "\xc3\xa4@xn--bcher-kva.example.com", SPF_PERMERROR,
		 "more than 2 void DNS lookups", 0},
		{"192.0.2.1", "x@b\xc3\xbc"
			      "cher.example.com",
		 SPF_NONE, "no domain name that can be checked", 0},
		{"192.0.2.1", "\xc3\xa4@ok.example.com", SPF_PASS, "", 0},
		{"192.0.2.9", "\xc3\xa4@ok.example.com", SPF_FAIL, "", 1},
	};
	uint8_t buf[LIMIT_PATH + MAIL_ALABEL];
	struct spf_lab l;
	struct str a = mailbox_alabel(STR("\xc3\xa4@b\xc3\xbc"
					  "cher.example.com"),
				      buf, sizeof(buf));

	(void)state;
	assert_true(str_eq(a, STR("\xc3\xa4@xn--bcher-kva.example.com")));
	spf_lab_open(&l, text, &one);
	RUN(&l, t);
	/* In the words of an explanation it is replaced: they go into replies. */
	assert_string_equal(l.v.explanation, "?? not here");
	spf_lab_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_international),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
