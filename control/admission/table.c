/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The table: buckets of a few entries, chosen by a keyed hash. Nothing is linked and nothing is
 * allocated, so a flood of new sources costs one bucket each, and the bound is the array.
 */

#include <stdlib.h>
#include <string.h>

#include "control/admission/internal.h"
#include "control/hash/siphash.h"

#define SWEEP 2u /* buckets with each connection: all of them in as many as there are entries / 16 */

struct admission *admission_new(const uint8_t secret[16], size_t entries)
{
	struct admission *a = calloc(1, sizeof(*a));
	uint32_t buckets = 1;

	if (!a)
		return NULL;
	while ((size_t)buckets * 2 * LIMIT_SOURCE_WAYS < entries)
		buckets *= 2;
	a->buckets = buckets;
	memcpy(a->secret, secret, sizeof(a->secret));
	a->table = calloc((size_t)buckets * 2 * LIMIT_SOURCE_WAYS, sizeof(*a->table));
	if (!a->table) {
		free(a);
		return NULL;
	}
	return a;
}

void admission_free(struct admission *a)
{
	if (!a)
		return;
	free(a->table);
	free(a);
}

void admission_stats(const struct admission *a, struct admission_stats *out)
{
	*out = (struct admission_stats){.entries = (size_t)a->buckets * 2 * LIMIT_SOURCE_WAYS,
					.used = a->used, .evicted = a->evicted};
}

/* Kind, then the address without the bits behind the prefix. */
static void make_key(uint8_t key[17], enum source_kind kind, const struct ip_addr *ip)
{
	size_t n = kind == SOURCE_WIDE ? 6 : kind == SOURCE_V6 ? 8 : 16;

	memset(key, 0, 17);
	key[0] = (uint8_t)kind;
	memcpy(key + 1, ip->a, n);
}

static struct source *bucket_of(struct admission *a, const uint8_t key[17])
{
	uint32_t at = (uint32_t)siphash128(a->secret, key, 17).lo & (a->buckets - 1);

	if (key[0] != SOURCE_V4)
		at += a->buckets;
	return &a->table[(size_t)at * LIMIT_SOURCE_WAYS];
}

static struct source *find_key(struct source *bucket, const uint8_t key[17])
{
	for (size_t i = 0; i < LIMIT_SOURCE_WAYS; i++)
		if (bucket[i].serial && bucket[i].kind == key[0] &&
		    !memcmp(bucket[i].addr, key + 1, 16))
			return &bucket[i];
	return NULL;
}

struct source *table_exact(struct admission *a, enum source_kind kind, const struct ip_addr *ip)
{
	uint8_t key[17];

	make_key(key, kind, ip);
	return find_key(bucket_of(a, key), key);
}

static void forget(struct admission *a, struct source *e)
{
	struct source *p = e->parent.serial ? &a->table[e->parent.at] : NULL;

	if (p && p->serial == e->parent.serial && p->children)
		p->children--;
	memset(e, 0, sizeof(*e));
	a->used--;
}

/* What would be lost with it. Good standing is what an attacker gets least easily, so a flood of bad
 * sources pushes out its own kind. */
static int worth(struct source *e, const struct admission_rules *r, uint32_t now)
{
	float failures;

	if (!e->serial)
		return 0;
	source_touch(e, r, now);
	failures = source_failures(e, ADMISSION_FAILURES) + source_failures(e, ADMISSION_UNKNOWN);
	if (source_good(e, r))
		return 5;
	if (e->over)
		return 4;
	/* A /48 without its entry could have new /64 again. */
	if (failures >= 0.5f || e->children)
		return 3;
	if (e->open || e->spent >= 1 || e->standing >= 0.5f)
		return 2;
	return 1;
}

void table_sweep(struct admission *a, const struct admission_rules *r, uint32_t now)
{
	struct source *e = &a->table[(size_t)a->swept * LIMIT_SOURCE_WAYS];

	for (size_t i = 0; i < (size_t)SWEEP * LIMIT_SOURCE_WAYS; i++)
		if (worth(&e[i], r, now) == 1)
			forget(a, &e[i]);
	a->swept = (a->swept + SWEEP) & (2 * a->buckets - 1);
}

static struct source *make(struct admission *a, const struct admission_rules *r,
			   const uint8_t key[17], uint32_t now)
{
	struct source *bucket = bucket_of(a, key), *least = bucket;
	int least_worth = worth(least, r, now);

	for (size_t i = 1; i < LIMIT_SOURCE_WAYS; i++) {
		int w = worth(&bucket[i], r, now);

		if (w < least_worth || (w == least_worth && bucket[i].seen_s < least->seen_s)) {
			least = &bucket[i];
			least_worth = w;
		}
	}
	if (least_worth > 1)
		a->evicted++;
	if (least_worth)
		forget(a, least);
	if (!++a->serial)
		a->serial = 1;
	*least = (struct source){.kind = key[0], .serial = a->serial, .faded_s = now, .seen_s = now};
	memcpy(least->addr, key + 1, 16);
	a->used++;
	return least;
}

static struct source *get_key(struct admission *a, const struct admission_rules *r,
			      enum source_kind kind, const struct ip_addr *ip, uint32_t now)
{
	struct source *e;
	uint8_t key[17];

	make_key(key, kind, ip);
	e = find_key(bucket_of(a, key), key);
	return e ? e : make(a, r, key, now);
}

static struct source *touched(struct source *e, const struct admission_rules *r, uint32_t now)
{
	if (e)
		source_touch(e, r, now);
	return e;
}

struct source *table_find(struct admission *a, const struct admission_rules *r,
			  const struct ip_addr *ip, uint32_t now)
{
	struct source *e = table_exact(a, ip_is_v4(ip) ? SOURCE_V4 : SOURCE_V6, ip), *wide;

	if (e || ip_is_v4(ip))
		return touched(e, r, now);
	wide = table_exact(a, SOURCE_WIDE, ip);
	return wide && wide->children >= LIMIT_SOURCES_OF_48 ? touched(wide, r, now) : NULL;
}

struct source *table_get(struct admission *a, const struct admission_rules *r,
			 const struct ip_addr *ip, uint32_t now)
{
	struct source *e = table_find(a, r, ip, now), *wide;
	struct admission_ref parent;

	if (!e && ip_is_v4(ip)) {
		e = get_key(a, r, SOURCE_V4, ip, now);
	} else if (!e) {
		wide = get_key(a, r, SOURCE_WIDE, ip, now);
		parent = (struct admission_ref){(uint32_t)(wide - a->table), wide->serial};
		wide->seen_s = now;
		e = get_key(a, r, SOURCE_V6, ip, now);
		/* They may have met in one bucket, and the one have pushed out the other. */
		if (wide->serial == parent.serial) {
			wide->children++;
			e->parent = parent;
		}
	}
	e->seen_s = now;
	return e;
}
