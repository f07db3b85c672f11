/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What the client sends: RFC 9293 3.10.2, 3.8.6; go-back-N with or without a SACK scoreboard. */

#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define BURST 64

static uint32_t ts_now(const struct sim_flow *f)
{
	return f->par.ts_start + (uint32_t)((f->sim->now - f->sim->start) / 1000);
}

static size_t put_ts(struct sim_flow *f, uint8_t *o)
{
	o[0] = o[1] = 1;
	o[2] = 8;
	o[3] = 10;
	sim_put32(o + 4, ts_now(f));
	sim_put32(o + 8, f->c.ts_recent);
	return 12;
}

static size_t syn_options(struct sim_flow *f, uint8_t *o)
{
	const struct sim_params *p = &f->par;
	size_t n = 0;

	if (p->mss) {
		o[n] = 2;
		o[n + 1] = 4;
		sim_put16(o + n + 2, p->mss);
		n += 4;
	}
	if (p->wscale != SIM_NO_WSCALE) {
		memcpy(o + n, (uint8_t[]){1, 3, 3, p->wscale}, 4);
		n += 4;
	}
	if (p->sack) {
		memcpy(o + n, (uint8_t[]){1, 1, 4, 2}, 4);
		n += 4;
	}
	return p->ts ? n + put_ts(f, o + n) : n;
}

/* RFC 2018 4: what lies beyond a gap; not the newest first, which only a receiver cares for. */
static size_t options(struct sim_flow *f, uint8_t *o)
{
	const struct sim_client *c = &f->c;
	size_t n = c->peer_ts ? put_ts(f, o) : 0;
	unsigned int blocks = sim_min(c->ooo.n, c->peer_ts ? 3 : 4);

	if (!c->peer_sack || !blocks)
		return n;
	memcpy(o + n, (uint8_t[]){1, 1, 5, (uint8_t)(2 + 8 * blocks)}, 4);
	n += 4;
	for (unsigned int i = 0; i < blocks; i++, n += 8) {
		sim_put32(o + n, c->irs + c->ooo.r[i].from);
		sim_put32(o + n + 4, c->irs + c->ooo.r[i].to);
	}
	return n;
}

static void emit(struct sim_flow *f, uint32_t seq, uint32_t ack, uint8_t flags, uint32_t wnd,
		 const uint8_t *opt, size_t opt_len, uint32_t data_at, uint32_t len)
{
	struct sim_packet *p = malloc(sizeof(*p) + len);

	if (!p)
		abort();
	p->header_len = (uint16_t)(20 + opt_len);
	p->len = len;
	sim_put16(p->header, f->tuple.remote_port);
	sim_put16(p->header + 2, f->tuple.local_port);
	sim_put32(p->header + 4, seq);
	sim_put32(p->header + 8, ack);
	p->header[12] = (uint8_t)((20 + opt_len) / 4 << 4);
	p->header[13] = flags;
	sim_put16(p->header + 14, wnd);
	sim_put32(p->header + 16, 0);
	memcpy(p->header + 20, opt, opt_len);
	sim_fill(sim_stream_key(f, false), data_at, p->data, len);
	sim_link_send(f, p, true);
}

void sim_client_syn(struct sim_flow *f)
{
	uint8_t opt[40];
	size_t n = syn_options(f, opt);
	bool data = f->par.rude && f->par.send_total;

	emit(f, f->par.iss, 0, SIM_SYN, sim_min(f->par.rcvbuf, 65535), opt, n, 0,
	     data ? sim_min(f->par.send_total, 100) : 0);
	f->c.rcv_edge = 1 + sim_min(f->par.rcvbuf, 65535);
}

void sim_client_rst(struct sim_flow *f, uint32_t seq, uint32_t ack, uint8_t flags)
{
	f->c.rst_sent = true;
	emit(f, seq, ack, flags, 0, (const uint8_t *)"", 0, 0, 0);
}

static unsigned int shift(const struct sim_client *c, const struct sim_params *p)
{
	return c->peer_wscale == SIM_NO_WSCALE ? 0 : p->wscale;
}

