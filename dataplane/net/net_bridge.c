/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Frames of a cable: two ports, and what comes in at one leaves at the other as it came, in the
 * buffer that it came in. No address of ours is involved, and nothing here waits for control.
 *
 * Where the kernel has a port of its own to the servers, what comes out of that leaves at the end
 * with the servers, and what is for the kernel's MAC comes back to it, with a copy of what asks for
 * neighbours. Frames that are looked at: net_cable.c.
 */

#include "dataplane/net/net_bridge.h"

#define ARP 0x0806
#define IP6 0x86dd
#define MAC_KNOWN (1ull << 48)

/* Each tag makes a frame longer than its MTU says (IEEE 802.1Q G.2.3); drivers leave room for
 * two. */
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

/* What a driver said of a received frame is nothing to the driver that sends it. */
static void forget_offloads(struct rte_mbuf *m)
{
	m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
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

enum net_outcome net_bridge_on(struct net *net, struct rte_mbuf *m)
{
	return forward(net, m, net->port[m->port].info.peer);
}

enum net_outcome net_bridge_kernel(struct net *net, struct rte_mbuf *m, const uint8_t mac[6])
{
	uint8_t to = net->port[m->port].exception;

	/* Its begin is to be written to, and ours alone. */
	if (to == NET_MAX_PORTS || m->data_len < NET_ETHER || !RTE_MBUF_DIRECT(m) ||
	    rte_mbuf_refcnt_read(m) != 1) {
		net_count(net, CNT_inline_drop_no_exception);
		return NET_OUT_DONE;
	}
	memcpy(rte_pktmbuf_mtod(m, uint8_t *), mac, 6);
	return forward(net, m, to);
}

/* ---- the kernel's MACs ---------------------------------------------------------------------- */

static uint64_t mac_word(const uint8_t mac[6])
{
	return MAC_KNOWN | (uint64_t)net_be16(mac) << 32 | net_be32(mac + 2);
}

static bool kernel_has(const struct net_kernel *k, uint64_t mac)
{
	for (unsigned int i = 0; i < NET_KERNEL_MACS; i++)
		if (atomic_load_explicit(&k->mac[i], memory_order_relaxed) == mac)
			return true;
	return false;
}

static void learn(struct net_kernel *k, const uint8_t src[6])
{
	uint64_t mac = mac_word(src);

	if (src[0] & 1 || kernel_has(k, mac))
		return;
	for (unsigned int i = 0; i < NET_KERNEL_MACS; i++) {
		uint64_t none = 0;

		if (atomic_compare_exchange_strong(&k->mac[i], &none, mac))
			return;
	}
	/* More interfaces than were thought of: one goes, and comes back with its next frame. */
	atomic_store_explicit(&k->mac[mac % NET_KERNEL_MACS], mac, memory_order_relaxed);
}

/* ARP, and the part of ICMPv6 that is sent to groups: neighbours, routers, listeners. */
static bool asks_neighbours(const uint8_t *p, uint32_t n)
{
	uint32_t at = NET_ETHER;
	uint16_t type = net_be16(p + 12);

	if (type == 0x8100 && n >= NET_ETHER + NET_VLAN) {
		type = net_be16(p + 16);
		at += NET_VLAN;
	}
	if (type != IP6 || n < at + NET_IP6)
		return type == ARP;
	/* Reports of listeners stand behind a hop-by-hop header (RFC 3810 5). */
	return p[at + 6] == NET_PROTO_ICMP6 || p[at + 6] == 0;
}

static void copy_to_kernel(struct net *net, const struct rte_mbuf *m, uint8_t to)
{
	struct rte_mbuf *copy = NULL;

	if (fits(net, m, to))
		copy = rte_pktmbuf_copy(m, net->tx_pool, 0, UINT32_MAX);
	if (!copy) {
		net_count(net, CNT_inline_drop_no_exception);
		return;
	}
	forget_offloads(copy);
	if (net_send(net, to, copy) == 0)
		net_count(net, CNT_inline_neighbour_copied);
}

/* True: the frame is the kernel's alone. */
static bool for_kernel(struct net *net, const struct rte_mbuf *m)
{
	uint8_t to = net->port[m->port].exception, tmp[NET_ETHER + NET_VLAN + NET_IP6];
	uint32_t n = m->pkt_len < sizeof(tmp) ? m->pkt_len : sizeof(tmp);
	const uint8_t *p = n >= NET_ETHER ? rte_pktmbuf_read(m, 0, n, tmp) : NULL;

	if (!p)
		return false;
	if (!(p[0] & 1))
		return kernel_has(&net->kernel[to], mac_word(p));
	if (asks_neighbours(p, n))
		copy_to_kernel(net, m, to);
	return false;
}

enum net_outcome net_bridge(struct net *net, struct net_item *it, uint8_t *scratch, bool steered,
			    bool whole)
{
	struct rte_mbuf *m = it->m;
	const struct net_port *p = &net->port[m->port];

	if (p->info.role == PORT_EXCEPTION) {
		uint8_t tmp[6];
		const uint8_t *src = rte_pktmbuf_read(m, 6, sizeof(tmp), tmp);

		if (src)
			learn(&net->kernel[m->port], src);
	} else if (p->exception != NET_MAX_PORTS && !steered && !whole && for_kernel(net, m)) {
		return forward(net, m, p->exception);
	}
	if (!net->tcp || !inline_active(net->cable))
		return net_bridge_on(net, m);
	return net_cable(net, it, scratch, steered, whole);
}
