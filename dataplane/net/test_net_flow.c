/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Fragments, and packets that reached the wrong worker. */

#include <rte_mbuf.h>

#include "dataplane/net/test_net_util.h"

#include <string.h>

static uint8_t text[1600];

static void make_text(void)
{
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 13 + (i >> 8));
}

/* The octets [from, to) behind the IP header of a whole datagram as a fragment of it. */
static void fragment4(const struct frame *whole, size_t from, size_t to, struct frame *f)
{
	size_t total = whole->n - 34;

	f->n = 0;
	put(f, whole->b, 34);
	put(f, whole->b + 34 + from, to - from);
	net_put16(f->b + 16, (uint16_t)(20 + to - from));
	net_put16(f->b + 20, (uint16_t)((to < total ? 0x2000 : 0) | from / 8));
	ip4_sum(f, 14);
}

static void fragment6(const struct frame *whole, size_t from, size_t to, struct frame *f)
{
	size_t total = whole->n - 54;
	uint8_t ext[8] = {whole->b[20], 0, 0, 0, 0xde, 0xad, 0xbe, 0xef};

	net_put16(ext + 2, (uint16_t)(from | (to < total)));
	f->n = 0;
	put(f, whole->b, 54);
	f->b[20] = 44;
	put(f, ext, 8);
	put(f, whole->b + 54 + from, to - from);
	net_put16(f->b + 18, (uint16_t)(8 + to - from));
}

static void feed(const struct frame *f)
{
	inject(f);
	receive(0);
}

static void fragments4(void **state)
{
	struct frame whole, f;

	(void)state;
	make_text();
	tcp4_frame(&whole, 40000, text, 1001);
	fragment4(&whole, 512, whole.n - 34, &f); /* the last comes first */
	feed(&f);
	fragment4(&whole, 0, 256, &f);
	put(&f, "padding of the wire", 19);
	feed(&f);
	assert_int_equal(seen.segments, 0);
	fragment4(&whole, 256, 512, &f);
	feed(&f);
	assert_int_equal(seen.segments, 1);
	assert_int_equal(seen.payload_len, 1001);
	assert_memory_equal(seen.payload, text, 1001);
	assert_count(0, rx_reassembled, 1);
	assert_count(0, rx_drop_fragment, 0);
}

static void fragments6(void **state)
{
	struct frame whole, f;

	(void)state;
	make_text();
	tcp6_frame(&whole, 40000, text, 1001);
	fragment6(&whole, 0, 504, &f);
	feed(&f);
	fragment6(&whole, 504, whole.n - 54, &f);
	feed(&f);
	assert_int_equal(seen.segments, 1);
	assert_int_equal(seen.payload_len, 1001);
	assert_memory_equal(seen.payload, text, 1001);
	assert_count(0, rx_reassembled, 1);
}

static void reassembled_checksum_is_verified(void **state)
{
	struct frame whole, f;

	(void)state;
	make_text();
	tcp4_frame(&whole, 40000, text, 600);
	whole.b[whole.n - 1] ^= 4;
	fragment4(&whole, 0, 256, &f);
	feed(&f);
	fragment4(&whole, 256, whole.n - 34, &f);
	inject_flags(&f, 0, 0);
	receive(0);
	assert_int_equal(seen.segments, 0);
	assert_count(0, rx_reassembled, 1);
	assert_count(0, rx_drop_l4_checksum, 1);
}

static void overlaps_are_dropped(void **state)
{
	struct frame whole, f;

	(void)state;
	make_text();
	tcp6_frame(&whole, 40000, text, 600);
	fragment6(&whole, 0, 256, &f);
	feed(&f);
	fragment6(&whole, 128, 384, &f); /* RFC 5722 */
	feed(&f);
	fragment6(&whole, 256, whole.n - 54, &f);
	feed(&f);
	assert_int_equal(seen.segments, 0);
	assert_count(0, rx_reassembled, 0);
	assert_count(0, rx_drop_fragment, 3);
	/* an overlap whose lengths add up, with a hole elsewhere */
	tcp4_frame(&whole, 40000, text, 600);
	fragment4(&whole, 0, 256, &f);
	feed(&f);
	fragment4(&whole, 128, 256, &f);
	feed(&f);
	fragment4(&whole, 384, whole.n - 34, &f);
	feed(&f);
	assert_int_equal(seen.segments, 0);
	assert_count(0, rx_reassembled, 0);
	assert_count(0, rx_drop_fragment, 6);
}

