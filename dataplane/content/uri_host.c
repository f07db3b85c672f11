/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/tables.h"
#include "dataplane/content/uri_internal.h"
#include "postern/utf8.h"

/* ---- RFC 3492 ---- */

enum { BASE = 36, TMIN = 1, TMAX = 26, SKEW = 38, DAMP = 700, INITIAL_BIAS = 72, INITIAL_N = 128 };

static uint32_t adapt(uint32_t delta, uint32_t points, bool first)
{
	uint32_t k = 0;

	delta = first ? delta / DAMP : delta / 2;
	delta += delta / points;
	for (; delta > (BASE - TMIN) * TMAX / 2; k += BASE)
		delta /= BASE - TMIN;
	return k + (BASE - TMIN + 1) * delta / (delta + SKEW);
}

static uint32_t threshold(uint32_t k, uint32_t bias)
{
	return k <= bias ? TMIN : k >= bias + TMAX ? TMAX : k - bias;
}

static uint8_t digit(uint32_t d)
{
	return (uint8_t)(d < 26 ? 'a' + d : '0' + d - 26);
}

/* One delta as a generalized variable-length integer. */
static size_t put_delta(uint32_t q, uint32_t bias, uint8_t *out, size_t size)
{
	size_t n = 0;

	for (uint32_t k = BASE;; k += BASE) {
		uint32_t t = threshold(k, bias);

		if (n == size)
			return 0;
		if (q < t)
			break;
		out[n++] = digit(t + (q - t) % (BASE - t));
		q = (q - t) / (BASE - t);
	}
	out[n++] = digit(q);
	return n;
}

size_t uri_punycode_encode(const uint32_t *cp, size_t n, uint8_t *out, size_t size)
{
	uint32_t next = INITIAL_N, delta = 0, bias = INITIAL_BIAS;
	size_t done = 0, basic, len = 0;

	if (n > URI_LABEL || size < n + 1)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (cp[i] < 0x80)
			out[len++] = (uint8_t)cp[i];
	basic = done = len;
	if (basic)
		out[len++] = '-';
	while (done < n) {
		uint32_t least = UINT32_MAX;

		CONTENT_STEP(n);
		for (size_t i = 0; i < n; i++)
			if (cp[i] >= next && cp[i] < least)
				least = cp[i];
		/* 63 characters below 0x110000: it cannot overflow (6.4). */
		delta += (least - next) * (uint32_t)(done + 1);
		next = least;
		for (size_t i = 0; i < n; i++) {
			size_t k;

			if (cp[i] < next)
				delta++;
			if (cp[i] != next)
				continue;
			k = put_delta(delta, bias, out + len, size - len);
			if (!k)
				return 0;
			len += k;
			bias = adapt(delta, (uint32_t)done + 1, done == basic);
			delta = 0;
			done++;
		}
		delta++;
		next++;
	}
	return len;
}

static bool get_delta(struct str s, size_t *at, uint32_t bias, uint32_t *delta)
{
	uint32_t w = 1;

	for (uint32_t k = BASE;; k += BASE) {
		uint32_t t = threshold(k, bias), d;
		uint8_t c;

		if (*at == s.n)
			return false;
		c = ascii_lower(s.p[(*at)++]);
		if (!ascii_is_alnum(c))
			return false;
		d = c <= '9' ? c - (uint32_t)'0' + 26 : c - (uint32_t)'a';
		if (d > (UINT32_MAX - *delta) / w)
			return false;
		*delta += d * w;
		if (d < t)
			return true;
		if (w > UINT32_MAX / (BASE - t))
			return false;
		w *= BASE - t;
	}
}

size_t uri_punycode_decode(struct str s, uint32_t *cp, size_t size)
{
	uint32_t next = INITIAL_N, i = 0, bias = INITIAL_BIAS;
	size_t n = 0, at = s.n;
	bool first = true;

	while (at > 0 && s.p[at - 1] != '-')
		at--;
	for (size_t k = 0; at && k < at - 1; k++) {
		if (n == size || s.p[k] >= 0x80)
			return 0;
		cp[n++] = s.p[k];
	}
	while (at < s.n) {
		uint32_t delta = 0;

		CONTENT_STEP(n + 1);
		if (n == size || !get_delta(s, &at, bias, &delta) || delta > UINT32_MAX - i)
			return 0;
		i += delta;
		bias = adapt(delta, (uint32_t)n + 1, first);
		first = false;
		if (i / (n + 1) > 0x10ffff - next)
			return 0;
		next += i / (uint32_t)(n + 1);
		i %= (uint32_t)(n + 1);
		memmove(cp + i + 1, cp + i, (n - i) * sizeof(cp[0]));
		cp[i++] = next;
		n++;
	}
	return n;
}

