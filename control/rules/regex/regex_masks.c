/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Which pairs of octets a stretch may begin with, and which octets are told apart at all. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/regex/regex_automaton.h"

/* ---- classes of octets -------------------------------------------------------------------- */

/* Classes that are in s to a part are split. */
static unsigned int split(const struct regex_class *s, uint8_t class_of[256], uint8_t octet_of[256],
			  unsigned int n)
{
	uint8_t apart[256] = {0};

	for (unsigned int c = 0; c < 256 && n < 256; c++) {
		uint8_t k = class_of[c];

		if (regex_class_has(s, (uint8_t)c) == regex_class_has(s, octet_of[k]))
			continue;
		if (!apart[k]) {
			apart[k] = (uint8_t)n;
			octet_of[n++] = (uint8_t)c;
		}
		class_of[c] = apart[k];
	}
	return n;
}

/* The frequent ones first: what is often looked up then lies together. */
static void rank(unsigned int n, uint8_t class_of[256], uint8_t octet_of[256])
{
	double weight[256] = {0};
	uint8_t order[256], place[256];

	for (unsigned int c = 0; c < 256; c++) {
		struct regex_class one = {{0}};

		regex_class_add(&one, c, c);
		weight[class_of[c]] += regex_class_frequency(&one);
	}
	for (unsigned int k = 0; k < n; k++)
		order[k] = (uint8_t)k;
	for (unsigned int i = 1; i < n; i++)
		for (unsigned int k = i; k && weight[order[k]] > weight[order[k - 1]]; k--) {
			uint8_t t = order[k];

			order[k] = order[k - 1];
			order[k - 1] = t;
		}
	for (unsigned int k = 0; k < n; k++)
		place[order[k]] = (uint8_t)k;
	for (unsigned int c = 0; c < 256; c++) {
		class_of[c] = place[class_of[c]];
		octet_of[class_of[c]] = (uint8_t)c;
	}
}

/* Octets are apart that not the same ones may follow, or that do not follow the same ones. */
static unsigned int split_before(const struct regex_before *b, uint8_t class_of[256], uint8_t octet_of[256],
				 unsigned int n)
{
	struct regex_class done = {{0}};

	for (unsigned int c = 0; c < 256; c++) {
		struct regex_class alike = {{0}};

		if (regex_class_has(&done, (uint8_t)c))
			continue;
		for (unsigned int d = c; d < 256; d++)
			if (!memcmp(&b->row[c], &b->row[d], sizeof(b->row[c])))
				regex_class_add(&alike, d, d);
		regex_class_or(&done, &alike);
		n = split(&alike, class_of, octet_of, n);
		n = split(&b->row[c], class_of, octet_of, n);
	}
	return n;
}

unsigned int regex_classes(const struct regex_nfa *nfa, bool exact, const struct regex_gate *gate, size_t n_gates,
			   uint8_t class_of[256], uint8_t octet_of[256])
{
	unsigned int n = 1;

	memset(class_of, 0, 256);
	memset(octet_of, 0, 256);
	for (size_t i = 0; i < nfa->n && n < 256; i++)
		if (!nfa->state[i].kind && nfa->state[i].exact == exact)
			n = split(&nfa->state[i].set, class_of, octet_of, n);
	for (size_t i = 0; i < n_gates && n < 256; i++)
		n = split_before(gate[i].before, class_of, octet_of, n);
	rank(n, class_of, octet_of);
	return n;
}

/* ---- pairs -------------------------------------------------------------------------------- */

struct sets {
	const struct regex_nfa *nfa;
	uint32_t *mark;          /* by position: the turn in which it was put into a set */
	uint32_t turn;
	uint32_t *stack, *set;
	size_t n_set;
	uint32_t *now;           /* positions before the octet at hand */
	size_t n_now;
};

static void set_begin(struct sets *s)
{
	s->n_set = 0;
	s->turn++;
}

/* The positions that one can be at without another octet. */
static void set_add(struct sets *s, uint32_t at)
{
	size_t n = 0;

	s->stack[n++] = at;
	while (n) {
		uint32_t i = s->stack[--n];
		const struct regex_nfa_state *p = &s->nfa->state[i];

		if (s->mark[i] == s->turn)
			continue;
		s->mark[i] = s->turn;
		if (p->kind == 1) {
			s->stack[n++] = p->a;
			s->stack[n++] = p->b;
		} else {
			s->set[s->n_set++] = i;
		}
	}
}

static void take(struct sets *s)
{
	memcpy(s->now, s->set, s->n_set * sizeof(*s->now));
	s->n_now = s->n_set;
}

