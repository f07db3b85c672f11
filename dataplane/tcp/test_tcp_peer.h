/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A stack with one listener, a wire that records what it sends, and a way to inject segments. The
 * client's side is written down here again, from RFC 9293, and shares no code with the stack.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/tcp/tcp.h"
#include "postern/stats.h"

#define PEER_FIN 1
#define PEER_SYN 2
#define PEER_RST 4
#define PEER_PSH 8
#define PEER_ACK 16

#define PEER_OUT 256
#define PEER_DATA 65536

struct peer_segment {
	uint32_t seq, ack, len;
	uint16_t wnd;
	uint8_t flags, opt_len;
	uint8_t opt[40];
	uint8_t data[2048];
};

struct peer {
	struct tcp_stack *stack;
	struct tcp_tuple tuple;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT];
	uint64_t now_us;
	struct peer_segment out[PEER_OUT]; /* what the stack sent, since the last peer_clear() */
	unsigned int n_out;

	/* application */
	struct tcp_conn *conn;
	uint8_t got[PEER_DATA];
	size_t n_got;
	size_t take;             /* octets that data() takes at most per call */
	bool eof, closed, refuse;
	enum tcp_close_reason reason;
	uint32_t unacked;
};

static inline uint32_t peer_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void peer_put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static int peer_output(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path,
		       const uint8_t *header, size_t header_len, const struct tcp_view *payload,
		       unsigned int n_views)
{
	struct peer *p = ctx;
	struct peer_segment *s;

	(void)tuple;
	(void)path;
	if (p->n_out == PEER_OUT || header_len < 20 || header_len > 60)
		abort();
	s = &p->out[p->n_out++];
	memset(s, 0, offsetof(struct peer_segment, data));
	s->seq = peer_get32(header + 4);
	s->ack = peer_get32(header + 8);
	s->flags = header[13];
	s->wnd = (uint16_t)(header[14] << 8 | header[15]);
	s->opt_len = (uint8_t)(header_len - 20);
	memcpy(s->opt, header + 20, s->opt_len);
	for (unsigned int i = 0; i < n_views; i++) {
		if (s->len + payload[i].n > sizeof(s->data))
			abort();
		memcpy(s->data + s->len, payload[i].p, payload[i].n);
		s->len += payload[i].n;
	}
	return 0;
}

static bool peer_listening(void *ctx, const struct tcp_tuple *t)
{
	(void)ctx;
	return t->local_port == 25;
}

static uint16_t peer_mss(void *ctx, const struct tcp_tuple *t, const struct tcp_path *path)
{
	(void)ctx;
	(void)t;
	(void)path;
	return 1460;
}

static void *peer_accept(void *ctx, struct tcp_conn *conn, const struct tcp_tuple *t)
{
	struct peer *p = ctx;

	(void)t;
	p->conn = conn;
	p->closed = p->eof = false;
	return p->refuse ? NULL : p;
}

static size_t peer_data(void *app, const struct tcp_view *view, unsigned int n_views)
{
	struct peer *p = app;
	size_t taken = 0;

	for (unsigned int i = 0; i < n_views; i++) {
		size_t k = view[i].n;

		if (taken + k > p->take)
			k = p->take - taken;
		if (p->n_got + k > sizeof(p->got))
			abort();
		memcpy(p->got + p->n_got, view[i].p, k);
		p->n_got += k;
		taken += k;
		if (k < view[i].n)
			break;
	}
	return taken;
}

static void peer_eof(void *app)
{
	((struct peer *)app)->eof = true;
}

static void peer_acked(void *app, uint32_t unacked)
{
	((struct peer *)app)->unacked = unacked;
}

static void peer_closed(void *app, enum tcp_close_reason reason)
{
	struct peer *p = app;

	if (p->closed)
		abort(); /* once only */
	p->closed = true;
	p->reason = reason;
	p->conn = NULL;
}

static inline void peer_new(struct peer *p)
{
	static const struct tcp_app app = {peer_accept, peer_data, peer_eof, peer_acked, peer_closed};
	struct tcp_options opt = {.max_conns = 64, .max_half_open = 64, .max_time_wait = 64,
				  .blocks = 512, .tx_blocks = 128};
	struct tcp_env env = {.ctx = p, .output = peer_output, .listening = peer_listening,
			      .mss = peer_mss, .app = &app};

	memset(p, 0, sizeof(*p));
	p->now_us = 1000000;
	p->take = SIZE_MAX;
	env.counters = p->counters;
	memset(env.secret, 7, sizeof(env.secret));
	p->tuple.local[10] = p->tuple.local[11] = p->tuple.remote[10] = p->tuple.remote[11] = 0xff;
	memcpy(p->tuple.local + 12, (uint8_t[]){192, 0, 2, 25}, 4);
	memcpy(p->tuple.remote + 12, (uint8_t[]){192, 0, 2, 10}, 4);
	p->tuple.local_port = 25;
	p->tuple.remote_port = 40000;
	p->stack = tcp_stack_new(&opt, &env, p->now_us);
	if (!p->stack)
		abort();
}

/* One segment without burst end; `opt` may be NULL. */
static inline void peer_inject(struct peer *p, uint32_t seq, uint32_t ack, uint8_t flags, uint16_t wnd,
			       const void *data, uint32_t n, const uint8_t *opt, size_t opt_len)
{
	uint8_t h[60] = {0};
	struct tcp_path path = {{0}};
	struct tcp_view v = {data, n};
	struct tcp_segment seg = {.tuple = &p->tuple, .path = &path, .header = h,
				  .header_len = (uint16_t)(20 + opt_len), .n_views = n ? 1 : 0,
				  .view = &v, .payload_len = n, .ttl = 64};

	h[0] = (uint8_t)(p->tuple.remote_port >> 8);
	h[1] = (uint8_t)p->tuple.remote_port;
	h[3] = (uint8_t)p->tuple.local_port;
	peer_put32(h + 4, seq);
	peer_put32(h + 8, ack);
	h[12] = (uint8_t)((20 + opt_len) / 4 << 4);
	h[13] = flags;
	h[14] = (uint8_t)(wnd >> 8);
	h[15] = (uint8_t)wnd;
	if (opt_len)
		memcpy(h + 20, opt, opt_len);
	tcp_input(p->stack, &seg);
}

static inline void peer_clear(struct peer *p)
{
	p->n_out = 0;
}

static inline void peer_advance(struct peer *p, uint64_t ms)
{
	while (ms--) {
		p->now_us += 1000;
		tcp_advance(p->stack, p->now_us);
	}
}
