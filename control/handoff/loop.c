/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The rings of one event loop: descriptors of every worker in, verdicts out.
 *
 * The heartbeat is a timer of this very loop: if a callback hangs, it stops, which is what the
 * dataplane wants to know. `sleeping` is set when all rings were seen empty, and stays set while
 * other events run: the doorbell is then one write to a pipe, and it comes back here.
 */

#include "control/handoff/internal.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#define MASK (HANDOFF_RING_SLOTS - 1)
#define BEAT_US 200000   /* the contract asks for 500 ms at least */
#define RETRY_US 1000    /* a full verdict ring is looked at again */
#define BURST 64u        /* descriptors of one worker before the next one has its turn */
#define ROUNDS 4u        /* of all workers, before other events have theirs */

struct queued {
	STAILQ_ENTRY(queued) next;
	uint32_t slots;
	uint8_t data[];
};

struct side {
	struct handoff_ring *submit, *verdict;
	uint32_t tail;       /* of submit: ours */
	uint32_t head_seen;
	uint32_t head;       /* of verdict: ours */
	uint32_t tail_seen;
	bool broken;         /* an index that cannot be: this pair is dead in this epoch */
	STAILQ_HEAD(, queued) queue;
};

struct ctl_loop {
	struct ctl_epoch *epoch;
	uint32_t index;
	uint64_t *counters;
	ctl_desc_callback *cb;
	void *arg;
	struct event *bell, *beat, *retry, *again;
	size_t n_queued;
	struct side side[HANDOFF_MAX_WORKERS];
};

/* ---- descriptors --------------------------------------------------------------------------- */

static void broken(struct ctl_loop *l, struct side *s)
{
	s->broken = true;
	l->counters[CTL_desc_invalid]++;
}

/* Descriptors that wait; a head that cannot be breaks the pair. */
static uint32_t waiting(struct ctl_loop *l, struct side *s)
{
	uint32_t head, n;

	if (s->broken)
		return 0;
	head = atomic_load_explicit(&s->submit->ctl.head, memory_order_acquire);
	n = head - s->tail;
	if (n > HANDOFF_RING_SLOTS || n < s->head_seen - s->tail) {
		broken(l, s);
		return 0;
	}
	s->head_seen = head;
	return n;
}

static uint32_t take(struct ctl_loop *l, uint32_t worker)
{
	struct side *s = &l->side[worker];
	uint32_t n = waiting(l, s);

	if (n > BURST)
		n = BURST;
	for (uint32_t i = 0; i < n; i++) {
		struct handoff_desc d;

		memcpy(&d, s->submit->slot[s->tail & MASK], sizeof(d));
		s->tail++;
		atomic_store_explicit(&s->submit->ctl.tail, s->tail, memory_order_release);
		if (ctl_desc_fits(&d, worker, l->epoch->n_records))
			l->cb(l->arg, l, &d);
		else
			l->counters[CTL_desc_invalid]++;
	}
	return n;
}

static bool round_of_all(struct ctl_loop *l)
{
	uint32_t n = 0;

	for (uint32_t w = 0; w < l->epoch->n_workers; w++)
		n += take(l, w);
	return n != 0;
}

static void drain(struct ctl_loop *l)
{
	_Atomic uint32_t *sleeping = &l->epoch->rings->loop[l->index].sleeping;
	bool left = false;

	atomic_store(sleeping, 0);
	for (unsigned int i = 0; i < ROUNDS; i++)
		if (!round_of_all(l))
			break;
	atomic_store(sleeping, 1);
	atomic_thread_fence(memory_order_seq_cst);
	for (uint32_t w = 0; w < l->epoch->n_workers; w++)
		left |= waiting(l, &l->side[w]) != 0;
	if (!left)
		return;
	atomic_store(sleeping, 0);
	event_active(l->again, EV_TIMEOUT, 0);
}

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
	uint8_t buf[256];
	ssize_t n = read(fd, buf, sizeof(buf));

	(void)what;
	if (n == 0) { /* the dataplane's end is closed; the link will say so */
		event_del(((struct ctl_loop *)arg)->bell);
		return;
	}
	drain(arg);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	drain(arg);
}

/* ---- verdicts ------------------------------------------------------------------------------ */

static bool has_room(struct ctl_loop *l, struct side *s, uint32_t n)
{
	uint32_t tail;

	if (HANDOFF_RING_SLOTS - (s->head - s->tail_seen) >= n)
		return true;
	tail = atomic_load_explicit(&s->verdict->ctl.tail, memory_order_acquire);
	if (tail - s->tail_seen > s->head - s->tail_seen) {
		broken(l, s);
		return false;
	}
	s->tail_seen = tail;
	return HANDOFF_RING_SLOTS - (s->head - tail) >= n;
}

static void write_slots(struct ctl_loop *l, uint32_t worker, const uint8_t *p, uint32_t n)
{
	_Atomic uint32_t *sleeping = &l->epoch->rings->worker[worker].sleeping;
	struct side *s = &l->side[worker];

	for (uint32_t i = 0; i < n; i++)
		memcpy(s->verdict->slot[(s->head + i) & MASK], p + i * HANDOFF_SLOT, HANDOFF_SLOT);
	s->head += n;
	/* Once for all slots: the dataplane never meets half a verdict of a live control. */
	atomic_store_explicit(&s->verdict->ctl.head, s->head, memory_order_release);
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(sleeping, memory_order_relaxed) && atomic_exchange(sleeping, 0)) {
		ssize_t k = write(l->epoch->worker_bell[worker], "", 1);

		(void)k; /* full: it rings already */
	}
}

