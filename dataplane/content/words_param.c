/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Parameters: RFC 2045 5.1, RFC 2231 3 and 4, and what mailers make of them. */

#include "dataplane/content/words_internal.h"

#define SECTIONS  128  /* ours: of one parameter (RFC 2231 3 has no bound) */
#define VALUE_MAX 4096 /* ours: octets of a value before it is decoded */
#define NESTING   64   /* ours: comments inside comments */

size_t words_comment(struct str s, size_t i)
{
	unsigned int depth = 0;
	size_t from = i;

	for (; i < s.n; i++) {
		if (s.p[i] == '\\') {
			i++;
		} else if (s.p[i] == '(') {
			if (++depth > NESTING)
				break;
		} else if (s.p[i] == ')' && --depth == 0) {
			CONTENT_STEP(i - from);
			return i + 1;
		}
	}
	CONTENT_STEP(i - from);
	return 0;
}

size_t words_quoted(struct str s, size_t i)
{
	size_t from = i;

	for (i++; i < s.n; i++) {
		if (s.p[i] == '\\') {
			i++;
		} else if (s.p[i] == '"') {
			CONTENT_STEP(i - from);
			return i + 1;
		}
	}
	CONTENT_STEP(i - from);
	return 0;
}

/* White space and comments; a comment without end ends the value. */
static size_t skip_cfws(struct str s, size_t i, uint32_t *marks)
{
	while (i < s.n) {
		if (ascii_is_wsp_crlf(s.p[i])) {
			i++;
		} else if (s.p[i] == '(') {
			size_t end = words_comment(s, i);

			if (!end) {
				*marks |= WORDS_BROKEN;
				return s.n;
			}
			i = end;
		} else {
			break;
		}
	}
	return i;
}

uint32_t words_main(struct str value, uint8_t *buf, size_t size, size_t *n)
{
	uint32_t marks = 0;
	size_t i = 0;

	*n = 0;
	while ((i = skip_cfws(value, i, &marks)) < value.n && value.p[i] != ';') {
		if (*n == size) {
			marks |= WORDS_CUT;
			break;
		}
		if (value.p[i] == 0)
			marks |= WORDS_NUL;
		if (value.p[i] >= 0x80)
			marks |= WORDS_8BIT;
		buf[(*n)++] = ascii_lower(value.p[i++]);
	}
	return marks;
}

/* One "name*section*=value". */
struct param {
	struct str name;
	int section;   /* -1: none */
	bool extended; /* with a star behind: percent-encoded */
	bool quoted;
	struct str value; /* of a quoted string what is between the quotes, escapes and all */
};

/* Digits behind a star, at s.p[i]; -1 if it is not a number in range. RFC 2231 3: no leading zeros,
 * but who writes them means the same. */
static int section_number(struct str s)
{
	int v = 0;

	if (s.n == 0)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_digit(s.p[i]))
			return -1;
		v = v * 10 + (s.p[i] - '0');
		if (v > SECTIONS)
			v = SECTIONS;
	}
	return v;
}

static void split_name(struct param *p)
{
	size_t star;

	p->section = -1;
	p->extended = p->name.n && p->name.p[p->name.n - 1] == '*';
	if (p->extended)
		p->name.n--;
	star = str_find(p->name, '*');
	if (star < p->name.n) {
		int v = section_number(str_skip(p->name, star + 1));

		if (v >= 0) {
			p->section = v;
			p->name.n = star;
		}
	}
}

/* To the ';' that ends a value without quotes. A '(' that follows white space begins a comment; in
 * `name=report(1).txt` it is meant. */
static size_t bare_value(struct str s, size_t i, struct param *p)
{
	size_t from = i, stop;

	while (i < s.n && s.p[i] != ';' &&
	       !(s.p[i] == '(' && i > from && ascii_is_wsp_crlf(s.p[i - 1])))
		i++;
	stop = i;
	while (i < s.n && s.p[i] != ';')
		i++;
	CONTENT_STEP(i - from);
	p->value = str_trim(str_make(s.p + from, stop - from));
	return i;
}

