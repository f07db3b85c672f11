/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Matches the texts of a message's slots (views and header selectors: dataplane/content/content.h)
 * against what control compiled: Hyperscan databases, of which it links the runtime only, and gates
 * (scan_gates.h). One struct scan_generation holds those of one push; every worker has a struct
 * scan_worker with scratch and stream pool for it. A message is scanned by one generation from its
 * first to its last octet.
 *
 * What is pushed is a bundle (bundle.h). Its databases are trusted code; what is checked is platform,
 * version, sizes and alignment, so that a wrong one is refused and not run.
 */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/content/content.h"
#include "postern/handoff.h"

struct scan_generation;

/* Deserializes the databases of a bundle; NULL: no rules. `err` (>= 256 octets) says why on failure.
 * -EINVAL wrong bundle, -ENOTSUP platform, -ENOMEM. Nothing of the bundle is referred to later. */
int scan_generation_new(const void *bundle, size_t len, uint32_t generation,
			struct scan_generation **out, char *err, size_t err_len);
/* Only after every worker has let go of it. */
void scan_generation_free(struct scan_generation *g);
uint32_t scan_generation_id(const struct scan_generation *g);
/* What views and selectors have rules; the others need not be made. Lives as long as g. */
const struct content_plan *scan_generation_plan(const struct scan_generation *g);
/* For the memory table. */
void scan_generation_sizes(const struct scan_generation *g, size_t *databases, size_t *scratch,
			   size_t *stream_state);

struct scan_worker;
/* Allocated by the main lcore before the swap. max_streams: large messages in flight at once. */
int scan_worker_new(struct scan_generation *g, unsigned int max_streams, uint64_t *counters,
		    struct scan_worker **out);
void scan_worker_free(struct scan_worker *w);
const struct content_plan *scan_worker_plan(const struct scan_worker *w);
/* Open messages of this generation in this worker; 0: it can go. */
unsigned int scan_worker_busy(const struct scan_worker *w);

struct scan_message; /* scan state of one view that is larger than one run */

/* The whole text of a slot in one run: block mode. Appends to match[*n_matches], bounded by cap.
 * Returns RECORD_F_SCAN_PARTIAL / RECORD_F_MATCHES_CUT or 0. */
uint32_t scan_block(struct scan_worker *w, unsigned int slot, const uint8_t *p, size_t n,
		    struct handoff_match *match, uint32_t *n_matches, uint32_t cap);
bool scan_has_patterns(const struct scan_worker *w, unsigned int slot);
/* A text that comes run by run begins: reports that it is there, where that is wanted. scan_block()
 * does so itself. */
uint32_t scan_present(struct scan_worker *w, unsigned int slot, struct handoff_match *match,
		      uint32_t *n_matches, uint32_t cap);
/* Run by run. NULL: no stream left (counted), or the slot is a selector, whose texts are scanned as
 * blocks only; the caller marks the message partial. */
struct scan_message *scan_open(struct scan_worker *w, unsigned int slot);
uint32_t scan_run(struct scan_message *m, const uint8_t *p, size_t n,
		  struct handoff_match *match, uint32_t *n_matches, uint32_t cap);
/* Matches that hang on the end of data come here. Frees m. */
uint32_t scan_close(struct scan_message *m, struct handoff_match *match, uint32_t *n_matches,
		    uint32_t cap);
void scan_abort(struct scan_message *m);
