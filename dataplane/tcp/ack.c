/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What an acknowledgement does: RTT and RTO (RFC 6298), congestion window (RFC 5681, 6582, 6675,
 * 6928), the send queue, the send window, and our FIN. */

#include "dataplane/tcp/internal.h"

#define IW_SEGMENTS 10       /* RFC 6928 2 */
#define CLOCK_MS 10          /* G of RFC 6298 2.3: the wheel's tick */
#define RTT_SANE_MS 60000u

static uint32_t initial_window(const struct tcp_conn *c)
{
	return min_u32((uint32_t)c->mss * IW_SEGMENTS, max_u32(2u * c->mss, 14600));
}

void tcp_cc_init(struct tcp_conn *c)
{
	c->cwnd = initial_window(c);
	c->ssthresh = LIMIT_TCP_CWND_MAX;
}

void tcp_cc_restart(struct tcp_conn *c)
{
	if (c->stack->now - c->last_send > c->rto)
		c->cwnd = min_u32(c->cwnd, initial_window(c));
}

static uint32_t flight(const struct tcp_conn *c)
{
	return c->snd_max - c->snd_una;
}

/* RFC 5681 3.1 (4), 3.5. */
void tcp_cc_timeout(struct tcp_conn *c)
{
	if (!c->rexmits) /* the first time-out of this segment only */
		c->ssthresh = max_u32(flight(c) / 2, 2u * c->mss);
	c->cwnd = c->mss;
	c->flags &= ~(CF_RECOVERY | CF_SACK_RECOVERY);
	tcp_sack_drop(c); /* RFC 2018 8: the peer may have thrown away what it told of */
	c->recover = c->snd_max; /* RFC 6582 4: no fast retransmit for what was sent before */
	c->dupacks = 0;
}

void tcp_rtt_sample(struct tcp_conn *c, uint32_t us)
{
	uint32_t ms;

	if (!c->srtt_us) {
		c->srtt_us = us ? us : 1;
		c->rttvar_us = us / 2;
	} else {
		uint32_t diff = us > c->srtt_us ? us - c->srtt_us : c->srtt_us - us;

		c->rttvar_us = c->rttvar_us - c->rttvar_us / 4 + diff / 4;
		c->srtt_us = c->srtt_us - c->srtt_us / 8 + us / 8;
		if (!c->srtt_us)
			c->srtt_us = 1;
	}
	ms = c->srtt_us / 1000 + max_u32(CLOCK_MS, c->rttvar_us / 250);
	ms = max_u32(ms, LIMIT_TCP_RTO_MIN_MS);
	c->rto = (uint16_t)min_u32(ms, LIMIT_TCP_RTO_MAX_MS);
}

static void measure(struct tcp_conn *c, const struct tcp_in *in)
{
	const struct tcp_stack *s = c->stack;
	uint32_t ms;

	if (c->flags & CF_TS && in->has_ts && in->tsecr) { /* RFC 7323 4.1 */
		c->flags &= ~CF_RTT;
		/* An echo from before the last time-out: the original had come, only its ACK was lost. */
		if (c->rexmits && seq_lt(in->tsecr, c->last_send + c->ts_offset))
			return;
		ms = tcp_ts_now(s, c->ts_offset) - in->tsecr;
		if (ms >= RTT_SANE_MS)
			return;
		tcp_rtt_sample(c, ms * 1000);
		return;
	}
	if (!(c->flags & CF_RTT) || seq_lt(in->ack, c->rtt_seq))
		return;
	c->flags &= ~CF_RTT;
	tcp_rtt_sample(c, (uint32_t)s->now_us - c->rtt_start_us);
}

static void pop_sent(struct tcp_conn *c, uint32_t n)
{
	struct tcp_stack *s = c->stack;

	c->tx_bytes -= n;
	while (n) {
		uint32_t i = c->tx_head;
		struct tcp_tx_block *b = tx_at(s, i);
		uint32_t k = min_u32(n, (uint32_t)(b->end - b->off));

		b->off = (uint16_t)(b->off + k);
		n -= k;
		if (b->off < b->end)
			break;
		c->tx_head = b->next;
		if (c->tx_head == TCP_NONE)
			c->tx_tail = TCP_NONE;
		tcp_pool_put(&s->tx, i);
	}
}

