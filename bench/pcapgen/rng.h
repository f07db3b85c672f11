/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Numbers from a seed, the same on every machine: integers only, since logarithms of two C
 * libraries differ in the last bit. The generator is splitmix64 (Steele, Lea, Flood 2014).
 */

#include <stdbool.h>
#include <stdint.h>

#define RNG_MILLION 1000000u /* rates are parts of it */

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* 0 … n-1; n of 0 gives 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return (uint64_t)((unsigned __int128)rng_next(r) * n >> 64);
}

static inline uint64_t rng_between(struct rng *r, uint64_t low, uint64_t high)
{
	return low + rng_below(r, high - low + 1);
}

static inline bool rng_hit(struct rng *r, uint32_t ppm)
{
	return ppm && rng_below(r, RNG_MILLION) < ppm;
}

/* A stream of its own for thing number `n` of the run. */
static inline struct rng rng_of(uint64_t seed, uint64_t n)
{
	struct rng r = {seed ^ (n + 1) * 0xd1342543de82ef95u};

	r.state = rng_next(&r);
	return r;
}
