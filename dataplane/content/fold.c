/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/content/fold.h"

#include "dataplane/content/vec.h"
#include "postern/ascii.h"

void fold_begin(struct fold *f, struct content_run *run)
{
	*f = (struct fold){.run = run};
}

static void put(struct fold *f, uint8_t c)
{
	run_octet(f->run, c);
	f->last = c;
}

static void blank(struct fold *f)
{
	f->space = true;
	if (f->n_lf)
		f->after = true;
	else
		f->before = true;
}

static void line_end(struct fold *f)
{
	f->space = true;
	f->after = false;
	f->n_lf = f->n_lf ? 2 : 1;
	f->cr = false; /* it was part of this */
}

/* The white space that came is over. */
static void settle(struct fold *f)
{
	if (f->cr) {
		f->cr = false;
		blank(f);
	}
	if (!f->space)
		return;
	if (f->n_lf < 2 || f->before)
		put(f, ' ');
	if (f->n_lf == 2)
		put(f, '\n');
	if (f->n_lf == 2 && f->after)
		put(f, ' ');
	f->space = f->before = f->after = false;
	f->n_lf = 0;
}

/* Octets at the start that are text and single SPs between it; at most n - 1 of them, as the last
 * SP may not be single. They are written to out, and up to 15 octets behind. */
static size_t plain(const uint8_t *p, size_t n, uint8_t *out)
{
	size_t i = 0;

#if defined(__SSE2__)
	const __m128i sp = _mm_set1_epi8(' '), control = _mm_set1_epi8(0x1f);
	const __m128i c2 = _mm_set1_epi8((char)0xc2), e3 = _mm_set1_epi8((char)0xe3);
	const __m128i three = _mm_set1_epi8(3);

	for (; n - i >= 17; i += 16) {
		__m128i v = vec_load(p + i), w = vec_load(p + i + 1), bad;
		int m;

		bad = _mm_cmpeq_epi8(_mm_min_epu8(v, control), v);
		/* SP, and no text behind it. */
		bad = _mm_or_si128(bad, _mm_and_si128(_mm_cmpeq_epi8(v, sp),
						      _mm_cmpeq_epi8(_mm_min_epu8(w, sp), w)));
		/* White space that is not ASCII begins with C2, E1, E2 or E3. */
		bad = _mm_or_si128(bad, _mm_cmpeq_epi8(v, c2));
		bad = _mm_or_si128(bad, _mm_cmpeq_epi8(_mm_or_si128(v, three), e3));
		/* An SP may stand in front of such a character. */
		bad = _mm_or_si128(bad, _mm_and_si128(_mm_cmpeq_epi8(v, sp),
						      _mm_cmpeq_epi8(_mm_or_si128(w, three), e3)));
		bad = _mm_or_si128(bad,
				   _mm_and_si128(_mm_cmpeq_epi8(v, sp), _mm_cmpeq_epi8(w, c2)));
		m = _mm_movemask_epi8(bad);
		vec_store(out + i, v);
		if (m)
			return i + (size_t)__builtin_ctz((unsigned int)m);
	}
#endif
	for (; i + 1 < n; i++) {
		uint8_t c = p[i], d = p[i + 1];
		bool mark = c == 0xc2 || (c | 3) == 0xe3;

		if (c < 0x20 || mark || (c == ' ' && (d <= ' ' || d == 0xc2 || (d | 3) == 0xe3)))
			break;
		out[i] = c;
	}
	return i;
}

/* White space of Unicode behind a first octet C2, E1, E2 or E3: its length; 0: it is none, -1: more
 * octets are needed. */
