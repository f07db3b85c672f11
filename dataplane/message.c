/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The transaction of a session: MAIL takes a record, DATA takes chunks, each full chunk of a large
 * message is one run of the scan stream, the end of data makes the descriptor. Content is copied
 * once, from the packet into the arena, and never again.
 */

#include <errno.h>
#include <string.h>

#include "dataplane/worker.h"
#include "postern/limits.h"

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

int message_begin(void *owner, struct str helo, uint8_t proto, const struct smtp_mail *mail)
{
	struct session *s = owner;
	struct worker *w = s->worker;
	struct handoff_record *rec;
	int rc;

	if (!w->up)
		return -EAGAIN;
	rc = dp_msg_open(w->arena, &s->msg);
	if (rc)
		return rc;
	rec = dp_msg_record(w->arena, &s->msg);
	rec->session = s->slot;
	rec->session_gen = s->generation;
	rec->connected_ns = s->connected_ns;
	memcpy(rec->peer, s->tuple.remote, 16);
	memcpy(rec->local, s->tuple.local, 16);
	rec->peer_port = s->tuple.remote_port;
	rec->local_port = s->tuple.local_port;
	rec->listener = (uint16_t)net_listener_id(w->net, &s->tuple);
	rec->proto = proto;
	rec->body = mail->body;
	rec->declared_size = mail->size;
	rec->flags = smtp_session_flags(s->smtp) | (mail->smtputf8 ? RECORD_F_SMTPUTF8 : 0);
	rec->transaction = ++s->transaction;
	make_trace_id(w, rec->trace_id);
	rc = dp_msg_text(w->arena, &s->msg, helo, &rec->helo);
	if (!rc)
		rc = dp_msg_text(w->arena, &s->msg, mail->reverse_path, &rec->mail_from);
	if (rc) {
		dp_msg_free(w->arena, &s->msg);
		return -ENOMEM;
	}
	s->txn_known = false;
	return 0;
}

void message_abort_scan(struct session *s)
{
	if (s->stream)
		scan_abort(s->stream);
	s->stream = NULL;
	s->scanner = NULL;
	s->scan_generation = NULL;
}

void message_end(void *owner)
{
	struct session *s = owner;
	struct worker *w = s->worker;

	message_abort_scan(s);
	if (s->txn_known && s->known && s->epoch == w->epoch && s->msg.open) {
		struct handoff_desc d = {
			.kind = DESC_TXN_END,
			.session = s->slot,
			.generation = s->generation,
			.question = s->question,
			.msg.record = s->msg.record,
			.msg.record_gen = dp_msg_generation(w->arena, &s->msg),
			.msg.transaction = s->transaction,
		};
		(void)outbox_push(w, s->loop, &d); /* control is gone: nobody needs to know */
	}
	s->txn_known = false;
	dp_msg_free(w->arena, &s->msg);
	if (s->conn)
		tcp_set_window(s->conn, WINDOW_IDLE);
}

int message_data_begin(void *owner)
{
	struct session *s = owner;
	struct worker *w = s->worker;
	struct generation *g = w->current;
	struct handoff_record *rec = dp_msg_record(w->arena, &s->msg);
	int rc = dp_msg_data_begin(w->arena, &s->msg, rec->declared_size, w->now_ms);

	if (rc)
		return -ENOMEM;
	content_header_end_init(&s->header);
	s->scan_generation = g;
	s->scanner = g && g->scan && (scan_generation_views(g->scan) & (1u << VIEW_FULL))
			     ? g->worker[w->opt.index].scan
			     : NULL;
	s->scanned = 0;
	s->scan_flags = 0;
	rec->scan_generation = g ? (uint32_t)g->config.generation : 0; /* set even without rules */
	tcp_set_window(s->conn, WINDOW_DATA);
	return 0;
}

size_t message_data_room(void *owner)
{
	struct session *s = owner;

	return dp_msg_room(s->worker->arena, &s->msg);
}

