/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * smtpload: SMTP clients by the million at the other end of a memif link. A process of its own,
 * one thread, one port. It shares no code with the server: what both would get wrong in the same
 * way, no bench would show.
 *
 *     main.c     start, the loop, what happens in which order
 *     run.c      the runs, and the commands on standard input
 *     link.c     EAL, the memif port, buffers, ARP
 *     wire.c     Ethernet, IPv4, TCP: reading and writing headers
 *     tcp.c      a client's TCP, 80 octets a connection
 *     timer.c    its timers
 *     smtp.c     the dialogue; unit.c what is said, reply.c what is answered
 *     content.c  messages, made at start as they go out; corpus.c reads them from files
 *     tls.c      a share of the sessions under TLS
 *     pace.c     an open loop: when which message is due
 *     think.c    sessions that wait before they go on
 *     books.c    a line a message: what became of it
 *     flood.c    SYNs from addresses that do not answer
 *     report.c   figures as text and JSON
 *
 * A session is an index. Its address and port follow from it, so no table is needed to find the
 * session of a packet:
 *     address = first + index % sources
 *     port    = 10000 + index / sources + blocks * (incarnation % incarnations)
 * The upper half of the prefix belongs to the flood.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rte_mbuf;

#define LOAD_PORT_FIRST   10000u
#define LOAD_PORTS        50000u
#define LOAD_MAX_SESSIONS (1u << 21)
#define LOAD_NONE         UINT32_MAX

#define LOAD_SIZES 64u

/* ---- options -------------------------------------------------------------------------------- */

struct size_class {
	uint32_t octets;
	double weight;
};

/* How long is waited, in microseconds: a; evenly from a to b; a in the mean, exponentially. */
struct think {
	enum { THINK_NOT, THINK_FIXED, THINK_EVEN, THINK_EXP } kind;
	double a, b;
};

struct load_options {
	const char *socket; /* of the memif */
	unsigned int core, ring_log2;
	bool huge, json, gate, ehlo, timestamps, probe, abandon, pipeline, bdat, skip_bad;
	uint32_t to; /* gateway, host order */
	uint16_t to_port;
	uint32_t prefix; /* sources, host order */
	unsigned int prefix_len;
	uint32_t sources; /* of sessions; 0: one a session */
	uint32_t flood_sources;
	uint32_t idle, active, churn;
	uint32_t window;   /* sessions being opened at once */
	uint64_t messages; /* 0: as many as fit into `seconds` */
	struct size_class size[LOAD_SIZES];
	unsigned int n_sizes;
	double rate;      /* messages a second are due; 0: as soon as one was answered */
	const char *text; /* file that the body is taken of; NULL: letters at random */
	const char *corpus; /* directory of messages, in place of size and text */
	const char *books;  /* file */
	uint32_t chunk;     /* octets of a chunk of BDAT; 0: the message is one */
	uint32_t per_session; /* messages, then QUIT and another connection; 0: any number */
	double tls;           /* share of idle and of active sessions */
	struct think think, think_command; /* before a message, before its further commands */
	uint64_t seed;
	uint64_t flood; /* SYNs a second */
	double seconds;
	uint32_t nap_us;
	uint32_t rto_ms;
	const char *from, *rcpt, *helo;
};

void args_parse(int argc, char **argv, struct load_options *out);

/* ---- a session ------------------------------------------------------------------------------ */

enum tcp_state { T_CLOSED, T_SYN_SENT, T_OPEN, T_LAST_ACK };

/* In the order of a message: envelope() and in_message() count on it. */
enum phase {
	P_NONE,
	P_BANNER,
	P_EHLO,
	P_STARTTLS,
	P_TLS, /* its handshake */
	P_IDLE,
	P_NOOP,
	P_MAIL,
	P_RCPT,
	P_DATA,
	P_BODY,
	P_PAUSE, /* within a message: thinks */
	P_RSET,
	P_QUIT
};

