/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * In-order bytes go up as they lie in the packet. What the application does not take is copied into
 * held blocks and offered again at tcp_resume() only. A byte that finds no block is not
 * acknowledged: the peer keeps it.
 */

#include "dataplane/tcp/internal.h"

#include <string.h>

uint32_t tcp_copy_views(const struct tcp_segment *seg, uint32_t off, uint8_t *to, uint32_t n)
{
	uint32_t done = 0;

	for (unsigned int i = 0; i < seg->n_views && done < n; i++) {
		const struct tcp_view *v = &seg->view[i];
		uint32_t k;

		if (off >= v->n) {
			off -= v->n;
			continue;
		}
		k = min_u32(v->n - off, n - done);
		memcpy(to + done, v->p + off, k);
		done += k;
		off = 0;
	}
	return done;
}

/* Copies payload behind the held bytes; how many found room. */
static uint32_t hold(struct tcp_conn *c, const struct tcp_segment *seg, uint32_t off, uint32_t len)
{
	struct tcp_stack *s = c->stack;
	uint32_t done = 0;

	while (done < len) {
		struct tcp_block *b = c->held_tail != TCP_NONE ? rx_at(s, c->held_tail) : NULL;
		uint32_t room = b ? (uint32_t)sizeof(b->data) - b->end : 0;
		uint32_t k;

		if (!room) {
			uint32_t i = tcp_pool_get(&s->rx);

			if (i == TCP_NONE) {
				COUNT(s, tcp_drop_held_pool);
				break;
			}
			b = rx_at(s, i);
			b->next = TCP_NONE;
			b->off = b->end = 0;
			if (c->held_tail != TCP_NONE)
				rx_at(s, c->held_tail)->next = i;
			else
				c->held_head = i;
			c->held_tail = i;
			room = sizeof(b->data);
		}
		k = tcp_copy_views(seg, off + done, b->data + b->end, min_u32(room, len - done));
		if (!k)
			break;
		b->end = (uint16_t)(b->end + k);
		done += k;
	}
	c->held_bytes += done;
	return done;
}

static void drop_held(struct tcp_conn *c, uint32_t n)
{
	struct tcp_stack *s = c->stack;

	c->held_bytes -= n;
	while (c->held_head != TCP_NONE) {
		uint32_t i = c->held_head;
		struct tcp_block *b = rx_at(s, i);
		uint32_t k = min_u32(n, (uint32_t)(b->end - b->off));

		b->off = (uint16_t)(b->off + k);
		n -= k;
		if (b->off < b->end)
			return;
		c->held_head = b->next;
		if (c->held_head == TCP_NONE)
			c->held_tail = TCP_NONE;
		tcp_pool_put(&s->rx, i);
	}
}

void tcp_discard_held(struct tcp_conn *c)
{
	drop_held(c, c->held_bytes);
}

/* The upcall. Returns what was taken; all of it when the application closed meanwhile. */
static uint32_t call_data(struct tcp_conn *c, const struct tcp_view *view, unsigned int n, uint32_t len)
{
	size_t taken;

	c->flags |= CF_DELIVERING;
	c->flags &= ~CF_RESUME;
	taken = c->stack->env.app->data(c->app, view, n);
	c->flags &= ~CF_DELIVERING;
	if (c->state == ST_DEAD || c->flags & CF_FIN_QUEUED)
		return len;
	return taken < len ? (uint32_t)taken : len;
}

/* Offers held bytes until the application takes no more. */
void tcp_offer_held(struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;
	bool again = true;

	c->flags &= ~CF_REFUSED;
	while (again && c->held_bytes && c->state != ST_DEAD) {
		struct tcp_view view[TCP_MAX_VIEWS];
		unsigned int n = 0;
		uint32_t len = 0, taken;

		for (uint32_t i = c->held_head; i != TCP_NONE && n < TCP_MAX_VIEWS;
		     i = rx_at(s, i)->next) {
			const struct tcp_block *b = rx_at(s, i);

			view[n++] = (struct tcp_view){b->data + b->off, (uint32_t)(b->end - b->off)};
			len += (uint32_t)(b->end - b->off);
		}
		taken = call_data(c, view, n, len);
		if (c->state == ST_DEAD)
			return;
		if (c->flags & CF_FIN_QUEUED) {
			tcp_discard_held(c);
			return;
		}
		drop_held(c, taken);
		again = taken == len || (taken && c->flags & CF_RESUME);
		c->flags &= ~CF_RESUME;
		if (!again)
			c->flags |= CF_REFUSED;
	}
}

