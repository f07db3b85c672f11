/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/net/net_cksum.h"
#include "dataplane/net/net_parse.h"
#include "postern/stats.h"

/* A frame with every checksum left out: IPv4, twenty octets of TCP. */
static const uint8_t plain4[54] = {2,   0,    0,   0, 0,   1, 2, 0,    0,    0,    0, 2,  8,
				   0,   0x45, 0,   0, 40,  0, 0, 0x40, 0,    64,   6, 0,  0,
				   198, 51,   100, 7, 192, 0, 2, 1,    0x9c, 0x40, 0, 25, 0,
				   0,   0,    1,   0, 0,   0, 0, 0x50, 2,    0x20, 0};
static const uint8_t plain6[74] = {2,    0,  0, 0, 0, 1,  2, 0,  0,    0, 0,    2,    0x86, 0xdd,
				   0x60, 0,  0, 0, 0, 20, 6, 64, 0x20, 1, 0xd,  0xb8, 0,    0,
				   0,    0,  0, 0, 0, 0,  0, 0,  0,    7, 0x20, 1,    0xd,  0xb8,
				   0,    0,  0, 0, 0, 0,  0, 0,  0,    0, 0,    1,    0x9c, 0x40,
				   0,    25, 0, 0, 0, 1,  0, 0,  0,    0, 0x50, 2,    0x20, 0};

/* One octet changed: what comes of it. */
struct change {
	const char *what;
	bool ip6;
	uint8_t at, value;
	int drop; /* -1: still a TCP segment */
};

static const struct change changes[] = {
	{"as it is", false, 0, 2, -1},
	{"as it is", true, 0, 2, -1},
	{"source MAC is a group", false, 6, 3, CNT_rx_drop_source},
	{"another EtherType", false, 13, 1, CNT_rx_drop_ethertype},
	{"version", false, 14, 0x65, CNT_rx_drop_ip_header},
	{"header length under 5", false, 14, 0x44, CNT_rx_drop_ip_header},
	{"header length over the datagram", false, 14, 0x4f, CNT_rx_drop_ip_header},
	{"total length under the header", false, 17, 19, CNT_rx_drop_ip_header},
	{"total length over the frame", false, 17, 41, CNT_rx_drop_short},
	{"no room for TCP", false, 17, 39, CNT_rx_drop_short},
	{"source 0/8", false, 26, 0, CNT_rx_drop_source},
	{"source loopback", false, 26, 127, CNT_rx_drop_source},
	{"source multicast", false, 26, 224, CNT_rx_drop_source},
	{"source broadcast", false, 26, 255, CNT_rx_drop_source},
	{"UDP", false, 23, 17, CNT_rx_drop_ip_proto},
	{"ICMPv6 in IPv4", false, 23, 58, CNT_rx_drop_ip_proto},
	{"data offset under 5", false, 46, 0x40, CNT_tcp_drop_header},
	{"data offset over the segment", false, 46, 0x60, CNT_tcp_drop_header},
	{"version", true, 14, 0x50, CNT_rx_drop_ip_header},
	{"payload length over the frame", true, 19, 21, CNT_rx_drop_short},
	{"no room for TCP", true, 19, 19, CNT_rx_drop_short},
	{"source multicast", true, 22, 0xff, CNT_rx_drop_source},
	{"hop-by-hop with a false length", true, 20, 0, CNT_rx_drop_ext_header},
	{"no next header", true, 20, 59, CNT_rx_drop_ip_proto},
	{"ICMP in IPv6", true, 20, 1, CNT_rx_drop_ip_proto},
};

static void one_octet(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const struct change *c = &changes[i];
		size_t n = c->ip6 ? sizeof(plain6) : sizeof(plain4);
		struct net_head h;
		uint8_t f[80];

		memcpy(f, c->ip6 ? plain6 : plain4, n);
		f[c->at] = c->value;
		net_parse(f, n, n, false, &h);
		if (c->drop < 0 ? h.kind != NET_KIND_TCP
				: h.kind != NET_KIND_DROP || h.drop != c->drop)
			fail_msg("%s: kind %u drop %u", c->what, h.kind, h.drop);
	}
}

