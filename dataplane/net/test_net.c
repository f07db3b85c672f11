/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Neighbours, echo, errors, tags, checksums, output: everything that one worker does alone. */

#include "dataplane/net/test_net_util.h"

#include <errno.h>
#include <string.h>

#include <rte_mbuf.h>

static const uint8_t arp_request[28] = {0,   1,  8,   0, 6, 4, 0, 1, 2, 0, 0,   0, 0, 2,
					198, 51, 100, 7, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1};

static void arp_is_answered(void **state)
{
	struct frame f, r;

	(void)state;
	eth(&f, 0x0806);
	memset(f.b, 0xff, 6);
	put(&f, arp_request, 28);
	inject(&f);
	assert_int_equal(receive(0), 1);
	assert_true(sent(0, &r));
	assert_int_equal(r.n, 14 + 28);
	assert_memory_equal(r.b, peer_mac, 6);
	assert_memory_equal(r.b + 6, our_mac, 6);
	assert_int_equal(net_be16(r.b + 20), 2);
	assert_memory_equal(r.b + 22, our_mac, 6);
	assert_memory_equal(r.b + 28, our4, 4);
	assert_memory_equal(r.b + 32, peer_mac, 6);
	assert_memory_equal(r.b + 38, peer4, 4);
	assert_count(0, arp_rx, 1);
	assert_count(0, arp_tx, 1);
}

static void arp_for_others_is_not(void **state)
{
	struct frame f, r;

	(void)state;
	eth(&f, 0x0806);
	memset(f.b, 0xff, 6);
	put(&f, arp_request, 28);
	f.b[14 + 27] = 9; /* another target */
	inject(&f);
	f.b[14 + 27] = 1;
	f.b[14 + 14] = 192; /* from our own address */
	memcpy(f.b + 14 + 14, our4, 4);
	inject(&f);
	f.n -= 1; /* short */
	inject(&f);
	assert_int_equal(receive(0), 3);
	assert_false(sent(0, &r));
	assert_count(0, arp_drop, 3);
}

static void arp_is_rate_limited(void **state)
{
	struct frame f, r;
	unsigned int answers = 0, more = 0;

	(void)state;
	eth(&f, 0x0806);
	put(&f, arp_request, 28);
	for (int i = 0; i < 300; i++) {
		inject(&f);
		receive(0);
		while (sent(0, &r))
			answers++;
	}
	assert_true(answers > 10 && answers < 300);
	assert_count(0, arp_drop, 300 - answers);
	/* Another tenth of a second, another budget; announcements are ARP as well. */
	net_tick(worker[0], 200000);
	while (sent(0, &r))
		;
	inject(&f);
	receive(0);
	while (sent(0, &r))
		more++;
	assert_int_equal(more, 1);
}

static size_t solicit(struct frame *f, const uint8_t src[16], bool option)
{
	static const uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff, [15] = 1};
	uint8_t ns[32] = {135, [24] = 1, 1, 2, 0, 0, 0, 0, 2};
	size_t len = option ? 32 : 24;

	memcpy(ns + 8, our6, 16);
	eth(f, 0x86dd);
	memcpy(f->b, (uint8_t[]){0x33, 0x33, 0xff, 0, 0, 1}, 6);
	ip6(f, 58, len);
	f->b[14 + 7] = 255;
	memcpy(f->b + 14 + 8, src, 16);
	memcpy(f->b + 14 + 24, group, 16);
	icmp(f, 14, ns, len);
	return len;
}

static void neighbour_is_answered(void **state)
{
	struct frame f, r;
	size_t l4;

	(void)state;
	solicit(&f, peer6, true);
	inject(&f);
	receive(0);
	assert_true(sent(0, &r));
	assert_memory_equal(r.b, peer_mac, 6);
	l4 = check_frame(&r, 14);
	assert_int_equal(r.b[14 + 7], 255);
	assert_memory_equal(r.b + 14 + 8, our6, 16);
	assert_memory_equal(r.b + 14 + 24, peer6, 16);
	assert_int_equal(r.b[l4], 136);
	assert_int_equal(r.b[l4 + 4], 0x60);
	assert_memory_equal(r.b + l4 + 8, our6, 16);
	assert_int_equal(r.b[l4 + 24], 2);
	assert_memory_equal(r.b + l4 + 26, our_mac, 6);
	assert_count(0, nd_rx, 1);
	assert_count(0, nd_tx, 1);
}

