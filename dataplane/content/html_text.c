/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/html_internal.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "dataplane/content/tables.h"

void html_flush(struct html *h)
{
	if (h->n_out)
		h->sink->text(h->sink->ctx, h->out, h->n_out);
	h->n_out = 0;
}

static void out_octets(struct html *h, const uint8_t *p, size_t n)
{
	if (n > sizeof(h->out) - h->n_out) {
		html_flush(h);
		if (n > sizeof(h->out) / 2) {
			h->sink->text(h->sink->ctx, p, n);
			return;
		}
	}
	memcpy(h->out + h->n_out, p, n);
	h->n_out = (uint16_t)(h->n_out + n);
}

/* White space that is due; none beside a break. */
static inline void out_due(struct html *h)
{
	if (h->breaks)
		out_octets(h, (const uint8_t *)"\n\n", h->breaks);
	else if (h->space)
		out_octets(h, (const uint8_t *)" ", 1);
	h->breaks = 0;
	h->space = false;
}

void html_due(struct html *h)
{
	out_due(h);
}

void html_break(struct html *h, unsigned int lines)
{
	h->breaks = (uint8_t)(h->breaks + lines > 2 ? 2 : h->breaks + lines);
}

/* Is this where a piece that is copied as it stands must end? `<`, `&`, controls, and a second SP.
 */
static inline bool is_stop(const uint8_t *p)
{
	return *p < ' ' || *p == '<' || *p == '&' || (*p == ' ' && p[-1] == ' ');
}

/* The first stop behind p, which is none itself. */
static const uint8_t *find_stop(const uint8_t *p, const uint8_t *end)
{
	p++;
#ifdef __SSE2__
	const __m128i space = _mm_set1_epi8(' '), control = _mm_set1_epi8(0x1f),
		      less = _mm_set1_epi8('<'), amp = _mm_set1_epi8('&');

	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)p);
		__m128i before = _mm_loadu_si128((const __m128i *)(p - 1));
		__m128i m = _mm_or_si128(_mm_cmpeq_epi8(v, less), _mm_cmpeq_epi8(v, amp));
		unsigned int mask;

		m = _mm_or_si128(m, _mm_cmpeq_epi8(_mm_min_epu8(v, control), v));
		m = _mm_or_si128(
			m, _mm_and_si128(_mm_cmpeq_epi8(v, space), _mm_cmpeq_epi8(before, space)));
		mask = (unsigned int)_mm_movemask_epi8(m);
		if (mask)
			return p + __builtin_ctz(mask);
	}
#endif
	while (p < end && !is_stop(p))
		p++;
	return p;
}

const uint8_t *html_run(struct html *h, const uint8_t *p, const uint8_t *end, bool refs)
{
	while (p < end) {
		const uint8_t *from = p;

		if (html_is_space(*p)) {
			h->space = true;
			p++;
			CONTENT_STEP(1);
			continue;
		}
		if (*p == 0 || *p == '<' || (*p == '&' && refs))
			return p;
		p = find_stop(p, end);
		CONTENT_STEP(p - from);
		out_due(h);
		if (p[-1] == ' ') { /* it may be the last one before a break */
			h->space = true;
			out_octets(h, from, (size_t)(p - from) - 1);
		} else {
			out_octets(h, from, (size_t)(p - from));
		}
	}
	return p;
}

void html_put(struct html *h, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (html_is_space(p[i])) {
			h->space = true;
			continue;
		}
		out_due(h);
		out_octets(h, p + i, 1);
	}
}

/* ---- character references ---- */

