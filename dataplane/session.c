/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * One connection: bytes of tcp/ go to smtp/, replies of smtp/ go to tcp/, questions go to control
 * and verdicts come back.
 *
 * Who may free what: a session lives in its slot from accept() to closed(). smtp/ may ask to close
 * or abort while it is on the stack; that is only noted, and session_settle() does it when smtp/ has
 * returned. A slot's generation changes with every reuse, so that late verdicts are stale.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/worker.h"
#include "postern/limits.h"

#define OUTBOX_PER_SESSION 4
#define EXTRA_SLOTS 64

static void session_settle(struct session *s);

static struct handoff_desc session_desc(const struct session *s, uint8_t kind)
{
	return (struct handoff_desc){
		.kind = kind,
		.session = s->slot,
		.generation = s->generation,
		.question = s->question,
	};
}

static bool control_knows(const struct session *s)
{
	return s->known && s->epoch == s->worker->epoch && s->worker->up;
}

/* ---- replies and their acknowledgement ----------------------------------------------------- */

static void reply_report(struct session *s, const struct session_reply *r, uint8_t kind)
{
	struct worker *w = s->worker;
	struct handoff_desc d = session_desc(s, kind);

	worker_count(w, kind == DESC_REPLY_ACKED ? CNT_smtp_reply_acked : CNT_smtp_reply_lost);
	if (!w->up || r->epoch != w->epoch)
		return;
	d.question = r->question;
	(void)outbox_push(w, r->loop, &d); /* its loss leaves the entry in doubt, which is safe */
}

/* The next octets of smtp/ are a final reply. */
static void reply_sent(struct session *s, uint32_t question)
{
	if (s->n_replies == SESSION_REPLIES) {
		reply_report(s, &s->reply[0], DESC_REPLY_LOST);
		memmove(s->reply, s->reply + 1, sizeof(s->reply) - sizeof(s->reply[0]));
		s->n_replies--;
	}
	s->reply[s->n_replies++] = (struct session_reply){
		.end = s->sent, .question = question, .loop = s->loop, .epoch = s->epoch};
}

static void session_acked(void *app, uint32_t unacked)
{
	struct session *s = app;
	uint64_t acked = s->sent - unacked;
	unsigned int n = 0;

	while (n < s->n_replies && s->reply[n].end <= acked)
		reply_report(s, &s->reply[n++], DESC_REPLY_ACKED);
	if (n) {
		s->n_replies -= n;
		memmove(s->reply, s->reply + n, s->n_replies * sizeof(s->reply[0]));
	}
}

/* ---- what smtp/ asks of us ------------------------------------------------------------------ */

static int op_send(void *owner, const void *p, size_t n)
{
	struct session *s = owner;
	int rc = s->conn ? tcp_send(s->conn, p, n) : -EPIPE;

	if (!rc)
		s->sent += n;
	return rc;
}

static void op_close(void *owner, enum smtp_close how)
{
	struct session *s = owner;

	if (how == SMTP_CLOSE_ABORT)
		s->aborting = true;
	else
		s->closing = true;
}

static int op_ask_connect(void *owner)
{
	struct session *s = owner;
	struct worker *w = s->worker;
	struct handoff_desc d;

	if (!w->up)
		return -EAGAIN;
	s->epoch = w->epoch;
	s->loop = dp_rings_pick(w->rings);
	s->question++;
	d = session_desc(s, DESC_CONNECT);
	memcpy(d.connect.peer, s->tuple.remote, 16);
	memcpy(d.connect.local, s->tuple.local, 16);
	d.connect.peer_port = s->tuple.remote_port;
	d.connect.local_port = s->tuple.local_port;
	d.connect.listener = (uint16_t)net_listener_id(w->net, &s->tuple);
	d.connect.time_ns = s->connected_ns;
	if (outbox_push(w, s->loop, &d))
		return -EAGAIN;
	s->known = true;
	s->asked = DESC_CONNECT;
	s->asked_ms = w->now_ms;
	return 0;
}

