/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Literals of one slot's gated rules → dataplane/scan/literals.h. */

#include "control/rules/rules_literals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/sieve_made.h"
#include "dataplane/scan/literals.h"

/* Octets of a filter for each gram, at the most; what is in the second cache bounds it. */
#define FILTER_SPARSE 32u
#define FILTER_MAX_BITS 16u
#define ALIGN 64u
/* More different grams than that leave nothing of a sieve. */
#define SIEVE_GRAMS 96u

/* A gram that is in the filter, and how many literals have it. */
struct gram {
	uint64_t value;
	size_t n;
};

struct builder {
	unsigned int kind;       /* literals_kind */
	struct literals_entry *entry;
	size_t n;
	struct gram *gram;       /* by hash; n 0: free */
	size_t gram_mask;
	uint32_t *id;
	size_t n_gates;
};

static struct gram *find(const struct builder *b, uint64_t value)
{
	size_t i = literals_hash(value) >> 32;

	while (b->gram[i & b->gram_mask].n && b->gram[i & b->gram_mask].value != value)
		i++;
	return &b->gram[i & b->gram_mask];
}

/* Octets that share their lowest three bits with this one: the filter does not tell them apart. */
static double behind(uint8_t octet)
{
	struct regex_class c = {{0}};

	for (unsigned int o = octet & 7; o < 256; o += 8)
		regex_class_add(&c, o, o);
	return regex_class_frequency(&c);
}

/* How often a place of mail will pass the filter for this gram: where it stands, and where another
 * one has its bit in the filter. What is compared then costs about a tenth of that for each. */
static double cost(const struct builder *b, const struct regex_literal *l, unsigned int at)
{
	unsigned int n = literals_kind[b->kind].gram;
	struct regex_literal part = {.len = (uint8_t)n, .caseless = true};
	const struct gram *g = find(b, literals_gram(l->octet + at, n));
	bool last = at + n == l->len;
	double f;

	for (unsigned int i = 0; i < n; i++) {
		uint8_t c = l->octet[at + i];

		part.octet[i] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
	}
	f = regex_literal_frequency(&part);
	if (b->kind)
		return f * (1 + (double)g->n / 10) + (g->n ? 0 : 0.125 / (1u << FILTER_MAX_BITS));
	f *= last ? 1 : behind(l->octet[at + n]);
	return f * (1 + (double)g->n / 10) + (g->n ? 0 : (last ? 1.0 : 0.125) / (1u << FILTER_MAX_BITS));
}

/* With the rarest gram of those at `first` and every stride-th place behind it. */
static void add_one(struct builder *b, const struct regex_literal *l, uint16_t gate,
		    unsigned int first)
{
	unsigned int n = literals_kind[b->kind].gram;
	struct literals_entry e = {.gate = gate, .len = l->len};
	double least = 0;
	struct gram *g;

	for (unsigned int at = first; at + n <= l->len; at += literals_kind[b->kind].stride) {
		double c = cost(b, l, at);

		if (at == first || c < least) {
			least = c;
			e.at = (uint8_t)at;
		}
	}
	e.gram = literals_gram(l->octet + e.at, n);
	memcpy(e.octet, l->octet, l->len);
	for (unsigned int i = 0; i < l->len; i++)
		if (l->caseless && l->octet[i] >= 'a' && l->octet[i] <= 'z')
			e.fold[i] = 0x20;
	g = find(b, e.gram);
	*g = (struct gram){e.gram, g->n + 1};
	b->entry[b->n++] = e;
}

static void add(struct builder *b, const struct regex_literal *l, uint16_t gate)
{
	for (unsigned int first = 0; first < literals_kind[b->kind].stride; first++)
		add_one(b, l, gate, first);
}

static unsigned int bits_for(size_t n, unsigned int most)
{
	unsigned int bits = LITERALS_MIN_BITS;

	while (bits < most && (size_t)1 << bits < n)
		bits++;
	return bits;
}

