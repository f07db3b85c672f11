/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Banners and footers in the text and in the HTML of a message: at the ends of a part, behind
 * <body> and in front of </body>, also within a line. Both parts have to be put right before the
 * hash fits.
 */

#include <stdio.h>
#include <string.h>

#include "control/cli/undo.h"

#define MAX_CUTS   192
#define MAX_LINES  8    /* of one banner or footer */
#define MAX_INLINE 32   /* ends of tags within the line of <body> */
#define MAX_BANNER 8192 /* octets of one within a line */

/* Octets of the body that may have been put in. */
struct cut {
	size_t from, to;
	size_t part;
};

struct inserted {
	struct str body;
	struct cut cut[MAX_CUTS];
	size_t n;
};

static void add(struct inserted *u, size_t part, size_t from, size_t to)
{
	if (from < to && u->n < MAX_CUTS)
		u->cut[u->n++] = (struct cut){from, to, part};
}

/* The lines from `at` on, one to eight of them, to `end` at most. */
static void lines_from(struct inserted *u, size_t part, size_t at, size_t end)
{
	size_t to = at;

	for (int k = 0; k < MAX_LINES && to < end; k++) {
		to += str_find(str_make(u->body.p + to, end - to), '\n') + 1;
		if (to < end)
			add(u, part, at, to);
	}
}

/* The lines in front of `at`, down to `start` at most. */
static void lines_before(struct inserted *u, size_t part, size_t start, size_t at)
{
	size_t from = at;

	for (int k = 0; k < MAX_LINES && from > start; k++) {
		from--;
		while (from > start && u->body.p[from - 1] != '\n')
			from--;
		if (from > start)
			add(u, part, from, at);
	}
}

/* Where `tag` begins in [from, to), without regard to case; `to` if it does not. */
static size_t find_tag(struct str s, size_t from, size_t to, struct str tag)
{
	for (size_t i = from; i + tag.n <= to; i++)
		if (s.p[i] == '<' && str_istarts(str_make(s.p + i, to - i), tag))
			return i;
	return to;
}

static void html(struct inserted *u, size_t part, size_t start, size_t end)
{
	size_t open = find_tag(u->body, start, end, STR("<body"));
	size_t close = find_tag(u->body, start, end, STR("</body")), line = close, ends = 0;

	while (line > start && u->body.p[line - 1] != '\n')
		line--;
	if (close < end) {
		lines_before(u, part, start, line);
		/* Within the line: from the end of any tag in it to </body>. */
		for (size_t i = close; i > line && i + MAX_BANNER > close && ends < MAX_INLINE; i--)
			if (i < close && u->body.p[i - 1] == '>' && ++ends)
				add(u, part, i, close);
	}
	while (open < end && u->body.p[open] != '>')
		open++;
	if (open >= end)
		return;
	open++;
	ends = 0;
	for (size_t i = open; i < end && i < open + MAX_BANNER && ends < MAX_INLINE; i++)
		if (u->body.p[i] == '>' && ++ends)
			add(u, part, open, i + 1);
	open += str_find(str_make(u->body.p + open, end - open), '\n') + 1;
	if (open < end)
		lines_from(u, part, open, end);
}

static void of_part(struct inserted *u, size_t part, struct str type, struct str text)
{
	size_t start = (size_t)(text.p - u->body.p), end = start + text.n;

	if (type.p && str_istarts(str_trim(type), STR("text/html")))
		html(u, part, start, end);
	lines_from(u, part, start, end);
	/* An empty line in front of the delimiter is no line of a footer. */
	while (end - start >= 4 && !memcmp(u->body.p + end - 4, "\r\n\r\n", 4))
		end -= 2;
	lines_before(u, part, start, end);
}

static void of_parts(struct inserted *u, struct str type, struct str body)
{
	struct undo_mime part[UNDO_PARTS], inner[UNDO_PARTS];
	size_t n = undo_parts(type, body, part);

	if (!n)
		of_part(u, 0, type, body);
	for (size_t i = 0; i < n; i++) {
		size_t k = undo_parts(part[i].type, part[i].body, inner);

		if (!k)
			of_part(u, i * UNDO_PARTS, part[i].type, part[i].body);
		for (size_t j = 0; j < k; j++)
			of_part(u, i * UNDO_PARTS + j, inner[j].type, inner[j].body);
	}
}

/* What was put in, without the tags around it. */
static void tell(const struct inserted *u, const struct cut *c, struct undo_part *out)
{
	struct undo_step *s = &out->step[out->n++];
	struct str raw = str_make(u->body.p + c->from, c->to - c->from);
	char text[56];
	size_t n = 0;
	bool tag = false;

	for (size_t i = 0; i < raw.n && n + 1 < sizeof(text); i++) {
		uint8_t ch = raw.p[i];

		if (ch == '<' || ch == '>') {
			tag = ch == '<';
			continue;
		}
		if (tag || (ascii_is_wsp_crlf(ch) && (!n || text[n - 1] == ' ')))
			continue;
		text[n++] = ascii_is_vchar(ch) ? (char)ch : ascii_is_wsp_crlf(ch) ? ' ' : '?';
	}
	while (n && text[n - 1] == ' ')
		n--;
	text[n] = '\0';
	s->what = "lines-added";
	snprintf(s->text, sizeof(s->text), "\"%s\" is left out of the body%s", text,
		 out->n > 1 ? " there too" : "");
}

static bool one(struct undo_hash *h, const struct inserted *u, struct undo_part *out)
{
	for (size_t i = 0; i < u->n && !undo_exhausted(h); i++) {
		const struct cut *c = &u->cut[i];
		const struct str rest[] = {str_cut(u->body, c->from), str_skip(u->body, c->to)};

		if (undo_fits(h, rest, 2)) {
			tell(u, c, out);
			return true;
		}
	}
	return false;
}

static bool two(struct undo_hash *h, const struct inserted *u, struct undo_part *out)
{
	for (size_t i = 0; i < u->n; i++)
		for (size_t k = 0; k < u->n && !undo_exhausted(h); k++) {
			const struct cut *a = &u->cut[i], *b = &u->cut[k];
			struct str rest[3];

			if (a->part >= b->part)
				continue;
			rest[0] = str_cut(u->body, a->from);
			rest[1] = str_make(u->body.p + a->to, b->from - a->to);
			rest[2] = str_skip(u->body, b->to);
			if (undo_fits(h, rest, 3)) {
				tell(u, a, out);
				tell(u, b, out);
				return true;
			}
		}
	return false;
}

bool undo_inserted(struct undo_hash *h, struct str type, struct str body, struct undo_part *out)
{
	struct inserted u = {.body = body};

	of_parts(&u, type, body);
	return one(h, &u, out) || two(h, &u, out);
}