static void every_shorter_frame_is_short(void **state)
{
	struct net_head h;

	(void)state;
	for (size_t n = 0; n < sizeof(plain4); n++) {
		uint8_t *exact = malloc(n ? n : 1); /* so that a read past it is seen */

		memcpy(exact, plain4, n);
		assert_false(net_parse(exact, n, n, false, &h));
		assert_int_equal(h.drop, CNT_rx_drop_short);
		free(exact);
	}
	for (size_t n = 0; n < sizeof(plain6); n++) {
		uint8_t *exact = malloc(n ? n : 1);

		memcpy(exact, plain6, n);
		assert_false(net_parse(exact, n, n, false, &h));
		assert_int_equal(h.drop, CNT_rx_drop_short);
		free(exact);
	}
}

static void mapped_addresses_are_refused(void **state)
{
	uint8_t f[sizeof(plain6)];
	struct net_head h;

	(void)state;
	memcpy(f, plain6, sizeof(f));
	net_map4(f + 22, (uint8_t[]){192, 0, 2, 9});
	assert_false(net_parse(f, sizeof(f), sizeof(f), false, &h));
	assert_int_equal(h.drop, CNT_rx_drop_source);
	memcpy(f, plain6, sizeof(f));
	net_map4(f + 38, (uint8_t[]){192, 0, 2, 1});
	assert_false(net_parse(f, sizeof(f), sizeof(f), false, &h));
	assert_int_equal(h.drop, CNT_rx_drop_not_ours);
}

static void header_checksum(void **state)
{
	uint8_t f[sizeof(plain4)];
	struct net_head h;

	(void)state;
	memcpy(f, plain4, sizeof(f));
	assert_false(net_parse(f, sizeof(f), sizeof(f), true, &h));
	assert_int_equal(h.drop, CNT_rx_drop_ip_checksum);
	net_cksum_store(f + 24, net_cksum_add(0, f + 14, 20));
	assert_true(net_parse(f, sizeof(f), sizeof(f), true, &h));
}

/* IPv4 options, four octets each. */
static void ip4_options(void **state)
{
	static const struct {
		uint8_t o[4];
		bool ok;
	} t[] = {{{1, 1, 1, 0}, true},    {{148, 4, 0, 0}, true}, {{0, 9, 9, 9}, true},
		 {{7, 5, 0, 0}, false},   {{7, 1, 0, 0}, false},  {{1, 1, 1, 7}, false},
		 {{131, 3, 4, 0}, false}, {{137, 3, 4, 0}, false}};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint8_t f[58];
		struct net_head h;

		memcpy(f, plain4, 34);
		f[14] = 0x46;
		f[17] = 44;
		memcpy(f + 34, t[i].o, 4);
		memcpy(f + 38, plain4 + 34, 20);
		assert_int_equal(net_parse(f, sizeof(f), sizeof(f), false, &h), t[i].ok);
		assert_int_equal(h.drop, t[i].ok ? 0 : CNT_rx_drop_ip_header);
		if (t[i].ok)
			assert_int_equal(h.tuple.remote_port, 40000);
	}
}

