/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * More was lost than a window: the numbers of a side are far from those that are known, and would
 * be out of the window for ever. They are believed when they come several times in a row, near each
 * other, with none of the known ones between, from who is believed: of the client's octets the
 * server's ACKs tell, of the server's its own segments. The same leads back if they were false.
 * Where one side alone is in the capture only its own numbers can tell, and it takes more of them.
 */

#include "dataplane/tap/tap_internal.h"

/* Once more far away; true: that is where the side is. */
static bool again(struct tap_dir *d, uint32_t at, unsigned int wanted)
{
	bool near =
		d->far_n && at - d->far + LIMIT_TAP_ONE_WAY_WINDOW <= 2 * LIMIT_TAP_ONE_WAY_WINDOW;

	d->far_n = (uint8_t)(near ? d->far_n + 1 : 1);
	d->far = at;
	if (d->far_n < wanted)
		return false;
	d->far_n = 0;
	return true;
}

/* Back to numbers before those that are known. How many octets are missing nobody knows. */
static void go_back(struct tap *t, struct tap_flow *f, enum tap_side side, uint32_t seq)
{
	struct tap_dir *d = &f->dir[side];
	const struct tap_piece none = {.cause = TAP_CAUSE_never_seen};

	tap_dir_free(t, d);
	d->nxt = d->out = d->top = d->snd = d->acked = seq;
	d->edge = seq + UINT16_MAX;
	d->has_fin = d->has_rst = d->lost = false;
	d->hole_seen = 0;
	tap_give_gap(t, f, side, &none);
}

bool tap_far_ack(struct tap *t, struct tap_flow *f, enum tap_side side, uint32_t ack)
{
	struct tap_dir *d = &f->dir[side];
	/* RFC 5961 5: of octets that were not sent. Those that we did not see lie in the window. */
	bool ahead = seq_gt(ack, d->top + 1) && seq_gt(ack, d->edge + 1);
	bool behind = seq_lt(ack, d->acked - LIMIT_TAP_HELD);

	if (!ahead && !behind) {
		d->far_n = 0;
		return false;
	}
	if (side == TAP_CLIENT && again(d, ack, LIMIT_TAP_FAR)) {
		TAP_COUNT(t, tap_taken_up);
		if (behind)
			go_back(t, f, side, ack);
		return false; /* ahead: what lies between is a hole like others */
	}
	if (ahead)
		TAP_COUNT(t, tap_ack_range);
	return true;
}

void tap_far_segment(struct tap *t, struct tap_flow *f, enum tap_side side, const struct tap_in *in)
{
	struct tap_dir *d = &f->dir[side];
	bool one_way = !f->dir[!side].seen;
	uint32_t end = in->seq + in->len + (in->flags & TH_FIN ? 1 : 0), high, low;

	if (one_way || !d->has_ack) {
		high = d->nxt + LIMIT_TAP_ONE_WAY_WINDOW;
		low = d->nxt - LIMIT_TAP_ONE_WAY_WINDOW;
	} else {
		high = seq_gt(d->edge, d->top) ? d->edge : d->top;
		low = d->nxt - LIMIT_TAP_HELD;
	}
	if (seq_le(in->seq, high + 1) && seq_ge(in->seq, low)) {
		d->snd_before = d->snd;
		if (seq_gt(end, d->snd))
			d->snd = end;
		if (side == TAP_SERVER || one_way)
			d->far_n = 0;
		return;
	}
	if (side == TAP_CLIENT && !one_way)
		return;
	if (!again(d, in->seq, one_way ? LIMIT_TAP_FAR_ONE_WAY : LIMIT_TAP_FAR))
		return;
	TAP_COUNT(t, tap_taken_up);
	if (seq_lt(in->seq, d->nxt))
		go_back(t, f, side, in->seq);
	else
		tap_gap_to(t, f, side, in->seq);
	d->snd = end;
	if (seq_lt(d->acked, in->seq))
		d->acked = in->seq;
	if (seq_lt(d->edge, in->seq + UINT16_MAX))
		d->edge = in->seq + UINT16_MAX;
}
