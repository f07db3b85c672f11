/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Single calls: hash, checksum, flow table, timer wheel; memcpy() of a segment to compare with. */

#include <stdlib.h>
#include <string.h>

#include "bench/micro/lab.h"
#include "bench/micro/micro.h"
#include "dataplane/net/net_cksum.h"
#include "dataplane/tcp/internal.h"

#define CALLS 65536
#define COLD (64u << 20) /* octets: no cache holds them */

static volatile uint64_t sink; /* so that nothing is optimised away */

static uint64_t hash13(uint32_t i)
{
	uint8_t key[16] = "0123456789abcde", b[24] = {(uint8_t)i, (uint8_t)(i >> 8)};

	return siphash13(key, b, sizeof(b));
}

static uint64_t hash24(uint32_t i)
{
	uint8_t key[16] = "0123456789abcde", b[36] = {(uint8_t)i, (uint8_t)(i >> 8)};

	return siphash24(key, b, sizeof(b));
}

static uint8_t *octets; /* COLD of them */

static const uint8_t *piece(uint32_t i, bool cold)
{
	/* Packets lie 2 KiB apart and 2 off a multiple of 16: behind Ethernet, IP and TCP. */
	return octets + (cold ? (size_t)i * 2048 % COLD : 0) + 34;
}

static uint64_t sum_header(uint32_t i)
{
	return net_cksum_fold(net_cksum_add(i, piece(0, false), 20));
}

static uint64_t sum_warm(uint32_t i)
{
	return net_cksum_fold(net_cksum_add(i, piece(0, false), LAB_PAYLOAD + 32));
}

static uint64_t sum_cold(uint32_t i)
{
	return net_cksum_fold(net_cksum_add(0, piece(i, true), LAB_PAYLOAD + 32));
}

static uint64_t copy_warm(uint32_t i)
{
	static uint8_t to[2048];

	memcpy(to, piece(0, false), LAB_PAYLOAD);
	return to[i % LAB_PAYLOAD];
}

static uint64_t copy_cold(uint32_t i)
{
	static uint8_t to[2048];

	memcpy(to, piece(i, true), LAB_PAYLOAD);
	return to[i % LAB_PAYLOAD];
}

static void calls(const char *name, uint64_t (*call)(uint32_t), uint32_t n_octets)
{
	struct micro_row *row = micro_row("calls", "call", "%s", name);

	row->octets = n_octets;
	for (unsigned int rep = 0; rep <= micro.reps; rep++) {
		uint64_t t = rte_rdtsc(), all = 0;

		for (uint32_t i = 0; i < CALLS; i++)
			all += call(i);
		sink = all;
		if (!rep)
			continue;
		row->total[rep - 1] = (double)micro_since(t) / CALLS;
		micro_done(row, rep - 1);
	}
}

/* ---- the flow table ---- */

static uint32_t n_flows;

/* Tuples of known flows, or of flows past them. */
static void look_up(const char *name, bool known)
{
	struct micro_row *row = micro_row("flow table", "look-up", "%s, %u flows", name, n_flows);
	static struct tcp_tuple tuple[4096];
	uint64_t state = 2685821657736338717ull;

	for (unsigned int rep = 0; rep <= micro.reps; rep++) {
		uint64_t cycles = 0, found = 0;

		for (uint32_t done = 0; done < CALLS; done += 4096) {
			uint64_t t;

			for (uint32_t i = 0; i < 4096; i++)
				lab_tuple((uint32_t)(micro_random(&state) % n_flows) +
						  (known ? 0 : n_flows), &tuple[i]);
			t = rte_rdtsc();
			for (uint32_t i = 0; i < 4096; i++)
				found += tcp_table_find(lab.tcp, &tuple[i],
							tcp_hash(lab.tcp, &tuple[i])) != 0;
			cycles += micro_since(t);
		}
		micro_must(found == (known ? CALLS : 0), "the table does not know its flows");
		if (!rep)
			continue;
		row->total[rep - 1] = (double)cycles / CALLS;
		micro_done(row, rep - 1);
	}
}

/* ---- the timer wheel ---- */

static void timer(struct micro_row *row, uint32_t among)
{
	static uint32_t which[4096];
	uint64_t state = 1181783497276652981ull;

	for (unsigned int rep = 0; rep <= micro.reps; rep++) {
		uint64_t cycles = 0;

		for (uint32_t done = 0; done < CALLS; done += 4096) {
			uint64_t t;

			for (uint32_t i = 0; i < 4096; i++)
				which[i] = (uint32_t)(micro_random(&state) % among);
			t = rte_rdtsc();
			for (uint32_t i = 0; i < 4096; i++) {
				struct tcp_conn *c = conn_at(lab.tcp, which[i]);

				tcp_timer_set(c, CF_T_RTX, 200 + (which[i] & 1023));
				tcp_timer_remove(c);
			}
			cycles += micro_since(t);
		}
		if (!rep)
			continue;
		row->total[rep - 1] = (double)cycles / CALLS;
		micro_done(row, rep - 1);
	}
}

static void *accepted(void *ctx, struct tcp_conn *conn, const struct tcp_tuple *tuple)
{
	(void)ctx;
	(void)tuple;
	return conn;
}

static const struct tcp_app idle = {.accept = accepted};

static void tables(uint32_t flows)
{
	struct tcp_options opt = {.max_conns = flows, .max_half_open = 2 * LAB_BATCH,
				  .max_time_wait = 16, .blocks = 16, .tx_blocks = 16};

	n_flows = flows;
	lab_up(&opt, &idle);
	lab_connect(flows);
	look_up("hash and find", true);
	look_up("hash and miss", false);
	timer(micro_row("timer wheel", "set and remove", "%u TCBs", flows), flows);
	lab_down();
}

void bench_pieces(void)
{
	octets = malloc(COLD + 4096);
	micro_must(octets != NULL, "no memory");
	for (size_t i = 0; i < COLD + 4096; i++)
		octets[i] = (uint8_t)(i * 31);
	calls("siphash13, 24 octets", hash13, 0);
	calls("siphash24, 36 octets", hash24, 0);
	calls("checksum, 20 octets", sum_header, 0);
	calls("checksum, 1,480 octets in cache", sum_warm, LAB_PAYLOAD + 32);
	calls("checksum, 1,480 octets from memory", sum_cold, LAB_PAYLOAD + 32);
	calls("memcpy, 1,448 octets in cache", copy_warm, LAB_PAYLOAD);
	calls("memcpy, 1,448 octets from memory", copy_cold, LAB_PAYLOAD);
	free(octets);
	tables(micro.flows_max < 1000 ? micro.flows_max : 1000);
	if (micro.flows_max > 1000)
		tables(micro.flows_max);
}
