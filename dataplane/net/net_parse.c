/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/net/net_parse.h"

#include <string.h>

#include "dataplane/net/net_cksum.h"
#include "postern/stats.h"

enum { EXT_HOP = 0, EXT_ROUTING = 43, EXT_FRAGMENT = 44, EXT_NONE = 59, EXT_DEST = 60 };

bool net_source_possible(const uint8_t addr[16], bool ip6)
{
	static const uint8_t zero[15];

	if (ip6) {
		/* A mapped address on the wire would be taken for an IPv4 peer further up. */
		if (net_is_mapped4(addr) || addr[0] == 0xff)
			return false;
		/* RFC 4291 2.5.2, 2.5.3: unspecified and loopback */
		return memcmp(addr, zero, 15) != 0 || addr[15] > 1;
	}
	/* RFC 1122 3.2.1.3: this network, loopback, multicast and class E with broadcast */
	return addr[12] != 0 && addr[12] != 127 && addr[12] < 224;
}

static bool drop(struct net_head *h, enum postern_counter why)
{
	h->kind = NET_KIND_DROP;
	h->drop = (uint16_t)why;
	return false;
}

static bool parse_tcp(const uint8_t *p, struct net_head *h)
{
	uint32_t len = h->end - h->l4;
	uint16_t header;

	if (len < NET_TCP)
		return drop(h, CNT_rx_drop_short);
	header = (uint16_t)((p[h->l4 + 12] >> 4) * 4);
	/* RFC 9293 3.1: the data offset covers the fixed header and lies in the segment. */
	if (header < NET_TCP || header > len)
		return drop(h, CNT_tcp_drop_header);
	h->tcp_header = header;
	h->tuple.remote_port = net_be16(p + h->l4);
	h->tuple.local_port = net_be16(p + h->l4 + 2);
	h->kind = NET_KIND_TCP;
	return true;
}

/* h->l4 and h->end are set. */
static bool parse_transport(const uint8_t *p, uint8_t proto, struct net_head *h)
{
	if (proto == NET_PROTO_TCP)
		return parse_tcp(p, h);
	if (proto == (h->ip6 ? NET_PROTO_ICMP6 : NET_PROTO_ICMP)) {
		if (h->end - h->l4 < 8)
			return drop(h, CNT_rx_drop_short);
		h->kind = h->ip6 ? NET_KIND_ICMP6 : NET_KIND_ICMP;
		return true;
	}
	if (h->watched && (proto == NET_PROTO_GRE || proto == NET_PROTO_UDP)) {
		h->kind = NET_KIND_TUNNEL;
		h->proto = proto;
		return true;
	}
	return drop(h, CNT_rx_drop_ip_proto);
}

static bool fragment_ok(const struct net_head *h, uint32_t header_part)
{
	uint32_t len = h->end - h->l4;

	/* RFC 791 3.2, RFC 8200 4.5: all but the last in units of eight, and never past 65,535. */
	if (len == 0 || (h->fragment_more && len % 8 != 0))
		return false;
	return header_part + h->fragment_off + len <= 65535;
}

static bool ip4_options_ok(const uint8_t *p, size_t n)
{
	while (n) {
		uint8_t type = p[0];

		if (type == 0)
			return true;
		if (type == 1) {
			p++;
			n--;
			continue;
		}
		if (n < 2 || p[1] < 2 || p[1] > n)
			return false;
		/* RFC 7126 4.3, 4.4: source-routed packets are dropped. */
		if (type == 131 || type == 137)
			return false;
		n -= p[1];
		p += p[1];
	}
	return true;
}

