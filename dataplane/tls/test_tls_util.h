/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* A server of ours and OpenSSL as its client, in one process, over memory. */

#include <setjmp.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/tls/internal.h"

struct pem { /* of one certificate: NUL-terminated texts */
	char *chain, *key;
	X509 *x;
	EVP_PKEY *pkey;
};

enum key_kind { KEY_EC, KEY_RSA, KEY_ED25519 };

/*
 * names: "DNS:a.example.com,DNS:..." or NULL; cn may be NULL. Signed by issuer, or by itself.
 * Valid from now - 1 h for `days` (negative: expired).
 */
struct pem *pem_make(enum key_kind kind, const char *cn, const char *names, int days,
		     const struct pem *issuer);
void pem_free(struct pem *p);
struct tls_certificate pem_certificate(const struct pem *p);
/* A context of these certificates; fails the test if it cannot be made. */
struct tls_context *context_of(struct tls_tickets *t, unsigned int n, const struct pem *const *p);

struct bytes {
	uint8_t *p;
	size_t n, cap, off;
};
void bytes_add(struct bytes *b, const void *p, size_t n);
void bytes_free(struct bytes *b);

/* One end of a connection each; `server` is what the module's upcalls see as owner. */
struct server {
	struct tls_conn *c;
	struct bytes wire;    /* to the client */
	struct bytes got;     /* plain text */
	struct tls_facts facts;
	enum tls_failure why;
	unsigned int established, failed, eof, ready, plain_calls;
	size_t take;          /* at most so many octets an upcall */
	size_t room;          /* octets send() still takes */
	bool echo;            /* sends back what it gets */
	bool free_in_plain, close_in_plain;
};

struct harness {
	struct tls_pool *pool;
	struct tls_worker *w;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT];
};

struct harness *harness_new(unsigned int threads, uint32_t max_conns);
void harness_free(struct harness *h);
/* Polls until the pool has nothing of the worker's any more; fails the test after 20 s. */
void harness_settle(struct harness *h);

struct client {
	SSL_CTX *ctx;
	SSL *ssl;
	struct bytes up;   /* ciphertext to the server, not yet taken */
	struct bytes got;  /* plain text */
	bool done, failed, closed;
	int alert;         /* of the server, 0 without */
	SSL_SESSION *session; /* the newest ticket */
};

/* TLS 1.2 to 1.3, security level 0, trusts nothing; to be changed by the test before connecting. */
SSL_CTX *client_ctx(void);
void client_init(struct client *k, SSL_CTX *ctx, const char *sni);
void client_free(struct client *k);

void server_init(struct server *s, struct harness *h, struct tls_context *ctx);
void server_free(struct server *s);
/* Carries octets both ways until nothing moves; the server gets at most `chunk` at once. */
void pump(struct harness *h, struct server *s, struct client *k, size_t chunk);
/* Server and client connected, or both at their end. */
void handshake(struct harness *h, struct server *s, struct client *k);
void client_write(struct client *k, const void *p, size_t n);
