/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/auth/spf/spf_grammar.h"
#include "control/auth/spf/spf_macro.h"
#include "control/auth/spf/spf_tree.h"

static const char *const good[] = {
	"v=spf1",
	"v=spf1 ",
	"V=SPF1   -all",
	"v=spf1 a:%{d} mx:%{i}._x.%{d2} -all",
	"v=spf1 a:foo:bar/baz.example.com/24//64",
	"v=spf1 ip6:2001:db8::/32 IP4:192.0.2.0/24",
	"v=spf1 exists:%{l1r+-}.%%.%_.%-.example.com",
	"v=spf1 unknown=%{c}%{t} ?all",
	"v=spf1 redirect=example.com.",
	"v=spf1 a//0 mx/0",
	"v=spf1 a:example.xn--a-b ptr:x.y1z",
	"v=spf1 include:%{d}.example.com exp=%{o}",
};

static const char *const bad[] = {
	"v=spf1 al",
	"v=spf1 all:x",
	"v=spf1 -",
	"v=spf1 a:",
	"v=spf1 a:localhost",
	"v=spf1 a:x.123",
	"v=spf1 a:x.-com",
	"v=spf1 a:x.com-",
	"v=spf1 a/33",
	"v=spf1 a//129",
	"v=spf1 a/032",
	"v=spf1 a/24/64",
	"v=spf1 ip4:192.0.2",
	"v=spf1 ip4:192.0.2.256",
	"v=spf1 ip4:192.0.2.01",
	"v=spf1 ip4:192.0.2.1//32",
	"v=spf1 ip4:192.0.2.1:25",
	"v=spf1 ip6:fe80::1%eth0",
	"v=spf1 ip6:1",
	"v=spf1 ip6:::1/64/64",
	"v=spf1 include",
	"v=spf1 include:x.example/24",
	"v=spf1 ptr/8",
	"v=spf1 exists:%{x}.example",
	"v=spf1 exists:%{d0}.example",
	"v=spf1 exists:%{d",
	"v=spf1 a:%",
	"v=spf1 a:%{c}.example",
	"v=spf1 exp=x.example exp=x.example",
	"v=spf1 redirect=",
	"v=spf1 redirect:x.example",
	"v=spf1 x=%q",
	"v=spf1 1x=y",
	"v=spf1 =y",
	"v=spf1 a\tmx",
	"v=spf1 a:x.ex\x80mple",
	"v=spf1 ++all",
	"v=spf1 a:x.example..",
	"v=spf1 a:%{d}x",
};

