/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Building and sending frames. Always from tx_pool, always in one mbuf, never fragmented. */

#include <errno.h>
#include <string.h>

#include <rte_ethdev.h>

#include "dataplane/net/net_cksum.h"
#include "dataplane/net/net_priv.h"

static unsigned int flush_port(struct net *net, uint16_t id)
{
	struct net_port *p = &net->port[id];
	uint32_t bytes[NET_TX_BURST];
	uint16_t n = p->n_tx, sent;

	/* The driver owns what it took, so the lengths are read before. */
	for (uint16_t i = 0; i < n; i++)
		bytes[i] = p->tx[i]->pkt_len;
	sent = rte_eth_tx_burst(id, net->worker, p->tx, n);
	for (uint16_t i = 0; i < sent; i++)
		net->cnt[CNT_tx_bytes] += bytes[i];
	net->cnt[CNT_tx_packets] += sent;
	p->n_tx = n - sent;
	if (p->n_tx && sent)
		memmove(p->tx, p->tx + sent, p->n_tx * sizeof(p->tx[0]));
	return sent;
}

unsigned int net_tx_flush(struct net *net)
{
	unsigned int sent = 0;

	for (uint16_t i = 0; i < NET_MAX_PORTS; i++)
		if (net->port[i].n_tx)
			sent += flush_port(net, i);
	return sent;
}

int net_send(struct net *net, uint16_t port, struct rte_mbuf *m)
{
	struct net_port *p = &net->port[port];

	/* What the driver did not take waits for the next flush; only when it still takes nothing
	 * and the buffer is full is something lost. */
	if (p->n_tx == NET_TX_BURST && !flush_port(net, port)) {
		net_count(net, CNT_tx_drop_ring_full);
		rte_pktmbuf_free(m);
		return -ENOBUFS;
	}
	p->tx[p->n_tx++] = m;
	return 0;
}

bool net_mtu_ok(const struct net *net, const struct net_path *path, size_t l3_len)
{
	return l3_len <= net->port[path->port].info.mtu &&
	       l3_len + NET_ETHER + NET_VLAN <= net->tx_room;
}

int net_frame_eth(struct net *net, const struct net_path *path, uint16_t type, size_t len,
		  struct net_frame *f)
{
	size_t head = path->tagged ? NET_ETHER + NET_VLAN : NET_ETHER;
	uint8_t *p;

	f->m = net_mtu_ok(net, path, len) ? rte_pktmbuf_alloc(net->tx_pool) : NULL;
	p = f->m ? (uint8_t *)rte_pktmbuf_append(f->m, (uint16_t)(head + len)) : NULL;
	if (!p) {
		rte_pktmbuf_free(f->m);
		net_count(net, CNT_tx_drop_no_mbuf);
		return -ENOBUFS;
	}
	f->m->port = path->port;
	f->eth = p;
	memcpy(p, path->mac, 6);
	memcpy(p + 6, path->bridged ? path->own : net->port[path->port].info.mac, 6);
	if (path->tagged) {
		net_put16(p + 12, 0x8100);
		net_put16(p + 14, path->vlan);
	}
	net_put16(p + head - 2, type);
	f->l3 = f->l4 = p + head;
	f->l4_len = (uint16_t)len;
	return 0;
}

static void ip4_header(uint8_t *ip, const struct tcp_tuple *t, uint8_t proto, uint8_t ttl,
		       size_t len, bool sum)
{
	memset(ip, 0, NET_IP4);
	ip[0] = 0x45;
	net_put16(ip + 2, (uint16_t)(NET_IP4 + len));
	/* RFC 6864 4.1: with DF the identification may be anything, so it tells nobody anything.
	 * RFC 1191 3: DF is what makes path MTU discovery work. */
	ip[6] = 0x40;
	ip[8] = ttl;
	ip[9] = proto;
	memcpy(ip + 12, t->local + 12, 4);
	memcpy(ip + 16, t->remote + 12, 4);
	if (sum)
		net_cksum_store(ip + 10, net_cksum_add(0, ip, NET_IP4));
}

