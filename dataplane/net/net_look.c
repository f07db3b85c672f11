/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/net/net_look.h"

#include "postern/stats.h"

static bool ports_wanted(const struct inline_worker *cable, const uint8_t *tcp)
{
	return inline_port(cable, net_be16(tcp)) || inline_port(cable, net_be16(tcp + 2));
}

bool net_look_wanted(const struct inline_worker *cable, const uint8_t *p, uint32_t n)
{
	uint32_t at = NET_ETHER;
	uint16_t type;

	/* TCP and ICMP errors to groups nobody takes. */
	if (n < NET_ETHER || p[0] & 1)
		return false;
	type = net_be16(p + 12);
	if (type == 0x8100 && n >= NET_ETHER + NET_VLAN) {
		type = net_be16(p + 16);
		at += NET_VLAN;
	}
	if (type == 0x0800 && n >= at + NET_IP4) {
		bool plain = p[at] == 0x45 && !(net_be16(p + at + 6) & 0x3fff) && n >= at + NET_IP4 + 4;

		if (p[at + 9] == NET_PROTO_TCP)
			return !plain || ports_wanted(cable, p + at + NET_IP4);
		return p[at + 9] == NET_PROTO_ICMP;
	}
	if (type != 0x86dd || n < at + NET_IP6)
		return false;
	if (p[at + 6] == NET_PROTO_TCP && n >= at + NET_IP6 + 4)
		return ports_wanted(cable, p + at + NET_IP6);
	return inline_maybe_tcp(p[at + 6]) || p[at + 6] == NET_PROTO_ICMP6;
}

static bool server_at(const struct inline_worker *cable, const uint8_t address[16], const uint8_t *tcp)
{
	const struct handoff_inline *s = inline_server(cable, address, net_be16(tcp + 2));

	return s && s->mode == INLINE_TERMINATE;
}

bool net_look_dubious(const struct inline_worker *cable, const uint8_t *head, uint32_t n,
		      const struct net_head *h)
{
	const uint8_t *ip = head + h->l3;
	uint8_t address[16];
	uint32_t header;

	if (h->l3 < NET_ETHER || n < h->l3 + NET_IP4 + 4u || h->drop == CNT_rx_drop_ip_proto ||
	    h->drop == CNT_rx_drop_ethertype)
		return false;
	if (h->ip6) {
		if (n < h->l3 + NET_IP6 + 4u || !inline_maybe_tcp(ip[6]))
			return false;
		if (ip[6] == NET_PROTO_TCP)
			return server_at(cable, ip + 24, ip + NET_IP6);
		if (h->drop == CNT_rx_drop_fragment && !inline_maybe_tcp(h->fragment_proto))
			return false;
		return inline_address(cable, ip + 24);
	}
	header = (ip[0] & 15u) * 4;
	if (ip[9] != NET_PROTO_TCP || header < NET_IP4)
		return false;
	net_map4(address, ip + 16);
	if (net_be16(ip + 6) & 0x1fff)
		return inline_address(cable, address);
	return n >= h->l3 + header + 4 && server_at(cable, address, ip + header);
}
