/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Deadlines of sessions, and flows that wait for room. Looks only at those whose time is up. */

#include "dataplane/worker.h"
#include "postern/limits.h"

#define SWEEP_BUDGET 128 /* sessions looked at in one turn: some ten microseconds */
#define SWEEP_SLOW 8     /* while replies are short of memory */
#define ROOM_LOOK 64     /* flows that wait for room, looked at in one turn */

/* Half of the blocks for replies are out: whoever is told to go now had better wait until others have
 * acknowledged, or it gets RST instead of its 421. */
bool session_replies_short(const struct worker *w)
{
	struct tcp_usage u;

	tcp_get_usage(w->tcp, &u);
	return u.tx_blocks_used > w->opt.tcp_tx_blocks / 2;
}

void session_hold(struct session *s, bool on)
{
	struct worker *w = s->worker;
	struct transaction *t = s->txn;

	if (!t || t->held == on)
		return;
	t->held = on;
	dp_msg_wait(&t->msg, on, w->now_ms);
	if (on) {
		t->held_ms = w->now_ms;
		TAILQ_INSERT_TAIL(&w->held, t, hold);
	} else {
		if (w->room_next == t)
			w->room_next = TAILQ_NEXT(t, hold);
		TAILQ_REMOVE(&w->held, t, hold);
	}
}

/* In turn: one that must wait, because its source is over its share, keeps nobody from his. */
void session_room(struct worker *w)
{
	struct transaction *t = w->room_next ? w->room_next : TAILQ_FIRST(&w->held);

	for (unsigned int n = 0; t && n < ROOM_LOOK; n++) {
		struct transaction *next = TAILQ_NEXT(t, hold);

		if (dp_msg_room(w->arena, &t->msg)) {
			w->room_next = next;
			session_hold(t->session, false);
			session_resume(t->session);
			return; /* the next one next turn: resume may change the list */
		}
		t = next;
	}
	w->room_next = t;
}

static void give_up(struct session *s, struct str text)
{
	worker_count(s->worker, CNT_arena_evicted);
	session_hold(s, false);
	smtp_evict(s->smtp, text);
	session_resume(s);
}

/* The list is in the order in which they began to wait. */
static void held_for_too_long(struct worker *w)
{
	struct transaction *t = TAILQ_FIRST(&w->held);

	if (t && w->now_ms - t->held_ms > LIMIT_WINDOW_CLOSED_S * 1000u)
		give_up(t->session, STR("Out of memory for too long, try again later"));
}

/* Somebody waits and little is free: whoever holds most for what it brings goes, one at a time, so
 * that what comes free is seen before the next. */
static void relieve(struct worker *w)
{
	struct dp_usage u;
	struct dp_msg *m;

	if (TAILQ_EMPTY(&w->held) || w->now_ms < w->next_relieve_ms)
		return;
	dp_worker_usage(w->arena, &u);
	m = u.low ? dp_worker_victim(w->arena, w->now_ms) : NULL;
	if (!m)
		return;
	w->next_relieve_ms = w->now_ms + LIMIT_EVICT_DATA_MS;
	worker_count(w, CNT_arena_evicted_slow);
	give_up(w->txn[m->record].session, STR("Out of memory, try again later"));
}

/*
 * The deadline of the phase has passed. With a question open this is the backstop behind control's
 * own deadlines: the client gets 451, a message that control has stays pinned until it lets go.
 */
static void overdue(struct session *s)
{
	bool asked = s->asked != 0;

	if (asked) {
		message_cancel(s);
		session_unask(s);
		s->question++; /* a late answer is stale */
	}
	smtp_timeout(s->smtp, s->worker->now_ms);
	session_evict_update(s, asked);
	session_resume(s);
}

bool session_sweep(struct worker *w)
{
	bool slow = session_replies_short(w);
	unsigned int budget = slow ? SWEEP_SLOW : SWEEP_BUDGET;
	struct smtp_session *s;

	if (!w->current)
		return false;
	held_for_too_long(w);
	relieve(w);
	while ((s = smtp_expired(w->smtp, w->now_ms, &budget)))
		overdue(smtp_owner(s));
	return !budget && !slow;
}
