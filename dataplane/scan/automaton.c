/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/scan/automaton.h"

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
	if (len < sizeof(*h) || h->magic != AUTOMATON_MAGIC || h->size > len)
		return "automaton: bad head";
	if (!h->n_states || h->n_states > AUTOMATON_MAX_STATES || h->shift > 8 ||
	    h->n_gates > AUTOMATON_MAX_GATES ||
	    h->accept_from > h->n_states || h->accept_from == 0)
		return "automaton: bad sizes";
	if (!inside(h->next_off, ((uint64_t)h->n_states << h->shift) * 2, len) ||
	    !inside(h->accept_off, ((uint64_t)h->n_states - h->accept_from + 1) * 4, len) ||
	    !inside(h->found_off, (uint64_t)h->n_found * 4, len) ||
	    !inside(h->id_off, (uint64_t)h->n_gates * 4, len))
		return "automaton: tables out of bounds";
	return NULL;
}

static const char *check_tables(const struct automaton *a, uint32_t ids)
{
	const struct automaton_head *h = a->head;
	size_t n_accept = (size_t)h->n_states - h->accept_from + 1;

	for (unsigned int c = 0; c < 256; c++)
		if (h->class_of[c] >> h->shift || h->fold[c] >= AUTOMATON_FOLDS)
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
	for (uint32_t i = 0; i < h->n_gates; i++)
		if (a->id[i] >= ids)
			return "automaton: bad id";
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
		.head = h, .next = (const uint16_t *)(at + h->next_off),
		.accept = (const uint32_t *)(at + h->accept_off),
		.found = (const uint32_t *)(at + h->found_off), .id = (const uint32_t *)(at + h->id_off),
	};
	return check_tables(out, ids);
}

/* One run. */
struct walk {
	const struct automaton *a;
	const uint8_t *p;
	size_t n;
	bool last;
	uint64_t steps;           /* that are left */
	automaton_found *found;
	void *ctx;
	uint64_t met[AUTOMATON_MAX_GATES / 64]; /* that were told in this run */
};

static inline void tell(struct walk *w, uint32_t gate, size_t end)
{
	uint64_t bit = (uint64_t)1 << gate % 64;

	if (w->met[gate / 64] & bit)
		return;
	w->met[gate / 64] |= bit;
	w->found(w->ctx, w->a->id[gate], end);
}

static void accepted(struct walk *w, uint32_t state, size_t end)
{
	const struct automaton *a = w->a;
	uint32_t k = state - a->head->accept_from;

	for (uint32_t i = a->accept[k]; i < a->accept[k + 1]; i++)
		tell(w, a->found[i], end);
}

/* All that may still come of a state: what it leads to is not followed any more. */
static void give_up(struct walk *w, size_t bucket, size_t end)
{
	const struct automaton *a = w->a;

	for (size_t k = bucket; k < a->head->n_gates; k += AUTOMATON_BUCKETS)
		tell(w, (uint32_t)k, end);
}

static void follow(struct walk *w, size_t bucket, size_t at)
{
	const struct automaton *a = w->a;
	const uint32_t shift = a->head->shift, accept_from = a->head->accept_from;
	size_t most = w->n - at < AUTOMATON_FOLLOW ? w->n : at + AUTOMATON_FOLLOW;
	uint32_t state = a->head->start[bucket];

	if (w->steps < AUTOMATON_FOLLOW) {
		give_up(w, bucket, at + 1);
		return;
	}
	while (at < most) {
		state = a->next[((size_t)state << shift) + a->head->class_of[w->p[at++]]];
		w->steps--;
		if (state >= accept_from)
			accepted(w, state, at);
		if (state == AUTOMATON_DEAD)
			return;
	}
	if (most < w->n || !w->last)
		give_up(w, bucket, at);
}

static inline uint32_t pair(uint32_t first, uint32_t second)
{
	return first * AUTOMATON_FOLDS + second;
}

static __attribute__((noinline)) void candidates(struct walk *w, uint64_t mask, size_t at)
{
	const struct automaton_head *h = w->a->head;

	for (size_t k = AUTOMATON_FIRST; k < AUTOMATON_PAIRS && at + k + 1 < w->n; k++)
		mask &= h->mask[k][pair(h->fold[w->p[at + k]], h->fold[w->p[at + k + 1]])];
	for (; mask; mask &= mask - 1)
		follow(w, (size_t)__builtin_ctzll(mask), at);
}

void automaton_run(const struct automaton *a, const uint8_t *p, size_t n, size_t from, size_t to,
		   bool last, automaton_found *found, void *ctx)
{
	struct walk w = {.a = a, .p = p, .n = n, .last = last,
			 .steps = (uint64_t)n * FOLLOW_STEPS + AUTOMATON_FOLLOW, .found = found, .ctx = ctx};
	const struct automaton_head *h = a->head;
	size_t i = from, most = n > AUTOMATON_FIRST ? n - AUTOMATON_FIRST : 0;

	if (most > to)
		most = to;
	if (i < most) {
		uint32_t c = h->fold[p[i + 3]];
		uint32_t p0 = pair(h->fold[p[i]], h->fold[p[i + 1]]);
		uint32_t p1 = pair(h->fold[p[i + 1]], h->fold[p[i + 2]]), p2 = pair(h->fold[p[i + 2]], c);

		for (; i < most; i++) {
			uint32_t d = h->fold[p[i + 4]], p3 = pair(c, d);
			uint64_t mask = h->mask[0][p0] & h->mask[1][p1] & h->mask[2][p2] & h->mask[3][p3];

			p0 = p1;
			p1 = p2;
			p2 = p3;
			c = d;
			if (__builtin_expect(mask != 0, 0))
				candidates(&w, mask, i);
		}
	}
	/* The last few: what pairs there are. */
	for (; i < to; i++) {
		uint64_t mask = ~(uint64_t)0;

		for (size_t k = 0; k < AUTOMATON_FIRST && i + k + 1 < n; k++)
			mask &= h->mask[k][pair(h->fold[p[i + k]], h->fold[p[i + k + 1]])];
		candidates(&w, mask, i);
	}
}
