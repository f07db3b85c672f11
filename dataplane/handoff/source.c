/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Who has how much of a slice. A source is a key that the worker made of the client's prefix by a
 * secret; it has an entry here for as long as a record is its, in DATA or with control. So there are
 * never more entries than records, none has to be thrown out, and nobody can crowd the table.
 *
 * Two of its messages must not block each other for ever at its share: the one that began first
 * (`first`) goes on, so a source has one largest message more than its share at most.
 */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "postern/limits.h"

int dp_source_init(struct dp_worker *w)
{
	uint32_t buckets = 16;

	while (buckets < 2 * w->n_records)
		buckets *= 2;
	w->source_mask = buckets - 1;
	w->source = calloc(w->n_records, sizeof(*w->source));
	w->source_bucket = calloc(buckets, sizeof(*w->source_bucket));
	if (!w->source || !w->source_bucket)
		return -ENOMEM;
	for (uint32_t i = 0; i < buckets; i++)
		w->source_bucket[i] = DP_NO_SOURCE;
	for (uint32_t i = 0; i < w->n_records; i++)
		w->source[i].next = i + 1 < w->n_records ? i + 1 : DP_NO_SOURCE;
	w->free_source = 0;
	w->share = w->n_chunks;
	w->share_mode = MODE_OFF; /* until dp_worker_set_share() */
	return 0;
}

void dp_worker_set_share(struct dp_worker *w, unsigned int percent, uint64_t max_message,
			 uint8_t mode)
{
	uint32_t least = (uint32_t)((max_message + 2 + HANDOFF_CHUNK - 1) / HANDOFF_CHUNK);

	w->share = (uint32_t)((uint64_t)w->n_chunks * percent / 100);
	if (w->share < least)
		w->share = least;
	w->share_mode = mode;
}

static uint32_t *bucket(struct dp_worker *w, uint64_t key)
{
	return &w->source_bucket[key & w->source_mask];
}

void dp_msg_set_source(struct dp_worker *w, struct dp_msg *m, uint64_t key, bool good)
{
	uint32_t *b = bucket(w, key), i;
	struct dp_use *use;

	if (!m->open || m->in_data || !key)
		return;
	use = &w->use[m->record];
	dp_source_leave(w, use);
	m->good = good;
	i = *b;
	while (i != DP_NO_SOURCE && w->source[i].key != key)
		i = w->source[i].next;
	if (i == DP_NO_SOURCE) {
		i = w->free_source;
		w->free_source = w->source[i].next;
		w->source[i] = (struct dp_source){.key = key, .next = *b};
		*b = i;
		w->n_sources++;
	}
	w->source[i].records++;
	use->source = i;
}

void dp_source_leave(struct dp_worker *w, struct dp_use *use)
{
	uint32_t i = use->source, *link;

	use->source = DP_NO_SOURCE;
	if (i == DP_NO_SOURCE || --w->source[i].records)
		return;
	for (link = bucket(w, w->source[i].key); *link != i; link = &w->source[*link].next)
		;
	*link = w->source[i].next;
	w->source[i].next = w->free_source;
	w->free_source = i;
	w->n_sources--;
}

bool dp_source_over(const struct dp_worker *w, const struct dp_msg *m)
{
	uint32_t i = w->use[m->record].source;

	return w->share_mode == MODE_ENFORCE && i != DP_NO_SOURCE && w->source[i].chunks > w->share;
}

/* What is free is short: a good source is bound like all others. */
static bool is_short(const struct dp_worker *w, uint32_t unclaimed)
{
	return unclaimed <= 2 * w->floor;
}

/* m is over the share of its source: is it to be stopped? */
static bool stops(struct dp_worker *w, struct dp_msg *m)
{
	if (w->share_mode == MODE_ENFORCE)
		return true;
	if (!m->observed)
		dp_count(w->counters, CNT_arena_share_observed, 1);
	m->observed = true;
	return false;
}

bool dp_source_may_begin(struct dp_worker *w, struct dp_msg *m, uint32_t unclaimed)
{
	const struct dp_source *src = dp_source_of(w, m->record);

	if (w->share_mode == MODE_OFF || !src || src->chunks < w->share ||
	    (m->good && !is_short(w, unclaimed)) || !stops(w, m))
		return true;
	dp_count(w->counters, CNT_arena_share_refused, 1);
	return false;
}

uint32_t dp_source_left(struct dp_worker *w, struct dp_msg *m, uint32_t unclaimed)
{
	struct dp_source *src = dp_source_of(w, m->record);
	uint32_t left;

	if (w->share_mode == MODE_OFF || !src)
		return UINT32_MAX;
	if (!src->first)
		src->first = m;
	if (src->first == m || (m->good ? !is_short(w, unclaimed) : unclaimed > w->n_chunks / 2))
		return UINT32_MAX;
	/* What is reserved for m is in chunks already. */
	left = (src->chunks < w->share ? w->share - src->chunks : 0) + m->reserved;
	return left || stops(w, m) ? left : UINT32_MAX;
}