static int parse(const char *text, struct spf_record *r)
{
	const char *why = NULL;
	struct str where;
	int rc = spf_record_parse(r, str_c(text), &why, &where);

	if (rc == -EINVAL)
		assert_non_null(why);
	return rc;
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct spf_record r;

		if (parse(good[i], &r))
			fail_msg("refused: %s", good[i]);
		spf_record_free(&r);
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct spf_record r;

		if (parse(bad[i], &r) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void test_version(void **state)
{
	(void)state;
	assert_true(spf_is_record(STR("v=spf1")));
	assert_true(spf_is_record(STR("V=sPf1 a")));
	assert_false(spf_is_record(STR("v=spf10")));
	assert_false(spf_is_record(STR("v=spf1\ta")));
	assert_false(spf_is_record(STR(" v=spf1")));
	assert_false(spf_is_record(STR("v=spf")));
}

static void test_terms(void **state)
{
	struct spf_record r;

	(void)state;
	assert_int_equal(
		parse("v=spf1 ~a:foo/x.example.com/24//64 -ip4:192.0.2.7/8 redirect=%{o}", &r), 0);
	assert_int_equal(r.n_terms, 2);
	assert_int_equal(r.term[0].mech, SPF_MECH_A);
	assert_int_equal(r.term[0].qualifier, '~');
	assert_int_equal(r.term[0].prefix4, 24);
	assert_int_equal(r.term[0].prefix6, 64);
	assert_true(str_eq(r.term[0].domain, STR("foo/x.example.com")));
	assert_int_equal(r.term[1].prefix4, 8);
	assert_memory_equal(r.term[1].addr, "\xc0\x00\x02\x07", 4);
	assert_true(str_eq(r.redirect, STR("%{o}")));
	assert_true(r.sender_macros);
	spf_record_free(&r);
	assert_int_equal(parse("v=spf1 exists:%{i}.example.com", &r), 0);
	assert_true(r.sender_macros); /* exists with any macro */
	spf_record_free(&r);
	assert_int_equal(parse("v=spf1 a:%{d2} -all", &r), 0);
	assert_false(r.sender_macros);
	spf_record_free(&r);
}

static void test_length(void **state)
{
	char *text = malloc(SPF_RECORD_MAX + 2);
	struct spf_record r;

	(void)state;
	memset(text, ' ', SPF_RECORD_MAX + 1);
	memcpy(text, "v=spf1", 6);
	text[SPF_RECORD_MAX + 1] = '\0';
	assert_int_equal(parse(text, &r), -EINVAL);
	text[SPF_RECORD_MAX] = '\0';
	assert_int_equal(parse(text, &r), 0);
	spf_record_free(&r);
	free(text);
}

/* RFC 7208 7.4, with its own names and addresses. */
static void test_macros(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{"%{s}", "strong-bad@email.example.com"},
		{"%{o}", "email.example.com"},
		{"%{d}", "email.example.com"},
		{"%{d4}", "email.example.com"},
		{"%{d2}", "example.com"},
		{"%{d1}", "com"},
		{"%{dr}", "com.example.email"},
		{"%{d2r}", "example.email"},
		{"%{l}", "strong-bad"},
		{"%{l-}", "strong.bad"},
		{"%{lr}", "strong-bad"},
		{"%{lr-}", "bad.strong"},
		{"%{l1r-}", "strong"},
		{"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
		{"%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
		{"%{S}", "strong-bad%40email.example.com"},
		{"%%%_%-", "% %20"},
		{"%{c} %{t}", "192.0.2.3 99"},
		{"%{r} %{h}", "unknown helo.example"},
		{"", ""},
	};
	struct ip_addr ip;
	struct spf_macro_context c = {.ip = &ip,
				      .local = STR("strong-bad"),
				      .domain = STR("email.example.com"),
				      .current = STR("email.example.com"),
				      .helo = STR("helo.example"),
				      .now = 99};
	uint8_t out[256];

	(void)state;
	assert_true(ip_parse(STR("192.0.2.3"), &ip));
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		long n = spf_macro_expand(str_c(t[i].in), &c, true, out, sizeof(out));

		if (n < 0 || !str_eq(str_make(out, (size_t)n), str_c(t[i].out)))
			fail_msg("%s: %ld %.*s", t[i].in, n, n < 0 ? 0 : (int)n, (char *)out);
	}
	assert_int_equal(spf_macro_expand(STR("%{p}"), &c, true, out, sizeof(out)), -EAGAIN);
	c.validated = "mx.example.com";
	assert_int_equal(spf_macro_expand(STR("%{p2}"), &c, true, out, sizeof(out)), 11);
	assert_int_equal(spf_macro_expand(STR("%{r}"), &c, false, out, sizeof(out)), -EINVAL);
	assert_int_equal(spf_macro_expand(STR("%{d}"), &c, false, out, 5), -ENOSPC);
}

static void test_domain_cut(void **state)
{
	char text[600] = "";
	struct ip_addr ip = {{0}};
	struct spf_macro_context c = {.ip = &ip};
	uint8_t out[256];
	long n;

	(void)state;
	for (int i = 0; i < 50; i++)
		strcat(text, "abcdefg.");
	strcat(text, "example");
	n = spf_macro_domain(str_c(text), &c, out, sizeof(out));
	assert_int_equal(n, 247); /* 30 labels of 8 and the last: one more would be 255 */
	assert_memory_equal(out, "abcdefg.", 8);
}

static void test_rewrite(void **state)
{
	struct spf_tree t = {.n = 0};
	struct spf_wire_request *q = calloc(1, sizeof(*q));
	uint8_t buf[8192];
	struct spf_buf b = {buf, 0, sizeof(buf), false};
	const char *text =
		"v=spf1 a/0 include:x.example mx//64 -all ip4:192.0.2.1 redirect=y.example";
	struct ip_addr ip;
	uint8_t *own = malloc(strlen(text));

	(void)state;
	memcpy(own, text, strlen(text));
	assert_true(ip_parse(STR("192.0.2.3"), &ip));
	assert_non_null(
		spf_tree_add(&t, 0, SPF_TERM_ROOT, SPF_NODE_OK, "example.com", own, strlen(text)));
	assert_int_equal(spf_tree_encode(&t, &ip, &b, q), 0);
	assert_int_equal(q->n_records, 1);
	/* No macro, no name of the sender's, nothing behind all; lengths of the other family are
	 * gone. */
	assert_true(str_eq(q->record[0].text, STR("v=spf1"
						  " ?exists:d0-0-0.invalid +a:t0-0-0.invalid"
						  " ?exists:d0-1-0.invalid +include:r0-1-0.invalid"
						  " ?exists:d0-2-0.invalid +mx:t0-2-0.invalid"
						  " ?exists:m0-3-0.invalid -all")));
	spf_tree_free(&t);
	free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),       cmocka_unit_test(test_bad),
		cmocka_unit_test(test_version),    cmocka_unit_test(test_terms),
		cmocka_unit_test(test_length),     cmocka_unit_test(test_macros),
		cmocka_unit_test(test_domain_cut), cmocka_unit_test(test_rewrite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
