/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * One worker: everything one core owns, and its loop. Share nothing: what other threads may touch
 * is in the last block of the struct, each field with its writer.
 *
 * worker.c is the loop; session.c carries one connection between tcp/, smtp/, scan/ and the handoff,
 * with session_ask.c (questions to control), session_time.c (deadlines), session_tls.c (STARTTLS) and
 * session_table.c (memory);
 * message.c is its transaction, message_scan.c its scan; tap_worker.c are tap ports; evict.c makes room when sessions run out; outbox.c keeps descriptors
 * in order while a ring is full.
 *
 * A million sessions may be open, nearly all of them idle. So nothing here walks over all sessions,
 * and what an idle one does not need lies in pools.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "dataplane/generation.h"
#include "dataplane/handoff/handoff_dp.h"
#include "dataplane/message_scan.h"
#include "dataplane/net/net.h"
#include "dataplane/smtp/smtp.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/tls/tls.h"
#include "postern/limits.h"
#include "postern/stats.h"

#define SESSION_REPLIES 4 /* final replies whose ACK is awaited; a client has one, rarely two */
#define SESSION_NONE UINT32_MAX

struct tap_worker;
struct worker;

/* A final reply on its way to the client's TCP. From a pool of the worker: few are, at any time. */
struct session_reply {
	uint32_t next;         /* of the same session, or free */
	uint32_t end;          /* position in the reply stream behind it, modulo 2^32 */
	uint32_t question;     /* of the SUBMIT that it answers */
	uint32_t epoch;        /* worker.epoch at that time */
	uint32_t loop;
};

/*
 * What a session has from MAIL until its message is control's or given up. One for each record of the
 * arena, at the record's index: who gets a record has this with it, and who gets none is answered
 * 452 (smtp_no_arena).
 */
struct transaction {
	struct session *session;
	struct dp_msg msg;
	struct message_scan scan;
	uint32_t rcpt;               /* index of the recipient asked for last */
	bool held;                   /* in worker.held: DATA waits for room */
	uint64_t held_ms;            /* since when */
	TAILQ_ENTRY(transaction) hold;
};

TAILQ_HEAD(transaction_list, transaction);

/* What a session under TLS has besides. From a pool of the worker: --max-tls of them. */
struct session_tls {
	struct tls_conn *conn;
	struct session *session;
	uint32_t next;               /* free: index + 1 of the next; 0: none */
	bool open;                   /* established: what is sent is encrypted */
	struct tls_facts facts;      /* with `open` */
};

/* Which of the worker's lists a session is in by `list`. */
enum session_on {
	ON_NONE,
	ON_FREE,
	ON_ASKED,  /* all that it asked is with control */
	ON_UNSENT, /* some is not yet: the rings are full */
	ON_ENDING, /* no connection any more, SESSION_END is to be sent */
};

