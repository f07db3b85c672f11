/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The rings of one worker: one pair for each loop of control.
 *
 * Control can write anything at any time anywhere in the rings. So our own indices live here, and
 * its index counts only as "how many slots", which must lie between what it said before and the
 * capacity. An index or a slot count that cannot be means that framing is lost: the epoch is
 * marked broken, and the link ends it. A record that is well framed but wrong is skipped and
 * counted; many of them end the epoch as well.
 *
 * Doorbells (both ways alike). Producer: publish head; full fence; sleeping set? clear it and
 * ring. Consumer: set sleeping; full fence; look at the heads once more; block only if all are
 * empty. One of the two sees the other's store.
 */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define MASK (HANDOFF_RING_SLOTS - 1)
#define MAX_INVALID 64u /* records of one loop in one epoch, then control is taken for mad */

struct pair {
	struct handoff_ring *submit, *verdict;
	uint32_t head;       /* of submit: ours */
	uint32_t tail_seen;  /* of submit: control's, as far as believed */
	uint32_t tail;       /* of verdict: ours */
	uint32_t head_seen;
	uint32_t load;       /* sessions, and messages with control */
	uint32_t invalid;
	bool dirty;          /* pushed to since the last flush */
};

struct dp_rings {
	struct dp_meet *meet;
	struct dp_worker *w;
	struct dp_epoch *epoch;  /* attached */
	bool up;
	uint32_t n_sessions;
	uint32_t next;           /* loop that is polled first */
	uint32_t rotor;          /* breaks ties of dp_rings_pick() */
	struct pair pair[HANDOFF_MAX_LOOPS];
	uint8_t slots[HANDOFF_VERDICT_SLOTS * HANDOFF_SLOT];
};

int dp_rings_new_at(struct dp_meet *meet, struct dp_worker *w, uint32_t n_sessions,
		    struct dp_rings **out)
{
	struct dp_rings *r;

	if (w->index >= meet->n_workers)
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->meet = meet;
	r->w = w;
	r->n_sessions = n_sessions;
	*out = r;
	return 0;
}

int dp_rings_new(struct dp_link *l, struct dp_worker *w, uint32_t n_sessions, struct dp_rings **out)
{
	return dp_rings_new_at(dp_link_meet(l), w, n_sessions, out);
}

static void detach(struct dp_rings *r)
{
	r->epoch = NULL;
	r->up = false;
	atomic_store(&r->meet->hazard[r->w->index], NULL);
}

void dp_rings_free(struct dp_rings *r)
{
	if (!r)
		return;
	detach(r);
	free(r);
}

/* ---- epoch --------------------------------------------------------------------------------- */

static void attach(struct dp_rings *r, struct dp_epoch *e)
{
	r->epoch = e;
	r->up = true;
	memset(r->pair, 0, sizeof(r->pair));
	for (uint32_t l = 0; l < e->n_loops; l++) {
		uint8_t *p = (uint8_t *)e->head + HANDOFF_RING_PAIR(r->w->index, l, e->n_loops);

		r->pair[l].submit = (struct handoff_ring *)p;
		r->pair[l].verdict = (struct handoff_ring *)p + 1;
	}
}

static enum dp_epoch_event try_attach(struct dp_rings *r)
{
	struct dp_epoch *e = atomic_load_explicit(&r->meet->current, memory_order_acquire);

	if (!e)
		return DP_EPOCH_NONE;
	/* The link frees what is neither current nor in a hazard: announce, then look again. */
	atomic_store(&r->meet->hazard[r->w->index], e);
	if (atomic_load(&r->meet->current) != e ||
	    atomic_load_explicit(&e->state, memory_order_acquire) != DP_EPOCH_LIVE) {
		atomic_store(&r->meet->hazard[r->w->index], NULL);
		return DP_EPOCH_NONE;
	}
	attach(r, e);
	return DP_EPOCH_UP;
}

static void set_broken(struct dp_rings *r)
{
	dp_count(r->w->counters, CNT_handoff_invalid, 1);
	atomic_store_explicit(&r->epoch->broken, 1, memory_order_release);
}

static bool is_broken(const struct dp_rings *r)
{
	return atomic_load_explicit(&r->epoch->broken, memory_order_relaxed) != 0;
}

/* Slots that control has published in loop l and we have not read. SIZE_MAX: cannot be. */
static size_t published(struct pair *p)
{
	uint32_t head = atomic_load_explicit(&p->verdict->ctl.head, memory_order_acquire);
	uint32_t n = head - p->tail;

	if (n > HANDOFF_RING_SLOTS || n < p->head_seen - p->tail)
		return SIZE_MAX;
	p->head_seen = head;
	return n;
}

