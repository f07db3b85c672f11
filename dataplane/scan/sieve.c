/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Halves of an octet are looked up in tables of 16 by a shuffle (as in Hyperscan's "Teddy"). What is
 * left of the vectors finds the same places octet by octet.
 */
#include "dataplane/scan/sieve.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_X86 1
#else
#define HAVE_X86 0
#endif

static size_t one_by_one(const struct sieve *s, const uint8_t *p, size_t n, size_t at, size_t to)
{
	while (at < to && !sieve_passes(s, p + at, n - at))
		at++;
	return at;
}

#if HAVE_X86
#define EACH static inline __attribute__((always_inline)) /* made for each length: it is a constant */

EACH __attribute__((target("ssse3"))) size_t places_ssse3(const struct sieve *s, unsigned int len,
							   const uint8_t *p, size_t n, size_t at, size_t to)
{
	const __m128i half = _mm_set1_epi8(15), none = _mm_setzero_si128();

	for (; at < to && n - at >= 16 + SIEVE_REACH; at += 16) {
		__m128i left = none;
		unsigned int m;

		for (unsigned int k = 0; k < len; k++) {
			__m128i low = _mm_loadu_si128((const __m128i *)(const void *)s->low[k]);
			__m128i high = _mm_loadu_si128((const __m128i *)(const void *)s->high[k]);
			__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + at + s->at[k]));
			__m128i of = _mm_and_si128(
				_mm_shuffle_epi8(low, _mm_and_si128(v, half)),
				_mm_shuffle_epi8(high, _mm_and_si128(_mm_srli_epi16(v, 4), half)));

			left = k ? _mm_and_si128(left, of) : of;
		}
		m = (unsigned int)_mm_movemask_epi8(_mm_cmpeq_epi8(left, none)) ^ 0xffffu;
		if (m) {
			at += (size_t)__builtin_ctz(m);
			return at < to ? at : to;
		}
	}
	return at < to ? one_by_one(s, p, n, at, to) : to;
}

EACH __attribute__((target("avx2"))) size_t places_avx2(const struct sieve *s, unsigned int len,
							 const uint8_t *p, size_t n, size_t at, size_t to)
{
	const __m256i half = _mm256_set1_epi8(15), none = _mm256_setzero_si256();

	for (; at < to && n - at >= 32 + SIEVE_REACH; at += 32) {
		__m256i left = none;
		unsigned int m;

		for (unsigned int k = 0; k < len; k++) {
			__m256i low = _mm256_broadcastsi128_si256(
				_mm_loadu_si128((const __m128i *)(const void *)s->low[k]));
			__m256i high = _mm256_broadcastsi128_si256(
				_mm_loadu_si128((const __m128i *)(const void *)s->high[k]));
			__m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(p + at + s->at[k]));
			__m256i of = _mm256_and_si256(
				_mm256_shuffle_epi8(low, _mm256_and_si256(v, half)),
				_mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(v, 4), half)));

			left = k ? _mm256_and_si256(left, of) : of;
		}
		m = ~(unsigned int)_mm256_movemask_epi8(_mm256_cmpeq_epi8(left, none));
		if (m) {
			at += (size_t)__builtin_ctz(m);
			return at < to ? at : to;
		}
	}
	return at < to ? one_by_one(s, p, n, at, to) : to;
}

#define BY_LENGTH(set)                                                                             \
	__attribute__((target(#set))) static size_t next_##set(                                    \
		const struct sieve *s, const uint8_t *p, size_t n, size_t at, size_t to)           \
	{                                                                                          \
		switch (s->len) {                                                                  \
		case 1:                                                                            \
			return places_##set(s, 1, p, n, at, to);                                   \
		case 2:                                                                            \
			return places_##set(s, 2, p, n, at, to);                                   \
		case 3:                                                                            \
			return places_##set(s, 3, p, n, at, to);                                   \
		default:                                                                           \
			return places_##set(s, 4, p, n, at, to);                                   \
		}                                                                                  \
	}
BY_LENGTH(ssse3)
BY_LENGTH(avx2)
#endif

static size_t next_first(const struct sieve *s, const uint8_t *p, size_t n, size_t at, size_t to);

/* Chosen by the first call. Two threads that both choose write the same value. */
static size_t (*next)(const struct sieve *s, const uint8_t *p, size_t n, size_t at, size_t to) = next_first;

enum sieve_level sieve_level(enum sieve_level most)
{
#if HAVE_X86
	__builtin_cpu_init();
	if (most >= SIEVE_AVX2 && __builtin_cpu_supports("avx2")) {
		__atomic_store_n(&next, next_avx2, __ATOMIC_RELAXED);
		return SIEVE_AVX2;
	}
	if (most >= SIEVE_SSSE3 && __builtin_cpu_supports("ssse3")) {
		__atomic_store_n(&next, next_ssse3, __ATOMIC_RELAXED);
		return SIEVE_SSSE3;
	}
#endif
	(void)most;
	__atomic_store_n(&next, one_by_one, __ATOMIC_RELAXED);
	return SIEVE_PORTABLE;
}

static size_t next_first(const struct sieve *s, const uint8_t *p, size_t n, size_t at, size_t to)
{
	(void)sieve_level(SIEVE_AVX2);
	return __atomic_load_n(&next, __ATOMIC_RELAXED)(s, p, n, at, to);
}

size_t sieve_next(const struct sieve *s, const uint8_t *p, size_t n, size_t at, size_t to)
{
	return __atomic_load_n(&next, __ATOMIC_RELAXED)(s, p, n, at, to);
}
