/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What connections share: contexts made of the configuration, sessions to be resumed. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "control/deliver/tls_out.h"
#include "postern/limits.h"

struct context {
	TAILQ_ENTRY(context) link;
	uint8_t id[32];
	uint64_t generation;
	bool trust;
	SSL_CTX *ctx;
};

struct kept {
	TAILQ_ENTRY(kept) link;   /* used last in front */
	uint8_t key[32];
	uint64_t made_s;          /* the full handshake */
	SSL_SESSION *session;
};

struct tls_store {
	TAILQ_HEAD(, context) contexts;
	TAILQ_HEAD(kept_list, kept) sessions;
	size_t n_sessions;
	X509_STORE *system;       /* of `generation` */
	uint64_t generation;
};

struct tls_store *tls_store_new(void)
{
	struct tls_store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	TAILQ_INIT(&s->contexts);
	TAILQ_INIT(&s->sessions);
	return s;
}

static void context_free(struct tls_store *s, struct context *c)
{
	TAILQ_REMOVE(&s->contexts, c, link);
	SSL_CTX_free(c->ctx);
	free(c);
}

static void kept_free(struct tls_store *s, struct kept *k)
{
	TAILQ_REMOVE(&s->sessions, k, link);
	s->n_sessions--;
	SSL_SESSION_free(k->session);
	free(k);
}

void tls_store_free(struct tls_store *s)
{
	struct context *c;
	struct kept *k;

	if (!s)
		return;
	while ((c = TAILQ_FIRST(&s->contexts)))
		context_free(s, c);
	while ((k = TAILQ_FIRST(&s->sessions)))
		kept_free(s, k);
	X509_STORE_free(s->system);
	free(s);
}

/* ---- contexts --------------------------------------------------------------------------------- */

/* A hundred and more certificates: parsed once for all routes. */
static X509_STORE *system_store(struct tls_store *s, uint64_t generation)
{
	if (s->system && s->generation == generation)
		return s->system;
	X509_STORE_free(s->system);
	s->system = X509_STORE_new();
	s->generation = generation;
	if (s->system && !X509_STORE_set_default_paths(s->system)) {
		X509_STORE_free(s->system);
		s->system = NULL;
	}
	return s->system;
}

static X509_STORE *file_store(struct str pem)
{
	X509_STORE *store = X509_STORE_new();
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	bool any = false;
	X509 *x;

	while (store && bio && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		any |= X509_STORE_add_cert(store, x);
		X509_free(x);
	}
	BIO_free(bio);
	if (!any) {
		X509_STORE_free(store);
		return NULL;
	}
	return store;
}

static bool load_trust(struct tls_store *s, const struct config_route_tls *t, uint64_t generation,
		       SSL_CTX *ctx)
{
	X509_STORE *store;

	if (t->ca.n) {
		store = file_store(t->ca);
		if (store)
			SSL_CTX_set_cert_store(ctx, store);
		return store;
	}
	store = system_store(s, generation);
	if (store)
		SSL_CTX_set1_cert_store(ctx, store);
	return store;
}

