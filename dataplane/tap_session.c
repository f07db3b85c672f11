/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tap_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "dataplane/tap/tap_smtp.h"
#include "dataplane/worker.h"

/* One flow. */
struct tap_session {
	struct tap_sessions *all;
	struct tap_session *next; /* free */
	struct tap_smtp_session *smtp;
	struct tcp_tuple tuple; /* local: the server */
	uint64_t connected_ns;
	uint16_t listener;
	bool left; /* behind a gap: not looked at any more */
};

struct tap_moment {
	uint64_t us, packet_us; /* of the worker's clock, and of the packets' */
};

/* One message; at the index of its struct tap_message. */
struct tap_txn {
	struct dp_msg msg;
	struct message_scan scan;
	struct handoff_ref helo;
	uint8_t unjudged; /* enum observed_unjudged */
	/* In tap_sessions.open and .silent while it is scanned. */
	struct tap_moment begun, heard;
	TAILQ_ENTRY(tap_txn) order, quiet;
};

TAILQ_HEAD(tap_txn_list, tap_txn);

struct tap_sessions {
	struct tap_session_options opt;
	struct tap_smtp *smtp;
	bool midstream, midstream_cable;
	struct tap_session *session, *free_session;
	struct tap_txn *txn;
	struct tap_txn_list open;   /* by their begin */
	struct tap_txn_list silent; /* by their last octets, to LIMIT_TAP_HEARD_MS */
	uint32_t serial;
};

_Static_assert((int)OBSERVED_WHOLE == TAP_WHOLE && (int)OBSERVED_GAP == TAP_NOT_WHOLE_GAP &&
	       (int)OBSERVED_ABORTED == TAP_NOT_WHOLE_ABORTED &&
	       (int)OBSERVED_UNSURE == TAP_NOT_WHOLE_UNSURE, "enum observed_whole");

static uint64_t now_ns(const struct tap_sessions *all, uint64_t us)
{
	return us * 1000 + (all->opt.capture ? 0 : all->opt.worker->realtime_offset_ns);
}

/* ---- the record ---- */

/* Control takes no text that could end a line. */
static bool plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!s.p[i] || s.p[i] == '\r' || s.p[i] == '\n')
			return false;
	return s.n <= LIMIT_COMMAND_EXT;
}

static void put_text(struct worker *w, struct dp_msg *msg, struct str s, struct handoff_ref *ref)
{
	if (s.n && plain(s))
		(void)dp_msg_text(w->arena, msg, s, ref);
}

static void put_reply(struct worker *w, struct dp_msg *msg, struct str s, struct handoff_ref *ref)
{
	uint8_t text[LIMIT_REPLY_LINE];

	if (s.n > sizeof(text))
		s.n = sizeof(text);
	for (size_t i = 0; i < s.n; i++)
		text[i] = s.p[i] < 0x20 || s.p[i] == 0x7f ? '?' : s.p[i];
	put_text(w, msg, str_make(text, s.n), ref);
}

static void put_envelope(struct worker *w, struct dp_msg *msg, const struct tap_message *m)
{
	struct handoff_record *rec = dp_msg_record(w->arena, msg);
	bool cut = m->rcpts_cut != 0;

	if (!m->mail_from.p || !plain(m->mail_from))
		rec->flags |= RECORD_F_NO_MAIL;
	else
		put_text(w, msg, m->mail_from, &rec->mail_from);
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		struct str rcpt = tap_rcpt_of(m, i);
		int at;

		/* What the server refused it does not deliver. */
		if (m->rcpt[i].state == TAP_RCPT_REFUSED)
			continue;
		at = rcpt.n && plain(rcpt) ? dp_msg_add_rcpt(w->arena, msg, rcpt) : -EINVAL;
		if (at < 0)
			cut = true;
		else
			rec->rcpt[at].accepted = 1;
	}
	if (cut)
		rec->flags |= RECORD_F_ENVELOPE_CUT;
}

