/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * One worker's net/ and tcp/ between two rings: packets are made beforehand, a ring PMD stands for
 * the NIC, and only the calls that a worker's turn makes are timed. The peers of a million flows are
 * twelve octets each.
 */

#include <rte_mbuf.h>

#include "dataplane/net/net.h"
#include "dataplane/tcp/tcp.h"
#include "postern/stats.h"

#define LAB_FLOWS_MAX (1u << 21) /* 2^17 addresses of 198.18.0.0/15 (RFC 2544), 16 ports each */
#define LAB_BATCH 4096           /* packets that are made, then received, at a time */
#define LAB_PAYLOAD 1448         /* MTU 1500 less IPv4, TCP and timestamps */
#define LAB_ISS 0x10000000u      /* of every peer */

enum lab_checksum { LAB_SUM_NIC, LAB_SUM_SOFTWARE }; /* who has verified what is received */

/* The peer's side of a flow. */
struct lab_flow {
	uint32_t seq;  /* next to send */
	uint32_t ack;  /* next expected */
	uint32_t tsecr; /* the last timestamp that was received */
};

struct lab {
	struct net *net;
	struct tcp_stack *tcp;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT];
	uint64_t now_us;
	struct lab_flow *flow;
	uint32_t made;         /* packets in the ring */
	enum lab_checksum checksum;
	/* Called between bursts and timed, as a worker's other work; may be NULL. */
	void (*between)(void);
	/* Sees what was sent: its header and how much payload. Not timed; may be NULL. */
	void (*sent)(const uint8_t *tcp, uint32_t payload, uint32_t flow);
};

extern struct lab lab;

/* Cycles by call of the worker's turn. */
struct lab_cost {
	uint64_t rx, between, advance, end, tx;
	uint64_t sent;
};

/* EAL, pools and the port. Ends the program when it cannot be done. */
void lab_start(const char *argv0);
/* A worker without flows; the fields of lab above `net` and `tcp` are reset. */
void lab_up(const struct tcp_options *opt, const struct tcp_app *app);
void lab_down(void);
/* Gives net/ this TCP or none at all (NULL: segments end in net/, counted and freed). */
void lab_set_tcp(struct tcp_stack *tcp);

/* Making packets: into the ring, to be received by the next lab_run(). Not more than LAB_BATCH. */
void lab_make_syn(uint32_t flow);
/* A segment from the flow's `seq + offset`; moves nothing. */
void lab_make(uint32_t flow, uint32_t offset, uint8_t flags, const void *payload, uint32_t n);
/* Full-size data: LAB_PAYLOAD octets that lie in every mbuf already. */
void lab_make_data(uint32_t flow, uint32_t offset);

/* Receives everything that was made, in bursts, and adds to c. */
void lab_run(struct lab_cost *c);
/* The same without net/: receive and free. */
uint64_t lab_run_raw(void);

/* Establishes the flows 0 … n - 1. */
void lab_connect(uint32_t n);
void lab_tuple(uint32_t flow, struct tcp_tuple *t);
/* Parts of a row, in the order rx, between (if any), advance, end, tx. */
struct micro_row;
void lab_row(struct micro_row *row, unsigned int rep, const struct lab_cost *c, uint64_t units);