#define F_TS       1 /* timestamps are used */
#define F_ACK      2 /* an acknowledgement is owed */
#define F_IN_WHEEL 4
#define F_CONT     8  /* this reply line is not the last */
#define F_OPENING  16 /* counted in `opening` */
#define F_UP       32 /* counted in `up` */
#define F_REFUSED  64 /* our QUIT answers a refusal */
#define F_WAITING  128 /* on the list of pace.c */

/* sess.more */
#define M_TLS        1 /* units are what tls.c made of them */
#define M_THINKS     2 /* in the heap of think.c */
#define M_CHUNKING   4 /* offered behind EHLO: these and the next three */
#define M_STARTTLS   8
#define M_8BITMIME   16
#define M_PIPELINING 32
#define M_OFFERS     (M_CHUNKING | M_STARTTLS | M_8BITMIME | M_PIPELINING)

struct sess {
	uint32_t snd_una, snd_nxt, snd_max; /* nxt falls back to una after a time-out */
	uint32_t rcv_nxt;
	uint32_t snd_wnd;  /* octets */
	uint32_t unit_seq; /* sequence number of the unit's first octet */
	uint32_t ts_recent;
	uint32_t timer_at; /* ms; 0: none */
	uint32_t wheel_next;
	uint32_t incarnation;
	uint32_t message; /* serial of the message being sent */
	uint16_t code, mss;
	uint8_t tcp, phase, flags, wscale;
	uint8_t column; /* in the reply line, stays at 4 */
	uint8_t retries, dup_acks, failures;
	uint8_t more, next; /* next: phase behind P_PAUSE */
	uint16_t chunk;     /* of BDAT, under way */
	uint32_t content;   /* of the message; before there is one, a hash of EHLO's keyword */
	uint64_t since_us;  /* begin of the connection; when the message was due */
	uint64_t said_us;  /* when the last octet of the unit was first sent */
};

_Static_assert(sizeof(struct sess) <= 80, "a million of them are kept");

/* ---- figures -------------------------------------------------------------------------------- */

#define HIST_SUB 5 /* log2 of the buckets of an octave: 3 % */

struct hist {
	uint64_t n, max;
	uint32_t bucket[64 << HIST_SUB];
};

void hist_add(struct hist *h, uint64_t v);
uint64_t hist_at(const struct hist *h, double share);

struct figures {
	uint64_t opened, open_failed; /* connections of any kind */
	uint64_t lost;                /* sessions that ended without our wish */
	uint64_t accepted;            /* messages */
	uint64_t churned;             /* connections that ran from SYN to FIN */
	uint64_t octets;              /* of accepted messages */
	uint64_t reconnected;         /* connections left after --per-session messages */
	uint64_t handshakes, tls_failed;
	uint64_t not_offered; /* connections whose EHLO lacked what the options need */
	uint64_t probes_ok;
	uint64_t refused[1000]; /* replies that were not hoped for, by code */
	uint64_t flood_offered, flood_taken, syn_ack;
	uint64_t retransmits, timeouts, rx, tx, tx_not_taken, rx_bad, rx_stray;
	uint64_t busy_cycles, total_cycles;
	uint64_t flood_behind_us; /* time the flood could not keep its rate */
	struct hist transaction, connect, handshake;
	struct hist reply; /* final dot to final reply */
};

/* ---- the one instance ----------------------------------------------------------------------- */

struct load {
	struct load_options opt;
	struct sess *sess;
	uint32_t n_sess; /* idle, then active, then churn */
	uint32_t sources, blocks, incarnations;
	uint32_t first_source, first_flood;
	uint64_t hz, now_us;
	uint32_t now_ms;

	uint32_t next_open; /* sessions below it were begun */
	uint32_t opening;   /* of them, those not up yet */
	uint32_t up;        /* idle and active sessions behind EHLO */
	uint32_t up_tls;    /* of them under TLS */
	bool running, ending;
	uint32_t run_active, run_churn; /* of this run */
	uint64_t run_messages, messages_begun, messages_done;
	double run_rate;
	uint32_t message_serial;
	uint64_t flood; /* SYNs a second now */
	bool decoy;

