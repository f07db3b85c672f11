/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Two machines in a row: lines (white space at their end and soft breaks go) and escapes (`=XX`).
 * So an escape that a soft break cuts in two is still one. Where neither holds anything back, runs
 * up to the next `=`, CR or LF are copied as they are.
 */
#include "dataplane/content/decode.h"

#include <string.h>

#include "dataplane/content/vec.h"
#include "postern/ascii.h"

void decode_qp_init(struct decode_qp *d)
{
	d->n_blank = 0;
	d->equals = d->cr = d->bad = false;
	d->escape = d->digit = 0;
}

/* The second machine. */
static uint8_t *escape(struct decode_qp *d, uint8_t c, uint8_t *out)
{
	if (d->escape == 0) {
		if (c == '=')
			d->escape = 1;
		else
			*out++ = c;
		return out;
	}
	if (ascii_hex(c) >= 0) {
		if (d->escape == 1) {
			d->digit = c;
			d->escape = 2;
			return out;
		}
		*out++ = (uint8_t)(ascii_hex(d->digit) << 4 | ascii_hex(c));
		d->escape = 0;
		return out;
	}
	d->bad = true;
	*out++ = '=';
	if (d->escape == 2)
		*out++ = d->digit;
	d->escape = 0;
	return escape(d, c, out);
}

/* What was held back is no end of a line. */
static uint8_t *release(struct decode_qp *d, uint8_t *out)
{
	if (d->equals)
		out = escape(d, '=', out);
	for (size_t i = 0; i < d->n_blank; i++)
		out = escape(d, d->blank[i], out);
	if (d->cr)
		out = escape(d, '\r', out);
	d->equals = d->cr = false;
	d->n_blank = 0;
	return out;
}

static uint8_t *step(struct decode_qp *d, uint8_t c, uint8_t *out)
{
	if (c == '\n') {
		bool soft = d->equals, cr = d->cr;

		d->equals = d->cr = false;
		d->n_blank = 0;
		if (soft)
			return out;
		if (cr)
			out = escape(d, '\r', out);
		return escape(d, '\n', out);
	}
	if (d->cr)
		out = release(d, out);
	if (c == '\r') {
		d->cr = true;
		return out;
	}
	if (ascii_is_wsp(c)) {
		/* So much white space at an end of line is nobody's; it stays. */
		if (d->n_blank == DECODE_HOLD)
			out = release(d, out);
		d->blank[d->n_blank++] = c;
		return out;
	}
	out = release(d, out);
	if (c == '=') {
		d->equals = true;
		return out;
	}
	return escape(d, c, out);
}

/* A run without `=`, CR and LF, but for the white space at its end (as step() would keep it: of
 * more than DECODE_HOLD octets what is over a multiple). */
static size_t plain(const uint8_t *in, size_t n)
{
	size_t k = vec_find3(in, n, '=', '\r', '\n'), blank = 0;

	if (k < n && in[k] == '=')
		return k;
	while (blank < k && ascii_is_wsp(in[k - 1 - blank]))
		blank++;
	return blank ? k - blank + (blank - 1) / DECODE_HOLD * DECODE_HOLD : k;
}

size_t decode_qp(struct decode_qp *d, const uint8_t *in, size_t n, uint8_t *out)
{
	uint8_t *o = out;
	size_t i = 0;

	while (i < n) {
		if (!d->n_blank && !d->equals && !d->cr && !d->escape) {
			size_t k = plain(in + i, n - i);

			memcpy(o, in + i, k);
			o += k;
			i += k;
			if (n - i >= 3 && in[i] == '=' && ascii_hex(in[i + 1]) >= 0 &&
			    ascii_hex(in[i + 2]) >= 0) {
				*o++ = (uint8_t)(ascii_hex(in[i + 1]) << 4 | ascii_hex(in[i + 2]));
				i += 3;
				continue;
			}
			if (i == n)
				break;
		}
		o = step(d, in[i++], o);
	}
	return (size_t)(o - out);
}

size_t decode_qp_end(struct decode_qp *d, uint8_t *out)
{
	uint8_t *o = out;

	/* The line end of a soft break may belong to the boundary (RFC 2046 5.1.1). */
	d->equals = false;
	o = release(d, o);
	if (d->escape) {
		d->bad = true;
		*o++ = '=';
		if (d->escape == 2)
			*o++ = d->digit;
		d->escape = 0;
	}
	return (size_t)(o - out);
}
