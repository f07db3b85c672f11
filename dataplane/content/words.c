/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/words_internal.h"

#include "postern/utf8.h"

void words_flush(struct words_emit *e)
{
	if (e->n)
		e->out(e->ctx, e->buf, e->n);
	e->n = 0;
}

void words_put(struct words_emit *e, const uint8_t *p, size_t n)
{
	if (n > sizeof(e->buf) - e->n) {
		words_flush(e);
		if (n > sizeof(e->buf)) {
			e->out(e->ctx, p, n);
			return;
		}
	}
	memcpy(e->buf + e->n, p, n);
	e->n += n;
}

static void put_octet(struct words_emit *e, uint8_t c)
{
	words_put(e, &c, 1);
}

void words_put_converted(void *ctx, const uint8_t *p, size_t n)
{
	struct words_emit *e = ctx;

	for (size_t i = 0, from = 0; i <= n; i++) {
		if (i < n && p[i] > '\r')
			continue;
		if (i < n && p[i] == 0)
			e->marks |= WORDS_NUL;
		if (i < n && p[i] != '\r' && p[i] != '\n')
			continue;
		words_put(e, p + from, i - from);
		if (i < n)
			put_octet(e, ' ');
		from = i + 1;
	}
}

/* 0x80-0x9f of Windows-1252; 0 is not assigned. */
static const uint16_t windows_1252[32] = {
	0x20ac, 0,      0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
	0x2039, 0x152,  0,      0x17d,  0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
	0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0,      0x17e,  0x178,
};

static void put_windows_1252(struct words_emit *e, uint8_t c)
{
	uint16_t cp = c < 0xa0 ? windows_1252[c - 0x80] : c;

	if (!cp)
		cp = 0xfffd;
	if (cp < 0x800) {
		put_octet(e, (uint8_t)(0xc0 | cp >> 6));
	} else {
		put_octet(e, (uint8_t)(0xe0 | cp >> 12));
		put_octet(e, (uint8_t)(0x80 | (cp >> 6 & 0x3f)));
	}
	put_octet(e, (uint8_t)(0x80 | (cp & 0x3f)));
}

void words_put_text(struct words_emit *e, struct str s)
{
	size_t i = 0;

	CONTENT_STEP(s.n);
	while (i < s.n) {
		size_t from = i, len;

		while (i < s.n && s.p[i] < 0x80 && s.p[i] != '\r' && s.p[i] != '\n' && s.p[i])
			i++;
		words_put(e, s.p + from, i - from);
		if (i == s.n)
			break;
		if (s.p[i] == 0) {
			e->marks |= WORDS_NUL;
			put_octet(e, s.p[i++]);
		} else if (s.p[i] < 0x80) {
			/* RFC 5322 2.2.3, and as SpamAssassin has it: the white space is one SP. */
			while (i < s.n && ascii_is_wsp_crlf(s.p[i]))
				i++;
			put_octet(e, ' ');
		} else {
			e->marks |= WORDS_8BIT;
			if (utf8_at(s, i, &len) >= 0)
				words_put(e, s.p + i, len);
			else
				put_windows_1252(e, s.p[i]);
			i += len;
		}
	}
}

/* ---- encoded-words, RFC 2047 2 ---- */

struct word {
	struct str charset;
	bool base64;
	struct str text;
	size_t end; /* offset behind it */
};

static bool is_token(uint8_t c)
{
	return ascii_is_alnum(c) || c == '-' || c == '_' || c == '.' || c == ':' || c == '+';
}

/* Is there a word at s.p[i], which is '='? A text with SP or a fold in it is taken, as mailers do.
 * What is looked at in vain lies before the next '?', and every word needs one: linear. */
static bool parse_word(struct str s, size_t i, struct word *w)
{
	const uint8_t *q;
	size_t k = i + 2, from = k;

	if (s.n - i < 8 || s.p[i + 1] != '?')
		return false;
	while (k < s.n && is_token(s.p[k]))
		k++;
	w->charset = str_make(s.p + from, k - from);
	if (k < s.n && s.p[k] == '*') /* RFC 2231 5: the language */
		for (k++; k < s.n && (ascii_is_alnum(s.p[k]) || s.p[k] == '-');)
			k++;
	CONTENT_STEP(k - i);
	if (w->charset.n == 0 || s.n - k < 5 || s.p[k] != '?' || s.p[k + 2] != '?')
		return false;
	w->base64 = ascii_lower(s.p[k + 1]) == 'b';
	if (!w->base64 && ascii_lower(s.p[k + 1]) != 'q')
		return false;
	k += 3;
	q = memchr(s.p + k, '?', s.n - k);
	CONTENT_STEP(q ? (size_t)(q - (s.p + k)) : s.n - k);
	if (!q || q + 1 == s.p + s.n || q[1] != '=')
		return false;
	w->text = str_make(s.p + k, (size_t)(q - (s.p + k)));
	w->end = (size_t)(q - s.p) + 2;
	return true;
}

