/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A first look for few things, made by control: which places of a text may begin one. Of some of the
 * next octets both halves say which of eight buckets it may be of; where a bucket is left a place
 * passes, and more than the right ones do. Many places are looked at at once, so it costs a tenth of
 * what tables cost that are looked up place by place.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIEVE_LEN 4u
#define SIEVE_REACH 8u
#define SIEVE_BUCKETS 8u
/* One that lets more places of mail pass is of no use: what it passes is looked at one by one. */
#define SIEVE_PASSES (1.0 / 100)

struct sieve {
	uint32_t len;             /* octets that are looked at, SIEVE_LEN at most; 0: there is no sieve */
	uint8_t at[SIEVE_LEN];    /* which, counted from the place; below SIEVE_REACH */
	uint32_t pad[2];
	uint8_t low[SIEVE_LEN][16], high[SIEVE_LEN][16];
};

/* This octet may be the one at s->at[k] of what is in the bucket. */
static inline void sieve_add(struct sieve *s, unsigned int bucket, unsigned int k, uint8_t octet)
{
	s->low[k][octet & 15] |= (uint8_t)(1u << bucket);
	s->high[k][octet >> 4] |= (uint8_t)(1u << bucket);
}

/* Does this place pass? Octets behind p[n - 1] may be any. */
static inline bool sieve_passes(const struct sieve *s, const uint8_t *p, size_t n)
{
	uint8_t left = 0xff;

	for (unsigned int k = 0; k < s->len; k++)
		if (s->at[k] < n)
			left &= s->low[k][p[s->at[k]] & 15] & s->high[k][p[s->at[k]] >> 4];
	return left != 0;
}

/* Is it what sieve_next() can be given? */
static inline bool sieve_valid(const struct sieve *s)
{
	for (unsigned int k = 0; k < SIEVE_LEN; k++)
		if (s->at[k] >= SIEVE_REACH)
			return false;
	return s->len <= SIEVE_LEN;
}

/* The first place in [at, to) of p[0..n) that passes, or `to`. at <= to <= n. */
size_t sieve_next(const struct sieve *s, const uint8_t *p, size_t n, size_t at, size_t to);

/* The widest code that it may be done with, for tests; what is chosen finds the same places. */
enum sieve_level { SIEVE_PORTABLE, SIEVE_SSSE3, SIEVE_AVX2 };
enum sieve_level sieve_level(enum sieve_level most);
