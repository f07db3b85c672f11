/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Each bit of the masks stands for a bucket of gates. The more of them share one, and the more ways
 * they have to begin, the less its pairs say: a pair of one way and the next pair of another pass
 * together. So gates that start alike are one, large ones stay alone, the others go together as
 * regex_cluster.c tries out, and the bits that are left part the buckets that most places pass, by the
 * octet they begin with.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/mailtext.h"
#include "control/rules/regex/regex_automaton.h"

#define LARGE 300u            /* states: others in the bucket would multiply them */
#define LARGE_BUCKETS 24u
#define SMALL_BUCKETS 54u     /* large ones among them */
#define ITEMS 256u            /* that are tried which of them go together; half of it small ones */
#define SAMPLE (32u * 1024)
#define PLACES_FEW 0.0005     /* no use to part such a bucket */
#define FEW_GATES 8u          /* no use at all: one that is only tried out */

struct ranked {
	uint32_t number;         /* of the caller's */
	unsigned int depth;
	uint64_t start;          /* hash of its first pairs */
	uint32_t weight;         /* states, of the largest that start alike */
};

static const struct regex_class any = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};

/* ---- order -------------------------------------------------------------------------------- */

static uint64_t hash_of(const void *p, size_t n)
{
	const uint8_t *octet = p;
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < n; i++)
		h = (h ^ octet[i]) * 0x100000001b3ull;
	return h ^ h >> 29;
}