static void malformed_fragments_are_dropped(void **state)
{
	struct frame whole, f;

	(void)state;
	make_text();
	tcp4_frame(&whole, 40000, text, 600);
	fragment4(&whole, 0, 251, &f); /* not a multiple of eight */
	feed(&f);
	fragment4(&whole, 256, whole.n - 34, &f);
	net_put16(f.b + 20, 0x1fff); /* past 65,535 */
	ip4_sum(&f, 14);
	feed(&f);
	assert_count(0, rx_drop_fragment, 2);
	fragment4(&whole, 0, 256, &f);
	f.b[23] = 17; /* UDP */
	ip4_sum(&f, 14);
	feed(&f);
	assert_count(0, rx_drop_ip_proto, 1);
	assert_int_equal(seen.segments, 0);
}

static void solicitation_in_fragments_is_ignored(void **state)
{
	uint8_t ns[32] = {135, [24] = 1, 1, 2, 0, 0, 0, 0, 2};
	struct frame whole, f, r;

	(void)state;
	memcpy(ns + 8, our6, 16);
	eth(&whole, 0x86dd);
	ip6(&whole, 58, sizeof(ns));
	whole.b[14 + 7] = 255;
	icmp(&whole, 14, ns, sizeof(ns));
	inject(&whole);
	receive(0);
	assert_true(sent(0, &r));
	fragment6(&whole, 0, 16, &f);
	feed(&f);
	fragment6(&whole, 16, 32, &f);
	feed(&f);
	assert_count(0, rx_reassembled, 1);
	assert_count(0, nd_drop, 1); /* RFC 6980 5 */
	assert_false(sent(0, &r));
}

static void fragments_time_out(void **state)
{
	struct frame whole, f;

	(void)state;
	make_text();
	tcp4_frame(&whole, 40000, text, 600);
	net_tick(worker[0], 1000);
	fragment4(&whole, 0, 256, &f);
	feed(&f);
	net_tick(worker[0], 9000000);
	assert_count(0, rx_drop_fragment, 0);
	net_tick(worker[0], 11000000);
	assert_count(0, rx_drop_fragment, 1);
	fragment4(&whole, 256, whole.n - 34, &f);
	feed(&f);
	assert_int_equal(seen.segments, 0);
}

static void fragments_have_a_budget(void **state)
{
	struct frame whole, f;

	(void)state;
	make_text();
	tcp4_frame(&whole, 40000, text, 600);
	fragment4(&whole, 0, 256, &f);
	for (uint16_t id = 0; id < 100; id++) {
		net_put16(f.b + 18, id);
		ip4_sum(&f, 14);
		feed(&f);
	}
	/* eight datagrams are held, the rest is dropped at once */
	assert_true(counter[0][CNT_rx_drop_fragment] >= 92);
}

static void extension_headers(void **state)
{
	uint8_t pad[8] = {6, 0, 1, 4, 0, 0, 0, 0}, atomic[8] = {6};
	struct frame f;

	(void)state;
	eth(&f, 0x86dd);
	ip6(&f, 60, 16 + 24);
	pad[0] = 44;
	put(&f, pad, 8);
	put(&f, atomic, 8); /* RFC 6946 */
	tcp(&f, 14, 40000, 25, "", 0);
	feed(&f);
	assert_int_equal(seen.segments, 1);
	eth(&f, 0x86dd);
	ip6(&f, 60, 9 * 8 + 24);
	pad[0] = 60;
	for (int i = 0; i < 9; i++) {
		if (i == 8)
			pad[0] = 6;
		put(&f, pad, 8);
	}
	tcp(&f, 14, 40000, 25, "", 0);
	feed(&f);
	assert_int_equal(seen.segments, 1);
	assert_count(0, rx_drop_ext_header, 1);
}

/* ---- two workers, one queue: everything arrives at worker 0 ---- */

static void wrong_worker_hands_over(void **state)
{
	unsigned int own[2] = {0, 0};
	struct frame f;

	(void)state;
	for (uint16_t sport = 40000; sport < 40064; sport++) {
		uint16_t owner;

		seen.segments = 0;
		tcp4_frame(&f, sport, "x", 1);
		feed(&f);
		if (!seen.segments)
			assert_int_equal(net_steer_poll(worker[1]), 1);
		assert_int_equal(seen.segments, 1);
		assert_int_equal(seen.tuple.remote_port, sport);
		owner = net_owner(worker[0], port.id, &seen.tuple);
		assert_int_equal(owner, net_owner(worker[1], port.id, &seen.tuple));
		assert_int_equal((uintptr_t)seen.stack, owner + 1);
		own[owner]++;
	}
	assert_true(own[0] > 10 && own[1] > 10);
	assert_count(0, steer_out, own[1]);
	assert_count(1, steer_in, own[1]);
	assert_int_equal(net_steer_poll(worker[0]), 0);
}

