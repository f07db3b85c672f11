/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/net/net_cksum.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_X86 1
#else
#define HAVE_X86 0
#endif

static uint64_t sum_plain(const uint8_t *p, size_t n)
{
	return net_cksum_add(0, p, n);
}

#if HAVE_X86
/*
 * As net_cksum_blocks(), in wider registers. Up to NET_CKSUM_WIDE octets no lane of 16-bit halves
 * overflows, and neither does one of low and high halves together.
 */

__attribute__((target("avx2"))) static uint64_t wide_avx2(const uint8_t *p, size_t n)
{
	__m256i whole[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
	__m256i high[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
	__m256i both, odd;
	uint64_t lane[4];

	for (; n >= 64; p += 64, n -= 64) {
		__m256i a = _mm256_loadu_si256((const __m256i *)(const void *)p);
		__m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));

		whole[0] = _mm256_add_epi32(whole[0], a);
		whole[1] = _mm256_add_epi32(whole[1], b);
		high[0] = _mm256_add_epi32(high[0], _mm256_srli_epi32(a, 16));
		high[1] = _mm256_add_epi32(high[1], _mm256_srli_epi32(b, 16));
	}
	whole[0] = _mm256_add_epi32(whole[0], whole[1]);
	high[0] = _mm256_add_epi32(high[0], high[1]);
	both = _mm256_sub_epi32(whole[0], _mm256_slli_epi32(high[0], 16));
	both = _mm256_add_epi32(both, high[0]);
	odd = _mm256_srli_epi64(both, 32);
	both = _mm256_and_si256(both, _mm256_set1_epi64x(0xffffffff));
	_mm256_storeu_si256((__m256i *)(void *)lane, _mm256_add_epi64(both, odd));
	return lane[0] + lane[1] + lane[2] + lane[3];
}

__attribute__((target("avx512bw"))) static uint64_t wide_avx512(const uint8_t *p, size_t n)
{
	__m512i whole[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
	__m512i high[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
	__m512i both, odd;

	for (; n >= 128; p += 128, n -= 128) {
		__m512i a = _mm512_loadu_si512((const void *)p);
		__m512i b = _mm512_loadu_si512((const void *)(p + 64));

		whole[0] = _mm512_add_epi32(whole[0], a);
		whole[1] = _mm512_add_epi32(whole[1], b);
		high[0] = _mm512_add_epi32(high[0], _mm512_srli_epi32(a, 16));
		high[1] = _mm512_add_epi32(high[1], _mm512_srli_epi32(b, 16));
	}
	/* What is left of two registers, one octet or none at its end included. */
	for (; n; p += 64, n = n > 64 ? n - 64 : 0) {
		__mmask64 mask = n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
		__m512i v = _mm512_maskz_loadu_epi8(mask, p);

		whole[0] = _mm512_add_epi32(whole[0], v);
		high[0] = _mm512_add_epi32(high[0], _mm512_srli_epi32(v, 16));
	}
	whole[0] = _mm512_add_epi32(whole[0], whole[1]);
	high[0] = _mm512_add_epi32(high[0], high[1]);
	both = _mm512_sub_epi32(whole[0], _mm512_slli_epi32(high[0], 16));
	both = _mm512_add_epi32(both, high[0]);
	odd = _mm512_srli_epi64(both, 32);
	both = _mm512_and_si512(both, _mm512_set1_epi64(0xffffffff));
	return (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(both, odd));
}

static uint64_t sum_avx2(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;

	while (n >= 64) {
		size_t k = (n < NET_CKSUM_WIDE ? n : NET_CKSUM_WIDE) & ~(size_t)63;

		sum += wide_avx2(p, k);
		p += k;
		n -= k;
	}
	return net_cksum_add(sum, p, n);
}

static uint64_t sum_avx512(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;

	for (; n > NET_CKSUM_WIDE; p += NET_CKSUM_WIDE, n -= NET_CKSUM_WIDE)
		sum += wide_avx512(p, NET_CKSUM_WIDE);
	return sum + wide_avx512(p, n);
}
#endif

static uint64_t sum_first(const uint8_t *p, size_t n);

uint64_t (*net_cksum_sum)(const uint8_t *p, size_t n) = sum_first;

static enum net_cksum_level choose(uint64_t (*f)(const uint8_t *p, size_t n), enum net_cksum_level level)
{
	__atomic_store_n(&net_cksum_sum, f, __ATOMIC_RELAXED);
	return level;
}

enum net_cksum_level net_cksum_choose(enum net_cksum_level most)
{
#if HAVE_X86
	__builtin_cpu_init();
	if (most >= NET_CKSUM_AVX512 && __builtin_cpu_supports("avx512bw"))
		return choose(sum_avx512, NET_CKSUM_AVX512);
	if (most >= NET_CKSUM_AVX2 && __builtin_cpu_supports("avx2"))
		return choose(sum_avx2, NET_CKSUM_AVX2);
#endif
	(void)most;
	return choose(sum_plain, NET_CKSUM_PLAIN);
}

/* Two threads that both choose write the same value. */
static uint64_t sum_first(const uint8_t *p, size_t n)
{
	net_cksum_choose(NET_CKSUM_AVX512);
	return net_cksum_sum(p, n);
}
