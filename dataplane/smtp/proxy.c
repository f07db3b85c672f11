/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "postern/crc32c.h"
#include "postern/limits.h"
#include "postern/proxy_tlv.h"

/* "The PROXY protocol, versions 1 & 2", section numbers are its. */

#define V2_HEAD 16u
#define V2_SIGNATURE 12u
static const uint8_t signature[V2_SIGNATURE] = "\r\n\r\n\0\r\nQUIT\n";

enum { V2_LOCAL = 0, V2_PROXY = 1 };
enum { V2_UNSPEC = 0x00, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };

/* ---- texts ---------------------------------------------------------------------------------- */

/* inet_pton() wants a string. */
static bool ip(int family, struct str text, void *out)
{
	char buf[INET6_ADDRSTRLEN];

	if (!text.n || text.n >= sizeof(buf) || memchr(text.p, '\0', text.n))
		return false;
	memcpy(buf, text.p, text.n);
	buf[text.n] = '\0';
	return inet_pton(family, buf, out) == 1;
}

bool proxy_ip4(struct str text, uint8_t out[16])
{
	memset(out, 0, 10);
	out[10] = out[11] = 0xff;
	return ip(AF_INET, text, out + 12);
}

bool proxy_ip6(struct str text, uint8_t out[16])
{
	return ip(AF_INET6, text, out);
}

bool proxy_port(struct str text, uint16_t *out)
{
	uint32_t v = 0;

	if (!text.n || text.n > 5 || (text.n > 1 && text.p[0] == '0'))
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(text.p[i] - '0');
	}
	*out = (uint16_t)v;
	return v <= UINT16_MAX;
}

/* ---- version 1 (2.1) ------------------------------------------------------------------------- */

/* One word and the single space behind it, or what is left. */
static struct str word(struct str *rest)
{
	struct str w = str_cut(*rest, str_find(*rest, ' '));

	*rest = str_skip(*rest, w.n + 1);
	return w;
}

/* Behind "PROXY ", without CRLF. */
static bool v1_fields(struct str rest, struct proxy_header *out)
{
	struct str family = word(&rest), src, dst, src_port, dst_port;
	bool six = str_eq(family, STR("TCP6"));

	/* What follows UNKNOWN has no meaning. */
	out->local = str_eq(family, STR("UNKNOWN"));
	if (out->local)
		return true;
	if (!six && !str_eq(family, STR("TCP4")))
		return false;
	src = word(&rest);
	dst = word(&rest);
	src_port = word(&rest);
	dst_port = rest; /* with a fifth word in it it is no number */
	return (six ? proxy_ip6(src, out->src) && proxy_ip6(dst, out->dst)
		    : proxy_ip4(src, out->src) && proxy_ip4(dst, out->dst)) &&
	       proxy_port(src_port, &out->src_port) && proxy_port(dst_port, &out->dst_port);
}

/* What may still become one of the three beginnings. */
static bool v1_begins(const uint8_t *p, size_t n)
{
	static const char *const begin[] = {"PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN"};

	for (size_t i = 0; i < sizeof(begin) / sizeof(begin[0]); i++) {
		size_t len = strlen(begin[i]);

		if (memcmp(p, begin[i], n < len ? n : len) == 0)
			return true;
	}
	return false;
}

static long v1(const uint8_t *p, size_t n, struct proxy_header *out)
{
	size_t most = n < LIMIT_PROXY_V1 ? n : LIMIT_PROXY_V1, i;

	if (!v1_begins(p, n))
		return -EBADMSG;
	for (i = 0; i < most && p[i] != '\r'; i++)
		if (p[i] < 0x20 || p[i] > 0x7e)
			return -EBADMSG;
	if (i + 1 >= most)
		return most == LIMIT_PROXY_V1 ? -EBADMSG : -EAGAIN;
	if (p[i + 1] != '\n' || !v1_fields(str_make(p + 6, i - 6), out))
		return -EBADMSG;
	out->version = 1;
	return (long)i + 2;
}

/* ---- version 2 (2.2) ------------------------------------------------------------------------- */

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

/* 2.2.5: client flags, four octets of verification, sub-TLVs. */
static bool ssl_fits(struct str v)
{
	struct str value;
	uint8_t type;

	if (v.n < TLV_SSL_HEAD)
		return false;
	v = str_skip(v, TLV_SSL_HEAD);
	while (v.n)
		if (!proxy_tlv_next(&v, &type, &value))
			return false;
	return true;
}

static void keep(struct str *where, struct str value)
{
	if (!where->n)
		*where = value;
}

