/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/uri_internal.h"

enum uri_scheme uri_scheme_of(struct str s, size_t *n)
{
	static const struct {
		struct str name;
		enum uri_scheme scheme;
	} t[] = {
		{{(const uint8_t *)"http", 4}, URI_HTTP},
		{{(const uint8_t *)"https", 5}, URI_HTTPS},
		{{(const uint8_t *)"ftp", 3}, URI_FTP},
		{{(const uint8_t *)"mailto", 6}, URI_MAILTO},
	};
	size_t i = 0;

	*n = 0;
	if (!s.n || !ascii_is_alpha(s.p[0]))
		return URI_OTHER;
	/* RFC 3986 3.1; but one with a dot is a host name and its port. */
	while (i < s.n && (ascii_is_alnum(s.p[i]) || s.p[i] == '+' || s.p[i] == '-'))
		i++;
	if (i == s.n || s.p[i] != ':')
		return URI_OTHER;
	*n = i + 1;
	for (size_t k = 0; k < sizeof(t) / sizeof(t[0]); k++)
		if (str_ieq(str_cut(s, i), t[k].name))
			return t[k].scheme;
	return URI_OTHER;
}

size_t uri_percent(uint8_t *p, size_t n, bool all)
{
	size_t k = 0;

	CONTENT_STEP(n);
	for (size_t i = 0; i < n; i++, k++) {
		int v = p[i] == '%' ? content_hex_octet(p + i + 1, n - i - 1) : -1;

		p[k] = p[i];
		if (v >= 0 && ascii_is_vchar((uint8_t)v) && (v != '%' || all)) {
			p[k] = (uint8_t)v;
			i += 2;
		}
	}
	return k;
}

/* Offset of the first octet of `stop` in s, or s.n. */
static size_t span(struct str s, const char *stop)
{
	size_t i = 0;

	while (i < s.n && (!s.p[i] || !strchr(stop, s.p[i])))
		i++;
	CONTENT_STEP(i);
	return i;
}

struct writer {
	uint8_t *out;
	size_t n;
	bool full;
};

static void put(struct writer *w, struct str s)
{
	if (s.n > LIMIT_URI - w->n) {
		s.n = LIMIT_URI - w->n;
		w->full = true;
	}
	if (s.n)
		memcpy(w->out + w->n, s.p, s.n);
	w->n += s.n;
}

static bool is_default_port(enum uri_scheme scheme, struct str port)
{
	return port.n == 0 || (scheme == URI_HTTP && str_eq(port, STR("80"))) ||
	       (scheme == URI_HTTPS && str_eq(port, STR("443"))) ||
	       (scheme == URI_FTP && str_eq(port, STR("21")));
}

static bool put_host(struct writer *w, struct str raw, bool unicode)
{
	uint8_t host[URI_HOST];
	size_t n = 0;

	if (raw.n && raw.p[0] == '[') { /* an IPv6 address, RFC 3986 3.2.2 */
		for (; n < raw.n && n < sizeof(host); n++)
			host[n] = ascii_lower(raw.p[n]);
	} else {
		n = uri_host(raw, unicode, host);
		/* What is no host name may still be read as one by somebody. */
		if (n == 0 && raw.n && raw.n <= sizeof(host)) {
			for (; n < raw.n; n++)
				host[n] = ascii_lower(raw.p[n]);
			n = uri_percent(host, n, false);
			if (span(str_make(host, n), "/\\?#") < n) /* it would end there */
				for (n = 0; n < raw.n; n++)
					host[n] = ascii_lower(raw.p[n]);
		}
	}
	put(w, str_make(host, n));
	return n > 0;
}

/* userinfo@host:port; false: there is no host. */
static bool put_authority(struct writer *w, enum uri_scheme scheme, struct str s, bool unicode)
{
	struct str host, port = STR_NONE;
	size_t at = s.n, colon;

	while (at > 0 && s.p[at - 1] != '@')
		at--;
	put(w, str_cut(s, at));
	host = str_skip(s, at);
	colon = host.n;
	while (colon > 0 && host.p[colon - 1] != ':' && host.p[colon - 1] != ']')
		colon--;
	if (colon > 0 && host.p[colon - 1] == ':') {
		port = str_skip(host, colon);
		host.n = colon - 1;
	}
	if (!put_host(w, host, unicode))
		return false;
	if (!is_default_port(scheme, port)) {
		put(w, STR(":"));
		put(w, port);
	}
	return true;
}

