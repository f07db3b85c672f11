/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The client: RFC 9293 3.10.7.3 and 3.10.7.4 for an active opener, and its receiver. */

#include "tests/sim/sim.h"

#define MAX_RETRIES  15
#define TIME_WAIT_US 10000000u
#define SILENCE_US   400000000u /* an application's patience with a server that is gone */

uint32_t sim_stream_key(const struct sim_flow *f, bool from_server)
{
	return from_server && f->par.app != APP_ECHO ? f->key ^ 0x15555555u : f->key;
}

/* The event queue keeps what was put in: an event that comes too early finds nothing due. */
void sim_client_arm(struct sim_flow *f)
{
	struct sim_client *c = &f->c;
	uint64_t at = c->rtx_at;

	at = sim_min64(at, c->ack_at);
	at = sim_min64(at, c->read_at);
	at = sim_min64(at, c->abort_at);
	at = sim_min64(at, c->wait_until);
	if (at == SIM_NEVER || (at >= c->timer_at && c->timer_at > f->sim->now))
		return;
	if (at <= f->sim->now)
		at = f->sim->now + 1;
	c->timer_at = at;
	sim_push(f->sim, &(struct sim_event){.at = at, .flow = f->index, .kind = EV_CLIENT});
}

void sim_client_end(struct sim_flow *f, enum sim_outcome how)
{
	struct sim_client *c = &f->c;

	if (c->outcome == OUT_RUNNING)
		c->outcome = how;
	c->state = CS_DONE;
	c->rtx_at = c->ack_at = c->read_at = c->abort_at = c->wait_until = SIM_NEVER;
	if (!f->done) {
		f->done = true;
		f->sim->n_live--;
	}
}

void sim_client_start(struct sim_flow *f)
{
	struct sim_client *c = &f->c;

	c->rtx_at = c->ack_at = c->read_at = c->wait_until = SIM_NEVER;
	c->abort_at =
		f->par.client_close >= CLIENT_ABORTS ? f->sim->now + f->par.abort_us : SIM_NEVER;
	if (f->par.client_close < CLIENT_ABORTS && f->par.taint)
		c->abort_at = f->sim->now + 400000000;
	c->rcv_nxt = 1;
	c->state = CS_SYN_SENT;
	c->rto_us = 1000000;
	c->max = c->nxt = 1;
	sim_client_syn(f);
	c->rtx_at = f->sim->now + c->rto_us;
	sim_client_arm(f);
}

static void established(struct sim_flow *f, const struct sim_seg *s)
{
	struct sim_client *c = &f->c;
	const struct sim_params *p = &f->par;

	c->irs = s->seq;
	c->una = 1;
	c->wl1 = 0;
	c->wl2 = 1;
	c->edge = 1 + s->wnd; /* RFC 7323 2.2: not scaled in a SYN */
	c->peer_ts = p->ts && s->has_ts;
	c->peer_sack = p->sack && s->sack_ok;
	c->peer_wscale = p->wscale != SIM_NO_WSCALE && s->wscale != SIM_NO_WSCALE ? s->wscale
										  : SIM_NO_WSCALE;
	if (!f->tainted && ((s->has_ts && !p->ts) || (s->sack_ok && !p->sack) ||
			    (s->wscale != SIM_NO_WSCALE && p->wscale == SIM_NO_WSCALE)))
		sim_fail(f, "SYN-ACK with an option that was not offered");
	if (!s->has_mss)
		sim_fail(f, "SYN-ACK without MSS");
	c->eff_mss = (uint16_t)sim_min(s->mss, 1460);
	c->ts_recent = s->tsval;
	c->state = CS_OPEN;
	c->wait_until = f->sim->now + SILENCE_US;
	c->retries = 0;
	c->rtx_at = SIM_NEVER;
	c->rto_us = p->rto_us;
	if (p->stall_us)
		c->read_at = f->sim->now + p->stall_us;
	sim_client_ack(f);
	sim_client_output(f);
}

static void syn_sent(struct sim_flow *f, const struct sim_seg *s)
{
	if (s->flags & SIM_ACK && s->ack != f->par.iss + 1) {
		if (!(s->flags & SIM_RST))
			sim_client_rst(f, s->ack, 0, SIM_RST);
		return;
	}
	if (s->flags & SIM_RST) {
		if (s->flags & SIM_ACK)
			sim_client_end(f, OUT_RESET);
		return;
	}
	if ((s->flags & (SIM_SYN | SIM_ACK)) == (SIM_SYN | SIM_ACK))
		established(f, s);
}

