/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Matches views of a message, and texts of its header, against Hyperscan databases that control compiled. Links the runtime
 * only. One struct scan_generation holds the databases of one push; every worker has a struct
 * scan_worker with scratch and stream pool for it. A message is scanned by one generation from its
 * first to its last octet.
 *
 * A database blob is a struct scan_blob_head, the streaming database, and the block database, both
 * as hs_serialize_database() made them. It is trusted code; what is checked is platform, version,
 * sizes and alignment, so that a wrong one is refused and not run.
 */

#include <stddef.h>
#include <stdint.h>

#include "postern/handoff.h"

#define SCAN_BLOB_MAGIC 0x50534443u /* "PSDC" */

struct scan_blob_head {
	uint32_t magic;
	uint32_t n_patterns;
	uint64_t block_off, block_len;     /* serialized HS_MODE_BLOCK database; 64-byte aligned */
	uint64_t stream_off, stream_len;   /* serialized HS_MODE_STREAM database */
	uint64_t automaton_off, automaton_len; /* automaton.h; any of the two kinds may be missing: 0 */
	uint8_t rules_sha256[32];
	char hs_version[64];
};

/* Slots, as in content/content.h: the views, then header selectors. */
#define SCAN_SLOTS (VIEW_COUNT + 512u)

struct scan_generation;

/* Deserializes the databases of a push. `err` (>= 256 octets) says why on failure.
 * views: array of n (view, blob) pairs. -EINVAL wrong blob, -ENOTSUP platform, -ENOMEM. */
struct scan_input {
	uint16_t view; /* slot: enum handoff_view, or VIEW_COUNT + number of a selector */
	const void *blob;
	size_t len;
};
int scan_generation_new(const struct scan_input *in, unsigned int n, uint32_t generation,
			struct scan_generation **out, char *err, size_t err_len);
/* Only after every worker has let go of it. */
void scan_generation_free(struct scan_generation *g);
uint32_t scan_generation_id(const struct scan_generation *g);
/* Views that have rules: bit (1 << enum handoff_view). Views without rules are not made. */
uint32_t scan_generation_views(const struct scan_generation *g);
/* For the memory table. */
void scan_generation_sizes(const struct scan_generation *g, size_t *databases, size_t *scratch,
			   size_t *stream_state);

struct scan_worker;
/* Allocated by the main lcore before the swap. max_streams: large messages in flight at once. */
int scan_worker_new(struct scan_generation *g, unsigned int max_streams, uint64_t *counters,
		    struct scan_worker **out);
void scan_worker_free(struct scan_worker *w);
/* Open messages of this generation in this worker; 0: it can go. */
unsigned int scan_worker_busy(const struct scan_worker *w);

struct scan_message; /* scan state of one message that is larger than one run */

/* The whole view in one run: block mode. Appends to match[*n_matches], bounded by cap.
 * Returns RECORD_F_SCAN_PARTIAL / RECORD_F_MATCHES_CUT or 0. */
uint32_t scan_block(struct scan_worker *w, uint16_t view, const uint8_t *p, size_t n,
		    struct handoff_match *match, uint32_t *n_matches, uint32_t cap);
/* Run by run. NULL: no stream left (counted); the caller marks the message partial. */
struct scan_message *scan_open(struct scan_worker *w, uint16_t view);
uint32_t scan_run(struct scan_message *m, const uint8_t *p, size_t n,
		  struct handoff_match *match, uint32_t *n_matches, uint32_t cap);
/* Matches that hang on the end of data come here. Frees m. */
uint32_t scan_close(struct scan_message *m, struct handoff_match *match, uint32_t *n_matches,
		    uint32_t cap);
void scan_abort(struct scan_message *m);
