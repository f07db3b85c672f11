/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A cable octet by octet: ports 0 and 1 are its ends, port 2 the kernel's way to the servers behind
 * port 1. The TCP is that of test_net_util.c, which knows one flow if it is told to.
 */

#include <string.h>

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/net/test_net_util.h"

enum { CLIENT, SERVER, KERNEL, PORTS };

static struct rte_ring *in[PORTS], *out[PORTS];
static uint16_t id[PORTS];
static struct net_kernel kernel[NET_MAX_PORTS];
static struct port_info info[PORTS];
static struct handoff_config config;
static const uint8_t kernel_mac[6] = {2, 0, 0, 0, 0, 9};

static int make_ports(void **state)
{
	static const struct rte_eth_conf conf;

	(void)state;
	for (unsigned int p = 0; p < PORTS; p++) {
		char name[16];
		int rc;

		snprintf(name, sizeof(name), "cable-in%u", p);
		in[p] = rte_ring_create(name, 64, 0, 0);
		snprintf(name, sizeof(name), "cable-out%u", p);
		out[p] = rte_ring_create(name, 64, 0, 0);
		snprintf(name, sizeof(name), "cable%u", p);
		rc = rte_eth_from_rings(name, &in[p], 1, &out[p], 1, 0);
		if (rc < 0)
			return rc;
		id[p] = (uint16_t)rc;
		if (rte_eth_dev_configure(id[p], 1, 1, &conf) ||
		    rte_eth_rx_queue_setup(id[p], 0, 64, 0, NULL, rx_pool) ||
		    rte_eth_tx_queue_setup(id[p], 0, 64, 0, NULL) || rte_eth_dev_start(id[p]))
			return -1;
	}
	return 0;
}

static unsigned int watched, watched_l4;

static void watch(void *ctx, struct rte_mbuf *m, const struct net_head *h, const uint8_t *head)
{
	assert_null(ctx);
	assert_memory_equal(head, rte_pktmbuf_mtod(m, const uint8_t *), 34);
	assert_int_equal(h->kind, NET_KIND_TCP);
	watched++;
	watched_l4 = h->l4;
}

static int up(void **state)
{
	struct net_options opt = {.n_workers = 1, .counters = counter[0], .hash_key = "0123456789abcde",
				  .port = info, .n_ports = PORTS, .tx_pool = tx_pool, .rx_pool = rx_pool,
				  .fragments = 8, .inline_flows = 64, .kernel = kernel, .watch = watch};

	(void)state;
	memset(&seen, 0, sizeof(seen));
	memset(counter, 0, sizeof(counter));
	memset(kernel, 0, sizeof(kernel));
	watched = 0;
	memset(info, 0, sizeof(info));
	for (unsigned int p = 0; p < PORTS; p++)
		info[p] = (struct port_info){.id = id[p], .role = PORT_INLINE, .n_queues = 1,
					     .n_tx_queues = 1, .mtu = 1500};
	info[CLIENT].peer = id[SERVER];
	info[SERVER].peer = id[CLIENT];
	info[KERNEL].peer = id[SERVER];
	info[KERNEL].role = PORT_EXCEPTION;
	worker[0] = net_new(&opt);
	if (!worker[0])
		return -1;
	net_set_tcp(worker[0], (struct tcp_stack *)(uintptr_t)1);
	memset(&config, 0, sizeof(config));
	config.n_inlines = 2;
	for (unsigned int i = 0; i < 2; i++)
		config.inlined[i] = (struct handoff_inline){
			.tcp_port = 25, .prefix_len = 128, .id = (uint16_t)(HANDOFF_LISTENER_INLINE + 4 + i)};
	net_map4(config.inlined[0].address, our4);
	memcpy(config.inlined[1].address, our6, 16);
	net_set_inline(worker[0], &config);
	net_set_inline_state(worker[0], true, true);
	net_tick(worker[0], 5000000);
	return 0;
}

static int down(void **state)
{
	(void)state;
	net_free(worker[0]);
	worker[0] = NULL;
	assert_int_equal(rte_mempool_avail_count(rx_pool), RX_MBUFS);
	assert_int_equal(rte_mempool_avail_count(tx_pool), TX_MBUFS);
	return 0;
}

static void feed(unsigned int at, const struct frame *f)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)f->n), f->b, f->n);
	m->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_RSS_HASH;
	assert_int_equal(rte_ring_enqueue(in[at], m), 0);
	assert_int_equal(net_rx(worker[0], id[at], 0), 1);
	net_tx_flush(worker[0]);
}