static void full_ring_is_counted(void **state)
{
	struct frame f;
	uint16_t sport = 40000;

	(void)state;
	do {
		tcp4_frame(&f, ++sport, "x", 1);
		feed(&f);
	} while (!counter[0][CNT_steer_out]);
	for (int i = 1; i < 1100; i++)
		feed(&f);
	/* A ring holds one less than its size. */
	assert_count(0, steer_out, NET_STEER_RING - 1);
	assert_count(0, steer_drop, 1100 - (NET_STEER_RING - 1));
	while (net_steer_poll(worker[1]))
		;
	assert_int_equal(counter[1][CNT_steer_in], counter[0][CNT_steer_out]);
}

/* Takes buffers until `left` are left, and gives them back. */
static void hold_all_but(unsigned int left, struct rte_mbuf **hold, unsigned int *n)
{
	for (*n = 0; rte_mempool_avail_count(rx_pool) > left; (*n)++)
		hold[*n] = rte_pktmbuf_alloc(rx_pool);
}

static void let_go(struct rte_mbuf **hold, unsigned int n)
{
	while (n)
		rte_pktmbuf_free(hold[--n]);
}

/* Packets of ports that are not net's go by the same rings. */
static void foreign_is_handed_over(void **state)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);

	(void)state;
	assert_non_null(m);
	m->port = NET_MAX_PORTS - 1;
	assert_int_equal(net_steer_room(worker[0]), NET_STEER_RING - 1);
	net_hand_over(worker[0], m, 1);
	assert_int_equal(net_steer_room(worker[0]), NET_STEER_RING - 2);
	assert_count(0, steer_out, 1);
	assert_int_equal(net_steer_poll(worker[1]), 1);
	assert_int_equal(seen.foreign, 1);
	assert_int_equal(seen.segments, 0);
}

static void low_pool_is_not_handed_over(void **state)
{
	static struct rte_mbuf *hold[RX_MBUFS];
	struct frame f;
	uint16_t sport = 40000;
	unsigned int n;

	(void)state;
	do {
		tcp4_frame(&f, ++sport, "x", 1);
		feed(&f);
	} while (!counter[0][CNT_steer_out]);
	/* One of the buffers left is the packet's. */
	hold_all_but(RX_RESERVE + 1, hold, &n);
	feed(&f);
	assert_count(0, steer_out, 2);
	assert_count(0, steer_drop_low, 0);
	feed(&f); /* the one before is in the ring */
	assert_count(0, steer_out, 2);
	assert_count(0, steer_drop_low, 1);
	assert_count(0, rx_pool_empty, 0);
	let_go(hold, n);
	feed(&f);
	assert_count(0, steer_out, 3);
	assert_int_equal(net_steer_poll(worker[1]), 3);
}

static void low_pool_keeps_no_fragment(void **state)
{
	static struct rte_mbuf *hold[RX_MBUFS];
	struct frame whole, f;
	unsigned int n;

	(void)state;
	make_text();
	tcp4_frame(&whole, 40000, text, 600);
	fragment4(&whole, 0, 256, &f);
	hold_all_but(2 * RX_RESERVE, hold, &n);
	inject(&f);
	assert_int_equal(receive(0), 1);
	assert_count(0, rx_drop_fragment_low, 1);
	/* What is whole still gets through, to the last buffer. */
	assert_int_equal(seen.segments, 0);
	tcp4_frame(&f, 40000, "x", 1);
	hold[n++] = rte_pktmbuf_alloc(rx_pool);
	inject(&f);
	assert_int_equal(receive(0), 1);
	assert_int_equal(seen.segments, 1);
	assert_count(0, rx_pool_empty, 0);
	for (unsigned int left = rte_mempool_avail_count(rx_pool); left; left--)
		hold[n++] = rte_pktmbuf_alloc(rx_pool);
	receive(0);
	assert_count(0, rx_pool_empty, 1);
	let_go(hold, n);
}

static void fragments_meet(void **state)
{
	struct frame whole, f;

	(void)state;
	make_text();
	for (uint16_t id = 0; id < 32; id++) {
		seen.segments = 0;
		tcp4_frame(&whole, (uint16_t)(41000 + id), text, 600);
		net_put16(whole.b + 18, id);
		fragment4(&whole, 0, 256, &f);
		feed(&f);
		fragment4(&whole, 256, whole.n - 34, &f);
		feed(&f);
		net_steer_poll(worker[1]);
		net_steer_poll(worker[0]);
		net_steer_poll(worker[1]);
		assert_int_equal(seen.segments, 1);
		assert_int_equal(seen.payload_len, 600);
		assert_memory_equal(seen.payload, text, 600);
		assert_int_equal((uintptr_t)seen.stack,
				 net_owner(worker[0], port.id, &seen.tuple) + 1);
	}
	assert_int_equal(counter[0][CNT_rx_reassembled] + counter[1][CNT_rx_reassembled], 32);
	assert_true(counter[0][CNT_rx_reassembled] && counter[1][CNT_rx_reassembled]);
}