static void duplicate_detection_is_answered_to_all(void **state)
{
	static const uint8_t none[16], all[16] = {0xff, 2, [15] = 1};
	struct frame f, r;
	size_t l4;

	(void)state;
	solicit(&f, none, false);
	inject(&f);
	receive(0);
	assert_true(sent(0, &r));
	l4 = check_frame(&r, 14);
	assert_memory_equal(r.b, ((uint8_t[]){0x33, 0x33, 0, 0, 0, 1}), 6);
	assert_memory_equal(r.b + 14 + 24, all, 16);
	assert_int_equal(r.b[l4 + 4], 0x20);
}

static void bad_solicitations_are_not(void **state)
{
	static const uint8_t none[16];
	struct frame f, r;

	(void)state;
	solicit(&f, peer6, true);
	f.b[14 + 7] = 254; /* RFC 4861 7.1.1: it crossed a router */
	inject(&f);
	solicit(&f, none, true); /* an option beside :: */
	inject(&f);
	receive(0);
	assert_count(0, nd_drop, 2);
	solicit(&f, peer6, true);
	f.b[f.n - 1] ^= 1; /* checksum */
	inject(&f);
	receive(0);
	assert_count(0, rx_drop_l4_checksum, 1);
	assert_false(sent(0, &r));
}

static void echo4(void **state)
{
	uint8_t e[64] = {8, 0, 0, 0, 0x12, 0x34, 0, 7, 'p', 'i', 'n', 'g'};
	struct frame f, r;
	size_t l4;

	(void)state;
	eth(&f, 0x0800);
	ip4(&f, 1, 63);
	icmp(&f, 14, e, 63);
	inject(&f);
	inject_chain(&f, 37); /* odd mbufs */
	receive(0);
	for (int i = 0; i < 2; i++) {
		assert_true(sent(0, &r));
		l4 = check_frame(&r, 14);
		assert_int_equal(r.b[l4], 0);
		assert_memory_equal(r.b + l4 + 4, e + 4, 59);
		assert_memory_equal(r.b + 26, our4, 4);
		assert_memory_equal(r.b + 30, peer4, 4);
		assert_memory_equal(r.b, peer_mac, 6);
	}
	assert_count(0, icmp_echo, 2);
	f.b[f.n - 3] ^= 0x40;
	inject(&f);
	receive(0);
	assert_count(0, rx_drop_l4_checksum, 1);
	assert_false(sent(0, &r));
}

static void echo6(void **state)
{
	uint8_t e[24] = {128, 0, 0, 0, 0x12, 0x34, 0, 7, 'p', 'i', 'n', 'g'};
	struct frame f, r;
	size_t l4;

	(void)state;
	eth(&f, 0x86dd);
	ip6(&f, 58, sizeof(e));
	icmp(&f, 14, e, sizeof(e));
	inject(&f);
	/* from ::, which only solicitations may */
	memset(f.b + 14 + 8, 0, 16);
	f.n = 14 + 40;
	icmp(&f, 14, e, sizeof(e));
	inject(&f);
	receive(0);
	assert_true(sent(0, &r));
	l4 = check_frame(&r, 14);
	assert_int_equal(r.b[l4], 129);
	assert_memory_equal(r.b + l4 + 4, e + 4, 20);
	assert_false(sent(0, &r));
	assert_count(0, rx_drop_source, 1);
}

static void segment_reaches_tcp(void **state)
{
	uint8_t want[16];
	struct frame f;

	(void)state;
	tcp4_frame(&f, 40000, "EHLO client.example\r\n", 21);
	put(&f, "padding", 7);
	inject(&f);
	receive(0);
	assert_int_equal(seen.segments, 1);
	net_map4(want, our4);
	assert_memory_equal(seen.tuple.local, want, 16);
	net_map4(want, peer4);
	assert_memory_equal(seen.tuple.remote, want, 16);
	assert_int_equal(seen.tuple.local_port, 25);
	assert_int_equal(seen.tuple.remote_port, 40000);
	assert_int_equal(seen.header_len, 24);
	assert_int_equal(seen.payload_len, 21);
	assert_memory_equal(seen.payload, "EHLO client.example\r\n", 21);
	assert_int_equal(seen.ttl, 61);
	assert_int_equal(seen.ecn, 3);
	assert_true(net_listening(worker[0], &seen.tuple));
	assert_int_equal(net_listener_id(worker[0], &seen.tuple), 4);
	seen.tuple.local_port = 26;
	assert_false(net_listening(worker[0], &seen.tuple));
	tcp6_frame(&f, 40001, "QUIT\r\n", 6);
	inject(&f);
	receive(0);
	assert_int_equal(seen.segments, 2);
	assert_memory_equal(seen.tuple.local, our6, 16);
	assert_memory_equal(seen.tuple.remote, peer6, 16);
	assert_int_equal(seen.ttl, 58);
	assert_int_equal(seen.ecn, 1);
	assert_int_equal(net_listener_id(worker[0], &seen.tuple), 6);
}

