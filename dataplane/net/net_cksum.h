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

/* Adds p[0..n) to an unfolded sum. Every piece but the last must have an even length, else see
 * net_cksum_odd(). 64 bits hold 2^32 words of 32 bits, far beyond any packet. */
static inline uint64_t net_cksum_add(uint64_t sum, const uint8_t *p, size_t n)
{
	uint64_t even = 0, odd = 0;

	for (; n >= 16; p += 16, n -= 16) {
		uint64_t a, b;

		memcpy(&a, p, 8);
		memcpy(&b, p + 8, 8);
		even += (a & 0xffffffffu) + (a >> 32);
		odd += (b & 0xffffffffu) + (b >> 32);
	}
	sum += even + odd;
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
