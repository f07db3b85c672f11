/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A full ring makes descriptors wait here, in order; nothing is dropped. Bounded: a session has at
 * most one question open, so a handful of descriptors a slot is enough, and no session is accepted
 * while half of it is taken.
 */

#include <errno.h>
#include <stdlib.h>

#include "dataplane/worker.h"

int outbox_new(struct worker *w, uint32_t cap)
{
	w->outbox = calloc(cap, sizeof(*w->outbox));
	w->outbox_cap = cap;
	return w->outbox ? 0 : -ENOMEM;
}

void outbox_free(struct worker *w)
{
	free(w->outbox);
	w->outbox = NULL;
}

int outbox_push(struct worker *w, uint32_t loop, const struct handoff_desc *d)
{
	struct outbox_entry *e;

	if (!w->up)
		return -ENOTCONN;
	if (!w->outbox_len) {
		int rc = dp_rings_push(w->rings, loop, d);

		if (rc != -EAGAIN)
			return rc;
		worker_count(w, CNT_handoff_ring_full);
	}
	if (w->outbox_len == w->outbox_cap)
		return -ENOSPC;
	e = &w->outbox[(w->outbox_head + w->outbox_len) % w->outbox_cap];
	e->loop = loop;
	e->desc = *d;
	w->outbox_len++;
	return 0;
}

void outbox_drain(struct worker *w)
{
	while (w->outbox_len) {
		const struct outbox_entry *e = &w->outbox[w->outbox_head];

		if (dp_rings_push(w->rings, e->loop, &e->desc) == -EAGAIN)
			return;
		w->outbox_head = (w->outbox_head + 1) % w->outbox_cap;
		w->outbox_len--;
	}
}

void outbox_clear(struct worker *w)
{
	w->outbox_head = w->outbox_len = 0;
}