static void chained_segment(void **state)
{
	uint8_t text[1400];
	struct frame f;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7);
	for (size_t step = 23; step < 1500; step += 97) {
		tcp4_frame(&f, 40000, text, sizeof(text));
		inject_chain(&f, step);
		seen.segments = 0;
		receive(0);
		assert_int_equal(seen.segments, 1);
		assert_int_equal(seen.payload_len, sizeof(text));
		assert_memory_equal(seen.payload, text, sizeof(text));
	}
	tcp4_frame(&f, 40000, text, sizeof(text));
	inject_chain(&f, 20); /* more buffers than are taken */
	receive(0);
	assert_count(0, rx_drop_chain, 1);
}

static void burst_goes_up_in_one_call(void **state)
{
	uint8_t text[1300] = "in one mbuf";
	struct frame f;

	(void)state;
	for (uint16_t i = 0; i < 20; i++) {
		tcp4_frame(&f, (uint16_t)(40000 + i), text, 11);
		f.b[f.n - 1] ^= i == 7; /* its checksum is wrong */
		inject(&f);
	}
	receive(0);
	assert_int_equal(seen.segments, 19);
	assert_int_equal(seen.bursts, 1);
	assert_int_equal(seen.tuple.remote_port, 40019);
	/* Chains as long as they may be do not find views for all of a burst. */
	for (uint16_t i = 0; i < 6; i++) {
		memset(text, i, sizeof(text));
		tcp4_frame(&f, 40100, text, sizeof(text));
		inject_chain(&f, 22);
	}
	receive(0);
	assert_int_equal(seen.segments, 19 + 6);
	assert_in_range(seen.bursts, 3, 7);
	assert_true(seen.n_views > 58);
	assert_memory_equal(seen.payload, text, sizeof(text));
}

static void bad_segments_do_not(void **state)
{
	struct frame f;

	(void)state;
	tcp4_frame(&f, 40000, "x", 1);
	f.b[f.n - 1] ^= 1;
	inject(&f);
	receive(0);
	assert_count(0, rx_drop_l4_checksum, 1);
	tcp4_frame(&f, 40000, "x", 1);
	f.b[14 + 8]--; /* TTL without the header checksum */
	inject(&f);
	receive(0);
	assert_count(0, rx_drop_ip_checksum, 1);
	tcp4_frame(&f, 40000, "x", 1);
	memcpy(f.b, peer_mac, 6);
	inject(&f);
	tcp4_frame(&f, 40000, "x", 1);
	memset(f.b, 0xff, 6); /* RFC 1122 4.2.3.10 */
	inject(&f);
	eth(&f, 0x0800);
	ip4(&f, 6, 24);
	f.b[14 + 19] = 99;
	ip4_sum(&f, 14);
	tcp(&f, 14, 40000, 25, "", 0);
	inject(&f);
	receive(0);
	assert_count(0, rx_drop_not_ours, 3);
	eth(&f, 0x0800);
	ip4(&f, 6, 24);
	memcpy(f.b + 14 + 12, (uint8_t[]){192, 0, 2, 255}, 4); /* broadcast of our subnet */
	ip4_sum(&f, 14);
	tcp(&f, 14, 40000, 25, "", 0);
	inject(&f);
	memcpy(f.b + 14 + 12, our4, 4);
	f.n = 14 + 20;
	ip4_sum(&f, 14);
	tcp(&f, 14, 40000, 25, "", 0);
	inject(&f);
	receive(0);
	assert_count(0, rx_drop_source, 2);
	assert_int_equal(seen.segments, 0);
	/* The same last octet elsewhere is a host like any other. */
	memcpy(f.b + 14 + 12, (uint8_t[]){198, 51, 100, 255}, 4);
	f.n = 14 + 20;
	ip4_sum(&f, 14);
	tcp(&f, 14, 40000, 25, "", 0);
	inject(&f);
	receive(0);
	assert_int_equal(seen.segments, 1);
}