static int wide_space(const uint8_t *p, size_t n)
{
	if (n < 2)
		return -1;
	if (p[0] == 0xc2)
		return p[1] == 0x85 || p[1] == 0xa0 ? 2 : 0;
	if (p[0] == 0xe0 || (p[0] == 0xe1 && p[1] != 0x9a) || (p[0] == 0xe3 && p[1] != 0x80) ||
	    (p[0] == 0xe2 && p[1] != 0x80 && p[1] != 0x81))
		return 0;
	if (n < 3)
		return -1;
	if (p[0] == 0xe1 || p[0] == 0xe3) /* U+1680, U+3000 */
		return p[2] == 0x80 ? 3 : 0;
	if (p[1] == 0x81) /* U+205F */
		return p[2] == 0x9f ? 3 : 0;
	return (p[2] >= 0x80 && p[2] <= 0x8a) || p[2] == 0xa8 || p[2] == 0xa9 || p[2] == 0xaf ? 3
											      : 0;
}

/* One character. Returns octets taken, 0 if more are needed. */
static size_t step(struct fold *f, const uint8_t *p, size_t n)
{
	uint8_t c = p[0];
	int wide;

	if (c == '\n') {
		line_end(f);
		return 1;
	}
	if (f->cr) {
		f->cr = false;
		blank(f);
	}
	if (c == '\r') {
		f->cr = true;
		return 1;
	}
	if (c == ' ' || (c >= '\t' && c <= '\f')) {
		blank(f);
		return 1;
	}
	if (c == 0) {
		f->nul = true;
		settle(f);
		put(f, '\n');
		return 1;
	}
	wide = c == 0xc2 || (c | 3) == 0xe3 ? wide_space(p, n) : 0;
	if (wide < 0)
		return 0;
	if (wide > 0) {
		blank(f);
		return (size_t)wide;
	}
	settle(f);
	put(f, c);
	return 1;
}

/* Octets held from the last run, until they are none of them. */
static size_t resume(struct fold *f, const uint8_t *p, size_t n)
{
	uint8_t c[3];
	size_t k = f->n_held, took;

	memcpy(c, f->held, k);
	for (size_t i = 0; i < n && k < sizeof(c); i++) {
		c[k++] = p[i];
		took = step(f, c, k);
		if (!took)
			continue;
		/* No white space: the rest of the character is text of its own. */
		if (took < f->n_held) {
			run_put(f->run, c + took, f->n_held - took);
			f->last = c[f->n_held - 1];
			took = f->n_held;
		}
		took -= f->n_held;
		f->n_held = 0;
		return took;
	}
	memcpy(f->held, c, k);
	f->n_held = (uint8_t)k;
	return n;
}

void fold_text(struct fold *f, const uint8_t *p, size_t n)
{
	size_t i = 0;

	if (n)
		f->any = true;
	if (f->n_held)
		i = resume(f, p, n);
	while (i < n) {
		size_t took;

		if (!f->space && !f->cr) {
			size_t room, k;
			uint8_t *out = run_space(f->run, &room);

			k = plain(p + i, room + 1 < n - i ? room + 1 : n - i, out);
			if (k) {
				f->run->n += (uint32_t)k;
				f->run->there = true;
				i += k;
				f->last = p[i - 1];
			}
			/* Most lines end so. */
			if (n - i > 2 && p[i] == '\r' && p[i + 1] == '\n' && p[i + 2] > ' ' &&
			    p[i + 2] < 0x80) {
				put(f, ' ');
				i += 2;
				continue;
			}
		}
		took = step(f, p + i, n - i);
		if (!took) {
			f->n_held = (uint8_t)(n - i);
			memcpy(f->held, p + i, f->n_held);
			break;
		}
		i += took;
	}
}

/* What is held is no white space, for no character ends so. */
static void release(struct fold *f)
{
	if (!f->n_held)
		return;
	settle(f);
	run_put(f->run, f->held, f->n_held);
	f->last = f->held[f->n_held - 1];
	f->n_held = 0;
}

void fold_part(struct fold *f)
{
	release(f);
	if (f->cr) {
		f->cr = false;
		blank(f);
	}
	if (f->any)
		line_end(f);
}

void fold_end(struct fold *f)
{
	release(f);
	settle(f);
	if (f->any && f->last != '\n')
		put(f, '\n');
}