/* One extension header of eight octets before TCP. */
static void extension_headers(void **state)
{
	static const struct {
		uint8_t type, e[8];
		bool ok;
	} t[] = {
		{0, {6, 0, 1, 4, 0, 0, 0, 0}, true},      /* PadN */
		{0, {6, 0, 5, 2, 0, 0, 0, 0}, true},      /* Router Alert, Pad1 twice */
		{0, {6, 0, 0xc2, 4, 0, 0, 0, 0}, false},  /* jumbo payload: unknown, discard */
		{60, {6, 0, 0x3e, 4, 0, 0, 0, 0}, true},  /* unknown, skip */
		{60, {6, 0, 0x7e, 4, 0, 0, 0, 0}, false}, /* unknown, discard */
		{60, {6, 0, 1, 5, 0, 0, 0, 0}, false},    /* longer than its header */
		{60, {0, 0, 1, 4, 0, 0, 0, 0}, false},    /* hop-by-hop, but not first */
		{60, {6, 9, 1, 4, 0, 0, 0, 0}, false},    /* longer than the packet */
		{43, {6, 0, 2, 0, 0, 0, 0, 0}, true},     /* no segment left */
		{43, {6, 0, 2, 1, 0, 0, 0, 0}, false},
		{43, {6, 0, 0, 0, 0, 0, 0, 0}, false}, /* RFC 5095 */
		{44, {6, 0, 0, 0, 1, 2, 3, 4}, true},  /* RFC 6946 */
		{51, {6, 4, 0, 0, 0, 0, 0, 0}, false}, /* AH */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint8_t f[82];
		struct net_head h;

		memcpy(f, plain6, 54);
		f[19] = 28;
		f[20] = t[i].type;
		memcpy(f + 54, t[i].e, 8);
		memcpy(f + 62, plain6 + 54, 20);
		if (net_parse(f, sizeof(f), sizeof(f), false, &h) != t[i].ok)
			fail_msg("header %zu: drop %u", i, h.drop);
		if (t[i].ok)
			assert_int_equal(h.l4, 62);
	}
}

static void fragments(void **state)
{
	uint8_t f[sizeof(plain4)], six[sizeof(plain6) + 8];
	struct net_head h;

	(void)state;
	memcpy(f, plain4, sizeof(f));
	f[17] = 36; /* 16 octets */
	f[20] = 0x20;
	f[21] = 3;
	assert_true(net_parse(f, sizeof(f), sizeof(f), false, &h));
	assert_int_equal(h.kind, NET_KIND_FRAGMENT);
	assert_int_equal(h.fragment_off, 24);
	assert_true(h.fragment_more);
	assert_int_equal(h.end, 50);
	f[17] = 40;
	assert_false(
		net_parse(f, sizeof(f), sizeof(f), false, &h)); /* 20 octets and more to come */
	assert_int_equal(h.drop, CNT_rx_drop_fragment);
	memcpy(six, plain6, 54);
	memcpy(six + 54, (uint8_t[]){6, 0, 0, 9, 1, 2, 3, 4}, 8);
	memcpy(six + 62, plain6 + 54, 20);
	six[19] = 24;
	six[20] = 44;
	assert_true(net_parse(six, sizeof(six), sizeof(six), false, &h));
	assert_int_equal(h.kind, NET_KIND_FRAGMENT);
	assert_int_equal(h.fragment_off, 8);
	assert_int_equal(h.fragment_id, 0x01020304);
	assert_int_equal(h.fragment_proto, 6);
}

static void solicitations(void **state)
{
	static const uint8_t peer[16] = {0xfe, 0x80, [15] = 7}, none[16];
	static const uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff, [15] = 1};
	uint8_t ns[32] = {135, [8] = 0x20, 1, 0xd, 0xb8, [23] = 1, 1, 1, 2, 0, 0, 0, 0, 2};
	struct net_solicit s;

	(void)state;
	assert_true(net_parse_solicit(ns, 32, 255, peer, group, &s));
	assert_true(s.has_mac);
	assert_true(net_parse_solicit(ns, 24, 255, none, group, &s));
	assert_false(s.has_mac);
	assert_false(net_parse_solicit(ns, 24, 255, none, peer, &s));  /* not to the group */
	assert_false(net_parse_solicit(ns, 32, 255, none, group, &s)); /* with an option */
	assert_false(net_parse_solicit(ns, 23, 255, peer, group, &s));
	assert_false(net_parse_solicit(ns, 31, 255, peer, group, &s));
	ns[25] = 0;
	assert_false(net_parse_solicit(ns, 32, 255, peer, group, &s)); /* an option of length 0 */
	ns[25] = 1;
	ns[8] = 0xff;
	assert_false(net_parse_solicit(ns, 32, 255, peer, group, &s)); /* a group as target */
}

