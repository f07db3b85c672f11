/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The transaction of a session: MAIL takes a record, DATA takes chunks, each full chunk of a large
 * message goes to the scan, the end of data makes the descriptor. Content is copied
 * once, from the packet into the arena, and never again.
 */

#include <errno.h>
#include <string.h>

#include "dataplane/worker.h"

#define WINDOW_IDLE (16u * 1024)
#define WINDOW_DATA (256u * 1024)

static int fill_record(struct session *s, struct transaction *txn, struct handoff_record *rec)
{
	struct worker *w = s->worker;
	struct smtp_client c;
	struct tcp_tuple t;
	bool cable;

	tcp_get_tuple(s->conn, &t);
	session_client(s, &c);
	rec->session = session_slot(s);
	rec->session_gen = s->generation;
	rec->connected_ns = s->connected_ns;
	memcpy(rec->peer, c.peer, 16);
	rec->peer_port = c.peer_port;
	rec->via = c.via;
	memcpy(rec->via_peer, t.remote, 16);
	rec->via_port = t.remote_port;
	rec->listener = session_listener(s, &t);
	/* In a cable it is the next hop: the one that was dialled, not one that a trusted peer names. */
	cable = rec->listener & HANDOFF_LISTENER_INLINE;
	memcpy(rec->local, cable ? t.local : c.local, 16);
	rec->local_port = cable ? t.local_port : c.local_port;
	rec->transaction = ++s->transaction;
	message_trace_id_new(w, worker_realtime_ns(w), rec->trace_id);
	if (c.tlv_cut)
		rec->flags |= RECORD_F_TLV_CUT;
	return c.tlv_len ? dp_msg_text(w->arena, &txn->msg, str_make(c.tlv, c.tlv_len),
				       &rec->proxy_tlv)
			 : 0;
}

int message_begin(void *owner, struct str helo, uint8_t proto, const struct smtp_mail *mail)
{
	struct session *s = owner;
	struct worker *w = s->worker;
	struct handoff_record *rec;
	struct dp_msg msg = {0};
	struct transaction *t;
	int rc;

	if (!w->up)
		return -EAGAIN;
	rc = dp_msg_open(w->arena, &msg);
	if (rc)
		return rc;
	t = &w->txn[msg.record];
	*t = (struct transaction){.session = s, .msg = msg};
	rec = dp_msg_record(w->arena, &t->msg);
	rc = fill_record(s, t, rec);
	rec->proto = proto;
	rec->body = mail->body;
	rec->declared_size = mail->size;
	rec->flags |= smtp_session_flags(s->smtp) | (mail->smtputf8 ? RECORD_F_SMTPUTF8 : 0);
	if (!rc)
		rc = dp_msg_text(w->arena, &t->msg, helo, &rec->helo);
	if (!rc)
		rc = dp_msg_text(w->arena, &t->msg, mail->reverse_path, &rec->mail_from);
	if (!rc)
		rc = session_tls_record(s, &t->msg, rec);
	if (rc) {
		dp_msg_free(w->arena, &t->msg);
		return -ENOMEM;
	}
	s->txn = t;
	s->txn_known = false;
	s->submitted_gen = 0; /* what is asked about is this one from here on */
	return 0;
}

bool message_trace_id(void *owner, uint8_t *id)
{
	struct session *s = owner;
	struct dp_worker *a = s->worker->arena;
	const struct handoff_record *rec =
		s->txn ? dp_msg_record(a, &s->txn->msg)
		       : dp_record_last(a, s->submitted_record, s->submitted_gen);

	if (rec)
		memcpy(id, rec->trace_id, sizeof(rec->trace_id));
	return rec != NULL;
}

void message_drop(struct session *s)
{
	if (!s->txn)
		return;
	session_hold(s, false);
	message_scan_drop(s->worker, &s->txn->scan);
	dp_msg_free(s->worker->arena, &s->txn->msg);
	s->txn = NULL;
}

