/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tcp/internal.h"

#include <string.h>

void tcp_put_header(uint8_t *h, const struct tcp_tuple *t, uint32_t seq, uint32_t ack,
		    uint8_t flags, uint16_t wnd, size_t opt_len)
{
	put16(h, t->local_port);
	put16(h + 2, t->remote_port);
	put32(h + 4, seq);
	put32(h + 8, ack);
	h[12] = (uint8_t)((20 + opt_len) / 4 << 4);
	h[13] = flags;
	put16(h + 14, wnd);
	put16(h + 16, 0);
	put16(h + 18, 0);
}

/* A segment without payload that belongs to no TCB. */
void tcp_send_bare(struct tcp_stack *s, const struct tcp_bare *b)
{
	uint8_t h[TCP_HEADER_MAX];

	tcp_put_header(h, b->tuple, b->seq, b->ack, b->flags, b->wnd, b->opt_len);
	if (b->opt_len)
		memcpy(h + 20, b->opt, b->opt_len);
	s->env.output(s->env.ctx, b->tuple, b->path, h, 20 + b->opt_len, NULL, 0);
}

/* New budgets each second. The challenge budget is partly random, so that its rest tells an
 * off-path observer nothing (CVE-2016-5696; RFC 5961 7). */
static void refill(struct tcp_stack *s)
{
	uint32_t second = (uint32_t)(s->now_us / 1000000);

	if (second == s->budget_s)
		return;
	s->budget_s = second;
	s->rst_budget = LIMIT_TCP_RST_PER_S;
	s->challenge_budget = LIMIT_TCP_CHALLENGE_PER_S +
			      (uint32_t)(tcp_random(s) % LIMIT_TCP_CHALLENGE_PER_S);
}

/* RFC 9293 3.10.7.1: an answer to a segment of no connection; never to a RST (MUST). */
void tcp_reply_rst(struct tcp_stack *s, const struct tcp_in *in)
{
	struct tcp_bare b = {.tuple = in->seg->tuple, .path = in->seg->path};

	if (in->flags & TH_RST)
		return;
	refill(s);
	if (!s->rst_budget) {
		COUNT(s, tcp_rst_limited);
		return;
	}
	s->rst_budget--;
	COUNT(s, tcp_rst_tx);
	if (in->flags & TH_ACK) {
		b.seq = in->ack;
		b.flags = TH_RST;
	} else {
		b.ack = in->seq + in->seg->payload_len + !!(in->flags & TH_SYN) +
			!!(in->flags & TH_FIN);
		b.flags = TH_RST | TH_ACK;
	}
	tcp_send_bare(s, &b);
}

bool tcp_challenge_allowed(struct tcp_stack *s)
{
	refill(s);
	if (!s->challenge_budget) {
		COUNT(s, tcp_challenge_limited);
		return false;
	}
	s->challenge_budget--;
	COUNT(s, tcp_challenge_ack);
	return true;
}

/* RFC 5961 3.2, 4.2, 5.2: challenge ACK. It goes out with the burst's one ACK. */
void tcp_challenge(struct tcp_conn *c)
{
	if (!tcp_challenge_allowed(c->stack))
		return;
	c->flags |= CF_ACK_NOW;
	tcp_mark_dirty(c);
}

void tcp_answer_oow(struct tcp_conn *c)
{
	uint8_t second = (uint8_t)((c->stack->now_us / 1000000) & 3) << 6;

	if ((c->oow & 0xc0) != second)
		c->oow = second;
	if ((c->oow & 0x3f) >= LIMIT_TCP_OOW_PER_S)
		return;
	c->oow++;
	c->flags |= CF_ACK_NOW;
	tcp_mark_dirty(c);
}
