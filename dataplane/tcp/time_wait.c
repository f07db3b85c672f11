/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tcp/internal.h"

#include <limits.h>
#include <string.h>

static void list_add(struct tcp_stack *s, uint32_t i)
{
	struct tcp_tw *w = tw_at(s, i);

	w->next = TCP_NONE;
	w->prev = s->tw_list.tail;
	if (w->prev != TCP_NONE)
		tw_at(s, w->prev)->next = i;
	else
		s->tw_list.head = i;
	s->tw_list.tail = i;
}

static void list_del(struct tcp_stack *s, uint32_t i)
{
	struct tcp_tw *w = tw_at(s, i);

	if (w->prev != TCP_NONE)
		tw_at(s, w->prev)->next = w->next;
	else
		s->tw_list.head = w->next;
	if (w->next != TCP_NONE)
		tw_at(s, w->next)->prev = w->prev;
	else
		s->tw_list.tail = w->prev;
}

static void tw_free(struct tcp_stack *s, uint32_t i)
{
	struct tcp_tw *w = tw_at(s, i);
	uint64_t hash = tcp_hash_parts(s, w->remote, w->remote_port, w->local_port, w->local_hash);

	list_del(s, i);
	tcp_table_del(s, hash, TCP_REF(KIND_TW, i));
	tcp_pool_put(&s->tw, i);
}

/* Both FINs are acknowledged: 48 octets are enough for the rest (RFC 9293 3.6.1). */
void tcp_tw_enter(struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;
	uint32_t i = tcp_pool_get(&s->tw);

	if (i == TCP_NONE && s->tw_list.head != TCP_NONE) {
		COUNT(s, tcp_time_wait_recycled);
		tw_free(s, s->tw_list.head);
		i = tcp_pool_get(&s->tw);
	}
	if (c->flags & CF_ACK_NOW) /* the TCB goes, the FIN's ACK must not go with it */
		tcp_send_ack(c);
	if (i != TCP_NONE) {
		struct tcp_tw *w = tw_at(s, i);

		*w = (struct tcp_tw){
			.remote_port = c->tuple.remote_port, .local_port = c->tuple.local_port,
			.local_hash = tcp_local_hash(s, c->tuple.local),
			.rcv_nxt = c->rcv_nxt, .snd_nxt = c->snd_nxt,
			.expires = s->now + s->opt.time_wait_ms,
		};
		memcpy(w->remote, c->tuple.remote, 16);
		if (c->flags & CF_TS)
			w->ts_recent = c->ts_recent ? c->ts_recent : 1;
		list_add(s, i);
		COUNT(s, tcp_time_wait);
	}
	tcp_conn_kill(c, TCP_CLOSED_NORMAL);
	if (i != TCP_NONE)
		tcp_table_add(s, tcp_hash(s, &c->tuple), TCP_REF(KIND_TW, i));
}

static void tw_ack(struct tcp_stack *s, const struct tcp_in *in, const struct tcp_tw *w, uint64_t hash)
{
	struct tcp_bare b = {.tuple = in->seg->tuple, .path = in->seg->path, .seq = w->snd_nxt,
			     .ack = w->rcv_nxt, .flags = TH_ACK,
			     .wnd = 65535}; /* not below what was offered before; nothing can come */
	uint8_t opt[TCP_OPT_TS];

	if (!tcp_challenge_allowed(s))
		return;
	if (w->ts_recent) {
		tcp_put_ts(opt, tcp_ts_now(s, tcp_ts_offset(s, hash)), w->ts_recent);
		b.opt = opt;
		b.opt_len = sizeof(opt);
	}
	tcp_send_bare(s, &b);
}

/* RFC 6191 2: a SYN may reuse the pair when it is surely newer. */
static bool newer(const struct tcp_tw *w, const struct tcp_in *in)
{
	if (w->ts_recent && in->has_ts && in->tsval != w->ts_recent)
		return seq_gt(in->tsval, w->ts_recent);
	return seq_gt(in->seq, w->rcv_nxt);
}

void tcp_tw_input(struct tcp_stack *s, struct tcp_in *in, uint64_t hash, uint32_t index)
{
	struct tcp_tw *w = tw_at(s, index);
	uint32_t len = in->len + !!(in->flags & TH_FIN);
	bool old = false;

	if (in->flags & TH_RST) { /* RFC 1337: TIME_WAIT is not assassinated */
		COUNT(s, tcp_rst_rx_bad);
		return;
	}
	if ((in->flags & (TH_SYN | TH_ACK)) == TH_SYN && newer(w, in)) {
		uint32_t snd_nxt = w->snd_nxt;

		COUNT(s, tcp_time_wait_reuse);
		tw_free(s, index);
		tcp_syn_input(s, in, hash, snd_nxt, true);
		return;
	}
	if (w->ts_recent && in->has_ts && !(in->flags & TH_SYN)) { /* RFC 7323 5.3 */
		old = seq_lt(in->tsval, w->ts_recent);
		if (old)
			COUNT(s, tcp_drop_paws);
		else if (in->seq + len == w->rcv_nxt && in->ack == w->snd_nxt && in->tsval)
			w->ts_recent = in->tsval; /* of the last segment again, not of a guess */
	}
	if (in->flags & TH_SYN || len || old) {
		tw_ack(s, in, w, hash);
		/* RFC 9293 3.10.7.4, eighth: the peer's FIN again restarts 2 MSL. */
		if (in->flags & TH_FIN && in->seq + len == w->rcv_nxt && !old) {
			w->expires = s->now + s->opt.time_wait_ms;
			list_del(s, index);
			list_add(s, index);
		}
		return;
	}
	if (in->seq != w->rcv_nxt) {
		COUNT(s, tcp_drop_out_of_window);
		tw_ack(s, in, w, hash);
	}
}

bool tcp_tw_timers(struct tcp_stack *s)
{
	unsigned int budget = 4 * TCP_TIMERS_A_CALL; /* nothing is sent */

	while (budget-- && s->tw_list.head != TCP_NONE &&
	       seq_ge(s->now, tw_at(s, s->tw_list.head)->expires))
		tw_free(s, s->tw_list.head);
	return budget == UINT_MAX;
}
