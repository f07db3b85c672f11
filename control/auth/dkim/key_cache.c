/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <openssl/rand.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "control/auth/dkim/tags.h"
#include "control/hash/siphash.h"

struct entry {
	TAILQ_ENTRY(entry) lru;
	struct entry *next;
	struct siphash128 hash;
	struct dkim_key key;
	size_t len;
	uint8_t text[]; /* the record */
};

struct dkim_keys {
	TAILQ_HEAD(entry_list, entry) lru; /* head: used last */
	size_t cap, buckets;
	struct dkim_keys_stats stats;
	uint8_t secret[16];
	struct entry *bucket[];
};

struct dkim_keys *dkim_keys_new(size_t cap)
{
	size_t buckets = 64;
	struct dkim_keys *k;

	while (buckets < cap)
		buckets *= 2;
	k = calloc(1, sizeof(*k) + buckets * sizeof(k->bucket[0]));
	if (!k || RAND_bytes(k->secret, sizeof(k->secret)) != 1) {
		free(k);
		return NULL;
	}
	TAILQ_INIT(&k->lru);
	k->cap = cap ? cap : 1;
	k->buckets = buckets;
	return k;
}

static void drop(struct dkim_keys *k, struct entry *e)
{
	struct entry **at = &k->bucket[e->hash.lo & (k->buckets - 1)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	TAILQ_REMOVE(&k->lru, e, lru);
	dkim_key_close(&e->key);
	free(e);
	k->stats.kept--;
}

void dkim_keys_free(struct dkim_keys *k)
{
	struct entry *e;

	if (!k)
		return;
	while ((e = TAILQ_FIRST(&k->lru)))
		drop(k, e);
	free(k);
}

void dkim_keys_stats(const struct dkim_keys *k, struct dkim_keys_stats *out)
{
	*out = k->stats;
}

static struct entry *find(struct dkim_keys *k, struct siphash128 h, struct str record)
{
	struct entry *e = k->bucket[h.lo & (k->buckets - 1)];

	while (e && (e->hash.lo != h.lo || e->hash.hi != h.hi ||
		     !str_eq(str_make(e->text, e->len), record)))
		e = e->next;
	return e;
}

static struct entry *insert(struct dkim_keys *k, struct siphash128 h, struct str record,
			    const struct dkim_key *key)
{
	struct entry *e = malloc(sizeof(*e) + record.n), **at;

	if (!e)
		return NULL;
	e->hash = h;
	e->key = *key;
	e->len = record.n;
	memcpy(e->text, record.p, record.n);
	if (k->stats.kept == k->cap)
		drop(k, TAILQ_LAST(&k->lru, entry_list));
	at = &k->bucket[h.lo & (k->buckets - 1)];
	e->next = *at;
	*at = e;
	TAILQ_INSERT_HEAD(&k->lru, e, lru);
	k->stats.kept++;
	return e;
}

struct dkim_key *dkim_keys_get(struct dkim_keys *k, struct str record, struct dkim_key *own,
			       const char **why)
{
	struct siphash128 h = {0};
	struct entry *e = NULL;

	if (k) {
		h = siphash128(k->secret, record.p, record.n);
		e = find(k, h, record);
	}
	if (e) {
		k->stats.hits++;
		TAILQ_REMOVE(&k->lru, e, lru);
		TAILQ_INSERT_HEAD(&k->lru, e, lru);
		return &e->key;
	}
	if (k)
		k->stats.misses++;
	if (dkim_key_parse(record, own, why))
		return NULL;
	if (k)
		e = insert(k, h, record, own);
	return e ? &e->key : own;
}
