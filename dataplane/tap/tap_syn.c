/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * How flows begin. A client may call with several numbers; which of them the server took its
 * SYN-ACK says, and nobody else.
 */

#include "dataplane/tap/tap_internal.h"

static void take_syn(struct tap *t, struct tap_flow *f, enum tap_side side, const struct tap_in *in)
{
	struct tap_dir *d = &f->dir[side], *o = &f->dir[!side];

	if (!d->synced || (d->isn != in->seq && d->top == d->isn + 1))
		tap_sync_dir(d, in->seq + 1);
	d->seen = d->syn = true;
	d->ttl = in->seg->ttl;
	d->has_ts = in->has_ts;
	d->ts_recent = in->tsval;
	d->ts_time = t->now_us;
	/* RFC 7323 2.2: in force when both SYNs had it. */
	d->wscale = in->has_wscale ? in->wscale : 0;
	if (o->syn && !in->has_wscale)
		o->wscale = 0;
	if (o->syn && !o->wscale)
		d->wscale = o->has_wscale ? d->wscale : 0;
	d->has_wscale = in->has_wscale;
	if (in->len)
		tap_odd(t, f, TAP_syn_data);
	if (in->flags & TH_ACK)
		tap_take_ack(t, f, side, in);
	if (o->seen)
		tap_flow_list(t, f, TAP_LIST_OPEN);
}

/* Both sides agree on a connection where one was: its end was not in the capture. */
static struct tap_flow *reuse(struct tap *t, struct tap_flow *f, const struct tcp_tuple *tuple,
			      enum tap_side side)
{
	tap_flow_end(t, f);
	return tap_flow_new(t, tuple, side);
}

/* Of the other side's SYN its number is known, and that it has options that the answer has. */
static struct tap_flow *begin_anew(struct tap *t, struct tap_flow *f, enum tap_side side,
				   const struct tap_in *in)
{
	struct tap_dir *o;

	f = reuse(t, f, in->seg->tuple, side);
	if (!f)
		return NULL;
	o = &f->dir[!side];
	tap_sync_dir(o, in->ack);
	o->seen = o->syn = true;
	o->has_wscale = in->has_wscale;
	take_syn(t, f, side, in);
	return f;
}

/* A SYN-ACK that is not for the SYN we took. */
static struct tap_flow *other_syn(struct tap *t, struct tap_flow *f, enum tap_side side,
				  const struct tap_in *in)
{
	struct tap_dir *o = &f->dir[!side];

	o->has_pending = false;
	if (o->top != o->isn + 1)
		return begin_anew(t, f, side, in); /* octets came that the server has not */
	tap_sync_dir(o, in->ack);
	o->has_wscale = in->has_wscale;
	o->wscale = in->has_wscale ? 14 : 0; /* not known: the widest window there may be */
	o->has_ts = false;
	tap_odd(t, f, TAP_syn_in_flow);
	take_syn(t, f, side, in);
	return f;
}

void tap_which_syn(struct tap_flow *f, const struct tap_in *in)
{
	struct tap_dir *d = &f->dir[TAP_CLIENT];

	if (f->dir[TAP_SERVER].seen || d->top != d->isn + 1 ||
	    in->seq - d->nxt <= LIMIT_TAP_ONE_WAY_WINDOW)
		return;
	tap_sync_dir(d, d->has_pending ? d->pending_isn + 1 : in->seq);
	d->has_pending = d->has_ts = false;
}

static void syn_in_flow(struct tap *t, struct tap_flow *f, enum tap_side side,
			const struct tap_in *in)
{
	const struct tcp_tuple *tuple = in->seg->tuple;
	struct tap_dir *d = &f->dir[side], *o = &f->dir[!side];
	uint32_t isn = o->pending_isn;

	if (!(in->flags & TH_ACK)) {
		d->called_again = true;
		if (o->seen || d->top == d->isn + 1) {
			/* RFC 5961 4: it ends nothing. A SYN-ACK would say that it began something.
			 */
			d->has_pending = true;
			d->pending_isn = in->seq;
			return;
		}
		f = reuse(t, f, tuple, side);
		if (f)
			take_syn(t, f, side, in);
		return;
	}
	/* A server in a connection has no other number to begin with. */
	if (!(o->has_pending && in->ack == isn + 1) && !(o->called_again && in->seq != d->isn)) {
		if (!d->syn || in->seq != d->isn)
			tap_odd(t, f, TAP_syn_in_flow);
		return;
	}
	o->has_pending = false;
	begin_anew(t, f, side, in);
}

/*
 * Does the SYN begin a new flow by itself? Behind an RST it does not: the RST may not have reached
 * its receiver, as the SYN may not; the other side's SYN-ACK tells.
 */
static bool may_begin(const struct tap_flow *f, enum tap_side side, const struct tap_in *in)
{
	const struct tap_dir *d = &f->dir[side], *o = &f->dir[!side];

	if (!tap_is_closed(f) || (in->flags & TH_ACK && d->syn && in->seq == d->isn))
		return false;
	return !f->app || !o->seen || !(d->has_rst || o->has_rst);
}

/* The SYN of the other side that we took. What was sent with it may be acknowledged as well. */
static bool not_acked(const struct tap_flow *f, enum tap_side side, const struct tap_in *in)
{
	const struct tap_dir *o = &f->dir[!side];
	uint32_t more = in->ack - (o->isn + 1);

	return o->syn && more > (f->anomalies & 1ull << TAP_syn_data ? UINT16_MAX : 0);
}

struct tap_flow *tap_input_syn(struct tap *t, struct tap_flow *f, enum tap_side side,
			       const struct tap_in *in)
{
	struct tap_dir *d;

	if (f && may_begin(f, side, in)) {
		tap_flow_end(t, f);
		f = NULL;
	}
	if (!f) {
		f = tap_flow_new(t, in->seg->tuple, side);
		if (f)
			take_syn(t, f, side, in);
		return f;
	}
	d = &f->dir[side];
	if (d->syn && in->seq == d->isn && (in->flags & TH_ACK || d->top == d->isn + 1)) {
		/* Again. */
		if (in->flags & TH_ACK && f->dir[!side].has_pending)
			syn_in_flow(t, f, side, in);
		return NULL;
	}
	if (!d->syn && !f->midstream && (!d->seen || d->isn == in->seq)) {
		if (in->flags & TH_ACK && not_acked(f, side, in))
			return other_syn(t, f, side, in);
		take_syn(t, f, side, in);
		return f;
	}
	syn_in_flow(t, f, side, in);
	return NULL;
}
