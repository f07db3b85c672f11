/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Records, chunks and admission of DATA in one worker's slice.
 *
 * Why something always completes: let free be the chunks neither used nor promised. A flow that is
 * not the oldest takes a chunk only if free stays >= floor, floor being one maximum message. The
 * oldest takes what it likes. So free + (chunks with control) + (chunks of the oldest) >= floor
 * holds at any time: what is missing below the floor went to flows that were the oldest, and these
 * are still the oldest, or with control, or free again. Control gives back everything in bounded
 * time; then the oldest finds floor chunks in all, which is a message of the maximum size. The share
 * of a source (source.c) or a route (route.c) takes nothing from the oldest, whoever sends it.
 */

#include "dataplane/handoff/internal.h"

#include <errno.h>

#include "postern/limits.h"

#define LINE     64u   /* octets of a line of the cache */
#define EXPECTED 2048u /* octets that are fetched ahead, at most: a segment on an Ethernet */

/* ---- plain allocators ---------------------------------------------------------------------- */

uint32_t dp_record_alloc(struct dp_worker *w)
{
	struct handoff_record *rec;
	struct dp_use *use;
	uint32_t i;

	if (!w->n_free_record)
		return UINT32_MAX;
	i = w->free_record[--w->n_free_record];
	rec = &w->record[i];
	use = &w->use[i];
	use->generation++;
	use->owner = DP_WORKER;
	use->n_chunks = 0;
	use->source = DP_NO_SOURCE;
	use->route = 0;
	atomic_store_explicit(&rec->generation, use->generation, memory_order_relaxed);
	/* A reader that sees a field of this use also sees its generation. */
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&rec->client_gone, 0, memory_order_relaxed);
	memset((uint8_t *)rec + offsetof(struct handoff_record, session), 0,
	       offsetof(struct handoff_record, rcpt) - offsetof(struct handoff_record, session));
	dp_gauge(w->counters, CNT_arena_records_used, w->n_records - w->n_free_record);
	return i;
}

