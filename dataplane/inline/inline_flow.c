/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Flows of a cable that are not terminated. A table of sets with no timer and no list: an entry
 * that was quiet for its time is as good as free, and when a set is full the one goes that is
 * missed least. All but the kernel's flows can be found out again by the configured action for
 * flows whose begin was not seen; those of the kernel come back with the next segment out of the
 * exception port.
 */

#include "dataplane/inline/inline_priv.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/tcp/siphash.h"
#include "postern/limits.h"

static uint32_t set_count(uint32_t flows)
{
	uint32_t n = 64 / INLINE_WAYS;

	while (n < flows / INLINE_WAYS && n < 1u << 26)
		n *= 2;
	return n;
}

size_t inline_bytes(uint32_t flows)
{
	return sizeof(struct inline_worker) +
	       (size_t)set_count(flows) * INLINE_WAYS * sizeof(struct inline_flow);
}

struct inline_worker *inline_new(const struct inline_options *opt)
{
	uint32_t sets = set_count(opt->flows);
	struct inline_worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->flow = calloc((size_t)sets * INLINE_WAYS, sizeof(*w->flow));
	if (!w->flow) {
		free(w);
		return NULL;
	}
	w->mask = sets - 1;
	w->counters = opt->counters;
	memcpy(w->key, opt->key, sizeof(w->key));
	return w;
}

void inline_free(struct inline_worker *w)
{
	if (!w)
		return;
	free(w->flow);
	free(w);
}

void inline_set_clock(struct inline_worker *w, uint32_t now_s)
{
	w->now_s = now_s;
}

static struct inline_flow *set_of(struct inline_worker *w, const struct tcp_tuple *tuple)
{
	uint64_t hash = siphash13(w->key, tuple, sizeof(*tuple));

	return w->flow + (hash & w->mask) * INLINE_WAYS;
}

static bool over(const struct inline_worker *w, const struct inline_flow *f)
{
	uint32_t quiet = w->now_s - f->seen_s;

	if (f->kind == FLOW_DROP)
		return quiet >= LIMIT_INLINE_DROP_S;
	return quiet >= ((f->flags & FLOW_F_CLOSED) == FLOW_F_CLOSED ? LIMIT_INLINE_CLOSED_S
								      : LIMIT_INLINE_IDLE_S);
}

struct inline_flow *inline_find(struct inline_worker *w, const struct tcp_tuple *tuple)
{
	struct inline_flow *set = set_of(w, tuple);

	for (unsigned int i = 0; i < INLINE_WAYS; i++) {
		struct inline_flow *f = &set[i];

		if (f->kind == FLOW_FREE || memcmp(&f->tuple, tuple, sizeof(*tuple)) != 0)
			continue;
		if (!over(w, f))
			return f;
		f->kind = FLOW_FREE;
		return NULL;
	}
	return NULL;
}

/* The kernel's before all others, then who was quiet for longer. */
static bool missed_less(const struct inline_worker *w, const struct inline_flow *a,
			const struct inline_flow *b)
{
	bool ka = a->kind == FLOW_KERNEL, kb = b->kind == FLOW_KERNEL;

	return ka != kb ? kb : w->now_s - a->seen_s > w->now_s - b->seen_s;
}

struct inline_flow *inline_put(struct inline_worker *w, const struct tcp_tuple *tuple,
			       enum inline_kind kind)
{
	struct inline_flow *set = set_of(w, tuple), *at = inline_find(w, tuple);

	/* Or who forges one segment has what the server says to the kernel sent to a client. Also of a
	 * closed one: that it is can be forged as well. */
	if (at && at->kind == FLOW_KERNEL && kind != FLOW_KERNEL)
		return NULL;
	for (unsigned int i = 0; !at && i < INLINE_WAYS; i++)
		if (set[i].kind == FLOW_FREE || over(w, &set[i]))
			at = &set[i];
	if (!at) {
		at = set;
		for (unsigned int i = 1; i < INLINE_WAYS; i++)
			if (missed_less(w, &set[i], at))
				at = &set[i];
		inline_count(w, CNT_inline_flow_evicted);
		if (at->kind == FLOW_KERNEL && kind != FLOW_KERNEL)
			return NULL;
	}
	*at = (struct inline_flow){.tuple = *tuple, .kind = (uint8_t)kind, .seen_s = w->now_s};
	return at;
}

void inline_touch(struct inline_worker *w, struct inline_flow *f, uint8_t flags, bool from_server)
{
	f->seen_s = w->now_s;
	if (flags & TH_FIN)
		f->flags |= from_server ? FLOW_F_FIN_SERVER : FLOW_F_FIN_CLIENT;
	/* Who forges one ends a flow of which nothing is kept but what to do with it; and what the
	 * kernel gets would otherwise reach the client. */
	if (flags & TH_RST && f->kind != FLOW_DROP)
		f->flags |= FLOW_F_CLOSED;
}