/* head: the whole header; tlvs: what lies behind the addresses. */
static bool v2_tlvs(struct str head, struct str tlvs, struct proxy_header *out)
{
	while (tlvs.n) {
		struct str v;
		uint8_t type;

		if (!proxy_tlv_next(&tlvs, &type, &v))
			return false;
		switch (type) {
		case TLV_ALPN:
			keep(&out->alpn, v);
			break;
		case TLV_AUTHORITY: /* 2.2.2: a host name */
			if (v.n > LIMIT_DOMAIN)
				return false;
			keep(&out->authority, v);
			break;
		case TLV_CRC32C:
			if (v.n != 4 || crc32c(head.p, head.n, (size_t)(v.p - head.p)) !=
						(get16(v.p) << 16 | get16(v.p + 2)))
				return false;
			break;
		case TLV_UNIQUE_ID:
			if (v.n > TLV_UNIQUE_ID_MAX)
				return false;
			break;
		case TLV_SSL:
			if (!ssl_fits(v))
				return false;
			keep(&out->ssl, v);
			break;
		default: /* 2.2.7: reserved for others, or NOOP */
			break;
		}
	}
	return true;
}

static void mapped(uint8_t out[16], const uint8_t *p)
{
	memset(out, 0, 10);
	out[10] = out[11] = 0xff;
	memcpy(out + 12, p, 4);
}

static bool v2_addresses(const uint8_t *p, size_t n, struct proxy_header *out)
{
	const uint8_t *a = p + V2_HEAD, *ports;

	if (p[13] == V2_TCP4 && n >= V2_HEAD + 12) {
		mapped(out->src, a);
		mapped(out->dst, a + 4);
		ports = a + 8;
	} else if (p[13] == V2_TCP6 && n >= V2_HEAD + 36) {
		memcpy(out->src, a, 16);
		memcpy(out->dst, a + 16, 16);
		ports = a + 32;
	} else {
		return false;
	}
	out->src_port = (uint16_t)get16(ports);
	out->dst_port = (uint16_t)get16(ports + 2);
	a = ports + 4;
	out->tlvs = str_make(a, n - (size_t)(a - p));
	return v2_tlvs(str_make(p, n), out->tlvs, out);
}

/* What is not TCP over IP cannot have come to an SMTP port: refused, though the protocol has it. */
static bool v2_family(uint8_t command, uint8_t family)
{
	return command == V2_LOCAL || family == V2_UNSPEC || family == V2_TCP4 || family == V2_TCP6;
}

static long v2(const uint8_t *p, size_t n, struct proxy_header *out)
{
	size_t len;

	if (n > V2_SIGNATURE && p[12] != (0x20 | V2_LOCAL) && p[12] != (0x20 | V2_PROXY))
		return -EBADMSG;
	if (n > V2_SIGNATURE + 1 && !v2_family(p[12] & 15, p[13]))
		return -EBADMSG;
	if (n < V2_HEAD)
		return -EAGAIN;
	len = V2_HEAD + get16(p + 14);
	if (len > LIMIT_PROXY_V2)
		return -EBADMSG;
	if (n < len)
		return -EAGAIN;
	/* 2.2: with LOCAL the family is not looked at either. */
	out->local = (p[12] & 15) == V2_LOCAL || p[13] == V2_UNSPEC;
	if (!out->local && !v2_addresses(p, len, out))
		return -EBADMSG;
	out->version = 2;
	return (long)len;
}

long proxy_parse(const uint8_t *p, size_t n, struct proxy_header *out)
{
	*out = (struct proxy_header){0};
	if (!n)
		return -EAGAIN;
	if (p[0] == 'P')
		return v1(p, n, out);
	if (memcmp(p, signature, n < V2_SIGNATURE ? n : V2_SIGNATURE) != 0)
		return -EBADMSG;
	return v2(p, n, out);
}

size_t proxy_tlvs_keep(struct str tlvs, uint8_t *out, size_t cap, bool *cut)
{
	size_t n = 0;

	*cut = false;
	while (tlvs.n) {
		const uint8_t *begin = tlvs.p;
		struct str v;
		uint8_t type;
		size_t len;

		if (!proxy_tlv_next(&tlvs, &type, &v))
			break; /* proxy_parse() let none of these through */
		len = 3 + v.n;
		if (type == TLV_CRC32C || type == TLV_NOOP)
			continue;
		if (len > cap - n) {
			*cut = true;
			continue;
		}
		memcpy(out + n, begin, len);
		n += len;
	}
	return n;
}

size_t proxy_more(const uint8_t *p, size_t n)
{
	if (!n || p[0] == 'P')
		return 1;
	return n < V2_HEAD ? V2_HEAD - n : V2_HEAD + get16(p + 14) - n;
}
