/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A stretch of a tree → states, from its end to its start: each part is told what comes behind. */

#include <errno.h>
#include <stdlib.h>

#include "control/rules/regex/regex_automaton.h"

struct adding {
	struct regex_nfa *nfa;
	const struct regex *re;
	uint32_t accept;
	bool exact;
	uint32_t number;         /* of the gate */
};

static uint32_t state(struct adding *a, struct regex_nfa_state s)
{
	struct regex_nfa *nfa = a->nfa;

	if (nfa->n >= nfa->limit) {
		nfa->too_large = true;
		return a->accept;
	}
	if (nfa->n == nfa->cap) {
		size_t want = nfa->cap ? nfa->cap * 2 : 256;
		void *p = reallocarray(nfa->state, want, sizeof(*nfa->state));

		if (!p) {
			nfa->oom = true;
			return a->accept;
		}
		nfa->state = p;
		nfa->cap = want;
	}
	s.exact = a->exact;
	s.gate = a->number;
	nfa->state[nfa->n] = s;
	return (uint32_t)nfa->n++;
}

static uint32_t one_of(struct adding *a, uint32_t x, uint32_t y)
{
	return state(a, (struct regex_nfa_state){.kind = 1, .a = x, .b = y});
}

static uint32_t part(struct adding *a, uint32_t i, uint32_t behind);

/*
 * Look-alikes of letters in UTF-8 are many, and each octet of each would be a state that all others
 * are multiplied by. So octets above 0x7f are one symbol, and any number of them may stand for a
 * character: text in other scripts than Latin opens more gates than it must.
 */
#define HIGH 0x80, 0xff
#define HIGH_MAX 12u      /* of them are counted */

static bool has_high(const struct regex_class *c)
{
	return c->bits[2] || c->bits[3];
}

static bool only_high(const struct regex *re, uint32_t i)
{
	const struct regex_node *n = &re->node[i];
	const struct regex_class *c;

	if (n->kind == REGEX_CLASS) {
		c = &re->set[n->set];
		return has_high(c) && !c->bits[0] && !c->bits[1];
	}
	if (n->kind == REGEX_REPEAT && !n->min)
		return false;
	if ((n->kind != REGEX_CAT && n->kind != REGEX_ALT && n->kind != REGEX_REPEAT) ||
	    n->child == REGEX_NONE)
		return false;
	for (uint32_t k = n->child; k != REGEX_NONE; k = re->node[k].next)
		if (!only_high(re, k))
			return false;
	return true;
}

/* Octets of the shortest match. */
static unsigned int shortest(const struct regex *re, uint32_t i)
{
	const struct regex_node *n = &re->node[i];
	unsigned int sum = 0;

	if (n->kind == REGEX_CLASS)
		return 1;
	for (uint32_t c = n->child; c != REGEX_NONE; c = re->node[c].next) {
		unsigned int one = shortest(re, c);

		sum = n->kind != REGEX_ALT ? sum + one : sum && sum < one ? sum : one;
		sum = sum > HIGH_MAX ? HIGH_MAX : sum;
	}
	if (n->kind != REGEX_REPEAT)
		return sum;
	return n->min > HIGH_MAX || sum * n->min > HIGH_MAX ? HIGH_MAX : sum * n->min;
}

/* n octets above 0x7f or more. */
static uint32_t high(struct adding *a, unsigned int n, uint32_t behind)
{
	struct regex_nfa_state s = {.a = one_of(a, behind, behind)};
	uint32_t first;

	regex_class_add(&s.set, HIGH);
	first = state(a, s);
	if (!a->nfa->oom && !a->nfa->too_large)
		a->nfa->state[s.a].a = first;
	for (; n > 1; n--) {
		s.a = first;
		first = state(a, s);
	}
	return first;
}

static uint32_t alternatives(struct adding *a, const struct regex_node *n, uint32_t behind)
{
	uint32_t any = UINT32_MAX;
	unsigned int least = 0;  /* of those that are all high */

	for (uint32_t c = n->child; c != REGEX_NONE; c = a->re->node[c].next) {
		bool is_high = !a->exact && only_high(a->re, c);
		uint32_t one;

		if (is_high) {
			unsigned int k = shortest(a->re, c);

			least = !least || k < least ? k : least;
			continue;
		}
		one = part(a, c, behind);
		any = any == UINT32_MAX ? one : one_of(a, one, any);
	}
	if (least) {
		uint32_t one = high(a, least, behind);

		any = any == UINT32_MAX ? one : one_of(a, one, any);
	}
	return any;
}

