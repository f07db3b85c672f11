/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/rules/regex/regex_automaton.h"

#define CLASS_COPIES 12u   /* of a repeated class: runs of letters are counted so far */
#define GROUP_COPIES 3u
#define LARGE_COPIES 2u
#define LARGE_GROUP 500u   /* positions: of such a group only two copies count */
#define MAX_SIZE 60000u    /* positions of a stretch */
#define MAX_ITEMS 64u      /* of the sequence that are looked at, and of a stretch */
#define RARE_ENOUGH 2e-6   /* longer than that is only larger */
#define WIDE 0.45          /* a class of so much of all octets */
#define EDGES 0.35         /* places of mail where a word begins or ends, about */

/* How often the widest single octet of it is met. */
static double width(const struct regex *re, uint32_t i)
{
	const struct regex_node *n = &re->node[i];
	double most = 0;

	if (n->kind == REGEX_CLASS)
		return regex_class_frequency(&re->set[n->set]);
	if (n->kind == REGEX_BACKREF)
		return 1;
	if (n->kind == REGEX_ASSERT || n->kind == REGEX_LOOK || n->kind == REGEX_EMPTY)
		return 0;
	for (uint32_t c = n->child; c != REGEX_NONE; c = re->node[c].next) {
		double w = width(re, c);

		most = w > most ? w : most;
	}
	return most;
}

bool regex_is_wide(const struct regex *re, const struct regex_node *n)
{
	double w;

	if (n->kind == REGEX_BACKREF)
		return true;
	if (n->kind != REGEX_REPEAT || n->max <= 4 || n->max - n->min < 2)
		return false;
	w = width(re, n->child);
	/* [a-z]{8,} must be counted, and counts; [a-z]* goes on and on, and .{8,} as well. */
	return w > 0.9 || (w > WIDE && n->min < 4);
}

static unsigned int size(const struct regex *re, uint32_t i);

struct regex_relaxed regex_relaxed(const struct regex *re, const struct regex_node *n)
{
	uint32_t most = re->node[n->child].kind == REGEX_CLASS ? CLASS_COPIES :
			n->min > 1 && size(re, n->child) > LARGE_GROUP ? LARGE_COPIES : GROUP_COPIES;
	struct regex_relaxed r = {.copies = n->min < most ? n->min : most};

	if (n->max <= r.copies)
		return r;
	/* A few octets of any kind stay a few; a few separators may be any number of them. */
	if (n->max == 1 || (n->min == r.copies && n->max - n->min <= 4 && width(re, n->child) > 0.3))
		r.more = n->max - n->min;
	else
		r.endless = true;
	return r;
}

/* ---- how often ---------------------------------------------------------------------------- */

static double chance(const struct regex *re, uint32_t i, double rest);

static double chance_list(const struct regex *re, uint32_t first, unsigned int n, double rest)
{
	uint32_t item[MAX_ITEMS];
	unsigned int k = 0;

	for (uint32_t c = first; c != REGEX_NONE && k < n && k < MAX_ITEMS; c = re->node[c].next)
		item[k++] = c;
	while (k-- > 0)
		rest = chance(re, item[k], rest);
	return rest;
}

static double chance_repeat(const struct regex *re, const struct regex_node *n, double rest)
{
	struct regex_relaxed r = regex_relaxed(re, n);
	double behind = rest;

	if (r.endless) {
		double p = chance(re, n->child, 1);

		rest /= p < 0.9 ? 1 - p : 0.1;
	}
	for (uint32_t k = 0; k < r.more; k++)
		rest = behind + chance(re, n->child, rest);
	for (uint32_t k = 0; k < r.copies; k++)
		rest = chance(re, n->child, rest);
	return rest;
}

static double chance(const struct regex *re, uint32_t i, double rest)
{
	const struct regex_node *n = &re->node[i];
	double sum = 0;

	if (regex_is_wide(re, n))
		return 1;
	switch (n->kind) {
	case REGEX_CLASS:
		return rest * regex_class_frequency(&re->set[n->set]);
	case REGEX_CAT:
		return chance_list(re, n->child, MAX_ITEMS, rest);
	case REGEX_ALT:
		for (uint32_t c = n->child; c != REGEX_NONE; c = re->node[c].next)
			sum += chance(re, c, rest);
		return sum < 1 ? sum : 1;
	case REGEX_REPEAT:
		return chance_repeat(re, n, rest);
	default:
		return rest;
	}
}

