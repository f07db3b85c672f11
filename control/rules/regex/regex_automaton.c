/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Subset construction from fixed places. A set is what is being waited for, and what was found with
 * the last octet.
 */

#include "control/rules/regex/regex_automaton.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/sieve_made.h"
#include "dataplane/scan/automaton.h"

#define MAX_SET 4096u      /* members of one state */
#define ALIGN 64u

struct sets {              /* of states, one behind the other */
	uint32_t *member;
	size_t n, cap;
	size_t *off;           /* n_states + 1 */
	uint8_t *depth;        /* octets on the shortest way to it */
	size_t n_states, cap_states;
	uint32_t *hash;        /* open addressing, state + 1 */
	size_t hash_size;
};

struct building {
	const struct regex_nfa *nfa;
	uint8_t class_of[256];
	uint8_t octet_of[256]; /* one of each class */
	unsigned int n_classes;
	struct sets sets;
	uint32_t *mark;        /* by position: turn in which it was put into the set at hand */
	uint32_t turn;
	uint32_t *stack;
	uint32_t *set;         /* at hand */
	size_t n_set;
	uint32_t *next;        /* by state and class */
	struct regex_gate *gate; /* in order of their buckets; what they own is the caller's */
	uint32_t *number;      /* the caller's number of a gate → index in gate */
	struct regex_bucket bucket[AUTOMATON_BUCKETS];
	uint32_t start[AUTOMATON_BUCKETS];
	uint8_t pair_class[256], pair_octet[256];
	unsigned int n_pair_classes;
	size_t max;
	bool oom, too_large;
};

/* ---- sets --------------------------------------------------------------------------------- */

static void set_begin(struct building *b)
{
	b->n_set = 0;
	b->turn++;
}

/* The positions that one can be at without another octet. */
static void set_add(struct building *b, uint32_t at)
{
	size_t n = 0;

	b->stack[n++] = at;
	while (n) {
		uint32_t i = b->stack[--n];
		const struct regex_nfa_state *s = &b->nfa->state[i];

		if (b->mark[i] == b->turn)
			continue;
		b->mark[i] = b->turn;
		if (s->kind == 1) {
			b->stack[n++] = s->a;
			b->stack[n++] = s->b;
		} else {
			b->set[b->n_set++] = i;
		}
	}
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t hash_of(const uint32_t *v, size_t n)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < n; i++)
		h = (h ^ v[i]) * 0x100000001b3ull;
	return h ^ h >> 29;
}

static bool room(void *array, size_t n, size_t *cap, size_t more, size_t size)
{
	void *old, *p;
	size_t want = *cap ? *cap : 1024;

	while (want < n + more)
		want *= 2;
	if (want == *cap)
		return true;
	memcpy(&old, array, sizeof(old));
	p = reallocarray(old, want, size);
	if (!p)
		return false;
	memcpy(array, &p, sizeof(p));
	*cap = want;
	return true;
}

/* The state of the set at hand; a new one if there is none. */
static uint32_t set_state(struct building *b, uint8_t depth)
{
	struct sets *s = &b->sets;
	size_t at;

	qsort(b->set, b->n_set, sizeof(*b->set), by_number);
	at = hash_of(b->set, b->n_set) & (s->hash_size - 1);
	for (; s->hash[at]; at = (at + 1) & (s->hash_size - 1)) {
		uint32_t i = s->hash[at] - 1;

		if (s->off[i + 1] - s->off[i] == b->n_set &&
		    (!b->n_set || !memcmp(s->member + s->off[i], b->set, b->n_set * sizeof(*b->set))))
			return i;
	}
	if (s->n_states >= b->max || b->n_set > MAX_SET) {
		b->too_large = true;
		return 0;
	}
	if (!room(&s->member, s->n, &s->cap, b->n_set, sizeof(*s->member))) {
		b->oom = true;
		return 0;
	}
	if (b->n_set)
		memcpy(s->member + s->n, b->set, b->n_set * sizeof(*b->set));
	s->n += b->n_set;
	s->depth[s->n_states] = depth;
	s->off[++s->n_states] = s->n;
	s->hash[at] = (uint32_t)s->n_states;
	return (uint32_t)s->n_states - 1;
}

