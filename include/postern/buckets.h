/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Times counted by fixed bounds, for ever: what metrics export. Of one writer; whoever reads it elsewhere
 * reads a copy. (control/deliver/histogram.h has finer ones that forget, for quantiles.)
 */

#include <stdint.h>

#define BUCKETS 17u

/* Upper bounds in microseconds, included, as OpenMetrics has them; what is more is in the last. */
static const uint64_t buckets_bound_us[BUCKETS - 1] = {
	1000,   2500,    5000,    10000,   25000,    50000,    100000,   250000,
	500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 300000000};

struct buckets {
	uint64_t n[BUCKETS];         /* each of its own bucket */
	uint64_t sum_us;
};

static inline void buckets_add(struct buckets *b, uint64_t us)
{
	unsigned int i = 0;

	while (i < BUCKETS - 1 && us > buckets_bound_us[i])
		i++;
	b->n[i]++;
	b->sum_us += us;
}

static inline void buckets_sum(struct buckets *to, const struct buckets *b)
{
	for (unsigned int i = 0; i < BUCKETS; i++)
		to->n[i] += b->n[i];
	to->sum_us += b->sum_us;
}
