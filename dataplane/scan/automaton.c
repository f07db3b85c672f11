/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/scan/automaton.h"

#include <string.h>

/* All places of a run are followed over so many steps an octet. What is not followed to its end
 * counts as met: a text that is made to be slow opens gates, no more. */
#define FOLLOW_STEPS 16u

static bool inside(uint64_t off, uint64_t n, size_t len)
{
	return off % 64 == 0 && off >= sizeof(struct automaton_head) && off <= len && n <= len - off;
}

/* NULL, or what is wrong with the head. */
static const char *check_head(const struct automaton_head *h, size_t len)
{
	uint64_t pairs;

	if (len < sizeof(*h) || h->magic != AUTOMATON_MAGIC || h->size > len)
		return "automaton: bad head";
	if (!h->n_states || h->n_states > AUTOMATON_MAX_STATES || h->shift > 8 ||
	    h->n_gates > AUTOMATON_MAX_GATES || !h->pair_classes || h->pair_classes > 256 ||
	    h->n_except > AUTOMATON_MAX_EXCEPT || h->sieve.len > SIEVE_LEN || h->accept_from > h->n_states || h->accept_from == 0)
		return "automaton: bad sizes";
	pairs = (uint64_t)h->pair_classes * h->pair_classes;
	if (!inside(h->first_off, pairs * AUTOMATON_FIRST * 8, len) ||
	    !inside(h->more_off, pairs * (AUTOMATON_PAIRS - AUTOMATON_FIRST) * 8, len) ||
	    !inside(h->next_off, ((uint64_t)h->n_states << h->shift) * 2, len) ||
	    !inside(h->accept_off, ((uint64_t)h->n_states - h->accept_from + 1) * 4, len) ||
	    !inside(h->found_off, (uint64_t)h->n_found * 4, len) ||
	    !inside(h->id_off, (uint64_t)h->n_gates * 4, len) ||
	    !inside(h->except_at_off, ((uint64_t)h->n_gates + 1) * 4, len) ||
	    !inside(h->except_off, (uint64_t)h->n_except * sizeof(struct automaton_except), len))
		return "automaton: tables out of bounds";
	return NULL;
}

static const char *check_gates(const struct automaton *a, uint32_t ids)
{
	const struct automaton_head *h = a->head;

	for (uint32_t i = 0; i < h->n_gates; i++)
		if (a->id[i] >= ids)
			return "automaton: bad id";
	for (unsigned int b = 0; b < AUTOMATON_BUCKETS; b++)
		if (h->gate_from[b] > h->gate_to[b] || h->gate_to[b] > h->n_gates)
			return "automaton: bad bucket";
	for (uint32_t i = 0; i <= h->n_gates; i++)
		if (a->except_at[i] > h->n_except || (i && a->except_at[i] < a->except_at[i - 1]))
			return "automaton: bad exceptions";
	for (uint32_t i = 0; i < h->n_except; i++)
		if (a->except[i].len > AUTOMATON_EXCEPT_LEN)
			return "automaton: bad exception";
	return NULL;
}

static const char *check_tables(const struct automaton *a)
{
	const struct automaton_head *h = a->head;
	size_t n_accept = (size_t)h->n_states - h->accept_from + 1;

	for (unsigned int c = 0; c < 256; c++)
		if (h->class_of[c] >> h->shift || h->pair_class[c] >= h->pair_classes)
			return "automaton: bad class";
	for (unsigned int b = 0; b < AUTOMATON_BUCKETS; b++)
		if (h->start[b] >= h->n_states)
			return "automaton: bad start";
	for (size_t i = 0; i < (size_t)h->n_states << h->shift; i++)
		if (a->next[i] >= h->n_states)
			return "automaton: bad transition";
	for (size_t i = 0; i < n_accept; i++)
		if (a->accept[i] > h->n_found || (i && a->accept[i] < a->accept[i - 1]))
			return "automaton: bad list";
	for (uint32_t i = 0; i < h->n_found; i++)
		if (a->found[i] >= h->n_gates)
			return "automaton: bad gate";
	return NULL;
}

