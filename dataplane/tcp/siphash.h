/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* SipHash (Aumasson, Bernstein 2012): c compression and d finalisation rounds. Keyed hash of short
 * inputs for the flow table (1-3), initial sequence numbers, SYN cookies and our random numbers. */

#include <stddef.h>
#include <stdint.h>

uint64_t siphash24(const uint8_t key[16], const void *p, size_t n);
uint64_t siphash13(const uint8_t key[16], const void *p, size_t n);
