/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Out-of-order bytes, copied into blocks, in a list by sequence number without overlap: the first
 * accepted byte wins, an overlap that differs is counted and marks the session. Budgeted: a
 * connection by its window, all together by half of the pool.
 */

#include "dataplane/tcp/internal.h"

#include <string.h>

static uint32_t block_end(const struct tcp_block *b)
{
	return b->seq + (uint32_t)(b->end - b->off);
}

static void free_block(struct tcp_conn *c, uint32_t i)
{
	struct tcp_stack *s = c->stack;

	tcp_pool_put(&s->rx, i);
	s->ooo_used--;
	c->ooo_blocks--;
}

/* A new block behind prev. TCP_NONE: no budget. */
static uint32_t insert(struct tcp_conn *c, uint32_t prev, uint32_t seq)
{
	struct tcp_stack *s = c->stack;
	uint32_t budget = c->rcv_limit / 256 + 8; /* small segments cost a block each */
	struct tcp_block *b;
	uint32_t i;

	if (s->ooo_used >= s->opt.blocks / 2 || c->ooo_blocks >= budget)
		return TCP_NONE;
	i = tcp_pool_get(&s->rx);
	if (i == TCP_NONE)
		return TCP_NONE;
	s->ooo_used++;
	c->ooo_blocks++;
	b = rx_at(s, i);
	b->seq = seq;
	b->off = b->end = 0;
	b->next = prev != TCP_NONE ? rx_at(s, prev)->next : c->ooo_head;
	if (prev != TCP_NONE)
		rx_at(s, prev)->next = i;
	else
		c->ooo_head = i;
	if (c->ooo_tail == prev)
		c->ooo_tail = i;
	return i;
}

/* Bytes for a gap, behind prev. Returns the block they ended in; TCP_NONE: no room. */
static uint32_t fill(struct tcp_conn *c, const struct tcp_in *in, uint32_t prev, uint32_t seq,
		     uint32_t off, uint32_t len)
{
	struct tcp_stack *s = c->stack;

	while (len) {
		struct tcp_block *b = prev != TCP_NONE ? rx_at(s, prev) : NULL;
		uint32_t k;

		if (!b || block_end(b) != seq || b->end == sizeof(b->data)) {
			prev = insert(c, prev, seq);
			if (prev == TCP_NONE) {
				COUNT(s, tcp_drop_ooo_budget);
				return TCP_NONE;
			}
			b = rx_at(s, prev);
		}
		k = tcp_copy_views(in->seg, off, b->data + b->end,
				   min_u32(len, (uint32_t)sizeof(b->data) - b->end));
		if (!k)
			return TCP_NONE;
		b->end = (uint16_t)(b->end + k);
		b->stamp = s->ooo_stamp;
		seq += k;
		off += k;
		len -= k;
	}
	return prev;
}

static bool differs(const struct tcp_in *in, const struct tcp_block *b, uint32_t seq, uint32_t off,
		    uint32_t len)
{
	uint8_t copy[sizeof(b->data)];
	uint32_t n = tcp_copy_views(in->seg, off, copy, len);

	return memcmp(copy, b->data + b->off + (seq - b->seq), n) != 0;
}

static void mark_differed(struct tcp_conn *c)
{
	COUNT(c->stack, tcp_overlap_diff);
	if (c->overlap_diff < UINT16_MAX)
		c->overlap_diff++;
}

uint32_t tcp_ooo_before(const struct tcp_conn *c, uint32_t seq, uint32_t len)
{
	return c->ooo_head == TCP_NONE ? len : min_u32(len, rx_at(c->stack, c->ooo_head)->seq - seq);
}

void tcp_ooo_compare(struct tcp_conn *c, const struct tcp_in *in)
{
	uint32_t end = in->seq + in->len;

	for (uint32_t i = c->ooo_head; i != TCP_NONE; i = rx_at(c->stack, i)->next) {
		const struct tcp_block *b = rx_at(c->stack, i);
		uint32_t n;

		if (seq_ge(b->seq, end))
			return;
		n = min_u32(end - b->seq, block_end(b) - b->seq);
		if (!differs(in, b, b->seq, in->off + (b->seq - in->seq), n))
			continue;
		mark_differed(c);
		return;
	}
}

