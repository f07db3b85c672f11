/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "dataplane/smtp/smtp_internal.h"

/*
 * Deadlines of all sessions, so that nobody has to look at a session whose time is not up. A session
 * hangs in the slot of its deadline or in an earlier one: a deadline that moves away, as it does
 * with every command, leaves it where it is, and the slot hangs it up anew when its turn comes. So a
 * busy session costs nothing here, and an idle one is looked at once in its whole time.
 */

static uint32_t index_of(const struct smtp_session *s)
{
	return (uint32_t)(s - s->server->session);
}

static uint16_t slot_of(uint64_t tick)
{
	return (uint16_t)(tick & (SMTP_WHEEL - 1));
}

void smtp_wheel_unhang(struct smtp_session *s)
{
	struct smtp_server *v = s->server;

	if (s->timer_slot == SMTP_NO_SLOT)
		return;
	if (s->timer_prev != SMTP_NONE)
		v->session[s->timer_prev].timer_next = s->timer_next;
	else
		v->wheel[s->timer_slot] = s->timer_next;
	if (s->timer_next != SMTP_NONE)
		v->session[s->timer_next].timer_prev = s->timer_prev;
	s->timer_slot = SMTP_NO_SLOT;
	v->armed--;
}

void smtp_wheel_hang(struct smtp_session *s)
{
	struct smtp_server *v = s->server;
	uint64_t due, n;

	if (s->deadline == SMTP_NO_DEADLINE)
		return;
	if (!v->armed)
		v->tick = v->now >> SMTP_TICK_SHIFT;
	due = (s->deadline >> SMTP_TICK_SHIFT) + 1; /* the first slot in which it has passed */
	n = due > v->tick ? due - v->tick : 1;
	if (n > SMTP_WHEEL - 1)
		n = SMTP_WHEEL - 1;
	if (s->timer_slot != SMTP_NO_SLOT) {
		if (slot_of(s->timer_slot - v->tick) <= n)
			return;
		smtp_wheel_unhang(s);
	}
	s->timer_slot = slot_of(v->tick + n);
	s->timer_prev = SMTP_NONE;
	s->timer_next = v->wheel[s->timer_slot];
	if (s->timer_next != SMTP_NONE)
		v->session[s->timer_next].timer_prev = index_of(s);
	v->wheel[s->timer_slot] = index_of(s);
	v->armed++;
}

struct smtp_session *smtp_expired(struct smtp_server *v, uint64_t now_ms, unsigned int *budget)
{
	if (now_ms > v->now)
		v->now = now_ms;
	while (v->armed && *budget) {
		uint32_t i = v->wheel[slot_of(v->tick)];
		struct smtp_session *s;

		--*budget;
		if (i == SMTP_NONE) {
			if (v->tick >= v->now >> SMTP_TICK_SHIFT)
				return NULL;
			v->tick++;
			continue;
		}
		s = &v->session[i];
		smtp_wheel_unhang(s);
		if (s->deadline <= v->now)
			return s;
		smtp_wheel_hang(s);
	}
	return NULL;
}