void dp_record_free(struct dp_worker *w, uint32_t record)
{
	struct dp_use *use;

	if (record >= w->n_records || w->use[record].owner == DP_FREE)
		return;
	use = &w->use[record];
	dp_source_leave(w, use);
	if (use->route == DP_ROUTE_OBSERVED)
		w->records_observed--;
	use->generation++;
	use->owner = DP_FREE;
	atomic_store_explicit(&w->record[record].generation, use->generation,
			      memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	w->free_record[w->n_free_record++] = record;
	dp_gauge(w->counters, CNT_arena_records_used, w->n_records - w->n_free_record);
}

uint32_t dp_chunk_alloc(struct dp_worker *w)
{
	uint32_t i;

	if (w->n_free_chunk <= w->reserved) /* what is promised is not free */
		return UINT32_MAX;
	i = w->free_chunk[--w->n_free_chunk];
	w->chunk_used[i] = 1;
	dp_gauge(w->counters, CNT_arena_chunks_used, w->n_chunks - w->n_free_chunk);
	return i;
}

void dp_chunk_free(struct dp_worker *w, uint32_t chunk)
{
	if (chunk >= w->n_chunks || !w->chunk_used[chunk])
		return;
	w->chunk_used[chunk] = 0;
	w->free_chunk[w->n_free_chunk++] = chunk;
	dp_gauge(w->counters, CNT_arena_chunks_used, w->n_chunks - w->n_free_chunk);
}

/* ---- envelope ------------------------------------------------------------------------------ */

/* Chunks that are neither used nor promised. */
static uint32_t unclaimed(const struct dp_worker *w)
{
	return w->n_free_chunk - w->reserved;
}

/* A new DATA flow must leave the floor alone, unless it is the oldest itself. */
static bool may_begin(const struct dp_worker *w)
{
	uint32_t spare = unclaimed(w);

	return spare > w->floor || (spare == w->floor && !w->data_flows);
}

int dp_msg_open(struct dp_worker *w, struct dp_msg *m)
{
	uint32_t i;

	if (m->open)
		return -EINVAL;
	if (!may_begin(w) || w->chunks_pinned > w->pinned_budget)
		return -ENOMEM;
	i = dp_record_alloc(w);
	if (i == UINT32_MAX)
		return -ENOMEM;
	*m = (struct dp_msg){.record = i, .open = true};
	return 0;
}

struct handoff_record *dp_msg_record(struct dp_worker *w, const struct dp_msg *m)
{
	return m->open ? &w->record[m->record] : NULL;
}

uint32_t dp_msg_generation(const struct dp_worker *w, const struct dp_msg *m)
{
	return m->open ? w->use[m->record].generation : 0;
}

int dp_msg_text(struct dp_worker *w, struct dp_msg *m, struct str s, struct handoff_ref *ref)
{
	struct handoff_record *rec = dp_msg_record(w, m);

	if (!rec)
		return -EINVAL;
	if (s.n > sizeof(rec->text) - rec->text_len)
		return -ENOSPC;
	ref->off = (uint16_t)rec->text_len;
	ref->len = (uint16_t)s.n;
	if (s.n)
		memcpy(rec->text + rec->text_len, s.p, s.n);
	rec->text_len += (uint32_t)s.n;
	return 0;
}

int dp_msg_add_rcpt(struct dp_worker *w, struct dp_msg *m, struct str addr)
{
	struct handoff_record *rec = dp_msg_record(w, m);
	struct handoff_rcpt *r;
	int rc;

	if (!rec)
		return -EINVAL;
	if (rec->n_rcpts >= HANDOFF_MAX_RCPTS)
		return -ENOSPC;
	r = &rec->rcpt[rec->n_rcpts];
	rc = dp_msg_text(w, m, addr, &r->addr);
	if (rc)
		return rc;
	r->accepted = 0;
	r->pad = 0;
	return (int)rec->n_rcpts++;
}

/* ---- DATA ---------------------------------------------------------------------------------- */

/* Chunks that source and route of a record came to have, or has no more. */
static void account(struct dp_worker *w, uint32_t record, uint32_t more, uint32_t less)
{
	struct dp_source *src = dp_source_of(w, record);

	if (src)
		src->chunks += more - less;
	w->route_chunks[w->use[record].route] += more - less;
}

int dp_msg_data_begin(struct dp_worker *w, struct dp_msg *m, uint64_t declared, uint64_t now_ms)
{
	if (!m->open || m->in_data)
		return -EINVAL;
	if (declared > w->max_message)
		return -EFBIG;
	if (!may_begin(w))
		return -ENOMEM;
	if (!dp_source_may_begin(w, m, unclaimed(w)) || !dp_route_may_begin(w, m, unclaimed(w)))
		return -EDQUOT;
	/* min(SIZE, 64 KiB) is one chunk, whatever SIZE says. */
	m->reserved = 1;
	w->reserved++;
	account(w, m->record, 1, 0);
	m->in_data = true;
	m->begun_ms = now_ms;
	w->data_flows++;
	TAILQ_INSERT_TAIL(&w->age, m, age);
	return 0;
}

bool dp_may_observe(const struct dp_worker *w, uint8_t share, uint32_t n)
{
	uint64_t left = w->n_free_record, has = w->records_observed;

	if (left < w->n_records / 8 + n)
		return false;
	/* The last of them, with the others open. */
	return share >= 100 || (has + n - 1) * (100u - share) < (left - n + 1) * share;
}

int dp_msg_observe(struct dp_worker *w, struct dp_msg *m, uint8_t share)
{
	uint32_t i;

	if (m->open)
		return -EINVAL;
	if (!dp_may_observe(w, share, 1))
		return -ENOMEM;
	i = dp_record_alloc(w);
	*m = (struct dp_msg){.record = i, .open = true, .in_data = true, .passive = true,
			     .route_share = share};
	w->use[i].route = DP_ROUTE_OBSERVED;
	w->records_observed++;
	return 0;
}

static bool is_oldest(const struct dp_worker *w, const struct dp_msg *m)
{
	return TAILQ_FIRST(&w->age) == m;
}

/* Chunks that m may take now, its own reservation included. */
static uint32_t grantable(const struct dp_worker *w, const struct dp_msg *m)
{
	uint32_t spare = unclaimed(w);

	if (!is_oldest(w, m))
		spare = spare > w->floor ? spare - w->floor : 0;
	return m->reserved + spare;
}

/* Octets left in the last chunk that m holds. */
static size_t tail_room(const struct dp_msg *m)
{
	return (size_t)((uint64_t)m->held * HANDOFF_CHUNK - m->size);
}

static uint32_t at_most(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static size_t room(struct dp_worker *w, struct dp_msg *m)
{
	uint32_t more = at_most(grantable(w, m), w->floor - m->held);

	if (!is_oldest(w, m))
		more = at_most(more, at_most(dp_source_left(w, m, unclaimed(w)),
					     dp_route_left(w, m, unclaimed(w))));
	return tail_room(m) + (size_t)more * HANDOFF_CHUNK;
}

size_t dp_msg_room(struct dp_worker *w, struct dp_msg *m)
{
	size_t n;

	if (!m->in_data)
		return 0;
	n = room(w, m);
	if (n) {
		m->held_back = false;
	} else if (!m->held_back && m->held < w->floor) {
		m->held_back = true;
		dp_count(w->counters, CNT_arena_window_closed, 1);
		if (!dp_route_left(w, m, unclaimed(w)))
			dp_count(w->counters, CNT_arena_route_held, 1);
		else if (grantable(w, m)) /* others would get some */
			dp_count(w->counters, CNT_arena_share_held, 1);
	}
	return n;
}

static void take_chunk(struct dp_worker *w, struct dp_msg *m)
{
	if (m->reserved) {
		m->reserved--;
		w->reserved--;
	} else {
		account(w, m->record, 1, 0);
	}
	w->record[m->record].chunk[m->held++] = dp_chunk_alloc(w);
}

/*
 * A segment of a message is like the one before it: the lines that the next one is written to are fetched
 * while that one is looked at. They were last written a whole turn of the arena ago, so that stores would
 * fill the store queue with misses and hold up whatever comes behind them.
 */
static void expect(const uint8_t *to, size_t n)
{
	const uint8_t *end = to + n;

	for (to += -(uintptr_t)to % LINE; to < end; to += LINE)
		__builtin_prefetch(to, 1);
}

int dp_msg_append(struct dp_worker *w, struct dp_msg *m, const void *p, size_t n)
{
	const uint8_t *q = p;

	if (!m->in_data || n > room(w, m))
		return -ENOBUFS;
	while (n) {
		size_t k = tail_room(m);
		uint8_t *to;
		uint32_t c;

		if (!k) {
			take_chunk(w, m);
			continue;
		}
		if (k > n)
			k = n;
		c = w->record[m->record].chunk[m->held - 1];
		to = w->chunk + (size_t)c * HANDOFF_CHUNK + m->size % HANDOFF_CHUNK;
		memcpy(to, q, k);
		m->size += k;
		q += k;
		n -= k;
		/* Of a large piece nothing follows: it is no segment. */
		if (k <= EXPECTED)
			expect(to + k, k < tail_room(m) ? k : tail_room(m));
	}
	return 0;
}

const uint8_t *dp_msg_chunk(struct dp_worker *w, const struct dp_msg *m, uint32_t i, size_t *n)
{
	uint64_t off = (uint64_t)i * HANDOFF_CHUNK;

	if (!m->open || i >= m->held)
		return NULL;
	*n = m->size - off < HANDOFF_CHUNK ? (size_t)(m->size - off) : HANDOFF_CHUNK;
	return w->chunk + (size_t)w->record[m->record].chunk[i] * HANDOFF_CHUNK;
}

void dp_msg_wait(struct dp_msg *m, bool on, uint64_t now_ms)
{
	if (!m->waits_ms && on)
		m->waits_ms = now_ms ? now_ms : 1;
	if (m->waits_ms && !on) {
		m->begun_ms += now_ms - m->waits_ms;
		m->waits_ms = 0;
	}
}

static void leave_data(struct dp_worker *w, struct dp_msg *m)
{
	struct dp_source *src;
	bool listed = m->in_data && !m->passive;

	m->in_data = false;
	if (!listed)
		return;
	src = dp_source_of(w, m->record);
	account(w, m->record, 0, m->reserved);
	if (src && src->first == m)
		src->first = NULL;
	TAILQ_REMOVE(&w->age, m, age);
	w->data_flows--;
	w->reserved -= m->reserved;
	m->reserved = 0;
}

void dp_msg_data_end(struct dp_worker *w, struct dp_msg *m)
{
	struct handoff_record *rec = dp_msg_record(w, m);

	if (!rec)
		return;
	leave_data(w, m);
	rec->size = m->size;
	rec->n_chunks = m->held;
}

void dp_msg_submitted(struct dp_worker *w, struct dp_msg *m, uint32_t loop)
{
	struct dp_use *use;

	if (!m->open)
		return;
	leave_data(w, m);
	use = &w->use[m->record];
	use->owner = DP_CONTROL;
	use->loop = (uint8_t)loop;
	use->n_chunks = m->held;
	w->records_control++;
	w->chunks_control += m->held;
	*m = (struct dp_msg){.record = DP_NO_RECORD};
}

static void free_chunks(struct dp_worker *w, uint32_t record, uint32_t n)
{
	account(w, record, 0, n);
	for (uint32_t i = 0; i < n; i++)
		dp_chunk_free(w, w->record[record].chunk[i]);
}

void dp_msg_free(struct dp_worker *w, struct dp_msg *m)
{
	if (!m->open)
		return;
	leave_data(w, m);
	free_chunks(w, m->record, m->held);
	dp_record_free(w, m->record);
	*m = (struct dp_msg){.record = DP_NO_RECORD};
}

/* ---- with control -------------------------------------------------------------------------- */

bool dp_record_with_control(const struct dp_worker *w, uint32_t record, uint32_t generation)
{
	return record < w->n_records && w->use[record].generation == generation &&
	       (w->use[record].owner == DP_CONTROL || w->use[record].owner == DP_PINNED);
}

const struct handoff_record *dp_record_last(const struct dp_worker *w, uint32_t record,
					    uint32_t generation)
{
	uint32_t since;

	if (record >= w->n_records || generation % 2 == 0)
		return NULL;
	since = w->use[record].generation - generation;
	return since <= 1 ? &w->record[record] : NULL;
}

int dp_record_cancel(struct dp_worker *w, uint32_t record, uint32_t generation)
{
	struct dp_use *use;

	if (!dp_record_with_control(w, record, generation))
		return -ESTALE;
	use = &w->use[record];
	if (use->owner == DP_PINNED)
		return 0;
	use->owner = DP_PINNED;
	w->records_pinned++;
	w->chunks_pinned += use->n_chunks;
	atomic_store_explicit(&w->record[record].client_gone, 1, memory_order_release);
	dp_count(w->counters, CNT_handoff_pinned, 1);
	return 0;
}

void dp_record_return(struct dp_worker *w, uint32_t record)
{
	struct dp_use *use = &w->use[record];

	if (use->owner == DP_PINNED) {
		w->records_pinned--;
		w->chunks_pinned -= use->n_chunks;
	} else if (use->owner != DP_CONTROL) {
		return;
	}
	w->records_control--;
	w->chunks_control -= use->n_chunks;
	free_chunks(w, record, use->n_chunks);
	dp_record_free(w, record);
}

uint32_t dp_worker_reclaim(struct dp_worker *w)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->n_records && w->records_control; i++) {
		if (w->use[i].owner != DP_CONTROL && w->use[i].owner != DP_PINNED)
			continue;
		dp_record_return(w, i);
		n++;
	}
	return n;
}