static bool parse_ip4(const uint8_t *p, size_t total, bool verify, struct net_head *h)
{
	const uint8_t *ip = p + h->l3;
	uint32_t room = (uint32_t)(total - h->l3), header, len;
	uint16_t frag;

	if (room < NET_IP4)
		return drop(h, CNT_rx_drop_short);
	header = (ip[0] & 15u) * 4;
	len = net_be16(ip + 2);
	if (ip[0] >> 4 != 4 || header < NET_IP4 || len < header)
		return drop(h, CNT_rx_drop_ip_header);
	if (len > room)
		return drop(h, CNT_rx_drop_short);
	/* RFC 1122 3.2.1.2: a host MUST verify the header checksum. */
	if (verify && net_cksum_fold(net_cksum_add(0, ip, header)) != 0xffff)
		return drop(h, CNT_rx_drop_ip_checksum);
	if (header > NET_IP4 && !ip4_options_ok(ip + NET_IP4, header - NET_IP4))
		return drop(h, CNT_rx_drop_ip_header);
	h->ttl = ip[8];
	h->ecn = ip[1] & 3;
	h->l4 = (uint16_t)(h->l3 + header);
	h->end = h->l3 + len;
	net_map4(h->tuple.remote, ip + 12);
	net_map4(h->tuple.local, ip + 16);
	if (!h->watched && !net_source_possible(h->tuple.remote, false))
		return drop(h, CNT_rx_drop_source);
	frag = net_be16(ip + 6);
	if ((frag & 0x3fff) == 0)
		return parse_transport(p, ip[9], h);
	h->fragment_more = (frag & 0x2000) != 0;
	h->fragment_off = (uint16_t)((frag & 0x1fff) * 8);
	h->fragment_id = net_be16(ip + 4);
	h->fragment_proto = ip[9];
	if (!fragment_ok(h, header))
		return drop(h, CNT_rx_drop_fragment);
	h->kind = NET_KIND_FRAGMENT;
	return true;
}

/* Options of a hop-by-hop or destination options header. */
static bool ip6_options_ok(const uint8_t *p, size_t n)
{
	while (n) {
		if (p[0] == 0) {
			p++;
			n--;
			continue;
		}
		if (n < 2 || p[1] > n - 2)
			return false;
		/* RFC 8200 4.2: the two highest bits of an option that we do not know say whether
		 * to skip it. Known are PadN and Router Alert, which say skip as well. */
		if (p[0] >> 6 != 0)
			return false;
		n -= 2u + p[1];
		p += 2u + p[1];
	}
	return true;
}

static bool ext_ok(uint8_t type, const uint8_t *p, size_t len)
{
	if (type == EXT_ROUTING)
		/* RFC 5095 for type 0; others are ours to skip once no segment is left. */
		return p[2] != 0 && p[3] == 0;
	return ip6_options_ok(p + 2, len - 2);
}

/* RFC 8200 4.5. False: h says drop, or FRAGMENT when *whole is false. */
static bool parse_fragment6(const uint8_t *f, struct net_head *h, bool *whole)
{
	uint16_t off = net_be16(f + 2);

	/* RFC 6946 4: an atomic fragment is a datagram of its own. */
	*whole = (off & 0xfff9) == 0;
	if (*whole)
		return true;
	h->l4 += 8;
	h->fragment_more = (off & 1) != 0;
	h->fragment_off = off & 0xfff8;
	h->fragment_id = net_be32(f + 4);
	h->fragment_proto = f[0];
	/* The reassembly takes the fragment header right behind the fixed header only. */
	if (h->l4 != h->l3 + NET_IP6 + 8 || !fragment_ok(h, 0))
		return drop(h, CNT_rx_drop_fragment);
	h->kind = NET_KIND_FRAGMENT;
	return true;
}

static bool parse_ext(const uint8_t *p, uint8_t next, struct net_head *h)
{
	unsigned int seen = 0;
	bool whole;

	for (; next == EXT_HOP || next == EXT_ROUTING || next == EXT_FRAGMENT || next == EXT_DEST;
	     seen++) {
		uint32_t room = h->end - h->l4, len = 8;
		const uint8_t *e = p + h->l4;

		/* RFC 8200 4.1: hop-by-hop options only right behind the fixed header. */
		if (room < 8 || seen == NET_EXT_HEADERS || (next == EXT_HOP && seen != 0))
			return drop(h, CNT_rx_drop_ext_header);
		if (next == EXT_FRAGMENT) {
			if (!parse_fragment6(e, h, &whole) || !whole)
				return h->kind == NET_KIND_FRAGMENT;
		} else {
			len = (e[1] + 1u) * 8;
			if (len > room || h->l4 + len - h->l3 - NET_IP6 > NET_EXT_OCTETS ||
			    !ext_ok(next, e, len))
				return drop(h, CNT_rx_drop_ext_header);
		}
		if (h->l4 + len - h->l3 - NET_IP6 > NET_EXT_OCTETS)
			return drop(h, CNT_rx_drop_ext_header);
		next = e[0];
		h->l4 = (uint16_t)(h->l4 + len);
	}
	return parse_transport(p, next, h);
}

