/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A wheel of 10 ms slots. A session is in it at most once, by one index; when its slot comes and
 * its time has moved on, it is put in again, so that setting and stopping a timer costs one store.
 * Nobody is put further ahead than the time-out of a segment: so a timer may also be set to an
 * earlier time.
 */

#include "bench/smtpload/load.h"

#define SLOTS   1024u /* over the 8 s that args.c allows for --rto-ms */
#define SLOT_MS 10u

static uint32_t slot[SLOTS];
static uint32_t wheel_ms; /* slots before it are done */

void timer_start(void)
{
	for (uint32_t i = 0; i < SLOTS; i++)
		slot[i] = LOAD_NONE;
	wheel_ms = load.now_ms / SLOT_MS * SLOT_MS;
}

static void insert(struct sess *s)
{
	uint32_t at = s->timer_at, *head;

	if (seq_lt(at, wheel_ms + SLOT_MS))
		at = wheel_ms + SLOT_MS;
	if (at - wheel_ms > load.opt.rto_ms + SLOT_MS)
		at = wheel_ms + load.opt.rto_ms + SLOT_MS;
	head = &slot[at / SLOT_MS % SLOTS];
	s->wheel_next = *head;
	*head = sess_index(s);
	s->flags |= F_IN_WHEEL;
}

void timer_set(struct sess *s, uint32_t ms)
{
	s->timer_at = load.now_ms + ms;
	if (!s->timer_at)
		s->timer_at = 1;
	if (!(s->flags & F_IN_WHEEL))
		insert(s);
}

void timer_off(struct sess *s)
{
	s->timer_at = 0;
}

void timer_run(void)
{
	while (!seq_lt(load.now_ms, wheel_ms + SLOT_MS)) {
		uint32_t *head = &slot[wheel_ms / SLOT_MS % SLOTS], i = *head;

		*head = LOAD_NONE;
		while (i != LOAD_NONE) {
			struct sess *s = &load.sess[i];

			i = s->wheel_next;
			s->flags &= (uint8_t)~F_IN_WHEEL;
			if (!s->timer_at)
				continue;
			if (seq_lt(load.now_ms, s->timer_at)) {
				insert(s);
				continue;
			}
			s->timer_at = 0;
			tcp_timeout(s);
		}
		wheel_ms += SLOT_MS;
	}
}