/* `want` octets at RCV.NXT straight from the packet. Returns what may be acknowledged. */
static uint32_t deliver(struct tcp_conn *c, const struct tcp_in *in, uint32_t want)
{
	const struct tcp_segment *seg = in->seg;
	struct tcp_view view[TCP_MAX_VIEWS];
	uint32_t off = in->off, taken = 0, part = 0;
	unsigned int n = 0;

	for (unsigned int i = 0; i < seg->n_views && n < TCP_MAX_VIEWS && part < want; i++) {
		const struct tcp_view *v = &seg->view[i];
		uint32_t k;

		if (off >= v->n) {
			off -= v->n;
			continue;
		}
		k = min_u32(v->n - off, want - part);
		view[n++] = (struct tcp_view){v->p + off, k};
		part += k;
		off = 0;
	}
	if (part)
		taken = call_data(c, view, n, part);
	if (c->state == ST_DEAD)
		return 0;
	if (c->flags & CF_FIN_QUEUED)
		return want;
	if (taken < part && !(c->flags & CF_RESUME))
		c->flags |= CF_REFUSED;
	c->flags &= ~CF_RESUME;
	if (taken < want)
		taken += hold(c, seg, in->off + taken, want - taken);
	return taken;
}

/* RFC 9293 3.8.6.3, RFC 5681 4.2: every second segment, a gap filled or left: at once. What is longer
 * than a segment of the path was put together below us: it counts as two. */
static void owe_ack(struct tcp_conn *c, uint32_t len, bool at_once)
{
	c->ack_segs = (uint8_t)(c->ack_segs + 1 + (len > c->mss));
	if (at_once || c->ack_segs >= 2) {
		c->flags |= CF_ACK_NOW;
		return;
	}
	if (!(c->flags & CF_T_DELACK))
		tcp_timer_set(c, CF_T_DELACK, LIMIT_TCP_DELACK_MS);
}

static void advance(struct tcp_in *in, uint32_t n)
{
	in->seq += n;
	in->off += n;
	in->len -= n;
}

/*
 * A segment at RCV.NXT. Where it overlaps what waits out of order, the octets that came first stay:
 * it gives only what lies between. False: not all of it found room.
 */
static bool take_text(struct tcp_conn *c, struct tcp_in *in)
{
	while (in->len) {
		uint32_t n = tcp_ooo_before(c, in->seq, in->len);
		uint32_t kept = c->held_bytes || c->flags & CF_REFUSED
					? hold(c, in->seg, in->off, n)
					: deliver(c, in, n);

		if (c->state == ST_DEAD)
			return false;
		if (c->flags & CF_FIN_QUEUED) { /* closed by data(): the rest goes the same way */
			c->rcv_nxt += in->len;
			tcp_ooo_drain(c);
			return true;
		}
		c->rcv_nxt += kept;
		advance(in, kept);
		if (kept < n)
			return false;
		tcp_ooo_drain(c);
		advance(in, min_u32(c->rcv_nxt - in->seq, in->len));
	}
	return true;
}

