/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/hash/siphash.h"

#include <string.h>

static inline uint64_t rotl(uint64_t v, unsigned int n)
{
	return (v << n) | (v >> (64 - n));
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] = rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] = rotl(v[2], 32);
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = (v << 8) | p[i];
	return v;
}

struct siphash128 siphash128(const uint8_t secret[16], const uint8_t *p, size_t n)
{
	uint64_t k0 = load64(secret), k1 = load64(secret + 8), m;
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull ^ 0xee,
			 k0 ^ 0x6c7967656e657261ull, k1 ^ 0x7465646279746573ull};
	struct siphash128 out;
	uint8_t last[8] = {0};
	size_t left = n % 8;

	for (size_t i = 0; i + 8 <= n; i += 8) {
		m = load64(p + i);
		v[3] ^= m;
		sip_round(v);
		sip_round(v);
		v[0] ^= m;
	}
	if (left)
		memcpy(last, p + n - left, left);
	last[7] = (uint8_t)n;
	m = load64(last);
	v[3] ^= m;
	sip_round(v);
	sip_round(v);
	v[0] ^= m;
	v[2] ^= 0xee;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	out.lo = v[0] ^ v[1] ^ v[2] ^ v[3];
	v[1] ^= 0xdd;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	out.hi = v[0] ^ v[1] ^ v[2] ^ v[3];
	return out;
}