const char *automaton_open(const void *blob, size_t len, uint32_t ids, struct automaton *out)
{
	const struct automaton_head *h = blob;
	const uint8_t *at = blob;
	const char *why = check_head(h, len);

	if (why)
		return why;
	*out = (struct automaton){
		.head = h, .first = (const uint64_t *)(const void *)(at + h->first_off),
		.more = (const uint64_t *)(const void *)(at + h->more_off),
		.next = (const uint16_t *)(const void *)(at + h->next_off),
		.accept = (const uint32_t *)(const void *)(at + h->accept_off),
		.found = (const uint32_t *)(const void *)(at + h->found_off),
		.id = (const uint32_t *)(const void *)(at + h->id_off),
		.except_at = (const uint32_t *)(const void *)(at + h->except_at_off),
		.except = (const struct automaton_except *)(const void *)(at + h->except_off),
	};
	why = check_tables(out);
	return why ? why : check_gates(out, ids);
}

/* One call. */
struct walk {
	const struct automaton *a;
	const uint8_t *p;
	size_t n;
	bool last;
	uint64_t steps;           /* that are left */
	gate_found *found;
	void *ctx;
	uint64_t alive;           /* buckets with a gate that is not told to the full */
	uint8_t told[AUTOMATON_MAX_GATES]; /* how often, GATE_PLACES + 1 at most */
};

static bool is_alive(const struct walk *w, size_t bucket)
{
	const struct automaton_head *h = w->a->head;

	for (uint32_t k = h->gate_from[bucket]; k < h->gate_to[bucket]; k++)
		if (w->told[k] <= GATE_PLACES)
			return true;
	return false;
}

static void tell(struct walk *w, size_t bucket, uint32_t gate, size_t end)
{
	if (w->told[gate] > GATE_PLACES)
		return;
	w->found(w->ctx, w->a->id[gate], end);
	if (++w->told[gate] > GATE_PLACES && !is_alive(w, bucket))
		w->alive &= ~((uint64_t)1 << bucket);
}

/* Does the gate not count at this place? */
static bool excepted(struct walk *w, uint32_t gate, size_t place)
{
	const struct automaton *a = w->a;

	for (uint32_t i = a->except_at[gate]; i < a->except_at[gate + 1]; i++) {
		const struct automaton_except *e = &a->except[i];
		unsigned int k = 0;

		w->steps -= w->steps > 0;
		if (e->len > w->n - place)
			continue;
		while (k < e->len && (w->p[place + k] | e->fold[k]) == e->octet[k])
			k++;
		if (k == e->len)
			return true;
	}
	return false;
}

static void accepted(struct walk *w, size_t bucket, uint32_t state, size_t place, size_t end)
{
	const struct automaton *a = w->a;
	uint32_t k = state - a->head->accept_from;

	for (uint32_t i = a->accept[k]; i < a->accept[k + 1]; i++)
		if (w->told[a->found[i]] <= GATE_PLACES && !excepted(w, a->found[i], place))
			tell(w, bucket, a->found[i], end);
}

/* All that may still come of a place: what it leads to is not followed any more. */
static void give_up(struct walk *w, size_t bucket, size_t place)
{
	const struct automaton_head *h = w->a->head;

	for (uint32_t k = h->gate_from[bucket]; k < h->gate_to[bucket]; k++)
		if (w->told[k] <= GATE_PLACES && !excepted(w, k, place))
			tell(w, bucket, k, place + 1);
}

static void follow(struct walk *w, size_t bucket, size_t place)
{
	const struct automaton *a = w->a;
	const uint32_t shift = a->head->shift, accept_from = a->head->accept_from;
	size_t most = w->n - place < AUTOMATON_FOLLOW ? w->n : place + AUTOMATON_FOLLOW, at = place;
	uint32_t state = a->head->start[bucket];

	if (w->steps < AUTOMATON_FOLLOW) {
		give_up(w, bucket, place);
		return;
	}
	while (at < most) {
		state = a->next[((size_t)state << shift) + a->head->class_of[w->p[at++]]];
		w->steps -= w->steps > 0;
		if (state >= accept_from)
			accepted(w, bucket, state, place, at);
		if (state == AUTOMATON_DEAD)
			return;
	}
	if (most < w->n || !w->last)
		give_up(w, bucket, place);
}