static bool left(unsigned int at, struct frame *f)
{
	struct rte_mbuf *m;
	void *p;

	if (rte_ring_dequeue(out[at], &p))
		return false;
	m = p;
	f->n = m->pkt_len;
	assert_true(f->n <= sizeof(f->b));
	memcpy(f->b, rte_pktmbuf_mtod(m, void *), f->n);
	assert_int_equal(m->ol_flags & ~(RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL), 0);
	rte_pktmbuf_free(m);
	return true;
}

static bool quiet(void)
{
	struct frame f;

	return !left(CLIENT, &f) && !left(SERVER, &f) && !left(KERNEL, &f);
}

/* It comes in at `from` and leaves at `to` as it was. */
static void passes(unsigned int from, unsigned int to, const struct frame *f)
{
	struct frame g;

	feed(from, f);
	assert_true(left(to, &g));
	assert_int_equal(g.n, f->n);
	assert_memory_equal(g.b, f->b, f->n);
	assert_true(quiet());
}

static void stays(unsigned int from, const struct frame *f)
{
	feed(from, f);
	assert_true(quiet());
}

static void set_flags(struct frame *f, size_t l3, uint8_t flags)
{
	bool is6 = f->b[l3] >> 4 == 6;
	size_t l4 = l3 + (is6 ? 40 : (f->b[l3] & 15u) * 4);

	f->b[l4 + 13] = flags;
	net_put16(f->b + l4 + 16, 0);
	net_put16(f->b + l4 + 16, (uint16_t)~sum16(f->b + l4, f->n - l4,
						   pseudo(f->b + l3, is6, 6, (uint32_t)(f->n - l4))));
}

static void syn4(struct frame *f, uint16_t sport)
{
	tcp4_frame(f, sport, "", 0);
	set_flags(f, 14, 2);
}

/* From the server to the client; `flags` of TCP. */
static void back4(struct frame *f, uint16_t cport, uint8_t flags)
{
	eth(f, 0x0800);
	memcpy(f->b, peer_mac, 6);
	memcpy(f->b + 6, our_mac, 6);
	ip4(f, 6, 24);
	memcpy(f->b + 14 + 12, our4, 4);
	memcpy(f->b + 14 + 16, peer4, 4);
	ip4_sum(f, 14);
	tcp(f, 14, 25, cport, "", 0);
	set_flags(f, 14, flags);
}

static void know(const struct frame *f)
{
	struct net_head h;

	assert_true(net_parse(f->b, f->n, f->n, true, &h));
	seen.known = true;
	seen.known_tuple = h.tuple;
}

/* Nothing that is not TCP to or from a server is touched. */
static void others_pass(void **state)
{
	static const uint16_t type[] = {0x0806, 0x88cc, 0x8100, 0x88a8, 0x86dd, 0x0800, 46};
	struct frame f;

	(void)state;
	for (size_t i = 0; i < sizeof(type) / sizeof(type[0]); i++)
		for (size_t n = 14; n < 90; n++) {
			eth(&f, type[i]);
			memset(f.b + 14, 0x45, sizeof(f.b) - 14);
			f.n = n;
			if (type[i] != 0x0806) {
				passes(CLIENT, SERVER, &f);
				passes(SERVER, CLIENT, &f);
			}
		}
	eth(&f, 0x0800);
	ip4(&f, 6, 24);
	tcp(&f, 14, 40000, 26, "", 0);
	passes(CLIENT, SERVER, &f);
	eth(&f, 0x0800);
	ip4(&f, 17, 30);
	put(&f, our_mac, 6);
	passes(CLIENT, SERVER, &f);
	/* To a server, and with two tags, or to a group: our TCP would not get it, nobody's
	 * does. */
	syn4(&f, 40000);
	f.b[0] = 1;
	passes(CLIENT, SERVER, &f);
	eth_vlan(&f, 5, 0x8100);
	put(&f, "\0\7\x08\0", 4);
	ip4(&f, 6, 24);
	tcp(&f, 22, 40000, 25, "", 0);
	passes(CLIENT, SERVER, &f);
	assert_int_equal(seen.segments, 0);
}

