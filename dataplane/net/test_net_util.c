/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/net/test_net_util.h"

#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

struct seen seen;
struct net *worker[BENCH_WORKERS];
uint64_t counter[BENCH_WORKERS][POSTERN_DP_COUNTER_COUNT];
struct port_info port;
struct rte_mempool *rx_pool, *tx_pool;
uint64_t sent_flags;

const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};
const uint8_t our4[4] = {192, 0, 2, 1}, peer4[4] = {198, 51, 100, 7};
const uint8_t our6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
const uint8_t peer6[16] = {0x20, 1, 0xd, 0xb8, 0, 1, [15] = 7};

static struct rte_ring *to_port[BENCH_WORKERS], *from_port[BENCH_WORKERS];
static struct rte_ring *steer[BENCH_WORKERS];
static uint16_t port_id;
static unsigned int n_up;

/* ---- the TCP of this test ---- */

static void one_segment(const struct tcp_segment *seg)
{
	seen.segments++;
	seen.tuple = *seg->tuple;
	seen.path = *seg->path;
	assert_true(seg->header_len >= 20 && seg->header_len <= 60);
	memcpy(seen.header, seg->header, seg->header_len);
	seen.header_len = seg->header_len;
	seen.n_views = seg->n_views;
	seen.ttl = seg->ttl;
	seen.ecn = seg->ecn;
	seen.payload_len = 0;
	for (unsigned int i = 0; i < seg->n_views; i++) {
		memcpy(seen.payload + seen.payload_len, seg->view[i].p, seg->view[i].n);
		seen.payload_len += seg->view[i].n;
	}
	assert_int_equal(seen.payload_len, seg->payload_len);
}

void tcp_input_burst(struct tcp_stack *s, const struct tcp_segment *seg, unsigned int n)
{
	seen.stack = s;
	seen.bursts++;
	for (unsigned int i = 0; i < n; i++)
		one_segment(&seg[i]);
}

void tcp_icmp_error(struct tcp_stack *s, const struct tcp_tuple *tuple, uint32_t quoted_seq,
		    uint32_t mtu)
{
	seen.stack = s;
	seen.icmp_errors++;
	seen.tuple = *tuple;
	seen.seq = quoted_seq;
	seen.mtu = mtu;
}

bool tcp_has(struct tcp_stack *s, const struct tcp_tuple *tuple)
{
	(void)s;
	return seen.known && memcmp(tuple, &seen.known_tuple, sizeof(*tuple)) == 0;
}

bool tcp_claims(struct tcp_stack *s, const struct tcp_segment *seg)
{
	return tcp_has(s, seg->tuple);
}

void tcp_refuse(struct tcp_stack *s, const struct tcp_segment *seg)
{
	(void)s;
	seen.refused++;
	seen.path = *seg->path;
}

/* ---- EAL, ports, workers ---- */

static bool start_port(void)
{
	static const struct rte_eth_conf conf;

	if (rte_eth_dev_configure(port_id, BENCH_WORKERS, BENCH_WORKERS, &conf))
		return false;
	for (uint16_t q = 0; q < BENCH_WORKERS; q++)
		if (rte_eth_rx_queue_setup(port_id, q, 64, 0, NULL, rx_pool) ||
		    rte_eth_tx_queue_setup(port_id, q, 64, 0, NULL))
			return false;
	return rte_eth_dev_start(port_id) == 0;
}

bool bench_eal(const char *argv0)
{
	/* --no-huge means legacy memory, which does not go with --in-memory. */
	static char args[][24] = {"",   "--no-huge",     "--no-shconf",       "--no-pci",
				  "-m", "128",           "--no-telemetry",    "-l",
				  "0",  "--log-level=3", "--file-prefix=unit"};
	char *argv[sizeof(args) / sizeof(args[0])];
	int argc = sizeof(args) / sizeof(args[0]);

	snprintf(args[0], sizeof(args[0]), "%.20s", argv0);
	for (int i = 0; i < argc; i++)
		argv[i] = args[i];
	if (rte_eal_init(argc, argv) < 0)
		return false;
	rx_pool = rte_pktmbuf_pool_create("rx", RX_MBUFS, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, 0);
	tx_pool = rte_pktmbuf_pool_create("tx", TX_MBUFS, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, 0);
	if (!rx_pool || !tx_pool)
		return false;
	for (unsigned int i = 0; i < BENCH_WORKERS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "to%u", i);
		to_port[i] = rte_ring_create(name, 256, 0, 0);
		snprintf(name, sizeof(name), "from%u", i);
		from_port[i] = rte_ring_create(name, 256, 0, 0);
	}
	int id = rte_eth_from_rings("bench", to_port, BENCH_WORKERS, from_port, BENCH_WORKERS, 0);

	port_id = (uint16_t)id;
	return id >= 0 && start_port();
}

