/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What control compiles of a rule set and the dataplane runs: one file with a table of slots, their
 * databases, and the selectors that header slots stand for (dataplane/content/content.h). Slot
 * numbers are those of content.h: a view by its enum handoff_view, selector i as
 * CONTENT_SLOT_SELECTOR + i. Offsets are from the start of the file, everything in it 64-byte
 * aligned; what is read is checked before it is believed, but a database itself is trusted code.
 *
 *   struct scan_bundle | slots | selectors | names | databases …
 */

#include <stdint.h>

#include "postern/handoff.h"

#define SCAN_BUNDLE_MAGIC 0x32425350u /* "PSB2" */
#define SCAN_BUNDLE_ALIGN 64u

/* SHA-256 of parts is wanted in the attachment view. */
#define SCAN_BUNDLE_HASH 1u

struct scan_bundle {
	uint32_t magic;
	uint32_t flags;           /* SCAN_BUNDLE_* */
	uint64_t size;            /* of the file */
	uint32_t n_slots;
	uint32_t n_selectors;
	uint64_t slots;           /* offset of struct scan_bundle_slot[n_slots], ascending by slot */
	uint64_t selectors;       /* offset of struct scan_bundle_selector[n_selectors] */
	uint8_t rules_sha256[32];
	char hs_version[64];      /* NUL-terminated */
};

/* That there is such a text is reported as well, as a match of HANDOFF_PRESENT. */
#define SCAN_SLOT_PRESENT 1u

struct scan_bundle_slot {
	uint32_t slot;
	uint32_t flags;              /* SCAN_SLOT_* */
	uint64_t n_patterns;         /* all ids are below it */
	/* What of the four there is, has a length that is not 0. */
	uint64_t block, block_len;   /* as hs_serialize_database() made it, HS_MODE_BLOCK */
	uint64_t stream, stream_len; /* the same as HS_MODE_STREAM; of views only, selectors have none */
	uint64_t automaton, automaton_len; /* automaton.h, beside the databases */
	uint64_t literals, literals_len;   /* literals.h, the same */
};

struct scan_bundle_selector {
	uint8_t source, form, pick;  /* enum content_source, content_form, CONTENT_PICK_* */
	uint8_t pad;
	uint32_t name_len;
	uint64_t name;               /* offset */
};
