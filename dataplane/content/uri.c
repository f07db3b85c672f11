/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/uri_internal.h"

size_t uri_size(void)
{
	return sizeof(struct uri);
}

struct uri *uri_init(void *mem)
{
	struct uri *u = mem;

	memset(u, 0, sizeof(*u));
	keyed_init(&u->key);
	return u;
}

void uri_begin(struct uri *u, const struct uri_sink *sink)
{
	for (unsigned int i = 0; i < u->n; i++)
		u->set[u->used[i]] = 0;
	u->n = u->n_base = u->n_held = 0;
	u->marks = 0;
	u->sink = sink;
}

void uri_part(struct uri *u)
{
	u->n_base = 0;
}

uint32_t uri_marks(const struct uri *u)
{
	return u->marks;
}

/* Is this met for the first time in this message? Not given out, but paid for like a URI. */
static bool first_time(struct uri *u, uint64_t h)
{
	size_t at;

	for (at = h % URI_SLOTS; u->set[at]; at = (at + 1) % URI_SLOTS)
		if (u->set[at] == h)
			return false;
	if (u->n == LIMIT_URIS) {
		u->marks |= URI_CUT;
		return false;
	}
	u->set[at] = h;
	u->used[u->n++] = (uint16_t)at;
	return true;
}

/* True if it is new, and went out. */
static bool give(struct uri *u, struct str s)
{
	if (!s.n)
		return false;
	if (!first_time(u, keyed_hash(&u->key, s)))
		return false;
	u->sink->uri(u->sink->ctx, s.p, s.n);
	return true;
}

/* As it stands, and comparable. False: it was given before, and its forms with it, or there is no
 * room for more; a message pays for so many URIs and no more. */
static bool give_forms(struct uri *u, struct str s)
{
	uint8_t form[LIMIT_URI];
	size_t n;

	if (!give(u, s))
		return false;
	n = uri_normalise(s, false, form);
	give(u, str_make(form, n));
	if (n && memmem(form, n, "xn--", 4))
		give(u, str_make(form, uri_normalise(s, true, form)));
	return true;
}

/* Where a scheme of ours begins that ends with the ':' at s.p[colon]; s.n: none does. */
static size_t scheme_start(struct str s, size_t colon)
{
	size_t from = colon, n;

	while (from > 0 && colon - from < 5 && ascii_is_alpha(s.p[from - 1]))
		from--;
	for (; from < colon; from++) {
		enum uri_scheme scheme = uri_scheme_of(str_skip(s, from), &n);

		if (scheme != URI_OTHER && scheme != URI_MAILTO)
			return from;
	}
	return s.n;
}

/* http://r.example/?u=http://… : what stands inside, decoded. */
static void give_inner(struct uri *u, struct str outer)
{
	uint8_t text[LIMIT_URI];
	struct str s = str_make(text, outer.n);
	unsigned int found = 0;
	size_t i = str_find(outer, ':') + 1;

	if (i + 8 >= outer.n)
		return;
	memcpy(text, outer.p, outer.n);
	for (unsigned int round = 0; round < URI_ROUNDS; round++) {
		size_t n = uri_percent(text, s.n, true);

		if (n == s.n)
			break;
		s.n = n;
	}
	while (i < s.n && found < URI_INNER) {
		size_t colon = i + str_find(str_skip(s, i), ':'), from;
		struct str inner;

		CONTENT_STEP(colon - i + 1);
		i = colon + 1;
		if (s.n - colon < 5 || (s.p[colon + 1] != '/' && s.p[colon + 1] != '\\'))
			continue;
		from = scheme_start(s, colon);
		if (from == s.n || from == 0)
			continue;
		inner = str_skip(s, from);
		if (s.p[from - 1] == '=') /* the value of a parameter */
			inner = str_cut(inner, str_find(inner, '&'));
		give_forms(u, inner);
		found++;
	}
}

void uri_found(struct uri *u, struct str s)
{
	if (s.n > LIMIT_URI) {
		u->marks |= URI_CUT;
		s.n = LIMIT_URI;
	}
	if (give_forms(u, s))
		give_inner(u, s);
}

void uri_found_as(struct uri *u, struct str scheme, struct str s)
{
	uint8_t whole[LIMIT_URI];

	if (s.n > LIMIT_URI - scheme.n) {
		u->marks |= URI_CUT;
		s.n = LIMIT_URI - scheme.n;
	}
	memcpy(whole, scheme.p, scheme.n);
	memcpy(whole + scheme.n, s.p, s.n);
	uri_found(u, str_make(whole, scheme.n + s.n));
}

static void set_base(struct uri *u, struct str s)
{
	u->n_base = (uint16_t)uri_normalise(s, false, u->base);
	u->base_hash = keyed_hash(&u->key, str_make(u->base, u->n_base));
}

/* A link without a scheme. */
static void relative(struct uri *u, struct str s)
{
	uint8_t whole[LIMIT_URI];
	size_t n, end = 0;
	bool first = give(u, s);

	if (u->n_base) {
		/* A base may be long and the links behind it short and many: each is made absolute once
		 * for each part that has one. */
		if (!first && !first_time(u, (keyed_hash(&u->key, s) ^ u->base_hash) | 1))
			return;
		n = uri_resolve(str_make(u->base, u->n_base), s, whole);
		if (n)
			uri_found(u, str_make(whole, n));
		else
			u->marks |= URI_CUT;
		return;
	}
	if (s.n > 2 && (s.p[0] == '/' || s.p[0] == '\\') && (s.p[1] == '/' || s.p[1] == '\\')) {
		uri_found_as(u, STR("http:"), s);
		return;
	}
	while (end < s.n && !strchr("/\\?#:", s.p[end]))
		end++;
	if (uri_is_domain(str_cut(s, end)))
		uri_found_as(u, str_istarts(s, STR("ftp.")) ? STR("ftp://") : STR("http://"), s);
}

void uri_link(struct uri *u, enum html_link kind, struct str url)
{
	uint8_t plain[LIMIT_URI];
	size_t n = 0, scheme_n;
	enum uri_scheme scheme;
	struct str s;

	CONTENT_STEP(url.n);
	/* URL standard 4.4: tabs and line ends inside, blanks and controls around. */
	for (size_t i = 0; i < url.n; i++) {
		if (url.p[i] == '\t' || url.p[i] == '\n' || url.p[i] == '\r')
			continue;
		if (n == sizeof(plain)) {
			u->marks |= URI_CUT;
			break;
		}
		plain[n++] = url.p[i];
	}
	s = str_make(plain, n);
	while (s.n && s.p[0] <= ' ')
		s = str_skip(s, 1);
	while (s.n && s.p[s.n - 1] <= ' ')
		s.n--;
	if (!s.n)
		return;
	if (str_istarts(s, STR("data:")))
		s = str_cut(s, URI_DATA);
	scheme = uri_scheme_of(s, &scheme_n);
	if (scheme_n == 0) {
		relative(u, s);
	} else if (scheme == URI_OTHER) {
		give(u, s);
	} else {
		uri_found(u, s);
		if (kind == HTML_LINK_BASE && scheme != URI_MAILTO && !u->n_base)
			set_base(u, s);
	}
}
