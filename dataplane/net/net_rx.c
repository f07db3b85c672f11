/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The way of a burst: parse and verify every packet (the octets of the packets behind are being
 * fetched meanwhile), answer ARP and ICMP on the spot, collect TCP, then hand all segments to TCP
 * in one call.
 */

#include <string.h>

#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include "dataplane/net/net_cksum.h"
#include "dataplane/net/net_priv.h"

#define PREFETCH_AHEAD 4   /* packets */
#define PREFETCH_PAYLOAD 4 /* lines; the machine's own prefetching goes on from there */

uint64_t net_mbuf_sum(const struct rte_mbuf *m, uint32_t off, uint32_t n)
{
	uint64_t sum = 0;
	bool odd = false;

	for (; m && off >= m->data_len; m = m->next)
		off -= m->data_len;
	for (; m && n; m = m->next, off = 0) {
		uint32_t k = m->data_len - off < n ? m->data_len - off : n;
		uint64_t piece = net_cksum_sum(rte_pktmbuf_mtod_offset(m, uint8_t *, off), k);

		sum += odd ? net_cksum_odd(piece) : piece;
		odd ^= k & 1;
		n -= k;
	}
	return sum;
}

/*
 * RTE_MBUF_F_RX_L4_CKSUM_NONE is both bits at once: a local peer (virtio, a tap) left the field
 * undone, and vouches for the data. So the mask is compared, never a bit tested.
 */
bool net_l4_checksum_ok(const struct net_item *it)
{
	const struct net_head *h = &it->h;
	uint32_t len = h->end - h->l4;
	uint64_t sum = 0;

	if (h->kind == NET_KIND_TCP) {
		switch (it->m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) {
		case RTE_MBUF_F_RX_L4_CKSUM_GOOD:
		case RTE_MBUF_F_RX_L4_CKSUM_NONE:
			return true;
		case RTE_MBUF_F_RX_L4_CKSUM_BAD:
			return false;
		default:
			break;
		}
	}
	/* RFC 9293 3.1, RFC 4443 2.3: with a pseudo-header; RFC 792: without. */
	if (h->kind != NET_KIND_ICMP)
		sum = net_cksum_pseudo(h->tuple.remote, h->tuple.local, h->ip6,
				       h->kind == NET_KIND_TCP ? NET_PROTO_TCP : NET_PROTO_ICMP6,
				       len);
	return net_cksum_fold(sum + net_mbuf_sum(it->m, h->l4, len)) == 0xffff;
}

static bool refuse(struct net *net, enum postern_counter why)
{
	net_count(net, why);
	return false;
}

/* Is the frame for our MAC? Group addresses carry ARP and neighbour solicitations only. */
static bool mac_ok(struct net *net, const struct net_item *it)
{
	const struct net_head *h = &it->h;
	const uint8_t *mac = net->port[it->path.port].info.mac;

	if (memcmp(h->src_mac, mac, 6) == 0)
		return refuse(net, CNT_rx_drop_source);
	if (memcmp(h->dst_mac, mac, 6) == 0)
		return true;
	if ((h->dst_mac[0] & 1) && (h->kind == NET_KIND_ARP || h->kind == NET_KIND_ICMP6))
		return true;
	return refuse(net, CNT_rx_drop_not_ours);
}

static bool parse(struct net *net, struct net_item *it, uint8_t *scratch)
{
	struct rte_mbuf *m = it->m;
	uint32_t n = m->pkt_len < NET_HEAD ? m->pkt_len : NET_HEAD;
	uint64_t ip = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;

	if (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD)
		return refuse(net, CNT_rx_drop_ip_checksum);
	if (m->nb_segs > NET_VIEWS || m->pkt_len > UINT16_MAX + NET_ETHER + NET_VLAN)
		return refuse(net, CNT_rx_drop_chain);
	/* In place unless the first mbuf of the chain is shorter than the headers. */
	it->head = rte_pktmbuf_read(m, 0, n, scratch);
	if (!it->head)
		return refuse(net, CNT_rx_drop_short);
	if (!net_parse(it->head, n, m->pkt_len, ip == 0, &it->h))
		return refuse(net, (enum postern_counter)it->h.drop);
	if (!mac_ok(net, it))
		return false;
	memcpy(it->path.mac, it->h.src_mac, 6);
	net_path_tag(&it->path, &it->h, m);
	return true;
}