/* ---- names ---- */

struct name {
	uint8_t *out;
	size_t n;
	bool unicode;
	uint32_t label[URI_LABEL];
	size_t n_label;
	bool ascii;
};

static bool put(struct name *h, const uint8_t *p, size_t n)
{
	if (n > URI_HOST - h->n)
		return false;
	memcpy(h->out + h->n, p, n);
	h->n += n;
	return true;
}

static bool put_cp(struct name *h, uint32_t cp)
{
	uint8_t b[4];
	size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;

	if (n == 1)
		b[0] = (uint8_t)cp;
	else
		b[0] = (uint8_t)(0xf00u >> n | cp >> 6 * (n - 1));
	for (size_t i = 1; i < n; i++)
		b[i] = (uint8_t)(0x80 | (cp >> 6 * (n - 1 - i) & 0x3f));
	return put(h, b, n);
}

/* A label in ASCII that stands for one in Unicode; false: it does not, and goes as it is. */
static bool put_decoded(struct name *h, struct str ace)
{
	uint32_t cp[URI_LABEL];
	size_t n = uri_punycode_decode(str_skip(ace, 4), cp, URI_LABEL), before = h->n;

	for (size_t i = 0; i < n; i++) {
		if (cp[i] < 0x80
			    ? !ascii_is_alnum((uint8_t)cp[i]) && cp[i] != '-'
			    : utf8_is_deceptive((long)cp[i]) || (cp[i] >= 0xd800 && cp[i] < 0xe000))
			n = 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (!put_cp(h, cp[i])) {
			h->n = before;
			return false;
		}
	}
	return n > 0;
}

static bool put_label(struct name *h)
{
	uint8_t ascii[URI_LABEL + 1] = "xn--";
	size_t n;

	if (!h->ascii) {
		if (h->unicode) {
			for (size_t i = 0; i < h->n_label; i++)
				if (!put_cp(h, h->label[i]))
					return false;
			return true;
		}
		n = uri_punycode_encode(h->label, h->n_label, ascii + 4, URI_LABEL - 4);
		return n && put(h, ascii, n + 4);
	}
	for (n = 0; n < h->n_label; n++)
		ascii[n] = (uint8_t)h->label[n];
	if (h->unicode && str_istarts(str_make(ascii, n), STR("xn--")) &&
	    put_decoded(h, str_make(ascii, n)))
		return true;
	return put(h, ascii, n);
}

/* What a URL parser refuses in a host (URL standard, "forbidden domain code point"). */
static bool is_forbidden(uint32_t cp)
{
	return cp <= ' ' || cp == 0x7f || (cp < 0x80 && memchr("\"#%/:<>?@[\\]^`{|}", (int)cp, 17));
}

static bool put_point(struct name *h, uint32_t cp)
{
	uint32_t mapped[4];
	size_t n = tables_idna(cp, mapped);

	for (size_t i = 0; i < n; i++) {
		if (is_forbidden(mapped[i]))
			return false;
		if (mapped[i] == '.') {
			if (!put_label(h) || !put(h, (const uint8_t *)".", 1))
				return false;
			h->n_label = 0;
			h->ascii = true;
			continue;
		}
		if (h->n_label == URI_LABEL)
			return false;
		h->label[h->n_label++] = mapped[i];
		h->ascii &= mapped[i] < 0x80;
	}
	return true;
}

/* One part of an IPv4 address as inet_aton(3) and browsers read it: 0x…, 0…, decimal. */
static bool ipv4_part(struct str s, uint64_t *v)
{
	unsigned int base = 10;

	*v = 0;
	if (s.n == 0)
		return false;
	if (s.n > 1 && s.p[0] == '0') {
		base = s.p[1] == 'x' ? 16 : 8;
		s = str_skip(s, base == 16 ? 2 : 1);
	}
	for (size_t i = 0; i < s.n; i++) {
		int d = content_hex(s.p[i]);

		if (d < 0 || d >= (int)base)
			return false;
		*v = *v * base + (unsigned int)d;
		if (*v > UINT32_MAX)
			return false;
	}
	return true;
}