static void too_long(void **state)
{
	struct frame f;

	(void)state;
	eth(&f, 0x88b5);
	memset(f.b + 14, 7, 1600);
	f.n = 1514;
	passes(CLIENT, SERVER, &f);
	f.n = 1515;
	stays(CLIENT, &f);
	assert_count(0, inline_drop_mtu, 1);
	eth_vlan(&f, 5, 0x88b5);
	f.n = 1518;
	passes(CLIENT, SERVER, &f);
	f.n = 1519;
	stays(CLIENT, &f);
	net_put16(f.b + 16, 0x8100);
	f.n = 1522;
	passes(CLIENT, SERVER, &f);
	f.n = 1523;
	stays(CLIENT, &f);
	assert_count(0, inline_drop_mtu, 3);
	assert_count(0, inline_bridged_packets, 3);
	assert_count(0, inline_bridged_bytes, 1514 + 1518 + 1522);
}

/* A SYN goes up, and what TCP says to it leaves where it came in, from the MAC it was sent to. */
static void terminated(void **state)
{
	const uint8_t header[20] = {0, 25, 0x9c, 0x40, [12] = 0x50, 0x12};
	struct frame f, g;

	(void)state;
	for (unsigned int tag = 0; tag < 2; tag++) {
		if (tag) {
			eth_vlan(&f, 5, 0x0800);
			ip4(&f, 6, 24);
			tcp(&f, 18, 40000, 25, "", 0);
			set_flags(&f, 18, 2);
		} else {
			syn4(&f, 40000);
		}
		/* Not a MAC of ours. */
		f.b[5] = 0x77;
		stays(CLIENT, &f);
		assert_int_equal(seen.segments, tag + 1);
		assert_int_equal(seen.header[13], 2);
		assert_int_equal(net_listener_id(worker[0], &seen.tuple), HANDOFF_LISTENER_INLINE + 4);
		assert_true(net_listening(worker[0], &seen.tuple));
		assert_int_equal(net_path_port(&seen.path), id[CLIENT]);
		assert_int_equal(net_tcp_output(worker[0], &seen.tuple, &seen.path, header,
						sizeof(header), NULL, 0), 0);
		net_tx_flush(worker[0]);
		assert_true(left(CLIENT, &g));
		assert_memory_equal(g.b, f.b + 6, 6);
		assert_memory_equal(g.b + 6, f.b, 6);
		if (tag)
			assert_memory_equal(g.b + 12, f.b + 12, 4);
		memcpy(g.b + 6, our_mac, 6);
		check_frame(&g, tag ? 18 : 14);
		assert_true(quiet());
	}
	tcp6_frame(&f, 40000, "", 0);
	set_flags(&f, 14, 2);
	stays(CLIENT, &f);
	assert_int_equal(net_listener_id(worker[0], &seen.tuple), HANDOFF_LISTENER_INLINE + 5);
	assert_count(0, inline_terminated, 3);
	/* A wrong checksum is nobody's. */
	f.b[f.n - 1] ^= 1;
	stays(CLIENT, &f);
	assert_count(0, rx_drop_l4_checksum, 1);
	/* What is ours comes from whichever end. */
	syn4(&f, 40001);
	stays(SERVER, &f);
	assert_int_equal(net_path_port(&seen.path), id[SERVER]);
	assert_int_equal(seen.segments, 4);
}

static void midstream(void **state)
{
	struct frame f;

	(void)state;
	tcp4_frame(&f, 40000, "data", 4);
	passes(CLIENT, SERVER, &f);
	assert_count(0, inline_pass_midstream, 1);
	assert_count(0, inline_watched, 1);
	assert_int_equal(watched, 1);
	back4(&f, 40000, 0x10);
	passes(SERVER, CLIENT, &f);
	assert_int_equal(watched, 2);
	assert_int_equal(watched_l4, 34);
	/* The same of a flow that our TCP has. */
	tcp4_frame(&f, 40001, "data", 4);
	know(&f);
	stays(CLIENT, &f);
	assert_int_equal(seen.segments, 1);
	assert_memory_equal(seen.payload, "data", 4);
	back4(&f, 40001, 0x10);
	stays(SERVER, &f);
	assert_count(0, inline_drop_server, 1);
}

/* A reload takes the server off the list: the open session is finished here, others pass. */
static void taken_off(void **state)
{
	struct frame f;

	(void)state;
	config.n_inlines = 0;
	net_set_inline(worker[0], &config);
	tcp4_frame(&f, 40001, "data", 4);
	know(&f);
	stays(CLIENT, &f);
	assert_int_equal(seen.segments, 1);
	assert_false(net_listening(worker[0], &seen.tuple));
	back4(&f, 40001, 0x10);
	stays(SERVER, &f);
	assert_count(0, inline_drop_server, 1);
	syn4(&f, 40000);
	passes(CLIENT, SERVER, &f);
	back4(&f, 40000, 0x12);
	passes(SERVER, CLIENT, &f);
	assert_int_equal(seen.segments, 1);
}

