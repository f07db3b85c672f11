/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * TLS towards next hops: STARTTLS (RFC 3207), by the policy of the route, DANE (RFC 7672).
 *
 * The policy of a route becomes the level of an attempt: "dane" is DANE where usable TLSA records
 * are, ENCRYPT where all are unusable, MAY where there are none. From there on only the level counts:
 *
 * A policy of MTA-STS (RFC 8461) in mode enforce makes MAY and ENCRYPT into VERIFY.
 *
 *   level      STARTTLS missing    handshake fails      certificate
 *   none       never asked for
 *   may        clear               clear, anew          not looked at
 *   encrypt    next address        next address         not looked at
 *   verify     next address        next address         CA and name
 *   dane       next address        next address         TLSA records
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "control/config/config.h"
#include "control/deliver/deliver.h"
#include "postern/limits.h"

struct conn;
struct dns_query;
struct xact;
struct ssl_ctx_st;
struct ssl_session_st;

enum tls_fault {
	TLS_FAULT_NONE,
	TLS_FAULT_MISSING,    /* STARTTLS is not offered */
	TLS_FAULT_DECLINED,   /* 4xx to STARTTLS */
	TLS_FAULT_REFUSED,    /* 5xx to STARTTLS */
	TLS_FAULT_INJECTED,   /* octets behind its 220 */
	TLS_FAULT_HANDSHAKE,  /* no common ground: version, cipher, our certificate */
	TLS_FAULT_CERTIFICATE,/* not the one that is asked for */
	TLS_FAULT_RECORDS,    /* dane-only, and no TLSA records to go by */
	TLS_FAULT_LOOKUP,     /* whether there are any cannot be found out */
	TLS_FAULT_LOCAL,      /* ours: no memory, no usable CA file */
};

/* ---- dane.c ---- */

enum dane_state {
	DANE_OFF,        /* not looked for */
	DANE_INSECURE,   /* the addresses, or the answer, are not signed */
	DANE_NONE,
	DANE_UNUSABLE,   /* there are some, all of which we must pass over */
	DANE_USABLE,
	DANE_FAILED,     /* bogus, or no answer: the host may not be used */
};

struct dane_record {
	uint8_t usage, selector, matching;
	const uint8_t *data;
	size_t len;
};

struct dane {
	enum dane_state state;
	struct dns_query *query;
	uint8_t *data;                 /* of the records; owned */
	struct dane_record rec[LIMIT_TLSA_RECORDS];
	size_t n, n_seen;              /* usable; in the answer */
	char base[LIMIT_DNS_NAME + 1]; /* the host that they are of: RFC 7672 2.2.3 */
	char why[120];
};

/* The current host of x has its addresses: looks for TLSA records if the policy asks for it and goes
 * on with xact_resolved(), now or when they are there. secure: all addresses are signed. */
void dane_start(struct xact *x, bool secure);
/* Back to DANE_OFF; no callback. */
void dane_reset(struct dane *d);
/* Of an answer: fills state, records, why. 0 or -ENOMEM. */
int dane_take(struct dane *d, const struct dns_answer *answer);

/* ---- tls_policy.c ---- */

/* What is known before there is a connection. */
void tls_facts(const struct xact *x, struct deliver_tls *facts);
/* A connection for c->x is about to be made: its level. False: there must be none (c->fault). */
bool tls_prepare(struct conn *c);
enum tls_step { TLS_STEP_CLEAR, TLS_STEP_START, TLS_STEP_REFUSE };
/* EHLO was answered in clear; offered: with STARTTLS. */
enum tls_step tls_next(struct conn *c, bool offered);
/* The level is VERIFY only because a policy of MTA-STS says so: the name is that of the MX host. */
bool tls_by_sts(const struct conn *c);
/* May x go by this connection, which was made for another transaction of its host and route? */
bool tls_fits(const struct conn *c, const struct xact *x);
/* Adds to what the trace says. */
void tls_why(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* STARTTLS or the handshake failed: may the message go in clear? Then it is counted. */
bool tls_falls_back(struct conn *c);
/* Counts and tells the operator of c->fault. */
void tls_failed(struct conn *c);
/* What our client hears. */
void tls_reply(enum tls_fault f, struct deliver_reply *reply, bool *alert, const char *trace_id);

/* ---- tls_ctx.c: one for all connections of a deliver ---- */

struct tls_store;
struct tls_store *tls_store_new(void);
void tls_store_free(struct tls_store *s);
/* Context of a route's settings, kept by (id, generation of the configuration): a reload reads CA
 * files anew. trust: with the route's or the system's CAs. Owned by the store. NULL: why says what
 * failed. */
struct ssl_ctx_st *tls_context(struct tls_store *s, const struct config_route_tls *t,
			       uint64_t generation, bool trust, char *why, size_t cap);
/* Sessions by a digest of everything that was verified when they were made. The caller frees what
 * _get gives; _put takes the reference. resumed: it comes of an earlier one, and does not prolong
 * the time after which the certificate is looked at again. */
struct ssl_session_st *tls_session_get(struct tls_store *s, const uint8_t key[32], uint64_t now_s);
void tls_session_put(struct tls_store *s, const uint8_t key[32], uint64_t now_s,
		     struct ssl_session_st *session, bool resumed);
void tls_session_drop(struct tls_store *s, const uint8_t key[32]);
size_t tls_session_count(const struct tls_store *s);

/* ---- tls_conn.c ---- */

/* c->level, c->x are set, the 220 is read. 0; -errno: c->fault. */
int tls_begin(struct conn *c);
enum tls_progress { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_LOST, TLS_GARBAGE, TLS_FAILED };
enum tls_progress tls_handshake(struct conn *c);
/* conn_recv() and so on. */
ssize_t tls_recv(struct conn *c, void *buf, size_t n);
ssize_t tls_send(struct conn *c, const void *p, size_t n);
/* At most one record; less than 16 KiB in small pieces are put together, large ones go from where
 * they lie. */
ssize_t tls_sendv(struct conn *c, const struct iovec *v, size_t n);
/* Plain text that was decrypted and not read is there: no event will tell. */
bool tls_pending(const struct conn *c);
/* A write became possible that a read waits for. */
bool tls_read_again(struct conn *c);
/* Nothing unasked for has come, nor the end. */
bool tls_quiet(struct conn *c);
/* abort: without close_notify. */
void tls_end(struct conn *c, bool abort);
