/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "dataplane/handoff/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGES 4u
#define SESSIONS 16u

static struct dp_arena *arena;
static struct dp_meet meet;
static struct dp_epoch *epoch;

static bool on_verdict(void *arg, const struct dp_verdict *v)
{
	static volatile uint8_t sink;

	(void)arg;
	if (v->head.session >= SESSIONS || v->text.n > HANDOFF_MAX_TEXT)
		abort();
	for (size_t i = 0; i < v->text.n; i++) {
		if (v->text.p[i] < 0x20 || v->text.p[i] > 0x7e)
			abort();
		sink = v->text.p[i];
	}
	(void)sink;
	return v->head.question % 2;
}

static void start(void)
{
	struct dp_arena_opts o = {.n_workers = 1, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER};
	char err[160];

	if (arena)
		return;
	if (dp_arena_new(&o, &arena, err, sizeof(err)) || dp_meet_open(&meet, 1) ||
	    dp_epoch_new(1, 1, 1, &epoch))
		abort();
}

/* Records 0..3 are with control, in the first use of each, for session i and generation i. */
static void submit_some(struct dp_worker *w)
{
	dp_worker_reclaim(w);
	for (uint32_t i = 0; i < w->n_records; i++) {
		w->use[i].generation = 0;
		w->free_record[i] = w->n_records - 1 - i;
	}
	for (uint32_t i = 0; i < MESSAGES; i++) {
		struct dp_msg m = {0};

		if (dp_msg_open(w, &m) || dp_msg_data_begin(w, &m, 0, 0) ||
		    dp_msg_append(w, &m, "x", 1))
			abort();
		dp_msg_record(w, &m)->session = dp_msg_record(w, &m)->session_gen = i;
		dp_msg_data_end(w, &m);
		dp_msg_submitted(w, &m, 0);
	}
}

/* The first four octets are the index that control publishes, the rest is the verdict ring. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handoff_ring *ring;
	struct dp_worker *w;
	struct dp_rings *r;
	struct dp_usage u;
	uint32_t head;

	if (size < sizeof(head) || size > sizeof(head) + sizeof(ring->slot))
		return 0;
	start();
	w = dp_arena_worker(arena, 0);
	submit_some(w);
	ring = (struct handoff_ring *)((uint8_t *)epoch->head + HANDOFF_RING_PAIR(0, 0, 1)) + 1;
	memset(ring->slot, 0, sizeof(ring->slot));
	memcpy(&head, data, sizeof(head));
	memcpy(ring->slot, data + sizeof(head), size - sizeof(head));
	atomic_store(&ring->ctl.head, head);
	atomic_store(&ring->ctl.tail, 0);
	atomic_store(&epoch->broken, 0);
	atomic_store(&epoch->state, DP_EPOCH_LIVE);
	atomic_store(&meet.current, epoch);
	if (dp_rings_new_at(&meet, w, SESSIONS, &r) || dp_rings_epoch(r) != DP_EPOCH_UP)
		abort();
	dp_rings_poll(r, 3, on_verdict, NULL);
	dp_rings_poll(r, HANDOFF_RING_SLOTS, on_verdict, NULL);
	/* Whatever was in it: the end of the epoch is reached, and memory adds up. */
	atomic_store(&meet.current, NULL);
	atomic_store(&epoch->state, DP_EPOCH_S_GONE);
	if (dp_rings_epoch(r) != DP_EPOCH_LOST || dp_rings_epoch(r) != DP_EPOCH_GONE)
		abort();
	dp_worker_usage(w, &u);
	if (u.chunks_used != u.chunks_control || u.records_used != u.records_control ||
	    u.records_used > MESSAGES)
		abort();
	dp_rings_free(r);
	return 0;
}
