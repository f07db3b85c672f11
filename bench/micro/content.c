/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Views of a message (dataplane/content), as the scanner takes them: a message of up to 64 KiB in
 * one run, a larger one in chunks of the arena. Text is made of common words, in lines of 72
 * octets; nothing of it is worth a second look. Then what somebody would send who wants us to be
 * slow.
 */

#include <stdlib.h>
#include <string.h>

#include "bench/micro/micro.h"
#include "dataplane/content/content.h"

#define MESSAGE_MAX (2u << 20)
#define BODY        1u << VIEW_BODY
#define RAW         1u << VIEW_RAWBODY
#define URI         1u << VIEW_URI
#define ATTACHMENT  1u << VIEW_ATTACHMENT

struct message {
	const char *name;
	uint8_t *p;
	size_t n;
};

static uint64_t given;
static struct content *content;

static void on_run(void *ctx, unsigned int slot, const uint8_t *p, size_t n, unsigned int flags)
{
	(void)ctx;
	given += n + slot + flags + (n ? p[0] : 0);
}

static void put(struct message *m, const char *s)
{
	size_t n = strlen(s);

	micro_must(n <= MESSAGE_MAX - m->n, "a message that is larger than its buffer");
	memcpy(m->p + m->n, s, n);
	m->n += n;
}

static struct message message(const char *name, const char *head)
{
	struct message m = {.name = name, .p = malloc(MESSAGE_MAX)};

	micro_must(m.p, "no memory for a message");
	put(&m, "From: \"A. Sender\" <a.sender@example.com>\r\nTo: b@example.org\r\nSubject: a "
		"message of "
		"words\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-Id: <1@example.com>\r\n"
		"MIME-Version: 1.0\r\n");
	put(&m, head);
	return m;
}

static const char *const word[] = {
	"the",      "of",       "and",    "to",       "in",      "is",       "you",     "that",
	"it",       "for",      "was",    "on",       "are",     "with",     "as",      "have",
	"they",     "be",       "at",     "this",     "from",    "or",       "had",     "by",
	"words",    "but",      "what",   "some",     "we",      "can",      "out",     "other",
	"were",     "all",      "there",  "when",     "your",    "meeting",  "invoice", "regards",
	"tomorrow", "question", "please", "attached", "account", "delivery",
};

static void text(struct message *m, size_t n, const char *end_of_line)
{
	uint64_t seed = 1;
	size_t from = m->n, line = 0, lines = 0;

	while (m->n - from < n) {
		const char *w = word[micro_random(&seed) % (sizeof(word) / sizeof(word[0]))];

		put(m, w);
		line += strlen(w) + 1;
		if (line < 66) {
			put(m, " ");
			continue;
		}
		line = 0;
		put(m, end_of_line);
		if (++lines % 8 == 0)
			put(m, "\r\n");
		if (lines % 50 == 0)
			put(m, "see https://www.example.com/path/to?page=1 for more,");
	}
	put(m, "\r\n");
}

static void html(struct message *m, size_t n)
{
	size_t from = m->n;

	put(m, "<html><head><style>p { margin: 0 }</style></head><body>\r\n");
	while (m->n - from < n) {
		put(m, "<p class=\"text\" style=\"font-size: 12px\">");
		text(m, 300, "<br>\r\n");
		put(m, "</p>\r\n<td align=\"left\"><a "
		       "href=\"https://www.example.com/a\">more</a></td>\r\n");
	}
	put(m, "</body></html>\r\n");
}

static void base64(struct message *m, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint64_t seed = 2;

	for (size_t k = 0; k < n; k += 78) {
		char line[79];

		for (size_t i = 0; i < 76; i++)
			line[i] = digits[micro_random(&seed) >> 58];
		memcpy(line + 76, "\r\n", 3);
		put(m, line);
	}
}

static void measure(const struct message *m, const char *what, uint32_t views, bool hash)
{
	const struct content_plan plan = {.views = views, .hash = hash};
	const struct content_sink sink = {on_run, NULL};
	struct micro_row *row = micro_row("content", "octet", "%s: %s", m->name, what);
	unsigned int times = (unsigned int)((4u << 20) / m->n + 1);

	row->octets = 1;
	for (unsigned int rep = 0; rep <= micro.reps; rep++) {
		uint64_t t = rte_rdtsc();

		for (unsigned int k = 0; k < times; k++) {
			content_begin(content, &plan, &sink);
			for (size_t i = 0; i < m->n; i += CONTENT_RUN)
				content_feed(content, m->p + i,
					     CONTENT_RUN < m->n - i ? CONTENT_RUN : m->n - i);
			content_end(content);
		}
		if (!rep)
			continue;
		row->total[rep - 1] = (double)micro_since(t) / times / (double)m->n;
		micro_done(row, rep - 1);
	}
}

