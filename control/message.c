/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A message from SUBMIT to its verdict: judge, deliver or hold back, answer, record. The bytes stay in the arena
 * all the way; the dataplane gets record and chunks back with the verdict, or by RELEASE when nobody
 * waits for one. The reply to the client is 250 on two grounds only: the next hop's 2xx, or a copy in
 * quarantine that is on the disk. And where configuration names a discard, without either.
 */

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/grey.h"
#include "control/message.h"
#include "control/note.h"
#include "postern/clock.h"

/* ---- life -------------------------------------------------------------------------------------- */

static void message_free(struct message *m)
{
	struct loop *l = m->loop;

	if (m->session) {
		m->session->work->message = NULL;
		session_work_done(m->session);
	}
	/* Taken, and nobody heard so; or, while we end, not known to be taken. */
	if (m->taken)
		indoubt_keep(m->ticket);
	else
		indoubt_drop(m->ticket);
	load_leave(&m->load);
	json_decref(m->message_id);
	json_decref(m->subject);
	judge_free(m->judge);
	hold_free(m->hold);
	redirect_free(m->redirect);
	journal_free(m->journal);
	ctl_submission_free(m->sub);
	snapshot_unref(m->snapshot);
	TAILQ_REMOVE(&l->messages, m, all);
	under_way_remove(m);
	l->n_messages--;
	free(m);
	if (l->stopping && TAILQ_EMPTY(&l->messages))
		event_base_loopexit(l->base, NULL);
}

/* Is the ring of this message's dataplane still the one we have? */
static struct ctl_loop *rings_of(const struct message *m)
{
	struct ctl_loop *r = m->loop->rings;

	return r && ctl_loop_epoch(r) == m->sub->epoch && ctl_epoch_alive(m->sub->epoch) ? r : NULL;
}

/* The one place where a client's reply is decided upon. Frees the message. */
static void answer(struct message *m, const struct ctl_reply *r, enum trace_outcome outcome,
		   const struct deliver_result *res)
{
	struct ctl_loop *rings = rings_of(m);
	uint64_t *c = m->loop->counters;

	if (outcome != TRACE_QUARANTINED)
		c[outcome == TRACE_DELIVERED   ? CTL_delivered
		  : outcome == TRACE_REJECTED  ? CTL_rejected
		  : outcome == TRACE_DISCARDED ? CTL_discarded
					       : CTL_deferred]++;
	if (rings && !m->cancelled) {
		if (m->session) {
			session_remember_final(m->session, m->sub->desc.question,
					       m->sub->envelope.trace_id, m->taken ? m->ticket : NULL);
			if (m->taken)
				m->ticket = NULL;
			m->session->messages++;
		}
		message_remember(m);
		ctl_verdict_message(rings, &m->sub->desc, r, true);
	} else if (rings) {
		message_remember(m);
		ctl_verdict_release(rings, &m->sub->desc);
	}
	gauges_message(m->loop->gauges, clock_mono_us() - m->started_us);
	if (m->judge)
		gauges_judged(m->loop->gauges, judge_result(m->judge)->judge_us);
	sources_message(m->loop, m, outcome, res);
	if (outcome == TRACE_DELIVERED)
		grey_accepted(m->loop, m);
	message_record(m, outcome, r, res);
	message_free(m);
}

static void release(struct message *m)
{
	struct ctl_loop *rings = rings_of(m);

	/* It may still read: a set that is being signed is waited for here. */
	judge_free(m->judge);
	m->judge = NULL;
	if (rings)
		ctl_verdict_release(rings, &m->sub->desc);
	message_free(m);
}

void message_forget(struct message *m)
{
	release(m);
}

void message_observed(struct message *m, enum trace_outcome outcome)
{
	m->loop->counters[outcome == TRACE_OBSERVED ? CTL_observed : CTL_observed_unjudged]++;
	if (outcome == TRACE_OBSERVED && m->sub->envelope.observed.whole != OBSERVED_WHOLE)
		m->loop->counters[CTL_observed_incomplete]++;
	message_record(m, outcome, NULL, NULL);
	release(m);
}

static void give_back(struct message *m, const struct deliver_result *res)
{
	if (m->observed) {
		m->sub->envelope.observed.unjudged = UNJUDGED_STOPPING;
		message_observed(m, TRACE_UNJUDGED);
		return;
	}
	m->loop->counters[CTL_aborted]++;
	message_record(m, TRACE_ABORTED, NULL, res);
	release(m);
}