static void nic_flags(void **state)
{
	struct frame f;

	(void)state;
	tcp4_frame(&f, 40000, "x", 1);
	inject_flags(&f, RTE_MBUF_F_RX_L4_CKSUM_BAD, 0);
	inject_flags(&f, RTE_MBUF_F_RX_IP_CKSUM_BAD, 0);
	receive(0);
	assert_int_equal(seen.segments, 0);
	assert_count(0, rx_drop_l4_checksum, 1);
	assert_count(0, rx_drop_ip_checksum, 1);
	f.b[f.n - 1] ^= 1; /* only unknown is verified */
	inject_flags(&f, RTE_MBUF_F_RX_L4_CKSUM_GOOD, 0);
	inject_flags(&f, RTE_MBUF_F_RX_L4_CKSUM_NONE, 0);
	receive(0);
	assert_int_equal(seen.segments, 2);
	inject_flags(&f, RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN, 0);
	receive(0);
	assert_int_equal(seen.segments, 2);
	assert_count(0, rx_drop_l4_checksum, 2);
}

static const uint8_t out_header[24] = {0,    25,   0x9c, 0x40, 1,    2,    3, 4, 5, 6, 7, 8,
				       0x60, 0x10, 0x20, 0,    0xaa, 0xbb, 0, 0, 1, 1, 1, 1};

static void reply_of_last_segment(struct frame *r)
{
	static const struct tcp_view view[2] = {{(const uint8_t *)"250-mx", 6},
						{(const uint8_t *)".example.net\r\n", 14}};

	assert_int_equal(
		net_tcp_output(worker[0], &seen.tuple, &seen.path, out_header, 24, view, 2), 0);
	assert_true(sent(0, r));
	assert_memory_equal(r->b, peer_mac, 6);
	assert_memory_equal(r->b + r->n - 20, "250-mx.example.net\r\n", 20);
}

static void output_is_right(void **state)
{
	struct frame f, r;
	size_t l4;

	(void)state;
	tcp4_frame(&f, 40000, "x", 1);
	inject(&f);
	receive(0);
	reply_of_last_segment(&r);
	l4 = check_frame(&r, 14);
	assert_int_equal(l4, 34);
	assert_int_equal(net_be16(r.b + 12), 0x0800);
	assert_memory_equal(r.b + l4, out_header, 16);
	assert_memory_equal(r.b + 26, our4, 4);
	assert_memory_equal(r.b + 30, peer4, 4);
	assert_int_equal(r.b[14 + 6], 0x40); /* DF */
	assert_int_equal(net_tcp_mss(worker[0], &seen.tuple, &seen.path), 1460);
	tcp6_frame(&f, 40000, "x", 1);
	inject(&f);
	receive(0);
	reply_of_last_segment(&r);
	assert_int_equal(check_frame(&r, 14), 54);
	assert_int_equal(net_be16(r.b + 12), 0x86dd);
	assert_memory_equal(r.b + 14 + 24, peer6, 16);
	assert_int_equal(net_tcp_mss(worker[0], &seen.tuple, &seen.path), 1440);
	assert_count(0, tx_packets, 2);
	assert_int_equal(net_path_port(&seen.path), port.id);
}

