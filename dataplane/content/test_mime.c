/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/content/mime.h"

/* What the sink was told, as text: "0 text/plain[data]". */
struct told {
	char s[256 * 1024];
	size_t n;
	size_t want;
	bool fields;
	bool open;
};

static void say(struct told *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	t->n += (size_t)vsnprintf(t->s + t->n, sizeof(t->s) - t->n, fmt, ap);
	va_end(ap);
	assert_true(t->n < sizeof(t->s));
}

static void field(void *ctx, const struct mime_field *f)
{
	struct told *t = ctx;

	if (t->fields)
		say(t, "%s%.*s=%.*s;", f->top ? "^" : "", STR_FMT(f->name), STR_FMT(f->value));
}

static void header(void *ctx)
{
	if (((struct told *)ctx)->fields)
		say(ctx, "|");
}

static size_t part(void *ctx, const struct mime_part *p)
{
	struct told *t = ctx;

	assert_false(t->open);
	t->open = p->kind < MIME_MULTIPART;
	say(t, "%u %.*s", p->depth, STR_FMT(p->type));
	if (p->charset.n)
		say(t, " c=%.*s", STR_FMT(p->charset));
	if (p->name.n)
		say(t, " n=%.*s", STR_FMT(p->name));
	if (p->attachment)
		say(t, " a");
	say(t, t->open ? "[" : "{}");
	return t->want;
}

static void data(void *ctx, const uint8_t *p, size_t n)
{
	struct told *t = ctx;

	assert_true(t->open && n > 0);
	assert_true(t->n + n < sizeof(t->s));
	memcpy(t->s + t->n, p, n);
	t->n += n;
}

static void end(void *ctx, uint64_t encoded)
{
	struct told *t = ctx;

	(void)encoded;
	assert_true(t->open);
	t->open = false;
	say(t, "]");
}

static uint32_t run(struct str s, size_t cut, size_t step, struct told *t)
{
	static struct mime m;
	const struct mime_sink sink = {field, header, part, data, end, t};

	t->n = 0;
	t->open = false;
	mime_begin(&m, &sink);
	if (cut)
		mime_feed(&m, s.p, cut);
	for (size_t i = cut; i < s.n; i += step)
		mime_feed(&m, s.p + i, step < s.n - i ? step : s.n - i);
	mime_end(&m);
	assert_false(t->open);
	t->s[t->n] = '\0';
	return m.marks;
}

static void check(struct str s, const char *want, uint32_t marks, bool fields)
{
	static struct told t;
	uint32_t got;

	t.want = SIZE_MAX;
	t.fields = fields;
	for (size_t cut = 0; cut <= s.n; cut++) {
		got = run(s, cut, s.n, &t);
		assert_string_equal(t.s, want);
		assert_int_equal(got, marks);
	}
	for (size_t step = 1; step < 8; step++) {
		got = run(s, 0, step, &t);
		assert_string_equal(t.s, want);
		assert_int_equal(got, marks);
	}
}

#define MULTI(type, rest) STR("Content-Type: multipart/" type "; boundary=b\r\n\r\n" rest)
#define TEXT              "0 text/plain["

