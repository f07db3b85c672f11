/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What stands beside the databases of a slot: literals and an automaton, over a text in one piece or
 * in runs. They keep no state; of a text in runs the last octets are carried over, so that what lies
 * across a seam is seen, and what begins right before one waits for what comes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/scan/automaton.h"
#include "dataplane/scan/bundle.h"
#include "dataplane/scan/literals.h"

struct scan_gates {
	void *literals_mem;       /* 64-byte aligned copies; NULL: none */
	void *automaton_mem;
	struct literals literals;
	struct automaton automaton;
};

/* Looked at again, for what begins before a gram; and those whose turn comes with the next run. */
#define SCAN_GATES_BEHIND LITERALS_LEN
#define SCAN_GATES_AHEAD 64u

struct scan_carry {
	uint8_t octet[SCAN_GATES_BEHIND + SCAN_GATES_AHEAD];
	uint8_t n;
	uint8_t done;             /* places of them that were looked at */
};

static inline bool scan_gates_any(const struct scan_gates *g)
{
	return g->literals_mem || g->automaton_mem;
}

/* From the bundle's octets, copied. 0, -ENOMEM, or -EINVAL and *why (static text). *bytes grows. */
int scan_gates_load(const uint8_t *literals, size_t literals_len, const uint8_t *automaton,
		    size_t automaton_len, uint32_t ids, struct scan_gates *out, size_t *bytes,
		    const char **why);
void scan_gates_free(struct scan_gates *g);

/* As gate_found, but `end` counts from the first octet of the text. */
typedef void scan_gates_found(void *ctx, uint32_t id, uint64_t end);

/* A text in one piece. */
void scan_gates_block(const struct scan_gates *g, const uint8_t *p, size_t n, scan_gates_found *found,
		      void *ctx);
/* The next run of one; before: octets of the runs before. *c is all zero before the first. */
void scan_gates_run(const struct scan_gates *g, struct scan_carry *c, uint64_t before, const uint8_t *p,
		    size_t n, scan_gates_found *found, void *ctx);
/* There is no more. */
void scan_gates_end(const struct scan_gates *g, const struct scan_carry *c, uint64_t before,
		    scan_gates_found *found, void *ctx);