/* Octets that may stand behind position `a`; all, if something is met there. */
static struct regex_class behind(struct sets *s, uint32_t a)
{
	struct regex_class next = {{0}};

	set_begin(s);
	set_add(s, a);
	for (size_t i = 0; i < s->n_set; i++) {
		const struct regex_nfa_state *p = &s->nfa->state[s->set[i]];

		if (p->kind == 2)
			regex_class_add(&next, 0, 255);
		else
			regex_class_or(&next, &p->set);
	}
	return next;
}

/* Positions that lead on to the same one stand together. */
static int by_target(const void *a, const void *b, void *ctx)
{
	const struct regex_nfa *nfa = ctx;
	uint32_t x = nfa->state[*(const uint32_t *)a].a, y = nfa->state[*(const uint32_t *)b].a;

	return x < y ? -1 : x > y;
}

static bool met(const struct sets *s)
{
	for (size_t i = 0; i < s->n_now; i++)
		if (s->nfa->state[s->now[i]].kind == 2)
			return true;
	return false;
}

/* The octets of a position, as far as they are of `begin`, and what may follow them. */
static void one_pair(struct sets *s, const struct regex_class *begin, struct regex_class row[256])
{
	struct regex_class next = {{0}};
	uint32_t target = UINT32_MAX;

	qsort_r(s->now, s->n_now, sizeof(*s->now), by_target, (void *)s->nfa);
	for (size_t i = 0; i < s->n_now; i++) {
		const struct regex_nfa_state *p = &s->nfa->state[s->now[i]];

		if (p->kind)
			continue;
		if (p->a != target)
			next = behind(s, target = p->a);
		for (unsigned int c = 0; c < 256; c++)
			if (regex_class_has(&p->set, (uint8_t)c) && regex_class_has(begin, (uint8_t)c))
				regex_class_or(&row[c], &next);
	}
}

static bool meets(const struct regex_class *a, const struct regex_class *b)
{
	return (a->bits[0] & b->bits[0]) | (a->bits[1] & b->bits[1]) | (a->bits[2] & b->bits[2]) |
	       (a->bits[3] & b->bits[3]);
}

static void go_on(struct sets *s, const struct regex_class *begin)
{
	set_begin(s);
	for (size_t i = 0; i < s->n_now; i++)
		if (!s->nfa->state[s->now[i]].kind && meets(&s->nfa->state[s->now[i]].set, begin))
			set_add(s, s->nfa->state[s->now[i]].a);
	take(s);
}

static void all_before(const struct regex_gate *gate, size_t from, size_t to, const struct regex_class *begin,
		       struct regex_class row[256])
{
	for (size_t i = from; i < to; i++)
		for (unsigned int c = 0; c < 256; c++)
			regex_class_or(&row[c], &gate[i].before->row[c]);
	for (unsigned int c = 0; c < 256; c++)
		for (unsigned int i = 0; i < 4; i++)
			row[c].bits[i] &= begin->bits[i];
}

int regex_pairs(const struct regex_nfa *nfa, const struct regex_gate *gate, size_t from, size_t to,
		const struct regex_class *begin, struct regex_pairs *out)
{
	struct regex_class all = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};

	size_t n = nfa->n + 1;
	struct sets s = {.nfa = nfa, .mark = calloc(n, sizeof(*s.mark)),
			 .stack = calloc(2 * n + 2, sizeof(*s.stack)), .set = calloc(n, sizeof(*s.set)),
			 .now = calloc(n, sizeof(*s.now))};
	bool ok = s.mark && s.stack && s.set && s.now, any = false;

	memset(out, 0, sizeof(*out));
	out->depth = AUTOMATON_PAIRS;
	if (ok) {
		set_begin(&s);
		for (size_t i = from; i < to; i++)
			set_add(&s, gate[i].exact);
		take(&s);
	}
	for (unsigned int k = 0; ok && k + 1 < AUTOMATON_PAIRS; k++) {
		struct regex_class *row = out->row[k + 1];

		if (!any && met(&s)) {
			any = true;
			out->depth = k;
		}
		for (unsigned int c = 0; any && c < 256; c++)
			regex_class_add(&row[c], 0, 255);
		if (!any)
			one_pair(&s, k ? &all : begin, row);
		go_on(&s, k ? &all : begin);
	}
	/* What is met without an octet is met everywhere. */
	if (ok && out->depth)
		all_before(gate, from, to, begin, out->row[0]);
	for (unsigned int c = 0; !out->depth && c < 256; c++)
		regex_class_add(&out->row[0][c], 0, 255);
	free(s.mark);
	free(s.stack);
	free(s.set);
	free(s.now);
	return ok ? 0 : -ENOMEM;
}
