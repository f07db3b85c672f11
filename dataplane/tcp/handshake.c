/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tcp/internal.h"

#include <string.h>

/*
 * What an outsider may see of a flow is keyed a second time: `hash` is the table's keyed hash of the
 * tuple, 64 bits that never leave, and stands for it here.
 */
static uint64_t flow_secret(const struct tcp_stack *s, uint64_t hash)
{
	return siphash24(s->env.secret + 16, &hash, sizeof(hash));
}

/* RFC 6528 3: ISN = M + F(tuple, secret), M a clock of 4 us. */
uint32_t tcp_isn(const struct tcp_stack *s, uint64_t hash)
{
	return (uint32_t)(s->now_us / 4) + (uint32_t)flow_secret(s, hash);
}

/* RFC 7323 7.1: the timestamp clock starts somewhere else in every flow. */
uint32_t tcp_ts_offset(const struct tcp_stack *s, uint64_t hash)
{
	return (uint32_t)(flow_secret(s, hash) >> 32);
}

uint32_t tcp_ts_now(const struct tcp_stack *s, uint32_t offset)
{
	return s->now + offset;
}

/* RFC 9293 3.7.1, RFC 6691 2: when the peer names none. */
uint16_t tcp_default_mss(const struct tcp_tuple *t)
{
	return tcp_is_v4(t) ? 536 : 1220;
}

static void list_add(struct tcp_stack *s, struct tcp_list *l, uint32_t i)
{
	struct tcp_mini *m = mini_at(s, i);

	m->next = TCP_NONE;
	m->prev = l->tail;
	if (l->tail != TCP_NONE)
		mini_at(s, l->tail)->next = i;
	else
		l->head = i;
	l->tail = i;
}

static void list_del(struct tcp_stack *s, struct tcp_list *l, uint32_t i)
{
	struct tcp_mini *m = mini_at(s, i);

	if (m->prev != TCP_NONE)
		mini_at(s, m->prev)->next = m->next;
	else
		l->head = m->next;
	if (m->next != TCP_NONE)
		mini_at(s, m->next)->prev = m->prev;
	else
		l->tail = m->prev;
}

static void mini_free(struct tcp_stack *s, uint32_t i, bool in_table)
{
	struct tcp_mini *m = mini_at(s, i);

	list_del(s, &s->syn_level[m->level], i);
	if (in_table)
		tcp_table_del(s, tcp_hash(s, &m->tuple), TCP_REF(KIND_MINI, i));
	tcp_pool_put(&s->mini, i);
}

static void send_syn_ack(struct tcp_stack *s, uint32_t i, uint64_t hash)
{
	struct tcp_mini *m = mini_at(s, i);
	struct tcp_path *path = &s->mini_path[i];
	uint8_t opt[40];
	struct tcp_in syn = {.has_wscale = m->wscale != TCP_NO_WSCALE,
			     .has_ts = m->ts, .has_sack_ok = m->sack, .tsval = m->ts_recent};
	struct tcp_bare b = {
		.tuple = &m->tuple, .path = path, .seq = m->iss, .ack = m->irs + 1,
		.flags = TH_SYN | TH_ACK, .opt = opt,
		/* RFC 7323 2.2: the window of a SYN is never scaled. */
		.wnd = (uint16_t)min_u32(s->opt.window_idle, 65535),
	};

	b.opt_len = tcp_options_syn(opt, s->env.mss(s->env.ctx, &m->tuple, path), &syn,
				    m->ts ? tcp_ts_now(s, tcp_ts_offset(s, hash)) : 0);
	tcp_send_bare(s, &b);
}

static bool refuse_syn(struct tcp_stack *s, struct tcp_in *in)
{
	if (!s->env.listening(s->env.ctx, in->seg->tuple)) {
		COUNT(s, tcp_drop_no_flow);
		tcp_reply_rst(s, in);
		return true;
	}
	if (s->pressure >= 2) {
		COUNT(s, tcp_syn_drop_pressure);
		return true;
	}
	return false;
}