static int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The octets of a word, in portions, to the converter. */
struct octets {
	struct words_emit *e;
	const struct words_charset *cs;
	size_t n;
	uint8_t buf[128];
};

static void octets_flush(struct octets *o)
{
	if (o->n)
		o->cs->feed(o->cs->ctx, o->buf, o->n, words_put_converted, o->e);
	o->n = 0;
}

static void octets_put(struct octets *o, uint8_t c)
{
	if (o->n == sizeof(o->buf))
		octets_flush(o);
	o->buf[o->n++] = c;
}

/* Characters that are not of the alphabet are passed over (RFC 2045 6.8). */
static void base64_word(struct octets *o, struct str s)
{
	uint32_t acc = 0;
	unsigned int bits = 0;
	bool padded = false;

	for (size_t i = 0; i < s.n; i++) {
		int v = base64_value(s.p[i]);

		if (v < 0) {
			if (s.p[i] == '=') {
				if (bits == 6)
					o->e->marks |= WORDS_BAD_ENCODING;
				bits = 0;
				padded = true;
			} else if (!ascii_is_wsp_crlf(s.p[i])) {
				o->e->marks |= WORDS_BAD_ENCODING;
			}
			continue;
		}
		if (padded)
			o->e->marks |= WORDS_BAD_ENCODING;
		padded = false;
		acc = acc << 6 | (uint32_t)v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			octets_put(o, (uint8_t)(acc >> bits));
		}
	}
	if (bits == 6)
		o->e->marks |= WORDS_BAD_ENCODING;
}

static void q_word(struct octets *o, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		int v = c == '=' ? content_hex_octet(s.p + i + 1, s.n - i - 1) : -1;

		if (v >= 0) {
			octets_put(o, (uint8_t)v);
			i += 2;
			continue;
		}
		if (c == '=')
			o->e->marks |= WORDS_BAD_ENCODING;
		if (c == '\r' || c == '\n') {
			while (i + 1 < s.n && ascii_is_wsp_crlf(s.p[i + 1]))
				i++;
			c = ' ';
		}
		octets_put(o, c == '_' ? ' ' : c);
	}
}

static void feed_word(struct words_emit *e, const struct words_charset *cs, const struct word *w)
{
	struct octets o = {.e = e, .cs = cs};

	CONTENT_STEP(w->text.n);
	if (w->base64)
		base64_word(&o, w->text);
	else
		q_word(&o, w->text);
	octets_flush(&o);
}

static void convert_end(struct words_emit *e, const struct words_charset *cs, struct str *charset)
{
	if (charset->p)
		cs->end(cs->ctx, words_put_converted, e);
	*charset = STR_NONE;
}

void words_decode_into(struct words_emit *e, struct str s, const struct words_charset *cs)
{
	struct str charset = STR_NONE; /* of the conversion that is open */
	size_t last = 0, i = 0;        /* s[last, i) is text that has not gone out */

	while (i < s.n) {
		const uint8_t *q = memchr(s.p + i, '=', s.n - i);
		struct str gap;
		struct word w;

		CONTENT_STEP(q ? (size_t)(q - (s.p + i)) + 1 : s.n - i);
		if (!q)
			break;
		i = (size_t)(q - s.p);
		if (!parse_word(s, i, &w)) {
			i++;
			continue;
		}
		gap = str_make(s.p + last, i - last);
		/* RFC 2047 6.2: white space between two words is none. */
		if (!charset.p || str_trim(gap).n || !str_ieq(charset, w.charset)) {
			bool neighbour = charset.p && !str_trim(gap).n;

			convert_end(e, cs, &charset);
			if (cs->begin(cs->ctx, w.charset)) {
				e->marks |= WORDS_UNKNOWN_CHARSET;
				i = w.end;
				continue;
			}
			if (!neighbour)
				words_put_text(e, gap);
			charset = w.charset;
		}
		feed_word(e, cs, &w);
		last = i = w.end;
	}
	convert_end(e, cs, &charset);
	words_put_text(e, str_skip(s, last));
}

uint32_t words_unfold(struct str value, words_out out, void *ctx)
{
	struct words_emit e = {.out = out, .ctx = ctx};

	words_put_text(&e, str_trim(value));
	words_flush(&e);
	return e.marks;
}

uint32_t words_decode(struct str value, const struct words_charset *cs, words_out out, void *ctx)
{
	struct words_emit e = {.out = out, .ctx = ctx};

	words_decode_into(&e, str_trim(value), cs);
	words_flush(&e);
	return e.marks;
}
