/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * From turns to packets. There is one clock, that of the place of capture; the receiver is modelled
 * as far as its acknowledgements need: in order or not (RFC 9293 3.10.7.4), every second segment
 * (RFC 1122 4.2.3.2), at once with a SACK block when something is missing (RFC 2018).
 */

#include <stdlib.h>
#include <string.h>

#include "bench/pcapgen/pcapgen.h"

#define AHEAD_MAX 8u
#define QUEUE_MAX 512u
#define LAG_MIN   200000u /* ns from the capture to the receiver and back */
#define LAG_MAX   5000000u
#define OCTET_NS  8u /* 1 Gbit/s */
#define FRAME_NS  640u

struct side {
	uint32_t sent; /* next of the sender, as seq */
	uint32_t got;  /* next of the receiver */
	struct extent ahead[AHEAD_MAX];
	uint32_t n_ahead, unacked; /* segments */
};

struct line {
	struct session *s;
	const struct gen_options *o;
	uint64_t now, lag;
	struct side side[2]; /* by direction of the data */
	uint32_t tsval[2];
	struct pkt queue[QUEUE_MAX]; /* acknowledgements under way */
	uint32_t n_queue;
	uint32_t chances, cut_pkt, cut[2]; /* where the capture could begin or end */
};

/* The packet of which p is the second copy; acknowledgements may have come by since. */
static const struct pkt *first_copy(const struct session *s, const struct pkt *p)
{
	for (uint32_t i = s->n_pkt; i--;)
		if (s->pkt[i].dir == p->dir && s->pkt[i].seq == p->seq && s->pkt[i].n == p->n)
			return &s->pkt[i];
	abort(); /* plant.c puts it behind the first */
}

static void emit(struct line *l, struct pkt p)
{
	struct session *s = l->s;
	struct flow *f = &s->flow;

	p.time = l->now;
	p.tsval = f->tsbase[p.dir] + (uint32_t)(p.time / 1000000u);
	p.tsecr = l->tsval[!p.dir];
	if (p.how & HOW_SAME_FRAME) {
		const struct pkt *before = first_copy(s, &p);

		p.id = before->id;
		p.ack = before->ack;
		p.tsval = before->tsval;
		p.tsecr = before->tsecr;
	} else {
		p.id = f->id[p.dir]++;
	}
	if (!(p.how & HOW_DECOY))
		l->tsval[p.dir] = p.tsval;
	s->pkt = gen_grow(s->pkt, s->n_pkt, &s->cap_pkt, sizeof(*s->pkt));
	s->pkt[s->n_pkt++] = p;
}

/* The acknowledgements that come by before `now`; a larger clock waits for them. */
static void drain(struct line *l, uint64_t until)
{
	uint64_t now = l->now;
	uint32_t i;

	for (i = 0; i < l->n_queue && l->queue[i].time <= until; i++) {
		l->now = l->queue[i].time > now ? l->queue[i].time : now;
		now = l->now;
		emit(l, l->queue[i]);
	}
	l->n_queue -= i;
	memmove(l->queue, l->queue + i, l->n_queue * sizeof(l->queue[0]));
	l->now = now;
}

static void acknowledge(struct line *l, enum direction dir)
{
	struct side *d = &l->side[dir];
	struct pkt p = {.time = l->now + l->lag,
			.seq = l->side[!dir].sent,
			.ack = d->got,
			.flags = TH_ACK,
			.dir = !dir};

	if (l->n_queue == QUEUE_MAX)
		drain(l, UINT64_MAX);
	if (d->n_ahead) {
		p.sack[0] = d->ahead[d->n_ahead - 1].from;
		p.sack[1] = d->ahead[d->n_ahead - 1].to;
	}
	d->unacked = 0;
	l->queue[l->n_queue++] = p;
}

/* What was ahead and is in order now. */
static void close_up(struct side *d)
{
	for (uint32_t i = 0; i < d->n_ahead;) {
		if (d->ahead[i].from > d->got) {
			i++;
			continue;
		}
		if (d->ahead[i].to > d->got)
			d->got = d->ahead[i].to;
		d->ahead[i] = d->ahead[--d->n_ahead];
		i = 0;
	}
}

static void keep_ahead(struct side *d, uint32_t from, uint32_t to)
{
	for (uint32_t i = 0; i < d->n_ahead;) {
		struct extent *e = &d->ahead[i];

		if (from > e->to || to < e->from) {
			i++;
			continue;
		}
		from = from < e->from ? from : e->from;
		to = to > e->to ? to : e->to;
		*e = d->ahead[--d->n_ahead];
	}
	if (d->n_ahead == AHEAD_MAX)
		abort(); /* one anomaly a flight makes one hole */
	d->ahead[d->n_ahead++] = (struct extent){from, to};
}

static void receive(struct line *l, const struct pkt *p)
{
	struct side *d = &l->side[p->dir];
	uint32_t end = p->seq + p->n + ((p->flags & TH_FIN) != 0);

	if (p->seq > d->got) {
		keep_ahead(d, p->seq, end);
		acknowledge(l, p->dir);
	} else if (end <= d->got) {
		acknowledge(l, p->dir);
	} else {
		bool hole = d->n_ahead > 0;

		d->got = end;
		close_up(d);
		if (++d->unacked >= 2 || hole)
			acknowledge(l, p->dir);
	}
}

