/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "control/mail/mail.h"

static struct ip_addr addr(const char *text)
{
	struct ip_addr a;

	assert_true(ip_parse(str_c(text), &a));
	return a;
}

static void ip_text(void **state)
{
	static const char *const good[] = {"192.0.2.1", "0.0.0.0", "2001:db8::1", "::", "fe80::1"};
	static const char *const bad[] = {"",
					  "192.0.2",
					  "192.0.2.256",
					  "192.0.2.1 ",
					  "[192.0.2.1]",
					  "IPv6:2001:db8::1",
					  "2001:db8::1%eth0",
					  "2001:db8::1/64",
					  "::ffff:192.0.2.1.",
					  "1:2",
					  "00000000000000000000000000000000000000000000192.0.2.1"};
	struct ip_addr a;
	char buf[46];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		a = addr(good[i]);
		assert_string_equal(ip_format(&a, buf, sizeof(buf)), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(ip_parse(str_c(bad[i]), &a));
	assert_false(ip_parse(str_make("192.0.2.1\0x", 11), &a));
	assert_true(ip_is_v4(&(struct ip_addr){{[10] = 0xff, 0xff, 192, 0, 2, 1}}));
	a = addr("2001:db8::1");
	assert_false(ip_is_v4(&a));
	/* The mapped form is the same address: no second spelling escapes a list. */
	a = addr("::ffff:192.0.2.1");
	assert_string_equal(ip_format(&a, buf, sizeof(buf)), "192.0.2.1");
}

static void ip_nets(void **state)
{
	static const struct { const char *net, *ip; bool in; } t[] = {
		{"192.0.2.0/24", "192.0.2.255", true}, {"192.0.2.0/24", "192.0.3.0", false},
		{"192.0.2.1", "192.0.2.1", true}, {"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.128/25", "192.0.2.127", false}, {"0.0.0.0/0", "203.0.113.9", true},
		{"0.0.0.0/0", "2001:db8::1", false}, {"::/0", "192.0.2.1", false},
		{"::/0", "2001:db8::1", true}, {"2001:db8::/33", "2001:db8:8000::1", false},
		{"2001:db8::/33", "2001:db8:7fff::1", true}, {"192.0.2.0/31", "192.0.2.1", true},
		{"::ffff:192.0.2.0/120", "192.0.2.77", true},
	};
	static const char *const bad[] = {"192.0.2.0/33", "192.0.2.0/",     "192.0.2.0/024",
					  "/24",          "::/129",         "192.0.2.0/2a",
					  "192.0.2.0/-1", "192.0.2.0/24/8", "192.0.2.0/9999"};
	struct ip_net net;
	struct ip_addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_true(ip_net_parse(str_c(t[i].net), &net));
		a = addr(t[i].ip);
		assert_int_equal(ip_in_net(&a, &net), t[i].in);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(ip_net_parse(str_c(bad[i]), &net));
}

static void ip_ranges(void **state)
{
	static const struct { const char *range, *first, *last; } t[] = {
		{"192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"192.0.2.0/24", "192.0.2.0", "192.0.2.255"},
		{"192.0.2.9 - 192.0.2.10", "192.0.2.9", "192.0.2.10"},
		{"2001:db8::/33", "2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"},
		{"::1-::ff", "::1", "::ff"},
	};
	static const char *const bad[] = {"", "-", "192.0.2.1-", "-192.0.2.1", "192.0.2.2-192.0.2.1",
					  "192.0.2.1-2001:db8::1", "192.0.2.1-9", "192.0.2.0/24-192.0.2.1"};
	struct ip_range r, all, v4, above;
	struct ip_addr a;
	char buf[64];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_true(ip_range_parse(str_c(t[i].range), &r));
		assert_string_equal(ip_format(&r.first, buf, sizeof(buf)), t[i].first);
		assert_string_equal(ip_format(&r.last, buf, sizeof(buf)), t[i].last);
		assert_true(ip_in_range(&r.first, &r) && ip_in_range(&r.last, &r));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(ip_range_parse(str_c(bad[i]), &r));
	/* The whole of IPv6 holds nothing of IPv4. */
	assert_true(ip_range_parse(STR("::/0"), &all) && ip_range_parse(STR("192.0.2.0/24"), &v4) &&
		    ip_range_parse(STR("192.0.2.255-192.0.3.0"), &above));
	a = addr("192.0.2.1");
	assert_false(ip_in_range(&a, &all));
	assert_false(ip_ranges_meet(&all, &v4));
	assert_true(ip_ranges_meet(&v4, &above) && ip_ranges_meet(&above, &v4));
	assert_true(ip_range_parse(STR("192.0.3.0-192.0.3.9"), &above));
	assert_false(ip_ranges_meet(&v4, &above) || ip_ranges_meet(&above, &v4));
}

static void percent(void **state)
{
	static const char raw[] = "a-_.:[] %\x80\0;";
	uint8_t back[32];
	char out[64];

	(void)state;
	assert_true(percent_encode(str_make(raw, sizeof(raw) - 1), out, sizeof(out)));
	assert_string_equal(out, "a-_.:[]%20%25%80%00%3B");
	assert_int_equal(percent_decode(str_c(out), back, sizeof(back)), sizeof(raw) - 1);
	assert_memory_equal(back, raw, sizeof(raw) - 1);
	assert_false(percent_encode(STR("ab  "), out, 8));
	assert_string_equal(out, "ab%20");
	assert_int_equal(percent_decode(STR("abc"), back, 2), -1);
	assert_int_equal(percent_decode(STR("%2"), back, 9), -1);
	assert_int_equal(percent_decode(STR("%"), back, 9), -1);
	assert_int_equal(percent_decode(STR("%2g"), back, 9), -1);
	assert_true(domain_is_in(STR("a.B.example"), STR("b.example")));
	assert_true(domain_is_in(STR("b.example"), STR("B.example")));
	assert_false(domain_is_in(STR("ab.example"), STR("b.example")));
	assert_false(domain_is_in(STR("b.example"), STR("")));
	assert_false(domain_is_in(STR(""), STR("b.example")));
}

static void ip_private(void **state)
{
	static const char *const yes[] = {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1",
		"100.64.0.1", "100.127.255.255", "169.254.1.1", "127.0.0.1", "0.0.0.0", "::1", "::",
		"fd00::1", "fc00::", "fe80::1", "febf::1"};
	static const char *const no[] = {"11.0.0.1",    "172.15.0.1",  "172.32.0.1",  "192.169.0.1",
					 "100.63.0.1",  "100.128.0.1", "169.253.0.1", "128.0.0.1",
					 "2001:db8::1", "fe00::1",     "::2"};
	struct ip_addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		a = addr(yes[i]);
		assert_true(ip_is_private(&a));
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		a = addr(no[i]);
		assert_false(ip_is_private(&a));
	}
}

static void mailboxes(void **state)
{
	static const struct { const char *mailbox, *local, *domain; } t[] = {
		{"a@example.com", "a", "example.com"},
		{"\"a@b\"@example.com", "\"a@b\"", "example.com"},
		{"\"a\\\"@b\"@example.com", "\"a\\\"@b\"", "example.com"},
		{"a@b@example.com", "a@b", "example.com"},
		{"a@[192.0.2.1]", "a", "[192.0.2.1]"},
		{"postmaster", "postmaster", ""}, {"", "", ""}, {"a@", "a", ""},
		{"\"a@example.com", "\"a@example.com", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_true(str_eq(mailbox_local(str_c(t[i].mailbox)), str_c(t[i].local)));
		assert_true(str_eq(mailbox_domain(str_c(t[i].mailbox)), str_c(t[i].domain)));
	}
}

static void domains(void **state)
{
	static const char *const good[] = {"example.com", "a", "xn--nxasmq6b.example",
					   "1.2.example", "a-b.c"};
	static const char *const bad[] = {"",
					  ".",
					  "a.",
					  ".a",
					  "a..b",
					  "-a",
					  "a-",
					  "a.-b",
					  "a-.b",
					  "a_b",
					  "a b",
					  "[192.0.2.1]",
					  "ex\xc3\xa4mple.com",
					  "a/b"};
	char longest[300];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(domain_is_valid(str_c(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(domain_is_valid(str_c(bad[i])));
	memset(longest, 'a', sizeof(longest));
	assert_true(domain_is_valid(str_make(longest, 63)));
	assert_false(domain_is_valid(str_make(longest, 64)));
	for (size_t i = 50; i < sizeof(longest); i += 51)
		longest[i] = '.';
	assert_true(domain_is_valid(str_make(longest, 253)));
	assert_false(domain_is_valid(str_make(longest, 254)));
	assert_false(domain_is_valid(str_make("a\0b", 3)));
}

/* RFC 5890, UTS 46: what names a host, and what only looks like it. */
static void alabels(void **state)
{
	static const struct { const char *domain, *alabel; } t[] = {
		{"Example.COM", "example.com"}, {"a_b.example", "a_b.example"},
		{"b\xc3\xbc" "cher.example", "xn--bcher-kva.example"},
		{"B\xc3\x9c" "CHER.Example", "xn--bcher-kva.example"},
		{"fa\xc3\x9f.example", "xn--fa-hia.example"}, /* not transitional: no "fass" */
		{"xn--bcher-kva.b\xc3\xbc" "cher.example", "xn--bcher-kva.xn--bcher-kva.example"},
		{"\xe4\xbe\x8b\xe5\xad\x90.example", "xn--fsqu00a.example"},
		{"\xef\xbd\x81.\xc3\xa4.example", "a.xn--4ca.example"}, /* full-width a */
		{"", NULL}, {"\xe4.example", NULL}, {"\xc3\xa4..example", NULL},
		{"a\xe3\x80\x82\xc3\xa4.example", NULL}, {"a\xef\xbc\x8e\xc3\xa4.example", NULL},
		{"-\xc3\xa4.example", NULL}, {"\xc3\xa4-.example", NULL}, {"\xc3\xa4_b.example", NULL},
		{"\xc3\xa4 b.example", NULL}, {"\xc3\xa4\xe2\x81\x88.example", NULL} /* maps to "?!" */, {"a\xe2\x80\xae\xc3\xa4.example", NULL},
		{"a\xe2\x80\x8b\xc3\xa4.example", NULL}, {"\xe2\x98\xba\xef\xb8\x8f..example", NULL},
		{"\xcc\x81\xc3\xa4.example", NULL},       /* begins with a combining mark */
		{"[\xc3\xa4]", NULL}, {"\xf0\x9f\xbf\xbf.example", NULL},
	};
	uint8_t buf[400], small[8];
	char out[MAIL_ALABEL], longest[256];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		bool ok = mail_alabel(str_c(t[i].domain), out);

		if (ok != (t[i].alabel != NULL) || (ok && strcmp(out, t[i].alabel)))
			fail_msg("%s: %s", t[i].domain, ok ? out : "refused");
	}
	memset(longest, 'a', sizeof(longest));
	assert_true(mail_alabel(str_make(longest, 253), out));
	assert_false(mail_alabel(str_make(longest, 254), out));
	assert_false(mail_alabel(STR("a\0b"), out));
	assert_true(str_eq(mailbox_alabel(STR("\xc3\xa4@b\xc3\xbc" "cher.example"), buf, sizeof(buf)),
			   STR("\xc3\xa4@xn--bcher-kva.example")));
	assert_true(str_eq(mailbox_alabel(STR("\xc3\x84@Example.com"), buf, sizeof(buf)),
			   STR("\xc3\x84@Example.com")));
	assert_true(str_eq(mailbox_alabel(STR("a@\xe4.example"), buf, sizeof(buf)),
			   STR("a@\xe4.example")));
	assert_true(str_eq(mailbox_alabel(STR("a@\xc3\xa4.example"), small, sizeof(small)),
			   STR("a@\xc3\xa4.example")));
	assert_int_equal(mailbox_alabel(STR_NONE, buf, sizeof(buf)).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_text), cmocka_unit_test(ip_nets), cmocka_unit_test(ip_ranges), cmocka_unit_test(percent), cmocka_unit_test(ip_private),
		cmocka_unit_test(mailboxes), cmocka_unit_test(domains),
		cmocka_unit_test(alabels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
