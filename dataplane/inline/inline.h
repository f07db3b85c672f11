/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What is done with a packet of a cable: which servers are looked at, what became of a flow, and
 * what is done where it cannot be treated as configured. One object a worker, single threaded; no
 * DPDK, no packet memory, no allocation after inline_new().
 *
 * It must not know how packets are sent, and not what TCP does with those that are ours. Of flows
 * that are terminated it keeps nothing: whether one is, the TCP stack knows (tcp_claims()), and the
 * caller says.
 *
 * Tuples are the server's: `local` is the server, `remote` its client, whichever way the packet
 * goes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/tcp/tcp.h"
#include "postern/handoff.h"

#define INLINE_WAYS 4 /* entries of a set */

struct inline_worker;

struct inline_options {
	uint32_t flows;       /* entries: rounded up to a power of two, at least 64 */
	uint8_t key[16];      /* of SipHash: random per boot */
	uint64_t *counters;   /* this worker's block, indexed by enum postern_counter */
};

/* NULL: no memory. */
struct inline_worker *inline_new(const struct inline_options *opt);
void inline_free(struct inline_worker *w);
/* Octets inline_new() takes, for the memory table printed at start. */
size_t inline_bytes(uint32_t flows);

/* From the next packet on. Flows that are open stay what they are, also those of servers that this
 * one does not name: as many of these as fit beside them (HANDOFF_MAX_INLINE at least) are looked at
 * until the process ends, and new flows to them pass. */
void inline_set_config(struct inline_worker *w, const struct handoff_config *c);
/* Is control there, and is there memory for a new session? To be called whenever that changes. */
void inline_set_state(struct inline_worker *w, bool control, bool memory);
/* Coarse clock: seconds, monotonic. */
void inline_set_clock(struct inline_worker *w, uint32_t now_s);

/* Is anything looked at? False until a configuration names a server; then true. */
bool inline_active(const struct inline_worker *w);
/* Has any server this port? */
bool inline_port(const struct inline_worker *w, uint16_t port);
/* The server that counts for address and port: that of the longest prefix. One that was named
 * formerly is INLINE_BYPASS. NULL: none. */
const struct handoff_inline *inline_server(const struct inline_worker *w, const uint8_t address[16],
					   uint16_t port);
/* May something at this address be a server's that is terminated? For packets whose port is not
 * known. */
bool inline_address(const struct inline_worker *w, const uint8_t address[16]);
/* The server whose flow is terminated for this tuple, for tcp_env.listening. NULL: none. */
const struct handoff_inline *inline_listener(const struct inline_worker *w,
					     const struct tcp_tuple *tuple);

enum inline_verdict {
	INLINE_PASS,    /* leaves at the other end as it came */
	INLINE_WATCH,   /* the same, and the tracker sees it */
	INLINE_OURS,    /* for our TCP */
	INLINE_REFUSE,  /* for our TCP, which answers with a RST */
	INLINE_KERNEL,  /* out of the exception port, to the MAC that was told */
	INLINE_DROP,    /* counted */
};

enum inline_way {
	INLINE_TO_SERVER,
	INLINE_FROM_SERVER,
	INLINE_KERNEL_OUT, /* to the server, from the exception port */
};

struct inline_packet {
	const struct tcp_tuple *tuple;
	const struct handoff_inline *server;
	uint8_t way;      /* enum inline_way */
	uint8_t flags;    /* of the TCP header */
	bool ours;        /* tcp_claims(), or tcp_has() with FROM_SERVER */
	uint8_t mac[6];   /* KERNEL_OUT: source. Set with INLINE_KERNEL: destination */
};

/* A TCP segment to or from a server. */
enum inline_verdict inline_tcp(struct inline_worker *w, struct inline_packet *p);

/* Does this flow come from the exception port? Then mac is where its return packets go. */
bool inline_kernel_flow(struct inline_worker *w, const struct tcp_tuple *tuple, uint8_t mac[6]);

/* What cannot be: a packet to a server's address whose headers are wrong. PASS or DROP. */
enum inline_verdict inline_malformed(struct inline_worker *w);
/* May TCP be behind an IP header, or an IPv6 extension header, that says this follows? */
bool inline_maybe_tcp(uint8_t proto);

struct inline_fragment {
	const uint8_t *source, *destination; /* 16 octets each */
	uint32_t id;
	uint8_t proto;       /* that the fragment header tells */
	bool first;          /* offset 0 */
	const uint8_t *ports; /* first: the TCP header if all of it is there, else NULL */
};

/*
 * A fragment of an IP datagram to anybody. OURS: to be put together; the whole is then told by
 * inline_tcp(). The first fragment decides for those behind it.
 */
enum inline_verdict inline_fragment(struct inline_worker *w, const struct inline_fragment *f);