/* RFC 9293 3.10.7.2: a SYN in LISTEN. iss_min: RFC 6191, the former connection's SND.NXT. */
void tcp_syn_input(struct tcp_stack *s, struct tcp_in *in, uint64_t hash, uint32_t iss_min,
		   bool has_iss_min)
{
	const struct tcp_segment *seg = in->seg;
	struct tcp_mini *m;
	uint32_t i, mss;

	if (refuse_syn(s, in))
		return;
	COUNT(s, tcp_syn);
	if (in->refused_option)
		COUNT(s, tcp_option_ignored);
	if (seg->payload_len) /* not acknowledged: the peer sends it again (RFC 9293 3.4) */
		COUNT(s, tcp_data_on_syn);
	/* RFC 4987 3.6: cookies only when the pool runs short. */
	if (s->mini.used >= s->opt.max_half_open - s->opt.max_half_open / 4 ||
	    (i = tcp_pool_get(&s->mini)) == TCP_NONE) {
		tcp_cookie_send(s, in, hash);
		return;
	}
	m = mini_at(s, i);
	mss = in->has_mss ? in->mss : tcp_default_mss(seg->tuple);
	*m = (struct tcp_mini){
		.tuple = *seg->tuple,
		.irs = in->seq,
		.iss = tcp_isn(s, hash),
		.ts_recent = in->tsval,
		.deadline = s->now + LIMIT_TCP_RTO_INIT_MS,
		.mss = min_u32(max_u32(mss, LIMIT_TCP_MSS_MIN), 16383) & 0x3fff,
		.wscale = in->has_wscale ? in->wscale & 15 : TCP_NO_WSCALE,
		.ts = in->has_ts && !s->opt.no_timestamps,
		.sack = in->has_sack_ok && !s->opt.no_sack,
		.ttl = seg->ttl,
	};
	if (has_iss_min && seq_le(m->iss, iss_min))
		m->iss = iss_min + 64000; /* RFC 1122 4.2.2.13: above what the former one used */
	s->mini_path[i] = *seg->path;
	list_add(s, &s->syn_level[0], i);
	tcp_table_add(s, hash, TCP_REF(KIND_MINI, i));
	send_syn_ack(s, i, hash);
}

/* No flow: LISTEN or CLOSED (RFC 9293 3.10.7.1, 3.10.7.2). */
void tcp_listen_input(struct tcp_stack *s, struct tcp_in *in, uint64_t hash)
{
	struct tcp_open o;
	struct tcp_conn *c;

	if (in->flags & TH_RST)
		return;
	if ((in->flags & (TH_SYN | TH_ACK)) == TH_SYN) {
		tcp_syn_input(s, in, hash, 0, false);
		return;
	}
	if (!(in->flags & TH_SYN) && tcp_cookie_active(s) &&
	    s->env.listening(s->env.ctx, in->seg->tuple)) {
		if (tcp_cookie_check(s, in, hash, &o)) {
			c = tcp_conn_open(s, &o);
			if (!c)
				return; /* the peer sends again, its ACK still proves it */
			tcp_table_add(s, hash, TCP_REF(KIND_CONN, conn_index(c)));
			COUNT(s, tcp_cookie_accepted);
			c = tcp_conn_accept(c);
			if (c)
				tcp_conn_input(c, in);
			return;
		}
		COUNT(s, tcp_cookie_bad);
	}
	COUNT(s, tcp_drop_no_flow);
	tcp_reply_rst(s, in);
}

static void mini_ack(struct tcp_stack *s, uint32_t i, uint64_t hash)
{
	struct tcp_mini *m = mini_at(s, i);
	struct tcp_bare b = {.tuple = &m->tuple, .path = &s->mini_path[i], .seq = m->iss + 1,
			     .ack = m->irs + 1, .flags = TH_ACK};
	uint32_t wnd = min_u32(s->opt.window_idle, 65535);
	uint8_t opt[TCP_OPT_TS];

	if (!tcp_challenge_allowed(s))
		return;
	if (m->ts) { /* RFC 7323 3.2: in every segment from now on */
		tcp_put_ts(opt, tcp_ts_now(s, tcp_ts_offset(s, hash)), m->ts_recent);
		b.opt = opt;
		b.opt_len = sizeof(opt);
	}
	if (m->wscale != TCP_NO_WSCALE)
		wnd = min_u32((wnd + (1u << TCP_WSCALE) - 1) >> TCP_WSCALE, 65535);
	b.wnd = (uint16_t)wnd;
	tcp_send_bare(s, &b);
}

