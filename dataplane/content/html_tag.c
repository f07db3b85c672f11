/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/html_internal.h"

void html_tag_begin(struct html *h, bool end_tag)
{
	h->end_tag = end_tag;
	h->n_name = 0;
	h->refresh = h->held = false;
	h->n_equiv = 0;
	h->n_value = 0;
	h->state = HTML_TAG_NAME;
}

static struct str tag_name(const struct html *h)
{
	return str_make(h->name, h->n_name);
}

static bool tag_is(const struct html *h, const char *name)
{
	return str_eq(tag_name(h), str_c(name));
}

/* ---- what an element does ---- */

struct effect {
	uint8_t breaks; /* LFs */
	bool space;
	uint8_t raw; /* enum html_raw */
};

static const struct effect none, space = {.space = true}, line = {.breaks = 1},
				 para = {.breaks = 2};

static struct effect effect_of_2(const uint8_t *p)
{
	switch (p[0] << 8 | p[1]) {
	case 'b' << 8 | 'r':
		return line;
	case 'h' << 8 | 'r':
		return para;
	case 'd' << 8 | 'd':
	case 'd' << 8 | 't':
	case 'l' << 8 | 'i':
	case 't' << 8 | 'd':
	case 't' << 8 | 'h':
		return space;
	default:
		return p[0] == 'h' && p[1] >= '1' && p[1] <= '6' ? space : none;
	}
}

/* Longer names, by their length; SpamAssassin's view decides what breaks. */
static const struct {
	const char *name;
	struct effect effect;
} elements[] = {
	{"div", {.breaks = 1}},
	{"pre", {.breaks = 2}},
	{"xmp", {.breaks = 2, .raw = HTML_RAW_XMP}},
	{"embed", {.space = true}},
	{"style", {.raw = HTML_RAW_STYLE}},
	{"title", {.breaks = 2, .raw = HTML_RAW_TITLE}},
	{"iframe", {.raw = HTML_RAW_IFRAME}},
	{"script", {.raw = HTML_RAW_SCRIPT}},
	{"listing", {.breaks = 2}},
	{"noembed", {.raw = HTML_RAW_NOEMBED}},
	{"noframes", {.raw = HTML_RAW_NOFRAMES}},
	{"textarea", {.raw = HTML_RAW_TEXTAREA}},
	{"plaintext", {.breaks = 2, .raw = HTML_RAW_PLAINTEXT}},
	{"blockquote", {.breaks = 2}},
};

static struct effect effect_of(const struct html *h)
{
	if (h->n_name == 1)
		return h->name[0] == 'p' ? para : none;
	if (h->n_name == 2)
		return effect_of_2(h->name);
	/* "span", "font", "a", "table" …: what does nothing is most of what there is. */
	if (h->n_name == 4)
		return none;
	for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++)
		if ((uint8_t)elements[i].name[0] == h->name[0] && tag_is(h, elements[i].name))
			return elements[i].effect;
	return none;
}

/* 4.2.5.3: "seconds; url='…'"; the separators are optional. */
static void refresh(struct html *h)
{
	uint8_t text[LIMIT_URI];
	bool cut = false;
	struct str s = str_make(
		text, html_decode(str_make(h->value, h->n_value), text, sizeof(text), &cut));
	size_t i = 0, from;
	uint8_t quote;

	while (i < s.n && (html_is_space(s.p[i]) || ascii_is_digit(s.p[i]) || s.p[i] == '.'))
		i++;
	while (i < s.n && (html_is_space(s.p[i]) || s.p[i] == ';' || s.p[i] == ','))
		i++;
	if (s.n - i > 3 && str_ieq(str_make(s.p + i, 3), STR("url"))) {
		size_t k = i + 3;

		while (k < s.n && html_is_space(s.p[k]))
			k++;
		if (k < s.n && s.p[k] == '=')
			i = k + 1;
		while (i < s.n && html_is_space(s.p[i]))
			i++;
	}
	quote = i < s.n && (s.p[i] == '"' || s.p[i] == '\'') ? s.p[i] : 0;
	from = quote ? i + 1 : i;
	for (i = from; i < s.n && (!quote || s.p[i] != quote);)
		i++;
	html_link(h, HTML_LINK_REFRESH, str_make(s.p + from, i - from));
}

static void tag_done(struct html *h)
{
	struct effect e = effect_of(h);

	if (e.breaks)
		html_break(h, e.breaks);
	h->space |= e.space;
	h->state = HTML_DATA;
	if (h->end_tag) {
		h->raw = HTML_RAW_NONE;
		return;
	}
	if (h->held && h->refresh)
		refresh(h);
	h->raw = e.raw;
	h->script = 0;
	h->dashes = 0;
	if (h->raw >= HTML_RAW_STYLE)
		h->state = HTML_RAW;
	if (h->raw == HTML_RAW_STYLE)
		html_css_begin(h);
}

/* ---- attributes ---- */