/* The next parameter at or behind s.p[i], which is behind a ';'. Returns where to go on; s.n at the
 * end, p->name.n == 0 for one without a name. */
static size_t next_param(struct str s, size_t i, struct param *p, uint32_t *marks)
{
	size_t from;

	*p = (struct param){.section = -1};
	i = skip_cfws(s, i, marks);
	for (from = i; i < s.n && s.p[i] != '=' && s.p[i] != ';' && s.p[i] != '(' &&
		       !ascii_is_wsp_crlf(s.p[i]);)
		i++;
	CONTENT_STEP(i - from);
	p->name = str_make(s.p + from, i - from);
	i = skip_cfws(s, i, marks);
	if (i == s.n || s.p[i] != '=') {
		p->name.n = 0;
	} else {
		split_name(p);
		i = skip_cfws(s, i + 1, marks);
		if (i < s.n && s.p[i] == '"') {
			size_t end = words_quoted(s, i);

			if (!end)
				*marks |= WORDS_BROKEN;
			p->quoted = true;
			p->value = str_make(s.p + i + 1, (end ? end - 1 : s.n) - i - 1);
			i = end ? end : s.n;
		} else {
			i = bare_value(s, i, p);
		}
	}
	while (i < s.n && s.p[i] != ';')
		i++;
	return i < s.n ? i + 1 : i;
}

struct gathered {
	struct param plain, whole, section[SECTIONS]; /* name, name*, name*N */
	unsigned int n_sections;
};

static void keep(struct param *to, const struct param *p, uint32_t *marks)
{
	if (to->name.p)
		*marks |= WORDS_DUPLICATE;
	else
		*to = *p;
}

/* All of the parameter in one pass. */
static void gather(struct gathered *g, struct str value, struct str name, uint32_t *marks)
{
	bool comments = true, quotes = true; /* one without its end is looked for but once */
	size_t i = 0;

	while (i < value.n && value.p[i] != ';') {
		size_t end = 0;

		if (value.p[i] == '(' && comments)
			comments = (end = words_comment(value, i)) != 0;
		else if (value.p[i] == '"' && quotes)
			quotes = (end = words_quoted(value, i)) != 0;
		i = end ? end : i + 1;
	}
	for (i++; i < value.n;) {
		struct param p;

		i = next_param(value, i, &p, marks);
		if (p.name.n == 0 || !str_ieq(p.name, name))
			continue;
		if (p.section >= SECTIONS) {
			*marks |= WORDS_CUT;
		} else if (p.section >= 0) {
			if (!g->section[p.section].name.p)
				g->n_sections++;
			keep(&g->section[p.section], &p, marks);
		} else {
			keep(p.extended ? &g->whole : &g->plain, &p, marks);
		}
	}
}

/* Where a result goes: no further than size. */
struct bounded {
	uint8_t *buf;
	size_t size, n;
	bool cut;
};

static void bounded_out(void *ctx, const uint8_t *p, size_t n)
{
	struct bounded *b = ctx;

	if (n > b->size - b->n) {
		b->cut = true;
		n = b->size - b->n;
	}
	memcpy(b->buf + b->n, p, n);
	b->n += n;
}

/* Escapes and folds of a quoted string (RFC 5322 3.2.4) undone. */
static void unquote(struct bounded *b, const struct param *p)
{
	struct str v = p->value;

	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = v.p[i];

		if (p->quoted && c == '\\' && i + 1 < v.n) {
			c = v.p[++i];
		} else if (c == '\r' || c == '\n') {
			while (i + 1 < v.n && ascii_is_wsp_crlf(v.p[i + 1]))
				i++;
			c = ' ';
		}
		bounded_out(b, &c, 1);
	}
}

