/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include "control/rules/regex/regex_automaton.h"
#include "control/rules/rules_internal.h"
#include "dataplane/scan/automaton.h"

/* One slot's, while rules are added. */
struct rules_automaton {
	struct regex_nfa nfa;
	struct regex_gate gate[AUTOMATON_MAX_GATES];
	uint32_t rule[AUTOMATON_MAX_GATES];
	size_t n;
	size_t states;           /* of all, about */
};

void rules_automaton_begin(struct rules_automaton *a);
/* False: rule i has no stretch that is seldom met and cheap to look for. */
bool rules_automaton_add(struct rules_automaton *a, struct rules *r, size_t i);
/* The same for one that costs control `ns` an octet without a gate: it may be met more often, and cost
 * a part of that. */
bool rules_automaton_add_dear(struct rules_automaton *a, struct rules *r, size_t i, double ns);
/* slot->automaton, and the tier of the rules that are in it. */
void rules_automaton_end(struct rules_automaton *a, struct rules *r, struct rules_slot *slot);
