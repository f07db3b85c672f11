/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/content/attach.h"
#include "dataplane/content/content.h"
#include "dataplane/content/content_priv.h"

#define MOST_SLOTS (VIEW_COUNT + 20)
#define ALL_VIEWS  (1u << VIEW_BODY | 1u << VIEW_RAWBODY | 1u << VIEW_URI | 1u << VIEW_ATTACHMENT)

/* What the sink was given, run for run. */
struct told {
	uint8_t *p[MOST_SLOTS];
	size_t n[MOST_SLOTS], room[MOST_SLOTS];
	unsigned int runs[MOST_SLOTS];
	bool open[MOST_SLOTS], over[MOST_SLOTS];
	/* Of runs, their lengths and flags. In which order runs of different views come depends on
	 * how the message comes. */
	uint64_t hash_of[MOST_SLOTS];
	uint64_t hash; /* of those */
	uint32_t marks;
};

static bool is(const struct told *t, unsigned int slot, const void *p, size_t n)
{
	return t->n[slot] == n && (!n || memcmp(t->p[slot], p, n) == 0);
}

static void mix(uint64_t *hash, uint64_t v)
{
	*hash = (*hash ^ v) * 0x9e3779b97f4a7c15ull;
	*hash ^= *hash >> 29;
}

static void on_run(void *ctx, unsigned int slot, const uint8_t *p, size_t n, unsigned int flags)
{
	struct told *t = ctx;

	assert_true(slot < MOST_SLOTS && n <= CONTENT_RUN);
	assert_false(t->over[slot]);
	assert_int_equal(t->open[slot], !(flags & CONTENT_RUN_FIRST));
	assert_true(n > 0 || flags & CONTENT_RUN_LAST);
	t->open[slot] = true;
	t->over[slot] = flags & CONTENT_RUN_LAST;
	t->runs[slot]++;
	if (n > t->room[slot] - t->n[slot]) {
		t->room[slot] = 2 * (t->n[slot] + n);
		t->p[slot] = realloc(t->p[slot], t->room[slot]);
		assert_non_null(t->p[slot]);
	}
	if (n)
		memcpy(t->p[slot] + t->n[slot], p, n);
	t->n[slot] += n;
	mix(&t->hash_of[slot], slot << 8 | flags);
	mix(&t->hash_of[slot], n);
	for (size_t i = 0; i < n; i++)
		mix(&t->hash_of[slot], p[i]);
}

static void *state_mem;

static int setup(void **state)
{
	(void)state;
	state_mem = aligned_alloc(64, content_size());
	assert_non_null(state_mem);
	memset(state_mem, 0xa5, content_size());
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(state_mem);
	return 0;
}

static void told_clear(struct told *t)
{
	for (unsigned int i = 0; i < MOST_SLOTS; i++) {
		t->n[i] = 0;
		t->runs[i] = 0;
		t->open[i] = t->over[i] = false;
	}
	memset(t->hash_of, 0, sizeof(t->hash_of));
	t->hash = t->marks = 0;
}

static void told_free(struct told *t)
{
	for (unsigned int i = 0; i < MOST_SLOTS; i++)
		free(t->p[i]);
}

static void run(const struct content_plan *plan, struct str s, size_t cut, size_t step,
		struct told *t)
{
	struct content_sink sink = {on_run, t};
	struct content *c = content_init(state_mem);

	told_clear(t);
	content_begin(c, plan, &sink);
	if (cut)
		content_feed(c, s.p, cut);
	for (size_t i = cut; i < s.n; i += step)
		content_feed(c, s.p + i, step < s.n - i ? step : s.n - i);
	content_end(c);
	t->marks = content_marks(c);
	for (unsigned int i = 0; i < MOST_SLOTS; i++) {
		assert_int_equal(t->open[i], t->over[i]);
		mix(&t->hash, t->hash_of[i]);
	}
}

