/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/scan/literals.h"

/* Comparisons of a call: so many an octet, and some. */
#define STEPS 16u
#define STEPS_AT_LEAST 4096u

static bool inside(uint64_t off, uint64_t n, size_t len)
{
	return off % 64 == 0 && off >= sizeof(struct literals_head) && off <= len && n <= len - off;
}

static bool bits_fit(uint32_t bits)
{
	return bits >= LITERALS_MIN_BITS && bits <= LITERALS_MAX_BITS;
}

static const char *check_head(const struct literals_head *h, size_t len)
{
	if (len < sizeof(*h) || h->magic != LITERALS_MAGIC || h->size > len)
		return "literals: bad head";
	if (!h->n_gates || h->n_gates > LITERALS_MAX_GATES || h->n_entries > LITERALS_MAX_ENTRIES ||
	    h->kind >= LITERALS_KINDS ||
	    !sieve_valid(&h->sieve) || (h->sieve.len && h->kind) || !bits_fit(h->filter_bits) || !bits_fit(h->bucket_bits))
		return "literals: bad sizes";
	if (!inside(h->filter_off, (uint64_t)1 << h->filter_bits, len) ||
	    !inside(h->bucket_off, (((uint64_t)1 << h->bucket_bits) + 1) * 4, len) ||
	    !inside(h->tag_off, (uint64_t)h->n_entries * 2, len) ||
	    !inside(h->entry_off, (uint64_t)h->n_entries * sizeof(struct literals_entry), len) ||
	    !inside(h->id_off, (uint64_t)h->n_gates * 4, len))
		return "literals: tables out of bounds";
	return NULL;
}

static const char *check_tables(const struct literals *l, uint32_t ids)
{
	const struct literals_head *h = l->head;

	for (size_t i = 0; i <= (size_t)1 << h->bucket_bits; i++)
		if (l->bucket[i] > h->n_entries || (i && l->bucket[i] < l->bucket[i - 1]))
			return "literals: bad bucket";
	for (uint32_t i = 0; i < h->n_entries; i++) {
		const struct literals_entry *e = &l->entry[i];

		if (e->gate >= h->n_gates || e->len > LITERALS_LEN ||
		    e->at + literals_kind[h->kind].gram > e->len)
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
	const char *why = check_head(h, len);

	if (why)
		return why;
	*out = (struct literals){
		.head = h, .filter = at + h->filter_off,
		.bucket = (const uint32_t *)(const void *)(at + h->bucket_off),
		.tag = (const uint16_t *)(const void *)(at + h->tag_off),
		.entry = (const struct literals_entry *)(const void *)(at + h->entry_off),
		.id = (const uint32_t *)(const void *)(at + h->id_off),
	};
	return check_tables(out, ids);
}

/* One call. */
struct look {
	const struct literals *l;
	const uint8_t *p;
	size_t n;
	uint64_t steps;           /* that are left */
	gate_found *found;
	void *ctx;
	uint8_t told[LITERALS_MAX_GATES]; /* how often, GATE_PLACES + 1 at most; of n_gates */
};

static void tell(struct look *k, unsigned int gate, size_t end)
{
	k->told[gate]++;
	k->found(k->ctx, k->l->id[gate], end);
}

/* What is not compared counts as found, at places that are not told. */
static void give_up(struct look *k, size_t end)
{
	for (unsigned int g = 0; g < k->l->head->n_gates; g++)
		while (k->told[g] <= GATE_PLACES)
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
static __attribute__((noinline)) bool compare(struct look *k, uint64_t gram, size_t at)
{
	const struct literals *l = k->l;
	const uint64_t hash = literals_hash(gram);
	const uint32_t *b = l->bucket + (hash >> (64 - l->head->bucket_bits));
	const uint16_t tag = literals_tag(hash);

	for (uint32_t i = b[0]; i < b[1]; i++) {
		const struct literals_entry *e = l->entry + i;

		if (!k->steps) {
			give_up(k, at + 1);
			return false;
		}
		k->steps--;
		if (l->tag[i] != tag || e->gram != gram)
			continue;
		if (k->told[e->gate] <= GATE_PLACES && at >= e->at &&
		    e->len <= k->n - (at - e->at) && equal(e, k->p + at - e->at))
			tell(k, e->gate, at - e->at + e->len);
	}
	return true;
}

#define EACH static inline __attribute__((always_inline)) /* made for each kind: it is a constant */
#define READ 8u /* octets from a place on that the filter reads */

EACH bool passes(const uint8_t *filter, unsigned int shift, unsigned int kind, const uint8_t *p,
		 uint64_t *gram)
{
	uint64_t h;

	*gram = literals_gram_fast(p, literals_kind[kind].gram);
	h = literals_hash(*gram);
	return filter[h >> shift] >> (kind ? literals_bit(h) : p[4] & 7u) & 1;
}

EACH void look(struct look *k, unsigned int kind, size_t i, size_t to)
{
	const unsigned int n = literals_kind[kind].gram, step = literals_kind[kind].stride;
	const unsigned int shift = 64 - k->l->head->filter_bits, three = 3 * step;
	const uint8_t *p = k->p, *filter = k->l->filter;
	uint64_t a, b, c, d;

	/* Four places at once. */
	for (; i + three < to && i + three + READ <= k->n; i += 4 * step) {
		bool pa = passes(filter, shift, kind, p + i, &a);
		bool pb = passes(filter, shift, kind, p + i + step, &b);
		bool pc = passes(filter, shift, kind, p + i + 2 * step, &c);
		bool pd = passes(filter, shift, kind, p + i + three, &d);

		if (__builtin_expect(!(pa | pb | pc | pd), 1))
			continue;
		if ((pa && !compare(k, a, i)) || (pb && !compare(k, b, i + step)) ||
		    (pc && !compare(k, c, i + 2 * step)) || (pd && !compare(k, d, i + three)))
			return;
	}
	for (; i < to && i + READ <= k->n; i += step)
		if (passes(filter, shift, kind, p + i, &a) && !compare(k, a, i))
			return;
	/* The last ones, without the filter: there may be no octet behind. */
	for (; i < to && i + n <= k->n; i += step)
		if (!compare(k, literals_gram(p + i, n), i))
			return;
}

static void look_sieved(struct look *k, size_t i, size_t to)
{
	const unsigned int n = literals_kind[0].gram;
	const struct sieve *s = &k->l->head->sieve;

	for (i = sieve_next(s, k->p, k->n, i, to); i < to; i = sieve_next(s, k->p, k->n, i + 1, to))
		if (i + n <= k->n && !compare(k, literals_gram(k->p + i, n), i))
			return;
}

void literals_run(const struct literals *l, const uint8_t *p, size_t n, size_t from, size_t to,
		  uint64_t before, gate_found *found, void *ctx)
{
	/* A power of two: this far it is to the next multiple. */
	size_t first = from + (-(before + from) & (literals_kind[l->head->kind].stride - 1u));
	struct look k;

	k.l = l;
	k.p = p;
	k.n = n;
	k.steps = (uint64_t)n * STEPS + STEPS_AT_LEAST;
	k.found = found;
	k.ctx = ctx;
	memset(k.told, 0, l->head->n_gates);
	if (l->head->sieve.len) {
		look_sieved(&k, first, to);
		return;
	}
	switch (l->head->kind) {
	case 0:
		look(&k, 0, first, to);
		break;
	case 1:
		look(&k, 1, first, to);
		break;
	default:
		look(&k, 2, first, to);
		break;
	}
}
