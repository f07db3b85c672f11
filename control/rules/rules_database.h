/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What is looked for in one slot → blob. */

#include "control/rules/rules_internal.h"

/* A blob: this head, then its parts, each 64-byte aligned; of length 0 where there is none. */
#define RULES_BLOB_MAGIC 0x50534443u /* "PSDC" */

struct rules_blob_head {
	uint32_t magic;
	uint32_t n_patterns;
	uint64_t block_off, block_len;         /* serialized HS_MODE_BLOCK database */
	uint64_t stream_off, stream_len;       /* serialized HS_MODE_STREAM database */
	uint64_t automaton_off, automaton_len; /* dataplane/scan/automaton.h */
	uint64_t literals_off, literals_len;   /* dataplane/scan/literals.h */
	uint8_t rules_sha256[32];
	char hs_version[64];
};

/* The blob of a slot; none if nothing of it is for the dataplane. Rules that Hyperscan will not have
 * after all come to control. */
void rules_database(struct rules *r, struct rules_slot *slot);
/* Flags for the rule as it stands in the database. */
unsigned int rules_hs_flags(const struct rules *r, size_t i, const struct rules_slot *slot);
/* Did a call of Hyperscan's fail for want of memory? */
struct hs_compile_error;
bool rules_hs_no_memory(int rc, const struct hs_compile_error *error);
/* "(?x)pattern"; the caller's. NULL: no memory. */
char *rules_hs_text(const struct rule_source *s);