static enum html_attr attr_of(const struct html *h)
{
	static const struct {
		struct str name;
		enum html_attr attr;
	} t[] = {
		{{(const uint8_t *)"style", 5}, HTML_ATTR_STYLE},
		{{(const uint8_t *)"src", 3}, HTML_ATTR_SRC},
		{{(const uint8_t *)"srcset", 6}, HTML_ATTR_SRCSET},
		{{(const uint8_t *)"href", 4}, HTML_ATTR_HREF},
		{{(const uint8_t *)"background", 10}, HTML_ATTR_SRC},
		{{(const uint8_t *)"action", 6}, HTML_ATTR_FORM},
		{{(const uint8_t *)"formaction", 10}, HTML_ATTR_FORM},
		{{(const uint8_t *)"poster", 6}, HTML_ATTR_SRC},
		{{(const uint8_t *)"lowsrc", 6}, HTML_ATTR_SRC},
		{{(const uint8_t *)"dynsrc", 6}, HTML_ATTR_SRC},
		{{(const uint8_t *)"xlink:href", 10}, HTML_ATTR_HREF},
		{{(const uint8_t *)"data", 4}, HTML_ATTR_SRC},
		{{(const uint8_t *)"content", 7}, HTML_ATTR_CONTENT},
		{{(const uint8_t *)"http-equiv", 10}, HTML_ATTR_HTTP_EQUIV},
	};
	struct str name = str_make(h->attr_name, h->n_attr);

	if (h->end_tag || name.n < 3)
		return HTML_ATTR_NONE;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (t[i].name.p[0] != name.p[0] || !str_eq(t[i].name, name))
			continue;
		/* <meta> keeps its content in h->value, and has no links of its own. */
		if ((t[i].attr >= HTML_ATTR_CONTENT) != tag_is(h, "meta") ||
		    (t[i].attr == HTML_ATTR_CONTENT && h->held) ||
		    (name.p[0] == 'd' && name.n == 4 && !tag_is(h, "object")))
			return HTML_ATTR_NONE;
		return t[i].attr;
	}
	return HTML_ATTR_NONE;
}

void html_link(struct html *h, enum html_link kind, struct str url)
{
	while (url.n && url.p[0] <= ' ')
		url = str_skip(url, 1);
	while (url.n && url.p[url.n - 1] <= ' ')
		url.n--;
	if (!url.n)
		return;
	/* Or the order of the two would depend on where the input was cut. */
	html_flush(h);
	h->sink->link(h->sink->ctx, kind, url);
}

/* 4.8.4.2.1: URLs, each with descriptors behind it up to a comma. */
static void srcset(struct html *h, struct str v)
{
	size_t i = 0;

	while (i < v.n) {
		size_t from, stop;

		while (i < v.n && (html_is_space(v.p[i]) || v.p[i] == ','))
			i++;
		for (from = i; i < v.n && !html_is_space(v.p[i]);)
			i++;
		CONTENT_STEP(i - from);
		for (stop = i; stop > from && v.p[stop - 1] == ',';)
			stop--;
		html_link(h, HTML_LINK_SRC, str_make(v.p + from, stop - from));
		if (stop < i)
			continue;
		while (i < v.n && v.p[i] != ',') /* descriptors */
			i++;
	}
}

static void attr_value(struct html *h, struct str v)
{
	uint8_t text[LIMIT_URI];
	bool cut = false;

	if (h->attr == HTML_ATTR_CONTENT) {
		if (v.p != h->value)
			memmove(h->value, v.p, v.n);
		h->n_value = (uint16_t)v.n;
		h->held = true;
		return;
	}
	if (v.n && memchr(v.p, '&', v.n))
		v = str_make(text, html_decode(v, text, sizeof(text), &cut));
	CONTENT_STEP(v.n);
	h->marks |= cut ? HTML_CUT : 0;
	switch (h->attr) {
	case HTML_ATTR_HREF:
		html_link(h, tag_is(h, "base") ? HTML_LINK_BASE : HTML_LINK_HREF, v);
		break;
	case HTML_ATTR_SRC:
		html_link(h, HTML_LINK_SRC, v);
		break;
	case HTML_ATTR_FORM:
		html_link(h, HTML_LINK_FORM, v);
		break;
	case HTML_ATTR_SRCSET:
		srcset(h, v);
		break;
	case HTML_ATTR_STYLE:
		html_css_attribute(h, v);
		break;
	default: /* http-equiv */
		h->refresh |= str_ieq(v, STR("refresh"));
	}
}

/* More of a value that lies in several runs. */
static void value_more(struct html *h, const uint8_t *p, size_t n)
{
	size_t room = sizeof(h->value) - h->n_value, fits = n < room ? n : room;

	if (h->attr == HTML_ATTR_HTTP_EQUIV) {
		room = sizeof(h->equiv) - h->n_equiv;
		n = n < room ? n : room;
		memcpy(h->equiv + h->n_equiv, p, n);
		h->n_equiv = (uint8_t)(h->n_equiv + n);
		return;
	}
	memcpy(h->value + h->n_value, p, fits);
	h->n_value = (uint16_t)(h->n_value + fits);
	/* An image that is part of the text may be of any size. */
	if (n > fits && !str_istarts(str_make(h->value, h->n_value), STR("data:")))
		h->marks |= HTML_CUT;
}

