/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Searches in octets, 16 at a time where the baseline has SSE2, with the same results without. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>

static inline __m128i vec_load(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline void vec_store(uint8_t *p, __m128i v)
{
	_mm_storeu_si128((__m128i *)(void *)p, v);
}
#endif

/* Index of the first octet that is a, b or c, or n. */
static inline size_t vec_find3(const uint8_t *p, size_t n, uint8_t a, uint8_t b, uint8_t c)
{
	size_t i = 0;

#if defined(__SSE2__)
	const __m128i va = _mm_set1_epi8((char)a), vb = _mm_set1_epi8((char)b);
	const __m128i vc = _mm_set1_epi8((char)c);

	for (; n - i >= 16; i += 16) {
		__m128i v = vec_load(p + i);
		__m128i hit =
			_mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, va), _mm_cmpeq_epi8(v, vb)),
				     _mm_cmpeq_epi8(v, vc));
		int m = _mm_movemask_epi8(hit);

		if (m)
			return i + (size_t)__builtin_ctz((unsigned int)m);
	}
#endif
	while (i < n && p[i] != a && p[i] != b && p[i] != c)
		i++;
	return i;
}

/* Index of the first a that b follows, or n - 1: whether the last octet is one cannot be told.
 * n > 0. */
static inline size_t vec_find_pair(const uint8_t *p, size_t n, uint8_t a, uint8_t b)
{
	size_t i = 0;

#if defined(__SSE2__)
	const __m128i va = _mm_set1_epi8((char)a), vb = _mm_set1_epi8((char)b);

	for (; n - i >= 33; i += 32) {
		__m128i x = _mm_and_si128(_mm_cmpeq_epi8(vec_load(p + i), va),
					  _mm_cmpeq_epi8(vec_load(p + i + 1), vb));
		__m128i y = _mm_and_si128(_mm_cmpeq_epi8(vec_load(p + i + 16), va),
					  _mm_cmpeq_epi8(vec_load(p + i + 17), vb));

		if (_mm_movemask_epi8(_mm_or_si128(x, y))) {
			unsigned int m = (unsigned int)_mm_movemask_epi8(x) |
					 (unsigned int)_mm_movemask_epi8(y) << 16;

			return i + (size_t)__builtin_ctz(m);
		}
	}
#endif
	while (i + 1 < n && (p[i] != a || p[i + 1] != b))
		i++;
	return i;
}

/* Octets at the start that are below 128. */
static inline size_t vec_ascii(const uint8_t *p, size_t n)
{
	size_t i = 0;

#if defined(__SSE2__)
	for (; n - i >= 32; i += 32) {
		unsigned int m = (unsigned int)_mm_movemask_epi8(vec_load(p + i)) |
				 (unsigned int)_mm_movemask_epi8(vec_load(p + i + 16)) << 16;

		if (m)
			return i + (size_t)__builtin_ctz(m);
	}
#else
	for (uint64_t v; n - i >= 8; i += 8) {
		memcpy(&v, p + i, sizeof(v));
		if (v & 0x8080808080808080u)
			break;
	}
#endif
	while (i < n && p[i] < 0x80)
		i++;
	return i;
}
