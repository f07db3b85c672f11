/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Subset construction from fixed places. A set is what is being waited for, and what was found with
 * the last octet. What can stand at the first octets of a bucket goes into the masks.
 */

#include "control/rules/regex/regex_automaton.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/scan/automaton.h"

#define MAX_SET 4096u      /* members of one state */
#define ALIGN 64u

struct sets {              /* of states, one behind the other */
	uint32_t *member;
	size_t n, cap;
	size_t *off;           /* n_states + 1 */
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
	uint32_t start[AUTOMATON_BUCKETS];
	size_t max;
	bool oom, too_large;
};

/* ---- classes of octets -------------------------------------------------------------------- */

/* Octets that no position tells apart are one; the frequent ones come first. */
static void classes(struct building *b)
{
	double weight[256] = {0};
	uint8_t order[256], rank[256];

	for (size_t i = 0; i < b->nfa->n; i++) {
		uint8_t split[256];
		const struct regex_nfa_state *s = &b->nfa->state[i];
		unsigned int n = b->n_classes;

		if (s->kind)
			continue;
		memset(split, 0, sizeof(split));
		for (unsigned int c = 0; c < 256 && n < 256; c++) {
			uint8_t k = b->class_of[c];
			bool in = regex_class_has(&s->set, (uint8_t)c);
			bool first_in = regex_class_has(&s->set, b->octet_of[k]);

			if (in == first_in)
				continue;
			if (!split[k]) {
				split[k] = (uint8_t)n;
				b->octet_of[n++] = (uint8_t)c;
			}
			b->class_of[c] = split[k];
		}
		b->n_classes = n;
	}
	for (unsigned int c = 0; c < 256; c++) {
		struct regex_class one = {{0}};

		regex_class_add(&one, c, c);
		weight[b->class_of[c]] += c >= 'A' && c <= 'Z' ? 0.002 : regex_class_frequency(&one);
	}
	for (unsigned int k = 0; k < b->n_classes; k++)
		order[k] = (uint8_t)k;
	for (unsigned int i = 1; i < b->n_classes; i++)
		for (unsigned int k = i; k && weight[order[k]] > weight[order[k - 1]]; k--) {
			uint8_t t = order[k];

			order[k] = order[k - 1];
			order[k - 1] = t;
		}
	for (unsigned int k = 0; k < b->n_classes; k++)
		rank[order[k]] = (uint8_t)k;
	for (unsigned int c = 0; c < 256; c++) {
		b->class_of[c] = rank[b->class_of[c]];
		b->octet_of[b->class_of[c]] = (uint8_t)c;
	}
}

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
static uint32_t set_state(struct building *b)
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
	s->off[++s->n_states] = s->n;
	s->hash[at] = (uint32_t)s->n_states;
	return (uint32_t)s->n_states - 1;
}

static void transitions(struct building *b, uint32_t state)
{
	struct sets *s = &b->sets;

	for (unsigned int c = 0; c < b->n_classes && !b->too_large && !b->oom; c++) {
		set_begin(b);
		for (size_t i = s->off[state]; i < s->off[state + 1]; i++) {
			const struct regex_nfa_state *p = &b->nfa->state[s->member[i]];

			if (p->kind == 0 && regex_class_has(&p->set, b->octet_of[c]))
				set_add(b, p->a);
		}
		b->next[(size_t)state * b->n_classes + c] = set_state(b);
	}
}

static uint8_t fold_of(unsigned int octet)
{
	return octet > 0x7f ? 0x7f : octet >= 'A' && octet <= 'Z' ? octet | 0x20 : octet;
}

static void all_pairs(struct automaton_head *h, unsigned int pair, uint64_t bit)
{
	for (size_t i = 0; i < AUTOMATON_FOLDS * AUTOMATON_FOLDS; i++)
		h->mask[pair][i] |= bit;
}