/* Gives the stream every chunk that is full, or at the end of data all that is left. */
static void scan_chunks(struct session *s, bool last)
{
	struct worker *w = s->worker;
	struct handoff_record *rec = dp_msg_record(w->arena, &s->msg);
	const uint8_t *p;
	size_t n;

	if (!s->stream) {
		s->stream = scan_open(s->scanner, VIEW_FULL);
		if (!s->stream) {
			s->scan_flags |= RECORD_F_SCAN_PARTIAL;
			s->scanner = NULL;
			return;
		}
	}
	while ((p = dp_msg_chunk(w->arena, &s->msg, s->scanned, &n)) && n) {
		if (n < HANDOFF_CHUNK && !last)
			break;
		s->scan_flags |= scan_run(s->stream, p, n, rec->match, &rec->n_matches,
					  HANDOFF_MAX_MATCHES);
		s->scanned++;
	}
}

void message_data(void *owner, const uint8_t *p, size_t n)
{
	struct session *s = owner;
	struct worker *w = s->worker;
	uint64_t chunks = s->msg.size / HANDOFF_CHUNK;

	if (dp_msg_append(w->arena, &s->msg, p, n)) {
		/* smtp/ never gives more than room said; were it wrong, the message must not pass. */
		worker_count(w, CNT_handoff_invalid);
		s->aborting = true;
		return;
	}
	content_header_end_feed(&s->header, p, n);
	/* A message of up to one chunk is one run in block mode at its end. */
	if (s->scanner && s->msg.size > HANDOFF_CHUNK &&
	    (s->msg.size / HANDOFF_CHUNK != chunks || !s->stream))
		scan_chunks(s, false);
}

static void scan_finish(struct session *s, struct handoff_record *rec)
{
	if (s->scanner && s->msg.size <= HANDOFF_CHUNK) {
		size_t n = 0;
		const uint8_t *p = dp_msg_chunk(s->worker->arena, &s->msg, 0, &n);

		if (p && n)
			s->scan_flags |= scan_block(s->scanner, VIEW_FULL, p, n, rec->match,
						    &rec->n_matches, HANDOFF_MAX_MATCHES);
	} else if (s->scanner) {
		scan_chunks(s, true);
		if (s->stream)
			s->scan_flags |= scan_close(s->stream, rec->match, &rec->n_matches,
						    HANDOFF_MAX_MATCHES);
		s->stream = NULL;
	}
	message_abort_scan(s);
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
	struct handoff_record *rec = dp_msg_record(w->arena, &s->msg);
	struct handoff_desc d = {.kind = DESC_SUBMIT};
	int rc;

	tcp_set_window(s->conn, WINDOW_IDLE);
	if (!w->up)
		return -EAGAIN;
	/* The recipients of this transaction were accepted by a control that is gone: the new one
	 * is asked all the same, it checks them again. */
	if (s->epoch != w->epoch) {
		s->known = false;
		s->epoch = w->epoch;
		s->loop = dp_rings_pick(w->rings);
	}
	scan_finish(s, rec);
	dp_msg_data_end(w->arena, &s->msg);
	rec->header_size = (uint32_t)s->header.size;
	rec->flags |= facts->flags | s->scan_flags | smtp_session_flags(s->smtp);
	rec->data_done_ns = worker_realtime_ns(w);
	fill_facts(s, rec);
	d.session = s->slot;
	d.generation = s->generation;
	d.question = ++s->question;
	d.msg.record = s->msg.record;
	d.msg.record_gen = dp_msg_generation(w->arena, &s->msg);
	d.msg.transaction = s->transaction;
	d.msg.size = rec->size;
	d.msg.time_ns = rec->data_done_ns;
	rc = outbox_push(w, s->loop, &d);
	if (rc)
		return -EAGAIN;
	worker_count(w, CNT_handoff_submit);
	s->known = true;
	s->asked = DESC_SUBMIT;
	s->asked_ms = w->now_ms;
	s->submitted_record = s->msg.record;
	s->submitted_gen = d.msg.record_gen;
	dp_msg_submitted(w->arena, &s->msg, s->loop);
	return 0;
}