static uint32_t octet(struct adding *a, const struct regex_class *c, uint32_t behind)
{
	struct regex_nfa_state s = {.a = behind, .set = *c};

	if (!a->exact && has_high(c))
		regex_class_add(&s.set, HIGH);
	return state(a, s);
}

/* The last ones first; as many of them as a stretch has at most, or cut off there. */
static uint32_t list(struct adding *a, uint32_t first, unsigned int n, uint32_t behind)
{
	uint32_t item[64];
	unsigned int k = 0;

	for (uint32_t c = first; c != REGEX_NONE && k < n; c = a->re->node[c].next) {
		if (k == sizeof(item) / sizeof(item[0])) {
			behind = a->accept;
			break;
		}
		item[k++] = c;
	}
	while (k-- > 0)
		behind = part(a, item[k], behind);
	return behind;
}

/* The masks look at a few octets only, and their positions are not determinised: octets are counted. */
static struct regex_relaxed counted(const struct adding *a, const struct regex_node *n)
{
	struct regex_relaxed r = {.copies = n->min < AUTOMATON_PAIRS ? n->min : AUTOMATON_PAIRS};

	if (!a->exact || a->re->node[n->child].kind != REGEX_CLASS)
		return regex_relaxed(a->re, n);
	if (n->max <= AUTOMATON_PAIRS)
		r.more = n->max - r.copies;
	else
		r.endless = n->max > r.copies;
	return r;
}

static uint32_t repeat(struct adding *a, const struct regex_node *n, uint32_t behind)
{
	struct regex_relaxed r = counted(a, n);
	uint32_t end = behind;

	if (r.endless) {
		uint32_t loop = one_of(a, behind, behind), body = part(a, n->child, loop);

		if (a->nfa->oom || a->nfa->too_large)
			return behind;
		a->nfa->state[loop].a = body;
		behind = loop;
	}
	for (uint32_t k = 0; k < r.more && !a->nfa->too_large && !a->nfa->oom; k++)
		behind = one_of(a, part(a, n->child, behind), end);
	for (uint32_t k = 0; k < r.copies && !a->nfa->too_large && !a->nfa->oom; k++)
		behind = part(a, n->child, behind);
	return behind;
}

static uint32_t part(struct adding *a, uint32_t i, uint32_t behind)
{
	const struct regex_node *n = &a->re->node[i];

	if (a->nfa->oom || a->nfa->too_large)
		return behind;
	if (regex_is_wide(a->re, n))
		return a->accept;
	if (!a->exact && only_high(a->re, i))
		return high(a, shortest(a->re, i), behind);
	switch (n->kind) {
	case REGEX_CLASS:
		return octet(a, &a->re->set[n->set], behind);
	case REGEX_CAT:
		return list(a, n->child, UINT32_MAX, behind);
	case REGEX_ALT:
		return alternatives(a, n, behind);
	case REGEX_REPEAT:
		return repeat(a, n, behind);
	default:
		return behind;
	}
}

int regex_nfa_add(struct regex_nfa *nfa, const struct regex *re, const struct regex_stretch *s,
		  uint32_t number, uint32_t id, struct regex_gate *out)
{
	struct adding a = {.nfa = nfa, .re = re, .number = number};
	size_t before = nfa->n;

	*out = (struct regex_gate){.id = id};
	if (regex_except(re, s, &out->except) || regex_before(re, s, &out->before)) {
		regex_gate_free(out);
		nfa->oom = true;
		return -ENOMEM;
	}
	a.accept = state(&a, (struct regex_nfa_state){.kind = 2});
	out->start = list(&a, s->first, s->n, a.accept);
	a.exact = true;
	a.accept = state(&a, (struct regex_nfa_state){.kind = 2});
	out->exact = list(&a, s->first, s->n, a.accept);
	if (!nfa->oom && !nfa->too_large)
		return 0;
	nfa->n = before;
	nfa->too_large = false;
	regex_gate_free(out);
	return nfa->oom ? -ENOMEM : -E2BIG;
}

void regex_gate_free(struct regex_gate *g)
{
	free(g->except.v);
	free(g->before);
	g->except = (struct regex_strings){0};
	g->before = NULL;
}

void regex_nfa_free(struct regex_nfa *nfa)
{
	free(nfa->state);
	*nfa = (struct regex_nfa){0};
}