static enum net_outcome input_tcp(struct net *net, struct net_item *it, bool steered)
{
	if (!net_ours(net, it->path.port, it->h.tuple.local)) {
		net_count(net, CNT_rx_drop_not_ours);
		return NET_OUT_DONE;
	}
	if (!steered && net_steer_flow(net, it, &it->h.tuple))
		return NET_OUT_GONE;
	if (!net_l4_checksum_ok(it)) {
		net_count(net, CNT_rx_drop_l4_checksum);
		return NET_OUT_DONE;
	}
	if (!net->tcp) {
		net_count(net, CNT_rx_drop_ip_proto);
		return NET_OUT_DONE;
	}
	return NET_OUT_TCP;
}

static enum net_outcome input_icmp(struct net *net, struct net_item *it, bool steered, bool whole)
{
	if (!net_l4_checksum_ok(it)) {
		net_count(net, CNT_rx_drop_l4_checksum);
		return NET_OUT_DONE;
	}
	return net_input_icmp(net, it, steered, whole) ? NET_OUT_GONE : NET_OUT_DONE;
}

static bool fragment_wanted(struct net *net, const struct net_item *it)
{
	uint8_t proto = it->h.fragment_proto;

	if (!net_ours(net, it->path.port, it->h.tuple.local))
		return refuse(net, CNT_rx_drop_not_ours);
	if (proto != NET_PROTO_TCP && proto != (it->h.ip6 ? NET_PROTO_ICMP6 : NET_PROTO_ICMP))
		return refuse(net, CNT_rx_drop_ip_proto);
	return true;
}

/* `whole`: the packet came out of reassembly here. */
static enum net_outcome classify(struct net *net, struct net_item *it, uint8_t *scratch, bool steered,
			     bool whole)
{
	it->path = (struct net_path){.port = (uint8_t)it->m->port};
	if (net->port[it->path.port].bridged)
		return net_bridge(net, it, scratch, steered, whole);
	if (!parse(net, it, scratch))
		return NET_OUT_DONE;
	if (it->h.kind != NET_KIND_ARP && net_source_ours(net, it->path.port, it->h.tuple.remote)) {
		net_count(net, CNT_rx_drop_source);
		return NET_OUT_DONE;
	}
	switch (it->h.kind) {
	case NET_KIND_ARP:
		net_input_arp(net, it);
		return NET_OUT_DONE;
	case NET_KIND_TCP:
		return input_tcp(net, it, steered);
	case NET_KIND_ICMP:
	case NET_KIND_ICMP6:
		return input_icmp(net, it, steered, whole);
	default:
		break;
	}
	if (whole) {
		net_count(net, CNT_rx_drop_fragment);
		return NET_OUT_DONE;
	}
	if (!fragment_wanted(net, it))
		return NET_OUT_DONE;
	if (!steered && net_steer_fragment(net, it))
		return NET_OUT_GONE;
	it->m = net_reassemble(net, it);
	if (!it->m)
		return NET_OUT_GONE;
	/* The datagram has a tuple at last, and perhaps another owner. */
	return classify(net, it, scratch, false, true);
}

