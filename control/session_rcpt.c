/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The recipients of a session's transaction. The dataplane asks for the next one while the first
 * are open. Callouts run side by side and end in any order; verdicts go out in the order of asking,
 * for the dataplane takes none but that of the oldest.
 *
 * One transaction carries one next-hop route, that of the first recipient that was accepted. While
 * none is, a recipient of another route than those in front of it waits until it is known what
 * becomes of them: if one is accepted it hears 452 4.5.3, if none is it is asked. So each hears
 * what it would hear if the client waited for every reply, and the first is never told to come
 * back for the sake of another.
 *
 * What policy says without content comes first (access.c); the greylist, last: who is unknown to the
 * next hop hears so at once, and has no place in its table.
 *
 * A refusal may be one too many for its source: then it is 421, with which the session ends, and
 * what is open behind it is nobody's.
 *
 * Before the first callout of a transaction its route is asked for a ticket (control/deliver/load.h). Where
 * that has more under way than it gets through, the recipient is deferred before there is any content.
 *
 * Each question keeps the snapshot that was active when it came, and is answered by it; a reload in
 * between may give recipients of one transaction different ones. Routes are the same if their names
 * are.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/access.h"
#include "control/grey.h"
#include "control/loop.h"
#include "control/refused.h"
#include "control/watched.h"
#include "postern/limits.h"

/* The text is copied. */
static void answer(struct session_question *q, const struct ctl_reply *r)
{
	q->reply = (struct deliver_reply){
		.code = r->code,
		.enh_class = r->enh_class,
		.enh_subject = r->enh_subject,
		.enh_detail = r->enh_detail,
	};
	snprintf(q->reply.text, sizeof(q->reply.text), "%.*s", STR_FMT(r->text));
}

static void busy(struct session_question *q)
{
	const struct ctl_reply r = control_reply(SAYS_BUSY);

	answer(q, &r);
}

static void other_route(struct session_question *q)
{
	const struct ctl_reply r = control_reply(SAYS_OTHER_ROUTE);

	answer(q, &r);
}

static bool is_accepted(const struct session_question *q)
{
	return q->reply.code / 100 == 2;
}

/* Can both go in one transaction? Domains with MX records of their own cannot. */
static bool same_way(const struct config_route *a, const char *way_a, const struct session_question *q)
{
	return strcmp(a->name, q->route->name) == 0 && strcmp(way_a, q->way) == 0;
}

static void cancel_callout(struct session_work *k, struct session_question *q)
{
	if (q->spf)
		spf_cancel(q->spf);
	q->spf = NULL;
	if (!q->callout)
		return;
	deliver_verify_cancel(q->callout);
	q->callout = NULL;
	k->n_callouts--;
}

static void question_free(struct session_work *k, struct session_question *q)
{
	cancel_callout(k, q);
	TAILQ_REMOVE(&k->questions, q, link);
	k->n_questions--;
	snapshot_unref(q->snapshot);
	free(q);
}

static void drop_questions(struct session_work *k)
{
	while (!TAILQ_EMPTY(&k->questions))
		question_free(k, TAILQ_FIRST(&k->questions));
}

void session_drop_transaction(struct session_work *k)
{
	drop_questions(k);
	load_leave(&k->ticket);
	snapshot_unref(k->snapshot);
	k->snapshot = NULL;
	k->route = NULL;
	k->accepted = (struct deliver_joined){0};
}

/* RFC 5321 4.5.3.1.10: the others come in another transaction. */
static bool over_limit(const struct session_work *k, struct session_question *q)
{
	unsigned int max = q->route->max_recipients;

	if (!max || k->accepted.n < max)
		return false;
	q->reply = (struct deliver_reply){452, 4, 5, 3, ""};
	snprintf(q->reply.text, sizeof(q->reply.text), "Too many recipients: this route takes %u at once",
		 max);
	k->session->loop->counters[CTL_rcpt_over_limit]++;
	return true;
}

/* What deliver is to know of a recipient. The texts are the record's, which lives as long as the
 * transaction. */
static void fill_ask(const struct session_question *q, const struct ctl_rcpt_question *asked,
		     struct deliver_client *client, struct deliver_ask *ask)
{
	*client = (struct deliver_client){
		.port = q->session->peer_port, .helo = asked->helo, .esmtp = asked->proto != PROTO_SMTP,
		.tls_version = asked->tls_version, .local_port = asked->local_port,
	};
	memcpy(client->ip.a, asked->peer, sizeof(asked->peer));
	memcpy(client->local.a, asked->local, sizeof(asked->local));
	memcpy(client->connected.a, asked->connected, sizeof(asked->connected));
	*ask = (struct deliver_ask){
		.config = q->snapshot->config, .route = q->route, .mail_from = asked->mail_from,
		.rcpt = asked->rcpt, .smtputf8 = asked->smtputf8,
		.declared_size = asked->declared_size, .client = client,
	};
}

