/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* URLs of style sheets. Escapes inside of CSS are not read: no mailer writes them. */

#include "dataplane/content/html_internal.h"

static const char import[] = "import";

void html_css_begin(struct html *h)
{
	h->css = HTML_CSS_TEXT;
	memset(h->css_last, 0, sizeof(h->css_last));
}

static bool is_url(const uint8_t *p)
{
	return ascii_lower(p[0]) == 'u' && ascii_lower(p[1]) == 'r' && ascii_lower(p[2]) == 'l';
}

/* The three octets before p + n are kept. */
static void keep_last(struct html *h, const uint8_t *p, size_t n)
{
	uint8_t both[6];

	if (n >= 3) {
		memcpy(h->css_last, p + n - 3, 3);
		return;
	}
	memcpy(both, h->css_last, 3);
	memcpy(both + 3, p, n);
	memcpy(h->css_last, both + n, 3);
}

/* To the next '(' or '@'; what stands before it decides. */
static const uint8_t *css_text(struct html *h, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *q = p;

	while (q < end && *q != '(' && *q != '@')
		q++;
	CONTENT_STEP(q - p);
	keep_last(h, p, (size_t)(q - p));
	if (q == end)
		return q;
	if (*q == '@') {
		h->css = HTML_CSS_AT;
		h->css_at = 0;
	} else if (is_url(h->css_last)) {
		h->css = HTML_CSS_OPEN;
	}
	memset(h->css_last, 0, sizeof(h->css_last));
	return q + 1;
}

static void url_octet(struct html *h, uint8_t c)
{
	if (h->n_value < sizeof(h->value))
		h->value[h->n_value++] = c;
	else if (!str_istarts(str_make(h->value, h->n_value), STR("data:")))
		h->marks |= HTML_CUT;
}

static void url_done(struct html *h)
{
	html_link(h, HTML_LINK_CSS, str_make(h->value, h->n_value));
	h->css = HTML_CSS_TEXT;
}

/* One octet; false: to be looked at again as text. */
static bool css_octet(struct html *h, uint8_t c)
{
	switch (h->css) {
	case HTML_CSS_AT:
		if (ascii_lower(c) != (uint8_t)import[h->css_at])
			break;
		if (!import[++h->css_at])
			h->css = HTML_CSS_IMPORT;
		return true;
	case HTML_CSS_OPEN:
	case HTML_CSS_IMPORT:
		if (html_is_space(c))
			return true;
		h->n_value = 0;
		if (c == '"' || c == '\'') {
			h->css_quote = c;
			h->css = HTML_CSS_QUOTED;
			return true;
		}
		if (h->css == HTML_CSS_IMPORT)
			break;
		h->css = HTML_CSS_BARE;
		/* fall through */
	case HTML_CSS_BARE:
		if (c == ')' || html_is_space(c)) {
			url_done(h);
			return true;
		}
		url_octet(h, c);
		return true;
	default: /* quoted */
		if (c == h->css_quote || c == '\n') {
			url_done(h);
			return true;
		}
		url_octet(h, c);
		return true;
	}
	h->css = HTML_CSS_TEXT;
	return false;
}

void html_css(struct html *h, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;

	while (p < end) {
		CONTENT_STEP(1);
		if (h->css == HTML_CSS_TEXT)
			p = css_text(h, p, end);
		else
			p += css_octet(h, *p);
	}
}

void html_css_attribute(struct html *h, struct str v)
{
	size_t i = 0;

	while (i < v.n) {
		size_t open = i + str_find(str_skip(v, i), '('), from, stop;
		uint8_t quote;

		CONTENT_STEP(open - i + 1);
		i = open + 1;
		if (i >= v.n || open < 3 || !is_url(v.p + open - 3))
			continue;
		for (from = i; from < v.n && html_is_space(v.p[from]);)
			from++;
		quote = from < v.n && (v.p[from] == '"' || v.p[from] == '\'') ? v.p[from++] : 0;
		for (stop = from;
		     stop < v.n &&
		     (quote ? v.p[stop] != quote : v.p[stop] != ')' && !html_is_space(v.p[stop]));)
			stop++;
		CONTENT_STEP(stop - i);
		html_link(h, HTML_LINK_CSS, str_make(v.p + from, stop - from));
		i = stop;
	}
}
