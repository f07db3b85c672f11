/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Lines as nearly all mail has them, 64 octets at a time and without a branch a line: no NUL, no CR
 * without LF nor LF without CR (RFC 5321 2.3.8), no dot that begins a line, no line beyond a limit.
 * Whatever else there is stops it, and is for who looks at every octet.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMTP_LINES_BLOCK 64u /* nothing is taken of less */

struct smtp_lines {
	uint64_t line_len; /* in and out: octets of the line so far */
	uint64_t longest;  /* with CRLF; in */
	bool begin;        /* in and out: behind CRLF */
	bool high;         /* set if an octet has its top bit */
};

/* Takes a prefix of p[0..n) and returns its length, which may be 0; never ends between CR and LF. */
extern size_t (*smtp_lines_take)(const uint8_t *p, size_t n, struct smtp_lines *l);

enum smtp_lines_level { SMTP_LINES_NONE, SMTP_LINES_SSE2, SMTP_LINES_AVX2, SMTP_LINES_AVX512 };
/* For tests: takes the widest code that the CPU has, `most` at most, and says which. The first call
 * of smtp_lines_take does this with SMTP_LINES_AVX512. */
enum smtp_lines_level smtp_lines_choose(enum smtp_lines_level most);