static void seen_foreign(void *ctx, struct rte_mbuf *m)
{
	((struct seen *)ctx)->foreign++;
	rte_pktmbuf_free(m);
}

int bench_again(unsigned int n_workers)
{
	struct handoff_listener l[3] = {
		{.tcp_port = 25, .port = port_id, .id = 4, .prefix_len = 120},
		{.tcp_port = 587, .port = port_id, .id = 5},
		{.tcp_port = 25, .port = port_id, .id = 6}};

	n_up = n_workers;
	memset(&seen, 0, sizeof(seen));
	memset(counter, 0, sizeof(counter));
	net_map4(l[0].address, our4);
	net_map4(l[1].address, our4);
	memcpy(l[2].address, our6, 16);
	for (unsigned int w = 0; w < n_workers && n_workers > 1; w++)
		steer[w] = net_steer_ring_new((uint16_t)w, 0);
	for (unsigned int w = 0; w < n_workers; w++) {
		struct net_options opt = {.worker = (uint16_t)w,
					  .n_workers = (uint16_t)n_workers,
					  .counters = counter[w],
					  .hash_key = "0123456789abcde",
					  .port = &port,
					  .n_ports = 1,
					  .steer = steer,
					  .tx_pool = tx_pool,
					  .rx_pool = rx_pool,
					  .rx_reserve = RX_RESERVE,
					  .foreign = seen_foreign,
					  .foreign_ctx = &seen,
					  .fragments = 8};

		worker[w] = net_new(&opt);
		if (!worker[w])
			return -1;
		net_set_tcp(worker[w], (struct tcp_stack *)(uintptr_t)(w + 1));
		if (net_set_addresses(worker[w], l, 3))
			return -1;
	}
	return 0;
}

int bench_up(unsigned int n_workers)
{
	port = (struct port_info){
		.id = port_id, .n_queues = 1, .n_tx_queues = BENCH_WORKERS, .mtu = 1500};
	memcpy(port.mac, our_mac, 6);
	return bench_again(n_workers);
}

void bench_down(void)
{
	struct frame f;

	for (unsigned int w = 0; w < n_up; w++) {
		while (sent(w, &f))
			;
		net_free(worker[w]);
		worker[w] = NULL;
		net_steer_ring_free(steer[w]);
		steer[w] = NULL;
	}
}

int setup_one(void **state)
{
	(void)state;
	return bench_up(1);
}

int setup_two(void **state)
{
	(void)state;
	return bench_up(2);
}

int teardown(void **state)
{
	void *left;

	(void)state;
	bench_down();
	while (rte_ring_dequeue(to_port[0], &left) == 0)
		rte_pktmbuf_free(left);
	/* Nothing is kept, nothing is lost. */
	assert_int_equal(rte_mempool_avail_count(rx_pool), RX_MBUFS);
	assert_int_equal(rte_mempool_avail_count(tx_pool), TX_MBUFS);
	return 0;
}

static struct rte_mbuf *chain(const struct frame *f, size_t step)
{
	struct rte_mbuf *head = NULL, *last = NULL;

	for (size_t at = 0; at < f->n; at += step) {
		size_t k = f->n - at < step ? f->n - at : step;
		struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);

		assert_non_null(m);
		memcpy(rte_pktmbuf_append(m, (uint16_t)k), f->b + at, k);
		if (!head) {
			head = m;
		} else {
			last->next = m;
			head->nb_segs++;
			head->pkt_len += (uint32_t)k;
		}
		last = m;
	}
	return head;
}

void inject_chain(const struct frame *f, size_t step)
{
	assert_int_equal(rte_ring_enqueue(to_port[0], chain(f, step)), 0);
}

void inject(const struct frame *f)
{
	inject_chain(f, FRAME_MAX);
}

void inject_flags(const struct frame *f, uint64_t ol_flags, uint16_t tci)
{
	struct rte_mbuf *m = chain(f, FRAME_MAX);

	m->ol_flags = ol_flags;
	m->vlan_tci = tci;
	assert_int_equal(rte_ring_enqueue(to_port[0], m), 0);
}

unsigned int receive(unsigned int w)
{
	return net_rx(worker[w], port_id, 0);
}

bool sent(unsigned int w, struct frame *f)
{
	void *p;
	struct rte_mbuf *m;

	net_tx_flush(worker[w]);
	if (rte_ring_dequeue(from_port[w], &p))
		return false;
	m = p;
	assert_int_equal(m->nb_segs, 1);
	assert_true(m->data_len <= sizeof(f->b));
	f->n = m->data_len;
	memcpy(f->b, rte_pktmbuf_mtod(m, void *), f->n);
	sent_flags = m->ol_flags;
	rte_pktmbuf_free(m);
	return true;
}

/* ---- frames ---- */