/* All that an idle session keeps: two cache lines. tcp/ has its addresses. */
struct session {
	struct worker *worker;
	struct tcp_conn *conn;      /* NULL: slot free, or ON_ENDING */
	struct smtp_session *smtp;
	struct transaction *txn;    /* NULL: none */
	union {
		uint64_t connected_ns;
		struct {
			uint32_t messages;
			uint16_t errors;
			uint16_t flags; /* END_F_* */
		} end;              /* ON_ENDING: what control is to be told of it */
	};
	uint32_t generation;        /* of the slot; 0: never used */
	uint32_t question;          /* serial of the last question */
	uint32_t epoch;             /* where `known` and `loop` are true of */
	uint32_t transaction;       /* serial */
	uint32_t submitted_record, submitted_gen; /* while asked == DESC_SUBMIT */
	uint32_t sent;              /* octets handed to tcp_send, modulo 2^32 */
	uint32_t reply;             /* oldest final reply that is not acknowledged */
	uint32_t tls;               /* index + 1 in worker.stls; 0: in clear */
	uint8_t n_replies;
	uint8_t loop;
	uint8_t asked;              /* enum desc_kind of the open questions, 0: none */
	uint8_t n_open;             /* how many: of DESC_RCPT several, of others one */
	uint8_t n_unsent;           /* the last of these are not with control yet */
	uint8_t on;                 /* enum session_on */
	uint8_t cut;                /* evict.c: which list */
	uint16_t listener;          /* where it was accepted, by the configuration of that time */
	bool known : 1;             /* control has heard of this session in `epoch` */
	bool txn_known : 1;         /* control has heard of this transaction */
	bool closing : 1;           /* asked for by smtp/, done by session_settle() */
	bool aborting : 1;
	bool in_upcall : 1;         /* tcp/ is below us on the stack */
	bool eof_held : 1;          /* the client's FIN is in, smtp/ has not taken all before it */
	bool named : 1;             /* the client is not the TCP peer: worker.via */
	bool good : 1;              /* VF_GOOD of the last CONNECT */
	TAILQ_ENTRY(session) list;
	uint64_t cut_ms;            /* evict.c: since when it is on that list */
	TAILQ_ENTRY(session) evict;
};
_Static_assert(sizeof(struct session) <= 128, "an idle session is two cache lines");
_Static_assert(HANDOFF_MAX_LOOPS <= UINT8_MAX, "loop");
_Static_assert(LIMIT_RCPT_OPEN <= UINT8_MAX, "n_open");

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
	uint32_t tcp_blocks, tcp_tx_blocks; /* of the TCP stack, for the shares of memory pressure */
	uint32_t n_records;         /* of the arena's slice */
	uint32_t max_tls;           /* sessions under TLS at once; 0: STARTTLS is not offered */
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
	struct dp_answer *answer;    /* a bench without control; else NULL */
	const struct port_queue { uint16_t port, queue; } *queue;
	unsigned int n_queues;

	struct generation *current;  /* NULL until the first push */
	/* In use, by age: the last is `current`, the others scan messages that began with them. A message
	 * that takes its time holds up no reload. */
	struct {
		struct generation *generation;
		uint32_t scanning;   /* messages in DATA */
	} used[HANDOFF_MAX_GENERATIONS];
	unsigned int n_used;
	uint32_t large_observed;     /* messages that are only watched and have a scan_large */
	uint32_t epoch;              /* counts UP events; 0: control was never there */
	bool up;

	struct session *session;     /* max_sessions */
	struct smtp_client *via;     /* the same: session_via.c */
	struct tap_worker *tap;      /* NULL: nothing is watched */
	struct tls_worker *tls;      /* NULL: no TLS */
	struct session_tls *stls;    /* max_tls */
	uint32_t stls_fresh, stls_free; /* stls_free: index + 1 */
	uint32_t fresh;              /* sessions from here on were never used: not touched yet */
	struct session_list free_list, asked, unsent, ending;
	struct transaction *txn;     /* one a record of the arena */
	struct transaction_list held;
	struct transaction *room_next; /* of `held`, to be looked at next; NULL: from its begin */
	struct session_reply *reply;
	uint32_t reply_cap, reply_fresh, reply_free;
	struct session_list idle, leaving; /* evict.c */
	uint32_t n_leaving;
	uint32_t sessions_now;
	bool room;                   /* for one more session: what a cable wants to know of a SYN */

	struct outbox_entry *outbox; /* FIFO of descriptors that found a ring full */
	uint32_t outbox_cap, outbox_head, outbox_len;

	uint64_t now_us, now_ms, next_tick_us, next_sweep_us, next_room_us, next_relieve_ms;
	uint64_t realtime_offset_ns; /* CLOCK_REALTIME less now_us, renewed now and then */
	uint64_t rng[2];
	uint8_t source_key[16];      /* secret: which prefixes fall together nobody can foresee */
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
bool session_verdict(void *arg, const struct dp_verdict *v);
/* 421 as soon as nothing is pending. The session may be gone afterwards. */
void session_shut(struct session *s, struct str text);
/* After an answer, or when there is room: the octets that waited. The session may be gone afterwards. */
void session_resume(struct session *s);
/* Plain octets for smtp/; how many it took. The caller settles. */
size_t session_input(struct session *s, const uint8_t *p, size_t n);
/* Does what smtp/ asked for while it was on the stack. The session may be gone afterwards. */
void session_settle(struct session *s);
/* To the client's TCP as it is. */
int session_put_out(struct session *s, const void *p, size_t n);
/* Into another list, or ON_NONE. */
void session_put(struct session *s, enum session_on on);

static inline uint32_t session_slot(const struct session *s)
{
	return (uint32_t)(s - s->worker->session);
}

/* Has the control that is there now heard of this session? */
static inline bool session_control_knows(const struct session *s)
{
	return s->known && s->epoch == s->worker->epoch && s->worker->up;
}

struct handoff_desc session_desc(const struct session *s, uint8_t kind);