/* True: the ACK that completes the handshake. Order of RFC 9293 3.10.7.4. */
static bool mini_acceptable(struct tcp_stack *s, struct tcp_in *in, uint64_t hash, uint32_t i)
{
	struct tcp_mini *m = mini_at(s, i);
	uint32_t nxt = m->irs + 1, wnd = min_u32(s->opt.window_idle, 65535);

	if (in->flags & TH_RST) {
		/* RFC 5961 3.2 for SYN-RECEIVED: exact, else challenged. */
		if (in->seq == nxt) {
			COUNT(s, tcp_rst_rx);
			mini_free(s, i, true);
		} else {
			COUNT(s, tcp_rst_rx_bad);
			if (seq_gt(in->seq, nxt) && seq_lt(in->seq, nxt + wnd))
				mini_ack(s, i, hash);
		}
		return false;
	}
	if (in->flags & TH_SYN) {
		if (in->seq == m->irs && !(in->flags & TH_ACK)) { /* the peer did not see ours */
			if (m->ts && in->has_ts && seq_gt(in->tsval, m->ts_recent))
				m->ts_recent = in->tsval; /* RFC 7323 4.3 (2) */
			send_syn_ack(s, i, hash);
		} else {
			mini_ack(s, i, hash); /* RFC 5961 4.2 */
		}
		return false;
	}
	/* RFC 7323 5.3 R1. */
	if (m->ts && in->has_ts && seq_lt(in->tsval, m->ts_recent)) {
		COUNT(s, tcp_drop_paws);
		mini_ack(s, i, hash);
		return false;
	}
	if (in->seq - nxt >= wnd) {
		COUNT(s, tcp_drop_out_of_window);
		mini_ack(s, i, hash);
		return false;
	}
	if (!(in->flags & TH_ACK))
		return false;
	if (in->ack != m->iss + 1) {
		/* RFC 9293 3.10.7.4, fifth: in SYN-RECEIVED a wrong ACK is answered by a RST. */
		COUNT(s, tcp_drop_ack_range);
		tcp_reply_rst(s, in);
		return false;
	}
	return true;
}

void tcp_mini_input(struct tcp_stack *s, struct tcp_in *in, uint64_t hash, uint32_t index)
{
	struct tcp_mini *m = mini_at(s, index);
	struct tcp_open o;
	struct tcp_conn *c;

	if (!mini_acceptable(s, in, hash, index))
		return;
	o = (struct tcp_open){
		.tuple = in->seg->tuple, .path = in->seg->path, .irs = m->irs, .iss = m->iss,
		.ts_recent = m->ts_recent, .mss = (uint16_t)m->mss, .wscale = m->wscale,
		.ttl = m->ttl, .ts = m->ts, .sack = m->sack,
		.resent = m->level > 0, .timed = !m->level,
		/* At level 0 the SYN-ACK's time is its deadline less the first time-out. */
		.rtt_us = (s->now - (m->deadline - LIMIT_TCP_RTO_INIT_MS)) * 1000,
		.ts_offset = tcp_ts_offset(s, hash),
	};
	c = tcp_conn_open(s, &o);
	if (!c)
		return; /* the mini-TCB stays; its SYN-ACK makes the peer try again */
	tcp_table_swap(s, hash, TCP_REF(KIND_MINI, index), TCP_REF(KIND_CONN, conn_index(c)));
	mini_free(s, index, false);
	c = tcp_conn_accept(c);
	if (c)
		tcp_conn_input(c, in);
}

struct tcp_conn *tcp_conn_open(struct tcp_stack *s, const struct tcp_open *o)
{
	uint32_t i = tcp_pool_get(&s->conn);
	uint32_t wnd = min_u32(s->opt.window_idle, 65535);
	struct tcp_conn *c;