/* RFC 9293 3.10.7.4, first: the four cases, against the farthest edge that was ever offered. */
static bool acceptable(const struct sim_client *c, uint32_t seq, uint32_t len)
{
	uint32_t wnd = c->rcv_edge > c->rcv_nxt ? c->rcv_edge - c->rcv_nxt : 0;

	if (!len)
		return wnd ? seq - c->rcv_nxt < wnd : seq == c->rcv_nxt;
	if (!wnd)
		return false;
	return seq - c->rcv_nxt < wnd || seq + len - 1 - c->rcv_nxt < wnd;
}

static void sack_input(struct sim_flow *f, const struct sim_seg *s, uint32_t ack)
{
	struct sim_client *c = &f->c;

	if (s->n_sack && !c->peer_sack)
		sim_fail(f, "SACK without agreement");
	for (unsigned int i = 0; i < s->n_sack && !f->tainted; i++) {
		uint32_t from = s->sack[i][0] - f->par.iss, to = s->sack[i][1] - f->par.iss;

		if (from >= to || to > sim_max(c->max, c->probe_end))
			sim_fail(f, "SACK %u-%u of what was not sent (%u)", from, to, c->max);
		if (i && from <= ack && to <= ack)
			sim_fail(f, "SACK %u-%u below ACK %u, not first", from, to, ack);
		for (unsigned int k = i ? 1 : i + 1; k < i; k++)
			if (s->sack[k][0] - f->par.iss < to && from < s->sack[k][1] - f->par.iss)
				sim_fail(f, "SACK blocks overlap");
		if (f->par.use_sack && from > ack)
			sim_range_add(&c->sacked, from, to);
	}
}

static void progress(struct sim_flow *f, uint32_t ack)
{
	struct sim_client *c = &f->c;

	c->una = ack;
	if (c->nxt < ack)
		c->nxt = ack;
	c->retries = 0;
	c->dupacks = 0;
	c->rto_us = f->par.rto_us;
	while (c->sacked.n && c->sacked.r[0].to <= ack) {
		c->sacked.n--;
		for (unsigned int i = 0; i < c->sacked.n; i++)
			c->sacked.r[i] = c->sacked.r[i + 1];
	}
	if (c->fin_sent && ack > c->fin_at)
		c->fin_acked = true;
	c->rtx_at = c->una < c->max ? f->sim->now + c->rto_us : SIM_NEVER;
}

static bool ack_input(struct sim_flow *f, const struct sim_seg *s, uint32_t seq, uint32_t len)
{
	struct sim_client *c = &f->c;
	uint32_t ack = s->ack - f->par.iss;
	uint32_t edge = ack + (s->wnd << (c->peer_wscale == SIM_NO_WSCALE ? 0 : c->peer_wscale));

	if (ack > c->max && ack <= c->probe_end) { /* it took an octet beyond its window */
		c->max = ack;
		if (c->nxt < ack)
			c->nxt = ack;
	}
	if (ack > c->max) {
		if (!f->tainted && ack < 0x80000000u)
			sim_fail(f, "ACK %u of what was not sent (%u)", ack, c->max);
		sim_client_ack(f);
		return false;
	}
	sack_input(f, s, ack);
	if (c->una == c->max)
		c->retries = 0; /* a window that stays closed is no reason to give up */
	if (ack > c->una) {
		progress(f, ack);
	} else if (ack == c->una && !len && edge == c->edge && c->una < c->nxt) {
		if (++c->dupacks == 3 && f->par.fast_retransmit)
			sim_client_retransmit(f);
	}
	if (ack >= c->una && (seq > c->wl1 || (seq == c->wl1 && ack >= c->wl2))) {
		c->wl1 = seq;
		c->wl2 = ack;
		c->edge = edge;
	}
	return true;
}

