/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/dns/dns_zone.h"

#include <arpa/inet.h>
#include <errno.h>

/* Record data of a master file: presentation form to wire form. */

static const struct {
	const char *name;
	uint16_t type;
} types[] = {
	{"A", DNS_A},       {"NS", DNS_NS},   {"CNAME", DNS_CNAME}, {"SOA", DNS_SOA},
	{"PTR", DNS_PTR},   {"MX", DNS_MX},   {"TXT", DNS_TXT},     {"AAAA", DNS_AAAA},
	{"TLSA", DNS_TLSA}, {"SPF", DNS_SPF},
};

static bool number(struct str s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_digit(s.p[i]))
			return false;
		v = v * 10 + (s.p[i] - '0');
		if (v > max)
			return false;
	}
	*out = v;
	return true;
}

uint16_t dns_zone_type(struct str text)
{
	uint64_t v;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (str_ieq(text, str_c(types[i].name)))
			return types[i].type;
	/* RFC 3597 5 */
	if (str_istarts(text, STR("TYPE")) && number(str_skip(text, 4), UINT16_MAX, &v))
		return (uint16_t)v;
	return 0;
}

/* One octet behind a backslash at s: \DDD or \X. Octets used, 0 if malformed. */
static size_t escape(struct str s, uint8_t *c)
{
	unsigned int v;

	if (s.n == 0)
		return 0;
	if (!ascii_is_digit(s.p[0])) {
		*c = s.p[0];
		return 1;
	}
	if (s.n < 3 || !ascii_is_digit(s.p[1]) || !ascii_is_digit(s.p[2]))
		return 0;
	v = (s.p[0] - '0') * 100u + (s.p[1] - '0') * 10u + (s.p[2] - '0');
	if (v > 255)
		return 0;
	*c = (uint8_t)v;
	return 3;
}

int dns_zone_name(struct str t, const struct dns_wire_name *origin, struct dns_wire_name *out)
{
	size_t at = 1, label = 0; /* out->b[label] is the length octet of the label being written */
	bool absolute = false;

	if (str_eq(t, STR("@"))) {
		*out = *origin;
		return 0;
	}
	if (str_eq(t, STR("."))) {
		out->b[0] = 0;
		out->len = 1;
		return 0;
	}
	if (t.n == 0)
		return -EINVAL;
	for (size_t i = 0; i < t.n; i++) {
		uint8_t c = t.p[i];

		if (c == '.') {
			if (at == label + 1)
				return -EINVAL;
			out->b[label] = (uint8_t)(at - label - 1);
			absolute = i + 1 == t.n;
			label = at++;
			if (at > DNS_WIRE_NAME)
				return -EINVAL;
			continue;
		}
		if (c == '\\') {
			size_t k = escape(str_skip(t, i + 1), &c);

			if (!k)
				return -EINVAL;
			i += k;
		}
		if (at - label > 63 || at >= DNS_WIRE_NAME)
			return -EINVAL;
		out->b[at++] = c;
	}
	if (absolute) {
		out->b[label] = 0;
		out->len = (uint8_t)(label + 1);
		return 0;
	}
	out->b[label] = (uint8_t)(at - label - 1);
	if (at + origin->len > DNS_WIRE_NAME)
		return -EINVAL;
	memcpy(out->b + at, origin->b, origin->len);
	out->len = (uint8_t)(at + origin->len);
	return 0;
}

struct out {
	uint8_t *p;
	size_t n, cap;
};

static bool put(struct out *o, const void *p, size_t n)
{
	if (n > o->cap - o->n)
		return false;
	memcpy(o->p + o->n, p, n);
	o->n += n;
	return true;
}

static bool put_int(struct out *o, struct str s, unsigned int octets)
{
	uint64_t v;
	uint8_t b[4];

	if (!number(s, (1ull << (8 * octets)) - 1, &v))
		return false;
	for (unsigned int i = 0; i < octets; i++)
		b[i] = (uint8_t)(v >> (8 * (octets - 1 - i)));
	return put(o, b, octets);
}

static bool put_name(struct out *o, struct str s, const struct dns_wire_name *origin)
{
	struct dns_wire_name w;

	return dns_zone_name(s, origin, &w) == 0 && put(o, w.b, w.len);
}