static void value_begin(struct html *h)
{
	if (h->attr == HTML_ATTR_HTTP_EQUIV)
		h->n_equiv = 0;
	else
		h->n_value = 0;
}

/* A value ends; p has the last n octets of it. */
static void value_end(struct html *h, const uint8_t *p, size_t n)
{
	size_t before = h->attr == HTML_ATTR_HTTP_EQUIV ? h->n_equiv : h->n_value;
	size_t size = h->attr == HTML_ATTR_HTTP_EQUIV ? sizeof(h->equiv) : sizeof(h->value);

	if (before == 0 && n <= size) {
		attr_value(h, str_make(p, n)); /* as a rule: all of it lies in this run */
		return;
	}
	value_more(h, p, n);
	if (h->attr == HTML_ATTR_HTTP_EQUIV)
		attr_value(h, str_make(h->equiv, h->n_equiv));
	else
		attr_value(h, str_make(h->value, h->n_value));
}

/* ---- states ---- */

static inline bool in_name(uint8_t c)
{
	return !html_is_space(c) && c != '/' && c != '>';
}

static const uint8_t *name_octets(struct html *h, const uint8_t *p, const uint8_t *end)
{
	unsigned int n = h->n_name;

	while (p < end && in_name(*p)) {
		if (n < HTML_NAME)
			h->name[n++] = ascii_lower(*p);
		p++;
	}
	h->n_name = (uint8_t)n;
	if (p < end)
		h->state = HTML_BEFORE_ATTR;
	return p;
}

static const uint8_t *attr_octets(struct html *h, const uint8_t *p, const uint8_t *end)
{
	unsigned int n = h->n_attr;

	/* 13.2.5.32: a '=' at its start is part of the name. */
	while (p < end && in_name(*p) && (*p != '=' || n == 0)) {
		if (n < HTML_NAME)
			h->attr_name[n++] = ascii_lower(*p);
		p++;
	}
	h->n_attr = (uint8_t)n;
	if (p < end)
		h->state = HTML_AFTER_ATTR;
	return p;
}

/* To the quote, or to what ends a value without one. */
static const uint8_t *value_octets(struct html *h, const uint8_t *p, const uint8_t *end)
{
	bool skip = h->state == HTML_SKIP_QUOTED || h->state == HTML_SKIP_BARE;
	bool quoted = h->state == HTML_SKIP_QUOTED || h->state == HTML_VALUE_QUOTED;
	const uint8_t *q = p;

	if (quoted) {
		q = memchr(p, h->quote, (size_t)(end - p));
		q = q ? q : end;
	} else {
		while (q < end && !html_is_space(*q) && *q != '>')
			q++;
	}
	CONTENT_STEP(q - p);
	if (q == end) {
		if (!skip && q > p)
			value_more(h, p, (size_t)(q - p));
		return q;
	}
	if (!skip)
		value_end(h, p, (size_t)(q - p));
	h->state = HTML_BEFORE_ATTR;
	return q + quoted;
}

static bool between(struct html *h, uint8_t c)
{
	switch (h->state) {
	case HTML_BEFORE_ATTR:
		if (c == '/' || html_is_space(c))
			return true;
		if (c == '>') {
			tag_done(h);
			return true;
		}
		h->n_attr = 0;
		h->state = HTML_ATTR_NAME;
		return false;
	case HTML_AFTER_ATTR:
		if (html_is_space(c))
			return true;
		h->state = c == '=' ? HTML_BEFORE_VALUE : HTML_BEFORE_ATTR;
		return c == '=';
	default: /* HTML_BEFORE_VALUE */
		if (html_is_space(c))
			return true;
		if (c == '>') { /* 13.2.5.35: missing value */
			h->state = HTML_BEFORE_ATTR;
			return false;
		}
		h->attr = attr_of(h);
		if (h->attr != HTML_ATTR_NONE)
			value_begin(h);
		if (c == '"' || c == '\'') {
			h->quote = c;
			h->state = h->attr ? HTML_VALUE_QUOTED : HTML_SKIP_QUOTED;
			return true;
		}
		h->state = h->attr ? HTML_VALUE_BARE : HTML_SKIP_BARE;
		return false;
	}
}

const uint8_t *html_tag(struct html *h, const uint8_t *p, const uint8_t *end)
{
	while (p < end && h->state >= HTML_TAG_NAME) {
		const uint8_t *from = p;

		switch (h->state) {
		case HTML_TAG_NAME:
			p = name_octets(h, p, end);
			break;
		case HTML_ATTR_NAME:
			p = attr_octets(h, p, end);
			break;
		case HTML_BEFORE_ATTR:
		case HTML_AFTER_ATTR:
		case HTML_BEFORE_VALUE:
			p += between(h, *p);
			break;
		default:
			p = value_octets(h, p, end);
		}
		CONTENT_STEP(p - from + 1);
	}
	return p;
}
