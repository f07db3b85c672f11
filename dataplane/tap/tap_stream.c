/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The payload of a side. What the receiver would not take is not taken here either: octets beyond
 * its window, octets that were there before. Of octets that came twice before they were
 * acknowledged the first are kept, as most receivers do, and a difference is told.
 */

#include "dataplane/tap/tap_internal.h"

static uint32_t piece_end(const struct tap_piece *p)
{
	return p->seq + p->n;
}

void tap_lost(struct tap_dir *d, uint32_t seq, uint32_t end, enum tap_cause cause)
{
	if (d->lost && d->lost_cause == cause && seq_le(seq, d->lost_end) &&
	    seq_ge(end, d->lost_seq)) {
		d->lost_seq = seq_lt(seq, d->lost_seq) ? seq : d->lost_seq;
		d->lost_end = seq_gt(end, d->lost_end) ? end : d->lost_end;
		return;
	}
	d->lost = true;
	d->lost_seq = seq;
	d->lost_end = end;
	d->lost_cause = (uint8_t)cause;
}

void tap_held_add(struct tap_dir *d, struct tap_piece *first, struct tap_piece *last, uint16_t n)
{
	if (d->held_tail)
		d->held_tail->next = first;
	else
		d->held = first;
	last->next = NULL;
	d->held_tail = last;
	d->held_n = (uint16_t)(d->held_n + n);
}

void tap_drain(struct tap_dir *d)
{
	while (d->ooo && d->ooo->seq == d->nxt) {
		struct tap_piece *p = d->ooo;

		d->ooo = p->next;
		d->ooo_n--;
		d->nxt += p->n;
		d->held_octets += p->n;
		tap_held_add(d, p, p, 1);
	}
}

/* Again what waits already: only what was not given can be compared. */
static bool held_differs(const struct tap_dir *d, const struct tap_in *in, uint32_t end)
{
	for (const struct tap_piece *p = d->held; p && seq_lt(p->seq, end); p = p->next)
		if (seq_gt(piece_end(p), in->seq) && tap_piece_differs(in, p, in->seq, end))
			return true;
	return false;
}

/* Bound reached: all of this side that is in order goes, acknowledged or not. */
static void give_unacked(struct tap *t, struct tap_flow *f, enum tap_side side,
			 const struct tap_in *in, uint32_t off, uint32_t n)
{
	struct tap_dir *d = &f->dir[side];
	const struct tap_segment *seg = in->seg;

	while (d->held) {
		struct tap_piece *p = d->held;

		d->held = p->next;
		d->held_n--;
		if (p->p) {
			d->held_octets -= p->n;
			TAP_ADD(t, tap_unacked, p->n);
			tap_give(t, f, side, p->p, p->n, TAP_F_FORCED);
		} else {
			tap_give_gap(t, f, side, p);
		}
		tap_piece_free(t, p);
	}
	d->held_tail = NULL;
	TAP_ADD(t, tap_unacked, n);
	for (unsigned int i = 0; i < seg->n_views && n; i++) {
		const struct tap_view *v = &seg->view[i];
		uint32_t k;

		if (off >= v->n) {
			off -= v->n;
			continue;
		}
		k = v->n - off < n ? v->n - off : n;
		tap_give(t, f, side, v->p + off, k, TAP_F_FORCED);
		n -= k;
		off = 0;
	}
}

/* Straight from the segment, as long as it is taken. Returns what was. */
static uint32_t give_now(struct tap *t, struct tap_flow *f, enum tap_side side,
			 const struct tap_in *in, uint32_t off, uint32_t n)
{
	unsigned int how = f->dir[!side].seen ? 0 : TAP_F_ONE_WAY;
	const struct tap_segment *seg = in->seg;
	uint32_t taken = 0;

	for (unsigned int i = 0; i < seg->n_views && taken < n; i++) {
		const struct tap_view *v = &seg->view[i];
		uint32_t k, did;

		if (off >= v->n) {
			off -= v->n;
			continue;
		}
		k = v->n - off < n - taken ? v->n - off : n - taken;
		did = tap_give(t, f, side, v->p + off, k, how);
		taken += did;
		if (did < k)
			break;
		off = 0;
	}
	return taken;
}

static void in_order(struct tap *t, struct tap_flow *f, enum tap_side side, const struct tap_in *in,
		     uint32_t off, uint32_t n)
{
	struct tap_dir *d = &f->dir[side];
	struct tap_piece *first, *last;
	uint16_t count;

	d->nxt += n;
	d->hole_seen = 0;
	d->progress_us = t->now_us;
	if (!d->held && !d->blocked && tap_may_give(f, side, d->nxt, in->ack)) {
		uint32_t taken = give_now(t, f, side, in, off, n);

		off += taken;
		n -= taken;
		if (!n)
			return;
	}
	if (d->held_n < LIMIT_TAP_HELD_PIECES && d->held_octets + n <= LIMIT_TAP_HELD) {
		first = tap_piece_take(t, in, off, n, &last, &count);
		if (first) {
			d->held_octets += n;
			tap_held_add(d, first, last, count);
			return;
		}
	}
	give_unacked(t, f, side, in, off, n);
}

