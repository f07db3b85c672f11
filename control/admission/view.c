/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What the operator sees of the table, and may forget of it. */

#include <string.h>

#include "control/admission/internal.h"

static void view(const struct source *e, const struct admission_rules *r, uint32_t now,
		 struct admission_view *out)
{
	*out = (struct admission_view){
		.source.prefix = (uint8_t)source_prefix(e),
		.good = source_good(e, r),
		.over = e->over,
		.sessions = e->open,
		.connects = e->connects,
		.rate = (uint32_t)(e->spent + 0.5f),
		.prefixes = e->children,
		.accepted = e->accepted,
		.idle_s = now > e->seen_s ? now - e->seen_s : 0,
	};
	memcpy(out->source.addr.a, e->addr, sizeof(e->addr));
	memcpy(out->hit, e->hit, sizeof(out->hit));
	memcpy(out->failures, e->failure, sizeof(out->failures));
}

/* What an entry is listed by; 0: not at all. */
static float rank(const struct source *e, enum admission_order order)
{
	float failures = source_failures(e, ADMISSION_FAILURES) +
			 source_failures(e, ADMISSION_UNKNOWN);
	float hits = 0;

	if (order == ADMISSION_BUSIEST)
		return (float)e->open + e->spent;
	for (size_t l = 0; l < ADMISSION_LIMITS; l++)
		hits += (float)e->hit[l];
	if (failures < 0.5f && hits < 1)
		return 0;
	/* Hits tell apart who has no failures; by themselves they say how often it tried, no more. */
	return failures + hits / (hits + 1);
}

size_t admission_list(struct admission *a, const struct admission_rules *r, uint64_t now_ms,
		      enum admission_order order, struct admission_view *out, size_t cap)
{
	const struct source *best[LIMIT_SOURCES_SHOWN];
	float score[LIMIT_SOURCES_SHOWN];
	uint32_t now = table_seconds(now_ms);
	size_t n = 0, at;

	if (cap > LIMIT_SOURCES_SHOWN)
		cap = LIMIT_SOURCES_SHOWN;
	for (size_t i = 0; cap && i < (size_t)a->buckets * 2 * LIMIT_SOURCE_WAYS; i++) {
		struct source *e = &a->table[i];
		float v;

		if (!e->serial)
			continue;
		source_touch(e, r, now);
		v = rank(e, order);
		if (v <= 0 || (n == cap && v <= score[n - 1]))
			continue;
		n += n < cap;
		for (at = n - 1; at && score[at - 1] < v; at--) {
			best[at] = best[at - 1];
			score[at] = score[at - 1];
		}
		best[at] = e;
		score[at] = v;
	}
	for (size_t i = 0; i < n; i++)
		view(best[i], r, now, &out[i]);
	return n;
}

/* The entries that bear on an address. */
static size_t entries(struct admission *a, const struct ip_addr *ip, struct source *e[2])
{
	size_t n = 0;

	e[n] = table_exact(a, ip_is_v4(ip) ? SOURCE_V4 : SOURCE_V6, ip);
	n += e[n] != NULL;
	if (ip_is_v4(ip))
		return n;
	e[n] = table_exact(a, SOURCE_WIDE, ip);
	return n + (e[n] != NULL);
}

size_t admission_look(struct admission *a, const struct admission_rules *r, const struct ip_addr *ip,
		      uint64_t now_ms, struct admission_view out[2])
{
	uint32_t now = table_seconds(now_ms);
	struct source *e[2];
	size_t n = entries(a, ip, e);

	for (size_t i = 0; i < n; i++) {
		source_touch(e[i], r, now);
		view(e[i], r, now, &out[i]);
	}
	return n;
}

size_t admission_forgive(struct admission *a, const struct ip_addr *ip)
{
	struct source *e[2];
	size_t n = entries(a, ip, e);

	for (size_t i = 0; i < n; i++) {
		memset(e[i]->failure, 0, sizeof(e[i]->failure));
		memset(e[i]->hit, 0, sizeof(e[i]->hit));
		e[i]->over = 0;
		e[i]->spent = 0;
		e[i]->told_s = 0;
	}
	return n;
}
