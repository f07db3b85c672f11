/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* UTF-8, strictly (RFC 3629), and the code points that have no business in an address or a line. */

#include "postern/str.h"

/* The code point at s.p[i], *len its octets (1 if there is none). -1: no UTF-8: overlong, surrogate,
 * over U+10FFFF, cut off, a stray octet. */
static inline long utf8_at(struct str s, size_t i, size_t *len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint8_t c = s.p[i];
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 :
		   c >= 0xf0 && c < 0xf5 ? 4 : 0;
	uint32_t v = n == 1 ? c : c & (0x7fu >> n);

	*len = 1;
	if (n == 0 || n > s.n - i)
		return -1;
	for (size_t k = 1; k < n; k++) {
		if ((s.p[i + k] & 0xc0) != 0x80)
			return -1;
		v = v << 6 | (s.p[i + k] & 0x3fu);
	}
	if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return -1;
	*len = n;
	return (long)v;
}

/*
 * Code points that would make a line read as something else than it is, or that nobody sees:
 *
 *   U+0080-9F, U+2028, U+2029           controls and line ends: some software breaks lines there
 *   U+00A0, 1680, 2000-200B, 202F, 205F, 3000   white space: some software ends the word there
 *   U+061C, 200E, 200F, 202A-202E, 2066-2069   bidi controls: the order shown is not the order sent
 *   U+00AD, 034F, 115F, 1160, 17B4, 17B5, 180B-180F, 2060-2065, 206A-206F, 2800, 3164, FEFF, FFA0,
 *   FFF0-FFFB, 1D173-1D17A, E0000-E0FFF          invisible, or read by machines only
 *   U+FDD0-FDEF, xxFFFE, xxFFFF                  noncharacters
 *
 * The joiners U+200C and U+200D stay: Persian and Indic scripts are written with them.
 */
static inline bool utf8_is_deceptive(long cp)
{
	static const struct {
		uint32_t first, last;
	} bad[] = {
		{0x80, 0xa0},       {0xad, 0xad},       {0x34f, 0x34f},     {0x61c, 0x61c},
		{0x115f, 0x1160},   {0x1680, 0x1680},   {0x17b4, 0x17b5},   {0x180b, 0x180f},
		{0x2000, 0x200b},   {0x200e, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},
		{0x2800, 0x2800},   {0x3000, 0x3000},   {0x3164, 0x3164},   {0xfdd0, 0xfdef},
		{0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},   {0x1d173, 0x1d17a},
		{0xe0000, 0xe0fff},
	};

	if ((cp & 0xfffe) == 0xfffe)
		return true;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (cp >= (long)bad[i].first && cp <= (long)bad[i].last)
			return true;
	return false;
}

/* Octets of the UTF8-non-ascii of RFC 6531 3.3 at s.p[i], less the above; 0: there is none. */
static inline size_t utf8_non_ascii(struct str s, size_t i)
{
	size_t len;
	long cp = utf8_at(s, i, &len);

	return cp >= 0x80 && !utf8_is_deceptive(cp) ? len : 0;
}

/* UTF-8 from end to end, and no NUL. */
static inline bool utf8_is_text(struct str s)
{
	for (size_t i = 0, len; i < s.n; i += len) {
		len = 1;
		if (s.p[i] >= 0x80 ? utf8_at(s, i, &len) < 0 : !s.p[i])
			return false;
	}
	return true;
}

static inline bool utf8_is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] & 0x80)
			return false;
	return true;
}
