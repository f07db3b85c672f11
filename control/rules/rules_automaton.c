/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Rules of one slot whose patterns hold no literal → one automaton, as far as they fit. */

#include "control/rules/rules_automaton.h"

#include <errno.h>
#include <stdlib.h>

#include "control/rules/mailtext.h"
#include "control/rules/regex/regex_automaton.h"
#include "dataplane/scan/automaton.h"

#define SAMPLE (64u * 1024)
/* Opens more often than once in so many octets of mail: no use as a gate. */
#define RARE (1.0 / 3000)
/* Of the places of a text, so many may look like a beginning: each costs what 30 others do. */
#define BEGINNINGS 0.0006
#define MAX_STATES 20000u    /* of all; 256 octets each */
#define MAX_OWN 2000u        /* of one */
#define MAX_POSITIONS 1000000u

static double beginnings(const struct automaton *a)
{
	static uint8_t text[SAMPLE];
	const uint8_t *class = a->head->pair_class;
	size_t n = 0;

	if (!text[0])
		mailtext_body(6, text, SAMPLE);
	for (size_t i = 0; i + AUTOMATON_FIRST < SAMPLE; i++) {
		uint64_t mask = ~(uint64_t)0;

		for (size_t k = 0; k < AUTOMATON_FIRST; k++)
			mask &= a->first[(class[text[i + k]] * a->head->pair_classes + class[text[i + k + 1]]) *
						 AUTOMATON_FIRST + k];
		n += mask != 0;
	}
	return (double)n / SAMPLE;
}

/* Is it of use alone? */
static bool useful(struct rules *r, const struct regex *re, const struct regex_stretch *s)
{
	struct regex_nfa nfa = {.limit = MAX_POSITIONS / 10};
	struct regex_gate gate = {0};
	struct automaton a;
	size_t len, states;
	void *blob = NULL;
	bool ok = false;

	if (!regex_nfa_add(&nfa, re, s, 0, 0, &gate) &&
	    !regex_determinise(&nfa, &gate, 1, MAX_OWN, &blob, &len, &states))
		ok = !automaton_open(blob, len, 1, &a) && beginnings(&a) <= BEGINNINGS;
	r->oom |= nfa.oom;
	regex_gate_free(&gate);
	free(blob);
	regex_nfa_free(&nfa);
	return ok;
}

static void add(struct rules_automaton *a, struct rules *r, size_t i)
{
	const struct rule_source *src = &r->src[i];
	struct regex_stretch s;
	const char *why;
	struct regex re;
	size_t at;

	if (a->n == AUTOMATON_MAX_GATES || !src->analysed ||
	    regex_parse(str_c(rule_pattern(src)), rules_regex_flags(src), &re, &why, &at))
		return;
	if (regex_stretch(&re, RARE, &s) && useful(r, &re, &s) &&
	    !regex_nfa_add(&a->nfa, &re, &s, (uint32_t)a->n, r->rule[i].id, &a->gate[a->n])) {
		a->rule[a->n++] = (uint32_t)i;
		r->rule[i].gate = s.per_octet * 10000;
	}
	r->oom |= a->nfa.oom;
	regex_free(&re);
}

void rules_automaton_begin(struct rules_automaton *a)
{
	*a = (struct rules_automaton){.nfa = {.limit = MAX_POSITIONS}};
}

bool rules_automaton_add(struct rules_automaton *a, struct rules *r, size_t i)
{
	size_t n = a->n;

	add(a, r, i);
	return a->n > n;
}

/* Too large: the last ones go, until it fits. */
void rules_automaton_end(struct rules_automaton *a, struct rules *r, struct rules_slot *slot)
{
	size_t states, n = a->n;
	int rc = -E2BIG;

	while (a->n && rc == -E2BIG && !r->oom) {
		rc = regex_determinise(&a->nfa, a->gate, a->n, MAX_STATES, &slot->automaton,
				       &slot->automaton_len, &states);
		if (rc == -E2BIG)
			a->n -= (a->n + 7) / 8;
		else if (rc)
			r->oom = true;
	}
	for (size_t k = 0; k < n; k++)
		regex_gate_free(&a->gate[k]);
	for (size_t k = a->n; k < n; k++) {
		r->rule[a->rule[k]].tier = RULE_CONTROL;
		r->rule[a->rule[k]].why = "the automaton has no room for it";
	}
	regex_nfa_free(&a->nfa);
}
