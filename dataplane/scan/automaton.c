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
	    h->n_except > AUTOMATON_MAX_EXCEPT || !sieve_valid(&h->sieve) || h->accept_from > h->n_states || h->accept_from == 0)
		return "automaton: bad sizes";
	pairs = (uint64_t)h->pair_classes * h->pair_classes;
	if (!inside(h->mask_off, pairs * AUTOMATON_PAIRS * 8, len) ||
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
		.head = h, .mask = (const uint64_t *)(const void *)(at + h->mask_off),
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

/* On from a state that was reached at `at`. */
static void follow_on(struct walk *w, size_t bucket, size_t place, uint32_t state, size_t at)
{
	const struct automaton *a = w->a;
	const uint32_t shift = a->head->shift, accept_from = a->head->accept_from;
	size_t most = w->n - place < AUTOMATON_FOLLOW ? w->n : place + AUTOMATON_FOLLOW;

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

static void follow(struct walk *w, size_t bucket, size_t place)
{
	if (w->steps < AUTOMATON_FOLLOW)
		give_up(w, bucket, place);
	else
		follow_on(w, bucket, place, w->a->head->start[bucket], place);
}

/* The tables are too large for the near caches, and each step waits for the one before: so some places
 * are followed side by side. */
#define ABREAST 8u
#define ABREAST_STEPS 16u         /* most are done by then */

struct job {
	uint32_t at, bucket;
};

static void follow_abreast(struct walk *w, const struct job *job, unsigned int n)
{
	const struct automaton *a = w->a;
	const uint16_t *next = a->next;
	const uint8_t *class_of = a->head->class_of, *p[ABREAST];
	const uint32_t shift = a->head->shift, accept_from = a->head->accept_from;
	uint32_t state[ABREAST];

	for (unsigned int j = 0; j < ABREAST; j++) {
		/* From the dead state nothing leads anywhere. */
		state[j] = j < n ? a->head->start[job[j].bucket] : AUTOMATON_DEAD;
		p[j] = w->p + job[j < n ? j : 0].at;
	}
	for (size_t k = 0; k < ABREAST_STEPS; k++) {
		uint32_t any = 0, met = 0;

		for (unsigned int j = 0; j < ABREAST; j++) {
			state[j] = next[((size_t)state[j] << shift) + class_of[p[j][k]]];
			any |= state[j];
			met |= state[j] >= accept_from;
		}
		for (unsigned int j = 0; met && j < n; j++)
			if (state[j] >= accept_from)
				accepted(w, job[j].bucket, state[j], job[j].at, job[j].at + k + 1);
		w->steps -= w->steps < n ? w->steps : n;
		if (!any)
			return;
	}
	for (unsigned int j = 0; j < n; j++)
		if (state[j])
			follow_on(w, job[j].bucket, job[j].at, state[j], job[j].at + ABREAST_STEPS);
}

static void follow_jobs(struct walk *w, const struct job *job, size_t n)
{
	while (n && w->steps >= ABREAST * AUTOMATON_FOLLOW && job[n - 1].at + ABREAST_STEPS <= w->n) {
		unsigned int some = n < ABREAST ? (unsigned int)n : ABREAST;

		follow_abreast(w, job, some);
		job += some;
		n -= some;
	}
	for (size_t i = 0; i < n; i++)
		follow(w, job[i].bucket, job[i].at);
}

static inline size_t pair(const struct automaton_head *h, const uint8_t *p)
{
	return (size_t)h->pair_class[p[0]] * h->pair_classes + h->pair_class[p[1]];
}

/* The pairs behind the first ones; the octet before may be none. */
static inline uint64_t further(const struct walk *w, uint64_t mask, size_t at)
{
	for (size_t k = AUTOMATON_FIRST; k < AUTOMATON_PAIRS && at + k < w->n; k++)
		mask &= w->a->mask[pair(w->a->head, w->p + at + k - 1) * AUTOMATON_PAIRS + k];
	return mask;
}

static void follow_all(struct walk *w, uint64_t mask, size_t at)
{
	for (mask &= w->alive; mask; mask &= mask - 1)
		follow(w, (size_t)__builtin_ctzll(mask), at);
}

/* Places that pass are put aside first: what a place of mail does cannot be foreseen, and a branch for
 * each would cost more than the rest. */
#define ASIDE 256u

struct aside {
	size_t n;
	uint64_t mask[ASIDE];
	uint32_t at[ASIDE];      /* from where these began */
};

static void take_up(struct walk *w, struct aside *q, size_t base)
{
	struct job job[2 * ABREAST];
	size_t n = 0;

	for (size_t i = 0; i < q->n; i++) {
		size_t at = base + q->at[i];
		uint64_t mask = further(w, q->mask[i] & w->alive, at);

		for (; mask; mask &= mask - 1) {
			job[n++] = (struct job){(uint32_t)at, (uint32_t)__builtin_ctzll(mask)};
			if (n == 2 * ABREAST) {
				follow_jobs(w, job, n);
				n = 0;
			}
		}
	}
	follow_jobs(w, job, n);
}

/* Each pair's masks lie together: it stands for the first, second, third pair and so on of places
 * that follow each other. There is an octet before the first one, and enough behind the last. */
static size_t look(struct walk *w, size_t i, size_t most)
{
	const uint64_t *mask = w->a->mask;
	const uint8_t *class = w->a->head->pair_class, *p = w->p;
	const size_t classes = w->a->head->pair_classes;
#define PAIR(c, d) (mask + ((c) * classes + (d)) * AUTOMATON_PAIRS)
	const uint64_t *p0 = PAIR(class[p[i - 1]], class[p[i]]), *p1 = PAIR(class[p[i]], class[p[i + 1]]);
	const uint64_t *p2 = PAIR(class[p[i + 1]], class[p[i + 2]]), *p3;
	size_t c = class[p[i + 3]];
	struct aside q;

	p3 = PAIR(class[p[i + 2]], c);
	while (i < most) {
		size_t base = i, end = most - i > ASIDE ? i + ASIDE : most;

		for (q.n = 0; i < end; i++) {
			size_t d = class[p[i + 4]];
			const uint64_t *p4 = PAIR(c, d);
			uint64_t left = p0[0] & p1[1] & p2[2] & p3[3] & p4[4];

			p0 = p1;
			p1 = p2;
			p2 = p3;
			p3 = p4;
			c = d;
			q.mask[q.n] = left;
			q.at[q.n] = (uint32_t)(i - base);
			q.n += left != 0;
		}
		take_up(w, &q, base);
	}
#undef PAIR
	return i;
}

/* The same place by place, for those that a sieve has passed, the very first, and the last few: what
 * pairs there are. */
static void look_at(struct walk *w, size_t i)
{
	uint64_t mask = ~(uint64_t)0;

	for (size_t k = i ? 0 : 1; k < AUTOMATON_FIRST && i + k < w->n; k++)
		mask &= w->a->mask[pair(w->a->head, w->p + i + k - 1) * AUTOMATON_PAIRS + k];
	if (mask)
		follow_all(w, further(w, mask, i), i);
}

/* A text of which more passes the sieve than this is none that it is made for. */
#define SIEVE_MOST 64u
#define SIEVE_SHARE 16u           /* and so many times as many octets as places */

/* Returns how far it is of use. */
static size_t look_sieved(struct walk *w, size_t from, size_t to)
{
	const struct sieve *s = &w->a->head->sieve;
	size_t i = from, passed = 0;

	for (i = sieve_next(s, w->p, w->n, i, to); i < to; i = sieve_next(s, w->p, w->n, i + 1, to)) {
		look_at(w, i);
		if (++passed > SIEVE_MOST && passed * SIEVE_SHARE > i - from)
			return i + 1;
	}
	return to;
}

void automaton_run(const struct automaton *a, const uint8_t *p, size_t n, size_t from, size_t to,
		   bool last, gate_found *found, void *ctx)
{
	struct walk w;
	size_t i = from, most = n >= AUTOMATON_FIRST ? n - AUTOMATON_FIRST + 1 : 0;

	w.a = a;
	w.p = p;
	w.n = n;
	w.last = last;
	w.steps = (uint64_t)n * FOLLOW_STEPS + AUTOMATON_FOLLOW;
	w.found = found;
	w.ctx = ctx;
	w.alive = ~(uint64_t)0;
	memset(w.told, 0, a->head->n_gates);
	if (a->head->sieve.len)
		i = look_sieved(&w, i, to);
	if (most > to)
		most = to;
	if (!i && i < to)
		look_at(&w, i++);
	if (i < most)
		i = look(&w, i, most);
	for (; i < to; i++)
		look_at(&w, i);
}
