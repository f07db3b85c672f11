/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/scan/literals.h"

#include <string.h>

/* Comparisons of a call: so many an octet, and some. */
#define STEPS 16u
#define STEPS_AT_LEAST 4096u

static bool inside(uint64_t off, uint64_t n, size_t len)
{
	return off % 64 == 0 && off >= sizeof(struct literals_head) && off <= len && n <= len - off;
}

static const char *check_table(const uint8_t *blob, const struct literals_head *h,
			       const struct literals_table *t, size_t len)
{
	const uint32_t *bucket;
	size_t n;

	if (!t->n)
		return NULL;
	if (t->filter_bits < LITERALS_MIN_BITS || t->filter_bits > LITERALS_MAX_BITS ||
	    t->bucket_bits < LITERALS_MIN_BITS || t->bucket_bits > LITERALS_MAX_BITS)
		return "literals: bad sizes";
	n = ((size_t)1 << t->bucket_bits) + 1;
	if (!inside(t->filter_off, (uint64_t)1 << t->filter_bits, len) || !inside(t->bucket_off, n * 4, len))
		return "literals: tables out of bounds";
	bucket = (const uint32_t *)(const void *)(blob + t->bucket_off);
	for (size_t i = 0; i < n; i++)
		if (bucket[i] > h->n_entries || (i && bucket[i] < bucket[i - 1]))
			return "literals: bad bucket";
	return NULL;
}

static const char *check_entries(const struct literals *l, uint32_t ids)
{
	const struct literals_head *h = l->head;

	for (uint32_t i = 0; i < h->n_entries; i++) {
		const struct literals_entry *e = &l->entry[i];

		if (e->gate >= h->n_gates || e->len > LITERALS_LEN || e->at + 3u > e->len)
			return "literals: bad entry";
	}
	for (uint32_t i = 0; i < h->n_gates; i++)
		if (l->id[i] >= ids)
			return "literals: bad id";
	return NULL;
}

const char *literals_open(const void *blob, size_t len, uint32_t ids, struct literals *out)
{
	const struct literals_head *h = blob;
	const uint8_t *at = blob;
	const char *why = NULL;

	if (len < sizeof(*h) || h->magic != LITERALS_MAGIC || h->size > len)
		return "literals: bad head";
	if (!h->n_gates || h->n_gates > LITERALS_MAX_GATES || h->n_entries > LITERALS_MAX_ENTRIES)
		return "literals: bad sizes";
	if (!inside(h->entry_off, (uint64_t)h->n_entries * sizeof(struct literals_entry), len) ||
	    !inside(h->id_off, (uint64_t)h->n_gates * 4, len))
		return "literals: tables out of bounds";
	*out = (struct literals){
		.head = h, .entry = (const struct literals_entry *)(const void *)(at + h->entry_off),
		.id = (const uint32_t *)(const void *)(at + h->id_off),
	};
	for (unsigned int w = 0; w < LITERALS_WIDTHS && !why; w++)
		why = check_table(blob, h, &h->table[w], len);
	return why ? why : check_entries(out, ids);
}

/* One call. */
struct look {
	const struct literals *l;
	const uint8_t *p;
	size_t n;
	uint64_t steps;           /* that are left */
	literals_found *found;
	void *ctx;
	uint64_t met[LITERALS_MAX_GATES / 64]; /* that were told; as many as there are gates */
};

/* A table, as the loop wants it. */
struct grams {
	const uint8_t *filter;
	const uint32_t *bucket;
	unsigned int filter_shift, bucket_shift;
};

static inline bool is_met(const struct look *k, unsigned int gate)
{
	return k->met[gate / 64] >> gate % 64 & 1;
}

static void tell(struct look *k, unsigned int gate, size_t end)
{
	k->met[gate / 64] |= (uint64_t)1 << gate % 64;
	k->found(k->ctx, k->l->id[gate], end);
}

/* What is not compared counts as found. */
static void give_up(struct look *k, size_t end)
{
	for (unsigned int g = 0; g < k->l->head->n_gates; g++)
		if (!is_met(k, g))
			tell(k, g, end);
}

static bool equal(const struct literals_entry *e, const uint8_t *p)
{
	unsigned int i = 0;

	for (; i + 8 <= e->len; i += 8) {
		uint64_t text, octet, fold;

		memcpy(&text, p + i, 8);
		memcpy(&octet, e->octet + i, 8);
		memcpy(&fold, e->fold + i, 8);
		if ((text | fold) != octet)
			return false;
	}
	for (; i < e->len; i++)
		if ((p[i] | e->fold[i]) != e->octet[i])
			return false;
	return true;
}

