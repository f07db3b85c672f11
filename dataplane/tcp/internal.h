/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Shared by the files of this folder and nobody else. Where things are:
 *
 *   segment.c     header parsing and sanity          stack.c      memory, pools, the burst's end
 *   options.c     TCP options, in and out            table.c      the flow table
 *   handshake.c   SYN, mini-TCB, SYN-ACK timers      cookies.c    SYN cookies
 *   input.c       RFC 9293 3.10.7.4 on a TCB         ack.c        what an ACK does; RTT, cwnd
 *   deliver.c     in-order bytes, held bytes, FIN    reassembly.c out-of-order bytes
 *   output.c      segments of a TCB                  reply.c      segments of no TCB; budgets
 *   sack.c        what the peer holds of ours
 *   timers.c      the wheel                          time_wait.c  compact entries
 *   conn.c        the application's calls
 *
 * Life of a TCB: tcp_conn_open() takes it from the pool; tcp_conn_kill() takes it out of the table,
 * frees its blocks, calls closed() and leaves it ST_DEAD. A dead TCB goes back to the pool only in
 * tcp_reap(), which runs when no upcall can be on the stack, so every function may look at c->state
 * after an upcall.
 */

#include "dataplane/tcp/seq.h"
#include "dataplane/tcp/siphash.h"
#include "dataplane/tcp/tcp.h"
#include "postern/limits.h"
#include "postern/stats.h"

#define TCP_NONE UINT32_MAX

/* Header flags. */
#define TH_FIN 0x01
#define TH_SYN 0x02
#define TH_RST 0x04
#define TH_PSH 0x08
#define TH_ACK 0x10
#define TH_URG 0x20

#define TCP_HEADER_MAX 60
#define TCP_MAX_VIEWS  20   /* of one upcall or one segment; 19 full blocks are a jumbo frame */
#define TCP_WSCALE     3    /* ours: 65,535 << 3 = 512 KiB, the largest window is 256 KiB */
#define TCP_WHEEL      4096 /* slots of TCP_TICK_MS: 41 s; later deadlines come round again */
#define TCP_TICK_MS    10
#define TCP_SYN_LEVELS 5
#define TCP_TIMERS_A_CALL 256u /* so that what a tick sends fits into a transmit ring */

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

struct tcp_range {
	uint32_t start, end; /* [start, end) */
};

/* Received octets that wait. */
struct tcp_block {
	uint32_t next;
	uint32_t seq;   /* of the first byte; out-of-order blocks only */
	uint32_t stamp; /* when bytes were last added; orders SACK blocks */
	uint16_t off;   /* first byte that is still wanted */
	uint16_t end;   /* one past the last byte; room is sizeof(data) - end */
	uint8_t data[2032];
};
_Static_assert(sizeof(struct tcp_block) == 2048, "a block is 2 KiB");

/* Octets to send. Most replies are a line. */
struct tcp_tx_block {
	uint32_t next;
	uint16_t off; /* first byte that is not acknowledged */
	uint16_t end;
	uint8_t data[504];
};
_Static_assert(sizeof(struct tcp_tx_block) == TCP_TX_BLOCK, "as tcp.h says");

struct tcp_pool {
	uint8_t *mem;
	uint32_t size;     /* of an element */
	uint32_t count;
	uint32_t fresh;    /* elements from here on were never used: the memory is not touched yet */
	uint32_t free_list; /* linked through the first four octets at link_at */
	uint32_t link_at;
	uint32_t used;
};

enum tcp_state {
	ST_FREE,
	ST_ESTABLISHED,
	ST_CLOSE_WAIT,
	ST_FIN_WAIT_1,
	ST_FIN_WAIT_2,
	ST_CLOSING,
	ST_LAST_ACK,
	ST_DEAD,
};

