/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Questions of sessions on their way to control, and what becomes of them when it dies.
 *
 * Nothing is lost when a ring is full, and nothing is kept beside the session for it: what a session
 * has open can be made again from what it knows. That is one question, or several recipients of one
 * transaction: their serials and their indexes in the record are consecutive, and the last ones are
 * those of session.question and transaction.rcpt, so that how many are open and how many of them
 * are not in the ring yet tells which. Control answers them in order. So the session itself waits,
 * in order, behind the descriptors in the outbox; also after its connection is gone, where control
 * has yet to hear of that.
 */

#include <errno.h>
#include <string.h>

#include "dataplane/worker.h"

#define LOST_BURST 64 /* questions answered in a turn when control is gone */

void session_put(struct session *s, enum session_on on)
{
	struct worker *w = s->worker;
	struct session_list *const list[] = {
		[ON_FREE] = &w->free_list,
		[ON_ASKED] = &w->asked,
		[ON_UNSENT] = &w->unsent,
		[ON_ENDING] = &w->ending,
	};

	if (s->on != ON_NONE)
		TAILQ_REMOVE(list[s->on], s, list);
	s->on = (uint8_t)on;
	if (on != ON_NONE)
		TAILQ_INSERT_TAIL(list[on], s, list);
}

static void fill_connect(const struct session *s, struct handoff_desc *d)
{
	struct smtp_client c;
	struct tcp_tuple t;

	tcp_get_tuple(s->conn, &t);
	session_client(s, &c);
	memcpy(d->connect.peer, c.peer, 16);
	d->connect.peer_port = c.peer_port;
	d->connect.via = c.via;
	memcpy(d->connect.via_peer, t.remote, 16);
	d->connect.via_port = t.remote_port;
	d->connect.listener = session_listener(s, &t);
	d->connect.time_ns = s->connected_ns;
}

static void fill_message(const struct session *s, struct handoff_desc *d)
{
	struct worker *w = s->worker;
	const struct transaction *t = s->txn;

	d->msg.record = t->msg.record;
	d->msg.record_gen = dp_msg_generation(w->arena, &t->msg);
	d->msg.transaction = s->transaction;
	if (d->kind == DESC_RCPT) {
		d->msg.rcpt = t->rcpt - (s->n_unsent - 1u);
		d->msg.time_ns = worker_realtime_ns(w);
	} else {
		const struct handoff_record *rec = dp_msg_record(w->arena, &t->msg);

		d->msg.size = rec->size;
		d->msg.time_ns = rec->data_done_ns;
	}
}

/* The oldest that is not with control. 0, -EAGAIN: the ring is full; -ENOTCONN. */
static int push_question(struct session *s)
{
	struct handoff_desc d = session_desc(s, s->asked);
	int rc;

	d.question -= s->n_unsent - 1u;
	if (s->asked == DESC_CONNECT)
		fill_connect(s, &d);
	else
		fill_message(s, &d);
	rc = dp_rings_push(s->worker->rings, s->loop, &d);
	if (rc)
		return rc;
	s->n_unsent--;
	s->known = true;
	if (s->asked == DESC_RCPT)
		s->txn_known = true;
	if (s->asked == DESC_SUBMIT)
		message_submitted(s);
	return 0;
}

bool session_can_ask(const struct session *s)
{
	return s->worker->up && (!s->n_open || s->epoch == s->worker->epoch);
}

int session_ask(struct session *s, enum desc_kind kind)
{
	struct worker *w = s->worker;
	bool queue = w->outbox_len || !TAILQ_EMPTY(&w->unsent) || !TAILQ_EMPTY(&w->ending);
	int rc;

	if (!session_can_ask(s))
		return -EAGAIN;
	if (s->epoch != w->epoch) { /* another control than the one asked last */
		s->known = s->txn_known = false;
		s->epoch = w->epoch;
		s->loop = (uint8_t)dp_rings_pick(w->rings);
	}
	s->question++;
	s->asked = kind;
	s->n_open++;
	s->n_unsent++;
	rc = queue ? -EAGAIN : push_question(s);
	if (rc && rc != -EAGAIN && s->n_open == 1) {
		session_unask(s);
		return -EAGAIN;
	}
	/* With others open: control is about to be lost, and all of them with it. */
	if (rc)
		worker_count(w, CNT_handoff_ring_full);
	if (s->on != (rc ? ON_UNSENT : ON_ASKED)) /* it keeps its place */
		session_put(s, rc ? ON_UNSENT : ON_ASKED);
	return 0;
}

void session_unask(struct session *s)
{
	s->asked = 0;
	s->n_open = s->n_unsent = 0;
	session_put(s, ON_NONE);
}

void session_answered(struct session *s)
{
	if (!--s->n_open)
		session_unask(s);
}

static void set_free(struct session *s)
{
	session_put(s, ON_NONE);
	*s = (struct session){.worker = s->worker, .generation = s->generation + 1,
			      .reply = SESSION_NONE};
	session_put(s, ON_FREE);
}

static struct handoff_desc end_desc(const struct session *s)
{
	struct handoff_desc d = session_desc(s, DESC_SESSION_END);

	d.end.flags = s->end.flags;
	d.end.errors = s->end.errors;
	d.end.messages = s->end.messages;
	return d;
}

void session_end(struct session *s, const struct smtp_end *end)
{
	struct worker *w = s->worker;
	struct handoff_desc d;

	s->end.flags = (uint16_t)end->flags;
	s->end.errors = end->errors < UINT16_MAX ? (uint16_t)end->errors : UINT16_MAX;
	s->end.messages = end->messages;
	d = end_desc(s);
	if (!session_control_knows(s))
		set_free(s);
	else if (w->outbox_len || !TAILQ_EMPTY(&w->ending) ||
		 dp_rings_push(w->rings, s->loop, &d) == -EAGAIN)
		session_put(s, ON_ENDING);
	else
		set_free(s);
}

void session_ask_waiting(struct worker *w)
{
	struct session *s;

	if (!w->up || w->outbox_len)
		return;
	while ((s = TAILQ_FIRST(&w->ending)) && s->epoch == w->epoch) {
		struct handoff_desc d = end_desc(s);

		if (dp_rings_push(w->rings, s->loop, &d) == -EAGAIN)
			return;
		set_free(s);
	}
	while ((s = TAILQ_FIRST(&w->unsent)) && s->epoch == w->epoch) {
		while (s->n_unsent)
			if (push_question(s))
				return;
		session_put(s, ON_ASKED);
	}
}

/* The oldest in the list was asked of, or was to be told to, a control that is gone. */
static struct session *orphan(const struct worker *w, const struct session_list *list)
{
	struct session *s = TAILQ_FIRST(list);

	return s && (!w->up || s->epoch != w->epoch) ? s : NULL;
}

void session_control_lost(struct worker *w)
{
	unsigned int n = LOST_BURST, open;

	if ((orphan(w, &w->asked) || orphan(w, &w->unsent)) && session_replies_short(w))
		n = 1;
	for (; n; n -= open < n ? open : n) {
		struct session *s = orphan(w, &w->ending);

		open = 1;
		if (s) {
			set_free(s);
			continue;
		}
		s = orphan(w, &w->asked);
		if (!s)
			s = orphan(w, &w->unsent);
		if (!s)
			return;
		open = s->n_open;
		if (s->asked == DESC_SUBMIT)
			message_drop(s); /* if it was not handed over yet */
		session_unask(s);
		smtp_control_lost(s->smtp);
		session_evict_update(s, true);
		session_resume(s);
	}
}