/* Behind it nothing is followed. */
static bool is_cut(const struct building *b, uint32_t state)
{
	return b->sets.depth[state] >= AUTOMATON_DEPTH;
}

static void transitions(struct building *b, uint32_t state)
{
	struct sets *s = &b->sets;

	for (unsigned int c = 0; c < b->n_classes && !b->too_large && !b->oom; c++) {
		set_begin(b);
		for (size_t i = s->off[state]; i < s->off[state + 1]; i++) {
			const struct regex_nfa_state *p = &b->nfa->state[s->member[i]];

			if (!is_cut(b, state) && p->kind == 0 && regex_class_has(&p->set, b->octet_of[c]))
				set_add(b, p->a);
		}
		b->next[(size_t)state * b->n_classes + c] = set_state(b, s->depth[state] + 1);
	}
}

static void determinise(struct building *b)
{
	set_begin(b);
	set_state(b, 0);                 /* AUTOMATON_DEAD: nothing is waited for */
	for (unsigned int bucket = 0; bucket < AUTOMATON_BUCKETS; bucket++) {
		set_begin(b);
		for (size_t i = b->bucket[bucket].from; i < b->bucket[bucket].to; i++)
			set_add(b, b->gate[i].start);
		b->start[bucket] = set_state(b, 0);
	}
	for (uint32_t i = 0; i < b->sets.n_states && !b->too_large && !b->oom; i++)
		transitions(b, i);
}

/* ---- blob --------------------------------------------------------------------------------- */

/* The gates that are met in a state; of one where all is cut off, those that are open. */
static size_t finds(const struct building *b, uint32_t state, uint32_t *gate)
{
	const struct sets *s = &b->sets;
	uint32_t before = UINT32_MAX;
	size_t n = 0;

	/* Positions of one gate stand together, and members are sorted. */
	for (size_t i = s->off[state]; i < s->off[state + 1]; i++) {
		const struct regex_nfa_state *p = &b->nfa->state[s->member[i]];

		if ((p->kind != 2 && !is_cut(b, state)) || p->gate == before)
			continue;
		before = p->gate;
		if (gate)
			gate[n] = b->number[p->gate];
		n++;
	}
	return n;
}

static uint32_t aligned(size_t n)
{
	return (uint32_t)((n + ALIGN - 1) & ~(size_t)(ALIGN - 1));
}

/* States that find nothing first, then the others; number[]: old → new. */
static void fill_states(struct building *b, struct automaton_head *h, uint8_t *blob, const uint32_t *number,
			uint32_t *old)
{
	uint16_t *next = (uint16_t *)(void *)(blob + h->next_off);
	uint32_t *accept = (uint32_t *)(void *)(blob + h->accept_off);
	uint32_t *found = (uint32_t *)(void *)(blob + h->found_off);
	uint32_t at = 0;

	for (size_t i = 0; i < b->sets.n_states; i++) {
		uint16_t *row = next + ((size_t)number[i] << h->shift);

		for (unsigned int c = 0; c < b->n_classes; c++)
			row[c] = (uint16_t)number[b->next[i * b->n_classes + c]];
		old[number[i]] = (uint32_t)i;
	}
	for (uint32_t i = h->accept_from; i < h->n_states; i++) {
		accept[i - h->accept_from] = at;
		at += (uint32_t)finds(b, old[i], found + at);
	}
	accept[h->n_states - h->accept_from] = at;
	for (unsigned int k = 0; k < AUTOMATON_BUCKETS; k++)
		h->start[k] = (uint16_t)number[b->start[k]];
}

static void fill_gates(const struct building *b, struct automaton_head *h, uint8_t *blob)
{
	uint32_t *id = (uint32_t *)(void *)(blob + h->id_off);
	uint32_t *at = (uint32_t *)(void *)(blob + h->except_at_off), n = 0;
	struct automaton_except *except = (struct automaton_except *)(void *)(blob + h->except_off);

	for (uint32_t k = 0; k < h->n_gates; k++) {
		const struct regex_strings *s = &b->gate[k].except;

		id[k] = b->gate[k].id;
		at[k] = n;
		if (s->n)
			memcpy(except + n, s->v, s->n * sizeof(*s->v));
		n += (uint32_t)s->n;
	}
	at[h->n_gates] = n;
	for (unsigned int k = 0; k < AUTOMATON_BUCKETS; k++) {
		h->gate_from[k] = b->bucket[k].from;
		h->gate_to[k] = b->bucket[k].to;
	}
}

