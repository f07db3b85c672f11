/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Transfer decoding (RFC 2045 6.7, 6.8) of octets that come cut anywhere. What comes out does not
 * depend on the cuts, nor on which vector instructions the CPU has. Lenient as mail readers are: of
 * garbage the part that can be read is read, and the rest is a mark.
 *
 *   base64             What is not of the alphabet is passed over, white space without a mark. `=`
 *                      that completes a group ends it, and what follows begins a new one (parts
 * that were encoded line by line and put together); any other `=` is passed over. quoted-printable
 * White space at the end of a line goes, `=` at its end takes the line end with it, and what then
 * stands behind `=` is two hexadecimal digits of either case or stays as it is. Line ends stay as
 * they are.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room that a call may need at `out` for n octets of input, what was held back included. */
#define DECODE_HOLD   256u
#define DECODE_OUT(n) ((n) + DECODE_HOLD + 40u)

struct decode_base64 {
	uint32_t bits; /* of the group begun */
	uint8_t n;     /* its digits, 0..3 */
	uint8_t pads;  /* `=` right behind them */
	bool padded;   /* a group was ended by `=`, and no digit came since */
	bool bad;      /* something that base64 cannot hold */
};

void decode_base64_init(struct decode_base64 *d);
/* Octets written to out, which has DECODE_OUT(n) and does not overlap in. */
size_t decode_base64(struct decode_base64 *d, const uint8_t *in, size_t n, uint8_t *out);
/* What is left; at most 2 octets. */
size_t decode_base64_end(struct decode_base64 *d, uint8_t *out);

struct decode_qp {
	uint16_t n_blank; /* white space held back: it may be the end of a line */
	bool equals;      /* `=` in front of it: it may be a soft line break */
	bool cr;          /* CR behind it */
	uint8_t escape;   /* 0; 1: `=` is behind us; 2: `=` and a digit */
	uint8_t digit;    /* that digit */
	bool bad;
	uint8_t blank[DECODE_HOLD];
};

void decode_qp_init(struct decode_qp *d);
size_t decode_qp(struct decode_qp *d, const uint8_t *in, size_t n, uint8_t *out);
/* What is left; at most DECODE_OUT(0) octets. */
size_t decode_qp_end(struct decode_qp *d, uint8_t *out);

/* For tests and benches: the vector code base64 may use; all give the same octets. */
enum decode_level { DECODE_PORTABLE, DECODE_SSSE3, DECODE_AVX2 };
/* The best of this machine, chosen at the first call; level: that one, if the machine has it.
 * Returns what is in use. Not for use while another thread decodes. */
enum decode_level decode_base64_level(enum decode_level most);
