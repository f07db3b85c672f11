/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * TCP as a client of SMTP needs it: active open, octets in order, one unit of text under way at a
 * time, go-back-N after a time-out, one segment again after three duplicate acknowledgements. No
 * congestion control: the link is a memory ring, and at most 32 segments are under way.
 */

#include "bench/smtpload/load.h"

#define FLIGHT      32u /* segments */
#define SYN_RETRIES 6
#define RETRIES     8
#define RTO_SYN_MS  1000u
#define RTO_MAX_MS  8000u
#define MSS         1460u
#define TS_LEN      12u

/* RFC 9293 3.4.1: a clock, and another start for each pair. The same pair in a later process of
 * ours begins above what it used before, which the gateway may still hold in TIME_WAIT. */
static uint32_t new_iss(const struct sess *s)
{
	uint32_t pair = (sess_index(s) % load.sources) << 16 ^ tcp_port_of(s);

	return (uint32_t)(load.now_us / 4) + pair * 2654435761u;
}

uint16_t tcp_port_of(const struct sess *s)
{
	return (uint16_t)(LOAD_PORT_FIRST + sess_index(s) / load.sources +
			  load.blocks * (s->incarnation % load.incarnations));
}

static uint32_t backoff(const struct sess *s, uint32_t ms)
{
	ms <<= s->retries;
	return ms > RTO_MAX_MS ? RTO_MAX_MS : ms;
}

void tcp_open(struct sess *s)
{
	s->incarnation++; /* the next port */
	s->tcp = T_SYN_SENT;
	s->phase = P_BANNER;
	s->flags &= F_IN_WHEEL | F_OPENING | F_WAITING;
	s->snd_una = s->snd_nxt = new_iss(s);
	s->snd_max = s->snd_nxt + 1;
	s->unit_seq = s->snd_max;
	s->rcv_nxt = s->ts_recent = 0;
	s->mss = 536;
	s->column = s->retries = s->dup_acks = s->wscale = 0;
	s->code = 0;
	s->since_us = load.now_us;
	wire_tcp(s, TH_SYN, s->snd_una, 0, 0);
	timer_set(s, RTO_SYN_MS);
}

static void closed(struct sess *s, bool wanted)
{
	s->tcp = T_CLOSED;
	timer_off(s);
	smtp_gone(s, wanted);
}

