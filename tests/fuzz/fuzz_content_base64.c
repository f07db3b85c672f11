/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* base64 in runs as the first octet says, by each vector code, against a decoder of digits only. */

#include <stdlib.h>
#include <string.h>

#include "dataplane/content/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static size_t cut_short(unsigned long bits, unsigned int have, uint8_t *out)
{
	bits <<= 6 * (4 - have);
	if (have >= 2)
		out[0] = (uint8_t)(bits >> 16);
	if (have == 3)
		out[1] = (uint8_t)(bits >> 8);
	return have ? have - 1 : 0;
}

static size_t naive(const uint8_t *p, size_t n, uint8_t *out)
{
	unsigned int have = 0, pads = 0;
	unsigned long bits = 0;
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		const char *d = p[i] ? strchr(digits, p[i]) : NULL;

		if (p[i] == '=' && have >= 2 && have + ++pads == 4) {
			k += cut_short(bits, have, out + k);
			have = pads = 0;
			bits = 0;
		}
		if (!d)
			continue;
		pads = 0;
		bits = bits << 6 | (unsigned long)(d - digits);
		if (++have < 4)
			continue;
		out[k++] = (uint8_t)(bits >> 16);
		out[k++] = (uint8_t)(bits >> 8);
		out[k++] = (uint8_t)bits;
		have = 0;
		bits = 0;
	}
	return k + cut_short(bits, have, out + k);
}

static void check(const uint8_t *p, size_t n, size_t step, const uint8_t *want, size_t n_want)
{
	uint8_t *buf = malloc(DECODE_OUT(step));
	struct decode_base64 d;
	size_t at = 0, k;

	if (!buf)
		abort();
	decode_base64_init(&d);
	for (size_t i = 0; i < n; i += step) {
		k = decode_base64(&d, p + i, step < n - i ? step : n - i, buf);
		if (k > n_want - at || memcmp(buf, want + at, k) != 0)
			abort();
		at += k;
	}
	k = decode_base64_end(&d, buf);
	if (k != n_want - at || memcmp(buf, want + at, k) != 0)
		abort();
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	size_t step, n_want;
	uint8_t *want;

	if (n < 2)
		return 0;
	step = 1u + p[0];
	p++;
	n--;
	want = malloc(n + 4);
	if (!want)
		abort();
	n_want = naive(p, n, want);
	for (int level = DECODE_PORTABLE; level <= DECODE_AVX2; level++) {
		decode_base64_level((enum decode_level)level);
		check(p, n, step, want, n_want);
		check(p, n, n, want, n_want);
	}
	free(want);
	return 0;
}
