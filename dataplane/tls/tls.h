/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * STARTTLS of the server side: TLS 1.2 and 1.3 over OpenSSL and memory BIOs (RFC 3207, 5246, 8446).
 *
 * It knows neither sockets nor TCP nor SMTP nor DPDK: ciphertext comes in by tls_input(),
 * everything else goes out through struct tls_ops. A handshake costs up to half a millisecond and
 * cannot be cut into turns of a poll loop, so it runs on the threads of a pool, which own the
 * connection until a flight of it is done; tls_poll() gives it back to its worker. After the
 * handshake a connection belongs to its worker alone.
 *
 *   context.c    certificates, versions, ciphers, SNI, tickets      (main lcore; read by all)
 *   pem.c        PEM texts, and what is wrong with them
 *   names.c      names of certificates; which are served for a name
 *   tickets.c    keys of session tickets and their rotation
 *   pool.c       the threads and the rings between them and the workers
 *   handshake.c  one flight on a thread of the pool; facts; reasons of failures
 *   conn.c       a connection: records, back-pressure, close
 *   bio.c        the BIO between OpenSSL and a connection; where records end
 *   slab.c       memory of OpenSSL
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/str.h"

struct tls_tickets; /* one a process */
struct tls_context; /* one a generation of the configuration; shared, read only */
struct tls_pool;    /* one a process: handshake threads */
struct tls_worker;  /* one a worker */
struct tls_conn;

/* ---- main lcore ---------------------------------------------------------------------------- */

/*
 * OpenSSL's memory from per-thread slabs. Before anything else of OpenSSL is used; 0, -EALREADY, or
 * -ENOMEM: 64 GiB of addresses (not of memory) are reserved, which RLIMIT_AS may forbid. OpenSSL
 * then works with malloc().
 */
int tls_memory_init(void);

#define TLS_MAX_CERTIFICATES 64
#define TLS_TICKET_LIFETIME_S (24 * 3600)

/* PEM texts are those of configuration: control has read the files, nothing is opened here. */
struct tls_certificate {
	struct str chain;     /* leaf first */
	struct str key;       /* unencrypted */
	/*
	 * Names it is served for (SNI) come from its SAN, or CN without one. The first certificate
	 * of each key type (RSA, ECDSA, Ed25519, RSA-PSS) is also that for unknown and missing
	 * names. A known name is served with its own certificates only, even if the client takes
	 * none of them.
	 */
};

struct tls_options {
	const struct tls_certificate *certificate;
	unsigned int n_certificates;
	uint16_t min_version;       /* 0x0303 (default, 0) or 0x0304; below is refused */
	struct str ciphers;         /* of TLS 1.2, OpenSSL's syntax; n == 0: ours */
	struct str client_ca;       /* PEM; n != 0: certificates are asked for, not demanded */
	bool ask_client;            /* they are asked for whoever issued them: known by fingerprint */
	struct tls_tickets *tickets; /* NULL: no resumption */
};

/*
 * NULL with a text in err that names the certificate by its position (from 1) and says why. Not
 * NULL with a text in err: it works, but the operator is to be told (expired, not yet valid, never
 * served); "" if all is well. Tickets of one context are good for another with the same client_ca and ask_client.
 */
struct tls_context *tls_context_new(const struct tls_options *opt, char *err, size_t err_len);
/* Counts its users: freed when the last connection of it ends. */
void tls_context_unref(struct tls_context *ctx);

/* Keys from the kernel's random numbers. */
struct tls_tickets *tls_tickets_new(uint64_t now_s);
/* To be called now and then: a new key every half lifetime, the two before it still decrypt. */
void tls_tickets_rotate(struct tls_tickets *t, uint64_t now_s);
/* Contexts that were made with it keep it alive. */
void tls_tickets_free(struct tls_tickets *t);

/*
 * n threads, not EAL's, at a lower priority than the workers. They inherit the caller's CPU
 * affinity, which for a main lcore is one core. Without threads (tests, fuzzing) tls_poll() runs
 * the handshakes itself. NULL and errno.
 */
struct tls_pool *tls_pool_new(unsigned int n_threads, unsigned int n_workers);
/* Ends the threads; handshakes under way end with them. After the workers have stopped, before or
 * after tls_worker_free(). */
void tls_pool_free(struct tls_pool *p);

