/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * From the octets of a frame to what it says. No DPDK, no state, no allocation: this is the part of
 * layer 2 and 3 that hostile octets reach first, so it is fuzzed alone.
 *
 * Whether an address is ours and whether a transport checksum holds is the caller's to find out.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/tcp/tcp.h"
#include "postern/limits.h"

#define NET_ETHER 14
#define NET_VLAN 4
#define NET_IP4 20
#define NET_IP6 40
#define NET_TCP 20
#define NET_MIN_MTU6 1280 /* RFC 8200 5 */

/* IPv6 extension headers of a packet. Ours: three or four at most are seen in earnest, and
 * RFC 8504 5.3 lets a node bound number and size. */
#define NET_EXT_HEADERS 8
#define NET_EXT_OCTETS 512

/* Octets from the start of the frame in which all headers of an acceptable packet lie. */
#define NET_HEAD (NET_ETHER + NET_VLAN + NET_IP6 + NET_EXT_OCTETS + 60)

/* The same of a frame of a mirror port, which may be tagged LIMIT_TAP_VLANS times. */
#define NET_HEAD_TAP (NET_HEAD + (LIMIT_TAP_VLANS - 1) * NET_VLAN)

#define NET_PROTO_ICMP 1
#define NET_PROTO_TCP 6
#define NET_PROTO_UDP 17
#define NET_PROTO_GRE 47
#define NET_PROTO_ICMP6 58

enum net_kind {
	NET_KIND_DROP,     /* drop says why */
	NET_KIND_ARP,
	NET_KIND_TCP,
	NET_KIND_ICMP,
	NET_KIND_ICMP6,
	NET_KIND_FRAGMENT, /* of an IP datagram; l4 is where its payload begins */
	NET_KIND_TUNNEL,   /* net_parse_tap() only: GRE or UDP, as `proto` says */
};

struct net_head {
	uint8_t kind;      /* enum net_kind */
	uint8_t ttl;       /* or hop limit */
	uint8_t ecn;
	uint8_t fragment_proto; /* FRAGMENT: what the fragment header says follows */
	bool ip6;
	uint8_t proto;     /* TUNNEL */
	bool watched;      /* net_parse_tap() */
	bool tagged;       /* an 802.1Q tag lies in the frame */
	uint16_t vlan;     /* its TCI */
	uint16_t drop;     /* enum postern_counter */
	uint16_t l3;       /* offsets from the start of the frame */
	uint16_t l4;
	uint32_t end;      /* behind the last octet of the datagram; padding follows */
	uint16_t tcp_header; /* TCP: octets of header with options */
	uint16_t fragment_off; /* octets */
	bool fragment_more;
	uint32_t fragment_id;
	const uint8_t *dst_mac, *src_mac; /* into the frame */
	struct tcp_tuple tuple; /* local is the destination; ports are 0 unless TCP */
};

/*
 * Parses p[0..n), the contiguous begin of a frame of `total` octets. n >= min(total, NET_HEAD).
 * verify_ip: the IPv4 header checksum is not known to be good. True unless h->kind is DROP.
 */
bool net_parse(const uint8_t *p, size_t n, size_t total, bool verify_ip, struct net_head *h);

/*
 * The same for a frame that was sent to others: stacked tags (802.1Q, 802.1ad, 0x9100), and any source
 * address, since a loopback or a test may be what is watched. n >= min(total, NET_HEAD_TAP).
 */
bool net_parse_tap(const uint8_t *p, size_t n, size_t total, bool verify_ip, struct net_head *h);

struct net_arp {
	bool request;
	uint8_t sender_mac[6];
	uint8_t sender_ip[4];
	uint8_t target_ip[4];
};

/* The ARP packet at p (behind the Ethernet header). RFC 826. */
bool net_parse_arp(const uint8_t *p, size_t n, struct net_arp *a);

struct net_solicit {
	uint8_t target[16];
	bool has_mac;      /* a source link-layer address option */
	uint8_t mac[6];
};

/*
 * The neighbour solicitation at p (ICMPv6 header, checksum known good) in a packet with this hop
 * limit, source and destination: every check of RFC 4861 7.1.1.
 */
bool net_parse_solicit(const uint8_t *p, size_t n, uint8_t hop_limit, const uint8_t src[16],
		       const uint8_t dst[16], struct net_solicit *ns);

struct net_quote {
	struct tcp_tuple tuple; /* local is the quoted source */
	uint32_t seq;
	uint32_t mtu; /* fragmentation needed or packet too big; else 0 */
};

/*
 * The ICMP or ICMPv6 message at p (checksum known good), if it is an error that quotes a TCP
 * segment. False: not such a message, or malformed.
 */
bool net_parse_icmp_error(const uint8_t *p, size_t n, bool ip6, struct net_quote *q);

/* Source addresses that cannot be: RFC 1122 3.2.1.3, RFC 4291 2.5. Mapped form in both cases. */
bool net_source_possible(const uint8_t addr[16], bool ip6);

static inline uint16_t net_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t net_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void net_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void net_put32(uint8_t *p, uint32_t v)
{
	net_put16(p, (uint16_t)(v >> 16));
	net_put16(p + 2, (uint16_t)v);
}

/* 802.1Q, 802.1ad, and what was used before that */
static inline bool net_is_tag(uint16_t type)
{
	return type == 0x8100 || type == 0x88a8 || type == 0x9100;
}

/* ::ffff:0:0/96, RFC 4291 2.5.5.2. Looked at several times for each packet. */
static inline bool net_is_mapped4(const uint8_t addr[16])
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(addr, prefix, sizeof(prefix)) == 0;
}

static inline void net_map4(uint8_t out[16], const uint8_t ip4[4])
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(out, prefix, sizeof(prefix));
	memcpy(out + 12, ip4, 4);
}
