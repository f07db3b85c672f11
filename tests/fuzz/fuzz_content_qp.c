/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* quoted-printable in runs as the first octet says, against two passes over the whole. */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/content/decode.h"
#include "postern/ascii.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static bool line_end(const uint8_t *p, size_t n, size_t i)
{
	return i < n && (p[i] == '\n' || (p[i] == '\r' && i + 1 < n && p[i + 1] == '\n'));
}

static size_t blanks(const uint8_t *p, size_t n, size_t i)
{
	size_t k = 0;

	while (i + k < n && ascii_is_wsp(p[i + k]))
		k++;
	return k;
}

/* Soft breaks go, and white space in front of a line end, but for whole buffers of it. */
static size_t lines(const uint8_t *p, size_t n, uint8_t *out)
{
	size_t k = 0;

	for (size_t i = 0; i < n;) {
		size_t b = blanks(p, n, i + (p[i] == '=')), e = i + (p[i] == '=') + b;

		if (p[i] == '=' && b <= DECODE_HOLD && line_end(p, n, e)) {
			i = e + (p[e] == '\n' ? 1 : 2);
		} else if (p[i] == '=' && b <= DECODE_HOLD &&
			   (e == n || (e + 1 == n && p[e] == '\r'))) {
			i++; /* the line end is not part of the text */
		} else if (p[i] == '=' || !b) {
			out[k++] = p[i++];
		} else {
			if (line_end(p, n, e))
				b = (b - 1) / DECODE_HOLD * DECODE_HOLD;
			memcpy(out + k, p + i, b);
			k += b;
			i = e;
		}
	}
	return k;
}

static size_t unescape(uint8_t *p, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '=' && n - i > 2 && ascii_hex(p[i + 1]) >= 0 &&
		    ascii_hex(p[i + 2]) >= 0) {
			p[k++] = (uint8_t)(ascii_hex(p[i + 1]) << 4 | ascii_hex(p[i + 2]));
			i += 2;
		} else {
			p[k++] = p[i];
		}
	}
	return k;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t *want, *got, *buf;
	struct decode_qp d;
	size_t step, n_want, k = 0;

	if (n < 1)
		return 0;
	step = 1u + p[0];
	p++;
	n--;
	want = malloc(n + 1);
	got = malloc(n + DECODE_OUT(0));
	buf = malloc(DECODE_OUT(step));
	if (!want || !got || !buf)
		abort();
	n_want = unescape(want, lines(p, n, want));
	decode_qp_init(&d);
	for (size_t i = 0; i < n; i += step) {
		size_t m = decode_qp(&d, p + i, step < n - i ? step : n - i, buf);

		if (m > n - k)
			abort();
		memcpy(got + k, buf, m);
		k += m;
	}
	k += decode_qp_end(&d, got + k);
	if (k != n_want || memcmp(got, want, k) != 0)
		abort();
	free(want);
	free(got);
	free(buf);
	return 0;
}