static bool put_address(struct out *o, struct str s, int family)
{
	char text[64];
	uint8_t a[16];

	if (s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return strlen(text) == s.n && inet_pton(family, text, a) == 1 &&
	       put(o, a, family == AF_INET ? 4 : 16);
}

static bool put_string(struct out *o, struct str s)
{
	uint8_t b[256];
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c == '\\') {
			size_t k = escape(str_skip(s, i + 1), &c);

			if (!k)
				return false;
			i += k;
		}
		if (n == 255)
			return false;
		b[1 + n++] = c;
	}
	b[0] = (uint8_t)n;
	return put(o, b, n + 1);
}

static bool put_hex(struct out *o, const struct dns_token *tok, size_t n)
{
	int half = -1;

	for (size_t t = 0; t < n; t++) {
		for (size_t i = 0; i < tok[t].raw.n; i++) {
			int v = ascii_hex(tok[t].raw.p[i]);
			uint8_t b;

			if (v < 0)
				return false;
			if (half < 0) {
				half = v;
				continue;
			}
			b = (uint8_t)(half << 4 | v);
			half = -1;
			if (!put(o, &b, 1))
				return false;
		}
	}
	return half < 0;
}

/* RFC 3597 5: \# length hex... */
static bool put_generic(struct out *o, const struct dns_token *tok, size_t n)
{
	uint64_t len;

	return n >= 2 && number(tok[1].raw, UINT16_MAX, &len) && put_hex(o, tok + 2, n - 2) &&
	       o->n == len;
}

static bool put_soa(struct out *o, const struct dns_token *tok, size_t n,
		    const struct dns_wire_name *origin)
{
	if (n != 7 || !put_name(o, tok[0].raw, origin) || !put_name(o, tok[1].raw, origin))
		return false;
	for (size_t i = 2; i < 7; i++)
		if (!put_int(o, tok[i].raw, 4))
			return false;
	return true;
}

static bool put_text(struct out *o, const struct dns_token *tok, size_t n)
{
	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!put_string(o, tok[i].raw))
			return false;
	return true;
}

long dns_zone_rdata(uint16_t type, const struct dns_token *tok, size_t n,
		    const struct dns_wire_name *origin, uint8_t *buf, size_t cap, const char **why)
{
	struct out o = {buf, 0, cap};
	bool ok;

	*why = "malformed record data";
	if (n == 0) {
		*why = "record data missing";
		return -EINVAL;
	}
	if (!tok[0].quoted && str_eq(tok[0].raw, STR("\\#"))) {
		ok = put_generic(&o, tok, n) && dns_rdata_valid(type, buf, o.n);
		return ok ? (long)o.n : -EINVAL;
	}
	switch (type) {
	case DNS_A:
		ok = n == 1 && put_address(&o, tok[0].raw, AF_INET);
		*why = "not an IPv4 address";
		break;
	case DNS_AAAA:
		ok = n == 1 && put_address(&o, tok[0].raw, AF_INET6);
		*why = "not an IPv6 address";
		break;
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
		ok = n == 1 && put_name(&o, tok[0].raw, origin);
		*why = "malformed domain name";
		break;
	case DNS_MX:
		ok = n == 2 && put_int(&o, tok[0].raw, 2) && put_name(&o, tok[1].raw, origin);
		*why = "MX wants a preference and a name";
		break;
	case DNS_SOA:
		ok = put_soa(&o, tok, n, origin);
		*why = "SOA wants two names and five numbers";
		break;
	case DNS_TXT:
	case DNS_SPF:
		ok = put_text(&o, tok, n);
		*why = "bad escape, or a string over 255 octets";
		break;
	case DNS_TLSA:
		ok = n >= 4 && put_int(&o, tok[0].raw, 1) && put_int(&o, tok[1].raw, 1) &&
		     put_int(&o, tok[2].raw, 1) && put_hex(&o, tok + 3, n - 3) && o.n > 3;
		*why = "TLSA wants three numbers and hexadecimal data";
		break;
	default:
		*why = "data of this type must be written as \\# (RFC 3597)";
		ok = false;
	}
	return ok ? (long)o.n : -EINVAL;
}
