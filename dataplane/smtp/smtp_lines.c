/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_lines.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_X86 1
#else
#define HAVE_X86 0
#endif

#define BLOCK SMTP_LINES_BLOCK

static size_t take_none(const uint8_t *p, size_t n, struct smtp_lines *l)
{
	(void)p;
	(void)n;
	(void)l;
	return 0;
}

#if HAVE_X86
/* Of a block, the first octet in bit 0. */
struct masks {
	uint64_t cr, lf, nul, dot, high;
};

/* Of the blocks so far. A position may be before p. */
struct so_far {
	size_t line;        /* where the line began */
	uint64_t cr, begin; /* of the last octet: it is a CR; a line ends with it */
	uint64_t high;
	size_t longest;
};

static inline __attribute__((always_inline)) struct so_far start(const struct smtp_lines *l)
{
	return (struct so_far){.line = 0 - (size_t)l->line_len, .begin = l->begin, .longest = (size_t)l->longest};
}

/* The block at i. No branch hangs on where its lines end. False: there is something to be looked at. */
static inline __attribute__((always_inline)) bool take_block(const struct masks *m, size_t i,
							      struct so_far *s)
{
	uint64_t begin = m->lf << 1 | s->begin;
	size_t first = m->lf ? (size_t)__builtin_ctzll(m->lf) + 1 : BLOCK;

	if ((((m->cr << 1) | s->cr) ^ m->lf) | m->nul | (m->dot & begin) |
	    (i + first - s->line > s->longest))
		return false;
	s->line = m->lf ? i + BLOCK - (size_t)__builtin_clzll(m->lf) : s->line;
	s->cr = m->cr >> 63;
	s->begin = m->lf >> 63;
	s->high |= m->high;
	return true;
}

/* n octets are taken; a CR at their end is for the next one. */
static size_t stop(const struct so_far *s, size_t n, struct smtp_lines *l)
{
	if (!n)
		return 0;
	n -= s->cr;
	l->line_len = n - s->line;
	l->begin = s->begin;
	l->high |= s->high != 0;
	return n;
}

static inline __attribute__((always_inline)) uint64_t join4(int a, int b, int c, int d)
{
	return (uint64_t)(uint16_t)a | (uint64_t)(uint16_t)b << 16 | (uint64_t)(uint16_t)c << 32 |
	       (uint64_t)(uint16_t)d << 48;
}

static inline __attribute__((always_inline)) uint64_t equal_sse2(const __m128i v[4], char c)
{
	const __m128i w = _mm_set1_epi8(c);

	return join4(_mm_movemask_epi8(_mm_cmpeq_epi8(v[0], w)),
		     _mm_movemask_epi8(_mm_cmpeq_epi8(v[1], w)),
		     _mm_movemask_epi8(_mm_cmpeq_epi8(v[2], w)),
		     _mm_movemask_epi8(_mm_cmpeq_epi8(v[3], w)));
}

static size_t take_sse2(const uint8_t *p, size_t n, struct smtp_lines *l)
{
	struct so_far s = start(l);
	size_t i = 0;

	for (; n - i >= BLOCK; i += BLOCK) {
		const __m128i *at = (const __m128i *)(const void *)(p + i);
		const __m128i v[4] = {_mm_loadu_si128(at), _mm_loadu_si128(at + 1),
				      _mm_loadu_si128(at + 2), _mm_loadu_si128(at + 3)};
		struct masks m = {
			.cr = equal_sse2(v, '\r'),
			.lf = equal_sse2(v, '\n'),
			.nul = equal_sse2(v, '\0'),
			.dot = equal_sse2(v, '.'),
			.high = join4(_mm_movemask_epi8(v[0]), _mm_movemask_epi8(v[1]),
				      _mm_movemask_epi8(v[2]), _mm_movemask_epi8(v[3])),
		};

		if (!take_block(&m, i, &s))
			break;
	}
	return stop(&s, i, l);
}

__attribute__((target("avx2"))) static inline uint64_t equal_avx2(__m256i a, __m256i b, char c)
{
	const __m256i w = _mm256_set1_epi8(c);

	return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, w)) |
	       (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, w)) << 32;
}

__attribute__((target("avx2"))) static size_t take_avx2(const uint8_t *p, size_t n,
							struct smtp_lines *l)
{
	struct so_far s = start(l);
	size_t i = 0;

	for (; n - i >= BLOCK; i += BLOCK) {
		const __m256i *at = (const __m256i *)(const void *)(p + i);
		__m256i a = _mm256_loadu_si256(at), b = _mm256_loadu_si256(at + 1);
		struct masks m = {
			.cr = equal_avx2(a, b, '\r'),
			.lf = equal_avx2(a, b, '\n'),
			.nul = equal_avx2(a, b, '\0'),
			.dot = equal_avx2(a, b, '.'),
			.high = (uint32_t)_mm256_movemask_epi8(a) |
				(uint64_t)(uint32_t)_mm256_movemask_epi8(b) << 32,
		};

		if (!take_block(&m, i, &s))
			break;
	}
	return stop(&s, i, l);
}

