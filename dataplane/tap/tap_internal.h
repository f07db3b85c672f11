/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Shared by the files of the tracker and nobody else:
 *
 *   tap_track.c   a segment to its flow; RST, FIN, ACK
 *   tap_syn.c     how flows begin
 *   tap_far.c     numbers far from those that are known
 *   tap_stream.c  payload of a side: acceptance, what waits
 *   tap_pump.c    what is given, and gaps
 *   tap_table.c   flow table, life of a flow
 *   tap_piece.c   memory of what waits
 *   tap_parse.c   header and options
 */

#include <sys/queue.h>

#include "dataplane/tap/tap.h"
#include "dataplane/tcp/seq.h"
#include "postern/limits.h"

#define TH_FIN 0x01
#define TH_SYN 0x02
#define TH_RST 0x04
#define TH_ACK 0x10
#define TH_URG 0x20

/* Payload that waits, or a gap in its place. */
struct tap_piece {
	struct tap_piece *next;
	const uint8_t *p; /* NULL: a gap */
	void *owner;      /* of the memory, held; NULL: block */
	struct tap_block *block;
	uint32_t seq, n;
	uint32_t ack;  /* what its sender had acknowledged */
	uint8_t cause; /* of a gap: enum tap_cause */
};

struct tap_block {
	struct tap_block *next;
	uint8_t data[TAP_BLOCK];
};

struct tap_in {
	const struct tap_segment *seg;
	uint32_t seq, ack, len, tsval;
	uint16_t wnd;
	uint8_t flags, wscale;
	bool has_ts, has_wscale;
};

/* What one side sends. Sequence numbers are of that side. */
struct tap_dir {
	uint32_t isn;
	uint32_t nxt;        /* in order up to here */
	uint32_t out;        /* given up to here */
	uint32_t top;        /* highest end of octets that came */
	uint32_t acked;      /* highest ACK of the other side */
	uint32_t edge;       /* highest right edge that the other side announced */
	uint32_t snd;        /* highest number that its own segments show */
	uint32_t snd_before; /* the same without the last segment */
	uint32_t said;       /* it had said all before, when it acknowledged what it did last */
	uint32_t far;        /* the last that was far from all these */
	uint32_t fin, rst;   /* where they stood */
	uint32_t ts_recent;
	uint32_t pending_isn; /* of a SYN in the open flow */
	uint64_t ts_time, progress_us;
	struct tap_piece *held, *held_tail; /* [out, nxt) */
	struct tap_piece *ooo;              /* beyond nxt, by sequence number, without overlap */
	uint32_t held_octets;
	uint16_t held_n, ooo_n;
	uint32_t hole_seen; /* flow.segments when a hole was noticed; 0: none */
	uint64_t hole_us;
	uint32_t lost_seq, lost_end; /* the last that we dropped ourselves, with its cause */
	uint8_t lost_cause;
	uint8_t ttl, wscale, tiny, far_n;
	bool seen : 1;                   /* segments of this side are in the capture */
	bool synced : 1;                 /* the numbers are known */
	bool syn : 1;                    /* its SYN was seen */
	bool has_ack : 1;                /* acked and edge are known */
	bool has_ts : 1, has_wscale : 1; /* in its SYN */
	bool has_fin : 1, has_rst : 1, fin_done : 1;
	bool has_pending : 1, lost : 1;
	bool called_again : 1; /* more SYNs came, with other numbers */
	bool blocked : 1;      /* the application waits for the other side */
};

/*
 * One side: the other was never seen. Ending: a side said so, and the other did not confirm it.
 */
enum tap_list {
	TAP_LIST_HALF,
	TAP_LIST_OPEN,
	TAP_LIST_ONE_SIDE,
	TAP_LIST_ENDING,
	TAP_LIST_CLOSED,
	TAP_LIST_COUNT,
	TAP_LIST_NONE
};

struct tap_flow {
	struct tap_flow *chain; /* of the table's slot, or free */
	TAILQ_ENTRY(tap_flow) order;
	struct tcp_tuple tuple; /* remote: client */
	uint64_t hash;
	void *app;
	struct tap_dir dir[2]; /* by enum tap_side of the sender */
	uint64_t first_us, last_us;
	uint64_t anomalies;
	uint32_t segments;
	uint8_t list; /* enum tap_list */
	bool midstream;
	bool opened; /* open() was called; app == NULL: refused, or closed */
};

TAILQ_HEAD(tap_flow_list, tap_flow);

struct tap {
	struct tap_options opt;
	struct tap_env env;
	struct tap_flow *flow, *free_flow;
	struct tap_flow **slot;
	uint32_t slot_mask, n_flows, n_half;
	struct tap_flow_list list[TAP_LIST_COUNT];
	struct tap_piece *piece, *free_piece;
	struct tap_block *block, *free_block;
	uint32_t n_pieces, n_blocks;
	uint64_t now_us;
	uint64_t missed_us; /* when packets were lost before us; 0: never */
	uint8_t missed_cause;
};

