/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/dns/dns_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "control/hash/siphash.h"

#define BUCKETS (2 * DNS_CACHE_ENTRIES)

struct entry {
	TAILQ_ENTRY(entry) used;    /* the last one used in front */
	LIST_ENTRY(entry) bucket;
	struct siphash128 key;
	uint64_t since_us, expires_us;
	uint32_t ttl;               /* as it came, which may be longer than it is kept */
	enum dns_status status;
	bool secure;
	char *alias;                /* behind the rdata; NULL: none */
	size_t n;
	uint16_t len[DNS_MAX_RRS];
	uint8_t *data;
};

struct dns_cache {
	uint8_t secret[16];
	size_t n;
	TAILQ_HEAD(by_use, entry) used;
	LIST_HEAD(bucket, entry) bucket[BUCKETS];
};

struct dns_cache *dns_cache_new(void)
{
	struct dns_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	TAILQ_INIT(&c->used);
	if (getrandom(c->secret, sizeof(c->secret), 0) != sizeof(c->secret)) {
		free(c);
		return NULL;
	}
	return c;
}

static void drop(struct dns_cache *c, struct entry *e)
{
	TAILQ_REMOVE(&c->used, e, used);
	LIST_REMOVE(e, bucket);
	c->n--;
	free(e);
}

void dns_cache_free(struct dns_cache *c)
{
	if (!c)
		return;
	while (!TAILQ_EMPTY(&c->used))
		drop(c, TAILQ_FIRST(&c->used));
	free(c);
}

/* RFC 4343: names are the same whatever their case. */
static struct siphash128 key_of(const struct dns_cache *c, const struct dns_wire_name *name, uint16_t type)
{
	struct dns_wire_name lower = *name;
	uint8_t text[DNS_WIRE_NAME + 2];

	dns_wire_lower(&lower);
	memcpy(text, lower.b, lower.len);
	text[lower.len] = (uint8_t)(type >> 8);
	text[lower.len + 1] = (uint8_t)type;
	return siphash128(c->secret, text, lower.len + 2u);
}

static struct entry *find(struct dns_cache *c, const struct siphash128 *key)
{
	struct entry *e;

	LIST_FOREACH (e, &c->bucket[key->lo % BUCKETS], bucket)
		if (e->key.lo == key->lo && e->key.hi == key->hi)
			return e;
	return NULL;
}

bool dns_cache_get(struct dns_cache *c, const struct dns_wire_name *name, uint16_t type, uint64_t now_us,
		   struct dns_parsed *out)
{
	struct siphash128 key = key_of(c, name, type);
	struct entry *e = find(c, &key);
	const uint8_t *p;

	if (!e)
		return false;
	if (now_us >= e->expires_us) {
		drop(c, e);
		return false;
	}
	p = e->data;
	for (size_t i = 0; i < e->n; p += e->len[i++]) {
		if (dns_parsed_add(out, p, e->len[i])) {
			dns_parsed_free(out);
			dns_parsed_init(out);
			return false;
		}
	}
	dns_parsed_seal(out);
	out->status = e->status;
	out->secure = e->secure;
	out->ttl = e->ttl - (uint32_t)((now_us - e->since_us) / 1000000);
	if (e->alias)
		memcpy(out->alias, e->alias, strlen(e->alias) + 1);
	TAILQ_REMOVE(&c->used, e, used);
	TAILQ_INSERT_HEAD(&c->used, e, used);
	return true;
}

void dns_cache_put(struct dns_cache *c, const struct dns_wire_name *name, uint16_t type, uint64_t now_us,
		   const struct dns_parsed *a)
{
	size_t total = 0, alias = a->alias[0] ? strlen(a->alias) + 1 : 0;
	struct siphash128 key = key_of(c, name, type);
	struct entry *e = find(c, &key);
	uint8_t *p;

	if (e)
		drop(c, e);
	for (size_t i = 0; i < a->n; i++)
		total += a->rr[i].len;
	if ((a->status != DNS_OK && a->status != DNS_NODATA && a->status != DNS_NXDOMAIN) || !a->ttl ||
	    total > DNS_CACHE_OCTETS)
		return;
	if (c->n == DNS_CACHE_ENTRIES)
		drop(c, TAILQ_LAST(&c->used, by_use));
	e = malloc(sizeof(*e) + total + alias);
	if (!e)
		return;
	p = (uint8_t *)(e + 1);
	*e = (struct entry){.key = key, .status = a->status, .secure = a->secure, .n = a->n, .data = p,
			    .since_us = now_us, .ttl = a->ttl,
			    .expires_us = now_us + (a->ttl < DNS_CACHE_S ? a->ttl : DNS_CACHE_S) * UINT64_C(1000000)};
	for (size_t i = 0; i < a->n; i++) {
		e->len[i] = (uint16_t)a->rr[i].len;
		memcpy(p, a->rr[i].data, a->rr[i].len);
		p += a->rr[i].len;
	}
	if (alias)
		e->alias = memcpy(p, a->alias, alias);
	TAILQ_INSERT_HEAD(&c->used, e, used);
	LIST_INSERT_HEAD(&c->bucket[key.lo % BUCKETS], e, bucket);
	c->n++;
}
