/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* sts.c: the way to a policy; sts_state.c: policies over a restart. */

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "control/sts/sts.h"
#include "control/sts/sts_fetch.h"

#define BUCKETS 1024u
#define ADDRESSES 8

struct entry {
	TAILQ_ENTRY(entry) lru;       /* used last in front */
	LIST_ENTRY(entry) bucket;
	struct sts *s;
	char domain[256];
	char id[STS_ID], new_id[STS_ID];
	struct sts_policy *policy;    /* may have expired */
	uint64_t fetched_s, until_s;  /* of the policy */
	uint64_t check_s;             /* when to ask for the record again */
	uint64_t retry_s;             /* not before: a fetch failed */
	char error[160];              /* of that fetch */
	bool busy;
	struct dns_query *txt, *addr[2];
	struct ip_addr address[ADDRESSES];
	size_t n_addresses;
	struct sts_fetch *fetch;
	TAILQ_HEAD(, sts_query) waiting;
};

struct sts {
	struct event_base *base;
	struct dns *dns;
	uint64_t *counters;
	struct sts_options opt;
	struct sts_fetcher *fetcher;
	uint8_t secret[16];
	LIST_HEAD(, entry) bucket[BUCKETS];
	TAILQ_HEAD(entry_list, entry) entries;
	size_t n;
	TAILQ_HEAD(sts_query_list, sts_query) answered;
	struct event kick;
	bool *gone;
	uint64_t changes;             /* policies that came */
};


uint64_t sts_now_s(const struct sts *s);
/* It has a policy that has not expired. */
bool sts_entry_valid(const struct entry *e);
/* Made if it is new; NULL: out of memory. */
struct entry *sts_entry_get(struct sts *s, const char *domain);
void sts_entry_free(struct entry *e);
