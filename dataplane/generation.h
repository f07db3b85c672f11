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
#include "dataplane/scan/scan_views.h"
#include "dataplane/smtp/smtp.h"
#include "dataplane/tls/tls.h"
#include "postern/handoff.h"

struct generation {
	uint64_t serial;              /* of this dataplane: 1, 2, ... */
	struct handoff_config config;
	struct scan_generation *scan; /* NULL: no rules */
	struct tls_context *tls;      /* NULL: STARTTLS is not offered */
	unsigned int n_workers;
	struct {
		struct smtp_config *smtp;
		struct scan_worker *scan; /* NULL: no rules */
		struct scan_views *views; /* NULL: no rules */
	} worker[HANDOFF_MAX_WORKERS];
	struct generation *older;     /* main lcore: not freed yet */
};

struct generation_options {
	uint64_t serial;
	unsigned int n_workers;
	unsigned int streams;         /* large messages that a worker may scan at once */
	uint64_t *const *counters;    /* [i]: block of worker i */
	bool tls;                     /* workers can speak it */
	struct tls_tickets *tickets;
};

/* 0, perhaps with a text in err that the operator is to be told; or a positive errno with one. */
int generation_new(const struct dp_push *push, const struct generation_options *opt,
		   struct generation **out, char *err, size_t err_len);
void generation_free(struct generation *g);
