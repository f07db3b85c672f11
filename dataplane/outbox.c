/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A full ring makes descriptors wait here, in order; nothing is dropped. Questions and SESSION_END do
 * not come here, the session itself waits with them (session_ask.c). What does is bounded by other
 * things than sessions, for while something waits here no question goes out: REPLY_ACKED and
 * REPLY_LOST by the pool of replies and by the records whose verdict may still come, TXN_END by the
 * records of open transactions, CANCEL by the records with control. Should that be wrong,
 * -ENOSPC loses none of these for good: control re-reads client_gone, a transaction ends with
 * the next one, and a reply that is not reported stays in doubt. No session is accepted while half
 * of it is taken.
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
