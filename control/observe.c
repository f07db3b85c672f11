/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A message that was only watched: judged as any other, against its original sender, and recorded
 * with what policy would have done and what its server said. Nobody waits: there is no reply, no
 * delivery but a copy for the journal, nothing in doubt, held back or held against its source.
 */

#include <errno.h>
#include <stdio.h>

#include "control/message.h"
#include "control/note.h"
#include "control/trace/facts.h"

void observe_journaled(struct message *m)
{
	message_observed(m, TRACE_OBSERVED);
}

static void unjudged(struct message *m, enum observed_unjudged why)
{
	m->sub->envelope.observed.unjudged = (uint8_t)why;
	message_observed(m, TRACE_UNJUDGED);
}

static bool are_mailboxes(const struct mail_envelope *e)
{
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (loop_mailbox_problem(e->rcpt[i]) != CONTROL_REPLY_COUNT)
			return false;
	return e->n_rcpts && !(e->flags & RECORD_F_ENVELOPE_CUT);
}

/* A copy is for what the server took, as far as is known, and for what is whole. */
static bool is_journaled(const struct message *m, const struct judgement *j)
{
	const struct mail_envelope *e = &m->sub->envelope;
	const struct config *c = m->snapshot->config;
	const struct config_tap *t = &c->tap;
	bool refused = e->observed.reply.n && e->observed.reply.p[0] != '2';

	if (!t->journal_route || e->observed.whole != OBSERVED_WHOLE || refused || e->flags & RECORD_F_NO_MAIL)
		return false;
	/* A copy of ours, or what we delivered, may come by where we watch: that would never end. */
	if (origin_was_at(&j->headers, str_c(c->hostname))) {
		m->loop->counters[CTL_journal_own]++;
		return false;
	}
	return t->journal_mailbox || are_mailboxes(e);
}

static void on_judged(void *arg, const struct judgement *j)
{
	struct message *m = arg;

	if (j->error) {
		note(NOTE_ERROR, "observed message %s: %s", m->sub->envelope.trace_id,
			j->error_text);
		unjudged(m, UNJUDGED_MALFORMED);
		return;
	}
	if (is_journaled(m, j) && !journal_start(m))
		return; /* -> observe_journaled() */
	message_observed(m, TRACE_OBSERVED);
}

static void start(struct message *m)
{
	const struct mail_envelope *e = &m->sub->envelope;
	struct loop *l = m->loop;
	struct judge_request req;

	m->snapshot = loop_snapshot(l, m->sub->scan_generation);
	if (!m->snapshot) {
		/* Its matches mean nothing to us: another control's rules made them. */
		unjudged(m, UNJUDGED_RULES);
		return;
	}
	snapshot_ref(m->snapshot);
	if (e->n_rcpts)
		m->route = loop_route(m->snapshot->config, e->rcpt[0]);
	req = (struct judge_request){
		.config = m->snapshot->config,
		.rules = m->snapshot->rules,
		.rules_stats = m->snapshot->rules_stats,
		.env = e,
		.content = &m->sub->content,
		.match = m->sub->match,
		.n_matches = m->sub->n_matches,
		.incomplete = e->observed.whole != OBSERVED_WHOLE,
	};
	m->judge = judge_start(&l->judge_env, &req, on_judged, m);
	if (!m->judge)
		unjudged(m, UNJUDGED_RULES);
}

/* A session whose mail nobody can see: so that it is not missed in vain. */
static void record_encrypted(struct loop *l, const struct mail_envelope *e)
{
	char ip[64];
	json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:o}", "event", "encrypted", "trace_id",
			      e->trace_id, "peer", ip_format(&e->peer, ip, sizeof(ip)), "peer_port",
			      (int)e->peer_port, "helo", trace_text(e->helo));

	trace_observed(o, e);
	trace_write(l->trace, o);
}

void observe_submit(struct loop *l, const struct handoff_desc *d)
{
	int rc;
	struct message *m = message_new(l, d, &rc);

	if (!m) {
		/* What does not hold together was counted; what has no memory is counted here. */
		l->counters[CTL_observed_unjudged] += rc == -ENOMEM;
		ctl_verdict_release(l->rings, d);
		return;
	}
	m->observed = true;
	switch (m->sub->envelope.observed.what) {
	case OBSERVED_ENCRYPTED:
		l->counters[CTL_observed_encrypted]++;
		record_encrypted(l, &m->sub->envelope);
		message_forget(m);
		break;
	case OBSERVED_UNJUDGED:
		message_observed(m, TRACE_UNJUDGED);
		break;
	default:
		if (l->stopping)
			unjudged(m, UNJUDGED_STOPPING);
		else
			start(m);
	}
}
