/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Segments of a TCB: data within windows, our FIN, acknowledgements, probes, the window we offer. */

#include "dataplane/tcp/internal.h"

#include <string.h>

#define SWS_OVERRIDE_MS 1000u
#define DUP_ACKS_MAX 8 /* of one burst: three make the peer retransmit, more tell it nothing */

/*
 * The right edge to announce. It never moves left (RFC 9293 3.8.6), and moves right only by a
 * segment or half the window (RFC 1122 4.2.3.3). Under memory pressure it is one segment away.
 */
static uint32_t available(const struct tcp_conn *c)
{
	return c->rcv_limit > c->held_bytes ? c->rcv_limit - c->held_bytes : 0;
}

uint32_t tcp_edge(const struct tcp_conn *c)
{
	uint32_t avail = available(c), edge, step = min_u32(c->rcv_limit / 2, c->mss);

	if (c->stack->pressure)
		avail = min_u32(avail, c->mss);
	edge = c->rcv_nxt + avail;
	if (!seq_gt(edge, c->rcv_adv) || edge - c->rcv_adv < step)
		return c->rcv_adv;
	return edge;
}

static uint16_t window_field(struct tcp_conn *c)
{
	uint32_t edge = tcp_edge(c), wnd, field, round = (1u << c->rcv_wscale) - 1;

	wnd = seq_gt(edge, c->rcv_nxt) ? edge - c->rcv_nxt : 0;
	/*
	 * Rounded up, so that scaling takes nothing back that was offered; but a peer that sends octet by
	 * octet would so be given one for each. At the limit it is rounded down (RFC 7323 2.4), and what
	 * was offered is still taken.
	 */
	field = min_u32((wnd + round) >> c->rcv_wscale, 65535);
	if (field << c->rcv_wscale > available(c) + round)
		field = min_u32(wnd >> c->rcv_wscale, 65535);
	edge = c->rcv_nxt + (field << c->rcv_wscale);
	if (seq_gt(edge, c->rcv_adv))
		c->rcv_adv = edge;
	return (uint16_t)field;
}

/* len octets of the queue from seq on. */
static void transmit(struct tcp_conn *c, uint32_t seq, uint32_t len, uint8_t flags)
{
	struct tcp_stack *s = c->stack;
	uint8_t h[TCP_HEADER_MAX];
	struct tcp_view view[TCP_MAX_VIEWS];
	uint32_t skip = seq - c->snd_una, i = c->tx_head, end = seq + len;
	unsigned int n = 0;
	size_t opt;

	for (; len && i != TCP_NONE && n < TCP_MAX_VIEWS; i = tx_at(s, i)->next) {
		const struct tcp_tx_block *b = tx_at(s, i);
		uint32_t have = (uint32_t)(b->end - b->off), k;

		if (skip >= have) {
			skip -= have;
			continue;
		}
		k = min_u32(have - skip, len);
		view[n++] = (struct tcp_view){b->data + b->off + skip, k};
		len -= k;
		skip = 0;
	}
	if (end == c->snd_una + c->tx_bytes && n)
		flags |= TH_PSH; /* RFC 9293 3.9.1.2 (MUST-61) */
	opt = tcp_options_put(c, h + 20);
	tcp_put_header(h, &c->tuple, seq, c->rcv_nxt, flags | TH_ACK, window_field(c), opt);
	c->last_ack_sent = c->rcv_nxt;
	if (n)
		c->last_send = s->now;
	c->ack_segs = 0;
	c->flags &= ~CF_ACK_NOW;
	tcp_timer_off(c, CF_T_DELACK);
	if (s->env.output(s->env.ctx, &c->tuple, &c->path, h, 20 + opt, view, n) && !n &&
	    !(flags & TH_RST))
		tcp_timer_set(c, CF_T_DELACK, LIMIT_TCP_DELACK_MS); /* an ACK has no other timer */
}

void tcp_send_ack(struct tcp_conn *c)
{
	transmit(c, c->snd_max, 0, 0);
}

void tcp_conn_rst(struct tcp_conn *c)
{
	COUNT(c->stack, tcp_rst_tx);
	/* What probes sent was not taken: the peer believes a RST at its RCV.NXT only. */
	transmit(c, c->flags & CF_PERSIST ? c->snd_una : c->snd_max, 0, TH_RST);
}

