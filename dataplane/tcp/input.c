/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A segment of an established connection, in the order of RFC 9293 3.10.7.4. */

#include "dataplane/tcp/internal.h"

#define PAWS_IDLE_S (24u * 24 * 3600) /* RFC 7323 5.5 */

/* Segments of one stage: their buckets and TCBs fit the first-level cache together. */
#define STAGE 32

static void dispatch(struct tcp_stack *s, struct tcp_in *in, uint64_t hash)
{
	uint32_t ref = tcp_table_find(s, in->seg->tuple, hash);

	switch (TCP_REF_KIND(ref)) {
	case KIND_CONN:
		tcp_conn_input(conn_at(s, TCP_REF_INDEX(ref)), in);
		break;
	case KIND_MINI:
		tcp_mini_input(s, in, hash, TCP_REF_INDEX(ref));
		break;
	case KIND_TW:
		tcp_tw_input(s, in, hash, TCP_REF_INDEX(ref));
		break;
	default:
		tcp_listen_input(s, in, hash);
	}
}

void tcp_input(struct tcp_stack *s, const struct tcp_segment *seg)
{
	struct tcp_in in;

	if (tcp_parse(s, seg, &in))
		dispatch(s, &in, tcp_hash(s, seg->tuple));
}

static void input_stage(struct tcp_stack *s, const struct tcp_segment *seg, unsigned int n)
{
	struct tcp_in in[STAGE];
	uint64_t hash[STAGE];
	unsigned int k = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (!tcp_parse(s, &seg[i], &in[k]))
			continue;
		hash[k] = tcp_hash(s, seg[i].tuple);
		__builtin_prefetch(&s->bucket[hash[k] & s->bucket_mask]);
		k++;
	}
	/* A guess: what an earlier segment of the burst does may change it. The search comes after. */
	for (unsigned int i = 0; i < k; i++)
		tcp_table_prefetch(s, hash[i]);
	for (unsigned int i = 0; i < k; i++)
		dispatch(s, &in[i], hash[i]);
}

void tcp_input_burst(struct tcp_stack *s, const struct tcp_segment *seg, unsigned int n)
{
	for (; n > STAGE; seg += STAGE, n -= STAGE)
		input_stage(s, seg, STAGE);
	input_stage(s, seg, n);
}

/* RFC 7323 5.5: after so long a pause TS.Recent says nothing. */
static bool ts_outdated(const struct tcp_conn *c)
{
	return (uint32_t)(c->stack->now_us / 1000000) - c->ts_recent_s > PAWS_IDLE_S;
}

/* RFC 7323 5.3 R1: false: an old duplicate. */
static bool paws(struct tcp_conn *c, const struct tcp_in *in)
{
	if (!(c->flags & CF_TS) || in->flags & TH_RST)
		return true;
	if (!in->has_ts) { /* RFC 7323 3.2 */
		COUNT(c->stack, tcp_drop_no_ts);
		return false;
	}
	if (!seq_lt(in->tsval, c->ts_recent) || ts_outdated(c))
		return true;
	COUNT(c->stack, tcp_drop_paws);
	tcp_answer_oow(c);
	return false;
}

/* RFC 9293 3.10.7.4, first: the four cases. */
static bool in_window(const struct tcp_conn *c, const struct tcp_in *in)
{
	uint32_t len = in->len + !!(in->flags & TH_FIN);
	uint32_t wnd = seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0;

	if (!len)
		return wnd ? in->seq - c->rcv_nxt < wnd : in->seq == c->rcv_nxt;
	if (!wnd)
		return false;
	return in->seq - c->rcv_nxt < wnd || in->seq + len - 1 - c->rcv_nxt < wnd;
}

static void unacceptable(struct tcp_conn *c, const struct tcp_in *in)
{
	struct tcp_stack *s = c->stack;
	uint32_t end = in->seq + in->len;

	if (in->flags & TH_RST) {
		COUNT(s, tcp_rst_rx_bad);
		return;
	}
	if (seq_ge(in->seq, c->rcv_nxt) && c->rcv_adv == c->rcv_nxt)
		COUNT(s, tcp_zero_window_rx);
	else if (in->len && seq_le(end, c->rcv_nxt)) {
		COUNT(s, tcp_duplicate);
		c->flags |= CF_DSACK; /* RFC 2883 4.1 */
		c->dsack_start = in->seq;
		c->dsack_end = end;
	} else {
		COUNT(s, tcp_drop_out_of_window);
	}
	tcp_answer_oow(c);
	/* RFC 9293 3.10.7.4: with a zero window ACKs are processed all the same. */
	if (in->seq == c->rcv_nxt && in->flags & TH_ACK && !(in->flags & TH_SYN))
		(void)tcp_ack_input(c, in);
}

/* RFC 5961 3.2: only an exact RST kills the flow. */
static void reset(struct tcp_conn *c, const struct tcp_in *in)
{
	if (in->seq == c->rcv_nxt) {
		COUNT(c->stack, tcp_rst_rx);
		tcp_conn_kill(c, c->state == ST_LAST_ACK || c->state == ST_CLOSING
					 ? TCP_CLOSED_NORMAL
					 : TCP_CLOSED_RESET);
		return;
	}
	COUNT(c->stack, tcp_rst_rx_bad);
	tcp_challenge(c);
}

void tcp_remember(struct tcp_conn *c, const struct tcp_in *in)
{
	c->path = *in->seg->path; /* replies go where the last accepted segment came from */
	/* RFC 7323 4.3: from the segment that covers the last ACK sent. */
	if (!(c->flags & CF_TS) || !in->has_ts || seq_gt(in->seq, c->last_ack_sent) ||
	    (seq_lt(in->tsval, c->ts_recent) && !ts_outdated(c)))
		return;
	c->ts_recent = in->tsval;
	c->ts_recent_s = (uint32_t)(c->stack->now_us / 1000000);
}

void tcp_conn_input(struct tcp_conn *c, struct tcp_in *in)
{
	if (c->state == ST_DEAD)
		return;
	if (!paws(c, in))
		return;
	if (in->flags & TH_SYN && !(in->flags & TH_RST)) {
		tcp_challenge(c); /* RFC 5961 4.2: wherever its sequence number lies */
		return;
	}
	if (!in_window(c, in)) {
		unacceptable(c, in);
		return;
	}
	if (in->flags & TH_RST) {
		reset(c, in);
		return;
	}
	if (!tcp_ack_input(c, in))
		return;
	if (in->flags & TH_URG)
		COUNT(c->stack, tcp_urgent); /* RFC 6093: inline */
	tcp_text(c, in);
	if (c->state != ST_DEAD)
		tcp_mark_dirty(c);
}