static void quotes(void **state)
{
	uint8_t e[36] = {3, 4, 0,   0, 0, 0, 0,   0,  0x45, 0, 5, 0xdc, 0,    0,    0x40, 0, 60, 6,
			 0, 0, 192, 0, 2, 1, 198, 51, 100,  7, 0, 25,   0x9c, 0x40, 1,    2, 3,  4};
	struct net_quote q;

	(void)state;
	assert_true(net_parse_icmp_error(e, sizeof(e), false, &q));
	assert_int_equal(q.mtu, 1492); /* RFC 1191 5: an old router, a segment of 1,500 */
	assert_int_equal(q.seq, 0x01020304);
	net_put16(e + 6, 1500);
	assert_false(net_parse_icmp_error(e, sizeof(e), false, &q)); /* what fits is not too big */
	net_put16(e + 6, 576);
	assert_true(net_parse_icmp_error(e, sizeof(e), false, &q));
	assert_int_equal(q.mtu, 576);
	assert_false(net_parse_icmp_error(e, sizeof(e) - 1, false, &q));
	e[15] = 1; /* not the first fragment */
	assert_false(net_parse_icmp_error(e, sizeof(e), false, &q));
	e[15] = 0;
	e[0] = 4; /* RFC 6633 */
	assert_false(net_parse_icmp_error(e, sizeof(e), false, &q));
	e[0] = 11;
	assert_true(net_parse_icmp_error(e, sizeof(e), false, &q));
	assert_int_equal(q.mtu, 0);
}

static void checksum_against_the_plain_sum(void **state)
{
	uint8_t b[200];

	(void)state;
	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(255 - i * 31);
	for (size_t n = 0; n <= sizeof(b); n++) {
		uint32_t s = 0;
		uint8_t field[2];

		for (size_t i = 0; i < n; i++)
			s += i & 1 ? b[i] : (uint32_t)b[i] << 8;
		while (s >> 16)
			s = (s & 0xffff) + (s >> 16);
		net_cksum_store(field, net_cksum_add(0, b, n));
		assert_int_equal(net_be16(field), (uint16_t)~s);
		for (size_t cut = 0; cut < n; cut += 7) {
			uint64_t rest = net_cksum_add(0, b + cut, n - cut);

			rest = cut & 1 ? net_cksum_odd(rest) : rest;
			net_cksum_store(field, net_cksum_add(0, b, cut) + rest);
			assert_int_equal(net_be16(field), (uint16_t)~s);
		}
	}
}