static void deliver(struct sim_flow *f, const struct sim_packet *p, uint32_t seq, uint32_t len)
{
	struct sim_client *c = &f->c;
	uint32_t off = 0;

	/* What is told apart here holds for octets out of order, too. */
	if (!f->tainted && !sim_same(sim_stream_key(f, true), seq - 1, p->data, len))
		sim_fail(f, "the server's octets differ at %u, %u octets", seq - 1, len);
	if (!f->tainted && seq + len > 1 + f->app.sent)
		sim_fail(f, "the server sent %u octets, its application %u", seq + len - 1,
			 f->app.sent);
	if (seq < c->rcv_nxt) {
		off = sim_min(c->rcv_nxt - seq, len);
		seq += off;
		len -= off;
	}
	if (seq + len > c->rcv_edge)
		len = seq < c->rcv_edge ? c->rcv_edge - seq : 0;
	if (len)
		sim_range_add(&c->ooo, seq, seq + len);
	if (c->ooo.n && c->ooo.r[0].from == c->rcv_nxt) {
		uint32_t n = c->ooo.r[0].to - c->rcv_nxt;

		c->buffered += n;
		c->rcv_nxt += n;
		c->ooo.n--;
		for (unsigned int i = 0; i < c->ooo.n; i++)
			c->ooo.r[i] = c->ooo.r[i + 1];
	}
}

/* The application of the client. */
static void take(struct sim_flow *f)
{
	struct sim_client *c = &f->c;
	const struct sim_params *p = &f->par;
	uint64_t now = f->sim->now;

	if (c->state != CS_OPEN || !c->buffered || (c->read_at != SIM_NEVER && now < c->read_at))
		return;
	c->read_at = SIM_NEVER;
	if (!p->read_chunk) {
		c->buffered = 0;
		return;
	}
	c->buffered -= sim_min(c->buffered, p->read_chunk);
	if (c->buffered)
		c->read_at = now + p->read_gap_us;
}

static void text(struct sim_flow *f, const struct sim_packet *p, const struct sim_seg *s,
		 uint32_t seq)
{
	struct sim_client *c = &f->c;
	bool gap = seq != c->rcv_nxt || c->ooo.n;

	if (s->flags & SIM_FIN) {
		if (c->fin_seen && c->fin_pos != seq + p->len && !f->tainted)
			sim_fail(f, "the FIN moved from %u to %u", c->fin_pos, seq + p->len);
		c->fin_seen = true;
		c->fin_pos = seq + p->len;
	}
	if (p->len && c->fin_seen && seq + p->len > c->fin_pos && !f->tainted)
		sim_fail(f, "octets past the FIN");
	if (!p->len && !(s->flags & SIM_FIN))
		return;
	if (p->len)
		deliver(f, p, seq, p->len);
	if (c->fin_seen && !c->fin_rcvd && c->rcv_nxt == c->fin_pos && c->rcv_edge > c->rcv_nxt) {
		c->fin_rcvd = true;
		c->rcv_nxt++;
		c->fin_first = c->fin_sent;
		gap = true;
	}
	take(f);
	if (gap || !f->par.ack_delay_us || ++c->ack_segs >= 2)
		sim_client_ack(f);
	else if (c->ack_at == SIM_NEVER)
		c->ack_at = f->sim->now + f->par.ack_delay_us;
}

static void ends(struct sim_flow *f)
{
	struct sim_client *c = &f->c;

	if (c->state != CS_OPEN || !c->fin_rcvd || !c->fin_acked)
		return;
	c->rtx_at = c->read_at = SIM_NEVER;
	if (!c->fin_first) { /* LAST-ACK */
		sim_client_end(f, OUT_FINISHED);
		return;
	}
	c->state = CS_TIME_WAIT;
	c->outcome = OUT_FINISHED;
	c->wait_until = f->sim->now + TIME_WAIT_US;
}

static void reset(struct sim_flow *f, uint32_t seq)
{
	struct sim_client *c = &f->c;

	if (c->state == CS_TIME_WAIT)
		return;
	if (seq == c->rcv_nxt || !f->par.strict_rst)
		sim_client_end(f, OUT_RESET);
	else
		sim_client_ack(f); /* RFC 5961 3.2 */
}

