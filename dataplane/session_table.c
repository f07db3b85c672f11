/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The memory of a worker's sessions: taken at start, touched when it is first used. */

#include <errno.h>
#include <stdlib.h>

#include "dataplane/worker.h"

/* Final replies that wait for the client's ACK: a round trip each. Who finds no place is reported as
 * lost, which leaves its message in doubt and no more. */
#define REPLIES_MAX 32768u

static uint32_t n_replies(const struct worker_options *opt)
{
	return opt->max_sessions < REPLIES_MAX ? opt->max_sessions : REPLIES_MAX;
}

/* See outbox.c. */
static uint32_t outbox_cap(const struct worker_options *opt)
{
	return n_replies(opt) + 3 * opt->n_records + 64;
}

size_t session_table_bytes(const struct worker_options *opt)
{
	return (size_t)opt->max_sessions * (sizeof(struct session) + sizeof(struct smtp_client)) +
	       (size_t)opt->n_records * sizeof(struct transaction) +
	       (size_t)opt->max_tls * sizeof(struct session_tls) +
	       (size_t)n_replies(opt) * sizeof(struct session_reply) +
	       (size_t)outbox_cap(opt) * sizeof(struct outbox_entry);
}

int session_table_new(struct worker *w)
{
	TAILQ_INIT(&w->free_list);
	TAILQ_INIT(&w->asked);
	TAILQ_INIT(&w->unsent);
	TAILQ_INIT(&w->ending);
	TAILQ_INIT(&w->held);
	session_evict_init(w);
	w->reply_free = SESSION_NONE;
	w->reply_cap = n_replies(&w->opt);
	w->session = calloc(w->opt.max_sessions, sizeof(*w->session));
	w->via = calloc(w->opt.max_sessions, sizeof(*w->via));
	w->txn = calloc(w->opt.n_records, sizeof(*w->txn));
	w->reply = calloc(w->reply_cap, sizeof(*w->reply));
	w->stls = calloc(w->opt.max_tls ? w->opt.max_tls : 1, sizeof(*w->stls));
	if (!w->stls || !w->session || !w->via || !w->txn || !w->reply)
		return -ENOMEM;
	return outbox_new(w, outbox_cap(&w->opt));
}

void session_table_free(struct worker *w)
{
	outbox_free(w);
	free(w->session);
	free(w->via);
	free(w->txn);
	free(w->reply);
	free(w->stls);
	w->stls = NULL;
	w->session = NULL;
	w->via = NULL;
	w->txn = NULL;
	w->reply = NULL;
}

struct session *session_new(struct worker *w)
{
	struct session *s = TAILQ_FIRST(&w->free_list);

	if (s) {
		session_put(s, ON_NONE);
		return s;
	}
	if (w->fresh == w->opt.max_sessions)
		return NULL;
	s = &w->session[w->fresh++];
	*s = (struct session){.worker = w, .generation = 1, .reply = SESSION_NONE};
	return s;
}

uint32_t session_reply_get(struct worker *w)
{
	uint32_t i = w->reply_free;

	if (i != SESSION_NONE)
		w->reply_free = w->reply[i].next;
	else if (w->reply_fresh < w->reply_cap)
		i = w->reply_fresh++;
	return i;
}

void session_reply_put(struct worker *w, uint32_t i)
{
	w->reply[i].next = w->reply_free;
	w->reply_free = i;
}