#define CF_TS         0x00000001u /* timestamps negotiated */
#define CF_SACK       0x00000002u /* peer takes SACK */
#define CF_COOKIE     0x00000004u
#define CF_FIN_QUEUED 0x00000008u /* tcp_close(): FIN follows the queue, received bytes go away */
#define CF_FIN_RCVD   0x00000010u /* peer's FIN was in order; RCV.NXT is past it */
#define CF_FIN_SEEN   0x00000020u /* peer's FIN lies at fin_seq, a gap before it */
#define CF_EOF_DONE   0x00000040u
#define CF_ACK_NOW    0x00000080u
#define CF_ACK_DUE    0x00000100u
#define CF_DIRTY      0x00000200u /* on the stack's list of this burst */
#define CF_DELIVERING 0x00000400u /* in data() */
#define CF_RESUME     0x00000800u /* tcp_resume() came while in data() */
#define CF_ACCEPTING  0x00001000u /* in accept(): there is no app yet */
#define CF_ABORT      0x00002000u /* tcp_abort() came while in accept() */
#define CF_RTT        0x00004000u /* a segment is being timed */
#define CF_PERSIST    0x00008000u /* t_rtx is the persist timer */
#define CF_RECOVERY   0x00010000u /* fast recovery, RFC 6582 */
#define CF_DSACK      0x00020000u
#define CF_T_RTX      0x00040000u
#define CF_T_DELACK   0x00080000u
#define CF_T_LIFE     0x00100000u /* FIN_WAIT_2 limit, or the cap on persisting */
#define CF_IN_WHEEL   0x00200000u
#define CF_SACK_RECOVERY 0x00400000u /* recovery by the scoreboard (RFC 6675), not by NewReno */
#define CF_REFUSED    0x01000000u /* data() did not take all: nothing is offered before tcp_resume() */
#define CF_LIMITED    0x02000000u /* the last duplicate ACK permits limited transmit */
#define CF_EVICT      0x04000000u /* CF_ABORT is an eviction */
#define CF_BLACK_HOLE 0x00800000u /* full segments did not get through: mss is at its floor */

/* One TCB: four cache lines, by the phase that touches them. Clocks in ms unless named. */
struct tcp_conn {
	/* look-up and acceptance */
	struct tcp_tuple tuple;
	uint8_t state;
	uint8_t snd_wscale : 4;
	uint8_t rcv_wscale : 4;
	uint16_t mss; /* most payload and options of a segment of ours */
	uint32_t rcv_nxt;
	uint32_t rcv_adv; /* right edge that was announced; never moves left */
	uint32_t snd_una;
	uint32_t snd_nxt;
	uint32_t snd_max; /* highest sent, over snd_nxt after a time-out */
	uint32_t ts_recent;

	/* delivery and acknowledgement */
	struct tcp_stack *stack;
	void *app;
	uint32_t flags;
	uint32_t snd_wnd;
	uint32_t snd_wl1; /* SND.WL2 is never needed: an update has SEG.ACK >= SND.UNA >= SND.WL2 */
	uint32_t last_ack_sent;
	uint32_t rcv_limit;
	uint32_t held_head, held_tail, held_bytes; /* in order, not taken by the application */
	uint32_t ooo_head, ooo_tail;
	uint32_t tx_bytes; /* queued from SND.UNA on, without FIN */
	uint32_t next;     /* dirty list, dead list, pool */

	/* sending */
	uint32_t tx_head, tx_tail;
	uint32_t cwnd, ssthresh, recover;
	uint32_t max_snd_wnd;
	uint32_t rtt_seq, rtt_start_us;
	uint32_t srtt_us, rttvar_us;
	uint32_t ts_offset;
	uint32_t fin_seq;
	uint32_t dsack_start, dsack_end;
	uint32_t last_send;
	uint16_t rto;
	uint8_t dupacks;
	uint8_t rexmits; /* in a row, or persist probes */

	/* timers, path, facts */
	uint32_t timer_next, timer_prev;
	uint16_t timer_slot;
	uint16_t peer_mss;
	uint32_t t_rtx, t_delack, t_life;
	uint32_t ts_recent_s; /* seconds: RFC 7323 5.5 speaks of 24 days */
	uint16_t ooo_blocks;
	uint8_t ttl;
	uint8_t ack_segs;  /* data segments since the last ACK */
	struct tcp_path path;
	uint32_t retransmits, ooo_segments;
	uint16_t overlap_diff; /* stays at its maximum */
	uint8_t dup_owed;  /* duplicate ACKs to send at the burst's end */
	uint8_t oow;       /* two bits of the second, six bits of answers in it */
	uint32_t board;    /* what the peer holds of our octets */
};
_Static_assert(sizeof(struct tcp_conn) == 256, "a TCB is four cache lines");
_Static_assert(offsetof(struct tcp_conn, stack) == 64, "line 1");
_Static_assert(offsetof(struct tcp_conn, tx_head) == 128, "line 2");
_Static_assert(offsetof(struct tcp_conn, timer_next) == 192, "line 3");

/* What the peer holds of our octets beyond SND.UNA: ranges in order that do not touch. */
#define TCP_BOARD_RANGES 6
struct tcp_board {
	uint32_t next;     /* pool */
	uint32_t high_rxt; /* RFC 6675 2: HighRxt, one past */
	struct tcp_range range[TCP_BOARD_RANGES];
	uint8_t n;
	bool rescued;
};
_Static_assert(sizeof(struct tcp_board) == 60, "a scoreboard fits a cache line");