/* A host that is a number in any of its forms becomes four decimals. Returns the new length. */
static size_t ipv4(uint8_t *out, size_t n)
{
	uint64_t part[4], v = 0;
	struct str rest = str_make(out, n);
	size_t parts = 0, len = 0;

	while (rest.p && parts < 4) {
		size_t dot = str_find(rest, '.');

		if (!ipv4_part(str_cut(rest, dot), &part[parts]))
			return n;
		parts++;
		rest = dot < rest.n ? str_skip(rest, dot + 1) : STR_NONE;
	}
	if (!parts || rest.p || part[parts - 1] >= 1ull << 8 * (5 - parts))
		return n;
	v = part[parts - 1];
	for (size_t i = 0; i + 1 < parts; i++) {
		if (part[i] > 255)
			return n;
		v |= part[i] << 8 * (3 - i);
	}
	for (int shift = 24; shift >= 0; shift -= 8) {
		unsigned int octet = v >> shift & 0xff;

		if (octet >= 100)
			out[len++] = (uint8_t)('0' + octet / 100);
		if (octet >= 10)
			out[len++] = (uint8_t)('0' + octet / 10 % 10);
		out[len++] = (uint8_t)('0' + octet % 10);
		if (shift)
			out[len++] = '.';
	}
	return len;
}

size_t uri_host(struct str raw, bool unicode, uint8_t *out)
{
	struct name h = {.out = out, .unicode = unicode, .ascii = true};
	uint8_t plain[URI_HOST];
	size_t n = 0, len;
	struct str s;

	if (raw.n > sizeof(plain))
		return 0;
	/* Unlike elsewhere octets above 127 count, too: the host of http://b%C3%BCcher.example/. */
	for (size_t i = 0; i < raw.n; i++) {
		int v = raw.p[i] == '%' ? content_hex_octet(raw.p + i + 1, raw.n - i - 1) : -1;

		plain[n++] = v < 0 ? raw.p[i] : (uint8_t)v;
		i += v < 0 ? 0 : 2;
	}
	CONTENT_STEP(n);
	s = str_make(plain, n);
	for (size_t i = 0; i < n; i += len) {
		long cp = utf8_at(s, i, &len);

		if (cp < 0 || !put_point(&h, (uint32_t)cp))
			return 0;
	}
	if (!put_label(&h))
		return 0;
	while (h.n && out[h.n - 1] == '.')
		h.n--;
	/* 192.0.2.1 in IPv4 text is at most 15 octets, and no number is shorter than 1. */
	_Static_assert(URI_HOST >= 15, "room for an address");
	if (h.n && ascii_is_digit(out[0]))
		return ipv4(out, h.n);
	return h.n;
}

/* Labels of letters, digits, '-' and '_' that begin and end with a letter or digit; in lower case.
 */
static bool is_domain(struct str host)
{
	uint8_t previous = '.';
	size_t dot = 0;

	for (size_t i = 0; i <= host.n; i++) {
		uint8_t c = i < host.n ? host.p[i] : '.';

		if (c == '.') {
			if (!ascii_is_alnum(previous))
				return false;
			if (i < host.n)
				dot = i;
		} else if (!ascii_is_alnum(c) && (previous == '.' || (c != '-' && c != '_'))) {
			return false;
		}
		previous = c;
	}
	return dot && tables_is_tld(str_skip(host, dot + 1));
}

bool uri_is_domain(struct str s)
{
	uint8_t host[URI_HOST];
	size_t n = 0;

	if (s.n < 3 || s.n > sizeof(host) || !memchr(s.p, '.', s.n))
		return false;
	while (n < s.n && s.p[n] < 0x80 && s.p[n] != '%') {
		host[n] = ascii_lower(s.p[n]);
		n++;
	}
	CONTENT_STEP(n);
	if (n < s.n)
		n = uri_host(s, false, host);
	return n && is_domain(str_make(host, n));
}