static void grow_cwnd(struct tcp_conn *c, uint32_t acked)
{
	if (c->flags & CF_RECOVERY) {
		if (seq_ge(c->snd_una, c->recover)) { /* RFC 6582 3.2: full acknowledgement */
			c->cwnd = c->ssthresh;
			if (!(c->flags & CF_SACK_RECOVERY))
				c->cwnd = min_u32(c->cwnd, max_u32(flight(c), c->mss) + c->mss);
			c->flags &= ~(CF_RECOVERY | CF_SACK_RECOVERY);
			c->dupacks = 0;
			return;
		}
		if (c->flags & CF_SACK_RECOVERY) /* the scoreboard says what goes next */
			return;
		tcp_retransmit_one(c); /* partial: the next hole */
		c->cwnd = c->cwnd > acked ? c->cwnd - acked : c->mss;
		if (acked >= c->mss)
			c->cwnd += c->mss;
		return;
	}
	c->dupacks = 0;
	if (c->cwnd < c->ssthresh)
		c->cwnd += min_u32(acked, c->mss);
	else
		c->cwnd += max_u32(1, (uint32_t)c->mss * c->mss / c->cwnd);
	c->cwnd = min_u32(c->cwnd, LIMIT_TCP_CWND_MAX);
}

/* RFC 5681 2; with SACK blocks RFC 6675 2: what they tell must be new. */
static bool is_duplicate(const struct tcp_conn *c, const struct tcp_in *in, enum tcp_sack_news news)
{
	if (c->snd_una == c->snd_max || c->flags & CF_PERSIST)
		return false;
	if (in->n_sack && c->flags & CF_SACK && news != SACK_NO_BOARD)
		return news == SACK_NEWS;
	return !in->seg->payload_len && !(in->flags & TH_FIN) &&
	       (uint32_t)in->wnd << c->snd_wscale == c->snd_wnd;
}

static void recover(struct tcp_conn *c)
{
	COUNT(c->stack, tcp_fast_retransmit);
	/* RFC 5681 3.2 step 2: what limited transmit sent beyond cwnd does not count. */
	c->ssthresh = max_u32(min_u32(flight(c), c->cwnd) / 2, 2u * c->mss);
	c->recover = c->snd_max;
	c->snd_nxt = c->snd_max;
	c->flags |= CF_RECOVERY;
	c->flags &= ~CF_RTT;
	tcp_sack_begin(c);
	if (c->flags & CF_SACK_RECOVERY) {
		COUNT(c->stack, tcp_sack_recovery);
		c->cwnd = c->ssthresh; /* RFC 6675 5 (4.2) */
	} else {
		c->cwnd = c->ssthresh + 3u * c->mss;
	}
	tcp_retransmit_one(c);
}

static void duplicate_ack(struct tcp_conn *c, const struct tcp_in *in, enum tcp_sack_news news)
{
	if (!is_duplicate(c, in, news))
		return;
	if (c->dupacks < UINT8_MAX)
		c->dupacks++;
	/* RFC 3042 2: with SACK only what tells something new brings out something new. */
	c->flags &= ~CF_LIMITED;
	if (in->n_sack || !(c->flags & CF_SACK))
		c->flags |= CF_LIMITED;
	tcp_mark_dirty(c); /* limited transmit, or the next hole */
	if (c->flags & CF_RECOVERY) {
		if (!(c->flags & CF_SACK_RECOVERY))
			c->cwnd = min_u32(c->cwnd + c->mss, LIMIT_TCP_CWND_MAX);
		return;
	}
	/* RFC 6582 3.2 step 2, RFC 6675 5 (2). */
	if ((c->dupacks >= 3 || tcp_sack_first_lost(c)) && seq_gt(in->ack, c->recover))
		recover(c);
}

