/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Receive queues that show one feed, read by the time of their packets: captures with a direction
 * each. Packets without a time of their own come in turn.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"

struct rte_mbuf;

#define TAP_FEED_BURST  32
#define TAP_FEED_QUEUES PORT_MAX_QUEUES

struct tap_feed {
	struct tap_feed_queue {
		uint16_t port, id;
		uint16_t at, n; /* of m[]: the next, the end */
		struct rte_mbuf *m[TAP_FEED_BURST];
	} queue[TAP_FEED_QUEUES];
	unsigned int n_queues;
	int stamp;              /* of the mbuf: offset of its time; -1: none */
	uint64_t stamp_flag;
	uint64_t us_hz;         /* of the clock that is read for those without */
};

void tap_feed_init(struct tap_feed *f);
/* False: too many. */
bool tap_feed_add(struct tap_feed *f, uint16_t port, uint16_t queue);
/* The device was configured and writes the time into its packets, in microseconds. */
void tap_feed_stamped(struct tap_feed *f);
/* The earliest packet at hand and its time; NULL: there is none. */
struct rte_mbuf *tap_feed_next(struct tap_feed *f, uint64_t *us);
/* When a packet was captured; now, if nobody wrote that into it. */
uint64_t tap_feed_time(const struct tap_feed *f, const struct rte_mbuf *m);
/* Frees what was received and not asked for. */
void tap_feed_free(struct tap_feed *f);
