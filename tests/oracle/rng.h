/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The same numbers for the same seed, on every machine. */

#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline struct rng rng_of(uint64_t seed, uint64_t serial)
{
	struct rng r = {(seed + 1) * 0x9e3779b97f4a7c15ull ^ (serial + 1) * 0xbf58476d1ce4e5b9ull};

	if (!r.state)
		r.state = 1;
	return r;
}

static inline uint64_t rng_next(struct rng *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state * 0x2545f4914f6cdd1dull;
}

/* 0 ... below - 1; 0 for 0. */
static inline uint32_t rng_below(struct rng *r, uint32_t below)
{
	return (uint32_t)(((rng_next(r) >> 32) * below) >> 32);
}
