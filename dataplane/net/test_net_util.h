/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A bench for net/: ethdev ports over rings, frames made octet by octet with a checksum routine of
 * their own, and a TCP that writes down what it gets.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/net/net.h"
#include "dataplane/net/net_parse.h"
#include "dataplane/port/port.h"
#include "postern/stats.h"

#define BENCH_WORKERS 2
#define FRAME_MAX     4096
#define RX_MBUFS      2047
#define TX_MBUFS      511
#define RX_RESERVE    64

struct frame {
	uint8_t b[FRAME_MAX];
	size_t n;
};

/* What the TCP of this test got. */
struct seen {
	unsigned int segments, bursts, icmp_errors, refused;
	bool known;              /* tcp_has(): the tuple below */
	struct tcp_tuple known_tuple;
	struct tcp_tuple tuple;
	struct tcp_path path;
	uint8_t header[60];
	uint16_t header_len, n_views;
	uint8_t payload[65536];
	uint32_t payload_len;
	uint8_t ttl, ecn;
	uint32_t seq, mtu; /* of the ICMP error */
	struct tcp_stack *stack;
	unsigned int foreign;
};

extern struct seen seen;
extern struct net *worker[BENCH_WORKERS];
extern uint64_t counter[BENCH_WORKERS][POSTERN_DP_COUNTER_COUNT];
extern struct port_info port;
extern struct rte_mempool *rx_pool, *tx_pool;

extern const uint8_t our_mac[6], peer_mac[6];
extern const uint8_t our4[4], peer4[4], our6[16], peer6[16];

/* False: EAL cannot start here. */
bool bench_eal(const char *argv0);
int bench_up(unsigned int n_workers);
void bench_down(void);
/* Again with other facts of the port (those in `port` as they stand). */
int bench_again(unsigned int n_workers);
/* cmocka set-up and tear-down: one worker, two workers. The tear-down checks that no mbuf is lost.
 */
int setup_one(void **state);
int setup_two(void **state);
int teardown(void **state);

/* Into the port as one mbuf, or as a chain with `step` octets in each. */
void inject(const struct frame *f);
void inject_chain(const struct frame *f, size_t step);
/* inject() with these offload flags and stripped tag. */
void inject_flags(const struct frame *f, uint64_t ol_flags, uint16_t tci);
unsigned int receive(unsigned int w); /* net_rx of worker w, queue 0 */
/* The next frame that left, of worker w's queue; false: none. Flushes first. */
bool sent(unsigned int w, struct frame *f);
extern uint64_t sent_flags; /* ol_flags of it */

uint16_t sum16(const uint8_t *p, size_t n, uint32_t start);
uint32_t pseudo(const uint8_t *ip, bool ip6, uint8_t proto, uint32_t len);

/* Builders: each appends to f. eth begins a frame from the peer to us. */
void eth(struct frame *f, uint16_t type);
void eth_vlan(struct frame *f, uint16_t tci, uint16_t type);
void put(struct frame *f, const void *p, size_t n);
void ip4(struct frame *f, uint8_t proto, size_t payload);
void ip6(struct frame *f, uint8_t next, size_t payload);
/* A TCP segment; the checksum is over pseudo-header of the IP header at f->b[l3]. */
void tcp(struct frame *f, size_t l3, uint16_t sport, uint16_t dport, const void *p, size_t n);
/* ICMP message: checksum field of `p` is filled. */
void icmp(struct frame *f, size_t l3, const uint8_t *p, size_t n);
void tcp4_frame(struct frame *f, uint16_t sport, const void *p, size_t n);
void tcp6_frame(struct frame *f, uint16_t sport, const void *p, size_t n);
/* Rewrites the IPv4 header checksum at l3. */
void ip4_sum(struct frame *f, size_t l3);
/* Fails the test unless every checksum of this IP frame holds. Returns the offset of layer 4. */
size_t check_frame(const struct frame *f, size_t l3);

/* Fails the test unless counter `name` of worker w is v. */
#define assert_count(w, name, v) assert_int_equal(counter[w][CNT_##name], v)

/* test_net_flow.c */
int run_flow_tests(void);
/* test_net_cable.c */
int run_cable_tests(void);
