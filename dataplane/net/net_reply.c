/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* ARP, neighbour discovery, echo, and the errors that concern TCP. */

#include <string.h>

#include "dataplane/net/net_cksum.h"
#include "dataplane/net/net_priv.h"

#define ARP_LEN          28
#define ADVERT_LEN       32 /* RFC 4861 4.4 with a target link-layer address option */
#define ADVERT_SOLICITED 0x40
#define ADVERT_OVERRIDE  0x20

static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void send_arp(struct net *net, const struct net_path *path, uint8_t op, const uint8_t ip[4],
		     const uint8_t target_mac[6], const uint8_t target_ip[4])
{
	static const uint8_t head[7] = {0, 1, 8, 0, 6, 4, 0};
	struct net_frame f;

	if (net_frame_eth(net, path, 0x0806, ARP_LEN, &f))
		return;
	memcpy(f.l3, head, sizeof(head));
	f.l3[7] = op;
	memcpy(f.l3 + 8, net->port[path->port].info.mac, 6);
	memcpy(f.l3 + 14, ip, 4);
	memcpy(f.l3 + 18, target_mac, 6);
	memcpy(f.l3 + 24, target_ip, 4);
	if (net_send(net, path->port, f.m) == 0)
		net_count(net, CNT_arp_tx);
}

void net_input_arp(struct net *net, const struct net_item *it)
{
	uint8_t target[16], sender[16];
	struct net_arp arp;

	if (!net_parse_arp(it->head + it->h.l3, it->h.end - it->h.l3, &arp)) {
		net_count(net, CNT_arp_drop);
		return;
	}
	net_map4(target, arp.target_ip);
	net_map4(sender, arp.sender_ip);
	if (!arp.request || !net_ours(net, it->path.port, target)) {
		net_count(net, CNT_arp_drop);
		return;
	}
	net_count(net, CNT_arp_rx);
	/* Somebody else has our address: an answer would only join the quarrel. */
	if (net_ours(net, it->path.port, sender) || !net_budget(net, NET_BUDGET_NEIGHBOUR)) {
		net_count(net, CNT_arp_drop);
		return;
	}
	send_arp(net, &it->path, 2, arp.target_ip, arp.sender_mac, arp.sender_ip);
}

static void send_advert(struct net *net, const struct net_path *path, const uint8_t target[16],
			const uint8_t to[16], uint8_t flags)
{
	struct tcp_tuple t = {0};
	struct net_frame f;

	memcpy(t.local, target, 16);
	memcpy(t.remote, to, 16);
	/* RFC 4861 7.1.2: hop limit 255, or nobody believes it. */
	if (net_frame_ip(net, path, &t, NET_PROTO_ICMP6, 255, ADVERT_LEN, &f))
		return;
	memset(f.l4, 0, ADVERT_LEN);
	f.l4[0] = 136;
	f.l4[4] = flags;
	memcpy(f.l4 + 8, target, 16);
	f.l4[24] = 2;
	f.l4[25] = 1;
	memcpy(f.l4 + 26, net->port[path->port].info.mac, 6);
	net_cksum_store(f.l4 + 2, net_cksum_add(net_cksum_pseudo(t.local, t.remote, true,
								 NET_PROTO_ICMP6, ADVERT_LEN),
						f.l4, ADVERT_LEN));
	if (net_send(net, path->port, f.m) == 0)
		net_count(net, CNT_nd_tx);
}

void net_announce(struct net *net, struct net_address *a)
{
	struct net_path path = {.port = (uint8_t)a->port};

	if (net_is_mapped4(a->ip)) {
		static const uint8_t nobody[6];

		/* RFC 5227 3: an announcement is a request for one's own address. */
		memcpy(path.mac, broadcast_mac, 6);
		send_arp(net, &path, 1, a->ip + 12, nobody, a->ip + 12);
		return;
	}
	/* RFC 4861 7.2.6 */
	memcpy(path.mac, all_nodes_mac, 6);
	send_advert(net, &path, a->ip, all_nodes, ADVERT_OVERRIDE);
}