static int op_ask_rcpt(void *owner, struct str mailbox)
{
	struct session *s = owner;
	struct worker *w = s->worker;
	struct handoff_desc d;
	int index;

	if (!w->up || !s->msg.open)
		return -EAGAIN;
	if (s->epoch != w->epoch) { /* another control than the one that said CONNECT */
		s->epoch = w->epoch;
		s->loop = dp_rings_pick(w->rings);
	}
	index = dp_msg_add_rcpt(w->arena, &s->msg, mailbox);
	if (index < 0)
		return -ENOMEM;
	s->question++;
	d = session_desc(s, DESC_RCPT);
	d.msg.record = s->msg.record;
	d.msg.record_gen = dp_msg_generation(w->arena, &s->msg);
	d.msg.rcpt = (uint32_t)index;
	d.msg.transaction = s->transaction;
	d.msg.time_ns = worker_realtime_ns(w);
	if (outbox_push(w, s->loop, &d))
		return -EAGAIN;
	s->rcpt = (uint32_t)index;
	s->known = s->txn_known = true;
	s->asked = DESC_RCPT;
	s->asked_ms = w->now_ms;
	return 0;
}

const struct smtp_ops session_smtp_ops = {
	.send = op_send,
	.ask_connect = op_ask_connect,
	.ask_rcpt = op_ask_rcpt,
	.txn_begin = message_begin,
	.txn_end = message_end,
	.data_begin = message_data_begin,
	.data_room = message_data_room,
	.data = message_data,
	.submit = message_submit,
	.close = op_close,
};

/* ---- what tcp/ tells us ---------------------------------------------------------------------- */

static void *session_accept(void *ctx, struct tcp_conn *conn, const struct tcp_tuple *tuple)
{
	struct worker *w = ctx;
	struct session *s = TAILQ_FIRST(&w->free_list);

	if (!s || !w->current || w->outbox_len > w->outbox_cap / 2)
		return NULL;
	TAILQ_REMOVE(&w->free_list, s, free);
	s->conn = conn;
	s->tuple = *tuple;
	s->connected_ns = worker_realtime_ns(w);
	s->in_upcall = true;
	s->smtp = smtp_session_open(w->smtp, s, w->now_ms);
	s->in_upcall = false;
	if (!s->smtp) {
		s->conn = NULL;
		TAILQ_INSERT_TAIL(&w->free_list, s, free);
		return NULL;
	}
	w->sessions_now++;
	if (atomic_load_explicit(w->drain, memory_order_relaxed))
		smtp_shutdown(s->smtp, STR("Service is closing, try again later"));
	/* closing or aborting asked for here is done by the next sweep or upcall: tcp/ has not
	 * finished with the handshake yet. */
	return s;
}

static void hold(struct session *s, bool on)
{
	struct worker *w = s->worker;

	if (s->held == on)
		return;
	s->held = on;
	if (on) {
		s->held_ms = w->now_ms;
		TAILQ_INSERT_TAIL(&w->held, s, hold);
		worker_count(w, CNT_arena_window_closed);
	} else {
		TAILQ_REMOVE(&w->held, s, hold);
	}
}

static size_t session_data(void *app, const struct tcp_view *view, unsigned int n_views)
{
	struct session *s = app;
	size_t taken = 0;
	bool short_of_room = false;

	s->in_upcall = true;
	for (unsigned int i = 0; i < n_views && !s->aborting && !s->closing; i++) {
		size_t n = smtp_input(s->smtp, view[i].p, view[i].n, s->worker->now_ms);

		taken += n;
		if (n < view[i].n) {
			short_of_room = smtp_phase(s->smtp) == SMTP_PHASE_DATA;
			break;
		}
	}
	if (s->aborting || s->closing) /* whatever follows is for nobody */
		for (unsigned int i = taken = 0; i < n_views; i++)
			taken += view[i].n;
	s->in_upcall = false;
	hold(s, short_of_room);
	session_settle(s);
	return taken;
}

static void session_eof(void *app)
{
	struct session *s = app;

	smtp_eof(s->smtp);
	session_settle(s);
}

