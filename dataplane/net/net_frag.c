/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Reassembly by librte_ip_frag, bounded by number of datagrams, by eight fragments each, and by
 * time. What overlaps never adds up to a chain without a hole, so the library drops the whole
 * datagram: for IPv6 that is RFC 5722, for IPv4 our choice.
 */

#include <string.h>

#include "dataplane/net/net_cksum.h"
#include "dataplane/net/net_priv.h"

void net_frag_bury(struct net_frag *f)
{
	f->counters[CNT_rx_drop_fragment] += f->death.cnt;
	rte_ip_frag_free_death_row(&f->death, 0);
}

/* The padding of a short frame would become part of the datagram. */
static void trim(struct rte_mbuf *m, uint32_t end)
{
	uint32_t extra = m->pkt_len - end;

	/* rte_pktmbuf_trim() shortens the last mbuf only. */
	while (extra) {
		struct rte_mbuf *last = rte_pktmbuf_lastseg(m);
		uint16_t cut = extra < last->data_len ? (uint16_t)extra : last->data_len;

		if (!cut)
			break;
		rte_pktmbuf_trim(m, cut);
		extra -= cut;
		if (last->data_len == 0 && last != m) {
			struct rte_mbuf *before = m;

			while (before->next != last)
				before = before->next;
			before->next = NULL;
			m->nb_segs--;
			rte_pktmbuf_free_seg(last);
		}
	}
}

static struct rte_mbuf *reassemble4(struct net_frag *f, struct rte_mbuf *m, const struct net_head *h)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, h->l3);

	return rte_ipv4_frag_reassemble_packet(f->table, &f->death, m, f->now_us, ip);
}

static struct rte_mbuf *reassemble6(struct net_frag *f, struct rte_mbuf *m, const struct net_head *h)
{
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv6_hdr *, h->l3);
	struct rte_ipv6_fragment_ext *ext = (struct rte_ipv6_fragment_ext *)(ip + 1);

	return rte_ipv6_frag_reassemble_packet(f->table, &f->death, m, f->now_us, ip, ext);
}

struct rte_mbuf *net_frag_add(struct net_frag *f, struct rte_mbuf *m, const struct net_head *h)
{
	struct rte_mbuf *whole;

	trim(m, h->end);
	/* The library reads and writes headers in the first mbuf, and keeps the chain's lengths
	 * there: what is spread thinner is refused. */
	if (m->data_len < h->l4 || m->pkt_len != h->end || !RTE_MBUF_DIRECT(m) ||
	    rte_mbuf_refcnt_read(m) != 1) {
		f->counters[CNT_rx_drop_fragment]++;
		rte_pktmbuf_free(m);
		return NULL;
	}
	m->l2_len = h->l3;
	m->l3_len = (uint16_t)(h->l4 - h->l3);
	whole = h->ip6 ? reassemble6(f, m, h) : reassemble4(f, m, h);
	net_frag_bury(f);
	if (!whole)
		return NULL;
	f->counters[CNT_rx_reassembled]++;
	/* What the NIC said of the first fragment says nothing of the datagram. */
	whole->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
	if (!h->ip6) {
		uint8_t *ip = rte_pktmbuf_mtod_offset(whole, uint8_t *, whole->l2_len);

		memset(ip + 10, 0, 2);
		net_cksum_store(ip + 10, net_cksum_add(0, ip, (ip[0] & 15u) * 4));
	}
	return whole;
}

void net_frag_expire(struct net_frag *f)
{
	rte_ip_frag_table_del_expired_entries(f->table, &f->death, f->now_us);
	net_frag_bury(f);
}

struct rte_mbuf *net_reassemble(struct net *net, const struct net_item *it)
{
	if (net_rx_low(it->m, 2 * net->rx_reserve)) {
		net_count(net, CNT_rx_drop_fragment_low);
		rte_pktmbuf_free(it->m);
		return NULL;
	}
	net->frag.now_us = net->now_us;
	return net_frag_add(&net->frag, it->m, &it->h);
}