void tcp_ooo_add(struct tcp_conn *c, const struct tcp_in *in, uint32_t seq, uint32_t off,
		 uint32_t len)
{
	struct tcp_stack *s = c->stack;
	uint32_t prev = TCP_NONE, cur = c->ooo_head;
	bool differed = false;

	s->ooo_stamp++;
	while (len) {
		struct tcp_block *b;
		uint32_t n = len;

		while (cur != TCP_NONE && seq_le(block_end(rx_at(s, cur)), seq)) {
			prev = cur;
			cur = rx_at(s, cur)->next;
		}
		b = cur != TCP_NONE ? rx_at(s, cur) : NULL;
		if (!b || seq_lt(seq, b->seq)) {
			if (b)
				n = min_u32(n, b->seq - seq);
			prev = fill(c, in, prev, seq, off, n);
			if (prev == TCP_NONE)
				break;
		} else {
			n = min_u32(n, block_end(b) - seq);
			differed |= differs(in, b, seq, off, n);
			b->stamp = s->ooo_stamp;
			c->flags |= CF_DSACK; /* RFC 2883 4.2 */
			c->dsack_start = seq;
			c->dsack_end = seq + n;
		}
		seq += n;
		off += n;
		len -= n;
	}
	if (differed)
		mark_differed(c);
}

void tcp_ooo_drain(struct tcp_conn *c)
{
	struct tcp_stack *s = c->stack;
	bool discard = c->flags & CF_FIN_QUEUED;

	while (c->ooo_head != TCP_NONE) {
		uint32_t i = c->ooo_head, n;
		struct tcp_block *b = rx_at(s, i);

		if (seq_gt(b->seq, c->rcv_nxt))
			return;
		c->ooo_head = b->next;
		if (c->ooo_head == TCP_NONE)
			c->ooo_tail = TCP_NONE;
		if (seq_le(block_end(b), c->rcv_nxt)) {
			free_block(c, i);
			continue;
		}
		b->off = (uint16_t)(b->off + (c->rcv_nxt - b->seq));
		n = (uint32_t)(b->end - b->off);
		c->rcv_nxt += n;
		if (discard) {
			free_block(c, i);
			continue;
		}
		s->ooo_used--;
		c->ooo_blocks--;
		b->next = TCP_NONE;
		if (c->held_tail != TCP_NONE)
			rx_at(s, c->held_tail)->next = i;
		else
			c->held_head = i;
		c->held_tail = i;
		c->held_bytes += n;
	}
}

void tcp_ooo_free(struct tcp_conn *c)
{
	while (c->ooo_head != TCP_NONE) {
		uint32_t i = c->ooo_head;

		c->ooo_head = rx_at(c->stack, i)->next;
		free_block(c, i);
	}
	c->ooo_tail = TCP_NONE;
}

/* RFC 2018 4: the range of the newest segment first, then by age. */
unsigned int tcp_ooo_ranges(const struct tcp_conn *c, uint32_t (*range)[2], unsigned int max)
{
	uint32_t stamp[4], newest;
	unsigned int n = 0;
	uint32_t i = c->ooo_head;

	while (i != TCP_NONE && max) {
		const struct tcp_block *b = rx_at(c->stack, i);
		uint32_t start = b->seq, end = block_end(b);
		unsigned int at;

		newest = b->stamp;
		while (b->next != TCP_NONE && rx_at(c->stack, b->next)->seq == end) {
			b = rx_at(c->stack, b->next);
			end = block_end(b);
			if (seq_gt(b->stamp, newest))
				newest = b->stamp;
		}
		i = b->next;
		for (at = 0; at < n && seq_ge(stamp[at], newest); at++)
			;
		if (at >= max)
			continue;
		if (n < max)
			n++;
		for (unsigned int k = n - 1; k > at; k--) {
			stamp[k] = stamp[k - 1];
			memcpy(range[k], range[k - 1], sizeof(range[k]));
		}
		stamp[at] = newest;
		range[at][0] = start;
		range[at][1] = end;
	}
	return n;
}
