/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Anomalies in a flight. Each is a change of the list of packets; the receiver's model in tcp.c
 * takes them as they come, so that acknowledgements fit what was planted.
 */

#include <string.h>

#include "bench/pcapgen/pcapgen.h"

#define TINY_PIECES  24u
#define LOST_MAX     3u
#define FAR          0x40000000u /* half of the half that counts as ahead */
#define RST_DISTANCE 20000u      /* within any window here */

uint32_t plant_note(struct session *s, enum anomaly_kind kind, enum direction dir, uint32_t from,
		    uint32_t n)
{
	s->anomaly = gen_grow(s->anomaly, s->n_anomaly, &s->cap_anomaly, sizeof(*s->anomaly));
	s->anomaly[s->n_anomaly++] = (struct anomaly){.kind = kind,
						      .dir = dir,
						      .from = from,
						      .n = n,
						      .unsure = s->tls && from >= s->tls_from[dir]};
	return s->n_anomaly;
}

static uint32_t note(struct session *s, enum anomaly_kind kind, const struct pkt *p)
{
	return plant_note(s, kind, p->dir, p->data, p->n);
}

static struct pkt *insert(struct flight *f, uint32_t at, struct pkt p)
{
	memmove(&f->p[at + 1], &f->p[at], (f->n - at) * sizeof(p));
	f->n++;
	f->p[at] = p;
	return &f->p[at];
}

static struct pkt take(struct flight *f, uint32_t at)
{
	struct pkt p = f->p[at];

	f->n--;
	memmove(&f->p[at], &f->p[at + 1], (f->n - at) * sizeof(p));
	return p;
}

/* The packet, or a part of it, with every octet another. */
static struct pkt other_octets(struct session *s, struct pkt p)
{
	struct buf *junk = &s->stream[FROM_JUNK];
	const uint8_t *true_ones = s->stream[p.source].p + p.data;
	uint8_t *out = buf_room(junk, p.n);

	for (uint32_t i = 0; i < p.n; i++)
		out[i] = true_ones[i] ^ 1;
	p.data = junk->n;
	p.source = FROM_JUNK;
	p.how |= HOW_DECOY;
	junk->n += p.n;
	return p;
}

/* A piece of at least one octet. */
static struct pkt some_of(struct rng *r, struct pkt p)
{
	uint32_t skip = (uint32_t)rng_below(r, p.n);

	p.seq += skip;
	p.data += skip;
	p.n = (uint32_t)rng_between(r, 1, p.n - skip);
	return p;
}

static void lost(struct session *s, struct flight *f, uint32_t at)
{
	uint32_t run = (uint32_t)rng_between(&s->rng, 1, LOST_MAX), n = 0;

	f->p[at].anomaly = note(s, A_LOST, &f->p[at]);
	for (uint32_t i = at; i < f->n && i < at + run; i++) {
		f->p[i].how |= HOW_UNSEEN;
		n += f->p[i].n;
	}
	s->anomaly[s->n_anomaly - 1].n = n;
	truth_gap(s, f->p[at].data, n);
}

static void later(struct session *s, struct flight *f, uint32_t at, enum anomaly_kind kind,
		  uint32_t distance)
{
	struct pkt p = take(f, at);
	uint32_t to = at + distance < f->n ? at + distance : f->n;

	p.anomaly = note(s, kind, &p);
	if (kind == A_UPSTREAM_LOSS)
		p.how |= HOW_LATE;
	insert(f, to, p);
}

static void again(struct session *s, struct flight *f, uint32_t at, enum anomaly_kind kind)
{
	struct pkt p = f->p[at];

	p.anomaly = note(s, kind, &p);
	if (kind == A_DUPLICATE) {
		p.how |= HOW_SAME_FRAME;
		insert(f, at + 1, p);
		return;
	}
	if (rng_below(&s->rng, 2))
		p.how |= HOW_LATE;
	insert(f, f->n, p);
}

static void tiny(struct session *s, struct flight *f, uint32_t at)
{
	struct pkt rest = take(f, at);

	rest.anomaly = note(s, A_TINY, &rest);
	for (uint32_t i = 0; i < TINY_PIECES && rest.n > 1; i++) {
		struct pkt p = rest;
		uint32_t n = (uint32_t)rng_between(&s->rng, 1, rest.n - 1 < 8 ? rest.n - 1 : 8);

		p.n = n;
		p.flags &= (uint8_t)~TH_PSH;
		insert(f, at++, p);
		rest.anomaly = 0;
		rest.seq += n;
		rest.data += n;
		rest.n -= n;
	}
	insert(f, at, rest);
}

