/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Groups of four digits without anything between them are decoded by the widest code there is for
 * the CPU (range checks and bit packing as in Muła and Lemire, "Faster Base64 Encoding and Decoding
 * using AVX2 Instructions", 2018); everything else goes digit by digit.
 */
#include "dataplane/content/decode.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_X86 1
#else
#define HAVE_X86 0
#endif

enum { BLANK = 64, PAD = 65, OTHER = 66 };

#define B   BLANK
#define P   PAD
#define O   OTHER
#define O8  O, O, O, O, O, O, O, O
#define O64 O8, O8, O8, O8, O8, O8, O8, O8
/* RFC 2045 6.8, table 1. */
/* clang-format off */
static const uint8_t value_of[256] = {
	O, O, O, O, O, O, O, O, O, B, B, B, B, B, O, O, O8, O8,
	B, O, O, O, O, O, O, O, O, O, O, 62, O, O, O, 63,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, O, O, O, P, O, O,
	O, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, O, O, O, O, O,
	O, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, O, O, O, O, O,
	O64, O64,
};
/* clang-format on */
#undef B
#undef P
#undef O
#undef O8
#undef O64

/* Whole groups at the start of in; returns the octets read, a multiple of 4, and writes 3/4 of them
 * (and up to 8 octets of no meaning behind). */
static size_t groups_portable(const uint8_t *in, size_t n, uint8_t *out)
{
	size_t i = 0;

	for (; n - i >= 4; i += 4, out += 3) {
		uint32_t a = value_of[in[i]], b = value_of[in[i + 1]];
		uint32_t c = value_of[in[i + 2]], d = value_of[in[i + 3]];
		uint32_t v = a << 18 | b << 12 | c << 6 | d;

		if ((a | b | c | d) & 64)
			break;
		out[0] = (uint8_t)(v >> 16);
		out[1] = (uint8_t)(v >> 8);
		out[2] = (uint8_t)v;
	}
	return i;
}

#if HAVE_X86
/* Both nibbles of a digit select a bit each; a digit is one where no bit is common. */
#define LOW                                                                                        \
	0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b,  \
		0x1a
#define HIGH                                                                                       \
	0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,  \
		0x10
/* What is added to the octet, by its high nibble; `/` takes the one before its own. */
#define ROLL 0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0
#define PACK 2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1

__attribute__((target("ssse3"))) static size_t groups_ssse3(const uint8_t *in, size_t n,
							    uint8_t *out)
{
	const __m128i low = _mm_setr_epi8(LOW), high = _mm_setr_epi8(HIGH);
	const __m128i roll = _mm_setr_epi8(ROLL), pack = _mm_setr_epi8(PACK);
	const __m128i nibble = _mm_set1_epi8(0x0f), slash = _mm_set1_epi8('/');
	size_t i = 0;

	for (; n - i >= 16; i += 16, out += 12) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(in + i));
		__m128i hi = _mm_and_si128(_mm_srli_epi32(v, 4), nibble);
		__m128i lo = _mm_and_si128(v, nibble);
		__m128i wrong =
			_mm_and_si128(_mm_shuffle_epi8(low, lo), _mm_shuffle_epi8(high, hi));

		if (_mm_movemask_epi8(_mm_cmpeq_epi8(wrong, _mm_setzero_si128())) != 0xffff)
			break;
		v = _mm_add_epi8(
			v, _mm_shuffle_epi8(roll, _mm_add_epi8(_mm_cmpeq_epi8(v, slash), hi)));
		v = _mm_maddubs_epi16(v, _mm_set1_epi32(0x01400140));
		v = _mm_madd_epi16(v, _mm_set1_epi32(0x00011000));
		_mm_storeu_si128((__m128i *)(void *)out, _mm_shuffle_epi8(v, pack));
	}
	return i + groups_portable(in + i, n - i, out);
}

