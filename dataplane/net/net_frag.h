/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Of mbufs, for net/ and for tap ports: fragments into datagrams, checksums. Single threaded. */

#include <rte_ip_frag.h>

#include "dataplane/net/net_parse.h"
#include "postern/stats.h"

struct net_frag {
	struct rte_ip_frag_tbl *table; /* of the owner */
	struct rte_ip_frag_death_row death;
	uint64_t *counters;            /* indexed by enum postern_counter */
	uint64_t now_us;               /* to be set before each call */
};

/* A fragment as net_parse() saw it. Takes the mbuf; the whole datagram, to be parsed anew, or NULL. */
struct rte_mbuf *net_frag_add(struct net_frag *f, struct rte_mbuf *m, const struct net_head *h);
/* Frees what waited for too long. */
void net_frag_expire(struct net_frag *f);
/* Frees, and counts, what the library gave up. */
void net_frag_bury(struct net_frag *f);

/* Sum of n octets of a chain from off, as net_cksum_add() gives it. */
uint64_t net_mbuf_sum(const struct rte_mbuf *m, uint32_t off, uint32_t n);
