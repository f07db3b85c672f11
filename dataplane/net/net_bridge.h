/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What net_bridge.c and net_cable.c share with each other. */

#include "dataplane/net/net_priv.h"

/* Out of the other end, or, from the exception port, of the end with the servers. DONE: counted. */
enum net_outcome net_bridge_on(struct net *net, struct rte_mbuf *m);
/* Out of the exception port, to this MAC there. */
enum net_outcome net_bridge_kernel(struct net *net, struct rte_mbuf *m, const uint8_t mac[6]);

/* net_cable.c: a frame while servers are named */
enum net_outcome net_cable(struct net *net, struct net_item *it, uint8_t *scratch, bool steered,
			   bool whole);
