/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Work grows with the size of a message and not with its square, whatever it is made of. All of
 * content/ is built anew so that every stretch of code that runs is counted, and what the memory
 * functions look at by 16 octets; no clock is asked. Each shape of message is read with n octets
 * and with 4n.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/content/content.h"

#define SIZE ((size_t)128 * 1024)
/* Stretches of code an octet. The dearest shape takes 140, less or more as the compiler likes. */
#define MOST_PER_OCTET 400u

static uint64_t work;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
	work++;
}

/* The linker has calls of these from content/ end here. */
void *__real_memchr(const void *p, int c, size_t n);
void *__real_memrchr(const void *p, int c, size_t n);
void *__real_memmem(const void *p, size_t n, const void *q, size_t k);
void *__real_memcpy(void *to, const void *from, size_t n);
void *__real_memmove(void *to, const void *from, size_t n);
void *__real_memset(void *to, int c, size_t n);
int __real_memcmp(const void *p, const void *q, size_t n);
void *__wrap_memchr(const void *p, int c, size_t n);
void *__wrap_memrchr(const void *p, int c, size_t n);
void *__wrap_memmem(const void *p, size_t n, const void *q, size_t k);
void *__wrap_memcpy(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n);
void *__wrap_memset(void *to, int c, size_t n);
int __wrap_memcmp(const void *p, const void *q, size_t n);

void *__wrap_memchr(const void *p, int c, size_t n)
{
	const uint8_t *at = __real_memchr(p, c, n);

	work += (at ? (size_t)(at - (const uint8_t *)p) : n) / 16;
	return (void *)at;
}

void *__wrap_memrchr(const void *p, int c, size_t n)
{
	const uint8_t *at = __real_memrchr(p, c, n);

	work += (at ? (size_t)((const uint8_t *)p + n - at) : n) / 16;
	return (void *)at;
}

void *__wrap_memmem(const void *p, size_t n, const void *q, size_t k)
{
	const uint8_t *at = __real_memmem(p, n, q, k);

	work += (at ? (size_t)(at - (const uint8_t *)p) : n) / 16;
	return (void *)at;
}

void *__wrap_memcpy(void *to, const void *from, size_t n)
{
	work += n / 16;
	return __real_memcpy(to, from, n);
}

void *__wrap_memmove(void *to, const void *from, size_t n)
{
	work += n / 16;
	return __real_memmove(to, from, n);
}

void *__wrap_memset(void *to, int c, size_t n)
{
	work += n / 16;
	return __real_memset(to, c, n);
}

int __wrap_memcmp(const void *p, const void *q, size_t n)
{
	work += n / 16;
	return __real_memcmp(p, q, n);
}

/* ---- messages ---- */

#define HTML          "Content-Type: text/html; charset=utf-8\r\n\r\n"
#define MIXED         "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
#define ZIP           "Content-Type: application/zip; name=a.zip\r\n"
#define B64           "Content-Transfer-Encoding: base64\r\n"
#define QP            "Content-Transfer-Encoding: quoted-printable\r\n"
#define CHARSET(name) "Content-Type: text/plain; charset=" name "\r\n\r\n"
/* A header in front of the central directory's end, a local one, and what looks like many. */
#define CENTRAL                                                                                    \
	"PK\1\2\24\3\24\0\0\0\10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377\377\377\0\0\0\0\0\0\0"  \
	"\0\0\0\0\0\0\0"
#define LOCAL "PK\3\4\24\0\0\0\10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377\377\377"

/* `first`, then `piece` again and again; %u in it is a number of its own each time. */
struct shape {
	const char *name;
	struct str first, piece;
};
#define SHAPE(name, first, piece)                                                                  \
	{                                                                                          \
		name, STR(first), STR(piece)                                                       \
	}