static void test_structure(void **state)
{
	static const struct {
		struct str in;
		const char *out;
		uint32_t marks;
	} t[] = {
		{STR(""), TEXT "]", 0},
		{STR("\r\n"), TEXT "]", 0},
		{STR("A: b\r\n\r\nbody\r\n"), TEXT "body\r\n]", 0},
		{STR("A: b\r\nbody"), TEXT "]", CONTENT_M_BAD_FIELD},
		/* The header of a part ended by a line that is no field, and looks like a delimiter. */
		{MULTI("mixed", "--b\r\n--evil x"), "0 multipart/mixed{}1 text/plain[--evil x]",
		 CONTENT_M_BAD_FIELD | CONTENT_M_NO_END},
		{STR("A: b\n\nbody\n--b\n"), TEXT "body\n--b\n]", 0},
		{MULTI("mixed", "pre\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: "
				"text/html\r\n\r\ntwo\r\n\r\n--b--\r\nepi"),
		 "0 multipart/mixed{}1 text/plain[one]1 text/html[two\r\n]", 0},
		/* Line ends that BDAT may bring. */
		{MULTI("mixed", "--b\n\none\n--b\r\n\r\ntwo\r\r\n--b--\n"),
		 "0 multipart/mixed{}1 text/plain[one]1 text/plain[two\r]", 0},
		/* No part, an empty one, one without an empty line. */
		{MULTI("mixed", "--b\r\n--b\r\n\r\n--b\r\n\r\n\r\n--b--"),
		 "0 multipart/mixed{}1 text/plain[]1 text/plain[]1 text/plain[]", 0},
		{MULTI("mixed", "--b\r\nContent-Type: text/html\r\n--b--"),
		 "0 multipart/mixed{}1 text/html[]", 0},
		{MULTI("mixed", "pre\r\n--b--\r\nepi"), "0 multipart/mixed{}1 text/plain[pre]",
		 CONTENT_M_BAD_BOUNDARY},
		/* No end. */
		{MULTI("mixed", "--b\r\n\r\none\r\n"), "0 multipart/mixed{}1 text/plain[one\r\n]",
		 CONTENT_M_NO_END},
		{MULTI("mixed", "--b\r\n\r\none\r\n--"),
		 "0 multipart/mixed{}1 text/plain[one\r\n--]", CONTENT_M_NO_END},
		{MULTI("mixed", "--b\r\n\r\none\r\n--b"),
		 "0 multipart/mixed{}1 text/plain[one]1 text/plain[]", CONTENT_M_NO_END},
		/* RFC 2046 5.1.1: white space behind the delimiter; nothing else. */
		{MULTI("mixed", "--b \t\r\n\r\none\r\n--bx\r\n --b\r\n--b x\r\n--b- \r\n--b-- "
				"\r\nepi\r\n--b\r\n"),
		 "0 multipart/mixed{}1 text/plain[one\r\n--bx\r\n --b\r\n--b x\r\n--b- ]", 0},
		/* After the end nothing follows. */
		{MULTI("mixed", "--b\r\n\r\none\r\n--b--\r\n--b\r\n\r\ntwo\r\n--b--"),
		 "0 multipart/mixed{}1 text/plain[one]", 0},
		/* No boundary: text. */
		{STR("Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\none"), TEXT "--b\r\n\r\none]",
		 CONTENT_M_BAD_BOUNDARY},
		{STR("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\none"),
		 TEXT "--\r\n\r\none]", CONTENT_M_BAD_BOUNDARY},
		{MULTI("mixed", "text\r\n--c\r\n"),
		 "0 multipart/mixed{}1 text/plain[text\r\n--c\r\n]",
		 CONTENT_M_BAD_BOUNDARY | CONTENT_M_NO_END},
		/* The boundary, lenient. */
		{STR("Content-Type: multipart/mixed; boundary=\"b  "
		     "\"\r\n\r\n--b\r\n\r\none\r\n--b--\r\n"),
		 "0 multipart/mixed{}1 text/plain[one]", 0},
		{STR("Content-Type: multipart/mixed;\r\n boundary*0=\"a\";\r\n "
		     "boundary*1=b\r\n\r\n--ab\r\n\r\n"
		     "one\r\n--ab--\r\n"),
		 "0 multipart/mixed{}1 text/plain[one]", 0},
		{STR("Content-Type: multipart/mixed; boundary=b; "
		     "boundary=c\r\n\r\n--b\r\n\r\none\r\n--c\r\n--b--"),
		 "0 multipart/mixed{}1 text/plain[one\r\n--c]", CONTENT_M_BAD_BOUNDARY},
		/* Nested; of one the beginning of the other. */
		{MULTI("mixed", "--b\r\nContent-Type: multipart/alternative; "
				"boundary=bb\r\n\r\n--bb\r\n\r\none\r\n"
				"--bb--\r\n\r\nepi\r\n--b\r\n\r\ntwo\r\n--b--\r\n"),
		 "0 multipart/mixed{}1 multipart/alternative{}2 text/plain[one]1 text/plain[two]",
		 0},
		{MULTI("mixed", "--b\r\nContent-Type: multipart/alternative; "
				"boundary=b--\r\n\r\n--b--\r\n\r\none\r\n"
				"--b----\r\n--b--\r\n"),
		 "0 multipart/mixed{}1 multipart/alternative{}2 text/plain[one]", 0},
		/* The inner one is not closed, or never begins. */
		{MULTI("mixed", "--b\r\nContent-Type: multipart/alternative; "
				"boundary=c\r\n\r\n--c\r\n\r\none\r\n"
				"--b\r\n\r\ntwo\r\n--b--\r\n"),
		 "0 multipart/mixed{}1 multipart/alternative{}2 text/plain[one]1 text/plain[two]",
		 CONTENT_M_NO_END},
		{MULTI("mixed",
		       "--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\ntext\r\n"
		       "--b\r\n\r\ntwo\r\n--b--\r\n"),
		 "0 multipart/mixed{}1 multipart/alternative{}2 text/plain[text]1 text/plain[two]",
		 CONTENT_M_NO_END | CONTENT_M_BAD_BOUNDARY},
		/* The same boundary twice: the inner one first. */
		{MULTI("mixed", "--b\r\nContent-Type: multipart/mixed; "
				"boundary=b\r\n\r\npre\r\n--b\r\n\r\nin\r\n"
				"--b--\r\n\r\nmid\r\n--b\r\n\r\nout\r\n--b--\r\n"),
		 "0 multipart/mixed{}1 multipart/mixed{}2 text/plain[in]1 text/plain[out]",
		 CONTENT_M_BAD_BOUNDARY},
		/* Messages. */
		{MULTI("digest", "--b\r\n\r\nA: b\r\n\r\none\r\n--b\r\nContent-Type: "
				 "text/plain\r\n\r\ntwo\r\n--b--"),
		 "0 multipart/digest{}1 message/rfc822{}2 text/plain[one]1 text/plain[two]", 0},
		{MULTI("mixed", "--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: "
				"multipart/mixed; boundary=c"
				"\r\n\r\n--c\r\n\r\none\r\n--c--\r\n\r\n--b\r\n\r\ntwo\r\n--b--"),
		 "0 multipart/mixed{}1 message/rfc822{}2 multipart/mixed{}3 text/plain[one]1 "
		 "text/plain[two]",
		 0},
		{MULTI("report", "--b\r\nContent-Type: message/delivery-status\r\n\r\nA: "
				 "b\r\n\r\nC: d\r\n--b--"),
		 "0 multipart/report{}1 message/delivery-status[A: b\r\n\r\nC: d]", 0},
		{STR("Content-Type: message/rfc822\r\n\r\nA: b"),
		 "0 message/rfc822{}1 text/plain[]", 0},
		/* Encoded ones, of which the inner boundary says nothing outside, and the other way
		   round. */
		{MULTI("mixed", "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: "
				"base64\r\n\r\n"
				"Q29udGVudC1UeXBlOiBtdWx0aXBhcnQvbWl4ZWQ7IGJvdW5kYXJ5PWMNCg0KLS1jDQ"
				"oNCm9u\r\n"
				"ZQ0KLS1iDQotLWMtLQ==\r\n--c\r\n--b\r\n\r\ntwo\r\n--b--"),
		 "0 multipart/mixed{}1 message/rfc822{}2 multipart/mixed{}3 text/plain[one\r\n--b]"
		 "1 text/plain[two]",
		 CONTENT_M_BAD_ENCODING},
		{STR("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: "
		     "quoted-printable\r\n\r\n"
		     "Content-Transfer-Encoding: base64=0D=0A=0D=0AQUJD"),
		 "0 message/rfc822{}1 text/plain[ABC]", 0},
		/* Encodings. */
		{STR("Content-Transfer-Encoding: BASE64 ; x\r\n\r\nQUJ\r\nD\r\n"), TEXT "ABC]", 0},
		{STR("Content-Transfer-Encoding: quoted-printable\r\n\r\na=3D=\r\nb  \r\n"),
		 TEXT "a=b\r\n]", 0},
		{STR("Content-Transfer-Encoding: x-uuencode\r\n\r\nabc"), TEXT "abc]",
		 CONTENT_M_UNKNOWN_ENCODING},
		{STR("Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: "
		     "7bit\r\n\r\nQUJD"),
		 TEXT "QUJD]", CONTENT_M_DUPLICATE_FIELD},
		/* RFC 2045 6.4: a multipart has none. */
		{STR("Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: "
		     "base64\r\n\r\n--b\r\n\r\n"
		     "QUJD\r\n--b--"),
		 "0 multipart/mixed{}1 text/plain[QUJD]", 0},
		/* What a part is. */
		{STR("Content-Type: TEXT/Html; charset=\"utf-8\"; "
		     "name=x.htm\r\nContent-Disposition: attachment; "
		     "filename=\"=?utf-8?q?=C3=A9?=.htm\"\r\n\r\n"),
		 "0 text/html c=utf-8 n=\xc3\xa9.htm a[]", 0},
		{STR("Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nx"),
		 "0 text/html[x]", CONTENT_M_DUPLICATE_FIELD},
		/* In the header of a part what is no field begins the body; not in that of a
		   message. */
		{MULTI("mixed",
		       "--b\r\nno field\r\nX: y\r\n--b\r\nX: y\r\nno field\r\n\r\nz\r\n--b--"),
		 "0 multipart/mixed{}1 text/plain[no field\r\nX: y]1 text/plain[no field\r\n\r\nz]",
		 CONTENT_M_BAD_FIELD},
		{STR("From x\r\n folded\r\nContent-Type: text/html\r\nno field\r\nX: y\r\n\r\nz"),
		 "0 text/html[z]", CONTENT_M_BAD_FIELD},
		{STR("A: \0b\xff\r\n\r\n"), TEXT "]", CONTENT_M_NUL | CONTENT_M_8BIT_HEADER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		check(t[i].in, t[i].out, t[i].marks, false);
}

static void test_fields(void **state)
{
	(void)state;
	check(STR("A: b\r\nC : d\r\n e\r\n\tf\r\nG:\r\nbad\r\n h\r\nI:j\r\n\r\n"),
	      "^A= b;^C= d\r\n e\r\n\tf;^G=;^I=j;|0 text/plain[]", CONTENT_M_BAD_FIELD, true);
	check(STR("A: b"), "^A= b;|0 text/plain[]", 0, true);
	check(MULTI("mixed", "--b\r\nX: y\r\n\r\n--b--"),
	      "^Content-Type= multipart/mixed; boundary=b;|0 multipart/mixed{}X= y;1 text/plain[]",
	      0, true);
}

/* Text in memory, put together. */
struct text {
	uint8_t *p;
	size_t n, room;
};

static void add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	t->n += (size_t)vsnprintf((char *)t->p + t->n, t->room - t->n, fmt, ap);
	va_end(ap);
	assert_true(t->n < t->room);
}

static struct text text_new(size_t room)
{
	struct text t = {.p = test_malloc(room), .room = room};

	return t;
}

static void nest(struct text *t, unsigned int levels)
{
	for (unsigned int i = 0; i < levels; i++)
		add(t, "Content-Type: multipart/mixed; boundary=b%u\r\n\r\n--b%u\r\n", i, i);
	add(t, "\r\ninnermost");
	for (unsigned int i = levels; i--;)
		add(t, "\r\n--b%u--\r\n", i);
}

static void test_nesting(void **state)
{
	struct text t = text_new(64 * 1024);
	static struct told told;

	(void)state;
	told.want = SIZE_MAX;
	nest(&t, LIMIT_MIME_NESTING);
	assert_int_equal(run(str_make(t.p, t.n), 0, t.n, &told), 0);
	assert_non_null(strstr(told.s, "64 text/plain[innermost]"));
	t.n = 0;
	nest(&t, LIMIT_MIME_NESTING + 1);
	assert_int_equal(run(str_make(t.p, t.n), 0, 7, &told), CONTENT_M_NESTING);
	assert_non_null(strstr(told.s, "64 multipart/mixed[--b64\r\n\r\ninnermost\r\n--b64--"));
	test_free(t.p);
}

/* Messages in base64, in base64, …: beyond the layers the innermost is octets. */
static void test_layers(void **state)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static const char head[] =
		"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n";
	char a[8192] = "A: b\r\n\r\ninnermost", b[8192];
	static struct told told;

	(void)state;
	told.want = SIZE_MAX;
	for (unsigned int layers = 1; layers <= LIMIT_MIME_LAYERS; layers++) {
		size_t n = (size_t)snprintf(b, sizeof(b), "%s", head);
		uint32_t marks;

		while (strlen(a) % 3)
			strcat(a, " ");
		for (size_t i = 0; a[i]; i += 3) {
			uint32_t v = (uint32_t)(uint8_t)a[i] << 16 |
				     (uint32_t)(uint8_t)a[i + 1] << 8 | (uint8_t)a[i + 2];

			for (int k = 18; k >= 0; k -= 6)
				b[n++] = digits[v >> k & 63];
		}
		b[n] = '\0';
		memcpy(a, b, n + 1);
		marks = run(str_c(a), 0, 5, &told);
		if (layers < LIMIT_MIME_LAYERS) {
			assert_int_equal(marks, 0);
			assert_non_null(strstr(told.s, "text/plain[innermost"));
		} else {
			assert_int_equal(marks, CONTENT_M_NESTING);
			assert_non_null(strstr(told.s, "message/rfc822[A: b"));
		}
	}
}