/* One position of the set: its octets, and then any of those that may follow from it. */
static void pairs_of(struct building *b, struct automaton_head *h, unsigned int pair, uint64_t bit,
		     const struct regex_nfa_state *s)
{
	struct regex_class next = {{0}};

	for (size_t i = 0; i < b->n_set; i++) {
		const struct regex_nfa_state *t = &b->nfa->state[b->set[i]];

		if (t->kind == 2)
			regex_class_add(&next, 0, 255);
		else
			regex_class_or(&next, &t->set);
	}
	for (unsigned int c = 0; c < 256; c++)
		for (unsigned int d = 0; regex_class_has(&s->set, (uint8_t)c) && d < 256; d++)
			if (regex_class_has(&next, (uint8_t)d))
				h->mask[pair][fold_of(c) * AUTOMATON_FOLDS + fold_of(d)] |= bit;
}

/* The pairs of octets that may stand where a bucket starts, and one and two behind; all, once it has
 * found something. */
static void masks(struct building *b, struct automaton_head *h, unsigned int bucket,
		  const struct regex_gate *gate, size_t n_gates)
{
	uint32_t *now = malloc((b->nfa->n + 1) * sizeof(*now));
	uint64_t bit = (uint64_t)1 << bucket;
	bool found = false;
	size_t n;

	if (!now) {
		b->oom = true;
		return;
	}
	set_begin(b);
	for (size_t i = 0; i < n_gates; i++)
		if (i % AUTOMATON_BUCKETS == bucket)
			set_add(b, gate[i].start);
	n = b->n_set;
	memcpy(now, b->set, n * sizeof(*now));
	for (unsigned int k = 0; k < AUTOMATON_PAIRS; k++) {
		for (size_t i = 0; i < n; i++) {
			const struct regex_nfa_state *s = &b->nfa->state[now[i]];

			found |= s->kind == 2;
			if (s->kind != 0)
				continue;
			set_begin(b);
			set_add(b, s->a);
			pairs_of(b, h, k, bit, s);
		}
		if (found)
			all_pairs(h, k, bit);
		set_begin(b);
		for (size_t i = 0; i < n; i++)
			if (b->nfa->state[now[i]].kind == 0)
				set_add(b, b->nfa->state[now[i]].a);
		n = b->n_set;
		memcpy(now, b->set, n * sizeof(*now));
	}
	free(now);
}

static void determinise(struct building *b, struct automaton_head *h, const struct regex_gate *gate,
			size_t n_gates)
{
	set_begin(b);
	set_state(b);                    /* AUTOMATON_DEAD: nothing is waited for */
	for (unsigned int c = 0; c < 256; c++)
		h->fold[c] = fold_of(c);
	for (unsigned int bucket = 0; bucket < AUTOMATON_BUCKETS; bucket++) {
		set_begin(b);
		for (size_t i = 0; i < n_gates; i++)
			if (i % AUTOMATON_BUCKETS == bucket)
				set_add(b, gate[i].start);
		b->start[bucket] = set_state(b);
		masks(b, h, bucket, gate, n_gates);
	}
	for (uint32_t i = 0; i < b->sets.n_states && !b->too_large && !b->oom; i++)
		transitions(b, i);
}

/* ---- blob --------------------------------------------------------------------------------- */

static size_t finds(const struct building *b, uint32_t state, uint32_t *gate)
{
	const struct sets *s = &b->sets;
	size_t n = 0;

	for (size_t i = s->off[state]; i < s->off[state + 1]; i++)
		if (b->nfa->state[s->member[i]].kind == 2) {
			if (gate)
				gate[n] = b->nfa->state[s->member[i]].a;
			n++;
		}
	return n;
}

static uint32_t aligned(size_t n)
{
	return (uint32_t)((n + ALIGN - 1) & ~(size_t)(ALIGN - 1));
}