static unsigned int size(const struct regex *re, uint32_t i)
{
	const struct regex_node *n = &re->node[i];
	unsigned int sum = 0;

	if (n->kind == REGEX_CLASS)
		return 1;
	if (n->kind != REGEX_CAT && n->kind != REGEX_ALT && n->kind != REGEX_REPEAT)
		return 0;
	for (uint32_t c = n->child; c != REGEX_NONE && sum <= MAX_SIZE; c = re->node[c].next)
		sum += size(re, c);
	if (n->kind == REGEX_REPEAT) {
		struct regex_relaxed r = regex_relaxed(re, n);

		sum *= r.copies + r.more + r.endless;
	}
	return sum <= MAX_SIZE ? sum : MAX_SIZE + 1;
}

static double patience(const struct regex *re, uint32_t i)
{
	const struct regex_node *n = &re->node[i];
	double most = 0;

	if (regex_is_wide(re, n) || n->kind == REGEX_ASSERT || n->kind == REGEX_LOOK)
		return 0;
	if (n->kind == REGEX_REPEAT) {
		struct regex_relaxed r = regex_relaxed(re, n);

		if (r.endless || r.copies + r.more > 3)
			return width(re, n->child);
	}
	for (uint32_t c = n->child; c != REGEX_NONE; c = re->node[c].next) {
		double p = patience(re, c);

		most = p > most ? p : most;
	}
	return most;
}

/* ---- choice ------------------------------------------------------------------------------- */

uint32_t regex_sequence(const struct regex *re)
{
	uint32_t i = re->root;

	while (re->node[i].kind == REGEX_CAT && re->node[i].child != REGEX_NONE) {
		uint32_t only = re->node[i].child;

		if (re->node[only].next != REGEX_NONE || re->node[only].kind != REGEX_CAT)
			return only;
		i = only;
	}
	return i;
}

/* Rare enough beats small, small beats rarer. */
static bool better(const struct regex_stretch *a, const struct regex_stretch *b)
{
	bool a_rare = a->per_octet <= RARE_ENOUGH, b_rare = b->per_octet <= RARE_ENOUGH;

	if (!b->n)
		return true;
	if (a_rare != b_rare)
		return a_rare;
	/* What waits long multiplies the states of all others. */
	if (a_rare && (a->persists > REGEX_PATIENT) != (b->persists > REGEX_PATIENT))
		return b->persists > REGEX_PATIENT;
	return a_rare ? a->size < b->size : a->per_octet < b->per_octet;
}

/* Where a word's edge must be, most places are out of the question. */
static double at_edge(const struct regex *re, uint32_t first)
{
	bool edge = false;

	for (uint32_t c = regex_sequence(re); c != REGEX_NONE; c = re->node[c].next) {
		const struct regex_node *n = &re->node[c];

		if (n->kind == REGEX_ASSERT)
			edge |= n->what == REGEX_WORD;
		else if (n->kind != REGEX_LOOK && c != first)
			edge = false;
		if (c == first)
			break;
	}
	return edge ? EDGES : 1;
}

/* The best one that begins with this node. */
static struct regex_stretch from_here(const struct regex *re, uint32_t first, double rare, unsigned int max_size)
{
	struct regex_stretch s = {.first = first}, best = {0};
	double edge = at_edge(re, first);

	for (uint32_t c = first; c != REGEX_NONE && s.n < MAX_ITEMS; c = re->node[c].next) {
		double p = patience(re, c);

		s.persists = p > s.persists ? p : s.persists;
		s.size += size(re, c);
		s.n++;
		if (s.size > max_size || (regex_is_wide(re, &re->node[c]) && s.n > 1))
			break;
		s.per_octet = edge * chance_list(re, first, s.n, 1);
		if (s.per_octet <= rare && better(&s, &best))
			best = s;
		if (s.per_octet <= RARE_ENOUGH)
			break;
	}
	return best;
}

size_t regex_stretches(const struct regex *re, double rare, unsigned int max_size, struct regex_stretch *out,
		       size_t cap)
{
	uint32_t first = regex_sequence(re);
	size_t n = 0;

	for (unsigned int seen = 0; first != REGEX_NONE && seen < MAX_ITEMS; first = re->node[first].next, seen++) {
		struct regex_stretch s = from_here(re, first, rare, max_size);
		size_t at = n;

		if (!s.n)
			continue;
		while (at && better(&s, &out[at - 1]))
			at--;
		if (at == cap)
			continue;
		n += n < cap;
		for (size_t k = n - 1; k > at; k--)
			out[k] = out[k - 1];
		out[at] = s;
	}
	return n;
}