static void on_delivered(void *arg, const struct deliver_result *res)
{
	struct message *m = arg;
	const struct deliver_reply *d = &res->reply;
	struct ctl_reply r = {d->code, d->enh_class, d->enh_subject, d->enh_detail, str_c(d->text)};

	m->job = NULL;
	if (res->outcome == DELIVER_DELIVERED)
		message_taken(m);
	if (res->outcome == DELIVER_ABORTED) {
		give_back(m, res);
		return;
	}
	answer(m, &r, res->outcome == DELIVER_DELIVERED	 ? TRACE_DELIVERED
		      : res->outcome == DELIVER_REJECTED ? TRACE_REJECTED
							 : TRACE_DEFERRED, res);
}

void message_answer(struct message *m, const struct ctl_reply *r, enum trace_outcome outcome)
{
	answer(m, r, outcome, NULL);
}

void message_give_back(struct message *m)
{
	give_back(m, NULL);
}

void message_taken(struct message *m)
{
	m->taken = true;
	if (m->ticket)
		indoubt_taken(m->ticket);
}

void message_begin(struct message *m)
{
	const struct mail_envelope *e = &m->sub->envelope;

	if (m->identified && !m->ticket)
		m->ticket = indoubt_begin(m->loop->indoubt, &m->id, e->rcpt, e->n_rcpts, e->trace_id,
					  clock_real_s());
}

bool message_wanted(const struct message *m)
{
	return !m->cancelled && ctl_submission_current(m->sub);
}

bool message_onward(void *arg)
{
	struct message *m = arg;

	if (!message_wanted(m))
		return false;
	message_begin(m);
	return true;
}

/* Our own fields may be: they name the client's HELO and paths. */
bool message_block_8bit(const struct annotate_output *out)
{
	for (size_t i = 0; i < out->block_len; i++)
		if ((uint8_t)out->block[i] >= 0x80)
			return true;
	return false;
}

void message_client(const struct message *m, const struct config_route *route, struct deliver_client *c)
{
	const struct judgement *j = judge_result(m->judge);
	const struct mail_envelope *e = &m->sub->envelope;
	/* Whom the server would see if we were not in the cable, and was asked about at RCPT. */
	bool direct = route->dialled || !memcmp(&j->origin.ip, &e->peer, sizeof(e->peer));
	const struct ptr_result *ptr = route->dialled ? &j->ptr : &j->origin_ptr;

	*c = (struct deliver_client){
		.ip = direct ? e->peer : j->origin.ip,
		.local = e->local,
		.local_port = e->local_port,
		.connected = e->via == VIA_NONE ? e->peer : e->via_peer,
		.port = direct ? e->peer_port : 0,
		.helo = route->dialled ? e->helo : str_c(j->origin.helo),
		.name = str_c(ptr->status == PTR_OK ? ptr->name : ""),
		.esmtp = e->proto != PROTO_SMTP,
	};
	if (!direct)
		return; /* what a relay spoke with us says nothing of the client */
	c->tls_version = e->tls_version;
	c->tls_cipher = e->tls_cipher;
	if (e->tls_flags & TLS_F_VERIFIED)
		c->tls_client = e->tls_client;
}

static void deliver_it(struct message *m)
{
	const struct judgement *j = judge_result(m->judge);
	const struct mail_envelope *e = &m->sub->envelope;
	struct deliver_request req = {
		.config = m->snapshot->config,
		.route = m->route,
		.mail_from = e->mail_from,
		.rcpt = e->rcpt,
		.n_rcpts = e->n_rcpts,
		.iov = j->out.iov,
		.n_iov = j->out.n_iov,
		.size = j->out.size,
		.body = e->body,
		.has_8bit = (e->flags & RECORD_F_8BIT) || message_block_8bit(&j->out),
		.bare_lf = e->flags & RECORD_F_BARE_LF,
		.bare_cr = e->flags & RECORD_F_BARE_CR,
		.smtputf8 = e->smtputf8,
		.client = &m->client,
		.wanted = message_onward,
	};
	struct ctl_reply busy = control_reply(SAYS_BUSY);

	message_client(m, m->route, &m->client);
	m->job = deliver_start(m->loop->deliver, &req, on_delivered, m);
	if (!m->job)
		answer(m, &busy, TRACE_DEFERRED, NULL);
}