static void session_closed(void *app, enum tcp_close_reason reason)
{
	struct session *s = app;
	struct worker *w = s->worker;
	struct handoff_desc d;

	(void)reason;
	s->conn = NULL;
	hold(s, false);
	if (s->asked == DESC_SUBMIT && control_knows(s)) {
		/* Nobody hears the verdict; the message stays pinned until control lets go. */
		dp_record_cancel(w->arena, s->submitted_record, s->submitted_gen);
		worker_count(w, CNT_handoff_pinned);
		d = session_desc(s, DESC_CANCEL);
		d.msg.record = s->submitted_record;
		d.msg.record_gen = s->submitted_gen;
		d.msg.transaction = s->transaction;
		(void)outbox_push(w, s->loop, &d); /* control re-reads client_gone anyway */
	}
	for (unsigned int i = 0; i < s->n_replies; i++)
		reply_report(s, &s->reply[i], DESC_REPLY_LOST);
	smtp_session_free(s->smtp); /* ends an open transaction */
	if (control_knows(s)) {
		d = session_desc(s, DESC_SESSION_END);
		(void)outbox_push(w, s->loop, &d);
	}
	w->sessions_now--;
	*s = (struct session){.worker = w, .slot = s->slot, .generation = s->generation + 1};
	TAILQ_INSERT_TAIL(&w->free_list, s, free);
}

const struct tcp_app session_tcp_app = {
	.accept = session_accept,
	.data = session_data,
	.eof = session_eof,
	.acked = session_acked,
	.closed = session_closed,
};

/* Does what smtp/ asked for while it was on the stack. The session may be gone afterwards. */
static void session_settle(struct session *s)
{
	struct tcp_conn *c = s->conn;

	if (!c || s->in_upcall)
		return;
	if (s->aborting) {
		tcp_abort(c); /* -> session_closed() */
		return;
	}
	if (s->closing) {
		s->closing = false;
		tcp_close(c);
	}
}

/* After an answer: the octets that waited behind the question. */
static void session_resume(struct session *s)
{
	uint32_t generation = s->generation;

	session_settle(s);
	if (s->conn && s->generation == generation)
		tcp_resume(s->conn);
}

/* ---- verdicts --------------------------------------------------------------------------------- */

static void verdict_reply(const struct dp_verdict *v, struct smtp_reply *r)
{
	*r = (struct smtp_reply){
		.code = v->head.code,
		.enh_class = v->head.enh_class,
		.enh_subject = v->head.enh_subject,
		.enh_detail = v->head.enh_detail,
		.text = v->text,
	};
}

static void verdict_message(struct session *s, const struct dp_verdict *v, const struct smtp_reply *r)
{
	struct worker *w = s->worker;
	const struct handoff_record *rec;
	uint8_t trace_id[16];
	uint32_t question = s->question;
	uint32_t loop = s->loop, epoch = s->epoch;

	/* The record is still control's or about to be freed behind this callback: readable. */
	rec = (const struct handoff_record *)((const uint8_t *)w->slice +
					     (size_t)v->head.record * HANDOFF_RECORD);
	memcpy(trace_id, rec->trace_id, sizeof(trace_id));
	s->asked = 0;
	smtp_answer_message(s->smtp, r, trace_id);
	s->loop = loop;
	s->epoch = epoch;
	reply_sent(s, question);
}

bool session_verdict(void *arg, const struct dp_verdict *v)
{
	struct worker *w = arg;
	struct session *s;
	struct smtp_reply r;

	if (v->head.session >= w->opt.max_sessions)
		return false;
	s = &w->session[v->head.session];
	if (!s->conn || s->generation != v->head.generation || s->epoch != w->epoch)
		return false;
	if (v->head.kind == VERDICT_CLOSE) {
		smtp_shutdown(s->smtp, STR("Closing at the operator's request"));
		session_resume(s);
		return true;
	}
	if (s->question != v->head.question || v->loop != s->loop)
		return false;
	verdict_reply(v, &r);
	if (v->head.kind == VERDICT_CONNECT && s->asked == DESC_CONNECT) {
		s->asked = 0;
		smtp_answer_connect(s->smtp, &r);
	} else if (v->head.kind == VERDICT_RCPT && s->asked == DESC_RCPT) {
		s->asked = 0;
		if (r.code / 100 == 2 && s->msg.open)
			dp_msg_record(w->arena, &s->msg)->rcpt[s->rcpt].accepted = 1;
		smtp_answer_rcpt(s->smtp, &r);
	} else if (v->head.kind == VERDICT_MESSAGE && s->asked == DESC_SUBMIT &&
		   v->head.record == s->submitted_record && v->head.record_gen == s->submitted_gen) {
		verdict_message(s, v, &r);
	} else {
		return false;
	}
	session_resume(s);
	return true;
}