static bool parse_ip6(const uint8_t *p, size_t total, struct net_head *h)
{
	const uint8_t *ip = p + h->l3;
	uint32_t room = (uint32_t)(total - h->l3), len;

	h->ip6 = true;
	if (room < NET_IP6)
		return drop(h, CNT_rx_drop_short);
	if (ip[0] >> 4 != 6)
		return drop(h, CNT_rx_drop_ip_header);
	len = net_be16(ip + 4);
	if (len > room - NET_IP6)
		return drop(h, CNT_rx_drop_short);
	h->ttl = ip[7];
	h->ecn = (ip[1] >> 4) & 3;
	h->l4 = (uint16_t)(h->l3 + NET_IP6);
	h->end = h->l4 + len;
	memcpy(h->tuple.remote, ip + 8, 16);
	memcpy(h->tuple.local, ip + 24, 16);
	/* Our own tables hold IPv4 in mapped form: on the wire it is an attempt to be one. */
	if (net_is_mapped4(h->tuple.local) || (h->watched && net_is_mapped4(h->tuple.remote)))
		return drop(h, CNT_rx_drop_not_ours);
	if (!h->watched && !net_source_possible(h->tuple.remote, true)) {
		static const uint8_t unspecified[16];

		/* RFC 4861 7.1.1: duplicate address detection asks from ::. */
		if (memcmp(h->tuple.remote, unspecified, 16) != 0 || ip[6] != NET_PROTO_ICMP6)
			return drop(h, CNT_rx_drop_source);
	}
	return parse_ext(p, ip[6], h);
}

static bool parse_network(const uint8_t *p, size_t total, uint16_t type, bool verify_ip,
			  struct net_head *h)
{
	switch (type) {
	case 0x0800:
		return parse_ip4(p, total, verify_ip, h);
	case 0x86dd:
		return parse_ip6(p, total, h);
	case 0x0806:
		h->kind = NET_KIND_ARP;
		h->l4 = h->l3;
		h->end = (uint32_t)total;
		return true;
	default:
		return drop(h, CNT_rx_drop_ethertype);
	}
}

bool net_parse(const uint8_t *p, size_t n, size_t total, bool verify_ip, struct net_head *h)
{
	uint16_t type;

	memset(h, 0, sizeof(*h));
	if (n < NET_ETHER || total < n || (n < NET_HEAD && n < total))
		return drop(h, CNT_rx_drop_short);
	h->dst_mac = p;
	h->src_mac = p + 6;
	if (p[6] & 1)
		return drop(h, CNT_rx_drop_source);
	type = net_be16(p + 12);
	h->l3 = NET_ETHER;
	if (type == 0x8100) {
		if (n < NET_ETHER + NET_VLAN)
			return drop(h, CNT_rx_drop_short);
		h->tagged = true;
		h->vlan = net_be16(p + 14);
		type = net_be16(p + 16);
		h->l3 += NET_VLAN;
	}
	return parse_network(p, total, type, verify_ip, h);
}

bool net_parse_tap(const uint8_t *p, size_t n, size_t total, bool verify_ip, struct net_head *h)
{
	uint16_t type;

	memset(h, 0, sizeof(*h));
	h->watched = true;
	if (n < NET_ETHER || total < n || (n < NET_HEAD_TAP && n < total))
		return drop(h, CNT_rx_drop_short);
	h->dst_mac = p;
	h->src_mac = p + 6;
	type = net_be16(p + 12);
	h->l3 = NET_ETHER;
	for (unsigned int tags = 0; net_is_tag(type) && tags < LIMIT_TAP_VLANS; tags++) {
		if (n < h->l3 + (size_t)NET_VLAN)
			return drop(h, CNT_rx_drop_short);
		h->tagged = true;
		h->vlan = net_be16(p + h->l3);
		type = net_be16(p + h->l3 + 2);
		h->l3 += NET_VLAN;
	}
	return parse_network(p, total, type, verify_ip, h);
}