/* A whole verdict lies in some ring. A cut one behind a dead control does not count. */
static bool verdicts_left(struct dp_rings *r)
{
	if (is_broken(r))
		return false;
	for (uint32_t l = 0; l < r->epoch->n_loops; l++) {
		struct pair *p = &r->pair[l];
		size_t n = published(p);
		uint8_t slots;

		if (!n)
			continue;
		slots = *(volatile uint8_t *)&p->verdict->slot[p->tail & MASK]
						       [offsetof(struct handoff_verdict, slots)];
		if (n == SIZE_MAX || slots <= n)
			return true;
	}
	return false;
}

enum dp_epoch_event dp_rings_epoch(struct dp_rings *r)
{
	uint32_t state;

	if (!r->epoch)
		return try_attach(r);
	state = atomic_load_explicit(&r->epoch->state, memory_order_acquire);
	if (state == DP_EPOCH_LIVE)
		return DP_EPOCH_NONE;
	/* Replies that control did give are given to the clients first. */
	if (verdicts_left(r))
		return DP_EPOCH_NONE;
	if (r->up) {
		r->up = false;
		return DP_EPOCH_LOST;
	}
	if (state != DP_EPOCH_S_GONE)
		return DP_EPOCH_NONE;
	detach(r);
	return DP_EPOCH_GONE;
}

bool dp_rings_up(const struct dp_rings *r)
{
	return r->up;
}

uint32_t dp_rings_loops(const struct dp_rings *r)
{
	return r->epoch ? r->epoch->n_loops : 0;
}

/* ---- descriptors to control ---------------------------------------------------------------- */

uint32_t dp_rings_pick(struct dp_rings *r)
{
	uint32_t n = dp_rings_loops(r), best;

	if (!n)
		return 0;
	best = r->rotor++ % n;
	for (uint32_t l = 0; l < n; l++)
		if (r->pair[l].load < r->pair[best].load)
			best = l;
	return best;
}

static void account(struct pair *p, uint8_t kind)
{
	if (kind == DESC_CONNECT || kind == DESC_SUBMIT)
		p->load++;
	else if (kind == DESC_SESSION_END && p->load)
		p->load--;
}

int dp_rings_push(struct dp_rings *r, uint32_t loop, const struct handoff_desc *d)
{
	struct handoff_desc *slot;
	struct pair *p;

	if (!r->up)
		return -ENOTCONN;
	if (loop >= r->epoch->n_loops)
		return -EINVAL;
	p = &r->pair[loop];
	if (p->head - p->tail_seen >= HANDOFF_RING_SLOTS) {
		uint32_t tail = atomic_load_explicit(&p->submit->ctl.tail, memory_order_acquire);

		if (tail - p->tail_seen > p->head - p->tail_seen) {
			set_broken(r);
			return -EAGAIN; /* LOST follows */
		}
		p->tail_seen = tail;
		if (p->head - tail >= HANDOFF_RING_SLOTS) {
			p->dirty = true;
			dp_count(r->w->counters, CNT_handoff_ring_full, 1);
			return -EAGAIN;
		}
	}
	slot = (struct handoff_desc *)p->submit->slot[p->head & MASK];
	*slot = *d;
	slot->worker = (uint16_t)r->w->index;
	p->head++;
	atomic_store_explicit(&p->submit->ctl.head, p->head, memory_order_release);
	p->dirty = true;
	account(p, d->kind);
	dp_count(r->w->counters, CNT_handoff_submit, 1);
	return 0;
}

void dp_rings_flush(struct dp_rings *r)
{
	bool fenced = false;

	if (!r->epoch)
		return;
	for (uint32_t l = 0; l < r->epoch->n_loops; l++) {
		_Atomic uint32_t *sleeping = &r->epoch->head->loop[l].sleeping;
		ssize_t n;

		if (!r->pair[l].dirty)
			continue;
		r->pair[l].dirty = false;
		if (!fenced)
			atomic_thread_fence(memory_order_seq_cst);
		fenced = true;
		if (!atomic_load_explicit(sleeping, memory_order_relaxed) ||
		    !atomic_exchange(sleeping, 0))
			continue;
		n = write(r->epoch->bell[l], "", 1);
		(void)n; /* full: it rings already */
		dp_count(r->w->counters, CNT_handoff_doorbell, 1);
	}
}

/* ---- verdicts from control ----------------------------------------------------------------- */

static void skip(struct pair *p, uint32_t slots)
{
	p->tail += slots;
	atomic_store_explicit(&p->verdict->ctl.tail, p->tail, memory_order_release);
}

