/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What all connections of a generation have in common: one SSL_CTX for each set of certificates a
 * name may be served with, alike in everything else, so that the servername callback only swaps it.
 */

#include "dataplane/tls/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/sha.h>

/*
 * Of TLS 1.2: forward secrecy and AEAD (RFC 9325 4.2), and behind them two CBC suites with SHA-2.
 * Windows Server 2012 R2, on which Exchange 2013 and 2016 run, has no GCM suite for RSA keys but
 * these; without them it would fall back to clear text, which is what STARTTLS senders do.
 * Everything else that speaks TLS 1.2 has GCM: Postfix with OpenSSL 1.0.1 (2012) and newer, Gmail,
 * Exchange Online. Static RSA, DHE, 3DES, RC4, CBC with SHA-1 serve nobody any more.
 */
#define CIPHERS_1_2 \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:" \
	"ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256"

#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"

struct build { /* what tls_context_new() works with */
	const struct tls_options *opt;
	struct tls_cert *cert;
	X509_STORE *store;            /* client_ca */
	STACK_OF(X509_NAME) *ca_names; /* of client_ca, NULL if too many */
	char *ciphers;
	char *err;
	size_t err_len;
};

__attribute__((format(printf, 2, 3))) static int fail(struct build *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(b->err, b->err_len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* Warnings stand in err behind each other, as far as they fit. */
__attribute__((format(printf, 2, 3))) static void warn(struct build *b, const char *fmt, ...)
{
	size_t n = strlen(b->err);
	va_list ap;

	if (n + 1 >= b->err_len)
		return;
	if (n)
		n += (size_t)snprintf(b->err + n, b->err_len - n, "; ");
	if (n >= b->err_len)
		return;
	va_start(ap, fmt);
	vsnprintf(b->err + n, b->err_len - n, fmt, ap);
	va_end(ap);
}

static void print_time(const ASN1_TIME *t, char *out, size_t size)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1 || !strftime(out, size, "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(out, size, "an unreadable date");
}

/* An expired certificate is said, but mail must flow: few senders look at the date. */
static void check_dates(struct build *b, unsigned int i)
{
	const X509 *x = b->cert[i].leaf;
	char when[64];

	if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0) {
		print_time(X509_get0_notAfter(x), when, sizeof(when));
		warn(b, "certificate %u: expired on %s", i + 1, when);
	} else if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0) {
		print_time(X509_get0_notBefore(x), when, sizeof(when));
		warn(b, "certificate %u: not valid before %s", i + 1, when);
	}
}

static int load_certificates(struct build *b)
{
	const struct tls_options *o = b->opt;

	if (o->n_certificates == 0 || o->n_certificates > TLS_MAX_CERTIFICATES)
		return fail(b, "%u certificates given, 1 to %d are possible", o->n_certificates,
			    TLS_MAX_CERTIFICATES);
	b->cert = calloc(o->n_certificates, sizeof(*b->cert));
	if (!b->cert)
		return fail(b, "out of memory");
	for (unsigned int i = 0; i < o->n_certificates; i++) {
		char why[256] = "";

		if (tls_pem_certificate(&o->certificate[i], &b->cert[i], why, sizeof(why)))
			return fail(b, "certificate %u: %s", i + 1, why);
		check_dates(b, i);
	}
	return 0;
}

static int load_client_ca(struct build *b)
{
	struct str pem = b->opt->client_ca;
	int n = 0, rc = 0;
	BIO *bio;
	X509 *x;

	if (!pem.n)
		return 0;
	if (pem.n > LIMIT_TLS_PEM)
		return fail(b, "client_ca: PEM text over %u octets", LIMIT_TLS_PEM);
	bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	b->store = X509_STORE_new();
	b->ca_names = sk_X509_NAME_new_null();
	if (!bio || !b->store || !b->ca_names)
		rc = fail(b, "client_ca: out of memory");
	while (!rc && (x = PEM_read_bio_X509(bio, NULL, NULL, (void *)(uintptr_t)""))) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(x));

		if (X509_STORE_add_cert(b->store, x) != 1)
			rc = fail(b, "client_ca: certificate %d: %s", n + 1, tls_openssl_reason());
		if (!name || !sk_X509_NAME_push(b->ca_names, name))
			X509_NAME_free(name);
		X509_free(x);
		n++;
	}
	if (!rc && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		rc = fail(b, "client_ca: certificate %d: %s", n + 1, tls_openssl_reason());
	if (!rc && n == 0)
		rc = fail(b, "client_ca: no certificate in the PEM text");
	/* A bundle of all public CAs would be 20 KB in each handshake; no list means "any". */
	if (n > LIMIT_TLS_CLIENT_CA_NAMES || b->opt->ask_client) {
		sk_X509_NAME_pop_free(b->ca_names, X509_NAME_free);
		b->ca_names = NULL;
	}
	ERR_clear_error();
	BIO_free(bio);
	return rc;
}