/* Did a next hop take it already, and its 250 was lost? Then it is answered, not delivered. */
static bool taken_before(struct message *m)
{
	const struct mail_envelope *e = &m->sub->envelope;
	struct ctl_reply r = control_reply(SAYS_TAKEN_BEFORE);

	if (!m->loop->indoubt)
		return false;
	m->identified = indoubt_identify(&judge_result(m->judge)->headers, &m->sub->content,
					 e->mail_from, &m->id);
	if (!m->identified)
		return false;
	m->ticket = indoubt_claim(m->loop->indoubt, &m->id, e->rcpt, e->n_rcpts, clock_real_s(), m->earlier);
	if (!m->ticket)
		return false;
	m->taken = true;
	m->loop->counters[CTL_indoubt_answered]++;
	answer(m, &r, TRACE_DELIVERED, NULL);
	return true;
}

static void hold_it(struct message *m)
{
	struct ctl_reply no = control_reply(SAYS_NO_QUARANTINE);
	bool mailbox = judge_result(m->judge)->policy_config->quarantine_mailbox;

	if (mailbox ? redirect_start(m) : !m->loop->quarantine || hold_start(m)) {
		m->loop->counters[CTL_quarantine_failed]++;
		note(NOTE_ERROR, "message %s: cannot be held back: %s", m->sub->envelope.trace_id,
			mailbox ? "no memory, or no route to the mailbox"
			: m->loop->quarantine ? "no memory"
					      : "the quarantine is opened at a restart only");
		answer(m, &no, TRACE_DEFERRED, NULL);
	}
}

/* Named by the configuration: the sender hears that it was taken, and nobody gets it. */
static void discard_it(struct message *m)
{
	struct ctl_reply ok = control_reply(SAYS_ACCEPTED);

	answer(m, &ok, TRACE_DISCARDED, NULL);
}

static void on_judged(void *arg, const struct judgement *j)
{
	struct message *m = arg;
	const struct policy_verdict *p = &j->policy;
	struct ctl_reply r = {p->code, p->enh_class, p->enh_subject, p->enh_detail, str_c(p->text)};

	if (j->error) {
		bool loops = j->error == -ELOOP;
		bool bad = j->error == -EBADMSG; /* its own fault: another try would meet the same */

		r = control_reply(bad ? SAYS_BAD_HEADER : SAYS_NOT_JUDGED);
		note(NOTE_ERROR, "message %s: %s", m->sub->envelope.trace_id, j->error_text);
		if (loops)
			r = control_reply(SAYS_LOOP);
		m->loop->counters[loops ? CTL_loops : bad ? CTL_headers_malformed : CTL_not_judged]++;
		answer(m, &r, bad || loops ? TRACE_REJECTED : TRACE_DEFERRED, NULL);
	} else if (taken_before(m)) {
		return; /* whatever is thought of it now: a refusal would bounce what was delivered */
	} else if (p->action == POLICY_REJECT) {
		answer(m, &r, TRACE_REJECTED, NULL);
	} else if (p->action == POLICY_DEFER) {
		answer(m, &r, TRACE_DEFERRED, NULL);
	} else if (p->action == POLICY_QUARANTINE) {
		hold_it(m);
	} else if (p->action == POLICY_DISCARD) {
		discard_it(m);
	} else {
		deliver_it(m);
	}
}

/* All recipients must be of one route: true of what this control accepted, checked because another
 * one may have accepted them before it died. */
static const struct config_route *common_route(const struct config *c, const struct mail_envelope *e)
{
	const struct config_route *route = NULL;
	char way[MAIL_ALABEL], other[MAIL_ALABEL];

	for (size_t i = 0; i < e->n_rcpts; i++) {
		const struct config_route *r =
			loop_mailbox_problem(e->rcpt[i]) == CONTROL_REPLY_COUNT
				? loop_route_at(c, e->listener, &e->local, e->local_port, e->rcpt[i])
				: NULL;

		if (!r || (route && r != route))
			return NULL;
		loop_way(r, e->rcpt[i], route ? other : way);
		if (route && strcmp(way, other))
			return NULL;
		route = r;
	}
	return route;
}

