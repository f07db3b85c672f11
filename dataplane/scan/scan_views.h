/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A message → its views (content/) → matches (scan.h). A message that is at hand in one piece goes
 * through the one state that all of these share; of larger ones each holds a state until its end,
 * from a pool. A selector's text past one run is not looked at (HANDOFF_PARTIAL).
 *
 * One struct scan_views a worker; it serves messages of every generation.
 */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/scan/scan.h"

struct scan_views;
struct scan_large;

/* Where matches go. All pointers are the caller's and live as long as the message is scanned. */
struct scan_target {
	struct handoff_match *match;
	uint32_t *n_matches;
	uint32_t cap;
};

struct scan_outcome {
	uint32_t flags;  /* RECORD_F_SCAN_PARTIAL, RECORD_F_MATCHES_CUT */
	uint32_t marks;  /* CONTENT_M_*; 0 where only `full` is wanted */
};

/* counters: of the worker (stats.h). max_large: messages in more than one piece at a time. */
int scan_views_new(unsigned int max_large, uint64_t *counters, struct scan_views **out);
void scan_views_free(struct scan_views *v);

/* A whole message. */
struct scan_outcome scan_views_block(struct scan_views *v, struct scan_worker *w, const uint8_t *p,
				     size_t n, const struct scan_target *t);

/* A message in pieces. NULL: no state is left (counted). */
struct scan_large *scan_views_open(struct scan_views *v, struct scan_worker *w,
				   const struct scan_target *t);
/* How many states are left. */
uint32_t scan_views_left(const struct scan_views *v);
void scan_large_run(struct scan_large *l, const uint8_t *p, size_t n);
/* Frees l. */
struct scan_outcome scan_large_close(struct scan_large *l);
void scan_large_abort(struct scan_large *l);