uint32_t tcp_payload_room(const struct tcp_conn *c)
{
	uint32_t opt = (uint32_t)tcp_options_len(c); /* RFC 6691 2: options come out of the MSS */

	uint32_t most = (TCP_MAX_VIEWS - 1) * (uint32_t)sizeof(tx_at(c->stack, 0)->data);

	return c->mss > opt + LIMIT_TCP_MSS_MIN ? min_u32(c->mss - opt, most) : LIMIT_TCP_MSS_MIN;
}

void tcp_retransmit_one(struct tcp_conn *c)
{
	uint32_t n = min_u32(c->tx_bytes, tcp_payload_room(c)), gap;
	uint8_t flags = 0;

	if (c->snd_una == c->snd_max)
		return;
	(void)tcp_sack_skip(c, c->snd_una, &gap);
	n = min_u32(n, min_u32(gap, c->snd_max - c->snd_una));
	if (c->flags & CF_FIN_QUEUED && n == c->tx_bytes && c->snd_max - c->snd_una > c->tx_bytes)
		flags = TH_FIN;
	COUNT(c->stack, tcp_retransmit);
	c->retransmits++;
	c->flags &= ~CF_RTT;
	transmit(c, c->snd_una, n, flags);
	tcp_sack_sent_again(c, c->snd_una + n + !!flags);
	tcp_timer_set(c, CF_T_RTX, c->rto);
}

static bool fin_unacked(const struct tcp_conn *c)
{
	return c->flags & CF_FIN_QUEUED && c->state != ST_FIN_WAIT_2;
}

static void sent(struct tcp_conn *c, uint32_t n)
{
	struct tcp_stack *s = c->stack;
	bool again = seq_lt(c->snd_nxt, c->snd_max);

	c->snd_nxt += n;
	if (again) {
		COUNT(s, tcp_retransmit);
		c->retransmits++;
	} else if (!(c->flags & CF_RTT)) { /* Karn: only what is sent for the first time */
		c->flags |= CF_RTT;
		c->rtt_seq = c->snd_nxt;
		c->rtt_start_us = (uint32_t)s->now_us;
	}
	if (seq_gt(c->snd_nxt, c->snd_max))
		c->snd_max = c->snd_nxt;
	if (!(c->flags & CF_T_RTX) || c->flags & CF_PERSIST) {
		c->flags &= ~CF_PERSIST;
		tcp_timer_set(c, CF_T_RTX, c->rto);
	}
}

/*
 * The persist timer. RFC 9293 3.8.6.1: one octet beyond a closed window; SND.NXT stays, so that it
 * goes again with the rest when the window opens. 3.8.6.2.1 (4): a window that stayed small is used.
 */
void tcp_probe(struct tcp_conn *c)
{
	uint32_t n = min_u32(c->tx_bytes, 1);

	COUNT(c->stack, tcp_persist);
	c->flags &= ~CF_RTT;
	if (c->snd_wnd && c->tx_bytes) {
		n = min_u32(c->tx_bytes, min_u32(c->snd_wnd, tcp_payload_room(c)));
		c->snd_nxt = c->snd_una;
		c->rexmits = 0;
		tcp_timer_off(c, CF_T_LIFE);
		transmit(c, c->snd_nxt, n, 0);
		sent(c, n);
		return;
	}
	/* A FIN alone: an old octet makes the peer say what its window is. */
	transmit(c, n ? c->snd_una : c->snd_una - 1, n, 0);
	if (n && c->snd_max == c->snd_una)
		c->snd_max++;
}

/*
 * One segment at SND.NXT, as long as what was sent and not acknowledged stays below limit. Returns
 * its length in sequence numbers.
 */
static uint32_t send_one(struct tcp_conn *c, uint32_t limit)
{
	uint32_t room = tcp_payload_room(c), off, n, left, gap;
	bool fin;

	c->snd_nxt = tcp_sack_skip(c, c->snd_nxt, &gap);
	off = c->snd_nxt - c->snd_una;
	/* What was sent already may go out again even if the window shrank under it. */
	if (!off && c->snd_una != c->snd_max)
		limit = max_u32(limit, min_u32(room, c->snd_max - c->snd_una));
	left = off < c->tx_bytes ? c->tx_bytes - off : 0;
	n = min_u32(left, min_u32(room, limit > off ? limit - off : 0));
	/* RFC 9293 3.8.6.2.1: no silly segments. */
	if (n && n < left && n < room && n < c->max_snd_wnd / 2) {
		if (!c->rexmits) /* what was sent before is sent again all the same */
			return 0;
		n = min_u32(n, c->snd_max - c->snd_nxt);
	}
	n = min_u32(n, gap);
	/* FIN takes a sequence number, so it needs a window as well; or it was sent already. */
	fin = fin_unacked(c) && n == left && off <= c->tx_bytes &&
	      (off + n < c->snd_wnd || seq_lt(c->snd_nxt + n, c->snd_max));
	if (!n && !fin)
		return 0;
	transmit(c, c->snd_nxt, n, fin ? TH_FIN : 0);
	sent(c, n + fin);
	return n + fin;
}

