/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_macro.h"

#include <errno.h>
#include <stdio.h>

#include "control/auth/spf/spf_grammar.h"
#include "postern/limits.h"

#define EXPANDED_MAX 4096 /* of a domain-spec, before it is cut */

struct out {
	uint8_t *p;
	size_t n, cap;
};

static int put(struct out *o, const void *p, size_t n)
{
	if (n > o->cap - o->n)
		return -ENOSPC;
	if (n)
		memcpy(o->p + o->n, p, n);
	o->n += n;
	return 0;
}

/* RFC 3986 2.3 unreserved */
static int put_url(struct out *o, const uint8_t *p, size_t n)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < n; i++) {
		uint8_t c = p[i];
		uint8_t esc[3] = {'%', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15]};
		bool plain = ascii_is_alnum(c) || memchr("-._~", c, 4);
		int rc = plain ? put(o, &c, 1) : put(o, esc, 3);

		if (rc)
			return rc;
	}
	return 0;
}

/* i: dotted quad, or dotted nibbles (RFC 7208 7.3). buf >= 80. */
static struct str ip_macro(const struct ip_addr *ip, char *buf)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t o = 0;

	if (ip_is_v4(ip))
		return str_c(ip_format(ip, buf, 80));
	for (size_t i = 0; i < 16; i++) {
		buf[o++] = hex[ip->a[i] >> 4];
		buf[o++] = '.';
		buf[o++] = hex[ip->a[i] & 15];
		buf[o++] = '.';
	}
	return str_make(buf, o - 1);
}

/* The letter's value. `buf` (>= 600) holds what has to be put together. */
static int value(uint8_t letter, const struct spf_macro_context *c, char *buf, struct str *v)
{
	switch (letter) {
	case 's': {
		int n = snprintf(buf, 600, "%.*s@%.*s", STR_FMT(str_cut(c->local, 256)),
				 STR_FMT(str_cut(c->domain, 256)));

		*v = str_make(buf, (size_t)n);
		return 0;
	}
	case 'l':
		*v = c->local;
		return 0;
	case 'o':
		*v = c->domain;
		return 0;
	case 'd':
		*v = c->current;
		return 0;
	case 'i':
		*v = ip_macro(c->ip, buf);
		return 0;
	case 'p':
		if (!c->validated)
			return -EAGAIN;
		*v = str_c(c->validated);
		return 0;
	case 'v':
		*v = ip_is_v4(c->ip) ? STR("in-addr") : STR("ip6");
		return 0;
	case 'h':
		*v = c->helo;
		return 0;
	case 'c':
		*v = str_c(ip_format(c->ip, buf, 80));
		return 0;
	case 'r':
		*v = c->hostname.n ? c->hostname : STR("unknown");
		return 0;
	case 't':
		snprintf(buf, 32, "%llu", (unsigned long long)c->now);
		*v = str_c(buf);
		return 0;
	default:
		return -EINVAL;
	}
}

/* Splits v at the delimiters, reverses, keeps the last `digits` parts, joins with dots. */
static int transform(struct out *o, struct str v, unsigned int digits, bool reverse,
		     struct str delims, bool url)
{
	struct str part[256];
	size_t n = 0, first, start = 0;

	if (delims.n == 0)
		delims = STR(".");
	for (size_t i = 0; i <= v.n; i++) {
		if (i < v.n && !memchr(delims.p, v.p[i], delims.n))
			continue;
		if (n == 256)
			return -ENOSPC;
		part[n++] = str_make(v.p ? v.p + start : v.p, i - start);
		start = i + 1;
	}
	first = digits && digits < n ? n - digits : 0;
	for (size_t i = first; i < n; i++) {
		struct str s = reverse ? part[n - 1 - i] : part[i];
		int rc = i > first ? put(o, ".", 1) : 0;

		if (!rc)
			rc = url ? put_url(o, s.p, s.n) : put(o, s.p, s.n);
		if (rc)
			return rc;
	}
	return 0;
}

/* One "%{...}" at s, known to be well-formed up to its brace. */
static int expand_one(struct out *o, struct str s, const struct spf_macro_context *c, size_t *used)
{
	char buf[600];
	struct str v;
	size_t i = 3, end = str_find(s, '}');
	unsigned int digits = 0;
	bool reverse = false, url = s.p[2] >= 'A' && s.p[2] <= 'Z';
	struct str delims;
	int rc;

	*used = end + 1;
	rc = value(ascii_lower(s.p[2]), c, buf, &v);
	if (rc)
		return rc;
	for (; i < end && ascii_is_digit(s.p[i]); i++)
		if (digits < 1000)
			digits = digits * 10 + (s.p[i] - '0');
	if (i < end && ascii_lower(s.p[i]) == 'r') {
		reverse = true;
		i++;
	}
	delims = str_make(s.p + i, end - i);
	if (!digits && !reverse && !delims.n)
		return url ? put_url(o, v.p, v.n) : put(o, v.p, v.n);
	return transform(o, v, digits, reverse, delims, url);
}

long spf_macro_expand(struct str s, const struct spf_macro_context *c, bool explain, uint8_t *out,
		      size_t cap)
{
	struct out o = {out, 0, cap};

	if (!spf_macro_string_valid(s, explain))
		return -EINVAL;
	while (s.n) {
		size_t used = 2;
		int rc;

		if (s.p[0] != '%') {
			used = str_find(s, '%');
			rc = put(&o, s.p, used);
		} else if (s.p[1] == '%') {
			rc = put(&o, "%", 1);
		} else if (s.p[1] == '_') {
			rc = put(&o, " ", 1);
		} else if (s.p[1] == '-') {
			rc = put(&o, "%20", 3);
		} else {
			rc = expand_one(&o, s, c, &used);
		}
		if (rc)
			return rc;
		s = str_skip(s, used);
	}
	return (long)o.n;
}

long spf_macro_domain(struct str spec, const struct spf_macro_context *c, uint8_t *out, size_t cap)
{
	uint8_t buf[EXPANDED_MAX];
	long n = spf_macro_expand(spec, c, false, buf, sizeof(buf));
	struct str d;

	if (n < 0)
		return n;
	d = str_make(buf, (size_t)n);
	if (d.n && d.p[d.n - 1] == '.')
		d.n--;
	while (d.n > LIMIT_DNS_NAME)
		d = str_skip(d, str_find(d, '.') + 1);
	if (d.n > cap)
		return -ENOSPC;
	if (d.n)
		memcpy(out, d.p, d.n);
	return (long)d.n;
}