static void percent_octets(struct words_emit *e, struct str v, const struct words_charset *cs)
{
	uint8_t buf[VALUE_MAX];
	size_t n = 0;

	for (size_t i = 0; i < v.n && n < sizeof(buf); i++) {
		int octet = v.p[i] == '%' ? content_hex_octet(v.p + i + 1, v.n - i - 1) : -1;

		if (octet < 0 && v.p[i] == '%')
			e->marks |= WORDS_BAD_ENCODING;
		buf[n++] = octet < 0 ? v.p[i] : (uint8_t)octet;
		i += octet < 0 ? 0 : 2;
	}
	CONTENT_STEP(v.n);
	if (cs)
		cs->feed(cs->ctx, buf, n, words_put_converted, e);
	else
		words_put_text(e, str_make(buf, n));
}

/* RFC 2231 4: charset'language' in front of the first section; *v is moved behind it. */
static struct str take_charset(struct str *v, uint32_t *marks)
{
	size_t a = str_find(*v, '\''), b;
	struct str charset;

	if (a == v->n || (b = str_find(str_skip(*v, a + 1), '\'')) == v->n - a - 1) {
		*marks |= WORDS_BROKEN;
		return STR_NONE;
	}
	charset = str_make(v->p, a);
	*v = str_skip(*v, a + b + 2);
	return charset.n ? charset : STR("us-ascii");
}

/* Sections 0 … n - 1, of which one at least is percent-encoded. */
static void extended(struct words_emit *e, const struct param *section, unsigned int n,
		     const struct words_charset *cs)
{
	struct str charset = STR_NONE;
	bool open = false;

	for (unsigned int i = 0; i < n; i++) {
		struct str v = section[i].value;

		if (i == 0 && section[i].extended)
			charset = take_charset(&v, &e->marks);
		if (!section[i].extended) {
			uint8_t raw[VALUE_MAX];
			struct bounded b = {.buf = raw, .size = sizeof(raw)};

			if (open)
				cs->end(cs->ctx, words_put_converted, e);
			open = false;
			unquote(&b, &section[i]);
			e->marks |= b.cut ? WORDS_CUT : 0;
			words_put_text(e, str_make(raw, b.n));
			continue;
		}
		if (!open && cs && charset.p) {
			open = cs->begin(cs->ctx, charset) == 0;
			if (!open) {
				e->marks |= WORDS_UNKNOWN_CHARSET;
				charset = STR_NONE;
			}
		}
		e->marks |= v.n > VALUE_MAX ? WORDS_CUT : 0;
		percent_octets(e, v, open ? cs : NULL);
	}
	if (open)
		cs->end(cs->ctx, words_put_converted, e);
}

/* Sections none of which is percent-encoded: put together, then read; encoded-words may reach from
 * one into the next. */
static void plain(struct words_emit *e, const struct param *section, unsigned int n,
		  const struct words_charset *cs)
{
	uint8_t raw[VALUE_MAX];
	struct bounded b = {.buf = raw, .size = sizeof(raw)};

	for (unsigned int i = 0; i < n; i++)
		unquote(&b, &section[i]);
	e->marks |= b.cut ? WORDS_CUT : 0;
	if (cs)
		words_decode_into(e, str_make(raw, b.n), cs);
	else
		words_put(e, raw, b.n);
}

bool words_param(struct str value, struct str name, const struct words_charset *cs, uint8_t *buf,
		 size_t size, size_t *n, uint32_t *marks)
{
	struct gathered g = {0};
	struct bounded b = {.buf = buf, .size = size};
	struct words_emit e = {.out = bounded_out, .ctx = &b};
	unsigned int in_row = 0;
	bool any_extended = false;

	*n = 0;
	gather(&g, value, name, &e.marks);
	while (in_row < SECTIONS && g.section[in_row].name.p)
		any_extended |= g.section[in_row++].extended;
	if (in_row < g.n_sections)
		e.marks |= WORDS_BROKEN;
	if (g.whole.name.p)
		extended(&e, &g.whole, 1, cs);
	else if (in_row && any_extended)
		extended(&e, g.section, in_row, cs);
	else if (in_row)
		plain(&e, g.section, in_row, cs);
	else if (g.plain.name.p)
		plain(&e, &g.plain, 1, cs);
	words_flush(&e);
	*n = b.n;
	*marks |= e.marks | (b.cut ? WORDS_CUT : 0);
	return g.whole.name.p || in_row || g.plain.name.p;
}