/* want NULL: the view is not given. */
/* want.p NULL: there is no such text. */
static void check_octets(const struct content_plan *plan, struct str s, unsigned int slot, struct str want)
{
	struct told t = {.hash = 0};
	uint64_t hash = 0;

	for (size_t cut = 0; cut <= s.n + 5; cut++) {
		run(plan, s, cut <= s.n ? cut : 0, cut <= s.n ? s.n + 1 : cut - s.n, &t);
		assert_int_equal(t.over[slot], want.p != NULL);
		if (want.p && !is(&t, slot, (const char *)want.p, want.n))
			print_error("%.*s\ngives [%.*s]\nnot   [%.*s]\n", STR_FMT(s), (int)t.n[slot],
				    (const char *)t.p[slot], STR_FMT(want));
		if (want.p) {
			assert_true(is(&t, slot, (const char *)want.p, want.n));
			assert_int_equal(t.runs[slot], 1);
		}
		if (!cut)
			hash = t.hash;
		assert_true(t.hash == hash);
	}
	told_free(&t);
}

static void check(const struct content_plan *plan, struct str s, unsigned int slot, const char *want)
{
	check_octets(plan, s, slot, want ? str_c(want) : STR_NONE);
}

static const struct content_plan all_views = {.views = ALL_VIEWS};

/* Taken from what SpamAssassin 4.0.1 makes of them; tests/conformance/views_spamassassin.py asks
 * it again. */