void tcp_abort(struct sess *s)
{
	wire_tcp(s, TH_RST | TH_ACK, s->snd_nxt, 0, 0);
	closed(s, false);
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t room(const struct sess *s)
{
	return s->mss - (s->flags & F_TS ? TS_LEN : 0);
}

/* What window and flight allow of the unit. */
static void output(struct sess *s)
{
	uint32_t end = s->unit_seq + smtp_unit_len(s), mss = room(s);
	uint32_t edge = s->snd_una + min_u32(s->snd_wnd, FLIGHT * mss);

	if (s->tcp != T_OPEN)
		return;
	while (seq_lt(s->snd_nxt, end) && seq_lt(s->snd_nxt, edge)) {
		uint32_t n = min_u32(min_u32(end - s->snd_nxt, edge - s->snd_nxt), mss);
		bool last = s->snd_nxt + n == end;

		/* RFC 9293 3.8.6.2.1: no small segment only because the window ends here. */
		if (!last && n < mss && s->snd_nxt != s->snd_una)
			break;
		if (!wire_tcp(s, TH_ACK | (last ? TH_PSH : 0), s->snd_nxt, s->snd_nxt - s->unit_seq,
			      n))
			break; /* no buffer: the timer is on */
		s->flags &= (uint8_t)~F_ACK;
		s->snd_nxt += n;
		if (!seq_lt(s->snd_max, s->snd_nxt))
			continue;
		s->snd_max = s->snd_nxt;
		if (last)
			s->said_us = load.now_us;
	}
	if (!s->timer_at && seq_lt(s->snd_una, end))
		timer_set(s, load.opt.rto_ms);
}

void tcp_say(struct sess *s, enum phase phase)
{
	s->phase = (uint8_t)phase;
	s->unit_seq = s->snd_max;
	s->snd_nxt = s->snd_max;
	timer_off(s);
	output(s);
}

static void send_fin(struct sess *s)
{
	s->tcp = T_LAST_ACK;
	s->snd_nxt = s->snd_max;
	wire_tcp(s, TH_FIN | TH_ACK, s->snd_nxt, 0, 0);
	s->flags &= (uint8_t)~F_ACK;
	s->snd_max = ++s->snd_nxt;
	s->retries = 0;
	timer_set(s, load.opt.rto_ms);
}

static void input_syn_sent(struct sess *s, const struct seg *g)
{
	if (!(g->flags & TH_ACK))
		return;
	if (g->ack != s->snd_max) {
		/* RFC 9293 3.10.7.3: an old connection of this pair. The reset ends it. */
		if (!(g->flags & TH_RST))
			wire_tcp(s, TH_RST, g->ack, 0, 0);
		return;
	}
	if (g->flags & TH_RST) {
		closed(s, false);
		return;
	}
	if (!(g->flags & TH_SYN))
		return;
	s->tcp = T_OPEN;
	s->snd_una = s->snd_nxt = g->ack;
	s->rcv_nxt = g->seq + 1;
	s->snd_wnd = g->wnd; /* RFC 7323 2.2: never scaled in a SYN */
	s->wscale = g->has_wscale ? g->wscale : 0;
	if (g->has_mss)
		s->mss = (uint16_t)min_u32(g->mss, MSS);
	if (g->has_ts && load.opt.timestamps) {
		s->flags |= F_TS;
		s->ts_recent = g->tsval;
	}
	s->retries = 0;
	timer_off(s);
	smtp_connected(s);
	wire_tcp(s, TH_ACK, s->snd_nxt, 0, 0);
	/* RFC 4987 3.6: who answers by cookies forgets us if this ACK is lost. The banner is owed.
	 */
	timer_set(s, 4 * RTO_SYN_MS);
}

static void input_ack(struct sess *s, const struct seg *g)
{
	if (!(g->flags & TH_ACK))
		return;
	if (seq_lt(s->snd_una, g->ack) && !seq_lt(s->snd_max, g->ack)) {
		s->snd_una = g->ack;
		if (seq_lt(s->snd_nxt, s->snd_una))
			s->snd_nxt = s->snd_una;
		s->retries = s->dup_acks = 0;
		timer_off(s);
		if (s->snd_una != s->snd_max)
			timer_set(s, load.opt.rto_ms);
	} else if (g->ack == s->snd_una && !g->len && s->snd_una != s->snd_max &&
		   s->snd_wnd == g->wnd << s->wscale && s->tcp == T_OPEN) {
		if (++s->dup_acks == 3) { /* RFC 5681 3.2 */
			uint32_t end = s->unit_seq + smtp_unit_len(s);

			load.f.retransmits++;
			wire_tcp(s, TH_ACK, s->snd_una, s->snd_una - s->unit_seq,
				 min_u32(end - s->snd_una, room(s)));
		}
	}
	s->snd_wnd = g->wnd << s->wscale;
}

/* In order or not at all: what comes early is asked for again. */
static void input_data(struct sess *s, const struct seg *g)
{
	uint32_t skip = s->rcv_nxt - g->seq;

	if (g->seq != s->rcv_nxt || g->len || g->flags & TH_FIN)
		s->flags |= F_ACK; /* keep-alive probes, too */
	if (seq_lt(s->rcv_nxt, g->seq) || skip > g->len)
		return;
	if (g->has_ts)
		s->ts_recent = g->tsval;
	if (g->len > skip) {
		uint32_t n = g->len - skip;

		s->rcv_nxt += n;
		/* The FIN is answered once: before the dialogue wants to go on. */
		smtp_input(s, g->data + skip, n);
	}
	if (g->flags & TH_FIN && s->tcp == T_OPEN && s->rcv_nxt == g->seq + g->len) {
		s->rcv_nxt++;
		send_fin(s);
	}
}

void tcp_input(struct sess *s, const struct seg *g)
{
	if (s->tcp == T_CLOSED)
		return;
	if (s->tcp == T_SYN_SENT) {
		input_syn_sent(s, g);
		return;
	}
	if (g->flags & TH_RST) {
		if (g->seq == s->rcv_nxt)
			closed(s, s->phase == P_QUIT);
		return;
	}
	if (g->flags & TH_SYN) { /* our ACK of it was lost */
		wire_tcp(s, TH_ACK, s->snd_max, 0, 0);
		return;
	}
	input_ack(s, g);
	if (s->tcp == T_LAST_ACK && s->snd_una == s->snd_max) {
		closed(s, s->phase == P_QUIT);
		return;
	}
	input_data(s, g);
	if (s->tcp == T_OPEN)
		output(s);
	if (s->tcp != T_CLOSED && s->flags & F_ACK) {
		s->flags &= (uint8_t)~F_ACK;
		wire_tcp(s, TH_ACK, s->snd_max, 0, 0);
	}
}

static void again(struct sess *s)
{
	uint32_t end = s->unit_seq + smtp_unit_len(s), n;

	load.f.retransmits++;
	switch (s->tcp) {
	case T_SYN_SENT:
		wire_tcp(s, TH_SYN, s->snd_una, 0, 0);
		timer_set(s, backoff(s, RTO_SYN_MS));
		return;
	case T_LAST_ACK:
		wire_tcp(s, TH_FIN | TH_ACK, s->snd_max - 1, 0, 0);
		break;
	default:
		if (!seq_lt(s->snd_una, end)) {
			/* Nothing of ours is missing: the banner is. Our ACK may not have come. */
			wire_tcp(s, TH_ACK, s->snd_max, 0, 0);
			timer_set(s, 4 * RTO_SYN_MS);
			return;
		}
		/* A closed window is asked by one octet (RFC 9293 3.8.6.1). */
		n = min_u32(min_u32(end - s->snd_una, room(s)), s->snd_wnd ? s->snd_wnd : 1);
		wire_tcp(s, TH_ACK | TH_PSH, s->snd_una, s->snd_una - s->unit_seq, n);
		s->snd_nxt = s->snd_una + n;
		if (seq_lt(s->snd_max, s->snd_nxt))
			s->snd_max = s->snd_nxt;
	}
	timer_set(s, backoff(s, load.opt.rto_ms));
}

void tcp_timeout(struct sess *s)
{
	if (s->tcp == T_CLOSED) {
		smtp_reopen(s);
		return;
	}
	s->dup_acks = 0;
	if (++s->retries > (s->tcp == T_SYN_SENT ? SYN_RETRIES : RETRIES)) {
		load.f.timeouts++;
		if (s->tcp == T_OPEN)
			wire_tcp(s, TH_RST | TH_ACK, s->snd_nxt, 0, 0);
		closed(s, s->tcp == T_LAST_ACK && s->phase == P_QUIT);
		return;
	}
	again(s);
}