static const struct shape shapes[] = {
	/* structure */
	SHAPE("multiparts in multiparts", "",
	      "Content-Type: multipart/mixed; boundary=b%u\r\n\r\n--b%u\r\n"),
	SHAPE("the same boundary in itself", "",
	      "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"),
	SHAPE("messages in messages", "", "Content-Type: message/rfc822\r\n\r\n"),
	SHAPE("parts", MIXED, "\r\n--b\r\n\r\n"),
	SHAPE("parts with a header", MIXED,
	      "Content-Type: text/html\r\n\r\n<a href=%u>\r\n--b\r\n"),
	SHAPE("boundaries that are none", MIXED "\r\n", "--b-\r\n"),
	SHAPE("boundaries without an end", MIXED "\r\n", "\r\n--b"),
	SHAPE("dashes", MIXED "\r\n", "-"),
	SHAPE("lines of dashes", MIXED "\r\n", "--\r\n"),
	SHAPE("a preamble", "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "x\r\n"),
	SHAPE("ends", MIXED, "\r\n--b--\r\n"),
	SHAPE("line ends", "\r\n", "\r\n"),
	SHAPE("bare CR", "\r\n", "\r"),
	SHAPE("bare LF", "\r\n", "\n"),
	SHAPE("a long line", "\r\n", "x"),
	SHAPE("a long line of spaces", "\r\n", " "),
	/* header */
	SHAPE("fields", "", "A%u: b\r\n"),
	SHAPE("Subjects", "", "Subject: %u\r\n"),
	SHAPE("Content-Types", "", "Content-Type: text/plain; charset=%u\r\n"),
	SHAPE("a field without an end", "Subject: ", "x"),
	SHAPE("folds", "Subject: x", "\r\n x"),
	SHAPE("folds of nothing", "Subject: x", "\r\n "),
	SHAPE("lines that are no fields", "", "x\r\n"),
	SHAPE("encoded words", "Subject: ", "=?utf-8?q?=41?= "),
	SHAPE("encoded words of many charsets", "Subject: ", "=?iso-8859-%u?b?QUJD?= "),
	SHAPE("begins of encoded words", "Subject: ", "=?a?q?"),
	SHAPE("an encoded word without an end", "Subject: =?utf-8?b?", "QUJD"),
	SHAPE("fields of encoded words", "", "Subject: =?utf-8?b?QUJD?=\r\n"),
	SHAPE("comments in comments", "From: ", "("),
	SHAPE("quotes", "From: ", "\"\\"),
	SHAPE("addresses", "To: ", "a%u <a@b.example>, "),
	SHAPE("groups", "To: ", "a:;"),
	SHAPE("parameters", "Content-Type: text/plain", "; a%u=b"),
	SHAPE("sections of a parameter", "Content-Type: text/plain", "; name*%u=b"),
	SHAPE("sections of a boundary", "Content-Type: multipart/mixed", "; boundary*%u*=b"),
	SHAPE("fields of parts", MIXED, "Content-Type: text/plain; name=%u\r\n\r\n--b\r\n"),
	/* transfer encodings */
	SHAPE("base64", B64 "\r\n", "QUJD"),
	SHAPE("base64 of nothing", B64 "\r\n", "="),
	SHAPE("base64 with padding", B64 "\r\n", "QQ=="),
	SHAPE("base64, broken", B64 "\r\n", "!Q"),
	SHAPE("quoted-printable", QP "\r\n", "=41"),
	SHAPE("soft breaks", QP "\r\n", "=\r\n"),
	SHAPE("equals signs", QP "\r\n", "="),
	SHAPE("soft breaks with spaces", QP "\r\n", "=  \r\n"),
	SHAPE("spaces that may end a line", QP "\r\n", " \t"),
	/* charsets */
	SHAPE("utf-8", CHARSET("utf-8"), "\xc3\xa4"),
	SHAPE("utf-8, broken", CHARSET("utf-8"), "\xc3"),
	SHAPE("no charset", "\r\n", "\xe2\x82"),
	SHAPE("utf-7", CHARSET("utf-7"), "+AGE-"),
	SHAPE("utf-7, open", CHARSET("utf-7"), "+"),
	SHAPE("utf-16", CHARSET("utf-16"), "\xff\xfe"),
	SHAPE("iso-2022-jp", CHARSET("iso-2022-jp"), "\033$B$\""),
	SHAPE("escapes", CHARSET("iso-2022-jp"), "\033"),
	SHAPE("gb18030", CHARSET("gb18030"), "\x81\x30"),
	SHAPE("big5", CHARSET("big5"), "\x88\x62"),
	SHAPE("shift_jis", CHARSET("shift_jis"), "\x81"),
	/* HTML */
	SHAPE("attributes", HTML "<a ", "b=c "),
	SHAPE("attributes that are links", HTML "<a ", "href=%u "),
	SHAPE("an attribute without an end", HTML "<a href='", "x"),
	SHAPE("tags", HTML, "<a href=%u>"),
	SHAPE("tags in tags", HTML, "<table><tr><td>"),
	SHAPE("text and links", HTML, "a.example/%u <a href=%u>"),
	SHAPE("begins of tags", HTML, "<"),
	SHAPE("&", HTML, "&"),
	SHAPE("& in links", HTML "<a href='", "&"),
	SHAPE("references", HTML, "&am"),
	SHAPE("references of many digits", HTML "&#", "0"),
	SHAPE("comments", HTML, "<!---->"),
	SHAPE("a comment", HTML "<!--", "--!"),
	SHAPE("scripts", HTML "<script><!--", "<script "),
	SHAPE("style sheets", HTML "<style>", "url("),
	SHAPE("sets of links", HTML "<img srcset='", "a%u,"),
	SHAPE("breaks", HTML, "<br>\n "),
	SHAPE("titles", HTML "<title>", "</titl"),
	/* URIs */
	SHAPE("names", "\r\n", "a%u.example.com "),
	SHAPE("URIs", "\r\n", "http://%u.example/?u=http%%253A%%2F%%2F "),
	SHAPE("schemes", "\r\n", "http:"),
	SHAPE("a URI without an end", "\r\nhttp://", "a"),
	SHAPE("dots", "\r\n", "a."),
	SHAPE("@", "\r\n", "a@"),
	SHAPE("addresses in text", "\r\n", "a@%u.de "),
	SHAPE("dot segments", "\r\nhttp://a/", "../"),
	SHAPE("percent signs", "\r\nhttp://a/", "%%25"),
	SHAPE("punycode", "\r\n", "xn--bcher-kva."),
	SHAPE("brackets", "\r\nhttp://a/", "("),
	SHAPE("a base and links",
	      HTML "<base href=http://a.example/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/>",
	      "<a href=%u>"),
	/* attachments */
	SHAPE("a zip directory", ZIP "\r\n" LOCAL "\1\0\0\0a", CENTRAL "a"),
	SHAPE("a zip directory of names", ZIP "\r\n" LOCAL "\1\0\0\0a", LOCAL "\10\0\0\0%08u"),
	SHAPE("headers of zip in headers", ZIP "\r\n", "PK\1\2"),
	SHAPE("P", ZIP "\r\nPK\3\4", "P"),
	SHAPE("a zip directory in base64", ZIP B64 "\r\nUEsDBBQAAAAI", "UEsBAhQD"),
	SHAPE("attachments", MIXED, ZIP "\r\nPK\3\4\r\n--b\r\n"),
};
#define N_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* The piece's numbers filled in; up to 256 octets. */
static size_t fill(struct str piece, unsigned int number, uint8_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < piece.n; i++) {
		struct str rest = str_skip(piece, i);

		if (str_istarts(rest, STR("%08u"))) {
			n += (size_t)sprintf((char *)out + n, "%08u", number);
			i += 3;
		} else if (str_istarts(rest, STR("%u"))) {
			n += (size_t)sprintf((char *)out + n, "%u", number);
			i++;
		} else if (str_istarts(rest, STR("%%"))) {
			out[n++] = '%';
			i++;
		} else {
			out[n++] = piece.p[i];
		}
	}
	return n;
}