static void invalid(struct dp_rings *r, struct pair *p)
{
	if (++p->invalid >= MAX_INVALID)
		set_broken(r);
	else
		dp_count(r->w->counters, CNT_handoff_invalid, 1);
}

static void deliver(struct dp_rings *r, uint32_t loop, const struct dp_verdict *v,
		    dp_verdict_callback *cb, void *arg)
{
	const struct handoff_verdict *h = &v->head;
	bool of_record = h->kind == VERDICT_MESSAGE || h->kind == VERDICT_RELEASE;
	const struct handoff_record *rec = NULL;

	dp_count(r->w->counters, CNT_handoff_verdicts, 1);
	if (of_record) {
		if (!dp_record_with_control(r->w, h->record, h->record_gen) ||
		    r->w->use[h->record].loop != loop) {
			dp_count(r->w->counters, CNT_handoff_stale, 1);
			return;
		}
		rec = &r->w->record[h->record];
		if (rec->session != h->session || rec->session_gen != h->generation) {
			invalid(r, &r->pair[loop]);
			return;
		}
	}
	if (!cb(arg, v))
		dp_count(r->w->counters, CNT_handoff_stale, 1);
	if (of_record && (h->kind == VERDICT_RELEASE || h->flags & VF_RELEASE)) {
		dp_record_return(r->w, h->record);
		if (r->pair[loop].load)
			r->pair[loop].load--;
	}
}

/* One verdict of a loop. False: none that is whole. */
static bool poll_one(struct dp_rings *r, uint32_t loop, dp_verdict_callback *cb, void *arg)
{
	struct pair *p = &r->pair[loop];
	size_t n = published(p);
	struct dp_verdict v;
	uint32_t slots;

	if (!n)
		return false;
	if (n == SIZE_MAX) {
		set_broken(r);
		return false;
	}
	memcpy(r->slots, p->verdict->slot[p->tail & MASK], HANDOFF_SLOT);
	slots = r->slots[offsetof(struct handoff_verdict, slots)];
	if (slots < 1 || slots > HANDOFF_VERDICT_SLOTS) {
		set_broken(r);
		return false;
	}
	if (slots > n)
		return false;
	for (uint32_t i = 1; i < slots; i++)
		memcpy(r->slots + i * HANDOFF_SLOT, p->verdict->slot[(p->tail + i) & MASK],
		       HANDOFF_SLOT);
	skip(p, slots);
	if (dp_verdict_parse(r->slots, slots, r->n_sessions, r->w->n_records, &v)) {
		invalid(r, p);
		return true;
	}
	v.loop = loop;
	deliver(r, loop, &v, cb, arg);
	return true;
}

unsigned int dp_rings_poll(struct dp_rings *r, unsigned int max, dp_verdict_callback *cb, void *arg)
{
	unsigned int done = 0;

	if (!r->epoch || is_broken(r))
		return 0;
	for (uint32_t k = 0; k < r->epoch->n_loops && done < max; k++) {
		uint32_t loop = (r->next + k) % r->epoch->n_loops;

		while (done < max && !is_broken(r) && poll_one(r, loop, cb, arg))
			done++;
	}
	r->next++;
	return done;
}

/* ---- sleep --------------------------------------------------------------------------------- */

static bool has_work(struct dp_rings *r)
{
	if (!r->epoch)
		return atomic_load(&r->meet->current) != NULL;
	if (atomic_load(&r->epoch->state) != DP_EPOCH_LIVE)
		return r->up || atomic_load(&r->epoch->state) == DP_EPOCH_S_GONE;
	for (uint32_t l = 0; l < r->epoch->n_loops; l++)
		if (atomic_load_explicit(&r->pair[l].verdict->ctl.head, memory_order_relaxed) !=
		    r->pair[l].tail)
			return !is_broken(r);
	return false;
}

bool dp_rings_sleep_begin(struct dp_rings *r)
{
	if (r->epoch) {
		atomic_store(&r->epoch->head->worker[r->w->index].sleeping, 1);
		atomic_thread_fence(memory_order_seq_cst);
	}
	if (!has_work(r))
		return true;
	if (r->epoch)
		atomic_store(&r->epoch->head->worker[r->w->index].sleeping, 0);
	return false;
}

void dp_rings_sleep_end(struct dp_rings *r)
{
	uint8_t buf[256];
	ssize_t n;

	if (r->epoch)
		atomic_store(&r->epoch->head->worker[r->w->index].sleeping, 0);
	n = read(r->meet->wake_read[r->w->index], buf, sizeof(buf));
	(void)n; /* what is left wakes us once more */
}

int dp_rings_fd(const struct dp_rings *r)
{
	return r->meet->wake_read[r->w->index];
}
