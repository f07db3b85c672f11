/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* ARP, neighbour solicitations, and what an ICMP error quotes. */

#include <string.h>

#include "dataplane/net/net_parse.h"

bool net_parse_arp(const uint8_t *p, size_t n, struct net_arp *a)
{
	static const uint8_t head[6] = {0, 1, 8, 0, 6, 4}; /* Ethernet, IPv4 */
	uint16_t op;

	if (n < 28 || memcmp(p, head, sizeof(head)) != 0)
		return false;
	op = net_be16(p + 6);
	if (op != 1 && op != 2)
		return false;
	a->request = op == 1;
	memcpy(a->sender_mac, p + 8, 6);
	memcpy(a->sender_ip, p + 14, 4);
	memcpy(a->target_ip, p + 24, 4);
	/* RFC 1812 3.3.2: a multicast or broadcast hardware address is not believed. */
	return (a->sender_mac[0] & 1) == 0;
}

static bool is_solicited_node(const uint8_t a[16])
{
	/* RFC 4291 2.7.1: ff02::1:ffXX:XXXX */
	static const uint8_t prefix[13] = {0xff, 2, [11] = 1, [12] = 0xff};

	return memcmp(a, prefix, sizeof(prefix)) == 0;
}

bool net_parse_solicit(const uint8_t *p, size_t n, uint8_t hop_limit, const uint8_t src[16],
		       const uint8_t dst[16], struct net_solicit *ns)
{
	static const uint8_t unspecified[16];
	bool probe = memcmp(src, unspecified, 16) == 0;
	size_t at = 24;

	memset(ns, 0, sizeof(*ns));
	/* RFC 4861 7.1.1, in its order */
	if (hop_limit != 255 || n < 24 || p[0] != 135 || p[1] != 0)
		return false;
	memcpy(ns->target, p + 8, 16);
	if (ns->target[0] == 0xff)
		return false;
	while (at < n) {
		size_t len;

		if (n - at < 2 || p[at + 1] == 0)
			return false;
		len = p[at + 1] * 8u;
		if (len > n - at)
			return false;
		if (p[at] == 1 && len == 8) {
			ns->has_mac = true;
			memcpy(ns->mac, p + at + 2, 6);
		}
		at += len;
	}
	if (probe && (!is_solicited_node(dst) || ns->has_mac))
		return false;
	return !ns->has_mac || (ns->mac[0] & 1) == 0;
}

/* RFC 1191 5: routers from before it say 0; the next lower plateau is then tried. */
static uint32_t plateau_below(uint32_t len)
{
	static const uint16_t plateau[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296};

	for (size_t i = 0; i < sizeof(plateau) / sizeof(plateau[0]); i++)
		if (plateau[i] < len)
			return plateau[i];
	return 68;
}

static bool quoted_tcp(const uint8_t *p, size_t n, struct net_quote *q)
{
	/* RFC 792: at least eight octets of the segment, which hold the ports and the sequence. */
	if (n < 8)
		return false;
	q->tuple.local_port = net_be16(p);
	q->tuple.remote_port = net_be16(p + 2);
	q->seq = net_be32(p + 4);
	return true;
}

static bool quoted_ip4(const uint8_t *p, size_t n, struct net_quote *q, bool too_big, uint32_t mtu)
{
	size_t header;

	if (n < NET_IP4 || p[0] >> 4 != 4)
		return false;
	header = (p[0] & 15u) * 4;
	if (header < NET_IP4 || header > n || p[9] != NET_PROTO_TCP)
		return false;
	/* Only a first fragment quotes the TCP header. */
	if (net_be16(p + 6) & 0x1fff)
		return false;
	net_map4(q->tuple.local, p + 12);
	net_map4(q->tuple.remote, p + 16);
	q->mtu = 0;
	if (too_big) {
		uint32_t len = net_be16(p + 2);

		q->mtu = mtu ? mtu : plateau_below(len);
		/* RFC 1191 3: what did fit is not too big. */
		if (q->mtu >= len)
			return false;
	}
	return quoted_tcp(p + header, n - header, q);
}

static bool quoted_ip6(const uint8_t *p, size_t n, struct net_quote *q, uint32_t mtu)
{
	size_t at = NET_IP6;
	uint8_t next;

	if (n < NET_IP6 || p[0] >> 4 != 6)
		return false;
	/* We send no extension headers; a translator may have put a fragment header in. */
	next = p[6];
	if (next == 44) {
		if (n < at + 8 || (net_be16(p + at + 2) & 0xfff8) != 0)
			return false;
		next = p[at];
		at += 8;
	}
	if (next != NET_PROTO_TCP)
		return false;
	memcpy(q->tuple.local, p + 8, 16);
	memcpy(q->tuple.remote, p + 24, 16);
	if (net_is_mapped4(q->tuple.local) || net_is_mapped4(q->tuple.remote))
		return false;
	q->mtu = mtu;
	return quoted_tcp(p + at, n - at, q);
}

bool net_parse_icmp_error(const uint8_t *p, size_t n, bool ip6, struct net_quote *q)
{
	memset(q, 0, sizeof(*q));
	if (n < 8)
		return false;
	if (ip6) {
		/* RFC 4443 2.1: 1 unreachable, 2 too big, 3 time exceeded, 4 parameter problem */
		if (p[0] < 1 || p[0] > 4)
			return false;
		/* RFC 8201 4: a too-big below the minimum MTU MUST be discarded. */
		if (p[0] == 2 && net_be32(p + 4) < NET_MIN_MTU6)
			return false;
		return quoted_ip6(p + 8, n - 8, q, p[0] == 2 ? net_be32(p + 4) : 0);
	}
	/* RFC 792: 3 unreachable, 11 time exceeded, 12 parameter problem. Source quench is not
	 * believed (RFC 6633), redirects have no meaning for a host without routes. */
	if (p[0] != 3 && p[0] != 11 && p[0] != 12)
		return false;
	return quoted_ip4(p + 8, n - 8, q, p[0] == 3 && p[1] == 4, net_be16(p + 6));
}
