/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The questions of a session. A session is known from CONNECT to SESSION_END; one that was open
 * before this control started is met for the first time at its RCPT or SUBMIT, and made then.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/loop.h"

static struct ctl_reply reply(uint16_t code, uint8_t class, uint16_t subject, uint16_t detail,
			      const char *text)
{
	return (struct ctl_reply){code, class, subject, detail, str_c(text)};
}

static uint64_t realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- table ----------------------------------------------------------------------------------- */

static void drop_question(struct session *s)
{
	if (s->question)
		deliver_verify_cancel(s->question);
	s->question = NULL;
	snapshot_unref(s->asked_snapshot);
	s->asked_snapshot = NULL;
	s->asked_route = NULL;
}

static void drop_transaction(struct session *s)
{
	drop_question(s);
	snapshot_unref(s->snapshot);
	s->snapshot = NULL;
	s->route = NULL;
}

static void session_free(struct session *s)
{
	struct loop *l = s->loop;

	drop_transaction(s);
	if (s->message)
		message_session_gone(s->message);
	l->workers[s->worker].slot[s->slot] = NULL;
	TAILQ_REMOVE(&l->sessions, s, all);
	l->n_sessions--;
	free(s);
}

void session_end_all(struct loop *l)
{
	while (!TAILQ_EMPTY(&l->sessions))
		session_free(TAILQ_FIRST(&l->sessions));
	for (size_t i = 0; i < HANDOFF_MAX_WORKERS; i++) {
		free(l->workers[i].slot);
		l->workers[i] = (struct session_slots){0};
	}
}

static int grow(struct session_slots *w, uint32_t slot)
{
	uint32_t n = w->n ? w->n : 256;
	struct session **p;

	if (slot >= SESSION_SLOTS_MAX)
		return -EINVAL;
	while (n <= slot)
		n *= 2;
	p = realloc(w->slot, n * sizeof(*p));
	if (!p)
		return -ENOMEM;
	memset(p + w->n, 0, (n - w->n) * sizeof(*p));
	w->slot = p;
	w->n = n;
	return 0;
}

static struct session *session_find(struct loop *l, const struct handoff_desc *d)
{
	const struct session_slots *w = &l->workers[d->worker];
	struct session *s = d->session < w->n ? w->slot[d->session] : NULL;

	return s && s->generation == d->generation ? s : NULL;
}

/* The session of a descriptor; made if it is new. NULL: out of memory or a slot that cannot be. */
static struct session *session_get(struct loop *l, const struct handoff_desc *d)
{
	struct session_slots *w = &l->workers[d->worker];
	struct session *s = session_find(l, d);

	if (s)
		return s;
	if (d->session >= w->n && grow(w, d->session)) {
		l->counters[CTL_desc_invalid]++;
		return NULL;
	}
	if (w->slot[d->session])
		session_free(w->slot[d->session]); /* its end was lost with an epoch */
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->loop = l;
	s->worker = d->worker;
	s->slot = d->session;
	s->generation = d->generation;
	s->connected_ns = realtime_ns();
	w->slot[d->session] = s;
	TAILQ_INSERT_TAIL(&l->sessions, s, all);
	l->n_sessions++;
	return s;
}

/* ---- CONNECT --------------------------------------------------------------------------------- */

static bool is_listed_relay(const struct config *c, const struct ip_addr *ip)
{
	for (size_t i = 0; i < c->relays.n; i++)
		for (size_t k = 0; k < c->relays.relay[i].n_nets; k++)
			if (ip_in_net(ip, &c->relays.relay[i].net[k]))
				return true;
	return false;
}

static void on_connect(struct loop *l, struct session *s, const struct handoff_desc *d)
{
	const struct config *c = l->active->config;
	struct ctl_reply r = reply(220, 0, 0, 0, "");

	memcpy(s->peer.a, d->connect.peer, 16);
	memcpy(s->local.a, d->connect.local, 16);
	s->peer_port = d->connect.peer_port;
	s->listener = d->connect.listener;
	s->connected_ns = d->connect.time_ns;
	l->counters[CTL_connects]++;
	if (ip_is_private(&s->peer) && !c->policy.allow_private_peer && !is_listed_relay(c, &s->peer)) {
		/* A private peer means that NAT in front of us hides who sends. */
		l->counters[CTL_origin_private_peer]++;
		r = reply(421, 4, 7, 1, "Private source address, the true sender cannot be seen");
	}
	ctl_verdict_connect(l->rings, d, &r);
}

/* ---- RCPT ------------------------------------------------------------------------------------ */