void session_control_lost(struct worker *w)
{
	for (uint32_t i = 0; i < w->opt.max_sessions; i++) {
		struct session *s = &w->session[i];

		if (!s->conn)
			continue;
		s->known = s->txn_known = false;
		s->n_replies = 0;
		if (!s->asked)
			continue;
		s->asked = 0;
		smtp_control_lost(s->smtp);
		session_resume(s);
	}
}

/* ---- time -------------------------------------------------------------------------------------- */

/* The backstop behind control's own deadlines: the client gets 451, the message stays pinned. */
static void verdict_overdue(struct session *s)
{
	struct worker *w = s->worker;
	struct handoff_desc d = session_desc(s, DESC_CANCEL);

	if (s->asked == DESC_SUBMIT) {
		dp_record_cancel(w->arena, s->submitted_record, s->submitted_gen);
		worker_count(w, CNT_handoff_pinned);
		d.msg.record = s->submitted_record;
		d.msg.record_gen = s->submitted_gen;
		d.msg.transaction = s->transaction;
		(void)outbox_push(w, s->loop, &d);
	}
	s->asked = 0;
	s->question++; /* a late answer is stale */
	smtp_control_lost(s->smtp);
	session_resume(s);
}

static void sweep_one(struct worker *w, struct session *s)
{
	uint64_t backstop = (uint64_t)w->current->config.verdict_timeout_s * 1000;
	uint32_t generation = s->generation;

	if (s->asked && w->now_ms - s->asked_ms >= backstop)
		verdict_overdue(s);
	else if (s->held && w->now_ms - s->held_ms > LIMIT_WINDOW_CLOSED_S * 1000u) {
		worker_count(w, CNT_arena_evicted);
		hold(s, false);
		smtp_evict(s->smtp, STR("Out of memory for too long, try again later"));
		session_resume(s);
	} else if (smtp_deadline(s->smtp) <= w->now_ms) {
		smtp_timeout(s->smtp, w->now_ms);
		session_resume(s);
	}
	if (s->conn && s->generation == generation)
		session_settle(s);
}

void session_sweep(struct worker *w)
{
	uint32_t n = w->opt.max_sessions / 64 + 1;

	if (!w->current)
		return;
	while (n--) {
		struct session *s = &w->session[w->sweep];

		if (s->conn)
			sweep_one(w, s);
		w->sweep = (w->sweep + 1) % w->opt.max_sessions;
	}
}

void session_room(struct worker *w)
{
	struct session *s;

	TAILQ_FOREACH(s, &w->held, hold)
		if (dp_msg_room(w->arena, &s->msg)) {
			hold(s, false);
			tcp_resume(s->conn);
			return; /* the next one next turn: resume may change the list */
		}
}

void session_drain(struct worker *w, struct str text)
{
	for (uint32_t i = 0; i < w->opt.max_sessions; i++)
		if (w->session[i].conn) {
			smtp_shutdown(w->session[i].smtp, text);
			session_resume(&w->session[i]);
		}
}

bool session_scans_with(const struct worker *w, const struct generation *g)
{
	for (uint32_t i = 0; i < w->opt.max_sessions; i++)
		if (w->session[i].conn && w->session[i].scan_generation == g)
			return true;
	return false;
}

/* ---- table ------------------------------------------------------------------------------------- */

int session_table_new(struct worker *w)
{
	TAILQ_INIT(&w->free_list);
	TAILQ_INIT(&w->held);
	w->session = calloc(w->opt.max_sessions, sizeof(*w->session));
	if (!w->session)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->opt.max_sessions; i++) {
		w->session[i].worker = w;
		w->session[i].slot = i;
		w->session[i].generation = 1;
		TAILQ_INSERT_TAIL(&w->free_list, &w->session[i], free);
	}
	return outbox_new(w, w->opt.max_sessions * OUTBOX_PER_SESSION + EXTRA_SLOTS);
}

void session_table_free(struct worker *w)
{
	outbox_free(w);
	free(w->session);
	w->session = NULL;
}