/* States that find nothing first, then the others; number[]: old → new. */
static void fill(struct building *b, struct automaton_head *h, uint8_t *blob, const uint32_t *number,
		 uint32_t *old, const struct regex_gate *gate)
{
	uint16_t *next = (uint16_t *)(blob + h->next_off);
	uint32_t *accept = (uint32_t *)(blob + h->accept_off), *found = (uint32_t *)(blob + h->found_off);
	uint32_t *id = (uint32_t *)(blob + h->id_off);
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
	for (uint32_t k = 0; k < h->n_gates; k++)
		id[k] = gate[k].id;
	for (unsigned int k = 0; k < AUTOMATON_BUCKETS; k++)
		h->start[k] = (uint16_t)number[b->start[k]];
	memcpy(blob, h, sizeof(*h));
}

static int make_blob(struct building *b, struct automaton_head *h, const struct regex_gate *gate,
		     size_t n_gates, void **out, size_t *len)
{
	uint32_t n_states = (uint32_t)b->sets.n_states, plain = 0, other;
	uint32_t *number = malloc((n_states + 1) * 2 * sizeof(*number));
	size_t n_accepting = 0;
	uint8_t *blob = NULL;

	if (!number)
		return -ENOMEM;
	h->magic = AUTOMATON_MAGIC;
	h->n_states = n_states;
	h->n_gates = (uint32_t)n_gates;
	for (uint32_t i = 0; i < n_states; i++) {
		size_t k = finds(b, i, NULL);

		h->n_found += (uint32_t)k;
		n_accepting += k > 0;
	}
	h->accept_from = other = n_states - (uint32_t)n_accepting;
	for (uint32_t i = 0; i < n_states; i++)
		number[i] = finds(b, i, NULL) ? other++ : plain++;
	while (1u << h->shift < b->n_classes)
		h->shift++;
	memcpy(h->class_of, b->class_of, sizeof(h->class_of));
	h->next_off = aligned(sizeof(*h));
	h->accept_off = aligned(h->next_off + ((size_t)n_states << h->shift) * 2);
	h->found_off = aligned(h->accept_off + (n_accepting + 1) * 4);
	h->id_off = aligned(h->found_off + (size_t)h->n_found * 4);
	h->size = aligned(h->id_off + n_gates * 4);
	blob = aligned_alloc(ALIGN, h->size);
	if (blob) {
		memset(blob, 0, h->size);
		fill(b, h, blob, number, number + n_states + 1, gate);
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
	free(b->sets.hash);
	free(b->mark);
	free(b->stack);
	free(b->set);
	free(b->next);
}

static bool building_new(struct building *b)
{
	size_t n = b->nfa->n + 1, hash = 1024;

	while (hash < b->max * 4)
		hash *= 2;
	b->n_classes = 1;
	b->sets.hash_size = hash;
	b->sets.hash = calloc(hash, sizeof(*b->sets.hash));
	b->sets.off = calloc(b->max + 2, sizeof(*b->sets.off));
	b->mark = calloc(n, sizeof(*b->mark));
	b->stack = calloc(2 * n + 2, sizeof(*b->stack)); /* each position pushes two at most, once */
	b->set = calloc(n, sizeof(*b->set));
	if (!b->sets.hash || !b->sets.off || !b->mark || !b->stack || !b->set)
		return false;
	classes(b);
	b->next = calloc((b->max + 1) * b->n_classes, sizeof(*b->next));
	return b->next != NULL;
}

int regex_determinise(const struct regex_nfa *nfa, const struct regex_gate *gate, size_t n_gates,
		      size_t max, void **out, size_t *len, size_t *n_states)
{
	struct building b = {.nfa = nfa, .max = max};
	struct automaton_head *h = calloc(1, sizeof(*h));
	int rc = -ENOMEM;

	*n_states = 0;
	if (!h || !building_new(&b))
		goto out;
	determinise(&b, h, gate, n_gates);
	*n_states = b.sets.n_states;
	if (b.too_large)
		rc = -E2BIG;
	else if (!b.oom)
		rc = make_blob(&b, h, gate, n_gates, out, len);
out:
	building_free(&b);
	free(h);
	return rc;
}
