/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "postern/limits.h"

struct entry {
	TAILQ_ENTRY(entry) lru;
	struct entry *next;
	struct siphash128 key;
	uint64_t until_s;
	uint8_t result, lookups, voids;
	uint16_t mechanism, explanation, reason; /* octets of each, in this order */
	char text[];
};

struct spf_cache {
	TAILQ_HEAD(entry_list, entry) lru; /* head: used last */
	size_t cap, n, buckets;
	uint8_t secret[16];
	struct entry *bucket[];
};

struct spf_cache *spf_cache_new(size_t cap)
{
	size_t buckets = 64;
	struct spf_cache *c;

	while (buckets < cap)
		buckets *= 2;
	c = calloc(1, sizeof(*c) + buckets * sizeof(c->bucket[0]));
	if (!c || getrandom(c->secret, sizeof(c->secret), 0) != sizeof(c->secret)) {
		free(c);
		return NULL;
	}
	TAILQ_INIT(&c->lru);
	c->cap = cap ? cap : 1;
	c->buckets = buckets;
	return c;
}

static struct entry **find(struct spf_cache *c, struct siphash128 key)
{
	struct entry **e = &c->bucket[key.lo & (c->buckets - 1)];

	while (*e && ((*e)->key.lo != key.lo || (*e)->key.hi != key.hi))
		e = &(*e)->next;
	return e;
}

static void drop(struct spf_cache *c, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	TAILQ_REMOVE(&c->lru, e, lru);
	c->n--;
	free(e);
}

void spf_cache_free(struct spf_cache *c)
{
	struct entry *e;

	if (!c)
		return;
	while ((e = TAILQ_FIRST(&c->lru)))
		drop(c, find(c, e->key));
	free(c);
}

struct siphash128 spf_cache_key(const struct spf_cache *c, const struct ip_addr *ip,
				struct str domain)
{
	uint8_t buf[sizeof(ip->a) + LIMIT_DOMAIN];
	size_t n = sizeof(ip->a);

	if (domain.n && domain.p[domain.n - 1] == '.')
		domain.n--;
	domain = str_cut(domain, LIMIT_DOMAIN);
	memcpy(buf, ip->a, n);
	for (size_t i = 0; i < domain.n; i++)
		buf[n++] = ascii_lower(domain.p[i]);
	return siphash128(c->secret, buf, n);
}

int spf_cache_put(struct spf_cache *c, struct siphash128 key, uint64_t now_s,
		  const struct spf_verdict *v)
{
	size_t m = strlen(v->mechanism), x = strlen(v->explanation), r = strlen(v->reason);
	struct entry *e = malloc(sizeof(*e) + m + x + r), **at;
	uint32_t ttl = v->ttl < LIMIT_SPF_CACHE_S ? v->ttl : LIMIT_SPF_CACHE_S;

	if (!e)
		return -ENOMEM;
	e->key = key;
	e->until_s = now_s + ttl;
	e->result = (uint8_t)v->result;
	e->lookups = (uint8_t)v->lookups;
	e->voids = (uint8_t)v->voids;
	e->mechanism = (uint16_t)m;
	e->explanation = (uint16_t)x;
	e->reason = (uint16_t)r;
	memcpy(e->text, v->mechanism, m);
	memcpy(e->text + m, v->explanation, x);
	memcpy(e->text + m + x, v->reason, r);
	at = find(c, key);
	if (*at)
		drop(c, at);
	else if (c->n == c->cap)
		drop(c, find(c, TAILQ_LAST(&c->lru, entry_list)->key));
	at = &c->bucket[key.lo & (c->buckets - 1)];
	e->next = *at;
	*at = e;
	TAILQ_INSERT_HEAD(&c->lru, e, lru);
	c->n++;
	return 0;
}

static const char *take(char *out, const char *text, size_t n)
{
	memcpy(out, text, n);
	out[n] = '\0';
	return text + n;
}

bool spf_cache_get(struct spf_cache *c, struct siphash128 key, uint64_t now_s,
		   struct spf_verdict *v)
{
	struct entry **at = find(c, key), *e = *at;
	const char *text;

	if (!e)
		return false;
	if (now_s >= e->until_s) {
		drop(c, at);
		return false;
	}
	TAILQ_REMOVE(&c->lru, e, lru);
	TAILQ_INSERT_HEAD(&c->lru, e, lru);
	v->result = e->result;
	v->lookups = e->lookups;
	v->voids = e->voids;
	v->ttl = (uint32_t)(e->until_s - now_s);
	v->cacheable = true;
	text = take(v->mechanism, e->text, e->mechanism);
	text = take(v->explanation, text, e->explanation);
	take(v->reason, text, e->reason);
	return true;
}

size_t spf_cache_count(const struct spf_cache *c)
{
	return c->n;
}
