/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/test_words.h"
#include "dataplane/content/test_content.h"
#include "postern/limits.h"
#include "postern/utf8.h"

static struct test_charset charset_state;
static struct collected got;

static void out(void *ctx, const uint8_t *p, size_t n)
{
	assert_null(ctx);
	assert_true(n > 0);
	collect(&got, p, n);
}

static uint32_t decode(struct str s)
{
	struct words_charset cs = TEST_CHARSET(charset_state);
	uint32_t marks;

	got.n = 0;
	marks = words_decode(s, &cs, out, NULL);
	assert_int_equal(charset_state.open, TEST_CLOSED);
	return marks;
}

static void test_unfold(void **state)
{
	static const struct {
		struct str in, want;
	} t[] = {
		{STR(" a\r\n  b\r\n\tc \r\n"), STR("a b c")},
		{STR("a \r\n b"), STR("a  b")},
		{STR("  a   b "), STR("a   b")},
		{STR("a\n\n b\rc"), STR("a b c")},
		{STR(" \r\n "), STR("")},
		{STR("=?utf-8?Q?a?="), STR("=?utf-8?Q?a?=")},
		{STR("\xfc"), STR("\xc3\xbc")},
		{STR(""), STR("")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		got.n = 0;
		words_unfold(t[i].in, out, NULL);
		assert_str(collected(&got), t[i].want, t[i].in);
	}
}

static void test_decode(void **state)
{
	static const struct {
		struct str in, want;
		uint32_t marks;
	} t[] = {
		{STR("=?utf-8?Q?a?= =?utf-8?Q?b?="), STR("ab"), 0},
		{STR("=?utf-8?Q?a?=\r\n =?UTF-8?B?Yg==?= x =?utf-8?q?c?="), STR("ab x c"), 0},
		{STR("x=?utf-8?Q?a?==?utf-8?Q?b?=y \"=?utf-8?Q?c?=\" (=?utf-8?Q?d?=)"),
		 STR("xaby \"c\" (d)"), 0},
		/* Characters cut between words; not where the charset changes, or text stands
		   between */
		{STR("=?utf-8?Q?=C3?= =?utf-8?B?vA==?="), STR("\xc3\xbc"), 0},
		{STR("=?utf-8?Q?=E2=82?= =?iso-8859-1?Q?=AC?="), STR("\xef\xbf\xbd\xc2\xac"), 0},
		{STR("=?utf-8?Q?=E2=82?=x=?utf-8?Q?=AC?="), STR("\xef\xbf\xbdx\xef\xbf\xbd"), 0},
		{STR("=?iso-8859-1?Q?=FC?= =?utf-8?Q?=C3=BC?="), STR("\xc3\xbc\xc3\xbc"), 0},
		/* Words that are none stay */
		{STR("=?utf-8?X?abc?="), STR("=?utf-8?X?abc?="), 0},
		{STR("=?utf-8?Q?abc"), STR("=?utf-8?Q?abc"), 0},
		{STR("=?utf-8?Q?abc?"), STR("=?utf-8?Q?abc?"), 0},
		{STR("=?utf-8?Q?abc?def?="), STR("=?utf-8?Q?abc?def?="), 0},
		{STR("=??Q?abc?="), STR("=??Q?abc?="), 0},
		{STR("=?utf 8?Q?abc?="), STR("=?utf 8?Q?abc?="), 0},
		{STR("=?=?utf-8?Q?a?="), STR("=?a"), 0},
		{STR("=?utf-8?Q?a=\r\n =?utf-8?Q?b?="), STR("=?utf-8?Q?a= b"), 0},
		{STR("=?x-none?Q?=FC?= =?x-none?Q?b?= =?utf-8?Q?a?= =?x-none?Q?c?="),
		 STR("=?x-none?Q?=FC?= =?x-none?Q?b?= a =?x-none?Q?c?="), WORDS_UNKNOWN_CHARSET},
		/* As mailers write them */
		{STR("=?utf-8*en?Q?abc?="), STR("abc"), 0},
		{STR("=?utf-8?Q?a b\r\n  c?="), STR("a b c"), 0},
		{STR("=?utf-8?B?YWJj\r\n ZGVm?="), STR("abcdef"), 0},
		{STR("=?utf-8?Q?\?=x=?utf-8?B?\?="), STR("x"), 0},
		{STR("=?utf-8?Q?a_b=20c=zz=?="), STR("a b c=zz="), WORDS_BAD_ENCODING},
		{STR("=?utf-8?B?YWJj!ZGVm?="), STR("abcdef"), WORDS_BAD_ENCODING},
		{STR("=?utf-8?B?YWI=ZGVm?="), STR("abdef"), WORDS_BAD_ENCODING},
		{STR("=?utf-8?B?YWJjZ?="), STR("abc"), WORDS_BAD_ENCODING},
		{STR("=?utf-8?B?w7w?="), STR("\xc3\xbc"), 0},
		{STR("=?utf-8?Q?a=0D=0AFrom:=20b=00?="), STR("a  From: b\0"), WORDS_NUL},
		/* Octets above 127 in the raw */
		{STR("\xc3\xbc \xfc \x93q\x94 \x81 =?utf-8?Q?=C3=BC?="),
		 STR("\xc3\xbc \xc3\xbc \xe2\x80\x9cq\xe2\x80\x9d \xef\xbf\xbd \xc3\xbc"),
		 WORDS_8BIT},
		{STR("a\0b"), STR("a\0b"), WORDS_NUL},
		{STR(" =?utf-8?Q?_a_?= "), STR(" a "), 0},
		{STR(""), STR(""), 0},
		{STR("="), STR("="), 0},
		{STR("=?"), STR("=?"), 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint32_t marks = decode(t[i].in);

		assert_str(collected(&got), t[i].want, t[i].in);
		assert_int_equal(marks, t[i].marks);
	}
}

/* RFC 2047 8, the examples. */
static void test_rfc2047(void **state)
{
	static const struct {
		struct str in, want;
	} t[] = {
		{STR("(=?ISO-8859-1?Q?a?=)"), STR("(a)")},
		{STR("(=?ISO-8859-1?Q?a?= b)"), STR("(a b)")},
		{STR("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)"), STR("(ab)")},
		{STR("(=?ISO-8859-1?Q?a?=  \r\n   =?ISO-8859-1?Q?b?=)"), STR("(ab)")},
		{STR("(=?ISO-8859-1?Q?a_b?=)"), STR("(a b)")},
		{STR("(=?ISO-8859-1?Q?a?= =?UTF-8?Q?_b?=)"), STR("(a b)")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		decode(t[i].in);
		assert_str(collected(&got), t[i].want, t[i].in);
	}
}

static void test_main(void **state)
{
	static const struct {
		struct str in, want;
		uint32_t marks;
	} t[] = {
		{STR(" Text/HTML; charset=x"), STR("text/html"), 0},
		{STR("attachment"), STR("attachment"), 0},
		{STR("(a (b\\)) c) text (x)/\r\n html (y);"), STR("text/html"), 0},
		{STR("text/html (unclosed; charset=x"), STR("text/html"), WORDS_BROKEN},
		{STR(""), STR(""), 0},
		{STR(";"), STR(""), 0},
		{STR("application/very-long-name-of-a-type"), STR("application/very"), WORDS_CUT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint8_t buf[16];
		size_t n;
		uint32_t marks = words_main(t[i].in, buf, sizeof(buf), &n);

		assert_str(str_make(buf, n), t[i].want, t[i].in);
		assert_int_equal(marks, t[i].marks);
	}
}

static const struct {
	struct str in, want; /* of "name"; {NULL, 0}: not there */
	uint32_t marks;
} param_table[] = {
	{STR("a/b; name=x"), STR("x"), 0},
	{STR("a/b ;\r\n NAME = \"x y\" ; b=c"), STR("x y"), 0},
	{STR("a/b; name=\"a\\\"b\\\\c\r\n d\""), STR("a\"b\\c d"), 0},
	{STR("a/b; xname=x; name*x=y; name"), STR_NONE, 0},
	{STR("a/b; name="), STR(""), 0},
	{STR("a/b; name=\"\""), STR(""), 0},
	{STR(""), STR_NONE, 0},
	{STR("a/b"), STR_NONE, 0},
	{STR("name=x"), STR_NONE, 0},
	/* As mailers write them */
	{STR("a/b; name=my file.txt; x=y"), STR("my file.txt"), 0},
	{STR("a/b; name=report(1).txt"), STR("report(1).txt"), 0},
	{STR("a/b; (c; name=no) name (d) = (e) x (f); g=h"), STR("x"), 0},
	{STR("a/b;; ;name=x;"), STR("x"), 0},
	{STR("\"a;name=y\"(;name=z); name=x"), STR("x"), 0},
	{STR("a/b; name=\"unclosed; name=y"), STR("unclosed; name=y"), WORDS_BROKEN},
	{STR("a/b; name=x; name=y"), STR("x"), WORDS_DUPLICATE},
	{STR("a/b; name==?utf-8?Q?=C3=BC=2Etxt?="), STR("\xc3\xbc.txt"), 0},
	{STR("a/b; name=\"=?utf-8?B?w7w=?=\r\n =?utf-8?Q?=2Etxt?=\""), STR("\xc3\xbc.txt"), 0},
	{STR("a/b; name=\"\xfc.txt\""), STR("\xc3\xbc.txt"), WORDS_8BIT},
	/* RFC 2231 */
	{STR("a/b; name*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"),
	 STR("This is ***fun***"), 0},
	{STR("a/b; name*=utf-8''%C3%BC; name=u"), STR("\xc3\xbc"), 0},
	{STR("a/b; name=u; name*=utf-8''%c3%bc"), STR("\xc3\xbc"), 0},
	{STR("a/b; name*0=\"x\"; name*1=y;name*2=\"z\""), STR("xyz"), 0},
	{STR("a/b; name*1=y; name*0=x; name=u"), STR("xy"), 0},
	{STR("a/b; name*0*=us-ascii'en'This%20is%20even%20more%20;\r\n "
	     "name*1*=%2A%2A%2Afun%2A%2A%2A%20;"
	     " name*2=\"isn't it!\""),
	 STR("This is even more ***fun*** isn't it!"), 0},
	{STR("a/b; name*0*=utf-8''%C3; name*1*=%BC"), STR("\xc3\xbc"), 0},
	{STR("a/b; name*0*=utf-8''%C3; name*1=x; name*2*=%C3%BC"), STR("\xef\xbf\xbdx\xc3\xbc"), 0},
	{STR("a/b; name*0=\"=?utf-8?Q?=C3\"; name*1=\"=BC?=\""), STR("\xc3\xbc"), 0},
	{STR("a/b; name*0=x; name*2=z"), STR("x"), WORDS_BROKEN},
	{STR("a/b; name*1=x"), STR_NONE, WORDS_BROKEN},
	{STR("a/b; name*0=x; name*0=y; name*00=z"), STR("x"), WORDS_DUPLICATE},
	{STR("a/b; name*0=x; name*99999999999=y"), STR("x"), WORDS_CUT},
	{STR("a/b; name*=%41b"), STR("Ab"), WORDS_BROKEN},
	{STR("a/b; name*=x-none''%FC%41"),
	 STR("\xc3\xbc"
	     "A"),
	 WORDS_UNKNOWN_CHARSET | WORDS_8BIT},
	{STR("a/b; name*=''%41"), STR("A"), 0},
	{STR("a/b; name*=utf-8''%4"), STR("%4"), WORDS_BAD_ENCODING},
	{STR("a/b; name*=utf-8''a%0Ab%00"), STR("a b\0"), WORDS_NUL},
};

static void test_param(void **state)
{
	struct words_charset cs = TEST_CHARSET(charset_state);

	(void)state;
	for (size_t i = 0; i < sizeof(param_table) / sizeof(param_table[0]); i++) {
		uint8_t buf[64];
		uint32_t marks = 0;
		size_t n = 99;
		bool there = words_param(param_table[i].in, STR("name"), &cs, buf, sizeof(buf), &n,
					 &marks);

		assert_str(str_make(buf, n), param_table[i].want, param_table[i].in);
		assert_int_equal(there, param_table[i].want.p != NULL);
		assert_int_equal(marks, param_table[i].marks);
		assert_int_equal(charset_state.open, TEST_CLOSED);
	}
}

/* A boundary is octets; a value longer than the buffer is cut, and says so. */
static void test_param_raw(void **state)
{
	uint8_t buf[4];
	uint32_t marks = 0;
	size_t n;
	struct words_charset cs = TEST_CHARSET(charset_state);

	(void)state;
	assert_true(
		words_param(STR("a/b; name=\"=?\xfc\""), STR("name"), NULL, buf, 4, &n, &marks));
	assert_str(str_make(buf, n), STR("=?\xfc"), STR("raw"));
	assert_int_equal(marks, 0);
	assert_true(words_param(STR("a/b; name=abcde"), STR("name"), &cs, buf, 4, &n, &marks));
	assert_str(str_make(buf, n), STR("abcd"), STR("cut"));
	assert_int_equal(marks, WORDS_CUT);
}

static const struct {
	struct str in, addresses, names;
} mailboxes_table[] = {
	{STR("a@b.example"), STR("a@b.example"), STR("")},
	{STR("Name <a@>, <@b.example>, c@d.example"), STR("c@d.example"), STR("Name")},
	{STR("a@b.example (Foo Bar)"), STR("a@b.example"), STR("Foo Bar")},
	{STR(" Foo  \r\n Bar <a@b.example> "), STR("a@b.example"), STR("Foo Bar")},
	{STR("\"Foo, Bar\" <a@b.example>, X <c@d.example>"), STR("a@b.example, c@d.example"),
	 STR("Foo, Bar, X")},
	{STR("\"'Foo'\" <a@b.example>"), STR("a@b.example"), STR("Foo")},
	{STR("'Foo' <a@b.example>,"), STR("a@b.example"), STR("Foo")},
	{STR("=?utf-8?Q?F=C3=BC=2C?= B <a@b.example>"), STR("a@b.example"), STR("F\xc3\xbc, B")},
	{STR("\"=?utf-8?Q?F=C3=BC?=\" <a@b.example>"), STR("a@b.example"), STR("F\xc3\xbc")},
	{STR("=?utf-8?Q?A?= =?utf-8?Q?B?= <a@b.example>"), STR("a@b.example"), STR("AB")},
	{STR("\"x@y.example\" <a@b.example>"), STR("a@b.example"), STR("x@y.example")},
	{STR("<a@b.example>"), STR("a@b.example"), STR("")},
	{STR("Foo (c) Bar <a@b.example> (trail)"), STR("a@b.example"), STR("Foo Bar")},
	{STR("a(c)@b(d).example"), STR("a@b.example"), STR("c")},
	{STR("Foo \"Bar\" Baz <a@b.example>"), STR("a@b.example"), STR("Foo Bar Baz")},
	{STR("\"Fo\\\"o \\\\x\" <a@b.example>"), STR("a@b.example"), STR("Fo\"o \\x")},
	{STR("<\"q l\"@b.example>, \"q l\"@c.example"), STR("\"q l\"@b.example, \"q l\"@c.example"),
	 STR("")},
	{STR("<@r1,@r2:a@b.example>, < a @ c.example >"), STR("a@b.example, a@c.example"), STR("")},
	{STR("group: A <a@b.example>, b@c.example; C <d@e.example>"),
	 STR("a@b.example, b@c.example, d@e.example"), STR("A, C")},
	{STR("undisclosed-recipients:;"), STR(""), STR("")},
	{STR("<>"), STR(""), STR("")},
	{STR(""), STR(""), STR("")},
	{STR(",;, ;"), STR(""), STR("")},
	{STR("Foo"), STR(""), STR("Foo")},
	{STR("Foo <foo>"), STR(""), STR("Foo")},
	{STR("a b@c.example"), STR(""), STR("a b@c.example")},
	{STR("Foo <a@b.example> <c@d.example>"), STR("a@b.example, c@d.example"), STR("Foo")},
	{STR("\"Foo <x@y.example>\" <a@b.example>"), STR("a@b.example"), STR("Foo <x@y.example>")},
	{STR("a@[192.0.2.1]"), STR("a@[192.0.2.1]"), STR("")},
	{STR("a@b.example;c@d.example"), STR("a@b.example, c@d.example"), STR("")},
	/* Without their ends */
	{STR("Foo <a@b.example, x@y.example"), STR("a@b.example, x@y.example"), STR("Foo")},
	{STR("\"Foo <a@b.example>"), STR("a@b.example"), STR("Foo")},
	{STR("(Foo <a@b.example>"), STR("a@b.example"), STR("(Foo")},
	{STR("a@b.example (x (y) z)"), STR("a@b.example"), STR("x (y) z")},
	{STR("\xfc <a@b.example>"), STR("a@b.example"), STR("\xc3\xbc")},
};

static void test_mailboxes(void **state)
{
	struct words_charset cs = TEST_CHARSET(charset_state);

	(void)state;
	for (size_t i = 0; i < sizeof(mailboxes_table) / sizeof(mailboxes_table[0]); i++) {
		got.n = 0;
		words_addresses(mailboxes_table[i].in, SIZE_MAX, out, NULL);
		assert_str(collected(&got), mailboxes_table[i].addresses, mailboxes_table[i].in);
		got.n = 0;
		words_names(mailboxes_table[i].in, SIZE_MAX, &cs, out, NULL);
		assert_str(collected(&got), mailboxes_table[i].names, mailboxes_table[i].in);
	}
	got.n = 0;
	assert_int_equal(words_addresses(STR("a@b.example, c@d.example"), 1, out, NULL), 1);
	assert_str(collected(&got), STR("a@b.example"), STR("first"));
	got.n = 0;
	assert_int_equal(words_names(STR("=?utf-8?q?=41?= <a@b.example>"), 1, NULL, out, NULL), 1);
	assert_str(collected(&got), STR("=?utf-8?q?=41?="), STR("as it stands"));
	got.n = 0;
	assert_int_equal(words_names(STR("a@b.example, C <c@d.example>"), 1, &cs, out, NULL), 0);
	assert_int_equal(got.n, 0);
}

/* Random values: UTF-8 comes out, conversions are closed, no line end, and what has no word and no
 * octet above 127 comes out of decode as of unfold. */
static void test_random_values(void **state)
{
	static const char *const pieces[] = {
		"=?utf-8?Q?", "=?utf-8?B?",  "=?iso-8859-1?q?",
		"=?x?Q?",     "?=",          "=?",
		"?",          "=",           "=C3",
		"=BC",        "w7w",         " ",
		"\r\n ",      "\t",          "text",
		"a",          "_",           "\"",
		"\\",         "(",           ")",
		"<",          ">",           "@",
		",",          ";",           ":",
		"name=",      "name*=",      "name*0=",
		"name*0*=",   "name*1*=",    "utf-8''",
		"%C3",        "%",           "\xc3\xbc",
		"\xfc",       "a@b.example", "<a@b.example>",
		"*",          "'",
	};
	struct words_charset cs = TEST_CHARSET(charset_state);
	static uint8_t in[2048];

	(void)state;
	for (unsigned int round = 0; round < 100000; round++) {
		size_t n = test_compose(in, sizeof(in), pieces, sizeof(pieces) / sizeof(pieces[0]),
					30),
		       len;
		uint8_t buf[256], *copy = malloc(n ? n : 1); /* for ASan to see where it ends */
		struct str s = str_make(copy, n);
		uint32_t marks = decode(str_make(memcpy(copy, in, n), n));
		struct collected plain = {0};

		for (size_t i = 0; i < got.n; i += len) {
			assert_true(utf8_at(collected(&got), i, &len) >= 0);
			assert_true(got.p[i] != '\n' && got.p[i] != '\r');
		}
		if (!memmem(copy, n, "=?", 2)) {
			collect(&plain, got.p, got.n);
			got.n = 0;
			assert_int_equal(words_unfold(s, out, NULL), marks);
			assert_str(collected(&got), collected(&plain), s);
		}
		(void)words_param(s, STR("name"), &cs, buf, sizeof(buf), &len, &marks);
		assert_int_equal(charset_state.open, TEST_CLOSED);
		(void)words_main(s, buf, sizeof(buf), &len);
		(void)words_addresses(s, SIZE_MAX, out, NULL);
		(void)words_names(s, SIZE_MAX, &cs, out, NULL);
		assert_int_equal(charset_state.open, TEST_CLOSED);
		free(plain.p);
		free(copy);
	}
}

static void run(const uint8_t *p, size_t n)
{
	struct words_charset cs = TEST_CHARSET(charset_state);
	struct str s = str_make(p, n);
	uint32_t marks = 0;
	uint8_t buf[256];
	size_t len;

	got.n = 0;
	words_unfold(s, out, NULL);
	decode(s);
	words_main(s, buf, sizeof(buf), &len);
	(void)words_param(s, STR("name"), &cs, buf, sizeof(buf), &len, &marks);
	(void)words_addresses(s, SIZE_MAX, out, NULL);
	(void)words_names(s, SIZE_MAX, &cs, out, NULL);
}

static void test_steps(void **state)
{
	static const char *const hostile[][2] = {
		{"", "=?"},
		{"", "=?a?q?"},
		{"", "=?a"},
		{"", "=?utf-8?q?a?="},
		{"", "=?utf-8?q?a?= "},
		{"", "=?x?q?a?= "},
		{"=?utf-8?q?", "a"},
		{"", "("},
		{"", "(()"},
		{"(", "\\("},
		{"\"", "\\\""},
		{"<", "\\\""},
		{"", "<"},
		{"", "<\""},
		{"<", "\"\\"},
		{"", "<a@b>"},
		{"", ","},
		{"", ":"},
		{"a@b", ":"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@", ":"},
		{"<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@", " "},
		{"<\"", " "},
		{"", ";name*0=a"},
		{"", ";name*1*=a"},
		{"", ";name=\""},
		{"", "; name=(\""},
		{";", "name"},
		{";name=", " ("},
		{";name=\"", "\\\""},
		{";name*=utf-8''", "%41"},
		{"", "'"},
		{"", "\r\n "},
		{"", "\xfc"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
		test_linear(hostile[i][0], hostile[i][1], run, 32);
}

static int release(void **state)
{
	(void)state;
	free(got.p);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unfold),    cmocka_unit_test(test_decode),
		cmocka_unit_test(test_rfc2047),   cmocka_unit_test(test_main),
		cmocka_unit_test(test_param),     cmocka_unit_test(test_param_raw),
		cmocka_unit_test(test_mailboxes), cmocka_unit_test(test_random_values),
		cmocka_unit_test(test_steps),
	};

	return cmocka_run_group_tests(tests, NULL, release);
}
