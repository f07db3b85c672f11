/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What is given to the application, and when. Octets are given when the receiver has acknowledged
 * them and all that their sender had acknowledged when it sent them was given; an ACK past octets
 * that never came here is the proof that they are missing.
 */

#include "dataplane/tap/tap_internal.h"

#define LINE    64u   /* octets of a line of the cache */
#define FETCHED 1536u /* octets that are fetched ahead, at most */

/* One more was acknowledged than came, and nothing stands behind it: a FIN that is not in the
 * capture. */
static bool fin_missing(const struct tap_dir *d)
{
	return !d->has_fin && d->has_ack && !d->ooo && d->acked == d->nxt + 1;
}

/* A FIN has a number of its own. */
static uint32_t given_to(const struct tap_dir *d)
{
	return d->out + ((d->has_fin && d->out == d->fin) || (d->out == d->nxt && fin_missing(d)));
}

/* The end of what may be given of this side: its octets, not its FIN. */
static uint32_t acked_to(const struct tap_flow *f, enum tap_side side)
{
	const struct tap_dir *d = &f->dir[side];
	uint32_t acked = tap_acked(f, side);

	return d->has_fin && acked == d->fin + 1 ? d->fin : acked;
}

static bool is_next(const struct tap_flow *f, enum tap_side side, uint32_t ack)
{
	const struct tap_dir *o = &f->dir[!side];

	/* The application itself waits: then it is for this. */
	if (!o->seen || !o->synced || o->blocked || seq_le(ack, given_to(o)))
		return true;
	/* The server acknowledged this when it had said less than this acknowledges: not true. */
	return side == TAP_CLIENT && f->dir[side].has_ack && seq_gt(ack, o->said);
}

bool tap_may_give(const struct tap_flow *f, enum tap_side side, uint32_t end, uint32_t ack)
{
	const struct tap_dir *d = &f->dir[side];

	if (!f->dir[!side].seen)
		return true;
	return d->has_ack && seq_le(end, acked_to(f, side)) && is_next(f, side, ack);
}

uint32_t tap_give(struct tap *t, struct tap_flow *f, enum tap_side side, const uint8_t *p,
		  uint32_t n, unsigned int how)
{
	struct tap_dir *d = &f->dir[side];
	void *app = tap_app_of(t, f);
	uint32_t k = n;

	if (app) {
		k = (uint32_t)t->env.app->data(app, side, p, n, how);
		if (how & TAP_F_FORCED)
			k = n;
	}
	d->out += k;
	d->blocked = k < n;
	if (k)
		f->dir[!side].blocked = false;
	return k;
}

void tap_give_gap(struct tap *t, struct tap_flow *f, enum tap_side side, const struct tap_piece *p)
{
	void *app = tap_app_of(t, f);

	if (app)
		t->env.app->gap(app, side, p->n, p->cause);
	f->dir[side].out += p->n;
	f->dir[0].blocked = f->dir[1].blocked = false;
}

/* How many octets of the piece may be given. */
static uint32_t allowed(const struct tap_flow *f, enum tap_side side, const struct tap_piece *p,
			unsigned int how)
{
	const struct tap_dir *d = &f->dir[side];
	uint32_t end;

	if (!f->dir[!side].seen)
		return p->n;
	if (!(how & TAP_F_FORCED) && !is_next(f, side, p->ack))
		return 0;
	/* The server said it, whether or not the client lived to hear it. */
	if (how & TAP_F_FORCED && side == TAP_SERVER)
		return p->n;
	end = acked_to(f, side);
	if (!d->has_ack || seq_le(end, p->seq))
		return 0;
	return end - p->seq < p->n ? end - p->seq : p->n;
}

/* A piece lay where it came for as long as its ACK took: it is fetched while the one before is given,
 * with its owner, whose count is next. */
static void fetch(const struct tap_piece *p)
{
	if (!p || !p->p)
		return;
	__builtin_prefetch(p->owner, 1);
	for (uint32_t i = 0; i < p->n && i < FETCHED; i += LINE)
		__builtin_prefetch(p->p + i);
}

void tap_fetch(const struct tap_dir *d)
{
	fetch(d->held);
}

/* True: something was given. */
static bool pump_side(struct tap *t, struct tap_flow *f, enum tap_side side, unsigned int how)
{
	struct tap_dir *d = &f->dir[side];
	bool some = false;

	while (d->held) {
		struct tap_piece *p = d->held;
		uint32_t n, k;

		if (p->p) {
			if (d->blocked && !(how & TAP_F_FORCED))
				break;
			n = allowed(f, side, p, how);
			if (!n)
				break;
			fetch(p->next);
			k = tap_give(t, f, side, p->p, n,
				     how | (f->dir[!side].seen ? 0 : TAP_F_ONE_WAY));
			some |= k != 0;
			d->held_octets -= k;
			p->p += k;
			p->seq += k;
			p->n -= k;
			if (p->n) {
				if (k < n)
					break;
				continue;
			}
		} else {
			if (!(how & TAP_F_FORCED) && !is_next(f, side, p->ack))
				break;
			tap_give_gap(t, f, side, p);
			some = true;
		}
		d->held = p->next;
		d->held_n--;
		if (!d->held)
			d->held_tail = NULL;
		tap_piece_free(t, p);
	}
	return some;
}