/* RFC 3986 5.2.4 on what w holds from `from` on, which begins with '/'. */
static void remove_dots(struct writer *w, size_t from)
{
	size_t i = from, k = from, n = w->n;
	uint8_t *p = w->out;

	CONTENT_STEP(n - from);
	while (i < n) {
		size_t end = i + 1 + str_find(str_make(p + i + 1, n - i - 1), '/');
		size_t len = end - i - 1;
		bool one = len == 1 && p[i + 1] == '.';
		bool two = len == 2 && p[i + 1] == '.' && p[i + 2] == '.';

		if (two)
			while (k > from && p[--k] != '/')
				;
		if (one || two) {
			if (end == n)
				p[k++] = '/';
		} else {
			memmove(p + k, p + i, end - i);
			k += end - i;
		}
		i = end;
	}
	w->n = k;
}

static void put_path(struct writer *w, struct str path, struct str rest)
{
	size_t from = w->n;

	put(w, path);
	for (size_t i = from; i < w->n; i++)
		if (w->out[i] == '\\')
			w->out[i] = '/';
	w->n = from + uri_percent(w->out + from, w->n - from, false);
	if (w->n > from)
		remove_dots(w, from);
	else if (rest.n)
		put(w, STR("/"));
	from = w->n;
	put(w, rest);
	w->n = from + uri_percent(w->out + from, w->n - from, false);
}

size_t uri_normalise(struct str s, bool unicode_host, uint8_t *out)
{
	static const char *const name[] = {NULL, "http://", "https://", "ftp://", "mailto:"};
	struct writer w = {.out = out};
	size_t n, path;
	enum uri_scheme scheme = uri_scheme_of(s, &n);
	struct str rest;

	if (scheme == URI_OTHER)
		return 0;
	s = str_skip(s, n);
	put(&w, str_c(name[scheme]));
	if (scheme == URI_MAILTO) {
		put(&w, str_cut(s, str_find(s, '?')));
		w.n = 7 + uri_percent(out + 7, w.n - 7, false);
		return w.n > 7 ? w.n : 0;
	}
	/* As browsers do: however many slashes, whichever way they lean. */
	while (s.n && (s.p[0] == '/' || s.p[0] == '\\'))
		s = str_skip(s, 1);
	n = span(s, "/\\?#");
	if (!put_authority(&w, scheme, str_cut(s, n), unicode_host))
		return 0;
	s = str_skip(s, n);
	path = span(s, "?#");
	rest = str_skip(s, path);
	put_path(&w, str_cut(s, path), rest);
	return w.n;
}

size_t uri_resolve(struct str base, struct str rel, uint8_t *out)
{
	struct writer w = {.out = out};
	size_t scheme = str_find(base, ':') + 1, authority, path, query;
	struct str s = str_skip(base, scheme + 2); /* it is normalised: "//" follows */
	bool slash = rel.n && (rel.p[0] == '/' || rel.p[0] == '\\');

	authority = scheme + 2 + span(s, "/?#");
	query = authority + span(str_skip(base, authority), "#");
	path = authority + span(str_skip(base, authority), "?#");
	if (slash && rel.n > 1 && (rel.p[1] == '/' || rel.p[1] == '\\')) {
		put(&w, str_cut(base, scheme));
	} else if (slash) {
		put(&w, str_cut(base, authority));
	} else if (rel.n && rel.p[0] == '?') {
		put(&w, str_cut(base, path));
	} else if (rel.n && rel.p[0] == '#') {
		put(&w, str_cut(base, query));
	} else {
		while (path > authority && base.p[path - 1] != '/')
			path--;
		put(&w, str_cut(base, path));
		if (path == authority)
			put(&w, STR("/"));
	}
	put(&w, rel);
	return w.full ? 0 : w.n;
}