/* Never demanded: who does not verify is a client without a name, see tls_facts. */
static int verify_cb(int ok, X509_STORE_CTX *store)
{
	(void)ok, (void)store;
	return 1;
}

static int servername_cb(SSL *ssl, int *alert, void *arg)
{
	const struct tls_context *ctx = arg;
	const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	unsigned int set;

	(void)alert;
	if (!host)
		return SSL_TLSEXT_ERR_NOACK;
	set = tls_names_find(&ctx->names, host, strlen(host));
	if (set && !SSL_set_SSL_CTX(ssl, ctx->ssl[set]))
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* Without a store nobody verifies: the one of SSL_CTX is empty. */
static int set_client_ca(const struct build *b, SSL_CTX *s)
{
	if (!b->store && !b->opt->ask_client)
		return 0;
	if (b->store)
		SSL_CTX_set1_cert_store(s, b->store);
	if (b->ca_names) {
		STACK_OF(X509_NAME) *names = SSL_dup_CA_list(b->ca_names);

		if (!names)
			return -ENOMEM;
		SSL_CTX_set_client_CA_list(s, names);
	}
	SSL_CTX_set_verify(s, SSL_VERIFY_PEER, verify_cb);
	SSL_CTX_set_verify_depth(s, LIMIT_TLS_CLIENT_CHAIN);
	SSL_CTX_set_max_cert_list(s, TLS_HANDSHAKE_MAX);
	return 0;
}

/*
 * Tickets of any context of ours are good for any other, but for one thing: a ticket says that its
 * client was verified, which is true for the CAs of that time only, or that it had no certificate,
 * when it was not asked for one. So both are in the session id context
 * (SSL_CTX_set_session_id_context(3)), which is part of the ticket.
 */
static int set_sessions(const struct build *b, SSL_CTX *s)
{
	uint8_t id[SHA256_DIGEST_LENGTH];

	SSL_CTX_set_session_cache_mode(s, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_early_data(s, 0); /* RFC 8446 8: replays; SMTP has no use for it */
	SSL_CTX_set_recv_max_early_data(s, 0);
	SSL_CTX_set_timeout(s, TLS_TICKET_LIFETIME_S);
	SHA256(b->opt->client_ca.p, b->opt->client_ca.n, id);
	id[0] ^= b->opt->ask_client;
	if (SSL_CTX_set_session_id_context(s, id, sizeof(id)) != 1)
		return -EINVAL;
	if (!b->opt->tickets) {
		SSL_CTX_set_options(s, SSL_OP_NO_TICKET);
		return SSL_CTX_set_num_tickets(s, 0) == 1 ? 0 : -EINVAL;
	}
	/* One is enough: an MTA that uses a ticket gets the next with the resumption. */
	if (SSL_CTX_set_num_tickets(s, 1) != 1)
		return -EINVAL;
	return tls_tickets_attach(b->opt->tickets, s);
}

static int set_common(struct build *b, SSL_CTX *s)
{
	uint16_t min = b->opt->min_version ? b->opt->min_version : TLS1_2_VERSION;

	SSL_CTX_set_security_level(s, 2);
	if (SSL_CTX_set_min_proto_version(s, min) != 1 ||
	    SSL_CTX_set_max_proto_version(s, TLS1_3_VERSION) != 1)
		return fail(b, "min_version: %s", tls_openssl_reason());
	if (SSL_CTX_set_cipher_list(s, b->ciphers ? b->ciphers : CIPHERS_1_2) != 1)
		return fail(b, "ciphers: %s", tls_openssl_reason());
	if (SSL_CTX_set_ciphersuites(s, CIPHERS_1_3) != 1 ||
	    SSL_CTX_set1_groups_list(s, GROUPS) != 1)
		return fail(b, "this OpenSSL lacks our ciphers or groups: %s",
			    tls_openssl_reason());
	SSL_CTX_set_options(s, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	/* Chains are as configured, never guessed from client_ca at each handshake. */
	SSL_CTX_set_mode(s, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	if (set_sessions(b, s) || set_client_ca(b, s))
		return fail(b, "out of memory");
	return 0;
}

static SSL_CTX *make_ssl(struct build *b, struct tls_context *ctx, const struct tls_set *set)
{
	SSL_CTX *s = SSL_CTX_new(TLS_server_method());

	if (!s) {
		fail(b, "out of memory");
		return NULL;
	}
	if (set_common(b, s))
		goto err;
	for (unsigned int t = 0; t < TLS_KEY_TYPES; t++) {
		const struct tls_cert *c;

		if (set->cert[t] < 0)
			continue;
		c = &b->cert[set->cert[t]];
		if (SSL_CTX_use_cert_and_key(s, c->leaf, c->key, c->chain, 1) != 1) {
			fail(b, "certificate %d: %s", set->cert[t] + 1, tls_openssl_reason());
			goto err;
		}
	}
	SSL_CTX_set_tlsext_servername_callback(s, servername_cb);
	SSL_CTX_set_tlsext_servername_arg(s, ctx);
	return s;
err:
	SSL_CTX_free(s);
	return NULL;
}

static int check_options(struct build *b)
{
	const struct tls_options *o = b->opt;

	if (o->min_version && o->min_version != TLS1_2_VERSION && o->min_version != TLS1_3_VERSION)
		return fail(b, "min_version: only TLS 1.2 and 1.3 are spoken");
	if (!o->ciphers.n)
		return 0;
	if (o->ciphers.n > LIMIT_CONFIG_STRING || memchr(o->ciphers.p, 0, o->ciphers.n))
		return fail(b, "ciphers: not a list of cipher names");
	b->ciphers = strndup((const char *)o->ciphers.p, o->ciphers.n);
	return b->ciphers ? 0 : fail(b, "out of memory");
}

/* A certificate that no set names is never served: the operator mistook something. */
static void check_used(struct build *b, const struct tls_context *ctx)
{
	for (unsigned int i = 0; i < b->opt->n_certificates; i++) {
		bool used = false;

		for (unsigned int s = 0; s < ctx->n_ssl; s++)
			used = used || ctx->set[s].cert[b->cert[i].type] == (int)i;
		if (!used)
			warn(b, "certificate %u: never served, others come before it", i + 1);
	}
}

static void context_free(struct tls_context *ctx)
{
	for (unsigned int i = 0; ctx->ssl && i < ctx->n_ssl; i++)
		SSL_CTX_free(ctx->ssl[i]);
	free(ctx->ssl);
	free(ctx->set);
	tls_names_free(&ctx->names);
	free(ctx);
}

static struct tls_context *build_context(struct build *b)
{
	struct tls_context *ctx = calloc(1, sizeof(*ctx));

	if (!ctx) {
		fail(b, "out of memory");
		return NULL;
	}
	atomic_init(&ctx->refs, 1);
	if (tls_names_make(&ctx->names, b->cert, b->opt->n_certificates, &ctx->set, &ctx->n_ssl)) {
		fail(b, "names of the certificates: too many, or out of memory");
		goto err;
	}
	ctx->ssl = calloc(ctx->n_ssl, sizeof(SSL_CTX *));
	if (!ctx->ssl) {
		fail(b, "out of memory");
		goto err;
	}
	for (unsigned int i = 0; i < ctx->n_ssl; i++) {
		ctx->ssl[i] = make_ssl(b, ctx, &ctx->set[i]);
		if (!ctx->ssl[i])
			goto err;
	}
	check_used(b, ctx);
	return ctx;
err:
	context_free(ctx);
	return NULL;
}

struct tls_context *tls_context_new(const struct tls_options *opt, char *err, size_t err_len)
{
	char nowhere[1];
	struct build b = {.opt = opt, .err = err_len ? err : nowhere, .err_len = err_len};
	struct tls_context *ctx = NULL;

	if (!err_len)
		b.err_len = sizeof(nowhere);
	b.err[0] = '\0';
	ERR_clear_error();
	if (!check_options(&b) && !load_certificates(&b) && !load_client_ca(&b))
		ctx = build_context(&b);
	for (unsigned int i = 0; b.cert && i < opt->n_certificates; i++)
		tls_cert_clear(&b.cert[i]);
	free(b.cert);
	free(b.ciphers);
	X509_STORE_free(b.store);
	sk_X509_NAME_pop_free(b.ca_names, X509_NAME_free);
	ERR_clear_error();
	return ctx;
}

void tls_context_unref(struct tls_context *ctx)
{
	if (ctx && atomic_fetch_sub(&ctx->refs, 1) == 1)
		context_free(ctx);
}
