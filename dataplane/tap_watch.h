/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Tap ports, and cables in which servers are observed, as the main lcore sees them: what each
 * worker gets for them, and what drivers of tap ports lose. */

#include "dataplane/args.h"
#include "dataplane/tap_worker.h"

/* Receive buffers of each worker that such ports want beyond descriptors and --rx-mbufs; 0: there
 * is none. */
uint32_t tap_watch_mbufs(const struct args *args);
/* A line of the memory table, if there are such ports. */
void tap_watch_print(unsigned int n_workers);
/* Sets w->tap if there are such ports. The worker has its net. 0 or -ENOMEM. */
int tap_watch_worker(struct worker *w, const struct args *args, const struct port_info *port,
		     unsigned int n_ports, unsigned int n_workers, const uint8_t hash_key[16]);
/* Of net_options; ctx: the struct worker. */
void tap_watch_steered(void *ctx, struct rte_mbuf *m);
/* The same: a segment that passes a cable. */
void tap_watch_segment(void *ctx, struct rte_mbuf *m, const struct net_head *h, const uint8_t *head);
/* To be called now and then: what NICs and drivers of tap ports lost since is told to the workers. */
void tap_watch_losses(const struct port_info *port, unsigned int n_ports);
