/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Hexadecimal digits, as quoted-printable and percent-encoding have them. */

#include <stddef.h>
#include <stdint.h>

#include "postern/ascii.h"

/* The value of a digit, or -1. */
static inline int content_hex(uint8_t c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The octet that two digits at p stand for; -1 if they are none, or n is less than two. */
static inline int content_hex_octet(const uint8_t *p, size_t n)
{
	int high = n < 2 ? -1 : content_hex(p[0]), low = n < 2 ? -1 : content_hex(p[1]);

	return high < 0 || low < 0 ? -1 : high * 16 + low;
}