static void plain(void)
{
	struct message m =
		message("text 16 KiB", "Content-Type: text/plain; charset=utf-8\r\n\r\n");

	text(&m, 16 * 1024, "\r\n");
	measure(&m, "body", BODY, false);
	measure(&m, "rawbody", RAW, false);
	measure(&m, "uri", URI, false);
	measure(&m, "body, rawbody, uri", BODY | RAW | URI, false);
	measure(&m, "none", 0, false);
	free(m.p);
	m = message("text 2 KiB", "Content-Type: text/plain; charset=utf-8\r\n\r\n");
	text(&m, 2 * 1024, "\r\n");
	measure(&m, "body, rawbody, uri", BODY | RAW | URI, false);
	free(m.p);
	m = message("text 1 MiB", "Content-Type: text/plain; charset=utf-8\r\n\r\n");
	text(&m, 1024 * 1024, "\r\n");
	measure(&m, "body, rawbody, uri", BODY | RAW | URI, false);
	free(m.p);
	m = message("quoted-printable 64 KiB",
		    "Content-Type: text/plain; charset=iso-8859-1\r\n"
		    "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
	text(&m, 64 * 1024, " =E9=\r\n");
	measure(&m, "body, rawbody", BODY | RAW, false);
	free(m.p);
	m = message("html 64 KiB", "Content-Type: text/html; charset=utf-8\r\n\r\n");
	html(&m, 64 * 1024);
	measure(&m, "body, rawbody, uri", BODY | RAW | URI, false);
	free(m.p);
}

/* What a mail with attachments is made of. */
static void mixed(void)
{
	struct message m = message(
		"mix 400 KiB",
		"Content-Type: multipart/mixed; boundary=\"=-outer\"\r\n\r\n"
		"--=-outer\r\nContent-Type: multipart/alternative; boundary=\"=-inner\"\r\n\r\n"
		"--=-inner\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n");

	text(&m, 8 * 1024, "\r\n");
	put(&m, "--=-inner\r\nContent-Type: text/html; charset=utf-8\r\n\r\n");
	html(&m, 24 * 1024);
	put(&m, "--=-inner--\r\n");
	for (unsigned int i = 0; i < 2; i++) {
		put(&m, "--=-outer\r\nContent-Type: application/pdf; name=a.pdf\r\n"
			"Content-Transfer-Encoding: base64\r\n\r\n");
		base64(&m, 184 * 1024);
	}
	put(&m, "--=-outer--\r\n");
	measure(&m, "body, rawbody, uri", BODY | RAW | URI, false);
	measure(&m, "and attachment", BODY | RAW | URI | ATTACHMENT, false);
	measure(&m, "and SHA-256", BODY | RAW | URI | ATTACHMENT, true);
	free(m.p);
	m = message("base64 1 MiB", "Content-Type: multipart/mixed; boundary=\"=-outer\"\r\n\r\n"
				    "--=-outer\r\nContent-Type: "
				    "application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n");
	base64(&m, 1024 * 1024);
	put(&m, "--=-outer--\r\n");
	measure(&m, "body, rawbody, uri", BODY | RAW | URI, false);
	measure(&m, "and attachment", BODY | RAW | URI | ATTACHMENT, false);
	free(m.p);
	m = message("base64 text 1 MiB", "Content-Type: text/plain; charset=utf-8\r\n"
					 "Content-Transfer-Encoding: base64\r\n\r\n");
	base64(&m, 1024 * 1024);
	measure(&m, "rawbody", RAW, false);
	free(m.p);
}

/* As many boundaries as may be open, and a body that is nothing but lines that may be one of them.
 */
static void hostile(void)
{
	struct message m = message("64 boundaries, lines of --", "");
	char buf[128];

	for (unsigned int i = 0; i < LIMIT_MIME_NESTING; i++) {
		snprintf(buf, sizeof(buf),
			 "Content-Type: multipart/mixed; boundary=b%u\r\n\r\n--b%u\r\n", i, i);
		put(&m, buf);
	}
	put(&m, "\r\n");
	while (m.n < 256 * 1024)
		put(&m, "--\r\n");
	measure(&m, "body", BODY, false);
	free(m.p);
	m = message("a megabyte of white space", "\r\n");
	while (m.n < 1024 * 1024)
		put(&m, " \t\r\n");
	measure(&m, "body, rawbody, uri", BODY | RAW | URI, false);
	free(m.p);
	m = message("escapes of ISO-2022-JP",
		    "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n");
	while (m.n < 1024 * 1024)
		put(&m, "\033(Ba\033$B!!");
	measure(&m, "body", BODY, false);
	free(m.p);
}

void bench_content(void)
{
	void *mem = aligned_alloc(64, content_size());

	micro_must(mem, "no memory for the state");
	content = content_init(mem);
	printf("content: %zu octets of state\n", content_size());
	plain();
	mixed();
	hostile();
	micro_must(given > 0, "no views were given");
	free(mem);
}