	if (i == TCP_NONE) {
		COUNT(s, tcp_conn_drop_pool);
		return NULL;
	}
	c = conn_at(s, i);
	memset(c, 0, sizeof(*c));
	c->tuple = *o->tuple;
	c->path = *o->path;
	c->stack = s;
	c->state = ST_ESTABLISHED;
	c->flags = (o->ts ? CF_TS : 0) | (o->sack ? CF_SACK : 0) | (o->cookie ? CF_COOKIE : 0);
	if (o->wscale != TCP_NO_WSCALE) {
		c->snd_wscale = o->wscale & 15;
		c->rcv_wscale = TCP_WSCALE;
	}
	c->rcv_nxt = o->irs + 1;
	c->rcv_adv = c->rcv_nxt + wnd;
	c->last_ack_sent = c->rcv_nxt;
	c->rcv_limit = wnd;
	c->snd_una = c->snd_nxt = c->snd_max = o->iss + 1;
	c->snd_wl1 = o->irs;
	c->recover = o->iss - 1; /* RFC 6582 3.2: the first flight may be repaired, too */
	c->ts_recent = o->ts_recent;
	c->ts_recent_s = (uint32_t)(s->now_us / 1000000);
	c->ts_offset = o->ts_offset;
	c->held_head = c->held_tail = c->ooo_head = c->ooo_tail = TCP_NONE;
	c->tx_head = c->tx_tail = c->board = TCP_NONE;
	c->ttl = o->ttl;
	c->peer_mss = o->mss;
	c->mss = (uint16_t)min_u32(o->mss, s->env.mss(s->env.ctx, o->tuple, o->path));
	c->rto = LIMIT_TCP_RTO_INIT_MS;
	c->last_send = s->now;
	tcp_cc_init(c);
	if (o->resent) { /* RFC 6298 5.7, RFC 5681 3.1 */
		c->rto = LIMIT_TCP_RTO_LOST_SYN_MS;
		c->cwnd = c->mss;
	} else if (o->timed) {
		tcp_rtt_sample(c, o->rtt_us);
	}
	s->conns_live++;
	return c;
}

struct tcp_conn *tcp_conn_accept(struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;
	void *app;

	c->flags |= CF_ACCEPTING;
	app = s->env.app->accept(s->env.ctx, c, &c->tuple);
	c->flags &= ~CF_ACCEPTING;
	c->app = app;
	if (!app) {
		COUNT(s, tcp_refused);
		tcp_conn_rst(c);
		tcp_conn_release(c);
		return NULL;
	}
	COUNT(s, tcp_accepted);
	if (c->flags & CF_ABORT) {
		tcp_conn_rst(c);
		tcp_conn_kill(c, c->flags & CF_EVICT ? TCP_CLOSED_EVICTED : TCP_CLOSED_ABORTED);
		return NULL;
	}
	return c;
}

/* RFC 6298 5.7: SYN-ACKs again after 1, 2, 4 … s. All entries of a level wait equally long, so
 * each level is a queue. */
bool tcp_mini_timers(struct tcp_stack *s)
{
	unsigned int budget = TCP_TIMERS_A_CALL;

	for (uint32_t level = 0; level <= TCP_SYN_LEVELS; level++) {
		for (;;) {
			uint32_t i = s->syn_level[level].head;
			struct tcp_mini *m;

			if (i == TCP_NONE)
				break;
			m = mini_at(s, i);
			if (seq_lt(s->now, m->deadline))
				break;
			if (!budget--)
				return true;
			if (level >= LIMIT_TCP_SYN_RETRIES) {
				mini_free(s, i, true);
				continue;
			}
			list_del(s, &s->syn_level[level], i);
			m->level = (level + 1) & 7;
			m->deadline = s->now + (LIMIT_TCP_RTO_INIT_MS << m->level);
			list_add(s, &s->syn_level[m->level], i);
			COUNT(s, tcp_retransmit);
			send_syn_ack(s, i, tcp_hash(s, &m->tuple));
		}
	}
	return false;
}