/* SYN_RCVD. The path lies in an array beside, touched only when a SYN-ACK goes out again. */
struct tcp_mini {
	struct tcp_tuple tuple;
	uint32_t irs, iss;
	uint32_t ts_recent;
	uint32_t deadline;
	uint32_t next, prev;  /* list of its level; pool */
	uint32_t mss : 14;    /* peer's, at most 16,383 */
	uint32_t wscale : 4;  /* 15: not offered */
	uint32_t ts : 1;
	uint32_t sack : 1;
	uint32_t level : 3;   /* SYN-ACKs sent again */
	uint32_t ttl : 8;
};
_Static_assert(sizeof(struct tcp_mini) == 64, "a mini-TCB is one cache line");
#define TCP_NO_WSCALE 15

struct tcp_tw {
	uint8_t remote[16];
	uint16_t remote_port, local_port;
	uint32_t local_hash; /* stands for the local address, which is one of a few of ours */
	uint32_t rcv_nxt, snd_nxt;
	uint32_t ts_recent; /* 0: no timestamps */
	uint32_t expires;
	uint32_t next, prev;
};
_Static_assert(sizeof(struct tcp_tw) == 48, "a TIME_WAIT entry is 48 octets");

/* What a slot of the flow table points to: kind in the two high bits. */
enum tcp_kind { KIND_NONE, KIND_CONN, KIND_MINI, KIND_TW };
#define TCP_REF(kind, index) ((uint32_t)(kind) << 30 | (index))
#define TCP_REF_KIND(ref)    ((enum tcp_kind)((ref) >> 30))
#define TCP_REF_INDEX(ref)   ((ref)&0x3fffffffu)

#define TCP_BUCKET 10
struct tcp_bucket {
	uint32_t ref[TCP_BUCKET]; /* 0: empty */
	uint16_t tag[TCP_BUCKET];
	uint32_t passed; /* entries that would live here but lie in a later bucket */
};
_Static_assert(sizeof(struct tcp_bucket) == 64, "a bucket is one cache line");

struct tcp_list {
	uint32_t head, tail;
};

struct tcp_stack {
	struct tcp_env env;
	struct tcp_options opt;
	uint64_t *cnt;
	uint64_t now_us;
	uint32_t now;  /* ms, wraps */
	uint32_t tick; /* last tick that was run */
	int pressure;

	struct tcp_bucket *bucket;
	uint32_t bucket_mask;
	uint8_t last_local[16]; /* one entry cache: local addresses are few */
	uint32_t last_local_hash;
	bool last_local_valid;

	struct tcp_pool conn, mini, tw, rx, tx, board;
	struct tcp_path *mini_path;
	struct tcp_list syn_level[TCP_SYN_LEVELS + 1];
	struct tcp_list tw_list;
	uint32_t *wheel;    /* TCP_WHEEL heads */
	uint32_t dirty, dead;
	uint32_t conns_live;
	uint32_t ooo_used;  /* blocks of rx that hold out-of-order bytes */
	uint32_t ooo_stamp;

	uint64_t random_counter;
	uint32_t budget_s;  /* second the two budgets belong to */
	uint32_t rst_budget, challenge_budget;
	uint32_t cookie_s;  /* last second a cookie was sent */
	bool cookie_any;
};

/* A received segment after parsing. */
struct tcp_in {
	const struct tcp_segment *seg;
	const uint8_t *opt;
	uint32_t opt_len;
	uint32_t seq, ack;
	uint32_t off, len; /* payload that is still of interest */
	uint16_t wnd;
	uint8_t flags;
	/* options */
	bool has_ts, has_mss, has_wscale, has_sack_ok, refused_option;
	uint8_t wscale, n_sack;
	const uint8_t *sack; /* n_sack pairs of edges */
	uint16_t mss;
	uint32_t tsval, tsecr;
};

#define COUNT(s, name) ((s)->cnt[CNT_##name]++)

/* segment.c: false: dropped and counted. */
bool tcp_parse(struct tcp_stack *s, const struct tcp_segment *seg, struct tcp_in *in);

/* options.c */
int tcp_options_parse(struct tcp_in *in);
size_t tcp_options_syn(uint8_t *p, uint16_t mss, const struct tcp_in *syn, uint32_t tsval);
#define TCP_OPT_TS 12 /* two NOPs and the option */
void tcp_put_ts(uint8_t p[TCP_OPT_TS], uint32_t val, uint32_t ecr);
size_t tcp_options_len(const struct tcp_conn *c);
size_t tcp_options_put(struct tcp_conn *c, uint8_t *p);