/* The item as TCP wants it; its payload is seen through the burst's next views. */
static void add_segment(struct net *net, struct net_item *it)
{
	const struct net_head *h = &it->h;
	uint32_t off = h->l4 + h->tcp_header, left = h->end - off;
	struct tcp_view *view = &net->view[net->n_view];
	uint16_t n = 0;
	const struct rte_mbuf *m = it->m;

	net->segment[net->n_segment] = (struct tcp_segment){.tuple = &h->tuple,
							    .path = &it->tcp_path,
							    .header = it->head + h->l4,
							    .header_len = h->tcp_header,
							    .view = view,
							    .payload_len = left,
							    .ttl = h->ttl,
							    .ecn = h->ecn};
	for (; m && off >= m->data_len; m = m->next)
		off -= m->data_len;
	for (; m && left; m = m->next, off = 0) {
		uint32_t k = m->data_len - off < left ? m->data_len - off : left;

		if (!k)
			continue;
		view[n++] = (struct tcp_view){rte_pktmbuf_mtod_offset(m, uint8_t *, off), k};
		left -= k;
	}
	for (unsigned int i = 0; n && i < PREFETCH_PAYLOAD; i++)
		rte_prefetch0(view[0].p + (size_t)(i + 1) * RTE_CACHE_LINE_SIZE);
	net->segment[net->n_segment++].n_views = n;
	net->n_view += n;
}

/* TCP keeps nothing of what it was shown, so the packets go back at once. */
static void hand_up(struct net *net)
{
	struct rte_mbuf *m[NET_RX_BURST];

	if (!net->n_segment)
		return;
	tcp_input_burst(net->tcp, net->segment, net->n_segment);
	for (unsigned int i = 0; i < net->n_segment; i++)
		m[i] = net->item[i].m;
	rte_pktmbuf_free_bulk(m, net->n_segment);
	net->n_segment = net->n_view = 0;
}

/* The headers of a segment with options lie in two lines. */
static void prefetch_head(const struct rte_mbuf *m)
{
	rte_prefetch0(rte_pktmbuf_mtod(m, void *));
	rte_prefetch0(rte_pktmbuf_mtod_offset(m, void *, RTE_CACHE_LINE_SIZE));
}

void net_process(struct net *net, struct rte_mbuf **m, unsigned int n, bool steered)
{
	for (unsigned int i = 0; i < n && i < PREFETCH_AHEAD; i++)
		prefetch_head(m[i]);
	for (unsigned int i = 0; i < n; i++) {
		struct net_item *it = &net->item[net->n_segment];

		if (i + PREFETCH_AHEAD < n)
			prefetch_head(m[i + PREFETCH_AHEAD]);
		it->m = m[i];
		switch (classify(net, it, net->scratch[net->n_segment], steered, false)) {
		case NET_OUT_TCP:
			add_segment(net, it);
			if (net->n_view > NET_BURST_VIEWS - NET_VIEWS)
				hand_up(net);
			break;
		case NET_OUT_DONE:
			rte_pktmbuf_free(it->m);
			break;
		case NET_OUT_GONE:
			break;
		}
	}
	hand_up(net);
}

/* Not every driver counts the packets for which it found no buffer. */
static bool pool_empty(const struct net *net)
{
	struct rte_mempool_cache *cache;

	if (!net->rx_pool || net_pool_left(net->rx_pool))
		return false;
	cache = rte_mempool_default_cache(net->rx_pool, rte_lcore_id());
	return !cache || !cache->len;
}

unsigned int net_rx(struct net *net, uint16_t port_id, uint16_t queue_id)
{
	struct rte_mbuf *m[NET_RX_BURST];
	uint16_t n = rte_eth_rx_burst(port_id, queue_id, m, NET_RX_BURST);

	if (n < NET_RX_BURST && pool_empty(net))
		net_count(net, CNT_rx_pool_empty);
	if (!n)
		return 0;
	net->cnt[CNT_rx_packets] += n;
	for (uint16_t i = 0; i < n; i++) {
		/* Not every virtual driver says where it came from. */
		m[i]->port = port_id;
		net->cnt[CNT_rx_bytes] += m[i]->pkt_len;
	}
	net_process(net, m, n, false);
	return n;
}
