/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Timer wheel of one worker: slots of 10 ms, one entry a TCB. A TCB has three deadlines (t_rtx,
 * t_delack, t_life); it hangs in the slot of the earliest, or earlier: a deadline that moves away
 * leaves the entry where it is, and the slot finds nothing due and hangs it up anew. A deadline
 * past the wheel's turn hangs in the last slot and comes round again.
 */

#include "dataplane/tcp/internal.h"

#define FLUSH_AFTER 16u

static void unhang(struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;

	if (!(c->flags & CF_IN_WHEEL))
		return;
	if (c->timer_prev != TCP_NONE)
		conn_at(s, c->timer_prev)->timer_next = c->timer_next;
	else
		s->wheel[c->timer_slot] = c->timer_next;
	if (c->timer_next != TCP_NONE)
		conn_at(s, c->timer_next)->timer_prev = c->timer_prev;
	c->flags &= ~CF_IN_WHEEL;
}

static void hang(struct tcp_conn *c, uint16_t slot)
{
	struct tcp_stack *s = c->stack;

	c->timer_slot = slot;
	c->timer_prev = TCP_NONE;
	c->timer_next = s->wheel[slot];
	if (c->timer_next != TCP_NONE)
		conn_at(s, c->timer_next)->timer_prev = conn_index(c);
	s->wheel[slot] = conn_index(c);
	c->flags |= CF_IN_WHEEL;
}

static bool earliest(const struct tcp_conn *c, uint32_t *deadline)
{
	bool any = false;

	if (c->flags & CF_T_RTX) {
		*deadline = c->t_rtx;
		any = true;
	}
	if (c->flags & CF_T_DELACK && (!any || seq_lt(c->t_delack, *deadline))) {
		*deadline = c->t_delack;
		any = true;
	}
	if (c->flags & CF_T_LIFE && (!any || seq_lt(c->t_life, *deadline))) {
		*deadline = c->t_life;
		any = true;
	}
	return any;
}

/* Ticks from the last one run to the first at or after the deadline; 1 … TCP_WHEEL - 1. */
static uint32_t ticks_until(const struct tcp_stack *s, uint32_t deadline)
{
	int32_t ms = (int32_t)(deadline - s->now);
	uint32_t lag = (uint32_t)(s->now_us / 1000 / TCP_TICK_MS) - s->tick;
	uint32_t part = (uint32_t)(s->now_us / 1000 % TCP_TICK_MS);
	uint32_t n;

	if (ms < 0)
		ms = 0;
	n = lag + ((uint32_t)ms + part + TCP_TICK_MS - 1) / TCP_TICK_MS;
	if (n < 1)
		return 1;
	return min_u32(n, TCP_WHEEL - 1);
}

static void arm(struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;
	uint32_t deadline, n;

	if (!earliest(c, &deadline))
		return;
	n = ticks_until(s, deadline);
	if (c->flags & CF_IN_WHEEL) {
		/* What hangs in the slot that is firing is looked at anyway. */
		if (c->timer_slot == (s->tick & (TCP_WHEEL - 1)) ||
		    ((c->timer_slot - s->tick) & (TCP_WHEEL - 1)) <= n)
			return;
		unhang(c);
	}
	hang(c, (uint16_t)((s->tick + n) & (TCP_WHEEL - 1)));
}

void tcp_timer_set(struct tcp_conn *c, uint32_t which, uint32_t ms)
{
	uint32_t deadline = c->stack->now + ms;

	if (which == CF_T_RTX)
		c->t_rtx = deadline;
	else if (which == CF_T_DELACK)
		c->t_delack = deadline;
	else
		c->t_life = deadline;
	c->flags |= which;
	arm(c);
}

void tcp_timer_off(struct tcp_conn *c, uint32_t which)
{
	c->flags &= ~which;
}

void tcp_timer_remove(struct tcp_conn *c)
{
	unhang(c);
	c->flags &= ~(CF_T_RTX | CF_T_DELACK | CF_T_LIFE);
}

static void give_up(struct tcp_conn *c)
{
	COUNT(c->stack, tcp_timeout);
	tcp_conn_rst(c);
	tcp_conn_kill(c, TCP_CLOSED_TIMEOUT);
}

