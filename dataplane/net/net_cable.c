/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Packets of a cable while servers are named: which of them are looked at, and what is then done
 * with them as inline/ says. All that is not TCP to or from a server's port, or an ICMP error about
 * that, passes before it is parsed. Frames with more than one tag, and tunnels, pass as well.
 */

#include <string.h>

#include "dataplane/net/net_bridge.h"
#include "dataplane/net/net_look.h"

static struct tcp_tuple swapped(const struct tcp_tuple *t)
{
	struct tcp_tuple out = {.local_port = t->remote_port, .remote_port = t->local_port};

	memcpy(out.local, t->remote, 16);
	memcpy(out.remote, t->local, 16);
	return out;
}

/* ---- ICMP ------------------------------------------------------------------------------------ */

/* An error about a segment of ours, or of the kernel's. Others pass. */
static enum net_outcome input_icmp(struct net *net, struct net_item *it, bool steered)
{
	const struct net_head *h = &it->h;
	uint32_t len = h->end - h->l4;
	uint8_t text[NET_ICMP_TEXT], mac[6];
	struct tcp_tuple back;
	struct net_quote q;
	const uint8_t *p;

	if (len > sizeof(text))
		len = sizeof(text);
	p = rte_pktmbuf_read(it->m, h->l4, len, text);
	if (!p || !net_parse_icmp_error(p, len, h->ip6, &q) || !net_l4_checksum_ok(it))
		return net_bridge_on(net, it->m);
	if (inline_server(net->cable, q.tuple.local, q.tuple.local_port)) {
		if (!steered && net_steer_cable(net, it, &q.tuple))
			return NET_OUT_GONE;
		if (!tcp_has(net->tcp, &q.tuple))
			return net_bridge_on(net, it->m);
		if (!net_budget(net, NET_BUDGET_ERROR)) {
			net_count(net, CNT_icmp_drop);
			return NET_OUT_DONE;
		}
		net_count(net, CNT_icmp_error_rx);
		tcp_icmp_error(net->tcp, &q.tuple, q.seq, q.mtu);
		return NET_OUT_DONE;
	}
	back = swapped(&q.tuple);
	if (!inline_server(net->cable, back.local, back.local_port))
		return net_bridge_on(net, it->m);
	if (!steered && net_steer_cable(net, it, &back))
		return NET_OUT_GONE;
	if (inline_kernel_flow(net->cable, &back, mac))
		return net_bridge_kernel(net, it->m, mac);
	return net_bridge_on(net, it->m);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

/* For our TCP: answers leave where it came in, from the MAC that it was sent to. */
static enum net_outcome take(struct net *net, struct net_item *it)
{
	if (!net_l4_checksum_ok(it)) {
		net_count(net, CNT_rx_drop_l4_checksum);
		return NET_OUT_DONE;
	}
	net_count(net, CNT_inline_terminated);
	return NET_OUT_TCP;
}

static enum net_outcome refuse(struct net *net, struct net_item *it, struct tcp_segment *seg)
{
	if (net_l4_checksum_ok(it))
		tcp_refuse(net->tcp, seg);
	return NET_OUT_DONE;
}

static enum net_outcome input_tcp(struct net *net, struct net_item *it, bool steered)
{
	const struct net_head *h = &it->h;
	struct tcp_tuple tuple = h->tuple;
	struct tcp_segment seg = {.tuple = &h->tuple, .path = &it->tcp_path, .header = it->head + h->l4,
				  .header_len = h->tcp_header,
				  .payload_len = h->end - h->l4 - h->tcp_header, .ttl = h->ttl};
	struct inline_packet p = {.tuple = &tuple, .flags = seg.header[13]};
	bool kernel = net->port[it->path.port].info.role == PORT_EXCEPTION;