static void on_verified(void *arg, const struct deliver_reply *v)
{
	struct session *s = arg;
	struct loop *l = s->loop;
	struct ctl_reply r = reply(v->code, v->enh_class, v->enh_subject, v->enh_detail, v->text);

	s->question = NULL;
	if (v->code / 100 == 2 && !s->route) {
		s->snapshot = snapshot_ref(s->asked_snapshot);
		s->route = s->asked_route;
		s->transaction = s->asked.msg.transaction;
	}
	if (v->code / 100 != 2)
		s->rcpts_refused++;
	drop_question(s);
	l->counters[CTL_rcpts]++;
	ctl_verdict_rcpt(l->rings, &s->asked, &r);
}

static void refuse(struct loop *l, struct session *s, const struct handoff_desc *d, int counter,
		   struct ctl_reply r)
{
	l->counters[CTL_rcpts]++;
	l->counters[counter]++;
	s->rcpts_refused++;
	ctl_verdict_rcpt(l->rings, d, &r);
}

static void on_rcpt(struct loop *l, struct session *s, const struct handoff_desc *d)
{
	struct ctl_rcpt_question q;
	const struct config_route *route;
	const char *problem;
	struct ctl_reply busy = reply(451, 4, 3, 0, "Local error, try again later");
	int rc;

	drop_question(s);
	if (s->route && s->transaction != d->msg.transaction)
		drop_transaction(s);
	rc = ctl_rcpt_question(l->rings, d, &q);
	if (rc == -ESTALE)
		return; /* the transaction is over, nobody waits */
	if (rc) {
		ctl_verdict_rcpt(l->rings, d, &busy);
		return;
	}
	memcpy(s->peer.a, q.peer, 16);
	memcpy(s->local.a, q.local, 16);
	problem = loop_mailbox_problem(q.rcpt);
	route = problem ? NULL : loop_route(l->active->config, q.rcpt);
	if (!route) {
		refuse(l, s, d, CTL_relay_denied,
		       reply(550, 5, 7, 1, problem ? problem : "Relaying denied"));
		return;
	}
	if (s->route && strcmp(s->route->name, route->name) != 0) {
		refuse(l, s, d, CTL_rcpt_other_route,
		       reply(452, 4, 5, 3, "This recipient goes another way, send it separately"));
		return;
	}
	s->asked = *d;
	s->asked_snapshot = snapshot_ref(l->active);
	s->asked_route = route;
	s->question = deliver_verify(l->deliver, l->active->config, route, q.mail_from, q.rcpt,
				     on_verified, s);
	if (!s->question) {
		drop_question(s);
		ctl_verdict_rcpt(l->rings, d, &busy);
	}
}

/* ---- what became of a final reply --------------------------------------------------------------- */

void session_remember_final(struct session *s, uint32_t question, const char *trace_id)
{
	unsigned int i = s->next_final++ % SESSION_FINALS;

	s->final[i].question = question;
	snprintf(s->final[i].trace_id, sizeof(s->final[i].trace_id), "%s", trace_id);
}

static void on_reply(struct loop *l, struct session *s, const struct handoff_desc *d)
{
	if (d->kind == DESC_REPLY_ACKED) {
		l->counters[CTL_replies_acked]++;
		return;
	}
	l->counters[CTL_replies_lost]++;
	for (unsigned int i = 0; i < SESSION_FINALS; i++)
		if (s->final[i].trace_id[0] && s->final[i].question == d->question)
			trace_write(l->trace, json_pack("{s:s, s:s}", "event", "reply-lost", "trace_id",
							s->final[i].trace_id));
}

static void on_cancel(struct session *s, const struct handoff_desc *d)
{
	struct message *m = s->message;

	if (m && m->sub->desc.msg.record == d->msg.record &&
	    m->sub->desc.msg.record_gen == d->msg.record_gen)
		message_cancel(m);
}

void session_desc(struct loop *l, const struct handoff_desc *d)
{
	struct session *s;

	switch (d->kind) {
	case DESC_CONNECT:
	case DESC_RCPT:
	case DESC_SUBMIT:
		s = session_get(l, d);
		break;
	default:
		s = session_find(l, d);
		if (!s)
			l->counters[CTL_desc_stale]++;
	}
	if (!s) {
		if (d->kind == DESC_SUBMIT)
			ctl_verdict_release(l->rings, d);
		return;
	}
	switch (d->kind) {
	case DESC_CONNECT: on_connect(l, s, d); break;
	case DESC_RCPT: on_rcpt(l, s, d); break;
	case DESC_SUBMIT:
		message_submit(l, s, d);
		drop_transaction(s);
		break;
	case DESC_CANCEL: on_cancel(s, d); break;
	case DESC_REPLY_ACKED:
	case DESC_REPLY_LOST: on_reply(l, s, d); break;
	case DESC_TXN_END: drop_transaction(s); break;
	case DESC_SESSION_END: session_free(s); break;
	default: l->counters[CTL_desc_invalid]++;
	}
}