/* table.c */
uint32_t tcp_local_hash(struct tcp_stack *s, const uint8_t local[16]);
uint64_t tcp_hash(struct tcp_stack *s, const struct tcp_tuple *t);
uint64_t tcp_hash_parts(struct tcp_stack *s, const uint8_t remote[16], uint16_t remote_port,
			uint16_t local_port, uint32_t local_hash);
uint32_t tcp_table_find(struct tcp_stack *s, const struct tcp_tuple *t, uint64_t hash);
/* Asks for the cache lines of what hash seems to point to. */
void tcp_table_prefetch(const struct tcp_stack *s, uint64_t hash);
void tcp_table_add(struct tcp_stack *s, uint64_t hash, uint32_t ref);
void tcp_table_del(struct tcp_stack *s, uint64_t hash, uint32_t ref);
void tcp_table_swap(struct tcp_stack *s, uint64_t hash, uint32_t ref, uint32_t new_ref);

/* stack.c */
uint32_t tcp_pool_get(struct tcp_pool *p);
void tcp_pool_put(struct tcp_pool *p, uint32_t i);
static inline void *tcp_pool_at(const struct tcp_pool *p, uint32_t i)
{
	return p->mem + (size_t)i * p->size;
}

static inline struct tcp_conn *conn_at(const struct tcp_stack *s, uint32_t i)
{
	return tcp_pool_at(&s->conn, i);
}

static inline uint32_t conn_index(const struct tcp_conn *c)
{
	return (uint32_t)(c - (const struct tcp_conn *)c->stack->conn.mem);
}

static inline struct tcp_mini *mini_at(const struct tcp_stack *s, uint32_t i)
{
	return tcp_pool_at(&s->mini, i);
}

static inline struct tcp_tw *tw_at(const struct tcp_stack *s, uint32_t i)
{
	return tcp_pool_at(&s->tw, i);
}

static inline struct tcp_block *rx_at(const struct tcp_stack *s, uint32_t i)
{
	return tcp_pool_at(&s->rx, i);
}

static inline struct tcp_tx_block *tx_at(const struct tcp_stack *s, uint32_t i)
{
	return tcp_pool_at(&s->tx, i);
}

void tcp_mark_dirty(struct tcp_conn *c);
void tcp_reap(struct tcp_stack *s);
uint64_t tcp_random(struct tcp_stack *s);
bool tcp_is_v4(const struct tcp_tuple *t);

/* handshake.c */
struct tcp_open {
	const struct tcp_tuple *tuple;
	const struct tcp_path *path;
	uint32_t irs, iss, ts_recent;
	uint16_t mss;
	uint8_t wscale, ttl;
	bool ts, sack, cookie;
	bool resent;        /* the SYN-ACK went out more than once */
	bool timed;         /* rtt_us is how long the peer took to answer it */
	uint32_t rtt_us;
	uint32_t ts_offset;
};
void tcp_listen_input(struct tcp_stack *s, struct tcp_in *in, uint64_t hash);
void tcp_syn_input(struct tcp_stack *s, struct tcp_in *in, uint64_t hash, uint32_t iss_min,
		   bool has_iss_min);
void tcp_mini_input(struct tcp_stack *s, struct tcp_in *in, uint64_t hash, uint32_t index);
bool tcp_mini_timers(struct tcp_stack *s);
struct tcp_conn *tcp_conn_open(struct tcp_stack *s, const struct tcp_open *o);
/* Calls accept(); NULL if it refused or aborted. */
struct tcp_conn *tcp_conn_accept(struct tcp_conn *c);
uint32_t tcp_isn(const struct tcp_stack *s, uint64_t hash);
uint32_t tcp_ts_offset(const struct tcp_stack *s, uint64_t hash);
uint32_t tcp_ts_now(const struct tcp_stack *s, uint32_t offset);
uint16_t tcp_default_mss(const struct tcp_tuple *t);

/* cookies.c */
void tcp_cookie_send(struct tcp_stack *s, struct tcp_in *in, uint64_t hash);
bool tcp_cookie_check(struct tcp_stack *s, const struct tcp_in *in, uint64_t hash,
		      struct tcp_open *o);
bool tcp_cookie_active(const struct tcp_stack *s);

/* input.c */
void tcp_conn_input(struct tcp_conn *c, struct tcp_in *in);
/* What an accepted segment leaves behind: its path and TS.Recent. */
void tcp_remember(struct tcp_conn *c, const struct tcp_in *in);

