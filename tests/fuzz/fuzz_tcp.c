/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Arbitrary sequences of segments, application calls, ICMP errors and clock steps against one stack.
 * Each step is eight octets: what, flags, sequence and acknowledgement as differences from what would
 * be right (so that most segments come near the window), options, length and window.
 *
 * Checked after each step: what was delivered are the octets of their sequence numbers and nothing
 * else; the right edge of the window never moves left; nothing is acknowledged that was not sent;
 * what the stack sends is no larger than a segment may be and not beyond the window that was offered.
 * At the end all pools are empty. peer_closed() aborts when it is called twice.
 */

#include <stdio.h>

#include "dataplane/tcp/test_tcp_peer.h"

#define ISS 1000u

struct run {
	struct peer p;
	uint32_t snd, rcv;      /* the client's SND.NXT and RCV.NXT, as far as it guesses */
	uint32_t top;           /* highest sequence number it ever sent, one past */
	uint32_t edge;          /* right edge that the stack announced */
	uint32_t offered;       /* right edge that the client offered */
	uint32_t read;          /* position of the application in the stream */
	uint8_t wscale, shift;  /* of the client's window, at most; of the stack's */
	bool ts, sack, exact;   /* exact: no octet was ever sent with two values */
};

static uint8_t octet(uint32_t seq)
{
	return (uint8_t)(seq * 167 + (seq >> 8));
}

#define check(holds) ((holds) ? (void)0 : fail(#holds, __LINE__))

static void fail(const char *what, int line)
{
	fprintf(stderr, "fuzz_tcp.c:%d: does not hold: %s\n", line, what);
	abort();
}

static uint32_t max_seq(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0 ? a : b;
}

/* Options that a peer could send: timestamps, SACK blocks around what it got, or noise. */
static size_t options(const struct run *r, const uint8_t *b, uint8_t *o)
{
	size_t n = 0;

	if (r->ts && b[4] & 1) {
		memcpy(o, (uint8_t[]){1, 1, 8, 10}, 4);
		peer_put32(o + 4, (uint32_t)(r->p.now_us / 1000) - (b[4] & 2 ? 100 : 0));
		peer_put32(o + 8, b[4] & 4 ? 0 : (uint32_t)(r->p.now_us / 1000));
		n = 12;
	}
	if (b[4] & 8) {
		unsigned int blocks = 1 + (b[4] >> 4) % 3;

		memcpy(o + n, (uint8_t[]){1, 1, 5, (uint8_t)(2 + 8 * blocks)}, 4);
		n += 4;
		for (unsigned int i = 0; i < blocks; i++, n += 8) {
			peer_put32(o + n, r->rcv + b[2 + i] * 97u);
			peer_put32(o + n + 4, r->rcv + b[2 + i] * 97u + b[5] * 31u);
		}
	} else if (b[4] & 128) {
		memcpy(o + n, b + 1, 4);
		n += 4;
	}
	return n;
}

static void segment(struct run *r, const uint8_t *b)
{
	static const int32_t off[16] = {0, 0, 0, 0, 0, 1, -1, 700, -700, 1460, 2920, 60000, -60000, 5, -5, 300};
	uint8_t payload[2048], opt[40];
	uint32_t len = b[5] % 4 ? b[5] * 7u : 0, seq = r->snd + (uint32_t)off[b[2] & 15];
	uint32_t ack = r->rcv + (uint32_t)off[b[3] & 15];
	uint16_t wnd = (uint16_t)(b[6] << 8 | b[7]);
	uint8_t flags = b[1] & 0x3f;

	if (!(b[0] & 0x80)) /* mostly what an established peer sends */
		flags = (uint8_t)((flags & ~(PEER_SYN | PEER_RST)) | PEER_ACK);
	if (b[2] & 0x80)
		ack = r->rcv - (uint32_t)(b[3] * 50u);
	for (uint32_t i = 0; i < len; i++)
		payload[i] = octet(seq + i + !!(flags & PEER_SYN));
	if (b[3] & 0x80 && b[3] & 0x40 && len) {
		payload[0] ^= 1;
		r->exact = false;
	}
	if (b[0] & 0x40 && seq == r->snd) /* the peer's own stream goes on */
		r->snd += len + !!(flags & PEER_FIN);
	r->top = max_seq(r->top, seq + len + !!(flags & (PEER_FIN | PEER_SYN)));
	if (flags & PEER_ACK)
		r->offered = max_seq(r->offered, ack + ((uint32_t)wnd << r->wscale));
	peer_inject(&r->p, seq, ack, flags, wnd, payload, len, opt, options(r, b, opt));
}

/* A SYN-ACK: another connection begins. What its SYN offered is not known; what was taken up is. */
static void begins(struct run *r, const struct peer_segment *s)
{
	r->rcv = s->seq + 1;
	r->read = s->ack;
	r->top = max_seq(r->top, s->ack);
	r->edge = s->ack + s->wnd;
	r->offered = r->rcv;
	r->shift = r->wscale = 0;
	for (size_t i = 4; i + 4 <= s->opt_len; i += 4)
		if (s->opt[i] == 1 && s->opt[i + 1] == 3) {
			r->shift = 3;
			r->wscale = 14;
		}
}

