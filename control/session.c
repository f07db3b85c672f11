/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Sessions and what they ask; recipients are session_rcpt.c. A session is known from CONNECT to
 * SESSION_END; one that was open before this control started is met for the first time at its RCPT
 * or SUBMIT, and made then.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/access.h"
#include "control/loop.h"
#include "control/refused.h"
#include "control/replies.h"
#include "control/watched.h"
#include "postern/clock.h"

/* ---- work ------------------------------------------------------------------------------------ */

struct session_work *session_work(struct session *s)
{
	struct session_work *k = s->work;

	if (k)
		return k;
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->session = s;
	TAILQ_INIT(&k->questions);
	s->work = k;
	TAILQ_INSERT_TAIL(&s->loop->works, k, all);
	return k;
}

static void free_work(struct session *s)
{
	/* Nobody will tell any more whether these were heard. */
	for (unsigned int i = 0; i < SESSION_FINALS; i++)
		indoubt_keep(s->work->final[i].ticket);
	load_leave(&s->work->ticket);
	TAILQ_REMOVE(&s->loop->works, s->work, all);
	free(s->work);
	s->work = NULL;
}

void session_work_done(struct session *s)
{
	const struct session_work *k = s->work;

	if (!k || k->snapshot || !TAILQ_EMPTY(&k->questions) || k->message)
		return;
	for (unsigned int i = 0; i < SESSION_FINALS; i++)
		if (k->final[i].trace_id[0])
			return;
	free_work(s);
}

/* All but the session itself. */
static void give_up_work(struct session *s)
{
	if (!s->work)
		return;
	session_drop_transaction(s->work);
	if (s->work->message)
		message_session_gone(s->work->message);
	free_work(s);
}

/* ---- table ----------------------------------------------------------------------------------- */

/*
 * Sessions lie in pages by their slot, so that an idle one costs its own size and nothing else. The
 * dataplane uses low slots first and again; a page that is empty is freed.
 */

static void session_free(struct session *s)
{
	struct loop *l = s->loop;
	struct session_page **at = &l->workers[s->worker].page[s->slot / SESSION_PAGE];

	give_up_work(s);
	sources_leave(s);
	l->n_sessions--;
	s->loop = NULL;
	if (--(*at)->used)
		return;
	free(*at);
	*at = NULL;
}

void session_end_all(struct loop *l)
{
	watched_lost(l);
	/* Few have work; the others go with their pages, without being looked at. */
	while (!TAILQ_EMPTY(&l->works))
		give_up_work(TAILQ_FIRST(&l->works)->session);
	for (size_t i = 0; i < HANDOFF_MAX_WORKERS; i++) {
		for (uint32_t k = 0; k < l->workers[i].n; k++)
			free(l->workers[i].page[k]);
		free(l->workers[i].page);
		l->workers[i] = (struct session_slots){0};
	}
	l->n_sessions = 0;
	sources_leave_all(l);
}

/* The page of a slot; made if it is new. */
static struct session_page *get_page(struct session_slots *w, uint32_t slot)
{
	uint32_t at = slot / SESSION_PAGE, n = w->n ? w->n : 16;
	struct session_page **p;

	if (slot >= SESSION_SLOTS_MAX)
		return NULL;
	while (n <= at)
		n *= 2;
	if (n > w->n) {
		p = realloc(w->page, n * sizeof(struct session_page *));
		if (!p)
			return NULL;
		memset(p + w->n, 0, (n - w->n) * sizeof(struct session_page *));
		w->page = p;
		w->n = n;
	}
	if (!w->page[at])
		w->page[at] = calloc(1, sizeof(struct session_page));
	return w->page[at];
}

/* Whoever is in that slot. */
static struct session *at_slot(const struct session_slots *w, uint32_t slot)
{
	struct session_page *p = slot / SESSION_PAGE < w->n ? w->page[slot / SESSION_PAGE] : NULL;
	struct session *s = p ? &p->session[slot % SESSION_PAGE] : NULL;

	return s && s->loop ? s : NULL;
}

const struct session *session_next(const struct loop *l, uint32_t *worker, uint32_t *slot)
{
	for (; *worker < HANDOFF_MAX_WORKERS; ++*worker, *slot = 0) {
		const struct session_slots *w = &l->workers[*worker];

		while (*slot / SESSION_PAGE < w->n) {
			if (!w->page[*slot / SESSION_PAGE]) {
				*slot = (*slot / SESSION_PAGE + 1) * SESSION_PAGE;
				continue;
			}
			if (at_slot(w, *slot))
				return at_slot(w, *slot);
			++*slot;
		}
	}
	return NULL;
}

static struct session *session_find(struct loop *l, const struct handoff_desc *d)
{
	struct session *s = at_slot(&l->workers[d->worker], d->session);

	return s && s->generation == d->generation ? s : NULL;
}

/* The session of a descriptor; made if it is new. NULL: out of memory or a slot that cannot be. */
static struct session *session_get(struct loop *l, const struct handoff_desc *d)
{
	struct session_slots *w = &l->workers[d->worker];
	struct session *s = at_slot(w, d->session);
	struct session_page *p;

	if (s && s->generation == d->generation)
		return s;
	if (s)
		session_free(s); /* its end was lost with an epoch */
	p = get_page(w, d->session);
	if (!p) {
		l->counters[CTL_desc_invalid]++;
		return NULL;
	}
	p->used++;
	s = &p->session[d->session % SESSION_PAGE];
	*s = (struct session){
		.loop = l,
		.worker = d->worker,
		.slot = d->session,
		.generation = d->generation,
		.connected_ns = clock_real_ns(),
	};
	l->n_sessions++;
	return s;
}

