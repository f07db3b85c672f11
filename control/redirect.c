/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A message that policy holds back, into a mailbox: the original octets below our header block,
 * which says on top for whom it was. It goes by the null reverse-path: whoever reads quarantine is
 * not the sender's business, and no bounce of that mailbox is to reach a sender who may be forged
 * (RFC 5321 4.5.5). The client hears 250 only when the next hop of the mailbox has it; whatever
 * else that says is 451, for nothing of it speaks of the client's recipients.
 */

#include <stdlib.h>
#include <string.h>

#include "control/message.h"
#include "control/note.h"
#include "control/trace/facts.h"

struct redirect {
	const struct config_policy *policy; /* of the message's snapshot */
	struct annotate_output out;
	struct mail_range *range;
	struct str rcpt;
	char host[300], said[512]; /* of the next hop */
};

void redirect_free(struct redirect *r)
{
	if (!r)
		return;
	annotate_free(&r->out);
	free(r->range);
	free(r);
}

json_t *redirect_json(const struct redirect *r)
{
	return json_pack("{s:s, s:s, s:o, s:o}", "mailbox", r->policy->quarantine_mailbox, "route",
			 r->policy->quarantine_route->name, "next_hop", trace_text(str_c(r->host)),
			 "reply", trace_text(str_c(r->said)));
}

static void on_delivered(void *arg, const struct deliver_result *res)
{
	struct message *m = arg;
	struct redirect *r = m->redirect;
	struct ctl_reply ok = control_reply(SAYS_ACCEPTED);
	struct ctl_reply no = control_reply(SAYS_NO_QUARANTINE);
	const struct deliver_reply *d =
		res->rcpt && res->rcpt[0].next_hop.code ? &res->rcpt[0].next_hop : &res->reply;
	uint64_t *c = m->loop->counters;

	m->job = NULL;
	snprintf(r->host, sizeof(r->host), "%s", res->host);
	if (d->code)
		snprintf(r->said, sizeof(r->said), "%u %u.%u.%u %s", d->code, d->enh_class,
			 d->enh_subject, d->enh_detail, d->text);
	if (res->outcome == DELIVER_ABORTED) {
		message_give_back(m);
		return;
	}
	if (res->outcome != DELIVER_DELIVERED) {
		c[CTL_quarantine_failed]++;
		note(NOTE_ERROR, "message %s: quarantine mailbox %s by route %s: %s at %s: %s",
			m->sub->envelope.trace_id, r->policy->quarantine_mailbox,
			r->policy->quarantine_route->name, r->host, res->stage, r->said);
		message_answer(m, &no, TRACE_DEFERRED);
		return;
	}
	c[CTL_quarantined]++;
	c[CTL_quarantine_redirected]++;
	message_taken(m);
	message_answer(m, &ok, TRACE_QUARANTINED);
}

int redirect_block(struct message *m, const char *reason, struct annotate_output *out,
		   struct mail_range **range)
{
	const struct judgement *j = judge_result(m->judge);
	const struct mail_envelope *e = &m->sub->envelope;
	const struct annotate_held held = {
		.prefix = config_header_prefix(m->snapshot->config, m->route),
		.mail_from = e->mail_from,
		.rcpt = e->rcpt,
		.n_rcpts = e->n_rcpts,
		.reason = reason,
	};
	int rc;

	*range = calloc(j->n_ranges + 1, sizeof(**range));
	if (!*range)
		return -ENOMEM;
	if (j->n_ranges)
		memcpy(*range, j->range, j->n_ranges * sizeof(**range));
	rc = annotate_assemble(str_make(j->out.block, j->out.block_len), e->smtputf8,
			       &m->sub->content, *range, j->n_ranges, out);
	if (!rc)
		rc = annotate_envelope(out, &held);
	return rc ? rc : annotate_prove(out, &m->sub->content, *range, j->n_ranges);
}

int redirect_start(struct message *m)
{
	const struct mail_envelope *e = &m->sub->envelope;
	struct redirect *r = calloc(1, sizeof(*r));
	struct deliver_request req;
	int rc;

	if (!r)
		return -ENOMEM;
	redirect_free(m->redirect);
	m->redirect = r;
	r->policy = judge_result(m->judge)->policy_config;
	r->rcpt = str_c(r->policy->quarantine_mailbox);
	rc = redirect_block(m, judge_result(m->judge)->policy.reason, &r->out, &r->range);
	if (rc) {
		note(NOTE_ERROR, "message %s: for the quarantine mailbox: %s",
			e->trace_id, strerror(-rc));
		return rc;
	}
	message_client(m, r->policy->quarantine_route, &m->client);
	req = (struct deliver_request){
		.config = m->snapshot->config,
		.route = r->policy->quarantine_route,
		.mail_from = STR_NONE,
		.rcpt = &r->rcpt,
		.n_rcpts = 1,
		.iov = r->out.iov,
		.n_iov = r->out.n_iov,
		.size = r->out.size,
		.body = e->body,
		.has_8bit = (e->flags & RECORD_F_8BIT) || message_block_8bit(&r->out),
		.bare_lf = e->flags & RECORD_F_BARE_LF,
		.bare_cr = e->flags & RECORD_F_BARE_CR,
		.smtputf8 = e->smtputf8,
		.client = &m->client,
		.wanted = message_onward,
	};
	m->job = deliver_start(m->loop->deliver, &req, on_delivered, m);
	return m->job ? 0 : -ENOMEM;
}