/* Octets held for each octet a second that still comes in; 0: it is left alone. */
static double cost(struct dp_worker *w, const struct dp_msg *m, uint64_t now_ms)
{
	uint64_t now = m->waits_ms ? m->waits_ms : now_ms;
	uint64_t ms = now > m->begun_ms ? now - m->begun_ms : 1;
	double rate = (double)m->size * 1000 / (double)ms;
	bool slow = rate < LIMIT_EVICT_RATE && ms >= LIMIT_EVICT_YOUNG_MS;

	if (!slow && (is_oldest(w, m) || !dp_source_over(w, m)))
		return 0;
	return (double)m->held * HANDOFF_CHUNK / (rate + 1);
}

struct dp_msg *dp_worker_victim(struct dp_worker *w, uint64_t now_ms)
{
	struct dp_msg *m, *worst[2] = {NULL, NULL}; /* unknown sources, good ones */
	double most[2] = {0, 0};
	unsigned int n = 0;

	TAILQ_FOREACH(m, &w->age, age) {
		double c = cost(w, m, now_ms);

		if (c > most[m->good]) {
			most[m->good] = c;
			worst[m->good] = m;
		}
		if (++n == LIMIT_EVICT_LOOK)
			break;
	}
	return worst[0] ? worst[0] : worst[1];
}

void dp_worker_usage(const struct dp_worker *w, struct dp_usage *u)
{
	*u = (struct dp_usage){
		.records = w->n_records,
		.records_used = w->n_records - w->n_free_record,
		.records_control = w->records_control,
		.records_pinned = w->records_pinned,
		.chunks = w->n_chunks,
		.chunks_used = w->n_chunks - w->n_free_chunk,
		.chunks_reserved = w->reserved,
		.chunks_control = w->chunks_control,
		.chunks_pinned = w->chunks_pinned,
		.chunks_floor = w->floor,
		.pinned_budget = w->pinned_budget,
		.data_flows = w->data_flows,
		.sources = w->n_sources,
		.low = unclaimed(w) <= w->floor,
	};
}
