/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * URIs in text. Words of text (what stands between white space, `"`, `<` and `>`) are looked at
 * only where they hold a ':', '.' or '@' that may belong to one: a scan for these three octets
 * passes over everything else. A word longer than LIMIT_URI is looked at in pieces of that size,
 * counted from its start, so that it does not matter how the text was cut.
 */

#include "dataplane/content/uri_internal.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define PIECE LIMIT_URI

static inline bool is_delimiter(uint8_t c)
{
	return c <= ' ' || c == '"' || c == '<' || c == '>';
}

static inline bool is_name(uint8_t c)
{
	return ascii_is_alnum(c) || c >= 0x80;
}

/* Does the octet at p, one of the three, ask for a look at its word? next: what follows, or 0x80 if
 * that is not known yet. */
static inline bool is_trigger(const uint8_t *p, const uint8_t *from, uint8_t next)
{
	if (*p == ':') {
		uint8_t before = p > from ? ascii_lower(p[-1]) : 0;

		/* http, https, ftp, mailto */
		return (before == 'p' || before == 's' || before == 'o') && !is_delimiter(next);
	}
	if (*p == '@')
		return is_name(next) || next == '[';
	return ascii_is_alpha(next) || next >= 0x80; /* no top-level domain begins with a digit */
}

/* The first trigger in [p, end); what stands before p belongs to no word any more. */
static const uint8_t *find_trigger(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *from = p;

#ifdef __SSE2__
	const __m128i colon = _mm_set1_epi8(':'), dot = _mm_set1_epi8('.'), at = _mm_set1_epi8('@');

	for (; end - p > 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)p);
		__m128i m =
			_mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, colon), _mm_cmpeq_epi8(v, dot)),
				     _mm_cmpeq_epi8(v, at));

		for (unsigned int mask = (unsigned int)_mm_movemask_epi8(m); mask;
		     mask &= mask - 1) {
			const uint8_t *q = p + __builtin_ctz(mask);

			if (is_trigger(q, from, q[1]))
				return q;
		}
	}
#endif
	for (; p < end; p++)
		if ((*p == ':' || *p == '.' || *p == '@') &&
		    is_trigger(p, from, p + 1 < end ? p[1] : 0x80))
			return p;
	return end;
}

/* ---- inside a word ---- */

/*
 * Octets of a character at s.p[i] that ends a URI though it is above 127: spaces, quotes and
 * punctuation of U+0080-00BF (A0, AB, BB), U+2000-206F less the invisible ones, U+3000-303F and the
 * full-width forms of ASCII punctuation. 0: it does not. The full stops U+3002 and U+FF0E part
 * labels where a letter or digit of ASCII follows and `host` says that a host name may go on.
 */
static size_t breaks(struct str s, size_t i, bool host)
{
	const uint8_t *p = s.p + i;
	size_t n = s.n - i;
	bool stop;

	if (p[0] == 0xc2)
		return n > 1 && (p[1] == 0xa0 || p[1] == 0xab || p[1] == 0xbb) ? 2 : 0;
	if (n < 3 || (p[0] != 0xe2 && p[0] != 0xe3 && p[0] != 0xef))
		return 0;
	stop = host && n > 3 && ascii_is_alnum(p[3]);
	if (p[0] == 0xe2)
		return (p[1] == 0x80 && !(p[2] >= 0x8b && p[2] <= 0x8d)) ||
				       (p[1] == 0x81 && p[2] != 0xa0)
			       ? 3
			       : 0;
	if (p[0] == 0xe3)
		return p[1] == 0x80 && p[2] != 0x85 && p[2] != 0x87 && !(stop && p[2] == 0x82) ? 3
											       : 0;
	return p[1] == 0xbc && (p[2] <= 0x8f || (p[2] >= 0x9a && p[2] <= 0xa0)) &&
			       !(stop && p[2] == 0x8e)
		       ? 3
		       : 0;
}

/*
 * The same for a name without a scheme, where more ends it: the signs of U+0080-00BF, but those
 * that names have or lose (AA, AD, B5, B7, BA), and of U+2000-2BFF, two of U+00C0-00FF, emoji.
 */
static size_t breaks_name(struct str s, size_t i)
{
	const uint8_t *p = s.p + i;
	size_t n = s.n - i, k = breaks(s, i, true);

	if (k || n < 2)
		return k;
	if (p[0] == 0xc2)
		return p[1] < 0xc0 && !memchr("\xaa\xad\xb5\xb7\xba", p[1], 5) ? 2 : 0;
	if (p[0] == 0xc3)
		return p[1] == 0x97 || p[1] == 0xb7 ? 2 : 0;
	if (p[0] == 0xe2 && n > 2)
		return p[1] >= 0x82 && p[1] <= 0xaf ? 3 : 0;
	return p[0] == 0xf0 && p[1] == 0x9f && n > 3 ? 4 : 0;
}

