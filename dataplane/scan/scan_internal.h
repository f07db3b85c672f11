/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What scan_generation.c and scan.c share. */

#include <stdbool.h>

#include <hs/hs_common.h>
#include <hs/hs_runtime.h>

#include "dataplane/scan/automaton.h"
#include "dataplane/scan/scan.h"

/* Databases of one view. */
struct scan_view {
	hs_database_t *block;     /* NULL: there is none, nor a stream */
	hs_database_t *stream;
	void *automaton_mem;      /* 64-byte aligned copy; NULL: none */
	struct automaton automaton;
};

static inline bool scan_view_used(const struct scan_view *v)
{
	return v->block || v->automaton_mem;
}

struct scan_generation {
	uint32_t id;
	uint32_t views;           /* bit (1 << enum handoff_view) */
	hs_scratch_t *scratch;    /* prototype, fits every database; workers have clones */
	size_t database_bytes;
	size_t scratch_bytes;
	size_t stream_bytes;      /* of one stream in every view */
	struct scan_view view[SCAN_SLOTS];
};
