/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/dns/dns_zone.h"

#include <errno.h>
#include <stdlib.h>

#define NEGATIVE_TTL 300

struct record {
	struct record *next;
	uint16_t type;
	uint32_t ttl;
	size_t n;
	uint8_t data[];
};

struct node {
	struct node *next;         /* in its bucket */
	struct dns_wire_name name; /* lower case */
	struct record *first, **last;
	bool timeout;
};

struct dns_zone {
	struct node **bucket;
	size_t n_buckets, n_nodes;
};

static size_t hash(const uint8_t *p, size_t n)
{
	uint64_t h = 1469598103934665603u; /* FNV-1a */

	while (n--)
		h = (h ^ *p++) * 1099511628211u;
	return (size_t)h;
}

struct dns_zone *dns_zone_new(void)
{
	struct dns_zone *z = calloc(1, sizeof(*z));

	if (!z)
		return NULL;
	z->n_buckets = 256;
	z->bucket = calloc(z->n_buckets, sizeof(*z->bucket));
	if (!z->bucket) {
		free(z);
		return NULL;
	}
	return z;
}

void dns_zone_free(struct dns_zone *z)
{
	if (!z)
		return;
	for (size_t i = 0; i < z->n_buckets; i++) {
		for (struct node *nd = z->bucket[i], *next; nd; nd = next) {
			next = nd->next;
			for (struct record *r = nd->first, *rn; r; r = rn) {
				rn = r->next;
				free(r);
			}
			free(nd);
		}
	}
	free(z->bucket);
	free(z);
}

/* `p` is a lower-case wire name of n octets. */
static struct node *find(const struct dns_zone *z, const uint8_t *p, size_t n)
{
	struct node *nd = z->bucket[hash(p, n) & (z->n_buckets - 1)];

	while (nd && (nd->name.len != n || memcmp(nd->name.b, p, n) != 0))
		nd = nd->next;
	return nd;
}

static void grow(struct dns_zone *z)
{
	size_t n = z->n_buckets * 4;
	struct node **b = calloc(n, sizeof(*b));

	if (!b)
		return; /* longer chains, nothing worse */
	for (size_t i = 0; i < z->n_buckets; i++) {
		for (struct node *nd = z->bucket[i], *next; nd; nd = next) {
			size_t h = hash(nd->name.b, nd->name.len) & (n - 1);

			next = nd->next;
			nd->next = b[h];
			b[h] = nd;
		}
	}
	free(z->bucket);
	z->bucket = b;
	z->n_buckets = n;
}

static struct node *make(struct dns_zone *z, const uint8_t *p, size_t n)
{
	struct node *nd = find(z, p, n);
	size_t h;

	if (nd)
		return nd;
	if (z->n_nodes >= z->n_buckets * 2)
		grow(z);
	nd = calloc(1, sizeof(*nd));
	if (!nd)
		return NULL;
	memcpy(nd->name.b, p, n);
	nd->name.len = (uint8_t)n;
	nd->last = &nd->first;
	h = hash(p, n) & (z->n_buckets - 1);
	nd->next = z->bucket[h];
	z->bucket[h] = nd;
	z->n_nodes++;
	return nd;
}

/* The node and its ancestors: those without records are the empty non-terminals. */
static struct node *make_path(struct dns_zone *z, const struct dns_wire_name *name)
{
	struct dns_wire_name w = *name;
	struct node *own;
	size_t at;

	dns_wire_lower(&w);
	own = make(z, w.b, w.len);
	if (!own)
		return NULL;
	for (at = 0; w.b[at];) {
		at += 1u + w.b[at];
		if (!make(z, w.b + at, w.len - at))
			return NULL;
	}
	return own;
}

