/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What stands in for control in a bench (--answer=accept): an epoch whose other end is the worker
 * itself. It reads its own descriptors out of the rings and writes the verdicts that a control would
 * write, so that sessions, arena and rings do what they always do, and nothing of them knows.
 */

#include <errno.h>
#include <stdlib.h>

#include "dataplane/handoff/internal.h"

#define MASK (HANDOFF_RING_SLOTS - 1)

/* Of the worker that has it. */
struct answer_side {
	_Alignas(64) struct handoff_ring *submit;
	struct handoff_ring *verdict;
	uint32_t tail, head; /* of submit, of verdict: ours */
};

struct dp_answer {
	struct dp_meet meet;
	struct dp_epoch *epoch;
	struct answer_side side[HANDOFF_MAX_WORKERS];
};

int dp_answer_new(uint32_t n_workers, struct dp_answer **out)
{
	struct dp_answer *a = aligned_alloc(64, sizeof(*a));
	int rc;

	if (!a)
		return -ENOMEM;
	*a = (struct dp_answer){0};
	rc = dp_meet_open(&a->meet, n_workers);
	if (!rc)
		rc = dp_epoch_new(1, n_workers, 1, &a->epoch);
	if (rc) {
		dp_answer_free(a);
		return rc;
	}
	for (uint32_t i = 0; i < n_workers; i++) {
		uint8_t *p = (uint8_t *)a->epoch->head + HANDOFF_RING_PAIR(i, 0, 1);

		a->side[i].submit = (struct handoff_ring *)p;
		a->side[i].verdict = (struct handoff_ring *)p + 1;
	}
	atomic_store(&a->meet.current, a->epoch);
	*out = a;
	return 0;
}

void dp_answer_free(struct dp_answer *a)
{
	if (!a)
		return;
	dp_epoch_free(a->epoch);
	dp_meet_close(&a->meet);
	free(a);
}

int dp_answer_rings(struct dp_answer *a, struct dp_worker *w, uint32_t n_sessions,
		    struct dp_rings **out)
{
	return dp_rings_new_at(&a->meet, w, n_sessions, out);
}

static void accept(struct handoff_verdict *v, uint16_t subject, uint16_t detail, struct str text)
{
	v->code = 250;
	v->enh_class = 2;
	v->enh_subject = subject;
	v->enh_detail = detail;
	v->text_len = (uint16_t)text.n;
	memcpy(v->text, text.p, text.n);
}

/* False: no verdict is due. */
static bool answer(struct dp_worker *w, const struct handoff_desc *d, struct handoff_verdict *v)
{
	const struct handoff_record *rec;

	*v = (struct handoff_verdict){.slots = 1, .session = d->session, .generation = d->generation,
				      .question = d->question};
	switch (d->kind) {
	case DESC_CONNECT:
		v->kind = VERDICT_CONNECT;
		v->code = 220;
		return true;
	case DESC_RCPT:
		v->kind = VERDICT_RCPT;
		accept(v, 1, 5, STR("ok"));
		return true;
	case DESC_SUBMIT:
		rec = &w->record[d->msg.record];
		v->record = d->msg.record;
		v->record_gen = d->msg.record_gen;
		v->kind = VERDICT_RELEASE;
		if (rec->flags & RECORD_F_OBSERVED)
			return true;
		v->kind = VERDICT_MESSAGE;
		v->flags = VF_RELEASE;
		accept(v, 0, 0, STR("thrown away"));
		return true;
	default:
		/* A message is released with its verdict: of CANCEL nothing is left to do. */
		return false;
	}
}

unsigned int dp_answer_turn(struct dp_answer *a, struct dp_worker *w)
{
	struct answer_side *s = &a->side[w->index];
	uint32_t end = atomic_load_explicit(&s->submit->ctl.head, memory_order_acquire);
	uint32_t read = atomic_load_explicit(&s->verdict->ctl.tail, memory_order_acquire);
	unsigned int n = 0;

	/* Full: what is left waits, and with it whoever asks for more. */
	while (s->tail != end && s->head - read < HANDOFF_RING_SLOTS) {
		const void *slot = s->submit->slot[s->tail++ & MASK];

		if (answer(w, slot, (struct handoff_verdict *)s->verdict->slot[s->head & MASK]))
			s->head++;
		n++;
	}
	if (!n)
		return 0;
	atomic_store_explicit(&s->submit->ctl.tail, s->tail, memory_order_release);
	atomic_store_explicit(&s->verdict->ctl.head, s->head, memory_order_release);
	return n;
}
