/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Literals of one slot's gated rules → dataplane/scan/literals.h. */

#include "control/rules/rules_literals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/scan/literals.h"

/* What the filter's octets are to be, at the most, for each gram; a cache of 32 KiB bounds it. */
#define FILTER_SPARSE 16u
#define FILTER_MAX_BITS 15u
#define ALIGN 64u

/* A gram that is in the filter, and how many literals have it. */
struct gram {
	uint32_t value;
	unsigned int width;
	uint32_t n;
};

struct builder {
	struct rules *r;
	struct literals_entry *entry;
	uint8_t *width;          /* beside entry */
	size_t n, cap;
	struct gram *gram;       /* by hash; n 0: free */
	size_t gram_mask;
	uint32_t *id;
	size_t n_gates;
};

static uint32_t value_of(const uint8_t *octet, unsigned int width)
{
	uint32_t v = 0;

	memcpy(&v, octet, width == LITERALS_OF_FOUR ? 4 : 3);
	v |= LITERALS_FOLD;
	return width == LITERALS_OF_FOUR ? v : v & 0xffffff;
}

static struct gram *find(const struct builder *b, uint32_t value, unsigned int width)
{
	size_t i = literals_hash(value) + width;

	while (b->gram[i & b->gram_mask].n &&
	       (b->gram[i & b->gram_mask].value != value || b->gram[i & b->gram_mask].width != width))
		i++;
	return &b->gram[i & b->gram_mask];
}

/* How often a place of mail will pass the filter for this gram, and be compared with what is there. */
static double cost(const struct builder *b, const struct regex_literal *l, unsigned int at, unsigned int width)
{
	struct regex_literal part = {.len = (uint8_t)(width == LITERALS_OF_FOUR ? 4 : 3), .caseless = true};
	const struct gram *g = find(b, value_of(l->octet + at, width), width);

	if (at + part.len < l->len)
		part.len++;
	for (unsigned int i = 0; i < part.len; i++) {
		uint8_t c = l->octet[at + i];

		part.octet[i] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
	}
	return regex_literal_frequency(&part) * (10 + g->n) + (g->n ? 0 : 1e-5);
}

