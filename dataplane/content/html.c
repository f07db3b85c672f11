/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/html_internal.h"

size_t html_size(void)
{
	return sizeof(struct html);
}

struct html *html_init(void *mem)
{
	struct html *h = mem;

	h->sink = NULL;
	h->marks = 0;
	return h;
}

void html_begin(struct html *h, const struct html_sink *sink)
{
	memset(h, 0, offsetof(struct html, value));
	h->sink = sink;
}

uint32_t html_marks(const struct html *h)
{
	return h->marks;
}

static void put_literal(struct html *h, const char *text)
{
	html_put(h, (const uint8_t *)text, strlen(text));
}

static const struct str raw_name[] = {
	[HTML_RAW_NONE] = {NULL, 0},
	[HTML_RAW_TITLE] = {(const uint8_t *)"title", 5},
	[HTML_RAW_TEXTAREA] = {(const uint8_t *)"textarea", 8},
	[HTML_RAW_XMP] = {(const uint8_t *)"xmp", 3},
	[HTML_RAW_PLAINTEXT] = {NULL, 0},
	[HTML_RAW_STYLE] = {(const uint8_t *)"style", 5},
	[HTML_RAW_SCRIPT] = {(const uint8_t *)"script", 6},
	[HTML_RAW_IFRAME] = {(const uint8_t *)"iframe", 6},
	[HTML_RAW_NOEMBED] = {(const uint8_t *)"noembed", 7},
	[HTML_RAW_NOFRAMES] = {(const uint8_t *)"noframes", 8},
};

#define RAW_CANDIDATE 12 /* octets behind '<' that can tell; "/textarea" and more */

/* Text, and elements whose content is text. */
static const uint8_t *data(struct html *h, const uint8_t *p, const uint8_t *end)
{
	bool refs = h->raw <= HTML_RAW_TEXTAREA;

	p = html_run(h, p, end, refs);
	if (p == end)
		return p;
	if (*p == '&') {
		const uint8_t *q = html_reference_here(h, p, end);

		if (q)
			return q;
		h->state = HTML_REFERENCE;
	} else if (*p == 0) {
		h->marks |= HTML_NUL; /* 13.2.6.4.7: ignored */
	} else if (h->raw == HTML_RAW_NONE) {
		h->state = HTML_TAG_OPEN;
	} else if (h->raw == HTML_RAW_PLAINTEXT) {
		put_literal(h, "<");
	} else {
		h->state = HTML_RAW_LESS;
		h->n_ref = 0;
	}
	return p + 1;
}

/* One octet behind '<' or "</"; false: it is looked at again in the state that follows. */
static bool tag_open(struct html *h, uint8_t c)
{
	bool end_tag = h->state == HTML_END_TAG_OPEN;

	if (ascii_is_alpha(c)) {
		html_tag_begin(h, end_tag);
		return false;
	}
	if (end_tag) {
		/* 13.2.5.7: "</>" is nothing, any other is a comment. */
		h->state = c == '>' ? HTML_DATA : HTML_BOGUS;
		return true;
	}
	if (c == '/') {
		h->state = HTML_END_TAG_OPEN;
		return true;
	}
	h->n_ref = 0;
	h->state = c == '!' ? HTML_MARKUP : c == '?' ? HTML_BOGUS : HTML_DATA;
	if (h->state == HTML_DATA)
		put_literal(h, "<");
	return h->state != HTML_DATA;
}

/* Comments begin with dashes 3 (nothing yet) and go on with 4 (one dash): a '>' ends them there too
 * (13.2.5.43), which it does behind no other single dash. */
#define DASHES_START 3

static bool markup(struct html *h, uint8_t c)
{
	static const char start[] = "[CDATA[";

	if (h->n_ref < 2 && c == '-' && (h->n_ref == 0 || h->ref[0] == '-')) {
		h->ref[h->n_ref++] = c;
		if (h->n_ref == 2) {
			h->state = HTML_COMMENT;
			h->dashes = DASHES_START;
			h->bang = false;
		}
		return true;
	}
	if ((h->n_ref == 0 || h->ref[0] == '[') && c == (uint8_t)start[h->n_ref]) {
		h->ref[h->n_ref++] = c;
		if (h->n_ref == sizeof(start) - 1) {
			h->state = HTML_CDATA;
			h->brackets = 0;
		}
		return true;
	}
	h->state = HTML_BOGUS;
	return false;
}

static const uint8_t *comment(struct html *h, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *from = p;

	for (; p < end; p++) {
		if (h->dashes == 0 && !h->bang) {
			p = memchr(p, '-', (size_t)(end - p));
			if (!p) {
				CONTENT_STEP(end - from);
				return end;
			}
		}
		if (*p == '>' && (h->dashes >= 2 || h->bang)) {
			h->state = HTML_DATA;
			CONTENT_STEP(p - from);
			return p + 1;
		}
		if (*p == '-') {
			h->dashes = h->dashes == DASHES_START ? DASHES_START + 1
				    : h->dashes == 0          ? 1
							      : 2;
			h->bang = false;
		} else {
			h->bang = *p == '!' && h->dashes == 2;
			h->dashes = 0;
		}
	}
	CONTENT_STEP(end - from);
	return end;
}

static const uint8_t *bogus(struct html *h, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *q = memchr(p, '>', (size_t)(end - p));

	CONTENT_STEP((q ? q : end) - p);
	if (!q)
		return end;
	h->state = HTML_DATA;
	return q + 1;
}

