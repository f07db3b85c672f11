/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * A segment to its flow. Each check is the one that the receiver would make (RFC 9293 3.10.7.4 with
 * RFC 5961 and RFC 7323), so that what it drops is not believed here. What the receivers of the
 * world do differently is decided by the ACK that follows, where it can be, and is an anomaly in
 * any case.
 *
 * An RST or a FIN takes nothing away: the flow is followed on until it is forgotten, so that one
 * that never reached the receiver hides nothing.
 */

#include "dataplane/tap/tap_internal.h"

static bool flags_sane(uint8_t f)
{
	if (f & TH_SYN)
		return !(f & (TH_FIN | TH_RST));
	if (f & TH_RST)
		return !(f & TH_FIN);
	return f & (TH_ACK | TH_FIN) || !f;
}

/*
 * The side's SYN was not seen, so that its numbers begin with the first that we saw; and that was
 * not the first, as a mirror puts packets out of order.
 */
static void sync_earlier(struct tap_dir *d, uint32_t seq)
{
	if (!d->syn && d->top == d->isn + 1 && seq_lt(seq, d->nxt) && d->nxt - seq <= UINT16_MAX)
		tap_sync_dir(d, seq);
}

/* ---- ACK and window ---- */

static void check_fin(struct tap *t, struct tap_flow *f, struct tap_dir *d)
{
	enum tap_side side = d == &f->dir[TAP_CLIENT] ? TAP_CLIENT : TAP_SERVER;

	/* The receiver has more than the FIN that we saw: it was none for it. */
	if (d->has_fin && d->has_ack && seq_gt(tap_acked(f, side), d->fin + 1)) {
		d->has_fin = false;
		tap_odd(t, f, TAP_fin_false);
	}
}

static void said(struct tap_flow *f, enum tap_side side, const struct tap_in *in)
{
	struct tap_dir *d = &f->dir[side];
	uint32_t keepalive = in->len <= 1 && in->seq + 1 == d->nxt;

	d->said = in->seq + (in->flags & TH_SYN ? 1 : keepalive);
}

void tap_take_ack(struct tap *t, struct tap_flow *f, enum tap_side side, const struct tap_in *in)
{
	struct tap_dir *d = &f->dir[!side];
	unsigned int shift = in->flags & TH_SYN ? 0 : f->dir[side].wscale;
	uint32_t edge = in->ack + ((uint32_t)in->wnd << shift);

	if (!d->synced)
		tap_sync_dir(d, in->ack);
	sync_earlier(d, in->ack);
	if (!d->has_ack) {
		if (seq_gt(in->ack, d->top + LIMIT_TAP_ONE_WAY_WINDOW)) {
			TAP_COUNT(t, tap_ack_range);
			return;
		}
		d->has_ack = true;
		d->acked = in->ack;
		said(f, side, in);
		d->edge = edge;
		check_fin(t, f, d);
		return;
	}
	if (tap_far_ack(t, f, !side, in->ack))
		return;
	if (seq_gt(in->ack, d->acked)) {
		d->acked = in->ack;
		said(f, side, in);
	}
	if (seq_gt(edge, d->edge))
		d->edge = edge;
	check_fin(t, f, d);
}

/* ---- RST and FIN ---- */

static void input_rst(struct tap *t, struct tap_flow *f, enum tap_side side,
		      const struct tap_in *in)
{
	struct tap_dir *d = &f->dir[side];
	uint32_t at = in->seq;

	if (tap_is_closed(f))
		return;
	/* RFC 9293 3.10.7.3: the answer to a SYN. */
	if (!d->synced || !d->seen) {
		const struct tap_dir *o = &f->dir[!side];

		if (in->flags & TH_ACK && o->syn && in->ack == o->isn + 1 && !o->has_ack)
			tap_flow_list(t, f, TAP_LIST_CLOSED);
		else if (d->synced && at != d->nxt)
			tap_odd(t, f, TAP_rst_out_of_window);
		return;
	}
	/* RFC 5961 3.2: only an exact RST ends the connection. What its receiver has we know by its
	 * ACK, or, while that is under way, by what it was sent. */
	if (at == d->nxt || (d->has_ack && at == d->acked) || (d->has_fin && at == d->fin + 1) ||
	    at == d->top) {
		d->has_rst = true;
		d->rst = at;
		/* It may not reach who it is for. If that one had closed, nothing more comes. */
		tap_flow_list(t, f, f->dir[!side].has_fin ? TAP_LIST_CLOSED : TAP_LIST_ENDING);
		return;
	}
	if (d->has_ack && seq_ge(at, d->acked) && seq_lt(at, d->edge))
		tap_odd(t, f, TAP_rst_in_window);
	else
		tap_odd(t, f, TAP_rst_out_of_window);
}

