/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/deliver/histogram.h"

static unsigned int index_of(uint64_t us)
{
	unsigned int e;

	if (us < 8)
		return (unsigned int)us;
	if (us >> HISTOGRAM_EXPONENT)
		return HISTOGRAM_BUCKETS - 1;
	e = 63u - (unsigned int)__builtin_clzll(us);
	return (e - 2) * 8 + (unsigned int)(us >> (e - 3) & 7);
}

static uint64_t upper_end(unsigned int i)
{
	unsigned int shift;

	if (i < 8)
		return i;
	shift = i / 8 - 1;
	return ((UINT64_C(8) + i % 8 + 1) << shift) - 1;
}

/* What is older loses weight, the shape stays. */
static void halve(struct histogram *h)
{
	h->n = 0;
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		h->n += h->bucket[i] /= 2;
}

void histogram_add(struct histogram *h, uint64_t us)
{
	unsigned int i = index_of(us);

	if (h->bucket[i] == UINT16_MAX)
		halve(h);
	h->bucket[i]++;
	h->n++;
}

static uint64_t quantile_of(const struct histogram *a, const struct histogram *b, double quantile)
{
	uint64_t n = (uint64_t)a->n + b->n, rank = (uint64_t)(quantile * (double)n), seen = 0;

	if (!n)
		return 0;
	if (rank >= n)
		rank = n - 1;
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += (uint64_t)a->bucket[i] + b->bucket[i];
		if (seen > rank)
			return upper_end(i);
	}
	return upper_end(HISTOGRAM_BUCKETS - 1);
}

static const struct histogram empty;

uint64_t histogram_quantile(const struct histogram *h, double quantile)
{
	return quantile_of(h, &empty, quantile);
}

void histogram_window_add(struct histogram_window *w, uint64_t now_us, uint64_t span_us, uint64_t us)
{
	uint64_t age = now_us - w->since_us;

	if (now_us < w->since_us || age >= 2 * span_us)
		memset(w->half, 0, sizeof(w->half));
	if (now_us < w->since_us || age >= span_us) {
		w->at ^= 1;
		memset(&w->half[w->at], 0, sizeof(w->half[w->at]));
		w->since_us = now_us;
	}
	histogram_add(&w->half[w->at], us);
}

uint64_t histogram_window_quantile(const struct histogram_window *w, uint64_t now_us, uint64_t span_us,
				   double quantile)
{
	uint64_t age = now_us - w->since_us;

	if (now_us < w->since_us || age >= 2 * span_us)
		return 0;
	return quantile_of(&w->half[w->at], age < span_us ? &w->half[w->at ^ 1] : &empty, quantile);
}
