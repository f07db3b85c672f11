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
#include <string.h>

#include "dataplane/worker.h"

struct handoff_desc session_desc(const struct session *s, uint8_t kind)
{
	return (struct handoff_desc){
		.kind = kind,
		.session = session_slot(s),
		.generation = s->generation,
		.question = s->question,
	};
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

/* The oldest. */
static void reply_done(struct session *s, uint8_t kind)
{
	struct session_reply *r = &s->worker->reply[s->reply];
	uint32_t i = s->reply;

	reply_report(s, r, kind);
	s->reply = r->next;
	s->n_replies--;
	session_reply_put(s->worker, i);
}

/* What smtp/ said last is a final reply. */
static void reply_sent(struct session *s, struct session_reply r)
{
	struct worker *w = s->worker;
	uint32_t *link = &s->reply, i;

	r.end = s->sent;
	r.next = SESSION_NONE;
	if (s->n_replies == SESSION_REPLIES)
		reply_done(s, DESC_REPLY_LOST);
	i = session_reply_get(w);
	if (i == SESSION_NONE) {
		reply_report(s, &r, DESC_REPLY_LOST);
		return;
	}
	while (*link != SESSION_NONE)
		link = &w->reply[*link].next;
	w->reply[i] = r;
	*link = i;
	s->n_replies++;
}

static void session_acked(void *app, uint32_t unacked)
{
	struct session *s = app;
	uint32_t acked = s->sent - unacked;
	unsigned int n = s->n_replies;

	while (s->n_replies && (int32_t)(acked - s->worker->reply[s->reply].end) >= 0)
		reply_done(s, DESC_REPLY_ACKED);
	if (n != s->n_replies)
		session_evict_update(s, false);
}

/* ---- what smtp/ asks of us ------------------------------------------------------------------ */

int session_put_out(struct session *s, const void *p, size_t n)
{
	int rc = s->conn ? tcp_send(s->conn, p, n) : -EPIPE;

	if (!rc)
		s->sent += (uint32_t)n;
	return rc;
}

static int op_send(void *owner, const void *p, size_t n)
{
	struct session *s = owner;

	return session_tls_open(s) ? session_tls_send(s, p, n) : session_put_out(s, p, n);
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
	((struct session *)owner)->good = false; /* another client, maybe */
	return session_ask(owner, DESC_CONNECT);
}

static int op_ask_rcpt(void *owner, struct str mailbox)
{
	struct session *s = owner;
	struct worker *w = s->worker;
	int index;

	if (!session_can_ask(s) || !s->txn)
		return -EAGAIN;
	index = dp_msg_add_rcpt(w->arena, &s->txn->msg, mailbox);
	if (index < 0)
		return -ENOMEM;
	s->txn->rcpt = (uint32_t)index;
	return session_ask(s, DESC_RCPT);
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
	.trace_id = message_trace_id,
	.close = op_close,
	.start_tls = session_op_start_tls,
	.face = session_op_face,
	.tcp_peer = session_op_tcp_peer,
	.client = session_op_client,
	.set_client = session_op_set_client,
};

/* ---- what tcp/ tells us ---------------------------------------------------------------------- */

/* A new session must not take the last block from the reply of an old one. */
static bool room_for_replies(const struct worker *w)
{
	struct tcp_usage u;

	tcp_get_usage(w->tcp, &u);
	return u.tx_blocks_used < w->opt.tcp_tx_blocks - w->opt.tcp_tx_blocks / 4;
}

static void *session_accept(void *ctx, struct tcp_conn *conn, const struct tcp_tuple *tuple)
{
	struct worker *w = ctx;
	struct session *s;

	if (!w->current || w->outbox_len > w->outbox_cap / 2 || !room_for_replies(w))
		return NULL;
	s = session_new(w);
	if (!s) {
		worker_count(w, CNT_sessions_full);
		return NULL;
	}
	s->conn = conn;
	s->connected_ns = worker_realtime_ns(w);
	s->listener = (uint16_t)net_listener_id(w->net, tuple);
	s->in_upcall = true;
	s->smtp = smtp_session_open(w->smtp, s, w->now_ms);
	s->in_upcall = false;
	if (!s->smtp) {
		s->conn = NULL;
		session_put(s, ON_FREE);
		return NULL;
	}
	w->sessions_now++;
	if (atomic_load_explicit(w->drain, memory_order_relaxed))
		smtp_shutdown(s->smtp, STR("Service is closing, try again later"));
	session_settle(s); /* tcp_abort() within accept() is done behind it */
	return s;
}

/* smtp/ leaves content only for want of room. */
size_t session_input(struct session *s, const uint8_t *p, size_t n)
{
	size_t used = smtp_input(s->smtp, p, n, s->worker->now_ms);

	session_hold(s, used < n && smtp_phase(s->smtp) == SMTP_PHASE_DATA);
	return used;
}

static size_t session_data(void *app, const struct tcp_view *view, unsigned int n_views)
{
	struct session *s = app;
	bool clear = !s->tls;
	size_t taken = 0;

	s->in_upcall = true;
	for (unsigned int i = 0; i < n_views && !s->aborting && !s->closing; i++) {
		size_t n;

		if (clear && s->tls && view[i].n)
			smtp_tls_injected(s->smtp); /* it came before our 220 */
		n = s->tls ? session_tls_input(s, view[i].p, view[i].n)
			   : session_input(s, view[i].p, view[i].n);
		taken += n;
		if (n < view[i].n)
			break;
	}
	if (s->aborting || s->closing) /* whatever follows is for nobody */
		for (unsigned int i = taken = 0; i < n_views; i++)
			taken += view[i].n;
	s->in_upcall = false;
	session_settle(s);
	return taken;
}

static void session_eof(void *app)
{
	struct session *s = app;

	/* Plain text that waits in tls/ came before the FIN. */
	s->eof_held = session_tls_open(s) && session_tls_waiting(s);
	if (s->eof_held)
		return;
	smtp_eof(s->smtp);
	session_settle(s);
}

static void session_closed(void *app, enum tcp_close_reason reason)
{
	struct session *s = app;
	struct worker *w = s->worker;
	struct smtp_end end;

	session_evict_remove(s);
	s->conn = NULL;
	session_hold(s, false);
	if (s->asked) {
		/* Nobody hears the verdict; the message stays pinned until control lets go. */
		message_cancel(s);
		session_unask(s);
	}
	while (s->n_replies)
		reply_done(s, DESC_REPLY_LOST);
	session_tls_free(s);
	smtp_session_end(s->smtp, &end);
	if (reason == TCP_CLOSED_EVICTED)
		end.flags |= END_F_PRESSURE;
	smtp_session_free(s->smtp); /* ends an open transaction */
	s->smtp = NULL;
	w->sessions_now--;
	session_end(s, &end);
}

const struct tcp_app session_tcp_app = {
	.accept = session_accept,
	.data = session_data,
	.eof = session_eof,
	.acked = session_acked,
	.closed = session_closed,
};

void session_settle(struct session *s)
{
	struct tcp_conn *c = s->conn;

	if (!c || s->in_upcall)
		return;
	session_evict_update(s, false);
	if (s->aborting) {
		tcp_abort(c); /* -> session_closed() */
		return;
	}
	if (s->closing) {
		s->closing = false;
		session_tls_close(s);
		tcp_close(c);
	}
}

void session_resume(struct session *s)
{
	uint32_t generation = s->generation;

	session_settle(s);
	if (s->tls && s->generation == generation)
		session_tls_resume(s);
	if (s->conn && s->generation == generation)
		tcp_resume(s->conn);
	if (s->conn && s->generation == generation && s->eof_held)
		session_eof(s);
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
	struct session_reply reply = {
		.question = s->question, .loop = s->loop, .epoch = s->epoch};

	/* The record is still control's or about to be freed behind this callback: readable. */
	rec = (const struct handoff_record *)((const uint8_t *)w->slice +
					     (size_t)v->head.record * HANDOFF_RECORD);
	memcpy(trace_id, rec->trace_id, sizeof(trace_id));
	session_unask(s);
	smtp_answer_message(s->smtp, r, trace_id);
	reply_sent(s, reply);
}

/* May this be the answer to the oldest open question? Control cannot answer what it was not asked
 * yet, nor one question before another. */
static bool is_answer(const struct session *s, const struct dp_verdict *v)
{
	return s->n_open > s->n_unsent && v->loop == s->loop &&
	       v->head.question == s->question - (s->n_open - 1u);
}

static void verdict_rcpt(struct session *s, const struct dp_verdict *v, const struct smtp_reply *r)
{
	struct worker *w = s->worker;
	uint32_t index = s->txn->rcpt - (s->n_open - 1u);

	session_answered(s);
	if (r->code / 100 == 2) {
		dp_msg_record(w->arena, &s->txn->msg)->rcpt[index].accepted = 1;
		dp_msg_set_route(w->arena, &s->txn->msg, v->head.route, v->head.route_share);
	}
	smtp_answer_rcpt(s->smtp, r);
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
		session_shut(s, STR("Closing at the operator's request"));
		return true;
	}
	if (!is_answer(s, v))
		return false;
	verdict_reply(v, &r);
	if (v->head.kind == VERDICT_CONNECT && s->asked == DESC_CONNECT) {
		session_unask(s);
		s->good = v->head.flags & VF_GOOD;
		smtp_answer_connect(s->smtp, &r);
	} else if (v->head.kind == VERDICT_RCPT && s->asked == DESC_RCPT && s->txn) {
		verdict_rcpt(s, v, &r);
	} else if (v->head.kind == VERDICT_MESSAGE && s->asked == DESC_SUBMIT &&
		   v->head.record == s->submitted_record && v->head.record_gen == s->submitted_gen) {
		verdict_message(s, v, &r);
	} else {
		return false;
	}
	session_evict_update(s, true);
	session_resume(s);
	return true;
}

void session_shut(struct session *s, struct str text)
{
	smtp_shutdown(s->smtp, text);
	session_resume(s);
}
