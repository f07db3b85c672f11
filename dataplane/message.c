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

/* 16 octets: 8 of time (ms, 40 bits), 8 random; the base is without I, L, O and U. */
static void make_trace_id(struct worker *w, uint8_t id[16])
{
	static const char digit[33] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint64_t t = worker_realtime_ns(w) / 1000000;
	uint64_t r = (uint64_t)worker_random(w) << 32 | worker_random(w);

	for (int i = 7; i >= 0; i--, t >>= 5, r >>= 5) {
		id[i] = (uint8_t)digit[t & 31];
		id[8 + i] = (uint8_t)digit[r & 31];
	}
}

static int fill_record(struct session *s, struct transaction *txn, struct handoff_record *rec)
{
	struct worker *w = s->worker;
	struct smtp_client c;
	struct tcp_tuple t;

	tcp_get_tuple(s->conn, &t);
	session_client(s, &c);
	rec->session = session_slot(s);
	rec->session_gen = s->generation;
	rec->connected_ns = s->connected_ns;
	memcpy(rec->peer, c.peer, 16);
	memcpy(rec->local, c.local, 16);
	rec->peer_port = c.peer_port;
	rec->local_port = c.local_port;
	rec->via = c.via;
	memcpy(rec->via_peer, t.remote, 16);
	rec->via_port = t.remote_port;
	rec->listener = (uint16_t)net_listener_id(w->net, &t);
	rec->transaction = ++s->transaction;
	make_trace_id(w, rec->trace_id);
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

/* How many messages a generation scans: it may go when there are none. */
static uint32_t *scans_of(struct worker *w, const struct generation *g)
{
	unsigned int i = w->n_used - 1;

	while (i && w->used[i].generation != g)
		i--;
	return &w->used[i].scanning;
}

static struct scan_worker *scanner(const struct session *s)
{
	return s->txn->generation->worker[s->worker->opt.index].scan;
}

static struct scan_views *views(const struct session *s)
{
	return s->txn->generation->worker[s->worker->opt.index].views;
}

static struct scan_target target(struct handoff_record *rec)
{
	return (struct scan_target){rec->match, &rec->n_matches, HANDOFF_MAX_MATCHES};
}

static void scan_begin(struct session *s)
{
	struct worker *w = s->worker;
	struct transaction *t = s->txn;
	struct generation *g = w->current;

	t->generation = g;
	t->scans = g && g->scan;
	if (g)
		++*scans_of(w, g);
}

static void scan_end(struct session *s)
{
	struct transaction *t = s->txn;

	if (t->large)
		scan_large_abort(t->large);
	if (t->generation)
		--*scans_of(s->worker, t->generation);
	t->large = NULL;
	t->scans = false;
	t->generation = NULL;
}

void message_drop(struct session *s)
{
	if (!s->txn)
		return;
	session_hold(s, false);
	scan_end(s);
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
	struct generation *g = w->current;
	struct handoff_record *rec = dp_msg_record(w->arena, &t->msg);

	dp_msg_set_source(w->arena, &t->msg, session_source(s), s->good);
	if (dp_msg_data_begin(w->arena, &t->msg, rec->declared_size, w->now_ms))
		return -ENOMEM;
	content_header_end_init(&t->header);
	scan_begin(s);
	rec->scan_generation = g ? (uint32_t)g->config.generation : 0; /* set even without rules */
	tcp_set_window(s->conn, WINDOW_DATA);
	return 0;
}

size_t message_data_room(void *owner)
{
	struct session *s = owner;

	return dp_msg_room(s->worker->arena, &s->txn->msg);
}

/* Scans every chunk that is full, or at the end of data all that is left. */
static void scan_chunks(struct session *s, bool last)
{
	struct worker *w = s->worker;
	struct transaction *t = s->txn;
	const struct scan_target to = target(dp_msg_record(w->arena, &t->msg));
	const uint8_t *p;
	size_t n;

	if (!t->large) {
		t->large = scan_views_open(views(s), scanner(s), &to);
		if (!t->large) {
			t->scan.flags |= RECORD_F_SCAN_PARTIAL;
			t->scans = false;
			return;
		}
	}
	while ((p = dp_msg_chunk(w->arena, &t->msg, t->scanned, &n)) && n) {
		if (n < HANDOFF_CHUNK && !last)
			break;
		scan_large_run(t->large, p, n);
		t->scanned++;
	}
}

void message_data(void *owner, const uint8_t *p, size_t n)
{
	struct session *s = owner;
	struct worker *w = s->worker;
	struct transaction *t = s->txn;
	uint64_t chunks = t->msg.size / HANDOFF_CHUNK;

	if (dp_msg_append(w->arena, &t->msg, p, n)) {
		/* smtp/ never gives more than room said; were it wrong, the message must not pass. */
		worker_count(w, CNT_handoff_invalid);
		s->aborting = true;
		return;
	}
	content_header_end_feed(&t->header, p, n);
	/* A message of up to one chunk is one run in block mode at its end. */
	if (t->scans && t->msg.size > HANDOFF_CHUNK &&
	    (t->msg.size / HANDOFF_CHUNK != chunks || !t->large))
		scan_chunks(s, false);
}

static void scan_finish(struct session *s, struct handoff_record *rec)
{
	struct transaction *t = s->txn;

	if (t->scans && t->msg.size <= HANDOFF_CHUNK) {
		const struct scan_target to = target(rec);
		size_t n = 0;
		const uint8_t *p = dp_msg_chunk(s->worker->arena, &t->msg, 0, &n);

		t->scan = scan_views_block(views(s), scanner(s), p, p ? n : 0, &to);
	} else if (t->scans) {
		scan_chunks(s, true);
		if (t->large)
			t->scan = scan_large_close(t->large);
		t->large = NULL;
	}
	rec->content_marks = t->scan.marks;
	scan_end(s);
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
	scan_finish(s, rec);
	dp_msg_data_end(w->arena, &t->msg);
	rec->header_size = (uint32_t)t->header.size;
	rec->flags |= facts->flags | t->scan.flags | smtp_session_flags(s->smtp);
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