	struct figures f;
	volatile int signalled;
};

extern struct load load;

static inline uint32_t sess_index(const struct sess *s)
{
	return (uint32_t)(s - load.sess);
}

static inline bool is_idle(const struct sess *s)
{
	return sess_index(s) < load.opt.idle;
}

static inline bool is_churn(const struct sess *s)
{
	return sess_index(s) >= load.opt.idle + load.opt.active;
}

static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* ---- link.c --------------------------------------------------------------------------------- */

void link_start(void);
void link_stop(void);
/* A buffer for one frame, NULL when there is none. */
struct rte_mbuf *link_alloc(void);
unsigned int link_alloc_bulk(struct rte_mbuf **m, unsigned int n);
/* Queues the frame for the end of the turn. */
void link_send(struct rte_mbuf *m);
/* Hands over now what the ring takes, frees the rest. Returns what was taken. */
unsigned int link_send_now(struct rte_mbuf **m, unsigned int n);
void link_flush(void);
/* One burst; each frame goes to wire_input(). Returns their number. */
unsigned int link_poll(void);
void link_clock(void);

extern uint8_t link_mac[6], link_peer_mac[6];
extern bool link_peer_known;

/* ---- wire.c --------------------------------------------------------------------------------- */

#define TH_FIN 1
#define TH_SYN 2
#define TH_RST 4
#define TH_PSH 8
#define TH_ACK 16

struct seg {
	uint32_t remote, local; /* host order; local is ours */
	uint16_t local_port;
	uint32_t seq, ack, wnd;
	uint8_t flags;
	bool has_ts;
	uint32_t tsval, tsecr;
	uint8_t wscale; /* of a SYN; 0 without the option */
	bool has_wscale, has_mss;
	uint16_t mss;
	const uint8_t *data;
	uint32_t len;
};

void wire_input(const uint8_t *p, uint32_t n);
void wire_arp_ask(void);
/* A segment of session s; payload is the n octets of its unit from `from` on. */
bool wire_tcp(struct sess *s, uint8_t flags, uint32_t seq, uint32_t from, uint32_t n);
/* A SYN as of a Linux host, to be patched by flood.c. Returns its length. */
uint32_t wire_syn_template(uint8_t *p);
uint16_t wire_sum_fold(uint64_t sum);
uint64_t wire_sum(const uint8_t *p, uint32_t n, uint64_t sum);

static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static inline uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

/* ---- tcp.c, timer.c ------------------------------------------------------------------------- */

void tcp_open(struct sess *s);
void tcp_input(struct sess *s, const struct seg *seg);
/* Says the unit of the phase; the former one has been answered. */
void tcp_say(struct sess *s, enum phase phase);
void tcp_abort(struct sess *s);
void tcp_timeout(struct sess *s);
uint16_t tcp_port_of(const struct sess *s);

void timer_start(void);
void timer_set(struct sess *s, uint32_t ms);
void timer_off(struct sess *s);
void timer_run(void);

/* ---- unit.c --------------------------------------------------------------------------------- */

/* 0, or -1 after saying on stderr what is wrong. */
int unit_start(void);
void unit_stop(void);
/* What is said in the phase, in clear. */
uint32_t unit_len(const struct sess *s);
void unit_copy(const struct sess *s, uint8_t *to, uint32_t from, uint32_t n);
/* As TCP takes it: the same, or what TLS made of it. */
uint32_t smtp_unit_len(const struct sess *s);
void smtp_copy(const struct sess *s, uint8_t *to, uint32_t from, uint32_t n);
/* Octets of the unit that must have been acknowledged before an answer to the phase can come. */
uint32_t unit_said_by(const struct sess *s);

/* ---- reply.c -------------------------------------------------------------------------------- */