static size_t aligned(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static void lay_out(const struct builder *b, struct literals_head *h)
{
	size_t end = aligned(sizeof(*h));

	h->filter_bits = bits_for(b->n * FILTER_SPARSE, FILTER_MAX_BITS);
	h->bucket_bits = bits_for(b->n * 2, LITERALS_MAX_BITS);
	h->filter_off = (uint32_t)end;
	h->bucket_off = (uint32_t)aligned(h->filter_off + ((size_t)1 << h->filter_bits));
	h->tag_off = (uint32_t)aligned(h->bucket_off + (((size_t)1 << h->bucket_bits) + 1) * 4);
	h->entry_off = (uint32_t)aligned(h->tag_off + b->n * 2);
	h->id_off = (uint32_t)aligned(h->entry_off + b->n * sizeof(struct literals_entry));
	h->size = (uint32_t)aligned(h->id_off + b->n_gates * 4);
}

static void fill_filter(const struct literals_head *h, const struct literals_entry *e, uint8_t *filter)
{
	uint64_t hash = literals_hash(e->gram);
	unsigned int behind = e->at + literals_kind[h->kind].gram;
	uint8_t *to = &filter[hash >> (64 - h->filter_bits)];

	if (h->kind)
		*to |= (uint8_t)(1u << literals_bit(hash));
	else
		*to |= behind == e->len ? 0xff : (uint8_t)(1u << (e->octet[behind] & 7));
}

/* Entries in order of their buckets. */
static void fill_entries(const struct builder *b, const struct literals_head *h, uint8_t *blob)
{
	uint32_t *bucket = (uint32_t *)(void *)(blob + h->bucket_off);
	uint16_t *tag = (uint16_t *)(void *)(blob + h->tag_off);
	struct literals_entry *to = (struct literals_entry *)(void *)(blob + h->entry_off);
	size_t n_buckets = (size_t)1 << h->bucket_bits;
	unsigned int shift = 64 - h->bucket_bits;

	for (size_t i = 0; i < b->n; i++)
		bucket[(literals_hash(b->entry[i].gram) >> shift) + 1]++;
	for (size_t i = 1; i <= n_buckets; i++)
		bucket[i] += bucket[i - 1];
	/* From the back: the end of each goes down to its start. */
	for (size_t i = b->n; i-- > 0;)
		to[--bucket[(literals_hash(b->entry[i].gram) >> shift) + 1]] = b->entry[i];
	memmove(bucket, bucket + 1, n_buckets * 4);
	bucket[n_buckets] = (uint32_t)b->n;
	for (size_t i = 0; i < b->n; i++)
		tag[i] = literals_tag(literals_hash(to[i].gram));
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Grams whose last octets are alike share a bucket, where there are many. */
static void make_sieve(const struct builder *b, struct sieve *s)
{
	uint64_t gram[SIEVE_GRAMS];
	size_t n = 0;

	*s = (struct sieve){0};
	for (size_t i = 0; i <= b->gram_mask; i++) {
		if (!b->gram[i].n)
			continue;
		if (b->kind || n == SIEVE_GRAMS)
			return;
		gram[n++] = b->gram[i].value;
	}
	qsort(gram, n, sizeof(*gram), by_value);
	for (unsigned int k = 0; k < SIEVE_LEN; k++)
		s->at[k] = (uint8_t)k;
	for (size_t i = 0; i < n; i++)
		for (unsigned int k = 0; k < literals_kind[0].gram; k++) {
			uint8_t c = (uint8_t)(gram[i] >> 8 * k);
			unsigned int to = (unsigned int)(n > SIEVE_BUCKETS ? i * SIEVE_BUCKETS / n : i);

			sieve_add(s, to, k, c);
			sieve_add(s, to, k, c & 0xdf);
		}
	s->len = SIEVE_LEN;
	sieve_settle(s);
}

static int make(const struct builder *b, void **out, size_t *len)
{
	struct literals_head h = {.magic = LITERALS_MAGIC, .kind = b->kind, .n_entries = (uint32_t)b->n,
				  .n_gates = (uint32_t)b->n_gates};
	uint8_t *blob;

	make_sieve(b, &h.sieve);
	lay_out(b, &h);
	blob = aligned_alloc(ALIGN, h.size);
	if (!blob)
		return -ENOMEM;
	memset(blob, 0, h.size);
	memcpy(blob, &h, sizeof(h));
	for (size_t i = 0; i < b->n; i++)
		fill_filter(&h, &b->entry[i], blob + h.filter_off);
	fill_entries(b, &h, blob);
	memcpy(blob + h.id_off, b->id, b->n_gates * 4);
	*out = blob;
	*len = h.size;
	return 0;
}

/* n: literals; shortest: octets of one of them. False: too many. */
static bool room(const struct rules *r, const struct rules_slot *slot, size_t *n, size_t *gates,
		 unsigned int *shortest)
{
	*n = *gates = 0;
	*shortest = UINT8_MAX;
	for (size_t k = 0; k < slot->n; k++) {
		const struct regex_literals *gate = &r->src[slot->rule[k]].gate;

		if (r->rule[slot->rule[k]].tier != RULE_GATED)
			continue;
		*n += gate->n;
		++*gates;
		for (size_t l = 0; l < gate->n; l++)
			if (gate->literal[l].len < *shortest)
				*shortest = gate->literal[l].len;
	}
	return *n * literals_kind[literals_kind_of(*shortest)].stride <= LITERALS_MAX_ENTRIES &&
	       *gates <= LITERALS_MAX_GATES;
}

/* The last ones go to control. */
static void make_room(struct rules *r, const struct rules_slot *slot, size_t *n, size_t *gates,
		      unsigned int *shortest)
{
	for (size_t k = slot->n; k-- > 0 && !room(r, slot, n, gates, shortest);) {
		size_t i = slot->rule[k];

		if (r->rule[i].tier == RULE_GATED) {
			r->rule[i].tier = RULE_CONTROL;
			r->rule[i].why = "there is no room for its literals";
		}
	}
}

void rules_literals_build(struct rules *r, struct rules_slot *slot)
{
	struct builder b = {0};
	unsigned int shortest;
	size_t n, gates;

	if (!room(r, slot, &n, &gates, &shortest))
		make_room(r, slot, &n, &gates, &shortest);
	if (!gates)
		return;
	b.kind = literals_kind_of(shortest);
	n *= literals_kind[b.kind].stride;
	b.gram_mask = ((size_t)1 << bits_for(2 * n + 1, 30)) - 1;
	b.gram = calloc(b.gram_mask + 1, sizeof(*b.gram));
	b.entry = calloc(n + 1, sizeof(*b.entry));
	b.id = calloc(gates, sizeof(*b.id));
	if (b.gram && b.entry && b.id) {
		for (size_t k = 0; k < slot->n; k++) {
			const struct regex_literals *gate = &r->src[slot->rule[k]].gate;

			if (r->rule[slot->rule[k]].tier != RULE_GATED)
				continue;
			for (size_t l = 0; l < gate->n; l++)
				add(&b, &gate->literal[l], (uint16_t)b.n_gates);
			b.id[b.n_gates++] = r->rule[slot->rule[k]].id;
		}
		r->oom |= make(&b, &slot->literals, &slot->literals_len) != 0;
	} else {
		r->oom = true;
	}
	free(b.gram);
	free(b.entry);
	free(b.id);
}
