/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * From the packets of a mirror to segments of the tracker (dataplane/tap): tags, tunnels, fragments,
 * checksums. Of one worker, or of --tap-dump. It knows neither ports nor sessions.
 *
 * What waits in the tracker stays in its mbuf, by reference: nobody may write into a packet that was
 * given here.
 */

#include <rte_mbuf.h>

#include "dataplane/net/net_frag.h"
#include "dataplane/net/net_parse.h"
#include "dataplane/tap/tap.h"

struct tap_packet {
	struct tap *tap;
	uint64_t *counters;
	bool ignore_checksums;
	uint64_t now_us;      /* of capture of the packet at hand: set before each call */
	uint32_t low;         /* fewer free buffers than these in a packet's pool: it is copied, not held */
	struct net_frag frag;
	/*
	 * Is what h says another worker's? Then it takes m. `raw`: m lies as the port received it, so
	 * that the port's own way of spreading flows holds. NULL: all is ours.
	 */
	bool (*elsewhere)(void *ctx, struct rte_mbuf *m, const struct net_head *h, bool raw);
	void *ctx;
};

/* For tap_env: one more reference to the mbuf of a view, and it is given back. */
void tap_packet_hold(void *owner);
void tap_packet_drop(void *owner);

/* p->tap may be set later. datagrams: in reassembly at once, of up to eight mbufs each. 0 or -ENOMEM. */
int tap_packet_init(struct tap_packet *p, uint64_t *counters, uint32_t datagrams, int socket);
void tap_packet_free(struct tap_packet *p);

/* A packet as a port gave it. Takes m. */
void tap_packet_input(struct tap_packet *p, struct rte_mbuf *m);
/* One that another worker handed over. Takes m. */
void tap_packet_steered(struct tap_packet *p, struct rte_mbuf *m);
/* One TCP segment that the caller has parsed: head is the contiguous begin of the frame. bad: its
 * checksum is known to be bad. m stays the caller's. */
void tap_packet_segment(struct tap_packet *p, struct rte_mbuf *m, const struct net_head *h,
			const uint8_t *head, bool bad);
/* Fragments that waited for too long. */
void tap_packet_expire(struct tap_packet *p);