/* ack.c: false: the segment ends here (dropped, or the connection is gone). */
bool tcp_ack_input(struct tcp_conn *c, const struct tcp_in *in);
void tcp_cc_init(struct tcp_conn *c);
void tcp_cc_timeout(struct tcp_conn *c);
/* RFC 5681 4.1: before the first data after a pause. */
void tcp_cc_restart(struct tcp_conn *c);
/* RFC 6298 2.2, 2.3. */
void tcp_rtt_sample(struct tcp_conn *c, uint32_t us);

/* deliver.c */
void tcp_text(struct tcp_conn *c, struct tcp_in *in);
void tcp_offer_held(struct tcp_conn *c);
void tcp_discard_held(struct tcp_conn *c);
void tcp_eof_check(struct tcp_conn *c);
uint32_t tcp_copy_views(const struct tcp_segment *seg, uint32_t off, uint8_t *to, uint32_t n);

/* reassembly.c */
void tcp_ooo_add(struct tcp_conn *c, const struct tcp_in *in, uint32_t seq, uint32_t off,
		 uint32_t len);
/* How many of the len octets from seq on lie before the first that is stored. */
uint32_t tcp_ooo_before(const struct tcp_conn *c, uint32_t seq, uint32_t len);
/* Counts it when the segment says something else than what is stored. */
void tcp_ooo_compare(struct tcp_conn *c, const struct tcp_in *in);
/* Moves what is in order now behind the held bytes and advances RCV.NXT. */
void tcp_ooo_drain(struct tcp_conn *c);
void tcp_ooo_free(struct tcp_conn *c);
unsigned int tcp_ooo_ranges(const struct tcp_conn *c, uint32_t (*range)[2], unsigned int max);

/* sack.c */
void tcp_sack_drop(struct tcp_conn *c);
/* Do the segment's blocks say something new of what is outstanding? */
enum tcp_sack_news { SACK_NOTHING, SACK_NEWS, SACK_NO_BOARD };
enum tcp_sack_news tcp_sack_update(struct tcp_conn *c, const struct tcp_in *in);
bool tcp_sack_first_lost(const struct tcp_conn *c);
uint32_t tcp_sack_pipe(const struct tcp_conn *c);
void tcp_sack_begin(struct tcp_conn *c);
void tcp_sack_sent_again(struct tcp_conn *c, uint32_t end);
bool tcp_sack_next(struct tcp_conn *c, bool sure, uint32_t room, struct tcp_range *out);
uint32_t tcp_sack_skip(const struct tcp_conn *c, uint32_t seq, uint32_t *gap);

/* output.c */
void tcp_flush(struct tcp_conn *c);
/* Octets of payload in a full segment of ours. */
uint32_t tcp_payload_room(const struct tcp_conn *c);
void tcp_send_ack(struct tcp_conn *c);
void tcp_retransmit_one(struct tcp_conn *c);
void tcp_probe(struct tcp_conn *c);
void tcp_conn_rst(struct tcp_conn *c);
uint32_t tcp_edge(const struct tcp_conn *c);

/* reply.c */
struct tcp_bare {
	const struct tcp_tuple *tuple;
	const struct tcp_path *path;
	uint32_t seq, ack;
	uint16_t wnd;
	uint8_t flags;
	const uint8_t *opt;
	size_t opt_len;
};
void tcp_send_bare(struct tcp_stack *s, const struct tcp_bare *b);
void tcp_reply_rst(struct tcp_stack *s, const struct tcp_in *in);
bool tcp_challenge_allowed(struct tcp_stack *s);
void tcp_challenge(struct tcp_conn *c);
/* An ordinary answer to a segment outside the window: bounded per connection and second. */
void tcp_answer_oow(struct tcp_conn *c);
void tcp_put_header(uint8_t *h, const struct tcp_tuple *t, uint32_t seq, uint32_t ack,
		    uint8_t flags, uint16_t wnd, size_t opt_len);

/* timers.c */
void tcp_timer_set(struct tcp_conn *c, uint32_t which, uint32_t ms);
void tcp_timer_off(struct tcp_conn *c, uint32_t which);
void tcp_timer_remove(struct tcp_conn *c);
/* True: timers that are due are left. */
bool tcp_timers_run(struct tcp_stack *s);

/* time_wait.c */
void tcp_tw_enter(struct tcp_conn *c);
void tcp_tw_input(struct tcp_stack *s, struct tcp_in *in, uint64_t hash, uint32_t index);
bool tcp_tw_timers(struct tcp_stack *s);

/* conn.c */
/* Takes c out of everything; closed() is called. `swap_ref`: what the table points to instead. */
void tcp_conn_kill(struct tcp_conn *c, enum tcp_close_reason reason);
void tcp_conn_release(struct tcp_conn *c);

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}