/* From the middle of one segment to the middle of the next, behind both. */
static void overlap_same(struct session *s, struct flight *f, uint32_t at)
{
	struct pkt p = f->p[at];
	uint32_t skip = p.n / 2;

	p.seq += skip;
	p.data += skip;
	p.n -= skip;
	if (at + 1 < f->n)
		p.n += f->p[at + 1].n / 2;
	if (p.n > s->flow.segment[p.dir])
		p.n = s->flow.segment[p.dir];
	p.flags &= (uint8_t)~TH_PSH;
	p.anomaly = note(s, A_OVERLAP_SAME, &p);
	insert(f, at + 1 < f->n ? at + 2 : at + 1, p);
}

static void overlap_differ(struct session *s, struct flight *f, uint32_t at)
{
	struct pkt p = some_of(&s->rng, f->p[at]);

	p.anomaly = note(s, A_OVERLAP_DIFFER, &p);
	insert(f, at + 1, other_octets(s, p));
}

/* The segment behind `at`, other octets for it, and then `at`. */
static void overlap_ahead(struct session *s, struct flight *f, uint32_t at)
{
	struct pkt hole = take(f, at), p = some_of(&s->rng, f->p[at]);

	p.anomaly = note(s, A_OVERLAP_AHEAD, &p);
	insert(f, at + 1, other_octets(s, p));
	hole.how |= HOW_LATE;
	insert(f, at + 2, hole);
}

static void ttl_decoy(struct session *s, struct flight *f, uint32_t at)
{
	struct pkt p = f->p[at];

	p.anomaly = note(s, A_TTL_DECOY, &p);
	truth_ambiguous(s, p.data, p.n);
	p = other_octets(s, p);
	p.how |= HOW_LOW_TTL;
	insert(f, at, p);
}

/* In front of the flight, when everything before is acknowledged: seq is what the receiver wants.
 */
static void reset(struct session *s, struct flight *f, enum anomaly_kind kind)
{
	struct pkt p = {.seq = f->p[0].seq,
			.flags = TH_RST | TH_ACK,
			.dir = f->p[0].dir,
			.how = HOW_DECOY,
			.anomaly = plant_note(s, kind, f->p[0].dir, f->p[0].data, 0)};

	switch (kind) {
	case A_TTL_RST:
		p.how |= HOW_LOW_TTL;
		s->has_ttl_rst = true;
		if (f->dir == C2S)
			truth_doubt(s, f->p[0].data, f->peer - 1);
		else
			truth_doubt(s, f->peer - 1, f->p[0].data);
		break;
	case A_CHECKSUM:
		p.how |= HOW_BAD_TCP;
		break;
	case A_RST_IN_WINDOW: /* RFC 5961 3.2: answered by a challenge, nothing else */
		p.seq += 1 + (uint32_t)rng_below(&s->rng, RST_DISTANCE);
		p.how |= HOW_ANSWERED;
		break;
	default:
		p.seq += FAR + (uint32_t)rng_below(&s->rng, FAR / 2);
		break;
	}
	insert(f, 0, p);
}

static void bad_checksum(struct session *s, struct flight *f, uint32_t at)
{
	struct pkt p = f->p[at];

	if (rng_below(&s->rng, 4) == 0) {
		reset(s, f, A_CHECKSUM);
		return;
	}
	p.anomaly = note(s, A_CHECKSUM, &p);
	p = other_octets(s, p);
	p.how |= rng_below(&s->rng, 2) ? HOW_BAD_TCP : HOW_BAD_IP;
	/* Behind a bad IPv4 header nothing is known, not even the flow. */
	s->anomaly[s->n_anomaly - 1].unsure |= p.how & HOW_BAD_IP && !s->flow.v6;
	insert(f, at, p);
}

static void out_of_window(struct session *s, struct flight *f, uint32_t at)
{
	struct pkt p = f->p[at];

	p.anomaly = note(s, A_OUT_OF_WINDOW, &p);
	p = other_octets(s, p);
	p.seq += FAR + (uint32_t)rng_below(&s->rng, FAR / 2);
	insert(f, at, p);
}

