/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Times in microseconds, counted by size: eight buckets in each power of two, so that a quantile is
 * right to an eighth whatever its size, up to 19 hours. Nothing is allocated; 0.6 KiB each.
 */

#include <stdint.h>
#include <string.h>

#define HISTOGRAM_EXPONENT 36u /* 2^36 us; what is more counts as that */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_EXPONENT - 2) * 8)

struct histogram {
	uint32_t n;
	uint16_t bucket[HISTOGRAM_BUCKETS]; /* all are halved when one is full */
};

/* What was seen in the last half to whole of two spans. */
struct histogram_window {
	struct histogram half[2];
	unsigned int at;
	uint64_t since_us;           /* of the half in use */
};

void histogram_add(struct histogram *h, uint64_t us);
/* Upper end of the bucket in which the quantile (0 to 1) lies; 0: nothing was counted. */
uint64_t histogram_quantile(const struct histogram *h, double quantile);

void histogram_window_add(struct histogram_window *w, uint64_t now_us, uint64_t span_us, uint64_t us);
uint64_t histogram_window_quantile(const struct histogram_window *w, uint64_t now_us, uint64_t span_us,
				   double quantile);