static void add(struct builder *b, const struct regex_literal *l, uint16_t gate)
{
	unsigned int width = l->len < 4 ? LITERALS_OF_THREE : LITERALS_OF_FOUR, best = 0;
	unsigned int octets = width == LITERALS_OF_FOUR ? 4 : 3;
	struct literals_entry e = {.gate = gate, .len = l->len};
	double least = 0;
	struct gram *g;

	for (unsigned int at = 0; at + octets <= l->len; at++) {
		double c = cost(b, l, at, width);

		if (at == 0 || c < least) {
			least = c;
			best = at;
		}
	}
	e.at = (uint8_t)best;
	e.gram = value_of(l->octet + best, width);
	memcpy(e.octet, l->octet, l->len);
	for (unsigned int i = 0; i < l->len; i++)
		if (l->caseless && l->octet[i] >= 'a' && l->octet[i] <= 'z')
			e.fold[i] = 0x20;
	g = find(b, e.gram, width);
	*g = (struct gram){e.gram, width, g->n + 1};
	b->width[b->n] = (uint8_t)width;
	b->entry[b->n++] = e;
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

/* Places of all parts; the size of all. */
static size_t lay_out(const struct builder *b, struct literals_head *h)
{
	size_t end = aligned(sizeof(*h));

	for (size_t i = 0; i < b->n; i++)
		h->table[b->width[i]].n++;
	for (unsigned int w = 0; w < LITERALS_WIDTHS; w++) {
		struct literals_table *t = &h->table[w];

		if (!t->n)
			continue;
		t->filter_bits = bits_for((size_t)t->n * FILTER_SPARSE, FILTER_MAX_BITS);
		t->bucket_bits = bits_for((size_t)t->n * 2, LITERALS_MAX_BITS);
		t->filter_off = (uint32_t)end;
		end = aligned(end + ((size_t)1 << t->filter_bits));
		t->bucket_off = (uint32_t)end;
		end = aligned(end + (((size_t)1 << t->bucket_bits) + 1) * 4);
	}
	h->entry_off = (uint32_t)end;
	end = aligned(end + b->n * sizeof(struct literals_entry));
	h->id_off = (uint32_t)end;
	return aligned(end + b->n_gates * 4);
}

static void fill_filter(const struct literals_table *t, const struct literals_entry *e, unsigned int octets,
			uint8_t *filter)
{
	uint8_t *f = &filter[literals_hash(e->gram) >> (32 - t->filter_bits)];

	*f |= e->at + octets < e->len ? (uint8_t)(1u << (e->octet[e->at + octets] & 7)) : 0xff;
}

/* Entries of one width, in order of their buckets, from entry number `first` on. */
static void fill_table(const struct builder *b, const struct literals_head *h, unsigned int w, uint32_t first,
		       uint8_t *blob)
{
	const struct literals_table *t = &h->table[w];
	uint32_t *bucket = (uint32_t *)(void *)(blob + t->bucket_off);
	struct literals_entry *to = (struct literals_entry *)(void *)(blob + h->entry_off);
	size_t n_buckets = (size_t)1 << t->bucket_bits;

	for (size_t i = 0; i < b->n; i++)
		if (b->width[i] == w)
			bucket[(literals_hash(b->entry[i].gram) >> (32 - t->bucket_bits)) + 1]++;
	bucket[0] = first;
	for (size_t i = 1; i <= n_buckets; i++)
		bucket[i] += bucket[i - 1];
	/* From the back, so that a bucket's start is its own again when all are placed. */
	for (size_t i = b->n; i-- > 0;) {
		const struct literals_entry *e = &b->entry[i];

		if (b->width[i] != w)
			continue;
		to[--bucket[(literals_hash(e->gram) >> (32 - t->bucket_bits)) + 1]] = *e;
		fill_filter(t, e, w == LITERALS_OF_FOUR ? 4 : 3, blob + t->filter_off);
	}
	/* ... of which each had been moved to the start of the one before. */
	memmove(bucket, bucket + 1, n_buckets * 4);
	bucket[n_buckets] = first + t->n;
}

static int make(const struct builder *b, void **out, size_t *len)
{
	struct literals_head h = {.magic = LITERALS_MAGIC, .n_entries = (uint32_t)b->n,
				  .n_gates = (uint32_t)b->n_gates};
	size_t size = lay_out(b, &h);
	uint8_t *blob = aligned_alloc(ALIGN, size);

	if (!blob)
		return -ENOMEM;
	memset(blob, 0, size);
	h.size = (uint32_t)size;
	memcpy(blob, &h, sizeof(h));
	for (unsigned int w = 0; w < LITERALS_WIDTHS; w++)
		if (h.table[w].n)
			fill_table(b, &h, w, w ? h.table[0].n : 0, blob);
	memcpy(blob + h.id_off, b->id, b->n_gates * 4);
	*out = blob;
	*len = size;
	return 0;
}

static bool room(const struct rules *r, const struct rules_slot *slot, size_t *n, size_t *gates)
{
	*n = *gates = 0;
	for (size_t k = 0; k < slot->n; k++) {
		size_t i = slot->rule[k];

		if (r->rule[i].tier == RULE_GATED) {
			*n += r->src[i].gate.n;
			++*gates;
		}
	}
	return *n <= LITERALS_MAX_ENTRIES && *gates <= LITERALS_MAX_GATES;
}

/* The last ones go to control. */
static void make_room(struct rules *r, const struct rules_slot *slot, size_t *n, size_t *gates)
{
	for (size_t k = slot->n; k-- > 0 && !room(r, slot, n, gates);) {
		size_t i = slot->rule[k];

		if (r->rule[i].tier == RULE_GATED) {
			r->rule[i].tier = RULE_CONTROL;
			r->rule[i].why = "there is no room for its literals";
		}
	}
}

void rules_literals_build(struct rules *r, struct rules_slot *slot)
{
	struct builder b = {.r = r};
	size_t n, gates;

	if (!room(r, slot, &n, &gates))
		make_room(r, slot, &n, &gates);
	if (!gates)
		return;
	b.gram_mask = ((size_t)1 << bits_for(2 * n + 1, 30)) - 1;
	b.gram = calloc(b.gram_mask + 1, sizeof(*b.gram));
	b.entry = calloc(n + 1, sizeof(*b.entry));
	b.width = calloc(n + 1, 1);
	b.id = calloc(gates, sizeof(*b.id));
	if (b.gram && b.entry && b.width && b.id) {
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
	free(b.width);
	free(b.id);
}