static void input_solicit(struct net *net, const struct net_item *it, bool reassembled)
{
	static const uint8_t unspecified[16];
	const struct net_head *h = &it->h;
	struct net_path path = it->path;
	struct net_solicit ns;
	uint32_t len = h->end - h->l4;
	uint8_t text[NET_ICMP_TEXT];
	const uint8_t *p;

	if (len > sizeof(text))
		len = sizeof(text);
	p = rte_pktmbuf_read(it->m, h->l4, len, text);
	/* RFC 6980 5: neighbour discovery in fragments is ignored. */
	if (!p || reassembled || len != h->end - h->l4 ||
	    !net_parse_solicit(p, len, h->ttl, h->tuple.remote, h->tuple.local, &ns) ||
	    !net_ours(net, it->path.port, ns.target)) {
		net_count(net, CNT_nd_drop);
		return;
	}
	net_count(net, CNT_nd_rx);
	if (!net_budget(net, NET_BUDGET_NEIGHBOUR)) {
		net_count(net, CNT_nd_drop);
		return;
	}
	if (memcmp(h->tuple.remote, unspecified, 16) == 0) {
		/* RFC 4861 7.2.4: who asks from :: is answered before all nodes. */
		memcpy(path.mac, all_nodes_mac, 6);
		send_advert(net, &path, ns.target, all_nodes, ADVERT_OVERRIDE);
		return;
	}
	if (ns.has_mac)
		memcpy(path.mac, ns.mac, 6);
	send_advert(net, &path, ns.target, h->tuple.remote, ADVERT_SOLICITED | ADVERT_OVERRIDE);
}

static void input_echo(struct net *net, const struct net_item *it)
{
	const struct net_head *h = &it->h;
	uint32_t len = h->end - h->l4, header = h->ip6 ? NET_IP6 : NET_IP4;
	uint32_t most = net->tx_room - NET_ETHER - NET_VLAN;
	uint64_t sum = 0;
	struct net_frame f;
	const uint8_t *p;

	if (!net_budget(net, NET_BUDGET_ECHO)) {
		net_count(net, CNT_icmp_drop);
		return;
	}
	if (net->port[it->path.port].info.mtu < most)
		most = net->port[it->path.port].info.mtu;
	/* RFC 1122 3.2.2.6, RFC 4443 4.2: cut to what goes in one datagram. */
	if (len > most - header)
		len = most - header;
	if (net_frame_ip(net, &it->path, &h->tuple, h->ip6 ? NET_PROTO_ICMP6 : NET_PROTO_ICMP, 64,
			 len, &f))
		return;
	p = rte_pktmbuf_read(it->m, h->l4, len, f.l4);
	if (p && p != f.l4)
		memcpy(f.l4, p, len);
	f.l4[0] = h->ip6 ? 129 : 0;
	memset(f.l4 + 2, 0, 2);
	if (h->ip6)
		sum = net_cksum_pseudo(h->tuple.local, h->tuple.remote, true, NET_PROTO_ICMP6, len);
	net_cksum_store(f.l4 + 2, net_cksum_add(sum, f.l4, len));
	if (net_send(net, it->path.port, f.m) == 0)
		net_count(net, CNT_icmp_echo);
}

/* True: the packet went to the worker that owns the quoted flow. */
static bool input_error(struct net *net, const struct net_item *it, bool steered)
{
	const struct net_head *h = &it->h;
	uint8_t text[NET_ICMP_TEXT];
	uint32_t len = h->end - h->l4;
	struct net_quote q;
	const uint8_t *p;

	if (len > sizeof(text))
		len = sizeof(text);
	p = rte_pktmbuf_read(it->m, h->l4, len, text);
	/* What is quoted must have been sent by us, through this port. */
	if (!p || !net_parse_icmp_error(p, len, h->ip6, &q) || !net->tcp ||
	    !net_ours(net, it->path.port, q.tuple.local)) {
		net_count(net, CNT_icmp_drop);
		return false;
	}
	if (!steered && net_steer_flow(net, it, &q.tuple))
		return true;
	if (!net_budget(net, NET_BUDGET_ERROR)) {
		net_count(net, CNT_icmp_drop);
		return false;
	}
	net_count(net, CNT_icmp_error_rx);
	tcp_icmp_error(net->tcp, &q.tuple, q.seq, q.mtu);
	return false;
}

bool net_input_icmp(struct net *net, const struct net_item *it, bool steered, bool reassembled)
{
	const struct net_head *h = &it->h;
	uint8_t type = it->head[h->l4], code = it->head[h->l4 + 1];
	/* ICMPv6 errors are the types below 128 (RFC 4443 2.1). */
	bool error = h->ip6 ? type < 128 : type == 3 || type == 11 || type == 12;

	if (h->ip6 && type == 135) {
		input_solicit(net, it, reassembled);
		return false;
	}
	if (!net_ours(net, it->path.port, h->tuple.local) || (it->head[0] & 1)) {
		net_count(net, CNT_rx_drop_not_ours);
		return false;
	}
	/* Only a solicitation may come from the unspecified address. */
	if (!net_source_possible(h->tuple.remote, h->ip6)) {
		net_count(net, CNT_rx_drop_source);
		return false;
	}
	if (error)
		return input_error(net, it, steered);
	if (type == (h->ip6 ? 128 : 8) && code == 0) {
		input_echo(net, it);
		return false;
	}
	net_count(net, CNT_icmp_drop);
	return false;
}