/* Whose session it was. */
static void put_flow(const struct tap_session *s, struct dp_msg *msg)
{
	const struct tap_sessions *all = s->all;
	struct worker *w = all->opt.worker;
	struct handoff_record *rec = dp_msg_record(w->arena, msg);

	rec->session = w->opt.max_sessions;
	rec->session_gen = 1;
	rec->connected_ns = s->connected_ns;
	rec->data_done_ns = now_ns(all, *all->opt.now_us);
	memcpy(rec->peer, s->tuple.remote, 16);
	memcpy(rec->local, s->tuple.local, 16);
	memcpy(rec->via_peer, s->tuple.remote, 16);
	rec->peer_port = rec->via_port = s->tuple.remote_port;
	rec->local_port = s->tuple.local_port;
	rec->listener = s->listener;
	rec->proto = tap_smtp_esmtp(s->smtp) ? PROTO_ESMTP : PROTO_SMTP;
	rec->flags |= RECORD_F_OBSERVED;
	message_trace_id_new(w, rec->data_done_ns, rec->trace_id);
}

static void put_message(struct worker *w, struct dp_msg *msg, const struct tap_message *m)
{
	struct handoff_record *rec = dp_msg_record(w->arena, msg);

	put_envelope(w, msg, m);
	rec->flags |= m->flags | (m->one_way ? RECORD_F_ONE_WAY : 0);
	if (m->flags & RECORD_F_SMTPUTF8)
		rec->proto = PROTO_UTF8SMTP;
	rec->body = m->body;
	rec->observed_whole = m->whole;
	rec->observed_gap = m->gap_octets < UINT32_MAX ? (uint32_t)m->gap_octets : UINT32_MAX;
	rec->observed_anomalies = m->anomalies;
	if (m->anomalies & 1ull << TAP_overlap_diff)
		rec->flags |= RECORD_F_OVERLAP;
	if (m->anomalies & 1ull << TAP_early_talk)
		rec->flags |= RECORD_F_EARLY_TALKER;
	if (m->reply_code)
		put_reply(w, msg, str_make(m->reply, m->reply_n), &rec->observed_reply);
}

/* Gives the record to control, or takes it back. 0, -EAGAIN: the ring is full, -ENOTCONN. */
static int submit(struct tap_sessions *all, struct dp_msg *msg)
{
	struct worker *w = all->opt.worker;
	const struct handoff_record *rec = dp_msg_record(w->arena, msg);
	uint32_t loop = dp_rings_pick(w->rings);
	struct handoff_desc d = {
		.kind = DESC_SUBMIT,
		.flags = DESC_F_OBSERVED,
		.session = rec->session,
		.generation = rec->session_gen,
		.question = ++all->serial,
	};
	int rc;

	dp_msg_data_end(w->arena, msg);
	d.msg.record = msg->record;
	d.msg.record_gen = dp_msg_generation(w->arena, msg);
	d.msg.size = rec->size;
	d.msg.time_ns = rec->data_done_ns;
	rc = dp_rings_push(w->rings, loop, &d);
	if (rc) {
		dp_msg_free(w->arena, msg);
		return rc;
	}
	dp_msg_submitted(w->arena, msg, loop);
	worker_count(w, CNT_tap_submitted);
	return 0;
}

/* ---- of the parser ---- */

static struct tap_moment now(const struct tap_sessions *all)
{
	return (struct tap_moment){all->opt.worker->now_us, *all->opt.now_us};
}

/* A capture may wait for control, and may be read faster than it was made: neither makes a message
 * old. */
static uint64_t since_us(const struct tap_sessions *all, const struct tap_moment *m)
{
	uint64_t us = all->opt.worker->now_us - m->us, packet_us = *all->opt.now_us - m->packet_us;

	return packet_us < us ? packet_us : us;
}

static void forget(struct tap_sessions *all, struct tap_txn *t)
{
	TAILQ_REMOVE(&all->open, t, order);
	TAILQ_REMOVE(&all->silent, t, quiet);
}