/* The gram at p[at] is, as far as its hash says, one of ours. False: no more. */
static __attribute__((noinline)) bool compare(struct look *k, const struct grams *g, uint32_t gram, size_t at)
{
	uint32_t b = literals_hash(gram) >> g->bucket_shift;
	const struct literals_entry *e = k->l->entry + g->bucket[b], *end = k->l->entry + g->bucket[b + 1];

	for (; e < end; e++) {
		if (e->gram != gram)
			continue;
		if (!k->steps) {
			give_up(k, at + 1);
			return false;
		}
		k->steps--;
		if (!is_met(k, e->gate) && at >= e->at && e->len <= k->n - (at - e->at) &&
		    equal(e, k->p + at - e->at))
			tell(k, e->gate, at - e->at + e->len);
	}
	return true;
}

static struct grams grams_of(const struct literals *l, unsigned int width)
{
	const struct literals_table *t = &l->head->table[width];
	const uint8_t *blob = (const uint8_t *)l->head;

	return (struct grams){
		.filter = blob + t->filter_off,
		.bucket = (const uint32_t *)(const void *)(blob + t->bucket_off),
		.filter_shift = 32 - t->filter_bits, .bucket_shift = 32 - t->bucket_bits,
	};
}

static inline uint32_t gram_at(const uint8_t *p, unsigned int width)
{
	uint32_t v;

	if (width == LITERALS_OF_FOUR) {
		memcpy(&v, p, 4);
		return v | LITERALS_FOLD;
	}
	memcpy(&v, p, 4);
	return (v | LITERALS_FOLD) & 0xffffff;
}

static inline unsigned int passes(const struct grams *g, uint32_t gram, unsigned int behind)
{
	return g->filter[literals_hash(gram) >> g->filter_shift] >> (behind & 7) & 1;
}

/* The last places: no octet behind them may be read. */
static bool at_the_end(struct look *k, const struct grams *g, unsigned int width, size_t i, size_t to)
{
	unsigned int octets = width == LITERALS_OF_FOUR ? 4 : 3;

	for (; i < to && i + octets <= k->n; i++) {
		uint8_t last[5] = {0};
		uint32_t gram;

		memcpy(last, k->p + i, k->n - i < 5 ? k->n - i : 5);
		gram = gram_at(last, width);
		if (!compare(k, g, gram, i))
			return false;
	}
	return true;
}

static inline __attribute__((always_inline)) bool look(struct look *k, unsigned int width, size_t from, size_t to)
{
	const unsigned int octets = width == LITERALS_OF_FOUR ? 4 : 3;
	const struct grams g = grams_of(k->l, width);
	const uint8_t *p = k->p;
	size_t i = from;
	/* Four places at once, each with the octet behind its gram. */
	size_t most = k->n < 8 ? 0 : k->n - 8 + 1;

	if (most > to)
		most = to;
	for (; i + 4 <= most; i += 4) {
		uint32_t a = gram_at(p + i, width), b = gram_at(p + i + 1, width);
		uint32_t c = gram_at(p + i + 2, width), d = gram_at(p + i + 3, width);
		unsigned int pa = passes(&g, a, p[i + octets]), pb = passes(&g, b, p[i + 1 + octets]);
		unsigned int pc = passes(&g, c, p[i + 2 + octets]), pd = passes(&g, d, p[i + 3 + octets]);

		if (__builtin_expect(!(pa | pb | pc | pd), 1))
			continue;
		if ((pa && !compare(k, &g, a, i)) || (pb && !compare(k, &g, b, i + 1)) ||
		    (pc && !compare(k, &g, c, i + 2)) || (pd && !compare(k, &g, d, i + 3)))
			return false;
	}
	return at_the_end(k, &g, width, i, to);
}

void literals_run(const struct literals *l, const uint8_t *p, size_t n, size_t from, size_t to,
		  literals_found *found, void *ctx)
{
	struct look k;

	k.l = l;
	k.p = p;
	k.n = n;
	k.steps = (uint64_t)n * STEPS + STEPS_AT_LEAST;
	k.found = found;
	k.ctx = ctx;
	memset(k.met, 0, (l->head->n_gates + 63) / 64 * 8);
	if (l->head->table[LITERALS_OF_FOUR].n && !look(&k, LITERALS_OF_FOUR, from, to))
		return;
	if (l->head->table[LITERALS_OF_THREE].n)
		look(&k, LITERALS_OF_THREE, from, to);
}