uint16_t sum16(const uint8_t *p, size_t n, uint32_t start)
{
	uint32_t s = start;

	for (size_t i = 0; i + 1 < n; i += 2)
		s += (uint32_t)p[i] << 8 | p[i + 1];
	if (n & 1)
		s += (uint32_t)p[n - 1] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

uint32_t pseudo(const uint8_t *ip, bool is6, uint8_t proto, uint32_t len)
{
	return (uint32_t)sum16(ip + (is6 ? 8 : 12), is6 ? 32 : 8, 0) + proto + (len >> 16) +
	       (len & 0xffff);
}

void put(struct frame *f, const void *p, size_t n)
{
	assert_true(f->n + n <= sizeof(f->b));
	if (n)
		memcpy(f->b + f->n, p, n);
	f->n += n;
}

void eth(struct frame *f, uint16_t type)
{
	uint8_t t[2] = {(uint8_t)(type >> 8), (uint8_t)type};

	f->n = 0;
	put(f, our_mac, 6);
	put(f, peer_mac, 6);
	put(f, t, 2);
}

void eth_vlan(struct frame *f, uint16_t tci, uint16_t type)
{
	uint8_t t[4] = {(uint8_t)(tci >> 8), (uint8_t)tci, (uint8_t)(type >> 8), (uint8_t)type};

	eth(f, 0x8100);
	put(f, t, 4);
}

void ip4_sum(struct frame *f, size_t l3)
{
	size_t header = (f->b[l3] & 15u) * 4;

	net_put16(f->b + l3 + 10, 0);
	net_put16(f->b + l3 + 10, (uint16_t)~sum16(f->b + l3, header, 0));
}

void ip4(struct frame *f, uint8_t proto, size_t payload)
{
	uint8_t h[20] = {0x45, 0x03, 0, 0, 0x12, 0x34, 0, 0, 61, proto};
	size_t l3 = f->n;

	net_put16(h + 2, (uint16_t)(20 + payload));
	memcpy(h + 12, peer4, 4);
	memcpy(h + 16, our4, 4);
	put(f, h, 20);
	ip4_sum(f, l3);
}

void ip6(struct frame *f, uint8_t next, size_t payload)
{
	uint8_t h[40] = {0x60, 0x10, 0, 0, 0, 0, next, 58};

	net_put16(h + 4, (uint16_t)payload);
	memcpy(h + 8, peer6, 16);
	memcpy(h + 24, our6, 16);
	put(f, h, 40);
}

void tcp(struct frame *f, size_t l3, uint16_t sport, uint16_t dport, const void *p, size_t n)
{
	bool is6 = f->b[l3] >> 4 == 6;
	uint8_t h[24] = {[4] = 0x11, 0x22, 0x33,     0x44, [12] = 0x60, 0x10,
			 0x20,       0,    [20] = 1, 1,    1,           1};
	size_t at = f->n;
	uint32_t len = (uint32_t)(24 + n);

	net_put16(h, sport);
	net_put16(h + 2, dport);
	put(f, h, 24);
	put(f, p, n);
	net_put16(f->b + at + 16, (uint16_t)~sum16(f->b + at, len, pseudo(f->b + l3, is6, 6, len)));
}

void icmp(struct frame *f, size_t l3, const uint8_t *p, size_t n)
{
	bool is6 = f->b[l3] >> 4 == 6;
	size_t at = f->n;

	put(f, p, n);
	net_put16(f->b + at + 2, 0);
	net_put16(
		f->b + at + 2,
		(uint16_t)~sum16(f->b + at, n, is6 ? pseudo(f->b + l3, true, 58, (uint32_t)n) : 0));
}

void tcp4_frame(struct frame *f, uint16_t sport, const void *p, size_t n)
{
	eth(f, 0x0800);
	ip4(f, 6, 24 + n);
	tcp(f, 14, sport, 25, p, n);
}

void tcp6_frame(struct frame *f, uint16_t sport, const void *p, size_t n)
{
	eth(f, 0x86dd);
	ip6(f, 6, 24 + n);
	tcp(f, 14, sport, 25, p, n);
}

size_t check_frame(const struct frame *f, size_t l3)
{
	const uint8_t *ip = f->b + l3;
	bool is6 = ip[0] >> 4 == 6;
	size_t header = is6 ? 40 : (ip[0] & 15u) * 4;
	uint32_t len = is6 ? net_be16(ip + 4) : net_be16(ip + 2) - (uint32_t)header;
	uint8_t proto = is6 ? ip[6] : ip[9];

	assert_memory_equal(f->b + 6, our_mac, 6);
	assert_int_equal(f->n, l3 + header + len);
	if (!is6)
		assert_int_equal(sum16(ip, header, 0), 0xffff);
	assert_int_equal(sum16(ip + header, len, proto == 1 ? 0 : pseudo(ip, is6, proto, len)),
			 0xffff);
	return l3 + header;
}
