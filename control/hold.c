/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A message that policy holds back: from the judgement to a copy in quarantine that is on disk. */

#include <stdlib.h>

#include "control/loop.h"
#include "control/message.h"
#include "control/note.h"

struct hold {
	struct quarantine_message message;
	struct quarantine_range range[];
};

void hold_free(struct hold *h)
{
	free(h);
}

static void on_put(void *arg, const struct quarantine_answer *a)
{
	struct message *m = arg;
	struct ctl_reply ok = control_reply(SAYS_ACCEPTED);
	struct ctl_reply full = control_reply(SAYS_DISK_FULL);
	struct ctl_reply busy = control_reply(SAYS_NO_QUARANTINE);
	uint64_t *c = m->loop->counters;

	m->holding = false;
	if (a->error) {
		c[CTL_quarantine_failed]++;
		note(NOTE_ERROR, "message %s: quarantine: %s",
			m->sub->envelope.trace_id, a->why);
		if (m->cancelled)
			message_give_back(m);
		else
			message_answer(m, a->error == -ENOSPC ? &full : &busy, TRACE_DEFERRED);
		return;
	}
	/* Whoever is not told 250 sends it again: this copy would be one too many. */
	if (!message_wanted(m)) {
		quarantine_delete(m->loop->quarantine, m->sub->envelope.trace_id, NULL, NULL);
		message_give_back(m);
		return;
	}
	c[CTL_quarantined]++;
	message_taken(m);
	message_answer(m, &ok, TRACE_QUARANTINED);
}

static struct str message_id(const struct headers *h)
{
	size_t i = headers_find(h, STR("message-id"), 0);

	return i < h->n ? str_trim(header_value(h, i)) : STR_NONE;
}

int hold_start(struct message *m)
{
	const struct judgement *j = judge_result(m->judge);
	const struct mail_envelope *e = &m->sub->envelope;
	struct hold *h = calloc(1, sizeof(*h) + j->n_ranges * sizeof(h->range[0]));

	if (!h)
		return -ENOMEM;
	for (size_t i = 0; i < j->n_ranges; i++)
		h->range[i] = (struct quarantine_range){j->range[i].off, j->range[i].len};
	h->message = (struct quarantine_message){
		.id = e->trace_id,
		.time_ns = e->time_ns,
		.route = m->route->name,
		.origin = j->origin.ip,
		.helo = e->helo,
		.mail_from = e->mail_from,
		.message_id = message_id(&j->headers),
		.rcpt = e->rcpt,
		.n_rcpts = e->n_rcpts,
		.reason = j->policy.reason,
		.score = j->policy.score,
		.body = e->body,
		.smtputf8 = e->smtputf8,
		.flags = e->flags,
		.block = str_make(j->out.block, j->out.block_len),
		.range = h->range,
		.n_ranges = j->n_ranges,
		.content = m->sub->content,
	};
	if (m->route->dialled)
		h->message.dialled = (struct quarantine_dialled){
			.server = e->local, .port = e->local_port, .client = e->peer,
			.connected = e->via == VIA_NONE ? e->peer : e->via_peer};
	hold_free(m->hold);
	m->hold = h;
	message_begin(m);
	if (quarantine_put(m->loop->quarantine, &h->message, on_put, m))
		return -ENOMEM;
	m->holding = true;
	return 0;
}