/* Its record goes as well: the reply may be long in coming, and at the end there may be another. */
static void give_up(struct tap_sessions *all, struct tap_txn *t, enum observed_unjudged why)
{
	struct worker *w = all->opt.worker;

	t->unjudged = (uint8_t)why;
	forget(all, t);
	message_scan_drop(w, &t->scan);
	dp_msg_free(w->arena, &t->msg);
	t->helo = (struct handoff_ref){0};
}

/* The arena is short: who has been silent for the longest gives way, where that is long. Such a client
 * may well be gone, and would have its memory until the flow is forgotten. */
static bool give_way(struct tap_sessions *all)
{
	struct tap_txn *t = TAILQ_FIRST(&all->silent);

	if (!t || since_us(all, &t->heard) < LIMIT_TAP_SILENT_S * 1000000ull)
		return false;
	worker_count(all->opt.worker, CNT_tap_gave_way);
	give_up(all, t, UNJUDGED_ARENA);
	return true;
}

static void begin(void *owner, struct tap_message *m)
{
	struct tap_session *s = owner;
	struct worker *w = s->all->opt.worker;
	struct tap_txn *t = &s->all->txn[m->index];

	*t = (struct tap_txn){0};
	if (!w->up || !w->current) {
		t->unjudged = UNJUDGED_CONTROL;
		return;
	}
	while (dp_msg_observe(w->arena, &t->msg, s->all->opt.share))
		if (!give_way(s->all)) {
			t->unjudged = UNJUDGED_ARENA;
			return;
		}
	/* A later EHLO is not this message's. */
	put_text(w, &t->msg, tap_smtp_helo(s->smtp), &t->helo);
	message_scan_begin(w, &t->scan, &t->msg);
	t->begun = t->heard = now(s->all);
	TAILQ_INSERT_TAIL(&s->all->open, t, order);
	TAILQ_INSERT_TAIL(&s->all->silent, t, quiet);
}

static bool too_old(const struct tap_sessions *all, const struct tap_txn *t)
{
	const struct generation *g = t->scan.generation;
	uint64_t limit_s = g->config.data_total_timeout_s;

	if (g != all->opt.worker->current && limit_s > LIMIT_TAP_OLD_RULES_S)
		limit_s = LIMIT_TAP_OLD_RULES_S;
	return since_us(all, &t->begun) >= limit_s * 1000000;
}

void tap_sessions_expire(struct tap_sessions *all)
{
	struct tap_txn *t;

	/* None is older than the one before it, nor has it older rules. */
	while ((t = TAILQ_FIRST(&all->open)) && too_old(all, t))
		give_up(all, t, UNJUDGED_TIMEOUT);
}

/* Not at each segment: the list is one of seconds. */
static void heard(struct tap_sessions *all, struct tap_txn *t)
{
	struct tap_moment m = now(all);

	if (m.us - t->heard.us < LIMIT_TAP_HEARD_MS * 1000 &&
	    m.packet_us - t->heard.packet_us < LIMIT_TAP_HEARD_MS * 1000)
		return;
	t->heard = m;
	TAILQ_REMOVE(&all->silent, t, quiet);
	TAILQ_INSERT_TAIL(&all->silent, t, quiet);
}

static void content(void *owner, struct tap_message *m, const uint8_t *p, size_t n)
{
	struct tap_session *s = owner;
	struct worker *w = s->all->opt.worker;
	struct tap_txn *t = &s->all->txn[m->index];

	if (t->unjudged)
		return;
	heard(s->all, t);
	if (t->msg.size + n > t->scan.generation->config.max_message) {
		give_up(s->all, t, UNJUDGED_SIZE);
		return;
	}
	while (dp_msg_append(w->arena, &t->msg, p, n))
		if (!give_way(s->all)) {
			give_up(s->all, t, UNJUDGED_ARENA);
			return;
		}
	message_scan_feed(w, &t->scan, &t->msg, p, n);
}

