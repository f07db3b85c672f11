/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* SipHash-2-4 with 128 bits of output, for tables whose keys others choose: without the secret nobody
 * can aim at a bucket or make two keys equal. */

#include <stddef.h>
#include <stdint.h>

struct siphash128 {
	uint64_t lo, hi;
};

struct siphash128 siphash128(const uint8_t secret[16], const uint8_t *p, size_t n);
