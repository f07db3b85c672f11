/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* CRC32c of a PROXY header ("The PROXY protocol", 2.2.3): the four octets at `zero` are taken as 0. */

#include <stddef.h>
#include <stdint.h>

static inline uint32_t crc32c(const uint8_t *p, size_t n, size_t zero)
{
	uint32_t c = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		c ^= i >= zero && i < zero + 4 ? 0 : p[i];
		for (unsigned int k = 0; k < 8; k++)
			c = c >> 1 ^ (0x82f63b78u & (0u - (c & 1)));
	}
	return ~c;
}