static void input_fin(struct tap *t, struct tap_flow *f, enum tap_side side,
		      const struct tap_in *in)
{
	struct tap_dir *d = &f->dir[side];
	uint32_t at = in->seq + in->len;

	if (d->has_fin) {
		if (at != d->fin && seq_ge(at, d->nxt))
			tap_odd(t, f, TAP_data_after_fin);
		return;
	}
	/* Before what came already, or beyond the window: no receiver takes it. */
	if (seq_lt(at, d->nxt) || (f->dir[!side].seen && d->has_ack && seq_gt(at, d->edge)) ||
	    seq_ge(at, d->nxt + LIMIT_TAP_ONE_WAY_WINDOW)) {
		if (!(d->has_ack && seq_lt(at, d->acked)))
			tap_odd(t, f, TAP_out_of_window);
		return;
	}
	if (seq_gt(d->top, at))
		tap_odd(t, f, TAP_data_after_fin);
	d->has_fin = true;
	d->fin = at;
	check_fin(t, f, d);
}

static bool fin_done(const struct tap_flow *f, enum tap_side side)
{
	const struct tap_dir *d = &f->dir[side];

	return d->has_fin && d->out == d->fin &&
	       (!f->dir[!side].seen || tap_acked(f, side) == d->fin + 1);
}

/* ---- segments of a flow ---- */

/* RFC 7323 5.3 (R1). Octets that the receiver has are not judged by it: they came in time. */
static bool paws(struct tap *t, struct tap_flow *f, enum tap_side side, const struct tap_in *in)
{
	struct tap_dir *d = &f->dir[side];
	uint32_t end = in->seq + in->len;

	if (!in->has_ts || !d->has_ts || !f->dir[!side].has_ts)
		return true;
	if ((int32_t)(in->tsval - d->ts_recent) >= 0) {
		/* RFC 7323 4.3: of a segment that reaches to what was acknowledged last. */
		if (seq_le(in->seq, d->has_ack ? d->acked : d->nxt)) {
			d->ts_recent = in->tsval;
			d->ts_time = t->now_us;
		}
		return true;
	}
	if (!in->len || seq_le(end, d->nxt) || (d->has_ack && seq_le(end, d->acked)) ||
	    t->now_us - d->ts_time > LIMIT_TAP_PAWS_IDLE_S * 1000000ull)
		return true;
	tap_odd(t, f, TAP_paws);
	return false;
}

static void check_ttl(struct tap *t, struct tap_flow *f, struct tap_dir *d, uint8_t ttl)
{
	int diff = (int)ttl - (int)d->ttl;

	if (!d->ttl)
		d->ttl = ttl;
	else if (diff > LIMIT_TAP_TTL_SLACK || diff < -LIMIT_TAP_TTL_SLACK)
		tap_odd(t, f, TAP_ttl);
}

static void input_payload(struct tap *t, struct tap_flow *f, enum tap_side side,
			  const struct tap_in *in)
{
	struct tap_dir *d = &f->dir[side];

	check_ttl(t, f, d, in->seg->ttl);
	if (in->flags & TH_URG)
		tap_odd(t, f, TAP_urgent);
	if (d->has_pending) {
		/* The flow goes on: the SYN was to mislead, unless it is the first one again. */
		d->has_pending = false;
		if (!d->syn || d->pending_isn != d->isn)
			tap_odd(t, f, TAP_syn_in_flow);
	}
	tap_text(t, f, side, in);
}

/* Octets behind the RST have been acknowledged: it ended nothing. */
static void revive(struct tap *t, struct tap_flow *f)
{
	for (unsigned int side = 0; side < 2; side++) {
		struct tap_dir *d = &f->dir[side];

		if (!d->has_rst || !f->dir[!side].seen || seq_le(tap_acked(f, side), d->rst))
			continue;
		d->has_rst = false;
		tap_flow_list(t, f, TAP_LIST_OPEN);
	}
}