static void icmp_errors_find_their_owner(void **state)
{
	uint8_t e[8 + 20 + 8] = {3, 1, 0, 0, 0, 0, 0, 0, 0x45, 0, 5, 0xdc, 0, 0, 0x40, 0, 60, 6};
	struct frame f;

	(void)state;
	memcpy(e + 20, our4, 4);
	memcpy(e + 24, peer4, 4);
	memcpy(e + 28, "\0\31\x9c\x40\1\2\3\4", 8);
	for (unsigned int i = 0; i < 32; i++) {
		e[31] = (uint8_t)i;
		seen.icmp_errors = 0;
		eth(&f, 0x0800);
		ip4(&f, 1, sizeof(e));
		icmp(&f, 14, e, sizeof(e));
		feed(&f);
		net_steer_poll(worker[1]);
		assert_int_equal(seen.icmp_errors, 1);
		assert_int_equal(seen.mtu, 0);
		assert_int_equal((uintptr_t)seen.stack,
				 net_owner(worker[0], port.id, &seen.tuple) + 1);
	}
	assert_true(counter[0][CNT_steer_out] > 0);
}

/* ---- RSS ---- */

/* The key and two lines of the RSS verification suite that NIC vendors test against. */
static const uint8_t rss_key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
				    0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
				    0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
				    0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

/* Everything but the flow with this hash goes to queue 0. */
static void with_rss(uint32_t hash)
{
	bench_down();
	port.rss = true;
	memcpy(port.rss_key, rss_key, sizeof(rss_key));
	port.rss_key_len = sizeof(rss_key);
	port.reta_size = 128;
	memset(port.reta, 0, sizeof(port.reta));
	port.reta[hash % 128] = 1;
	assert_int_equal(bench_again(2), 0);
}

static void rss_owner(void **state)
{
	struct tcp_tuple t = {.local_port = 1766, .remote_port = 2794};

	(void)state;
	net_map4(t.remote, (uint8_t[]){66, 9, 149, 187});
	net_map4(t.local, (uint8_t[]){161, 142, 100, 80});
	with_rss(0x51ccc178);
	assert_int_equal(net_owner(worker[0], port.id, &t), 1);
	t.remote_port++;
	assert_int_equal(net_owner(worker[0], port.id, &t), 0);
	t.remote_port--;
	memcpy(t.remote, (uint8_t[]){0x3f, 0xfe, 0x25, 1, 2, 0, 0x1f, 0xff, [15] = 7}, 16);
	memcpy(t.local, (uint8_t[]){0x3f, 0xfe, 0x25, 1, 2, 0, 0, 3, [15] = 1}, 16);
	with_rss(0x40207d3d);
	assert_int_equal(net_owner(worker[0], port.id, &t), 1);
}

static void rss_is_believed(void **state)
{
	uint16_t sport = 40000;
	struct frame f;

	(void)state;
	with_rss(0);
	memset(port.reta, 1, sizeof(port.reta));
	bench_down();
	assert_int_equal(bench_again(2), 0);
	/* A plain segment stays where it came, whatever the table says. */
	tcp4_frame(&f, sport, "x", 1);
	feed(&f);
	assert_int_equal(seen.segments, 1);
	assert_count(0, steer_out, 0);
	/* Of a tag drivers think differently. */
	eth_vlan(&f, 5, 0x0800);
	ip4(&f, 6, 24);
	tcp(&f, 18, sport, 25, "", 0);
	feed(&f);
	assert_count(0, steer_out, 1);
	assert_int_equal(net_steer_poll(worker[1]), 1);
	assert_int_equal(seen.segments, 2);
	assert_int_equal((uintptr_t)seen.stack, 2);
}

int run_flow_tests(void)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, setup_one, teardown)
#define TWO(f) cmocka_unit_test_setup_teardown(f, setup_two, teardown)
	const struct CMUnitTest tests[] = {
		ONE(fragments4),
		ONE(fragments6),
		ONE(reassembled_checksum_is_verified),
		ONE(overlaps_are_dropped),
		ONE(malformed_fragments_are_dropped),
		ONE(solicitation_in_fragments_is_ignored),
		ONE(fragments_time_out),
		ONE(fragments_have_a_budget),
		ONE(extension_headers),
		TWO(wrong_worker_hands_over),
		TWO(full_ring_is_counted),
		TWO(foreign_is_handed_over),
		TWO(low_pool_is_not_handed_over),
		ONE(low_pool_keeps_no_fragment),
		TWO(fragments_meet),
		TWO(icmp_errors_find_their_owner),
		TWO(rss_owner),
		TWO(rss_is_believed),
	};

	return cmocka_run_group_tests_name("net_flow", tests, NULL, NULL);
}