static void count_unjudged(struct worker *w, unsigned int why)
{
	static const uint16_t counter[UNJUDGED_COUNT] = {
		[UNJUDGED_CONTROL] = CNT_tap_unjudged_control,
		[UNJUDGED_ARENA] = CNT_tap_unjudged_arena,
		[UNJUDGED_SIZE] = CNT_tap_unjudged_size,
		[UNJUDGED_RING] = CNT_tap_unjudged_ring,
		[UNJUDGED_TIMEOUT] = CNT_tap_unjudged_timeout,
	};

	worker_count(w, (enum postern_counter)counter[why]);
}

static void message(void *owner, struct tap_message *m)
{
	struct tap_session *s = owner;
	struct worker *w = s->all->opt.worker;
	struct tap_txn *t = &s->all->txn[m->index];
	struct handoff_record *rec;
	int rc;

	if (!w->up && !t->unjudged)
		give_up(s->all, t, UNJUDGED_CONTROL);
	if (t->unjudged)
		count_unjudged(w, t->unjudged);
	/* Of what could not be kept the envelope may be told yet. */
	if (w->up && !t->msg.open && !dp_msg_observe(w->arena, &t->msg, s->all->opt.share))
		put_text(w, &t->msg, tap_smtp_helo(s->smtp), &t->helo);
	if (!t->msg.open)
		return;
	put_flow(s, &t->msg);
	put_message(w, &t->msg, m);
	rec = dp_msg_record(w->arena, &t->msg);
	rec->helo = t->helo;
	rec->observed = t->unjudged ? OBSERVED_UNJUDGED : OBSERVED_MESSAGE;
	rec->observed_unjudged = t->unjudged;
	if (!t->unjudged) {
		forget(s->all, t);
		message_scan_finish(w, &t->scan, &t->msg);
	}
	rc = submit(s->all, &t->msg);
	if (rc && !t->unjudged)
		count_unjudged(w, rc == -EAGAIN ? UNJUDGED_RING : UNJUDGED_CONTROL);
}

/* Its trace record says why no message follows. */
static void encrypted(void *owner)
{
	struct tap_session *s = owner;
	struct worker *w = s->all->opt.worker;
	struct dp_msg msg = {0};
	struct handoff_record *rec;

	if (!w->up || !w->current || dp_msg_observe(w->arena, &msg, s->all->opt.share)) {
		worker_count(w, CNT_tap_encrypted_untold);
		return;
	}
	put_flow(s, &msg);
	rec = dp_msg_record(w->arena, &msg);
	put_text(w, &msg, tap_smtp_helo(s->smtp), &rec->helo);
	rec->observed = OBSERVED_ENCRYPTED;
	rec->scan_generation = (uint32_t)w->current->config.generation;
	if (submit(s->all, &msg))
		worker_count(w, CNT_tap_encrypted_untold);
}

/* Told with the next message, and counted by the tracker. */
static void gap(void *owner, enum tap_side side, uint32_t octets, enum tap_cause cause)
{
	(void)owner;
	(void)side;
	(void)octets;
	(void)cause;
}

static void anomaly(void *owner, enum tap_anomaly what)
{
	(void)owner;
	(void)what;
}

static void closed(void *owner)
{
	struct tap_session *s = owner;

	s->next = s->all->free_session;
	s->all->free_session = s;
}

static const struct tap_smtp_ops smtp_ops = {.begin = begin,
					     .content = content,
					     .message = message,
					     .gap = gap,
					     .anomaly = anomaly,
					     .encrypted = encrypted,
					     .closed = closed};

/* ---- of the tracker ---- */

static bool track_full(void *ctx)
{
	const struct tap_sessions *all = ctx;

	return !all->free_session || tap_smtp_full(all->smtp);
}

