/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What scan_generation.c and scan.c share. */

#include <stdbool.h>

#include <hs/hs_common.h>
#include <hs/hs_runtime.h>

#include "dataplane/scan/scan.h"
#include "dataplane/scan/scan_gates.h"

/* Databases of one slot. */
struct scan_slot {
	hs_database_t *block;     /* NULL: there is none, nor a stream */
	hs_database_t *stream;    /* NULL: of a selector */
	struct scan_gates gates;
	bool present;             /* that there is a text is reported */
};

struct scan_generation {
	uint32_t id;
	uint16_t at[HANDOFF_SLOTS];  /* 1 + index in slot, 0: the slot has no rules */
	struct scan_slot *slot;
	unsigned int n_slots;
	struct content_plan plan;
	struct content_selector *selector;
	uint8_t *names;           /* of selectors */
	hs_scratch_t *scratch;    /* prototype, fits every database; workers have clones */
	size_t database_bytes;
	size_t scratch_bytes;
	size_t stream_bytes;      /* of one stream in every view */
};

static inline bool scan_slot_matches(const struct scan_slot *s)
{
	return s->block || scan_gates_any(&s->gates);
}

/* NULL: no rules. */
static inline const struct scan_slot *scan_slot(const struct scan_generation *g, unsigned int slot)
{
	return slot < HANDOFF_SLOTS && g->at[slot] ? &g->slot[g->at[slot] - 1] : NULL;
}
