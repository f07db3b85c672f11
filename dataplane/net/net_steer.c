/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The way of a packet to the worker that owns its flow. Where the driver spreads flows itself
 * (RSS with our key) its choice stands; where it does not, or does it by rules of its own, the
 * owner is a keyed hash of the tuple, and the packet goes there through that worker's ring. What
 * arrives without a whole tuple (fragments, ICMP errors) takes the same way.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_thash.h>

#include "dataplane/net/net_priv.h"
#include "dataplane/tcp/siphash.h"

_Static_assert(sizeof(struct tcp_tuple) == 36, "the tuple is hashed as it lies in memory");

struct rte_ring *net_steer_ring_new(uint16_t worker, int socket)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "steer-%u", worker);
	return rte_ring_create(name, NET_STEER_RING, socket, RING_F_SC_DEQ);
}

void net_steer_ring_free(struct rte_ring *ring)
{
	void *m;

	if (!ring)
		return;
	while (rte_ring_dequeue(ring, &m) == 0)
		rte_pktmbuf_free(m);
	rte_ring_free(ring);
}

/* What the NIC computes: Toeplitz over source, destination and ports. */
static uint16_t rss_queue(const struct port_info *info, const struct tcp_tuple *t)
{
	uint32_t word[9], n = 0, hash;
	size_t skip = net_is_mapped4(t->remote) ? 12 : 0;

	for (size_t i = skip; i < 16; i += 4)
		word[n++] = net_be32(t->remote + i);
	for (size_t i = skip; i < 16; i += 4)
		word[n++] = net_be32(t->local + i);
	word[n++] = (uint32_t)t->remote_port << 16 | t->local_port;
	hash = rte_softrss(word, n, info->rss_key);
	return info->reta[hash & (info->reta_size - 1u)];
}

unsigned int net_steer_room(const struct net *net)
{
	unsigned int least = NET_STEER_RING;

	for (uint16_t i = 0; net->n_workers > 1 && i < net->n_workers; i++) {
		unsigned int n = i == net->worker ? least : rte_ring_free_count(net->steer[i]);

		if (n < least)
			least = n;
	}
	return least;
}

uint16_t net_rss_owner(const struct port_info *info, const struct tcp_tuple *tuple, uint16_t n_workers)
{
	return rss_queue(info, tuple) % n_workers;
}

uint16_t net_owner(const struct net *net, uint16_t port_id, const struct tcp_tuple *tuple)
{
	const struct port_info *info = &net->port[port_id].info;

	if (net->n_workers == 1)
		return 0;
	if (info->rss)
		return net_rss_owner(info, tuple, net->n_workers);
	return (uint16_t)(siphash24(net->hash_key, tuple, sizeof(*tuple)) % net->n_workers);
}

void net_hand_over(struct net *net, struct rte_mbuf *m, uint16_t owner)
{
	if (net_rx_low(m, net->rx_reserve)) {
		net_count(net, CNT_steer_drop_low);
		rte_pktmbuf_free(m);
	} else if (rte_ring_mp_enqueue(net->steer[owner], m) == 0) {
		net_count(net, CNT_steer_out);
	} else {
		net_count(net, CNT_steer_drop);
		rte_pktmbuf_free(m);
	}
}

static bool hand_over(struct net *net, struct rte_mbuf *m, uint16_t owner)
{
	if (owner == net->worker)
		return false;
	net_hand_over(net, m, owner);
	return true;
}

bool net_steer_flow(struct net *net, const struct net_item *it, const struct tcp_tuple *tuple)
{
	const struct net_head *h = &it->h;

	if (net->n_workers == 1)
		return false;
	/* A plain segment lies where RSS put it. Of a tag, options or extension headers drivers
	 * think differently, and a reassembled datagram or a quoted tuple was never hashed. */
	if (net->port[it->path.port].info.rss && tuple == &h->tuple && !it->path.tagged &&
	    it->m->nb_segs == 1 && h->l4 == h->l3 + (h->ip6 ? NET_IP6 : NET_IP4))
		return false;
	return hand_over(net, it->m, net_owner(net, it->path.port, tuple));
}

bool net_steer_cable(struct net *net, const struct net_item *it, const struct tcp_tuple *tuple)
{
	const struct port_info *info = &net->port[it->path.port].info;

	if (info->role != PORT_EXCEPTION)
		return net_steer_flow(net, it, tuple);
	return net->n_workers > 1 && hand_over(net, it->m, net_owner(net, info->peer, tuple));
}

uint16_t net_fragment_owner(const struct net *net, const struct tcp_tuple *tuple, uint32_t id)
{
	uint8_t key[36];

	memcpy(key, tuple->remote, 16);
	memcpy(key + 16, tuple->local, 16);
	net_put32(key + 32, id);
	return (uint16_t)(siphash24(net->hash_key, key, sizeof(key)) % net->n_workers);
}

bool net_steer_fragment(struct net *net, const struct net_item *it)
{
	if (net->n_workers == 1)
		return false;
	return hand_over(net, it->m, net_fragment_owner(net, &it->h.tuple, it->h.fragment_id));
}

/* Those that are not of ports of ours go to their owner; the others move up. */
static unsigned int hand_out_foreign(struct net *net, struct rte_mbuf **m, unsigned int n)
{
	unsigned int ours = 0;

	for (unsigned int i = 0; i < n; i++)
		if (m[i]->port < NET_MAX_PORTS && net->port[m[i]->port].used)
			m[ours++] = m[i];
		else
			net->foreign(net->foreign_ctx, m[i]);
	return ours;
}

unsigned int net_steer_poll(struct net *net)
{
	struct rte_mbuf *m[NET_RX_BURST];
	unsigned int n;

	if (net->n_workers == 1)
		return 0;
	n = rte_ring_sc_dequeue_burst(net->steer[net->worker], (void **)m, NET_RX_BURST, NULL);
	if (!n)
		return 0;
	net->cnt[CNT_steer_in] += n;
	net_process(net, m, net->foreign ? hand_out_foreign(net, m, n) : n, true);
	return n;
}