static int by_start(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	bool large = x->weight > LARGE || y->weight > LARGE;

	if (large && x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	return by_start(a, b);
}

static int rank_all(const struct regex_nfa *nfa, const struct regex_gate *gate, size_t n, struct ranked *rank)
{
	struct regex_pairs *pairs = malloc(sizeof(*pairs));
	int rc = pairs ? 0 : -ENOMEM;

	for (size_t i = 0; !rc && i < n; i++) {
		rc = regex_pairs(nfa, gate, i, i + 1, &any, pairs);
		if (!rc)
			rank[i] = (struct ranked){(uint32_t)i, pairs->depth,
						  hash_of(pairs->row, AUTOMATON_FIRST * sizeof(pairs->row[0])),
						  gate[i].weight};
	}
	free(pairs);
	if (rc)
		return rc;
	qsort(rank, n, sizeof(*rank), by_start);
	for (size_t i = 1; i < n; i++)
		if (rank[i].start == rank[i - 1].start)
			rank[i].weight = rank[i - 1].weight;
	qsort(rank, n, sizeof(*rank), by_rank);
	return 0;
}

/* Large ones stay alone; those that start alike are one. Items of ranks [at[k], at[k + 1]), and their
 * number; *small: the first that is not large. */
static size_t items(const struct ranked *rank, size_t n, uint16_t at[ITEMS + 1], size_t *small)
{
	size_t used = 0, i = 0, from = 0, left, most;

	for (; i < n && rank[i].weight > LARGE && used < LARGE_BUCKETS; i++)
		if (i + 1 == n || rank[i + 1].start != rank[i].start) {
			at[used++] = (uint16_t)from;
			from = i + 1;
		}
	*small = used;
	left = n - from;
	most = (ITEMS - used) / 2;
	for (i = 0; i < left; i++)
		/* So many that it would take too long to try all: some side by side are one. */
		if (!i || (left > most ? i * most / left != (i - 1) * most / left
				       : rank[from + i].start != rank[from + i - 1].start))
			at[used++] = (uint16_t)(from + i);
	at[used] = (uint16_t)n;
	return used;
}

/* cluster[i]: the first item that is in one bucket with item i. */
static int join_items(const struct regex_nfa *nfa, const struct regex_gate *gate, const struct ranked *rank,
		      const uint16_t at[ITEMS + 1], size_t small, size_t n, uint16_t cluster[ITEMS])
{
	size_t left = n - small;
	struct regex_pairs *pairs = NULL;
	uint32_t *weight = NULL;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		cluster[i] = (uint16_t)i;
	if (n <= SMALL_BUCKETS)
		return 0;
	pairs = calloc(left, sizeof(*pairs));
	weight = calloc(left, sizeof(*weight));
	if (!pairs || !weight)
		rc = -ENOMEM;
	for (size_t i = 0; !rc && i < left; i++) {
		weight[i] = rank[at[small + i]].weight;
		rc = regex_pairs(nfa, gate, at[small + i], at[small + i + 1], &any, &pairs[i]);
	}
	if (!rc)
		rc = regex_cluster(pairs, weight, left, SMALL_BUCKETS - small, cluster + small);
	for (size_t i = small; !rc && i < n; i++)
		cluster[i] = (uint16_t)(cluster[i] + small);
	free(pairs);
	free(weight);
	return rc;
}

/* Gates [0, n) into buckets, and *used of these; gate[] is in order of rank, and then in theirs. */
static int distribute(const struct regex_nfa *nfa, const struct ranked *rank, struct regex_gate *gate, size_t n,
		      uint32_t *number, struct regex_bucket *bucket, size_t *used)
{
	struct regex_gate *old = calloc(n + 1, sizeof(*old));
	uint16_t at[ITEMS + 1], cluster[ITEMS];
	size_t small, all = items(rank, n, at, &small), to = 0;
	int rc = old ? join_items(nfa, gate, rank, at, small, all, cluster) : -ENOMEM;

	if (!rc)
		memcpy(old, gate, n * sizeof(*old));
	for (size_t first = 0; !rc && first < all; first++) {
		size_t from = to;

		for (size_t i = first; i < all; i++)
			for (size_t k = at[i]; cluster[i] == first && k < at[i + 1]; k++) {
				gate[to] = old[k];
				number[rank[k].number] = (uint32_t)to++;
			}
		if (to > from)
			bucket[(*used)++] = (struct regex_bucket){.from = (uint16_t)from, .to = (uint16_t)to};
	}
	free(old);
	return rc;
}

/* ---- parting ------------------------------------------------------------------------------ */

struct parting {
	const struct regex_nfa *nfa;
	const struct regex_gate *gate;
	uint8_t text[SAMPLE];
};

/* Pairs of a bucket, and how many places pass the first of them. */
static int measure(const struct parting *p, struct regex_bucket *b, uint32_t by_octet[256])
{
	size_t n = 0;
	int rc;

	if (!b->pairs)
		b->pairs = malloc(sizeof(*b->pairs));
	if (!b->pairs)
		return -ENOMEM;
	rc = regex_pairs(p->nfa, p->gate, b->from, b->to, &b->begin, b->pairs);
	memset(by_octet, 0, 256 * sizeof(*by_octet));
	for (size_t i = 1; !rc && i + AUTOMATON_FIRST < SAMPLE; i++) {
		size_t k = 0;

		while (k < AUTOMATON_FIRST && regex_class_has(&b->pairs->row[k][p->text[i + k - 1]], p->text[i + k]))
			k++;
		if (k == AUTOMATON_FIRST) {
			n++;
			by_octet[p->text[i]]++;
		}
	}
	b->places = (double)n / SAMPLE;
	return rc;
}

/* Octets one by one, those with most places first, to the half that has less. */
static void halve(const struct regex_bucket *b, uint32_t places[256], struct regex_class half[2])
{
	uint32_t sum[2] = {0, 0};

	memset(half, 0, 2 * sizeof(*half));
	for (unsigned int turn = 0; turn < 256; turn++) {
		unsigned int best = 256, to = sum[1] < sum[0];

		for (unsigned int c = 0; c < 256; c++)
			if (regex_class_has(&b->begin, (uint8_t)c) && !regex_class_has(&half[0], (uint8_t)c) &&
			    !regex_class_has(&half[1], (uint8_t)c) && (best == 256 || places[c] > places[best]))
				best = c;
		if (best == 256)
			return;
		regex_class_add(&half[to], best, best);
		sum[to] += places[best] + 1;
	}
}

static int part(struct parting *p, struct regex_bucket *bucket, size_t used)
{
	uint32_t places[AUTOMATON_BUCKETS][256];
	double left[AUTOMATON_BUCKETS] = {0}; /* 0: not to be parted */
	int rc = 0;

	mailtext_body(6, p->text, SAMPLE);
	for (size_t k = 0; !rc && k < used; k++) {
		rc = measure(p, &bucket[k], places[k]);
		left[k] = bucket[k].places;
	}
	while (!rc && used < AUTOMATON_BUCKETS) {
		struct regex_class half[2];
		size_t most = 0;
		double before;

		for (size_t k = 1; k < used; k++)
			if (left[k] > left[most])
				most = k;
		if (left[most] < PLACES_FEW)
			break;
		before = left[most];
		halve(&bucket[most], places[most], half);
		bucket[used] = (struct regex_bucket){.from = bucket[most].from, .to = bucket[most].to, .begin = half[1]};
		bucket[most].begin = half[0];
		rc = measure(p, &bucket[most], places[most]);
		if (!rc)
			rc = measure(p, &bucket[used], places[used]);
		left[most] = bucket[most].places;
		left[used] = bucket[used].places;
		/* Gates that are told apart by their first octet no better than not. */
		if (left[most] + left[used] > 0.95 * before)
			left[most] = left[used] = 0;
		used++;
	}
	return rc;
}

int regex_buckets(const struct regex_nfa *nfa, struct regex_gate *gate, size_t n, uint32_t *number,
		  struct regex_bucket bucket[AUTOMATON_BUCKETS])
{
	struct ranked *rank = calloc(n + 1, sizeof(*rank));
	struct regex_gate *old = calloc(n + 1, sizeof(*old));
	struct parting *p = calloc(1, sizeof(*p));
	int rc = rank && old && p ? rank_all(nfa, gate, n, rank) : -ENOMEM;
	size_t used = 0;

	memset(bucket, 0, AUTOMATON_BUCKETS * sizeof(*bucket));
	if (!rc) {
		memcpy(old, gate, n * sizeof(*old));
		for (size_t i = 0; i < n; i++)
			gate[i] = old[rank[i].number];
		rc = distribute(nfa, rank, gate, n, number, bucket, &used);
		p->nfa = nfa;
		p->gate = gate;
	}
	for (size_t k = 0; k < used; k++)
		bucket[k].begin = any;
	for (size_t k = 0; !rc && n <= FEW_GATES && k < used; k++) {
		uint32_t places[256];

		rc = measure(p, &bucket[k], places);
	}
	if (!rc && n > FEW_GATES)
		rc = part(p, bucket, used);
	free(rank);
	free(old);
	free(p);
	return rc;
}

void regex_buckets_free(struct regex_bucket bucket[AUTOMATON_BUCKETS])
{
	for (size_t k = 0; k < AUTOMATON_BUCKETS; k++)
		free(bucket[k].pairs);
}