static void test_body(void **state)
{
	static const struct {
		struct str in;
		const char *body;
	} t[] = {
		{STR(""), "\n"},
		{STR("From: a@example.com\r\n\r\nBody\r\n"), "\nBody \n"},
		{STR("Subject:\r\n\r\nBody\r\n"), "\nBody \n"},
		{STR("Subject: one\r\nSubject: two\r\n   folded\r\n\r\n\r\n\r\nBody\r\n"),
		 "two folded\n\nBody \n"},
		{STR("Subject: =?utf-8?q?w=C3=B6rld?=\r\n\r\nFirst  line\r\nsecond line\t "
		     "x\r\n\r\n\r\n   third"
		     "\xc2\xa0\xe2\x80\x83para\r\n \r\nfour\r\n"),
		 "w\xc3\xb6rld\nFirst line second line x\n third para\nfour \n"},
		{STR("Subject: c\r\n\r\nA\x0b"
		     "B\x0c"
		     "C\x00"
		     "D\rE\x85"
		     "F\x1cG\x01I\r\n"),
		 "c\nA B C\nD E\xe2\x80\xa6"
		 "F\x1cG\x01I \n"},
		{STR("Subject: a\r\nContent-Type: multipart/mixed; "
		     "boundary=b\r\n\r\npre\r\n--b\r\n\r\none\r\n\r\n"
		     "--b\r\n\r\ntwo\r\n--b\r\nContent-Type: "
		     "image/png\r\n\r\nx\r\n--b\r\n\r\nthree\r\n--b--\r\nepi"),
		 "a\none\ntwo\nthree\n"},
		/* Text of any type and disposition; not calendars, cards and reports. */
		{STR("Subject: a\r\nContent-Type: multipart/mixed; "
		     "boundary=b\r\n\r\n--b\r\nContent-Type: text/csv\r\n"
		     "Content-Disposition: attachment; filename=x.csv\r\n\r\none\r\n--b\r\n"
		     "Content-Type: text/calendar\r\n\r\ntwo\r\n--b\r\nContent-Type: "
		     "text/x-vcard\r\n\r\nthree\r\n"
		     "--b\r\nContent-Type: message/delivery-status\r\n\r\nfour\r\n--b\r\n"
		     "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nfive\r\n--b--\r\n"),
		 "a\none\nfive\n"},
		{STR("Subject: a\r\nContent-Type: "
		     "multipart/mixed\r\n\r\n--b\r\n\r\ntext\r\n--b--\r\n"),
		 "a\n--b\ntext --b-- \n"},
		{STR("Subject: a\r\nContent-Type: text/plain; "
		     "charset=iso-8859-1\r\nContent-Transfer-Encoding: "
		     "quoted-printable\r\n\r\n=E9 a=3D=\r\nb=20\r\nc=0D=0A=0D=0Ad"),
		 "a\n\xc3\xa9 a=b c\nd\n"},
		{STR("Subject: a\r\nContent-Transfer-Encoding: base64\r\n\r\nb25lDQoNCnR3byA=\r\n"),
		 "a\none\ntwo \n"},
		{STR("Subject: a\r\nContent-Type: text/plain; "
		     "charset=utf-8\r\n\r\n\xe1\x9a\x80x\xe2\x80\xa8y\xe3\x80"
		     "\x80z\xe2\x81\x9f\xc2\x85"
		     "e\xe2\x80\x8b\xe2\x82\xac\xc2\xa1\xe3\x80\x81"),
		 "a\n x y z e\xe2\x80\x8b\xe2\x82\xac\xc2\xa1\xe3\x80\x81\n"},
		{STR("Subject: a\r\nContent-Type: text/html\r\n\r\nx <b>y</b><br>z&eacute;"),
		 "a\nx y z\xc3\xa9\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		check(&all_views, t[i].in, VIEW_BODY, t[i].body);
}

static void test_rawbody(void **state)
{
	static const struct {
		struct str in, raw;
	} t[] = {
		{STR(""), STR_NONE},
		{STR("Subject: x\r\n\r\na  b\r\n\r\rc\r"), STR("a  b\n\r\rc\r\n")},
		{STR("Content-Type: multipart/mixed; "
		     "boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/html"
		     "\r\nContent-Transfer-Encoding: "
		     "quoted-printable\r\n\r\n<b>=\r\n=e9</b>\r\n\r\n--b\r\n"
		     "Content-Type: image/png\r\n\r\nx\r\n--b\r\nContent-Type: "
		     "message/delivery-status\r\n\r\nA: b\r\n"
		     "--b\r\nContent-Type: text/x-vcard\r\n\r\nv\r\n--b\r\nContent-Type: "
		     "text/calendar\r\n\r\nc\r\n"
		     "--b--\r\n"),
		 STR("one\n\0<b>\xe9</b>\n\0A: b\n\0v\n")},
		/* A part without text is none. */
		{STR("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\r\n--b\r\n\r\na\r\n--b--\r\n"),
		 STR("a\n")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		check_octets(&all_views, t[i].in, VIEW_RAWBODY, t[i].raw);
}

static void test_uri(void **state)
{
	(void)state;
	check(&all_views,
	      STR("Subject: see http://a.example/\r\nContent-Type: multipart/mixed; "
		  "boundary=b\r\n\r\n"
		  "--b\r\n\r\nand http://b.example/x\r\n--b\r\nContent-Type: text/html\r\n\r\n"
		  "<a href=\"http://c.example/\">http://b.example/x</a>\r\n--b--\r\n"),
	      VIEW_URI, "http://a.example/\nhttp://b.example/x\nhttp://c.example/\n");
	/* A word as soon as it is over, a link where it stands, wherever a cut is. */
	check(&all_views,
	      STR("Content-Type: text/html\r\n\r\nat http://a.example/ and "
		  "<a href=http://b.example/>or http://c.example/ too</a> <a href=http://d.example/>"),
	      VIEW_URI, "http://a.example/\nhttp://b.example/\nhttp://c.example/\nhttp://d.example/\n");
	check(&all_views, STR("Subject: none\r\n\r\nhere\r\n"), VIEW_URI, NULL);
}

/* What stood behind the cut, an extension say, is not known: the line says so. */
static void name_that_is_cut(void)
{
	static const char head[] = "Content-Type: application/x\r\nContent-Disposition: attachment; filename=\"";
	char mail[2000], line[2000], name[1101] = {0};

	memset(name, 'a', sizeof(name) - 1);
	snprintf(mail, sizeof(mail), "%s%s.exe\"\r\n\r\nabc", head, name);
	name[1024] = '\0';
	snprintf(line, sizeof(line), "part part=0 type=application/x is=text size=3 cut name=\"%s\"\n", name);
	check(&(struct content_plan){.views = 1u << VIEW_ATTACHMENT}, str_c(mail), VIEW_ATTACHMENT, line);
	name[1024] = 'a';
	snprintf(mail, sizeof(mail), "Content-Type: message/rfc822; name=\"%s.exe\"\r\n\r\nA: b\r\n\r\nc\r\n", name);
	name[1024] = '\0';
	snprintf(line, sizeof(line), "part part=0 type=message/rfc822 cut name=\"%s\"\n", name);
	check(&(struct content_plan){.views = 1u << VIEW_ATTACHMENT}, str_c(mail), VIEW_ATTACHMENT, line);
}

struct member_lines {
	size_t members, broken;
};

static void count_lines(void *ctx, unsigned int slot, const uint8_t *p, size_t n, unsigned int flags)
{
	struct member_lines *m = ctx;

	(void)flags;
	for (size_t i = 0; slot == VIEW_ATTACHMENT && i + 12 < n; i++) {
		m->members += memcmp(p + i, "member part=", 12) == 0;
		m->broken += memcmp(p + i, " broken ", 8) == 0;
	}
}

/* Archives without end in one message: so many members are told, the parts whose are not say so. */
static void test_members(void **state)
{
	enum { PARTS = LIMIT_CONTENT_MEMBERS / ATTACH_MEMBERS + 4, ENTRY = 30 + 7 };
	static uint8_t mail[PARTS * (ATTACH_MEMBERS * ENTRY + 100) + 100];
	size_t n = (size_t)sprintf((char *)mail, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
	struct member_lines m = {0};
	const struct content_sink sink = {count_lines, &m};
	const struct content_plan plan = {.views = 1u << VIEW_ATTACHMENT};
	void *mem = aligned_alloc(64, (content_size() + 63) & ~(size_t)63);
	struct content *c = content_init(mem);

	(void)state;
	for (unsigned int part = 0; part < PARTS; part++) {
		n += (size_t)sprintf((char *)mail + n, "--b\r\nContent-Type: application/zip; name=x.zip\r\n\r\n");
		for (unsigned int i = 0; i < ATTACH_MEMBERS; i++, n += ENTRY) {
			char name[8];

			memcpy(mail + n, "PK\3\4\24\0\0\0\10\0", 10);
			memset(mail + n + 10, 0, 20);
			mail[n + 26] = 7;
			snprintf(name, sizeof(name), "%07u", i);
			memcpy(mail + n + 30, name, 7);
		}
		n += (size_t)sprintf((char *)mail + n, "\r\n");
	}
	content_begin(c, &plan, &sink);
	content_feed(c, mail, n);
	content_end(c);
	assert_int_equal(m.members, LIMIT_CONTENT_MEMBERS);
	assert_int_equal(m.broken, 4);
	assert_true(content_marks(c) & CONTENT_M_ARCHIVE);
	free(mem);
}

static void test_attachment(void **state)
{
	(void)state;
	check(&all_views,
	      STR("Content-Type: multipart/mixed; "
		  "boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: "
		  "application/pdf\r\nContent-Disposition: attachment; filename=\"a "
		  "%\xc3\xa9\\\".pdf\"\r\n"
		  "Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQ=\r\n--b\r\nContent-Type: "
		  "text/html; "
		  "name=x.htm\r\n\r\n<html>\r\n--b\r\nContent-Type: message/rfc822; "
		  "name=m.eml\r\n\r\n"
		  "Content-Type: image/x-q\r\n\r\n\1\2\3\r\n--b--\r\n"),
	      VIEW_ATTACHMENT,
	      "part part=2 type=application/pdf is=pdf size=8 name=\"a%20%25\xc3\xa9%22.pdf\"\n"
	      "part part=3 type=text/html is=html size=6 name=\"x.htm\"\n"
	      "part part=4 type=message/rfc822 name=\"m.eml\"\n"
	      "part part=5 type=image/x-q size=3\n");
	name_that_is_cut();
	check(&(struct content_plan){.views = 1u << VIEW_ATTACHMENT, .hash = true},
	      STR("Content-Type: application/x\r\n\r\nabc"), VIEW_ATTACHMENT,
	      "part part=0 type=application/x is=text size=3 "
	      "sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n");
}

static const struct content_selector selector[] = {
	{CONTENT_FIELD, CONTENT_DECODED, CONTENT_PICK_ALL, STR("subject")},
	{CONTENT_FIELD, CONTENT_RAW, CONTENT_PICK_ALL, STR("subject")},
	{CONTENT_FIELD, CONTENT_ADDR, CONTENT_PICK_ALL, STR("from")},
	{CONTENT_FIELD, CONTENT_NAME, CONTENT_PICK_ALL, STR("from")},
	{CONTENT_FIELD, CONTENT_DECODED, CONTENT_PICK_FIRST, STR("x-a")},
	{CONTENT_FIELD, CONTENT_DECODED, CONTENT_PICK_LAST, STR("x-a")},
	{CONTENT_FIELD, CONTENT_DECODED, CONTENT_PICK_ALL, STR("x-a")},
	{CONTENT_ALL, CONTENT_DECODED, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_ALL, CONTENT_RAW, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_TOCC, CONTENT_DECODED, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_MESSAGEID, CONTENT_DECODED, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_MIMEFIELD, CONTENT_DECODED, CONTENT_PICK_ALL, STR("content-type")},
	{CONTENT_MIMEFIELD, CONTENT_RAW, CONTENT_PICK_ALL, STR("x-e")},
	{CONTENT_FIELD, CONTENT_DECODED, CONTENT_PICK_ALL, STR("x-e")},
	{CONTENT_FIELD, CONTENT_NAME_RAW, CONTENT_PICK_ALL, STR("reply-to")},
	{CONTENT_FIELD, CONTENT_NAME, CONTENT_PICK_ALL, STR("reply-to")},
	{CONTENT_FIELD, CONTENT_DECODED, CONTENT_PICK_ALL, STR("list-id")},
};
#define N_SELECTORS (sizeof(selector) / sizeof(selector[0]))

static void test_selectors(void **state)
{
	static const struct content_plan plan = {.selector = selector, .n_selectors = N_SELECTORS};
	static const struct str in =
		STR("SUBJECT : two\r\n    folded\r\n\ttab =?utf-8?q?x=C3=A9?=\r\nX-A: 1\r\nX-E:\r\n"
		    "To: a@x.example,\r\n b@x.example\r\nX-A:   2  \r\nX-Message-Id: <2@x>\r\nCc: "
		    "c@x.example\r\n"
		    "Message-Id: <1=?utf-8?q?=2E?=@x>\r\nX-Original-Message-Id: <3@x>\r\n"
		    "Reply-To: =?utf-8?q?=41?= <a@b.example>, b <c@>\r\nList-Id: =?utf-8?q?=41?=\r\nFrom: \"A, B\" <a@b.example>, c@d.example\r\n"
		    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: "
		    "text/plain\r\nX-A: 3\r\n\r\n"
		    "--b\r\nX-E: a\r\n b\r\nContent-Type: text/html\r\n\r\n--b--\r\n");
	static const char *const want[N_SELECTORS] = {
		"two folded tab x\xc3\xa9\n",
		" two\n    folded\n\ttab =?utf-8?q?x=C3=A9?=\n",
		"a@b.example, c@d.example",
		"A, B",
		"1\n",
		"2\n",
		"1\n2\n",
		"SUBJECT: two folded tab x\xc3\xa9\nX-A: 1\nX-E: \nTo: a@x.example, "
		"b@x.example\nX-A: 2\n"
		"X-Message-Id: <2@x>\nCc: c@x.example\nMessage-Id: <1=?utf-8?q?=2E?=@x>\n"
		"X-Original-Message-Id: <3@x>\nReply-To: A <a@b.example>, b <c@>\nList-Id: =?utf-8?q?=41?=\n"
		"From: \"A, B\" <a@b.example>, c@d.example\nContent-Type: multipart/mixed; "
		"boundary=b\n",
		"SUBJECT: two\n    folded\n\ttab =?utf-8?q?x=C3=A9?=\nX-A: 1\nX-E:\nTo: "
		"a@x.example,\n "
		"b@x.example\nX-A:   2  \nX-Message-Id: <2@x>\nCc: c@x.example\n"
		"Message-Id: <1=?utf-8?q?=2E?=@x>\nX-Original-Message-Id: <3@x>\n"
		"Reply-To: =?utf-8?q?=41?= <a@b.example>, b <c@>\nList-Id: =?utf-8?q?=41?=\n"
		"From: \"A, B\" <a@b.example>, c@d.example\nContent-Type: multipart/mixed; "
		"boundary=b\n",
		"a@x.example, b@x.example\nc@x.example\n",
		"<2@x>\n<3@x>\n<1=?utf-8?q?=2E?=@x>\n",
		"multipart/mixed; boundary=b\ntext/plain\ntext/html\n",
		"\n a\n b\n",
		"\n",
		"=?utf-8?q?=41?=, b",
		"A, b",
		"=?utf-8?q?=41?=\n",
	};

	(void)state;
	for (unsigned int i = 0; i < N_SELECTORS; i++)
		check(&plan, in, CONTENT_SLOT_SELECTOR + i, want[i]);
	for (unsigned int i = 0; i < N_SELECTORS; i++)
		check(&plan, STR("A: b\r\n\r\n"), CONTENT_SLOT_SELECTOR + i,
		      i == 7 || i == 8 ? "A: b\n" : NULL);
}

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

/* Views of exactly one run, one octet less and more, and of many. */
static void test_runs(void **state)
{
	static const size_t sizes[] = {CONTENT_RUN - 1, CONTENT_RUN,         CONTENT_RUN + 1,
				       2 * CONTENT_RUN, 2 * CONTENT_RUN + 1, 5 * CONTENT_RUN};
	struct text m = {.p = malloc(1 << 20), .room = 1 << 20};
	struct told t = {.hash = 0};
	uint64_t hash;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = sizes[i];

		m.n = 0;
		add(&m, "Subject: s\r\n\r\n");
		/* "s\n", the text, and its last LF. */
		for (size_t k = 0; k < n - 3; k++)
			m.p[m.n++] = k % 7 == 3 ? ' ' : (uint8_t)('a' + k % 26);
		run(&all_views, str_make(m.p, m.n), 0, m.n, &t);
		assert_int_equal(t.n[VIEW_BODY], n);
		assert_int_equal(t.runs[VIEW_BODY], (n + CONTENT_RUN - 1) / CONTENT_RUN);
		assert_int_equal(t.n[VIEW_RAWBODY], n - 2);
		assert_memory_equal(t.p[VIEW_RAWBODY], m.p + 14, n - 3);
		hash = t.hash;
		for (size_t step = 1; step < 100000; step = step * 5 + 2) {
			run(&all_views, str_make(m.p, m.n), 0, step, &t);
			assert_true(t.hash == hash);
		}
	}
	told_free(&t);
	free(m.p);
}

/* A header past its bounds: what is kept is whole fields from the front, and a mark. */
static void test_header_bounds(void **state)
{
	static const struct content_plan plan = {
		.views = ALL_VIEWS, .selector = selector, .n_selectors = N_SELECTORS};
	struct text m = {.p = malloc(1 << 20), .room = 1 << 20};
	struct told t = {.hash = 0};
	uint64_t hash;

	(void)state;
	for (int many = 0; many < 2; many++) {
		m.n = 0;
		for (unsigned int i = 0; i < (many ? LIMIT_HEADER_FIELDS : 8); i++)
			add(&m, "X-A: %u%*s\r\n", i, many ? 0 : 40000, "");
		add(&m, "Subject: late\r\nContent-Type: text/html\r\n\r\n<i>x</i>");
		run(&plan, str_make(m.p, m.n), 0, m.n, &t);
		assert_true(t.marks & CONTENT_M_HEADER_CUT);
		assert_false(t.over[CONTENT_SLOT_SELECTOR]);
		assert_memory_equal(t.p[CONTENT_SLOT_SELECTOR + 4], "0", 1);
		/* The structure is read all the same. */
		assert_int_equal(t.n[VIEW_BODY], 3);
		assert_memory_equal(t.p[VIEW_BODY], "\nx\n", 3);
		hash = t.hash;
		run(&plan, str_make(m.p, m.n), 0, 17, &t);
		assert_true(t.hash == hash);
	}
	told_free(&t);
	free(m.p);
}

/* Fields of parts that do not fit in what is kept of them: the selectors get more than one run. */
static void test_inner_fields(void **state)
{
	static const struct content_plan plan = {.selector = selector, .n_selectors = N_SELECTORS};
	struct text m = {.p = malloc(1 << 20), .room = 1 << 20},
		    want = {.p = malloc(1 << 20), .room = 1 << 20};
	struct told t = {.hash = 0};
	uint64_t hash = 0;

	(void)state;
	add(&m, "X-E:\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n");
	add(&want, "\n");
	for (unsigned int i = 0; i < 30; i++) {
		add(&m, "--b\r\nX-E: %u%0*d\r\n\r\n", i, 10000, 0);
		add(&want, " %u%0*d\n", i, 10000, 0);
	}
	for (size_t step = m.n; step; step /= 13) {
		run(&plan, str_make(m.p, m.n), 0, step, &t);
		assert_int_equal(t.n[CONTENT_SLOT_SELECTOR + 12], want.n);
		assert_memory_equal(t.p[CONTENT_SLOT_SELECTOR + 12], want.p, want.n);
		assert_true(t.runs[CONTENT_SLOT_SELECTOR + 12] > 2);
		if (!hash)
			hash = t.hash;
		assert_true(t.hash == hash);
	}
	told_free(&t);
	free(m.p);
	free(want.p);
}

/* What nobody wants is not made, and changes nothing of the rest. */
static void test_plans(void **state)
{
	static const struct str in =
		STR("Subject: http://s.example/\r\nContent-Type: multipart/mixed; "
		    "boundary=b\r\n\r\n--b\r\n\r\n"
		    "text http://t.example/\r\n--b\r\nContent-Type: text/html\r\n\r\n<a "
		    "href=http://h.example/>h</a>\r\n"
		    "--b\r\nContent-Type: application/x; name=x\r\nContent-Transfer-Encoding: "
		    "base64\r\n\r\nAAEC\r\n"
		    "--b--\r\n");
	struct told whole = {.hash = 0}, t = {.hash = 0};

	(void)state;
	run(&all_views, in, 0, in.n, &whole);
	for (uint32_t views = 0; views < 1u << VIEW_COUNT; views++) {
		struct content_plan plan = {.views = views};

		run(&plan, in, 0, in.n, &t);
		for (unsigned int i = 0; i < VIEW_COUNT; i++) {
			bool wanted = views & ALL_VIEWS & 1u << i;

			assert_int_equal(t.over[i], wanted);
			if (!wanted)
				continue;
			assert_true(is(&t, i, whole.p[i], whole.n[i]));
		}
	}
	told_free(&whole);
	told_free(&t);
}

static void test_marks(void **state)
{
	static const struct {
		struct str in;
		uint32_t marks;
	} t[] = {
		{STR("Subject: x\r\n\r\ntext"), 0},
		{STR("Content-Type: text/plain; charset=foo\r\n\r\ntext"),
		 CONTENT_M_UNKNOWN_CHARSET},
		{STR("Content-Type: text/plain; charset=utf-8\r\n\r\n\xff"), CONTENT_M_BAD_CHARSET},
		{STR("Content-Type: text/plain\r\n\r\na\0b"), CONTENT_M_NUL},
		{STR("Content-Transfer-Encoding: base64\r\n\r\nQUJD!\r\n"), CONTENT_M_BAD_ENCODING},
		{STR("Content-Transfer-Encoding: x-foo\r\n\r\nQUJD!\r\n"),
		 CONTENT_M_UNKNOWN_ENCODING},
		{STR("Subject: =?foo?q?x?=\r\n\r\n"), CONTENT_M_UNKNOWN_CHARSET},
		{STR("Subject: =?utf-8?q?=ff?=\r\n\r\n"), CONTENT_M_BAD_CHARSET},
	};
	struct told told = {.hash = 0};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		for (size_t step = 1; step < 9; step += 3) {
			run(&all_views, t[i].in, 0, step, &told);
			assert_int_equal(told.marks, t[i].marks);
		}
	}
	told_free(&told);
}

/* Messages made of random pieces, cut at random: POSTERN_SPLITS of them. */
static void test_splits(void **state)
{
	static const char *const piece[] = {
		"\r\n",
		"\n",
		"\r",
		"--b",
		"\r\n--b\r\n",
		"\r\n--b--\r\n",
		"word ",
		"  ",
		"\t",
		"x",
		"<b>",
		"</p><p>",
		"&eacute;",
		"http://a.example/",
		"at http://b.example/ ",
		"<a href='http://c.example/'>",
		"=\r\n",
		"=C3",
		"=A9",
		"\xc3",
		"\xa9",
		"\xe2\x80",
		"\x83",
		"\xc2\xa0",
		"QUJD",
		"DQoNCg==",
		"+AGE-",
		"\033$B$\"\033(B",
		"Subject: =?utf-8?q?=C3?=\r\n",
		"Subject: x\r\n y\r\n",
		"X-A: 1\r\n",
		"X-E: \r\n",
		"\r\n\r\n",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n",
		"Content-Type: text/html; charset=utf-8\r\n",
		"Content-Type: text/plain; charset=gb18030\r\n",
		"Content-Type: text/plain; charset=iso-2022-jp\r\n",
		"Content-Type: text/plain; charset=utf-7\r\n",
		"Content-Transfer-Encoding: base64\r\n",
		"Content-Transfer-Encoding: quoted-printable\r\n",
		"Content-Type: application/zip; name=x.zip\r\n",
		"PK\3\4",
		"PK\1\2",
		"Content-Type: message/rfc822\r\n",
		"\r\nSubject: z\r\n",
	};
	static const struct content_plan plan = {
		.views = ALL_VIEWS, .selector = selector, .n_selectors = N_SELECTORS, .hash = true};
	const char *asked = getenv("POSTERN_SPLITS");
	unsigned long splits = asked ? strtoul(asked, NULL, 10) : 100000, done = 0;
	struct told whole = {.hash = 0}, cut = {.hash = 0};
	uint64_t seed = 11;

	(void)state;
	while (done < splits) {
		char in[2048];
		size_t n = 0;

		for (unsigned int i = 0; i < 30; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			n += (size_t)snprintf(
				in + n, sizeof(in) - n, "%s",
				piece[(seed >> 33) % (sizeof(piece) / sizeof(piece[0]))]);
		}
		run(&plan, str_make(in, n), 0, n, &whole);
		for (unsigned int i = 0; i < 20; i++, done++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			run(&plan, str_make(in, n), i % 2 ? (seed >> 40) % n : 0,
			    i % 2 ? n : 1 + (seed >> 50) % 40, &cut);
			if (cut.hash != whole.hash || cut.marks != whole.marks)
				print_error("%.*s\n", (int)n, in);
			assert_true(cut.hash == whole.hash && cut.marks == whole.marks);
		}
	}
	told_free(&whole);
	told_free(&cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_body),          cmocka_unit_test(test_rawbody),
		cmocka_unit_test(test_uri),           cmocka_unit_test(test_attachment),  cmocka_unit_test(test_members),
		cmocka_unit_test(test_selectors),     cmocka_unit_test(test_runs),
		cmocka_unit_test(test_header_bounds), cmocka_unit_test(test_inner_fields),
		cmocka_unit_test(test_plans),         cmocka_unit_test(test_marks),
		cmocka_unit_test(test_splits),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
