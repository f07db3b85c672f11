/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * An open loop: messages are due at times that do not ask whether the gateway keeps up, and the
 * latency of each counts from then. A closed loop waits with the next message while the gateway is
 * slow, and so leaves out what those who come by themselves would have met.
 */

#include <math.h>
#include <stdlib.h>

#include "bench/smtpload/load.h"

#define A_TURN 64u /* messages begun in one turn */

static uint32_t *waiting, n_waiting; /* sessions without a message, the last one first */
static double rate, next_us;         /* the next message is due then */
static uint64_t state;

/* From one arrival of a Poisson process to the next: -ln(u) / rate, u evenly of (0, 1]. */
static double gap_us(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return -log(((double)(state >> 11) + 1) * 0x1p-53) * 1e6 / rate;
}

int pace_start(double per_second)
{
	if (!waiting)
		waiting = calloc(load.n_sess ? load.n_sess : 1, sizeof(*waiting));
	if (!waiting)
		return -1;
	while (n_waiting)
		load.sess[waiting[--n_waiting]].flags &= (uint8_t)~F_WAITING;
	rate = per_second;
	state = 0x9e3779b97f4a7c15u; /* the same times in each run */
	next_us = (double)load.now_us;
	if (rate > 0)
		next_us += gap_us();
	return 0;
}

void pace_stop(void)
{
	free(waiting);
	waiting = NULL;
	n_waiting = 0;
	rate = 0;
}

bool pace_take(struct sess *s, uint64_t *due_us)
{
	if (rate <= 0) {
		*due_us = load.now_us;
		return true;
	}
	if (next_us <= (double)load.now_us) {
		*due_us = (uint64_t)next_us;
		next_us += gap_us();
		return true;
	}
	if (!(s->flags & F_WAITING)) {
		s->flags |= F_WAITING;
		waiting[n_waiting++] = sess_index(s);
	}
	return false;
}

unsigned int pace_turn(void)
{
	unsigned int work = 0;

	while (rate > 0 && n_waiting && next_us <= (double)load.now_us && work < A_TURN) {
		struct sess *s = &load.sess[waiting[--n_waiting]];

		s->flags &= (uint8_t)~F_WAITING;
		smtp_next(s); /* of those that died meanwhile nothing comes */
		work++;
	}
	return work;
}

uint64_t pace_late(void)
{
	double behind = (double)load.now_us - next_us;

	return rate > 0 && behind > 0 ? (uint64_t)(behind * rate / 1e6) : 0;
}