void message_end(void *owner)
{
	struct session *s = owner;
	struct worker *w = s->worker;

	if (s->asked == DESC_RCPT) /* 421 to one of several; TXN_END tells control */
		session_unask(s);
	if (s->txn && s->txn_known && session_control_knows(s)) {
		struct handoff_desc d = session_desc(s, DESC_TXN_END);

		d.msg.record = s->txn->msg.record;
		d.msg.record_gen = dp_msg_generation(w->arena, &s->txn->msg);
		d.msg.transaction = s->transaction;
		(void)outbox_push(w, s->loop, &d); /* control is gone: nobody needs to know */
	}
	s->txn_known = false;
	message_drop(s);
	if (s->conn)
		tcp_set_window(s->conn, WINDOW_IDLE);
}

int message_data_begin(void *owner)
{
	struct session *s = owner;
	struct worker *w = s->worker;
	struct transaction *t = s->txn;
	const struct handoff_record *rec = dp_msg_record(w->arena, &t->msg);

	dp_msg_set_source(w->arena, &t->msg, session_source(s), s->good);
	if (dp_msg_data_begin(w->arena, &t->msg, rec->declared_size, w->now_ms))
		return -ENOMEM;
	message_scan_begin(w, &t->scan, &t->msg);
	tcp_set_window(s->conn, WINDOW_DATA);
	return 0;
}

size_t message_data_room(void *owner)
{
	struct session *s = owner;

	return dp_msg_room(s->worker->arena, &s->txn->msg);
}

void message_data(void *owner, const uint8_t *p, size_t n)
{
	struct session *s = owner;
	struct worker *w = s->worker;
	struct transaction *t = s->txn;

	if (dp_msg_append(w->arena, &t->msg, p, n)) {
		/* smtp/ never gives more than room said; were it wrong, the message must not pass. */
		worker_count(w, CNT_handoff_invalid);
		s->aborting = true;
		return;
	}
	message_scan_feed(w, &t->scan, &t->msg, p, n);
}

static void fill_facts(struct session *s, struct handoff_record *rec)
{
	struct tcp_facts f;

	tcp_get_facts(s->conn, &f);
	rec->srtt_us = f.srtt_us;
	rec->retransmits = f.retransmits;
	rec->ooo_segments = f.ooo_segments;
	rec->peer_window = f.peer_window;
	rec->ttl = f.ttl;
	rec->handshake = f.handshake;
	if (f.overlap_diff)
		rec->flags |= RECORD_F_OVERLAP;
}

int message_submit(void *owner, const struct smtp_data_facts *facts)
{
	struct session *s = owner;
	struct worker *w = s->worker;
	struct transaction *t = s->txn;
	struct handoff_record *rec = dp_msg_record(w->arena, &t->msg);

	tcp_set_window(s->conn, WINDOW_IDLE);
	/* Recipients accepted by a control that is gone: the new one is asked all the same, it checks
	 * them again. */
	if (!w->up)
		return -EAGAIN;
	message_scan_finish(w, &t->scan, &t->msg);
	dp_msg_data_end(w->arena, &t->msg);
	rec->flags |= facts->flags | smtp_session_flags(s->smtp);
	rec->data_done_ns = worker_realtime_ns(w);
	fill_facts(s, rec);
	return session_ask(s, DESC_SUBMIT); /* -> message_submitted(), now or later */
}

void message_submitted(struct session *s)
{
	struct worker *w = s->worker;
	struct transaction *t = s->txn;

	s->submitted_record = t->msg.record;
	s->submitted_gen = dp_msg_generation(w->arena, &t->msg);
	s->txn = NULL;
	dp_msg_submitted(w->arena, &t->msg, s->loop);
}

void message_cancel(struct session *s)
{
	struct worker *w = s->worker;
	struct handoff_desc d = session_desc(s, DESC_CANCEL);

	if (s->asked != DESC_SUBMIT)
		return;
	if (s->on == ON_UNSENT) {
		message_drop(s);
		return;
	}
	if (!session_control_knows(s))
		return;
	dp_record_cancel(w->arena, s->submitted_record, s->submitted_gen);
	d.msg.record = s->submitted_record;
	d.msg.record_gen = s->submitted_gen;
	d.msg.transaction = s->transaction;
	(void)outbox_push(w, s->loop, &d); /* control re-reads client_gone anyway */
}
