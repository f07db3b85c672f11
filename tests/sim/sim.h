/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Seeded simulation of many connections between one server stack (dataplane/tcp) and clients that
 * are written from RFC 9293 and share no code with it. Everything is drawn from the seed of the
 * batch; time is virtual.
 *
 *   params.c   what is drawn for a batch and for each connection
 *   link.c     the wire: virtual clock, loss, reordering, duplication, corruption, ICMP
 *   client.c   the client's state machine and receiver    client_tx.c  its sender
 *   app.c      the server's application
 *   check.c    invariants of what the stack sends, and of how connections end
 *   sim_tcp.c  batches, bursts, the command line
 *
 * Numbers of the client's and the server's streams are offsets from the initial sequence number:
 * the SYN is 0, the first octet 1. Streams stay far below 2^31 octets.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/tcp/tcp.h"
#include "postern/limits.h"
#include "postern/stats.h"

#define SIM_FIN 0x01
#define SIM_SYN 0x02
#define SIM_RST 0x04
#define SIM_PSH 0x08
#define SIM_ACK 0x10
#define SIM_URG 0x20

#define SIM_FLOWS_MAX 256
#define SIM_RANGES    12
#define SIM_NO_WSCALE 255
#define SIM_HISTORY   40
#define SIM_NEVER     UINT64_MAX

struct sim_rng {
	uint64_t s;
};