static void put_brackets(struct html *h)
{
	for (; h->brackets; h->brackets--)
		put_literal(h, "]");
}

/* A CDATA section outside of SVG is a comment to the standard, so it ends at the first '>'. Its
 * text is given out, as SpamAssassin does. */
static const uint8_t *cdata(struct html *h, const uint8_t *p, const uint8_t *end)
{
	for (; p < end; p++) {
		CONTENT_STEP(1);
		if (*p == ']') {
			if (h->brackets == 2)
				put_literal(h, "]");
			else
				h->brackets++;
			continue;
		}
		if (*p == '>') {
			if (h->brackets < 2)
				put_brackets(h);
			h->state = HTML_DATA;
			return p + 1;
		}
		put_brackets(h);
		if (*p == 0)
			h->marks |= HTML_NUL;
		else
			html_put(h, p, 1);
	}
	return end;
}

/* ---- content that is no markup, 13.2.5.9-31 ---- */

/* "-->" in a script ends what "<!--" began. */
static void script_octets(struct html *h, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '-') {
			h->dashes = h->dashes ? 2 : 1;
		} else {
			if (p[i] == '>' && h->dashes == 2)
				h->script = 0;
			h->dashes = 0;
		}
	}
}

static void raw_octets(struct html *h, const uint8_t *p, size_t n)
{
	CONTENT_STEP(n);
	if (h->raw == HTML_RAW_STYLE)
		html_css(h, p, n);
	else if (h->raw == HTML_RAW_SCRIPT && h->script)
		script_octets(h, p, n);
	else if (h->raw <= HTML_RAW_XMP)
		html_put(h, p, n);
}

static const uint8_t *raw(struct html *h, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *q = memchr(p, '<', (size_t)(end - p));

	raw_octets(h, p, (size_t)((q ? q : end) - p));
	if (!q)
		return end;
	h->state = HTML_RAW_LESS;
	h->n_ref = 0;
	return q + 1;
}

static bool ends_name(uint8_t c)
{
	return html_is_space(c) || c == '/' || c == '>';
}

/* What stood behind '<' was no end tag: it is content. */
static void raw_content(struct html *h)
{
	struct str seen = str_make(h->ref, h->n_ref);

	raw_octets(h, (const uint8_t *)"<", 1);
	if (h->raw == HTML_RAW_SCRIPT && str_istarts(seen, STR("!--"))) {
		/* 13.2.5.20-25: the dashes may be those of "-->" as well. */
		if (!h->script)
			h->script = 1;
		h->dashes = 0;
	}
	raw_octets(h, seen.p, seen.n);
	h->state = h->raw <= HTML_RAW_XMP ? HTML_DATA : HTML_RAW;
}

/* Octets behind '<'. The one that ends them is looked at again. */
static const uint8_t *raw_less(struct html *h, const uint8_t *p, const uint8_t *end)
{
	struct str seen, name = raw_name[h->raw];

	while (p < end && h->n_ref < RAW_CANDIDATE &&
	       (ascii_is_alpha(*p) || (*p == '/' && h->n_ref == 0) || *p == '!' || *p == '-'))
		h->ref[h->n_ref++] = *p++;
	if (p == end)
		return p;
	CONTENT_STEP(h->n_ref + 1);
	seen = str_make(h->ref, h->n_ref);
	if (ends_name(*p) && seen.n && seen.p[0] == '/' && str_ieq(str_skip(seen, 1), name)) {
		if (h->script == 2) {
			h->script = 1;
			raw_content(h);
			return p;
		}
		html_tag_begin(h, true);
		memcpy(h->name, name.p, name.n);
		h->n_name = (uint8_t)name.n;
		h->state = HTML_BEFORE_ATTR;
		return p;
	}
	if (h->script == 1 && ends_name(*p) && str_ieq(seen, STR("script")))
		h->script = 2;
	raw_content(h);
	return p;
}

static const uint8_t *step(struct html *h, const uint8_t *p, const uint8_t *end)
{
	switch (h->state) {
	case HTML_DATA:
		return data(h, p, end);
	case HTML_REFERENCE:
	case HTML_REF_NAME:
	case HTML_REF_NUMBER:
		return html_reference(h, p, end);
	case HTML_TAG_OPEN:
	case HTML_END_TAG_OPEN:
		return p + tag_open(h, *p);
	case HTML_MARKUP:
		return p + markup(h, *p);
	case HTML_BOGUS:
		return bogus(h, p, end);
	case HTML_COMMENT:
		return comment(h, p, end);
	case HTML_CDATA:
		return cdata(h, p, end);
	case HTML_RAW:
		return raw(h, p, end);
	case HTML_RAW_LESS:
		return raw_less(h, p, end);
	default:
		return html_tag(h, p, end);
	}
}

void html_feed(struct html *h, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;

	while (p < end) {
		CONTENT_STEP(1);
		p = step(h, p, end);
	}
}

void html_end(struct html *h)
{
	switch (h->state) {
	case HTML_REFERENCE:
	case HTML_REF_NAME:
	case HTML_REF_NUMBER:
		html_reference_end(h);
		break;
	case HTML_TAG_OPEN:
		put_literal(h, "<");
		break;
	case HTML_END_TAG_OPEN:
		put_literal(h, "</");
		break;
	case HTML_CDATA:
		put_brackets(h);
		break;
	case HTML_RAW_LESS:
		raw_content(h);
		break;
	default:
		break; /* 13.2.5: a tag or comment without its end is nothing */
	}
	html_due(h);
	html_flush(h);
	h->state = HTML_DATA;
}