/* session_ask.c: questions on their way to control. */
/* Puts the question or lets it wait for a place in the ring. -EAGAIN: control is not there. */
int session_ask(struct session *s, enum desc_kind kind);
/* Could session_ask() be called: is control there, and the one that has what is open? */
bool session_can_ask(const struct session *s);
/* The open questions are answered, or nobody waits for their answers any more. */
void session_unask(struct session *s);
/* The oldest is answered. */
void session_answered(struct session *s);
/* Sends what waits: SESSION_END and questions, as far as the rings take them. */
void session_ask_waiting(struct worker *w);
/* The connection is gone; the slot is free once control has heard of it, if it must. */
void session_end(struct session *s, const struct smtp_end *end);
/* Control is gone: the questions it had are answered 451 4.3.2, some each turn. */
void session_control_lost(struct worker *w);

/* session_via.c: who the client is. */
void session_tcp_peer(const struct session *s, struct smtp_client *out);
void session_client(const struct session *s, struct smtp_client *out);
/* Of whose mail this is, for the shares of the arena: IPv4 address, IPv6 /64. Not 0. */
uint64_t session_source(const struct session *s);
/* For control: the listener, or the server of a cable, that the client dialled. */
uint16_t session_listener(const struct session *s, const struct tcp_tuple *t);
/* In whose name: a server's whose flow is terminated, or ours. */
void session_op_face(void *owner, uint8_t *name, bool *tls);
void session_op_tcp_peer(void *owner, struct smtp_client *out);
void session_op_client(void *owner, struct smtp_client *out);
void session_op_set_client(void *owner, const struct smtp_client *c);

/* session_tls.c */
extern const struct tls_ops session_tls_ops;
int session_op_start_tls(void *owner);
/* Ciphertext; how much was taken. */
size_t session_tls_input(struct session *s, const uint8_t *p, size_t n);
int session_tls_send(struct session *s, const void *p, size_t n);
/* Plain text that waited in tls/. The session may be gone afterwards. */
void session_tls_resume(struct session *s);
bool session_tls_waiting(const struct session *s);
void session_tls_close(struct session *s); /* close_notify */
void session_tls_free(struct session *s);  /* the connection is gone */
/* Version, cipher and certificate into the record. -ENOMEM: no room for the texts. */
int session_tls_record(struct session *s, struct dp_msg *msg, struct handoff_record *rec);
/* Handshakes that the pool is done with; how many. */
unsigned int session_tls_poll(struct worker *w);

static inline bool session_tls_open(const struct session *s)
{
	return s->tls && s->worker->stls[s->tls - 1].open;
}

/* session_time.c */
/* Deadlines. True: there is more to do, which may wait for a turn. */
bool session_sweep(struct worker *w);
/* Flows that waited for room in the arena. */
void session_room(struct worker *w);
void session_hold(struct session *s, bool on);
/* Sessions that are told to go go more slowly now. */
bool session_replies_short(const struct worker *w);

/* session_table.c */
int session_table_new(struct worker *w);
void session_table_free(struct worker *w);
/* Octets it takes, for the memory table printed at start. */
size_t session_table_bytes(const struct worker_options *opt);
struct session *session_new(struct worker *w); /* NULL: none left */
uint32_t session_reply_get(struct worker *w);  /* SESSION_NONE: none left */
void session_reply_put(struct worker *w, uint32_t i);

/* evict.c */
void session_evict_init(struct worker *w);
/* To be called whenever what the session waits for may have changed; answered: by an answer. */
void session_evict_update(struct session *s, bool answered);
void session_evict_remove(struct session *s);
/* Sends away who is idle longest while few sessions are left. */
void session_make_room(struct worker *w);

/* message.c: the transaction's side of smtp_ops: record, content, scan, submission. */
int message_begin(void *owner, struct str helo, uint8_t proto, const struct smtp_mail *mail);
void message_end(void *owner);
int message_data_begin(void *owner);
size_t message_data_room(void *owner);
void message_data(void *owner, const uint8_t *p, size_t n);
bool message_trace_id(void *owner, uint8_t *id);
int message_submit(void *owner, const struct smtp_data_facts *facts);
/* Takes back a message that control does not own. */
void message_drop(struct session *s);
/* DESC_SUBMIT is in the ring. */
void message_submitted(struct session *s);
/* Deadline or client gone: asks control to let go of the message it has. */
void message_cancel(struct session *s);

/* outbox.c */
int outbox_new(struct worker *w, uint32_t cap);
void outbox_free(struct worker *w);
/* In order behind what waits already. -ENOTCONN: control is not there; -ENOSPC: no room to wait. */
int outbox_push(struct worker *w, uint32_t loop, const struct handoff_desc *d);
void outbox_drain(struct worker *w);
void outbox_clear(struct worker *w);
