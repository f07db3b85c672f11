/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What the trace says of a message that is over: a record for each recipient. */

#include <stdio.h>
#include <string.h>

#include "control/message.h"
#include "control/note.h"
#include "control/trace/facts.h"
#include "postern/clock.h"

static json_t *text(struct str s)
{
	return trace_text(s);
}

/* Read while the message is ours: the header block may lie in the arena. */
static struct str field(const struct message *m, struct str name)
{
	const struct headers *h;
	size_t i;

	if (!m->judge)
		return STR_NONE;
	h = &judge_result(m->judge)->headers;
	i = headers_find(h, name, 0);
	return i < h->n ? header_value(h, i) : STR_NONE;
}

static json_t *message_id(const struct message *m)
{
	struct str v = field(m, STR("message-id"));
	uint8_t buf[512];
	long n = v.n ? header_unfold(v, buf, sizeof(buf)) : -1;

	return n < 0 ? json_string("") : text(str_make(buf, (size_t)n));
}

void message_remember(struct message *m)
{
	if (!m->message_id)
		m->message_id = message_id(m);
	if (!m->subject && m->snapshot && m->snapshot->config->trace.subjects)
		m->subject = trace_subject(field(m, STR("subject")));
}

static void reply_out(struct json_out *o, const char *name, uint16_t code, uint8_t class, uint16_t subject,
		      uint16_t detail, struct str said)
{
	char buf[HANDOFF_MAX_TEXT + 32];

	if (!code)
		buf[0] = '\0';
	else if (class)
		snprintf(buf, sizeof(buf), "%u %u.%u.%u %.*s", code, class, subject, detail, STR_FMT(said));
	else
		snprintf(buf, sizeof(buf), "%u %.*s", code, STR_FMT(said));
	json_out_string(o, name, buf);
}

/* The server in a cable that the client dialled; it may be listed no more. */
static void dialled_out(struct json_out *o, const struct message *m)
{
	const struct mail_envelope *e = &m->sub->envelope;
	const struct config_inline *s = m->snapshot ? config_inline_for(m->snapshot->config, e->listener,
									&e->local, e->local_port)
						    : NULL;
	char ip[64];

	json_out_open(o, "inline");
	json_out_string(o, "server", s ? s->name : "");
	json_out_string(o, "address", ip_format(&e->local, ip, sizeof(ip)));
	json_out_int(o, "port", e->local_port);
	json_out_close(o);
}

/* TLS of the connection that the delivery went by, or was to go by. */
static void next_hop_tls_out(struct json_out *o, const struct deliver_tls *t)
{
	json_out_open(o, "next_hop_tls");
	json_out_string(o, "policy", t->policy);
	json_out_string(o, "verified", deliver_verified_name(t->verified));
	if (t->version[0]) {
		json_out_string(o, "version", t->version);
		json_out_string(o, "cipher", t->cipher);
		json_out_bool(o, "resumed", t->resumed);
	}
	if (t->why[0])
		json_out_string(o, "why", t->why);
	json_out_close(o);
}

static void envelope_out(struct json_out *o, struct message *m)
{
	const struct mail_envelope *e = &m->sub->envelope;
	char ip[64];

	json_out_string(o, "trace_id", e->trace_id);
	json_out_string(o, "message_id", json_string_value(m->message_id));
	json_out_string(o, "peer", ip_format(&e->peer, ip, sizeof(ip)));
	json_out_int(o, "peer_port", e->peer_port);
	json_out_text(o, "helo", e->helo);
	/* Not an empty one: nobody saw it. */
	if (e->flags & RECORD_F_OBSERVED && e->flags & RECORD_F_NO_MAIL)
		json_out_null(o, "mail_from");
	else
		json_out_text(o, "mail_from", e->mail_from);
	json_out_int(o, "size", (int64_t)m->sub->content.size);
	json_out_int(o, "flags", (int64_t)e->flags);
	json_out_string(o, "local", ip_format(&e->local, ip, sizeof(ip)));
	if (m->subject)
		json_out_string(o, "subject", json_string_value(m->subject));
	json_out_open(o, "tcp");
	json_out_int(o, "srtt_us", e->tcp.srtt_us);
	json_out_int(o, "retransmits", e->tcp.retransmits);
	json_out_int(o, "out_of_order", e->tcp.ooo_segments);
	json_out_int(o, "ttl", e->tcp.ttl);
	json_out_close(o);
}

