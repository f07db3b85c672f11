/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Frames of a cable: two ports, and what comes in at one leaves at the other as it came, in the
 * buffer that it came in. No address of ours is involved, and nothing here waits for control.
 */

#include "dataplane/net/net_priv.h"

/* What a driver said of a received frame is nothing to the driver that sends it. */
static void forget_offloads(struct rte_mbuf *m)
{
	m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
}

/* Each tag makes a frame longer than its MTU says (IEEE 802.1Q G.2.3); drivers leave room for two. */
static bool fits(const struct net *net, const struct rte_mbuf *m, uint16_t to)
{
	uint32_t most = net->port[to].info.mtu + NET_ETHER;
	uint8_t tmp[2 * NET_VLAN + 2];
	const uint8_t *p;

	if (m->pkt_len <= most)
		return true;
	if (m->pkt_len > most + 2 * NET_VLAN)
		return false;
	p = rte_pktmbuf_read(m, NET_ETHER - 2, sizeof(tmp), tmp);
	for (unsigned int tags = 0; p && tags < 2 && net_is_tag(net_be16(p)); tags++, p += NET_VLAN)
		most += NET_VLAN;
	return m->pkt_len <= most;
}

static enum net_outcome forward(struct net *net, struct rte_mbuf *m, uint16_t to)
{
	uint32_t octets = m->pkt_len;

	if (!fits(net, m, to)) {
		net_count(net, CNT_inline_drop_mtu);
		return NET_OUT_DONE;
	}
	forget_offloads(m);
	if (net_send(net, to, m) == 0) {
		net->cnt[CNT_inline_bridged_packets]++;
		net->cnt[CNT_inline_bridged_bytes] += octets;
	}
	return NET_OUT_GONE;
}

enum net_outcome net_bridge(struct net *net, struct net_item *it, uint8_t *scratch, bool steered,
			    bool whole)
{
	(void)scratch;
	(void)steered;
	(void)whole;
	return forward(net, it->m, net->port[it->path.port].info.peer);
}
