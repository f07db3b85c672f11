/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tcp/internal.h"

#include <errno.h>
#include <string.h>

static void free_tx(struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;

	while (c->tx_head != TCP_NONE) {
		uint32_t i = c->tx_head;

		c->tx_head = tx_at(s, i)->next;
		tcp_pool_put(&s->tx, i);
	}
	c->tx_tail = TCP_NONE;
}

/* Takes the connection out of everything but the dirty list; no upcall. */
void tcp_conn_release(struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;

	tcp_timer_remove(c);
	tcp_table_del(s, tcp_hash(s, &c->tuple), TCP_REF(KIND_CONN, conn_index(c)));
	tcp_discard_held(c);
	tcp_ooo_free(c);
	free_tx(c);
	tcp_sack_drop(c);
	c->tx_bytes = 0;
	c->state = ST_DEAD;
	s->conns_live--;
	if (!(c->flags & CF_DIRTY)) {
		c->next = s->dead;
		s->dead = conn_index(c);
	}
}

void tcp_conn_kill(struct tcp_conn *c, enum tcp_close_reason reason)
{
	void *app = c->app;

	tcp_conn_release(c);
	c->stack->env.app->closed(app, reason);
}

int tcp_send(struct tcp_conn *c, const void *p, size_t n)
{
	struct tcp_stack *s = c->stack;
	const uint8_t *from = p;
	uint32_t room = 0, need;

	if (c->state == ST_DEAD || c->flags & (CF_FIN_QUEUED | CF_ABORT))
		return -EPIPE;
	if (!n)
		return 0;
	if (n > LIMIT_TCP_SEND_QUEUE - min_u32(c->tx_bytes, LIMIT_TCP_SEND_QUEUE))
		return -ENOBUFS;
	if (c->tx_tail != TCP_NONE)
		room = (uint32_t)sizeof(tx_at(s, c->tx_tail)->data) - tx_at(s, c->tx_tail)->end;
	need = n > room ? (uint32_t)((n - room + sizeof(tx_at(s, 0)->data) - 1) /
				     sizeof(tx_at(s, 0)->data)) : 0;
	if (need > s->tx.count - s->tx.used) {
		COUNT(s, tcp_tx_block_empty);
		return -ENOBUFS;
	}
	while (n) {
		struct tcp_tx_block *b;
		uint32_t k;

		if (!room) {
			uint32_t i = tcp_pool_get(&s->tx);

			b = tx_at(s, i);
			b->next = TCP_NONE;
			b->off = b->end = 0;
			if (c->tx_tail != TCP_NONE)
				tx_at(s, c->tx_tail)->next = i;
			else
				c->tx_head = i;
			c->tx_tail = i;
			room = sizeof(b->data);
		}
		b = tx_at(s, c->tx_tail);
		k = min_u32(room, (uint32_t)min_u32((uint32_t)n, UINT16_MAX));
		memcpy(b->data + b->end, from, k);
		b->end = (uint16_t)(b->end + k);
		c->tx_bytes += k;
		from += k;
		n -= k;
		room -= k;
	}
	tcp_mark_dirty(c);
	return 0;
}

uint32_t tcp_unacked(const struct tcp_conn *c)
{
	return c->tx_bytes;
}

void tcp_close(struct tcp_conn *c)
{
	if (c->state == ST_DEAD || c->flags & CF_FIN_QUEUED)
		return;
	c->flags |= CF_FIN_QUEUED;
	c->state = c->state == ST_CLOSE_WAIT ? ST_LAST_ACK : ST_FIN_WAIT_1;
	/* In data() the held bytes are being read: they go when it has returned. */
	if (!(c->flags & CF_DELIVERING))
		tcp_discard_held(c);
	tcp_mark_dirty(c);
}