#define TAP_COUNT(t, name)  ((t)->env.counters[CNT_##name]++)
#define TAP_ADD(t, name, n) ((t)->env.counters[CNT_##name] += (n))

/* tap_parse.c: false: dropped and counted */
bool tap_parse(struct tap *t, const struct tap_segment *seg, struct tap_in *in);

/* tap_table.c */
/* The flow of a segment, and which side sent it; NULL: none. */
struct tap_flow *tap_find(struct tap *t, const struct tcp_tuple *tuple, enum tap_side *side);
/* A new one, `side` being who sent the segment; NULL: no memory that could be had. */
struct tap_flow *tap_flow_new(struct tap *t, const struct tcp_tuple *tuple, enum tap_side side);
/* Gives what can be given, tells the application, frees it. */
void tap_flow_end(struct tap *t, struct tap_flow *f);
void tap_flow_list(struct tap *t, struct tap_flow *f, enum tap_list list);
/* closed() now; the entry stays as a mark of the tuple. */
void tap_flow_close(struct tap *t, struct tap_flow *f);
bool tap_is_port(const struct tap *t, uint16_t port);
void tap_odd(struct tap *t, struct tap_flow *f, enum tap_anomaly what);
/* The application's session, opened if it is not yet; NULL: it wants none. */
void *tap_app_of(struct tap *t, struct tap_flow *f);
void tap_expire(struct tap *t, unsigned int most);

static inline bool tap_is_closed(const struct tap_flow *f)
{
	return f->list == TAP_LIST_CLOSED || f->list == TAP_LIST_ENDING;
}

/* The numbers of a side begin with seq. */
static inline void tap_sync_dir(struct tap_dir *d, uint32_t seq)
{
	d->isn = seq - 1;
	d->nxt = d->out = d->top = d->snd = seq;
	d->synced = true;
}

/* What the other side has of this one. A client may acknowledge what was never said: of the server
 * only what its own segments show counts. */
static inline uint32_t tap_acked(const struct tap_flow *f, enum tap_side side)
{
	const struct tap_dir *d = &f->dir[side];

	return side == TAP_SERVER && seq_gt(d->acked, d->snd) ? d->snd : d->acked;
}

/* tap_track.c: what this segment of the other side says of what `!side` sent. */
void tap_take_ack(struct tap *t, struct tap_flow *f, enum tap_side side, const struct tap_in *in);

/* tap_syn.c: the flow that goes on; NULL: nothing does. */
struct tap_flow *tap_input_syn(struct tap *t, struct tap_flow *f, enum tap_side side,
			       const struct tap_in *in);
/* The first payload of a client that called with several numbers. */
void tap_which_syn(struct tap_flow *f, const struct tap_in *in);

/* tap_far.c: true: the ACK of what `side` sent is not to be believed. */
bool tap_far_ack(struct tap *t, struct tap_flow *f, enum tap_side side, uint32_t ack);
void tap_far_segment(struct tap *t, struct tap_flow *f, enum tap_side side,
		     const struct tap_in *in);

/* tap_piece.c */
/* n octets at off of the payload as pieces, in a list. NULL: a pool is empty, nothing was taken. */
struct tap_piece *tap_piece_take(struct tap *t, const struct tap_in *in, uint32_t off, uint32_t n,
				 struct tap_piece **last, uint16_t *count);
struct tap_piece *tap_piece_gap(struct tap *t, uint32_t seq, uint32_t n, enum tap_cause cause);
void tap_piece_free(struct tap *t, struct tap_piece *p);
/* Does the payload from seq on differ from the piece where they overlap? */
bool tap_piece_differs(const struct tap_in *in, const struct tap_piece *p, uint32_t seq,
		       uint32_t end);
void tap_dir_free(struct tap *t, struct tap_dir *d);

/* tap_stream.c */
void tap_text(struct tap *t, struct tap_flow *f, enum tap_side side, const struct tap_in *in);
/* What waited out of order and is in order now. */
void tap_drain(struct tap_dir *d);
void tap_held_add(struct tap_dir *d, struct tap_piece *first, struct tap_piece *last, uint16_t n);
void tap_lost(struct tap_dir *d, uint32_t seq, uint32_t end, enum tap_cause cause);

/* tap_pump.c */
/* What waits of this side may be given in a moment. */
void tap_fetch(const struct tap_dir *d);
enum tap_pump { TAP_PUMP, TAP_PUMP_END };
void tap_pump(struct tap *t, struct tap_flow *f, enum tap_pump how);
/* May octets of this side up to `end`, sent with this ACK, be given now? */
bool tap_may_give(const struct tap_flow *f, enum tap_side side, uint32_t end, uint32_t ack);
/* Gives straight from the segment; the octets that were taken. */
uint32_t tap_give(struct tap *t, struct tap_flow *f, enum tap_side side, const uint8_t *p,
		  uint32_t n, unsigned int how);
void tap_give_gap(struct tap *t, struct tap_flow *f, enum tap_side side, const struct tap_piece *p);
/* All that is not there before seq is missing for good. */
void tap_gap_to(struct tap *t, struct tap_flow *f, enum tap_side side, uint32_t seq);
