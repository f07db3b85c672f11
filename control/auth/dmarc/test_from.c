/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/auth/dmarc/from.h"

static void join(const struct from_authors *a, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < a->n; i++)
		n += (size_t)snprintf(out + n, cap - n, "%s%s", i ? " " : "", a->domain[i]);
}

/* domains NULL: malformed. */
static const struct {
	const char *value, *domains;
} values[] = {
	{" a@b.example", "b.example"},
	{" A@B.Example", "b.example"},
	{" Ann <a@b.example>", "b.example"},
	{" \"An\\\"n, x@y.example\" <a@b.example>", "b.example"},
	{" Ann Q. Public <a@b.example>", "b.example"},
	{" =?utf-8?q?Ann?= <a@b.example>", "b.example"},
	{" a@b.example (Ann (of \\) x) c@d.example)", "b.example"},
	{"\r\n Ann\r\n\t<a@b.example>\r\n ", "b.example"},
	{" <a@b.example>", "b.example"},
	{" \"a b\"@b.example", "b.example"},
	{" \"c@d.example\"@b.example", "b.example"},
	{" < a@b.example >", "b.example"},
	{" a@b.example, c@d.example", "b.example d.example"},
	{" a@b.example,<c@d.example>", "b.example d.example"}, /* both, brackets or not */
	{" a@b.example, c@B.EXAMPLE", "b.example"},
	{" a@xn--mnchen-3ya.example", "xn--mnchen-3ya.example"},
	{" a@m\xc3\xbcnchen.example", "xn--mnchen-3ya.example"},
	{" j\xc3\xbcrg@b.example", "b.example"},
	{" J\xfcrg <a@b.example>", "b.example"}, /* a name in Latin-1 harms nobody */
	{" Team: a@b.example, Bo <c@d.example>;", "b.example d.example"},
	{" Team:;, a@b.example", "b.example"},
	{" O'Neil <o'neil+x@b.example>", "b.example"},
	{" a@1.example,b@2.example,c@3.example,d@4.example,e@5.example",
	 "1.example 2.example 3.example 4.example 5.example"},
	/* encoded words are no addresses */
	{" =?utf-8?b?YUBiLmV4YW1wbGU=?=", NULL},
	{" =?utf-8?q?a=40b.example?=@d.example", NULL},
	{" <=?utf-8?b?YUBiLmV4YW1wbGU=?=@d.example>", NULL},
	/* source routes */
	{" <,@x.example:a@b.example>", NULL},
	{" <@x.example,:a@b.example>", NULL},
	{" <@x.example;@y.example:a@b.example>", NULL},
	{" <@x_y.example:a@b.example>", NULL},
	{" <@:a@b.example>", NULL},
	{" <@x.example:>", NULL},
	{" <@x.example", NULL},
	{" @x.example:a@b.example", NULL},
	/* a quoted-pair outside of quotes */
	{" a@b.example\\, c@d.example", NULL},
	{" \\\"a@b.example, c\" <c@d.example>", NULL},
	/* brackets and text in the wrong order */
	{" <a@b.example>c@d.example", NULL},
	{" a@b.example <c@d.example>", NULL},
	{" <a@b.example> <c@d.example>", NULL},
	{" <<a@b.example>>", NULL},
	{" <a@b.example", NULL},
	{" a@b.example>", NULL},
	/* white space and comments inside an address */
	{" a @b.example", NULL},
	{" a@ b.example", NULL},
	{" a@b. example", NULL},
	{" a@b.example c@d.example", NULL},
	{" a(x)@b.example", NULL},
	{" a@(x)b.example", NULL},
	{" <a@b.example(x)>", NULL},
	{" <a@b.example(,c@d.example>", NULL},
	{" \"a\".b@c.example", NULL},
	{" a@b@c.example", NULL},
	{" a@b.example\r\n \r\n ", NULL},
	{" a@b.example\r\n \r\n c", NULL},
	{" a@b.example\n", NULL},
	{" a@b\r.example", NULL},
	{" \"a\x01\" <a@b.example>", NULL},
	/* domains that are none */
	{" a@[192.0.2.1]", NULL},
	{" a@b.example.", NULL},
	{" a@.b.example", NULL},
	{" a@b..example", NULL},
	{" a@-b.example", NULL},
	{" a@b_c.example", NULL},
	{" a@b.example'", NULL},
	{" a@b\xfc.example", NULL},
	{" a@b\xe2\x80\x8b.example", NULL},
	{" a\xe2\x80\xae@b.example", NULL},
	{" .a@b.example", NULL},
	{" a.@b.example", NULL},
	{" @b.example", NULL},
	{" a@", NULL},
	/* lists */
	{"", NULL},
	{" ", NULL},
	{" Ann", NULL},
	{" Ann <>", NULL},
	{" a@b.example,", NULL},
	{" ,a@b.example", NULL},
	{" a@b.example,,c@d.example", NULL},
	{" a@b.example; c@d.example", NULL},
	{" Team: a@b.example", NULL},
	{" Team: X: a@b.example;;", NULL},
	{" Team: a@b.example; c@d.example", NULL},
	{" (a@b.example", NULL},
	{" \"a@b.example", NULL},
	{" a@b.example (((((((((((((((((x)))))))))))))))))", NULL},
};

static void value_table(void **state)
{
	char text[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct from_authors a;

		from_parse(str_c(values[i].value), &a);
		join(&a, text, sizeof(text));
		if ((a.status == FROM_OK) != (values[i].domains != NULL))
			fail_msg("'%s': %s, %s", values[i].value, from_status_name(a.status),
				 a.reason);
		assert_string_equal(text, values[i].domains ? values[i].domains : "");
		assert_int_equal(a.reason[0] != '\0', a.status != FROM_OK);
		if (a.status != FROM_OK)
			assert_int_equal(a.status, FROM_MALFORMED);
	}
}