static void test_parts(void **state)
{
	struct text t = text_new(64 * 1024);
	static struct told told;
	unsigned int n = 0;

	(void)state;
	told.want = SIZE_MAX;
	add(&t, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
	for (unsigned int i = 0; i < LIMIT_MIME_PARTS + 10; i++)
		add(&t, "--b\r\n\r\np%u\r\n", i);
	add(&t, "--b--\r\n");
	assert_int_equal(run(str_make(t.p, t.n), 0, t.n, &told), CONTENT_M_PARTS);
	for (const char *p = told.s; (p = strstr(p, "text/plain[p")); p++)
		n++;
	assert_int_equal(n, LIMIT_MIME_PARTS - 1); /* and the multipart */
	/* A part more, by a preamble that is text, does not get past the bound. */
	t.n = 0;
	add(&t, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
	for (unsigned int i = 0; i < LIMIT_MIME_PARTS - 2; i++)
		add(&t, "--b\r\n\r\nx\r\n");
	add(&t, "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\npreamble\r\n");
	for (unsigned int i = 0; i < 100; i++)
		add(&t, "--b\r\n\r\nbehind\r\n");
	add(&t, "--b--\r\n");
	assert_true(run(str_make(t.p, t.n), 0, t.n, &told) & CONTENT_M_PARTS);
	assert_null(strstr(told.s, "behind"));
	test_free(t.p);
}

/* A boundary of the most octets, of one more, and more of them than there is room for. */
static void test_long_boundary(void **state)
{
	struct text t = text_new(256 * 1024);
	char long_one[LIMIT_MIME_BOUNDARY + 2];
	static struct told told;

	(void)state;
	told.want = SIZE_MAX;
	memset(long_one, 'x', sizeof(long_one));
	long_one[LIMIT_MIME_BOUNDARY] = '\0';
	add(&t, "Content-Type: multipart/mixed; boundary=%s\r\n\r\n--%s  \r\n\r\none\r\n--%s--\r\n",
	    long_one, long_one, long_one);
	assert_int_equal(run(str_make(t.p, t.n), 0, 3, &told), 0);
	assert_non_null(strstr(told.s, "1 text/plain[one]"));
	t.n = 0;
	add(&t, "Content-Type: multipart/mixed; boundary=%sx\r\n\r\n--%sx\r\n\r\none\r\n", long_one,
	    long_one);
	assert_int_equal(run(str_make(t.p, t.n), 0, t.n, &told), CONTENT_M_BAD_BOUNDARY);
	assert_non_null(strstr(told.s, "0 text/plain[--x"));
	t.n = 0;
	for (unsigned int i = 0; i < 20; i++)
		add(&t, "Content-Type: multipart/mixed; boundary=%.*s%u\r\n\r\n--%.*s%u\r\n",
		    LIMIT_MIME_BOUNDARY - 2, long_one, i + 10, LIMIT_MIME_BOUNDARY - 2, long_one,
		    i + 10);
	assert_int_equal(run(str_make(t.p, t.n), 0, t.n, &told),
			 CONTENT_M_BAD_BOUNDARY | CONTENT_M_NO_END);
	assert_non_null(strstr(told.s, "16 text/plain[--x"));
	test_free(t.p);
}

/* A preamble that is larger than any is a text; so is a line that is longer than any delimiter. */
static void test_preamble(void **state)
{
	struct text t = text_new(128 * 1024);
	static struct told told;

	(void)state;
	told.want = SIZE_MAX;
	for (size_t n = LIMIT_MIME_PREAMBLE; n <= LIMIT_MIME_PREAMBLE + 1; n++) {
		t.n = 0;
		add(&t, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
		for (size_t i = 0; i < n; i++)
			add(&t, "%c", i % 2000 == 1 ? '\n' : '-');
		add(&t, "\r\n--b\r\n\r\none\r\n--b--\r\n");
		for (size_t step = 1; step < 8000; step = step * 3 + 1) {
			uint32_t marks = run(str_make(t.p, t.n), 0, step, &told);
			bool text = n > LIMIT_MIME_PREAMBLE;

			assert_int_equal(marks, text ? CONTENT_M_BAD_BOUNDARY : 0);
			assert_true(!strstr(told.s, "1 text/plain[-\n-") == !text);
			assert_non_null(strstr(told.s, "1 text/plain[one]"));
			if (text)
				assert_int_equal(told.n,
						 n + strlen("0 multipart/mixed{}1 text/plain[]"
							    "1 text/plain[one]"));
		}
	}
	test_free(t.p);
}

/* A field and a line past their bound: what is behind them is read. */
static void test_long_fields(void **state)
{
	struct text t = text_new(512 * 1024);
	static struct told told;

	(void)state;
	told.want = SIZE_MAX;
	told.fields = true;
	for (int folded = 0; folded < 2; folded++) {
		t.n = 0;
		add(&t, "X: ");
		for (size_t i = 0; i < LIMIT_HEADER_FIELD + 5000; i++)
			add(&t, folded && i % 70 == 69 ? "\r\n " : "x");
		add(&t, "\r\nContent-Type: text/html\r\n\r\nbody");
		for (size_t step = 11; step <= t.n; step *= 9) {
			assert_int_equal(run(str_make(t.p, t.n), 0, step, &told),
					 CONTENT_M_HEADER_CUT);
			assert_non_null(
				strstr(told.s, ";^Content-Type= text/html;|0 text/html[body]"));
			assert_true(told.n < LIMIT_HEADER_FIELD + 100);
		}
	}
	told.fields = false;
	test_free(t.p);
}

/* Only the first octets are wanted, of any encoding. */
static void test_wanted(void **state)
{
	static const char *const in[] = {
		"\r\nabcdefgh",
		"Content-Transfer-Encoding: base64\r\n\r\nYWJjZGVmZ2g=",
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nab=63defgh",
	};
	static struct told told;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (told.want = 0; told.want < 10; told.want++) {
			char want[32];

			snprintf(want, sizeof(want), "0 text/plain[%.*s]", (int)told.want,
				 "abcdefgh");
			for (size_t step = 1; step < 20; step += 3) {
				run(str_c(in[i]), 0, step, &told);
				assert_string_equal(told.s, want);
			}
		}
	}
}

/* Random sequences of what a message is made of: any split gives the same. */
static void test_splits(void **state)
{
	static const char *const piece[] = {
		"\r\n",
		"\n",
		"\r",
		"-",
		"--",
		"--b",
		"--b\r\n",
		"\r\n--b\r\n",
		"\r\n--b--\r\n",
		"--c",
		"\r\n--c\r\n\r\n",
		"\r\n--c--\r\n",
		"x",
		"X: y\r\n",
		" ",
		"\r\n\r\n",
		"QUJD",
		"=\r\n",
		"=3D",
		"Content-Type: multipart/mixed; boundary=b\r\n",
		"\r\n\r\n--b\r\n",
		"Content-Type: multipart/digest; boundary=c\r\n\r\n--c\r\n",
		"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n",
		"Content-Transfer-Encoding: quoted-printable\r\n",
		"DQotLWINCg0K",
		"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: "
		"quoted-printable\r\n\r\n",
		"Content-Transfer-Encoding: base64\r\n",
		"Content-Type: message/rfc822\r\n\r\n",
	};
	static struct told whole, cut;
	uint64_t seed = 5;

	(void)state;
	whole.want = cut.want = SIZE_MAX;
	whole.fields = cut.fields = true;
	for (int round = 0; round < 40000; round++) {
		char in[2048];
		size_t n = 0;
		uint32_t marks;

		for (unsigned int i = 0; i < 24; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			n += (size_t)snprintf(
				in + n, sizeof(in) - n, "%s",
				piece[(seed >> 33) % (sizeof(piece) / sizeof(piece[0]))]);
		}
		marks = run(str_make(in, n), 0, n, &whole);
		assert_int_equal(run(str_make(in, n), (seed >> 40) % n, n, &cut), marks);
		assert_string_equal(whole.s, cut.s);
		assert_int_equal(run(str_make(in, n), 0, 1 + (seed >> 50) % 9, &cut), marks);
		assert_string_equal(whole.s, cut.s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structure), cmocka_unit_test(test_fields),
		cmocka_unit_test(test_nesting),   cmocka_unit_test(test_layers),
		cmocka_unit_test(test_parts),     cmocka_unit_test(test_long_boundary),
		cmocka_unit_test(test_preamble),  cmocka_unit_test(test_long_fields),
		cmocka_unit_test(test_wanted),    cmocka_unit_test(test_splits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
