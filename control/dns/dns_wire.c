/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/dns/dns_wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "postern/limits.h"

int dns_wire_from_text(struct str text, struct dns_wire_name *out)
{
	size_t at = 0;

	if (text.n && text.p[text.n - 1] == '.')
		text.n--;
	while (text.n) {
		size_t k = str_find(text, '.');

		/* RFC 1035 2.3.4: labels of 1 to 63 octets, 255 in all with the root. */
		if (k == 0 || k > LIMIT_DNS_LABEL || at + 1 + k + 1 > DNS_WIRE_NAME)
			return -EINVAL;
		out->b[at++] = (uint8_t)k;
		memcpy(out->b + at, text.p, k);
		at += k;
		if (k == text.n)
			break;
		text = str_skip(text, k + 1);
		if (text.n == 0)
			return -EINVAL;
	}
	out->b[at++] = 0;
	out->len = (uint8_t)at;
	return 0;
}

long dns_wire_length(const uint8_t *p, size_t n)
{
	size_t at = 0;

	for (;;) {
		if (at >= n || at >= DNS_WIRE_NAME)
			return -EBADMSG;
		if (p[at] == 0)
			return (long)at + 1;
		if (p[at] > LIMIT_DNS_LABEL)
			return -EBADMSG;
		at += 1u + p[at];
	}
}

long dns_wire_to_text(const uint8_t *p, size_t n, char *out, size_t cap)
{
	long len = dns_wire_length(p, n);
	size_t at = 0, o = 0;

	if (len < 0)
		return len;
	while (p[at]) {
		size_t k = p[at++];

		if (o + k + 2 > cap)
			return -ENOSPC;
		if (o)
			out[o++] = '.';
		for (size_t i = 0; i < k; i++) {
			uint8_t c = p[at + i];

			if (c == '.' || (c != ' ' && !ascii_is_vchar(c)))
				return -EBADMSG;
			out[o++] = (char)c;
		}
		at += k;
	}
	if (cap == 0)
		return -ENOSPC;
	out[o] = '\0';
	return (long)o;
}

void dns_wire_lower(struct dns_wire_name *w)
{
	/* Length octets are below 64 and so are never letters. */
	for (size_t i = 0; i < w->len; i++)
		w->b[i] = ascii_lower(w->b[i]);
}

bool dns_wire_eq(const struct dns_wire_name *a, const struct dns_wire_name *b)
{
	return str_ieq(str_make(a->b, a->len), str_make(b->b, b->len));
}

static bool txt_valid(const uint8_t *p, size_t n)
{
	size_t at = 0;

	while (at < n) {
		if ((size_t)p[at] > n - at - 1)
			return false;
		at += 1u + p[at];
	}
	return true;
}

bool dns_rdata_valid(uint16_t type, const uint8_t *p, size_t n)
{
	long k;

	switch (type) {
	case DNS_A:
		return n == 4;
	case DNS_AAAA:
		return n == 16;
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
		return dns_wire_length(p, n) == (long)n;
	case DNS_MX:
		return n > 2 && dns_wire_length(p + 2, n - 2) == (long)n - 2;
	case DNS_SOA:
		k = dns_wire_length(p, n);
		if (k < 0)
			return false;
		p += k;
		n -= (size_t)k;
		k = dns_wire_length(p, n);
		return k > 0 && n - (size_t)k == 20;
	case DNS_TXT:
	case DNS_SPF:
		return txt_valid(p, n);
	case DNS_TLSA:
		return n > 3; /* RFC 6698 2.1: usage, selector, matching type, data */
	default:
		return true;
	}
}

void dns_parsed_init(struct dns_parsed *a)
{
	memset(a, 0, sizeof(*a));
	a->status = DNS_TEMPFAIL;
}

void dns_parsed_free(struct dns_parsed *a)
{
	free(a->data);
	a->data = NULL;
	a->n = a->used = a->cap = 0;
}

int dns_parsed_add(struct dns_parsed *a, const uint8_t *rdata, size_t n)
{
	if (a->n >= DNS_MAX_RRS)
		return -E2BIG;
	if (n > a->cap - a->used) {
		size_t cap = (a->used + n) * 2 + 256;
		uint8_t *p = realloc(a->data, cap);

		if (!p)
			return -ENOMEM;
		a->data = p;
		a->cap = cap;
	}
	if (n)
		memcpy(a->data + a->used, rdata, n);
	a->off[a->n] = a->used;
	a->rr[a->n].len = n;
	a->used += n;
	a->n++;
	return 0;
}

void dns_parsed_seal(struct dns_parsed *a)
{
	static const uint8_t none[1];

	/* Nothing was allocated if all rdata is empty. */
	for (size_t i = 0; i < a->n; i++)
		a->rr[i].data = a->data ? a->data + a->off[i] : none;
}

void dns_parsed_alias(struct dns_parsed *a, const struct dns_wire_name *w)
{
	if (dns_wire_to_text(w->b, w->len, a->alias, sizeof(a->alias)) < 0)
		a->alias[0] = '\0';
}

void dns_parsed_fail(struct dns_parsed *a, const char *reason)
{
	a->status = DNS_TEMPFAIL;
	a->n = 0;
	a->ttl = 0;
	a->secure = false;
	snprintf(a->reason, sizeof(a->reason), "%s", reason);
}

/* Public accessors of dns.h over one record. */

long dns_txt(const struct dns_rr *rr, uint8_t *out, size_t cap)
{
	size_t at = 0, o = 0;

	while (at < rr->len) {
		size_t k = rr->data[at];

		if (k > rr->len - at - 1)
			return -EBADMSG;
		if (k > cap - o)
			return -ENOSPC;
		if (k)
			memcpy(out + o, rr->data + at + 1, k);
		o += k;
		at += 1 + k;
	}
	return (long)o;
}

long dns_name(const struct dns_rr *rr, size_t off, char *out, size_t cap)
{
	if (off >= rr->len)
		return -EBADMSG;
	return dns_wire_to_text(rr->data + off, rr->len - off, out, cap);
}

void dns_reverse_name(const struct ip_addr *ip, char *out, size_t cap)
{
	char buf[80];
	size_t o = 0;

	if (ip_is_v4(ip)) {
		snprintf(buf, sizeof(buf), "%u.%u.%u.%u.in-addr.arpa", ip->a[15], ip->a[14],
			 ip->a[13], ip->a[12]);
	} else {
		static const char hex[] = "0123456789abcdef";

		for (size_t i = 16; i-- > 0;) {
			buf[o++] = hex[ip->a[i] & 15];
			buf[o++] = '.';
			buf[o++] = hex[ip->a[i] >> 4];
			buf[o++] = '.';
		}
		memcpy(buf + o, "ip6.arpa", 9);
	}
	snprintf(out, cap, "%s", buf);
}