/* What a URI may end with; `)` and `]` only where it holds their opening ones. */
static bool is_final(uint8_t c)
{
	return is_name(c) || c == '/' || c == '%' || c == ')' || c == ']';
}

/* Where the URI ends whose host or tail begins at s.p[i]; not before `least`. */
static size_t uri_end(struct str s, size_t i, size_t least)
{
	size_t from = i;
	int round = 0, square = 0;
	bool host = true;

	for (; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c >= 0x80 && breaks(s, i, host))
			break;
		if (c == '|' || c == '^' || c == '`' || c == '{' || c == '}')
			break;
		if (c == '/' || c == '\\' || c == '?' || c == '#')
			host = false;
		if ((c == ')' && --round < 0) || (c == ']' && --square < 0))
			break;
		round += c == '(';
		square += c == '[';
	}
	CONTENT_STEP(i - from);
	while (i > least && !is_final(s.p[i - 1]))
		i--;
	return i;
}

/* A word, or a piece of one. */
struct word {
	struct uri *u;
	struct str s;
	size_t barren; /* up to here no address follows a "mailto:"; it is not looked for again */
};

/* A scheme stands at from, its ':' at colon. Returns the end of the URI, 0 if it is none. */
static size_t with_scheme(struct word *w, size_t from, size_t colon, enum uri_scheme scheme)
{
	struct str s = w->s;
	size_t host = colon + 1, end;

	if (scheme == URI_MAILTO) {
		if (host < w->barren)
			return 0;
		end = uri_end(s, host, host);
		if (!memchr(s.p + host, '@', end - host)) {
			w->barren = end;
			return 0;
		}
	} else {
		while (host < s.n && (s.p[host] == '/' || s.p[host] == '\\'))
			host++;
		if (host == colon + 1 || host == s.n)
			return 0;
		if (!is_name(s.p[host]) && !strchr("[%_-~", s.p[host]))
			return 0;
		end = uri_end(s, host, host);
		if (end == host)
			return 0;
	}
	uri_found(w->u, str_make(s.p + from, end - from));
	return end;
}

/* The octets of host names and mailboxes; words are cut into these first. */
static inline bool in_span(uint8_t c)
{
	return is_name(c) || c == '.' || c == '-' || c == '_' || c == '+' || c == '%' || c == '@' ||
	       c == '=';
}

/* Kana, Han, Hangul and what is coded behind them: scripts that put no space between a text and the
 * name in it. */
static inline bool is_spaceless(uint8_t lead)
{
	return lead >= 0xe3;
}