	p.server = inline_server(net->cable, tuple.local, tuple.local_port);
	p.way = kernel ? INLINE_KERNEL_OUT : INLINE_TO_SERVER;
	if (!p.server && !kernel) {
		tuple = swapped(&h->tuple);
		p.server = inline_server(net->cable, tuple.local, tuple.local_port);
		p.way = INLINE_FROM_SERVER;
	}
	if (!p.server)
		return net_bridge_on(net, it->m);
	if (!steered && net_steer_cable(net, it, p.way == INLINE_FROM_SERVER ? &tuple : &h->tuple))
		return NET_OUT_GONE;
	it->path.bridged = 1;
	memcpy(it->path.mac, h->src_mac, 6);
	memcpy(it->path.own, h->dst_mac, 6);
	net_path_tag(&it->path, h, it->m);
	memcpy(p.mac, h->src_mac, 6);
	if (p.way == INLINE_TO_SERVER)
		p.ours = tcp_claims(net->tcp, &seg);
	else if (p.way == INLINE_FROM_SERVER)
		p.ours = tcp_has(net->tcp, &tuple);
	switch (inline_tcp(net->cable, &p)) {
	case INLINE_OURS: return take(net, it);
	case INLINE_REFUSE: return refuse(net, it, &seg);
	case INLINE_KERNEL: return net_bridge_kernel(net, it->m, p.mac);
	case INLINE_DROP: return NET_OUT_DONE;
	case INLINE_WATCH:
		net_count(net, CNT_inline_watched);
		if (net->watch)
			net->watch(net->watch_ctx, it->m, h, it->head);
		break;
	default:
		break;
	}
	return net_bridge_on(net, it->m);
}

/* ---- fragments ------------------------------------------------------------------------------- */

static enum net_outcome input_fragment(struct net *net, struct net_item *it, uint8_t *scratch,
				       bool steered)
{
	const struct net_head *h = &it->h;
	struct inline_fragment f = {.source = h->tuple.remote, .destination = h->tuple.local,
				    .id = h->fragment_id, .proto = h->fragment_proto,
				    .first = h->fragment_off == 0};

	if (net->port[it->path.port].info.role == PORT_EXCEPTION ||
	    !inline_maybe_tcp(f.proto) || !inline_address(net->cable, f.destination))
		return net_bridge_on(net, it->m);
	if (!steered && net_steer_fragment(net, it))
		return NET_OUT_GONE;
	if (f.first && f.proto == NET_PROTO_TCP && h->end - h->l4 >= NET_TCP)
		f.ports = it->head + h->l4;
	switch (inline_fragment(net->cable, &f)) {
	case INLINE_PASS: return net_bridge_on(net, it->m);
	case INLINE_OURS: break;
	default: return NET_OUT_DONE;
	}
	it->m = net_reassemble(net, it);
	if (!it->m)
		return NET_OUT_GONE;
	it->path = (struct net_path){.port = (uint8_t)it->m->port};
	return net_cable(net, it, scratch, false, true);
}

enum net_outcome net_cable(struct net *net, struct net_item *it, uint8_t *scratch, bool steered,
			   bool whole)
{
	struct rte_mbuf *m = it->m;
	uint32_t n = m->pkt_len < NET_HEAD ? m->pkt_len : NET_HEAD;

	it->head = m->nb_segs <= NET_VIEWS && m->pkt_len <= UINT16_MAX + NET_ETHER + NET_VLAN
			   ? rte_pktmbuf_read(m, 0, n, scratch)
			   : NULL;
	if (!it->head || !net_look_wanted(net->cable, it->head, n))
		return net_bridge_on(net, m);
	if (!net_parse(it->head, n, m->pkt_len, true, &it->h)) {
		bool kernel = net->port[m->port].info.role == PORT_EXCEPTION;

		if (kernel || !net_look_dubious(net->cable, it->head, n, &it->h) ||
		    inline_malformed(net->cable) == INLINE_PASS)
			return net_bridge_on(net, m);
		return NET_OUT_DONE;
	}
	switch (it->h.kind) {
	case NET_KIND_TCP:
		return input_tcp(net, it, steered);
	case NET_KIND_ICMP:
	case NET_KIND_ICMP6:
		return net->port[m->port].info.role == PORT_EXCEPTION ? net_bridge_on(net, m)
								     : input_icmp(net, it, steered);
	case NET_KIND_FRAGMENT:
		if (!whole)
			return input_fragment(net, it, scratch, steered);
		net_count(net, CNT_rx_drop_fragment);
		return NET_OUT_DONE;
	default:
		return net_bridge_on(net, m);
	}
}