/* ---- worker -------------------------------------------------------------------------------- */

struct tls_facts {
	uint16_t version;          /* 0x0303, 0x0304 */
	uint16_t cipher;           /* IANA number */
	bool resumed;
	bool client_certificate;
	bool client_verified;      /* chains to client_ca */
	uint8_t client_sha256[32]; /* of the leaf, DER */
	char cipher_name[48];
	char sni[256];             /* as sent, lower case; "" without */
	char client_name[256];     /* first dNSName of its SAN, else CN; "" if it has neither */
};

enum tls_failure {
	TLS_FAIL_VERSION,    /* no common version */
	TLS_FAIL_CIPHER,     /* no common cipher or group */
	TLS_FAIL_ALERT,      /* the peer sent a fatal alert */
	TLS_FAIL_PROTOCOL,   /* malformed, or not TLS at all */
	TLS_FAIL_MEMORY,     /* of OpenSSL, or send() had no room */
	TLS_FAIL_OVERFLOW,   /* more than TLS_HANDSHAKE_MAX */
};

#define TLS_HANDSHAKE_MAX 65536u /* octets of ciphertext from the client before it is established */

/*
 * All but send() and plain() may call anything for their connection; tls_free() is allowed in all.
 * plain() may not feed or resume another connection of its worker: they share the buffer.
 */
struct tls_ops {
	/* Ciphertext for the wire, whole records. All of it or -ENOBUFS, which ends the connection:
	 * by failed(), or, if it was called from tls_send(), by that one's return value alone. */
	int (*send)(void *owner, const void *p, size_t n);
	/* The handshake is complete. tls_send() may be called. */
	void (*established)(void *owner, const struct tls_facts *f);
	/*
	 * Plain text; returns how much it took. What is left is offered again by tls_resume(). The
	 * buffer is the worker's, writable until it returns. tls_send(), tls_close() may be called.
	 */
	size_t (*plain)(void *owner, uint8_t *p, size_t n);
	/* The peer's close_notify. Called once; tls_send() still works (RFC 8446 6.1). */
	void (*eof)(void *owner);
	/* Over; an alert went out by send() where the protocol has one. Called once, and not after
	 * tls_close(). Input is swallowed from here on; tls_free() is still to be called. */
	void (*failed)(void *owner, enum tls_failure why);
	/* The pool gave the connection back: ciphertext that tls_input() refused may come again,
	 * from within this call too. */
	void (*ready)(void *owner);
};

/*
 * `counters` is the worker's block (enum postern_counter); max_conns: how many at once. An index is
 * used once in the life of a pool. NULL and errno.
 */
struct tls_worker *tls_worker_new(struct tls_pool *pool, unsigned int index, uint32_t max_conns,
				  const struct tls_ops *ops, uint64_t *counters);
void tls_worker_free(struct tls_worker *w);

/* NULL: all are in use. Holds a reference to ctx. */
struct tls_conn *tls_open(struct tls_worker *w, struct tls_context *ctx, void *owner);
/* At any time, also from within an upcall; no upcall comes afterwards. */
void tls_free(struct tls_conn *c);

/*
 * Consumes a prefix of p[0..n) and returns its length; the rest comes again after ready() (the pool
 * is at work) or after tls_resume() (the application did not take its plain text).
 */
size_t tls_input(struct tls_conn *c, const uint8_t *p, size_t n);
/* True while ciphertext would not be consumed. */
bool tls_waiting(const struct tls_conn *c);
/*
 * Encrypts and sends all of it. 0, -EPIPE (not established, or closed), -ENOBUFS, -EPROTO. The last
 * two are the end of the connection, of which failed() does not speak again.
 */
int tls_send(struct tls_conn *c, const void *p, size_t n);
/* Offers plain text to plain() again. */
void tls_resume(struct tls_conn *c);
/* close_notify; nothing can be sent afterwards. Input is still read until the peer's own. */
void tls_close(struct tls_conn *c);

/* Connections that the pool is done with; calls established(), failed(), ready(). How many. */
unsigned int tls_poll(struct tls_worker *w, unsigned int max);

struct tls_usage {
	uint32_t conns, handshakes; /* handshakes: with the pool now */
};
void tls_get_usage(const struct tls_worker *w, struct tls_usage *out);