static void in_order(struct tcp_conn *c, struct tcp_in *in)
{
	bool gap = c->ooo_head != TCP_NONE, all;
	uint32_t len = in->len;

	if (c->flags & CF_FIN_QUEUED) { /* after close: discarded and acknowledged */
		c->rcv_nxt += in->len;
		tcp_ooo_drain(c);
		owe_ack(c, len, true);
		return;
	}
	if (gap)
		tcp_ooo_compare(c, in);
	all = take_text(c, in);
	if (c->state == ST_DEAD)
		return;
	/* What the gap had kept back goes up as well, unless the application waits for an answer. */
	if (c->held_bytes && !(c->flags & CF_REFUSED))
		tcp_offer_held(c);
	if (c->state != ST_DEAD)
		owe_ack(c, len - in->len, gap || !all);
}

void tcp_eof_check(struct tcp_conn *c)
{
	if (c->state != ST_CLOSE_WAIT || c->held_bytes || c->flags & (CF_EOF_DONE | CF_FIN_QUEUED))
		return;
	c->flags |= CF_EOF_DONE;
	c->stack->env.app->eof(c->app);
}

/* RFC 9293 3.10.7.4, eighth: the FIN is in order. */
static void fin_received(struct tcp_conn *c)
{
	c->flags |= CF_FIN_RCVD | CF_ACK_NOW;
	c->flags &= ~CF_FIN_SEEN;
	c->rcv_nxt++;
	switch (c->state) {
	case ST_ESTABLISHED:
		c->state = ST_CLOSE_WAIT;
		tcp_eof_check(c);
		break;
	case ST_FIN_WAIT_1:
		c->state = ST_CLOSING;
		break;
	case ST_FIN_WAIT_2:
		tcp_tw_enter(c);
		break;
	default:
		break;
	}
}

static void check_fin(struct tcp_conn *c)
{
	if (c->state != ST_DEAD && c->flags & CF_FIN_SEEN && !(c->flags & CF_FIN_RCVD) &&
	    c->rcv_nxt == c->fin_seq)
		fin_received(c);
}

/* Cuts what was received before and what lies beyond the window. */
static void trim(struct tcp_conn *c, struct tcp_in *in)
{
	struct tcp_stack *s = c->stack;
	uint32_t over;

	if (seq_lt(in->seq, c->rcv_nxt)) {
		uint32_t old = min_u32(c->rcv_nxt - in->seq, in->len);

		COUNT(s, tcp_duplicate);
		c->flags |= CF_DSACK | CF_ACK_NOW;
		c->dsack_start = in->seq;
		c->dsack_end = in->seq + old;
		advance(in, old);
	}
	if (in->len && seq_gt(in->seq + in->len, c->rcv_adv)) {
		COUNT(s, tcp_drop_surplus);
		over = min_u32(in->seq + in->len - c->rcv_adv, in->len);
		in->len -= over;
		in->flags &= (uint8_t)~TH_FIN;
		c->flags |= CF_ACK_NOW;
	}
}

void tcp_text(struct tcp_conn *c, struct tcp_in *in)
{
	/* After the peer's FIN nothing more can come. */
	if (c->flags & CF_FIN_RCVD) {
		if (in->len || in->flags & TH_FIN)
			c->flags |= CF_ACK_NOW;
		return;
	}
	trim(c, in);
	if (in->flags & TH_FIN && !(c->flags & CF_FIN_SEEN)) {
		c->flags |= CF_FIN_SEEN;
		c->fin_seq = in->seq + in->len;
	}
	if (c->flags & CF_FIN_SEEN && seq_gt(in->seq + in->len, c->fin_seq))
		in->len = seq_lt(in->seq, c->fin_seq) ? c->fin_seq - in->seq : 0;
	if (in->len && in->seq == c->rcv_nxt) {
		in_order(c, in);
	} else if (in->len) {
		COUNT(c->stack, tcp_ooo);
		c->ooo_segments++;
		if (!(c->flags & CF_FIN_QUEUED))
			tcp_ooo_add(c, in, in->seq, in->off, in->len);
		c->flags |= CF_ACK_NOW;
		if (c->dup_owed < UINT8_MAX)
			c->dup_owed++;
	} else if (in->flags & TH_FIN && c->rcv_nxt != c->fin_seq) {
		c->flags |= CF_ACK_NOW;
	}
	check_fin(c);
}
