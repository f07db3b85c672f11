/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tap_packet.h"

#include <errno.h>
#include <string.h>

#include <rte_mempool.h>

#include "dataplane/net/net_cksum.h"
#include "dataplane/tap/tap_decap.h"

#define VIEWS      128 /* mbufs that a packet may be chained of */
#define FRAGMENT_S 30  /* RFC 1122 3.3.2: 60 to 120 s is for hosts; a capture shows them at once */

enum steering { RAW, STEERED, OURS };

void tap_packet_hold(void *owner)
{
	rte_mbuf_refcnt_update(owner, 1);
}

void tap_packet_drop(void *owner)
{
	rte_pktmbuf_free_seg(owner);
}

static void count(struct tap_packet *p, enum postern_counter c)
{
	p->counters[c]++;
}

static bool checksum_bad(const struct tap_packet *p, const struct rte_mbuf *m,
			 const struct net_head *h)
{
	uint32_t len = h->end - h->l4;

	if (p->ignore_checksums)
		return false;
	switch (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) {
	case RTE_MBUF_F_RX_L4_CKSUM_GOOD:
	case RTE_MBUF_F_RX_L4_CKSUM_NONE:
		return false;
	case RTE_MBUF_F_RX_L4_CKSUM_BAD:
		return true;
	default:
		return net_cksum_fold(net_cksum_pseudo(h->tuple.remote, h->tuple.local, h->ip6,
						       NET_PROTO_TCP, len) +
				      net_mbuf_sum(m, h->l4, len)) != 0xffff;
	}
}

/* What waits must not end reception. The pool's count is that of all cores' caches apart. */
static bool pool_low(const struct tap_packet *p, const struct rte_mbuf *m)
{
	return p->low && rte_mempool_get_ops(m->pool->ops_index)->get_count(m->pool) < p->low;
}

void tap_packet_segment(struct tap_packet *p, struct rte_mbuf *m, const struct net_head *h,
			const uint8_t *head, bool bad)
{
	uint32_t off = h->l4 + h->tcp_header, left = h->end - off;
	struct tap_view view[VIEWS];
	struct tap_segment seg = {.tuple = &h->tuple,
				  .header = head + h->l4,
				  .header_len = h->tcp_header,
				  .view = view,
				  .payload_len = left,
				  .time_us = p->now_us,
				  .ttl = h->ttl};
	struct rte_mbuf *s = m;
	bool low;

	if (m->nb_segs > VIEWS) {
		count(p, CNT_rx_drop_chain);
		return;
	}
	seg.bad_checksum = bad || checksum_bad(p, m, h);
	low = left && pool_low(p, m);
	if (low)
		count(p, CNT_tap_copied_low);
	for (; s && off >= s->data_len; s = s->next)
		off -= s->data_len;
	for (; s && left; s = s->next, off = 0) {
		uint32_t k = s->data_len - off < left ? s->data_len - off : left;

		if (!k)
			continue;
		view[seg.n_views++] = (struct tap_view){rte_pktmbuf_mtod_offset(s, uint8_t *, off),
							k, low ? NULL : s};
		left -= k;
	}
	tap_input(p->tap, &seg);
}

/* What a tunnel carries, in place of the whole. False: none that is known. */
static bool unwrap(struct tap_packet *p, struct rte_mbuf *m, const struct net_head *h)
{
	uint32_t left = h->end - h->l4, n = left < TAP_DECAP_HEAD ? left : TAP_DECAP_HEAD, off;
	uint8_t scratch[TAP_DECAP_HEAD], *ether;
	const uint8_t *q = rte_pktmbuf_read(m, h->l4, n, scratch);
	struct tap_inner in;

	if (!q || !tap_decap(q, n, h->proto, &in)) {
		count(p, CNT_rx_drop_ip_proto);
		return false;
	}
	/* A packet without a frame gets an Ethernet header where the outer headers were. */
	off = h->l4 + in.off - (in.type ? NET_ETHER : 0);
	ether = (uint8_t *)rte_pktmbuf_adj(m, (uint16_t)off);
	if (!ether || m->data_len < NET_ETHER) {
		count(p, CNT_rx_drop_chain);
		return false;
	}
	if (in.type) {
		memset(ether, 0, NET_ETHER - 2);
		net_put16(ether + NET_ETHER - 2, in.type);
	}
	/* What the NIC said is said of the outer packet. */
	m->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
	count(p, CNT_tap_tunnelled);
	return true;
}