/* RFC 9293 3.8.6.2.2: the edge moves by a segment or half the buffer. */
uint32_t sim_client_edge(struct sim_flow *f)
{
	const struct sim_client *c = &f->c;
	const struct sim_params *p = &f->par;
	uint32_t room = p->rcvbuf > c->buffered ? p->rcvbuf - c->buffered : 0, edge;
	uint32_t step = sim_min(p->lazy_window ? 65535 : sim_min(p->mss ? p->mss : 536, 1460),
				sim_max(p->rcvbuf / 2, 1));

	room = sim_min(room >> shift(c, p), 65535) << shift(c, p);
	edge = c->rcv_nxt + room;
	return edge > c->rcv_edge && edge - c->rcv_edge >= step ? edge : c->rcv_edge;
}

static uint32_t window(struct sim_flow *f)
{
	struct sim_client *c = &f->c;
	const struct sim_params *p = &f->par;
	uint32_t edge = sim_client_edge(f), wnd;

	if (edge > c->rcv_edge)
		c->rcv_edge = edge;
	wnd = edge > c->rcv_nxt ? edge - c->rcv_nxt : 0;
	if (p->shrinks && sim_chance(&f->sim->rng, 1000)) { /* RFC 9293 3.8.6: must be endured */
		wnd /= sim_range(&f->sim->rng, 2, 9);
		c->ack_at = f->sim->now + 50000;
	}
	return sim_min(wnd >> shift(c, p), 65535);
}

static void emit_data(struct sim_flow *f, uint32_t seq, uint32_t len, uint8_t flags)
{
	struct sim_client *c = &f->c;
	uint8_t opt[40];
	size_t n = options(f, opt);
	uint32_t wnd;

	c->ack_at = SIM_NEVER;
	c->ack_segs = 0;
	c->last_ack = c->rcv_nxt;
	wnd = window(f);
	emit(f, f->par.iss + seq, c->irs + c->rcv_nxt, flags | SIM_ACK, wnd, opt, n, seq - 1, len);
}

void sim_client_ack(struct sim_flow *f)
{
	if (f->c.state == CS_OPEN || f->c.state == CS_TIME_WAIT)
		emit_data(f, f->c.max, 0, 0);
}

static bool wants_close(const struct sim_flow *f)
{
	switch (f->par.client_close) {
	case CLIENT_AFTER_DATA:
		return true;
	case CLIENT_AFTER_EOF:
		return f->c.fin_rcvd;
	default:
		return false;
	}
}

static uint32_t room(struct sim_flow *f)
{
	uint8_t opt[40];
	uint32_t n = (uint32_t)options(f, opt);

	return f->c.eff_mss > n + 1 ? f->c.eff_mss - n : 1;
}

/* Octets of a segment at seq, at most up to limit; the FIN is none of them. */
static uint32_t cut(struct sim_flow *f, uint32_t seq, uint32_t limit)
{
	const struct sim_client *c = &f->c;
	uint32_t end = 1 + f->par.send_total, n;

	if (seq >= end)
		return 0;
	n = sim_min(room(f), end - seq);
	if (f->par.tiny_segments)
		n = sim_min(n, sim_range(&f->sim->rng, 1, 20));
	else if (sim_chance(&f->sim->rng, 500))
		n = sim_range(&f->sim->rng, 1, n);
	n = limit > seq ? sim_min(n, limit - seq) : 0;
	for (unsigned int i = 0; i < c->sacked.n; i++)
		if (c->sacked.r[i].from > seq)
			n = sim_min(n, c->sacked.r[i].from - seq);
	return n;
}

static uint8_t tail_flags(struct sim_flow *f, bool fin)
{
	uint8_t flags = fin ? SIM_FIN : 0;

	if (sim_chance(&f->sim->rng, 5000))
		flags |= SIM_PSH;
	if (sim_chance(&f->sim->rng, 50))
		flags |= SIM_URG;
	return flags;
}