static size_t make(const struct shape *s, uint8_t *out, size_t size)
{
	size_t n = s->first.n;

	memcpy(out, s->first.p, n);
	for (unsigned int i = 0; n < size; i++)
		n += fill(s->piece, i, out + n);
	return n;
}

static const struct content_selector selector[] = {
	{CONTENT_FIELD, CONTENT_DECODED, CONTENT_PICK_ALL, STR("subject")},
	{CONTENT_FIELD, CONTENT_RAW, CONTENT_PICK_LAST, STR("subject")},
	{CONTENT_FIELD, CONTENT_ADDR, CONTENT_PICK_ALL, STR("from")},
	{CONTENT_FIELD, CONTENT_NAME, CONTENT_PICK_FIRST, STR("from")},
	{CONTENT_ALL, CONTENT_DECODED, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_ALL, CONTENT_RAW, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_TOCC, CONTENT_ADDR, CONTENT_PICK_ALL, STR_NONE},
	{CONTENT_MIMEFIELD, CONTENT_DECODED, CONTENT_PICK_ALL, STR("content-type")},
};
static const struct content_plan plan = {
	.views = 1u << VIEW_BODY | 1u << VIEW_RAWBODY | 1u << VIEW_URI | 1u << VIEW_ATTACHMENT,
	.selector = selector,
	.n_selectors = sizeof(selector) / sizeof(selector[0]),
};

static void on_run(void *ctx, unsigned int slot, const uint8_t *p, size_t n, unsigned int flags)
{
	(void)ctx;
	(void)slot;
	(void)p;
	(void)n;
	(void)flags;
}

static uint64_t read_message(struct content *c, const uint8_t *p, size_t n, size_t step)
{
	static const struct content_sink sink = {on_run, NULL};

	work = 0;
	content_begin(c, &plan, &sink);
	for (size_t i = 0; i < n; i += step)
		content_feed(c, p + i, step < n - i ? step : n - i);
	content_end(c);
	return work;
}

static void linear(const struct shape *s, struct content *c, uint8_t *buf, size_t step)
{
	size_t n = make(s, buf, SIZE), n4;
	uint64_t one = read_message(c, buf, n, step), four;

	n4 = make(s, buf, 4 * SIZE);
	four = read_message(c, buf, n4, step);
	print_message("%-36s runs of %6zu: %7.2f and %7.2f an octet\n", s->name, step,
		      (double)one / (double)n, (double)four / (double)n4);
	/* Or nothing was counted. */
	assert_true(four >= n4 / 256);
	assert_true(four <= MOST_PER_OCTET * n4);
	/* What is past a bound costs less; more than four times as much is not linear. */
	assert_true(four <= 4 * one + one / 4 + SIZE / 4);
}

static void work_is_linear(void **state)
{
	void *memory = aligned_alloc(64, (content_size() + 63) & ~(size_t)63);
	uint8_t *buf = malloc(4 * SIZE + 512);
	struct content *c;

	(void)state;
	assert_non_null(memory);
	assert_non_null(buf);
	c = content_init(memory);
	for (size_t i = 0; i < N_SHAPES; i++) {
		linear(&shapes[i], c, buf, 4 * SIZE + 512);
		linear(&shapes[i], c, buf, 1448);
		linear(&shapes[i], c, buf, 7);
	}
	free(memory);
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_is_linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