static void ip6_header(uint8_t *ip, const struct tcp_tuple *t, uint8_t proto, uint8_t ttl,
		       size_t len)
{
	memset(ip, 0, 8);
	ip[0] = 0x60;
	net_put16(ip + 4, (uint16_t)len);
	ip[6] = proto;
	ip[7] = ttl;
	memcpy(ip + 8, t->local, 16);
	memcpy(ip + 24, t->remote, 16);
}

int net_frame_ip(struct net *net, const struct net_path *path, const struct tcp_tuple *tuple,
		 uint8_t proto, uint8_t ttl, size_t len, struct net_frame *f)
{
	const struct port_info *info = &net->port[path->port].info;
	bool ip6 = !net_is_mapped4(tuple->local);
	size_t header = ip6 ? NET_IP6 : NET_IP4;
	int rc = net_frame_eth(net, path, ip6 ? 0x86dd : 0x0800, header + len, f);

	if (rc)
		return rc;
	f->l4 = f->l3 + header;
	f->l4_len = (uint16_t)len;
	f->m->l2_len = (uint64_t)(f->l3 - f->eth);
	f->m->l3_len = header;
	if (ip6) {
		ip6_header(f->l3, tuple, proto, ttl, len);
		return 0;
	}
	ip4_header(f->l3, tuple, proto, ttl, len, !info->tx_ip_checksum);
	if (info->tx_ip_checksum)
		f->m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	return 0;
}

static void tcp_checksum(const struct net *net, const struct net_path *path,
			 const struct tcp_tuple *tuple, struct net_frame *f)
{
	bool ip6 = !net_is_mapped4(tuple->local);
	uint64_t sum = net_cksum_pseudo(tuple->local, tuple->remote, ip6, NET_PROTO_TCP, f->l4_len);
	uint16_t part;

	if (!net->port[path->port].info.tx_tcp_checksum) {
		net_cksum_store(f->l4 + 16, net_cksum_add(sum, f->l4, f->l4_len));
		return;
	}
	/* The NIC adds the segment to the sum of the pseudo-header, which stands uncomplemented. */
	part = net_cksum_fold(sum);
	memcpy(f->l4 + 16, &part, 2);
	f->m->l4_len = (f->l4[12] >> 4) * 4u;
	f->m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | (ip6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
}

int net_tcp_output(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path,
		   const uint8_t *header, size_t header_len, const struct tcp_view *payload,
		   unsigned int n_views)
{
	struct net *net = ctx;
	struct net_path to;
	struct net_frame f;
	size_t len = header_len;
	uint8_t *q;

	memcpy(&to, path, sizeof(to));
	for (unsigned int i = 0; i < n_views; i++)
		len += payload[i].n;
	if (to.port >= NET_MAX_PORTS || !net->port[to.port].used || header_len < NET_TCP ||
	    len > UINT16_MAX || net_frame_ip(net, &to, tuple, NET_PROTO_TCP, 64, len, &f))
		return -ENOBUFS;
	memcpy(f.l4, header, header_len);
	memset(f.l4 + 16, 0, 2);
	q = f.l4 + header_len;
	for (unsigned int i = 0; i < n_views; q += payload[i].n, i++)
		if (payload[i].n)
			memcpy(q, payload[i].p, payload[i].n);
	tcp_checksum(net, &to, tuple, &f);
	return net_send(net, to.port, f.m);
}

uint16_t net_tcp_mss(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path)
{
	const struct net *net = ctx;
	uint32_t headers = (net_is_mapped4(tuple->local) ? NET_IP4 : NET_IP6) + NET_TCP;
	uint32_t l3 = net->tx_room - NET_ETHER - NET_VLAN;
	uint16_t port = net_path_port(path);

	/* RFC 6691 2: the MTU less fixed headers; options are taken off by who uses them. What one
	 * transmit mbuf cannot hold is no MTU of ours. */
	if (port < NET_MAX_PORTS && net->port[port].used && net->port[port].info.mtu < l3)
		l3 = net->port[port].info.mtu;
	return (uint16_t)(l3 > headers ? l3 - headers : 1);
}

uint16_t net_path_port(const struct tcp_path *path)
{
	struct net_path p;

	memcpy(&p, path, sizeof(p));
	return p.port;
}