/* RFC 9293 3.8.4: with no octet, or with one of garbage, just before what is acknowledged. */
static void keepalive(struct session *s, struct flight *f)
{
	struct pkt p = {.seq = f->acked - 1,
			.data = s->stream[FROM_JUNK].n,
			.n = (uint32_t)rng_below(&s->rng, 2),
			.flags = TH_ACK,
			.dir = f->p[0].dir,
			.source = FROM_JUNK,
			.how = HOW_DECOY | HOW_ANSWERED};

	buf_add(&s->stream[FROM_JUNK], "", 1);
	p.anomaly = plant_note(s, A_KEEPALIVE, p.dir, f->acked - 1, p.n);
	insert(f, 0, p);
}

static void fragments(struct session *s, struct flight *f, uint32_t at, enum anomaly_kind kind)
{
	struct pkt p = f->p[at];

	p.anomaly = note(s, kind, &p);
	if (kind == A_FRAGMENTS) {
		p.how |= HOW_FRAGMENTS;
		f->p[at] = p;
		return;
	}
	p.how |= HOW_DECOY | (kind == A_FRAG_LOST ? HOW_FRAG_LOST : HOW_FRAG_OVER);
	f->p[at].how |= HOW_LATE;
	insert(f, at, p);
}

static bool possible(const struct session *s, const struct flight *f, uint32_t at,
		     enum anomaly_kind kind)
{
	const struct pkt *p = &f->p[at];

	switch (kind) {
	case A_LOST:
		return f->dir == C2S;
	case A_UPSTREAM_LOSS:
	case A_REORDER:
	case A_OVERLAP_AHEAD:
		return at + 1 < f->n;
	case A_ACK_EARLY:
		return s->sees == SEE_BOTH;
	case A_TINY:
		return p->n > 1;
	case A_TTL_DECOY:
		return f->dir == C2S && s->sees == SEE_BOTH && truth_in_content(s, p->data, p->n);
	default:
		return true;
	}
}

static void plant(struct session *s, const struct gen_options *o, struct flight *f, uint32_t at,
		  enum anomaly_kind kind)
{
	switch (kind) {
	case A_LOST:
		lost(s, f, at);
		break;
	case A_UPSTREAM_LOSS:
		later(s, f, at, kind, GEN_FLIGHT_MAX);
		break;
	case A_REORDER:
		later(s, f, at, kind, (uint32_t)rng_between(&s->rng, 1, o->reorder));
		break;
	case A_RETRANSMIT:
	case A_DUPLICATE:
		again(s, f, at, kind);
		break;
	case A_ACK_EARLY:
		f->p[at].anomaly = note(s, kind, &f->p[at]);
		f->p[at].how |= HOW_ACKED_FIRST;
		break;
	case A_TINY:
		tiny(s, f, at);
		break;
	case A_OVERLAP_SAME:
		overlap_same(s, f, at);
		break;
	case A_OVERLAP_DIFFER:
		overlap_differ(s, f, at);
		break;
	case A_OVERLAP_AHEAD:
		overlap_ahead(s, f, at);
		break;
	case A_TTL_DECOY:
		ttl_decoy(s, f, at);
		break;
	case A_CHECKSUM:
		bad_checksum(s, f, at);
		break;
	case A_OUT_OF_WINDOW:
		out_of_window(s, f, at);
		break;
	case A_KEEPALIVE:
		keepalive(s, f);
		break;
	case A_FRAGMENTS:
	case A_FRAG_OVERLAP:
	case A_FRAG_LOST:
		fragments(s, f, at, kind);
		break;
	default:
		reset(s, f, kind);
		break;
	}
}

void plant_flight(struct session *s, const struct gen_options *o, struct flight *f)
{
	uint64_t draw = rng_below(&s->rng, RNG_MILLION);
	uint32_t at = (uint32_t)rng_below(&s->rng, f->n);

	for (uint32_t i = 0; i < f->n; i++)
		if (f->p[i].anomaly)
			return;
	for (enum anomaly_kind k = 0; k < A_COUNT; k++) {
		if (k != A_LOST && (k < A_FLIGHT_FIRST || k > A_FLIGHT_LAST))
			continue;
		if (draw < o->plant[k]) {
			if (possible(s, f, at, k))
				plant(s, o, f, at, k);
			return;
		}
		draw -= o->plant[k];
	}
}
