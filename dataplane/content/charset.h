/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Text of some charset to UTF-8, cut anywhere; what comes out does not depend on the cuts. Always
 * valid UTF-8: octets that are no character of the charset become U+FFFD and a mark, and no ASCII
 * octet is ever taken for the second half of a broken character.
 *
 * Text without a label, or with one that nobody knows, is UTF-8 where its octets are, and
 * Windows-1252 where they are not.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/str.h"

/* Room that a call may need for n octets. */
#define CHARSET_OUT(n) (3 * (n) + 24)

struct charset {
	uint8_t kind;  /* enum charset_kind */
	uint8_t index; /* of a table of single octets */
	uint8_t n_held;
	uint8_t held[8]; /* a character that is not whole yet */
	uint8_t set;     /* ISO-2022-JP, UTF-7, UTF-16: the state they are in */
	uint8_t n_bits;  /* UTF-7 */
	uint16_t high;   /* UTF-7: a high surrogate that waits for its other half */
	uint32_t bits;   /* UTF-7 */
	bool bad;        /* octets that the charset cannot hold */
};

/* label as in a charset parameter, empty: there is none. 0, or -ENOENT for one that nobody knows;
 * the text can be fed all the same. */
int charset_begin(struct charset *c, struct str label);
/* Octets at the start of the input that are the same in UTF-8: they need not be fed. */
size_t charset_same(const struct charset *c, const uint8_t *p, size_t n);
/* Octets written to out, which has CHARSET_OUT(n) and does not overlap in. */
size_t charset_feed(struct charset *c, const uint8_t *in, size_t n, uint8_t *out);
/* What is held; at most CHARSET_OUT(0). */
size_t charset_end(struct charset *c, uint8_t *out);