static void without_memory(void **state)
{
	struct frame f;

	(void)state;
	net_set_inline_state(worker[0], true, false);
	syn4(&f, 40000);
	stays(CLIENT, &f);
	assert_int_equal(seen.refused, 1);
	assert_int_equal(net_path_port(&seen.path), id[CLIENT]);
	net_set_inline_state(worker[0], false, true);
	stays(CLIENT, &f);
	assert_int_equal(seen.segments, 1);
	config.exception[PORT_MODE_INLINE][CAUSE_CONTROL_DOWN] = ACT_BYPASS;
	net_set_inline(worker[0], &config);
	passes(CLIENT, SERVER, &f);
	assert_int_equal(seen.segments, 1);
}

static void kernel_way(void **state)
{
	static const uint8_t ask[28] = {0, 1, 8, 0, 6, 4, 0, 1};
	struct frame f, g;

	(void)state;
	/* The kernel looks for its neighbour; the answer is for it alone. */
	eth(&f, 0x0806);
	memset(f.b, 0xff, 6);
	memcpy(f.b + 6, kernel_mac, 6);
	put(&f, ask, 28);
	passes(KERNEL, SERVER, &f);
	memcpy(f.b, kernel_mac, 6);
	memcpy(f.b + 6, our_mac, 6);
	passes(SERVER, KERNEL, &f);
	passes(CLIENT, KERNEL, &f);
	/* Who asks others, asks it as well. */
	memset(f.b, 0xff, 6);
	feed(SERVER, &f);
	assert_true(left(CLIENT, &g) && g.n == f.n);
	assert_true(left(KERNEL, &g) && !memcmp(g.b, f.b, f.n));
	assert_true(quiet());
	assert_count(0, inline_neighbour_copied, 1);
	/* Another group's frame is none of its business. */
	net_put16(f.b + 12, 0x88cc);
	passes(SERVER, CLIENT, &f);
	/* A connection with the client's address: there and back. */
	syn4(&f, 50000);
	memcpy(f.b + 6, kernel_mac, 6);
	passes(KERNEL, SERVER, &f);
	back4(&f, 50000, 0x12);
	feed(SERVER, &f);
	assert_true(left(KERNEL, &g));
	assert_memory_equal(g.b, kernel_mac, 6);
	assert_memory_equal(g.b + 6, f.b + 6, f.n - 6);
	assert_true(quiet());
	/* Another one of the same client is not its. */
	back4(&f, 50001, 0x12);
	passes(SERVER, CLIENT, &f);
	assert_count(0, inline_kernel_out, 1);
	assert_count(0, inline_kernel_in, 1);
	/* And while no server is named, the neighbours still are looked at. */
	config.n_inlines = 0;
	net_set_inline(worker[0], &config);
	eth(&f, 0x88b5);
	memcpy(f.b, kernel_mac, 6);
	passes(SERVER, KERNEL, &f);
}

/* An ICMP error that quotes the frame q, from somebody on the way. */
static void icmp_about(struct frame *f, const struct frame *q)
{
	uint8_t msg[8 + 28] = {3, 4, 0, 0, 0, 0, 0x05, 0x00};

	memcpy(msg + 8, q->b + 14, 28);
	net_put16(msg + 8 + 2, 1500); /* RFC 1191 3: longer than what would have fitted */
	eth(f, 0x0800);
	ip4(f, 1, sizeof(msg));
	icmp(f, 14, msg, sizeof(msg));
}

static void icmp_errors(void **state)
{
	struct frame f, q, ours, g;

	(void)state;
	tcp4_frame(&ours, 40000, "", 0);
	back4(&q, 40000, 0x10);
	icmp_about(&f, &q);
	passes(CLIENT, SERVER, &f);
	know(&ours);
	stays(CLIENT, &f);
	assert_int_equal(seen.icmp_errors, 1);
	assert_int_equal(seen.mtu, 1280);
	assert_memory_equal(&seen.tuple, &seen.known_tuple, sizeof(seen.tuple));
	/* A wrong checksum: whose it is to look at. */
	f.b[f.n - 1] ^= 1;
	passes(CLIENT, SERVER, &f);
	assert_int_equal(seen.icmp_errors, 1);
	/* About the kernel's. */
	syn4(&q, 50000);
	memcpy(q.b + 6, kernel_mac, 6);
	icmp_about(&f, &q);
	passes(SERVER, CLIENT, &f);
	passes(KERNEL, SERVER, &q);
	feed(SERVER, &f);
	assert_true(left(KERNEL, &g));
	assert_memory_equal(g.b, kernel_mac, 6);
	assert_true(quiet());
}