static void fill_masks(const struct building *b, const struct automaton_head *h, uint8_t *blob)
{
	const unsigned int classes = b->n_pair_classes;

	for (unsigned int bucket = 0; bucket < AUTOMATON_BUCKETS; bucket++) {
		const struct regex_pairs *pairs = b->bucket[bucket].pairs;

		for (unsigned int k = 0; pairs && k < AUTOMATON_PAIRS; k++) {
			uint64_t *mask = (uint64_t *)(void *)(blob + h->mask_off) + k;

			for (unsigned int c = 0; c < classes; c++)
				for (unsigned int d = 0; d < classes; d++)
					if (regex_class_has(&pairs->row[k][b->pair_octet[c]], b->pair_octet[d]))
						mask[((size_t)c * classes + d) * AUTOMATON_PAIRS] |=
							(uint64_t)1 << bucket;
		}
	}
}

static bool is_none(const struct regex_class *c)
{
	return !(c->bits[0] | c->bits[1] | c->bits[2] | c->bits[3]);
}

/* The octets at `at` go into the sieve as its last ones; buckets that follow each other share one. */
static void sieve_octet(const struct building *b, struct sieve *s, unsigned int at)
{
	unsigned int used = 0, n = 0, k = s->len++;

	s->at[k] = (uint8_t)at;
	for (unsigned int bucket = 0; bucket < AUTOMATON_BUCKETS; bucket++)
		used += b->bucket[bucket].pairs != NULL;
	for (unsigned int bucket = 0; bucket < AUTOMATON_BUCKETS; bucket++) {
		const struct regex_pairs *pairs = b->bucket[bucket].pairs;

		for (unsigned int c = 0; pairs && c < 256; c++)
			if (!is_none(&pairs->row[at + 1][c]))
				sieve_add(s, used > SIEVE_BUCKETS ? n * SIEVE_BUCKETS / used : n, k, (uint8_t)c);
		n += pairs != NULL;
	}
}

/* Of the octets that pairs begin with those that let the fewest places pass. */
static void make_sieve(const struct building *b, struct sieve *s)
{
	size_t least = SIZE_MAX;

	*s = (struct sieve){0};
	while (s->len < SIEVE_LEN) {
		struct sieve best = *s;

		for (unsigned int at = 0; at + 1 < AUTOMATON_PAIRS; at++) {
			struct sieve more = *s;
			size_t n;

			sieve_octet(b, &more, at);
			n = sieve_places(&more);
			if (n < least) {
				least = n;
				best = more;
			}
		}
		if (best.len == s->len)
			break;
		*s = best;
	}
	sieve_settle(s);
}

static void lay_out(const struct building *b, struct automaton_head *h, size_t n_accepting)
{
	size_t pairs = (size_t)b->n_pair_classes * b->n_pair_classes;

	h->mask_off = aligned(sizeof(*h));
	h->next_off = aligned(h->mask_off + pairs * AUTOMATON_PAIRS * 8);
	h->accept_off = aligned(h->next_off + ((size_t)h->n_states << h->shift) * 2);
	h->found_off = aligned(h->accept_off + (n_accepting + 1) * 4);
	h->id_off = aligned(h->found_off + (size_t)h->n_found * 4);
	h->except_at_off = aligned(h->id_off + (size_t)h->n_gates * 4);
	h->except_off = aligned(h->except_at_off + ((size_t)h->n_gates + 1) * 4);
	h->size = aligned(h->except_off + (size_t)h->n_except * sizeof(struct automaton_except));
}