/* True: our FIN is among what was acknowledged. */
static bool advance(struct tcp_conn *c, const struct tcp_in *in)
{
	uint32_t acked = in->ack - c->snd_una;
	uint32_t bytes = min_u32(acked, c->tx_bytes);
	bool fin = c->flags & CF_FIN_QUEUED && acked > c->tx_bytes;

	measure(c, in);
	pop_sent(c, bytes);
	c->snd_una = in->ack;
	/* The right edge stays where it is, should this segment be too old to move it (SND.WL1). */
	c->snd_wnd -= min_u32(c->snd_wnd, acked);
	if (seq_lt(c->snd_nxt, c->snd_una))
		c->snd_nxt = c->snd_una;
	(void)tcp_sack_update(c, in);
	c->rexmits = 0; /* a backed-off RTO stays until there is a sample (RFC 6298 5) */
	grow_cwnd(c, acked);
	/* RFC 6298 5.2, 5.3. */
	if (c->snd_una != c->snd_max) {
		if (!(c->flags & CF_PERSIST))
			tcp_timer_set(c, CF_T_RTX, c->rto);
	} else if (!c->tx_bytes && (fin || !(c->flags & CF_FIN_QUEUED))) { /* nothing waits any more */
		c->flags &= ~CF_PERSIST;
		tcp_timer_off(c, CF_T_RTX);
		if (c->state != ST_FIN_WAIT_2)
			tcp_timer_off(c, CF_T_LIFE);
	} else if (!(c->flags & CF_PERSIST)) {
		tcp_timer_off(c, CF_T_RTX);
	}
	if (bytes)
		c->stack->env.app->acked(c->app, c->tx_bytes);
	return fin;
}

/* RFC 9293 3.10.7.4, fifth: SND.WL1 and the window. */
static void update_window(struct tcp_conn *c, const struct tcp_in *in)
{
	if (seq_lt(in->seq, c->snd_wl1))
		return;
	c->snd_wl1 = in->seq;
	c->snd_wnd = (uint32_t)in->wnd << c->snd_wscale;
	c->max_snd_wnd = max_u32(c->max_snd_wnd, c->snd_wnd);
	if (!c->snd_wnd && c->snd_una != c->snd_max && !(c->flags & CF_PERSIST)) {
		/* RFC 9293 3.8.6.1 (MUST-37): closed over data under way: the peer lives. t_life bounds it. */
		c->rexmits = 0;
		if (!(c->flags & CF_T_LIFE))
			tcp_timer_set(c, CF_T_LIFE, LIMIT_TCP_PERSIST_S * 1000);
	}
	if (c->snd_wnd && c->state != ST_FIN_WAIT_2)
		tcp_timer_off(c, CF_T_LIFE);
	if (c->snd_wnd && c->flags & CF_PERSIST) {
		c->flags &= ~CF_PERSIST;
		tcp_timer_off(c, CF_T_RTX);
		c->rexmits = 0;
	}
	tcp_mark_dirty(c);
}

/* False: the connection is gone. */
static bool fin_acked(struct tcp_conn *c)
{
	switch (c->state) {
	case ST_FIN_WAIT_1:
		c->state = ST_FIN_WAIT_2;
		tcp_timer_set(c, CF_T_LIFE, LIMIT_TCP_FIN_WAIT_2_S * 1000);
		return true;
	case ST_CLOSING:
		tcp_tw_enter(c);
		return false;
	case ST_LAST_ACK:
		tcp_conn_kill(c, TCP_CLOSED_NORMAL);
		return false;
	default:
		return true;
	}
}

bool tcp_ack_input(struct tcp_conn *c, const struct tcp_in *in)
{
	bool fin = false;

	if (!(in->flags & TH_ACK))
		return false;
	/* RFC 5961 5.2: the range in which an ACK is believed. */
	if (seq_gt(in->ack, c->snd_max) ||
	    seq_lt(in->ack, c->snd_una - c->max_snd_wnd)) {
		COUNT(c->stack, tcp_drop_ack_range);
		tcp_challenge(c);
		return false;
	}
	tcp_remember(c, in); /* not before: a guessed segment must leave nothing behind (RFC 5961 5) */
	if (seq_gt(in->ack, c->snd_una))
		fin = advance(c, in);
	else if (in->ack == c->snd_una)
		duplicate_ack(c, in, tcp_sack_update(c, in));
	if (c->state == ST_DEAD)
		return false;
	if (seq_ge(in->ack, c->snd_una))
		update_window(c, in);
	if (fin && !fin_acked(c))
		return false;
	return c->state != ST_DEAD;
}
