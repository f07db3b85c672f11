/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* For tests and fuzzing only: the rules of smtp_data.h applied to a whole input at leisure. */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "postern/handoff.h"
#include "postern/limits.h"
#include "postern/str.h"

struct smtp_naive {
	bool ended, bare_lf, bare_cr, too_big, line_over, lookalike;
	size_t used;
	uint32_t flags;
	size_t n;
	uint8_t out[8192];
};

/* Octet i of the input; before it stands the CRLF of the DATA command. -1: not there (yet). */
static inline int naive_at(const uint8_t *p, size_t n, long i)
{
	if (i < 0)
		return i == -1 ? '\n' : i == -2 ? '\r' : -1;
	return (size_t)i < n ? p[i] : -1;
}

static inline bool naive_bol(const uint8_t *p, size_t n, long i)
{
	return naive_at(p, n, i - 1) == '\n' && naive_at(p, n, i - 2) == '\r';
}

static inline void naive_octet(struct smtp_naive *r, const uint8_t *p, size_t n, long i,
			       bool refuse_bare_cr)
{
	int before = naive_at(p, n, i - 1), after = naive_at(p, n, i + 1);

	if (p[i] == 0)
		r->flags |= RECORD_F_NUL;
	if (p[i] & 0x80)
		r->flags |= RECORD_F_8BIT;
	if (p[i] == '\n' && before != '\r')
		r->bare_lf = true;
	if (p[i] == '\r' && after != '\n' && after != -1) {
		r->flags |= RECORD_F_BARE_CR;
		if (refuse_bare_cr || after == '.' || before == '.' || before == '\n')
			r->bare_cr = true;
	}
}

static inline void smtp_naive_run(struct smtp_naive *r, const uint8_t *p, size_t n, size_t max_size,
				  size_t max_line, bool refuse_bare_cr)
{
	size_t size = 0, line = 0, end = n;

	memset(r, 0, sizeof(*r));
	for (size_t i = 0; i + 3 <= n && !r->ended; i++) {
		if (naive_bol(p, n, (long)i) && memcmp(p + i, ".\r\n", 3) == 0) {
			r->ended = true;
			r->used = i + 3;
			end = i;
		}
	}
	for (size_t i = 0; i < end; i++) {
		naive_octet(r, p, r->ended ? r->used : n, (long)i, refuse_bare_cr);
		if (p[i] == '.' && naive_bol(p, n, (long)i))
			continue; /* stuffed, or the beginning of an end not seen yet */
		if (i + 1 == end && !r->ended && p[i] == '\r' && i > 0 && p[i - 1] == '.' &&
		    naive_bol(p, n, (long)i - 1))
			continue; /* the CR of such an end */
		if (size < sizeof(r->out))
			r->out[size] = p[i];
		size++;
		line++;
		if (line > LIMIT_TEXT_LINE)
			r->flags |= RECORD_F_LONG_LINE;
		if (line > max_line)
			r->line_over = true;
		if (p[i] == '\n' && i > 0 && p[i - 1] == '\r')
			line = 0;
	}
	r->n = size;
	r->too_big = size > max_size;
}

/* A dot in the content of BDAT: with what is around it, does it look like the end to anybody? */
static inline bool naive_bdat_dot(const uint8_t *p, size_t n, long i, bool complete)
{
	int before = naive_at(p, n, i - 1), after = naive_at(p, n, i + 1);

	if (!naive_bol(p, n, i))
		return before == '\n' || before == '\r' || before == 0;
	if (after != '\r')
		return after == '\n' || after == 0;
	after = naive_at(p, n, i + 2);
	return after != '\n' && (after != -1 || complete);
}

/*
 * The same for the content of BDAT so far; complete: there is no more of it. `n` and `out` are not
 * filled: all octets are content.
 */
static inline void smtp_naive_bdat(struct smtp_naive *r, const uint8_t *p, size_t n, bool complete,
				   size_t max_size, size_t max_line, bool refuse_bare_cr)
{
	size_t line = 0;

	memset(r, 0, offsetof(struct smtp_naive, out));
	r->flags = RECORD_F_BDAT;
	for (size_t i = 0; i < n; i++) {
		int before = naive_at(p, n, (long)i - 1), after = naive_at(p, n, (long)i + 1);

		if (p[i] == 0)
			r->flags |= RECORD_F_NUL;
		if (p[i] & 0x80)
			r->flags |= RECORD_F_8BIT;
		if (p[i] == '\n' && before != '\r')
			r->flags |= RECORD_F_BARE_LF;
		if (p[i] == '\r' && after != '\n' && (after != -1 || complete))
			r->flags |= RECORD_F_BARE_CR;
		if (p[i] == '.')
			r->lookalike |= naive_bdat_dot(p, n, (long)i, complete);
		line++;
		if (line > LIMIT_TEXT_LINE)
			r->flags |= RECORD_F_LONG_LINE;
		if (max_line && line > max_line)
			r->line_over = true;
		if (p[i] == '\n' && i > 0 && p[i - 1] == '\r')
			line = 0;
	}
	r->bare_cr = refuse_bare_cr && (r->flags & RECORD_F_BARE_CR);
	r->too_big = n > max_size;
	if (complete && n && !naive_bol(p, n, (long)n))
		r->flags |= RECORD_F_NO_FINAL_CRLF;
}