static uint16_t plain_sum(const uint8_t *b, size_t n)
{
	uint64_t s = 0;

	for (size_t i = 0; i < n; i++)
		s += i & 1 ? b[i] : (uint32_t)b[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

static void assert_sum(const uint8_t *b, size_t n)
{
	uint8_t field[2];

	net_cksum_store(field, net_cksum_sum(b, n));
	assert_int_equal(net_be16(field), (uint16_t)~plain_sum(b, n));
}

/* Each that the CPU has: every length up to a few registers, at every place of a line. Not an octet
 * beyond the end is read. */
static void checksum_by_width(void **state)
{
	enum { LONG = (3u << 19) + 67 };
	uint8_t *big = malloc(LONG);

	(void)state;
	assert_non_null(big);
	for (unsigned int level = NET_CKSUM_PLAIN; level <= NET_CKSUM_AVX512; level++) {
		if (net_cksum_choose(level) != level)
			continue;
		for (size_t n = 0; n <= 400; n++) {
			uint8_t *b = malloc(64 + n);

			assert_non_null(b);
			for (size_t i = 0; i < 64 + n; i++)
				b[i] = (uint8_t)(0xff - ((i + n) * 2654435761u >> 27));
			for (size_t at = 0; at <= 64; at++)
				assert_sum(b + at, n);
			free(b);
		}
		memset(big, 0xff, LONG);
		assert_sum(big, LONG);
		for (size_t i = 0; i < LONG; i++)
			big[i] = (uint8_t)(i * 2654435761u >> 24);
		assert_sum(big, LONG);
		assert_sum(big + 1, LONG - 1);
	}
	net_cksum_choose(NET_CKSUM_AVX512);
	free(big);
}

/* Far longer than a packet: no part of the sum may overflow on the way. */
static void checksum_of_much(void **state)
{
	const size_t n = (3u << 19) + 66;
	uint8_t *b = malloc(n), field[2];
	uint64_t s = 0;

	(void)state;
	assert_non_null(b);
	memset(b, 0xff, n);
	assert_int_equal(net_cksum_fold(net_cksum_add(0, b, n)), 0xffff);
	for (size_t i = 0; i < n; i++) {
		b[i] = (uint8_t)(0xff - (i * 2654435761u >> 30));
		s += i & 1 ? b[i] : (uint32_t)b[i] << 8;
	}
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	net_cksum_store(field, net_cksum_add(0, b, n));
	assert_int_equal(net_be16(field), (uint16_t)~s);
	free(b);
}

/* Frames of a mirror: stacked tags, and sources that would be refused as senders to us. */
static void watched_frames(void **state)
{
	static const uint16_t types[] = {0x8100, 0x88a8, 0x9100};
	uint8_t frame[sizeof(plain6) + NET_VLAN * (LIMIT_TAP_VLANS + 1)];
	struct net_head h;

	(void)state;
	for (unsigned int ip6 = 0; ip6 < 2; ip6++) {
		const uint8_t *plain = ip6 ? plain6 : plain4;
		size_t n = ip6 ? sizeof(plain6) : sizeof(plain4);

		for (unsigned int tags = 0; tags <= LIMIT_TAP_VLANS + 1; tags++) {
			size_t all = n + NET_VLAN * tags;

			memcpy(frame, plain, 12);
			for (unsigned int i = 0; i < tags; i++) {
				net_put16(frame + 12 + NET_VLAN * i, types[i % 3]);
				net_put16(frame + 14 + NET_VLAN * i, (uint16_t)(i + 1));
			}
			memcpy(frame + 12 + NET_VLAN * tags, plain + 12, n - 12);
			assert_int_equal(net_parse_tap(frame, all, all, false, &h),
					 tags <= LIMIT_TAP_VLANS);
			if (tags > LIMIT_TAP_VLANS) {
				assert_int_equal(h.drop, CNT_rx_drop_ethertype);
				continue;
			}
			assert_int_equal(h.kind, NET_KIND_TCP);
			assert_int_equal(h.l3, NET_ETHER + NET_VLAN * tags);
			assert_int_equal(h.tuple.local_port, 25);
			assert_int_equal(h.vlan, tags);
			for (size_t cut = 0; cut < all; cut++)
				assert_false(net_parse_tap(frame, cut, cut, false, &h));
		}
	}
	memcpy(frame, plain4, sizeof(plain4));
	frame[26] = 127;
	assert_true(net_parse_tap(frame, sizeof(plain4), sizeof(plain4), false, &h));
	assert_false(net_parse(frame, sizeof(plain4), sizeof(plain4), false, &h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_octet),
		cmocka_unit_test(every_shorter_frame_is_short),
		cmocka_unit_test(mapped_addresses_are_refused),
		cmocka_unit_test(header_checksum),
		cmocka_unit_test(ip4_options),
		cmocka_unit_test(extension_headers),
		cmocka_unit_test(fragments),
		cmocka_unit_test(solicitations),
		cmocka_unit_test(quotes),
		cmocka_unit_test(watched_frames),
		cmocka_unit_test(checksum_against_the_plain_sum),
		cmocka_unit_test(checksum_of_much),
		cmocka_unit_test(checksum_by_width),
	};

	return cmocka_run_group_tests_name("net_parse", tests, NULL, NULL);
}