static void offloads_are_used(void **state)
{
	struct frame f, r;

	(void)state;
	bench_down();
	port.tx_ip_checksum = port.tx_tcp_checksum = true;
	assert_int_equal(bench_again(1), 0);
	tcp4_frame(&f, 40000, "x", 1);
	inject(&f);
	receive(0);
	reply_of_last_segment(&r);
	assert_true((sent_flags & RTE_MBUF_F_TX_IPV4) != 0);
	assert_true((sent_flags & RTE_MBUF_F_TX_IP_CKSUM) != 0);
	assert_true((sent_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM);
	assert_int_equal(net_be16(r.b + 24), 0);
	/* the field holds the sum of the pseudo-header, for the NIC to add to */
	assert_int_equal(net_be16(r.b + 34 + 16), sum16(NULL, 0, pseudo(r.b + 14, false, 6, 44)));
	tcp6_frame(&f, 40000, "x", 1);
	inject(&f);
	receive(0);
	reply_of_last_segment(&r);
	assert_true((sent_flags & RTE_MBUF_F_TX_IPV6) != 0);
	assert_int_equal(net_be16(r.b + 54 + 16), sum16(NULL, 0, pseudo(r.b + 14, true, 6, 44)));
}

static void long_echo_is_cut(void **state)
{
	static uint8_t e[1200] = {8, 0, 0, 0, 1, 2, 0, 1};
	struct frame f, r;

	(void)state;
	bench_down();
	port.mtu = 600;
	assert_int_equal(bench_again(1), 0);
	eth(&f, 0x0800);
	ip4(&f, 1, sizeof(e));
	icmp(&f, 14, e, sizeof(e));
	inject(&f);
	receive(0);
	assert_true(sent(0, &r));
	assert_int_equal(r.n, 14 + 600);
	check_frame(&r, 14);
}

static void tag_is_mirrored(void **state)
{
	struct frame f, r;

	(void)state;
	eth_vlan(&f, 0x6123, 0x0800);
	ip4(&f, 6, 24);
	tcp(&f, 18, 40000, 25, "", 0);
	inject(&f);
	receive(0);
	assert_int_equal(seen.segments, 1);
	reply_of_last_segment(&r);
	assert_int_equal(net_be16(r.b + 12), 0x8100);
	assert_int_equal(net_be16(r.b + 14), 0x6123);
	check_frame(&r, 18);
	/* the driver took the tag off */
	tcp4_frame(&f, 40000, "x", 1);
	inject_flags(&f, RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED, 0x0042);
	receive(0);
	assert_int_equal(seen.segments, 2);
	reply_of_last_segment(&r);
	assert_int_equal(net_be16(r.b + 14), 0x0042);
	check_frame(&r, 18);
	/* two tags are not ours */
	eth_vlan(&f, 1, 0x8100);
	put(&f, "\0\1\10\0", 4);
	ip4(&f, 6, 24);
	tcp(&f, 22, 40000, 25, "", 0);
	inject(&f);
	receive(0);
	assert_count(0, rx_drop_ethertype, 1);
}

static void icmp_error_reaches_tcp(void **state)
{
	uint8_t e[8 + 20 + 8] = {3, 4, 0,    0, 0, 0,    1292 >> 8, 1292 & 255, 0x45,
				 0, 5, 0xdc, 0, 0, 0x40, 0,         60,         6};
	uint8_t six[8 + 40 + 8] = {2, 0, 0, 0, 0, 0, 1300 >> 8, 1300 & 255, 0x60, 0, 0, 0, 5, 0, 6};
	struct frame f;

	(void)state;
	memcpy(e + 20, our4, 4);
	memcpy(e + 24, peer4, 4);
	memcpy(e + 28, "\0\31\x9c\x40\1\2\3\4", 8);
	eth(&f, 0x0800);
	ip4(&f, 1, sizeof(e));
	icmp(&f, 14, e, sizeof(e));
	inject(&f);
	receive(0);
	assert_int_equal(seen.icmp_errors, 1);
	assert_int_equal(seen.mtu, 1292);
	assert_int_equal(seen.seq, 0x01020304);
	assert_int_equal(seen.tuple.local_port, 25);
	assert_int_equal(seen.tuple.remote_port, 40000);
	memcpy(six + 16, our6, 16);
	memcpy(six + 32, peer6, 16);
	memcpy(six + 48, "\0\31\x9c\x40\1\2\3\5", 8);
	eth(&f, 0x86dd);
	ip6(&f, 58, sizeof(six));
	icmp(&f, 14, six, sizeof(six));
	inject(&f);
	receive(0);
	assert_int_equal(seen.icmp_errors, 2);
	assert_int_equal(seen.mtu, 1300);
	assert_memory_equal(seen.tuple.local, our6, 16);
	assert_count(0, icmp_error_rx, 2);
	/* quotes what we never sent */
	e[20 + 3] ^= 8;
	eth(&f, 0x0800);
	ip4(&f, 1, sizeof(e));
	icmp(&f, 14, e, sizeof(e));
	inject(&f);
	receive(0);
	assert_int_equal(seen.icmp_errors, 2);
	assert_count(0, icmp_drop, 1);
}

static void addresses_are_announced(void **state)
{
	unsigned int arp = 0, nd = 0;
	struct frame r;

	(void)state;
	for (uint64_t t = 1; t < 10000000; t += 500000) {
		net_tick(worker[0], t);
		while (sent(0, &r)) {
			if (net_be16(r.b + 12) == 0x0806) {
				arp++;
				assert_memory_equal(r.b + 28, our4, 4);
				assert_memory_equal(r.b + 38, our4, 4);
				assert_int_equal(r.b[0], 0xff);
			} else {
				nd++;
				assert_int_equal(r.b[check_frame(&r, 14) + 4], 0x20);
			}
		}
	}
	assert_int_equal(arp, 3);
	assert_int_equal(nd, 3);
}

static void addresses_are_checked(void **state)
{
	struct handoff_listener l = {.tcp_port = 25, .port = port.id, .prefix_len = 120};
	struct tcp_tuple t = {.local_port = 25};

	(void)state;
	net_map4(l.address, (uint8_t[]){127, 0, 0, 1});
	assert_int_equal(net_set_addresses(worker[0], &l, 1), -EINVAL);
	net_map4(l.address, (uint8_t[]){203, 0, 113, 5});
	l.port = 15;
	assert_int_equal(net_set_addresses(worker[0], &l, 1), -EINVAL);
	l.port = port.id;
	l.prefix_len = 24;
	assert_int_equal(net_set_addresses(worker[0], &l, 1), -EINVAL);
	memcpy(t.local, l.address, 16);
	assert_false(net_listening(worker[0], &t));
	l.prefix_len = 120;
	assert_int_equal(net_set_addresses(worker[0], &l, 1), 0);
	assert_true(net_listening(worker[0], &t));
	net_map4(t.local, our4);
	assert_false(net_listening(worker[0], &t));
}

static void answers_with_an_empty_receive_pool(void **state)
{
	static struct rte_mbuf *hold[RX_MBUFS + 1];
	struct frame f, r;
	unsigned int n = 0;

	(void)state;
	tcp4_frame(&f, 40000, "x", 1);
	inject(&f);
	eth(&f, 0x0806);
	put(&f, arp_request, 28);
	inject(&f);
	while ((hold[n] = rte_pktmbuf_alloc(rx_pool)))
		n++;
	assert_int_equal(receive(0), 2);
	assert_true(sent(0, &r));
	reply_of_last_segment(&r);
	for (unsigned int i = 0; i < n; i++)
		rte_pktmbuf_free(hold[i]);
}

static void empty_transmit_pool_and_full_ring_are_counted(void **state)
{
	static struct rte_mbuf *hold[TX_MBUFS + 1];
	struct frame f, r;
	unsigned int n = 0, lost = 0;

	(void)state;
	tcp4_frame(&f, 40000, "x", 1);
	inject(&f);
	receive(0);
	/* the driver's ring takes 255, the buffer 64 more */
	for (int i = 0; i < 400; i++)
		if (net_tcp_output(worker[0], &seen.tuple, &seen.path, out_header, 24, NULL, 0))
			lost++;
	assert_int_equal(lost, 400 - 255 - 64);
	assert_count(0, tx_drop_ring_full, lost);
	while (sent(0, &r))
		n++;
	assert_int_equal(n, 255 + 64);
	for (n = 0; (hold[n] = rte_pktmbuf_alloc(tx_pool)); n++)
		;
	assert_int_equal(
		net_tcp_output(worker[0], &seen.tuple, &seen.path, out_header, 24, NULL, 0),
		-ENOBUFS);
	assert_count(0, tx_drop_no_mbuf, 1);
	while (n)
		rte_pktmbuf_free(hold[--n]);
}

int main(int argc, char **argv)
{
#define ONE(f) cmocka_unit_test_setup_teardown(f, setup_one, teardown)
	const struct CMUnitTest tests[] = {
		ONE(arp_is_answered),
		ONE(arp_for_others_is_not),
		ONE(arp_is_rate_limited),
		ONE(neighbour_is_answered),
		ONE(duplicate_detection_is_answered_to_all),
		ONE(bad_solicitations_are_not),
		ONE(echo4),
		ONE(echo6),
		ONE(segment_reaches_tcp),
		ONE(chained_segment),
		ONE(burst_goes_up_in_one_call),
		ONE(bad_segments_do_not),
		ONE(nic_flags),
		ONE(output_is_right),
		ONE(offloads_are_used),
		ONE(long_echo_is_cut),
		ONE(tag_is_mirrored),
		ONE(icmp_error_reaches_tcp),
		ONE(addresses_are_announced),
		ONE(addresses_are_checked),
		ONE(answers_with_an_empty_receive_pool),
		ONE(empty_transmit_pool_and_full_ring_are_counted),
	};
	int failed;

	(void)argc;
	if (!bench_eal(argv[0]))
		return 77;
	failed = cmocka_run_group_tests_name("net", tests, NULL, NULL);
	failed += run_flow_tests();
	failed += run_cable_tests();
	return failed ? 1 : 0;
}