#define XOR_OR 0xbe /* of vpternlog: (a ^ b) | c */

/*
 * The block at v, and the octets one place before it. Each octet is compared with the one before it, so
 * that of all masks only that of the lines' ends leaves the vector unit; and what must not be zero is
 * looked for at once, as there are fewer units for masks than for octets: octets themselves, and
 * where an LF is followed by a dot the two of them xored with that.
 */
__attribute__((target("avx512bw,bmi,lzcnt"), always_inline)) static inline bool
take_wide(__m512i v, __m512i before, size_t i, struct so_far *s)
{
	const __m512i cr = _mm512_set1_epi8('\r'), lf = _mm512_set1_epi8('\n');
	const __m512i dot = _mm512_set1_epi8('.');
	__m512i stuffed = _mm512_ternarylogic_epi64(before, lf, _mm512_xor_si512(v, dot), XOR_OR);
	__mmask64 zero = _mm512_testn_epi8_mask(_mm512_min_epu8(v, stuffed), _mm512_set1_epi8(-1));
	__mmask64 end = _mm512_cmpeq_epi8_mask(v, lf);
	__mmask64 alone = _kxor_mask64(_mm512_cmpeq_epi8_mask(before, cr), end);
	uint64_t ends = end;
	size_t first;

	/* Moved once, and no longer a mask: of a mask the compiler makes a branch below. */
	__asm__("" : "+r"(ends));
	first = (size_t)__builtin_ctzll(ends | 1ull << 63) + 1;
	if (!_kortestz_mask64_u8(alone, zero) || i + first - s->line > s->longest)
		return false;
	s->line = ends ? i + BLOCK - (size_t)__builtin_clzll(ends) : s->line;
	return true;
}

__attribute__((target("avx512bw,bmi,lzcnt"))) static size_t take_avx512(const uint8_t *p, size_t n,
									struct smtp_lines *l)
{
	struct so_far s = start(l);
	__m512i v, before, high;
	size_t i = BLOCK;

	if (n < BLOCK)
		return 0;
	v = high = _mm512_loadu_si512((const void *)p);
	/* Nothing before p is read. */
	before = _mm512_maskz_loadu_epi8(~(__mmask64)1, p - 1);
	before = _mm512_mask_set1_epi8(before, s.begin, '\n');
	if (!take_wide(v, before, 0, &s))
		return 0;
	for (; n - i >= BLOCK; i += BLOCK) {
		v = _mm512_loadu_si512((const void *)(p + i));
		if (!take_wide(v, _mm512_loadu_si512((const void *)(p + i - 1)), i, &s))
			break;
		high = _mm512_or_si512(high, v);
	}
	s.cr = p[i - 1] == '\r';
	s.begin = p[i - 1] == '\n';
	s.high = _mm512_movepi8_mask(high);
	return stop(&s, i, l);
}
#endif

static size_t take_first(const uint8_t *p, size_t n, struct smtp_lines *l);

size_t (*smtp_lines_take)(const uint8_t *p, size_t n, struct smtp_lines *l) = take_first;

static enum smtp_lines_level choose(size_t (*f)(const uint8_t *p, size_t n, struct smtp_lines *l),
				    enum smtp_lines_level level)
{
	__atomic_store_n(&smtp_lines_take, f, __ATOMIC_RELAXED);
	return level;
}

enum smtp_lines_level smtp_lines_choose(enum smtp_lines_level most)
{
#if HAVE_X86
	__builtin_cpu_init();
	/* No CPU has AVX-512 without BMI and LZCNT, which clang 14 cannot ask for. */
	if (most >= SMTP_LINES_AVX512 && __builtin_cpu_supports("avx512bw"))
		return choose(take_avx512, SMTP_LINES_AVX512);
	if (most >= SMTP_LINES_AVX2 && __builtin_cpu_supports("avx2"))
		return choose(take_avx2, SMTP_LINES_AVX2);
	if (most >= SMTP_LINES_SSE2)
		return choose(take_sse2, SMTP_LINES_SSE2);
#endif
	(void)most;
	return choose(take_none, SMTP_LINES_NONE);
}

/* Two threads that both choose write the same value. */
static size_t take_first(const uint8_t *p, size_t n, struct smtp_lines *l)
{
	smtp_lines_choose(SMTP_LINES_AVX512);
	return smtp_lines_take(p, n, l);
}