__attribute__((target("avx2"))) static size_t groups_avx2(const uint8_t *in, size_t n, uint8_t *out)
{
	const __m256i low = _mm256_setr_epi8(LOW, LOW), high = _mm256_setr_epi8(HIGH, HIGH);
	const __m256i roll = _mm256_setr_epi8(ROLL, ROLL), pack = _mm256_setr_epi8(PACK, PACK);
	const __m256i nibble = _mm256_set1_epi8(0x0f), slash = _mm256_set1_epi8('/');
	const __m256i join = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
	size_t i = 0;

	for (; n - i >= 32; i += 32, out += 24) {
		__m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(in + i));
		__m256i hi = _mm256_and_si256(_mm256_srli_epi32(v, 4), nibble);
		__m256i lo = _mm256_and_si256(v, nibble);
		__m256i r;

		if (!_mm256_testz_si256(_mm256_shuffle_epi8(low, lo),
					_mm256_shuffle_epi8(high, hi)))
			break;
		r = _mm256_shuffle_epi8(roll, _mm256_add_epi8(_mm256_cmpeq_epi8(v, slash), hi));
		v = _mm256_add_epi8(v, r);
		v = _mm256_maddubs_epi16(v, _mm256_set1_epi32(0x01400140));
		v = _mm256_madd_epi16(v, _mm256_set1_epi32(0x00011000));
		v = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(v, pack), join);
		_mm256_storeu_si256((__m256i *)(void *)out, v);
	}
	return i + groups_portable(in + i, n - i, out);
}
#endif

static size_t groups_first(const uint8_t *in, size_t n, uint8_t *out);

/* Chosen by the first call. Two threads that both choose write the same value. */
static size_t (*groups)(const uint8_t *in, size_t n, uint8_t *out) = groups_first;

enum decode_level decode_base64_level(enum decode_level most)
{
#if HAVE_X86
	__builtin_cpu_init();
	if (most >= DECODE_AVX2 && __builtin_cpu_supports("avx2")) {
		__atomic_store_n(&groups, groups_avx2, __ATOMIC_RELAXED);
		return DECODE_AVX2;
	}
	if (most >= DECODE_SSSE3 && __builtin_cpu_supports("ssse3")) {
		__atomic_store_n(&groups, groups_ssse3, __ATOMIC_RELAXED);
		return DECODE_SSSE3;
	}
#endif
	(void)most;
	__atomic_store_n(&groups, groups_portable, __ATOMIC_RELAXED);
	return DECODE_PORTABLE;
}

static size_t groups_first(const uint8_t *in, size_t n, uint8_t *out)
{
	(void)decode_base64_level(DECODE_AVX2);
	return __atomic_load_n(&groups, __ATOMIC_RELAXED)(in, n, out);
}

void decode_base64_init(struct decode_base64 *d)
{
	*d = (struct decode_base64){.n = 0};
}

/* The octets of a group that `=` or the end cut short. */
static size_t flush(struct decode_base64 *d, uint8_t *out)
{
	size_t n = d->n >= 2 ? d->n - 1u : 0;

	if (n >= 1)
		out[0] = (uint8_t)(d->bits >> (d->n * 6 - 8));
	if (n == 2)
		out[1] = (uint8_t)(d->bits >> 2);
	d->n = 0;
	d->bits = 0;
	d->pads = 0;
	return n;
}

static size_t step(struct decode_base64 *d, uint8_t c, uint8_t *out)
{
	uint8_t v = value_of[c];

	if (v == BLANK)
		return 0;
	if (v == PAD) {
		if (d->n < 2 || d->n + ++d->pads < 4) {
			d->bad |= d->n < 2;
			return 0;
		}
		d->padded = true;
		return flush(d, out);
	}
	if (v == OTHER) {
		d->bad = true;
		return 0;
	}
	/* RFC 2045 6.8: `=` stands at the end only. */
	d->bad |= d->padded || d->pads;
	d->padded = false;
	d->pads = 0;
	d->bits = d->bits << 6 | v;
	if (++d->n < 4)
		return 0;
	out[0] = (uint8_t)(d->bits >> 16);
	out[1] = (uint8_t)(d->bits >> 8);
	out[2] = (uint8_t)d->bits;
	d->n = 0;
	d->bits = 0;
	return 3;
}

size_t decode_base64(struct decode_base64 *d, const uint8_t *in, size_t n, uint8_t *out)
{
	size_t i = 0, k = 0;

	while (i < n) {
		if (d->n == 0 && !d->padded) {
			size_t took =
				__atomic_load_n(&groups, __ATOMIC_RELAXED)(in + i, n - i, out + k);

			i += took;
			k += took / 4 * 3;
			if (n - i >= 2 && in[i] == '\r' && in[i + 1] == '\n') {
				i += 2;
				continue;
			}
			if (i == n)
				break;
		}
		/* At least one octet, and on to where a group may begin. */
		do
			k += step(d, in[i++], out + k);
		while (i < n && (d->n || value_of[in[i]] >= 64));
	}
	return k;
}

size_t decode_base64_end(struct decode_base64 *d, uint8_t *out)
{
	d->bad |= d->n == 1;
	return flush(d, out);
}