static void judged_out(struct json_out *o, const struct message *m)
{
	const struct judgement *r = judge_result(m->judge);
	char ip[64];

	json_out_string(o, "origin", ip_format(&r->origin.ip, ip, sizeof(ip)));
	json_out_open(o, "judged");
	judge_record(m->judge, o);
	json_out_close(o);
	json_out_int(o, "judge_us", (int64_t)r->judge_us);
}

static void delivery_out(struct json_out *o, const struct deliver_result *res)
{
	json_out_string(o, "next_hop", res->host);
	json_out_string(o, "stage", res->stage);
	if (res->egress[0])
		json_out_string(o, "egress", res->egress);
	if (res->tls.policy)
		next_hop_tls_out(o, &res->tls);
	json_out_bool(o, "late", res->late);
	json_out_bool(o, "bdat", res->bdat);
	/* Not an octet of the sender's: said, so that "as it came" stays true. */
	if (res->eof_crlf_added)
		json_out_bool(o, "eof_crlf_added", true);
}

/* The TCP peer, where the client that is judged is another. */
static void via_out(struct json_out *o, const struct mail_envelope *e)
{
	char ip[64];

	json_out_open(o, "via");
	json_out_string(o, "how", e->via == VIA_PROXY ? "proxy" : "xclient");
	json_out_string(o, "address", ip_format(&e->via_peer, ip, sizeof(ip)));
	json_out_int(o, "port", e->via_port);
	json_out_close(o);
}

/* What is the same for all recipients, in a record that is open. */
static void common_record(struct json_out *o, struct message *m, const struct deliver_result *res)
{
	const struct mail_envelope *e = &m->sub->envelope;
	json_t *more = json_object();

	message_remember(m);
	envelope_out(o, m);
	json_out_string_or_null(o, "route", m->route ? m->route->name : NULL);
	if (config_is_inline(e->listener))
		dialled_out(o, m);
	json_out_int(o, "us", (int64_t)(clock_mono_us() - m->started_us));
	if (m->judge)
		judged_out(o, m);
	if (res)
		delivery_out(o, res);
	if (e->via != VIA_NONE)
		via_out(o, e);
	if (m->redirect)
		json_out_value(o, "quarantine", redirect_json(m->redirect));
	if (m->earlier[0])
		json_out_string(o, "taken_before", m->earlier);
	if (m->journal)
		json_out_value(o, "journal", journal_json(m->journal));
	trace_facts(more, e);
	trace_observed(more, e);
	json_out_members(o, more);
}

/* Of one recipient, where the next hop was asked. */
static enum trace_outcome outcome_of(const struct deliver_rcpt_result *r)
{
	return r->outcome == DELIVER_DELIVERED	? TRACE_DELIVERED
	       : r->outcome == DELIVER_REJECTED ? TRACE_REJECTED
	       : r->outcome == DELIVER_ABORTED	? TRACE_ABORTED
						: TRACE_DEFERRED;
}

void message_record(struct message *m, enum trace_outcome outcome, const struct ctl_reply *r,
		    const struct deliver_result *res)
{
	const struct mail_envelope *e = &m->sub->envelope;
	struct json_out common = {0}, o = {0};

	trace_begin(&common);
	common_record(&common, m, res);
	note(NOTE_DEBUG, "message %s: %s, %zu recipient(s)", e->trace_id, trace_outcome_name(outcome), e->n_rcpts);
	for (size_t i = 0; i < e->n_rcpts; i++) {
		enum trace_outcome own = outcome;

		o.failed = common.failed;
		json_out_raw(&o, common.p, common.n);
		if (res && res->rcpt && res->outcome != DELIVER_ABORTED) {
			const struct deliver_reply *said = &res->rcpt[i].next_hop;

			reply_out(&o, "next_hop_reply", said->code, said->enh_class, said->enh_subject,
				  said->enh_detail, str_c(said->text));
			own = outcome_of(&res->rcpt[i]);
		}
		/* The client heard one reply for all: what it will try again is deferred here. */
		if (outcome == TRACE_DEFERRED && own == TRACE_DELIVERED)
			own = TRACE_DEFERRED;
		json_out_text(&o, "rcpt", e->rcpt[i]);
		json_out_string(&o, "outcome", trace_outcome_name(own));
		gauges_recipient(m->loop->gauges, m->route ? m->route->name : NULL, own);
		if (r)
			reply_out(&o, "reply", r->code, r->enh_class, r->enh_subject, r->enh_detail, r->text);
		trace_end(m->loop->trace, &o);
	}
	/* Who watches may not have seen them. */
	if (!e->n_rcpts) {
		json_out_null(&common, "rcpt");
		json_out_string(&common, "outcome", trace_outcome_name(outcome));
		trace_end(m->loop->trace, &common);
	}
	json_out_free(&common);
}
