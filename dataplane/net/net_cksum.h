/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The Internet checksum, RFC 1071. Sums are kept in the order of memory and folded at the end: the
 * one's complement sum does not depend on byte order (RFC 1071 2.B), only the store does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NET_CKSUM_WIDE (1u << 19) /* octets; until then no lane of 16-bit halves overflows */

/*
 * The blocks of 64 octets in p[0..n), n at most NET_CKSUM_WIDE. The words' low halves are not masked
 * out: whole words are added modulo 2^32, and what their high halves brought in is taken off at the
 * end.
 */

static inline uint64_t net_cksum_blocks(const uint8_t *p, size_t n)
{
	typedef uint32_t lanes __attribute__((vector_size(16)));
	lanes whole[2] = {{0}}, high[2] = {{0}}, low, v[4];
	uint64_t sum = 0;

	for (; n >= sizeof(v); p += sizeof(v), n -= sizeof(v)) {
		memcpy(v, p, sizeof(v));
		whole[0] += v[0] + v[2];
		whole[1] += v[1] + v[3];
		high[0] += (v[0] >> 16) + (v[2] >> 16);
		high[1] += (v[1] >> 16) + (v[3] >> 16);
	}
	high[0] += high[1];
	low = whole[0] + whole[1] - (high[0] << 16);
	for (unsigned int i = 0; i < 4; i++)
		sum += (uint64_t)low[i] + high[0][i];
	return sum;
}

/* Adds p[0..n) to an unfolded sum. Every piece but the last must have an even length, else see
 * net_cksum_odd(). 64 bits hold 2^32 words of 32 bits, far beyond any packet. */
static inline uint64_t net_cksum_add(uint64_t sum, const uint8_t *p, size_t n)
{
	while (n >= 64) {
		size_t k = (n < NET_CKSUM_WIDE ? n : NET_CKSUM_WIDE) & ~(size_t)63;

		sum += net_cksum_blocks(p, k);
		p += k;
		n -= k;
	}
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t w;

		memcpy(&w, p, 8);
		sum += (w & 0xffffffffu) + (w >> 32);
	}
	for (; n >= 2; p += 2, n -= 2) {
		uint16_t w;

		memcpy(&w, p, 2);
		sum += w;
	}
	if (n) {
		uint8_t last[2] = {p[0], 0};
		uint16_t w;

		memcpy(&w, last, 2);
		sum += w;
	}
	return sum;
}

/* net_cksum_add(0, p, n) by the widest registers that the CPU has: for payloads. */
extern uint64_t (*net_cksum_sum)(const uint8_t *p, size_t n);

enum net_cksum_level { NET_CKSUM_PLAIN, NET_CKSUM_AVX2, NET_CKSUM_AVX512 };
/* For tests: takes the widest code that the CPU has, `most` at most, and says which. The first call
 * of net_cksum_sum does this with NET_CKSUM_AVX512. */
enum net_cksum_level net_cksum_choose(enum net_cksum_level most);

static inline uint16_t net_cksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffu) + (sum >> 16);
	sum = (sum & 0xffffu) + (sum >> 16);
	return (uint16_t)sum;
}

/* A piece that begins at an odd offset of the whole: its sum with the octets swapped. */
static inline uint64_t net_cksum_odd(uint64_t piece)
{
	uint16_t f = net_cksum_fold(piece);

	return (uint16_t)(f << 8 | f >> 8);
}

/* The pseudo-header of RFC 9293 3.1 and RFC 8200 8.1; addresses in mapped form. */
static inline uint64_t net_cksum_pseudo(const uint8_t a[16], const uint8_t b[16], bool ip6,
					uint8_t proto, uint32_t len)
{
	size_t skip = ip6 ? 0 : 12;
	uint8_t tail[8] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
			   (uint8_t)len, 0, 0, 0, proto};
	uint64_t sum = net_cksum_add(0, a + skip, 16 - skip);

	sum = net_cksum_add(sum, b + skip, 16 - skip);
	return net_cksum_add(sum, tail, sizeof(tail));
}

/* What goes into the checksum field, stored as it lies in memory. */
static inline void net_cksum_store(uint8_t field[2], uint64_t sum)
{
	uint16_t c = (uint16_t)~net_cksum_fold(sum);

	memcpy(field, &c, 2);
}
