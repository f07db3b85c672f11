/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The peers: packets towards us, and what they learn of ours. */

#include <string.h>

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "bench/micro/lab.h"
#include "bench/micro/lab_priv.h"
#include "bench/micro/micro.h"
#include "dataplane/net/net_cksum.h"
#include "dataplane/net/net_parse.h"

#define L3 NET_ETHER
#define L4 (NET_ETHER + NET_IP4)
#define DATA (L4 + NET_TCP + 12)
#define NETWORK (198u << 24 | 18u << 16)
#define ADDRESSES (1u << 17)
#define PORT0 1024
#define REPAIR 16 /* octets of the pool's payload that the longest options may have written over */

static uint8_t text[LAB_PAYLOAD];
static uint64_t text_sum;

static void fill(struct rte_mempool *pool, void *arg, void *obj, unsigned int i)
{
	struct rte_mbuf *m = obj;

	(void)pool;
	(void)arg;
	(void)i;
	memcpy((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM + DATA, text, sizeof(text));
}

void lab_fill_pool(void)
{
	uint64_t state = 88172645463325252ull;

	/* Lines as mail has them, for a reader that looks at the octets. */
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 72 == 70   ? '\r'
			  : i % 72 == 71 ? '\n'
					 : (uint8_t)('a' + micro_random(&state) % 26);
	text_sum = net_cksum_add(0, text, sizeof(text));
	rte_mempool_obj_iter(lab_rx_pool, fill, NULL);
}

static uint32_t address_of(uint32_t flow)
{
	return NETWORK + flow % ADDRESSES;
}

static uint16_t port_of(uint32_t flow)
{
	return (uint16_t)(PORT0 + flow / ADDRESSES);
}

void lab_tuple(uint32_t flow, struct tcp_tuple *t)
{
	uint8_t ip[4];

	net_put32(ip, address_of(flow));
	net_map4(t->remote, ip);
	net_map4(t->local, lab_our_ip);
	t->remote_port = port_of(flow);
	t->local_port = 25;
}

void lab_frame_sent(const uint8_t *p)
{
	uint32_t flow = net_be32(p + L3 + 16) - NETWORK +
			(net_be16(p + L4 + 2) - (uint32_t)PORT0) * ADDRESSES;
	uint32_t headers = NET_IP4 + (p[L4 + 12] >> 4) * 4u;

	micro_must(flow < LAB_FLOWS_MAX, "a packet left for nobody we know");
	lab.sent(p + L4, net_be16(p + L3 + 2) - headers, flow);
}

struct made {
	uint32_t flow, seq, ack;
	uint8_t flags;
	const uint8_t *opt;
	uint32_t n_opt;
	uint32_t payload;      /* octets */
	uint64_t payload_sum;
};

static void checksums(struct rte_mbuf *m, uint8_t *p, const struct made *k, uint32_t len)
{
	uint8_t pseudo[4] = {0, NET_PROTO_TCP, (uint8_t)(len >> 8), (uint8_t)len};
	uint64_t sum = net_cksum_add(k->payload_sum, p + L3 + 12, 8);

	net_cksum_store(p + L3 + 10, net_cksum_add(0, p + L3, NET_IP4));
	sum = net_cksum_add(sum, pseudo, sizeof(pseudo));
	net_cksum_store(p + L4 + 16, net_cksum_add(sum, p + L4, NET_TCP + k->n_opt));
	if (lab.checksum == LAB_SUM_NIC)
		m->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
}

/* Headers; the caller puts the payload behind them. */
static uint8_t *make(const struct made *k)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(lab_rx_pool);
	uint32_t len = NET_TCP + k->n_opt + k->payload;
	uint8_t *p;

	micro_must(m && lab.made++ < LAB_BATCH, "a batch is too large");
	p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(L4 + len));
	memcpy(p, lab_our_mac, 6);
	memcpy(p + 6, lab_peer_mac, 6);
	net_put16(p + 12, 0x0800);
	memset(p + L3, 0, NET_IP4);
	p[L3] = 0x45;
	net_put16(p + L3 + 2, (uint16_t)(NET_IP4 + len));
	p[L3 + 6] = 0x40;
	p[L3 + 8] = 57;
	p[L3 + 9] = NET_PROTO_TCP;
	net_put32(p + L3 + 12, address_of(k->flow));
	memcpy(p + L3 + 16, lab_our_ip, 4);
	net_put16(p + L4, port_of(k->flow));
	net_put16(p + L4 + 2, 25);
	net_put32(p + L4 + 4, k->seq);
	net_put32(p + L4 + 8, k->ack);
	p[L4 + 12] = (uint8_t)((NET_TCP + k->n_opt) / 4 << 4);
	p[L4 + 13] = k->flags;
	net_put16(p + L4 + 14, 8192);
	net_put32(p + L4 + 16, 0);
	memcpy(p + L4 + NET_TCP, k->opt, k->n_opt);
	checksums(m, p, k, len);
	micro_must(rte_ring_sp_enqueue(lab_to_port, m) == 0, "the ring is full");
	return p + L4 + NET_TCP + k->n_opt;
}

