/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Room for new sessions when a worker's sessions run out. Two lists, each in the order in which its
 * sessions came into it: clients that we wait for between messages, and clients that were told to
 * go. Each step looks at the heads only. Octets that arrive do not move a session back, only
 * our answers do: a client that trickles a command is as idle as one that is silent.
 *
 * A session with a question open, in DATA, or with a final reply that is not acknowledged is on
 * neither list.
 */

#include "dataplane/worker.h"
#include "postern/limits.h"

#define EVICT_BURST 32
#define EVICT_RESERVE(n) ((n) / 16 + 1)

enum { CUT_NONE, CUT_IDLE, CUT_LEAVING };

static uint8_t list_of(const struct session *s)
{
	if (!s->conn || !s->smtp || s->asked || s->n_replies)
		return CUT_NONE;
	switch (smtp_phase(s->smtp)) {
	case SMTP_PHASE_COMMAND:
		return CUT_IDLE;
	case SMTP_PHASE_CLOSING:
	case SMTP_PHASE_TLS: /* it cannot be told anything, and should be through in a moment */
		return CUT_LEAVING;
	default:
		return CUT_NONE;
	}
}

void session_evict_init(struct worker *w)
{
	TAILQ_INIT(&w->idle);
	TAILQ_INIT(&w->leaving);
}

void session_evict_remove(struct session *s)
{
	struct worker *w = s->worker;

	if (s->cut == CUT_IDLE)
		TAILQ_REMOVE(&w->idle, s, evict);
	if (s->cut == CUT_LEAVING) {
		TAILQ_REMOVE(&w->leaving, s, evict);
		w->n_leaving--;
	}
	s->cut = CUT_NONE;
}

void session_evict_update(struct session *s, bool answered)
{
	struct worker *w = s->worker;
	uint8_t list = list_of(s);

	if (list == s->cut && (!answered || list != CUT_IDLE))
		return;
	session_evict_remove(s);
	s->cut = list;
	s->cut_ms = w->now_ms;
	if (list == CUT_IDLE)
		TAILQ_INSERT_TAIL(&w->idle, s, evict);
	if (list == CUT_LEAVING) {
		TAILQ_INSERT_TAIL(&w->leaving, s, evict);
		w->n_leaving++;
	}
}

void session_make_room(struct worker *w)
{
	uint32_t reserve = EVICT_RESERVE(w->opt.max_sessions);
	struct session *s;

	for (unsigned int i = 0; i < EVICT_BURST; i++) {
		s = TAILQ_FIRST(&w->leaving);
		if (w->opt.max_sessions - w->sessions_now >= reserve || !s ||
		    w->now_ms - s->cut_ms < LIMIT_EVICT_GRACE_MS)
			break;
		tcp_evict(s->conn); /* -> session_closed() */
	}
	for (unsigned int i = 0; i < EVICT_BURST; i++) {
		s = TAILQ_FIRST(&w->idle);
		if (w->opt.max_sessions - w->sessions_now + w->n_leaving >= reserve || !s ||
		    w->now_ms - s->cut_ms < LIMIT_EVICT_IDLE_MS)
			break;
		worker_count(w, CNT_sessions_evicted);
		smtp_evict(s->smtp, STR("Too many connections, try again later"));
		session_resume(s);
	}
}
