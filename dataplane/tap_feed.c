/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tap_feed.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

void tap_feed_init(struct tap_feed *f)
{
	f->n_queues = 0;
	f->stamp = -1;
	f->stamp_flag = 0;
	f->us_hz = rte_get_tsc_hz() / 1000000;
}

bool tap_feed_add(struct tap_feed *f, uint16_t port, uint16_t queue)
{
	if (f->n_queues == TAP_FEED_QUEUES)
		return false;
	f->queue[f->n_queues++] = (struct tap_feed_queue){.port = port, .id = queue};
	return true;
}

void tap_feed_stamped(struct tap_feed *f)
{
	int bit = rte_mbuf_dynflag_lookup(RTE_MBUF_DYNFLAG_RX_TIMESTAMP_NAME, NULL);

	f->stamp = rte_mbuf_dynfield_lookup(RTE_MBUF_DYNFIELD_TIMESTAMP_NAME, NULL);
	f->stamp_flag = bit < 0 ? 0 : 1ull << bit;
}

uint64_t tap_feed_time(const struct tap_feed *f, const struct rte_mbuf *m)
{
	if (f->stamp >= 0 && m->ol_flags & f->stamp_flag)
		return *RTE_MBUF_DYNFIELD(m, f->stamp, rte_mbuf_timestamp_t *);
	return rte_rdtsc() / f->us_hz;
}

/* True: it has a packet. */
static bool fill(struct tap_feed_queue *q)
{
	if (q->at < q->n)
		return true;
	q->at = 0;
	q->n = rte_eth_rx_burst(q->port, q->id, q->m, TAP_FEED_BURST);
	return q->n != 0;
}

struct rte_mbuf *tap_feed_next(struct tap_feed *f, uint64_t *us)
{
	struct tap_feed_queue *first = NULL;

	for (unsigned int i = 0; i < f->n_queues; i++) {
		struct tap_feed_queue *q = &f->queue[i];
		uint64_t t;

		if (!fill(q))
			continue;
		t = tap_feed_time(f, q->m[q->at]);
		if (first && t >= *us)
			continue;
		first = q;
		*us = t;
	}
	if (!first)
		return NULL;
	first->m[first->at]->port = first->port;
	return first->m[first->at++];
}

void tap_feed_free(struct tap_feed *f)
{
	for (unsigned int i = 0; i < f->n_queues; i++)
		while (f->queue[i].at < f->queue[i].n)
			rte_pktmbuf_free(f->queue[i].m[f->queue[i].at++]);
}
