/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * One worker: everything one core owns, and its loop. Share nothing: what other threads may touch
 * is in the last block of the struct, each field with its writer.
 *
 * worker.c is the loop; session.c carries one connection between tcp/, smtp/, scan/ and the handoff;
 * outbox.c keeps descriptors in order while a ring is full.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "dataplane/content/header_end.h"
#include "dataplane/generation.h"
#include "dataplane/handoff/handoff_dp.h"
#include "dataplane/net/net.h"
#include "dataplane/scan/scan.h"
#include "dataplane/smtp/smtp.h"
#include "dataplane/tcp/tcp.h"
#include "postern/stats.h"

#define SESSION_REPLIES 4 /* final replies whose ACK is awaited; a client has one, rarely two */

struct worker;

/* A final reply on its way to the client's TCP. */
struct session_reply {
	uint64_t end;          /* position in the reply stream behind it */
	uint32_t question;     /* of the SUBMIT that it answers */
	uint32_t loop;
	uint32_t epoch;        /* worker.epoch at that time */
};

struct session {
	struct worker *worker;
	struct tcp_conn *conn;      /* NULL: slot free */
	struct smtp_session *smtp;
	struct tcp_tuple tuple;
	uint32_t slot, generation;
	uint64_t connected_ns;

	/* the open question; asked is an enum desc_kind, 0: none */
	uint8_t asked;
	bool known;                 /* control has heard of this session in `epoch` */
	bool txn_known;             /* control has heard of this transaction */
	bool held;                  /* in worker.held: DATA waits for room */
	bool closing, aborting;     /* asked for by smtp/, done by session_settle() */
	bool in_upcall;             /* tcp/ is below us on the stack */
	uint32_t question;          /* serial of the last question */
	uint32_t epoch, loop;       /* where `known` is true of */
	uint64_t asked_ms;
	uint32_t submitted_record, submitted_gen; /* while asked == DESC_SUBMIT */

	/* the transaction */
	uint32_t transaction;
	uint32_t rcpt;              /* index of the recipient asked for */
	struct dp_msg msg;
	struct content_header_end header;
	struct scan_worker *scanner; /* generation that scans this message */
	struct generation *scan_generation;
	struct scan_message *stream; /* a message over one chunk */
	uint32_t scanned;           /* chunks given to the stream */
	uint32_t scan_flags;

	/* replies */
	uint64_t sent;              /* octets handed to tcp_send */
	struct session_reply reply[SESSION_REPLIES];
	unsigned int n_replies;

	uint64_t held_ms;           /* since when it waits for room */
	TAILQ_ENTRY(session) hold;
	TAILQ_ENTRY(session) free;
};

TAILQ_HEAD(session_list, session);

struct outbox_entry {
	uint32_t loop;
	struct handoff_desc desc;
};

struct worker_options {
	unsigned int index;
	uint32_t max_sessions;
	uint32_t idle_sleep_us;     /* 0: never sleep */
	uint64_t tsc_hz;
	uint32_t tcp_blocks;        /* of the TCP stack, for the shares of memory pressure */
};

struct worker {
	struct worker_options opt;
	uint64_t *counters;
	struct net *net;
	struct tcp_stack *tcp;
	struct smtp_server *smtp;
	struct dp_worker *arena;
	const void *slice;           /* of the arena: records first */
	struct dp_rings *rings;
	const struct port_queue { uint16_t port, queue; } *queue;
	unsigned int n_queues;

	struct generation *current;  /* NULL until the first push */
	struct generation *previous; /* messages of it are still being scanned */
	uint32_t epoch;              /* counts UP events; 0: control was never there */
	bool up;

	struct session *session;     /* max_sessions */
	struct session_list free_list;
	struct session_list held;
	uint32_t sweep;              /* next slot of the deadline sweep */
	uint32_t sessions_now;

	struct outbox_entry *outbox; /* FIFO of descriptors that found a ring full */
	uint32_t outbox_cap, outbox_head, outbox_len;

	uint64_t now_us, now_ms, next_tick_us, next_sweep_us, next_room_us;
	uint64_t realtime_offset_ns; /* CLOCK_REALTIME less now_us, renewed now and then */
	uint64_t rng[2];
	unsigned int idle_turns;

	/* shared with the main lcore */
	_Atomic(struct generation *) *published; /* (main) the newest */
	_Atomic uint64_t oldest;     /* (worker) serial of the oldest generation it still uses */
	_Atomic bool *stop;          /* (main) */
	_Atomic bool *drain;         /* (main) new connections get 421 */
};

/* worker.c */
int worker_run(void *arg);
uint64_t worker_realtime_ns(const struct worker *w);
uint32_t worker_random(struct worker *w);

static inline void worker_count(struct worker *w, enum postern_counter c)
{
	w->counters[c]++;
}

/* session.c: the two tables of calls, and what the loop does with sessions. */
extern const struct tcp_app session_tcp_app;
extern const struct smtp_ops session_smtp_ops;
int session_table_new(struct worker *w);
void session_table_free(struct worker *w);
bool session_verdict(void *arg, const struct dp_verdict *v);
/* Control is gone: every open question is answered 451 4.3.2. */
void session_control_lost(struct worker *w);
/* Deadlines of a part of the table; the whole of it within a second. */
void session_sweep(struct worker *w);
/* Flows that waited for room in the arena. */
void session_room(struct worker *w);
/* 421 for whoever is idle, and for the others as soon as they are. */
void session_drain(struct worker *w, struct str text);
/* Is a message being scanned by this generation? */
bool session_scans_with(const struct worker *w, const struct generation *g);

/* message.c: the transaction's side of smtp_ops: record, content, scan, submission. */
int message_begin(void *owner, struct str helo, uint8_t proto, const struct smtp_mail *mail);
void message_end(void *owner);
int message_data_begin(void *owner);
size_t message_data_room(void *owner);
void message_data(void *owner, const uint8_t *p, size_t n);
int message_submit(void *owner, const struct smtp_data_facts *facts);
void message_abort_scan(struct session *s);

/* outbox.c */
int outbox_new(struct worker *w, uint32_t cap);
void outbox_free(struct worker *w);
/* In order behind what waits already. -ENOTCONN: control is not there; -ENOSPC: no room to wait. */
int outbox_push(struct worker *w, uint32_t loop, const struct handoff_desc *d);
void outbox_drain(struct worker *w);
void outbox_clear(struct worker *w);