void reply_start(void);
/* The keyword of one of M_OFFERS. */
const char *reply_offer(uint8_t what);
/* In clear; under TLS tls.c calls it. */
void reply_text(struct sess *s, const uint8_t *p, uint32_t n);

/* ---- smtp.c --------------------------------------------------------------------------------- */

/* 0, or -1 after saying on stderr what is wrong. */
int smtp_start(void);
void smtp_stop(void);
void smtp_input(struct sess *s, const uint8_t *p, uint32_t n);
/* tcp_say(), under TLS if the session is. */
void smtp_say(struct sess *s, enum phase phase);
/* A whole reply is here. */
void smtp_reply(struct sess *s);
void smtp_connected(struct sess *s);
/* The handshake is over. */
void smtp_secured(struct sess *s);
/* The connection is gone; `wanted`: after our QUIT. */
void smtp_gone(struct sess *s, bool wanted);
void smtp_reopen(struct sess *s);
/* It all ends now: messages under way stand in the books without a reply. */
void smtp_cut(void);
/* An idle session of `active` takes the next message, if there is one, when it has thought. */
void smtp_ready(struct sess *s);
/* Now. */
void smtp_next(struct sess *s);
/* It has thought. */
void smtp_thought(struct sess *s);

/* ---- tls.c ---------------------------------------------------------------------------------- */

int tls_start(void);
void tls_stop(void);
/* Whether the session is one of the share. */
bool tls_wanted(const struct sess *s);
/* STARTTLS was answered: our first flight is made and said. False: no memory. */
bool tls_begin(struct sess *s);
/* The octets of the phase, in records, become the session's unit. False: no memory. */
bool tls_seal(struct sess *s);
void tls_input(struct sess *s, const uint8_t *p, uint32_t n);
uint32_t tls_unit_len(const struct sess *s);
void tls_copy(const struct sess *s, uint8_t *to, uint32_t from, uint32_t n);
void tls_end(struct sess *s);

/* ---- think.c -------------------------------------------------------------------------------- */

int think_start(void);
void think_stop(void);
/* Calls smtp_thought(s) when the time of it is over; true: there is none. */
bool think_not(struct sess *s, const struct think *how);
void think_off(struct sess *s);
/* Returns how many went on. */
unsigned int think_turn(void);
/* A time of the distribution, in microseconds. */
double think_time(const struct think *how);

/* ---- books.c -------------------------------------------------------------------------------- */

/* 0, or -1 after saying on stderr what is wrong. */
int books_open(void);
int books_close(void);
/* A reply begins; octets behind its code, as they come. */
void books_reply(const struct sess *s);
void books_text(const struct sess *s, const uint8_t *p, uint32_t n);
/* What became of the message of s; code 0: no reply to it came. */
void books_message(const struct sess *s, unsigned int code);

/* ---- pace.c --------------------------------------------------------------------------------- */

/* A run begins in which `per_second` messages are due, at times as of a Poisson process. */
int pace_start(double per_second);
void pace_stop(void);
/* Whether a message is due for a session that is free; *due_us: since when. If none is, the session
 * is remembered until one is. */
bool pace_take(struct sess *s, uint64_t *due_us);
/* Gives what is due to the sessions that wait. Returns how many it gave. */
unsigned int pace_turn(void);
/* Messages that are due and that no session was free for. */
uint64_t pace_late(void);

/* ---- flood.c -------------------------------------------------------------------------------- */

/* 0: none. decoy: SYNs for another MAC, which the gateway receives and drops. */
void flood_rate(uint64_t per_second, bool decoy);
unsigned int flood_turn(void);

/* ---- run.c, report.c ------------------------------------------------------------------------ */

/* One turn of what is to be done, the sum of the work in *work; false: all is done. */
bool run_turn(unsigned int *work);
void report_opened(double seconds);
void report_run(double seconds);
void report_probe(uint32_t asked, uint32_t silent);
void report_ready(void);
