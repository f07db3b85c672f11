/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What the files of this folder share; nothing outside it includes this. */

#include <stdatomic.h>
#include <stdio.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "dataplane/tls/tls.h"
#include "postern/limits.h"
#include "postern/stats.h"

/* ---- contexts ------------------------------------------------------------------------------ */

#define TLS_KEY_TYPES 4 /* of certificates: tls_key_type() */

struct tls_cert { /* one certificate, parsed */
	X509 *leaf;
	EVP_PKEY *key;
	STACK_OF(X509) *chain; /* behind the leaf */
	int type;              /* 0..TLS_KEY_TYPES-1 */
};

/* The certificates a name is served with: the first of each key type, -1 without one. */
struct tls_set {
	int8_t cert[TLS_KEY_TYPES];
};

struct tls_name {
	char *name;       /* lower case; "*.example.com" as such */
	unsigned int set; /* index of tls_context.ssl */
};

struct tls_names {
	struct tls_name *v;
	unsigned int n;
};

struct tls_context {
	atomic_uint refs;
	SSL_CTX **ssl; /* one a set of certificates; [0] is that of unknown names */
	struct tls_set *set;
	unsigned int n_ssl;
	struct tls_names names;
};

/* names.c: all names of the certificates, sorted; sets are added to *set. 0 or -errno. */
int tls_names_make(struct tls_names *out, const struct tls_cert *cert, unsigned int n,
		   struct tls_set **set, unsigned int *n_sets);
void tls_names_free(struct tls_names *names);
/* The set of a host name as sent by a client, 0 if it is not known. */
unsigned int tls_names_find(const struct tls_names *names, const char *host, size_t len);
/* First dNSName of the SAN, else the CN, printable ASCII and in lower case; "" if neither fits. */
void tls_names_first(const X509 *x, char *out, size_t size);

/* pem.c: 0, or -EINVAL with the reason in err. */
int tls_pem_certificate(const struct tls_certificate *in, struct tls_cert *out, char *err,
			size_t err_len);
void tls_cert_clear(struct tls_cert *c);
/* The first reason of OpenSSL's error queue as text; empties the queue. */
const char *tls_openssl_reason(void);

/* tickets.c */
int tls_tickets_attach(struct tls_tickets *t, SSL_CTX *ssl);

/* ---- connections --------------------------------------------------------------------------- */

/* Where records begin and end in a stream of ciphertext (RFC 8446 5.1). */
struct tls_frame {
	uint8_t head[5];
	uint8_t have;  /* octets of head */
	bool bad;      /* no TLS from here on */
	uint32_t left; /* of the record's body */
};

/* Number of records that end in p[0..n); one more each call once the stream is bad. */
unsigned int tls_frame_feed(struct tls_frame *f, const uint8_t *p, size_t n);

enum tls_state {
	TLS_S_FREE,
	TLS_S_HANDSHAKE, /* with the worker: waits for ciphertext */
	TLS_S_POOL,      /* with the pool; the worker touches only `abandoned` */
	TLS_S_OPEN,
	TLS_S_OVER,      /* failed: input is swallowed */
};

enum tls_step { TLS_STEP_MORE, TLS_STEP_DONE, TLS_STEP_FAILED };

struct tls_buf {
	uint8_t *p;
	uint32_t off, len, cap; /* octets p[off..len) are valid */
};

struct tls_conn {
	struct tls_worker *worker;
	struct tls_context *ctx;
	void *owner;
	SSL *ssl; /* made by the pool at its first step */
	struct tls_conn *next_free;
	struct tls_facts *facts;  /* from the last step of the pool to established() */
	struct tls_buf in;        /* ciphertext of the handshake and what came with its end */
	struct tls_buf out;       /* ciphertext made by the pool */
	struct tls_buf held;      /* plain text that was not taken */
	const uint8_t *rp;        /* the caller's ciphertext, while in tls_input() */
	size_t rn;
	struct tls_frame frame;
	uint32_t handshake_bytes; /* fed to the handshake so far */
	uint16_t barren;          /* records since the last plain text */
	uint8_t state;            /* enum tls_state */
	uint8_t step;             /* enum tls_step, enum tls_failure: results of the pool */
	uint8_t failure;
	uint8_t depth;            /* upcalls under way */
	bool freed;               /* in an upcall or with the pool: goes when that ends */
	bool reading;             /* in the loop that calls plain() */
	bool eof;                 /* the peer sent its close_notify */
	bool send_failed;
	bool closed;              /* tls_close() was called */
	bool spoke;               /* an octet of ours is on its way */
	atomic_bool abandoned;    /* the pool need not go on */
};

struct tls_link;

struct tls_worker {
	struct tls_link *link; /* rings to and from the pool */
	const struct tls_ops *ops;
	uint64_t *counters;
	struct tls_conn *conn, *free;
	uint32_t n_max, n_used, n_pool;
	uint8_t plain[SSL3_RT_MAX_PLAIN_LENGTH];
};

bool tls_buf_append(struct tls_buf *b, const uint8_t *p, size_t n);
void tls_buf_clear(struct tls_buf *b);

static inline size_t tls_buf_left(const struct tls_buf *b)
{
	return b->len - b->off;
}

/* bio.c: SSL_new() and the BIO over the connection's buffers; NULL without memory. */
SSL *tls_bio_ssl_new(struct tls_conn *c);

/* handshake.c, called by a thread of the pool: one flight; leaves c->step and c->failure. */
void tls_handshake_step(struct tls_conn *c);
/* Why OpenSSL's call failed, by its error queue of this thread. */
enum tls_failure tls_failure_of(int ssl_error);

/* pool.c: the worker's ends. A ring holds all connections of its worker, so it is never full. */
struct tls_link *tls_link_new(struct tls_pool *p, unsigned int index, uint32_t max_conns);
void tls_link_put(struct tls_link *l, struct tls_conn *c);
struct tls_conn *tls_link_get(struct tls_link *l);
/* True once no thread can touch a connection of this link any more without being waited for. */
bool tls_link_orphaned(const struct tls_link *l);
void tls_link_unref(struct tls_link *l);

/* slab.c */
void *tls_slab_alloc(size_t n);
void *tls_slab_realloc(void *p, size_t n);
void tls_slab_free(void *p);
int tls_slab_init(void);

struct tls_slab_usage {
	uint64_t mapped;    /* octets of spans carved, in use or free */
	uint64_t cached;    /* of them in the calling thread's cache */
};
void tls_slab_get_usage(struct tls_slab_usage *out);