static void open_input(struct sim_flow *f, const struct sim_packet *p, const struct sim_seg *s)
{
	struct sim_client *c = &f->c;
	uint32_t seq = s->seq - c->irs, len = p->len + !!(s->flags & SIM_FIN);

	if (!acceptable(c, seq, len)) {
		if (!(s->flags & SIM_RST))
			sim_client_ack(f);
		/* RFC 9293 3.10.7.4: with a zero window ACKs are processed all the same. */
		if (seq == c->rcv_nxt && s->flags & SIM_ACK && !(s->flags & (SIM_RST | SIM_SYN)))
			(void)ack_input(f, s, seq, len);
		return;
	}
	if (s->flags & SIM_RST) {
		reset(f, seq);
		return;
	}
	if (s->flags & SIM_SYN) {
		sim_client_ack(f);
		return;
	}
	if (c->peer_ts && !s->has_ts && !f->tainted)
		sim_fail(f, "no timestamp though agreed");
	if (c->peer_ts && s->has_ts && (int32_t)(s->tsval - c->ts_recent) < 0) {
		sim_client_ack(f); /* RFC 7323 5.3 R1 */
		return;
	}
	if (c->peer_ts && s->has_ts && seq <= c->last_ack)
		c->ts_recent = s->tsval;
	if (!(s->flags & SIM_ACK) || !ack_input(f, s, seq, p->len))
		return;
	text(f, p, s, seq);
}

void sim_client_input(struct sim_flow *f, const struct sim_packet *p)
{
	struct sim_client *c = &f->c;
	struct sim_seg s;

	if (!sim_parse(p->header, p->header_len, &s))
		sim_fail(f, "the stack sent a header that cannot be read");
	sim_note(f, 'c', p->header, p->len);
	if (c->state == CS_OPEN)
		c->wait_until = f->sim->now + SILENCE_US;
	switch (c->state) {
	case CS_START:
		return;
	case CS_SYN_SENT:
		syn_sent(f, &s);
		break;
	case CS_DONE:
		/* CLOSED: RFC 9293 3.10.7.1 */
		if (!(s.flags & SIM_RST) && c->outcome != OUT_VANISHED)
			sim_client_rst(f, s.ack, 0, SIM_RST);
		return;
	default:
		open_input(f, p, &s);
	}
	if (c->state == CS_OPEN)
		sim_client_output(f);
	ends(f);
	sim_client_arm(f);
}

static void retransmission(struct sim_flow *f)
{
	struct sim_client *c = &f->c;

	c->rtx_at = SIM_NEVER;
	if (++c->retries > MAX_RETRIES) {
		sim_client_end(f, OUT_GAVE_UP);
		return;
	}
	c->rto_us = sim_min(c->rto_us * 2, 20000000);
	if (c->state == CS_SYN_SENT) {
		sim_client_syn(f);
		c->rtx_at = f->sim->now + c->rto_us;
		return;
	}
	if (c->una == c->max) {
		sim_client_probe(f);
		return;
	}
	c->rtos++;
	c->sacked.n = 0; /* RFC 2018 8: the other end may have dropped it */
	c->nxt = c->una;
	c->dupacks = 0;
	sim_client_output(f);
	if (c->rtx_at == SIM_NEVER) /* the window closed under it */
		sim_client_probe(f);
}

void sim_client_timer(struct sim_flow *f)
{
	struct sim_client *c = &f->c;
	uint64_t now = f->sim->now;

	if (c->state == CS_START)
		sim_client_start(f);
	if (c->state == CS_DONE)
		return;
	if (now >= c->abort_at) {
		if (f->par.client_close == CLIENT_VANISHES || c->state != CS_OPEN) {
			sim_client_end(f, OUT_VANISHED);
		} else {
			sim_client_rst(f, f->par.iss + c->nxt, c->irs + c->rcv_nxt,
				       SIM_RST | SIM_ACK);
			sim_client_end(f, OUT_ABORTED);
		}
		return;
	}
	if (now >= c->wait_until) {
		sim_client_end(f, OUT_GAVE_UP); /* in TIME_WAIT it has finished before */
		return;
	}
	if (now >= c->rtx_at)
		retransmission(f);
	if (now >= c->read_at) {
		c->read_at = SIM_NEVER;
		take(f);
		/* RFC 9293 3.8.6.2.2: a window that opened by enough is told. */
		if (sim_client_edge(f) > c->rcv_edge)
			sim_client_ack(f);
	}
	if (now >= c->ack_at)
		sim_client_ack(f);
	ends(f);
	sim_client_arm(f);
}