static enum tap_cause cause_of(const struct tap *t, const struct tap_dir *d, uint32_t from,
			       uint32_t to)
{
	if (d->lost && seq_lt(d->lost_seq, to) && seq_gt(d->lost_end, from))
		return d->lost_cause;
	if (t->missed_us && d->progress_us <= t->missed_us)
		return t->missed_cause;
	return TAP_CAUSE_never_seen;
}

static void declare_gap(struct tap *t, struct tap_flow *f, enum tap_side side, uint32_t to)
{
	static const uint16_t counter[] = {
#define TAP_GAP_COUNTER(name) CNT_tap_gap_##name,
		TAP_CAUSES(TAP_GAP_COUNTER)};
	struct tap_dir *d = &f->dir[side];
	enum tap_cause cause = cause_of(t, d, d->nxt, to);
	uint32_t n = to - d->nxt;
	struct tap_piece *p = tap_piece_gap(t, d->nxt, n, cause);

	t->env.counters[counter[cause]] += n;
	if (p) {
		p->ack = given_to(&f->dir[!side]); /* it waits for what lies before it, and for
						      nothing else */
		tap_held_add(d, p, p, 1);
	} else {
		/* No piece is left to wait in: what is held before it goes first, so that this is
		 * told at its place. */
		struct tap_piece now = {.seq = d->nxt, .n = n, .cause = (uint8_t)cause};

		pump_side(t, f, side, TAP_F_FORCED);
		tap_give_gap(t, f, side, &now);
	}
	d->nxt = to;
	if (seq_gt(to, d->top))
		d->top = to;
	d->hole_seen = 0;
	tap_drain(d);
}

void tap_gap_to(struct tap *t, struct tap_flow *f, enum tap_side side, uint32_t seq)
{
	struct tap_dir *d = &f->dir[side];

	while (seq_lt(d->nxt, seq))
		declare_gap(t, f, side, d->ooo && seq_lt(d->ooo->seq, seq) ? d->ooo->seq : seq);
}

/* The end of octets that are missing for good; false: none are. */
static bool hole(const struct tap_flow *f, enum tap_side side, uint32_t *to)
{
	const struct tap_dir *d = &f->dir[side];

	if (!d->synced || !d->seen) /* a side that is not in the capture has no gaps */
		return false;
	if (!f->dir[!side].seen) {
		/* A FIN behind octets that are not there says that they were. */
		*to = d->ooo ? d->ooo->seq : d->has_fin ? d->fin : d->nxt;
		return seq_gt(*to, d->nxt);
	}
	*to = acked_to(f, side);
	if (!d->has_ack || seq_le(*to, d->nxt) || fin_missing(d))
		return false;
	if (d->ooo && seq_lt(d->ooo->seq, *to))
		*to = d->ooo->seq;
	return true;
}

/* Is it time to believe in it? */
static bool hole_is_old(struct tap *t, struct tap_flow *f, enum tap_side side)
{
	struct tap_dir *d = &f->dir[side];
	bool one_way = !f->dir[!side].seen;

	if (!d->hole_seen) {
		d->hole_seen = f->segments;
		d->hole_us = t->now_us;
	}
	if (d->ooo_n >= LIMIT_TAP_OOO)
		return true;
	if (f->segments - d->hole_seen >=
	    (one_way ? LIMIT_TAP_ONE_WAY_SEGMENTS : LIMIT_TAP_HOLE_SEGMENTS))
		return true;
	return t->now_us - d->hole_us >=
	       1000ull * (one_way ? LIMIT_TAP_ONE_WAY_MS : LIMIT_TAP_HOLE_MS);
}

static bool look_for_holes(struct tap *t, struct tap_flow *f, enum tap_pump how)
{
	bool some = false;

	for (unsigned int side = 0; side < 2; side++) {
		uint32_t to = 0;

		while (hole(f, side, &to)) {
			if (how == TAP_PUMP && !hole_is_old(t, f, side))
				break;
			declare_gap(t, f, side, to);
			some = true;
		}
	}
	return some;
}

/*
 * Each waits for the other, which no true ACK makes them do: the server acknowledged what answers
 * octets that it has yet to say. A keep-alive does that in a hole.
 */
static bool untie(struct tap_flow *f)
{
	struct tap_piece *c = f->dir[TAP_CLIENT].held, *s = f->dir[TAP_SERVER].held;

	if (!c || !s || !allowed(f, TAP_CLIENT, c, TAP_F_FORCED) ||
	    is_next(f, TAP_CLIENT, c->ack) || is_next(f, TAP_SERVER, s->ack) ||
	    seq_ge(s->seq, c->ack))
		return false;
	s->ack = given_to(&f->dir[TAP_CLIENT]);
	return true;
}

static void pump_both(struct tap *t, struct tap_flow *f)
{
	bool some;

	do {
		some = pump_side(t, f, TAP_CLIENT, 0);
		some |= pump_side(t, f, TAP_SERVER, 0);
	} while (some || untie(f));
}

void tap_pump(struct tap *t, struct tap_flow *f, enum tap_pump how)
{
	do
		pump_both(t, f);
	while (look_for_holes(t, f, how));
	if (how != TAP_PUMP_END)
		return;
	/* Each waits for something that will not come any more. */
	while (pump_side(t, f, TAP_SERVER, TAP_F_FORCED) |
	       pump_side(t, f, TAP_CLIENT, TAP_F_FORCED))
		pump_both(t, f);
}