static inline uint64_t sim_rand(struct sim_rng *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline uint32_t sim_range(struct sim_rng *r, uint32_t lo, uint32_t hi)
{
	return lo + (uint32_t)(sim_rand(r) % ((uint64_t)hi - lo + 1));
}

/* n of 10,000 */
static inline bool sim_chance(struct sim_rng *r, uint32_t n)
{
	return sim_rand(r) % 10000 < n;
}

static inline uint32_t sim_min(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint32_t sim_max(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static inline uint64_t sim_min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

enum sim_profile {
	PROFILE_NORMAL,
	PROFILE_FEW_BLOCKS, /* out-of-order, held and reply blocks run out */
	PROFILE_FEW_TCBS,
	PROFILE_COOKIES,  /* the half-open pool runs out */
	PROFILE_PRESSURE, /* the memory ladder goes up and down, connections are evicted */
	PROFILE_COUNT,
};

enum sim_client_close {
	CLIENT_AFTER_DATA, /* FIN behind its last octet */
	CLIENT_AFTER_EOF,  /* waits for the server's FIN */
	CLIENT_ABORTS,     /* RST at some time */
	CLIENT_VANISHES,
};

enum sim_server_close {
	SERVER_AFTER_EOF,
	SERVER_AFTER_BYTES, /* once it has taken what the client will send: closes first */
	SERVER_EARLY,       /* before that: the rest of the client's octets is discarded */
	SERVER_ABORTS,
};

enum sim_app_mode { APP_ECHO, APP_SOURCE, APP_REPLY, APP_SINK };

struct sim_params {
	/* link, chances of 10,000 */
	uint32_t loss, dup, reorder, corrupt, taint, icmp;
	uint32_t delay_us, jitter_us;
	bool clean; /* nothing is lost, late or slow: the stack must send nothing twice */
	/* client */
	uint32_t iss, ts_start;
	uint32_t send_total, rcvbuf, cwnd_segs;
	uint32_t read_chunk, read_gap_us; /* 0: reads at once */
	uint32_t stall_us;                /* does not read before this time */
	uint32_t ack_delay_us, rto_us, start_us;
	uint32_t abort_us;
	uint16_t mss; /* 0: no option */
	uint8_t wscale;
	bool ts, sack, v6, shrinks, probes_with_data, fast_retransmit, fin_with_data, rude,
		strict_rst;
	bool tiny_segments, use_sack, again /* a second connection of the same tuple */,
		lazy_window; /* tells of half the buffer only */
	enum sim_client_close client_close;
	/* server */
	uint16_t path_mss;
	enum sim_app_mode app;
	enum sim_server_close server_close;
	uint32_t reply_total, take_max, hold_chance, hold_us, window_chance, early_at,
		server_abort_us;
};

struct sim_packet {
	uint32_t flow;
	uint16_t header_len;
	bool tainted;
	uint32_t len;
	uint8_t header[60];
	uint8_t data[];
};

struct sim_seg { /* a parsed header */
	uint32_t seq, ack;
	uint32_t wnd;
	uint8_t flags;
	uint16_t mss;
	uint8_t wscale;
	bool has_mss, has_ts, sack_ok;
	uint32_t tsval, tsecr;
	unsigned int n_sack;
	uint32_t sack[4][2];
};

struct sim_range {
	uint32_t from, to;
};

/* Disjoint, ascending. */
struct sim_ranges {
	unsigned int n;
	struct sim_range r[SIM_RANGES];
};

enum sim_client_state { CS_START, CS_SYN_SENT, CS_OPEN, CS_TIME_WAIT, CS_DONE };
enum sim_outcome { OUT_RUNNING, OUT_FINISHED, OUT_RESET, OUT_GAVE_UP, OUT_ABORTED, OUT_VANISHED };

struct sim_client {
	enum sim_client_state state;
	enum sim_outcome outcome;
	uint32_t irs;
	/* sender */
	uint32_t una, nxt, max, probe_end, edge, wl1, wl2, dupacks, retries;
	uint32_t fin_at; /* offset of our FIN, once it was sent */
	bool fin_sent, fin_acked, fin_first;
	uint64_t rtx_at, abort_at, wait_until;
	uint32_t rto_us;
	struct sim_ranges sacked;
	uint16_t eff_mss;
	uint8_t peer_wscale;
	bool peer_ts, peer_sack, rst_sent;
	uint32_t ts_recent;
	/* receiver */
	uint32_t rcv_nxt, rcv_edge, buffered, last_ack;
	bool fin_rcvd, fin_seen;
	uint32_t fin_pos;
	struct sim_ranges ooo;
	uint64_t ack_at, read_at;
	unsigned int ack_segs;
	uint32_t rtos;
	uint64_t timer_at; /* earliest event in the queue */
};

struct sim_app {
	struct tcp_conn *conn;
	uint32_t accepts, closes, eofs;
	uint32_t taken, sent;
	bool closed_by_us, aborted, evicted, holding, resuming, in_data;
	uint32_t limit, limit_max; /* of the window: now, and the highest so far */
	enum tcp_close_reason reason;
	uint64_t closed_at;
	uint64_t timer_at, resume_at, retry_at, abort_at, last_event;
	unsigned int ghosts;
};

struct sim_check {
	bool have_iss, syn_ack;
	uint32_t iss;
	uint32_t snd_max, una; /* highest sent; highest acknowledged that was delivered */
	uint32_t offered;      /* right edge that the client offered, delivered */
	uint32_t edge;         /* right edge that the stack announced */
	uint32_t ack_max;
	uint32_t mss, mss_start;
	uint32_t tx_since_progress, retransmits, early_acks;
	uint64_t progress_at, window_at; /* last progress; last time the offered window was open */
	uint32_t tsval;
	uint8_t wscale; /* of the SYN-ACK */
	bool any_ts, fin_sent, client_fin, client_rst, rst_out;
	uint32_t fin_pos, client_end, client_fin_at;
	uint64_t first_syn_ack;
};

struct sim_note {
	uint64_t at;
	uint32_t seq, ack, len, wnd;
	uint8_t flags;
	char what; /* > arrives at the stack, < the stack sends, ! lost, c arrives at the client */
};

struct sim;

/* A connection that an old cookie brought to life: what the application sees of it. */
struct sim_ghost {
	uint32_t tag; /* 1 */
	struct sim_flow *flow;
	struct tcp_conn *conn;
	uint64_t until;
};

struct sim_flow {
	uint32_t tag; /* 0: application pointers are of either kind */
	struct sim_ghost ghost;
	struct sim *sim;
	uint32_t index;
	struct sim_params par;
	struct sim_client c;
	struct sim_app app;
	struct sim_check chk;
	struct tcp_tuple tuple;
	uint32_t key; /* of its octets */
	bool tainted; /* a bad segment was delivered: only invariants count */
	bool done, reborn;
	struct sim_note note[SIM_HISTORY];
	uint32_t notes;
};

enum sim_event_kind { EV_TO_SERVER, EV_TO_CLIENT, EV_CLIENT, EV_APP, EV_ICMP, EV_LADDER };

struct sim_event {
	uint64_t at, serial;
	struct sim_packet *packet;
	uint32_t flow, arg, arg2;
	enum sim_event_kind kind;
};

struct sim {
	uint64_t seed, now, start;
	struct sim_rng rng;
	enum sim_profile profile;
	struct tcp_stack *stack;
	struct tcp_options opt;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT];
	uint32_t n_flows, n_live;
	struct sim_flow *flow;
	struct sim_event *heap;
	size_t n_heap, heap_room;
	uint64_t serial;
	uint64_t to_server, to_client; /* segments, for the summary */
	uint32_t output_drop;          /* output() says -ENOBUFS, of 10,000 */
	bool verbose;
};

/* params.c */
void sim_draw_batch(struct sim *s);
void sim_draw_flow(struct sim *s, struct sim_flow *f);
void sim_print_params(const struct sim_flow *f);

/* wire.c */
void sim_wire_init(void);
uint8_t sim_octet(uint32_t key, uint32_t off);
bool sim_same(uint32_t key, uint32_t off, const uint8_t *p, size_t n);
void sim_fill(uint32_t key, uint32_t off, uint8_t *p, size_t n);
bool sim_parse(const uint8_t *header, size_t len, struct sim_seg *out);
void sim_range_add(struct sim_ranges *r, uint32_t from, uint32_t to);
bool sim_range_has(const struct sim_ranges *r, uint32_t at, uint32_t *end);
static inline uint16_t sim_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t sim_get32(const uint8_t *p)
{
	return (uint32_t)sim_get16(p) << 16 | sim_get16(p + 2);
}

static inline void sim_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void sim_put32(uint8_t *p, uint32_t v)
{
	sim_put16(p, v >> 16);
	sim_put16(p + 2, v);
}

/* link.c */
void sim_push(struct sim *s, const struct sim_event *e);
bool sim_pop(struct sim *s, uint64_t until, struct sim_event *e);
void sim_link_send(struct sim_flow *f, struct sim_packet *p, bool to_server);
void sim_link_icmp(struct sim_flow *f, uint32_t seq);
void sim_note(struct sim_flow *f, char what, const uint8_t *header, uint32_t len);

/* client.c */
void sim_client_start(struct sim_flow *f);
void sim_client_input(struct sim_flow *f, const struct sim_packet *p);
void sim_client_timer(struct sim_flow *f);
void sim_client_end(struct sim_flow *f, enum sim_outcome how);
void sim_client_arm(struct sim_flow *f);
uint32_t sim_stream_key(const struct sim_flow *f, bool from_server);

/* client_tx.c */
void sim_client_output(struct sim_flow *f);
void sim_client_ack(struct sim_flow *f);
void sim_client_syn(struct sim_flow *f);
void sim_client_rst(struct sim_flow *f, uint32_t seq, uint32_t ack, uint8_t flags);
void sim_client_retransmit(struct sim_flow *f);
void sim_client_probe(struct sim_flow *f);
uint32_t sim_client_edge(struct sim_flow *f);

/* app.c */
extern const struct tcp_app sim_app_calls;
void sim_app_timer(struct sim_flow *f);
void sim_app_evict(struct sim_flow *f);

/* check.c */
_Noreturn void sim_fail(const struct sim_flow *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void sim_check_output(struct sim_flow *f, const uint8_t *header, size_t header_len, uint32_t len);
void sim_check_delivered(struct sim_flow *f, const struct sim_packet *p);
void sim_check_closed(struct sim_flow *f, enum tcp_close_reason reason);
void sim_check_icmp(struct sim_flow *f, uint32_t quoted, uint32_t mtu);
void sim_check_flow_end(struct sim_flow *f);
