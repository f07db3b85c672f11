/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tap_watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/port/port.h"
#include "dataplane/worker.h"

#define LOW 512 /* receive buffers left: then nothing is held any more */

static struct {
	struct tap_lost lost;
	uint64_t missed[NET_MAX_PORTS], no_mbuf[NET_MAX_PORTS];
	uint32_t held;
} watch;

static bool has_role(const struct args *args, enum port_role role)
{
	for (unsigned int i = 0; i < args->n_ports; i++)
		if (args->port[i].role == role)
			return true;
	return false;
}

/* In a cable servers may be observed only. */
static bool is_wanted(const struct args *args)
{
	return has_role(args, PORT_TAP) || has_role(args, PORT_INLINE);
}

static bool has_prefix(const uint8_t a[16], const uint8_t b[16], unsigned int bits)
{
	return !memcmp(a, b, bits / 8) &&
	       (bits % 8 == 0 || !((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8)));
}

/* The server in a cable that is observed, by the longest prefix. */
static uint16_t listener(void *ctx, const struct tcp_tuple *tuple)
{
	const struct worker *w = ctx;
	const struct handoff_inline *best = NULL;

	for (uint32_t i = 0; w->current && i < w->current->config.n_inlines; i++) {
		const struct handoff_inline *s = &w->current->config.inlined[i];

		if (s->mode == INLINE_OBSERVE && s->tcp_port == tuple->local_port &&
		    has_prefix(s->address, tuple->local, s->prefix_len) &&
		    (!best || s->prefix_len > best->prefix_len))
			best = s;
	}
	return best ? HANDOFF_LISTENER_INLINE | best->id : HANDOFF_LISTENER_TAP;
}

static uint32_t held(const struct args *args)
{
	uint32_t n = args->rx_mbufs > DEFAULT_TAP_MBUFS ? args->rx_mbufs : DEFAULT_TAP_MBUFS;

	return n < LIMIT_TAP_MBUFS ? n : LIMIT_TAP_MBUFS;
}

uint32_t tap_watch_mbufs(const struct args *args)
{
	return is_wanted(args) ? held(args) + tap_worker_mbufs() + LOW : 0;
}

void tap_watch_print(unsigned int n_workers)
{
	if (watch.held)
		fprintf(stderr, "  %-32s %10llu %14s  (of the mbufs below)\n",
			"tap: packets that wait", (unsigned long long)watch.held * n_workers, "");
}

int tap_watch_worker(struct worker *w, const struct args *args, const struct port_info *port,
		     unsigned int n_ports, unsigned int n_workers, const uint8_t hash_key[16])
{
	bool alone = true; /* nobody's mail waits for room in this arena */
	struct tap_worker_options opt = {
		.worker = w,
		.net = w->net,
		.n_workers = n_workers,
		.port = port,
		.n_ports = n_ports,
		.sessions = args->max_sessions,
		.held = held(args),
		.low = LOW,
		.lost = &watch.lost,
		.n_tap_ports = args->n_tap_ports,
		.midstream = args->tap_midstream,
		.ignore_checksums = args->tap_no_checksums,
		.whole_queues = args->tap_whole_queues,
	};

	if (!is_wanted(args))
		return 0;
	watch.held = opt.held;
	for (unsigned int i = 0; i < n_ports; i++)
		alone &= port[i].receive_only;
	if (has_role(args, PORT_INLINE)) {
		opt.listener = listener;
		opt.listener_ctx = w;
	}
	opt.share = alone ? 100 : LIMIT_TAP_SHARE;
	memcpy(opt.tap_port, args->tap_port, sizeof(opt.tap_port));
	memcpy(opt.hash_key, hash_key, sizeof(opt.hash_key));
	w->tap = tap_worker_new(&opt);
	return w->tap ? 0 : -ENOMEM;
}

void tap_watch_segment(void *ctx, struct rte_mbuf *m, const struct net_head *h, const uint8_t *head)
{
	const struct worker *w = ctx;

	tap_worker_segment(w->tap, m, h, head);
}

void tap_watch_steered(void *ctx, struct rte_mbuf *m)
{
	struct worker *w = ctx;

	if (w->tap)
		tap_worker_steered(w->tap, m);
	else
		rte_pktmbuf_free(m);
}

void tap_watch_losses(const struct port_info *port, unsigned int n_ports)
{
	for (unsigned int i = 0; i < n_ports; i++) {
		struct rte_eth_stats s;

		if (!port[i].receive_only || port[i].id >= NET_MAX_PORTS ||
		    rte_eth_stats_get(port[i].id, &s))
			continue;
		if (s.imissed > watch.missed[port[i].id])
			atomic_fetch_add_explicit(&watch.lost.nic_missed, 1, memory_order_relaxed);
		if (s.rx_nombuf > watch.no_mbuf[port[i].id])
			atomic_fetch_add_explicit(&watch.lost.no_mbuf, 1, memory_order_relaxed);
		watch.missed[port[i].id] = s.imissed;
		watch.no_mbuf[port[i].id] = s.rx_nombuf;
	}
}
