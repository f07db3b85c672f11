/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Answers that came a moment ago. libunbound has a cache of its own, but asking it costs some twenty
 * microseconds a question, and a message asks five questions that the one before it asked as well. What
 * is here is the newest few thousand answers, for no longer than their TTL and DNS_CACHE_S. Failures are
 * never kept.
 */

#include "control/dns/dns_wire.h"

#define DNS_CACHE_ENTRIES 8192u
#define DNS_CACHE_OCTETS 4096u  /* of the rdata of an answer; what is larger is not kept */
#define DNS_CACHE_S 60u         /* libunbound hears of names in use, and renews what it knows */

struct dns_cache;

/* NULL: no memory, or no random secret. */
struct dns_cache *dns_cache_new(void);
void dns_cache_free(struct dns_cache *c);
/* True: *out, as it was initialized, is the answer; its TTL is what is left of it. */
bool dns_cache_get(struct dns_cache *c, const struct dns_wire_name *name, uint16_t type, uint64_t now_us,
		   struct dns_parsed *out);
void dns_cache_put(struct dns_cache *c, const struct dns_wire_name *name, uint16_t type, uint64_t now_us,
		   const struct dns_parsed *a);