static void send_packet(struct line *l, struct pkt p)
{
	if (p.how & HOW_LATE) {
		drain(l, UINT64_MAX);
		l->now += l->lag;
	}
	l->now += FRAME_NS + (uint64_t)p.n * OCTET_NS;
	drain(l, l->now);
	p.ack = p.flags & TH_ACK ? l->side[!p.dir].got : 0;
	if (p.how & HOW_ACKED_FIRST) {
		receive(l, &p);
		if (l->side[p.dir].unacked)
			acknowledge(l, p.dir);
		drain(l, UINT64_MAX);
		l->now += FRAME_NS;
		emit(l, p);
		return;
	}
	emit(l, p);
	if (p.how & HOW_ANSWERED)
		acknowledge(l, p.dir);
	if (!(p.how & HOW_DECOY))
		receive(l, &p);
}

/* Everything arrived and is acknowledged: nothing before depends on what comes, nor the reverse. */
static void maybe_cut_here(struct line *l)
{
	const struct side *c = &l->side[C2S], *d = &l->side[S2C];

	if (l->n_queue || c->unacked || d->unacked || c->got != c->sent || d->got != d->sent)
		return;
	if (rng_below(&l->s->rng, ++l->chances))
		return;
	l->cut_pkt = l->s->n_pkt;
	l->cut[C2S] = c->sent - 1;
	l->cut[S2C] = d->sent - 1;
}

/* Anomalies that belong to a place in the dialogue: the packet that has it. */
static void noted(struct session *s, struct pkt *p)
{
	for (uint32_t i = 0; i < s->n_anomaly; i++) {
		const struct anomaly *a = &s->anomaly[i];

		if ((a->kind != A_LOST_REPLY && a->kind != A_LOOKALIKE) || a->dir != p->dir ||
		    a->from < p->data || a->from >= p->data + p->n)
			continue;
		p->anomaly = i + 1;
		if (a->kind == A_LOST_REPLY)
			p->how |= HOW_UNSEEN;
	}
}

/* Cuts octets from..to into segments, up to a flight of them. Returns where the next begins. */
static uint32_t cut_flight(struct line *l, struct flight *f, uint32_t from, uint32_t to,
			   uint32_t segments)
{
	uint32_t largest = l->s->flow.segment[f->dir], begin = from;

	f->n = 0;
	while (from < to && f->n < segments && from - begin + largest <= GEN_FLIGHT_BYTES) {
		uint32_t n = to - from < largest ? to - from : largest;

		f->p[f->n] = (struct pkt){.seq = from + 1,
					  .data = from,
					  .n = n,
					  .flags = TH_ACK | (from + n == to ? TH_PSH : 0),
					  .dir = f->dir,
					  .source = f->dir};
		noted(l->s, &f->p[f->n++]);
		from += n;
	}
	return from;
}

static void half_close(struct session *s, struct pkt *p)
{
	p->flags |= TH_FIN;
	if (!p->anomaly)
		p->anomaly = plant_note(s, A_HALF_CLOSE, p->dir, p->data, p->n);
}

static void send_turn(struct line *l, const struct turn *t, bool fin)
{
	static struct flight f;
	struct side *d = &l->side[t->dir];
	uint32_t at = t->from;

	drain(l, UINT64_MAX);
	l->now += t->think;
	l->side[!t->dir].unacked = 0; /* the first segment acknowledges */
	while (at < t->to) {
		f.dir = t->dir;
		f.acked = d->got;
		f.peer = l->side[!t->dir].got;
		at = cut_flight(l, &f, at, t->to,
				(uint32_t)rng_between(&l->s->rng, 4, GEN_FLIGHT_MAX));
		if (fin && at == t->to)
			half_close(l->s, &f.p[f.n - 1]);
		else
			plant_flight(l->s, l->o, &f);
		d->sent = at + 1 + (fin && at == t->to);
		for (uint32_t i = 0; i < f.n; i++)
			send_packet(l, f.p[i]);
		/* A reply to come may carry the last acknowledgement. */
		if (d->unacked && (at < t->to || rng_below(&l->s->rng, 2)))
			acknowledge(l, t->dir);
		drain(l, UINT64_MAX);
		maybe_cut_here(l);
	}
}

static void handshake(struct line *l)
{
	struct pkt p = {.flags = TH_SYN, .how = HOW_OPTIONS, .dir = C2S};

	emit(l, p);
	l->now += l->lag;
	l->side[C2S].sent = l->side[C2S].got = 1;
	p.flags |= TH_ACK;
	p.dir = S2C;
	p.ack = 1;
	emit(l, p);
	l->now += l->lag;
	l->side[S2C].sent = l->side[S2C].got = 1;
	emit(l, (struct pkt){.seq = 1, .ack = 1, .flags = TH_ACK, .dir = C2S});
}