static void send_data(struct tcp_conn *c)
{
	bool more = false;
	uint32_t cwnd;

	if (c->snd_una == c->snd_max)
		tcp_cc_restart(c);
	cwnd = c->cwnd;
	/* RFC 3042 2: a new segment for each of the first two duplicate ACKs. */
	if (c->flags & CF_LIMITED && c->dupacks && !(c->flags & CF_RECOVERY) && !c->rexmits && c->snd_nxt == c->snd_max) {
		cwnd += min_u32(c->dupacks, 2) * c->mss;
		more = true;
	}
	while (send_one(c, min_u32(cwnd, c->snd_wnd)))
		if (more && c->snd_max - c->snd_una > c->cwnd)
			COUNT(c->stack, tcp_limited_transmit);
}

static uint32_t send_again(struct tcp_conn *c, struct tcp_range r)
{
	uint32_t text_end = c->snd_una + c->tx_bytes;
	bool fin = seq_gt(r.end, text_end);
	uint32_t n = r.end - r.start - fin;

	COUNT(c->stack, tcp_retransmit);
	c->retransmits++;
	c->flags &= ~CF_RTT;
	transmit(c, r.start, n, fin ? TH_FIN : 0);
	return n + fin;
}

/* RFC 6675 5 (C): while the pipe has room for a segment, what NextSeg() says. */
static void send_by_scoreboard(struct tcp_conn *c)
{
	uint32_t pipe = tcp_sack_pipe(c), room = tcp_payload_room(c), n;
	struct tcp_range r;

	while (c->cwnd >= pipe + c->mss) {
		if (tcp_sack_next(c, true, room, &r)) {
			n = send_again(c, r);
		} else {
			n = send_one(c, c->snd_wnd);
			if (!n && tcp_sack_next(c, false, room, &r))
				n = send_again(c, r);
		}
		if (!n)
			return;
		pipe += n;
	}
}

/* Something to send, a window too small for it, nothing under way that would bring an ACK. */
static void check_persist(struct tcp_conn *c)
{
	if (c->snd_una != c->snd_nxt || !(c->tx_bytes || fin_unacked(c)) ||
	    c->flags & (CF_PERSIST | CF_T_RTX))
		return;
	c->flags |= CF_PERSIST;
	tcp_timer_set(c, CF_T_RTX, c->snd_wnd ? min_u32(c->rto, SWS_OVERRIDE_MS) : c->rto);
	if (!(c->flags & CF_T_LIFE))
		tcp_timer_set(c, CF_T_LIFE, LIMIT_TCP_PERSIST_S * 1000);
}

/* A window that was closed and is open again, or opened by much, is told without being asked. */
static bool window_news(const struct tcp_conn *c)
{
	uint32_t edge;

	if (c->flags & CF_FIN_RCVD)
		return false;
	edge = tcp_edge(c);
	if (edge == c->rcv_adv)
		return false;
	return c->rcv_adv == c->rcv_nxt || edge - c->rcv_adv >= c->rcv_limit / 2 ||
	       c->rcv_adv - c->rcv_nxt < c->mss;
}

void tcp_flush(struct tcp_conn *c)
{
	unsigned int dup = min_u32(c->dup_owed, DUP_ACKS_MAX);

	c->dup_owed = 0;
	/* RFC 5681 4.2: each out-of-order segment is answered; a data segment answers one. */
	while (dup > 1) {
		tcp_send_ack(c);
		c->flags |= CF_ACK_NOW;
		dup--;
	}
	if (c->flags & CF_SACK_RECOVERY)
		send_by_scoreboard(c);
	else if (!(c->flags & CF_PERSIST) || c->snd_wnd)
		send_data(c);
	check_persist(c);
	if (c->flags & CF_ACK_NOW || window_news(c))
		tcp_send_ack(c);
}
