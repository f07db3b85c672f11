/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Results by (address, domain), for checks that depend on nothing else: spf_verdict.cacheable.
 * HELO and MAIL FROM of one domain share an entry, for local part and HELO only reach a result by
 * macros. Bounded, least recently used goes first. The hash is keyed: nobody outside can aim at an
 * entry.
 */

#include "control/auth/spf/spf.h"
#include "control/hash/siphash.h"

struct spf_cache;

/* NULL: -ENOMEM or no randomness. At most `cap` entries. */
struct spf_cache *spf_cache_new(size_t cap);
void spf_cache_free(struct spf_cache *c);
/* A domain has no case and no final dot here. At most 255 octets of it are looked at. */
struct siphash128 spf_cache_key(const struct spf_cache *c, const struct ip_addr *ip,
				struct str domain);
/* Keeps a verdict for its ttl, at most LIMIT_SPF_CACHE_S. 0, or -ENOMEM: it is not kept. */
int spf_cache_put(struct spf_cache *c, struct siphash128 key, uint64_t now_s,
		  const struct spf_verdict *v);
/* Fills all but identity and domain; v->ttl is what is left of it. False: not there, or old. */
bool spf_cache_get(struct spf_cache *c, struct siphash128 key, uint64_t now_s,
		   struct spf_verdict *v);
size_t spf_cache_count(const struct spf_cache *c);