static void arm_retry(struct ctl_loop *l)
{
	const struct timeval tv = {0, RETRY_US};

	if (l->n_queued && !evtimer_pending(l->retry, NULL))
		evtimer_add(l->retry, &tv);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct ctl_loop *l = arg;

	(void)fd;
	(void)what;
	if (!ctl_epoch_alive(l->epoch)) /* nobody reads them any more */
		return;
	for (uint32_t w = 0; w < l->epoch->n_workers; w++) {
		struct side *s = &l->side[w];
		struct queued *q;

		while (!s->broken && (q = STAILQ_FIRST(&s->queue)) && has_room(l, s, q->slots)) {
			write_slots(l, w, q->data, q->slots);
			STAILQ_REMOVE_HEAD(&s->queue, next);
			l->n_queued--;
			free(q);
		}
	}
	arm_retry(l);
}

int ctl_loop_put(struct ctl_loop *l, uint32_t worker, const uint8_t *slots, uint32_t n)
{
	struct side *s;
	struct queued *q;

	if (worker >= l->epoch->n_workers || n < 1 || n > HANDOFF_VERDICT_SLOTS)
		return -EINVAL;
	s = &l->side[worker];
	if (!s->broken && STAILQ_EMPTY(&s->queue) && has_room(l, s, n)) {
		write_slots(l, worker, slots, n);
		return 0;
	}
	q = malloc(sizeof(*q) + (size_t)n * HANDOFF_SLOT);
	if (!q)
		return -ENOMEM;
	q->slots = n;
	memcpy(q->data, slots, (size_t)n * HANDOFF_SLOT);
	STAILQ_INSERT_TAIL(&s->queue, q, next);
	l->n_queued++;
	arm_retry(l);
	return 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
	struct ctl_loop *l = arg;

	(void)fd;
	(void)what;
	atomic_fetch_add_explicit(&l->epoch->rings->loop[l->index].heartbeat, 1,
				  memory_order_relaxed);
}

static void map_sides(struct ctl_loop *l)
{
	struct ctl_epoch *e = l->epoch;

	for (uint32_t w = 0; w < e->n_workers; w++) {
		uint8_t *p = (uint8_t *)e->rings + HANDOFF_RING_PAIR(w, l->index, e->n_loops);
		struct side *s = &l->side[w];

		s->submit = (struct handoff_ring *)p;
		s->verdict = (struct handoff_ring *)p + 1;
		STAILQ_INIT(&s->queue);
	}
}

int ctl_loop_new(struct ctl_epoch *e, uint32_t index, struct event_base *base, uint64_t *counters,
		 ctl_desc_callback *cb, void *arg, struct ctl_loop **out)
{
	const struct timeval beat = {0, BEAT_US};
	struct ctl_loop *l;

	if (index >= e->n_loops)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->epoch = ctl_epoch_ref(e);
	l->index = index;
	l->counters = counters;
	l->cb = cb;
	l->arg = arg;
	map_sides(l);
	l->bell = event_new(base, e->loop_bell[index], EV_READ | EV_PERSIST, on_bell, l);
	l->beat = event_new(base, -1, EV_PERSIST, on_beat, l);
	l->retry = evtimer_new(base, on_retry, l);
	l->again = event_new(base, -1, 0, on_again, l);
	if (!l->bell || !l->beat || !l->retry || !l->again || event_add(l->bell, NULL) < 0 ||
	    event_add(l->beat, &beat) < 0) {
		ctl_loop_free(l);
		return -ENOMEM;
	}
	on_beat(-1, 0, l);
	/* The first look at the rings, and `sleeping` with it, comes from the loop itself. */
	event_active(l->again, EV_TIMEOUT, 0);
	*out = l;
	return 0;
}

static void free_event(struct event *ev)
{
	if (ev)
		event_free(ev);
}

void ctl_loop_free(struct ctl_loop *l)
{
	if (!l)
		return;
	free_event(l->bell);
	free_event(l->beat);
	free_event(l->retry);
	free_event(l->again);
	for (uint32_t w = 0; w < l->epoch->n_workers; w++) {
		struct queued *q;

		while ((q = STAILQ_FIRST(&l->side[w].queue))) {
			STAILQ_REMOVE_HEAD(&l->side[w].queue, next);
			free(q);
		}
	}
	ctl_epoch_unref(l->epoch);
	free(l);
}

struct ctl_epoch *ctl_loop_epoch(const struct ctl_loop *l)
{
	return l->epoch;
}

size_t ctl_loop_queued(const struct ctl_loop *l)
{
	return l->n_queued;
}

bool ctl_loop_fill(const struct ctl_loop *l, uint32_t worker, struct ctl_fill *out)
{
	const struct side *s = &l->side[worker < l->epoch->n_workers ? worker : 0];

	if (worker >= l->epoch->n_workers || s->broken)
		return false;
	out->submit = atomic_load_explicit(&s->submit->ctl.head, memory_order_relaxed) - s->tail;
	out->verdict = s->head - atomic_load_explicit(&s->verdict->ctl.tail, memory_order_relaxed);
	/* The other side's indices are not checked here: nothing is read by them. */
	return out->submit <= HANDOFF_RING_SLOTS && out->verdict <= HANDOFF_RING_SLOTS;
}

uint64_t *ctl_loop_counters(struct ctl_loop *l)
{
	return l->counters;
}