static void look(struct run *r)
{
	struct peer *p = &r->p;

	for (unsigned int i = 0; i < p->n_out; i++) {
		const struct peer_segment *s = &p->out[i];
		uint32_t edge = s->ack + ((uint32_t)s->wnd << r->shift);

		if (s->flags & PEER_SYN) {
			begins(r, s);
			continue;
		}
		check(s->len <= 1460);
		if (s->flags & PEER_RST || !p->conn)
			continue;
		check((int32_t)(s->ack - r->top) <= 0);
		check((int32_t)(edge - r->edge) >= -((1 << r->shift) - 1)); /* RFC 7323 2.4 */
		r->edge = max_seq(r->edge, edge);
		if (s->len) {
			/* one octet may ask a closed window */
			check((int32_t)(s->seq + s->len - r->offered) <= (s->len == 1));
			if (s->seq == r->rcv)
				r->rcv += s->len;
		}
	}
	peer_clear(p);
	if (r->exact)
		for (size_t i = 0; i < p->n_got; i++)
			check(p->got[i] == octet(r->read + (uint32_t)i));
	r->read += (uint32_t)p->n_got;
	p->n_got = 0;
}

static void step(struct run *r, const uint8_t *b)
{
	static uint8_t text[2040];
	struct peer *p = &r->p;

	switch (b[0] & 15) {
	case 0: peer_advance(p, b[1] * (b[2] & 1 ? 40u : 1u)); break;
	case 1: tcp_burst_end(p->stack); break;
	case 2:
		if (p->conn)
			(void)tcp_send(p->conn, text, b[1] * 8u);
		break;
	case 3:
		if (p->conn && b[1] < 64)
			tcp_close(p->conn);
		break;
	case 4:
		p->take = b[1] & 1 ? SIZE_MAX : b[1];
		if (p->conn)
			tcp_resume(p->conn);
		break;
	case 5:
		if (p->conn && b[1] < 20)
			tcp_abort(p->conn);
		else if (p->conn)
			tcp_set_window(p->conn, b[2] * 1024u);
		break;
	case 6: tcp_set_pressure(p->stack, b[1] % 3); break;
	case 7: tcp_icmp_error(p->stack, &p->tuple, r->rcv - b[2] * 20u, b[3] * 8u); break;
	default: segment(r, b);
	}
	if (b[0] & 0x20)
		tcp_burst_end(p->stack);
	look(r);
}

static void open_it(struct run *r, uint8_t how)
{
	uint8_t opt[24] = {2, 4, 5, 180, 1, 3, 3, 2, 1, 1, 4, 2, 1, 1, 8, 10};
	size_t n = 4;

	if (how & 1) {
		r->wscale = 2;
		r->shift = 3;
		n = 8;
		if (how & 2) {
			r->sack = true;
			n = 12;
			if (how & 4) {
				r->ts = true;
				n = 24;
			}
		}
	}
	peer_put32(opt + 16, (uint32_t)(r->p.now_us / 1000));
	peer_inject(&r->p, ISS, 0, PEER_SYN, 65535, "", 0, opt, n);
	r->snd = r->top = r->read = ISS + 1;
	r->rcv = r->p.n_out ? r->p.out[0].seq + 1 : 0;
	r->edge = ISS + 1 + (r->p.n_out ? r->p.out[0].wnd : 0);
	r->offered = r->rcv;
	r->exact = true;
	peer_clear(&r->p);
	peer_inject(&r->p, r->snd, r->rcv, PEER_ACK, 65535, "", 0, r->ts ? opt + 12 : NULL, r->ts ? 12 : 0);
	r->offered += 65535u << r->wscale;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run r;
	struct tcp_usage u;

	if (size < 1)
		return 0;
	if (size > 8 * 512)
		size = 8 * 512;
	memset(&r, 0, offsetof(struct run, p));
	peer_new(&r.p);
	r.wscale = r.shift = 0;
	r.ts = r.sack = false;
	open_it(&r, data[0]);
	for (size_t i = 1; i + 8 <= size; i += 8)
		step(&r, data + i);
	if (r.p.conn)
		tcp_abort(r.p.conn);
	tcp_burst_end(r.p.stack);
	peer_clear(&r.p);
	for (unsigned int i = 0; i < 100; i++) {
		peer_clear(&r.p);
		r.p.now_us += 2000000;
		tcp_advance(r.p.stack, r.p.now_us);
		if (r.p.conn)
			tcp_abort(r.p.conn);
	}
	tcp_get_usage(r.p.stack, &u);
	check(!u.conns && !u.half_open && !u.time_wait && !u.blocks_used && !u.tx_blocks_used);
	tcp_stack_free(r.p.stack);
	return 0;
}