/* What its transaction has got already is known only now. */
static void join(struct session_work *k, struct session_question *q)
{
	struct loop *l = k->session->loop;
	struct ctl_rcpt_question asked;
	struct deliver_client client;
	struct deliver_ask ask;

	if (over_limit(k, q))
		return;
	if (ctl_rcpt_question(l->rings, &q->desc, &asked)) {
		k->accepted.n++; /* stale: TXN_END is on its way */
		return;
	}
	fill_ask(q, &asked, &client, &ask);
	if (deliver_may_join(l->deliver, &ask, &k->accepted, &q->reply))
		deliver_join(l->deliver, &k->accepted, asked.rcpt);
}

/* The oldest is answered. */
static void send_verdict(struct session_work *k, struct session_question *q)
{
	struct session *s = k->session;
	const struct deliver_reply *v = &q->reply;
	struct ctl_rcpt_question asked;
	struct ctl_reply r;

	if (is_accepted(q))
		join(k, q);
	r = (struct ctl_reply){v->code, v->enh_class, v->enh_subject, v->enh_detail, str_c(v->text)};
	if (is_accepted(q))
		r.route = deliver_arena_share(s->loop->deliver, q->snapshot->config, q->route,
					      &r.route_share);
	if (is_accepted(q) && !k->route) {
		k->snapshot = snapshot_ref(q->snapshot);
		k->route = q->route;
		memcpy(k->way, q->way, sizeof(k->way));
	}
	if (!is_accepted(q))
		s->rcpts_refused++;
	if (!q->by_policy)
		sources_rcpt_refused(s->loop, s, &r);
	if (r.code >= 400 && !ctl_rcpt_question(s->loop->rings, &q->desc, &asked))
		refused_rcpt(s->loop, s, &asked, q->route, &r);
	s->loop->counters[CTL_rcpts]++;
	ctl_verdict_rcpt(s->loop->rings, &q->desc, &r);
	if (r.code == 421)
		drop_questions(k);
	else
		question_free(k, q);
}

static void on_verified(void *arg, const struct deliver_reply *v);

/* Is there room for the transaction in its route? Else the recipient is answered. */
static bool is_admitted(struct session_work *k, struct session_question *q,
			const struct ctl_rcpt_question *asked)
{
	struct session *s = k->session;
	struct loop *l = s->loop;
	struct deliver_entry e = {
		.route = q->route, .declared_size = asked->declared_size, .trace_id = asked->trace_id,
		.again = s->shed,
	};
	struct ctl_room room;

	/* Counters that cannot be read say nothing, and bind nobody. */
	e.room.worker = s->worker;
	if (ctl_epoch_room(ctl_loop_epoch(l->rings), s->worker, &room)) {
		e.room.chunks_free = room.chunks;
		e.room.records_free = room.records;
		e.room.shared = q->snapshot->config->n_routes > 1;
	}
	if (deliver_admit(l->deliver, &e, &k->ticket, &q->reply))
		return true;
	s->shed = true;
	return false;
}

static void start_callout(struct session_work *k, struct session_question *q)
{
	struct loop *l = k->session->loop;
	struct ctl_rcpt_question asked;
	struct deliver_client client;
	struct deliver_ask ask;

	if (ctl_rcpt_question(l->rings, &q->desc, &asked)) {
		busy(q); /* stale: TXN_END is on its way */
		return;
	}
	if (!is_admitted(k, q, &asked))
		return;
	fill_ask(q, &asked, &client, &ask);
	q->callout = deliver_verify(l->deliver, &ask, on_verified, q);
	if (q->callout)
		k->n_callouts++;
	else
		busy(q);
}

/* Asks what may be asked now. True: something was answered without. */
static bool ask_waiting(struct session_work *k)
{
	const struct config_route *route = k->route;
	const char *way = k->way;
	struct session_question *q;
	bool answered = false;

	TAILQ_FOREACH(q, &k->questions, link) {
		if (q->reply.code && !is_accepted(q))
			continue;
		if (!route) {
			route = q->route;
			way = q->way;
		}
		if (!same_way(route, way, q)) {
			if (!k->route)
				break;
			k->session->loop->counters[CTL_rcpt_other_route]++;
			other_route(q);
		} else if (!q->reply.code && !q->callout && !q->spf &&
			   k->n_callouts < LIMIT_RCPT_CALLOUTS) {
			start_callout(k, q);
		}
		answered |= q->reply.code && !is_accepted(q);
	}
	return answered;
}

