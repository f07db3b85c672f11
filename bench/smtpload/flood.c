/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * SYNs at a rate. Each is a copy of one template with address, port and sequence number put in and
 * both checksums moved on by the difference. What the ring does not take is lost, as on a wire.
 */

#include <string.h>

#include <rte_mbuf.h>

#include "bench/smtpload/load.h"

#define BURST         64u
#define BURSTS_A_TURN 4u
#define BEHIND_US     2000u /* from here on the rate is not kept; what is owed is forgotten */
#define OFF_IP        14u
#define OFF_TCP       34u

static uint8_t syn[128];
static uint32_t syn_len;
static uint64_t ip_sum, tcp_sum; /* of the template, unfolded, with address and port 0 */
static uint64_t state = 0x9e3779b97f4a7c15u;
static double owed; /* SYNs */
static uint64_t last_us;

static uint64_t next_random(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void make_template(void)
{
	uint16_t sum;

	syn_len = wire_syn_template(syn);
	if (load.decoy) /* another station's: what receiving alone costs the gateway */
		syn[5] ^= 1;
	memcpy(&sum, syn + OFF_IP + 10, 2);
	ip_sum = (uint16_t)~sum;
	memcpy(&sum, syn + OFF_TCP + 16, 2);
	tcp_sum = (uint16_t)~sum;
}

void flood_rate(uint64_t per_second, bool decoy)
{
	load.flood = per_second;
	load.decoy = decoy;
	owed = 0;
	last_us = load.now_us;
	if (per_second)
		make_template();
}

static void put_syn(struct rte_mbuf *m)
{
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
	uint64_t r = next_random(), add;
	uint32_t ip = load.first_flood + (uint32_t)((r >> 32) * load.opt.flood_sources >> 32);
	uint16_t sum;

	memcpy(p, syn, sizeof(syn));
	put32(p + OFF_IP + 12, ip);
	put16(p + OFF_TCP, 1024 + (r & 0x7fff));
	put32(p + OFF_TCP + 4, (uint32_t)next_random());
	add = wire_sum(p + OFF_IP + 12, 4, 0);
	sum = wire_sum_fold(ip_sum + add);
	memcpy(p + OFF_IP + 10, &sum, 2);
	add = wire_sum(p + OFF_TCP + 4, 4, wire_sum(p + OFF_TCP, 2, add));
	sum = wire_sum_fold(tcp_sum + add);
	memcpy(p + OFF_TCP + 16, &sum, 2);
	m->data_len = (uint16_t)syn_len;
	m->pkt_len = syn_len;
}

unsigned int flood_turn(void)
{
	struct rte_mbuf *m[BURST];
	unsigned int done = 0;

	if (!load.flood)
		return 0;
	owed += (double)(load.now_us - last_us) * (double)load.flood / 1e6;
	last_us = load.now_us;
	if (owed > (double)load.flood * BEHIND_US / 1e6) {
		double most = (double)load.flood * BEHIND_US / 1e6;

		load.f.flood_behind_us += (uint64_t)((owed - most) * 1e6 / (double)load.flood);
		owed = most;
	}
	for (unsigned int k = 0; k < BURSTS_A_TURN && owed >= 1; k++) {
		unsigned int n = owed < BURST ? (unsigned int)owed : BURST;

		n = link_alloc_bulk(m, n);
		if (!n)
			break;
		for (unsigned int i = 0; i < n; i++)
			put_syn(m[i]);
		load.f.flood_offered += n;
		load.f.flood_taken += link_send_now(m, n);
		owed -= n;
		done += n;
	}
	return done;
}