static int make_blob(struct building *b, size_t n_gates, void **out, size_t *len)
{
	struct automaton_head head = {.magic = AUTOMATON_MAGIC, .n_gates = (uint32_t)n_gates,
				      .n_states = (uint32_t)b->sets.n_states, .pair_classes = b->n_pair_classes};
	struct automaton_head *h = &head;
	uint32_t plain = 0, other, *number = malloc((h->n_states + 1) * 2 * sizeof(*number));
	size_t n_accepting = 0;
	uint8_t *blob = NULL;

	if (!number)
		return -ENOMEM;
	for (uint32_t i = 0; i < h->n_states; i++) {
		size_t k = finds(b, i, NULL);

		h->n_found += (uint32_t)k;
		n_accepting += k > 0;
	}
	/* Those that find no room are missed by nobody. */
	for (size_t i = 0; i < n_gates; i++) {
		if (h->n_except + b->gate[i].except.n > AUTOMATON_MAX_EXCEPT)
			b->gate[i].except.n = 0;
		h->n_except += (uint32_t)b->gate[i].except.n;
	}
	h->accept_from = other = h->n_states - (uint32_t)n_accepting;
	for (uint32_t i = 0; i < h->n_states; i++)
		number[i] = finds(b, i, NULL) ? other++ : plain++;
	while (1u << h->shift < b->n_classes)
		h->shift++;
	memcpy(h->class_of, b->class_of, sizeof(h->class_of));
	memcpy(h->pair_class, b->pair_class, sizeof(h->pair_class));
	make_sieve(b, &h->sieve);
	lay_out(b, h, n_accepting);
	blob = aligned_alloc(ALIGN, h->size);
	if (blob) {
		memset(blob, 0, h->size);
		fill_states(b, h, blob, number, number + h->n_states + 1);
		fill_gates(b, h, blob);
		fill_masks(b, h, blob);
		memcpy(blob, h, sizeof(*h));
		*out = blob;
		*len = h->size;
	}
	free(number);
	return blob ? 0 : -ENOMEM;
}

static void building_free(struct building *b)
{
	free(b->sets.member);
	free(b->sets.off);
	free(b->sets.depth);
	free(b->sets.hash);
	free(b->mark);
	free(b->stack);
	free(b->set);
	free(b->next);
	free(b->gate);
	free(b->number);
	regex_buckets_free(b->bucket);
}

static bool building_new(struct building *b, const struct regex_gate *gate, size_t n_gates)
{
	size_t n = b->nfa->n + 1, hash = 1024;

	while (hash < b->max * 4)
		hash *= 2;
	b->sets.hash_size = hash;
	b->sets.hash = calloc(hash, sizeof(*b->sets.hash));
	b->sets.off = calloc(b->max + 2, sizeof(*b->sets.off));
	b->sets.depth = calloc(b->max + 2, 1);
	b->mark = calloc(n, sizeof(*b->mark));
	b->stack = calloc(2 * n + 2, sizeof(*b->stack)); /* each position pushes two at most, once */
	b->set = calloc(n, sizeof(*b->set));
	b->gate = calloc(n_gates + 1, sizeof(*b->gate));
	b->number = calloc(n_gates + 1, sizeof(*b->number));
	if (!b->sets.hash || !b->sets.off || !b->sets.depth || !b->mark || !b->stack || !b->set || !b->gate || !b->number)
		return false;
	if (n_gates)
		memcpy(b->gate, gate, n_gates * sizeof(*gate));
	b->n_classes = regex_classes(b->nfa, false, NULL, 0, b->class_of, b->octet_of);
	b->n_pair_classes = regex_classes(b->nfa, true, gate, n_gates, b->pair_class, b->pair_octet);
	b->next = calloc((b->max + 1) * b->n_classes, sizeof(*b->next));
	return b->next != NULL;
}

int regex_determinise(const struct regex_nfa *nfa, const struct regex_gate *gate, size_t n_gates,
		      size_t max, void **out, size_t *len, size_t *n_states)
{
	struct building b = {.nfa = nfa, .max = max};
	int rc = -ENOMEM;

	*n_states = 0;
	if (!building_new(&b, gate, n_gates) || regex_buckets(nfa, b.gate, n_gates, b.number, b.bucket))
		goto out;
	determinise(&b);
	*n_states = b.sets.n_states;
	if (b.too_large)
		rc = -E2BIG;
	else if (!b.oom)
		rc = make_blob(&b, n_gates, out, len);
out:
	building_free(&b);
	return rc;
}