static bool fragment_wanted(const struct net_head *h)
{
	return h->fragment_proto == NET_PROTO_TCP || h->fragment_proto == NET_PROTO_GRE ||
	       h->fragment_proto == NET_PROTO_UDP;
}

/* Handed to another worker? */
static bool is_elsewhere(struct tap_packet *p, struct rte_mbuf *m, const struct net_head *h,
			 enum steering how)
{
	return p->elsewhere && how != STEERED && p->elsewhere(p->ctx, m, h, how == RAW);
}

/* `whole`: it came out of reassembly. `tunnels` that it was in. Takes the mbuf. */
static void packet(struct tap_packet *p, struct rte_mbuf *m, bool whole, unsigned int tunnels,
		   enum steering how)
{
	uint8_t scratch[NET_HEAD_TAP];
	uint32_t n = m->pkt_len < NET_HEAD_TAP ? m->pkt_len : NET_HEAD_TAP;
	const uint8_t *head = rte_pktmbuf_read(m, 0, n, scratch);
	struct net_head h;

	if (m->nb_segs > VIEWS || !head) {
		count(p, CNT_rx_drop_chain);
	} else if (!net_parse_tap(head, n, m->pkt_len, !p->ignore_checksums, &h)) {
		count(p, (enum postern_counter)h.drop);
		/* The receiver drops it, and its flow is told that it was there. */
		if (h.drop == CNT_rx_drop_ip_checksum &&
		    net_parse_tap(head, n, m->pkt_len, false, &h) && h.kind == NET_KIND_TCP)
			tap_packet_segment(p, m, &h, head, true);
	} else if (h.kind == NET_KIND_TCP) {
		if (is_elsewhere(p, m, &h, how))
			return;
		tap_packet_segment(p, m, &h, head, false);
	} else if (h.kind == NET_KIND_TUNNEL) {
		if (tunnels == LIMIT_TAP_TUNNELS) {
			count(p, CNT_rx_drop_ip_proto);
		} else if (unwrap(p, m, &h)) {
			packet(p, m, false, tunnels + 1, OURS);
			return;
		}
	} else if (h.kind == NET_KIND_FRAGMENT && !whole && fragment_wanted(&h)) {
		if (is_elsewhere(p, m, &h, how))
			return;
		p->frag.now_us = p->now_us;
		m = net_frag_add(&p->frag, m, &h);
		/* The datagram has a tuple at last, and perhaps another owner. */
		if (m)
			packet(p, m, true, tunnels, OURS);
		return;
	} else if (h.kind == NET_KIND_FRAGMENT && whole) {
		count(p, CNT_rx_drop_fragment);
	}
	rte_pktmbuf_free(m);
}

void tap_packet_input(struct tap_packet *p, struct rte_mbuf *m)
{
	packet(p, m, false, 0, RAW);
}

void tap_packet_steered(struct tap_packet *p, struct rte_mbuf *m)
{
	packet(p, m, false, 0, STEERED);
}

int tap_packet_init(struct tap_packet *p, uint64_t *counters, uint32_t datagrams, int socket)
{
	*p = (struct tap_packet){.counters = counters, .frag = {.counters = counters}};
	p->frag.table = rte_ip_frag_table_create(datagrams, 4, datagrams, FRAGMENT_S * 1000000ull,
						 socket);
	return p->frag.table ? 0 : -ENOMEM;
}

void tap_packet_free(struct tap_packet *p)
{
	if (!p->frag.table)
		return;
	rte_ip_frag_free_death_row(&p->frag.death, 0);
	rte_ip_frag_table_destroy(p->frag.table);
	p->frag.table = NULL;
}

void tap_packet_expire(struct tap_packet *p)
{
	p->frag.now_us = p->now_us;
	net_frag_expire(&p->frag);
}