static void cut(struct tcp_conn *c, enum tcp_close_reason reason)
{
	if (c->state == ST_DEAD)
		return;
	if (c->flags & CF_ACCEPTING) { /* closed() needs what accept() has yet to return */
		c->flags |= CF_ABORT | (reason == TCP_CLOSED_EVICTED ? CF_EVICT : 0);
		return;
	}
	tcp_conn_rst(c);
	tcp_conn_kill(c, reason);
}

void tcp_abort(struct tcp_conn *c)
{
	cut(c, TCP_CLOSED_ABORTED);
}

void tcp_evict(struct tcp_conn *c)
{
	if (c->state != ST_DEAD)
		COUNT(c->stack, tcp_evicted);
	cut(c, TCP_CLOSED_EVICTED);
}

void tcp_resume(struct tcp_conn *c)
{
	if (c->state == ST_DEAD || c->flags & (CF_FIN_QUEUED | CF_ACCEPTING))
		return;
	if (c->flags & CF_DELIVERING) { /* data() itself got its answer: offer again after it */
		c->flags |= CF_RESUME;
		return;
	}
	tcp_offer_held(c);
	if (c->state == ST_DEAD)
		return;
	tcp_eof_check(c);
	tcp_mark_dirty(c);
}

void tcp_set_window(struct tcp_conn *c, uint32_t octets)
{
	if (c->state == ST_DEAD)
		return;
	c->rcv_limit = min_u32(octets, min_u32(LIMIT_TCP_WINDOW_MAX, 65535u << c->rcv_wscale));
	tcp_mark_dirty(c);
}

void tcp_get_facts(const struct tcp_conn *c, struct tcp_facts *out)
{
	*out = (struct tcp_facts){
		.srtt_us = c->srtt_us, .retransmits = c->retransmits,
		.ooo_segments = c->ooo_segments, .overlap_diff = c->overlap_diff,
		.peer_window = c->snd_wnd, .peer_mss = c->peer_mss, .ttl = c->ttl,
		.handshake = c->flags & CF_COOKIE ? TCP_HANDSHAKE_COOKIE : TCP_HANDSHAKE_NORMAL,
	};
}

const struct tcp_tuple *tcp_get_tuple(const struct tcp_conn *c, struct tcp_tuple *out)
{
	*out = c->tuple;
	return out;
}

/* RFC 1191 6.3, RFC 8201 5.4, RFC 5927 4.1, 7.2. */
void tcp_icmp_error(struct tcp_stack *s, const struct tcp_tuple *tuple, uint32_t quoted_seq,
		    uint32_t mtu)
{
	uint32_t ref = tcp_table_find(s, tuple, tcp_hash(s, tuple));
	struct tcp_conn *c;
	uint32_t mss;

	/* Errors without MTU are soft here (RFC 5927 5): retransmission finds out. */
	if (TCP_REF_KIND(ref) != KIND_CONN || !mtu)
		goto ignored;
	c = conn_at(s, TCP_REF_INDEX(ref));
	if (seq_lt(quoted_seq, c->snd_una) || seq_ge(quoted_seq, c->snd_max))
		goto ignored;
	mss = mtu > 60 ? mtu - (tcp_is_v4(tuple) ? 40 : 60) : 0;
	mss = max_u32(mss, tcp_default_mss(tuple)); /* floor: 576 and 1,280 octets of MTU */
	if (mss >= c->mss)
		goto ignored;
	COUNT(s, tcp_pmtu_lowered);
	c->mss = (uint16_t)mss;
	c->flags &= ~CF_RTT;
	/* What was too big goes out again, cut anew, by slow start to where it was (RFC 8201 5.4); a
	 * recovery under way begins anew as well. */
	c->ssthresh = max_u32(c->cwnd, 2 * mss);
	c->cwnd = mss;
	c->flags &= ~(CF_RECOVERY | CF_SACK_RECOVERY);
	c->recover = c->snd_max;
	c->snd_nxt = c->snd_una;
	tcp_mark_dirty(c);
	return;
ignored:
	COUNT(s, tcp_icmp_ignored);
}