static int no_password(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

/* The configuration looked at both already. */
static bool load_pair(SSL_CTX *ctx, const struct config_certificate *c)
{
	BIO *chain = BIO_new_mem_buf(c->chain.p, (int)c->chain.n);
	BIO *key = BIO_new_mem_buf(c->key.p, (int)c->key.n);
	X509 *x = chain ? PEM_read_bio_X509(chain, NULL, NULL, NULL) : NULL;
	EVP_PKEY *pk = key ? PEM_read_bio_PrivateKey(key, NULL, no_password, NULL) : NULL;
	bool ok = x && pk && SSL_CTX_use_certificate(ctx, x) && SSL_CTX_use_PrivateKey(ctx, pk);

	EVP_PKEY_free(pk);
	X509_free(x);
	BIO_free(key);
	while (ok && (x = PEM_read_bio_X509(chain, NULL, NULL, NULL)))
		if (!SSL_CTX_add0_chain_cert(ctx, x)) {
			X509_free(x);
			ok = false;
		}
	BIO_free(chain);
	return ok;
}

static const char *set_up(struct tls_store *s, const struct config_route_tls *t,
			  uint64_t generation, bool trust, SSL_CTX *ctx)
{
	int min = t->min_version ? t->min_version : TLS1_2_VERSION;

	/* RFC 8996: nothing below 1.2, also where the alternative is clear text. */
	if (!SSL_CTX_set_min_proto_version(ctx, min) || SSL_CTX_dane_enable(ctx) <= 0)
		return "TLS cannot be set up";
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	if (trust && !load_trust(s, t, generation, ctx))
		return "no CA certificates can be loaded";
	if (t->certificate.chain.n && !load_pair(ctx, &t->certificate))
		return "the certificate to be shown cannot be loaded";
	return NULL;
}

SSL_CTX *tls_context(struct tls_store *s, const struct config_route_tls *t, uint64_t generation,
		     bool trust, char *why, size_t cap)
{
	const char *failed = "out of memory";
	struct context *c, *next;

	for (c = TAILQ_FIRST(&s->contexts); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->generation == generation && c->trust == trust &&
		    !memcmp(c->id, t->id, sizeof(c->id)))
			return c->ctx;
		/* What is under way may still run with the configuration before this one. */
		if (c->generation + 1 < generation)
			context_free(s, c);
	}
	c = calloc(1, sizeof(*c));
	if (c)
		c->ctx = SSL_CTX_new(TLS_client_method());
	if (c && c->ctx)
		failed = set_up(s, t, generation, trust, c->ctx);
	ERR_clear_error();
	if (failed) {
		snprintf(why, cap, "%s", failed);
		if (c)
			SSL_CTX_free(c->ctx);
		free(c);
		return NULL;
	}
	memcpy(c->id, t->id, sizeof(c->id));
	c->generation = generation;
	c->trust = trust;
	TAILQ_INSERT_HEAD(&s->contexts, c, link);
	return c->ctx;
}

/* ---- sessions --------------------------------------------------------------------------------- */

static struct kept *find(struct tls_store *s, const uint8_t key[32])
{
	struct kept *k;

	TAILQ_FOREACH(k, &s->sessions, link)
		if (!memcmp(k->key, key, sizeof(k->key)))
			return k;
	return NULL;
}

SSL_SESSION *tls_session_get(struct tls_store *s, const uint8_t key[32], uint64_t now_s)
{
	struct kept *k = find(s, key);

	if (!k)
		return NULL;
	if (now_s - k->made_s >= LIMIT_TLS_SESSION_S || !SSL_SESSION_is_resumable(k->session)) {
		kept_free(s, k);
		return NULL;
	}
	TAILQ_REMOVE(&s->sessions, k, link);
	TAILQ_INSERT_HEAD(&s->sessions, k, link);
	SSL_SESSION_up_ref(k->session);
	return k->session;
}

void tls_session_put(struct tls_store *s, const uint8_t key[32], uint64_t now_s,
		     SSL_SESSION *session, bool resumed)
{
	struct kept *k = find(s, key);

	/* Dropped meanwhile, or too old: what came of it goes with it. */
	if (!k && resumed) {
		SSL_SESSION_free(session);
		return;
	}
	if (!k) {
		k = calloc(1, sizeof(*k));
		if (!k) {
			SSL_SESSION_free(session);
			return;
		}
		memcpy(k->key, key, sizeof(k->key));
		s->n_sessions++;
	} else {
		TAILQ_REMOVE(&s->sessions, k, link);
		SSL_SESSION_free(k->session);
	}
	k->session = session;
	if (!resumed)
		k->made_s = now_s;
	TAILQ_INSERT_HEAD(&s->sessions, k, link);
	if (s->n_sessions > LIMIT_TLS_SESSIONS_KEPT)
		kept_free(s, TAILQ_LAST(&s->sessions, kept_list));
}

void tls_session_drop(struct tls_store *s, const uint8_t key[32])
{
	struct kept *k = find(s, key);

	if (k)
		kept_free(s, k);
}

size_t tls_session_count(const struct tls_store *s)
{
	return s->n_sessions;
}
