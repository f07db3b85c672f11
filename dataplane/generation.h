/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * One configuration in force: what control pushed, made ready for every worker by the main lcore
 * (reply texts, Hyperscan scratch and streams), then published with one store. Workers pick it up
 * between turns; the main lcore frees a generation when no worker uses it or an older one.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "dataplane/handoff/handoff_dp.h"
#include "dataplane/scan/scan.h"
#include "dataplane/smtp/smtp.h"
#include "postern/handoff.h"

struct generation {
	uint64_t serial;              /* of this dataplane: 1, 2, ... */
	struct handoff_config config;
	struct scan_generation *scan; /* NULL: no rules */
	unsigned int n_workers;
	struct {
		struct smtp_config *smtp;
		struct scan_worker *scan; /* NULL: no rules */
	} worker[HANDOFF_MAX_WORKERS];
	struct generation *older;     /* main lcore: not freed yet */
};

/* streams: large messages that a worker may scan at once. counters[i]: block of worker i. 0, or a
 * positive errno with a text in err. */
int generation_new(const struct dp_push *push, uint64_t serial, unsigned int n_workers,
		   unsigned int streams, uint64_t *const *counters, struct generation **out, char *err,
		   size_t err_len);
void generation_free(struct generation *g);