static void start(struct message *m)
{
	struct ctl_reply gone = control_reply(SAYS_OLD_ROUTES);
	struct ctl_reply busy = control_reply(SAYS_BUSY);
	struct ctl_reply too_big = control_reply(SAYS_TOO_BIG);
	struct judge_request req;

	/* The route that RCPT was answered by; with another configuration in force meanwhile the
	 * message still goes by the one of its recipients. */
	m->route = common_route(m->snapshot->config, &m->sub->envelope);
	if (!m->route) {
		answer(m, &gone, TRACE_DEFERRED, NULL);
		return;
	}
	deliver_submitted(m->loop->deliver, m->route, m->sub->desc.worker, m->sub->content.size,
			  m->session ? &m->session->work->ticket : NULL, &m->load);
	if (m->route->max_message && m->sub->content.size > m->route->max_message) {
		m->loop->counters[CTL_nexthop_unsendable]++;
		answer(m, &too_big, TRACE_REJECTED, NULL);
		return;
	}
	req = (struct judge_request){
		.config = m->snapshot->config,
		.rules = m->snapshot->rules,
		.rules_stats = m->snapshot->rules_stats,
		.env = &m->sub->envelope,
		.content = &m->sub->content,
		.match = m->sub->match,
		.n_matches = m->sub->n_matches,
		.refuse_loops = true,
		.in_hand = under_way_elsewhere,
		.in_hand_arg = m,
	};
	m->judge = judge_start(&m->loop->judge_env, &req, on_judged, m);
	if (!m->judge)
		answer(m, &busy, TRACE_DEFERRED, NULL);
}

struct message *message_new(struct loop *l, const struct handoff_desc *d, int *error)
{
	struct message *m = calloc(1, sizeof(*m));

	*error = m ? ctl_submission_new(l->rings, d, &m->sub) : -ENOMEM;
	if (*error) {
		free(m);
		return NULL;
	}
	m->loop = l;
	m->started_us = clock_mono_us();
	TAILQ_INSERT_TAIL(&l->messages, m, all);
	under_way_add(m);
	l->n_messages++;
	return m;
}

void message_submit(struct loop *l, struct session *s, const struct handoff_desc *d)
{
	struct ctl_reply busy = control_reply(SAYS_BUSY);
	struct ctl_reply stopping = control_reply(SAYS_STOPPING);
	struct ctl_reply old = control_reply(SAYS_OLD_RULES);
	struct session_work *k = session_work(s);
	int rc = -ENOMEM;
	struct message *m = k ? message_new(l, d, &rc) : NULL;

	if (!m) {
		session_work_done(s);
		ctl_verdict_message(l->rings, d, &busy, true);
		return;
	}
	m->session = s;
	if (k->message)
		k->message->session = NULL; /* given up by the dataplane, not yet let go by us */
	k->message = m;
	s->peer = m->sub->envelope.peer;
	s->peer_port = m->sub->envelope.peer_port;
	if (l->stopping) {
		answer(m, &stopping, TRACE_DEFERRED, NULL);
		return;
	}
	m->snapshot = loop_snapshot(l, m->sub->scan_generation);
	if (!m->snapshot) {
		/* Its matches mean nothing to us: another control's rules made them. */
		answer(m, &old, TRACE_DEFERRED, NULL);
		return;
	}
	snapshot_ref(m->snapshot);
	start(m);
}

void message_cancel(struct message *m)
{
	m->cancelled = true;
	if (m->job)
		deliver_cancel(m->job); /* -> on_delivered, now or when the reply after the dot is in */
	else if (!m->holding)           /* else when the disk has answered */
		give_back(m, NULL);
}

void message_session_gone(struct message *m)
{
	m->session = NULL;
	/* Without CANCEL the dataplane is gone or lost it; client_gone stops us before the dot. */
}

void message_abort_all(struct loop *l)
{
	struct message *m = TAILQ_FIRST(&l->messages);

	while (m) {
		struct message *next = TAILQ_NEXT(m, all);

		if (!m->cancelled)
			message_cancel(m);
		m = next;
	}
}

void message_free_all(struct loop *l)
{
	while (!TAILQ_EMPTY(&l->messages))
		message_free(TAILQ_FIRST(&l->messages));
}