static void input_flow(struct tap *t, struct tap_flow *f, enum tap_side side,
		       const struct tap_in *in)
{
	struct tap_dir *d = &f->dir[side];

	if (f->opened && !f->app) {
		TAP_COUNT(t, tap_no_flow); /* closed, or nobody wants it */
		return;
	}
	if (in->flags & TH_RST) {
		input_rst(t, f, side, in);
		return;
	}
	/* RFC 9293 3.10.7.4: fifth, "if the ACK bit is off, drop the segment". */
	if (!(in->flags & TH_ACK)) {
		tap_odd(t, f, TAP_no_ack);
		return;
	}
	if (!in->len)
		tap_fetch(&f->dir[!side]);
	if (!d->synced)
		tap_sync_dir(d, in->seq);
	sync_earlier(d, in->seq);
	if (d->called_again && side == TAP_CLIENT && in->len)
		tap_which_syn(f, in);
	if (!paws(t, f, side, in))
		return;
	d->seen = true;
	tap_far_segment(t, f, side, in);
	tap_take_ack(t, f, side, in);
	if (f->list == TAP_LIST_ENDING)
		revive(t, f);
	if (!tap_is_closed(f))
		tap_flow_list(t, f, f->dir[!side].seen ? TAP_LIST_OPEN : TAP_LIST_ONE_SIDE);
	tap_pump(t, f, TAP_PUMP);
	if (in->len)
		input_payload(t, f, side, in);
	else if (in->seq + 1 == d->nxt)
		TAP_COUNT(t, tap_keepalive);
	if (in->flags & TH_FIN)
		input_fin(t, f, side, in);
	tap_pump(t, f, TAP_PUMP);
	if (fin_done(f, side) && fin_done(f, !side))
		tap_flow_close(t, f);
	else if (f->dir[side].has_fin && (f->dir[!side].has_fin || !f->dir[!side].seen))
		tap_flow_list(t, f, TAP_LIST_ENDING); /* followed on: nobody acknowledged it yet */
}

static struct tap_flow *midstream(struct tap *t, const struct tap_in *in, enum tap_side side)
{
	struct tap_flow *f;

	if (!t->opt.midstream || in->flags & (TH_RST | TH_FIN) || !(in->flags & TH_ACK) ||
	    in->seg->bad_checksum) {
		TAP_COUNT(t, tap_no_flow);
		return NULL;
	}
	f = tap_flow_new(t, in->seg->tuple, side);
	if (f) {
		f->midstream = true;
		TAP_COUNT(t, tap_flows_midstream);
	}
	return f;
}

static void input_bad(struct tap *t, struct tap_flow *f, enum tap_side side,
		      const struct tap_in *in)
{
	TAP_COUNT(t, tcp_drop_flags);
	if (f && f->app)
		tap_odd(t, f, TAP_bad_flags);
	(void)side;
	(void)in;
}

void tap_input(struct tap *t, const struct tap_segment *seg)
{
	enum tap_side side = TAP_CLIENT;
	struct tap_flow *f;
	struct tap_in in;

	if (seg->time_us > t->now_us)
		t->now_us = seg->time_us;
	tap_expire(t, 2);
	if (!tap_parse(t, seg, &in))
		return;
	f = tap_find(t, seg->tuple, &side);
	if (!f) {
		bool to = tap_is_port(t, seg->tuple->local_port);
		bool from = tap_is_port(t, seg->tuple->remote_port);

		if (!to && !from) {
			TAP_COUNT(t, tap_not_smtp);
			return;
		}
		/* Between two such ports the SYN says who is who. */
		side = (to && from ? (in.flags & (TH_SYN | TH_ACK)) == (TH_SYN | TH_ACK) : from)
			       ? TAP_SERVER
			       : TAP_CLIENT;
	}
	TAP_COUNT(t, tap_segments);
	if (f) {
		f->segments++;
		/* No receiver takes one with a bad checksum: it keeps no flow. */
		if (!seg->bad_checksum) {
			f->last_us = t->now_us;
			tap_flow_list(t, f, f->list);
		}
	}
	if (seg->bad_checksum) {
		if (f) {
			tap_odd(t, f, TAP_bad_checksum);
			tap_lost(&f->dir[side], in.seq, in.seq + in.len, TAP_CAUSE_checksum);
		} else {
			TAP_COUNT(t, tap_bad_checksum);
		}
		return;
	}
	if (!flags_sane(in.flags)) {
		input_bad(t, f, side, &in);
		return;
	}
	if (in.flags & TH_SYN) {
		/* Only the server's port is called. */
		if (f || (side == TAP_CLIENT) == !(in.flags & TH_ACK))
			f = tap_input_syn(t, f, side, &in);
		if (f)
			tap_pump(t, f, TAP_PUMP);
		return;
	}
	if (!f)
		f = midstream(t, &in, side);
	if (f)
		input_flow(t, f, side, &in);
}

void tap_advance(struct tap *t, uint64_t now_us)
{
	if (now_us > t->now_us)
		t->now_us = now_us;
	tap_expire(t, 64);
}

void tap_missed(struct tap *t, enum tap_cause cause)
{
	t->missed_us = t->now_us;
	t->missed_cause = (uint8_t)cause;
}

void tap_finish(struct tap *t)
{
	for (unsigned int l = 0; l < TAP_LIST_COUNT; l++)
		while (!TAILQ_EMPTY(&t->list[l]))
			tap_flow_end(t, TAILQ_FIRST(&t->list[l]));
}