static size_t utf8_put(uint32_t cp, uint8_t out[4])
{
	if (cp < 0x80) {
		out[0] = (uint8_t)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (uint8_t)(0xc0 | cp >> 6);
		out[1] = (uint8_t)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (uint8_t)(0xe0 | cp >> 12);
		out[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | cp >> 18);
	out[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (cp & 0x3f));
	return 4;
}

/* 13.2.5.80: the numbers 0x80-0x9f mean Windows-1252. 0: not assigned there. */
static const uint16_t c1[32] = {
	0x20ac, 0,      0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
	0x2039, 0x152,  0,      0x17d,  0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
	0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0,      0x17e,  0x178,
};

/* The text of a number; larger ones than a code point come in as any larger number. */
static size_t number_text(uint32_t cp, uint8_t out[4])
{
	if (cp == 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		cp = 0xfffd;
	else if (cp >= 0x80 && cp < 0xa0 && c1[cp - 0x80])
		cp = c1[cp - 0x80];
	return utf8_put(cp, out);
}

static bool number_digit(uint32_t *number, bool hex, uint8_t c)
{
	uint32_t d = ascii_is_digit(c) ? c - (uint32_t)'0' : ascii_lower(c) - 'a' + 10u;

	if (!ascii_is_digit(c) && (!hex || ascii_lower(c) < 'a' || ascii_lower(c) > 'f'))
		return false;
	if (*number < 0x1000000)
		*number = *number * (hex ? 16 : 10) + d;
	return true;
}

/*
 * 13.2.5.73: the text of the reference whose name, letters and digits, is given without '&', and
 * whether a ';' follows. *used is how much of it counts: a name without ';' may end before the word
 * does. In attributes such a one stays as it is if '=' or more of the word follows: next is what
 * follows the word.
 */
static struct str named(struct str name, bool semicolon, bool attribute, uint8_t next, size_t *used)
{
	struct str text = STR_NONE;

	if (semicolon && name.n < TABLES_ENTITY_NAME) {
		*used = name.n + 1;
		text = tables_entity(str_make(name.p, name.n + 1));
	}
	for (size_t n = name.n < TABLES_ENTITY_SHORT ? name.n : TABLES_ENTITY_SHORT;
	     !text.p && n > 1; n--) {
		*used = n;
		text = tables_entity(str_make(name.p, n));
		if (text.p && attribute && (n < name.n || next == '='))
			return STR_NONE;
	}
	return text;
}

static void name_done(struct html *h, bool semicolon)
{
	struct str name = str_make(h->ref + 1, h->n_ref - 1u), text;
	size_t used = 0;

	if (semicolon)
		h->ref[h->n_ref] = ';';
	text = named(name, semicolon, false, 0, &used);
	if (text.p) {
		html_put(h, text.p, text.n);
	} else {
		used = 0;
		html_put(h, h->ref, 1);
	}
	name = str_make(name.p, name.n + semicolon);
	html_put(h, name.p + used, name.n - used);
	h->state = HTML_DATA;
}

static void number_done(struct html *h)
{
	uint8_t out[4];

	if (h->digits)
		html_put(h, out, number_text(h->number, out));
	else
		html_put(h, h->ref, h->n_ref);
	h->state = HTML_DATA;
}

/* One octet behind "&#"; false: it is not part of the reference. */
static bool number_octet(struct html *h, uint8_t c)
{
	if (!h->digits && !h->hex && (c == 'x' || c == 'X')) {
		h->hex = true;
		h->ref[h->n_ref++] = c;
		return true;
	}
	if (number_digit(&h->number, h->hex, c)) {
		h->digits = true;
		return true;
	}
	number_done(h);
	return c == ';' && h->digits;
}

const uint8_t *html_reference(struct html *h, const uint8_t *p, const uint8_t *end)
{
	for (; p < end; p++) {
		CONTENT_STEP(1);
		switch (h->state) {
		case HTML_REFERENCE:
			h->ref[0] = '&';
			h->n_ref = 1;
			if (*p == '#') {
				h->ref[h->n_ref++] = '#';
				h->number = 0;
				h->hex = h->digits = false;
				h->state = HTML_REF_NUMBER;
				break;
			}
			h->state = HTML_REF_NAME;
			/* fall through */
		case HTML_REF_NAME:
			if (ascii_is_alnum(*p) && h->n_ref < HTML_REF - 1) {
				h->ref[h->n_ref++] = *p;
				break;
			}
			name_done(h, *p == ';');
			return p + (*p == ';');
		case HTML_REF_NUMBER:
			if (number_octet(h, *p))
				break;
			return p;
		default:
			return p; /* a number with its ';' is behind us */
		}
	}
	return p;
}

void html_reference_end(struct html *h)
{
	h->ref[0] = '&';
	if (h->state == HTML_REFERENCE)
		h->n_ref = 1;
	if (h->state == HTML_REF_NUMBER)
		number_done(h);
	else
		name_done(h, false);
}

const uint8_t *html_reference_here(struct html *h, const uint8_t *p, const uint8_t *end)
{
	size_t i = 1, used = 0;
	struct str text;
	bool semicolon;

	if (end - p <= HTML_REF || p[1] == '#')
		return NULL;
	while (i < HTML_REF - 1 && ascii_is_alnum(p[i]))
		i++;
	CONTENT_STEP(i);
	semicolon = p[i] == ';';
	text = named(str_make(p + 1, i - 1), semicolon, false, 0, &used);
	if (text.p)
		html_put(h, text.p, text.n);
	else
		html_put(h, p, 1);
	return p + 1 + (text.p ? used : 0);
}

/* The reference at s.p[0], which is '&': its text into out; returns what it takes of s, 0: none. */
static size_t decode_one(struct str s, uint8_t out[8], size_t *n)
{
	uint32_t number = 0;
	size_t i = 1, used;
	struct str text;

	if (s.n > 2 && s.p[1] == '#') {
		bool hex = s.p[2] == 'x' || s.p[2] == 'X';
		size_t from = hex ? 3 : 2;

		for (i = from; i < s.n && number_digit(&number, hex, s.p[i]);)
			i++;
		if (i == from)
			return 0;
		*n = number_text(number, out);
		return i + (i < s.n && s.p[i] == ';');
	}
	while (i < s.n && i < HTML_REF - 1 && ascii_is_alnum(s.p[i]))
		i++;
	text = named(str_make(s.p + 1, i - 1), i < s.n && s.p[i] == ';', true, i < s.n ? s.p[i] : 0,
		     &used);
	if (!text.p)
		return 0;
	memcpy(out, text.p, text.n);
	*n = text.n;
	return 1 + used;
}

size_t html_decode(struct str value, uint8_t *out, size_t size, bool *cut)
{
	size_t n = 0, i = 0;

	while (i < value.n) {
		const uint8_t *amp = memchr(value.p + i, '&', value.n - i);
		size_t plain = (amp ? (size_t)(amp - value.p) : value.n) - i, len = 1, used;
		uint8_t ref[8] = "&";

		CONTENT_STEP(plain + 1);
		if (plain > size - n)
			plain = size - n;
		memcpy(out + n, value.p + i, plain);
		n += plain;
		if (!amp)
			break;
		i = (size_t)(amp - value.p);
		used = decode_one(str_skip(value, i), ref, &len);
		i += used ? used : 1;
		if (len > size - n) {
			*cut = true;
			break;
		}
		memcpy(out + n, ref, len);
		n += len;
	}
	return n;
}