/* ---- CONNECT --------------------------------------------------------------------------------- */

bool session_is_relay(const struct config *c, const struct ip_addr *ip)
{
	for (size_t i = 0; i < c->relays.n; i++)
		for (size_t k = 0; k < c->relays.relay[i].n_ranges; k++)
			if (ip_in_range(ip, &c->relays.relay[i].range[k]))
				return true;
	return false;
}

/* Who may name another client is not the sender yet: refused, it could never name one. A message
 * that it sends in its own name meets the same rule in the origin walk. */
bool session_is_trusted(const struct config *c, const struct ip_addr *ip)
{
	for (size_t i = 0; i < c->n_trusts; i++)
		for (size_t k = 0; k < c->trust[i].n_nets; k++)
			if (ip_in_net(ip, &c->trust[i].net[k]))
				return true;
	return false;
}

bool session_is_origin(const struct config *c, const struct session *s)
{
	return !session_is_relay(c, &s->peer) &&
	       (s->via != VIA_NONE || !session_is_trusted(c, &s->peer));
}

static void on_connect(struct loop *l, struct session *s, const struct handoff_desc *d)
{
	const struct config *c = l->active->config;
	struct ctl_reply r = {.code = 220};
	char text[HANDOFF_MAX_TEXT + 1];
	bool good;

	memcpy(s->peer.a, d->connect.peer, 16);
	s->peer_port = d->connect.peer_port;
	s->listener = d->connect.listener;
	s->connected_ns = d->connect.time_ns;
	l->counters[CTL_connects]++;
	s->via = d->connect.via <= VIA_PROXY ? d->connect.via : VIA_NONE;
	if (ip_is_private(&s->peer) && !c->policy.allow_private_peer &&
	    !session_is_relay(c, &s->peer) && (s->via != VIA_NONE || !session_is_trusted(c, &s->peer))) {
		/* A private peer means that NAT in front of us hides who sends. */
		l->counters[CTL_origin_private_peer]++;
		r = control_reply(SAYS_PRIVATE_PEER);
	} else {
		access_connect(l, s, &r);
	}
	good = sources_connect(l, s, &r);
	if (r.code != 220)
		refused_connect(l, s, &r, text);
	ctl_verdict_connect(l->rings, d, &r, good);
	watched_opened(l, s, &r);
}

/* ---- what became of a final reply --------------------------------------------------------------- */

void session_remember_final(struct session *s, uint32_t question, const char *trace_id,
			    struct indoubt_ticket *ticket)
{
	struct session_work *k = session_work(s);
	unsigned int i;

	if (!k) {
		indoubt_keep(ticket);
		return; /* and the trace record of a lost reply will be missing */
	}
	i = k->next_final++ % SESSION_FINALS;
	indoubt_keep(k->final[i].ticket);
	k->final[i].ticket = ticket;
	k->final[i].question = question;
	snprintf(k->final[i].trace_id, sizeof(k->final[i].trace_id), "%s", trace_id);
}

/* What became of the final reply to this question, if there was one. */
static void final_over(struct session *s, uint32_t question, bool lost)
{
	struct session_work *k = s->work;

	for (unsigned int i = 0; k && i < SESSION_FINALS; i++) {
		if (!k->final[i].trace_id[0] || k->final[i].question != question)
			continue;
		if (lost)
			trace_write(s->loop->trace,
				    json_pack("{s:s, s:s}", "event", "reply-lost", "trace_id",
					      k->final[i].trace_id));
		if (lost)
			indoubt_keep(k->final[i].ticket);
		else
			indoubt_drop(k->final[i].ticket);
		k->final[i].ticket = NULL;
		k->final[i].trace_id[0] = '\0';
	}
	if (k)
		session_work_done(s);
}

static void on_reply(struct loop *l, struct session *s, const struct handoff_desc *d)
{
	bool lost = d->kind == DESC_REPLY_LOST;

	l->counters[lost ? CTL_replies_lost : CTL_replies_acked]++;
	final_over(s, d->question, lost);
}

static void on_cancel(struct session *s, const struct handoff_desc *d)
{
	struct message *m = s->work ? s->work->message : NULL;

	if (m && m->sub->desc.msg.record == d->msg.record &&
	    m->sub->desc.msg.record_gen == d->msg.record_gen)
		message_cancel(m);
	else /* Our verdict crossed it: the client was told 451, and a reply that nobody hears is lost. */
		final_over(s, d->question, true);
}

static void on_transaction_end(struct session *s)
{
	if (!s->work)
		return;
	session_drop_transaction(s->work);
	session_work_done(s);
}

void session_desc(struct loop *l, const struct handoff_desc *d)
{
	struct session *s;

	if (d->kind == DESC_SUBMIT && d->flags & DESC_F_OBSERVED) {
		observe_submit(l, d);
		return;
	}
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
	case DESC_RCPT: session_rcpt(l, s, d); break;
	case DESC_SUBMIT:
		message_submit(l, s, d);
		on_transaction_end(s);
		break;
	case DESC_CANCEL: on_cancel(s, d); break;
	case DESC_REPLY_ACKED:
	case DESC_REPLY_LOST: on_reply(l, s, d); break;
	case DESC_TXN_END: on_transaction_end(s); break;
	case DESC_SESSION_END:
		watched_closed(l, s, d);
		sources_session_end(l, s, d);
		session_free(s);
		break;
	default: l->counters[CTL_desc_invalid]++;
	}
}