/* What the configuration says of a flow like this one; without one: the default. */
static enum handoff_action exception(const struct tap_session *s, enum handoff_cause cause)
{
	const struct generation *g = s->all->opt.worker->current;
	enum handoff_port_mode mode = s->listener == HANDOFF_LISTENER_TAP ? PORT_MODE_TAP : PORT_MODE_INLINE;

	return g ? (enum handoff_action)g->config.exception[mode][cause] : ACT_DEFAULT;
}

static void *track_open(void *ctx, const struct tap_flow_info *info)
{
	struct tap_sessions *all = ctx;
	struct worker *w = all->opt.worker;
	struct tap_session *s = all->free_session;

	if (!s) {
		worker_count(w, CNT_tap_no_session);
		return NULL;
	}
	s->tuple = info->tuple;
	s->connected_ns = now_ns(all, info->time_us);
	s->listener = all->opt.listener ? all->opt.listener(all->opt.listener_ctx, &s->tuple)
					: HANDOFF_LISTENER_TAP;
	s->left = false;
	if (info->midstream && !(s->listener == HANDOFF_LISTENER_TAP ? all->midstream : all->midstream_cable))
		return NULL;
	/* In a cable who is watched then was decided at the SYN. */
	if (!w->up && s->listener == HANDOFF_LISTENER_TAP && exception(s, CAUSE_CONTROL_DOWN) == ACT_BYPASS) {
		worker_count(w, CNT_tap_bypassed);
		return NULL;
	}
	s->smtp = tap_smtp_open(all->smtp, info, s);
	if (!s->smtp)
		return NULL;
	all->free_session = s->next;
	return s;
}

static size_t track_data(void *app, enum tap_side side, const uint8_t *p, size_t n,
			 unsigned int how)
{
	struct tap_session *s = app;

	return s->left ? n : tap_smtp_data(s->smtp, side, p, n, how);
}

static void track_gap(void *app, enum tap_side side, uint32_t octets, enum tap_cause cause)
{
	struct tap_session *s = app;

	if (s->left)
		return;
	tap_smtp_gap(s->smtp, side, octets, cause);
	if (exception(s, CAUSE_GAP) == ACT_BYPASS) {
		s->left = true;
		worker_count(s->all->opt.worker, CNT_tap_bypassed);
	}
}

static void track_anomaly(void *app, enum tap_anomaly what)
{
	struct tap_session *s = app;

	if (!s->left)
		tap_smtp_anomaly(s->smtp, what);
}

static void track_closed(void *app)
{
	struct tap_session *s = app;

	tap_smtp_close(s->smtp);
}

const struct tap_app tap_session_app = {.open = track_open,
					.data = track_data,
					.gap = track_gap,
					.anomaly = track_anomaly,
					.closed = track_closed,
					.full = track_full};

void tap_sessions_midstream(struct tap_sessions *all, bool tap, bool cable)
{
	all->midstream = tap;
	all->midstream_cable = cable;
}

bool tap_session_verdict(const struct dp_verdict *v)
{
	return v->head.kind == VERDICT_RELEASE;
}

struct tap_sessions *tap_sessions_new(const struct tap_session_options *opt)
{
	struct tap_sessions *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	all->opt = *opt;
	TAILQ_INIT(&all->open);
	TAILQ_INIT(&all->silent);
	all->smtp = tap_smtp_new(opt->sessions, &smtp_ops, opt->worker->counters);
	all->session = calloc(opt->sessions, sizeof(*all->session));
	all->txn = all->smtp ? calloc(tap_smtp_messages(all->smtp), sizeof(*all->txn)) : NULL;
	if (!all->session || !all->txn) {
		tap_sessions_free(all);
		return NULL;
	}
	for (uint32_t i = opt->sessions; i--;) {
		all->session[i].all = all;
		all->session[i].next = all->free_session;
		all->free_session = &all->session[i];
	}
	return all;
}

void tap_sessions_free(struct tap_sessions *all)
{
	if (!all)
		return;
	tap_smtp_free(all->smtp);
	free(all->session);
	free(all->txn);
	free(all);
}