static void other_statuses(void **state)
{
	static const char nul[] = " a@b.example\0";
	struct from_authors a;

	(void)state;
	from_parse(STR(" Nobody: (really) ;"), &a);
	assert_int_equal(a.status, FROM_NO_ADDRESS);
	/* the mailbox is who is meant */
	from_parse(STR(" <@x.example,@y.example:a@b.example>"), &a);
	assert_int_equal(a.status, FROM_ROUTED);
	assert_int_equal(a.n, 1);
	assert_string_equal(a.domain[0], "b.example");
	from_parse(STR(" c@d.example, A <@x.example,\r\n @y.example:\"a b\"@b.example>"), &a);
	assert_int_equal(a.status, FROM_ROUTED);
	assert_int_equal(a.n, 2);
	from_parse(STR(" <@x.example:a@b.example>, c"), &a);
	assert_int_equal(a.status, FROM_MALFORMED);
	assert_int_equal(a.n, 0);
	from_parse(STR(" a@1.example,a@2.example,a@3.example,a@4.example,a@5.example,"
		       "a@6.example"), &a);
	assert_int_equal(a.status, FROM_TOO_MANY);
	assert_int_equal(a.n, 0);
	from_parse(str_make(nul, sizeof(nul) - 1), &a);
	assert_int_equal(a.status, FROM_MALFORMED);
}

static void field_table(void **state)
{
	static const struct {
		const char *header;
		enum from_status status;
		const char *domain;
	} t[] = {
		{"From: a@b.example\r\n", FROM_OK, "b.example"},
		{"fROM : a@b.example\r\n", FROM_OK, "b.example"}, /* counts as From */
		{"From : a@b.example\r\nFrom: c@d.example\r\n", FROM_SEVERAL, ""},
		{"To: x@y.example\r\n", FROM_MISSING, ""},
		{"From: a@b.example\r\nTo: x@y.example\r\nFrom: c@d.example\r\n", FROM_SEVERAL, ""},
		{"From: a@b.example\r\nfrom: a@b.example\r\n", FROM_SEVERAL, ""},
		/* space in front: part of the field above, or of none if it is the first */
		{" From: c@d.example\r\nFrom: a@b.example\r\n", FROM_SEVERAL, ""},
		/* folded in front of the colon */
		{"From\r\n : c@d.example\r\nFrom: a@b.example\r\n", FROM_SEVERAL, ""},
		{"From\r\n : c@d.example\r\n", FROM_SEVERAL, ""},
		/* bare CR and LF end lines for some */
		{"X: y\nFrom: c@d.example\r\nFrom: a@b.example\r\n", FROM_SEVERAL, ""},
		{"X: y\rFrom: c@d.example\r\nFrom: a@b.example\r\n", FROM_SEVERAL, ""},
		{"X: y\nFromage: c\r\nFrom: a@b.example\r\n", FROM_OK, "b.example"},
		{"X: y\r\x01 From: c@d.example\r\nFrom: a@b.example\r\n", FROM_SEVERAL, ""},
		{"X: y\r\x01\rFrom : c@d.example\r\nFrom: a@b.example\r\n", FROM_SEVERAL, ""},
		/* a folded line for who takes a bare CR for an end */
		{"X: y\r\x01\r From: c@d.example\r\nFrom: a@b.example\r\n", FROM_OK, "b.example"},
		{"\xef\xbb\xbf" "From: c@d.example\r\nFrom: a@b.example\r\n", FROM_SEVERAL, ""},
		/* From decides, not who sent or resent */
		{"Sender: c@d.example\r\nResent-From: e@f.example\r\nFrom: a@b.example\r\n",
		 FROM_OK, "b.example"},
		{"From: a@b.example\r\nX-From: c@d.example\r\n", FROM_OK, "b.example"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char m[512];
		int n = snprintf(m, sizeof(m), "%s\r\nbody\r\n", t[i].header);
		struct iovec iov = {m, (size_t)n};
		struct mail_bytes c = {&iov, 1, iov.iov_len};
		struct from_authors a;
		struct headers h;

		assert_int_equal(headers_parse(&h, &c), 0);
		from_find(&h, &a);
		if (a.status != t[i].status)
			fail_msg("'%s': %s, %s", t[i].header, from_status_name(a.status), a.reason);
		assert_string_equal(a.n ? a.domain[0] : "", t[i].domain);
		headers_free(&h);
	}
}

/* A field as long as one may be and full of bare CRs; read as often as it has them it would hold the
 * loop for a second. */
static void many_ends(void **state)
{
	static const char from[] = "From: a@b.example\r\n\r\n";
	size_t n = 0, cap = LIMIT_HEADER_FIELD + sizeof(from);
	char *m = malloc(cap);
	struct iovec iov;
	struct mail_bytes c;
	struct from_authors a;
	struct headers h;

	(void)state;
	assert_non_null(m);
	n += (size_t)snprintf(m, cap, "X: ");
	while (n + 4 < LIMIT_HEADER_FIELD) {
		m[n++] = '\r';
		m[n++] = '\x01';
	}
	n += (size_t)snprintf(m + n, cap - n, "\r\n%s", from);
	iov = (struct iovec){m, n};
	c = (struct mail_bytes){&iov, 1, n};
	assert_int_equal(headers_parse(&h, &c), 0);
	from_find(&h, &a);
	assert_int_equal(a.status, FROM_OK);
	assert_string_equal(a.domain[0], "b.example");
	headers_free(&h);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(value_table),
		cmocka_unit_test(other_statuses),
		cmocka_unit_test(field_table),
		cmocka_unit_test(many_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
