/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* How large the pools of a worker are, by the command line; and the table of memory that is printed
 * at start. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "dataplane/args.h"
#include "dataplane/smtp/smtp.h"
#include "dataplane/tcp/tcp.h"

struct dp_arena;
struct rte_mempool;

struct tcp_options sizes_tcp(const struct args *args);
/* records: of a worker's slice of the arena. */
struct smtp_sizes sizes_smtp(const struct args *args, uint32_t records);

/* What was made of them. Pools: of one worker, the others have as much. */
struct sizes_made {
	const struct args *args;
	unsigned int n_workers;
	size_t session_octets;     /* of a worker's table of sessions */
	const struct rte_mempool *rx_pool, *tx_pool;
	const struct dp_arena *arena;
};

void sizes_print(FILE *out, const struct sizes_made *m);