int dns_zone_add(struct dns_zone *z, const struct dns_wire_name *name, uint16_t type, uint32_t ttl,
		 const uint8_t *rdata, size_t n)
{
	struct node *nd;
	struct record *r;

	if (n > UINT16_MAX || !dns_rdata_valid(type, rdata, n))
		return -EINVAL;
	nd = make_path(z, name);
	if (!nd)
		return -ENOMEM;
	for (r = nd->first; r; r = r->next) {
		/* RFC 2181 10.1: a CNAME stands alone. */
		if ((r->type == DNS_CNAME) != (type == DNS_CNAME) || type == DNS_CNAME)
			return -EINVAL;
		if (r->type == type && r->n == n && memcmp(r->data, rdata, n) == 0 &&
		    type != DNS_TXT)
			return 0; /* RFC 2181 5.2; equal TXT records are kept: publishers do send
				     them */
	}
	r = malloc(sizeof(*r) + n);
	if (!r)
		return -ENOMEM;
	r->next = NULL;
	r->type = type;
	r->ttl = ttl;
	r->n = n;
	if (n)
		memcpy(r->data, rdata, n);
	*nd->last = r;
	nd->last = &r->next;
	return 0;
}

int dns_zone_add_timeout(struct dns_zone *z, const struct dns_wire_name *name)
{
	struct node *nd = make_path(z, name);

	if (!nd)
		return -ENOMEM;
	nd->timeout = true;
	return 0;
}

/* The node, or the wildcard that covers the name (RFC 4592 3.3.1). */
static const struct node *match(const struct dns_zone *z, const struct dns_wire_name *w)
{
	const struct node *nd = find(z, w->b, w->len);
	uint8_t star[DNS_WIRE_NAME + 2];

	if (nd)
		return nd;
	for (size_t at = 0; w->b[at];) {
		size_t rest;

		at += 1u + w->b[at];
		rest = w->len - at;
		if (!find(z, w->b + at, rest))
			continue;
		/* The closest encloser; only its own wildcard counts. */
		star[0] = 1;
		star[1] = '*';
		memcpy(star + 2, w->b + at, rest);
		return find(z, star, rest + 2);
	}
	return NULL;
}

static uint32_t negative_ttl(const struct dns_zone *z, const struct dns_wire_name *w)
{
	for (size_t at = 0;; at += 1u + w->b[at]) {
		const struct node *nd = find(z, w->b + at, w->len - at);

		for (const struct record *r = nd ? nd->first : NULL; r; r = r->next) {
			const uint8_t *m;
			uint32_t min;

			if (r->type != DNS_SOA)
				continue;
			m = r->data + r->n - 4;
			min = (uint32_t)m[0] << 24 | (uint32_t)m[1] << 16 | (uint32_t)m[2] << 8 |
			      m[3];
			return min < r->ttl ? min : r->ttl;
		}
		if (w->b[at] == 0)
			return NEGATIVE_TTL;
	}
}

int dns_zone_lookup(const struct dns_zone *z, const struct dns_wire_name *name, uint16_t type,
		    struct dns_parsed *out)
{
	struct dns_wire_name w = *name;
	const struct node *nd = NULL;

	dns_wire_lower(&w);
	out->ttl = UINT32_MAX;
	for (unsigned int i = 0; i <= DNS_MAX_CHAIN; i++) {
		const struct record *cname = NULL;

		nd = match(z, &w);
		if (!nd)
			break;
		for (const struct record *r = nd->first; r; r = r->next) {
			if (r->type == type) {
				if (dns_parsed_add(out, r->data, r->n) == -ENOMEM)
					return -ENOMEM;
			} else if (r->type == DNS_CNAME) {
				cname = r;
			} else {
				continue;
			}
			if (r->ttl < out->ttl)
				out->ttl = r->ttl;
		}
		if (out->n) {
			out->status = DNS_OK;
			dns_parsed_seal(out);
			return 0;
		}
		if (!cname) {
			if (nd->timeout) {
				dns_parsed_fail(out, "timed out");
				return 0;
			}
			break;
		}
		memcpy(w.b, cname->data, cname->n);
		w.len = (uint8_t)cname->n;
		dns_wire_lower(&w);
		dns_parsed_alias(out, &w);
		if (i == DNS_MAX_CHAIN) {
			dns_parsed_fail(out, "CNAME chain too long");
			return 0;
		}
	}
	out->status = nd ? DNS_NODATA : DNS_NXDOMAIN;
	out->ttl = negative_ttl(z, &w);
	return 0;
}