static inline size_t pair(const struct automaton_head *h, const uint8_t *p)
{
	return (size_t)h->pair_class[p[0]] * h->pair_classes + h->pair_class[p[1]];
}

static __attribute__((noinline)) void candidates(struct walk *w, uint64_t mask, size_t at)
{
	const struct automaton *a = w->a;
	const size_t more = AUTOMATON_PAIRS - AUTOMATON_FIRST;

	mask &= w->alive;
	for (size_t k = 0; mask && k < more && at + AUTOMATON_FIRST + k + 1 < w->n; k++)
		mask &= a->more[pair(a->head, w->p + at + AUTOMATON_FIRST + k) * more + k];
	for (; mask; mask &= mask - 1)
		follow(w, (size_t)__builtin_ctzll(mask), at);
}

/* Each pair's four masks lie together: it stands for the first, second, third and fourth pair of
 * four places in turn. */
static size_t look(struct walk *w, size_t i, size_t most)
{
	const uint64_t *first = w->a->first;
	const uint8_t *class = w->a->head->pair_class, *p = w->p;
	const size_t classes = w->a->head->pair_classes;
	const uint64_t *p0 = first + (class[p[i]] * classes + class[p[i + 1]]) * AUTOMATON_FIRST;
	const uint64_t *p1 = first + (class[p[i + 1]] * classes + class[p[i + 2]]) * AUTOMATON_FIRST;
	size_t c = class[p[i + 3]];
	const uint64_t *p2 = first + (class[p[i + 2]] * classes + c) * AUTOMATON_FIRST;

	for (; i < most; i++) {
		size_t d = class[p[i + 4]];
		const uint64_t *p3 = first + (c * classes + d) * AUTOMATON_FIRST;
		uint64_t mask = p0[0] & p1[1] & p2[2] & p3[3];

		p0 = p1;
		p1 = p2;
		p2 = p3;
		c = d;
		if (__builtin_expect(mask != 0, 0))
			candidates(w, mask, i);
	}
	return i;
}

/* The same place by place, for those that a sieve has passed and the last few: what pairs there are. */
static void look_at(struct walk *w, size_t i)
{
	uint64_t mask = ~(uint64_t)0;

	for (size_t k = 0; k < AUTOMATON_FIRST && i + k + 1 < w->n; k++)
		mask &= w->a->first[pair(w->a->head, w->p + i + k) * AUTOMATON_FIRST + k];
	candidates(w, mask, i);
}

static void look_sieved(struct walk *w, size_t i, size_t to)
{
	const struct sieve *s = &w->a->head->sieve;

	for (i = sieve_next(s, w->p, w->n, i, to); i < to; i = sieve_next(s, w->p, w->n, i + 1, to))
		look_at(w, i);
}

void automaton_run(const struct automaton *a, const uint8_t *p, size_t n, size_t from, size_t to,
		   bool last, gate_found *found, void *ctx)
{
	struct walk w;
	size_t i = from, most = n > AUTOMATON_FIRST ? n - AUTOMATON_FIRST : 0;

	w.a = a;
	w.p = p;
	w.n = n;
	w.last = last;
	w.steps = (uint64_t)n * FOLLOW_STEPS + AUTOMATON_FOLLOW;
	w.found = found;
	w.ctx = ctx;
	w.alive = ~(uint64_t)0;
	memset(w.told, 0, a->head->n_gates);
	if (a->head->sieve.len) {
		look_sieved(&w, i, to);
		return;
	}
	if (most > to)
		most = to;
	if (i < most)
		i = look(&w, i, most);
	for (; i < to; i++)
		look_at(&w, i);
}