static void send_fin(struct line *l, enum direction dir, uint32_t anomaly)
{
	struct side *d = &l->side[dir];
	struct pkt p = {.seq = d->sent++, .flags = TH_ACK | TH_FIN, .dir = dir, .anomaly = anomaly};

	l->side[!dir].unacked = 0;
	l->now += l->lag;
	send_packet(l, p);
	if (d->unacked)
		acknowledge(l, dir);
	drain(l, UINT64_MAX);
}

/* A whole message behind the client's FIN: nobody may take it (RFC 9293 3.10.7.4, eighth). */
static void data_behind_fin(struct line *l)
{
	struct session *s = l->s;
	struct buf *junk = &s->stream[FROM_JUNK];
	struct pkt p = {.seq = l->side[C2S].sent,
			.data = junk->n,
			.flags = TH_ACK | TH_PSH,
			.dir = C2S,
			.source = FROM_JUNK,
			.how = HOW_DECOY};

	buf_printf(junk,
		   "RSET\r\nMAIL FROM:<behind.s%llu@example.net>\r\nRCPT TO:<fin@example.com>\r\n"
		   "DATA\r\nSubject: behind\r\n\r\nthe FIN\r\n.\r\n",
		   (unsigned long long)s->number);
	p.n = junk->n - p.data;
	p.anomaly = plant_note(s, A_FIN_DATA, C2S, p.seq - 1, p.n);
	send_packet(l, p);
}

static void close_clean(struct line *l, bool half)
{
	struct session *s = l->s;
	enum direction first = rng_below(&s->rng, 3) ? S2C : C2S;

	if (half) {
		send_fin(l, S2C, 0);
		return;
	}
	send_fin(l, first, 0);
	/* Only what nobody has to wait for: with the server's FIN still to come. */
	if (first == C2S && rng_hit(&s->rng, l->o->plant[A_FIN_DATA]))
		data_behind_fin(l);
	if (rng_hit(&s->rng, l->o->plant[A_FIN_AGAIN])) {
		send_packet(l, (struct pkt){.seq = l->side[first].sent - 1,
					    .flags = TH_ACK | TH_FIN,
					    .dir = first,
					    .anomaly = plant_note(s, A_FIN_AGAIN, first,
								  l->side[first].sent - 2, 0)});
		drain(l, UINT64_MAX);
	}
	send_fin(l, !first, 0);
}

static void finish(struct line *l, bool half)
{
	struct session *s = l->s;

	/* What the book says was seen of a message was also received. */
	if (s->close != CLOSE_CLEAN && l->side[C2S].unacked)
		acknowledge(l, C2S);
	drain(l, UINT64_MAX);
	if (s->close == CLOSE_RST) {
		l->now += l->lag;
		plant_note(s, A_ABORT_RST, C2S, l->side[C2S].sent - 1, 0);
		emit(l, (struct pkt){.seq = l->side[C2S].sent,
				     .ack = l->side[S2C].got,
				     .flags = TH_RST | (rng_below(&s->rng, 2) ? TH_ACK : 0),
				     .dir = C2S,
				     .anomaly = s->n_anomaly});
	} else if (s->close == CLOSE_FIN) {
		send_fin(l, C2S, plant_note(s, A_ABORT_FIN, C2S, l->side[C2S].sent - 1, 0));
		send_fin(l, S2C, 0);
	} else {
		close_clean(l, half);
	}
}

static void cut(struct line *l)
{
	struct session *s = l->s;

	if (!l->chances)
		return;
	/* A flow that is over and has packets without a SYN is nothing that was asked for. */
	if (!s->reused && rng_hit(&s->rng, l->o->plant[A_CUT_START])) {
		s->cut_start = true;
		s->next = l->cut_pkt;
		s->pkt[s->next].anomaly = plant_note(s, A_CUT_START, C2S, l->cut[C2S], 0);
		truth_doubt(s, 0, 0);
	} else if (rng_hit(&s->rng, l->o->plant[A_CUT_END])) {
		s->cut_end = true;
		s->n_pkt = l->cut_pkt;
		s->pkt[s->n_pkt - 1].anomaly = plant_note(s, A_CUT_END, C2S, l->cut[C2S], 0);
		truth_cut_end(s, l->cut[C2S], l->cut[S2C]);
	}
}

void tcp_make(struct session *s, const struct gen_options *o, uint64_t time)
{
	static struct line l;
	bool half = false;

	l = (struct line){
		.s = s, .o = o, .now = time, .lag = rng_between(&s->rng, LAG_MIN, LAG_MAX)};
	handshake(&l);
	for (uint32_t i = 0; i < s->n_turn; i++) {
		const struct turn *t = &s->turn[i];
		/* The client's last turn, one reply of the server's behind it. */
		bool fin = i + 2 == s->n_turn && t->dir == C2S && s->close == CLOSE_CLEAN &&
			   rng_hit(&s->rng, o->plant[A_HALF_CLOSE]);

		send_turn(&l, t, fin);
		half |= fin;
	}
	finish(&l, half);
	cut(&l);
}
