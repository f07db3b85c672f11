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
#define MAX_STATES 60000u    /* of all; 256 octets each */
#define MAX_POSITIONS 1000000u

#define CHOICES 6u           /* stretches of a rule that are tried */
#define LARGE 5000u          /* positions: more than one such stretch takes too long to try */

/* What a gate may cost. A rule without one costs control up to hundreds of times what it does here, so
 * the second choice is generous. */
struct limits {
	double rare;             /* openings an octet of mail, at most */
	double cycles;           /* an octet of mail, about */
	unsigned int size;       /* positions */
	unsigned int states;     /* of its own */
};
static const struct limits first_choice = {1.0 / 3000, 0.03, 3000, 2000},
			   second_choice = {1.0 / 1500, 8, 60000, 16000};
/* Of what control needs without it. */
#define GENEROUS 0.1
#define GHZ 3

/* A place that looks like a beginning costs so much, one that is followed, and an octet it is
 * followed over: a branch that was not foreseen, and tables that are not in the first cache. */
#define CYCLES_PLACE 25
#define CYCLES_FOLLOW 20
#define CYCLES_STEP 5
/* What control does about a place where it is met; only to choose between two stretches by. */
#define CYCLES_OPEN 5000
/* The sample is small, and its words are few. */
#define OFTEN 2

/* Of the place at p, before which there is an octet. */
static uint64_t pairs_at(const struct automaton *a, const uint8_t *p, size_t from, size_t to)
{
	const struct automaton_head *h = a->head;
	uint64_t mask = ~(uint64_t)0;

	for (size_t k = from; mask && k < to; k++) {
		const uint8_t *q = p + k;
		size_t pair = (size_t)h->pair_class[q[-1]] * h->pair_classes + h->pair_class[q[0]];

		mask &= a->mask[pair * AUTOMATON_PAIRS + k];
	}
	return mask;
}

/* Of an automaton that has one gate. */
static bool is_excepted(const struct automaton *a, const uint8_t *place, size_t n)
{
	for (uint32_t i = 0; i < a->head->n_except; i++) {
		const struct automaton_except *e = &a->except[i];
		unsigned int k = 0;

		while (k < e->len && k < n && (place[k] | e->fold[k]) == e->octet[k])
			k++;
		if (k == e->len)
			return true;
	}
	return false;
}

/* What looking for it costs, an octet, and how often it is met (*opens). */
static double cycles(const struct automaton *a, double *opens)
{
	static uint8_t text[SAMPLE];
	const struct automaton_head *h = a->head;
	double sum = 0, met = 0;

	if (!text[0])
		mailtext_body(6, text, SAMPLE);
	for (size_t i = 1; i + AUTOMATON_PAIRS < SAMPLE; i++) {
		uint32_t state = h->start[0];
		bool is_met = false;

		if (!pairs_at(a, text + i, 0, AUTOMATON_FIRST))
			continue;
		sum += CYCLES_PLACE;
		if (!pairs_at(a, text + i, AUTOMATON_FIRST, AUTOMATON_PAIRS))
			continue;
		sum += CYCLES_FOLLOW;
		for (size_t k = i; k < SAMPLE && k < i + AUTOMATON_FOLLOW && state != AUTOMATON_DEAD; k++) {
			state = a->next[((size_t)state << h->shift) + h->class_of[text[k]]];
			sum += CYCLES_STEP;
			is_met |= state >= h->accept_from;
		}
		met += is_met && !is_excepted(a, text + i, SAMPLE - i);
	}
	*opens = met / SAMPLE;
	return sum / SAMPLE;
}

/* What it would cost alone; more than is allowed where it cannot be. */
static double alone(struct rules *r, const struct regex *re, const struct regex_stretch *s,
		    const struct limits *limits, size_t *states, double *opens)
{
	struct regex_nfa nfa = {.limit = MAX_POSITIONS / 4};
	struct regex_gate gate = {0};
	double cost = limits->cycles + 1;
	struct automaton a;
	size_t len;
	void *blob = NULL;

	if (!regex_nfa_add(&nfa, re, s, 0, 0, &gate) &&
	    !regex_determinise(&nfa, &gate, 1, limits->states, &blob, &len, states) &&
	    !automaton_open(blob, len, 1, &a))
		cost = cycles(&a, opens);
	r->oom |= nfa.oom;
	regex_gate_free(&gate);
	free(blob);
	regex_nfa_free(&nfa);
	return cost;
}

/* The stretch that costs least; false: none is cheap enough. */
static bool choose(struct rules *r, const struct regex *re, const struct limits *limits,
		   struct regex_stretch *out, size_t *weight)
{
	struct regex_stretch s[CHOICES];
	size_t n = regex_stretches(re, limits->rare, limits->size, s, CHOICES);
	double least = 0;
	bool any = false;

	for (size_t i = 0; i < n && (!i || s[i].size < LARGE); i++) {
		size_t states = 0;
		double opens = 0, cost = alone(r, re, &s[i], limits, &states, &opens), all;

		/* One that was thought to be seldom met, and is not, has control look all the time. */
		if (cost > limits->cycles || opens > OFTEN * limits->rare)
			continue;
		all = cost + opens * CYCLES_OPEN;
		if (any && all >= least)
			continue;
		any = true;
		least = all;
		*out = s[i];
		*weight = states;
		/* The first ones are the rarest; that is enough where they cost next to nothing. */
		if (all < limits->cycles / 10)
			break;
	}
	return any;
}

static void add(struct rules_automaton *a, struct rules *r, size_t i, const struct limits *limits)
{
	const struct rule_source *src = &r->src[i];
	struct regex_stretch s;
	const char *why;
	struct regex re;
	size_t at, weight = 0;

	if (a->n == AUTOMATON_MAX_GATES || !src->analysed ||
	    regex_parse(str_c(rule_pattern(src)), rules_regex_flags(src), &re, &why, &at))
		return;
	if (choose(r, &re, limits, &s, &weight) && a->states + weight <= MAX_STATES &&
	    !regex_nfa_add(&a->nfa, &re, &s, (uint32_t)a->n, r->rule[i].id, &a->gate[a->n])) {
		a->gate[a->n].weight = (uint32_t)weight;
		a->states += weight;
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

	add(a, r, i, &first_choice);
	return a->n > n;
}

bool rules_automaton_add_dear(struct rules_automaton *a, struct rules *r, size_t i, double ns)
{
	struct limits limits = second_choice;
	size_t n = a->n;

	if (ns * GHZ * GENEROUS < limits.cycles)
		limits.cycles = ns * GHZ * GENEROUS;
	add(a, r, i, &limits);
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
