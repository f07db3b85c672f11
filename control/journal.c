/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A copy of an observed message, annotated as it would have been on its way, by the route that the
 * tap section names: to the recipients by the sender's own reverse-path, or to a mailbox by the
 * null one, with the envelope on top (RFC 5321 4.5.5: nobody who was only watched is to hear of
 * it). It is tried once. What the next hop does not take, and what comes while too many are under
 * way, is counted.
 */

#include <stdlib.h>
#include <string.h>

#include "control/message.h"
#include "control/note.h"
#include "control/trace/facts.h"
#include "postern/limits.h"

struct journal {
	const struct config_tap *tap; /* of the message's snapshot */
	struct annotate_output out;   /* of a mailbox */
	struct mail_range *range;
	struct str rcpt;
	char host[300], said[512]; /* of the next hop */
	bool taken;
};

void journal_free(struct journal *j)
{
	if (!j)
		return;
	annotate_free(&j->out);
	free(j->range);
	free(j);
}

json_t *journal_json(const struct journal *j)
{
	return json_pack("{s:s, s:s?, s:b, s:o, s:o}", "route", j->tap->journal_route->name,
			 "mailbox", j->tap->journal_mailbox, "taken", (int)j->taken, "next_hop",
			 trace_text(str_c(j->host)), "reply", trace_text(str_c(j->said)));
}

static void on_delivered(void *arg, const struct deliver_result *res)
{
	struct message *m = arg;
	struct journal *j = m->journal;
	const struct deliver_reply *d =
		res->rcpt && res->rcpt[0].next_hop.code ? &res->rcpt[0].next_hop : &res->reply;

	m->job = NULL;
	m->loop->n_journal--;
	snprintf(j->host, sizeof(j->host), "%s", res->host);
	if (d->code)
		snprintf(j->said, sizeof(j->said), "%u %u.%u.%u %s", d->code, d->enh_class,
			 d->enh_subject, d->enh_detail, d->text);
	j->taken = res->outcome == DELIVER_DELIVERED;
	m->loop->counters[j->taken ? CTL_journaled : CTL_journal_failed]++;
	observe_journaled(m);
}

/* Is the content still there? */
static bool on_wanted(void *arg)
{
	return message_wanted(arg);
}

static void to_mailbox(struct message *m, struct journal *j, struct deliver_request *req)
{
	j->rcpt = str_c(j->tap->journal_mailbox);
	req->mail_from = STR_NONE;
	req->rcpt = &j->rcpt;
	req->n_rcpts = 1;
	req->iov = j->out.iov;
	req->n_iov = j->out.n_iov;
	req->size = j->out.size;
	req->has_8bit = (m->sub->envelope.flags & RECORD_F_8BIT) || message_block_8bit(&j->out);
}

static int start(struct message *m, struct journal *j)
{
	const struct judgement *r = judge_result(m->judge);
	const struct mail_envelope *e = &m->sub->envelope;
	struct deliver_request req = {
		.config = m->snapshot->config,
		.route = j->tap->journal_route,
		.mail_from = e->mail_from,
		.rcpt = e->rcpt,
		.n_rcpts = e->n_rcpts,
		.iov = r->out.iov,
		.n_iov = r->out.n_iov,
		.size = r->out.size,
		.body = e->body,
		.has_8bit = (e->flags & RECORD_F_8BIT) || message_block_8bit(&r->out),
		.bare_lf = e->flags & RECORD_F_BARE_LF,
		.bare_cr = e->flags & RECORD_F_BARE_CR,
		.smtputf8 = e->smtputf8,
		.client = &m->client,
		.wanted = on_wanted,
	};
	int rc = 0;

	if (j->tap->journal_mailbox) {
		rc = redirect_block(m, "journal", &j->out, &j->range);
		to_mailbox(m, j, &req);
	}
	if (rc)
		return rc;
	message_client(m, req.route, &m->client);
	m->job = deliver_start(m->loop->deliver, &req, on_delivered, m);
	return m->job ? 0 : -ENOMEM;
}

int journal_start(struct message *m)
{
	struct loop *l = m->loop;
	struct journal *j;
	int rc;

	if (l->n_journal >= LIMIT_TAP_JOURNAL) {
		l->counters[CTL_journal_full]++;
		return -EBUSY;
	}
	j = calloc(1, sizeof(*j));
	if (!j) {
		l->counters[CTL_journal_failed]++;
		return -ENOMEM;
	}
	m->journal = j;
	j->tap = &m->snapshot->config->tap;
	l->n_journal++;
	rc = start(m, j);
	if (rc) {
		l->n_journal--;
		l->counters[CTL_journal_failed]++;
		snprintf(j->said, sizeof(j->said), "not sent: %s", strerror(-rc));
		note(NOTE_ERROR, "observed message %s: journal: %s",
			m->sub->envelope.trace_id, strerror(-rc));
	}
	return rc;
}
