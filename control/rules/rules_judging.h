/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* One message's rules on their way to hits. Private to rules_judge.c and rules_decide.c. */

#include "control/rules/rules_internal.h"

struct rules_seen {
	uint32_t count;
	uint32_t entries;
	uint32_t last;           /* 1 + index of its last entry; the one before is in judging.before */
};

enum text_state { TEXT_NEW, TEXT_THERE, TEXT_ABSENT, TEXT_FAILED };

/* OPEN: it could not be decided, and will not be. */
enum rules_state { RULES_PENDING, RULES_DECIDED, RULES_OPEN };

struct judging {
	const struct rules *r;
	const struct rules_source *src;
	struct rules_matcher *matcher;
	struct rules_seen *seen; /* by rule */
	const struct handoff_match *match;
	uint32_t *before;        /* by match: 1 + index of the rule's entry before it */
	struct rules_span *span; /* by rule: its value */
	uint8_t *state;          /* by rule: enum rules_state */
	struct str *where;       /* by rule */
	struct { enum text_state state; bool partial; struct str text; } *text; /* by slot of r->slot */
	bool in_full;
	struct rules_judged *out;
	bool oom;
};

/* Decides rule i, which is no meta rule. */
void rules_decide(struct judging *j, size_t i);
/* What deciding it takes: no text, a few lines, a whole text and a gate that was open, a whole text. */
enum rules_effort { EFFORT_NONE, EFFORT_LINES, EFFORT_OPENED, EFFORT_ALWAYS };
enum rules_effort rules_effort(const struct judging *j, size_t i);
/* Most that its value can be. */
struct rules_span rules_span_before(const struct rules *r, size_t i);