static void sent_fin(struct sim_client *c, uint32_t at)
{
	c->fin_sent = true;
	c->fin_at = at;
	if (!c->fin_rcvd)
		c->fin_first = true;
}

/* Sends one segment at nxt; false: nothing may be sent. */
static bool send_one(struct sim_flow *f)
{
	struct sim_client *c = &f->c;
	uint32_t end = 1 + f->par.send_total;
	uint32_t cwnd = c->retries ? c->eff_mss : f->par.cwnd_segs * c->eff_mss;
	uint32_t limit = sim_min(c->edge, c->una + cwnd), past, n;
	bool fin;

	if (sim_range_has(&c->sacked, c->nxt, &past)) {
		c->nxt = past;
		return true;
	}
	n = cut(f, c->nxt, limit);
	/* RFC 9293 3.8.6.2.1: nothing silly while something is under way. */
	if (n && n < end - c->nxt && n < room(f) && limit == c->edge && c->nxt != c->una &&
	    !f->par.tiny_segments && sim_chance(&f->sim->rng, 9000))
		return false;
	fin = wants_close(f) && c->nxt + n == end && c->nxt + n < c->edge &&
	      (!n || f->par.fin_with_data);
	if (!n && !fin)
		return false;
	emit_data(f, c->nxt, n, tail_flags(f, fin));
	c->nxt += n;
	if (fin) {
		sent_fin(c, c->nxt);
		c->nxt++;
	}
	if (c->nxt > c->max)
		c->max = c->nxt;
	return c->nxt <= end;
}

/* Past the window, as if it were not there. */
static void rude(struct sim_flow *f)
{
	struct sim_client *c = &f->c;
	uint32_t n;

	if (!f->par.rude || !sim_chance(&f->sim->rng, 1000))
		return;
	n = cut(f, c->nxt, c->nxt + 3000);
	if (!n)
		return;
	c->probe_end = sim_max(c->probe_end, c->nxt + n);
	emit_data(f, c->nxt, n, 0);
}

void sim_client_output(struct sim_flow *f)
{
	struct sim_client *c = &f->c;
	uint32_t end = 1 + f->par.send_total;

	if (c->state != CS_OPEN)
		return;
	for (unsigned int i = 0; i < BURST && c->nxt <= end; i++)
		if (!send_one(f))
			break;
	rude(f);
	if (c->rtx_at == SIM_NEVER &&
	    (c->una < c->max || c->nxt < end || (wants_close(f) && !c->fin_acked)))
		c->rtx_at = f->sim->now + c->rto_us;
}

/* The first hole; with a scoreboard, each. */
void sim_client_retransmit(struct sim_flow *f)
{
	struct sim_client *c = &f->c;
	uint32_t seq = c->una, end = 1 + f->par.send_total;

	for (unsigned int i = 0; i < 8 && seq < sim_min(c->max, end); i++) {
		uint32_t past, n;

		if (sim_range_has(&c->sacked, seq, &past)) {
			seq = past;
			continue;
		}
		if (i && (!c->sacked.n || seq > c->sacked.r[c->sacked.n - 1].to))
			return;
		n = cut(f, seq, c->max);
		if (!n)
			return;
		emit_data(f, seq, n, 0);
		seq += n;
	}
	if (c->fin_sent && seq == c->fin_at && seq == c->una)
		emit_data(f, seq, 0, SIM_FIN);
}

/* RFC 9293 3.8.6.1: an octet beyond the window, or one below it. */
void sim_client_probe(struct sim_flow *f)
{
	struct sim_client *c = &f->c;
	uint32_t end = 1 + f->par.send_total;

	c->rtx_at = f->sim->now + c->rto_us;
	if (f->par.probes_with_data && c->una < end) {
		c->probe_end = sim_max(c->probe_end, c->una + 1);
		emit_data(f, c->una, 1, 0);
	} else if (f->par.probes_with_data && wants_close(f)) {
		sent_fin(c, end);
		c->probe_end = sim_max(c->probe_end, end + 1);
		emit_data(f, end, 0, SIM_FIN);
	} else {
		emit_data(f, c->una - 1, 0, 0);
	}
}