static struct str trim_name(struct str s)
{
	while (s.n && !is_name(s.p[0]))
		s = str_skip(s, 1);
	while (s.n && !is_name(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Full stops of other scripts part labels, but they are nothing that a word is looked at for: it would
 * be by chance, where a run ends in it. */
static bool has_dot(struct str host)
{
	for (size_t i = 0; i + 1 < host.n; i++)
		if (host.p[i] == '.' && (ascii_is_alpha(host.p[i + 1]) || host.p[i + 1] >= 0x80))
			return true;
	return false;
}

/* A host name, all of [from, to) but what is no letter or digit around it, and what follows it
 * there; *go_on is where to go on. False: there is none. */
static bool host_name(struct word *w, size_t from, size_t to, size_t *go_on)
{
	struct str s = w->s, host = trim_name(str_make(s.p + from, to - from));
	size_t begin = (size_t)(host.p - s.p), end = begin + host.n;

	CONTENT_STEP(to - from);
	if (!host.n || !has_dot(host) || !uri_is_domain(host))
		return false;
	if (end == to && to < s.n &&
	    (s.p[to] == '/' || s.p[to] == '\\' || s.p[to] == '?' || s.p[to] == '#' ||
	     (s.p[to] == ':' && s.n - to > 1 && ascii_is_digit(s.p[to + 1]))))
		end = uri_end(s, to, to);
	uri_found_as(w->u, str_istarts(host, STR("ftp.")) ? STR("ftp://") : STR("http://"),
		     str_make(s.p + begin, end - begin));
	if (end > *go_on)
		*go_on = end;
	return true;
}

/* Host names in [from, to), which has no '@'. Returns where to go on. */
static size_t host_names(struct word *w, size_t from, size_t to)
{
	const uint8_t *p = w->s.p;
	size_t go_on = to, i;
	bool any = false, whole = false;

	for (i = from; i < to; i++)
		if (p[i] == '+' || p[i] == '%' || p[i] == '=')
			from = i + 1;
	/* Stretches of other scripts first; a name written in one of these as a whole if none is.
	 */
	for (i = from; i < to;) {
		size_t run = i;

		while (i < to && !is_spaceless(p[i]))
			i++;
		whole = run == from && i == to;
		any |= i > run && host_name(w, run, i, &go_on);
		while (i < to && (is_spaceless(p[i]) || (p[i] & 0xc0) == 0x80))
			i++;
	}
	if (!any && !whole && from < to)
		host_name(w, from, to, &go_on);
	return go_on;
}

/* [from, to) has no scheme. Returns where to go on. */
static size_t without_scheme(struct word *w, size_t from, size_t to)
{
	const uint8_t *p = w->s.p;
	size_t at = to, start = from, end;
	struct str local, domain;

	while (at > from && p[at - 1] != '@')
		at--;
	if (at == from)
		return host_names(w, from, to);
	/* p[at - 1] is the last '@' */
	for (size_t i = from; i < at - 1; i++)
		if (is_spaceless(p[i]))
			start = i + 1;
	while (start < at - 1 && !ascii_is_alnum(p[start]) && p[start] != '_')
		start++;
	local = str_make(p + start, at - 1 - start);
	end = at;
	while (end < to && !is_spaceless(p[end]))
		end++;
	domain = trim_name(str_make(p + at, end - at));
	if (!uri_is_domain(domain))
		domain = trim_name(str_make(p + at, to - at));
	CONTENT_STEP(2 * (to - from));
	if (local.n && domain.p == p + at && uri_is_domain(domain)) {
		uri_found_as(w->u, STR("mailto:"), str_make(local.p, local.n + 1 + domain.n));
		return to;
	}
	/* "a.example@b@" has an '@' left of the last one, too: then only what is right of it
	 * counts. */
	if (local.n && !memchr(local.p, '@', local.n))
		host_names(w, start, at - 1);
	return host_names(w, at, to);
}

static size_t look_at_span(struct word *w, size_t from, size_t to)
{
	struct str s = w->s;
	size_t k = to, n, end;
	enum uri_scheme scheme;

	if (to == s.n || s.p[to] != ':')
		return without_scheme(w, from, to);
	while (k > from && to - k < 7 && ascii_is_alpha(s.p[k - 1]))
		k--;
	scheme = uri_scheme_of(str_skip(s, k), &n);
	if (scheme == URI_OTHER || (k > from && ascii_is_alnum(s.p[k - 1])))
		return without_scheme(w, from, to);
	end = with_scheme(w, k, to, scheme);
	without_scheme(w, from, end ? k : to);
	return end ? end : to;
}

static void look_at(struct uri *u, struct str s)
{
	struct word w = {.u = u, .s = s};
	size_t i = 0;

	while (i < s.n) {
		size_t from = i, stop = 0;

		while (i < s.n && in_span(s.p[i])) {
			stop = s.p[i] >= 0x80 ? breaks_name(s, i) : 0;
			if (stop)
				break;
			i++;
		}
		CONTENT_STEP(i - from + 1);
		if (i > from)
			i = look_at_span(&w, from, i);
		else
			i += stop ? stop : 1;
	}
}

/* ---- runs ---- */

static void hold(struct uri *u, const uint8_t *p, size_t n)
{
	memcpy(u->held + u->n_held, p, n);
	u->n_held = (uint16_t)(u->n_held + n);
}

static void look_at_held(struct uri *u)
{
	look_at(u, str_make(u->held, u->n_held));
	u->n_held = 0;
}

/* The word that began in a run before this one. Returns where it, or its piece, ends. */
static const uint8_t *finish_held(struct uri *u, const uint8_t *p, const uint8_t *end)
{
	size_t room = PIECE - u->n_held, n = 0;

	while (n < (size_t)(end - p) && n < room && !is_delimiter(p[n]))
		n++;
	CONTENT_STEP(n);
	hold(u, p, n);
	if (n == room || p + n < end)
		look_at_held(u);
	return p + n;
}

/* The start of the piece of a word that holds `at`; the word begins behind `from`, or there. */
static const uint8_t *piece_start(const uint8_t *from, const uint8_t *at)
{
	const uint8_t *p = at;

	while (p > from && !is_delimiter(p[-1]))
		p--;
	CONTENT_STEP(at - p);
	return p + (at - p) / PIECE * PIECE;
}

void uri_text(struct uri *u, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;

	if (u->n_held && n)
		p = finish_held(u, p, end);
	if (u->n_held)
		return;
	while (p < end) {
		const uint8_t *at = find_trigger(p, end), *from = piece_start(p, at), *stop = at;

		CONTENT_STEP(at - p);
		while (stop < end && stop < from + PIECE && !is_delimiter(*stop))
			stop++;
		CONTENT_STEP(stop - at);
		if (stop == end && stop < from + PIECE) {
			hold(u, from, (size_t)(stop - from));
			return;
		}
		if (at < end)
			look_at(u, str_make(from, (size_t)(stop - from)));
		p = stop;
	}
}

void uri_text_end(struct uri *u)
{
	look_at_held(u);
}
