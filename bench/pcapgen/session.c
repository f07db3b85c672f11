/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Who talks to whom, and over what: addresses, ports, tags, TCP options. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/pcapgen/pcapgen.h"

#define PORT_FIRST 1024u
#define PORTS      64000u
#define CLIENTS    (1u << 22) /* addresses, 10.0.0.0/8 and 2001:db8:c::/64 */

void *gen_grow(void *p, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return p;
	*cap = *cap ? *cap * 2 : 32;
	p = reallocarray(p, *cap, size);
	if (!p) {
		fprintf(stderr, "pcapgen: no memory\n");
		exit(1);
	}
	return p;
}

uint8_t *buf_room(struct buf *b, uint32_t n)
{
	uint64_t cap = b->cap ? b->cap : 4096;

	while (cap < (uint64_t)b->n + n)
		cap *= 2;
	if (cap != b->cap) {
		b->p = cap > UINT32_MAX ? NULL : realloc(b->p, cap);
		if (!b->p) {
			fprintf(stderr, "pcapgen: no memory\n");
			exit(1);
		}
		b->cap = (uint32_t)cap;
	}
	return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, uint32_t n)
{
	uint8_t *to = buf_room(b, n);

	if (n)
		memcpy(to, p, n);
	b->n += n;
}

void buf_printf(struct buf *b, const char *format, ...)
{
	char text[2048];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		abort(); /* what is printed here is ours and short */
	buf_add(b, text, (uint32_t)n);
}

/*
 * A tuple of its own for each session: the multiplier is odd, so CLIENTS numbers in a row give
 * CLIENTS addresses, and the port changes with each round of them.
 */
static void endpoints(struct flow *f, const struct gen_options *o, uint64_t number, uint32_t server)
{
	uint32_t host = (uint32_t)(number * 2654435761u % CLIENTS);
	uint32_t port = (uint32_t)((number / CLIENTS * 7919 + host % 9973) % PORTS);
	static const uint8_t client6[16] = {0x20, 1, 0xd, 0xb8, 0, 0xc};
	uint8_t *to = f->address[S2C];

	f->port[C2S] = (uint16_t)(PORT_FIRST + port);
	f->port[S2C] = (uint16_t)o->port;
	if (f->v6) {
		memcpy(f->address[C2S], client6, 16);
		memcpy(to, o->server[1], 16);
		put32(f->address[C2S] + 12, host + 1);
		put32(to + 12, get32(to + 12) + server);
	} else {
		memset(f->address, 0, sizeof(f->address));
		put32(f->address[C2S], 0x0a000001u + host);
		put32(to, get32(o->server[0]) + server);
	}
}

static void link_options(struct session *s, const struct gen_options *o)
{
	struct flow *f = &s->flow;
	uint32_t ip = f->v6 ? 40 : 20, options = f->timestamps ? 12 : 0;
	uint16_t mss[2] = {(uint16_t)(o->mtu - ip - 20), (uint16_t)(o->mtu - ip - 20)};

	if (rng_hit(&s->rng, o->with[F_SMALL_MSS])) /* RFC 6691: the defaults */
		mss[rng_below(&s->rng, 2)] = f->v6 ? 1220 : 536;
	for (int d = C2S; d <= S2C; d++) {
		f->mss[d] = mss[d];
		f->segment[d] = (mss[!d] < mss[d] ? mss[!d] : mss[d]) - options;
		f->isn[d] = (uint32_t)rng_next(&s->rng);
		if (rng_hit(&s->rng, o->with[F_SEQ_WRAP]))
			f->isn[d] =
				UINT32_MAX - (uint32_t)rng_below(&s->rng, d == C2S ? 20000 : 400);
		f->tsbase[d] = (uint32_t)rng_next(&s->rng);
		f->scale[d] = (uint8_t)rng_between(&s->rng, 0, 9);
		f->id[d] = (uint16_t)rng_next(&s->rng);
		f->ttl[d] = (uint8_t)((rng_below(&s->rng, 2) ? 64 : 128) - rng_below(&s->rng, 25));
	}
}

static void forget(struct session *s)
{
	struct session old = *s;

	*s = (struct session){.turn = old.turn,
			      .msg = old.msg,
			      .rcpt = old.rcpt,
			      .extent = old.extent,
			      .anomaly = old.anomaly,
			      .pkt = old.pkt,
			      .cap_turn = old.cap_turn,
			      .cap_msg = old.cap_msg,
			      .cap_rcpt = old.cap_rcpt,
			      .cap_extent = old.cap_extent,
			      .cap_anomaly = old.cap_anomaly,
			      .cap_pkt = old.cap_pkt};
	for (int i = 0; i < 3; i++)
		s->stream[i] = (struct buf){old.stream[i].p, 0, old.stream[i].cap};
	s->text = (struct buf){old.text.p, 0, old.text.cap};
	s->flow = old.flow;
}

void session_make(struct session *s, const struct gen_options *o, uint64_t number, uint64_t time,
		  bool reuse)
{
	struct flow *f = &s->flow;
	enum sees sees = s->sees;

	forget(s);
	s->number = number;
	s->rng = rng_of(o->seed, number);
	s->reused = reuse;
	if (reuse) {
		s->sees = sees; /* what passes by a place is a matter of routes */
	} else {
		if (rng_hit(&s->rng, o->with[F_CLIENT_ONLY]))
			s->sees = SEE_CLIENT;
		else if (rng_hit(&s->rng, o->with[F_SERVER_ONLY]))
			s->sees = SEE_SERVER;
		*f = (struct flow){.v6 = rng_hit(&s->rng, o->with[F_IPV6])};
		endpoints(f, o, number, (uint32_t)rng_below(&s->rng, o->servers));
		if (rng_hit(&s->rng, o->with[F_QINQ]))
			f->tags = 2;
		else if (rng_hit(&s->rng, o->with[F_VLAN]))
			f->tags = 1;
		f->vlan[0] = (uint16_t)rng_between(&s->rng, 1, 4094);
		f->vlan[1] = (uint16_t)rng_between(&s->rng, 1, 4094);
	}
	f->timestamps = !rng_hit(&s->rng, o->with[F_NO_TIMESTAMPS]);
	f->wscale = !rng_hit(&s->rng, o->with[F_NO_WSCALE]);
	link_options(s, o);
	talk_make(s, o);
	tcp_make(s, o, time);
}

void session_free(struct session *s)
{
	for (int i = 0; i < 3; i++)
		free(s->stream[i].p);
	free(s->text.p);
	free(s->turn);
	free(s->msg);
	free(s->rcpt);
	free(s->extent);
	free(s->anomaly);
	free(s->pkt);
	*s = (struct session){0};
}