/* Verdicts that are due, callouts that may begin, and so on until all that is left waits. */
static void advance(struct session_work *k)
{
	struct session_question *q;

	do {
		while ((q = TAILQ_FIRST(&k->questions)) && q->reply.code)
			send_verdict(k, q);
	} while (ask_waiting(k));
	/* Nobody was accepted: the client may leave it at that for long. */
	if (!k->route && TAILQ_EMPTY(&k->questions))
		load_leave(&k->ticket);
	session_work_done(k->session);
}

static void on_grey(struct session_question *q)
{
	advance(q->session->work);
}

static void on_verified(void *arg, const struct deliver_reply *v)
{
	struct session_question *q = arg;
	struct session_work *k = q->session->work;

	q->callout = NULL;
	k->n_callouts--;
	if (v->code / 100 != 2)
		q->reply = *v;
	else if (!grey_ask(q, v, on_grey))
		return; /* on_grey() follows */
	advance(k);
}

static const struct config_route *route_of(const struct session_question *q,
					  const struct ctl_rcpt_question *asked)
{
	struct ip_addr local;

	memcpy(local.a, asked->local, sizeof(local.a));
	return loop_route_at(q->snapshot->config, asked->listener, &local, asked->local_port, asked->rcpt);
}

/* What can be said without the next hop, else the route. */
static void judge(struct loop *l, struct session_question *q, const struct ctl_rcpt_question *asked)
{
	enum control_reply problem;
	char text[HANDOFF_MAX_TEXT + 1];
	struct ctl_reply r;

	if (sources_rcpt(l, q->session, &r)) {
		answer(q, &r);
		return;
	}
	problem = loop_mailbox_problem(asked->rcpt);
	q->route = problem != CONTROL_REPLY_COUNT ? NULL : route_of(q, asked);
	if (q->route) {
		loop_way(q->route, asked->rcpt, q->way);
		q->by_policy = access_rcpt(l, q, asked->mail_from, &r, text);
		if (q->by_policy)
			answer(q, &r);
		return;
	}
	if (problem == CONTROL_REPLY_COUNT && config_is_inline(asked->listener)) {
		/* A reload took the server from the list; the client's next connection passes to it. */
		l->counters[CTL_inline_unlisted]++;
		r = control_reply(SAYS_OLD_ROUTES);
	} else {
		l->counters[CTL_relay_denied]++;
		r = loop_refusal(asked->rcpt, problem);
	}
	answer(q, &r);
}

/*
 * Those before it that nobody waits for any more. The serials of what is open are consecutive; a
 * gap says that the dataplane gave up waiting for an answer (its deadline).
 */
static void drop_stale(struct session_work *k, const struct handoff_desc *d)
{
	const struct session_question *last = TAILQ_LAST(&k->questions, session_questions);

	if (k->transaction != d->msg.transaction)
		session_drop_transaction(k);
	else if (last && last->desc.question + 1 != d->question)
		drop_questions(k);
	k->transaction = d->msg.transaction;
}

/* The next one cannot be kept: those in front of it are answered, so that it has its turn. */
static void give_up(struct session_work *k)
{
	struct session_question *q;

	TAILQ_FOREACH(q, &k->questions, link) {
		cancel_callout(k, q);
		if (!q->reply.code)
			busy(q);
	}
	advance(k);
}

static struct session_question *question_new(struct session_work *k, struct session *s,
					     const struct handoff_desc *d)
{
	struct session_question *q = NULL;

	/* The dataplane asks no more than that. */
	if (k->n_questions < LIMIT_RCPT_OPEN)
		q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->session = s;
	q->desc = *d;
	q->snapshot = snapshot_ref(s->loop->active);
	TAILQ_INSERT_TAIL(&k->questions, q, link);
	k->n_questions++;
	return q;
}

void session_rcpt(struct loop *l, struct session *s, const struct handoff_desc *d)
{
	const struct ctl_reply no_memory = control_reply(SAYS_BUSY);
	struct session_work *k = session_work(s);
	struct session_question *q = NULL;
	struct ctl_rcpt_question asked;
	int rc;

	if (k)
		drop_stale(k, d);
	rc = ctl_rcpt_question(l->rings, d, &asked);
	if (rc == -ESTALE) { /* the transaction is over, nobody waits */
		session_work_done(s);
		return;
	}
	if (k)
		q = question_new(k, s, d);
	if (!q) {
		if (k)
			give_up(k);
		ctl_verdict_rcpt(l->rings, d, &no_memory);
		return;
	}
	if (rc) {
		busy(q);
	} else {
		memcpy(s->peer.a, asked.peer, 16);
		watched_greeted(l, s, &asked);
		judge(l, q, &asked);
	}
	advance(k);
}
