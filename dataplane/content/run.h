/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Puts octets of a view together to runs (content.h). A run goes out when octets come that do not
 * fit in it, or at the end; so where runs begin does not depend on how the octets come. */

#include "dataplane/content/content.h"

/* Vector code may write so far behind what it has. */
#define RUN_SLACK 32u

struct content_run {
	const struct content_sink *sink;
	uint8_t *buf; /* CONTENT_RUN + RUN_SLACK octets */
	uint32_t n;
	uint16_t slot;
	bool begun; /* a run was given */
	bool there; /* the view exists, if only as an empty one */
};

void run_begin(struct content_run *r, const struct content_sink *sink, unsigned int slot,
	       uint8_t *buf);
void run_put(struct content_run *r, const uint8_t *p, size_t n);
/* Where the next octets go; *room of them, never 0. The caller adds to r->n what it wrote. */
uint8_t *run_space(struct content_run *r, size_t *room);
/* What is there goes out, and more may follow. */
void run_flush(struct content_run *r);
/* The last run, if the view exists. */
void run_end(struct content_run *r);
/* As words_out of words.h. */
void run_words(void *ctx, const uint8_t *p, size_t n);

static inline void run_octet(struct content_run *r, uint8_t c)
{
	size_t room;

	*run_space(r, &room) = c;
	r->n++;
	r->there = true;
}