static void timestamp(uint8_t opt[10], uint32_t flow)
{
	opt[0] = 8;
	opt[1] = 10;
	net_put32(opt + 2, (uint32_t)(lab.now_us / 1000));
	net_put32(opt + 6, lab.flow[flow].tsecr);
}

void lab_make_syn(uint32_t flow)
{
	uint8_t opt[20] = {2, 4, 1460 >> 8, 1460 & 255, 4, 2, [16] = 1, 3, 3, 7};
	struct made k = {.flow = flow, .seq = LAB_ISS, .flags = 2, .opt = opt, .n_opt = sizeof(opt)};

	lab.flow[flow] = (struct lab_flow){.seq = LAB_ISS + 1};
	timestamp(opt + 6, flow);
	make(&k);
}

static struct made segment(uint32_t flow, uint32_t offset, uint8_t flags, uint8_t opt[12])
{
	const struct lab_flow *f = &lab.flow[flow];

	opt[0] = opt[1] = 1;
	timestamp(opt + 2, flow);
	return (struct made){.flow = flow, .seq = f->seq + offset, .ack = f->ack, .flags = flags,
			     .opt = opt, .n_opt = 12};
}

void lab_make(uint32_t flow, uint32_t offset, uint8_t flags, const void *payload, uint32_t n)
{
	uint8_t opt[12], *at;
	struct made k = segment(flow, offset, flags, opt);

	micro_must(n <= REPAIR, "payload that would stay in the pool");
	k.payload = n;
	if (n)
		k.payload_sum = net_cksum_add(0, payload, n);
	at = make(&k);
	if (n)
		memcpy(at, payload, n);
}

void lab_make_data(uint32_t flow, uint32_t offset)
{
	uint8_t opt[12];
	struct made k = segment(flow, offset, 0x10, opt);

	k.payload = LAB_PAYLOAD;
	k.payload_sum = text_sum;
	memcpy(make(&k), text, REPAIR);
}

static void learn(const uint8_t *tcp, uint32_t n, uint32_t flow)
{
	(void)n;
	lab.flow[flow].ack = net_be32(tcp + 4) + 1;
}

void lab_connect(uint32_t n)
{
	void (*sent)(const uint8_t *, uint32_t, uint32_t) = lab.sent;
	struct lab_cost unused = {0};

	for (uint32_t at = 0; at < n; at += LAB_BATCH) {
		uint32_t to = n - at < LAB_BATCH ? n : at + LAB_BATCH;

		for (uint32_t i = at; i < to; i++)
			lab_make_syn(i);
		lab.sent = learn;
		lab_run(&unused);
		lab.sent = NULL;
		for (uint32_t i = at; i < to; i++)
			lab_make(i, 0, 0x10, NULL, 0);
		lab_run(&unused);
	}
	lab.sent = sent;
	micro_must(lab.counters[CNT_tcp_accepted] == n, "not every flow could be established");
}