static void fragment(const struct frame *whole, size_t from, size_t to, struct frame *f)
{
	size_t total = whole->n - 34;

	f->n = 0;
	put(f, whole->b, 34);
	put(f, whole->b + 34 + from, to - from);
	net_put16(f->b + 16, (uint16_t)(20 + to - from));
	net_put16(f->b + 20, (uint16_t)((to < total ? 0x2000 : 0) | from / 8));
	ip4_sum(f, 14);
}

static void fragments(void **state)
{
	static const uint8_t text[1000] = {1, 2, 3};
	struct frame whole, f;

	(void)state;
	/* To a server: put together, and taken. */
	tcp4_frame(&whole, 40000, text, sizeof(text));
	know(&whole);
	fragment(&whole, 0, 512, &f);
	stays(CLIENT, &f);
	fragment(&whole, 512, 1024, &f);
	stays(CLIENT, &f);
	assert_int_equal(seen.segments, 1);
	assert_int_equal(seen.payload_len, sizeof(text));
	/* Not ours: the whole goes on. */
	seen.known = false;
	fragment(&whole, 512, 1024, &f);
	stays(CLIENT, &f);
	fragment(&whole, 0, 512, &f);
	feed(CLIENT, &f);
	assert_true(left(SERVER, &f));
	assert_int_equal(f.n, whole.n);
	assert_true(quiet());
	/* To another port of it, and of UDP: as they are. */
	net_put16(whole.b + 36, 443);
	net_put16(whole.b + 18, 77);
	fragment(&whole, 0, 512, &f);
	passes(CLIENT, SERVER, &f);
	fragment(&whole, 512, 1024, &f);
	passes(CLIENT, SERVER, &f);
	whole.b[23] = 17;
	net_put16(whole.b + 18, 78);
	fragment(&whole, 512, 1024, &f);
	passes(CLIENT, SERVER, &f);
	/* Ports hidden behind a tiny one. */
	whole.b[23] = 6;
	net_put16(whole.b + 18, 79);
	fragment(&whole, 0, 16, &f);
	stays(CLIENT, &f);
	assert_count(0, inline_drop_malformed, 1);
}

static void malformed(void **state)
{
	struct frame f;

	(void)state;
	/* A source route, which another stack may follow: RFC 7126 4.3 */
	syn4(&f, 40000);
	memmove(f.b + 38, f.b + 34, f.n - 34);
	f.n += 4;
	memcpy(f.b + 34, "\x83\x03\x04\x00", 4);
	f.b[14] = 0x46;
	net_put16(f.b + 16, (uint16_t)(f.n - 14));
	ip4_sum(&f, 14);
	stays(CLIENT, &f);
	assert_count(0, inline_drop_malformed, 1);
	/* The same to another port passes. */
	f.b[41] = 26;
	passes(CLIENT, SERVER, &f);
	/* IPv6: an option that is not to be skipped, which hides everything behind it. */
	eth(&f, 0x86dd);
	ip6(&f, 60, 32);
	put(&f, "\x06\x00\xc5\x04\0\0\0\0", 8);
	put(&f, "\x9c\x40\0\x19\0\0\0\1\0\0\0\0\x60\2\0\0\0\0\0\0\1\1\1\1", 24);
	stays(CLIENT, &f);
	assert_count(0, inline_drop_malformed, 2);
	/* Not to a server. */
	f.b[14 + 39] ^= 0xff;
	passes(CLIENT, SERVER, &f);
	/* A data offset past the segment. */
	syn4(&f, 40000);
	f.b[46] = 0xf0;
	stays(CLIENT, &f);
	config.exception[PORT_MODE_INLINE][CAUSE_MALFORMED] = ACT_BYPASS;
	net_set_inline(worker[0], &config);
	passes(CLIENT, SERVER, &f);
	assert_count(0, inline_drop_malformed, 3);
	assert_count(0, inline_pass_malformed, 1);
	assert_int_equal(seen.segments, 0);
}

int run_cable_tests(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		T(others_pass), T(too_long), T(terminated), T(midstream), T(taken_off), T(without_memory),
		T(kernel_way), T(icmp_errors), T(fragments), T(malformed),
	};

	return cmocka_run_group_tests_name("net_cable", tests, make_ports, NULL);
}