static void back_off(struct tcp_conn *c)
{
	/* RFC 6298 5.5: doubled, up to the maximum. */
	c->rto = (uint16_t)min_u32((uint32_t)c->rto * 2, LIMIT_TCP_RTO_MAX_MS);
	if (c->rexmits < UINT8_MAX)
		c->rexmits++;
}

/*
 * RFC 2923 2.1: somebody on the path drops what is too big and its ICMP as well. After three full
 * segments in a row without an answer: what every path takes.
 */
static void suspect_black_hole(struct tcp_conn *c)
{
	uint16_t floor = tcp_default_mss(&c->tuple);

	if (c->rexmits < 2 || c->flags & CF_BLACK_HOLE || c->mss <= floor ||
	    min_u32(c->tx_bytes, c->snd_max - c->snd_una) <= floor)
		return;
	COUNT(c->stack, tcp_pmtu_black_hole);
	c->flags |= CF_BLACK_HOLE;
	c->mss = floor;
}

/* RFC 6298 5.4-5.6. */
static void retransmission(struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;

	if (c->snd_una == c->snd_max)
		return;
	if (c->rexmits >= LIMIT_TCP_RETRIES) { /* RFC 9293 3.8.3: R2 */
		give_up(c);
		return;
	}
	COUNT(s, tcp_rto);
	suspect_black_hole(c);
	tcp_cc_timeout(c);
	back_off(c);
	c->flags &= ~CF_RTT; /* Karn */
	c->snd_nxt = c->snd_una;
	tcp_mark_dirty(c);
}

/* RFC 9293 3.8.6.1: the window is asked for until it opens; t_life bounds the whole. */
static void persist(struct tcp_conn *c)
{
	if (c->rexmits < 16)
		c->rexmits++;
	tcp_probe(c);
	if (!(c->flags & CF_PERSIST))
		return;
	tcp_timer_set(c, CF_T_RTX, min_u32((uint32_t)c->rto << c->rexmits, LIMIT_TCP_RTO_MAX_MS));
}

static void fire(struct tcp_conn *c)
{
	uint32_t now = c->stack->now;

	if (c->flags & CF_T_LIFE && seq_ge(now, c->t_life)) {
		/* FIN_WAIT_2 limit, or a window that stayed closed. */
		give_up(c);
		return;
	}
	if (c->flags & CF_T_DELACK && seq_ge(now, c->t_delack)) {
		c->flags &= ~CF_T_DELACK;
		c->flags |= CF_ACK_NOW;
		tcp_mark_dirty(c);
	}
	if (c->flags & CF_T_RTX && seq_ge(now, c->t_rtx)) {
		c->flags &= ~CF_T_RTX;
		if (c->flags & CF_PERSIST)
			persist(c);
		else
			retransmission(c);
	}
	if (c->state != ST_DEAD)
		arm(c);
}

static void prefetch_conn(const struct tcp_stack *s, uint32_t i)
{
	const uint8_t *p;

	if (i == TCP_NONE)
		return;
	p = (const uint8_t *)conn_at(s, i);
	__builtin_prefetch(p + 192);
	__builtin_prefetch(p);
	__builtin_prefetch(p + 64);
	__builtin_prefetch(p + 128);
}

/*
 * Fires at most *budget timers of the slot. New entries never go into the slot that is firing, since
 * 1 to TCP_WHEEL - 1 ticks lie between. What became due is sent while its TCB is in the cache.
 */
static void run_slot(struct tcp_stack *s, uint32_t slot, unsigned int *budget)
{
	unsigned int n = 0;

	while (s->wheel[slot] != TCP_NONE && *budget) {
		struct tcp_conn *c = conn_at(s, s->wheel[slot]);

		prefetch_conn(s, c->timer_next);
		unhang(c);
		fire(c);
		--*budget;
		if (++n % FLUSH_AFTER == 0)
			tcp_burst_end(s);
	}
}

bool tcp_timers_run(struct tcp_stack *s)
{
	uint32_t target = (uint32_t)(s->now_us / 1000 / TCP_TICK_MS);
	unsigned int budget = TCP_TIMERS_A_CALL;

	if (target - s->tick > TCP_WHEEL) /* the clock leapt: every slot once is enough */
		s->tick = target - TCP_WHEEL;
	for (;;) {
		/* First what a former call left of its slot. */
		run_slot(s, s->tick & (TCP_WHEEL - 1), &budget);
		if (!budget)
			return true;
		if (s->tick == target)
			return false;
		s->tick++;
	}
}
