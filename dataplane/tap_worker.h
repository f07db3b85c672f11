/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Passive watching in one worker: tracker, parser, messages, and the tap ports' queues. Ports of
 * other roles give what they want watched to tap_worker_segment().
 *
 * Both directions of a flow come to one worker: by RSS with a key that does not tell them apart,
 * where all tap ports have it, else by a keyed hash of the tuple and the workers' rings
 * (dataplane/net).
 *
 * Captures in files are read by the time of their packets, and wait for control where they must: a
 * file loses nothing. Live ports never wait.
 *
 * Per packet: no allocation, lock or call into the kernel. Nothing is ever sent.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/net/net_parse.h"
#include "dataplane/tap/tap.h"
#include "postern/handoff.h"

struct net;
struct port_info;
struct rte_mbuf;
struct tap_worker;
struct worker;

/* What drivers and NICs of tap ports lost: written by the main lcore, looked at by workers. */
struct tap_lost {
	_Atomic uint32_t nic_missed, no_mbuf; /* times that it became more */
};

struct tap_worker_options {
	struct worker *worker;
	struct net *net; /* of the worker: for steering */
	unsigned int n_workers;
	const struct port_info *port; /* all that are in use; tap ports are looked for */
	unsigned int n_ports;
	uint32_t sessions;           /* followed at once */
	uint32_t held;               /* packets that may wait for their ACK */
	uint32_t low;                /* receive buffers that nothing that waits may take */
	uint8_t share;               /* percent of the arena */
	const struct tap_lost *lost; /* NULL: nobody knows */
	/* Until control says otherwise. */
	uint16_t tap_port[TAP_MAX_PORTS];
	unsigned int n_tap_ports;
	bool midstream, ignore_checksums;
	bool whole_queues; /* both directions of a flow, and its fragments, come in one queue */
	uint8_t hash_key[16]; /* the same for all workers: whose a flow is */
	/* handoff_record.listener of a flow; NULL: HANDOFF_LISTENER_TAP. */
	uint16_t (*listener)(void *ctx, const struct tcp_tuple *tuple);
	void *listener_ctx;
};

/* mbufs that tap_worker_new() may keep of a receive pool beyond `held`: fragments. */
uint32_t tap_worker_mbufs(void);

/* NULL: no memory, or a port with more queues than are taken. The worker's clock is set. */
struct tap_worker *tap_worker_new(const struct tap_worker_options *opt);
void tap_worker_free(struct tap_worker *t);
/* What control pushed. */
void tap_worker_set_config(struct tap_worker *t, const struct handoff_config *c);
/* A burst of each queue of this worker's. Returns how many packets there were. */
unsigned int tap_worker_poll(struct tap_worker *t);
/* A packet of a tap port that another worker received (net_options.foreign). Takes m. */
void tap_worker_steered(void *t, struct rte_mbuf *m);
/*
 * One TCP segment of a port of another role, parsed by the caller, who sees to it that both
 * directions of a flow come here. m stays the caller's, who must not write into it any more: what
 * waits for its ACK is held by reference.
 */
void tap_worker_segment(struct tap_worker *t, struct rte_mbuf *m, const struct net_head *h,
			const uint8_t *head);
/* Once a millisecond: the clock; flows that were idle for too long; what was lost. */
void tap_worker_advance(struct tap_worker *t);