static void out_of_order(struct tap *t, struct tap_flow *f, enum tap_side side,
			 const struct tap_in *in, uint32_t seq, uint32_t end)
{
	struct tap_dir *d = &f->dir[side];
	struct tap_piece **at = &d->ooo, *first, *last;
	bool differs = false;
	uint16_t count;
	uint32_t n;

	for (; seq_lt(seq, end); seq += n) {
		while (*at && seq_le(piece_end(*at), seq))
			at = &(*at)->next;
		if (*at && seq_ge(seq, (*at)->seq)) {
			n = seq_lt(piece_end(*at), end) ? piece_end(*at) - seq : end - seq;
			differs |= tap_piece_differs(in, *at, seq, seq + n);
			continue;
		}
		n = *at && seq_lt((*at)->seq, end) ? (*at)->seq - seq : end - seq;
		if (d->ooo_n >= LIMIT_TAP_OOO) {
			TAP_COUNT(t, tap_ooo_cap);
			tap_lost(d, seq, end, TAP_CAUSE_ooo_cap);
			break;
		}
		first = tap_piece_take(t, in, seq - in->seq, n, &last, &count);
		if (!first) {
			TAP_COUNT(t, tap_budget);
			tap_lost(d, seq, end, TAP_CAUSE_budget);
			break;
		}
		last->next = *at;
		*at = first;
		at = &last->next;
		d->ooo_n = (uint16_t)(d->ooo_n + count);
	}
	if (differs)
		tap_odd(t, f, TAP_overlap_diff);
}

/* The end of what the receiver has room for; false: nothing of it. */
static bool in_window(struct tap *t, struct tap_flow *f, enum tap_side side,
		      const struct tap_in *in, uint32_t *end)
{
	struct tap_dir *d = &f->dir[side];
	uint32_t edge = d->edge;

	if (!f->dir[!side].seen || !d->has_ack) {
		if (seq_lt(in->seq, d->nxt + LIMIT_TAP_ONE_WAY_WINDOW))
			return true;
		tap_odd(t, f, TAP_out_of_window);
		return false;
	}
	if (seq_le(*end, edge))
		return true;
	/* RFC 9293 3.8.6.1: an octet is sent into a closed window. Whether it was taken its ACK
	 * tells. */
	if (in->len == 1 && in->seq == edge && edge == d->acked) {
		TAP_COUNT(t, tap_probe);
		return true;
	}
	tap_odd(t, f, TAP_out_of_window);
	/* RFC 9293 3.10.7.4: what lies in the window is taken, the rest is cut off. */
	*end = edge;
	return seq_lt(in->seq, edge);
}

static void note_size(struct tap *t, struct tap_flow *f, struct tap_dir *d, uint32_t n)
{
	if (n > LIMIT_TAP_TINY) {
		d->tiny = 0;
		return;
	}
	if (d->tiny < UINT8_MAX && ++d->tiny == LIMIT_TAP_TINY_RUN)
		tap_odd(t, f, TAP_tiny_segments);
}

void tap_text(struct tap *t, struct tap_flow *f, enum tap_side side, const struct tap_in *in)
{
	struct tap_dir *d = &f->dir[side];
	uint32_t seq = in->seq, end = seq + in->len, n;

	if (!in_window(t, f, side, in, &end))
		return;
	/* RFC 1122 4.2.3.6: the octet before what the receiver waits for, none that was ever sent.
	 * What was sent there is missing. */
	if (in->len == 1 && seq_gt(seq, d->nxt) && d->has_ack && end == d->acked &&
	    seq_lt(seq, d->snd_before)) {
		TAP_COUNT(t, tap_keepalive);
		return;
	}
	if (seq_lt(seq, d->nxt)) {
		/* RFC 1122 4.2.3.6: the octet before, perhaps none that was ever sent. */
		if (in->len == 1 && end == d->nxt && seq_lt(seq, d->out)) {
			TAP_COUNT(t, tap_keepalive);
			return;
		}
		if (held_differs(d, in, seq_lt(end, d->nxt) ? end : d->nxt))
			tap_odd(t, f, TAP_overlap_diff);
		if (seq_le(end, d->nxt)) {
			TAP_COUNT(t, tap_retransmitted);
			return;
		}
		seq = d->nxt;
	}
	if (d->has_rst && seq_gt(end, d->rst))
		tap_odd(t, f, TAP_data_after_rst);
	if (d->has_fin && seq_gt(end, d->fin))
		tap_odd(t, f, TAP_data_after_fin);
	note_size(t, f, d, in->len);
	if (seq_gt(end, d->top))
		d->top = end;
	if (seq == d->nxt) {
		n = d->ooo && seq_lt(d->ooo->seq, end) ? d->ooo->seq - seq : end - seq;
		if (n)
			in_order(t, f, side, in, seq - in->seq, n);
		seq += n;
	} else {
		TAP_COUNT(t, tap_out_of_order);
	}
	if (seq_lt(seq, end))
		out_of_order(t, f, side, in, seq, end);
	tap_drain(d);
}
