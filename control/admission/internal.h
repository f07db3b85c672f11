/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Private to control/admission: the entry and its table. */

#include "control/admission/admission.h"
#include "postern/limits.h"

enum source_kind { SOURCE_V4, SOURCE_V6, SOURCE_WIDE }; /* /32, /64, and what shares a /48 */

struct source {
	uint8_t addr[16];            /* without the bits behind the prefix */
	struct admission_ref parent; /* SOURCE_V6: its /48, where it is one of `children` */
	uint32_t serial;             /* 0: free */
	uint32_t open;
	uint32_t faded_s, seen_s;    /* seconds of the table's clock, which begins at 1 */
	uint32_t told_s;
	float spent;                 /* connections, leaking with the rate */
	float failure[FAILURE_KINDS];
	float accepted;              /* fades as failures do */
	float standing;              /* the same messages, for LIMIT_SOURCE_STANDING_S */
	uint32_t connects;
	uint32_t hit[ADMISSION_LIMITS];
	uint16_t children;
	uint8_t kind;                /* enum source_kind */
	uint8_t over;                /* bits of limits: FAILURES, UNKNOWN */
};
_Static_assert(sizeof(struct source) <= 112, "LIMIT_SOURCES says what the table costs");

struct admission {
	uint8_t secret[16];
	struct source *table;        /* buckets of LIMIT_SOURCE_WAYS; IPv4 in the first half */
	uint32_t buckets;            /* of one half; a power of two */
	uint32_t swept;
	uint32_t serial;
	size_t used;
	uint64_t evicted;
};

static inline uint32_t table_seconds(uint64_t now_ms)
{
	return (uint32_t)(now_ms / 1000) + 1;
}

static inline unsigned int source_prefix(const struct source *e)
{
	return e->kind == SOURCE_WIDE ? 48 : e->kind == SOURCE_V6 ? 64 : 128;
}

/* table.c */
/* The entry that counts for the address, brought up to now; table_get() makes it. */
struct source *table_find(struct admission *a, const struct admission_rules *r,
			  const struct ip_addr *ip, uint32_t now);
struct source *table_get(struct admission *a, const struct admission_rules *r,
			 const struct ip_addr *ip, uint32_t now);
/* Exactly this prefix; NULL: no entry. */
struct source *table_exact(struct admission *a, enum source_kind kind, const struct ip_addr *ip);
/* Frees what is worth nothing any more, some buckets further with each call. */
void table_sweep(struct admission *a, const struct admission_rules *r, uint32_t now);

/* admission.c */
/* Lets fade what fades, and sets `over`. */
void source_touch(struct source *e, const struct admission_rules *r, uint32_t now);
bool source_good(const struct source *e, const struct admission_rules *r);
/* Failures that the limit `l` is about. */
float source_failures(const struct source *e, enum admission_limit l);
