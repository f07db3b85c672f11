/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static SSL_CTX *ctx;
static SSL *conn[MAX_CONNS];
static SSL_SESSION *newest;

_Noreturn void bench_die(const char *what)
{
	fprintf(stderr, "bench-tls: %s\n", what);
	exit(1);
}

static char *text(BIO *b)
{
	char *p, *out;
	long n = BIO_get_mem_data(b, &p);

	out = strndup(p, (size_t)n);
	BIO_free(b);
	return out;
}

void bench_keys(bool rsa, char **chain, char **key)
{
	EVP_PKEY *k = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *b;

	if (!k || !x)
		bench_die("no key");
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const uint8_t *)"mx.example.com", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, k);
	X509_sign(x, k, EVP_sha256());
	b = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(b, x);
	*chain = text(b);
	b = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL);
	*key = text(b);
	X509_free(x);
	EVP_PKEY_free(k);
}

static int new_session(SSL *ssl, SSL_SESSION *s)
{
	(void)ssl;
	SSL_SESSION_free(newest);
	newest = s;
	return 1;
}

void client_start(int version)
{
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx || !SSL_CTX_set_min_proto_version(ctx, version) ||
	    !SSL_CTX_set_max_proto_version(ctx, version) ||
	    !SSL_CTX_set1_groups_list(ctx, "X25519:P-256") ||
	    !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") ||
	    !SSL_CTX_set_cipher_list(ctx, "ECDHE+AES128+AESGCM"))
		bench_die("client context");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, new_session);
}

void client_stop(void)
{
	SSL_CTX_free(ctx);
	SSL_SESSION_free(newest);
	newest = NULL;
}

void client_open(unsigned int i, SSL_SESSION *ticket)
{
	SSL *s = SSL_new(ctx);

	if (!s)
		bench_die("client");
	SSL_set_bio(s, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(s);
	SSL_set_tlsext_host_name(s, "mx.example.com");
	if (ticket) {
		SSL_SESSION *copy = SSL_SESSION_dup(ticket);

		SSL_set_session(s, copy);
		SSL_SESSION_free(copy);
	}
	conn[i] = s;
}

bool client_step(unsigned int i)
{
	uint8_t b[256];

	if (SSL_do_handshake(conn[i]) != 1)
		return false;
	SSL_read(conn[i], b, sizeof(b)); /* tickets */
	return true;
}

void client_close(unsigned int i)
{
	SSL_set_shutdown(conn[i], SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(conn[i]);
	conn[i] = NULL;
}

void client_write(unsigned int i, size_t n, size_t record)
{
	static uint8_t data[16384];

	while (n) {
		size_t k = n < record ? n : record;

		if (SSL_write(conn[i], data, (int)k) != (int)k)
			bench_die("client write");
		n -= k;
	}
}

const uint8_t *client_out(unsigned int i, size_t *n)
{
	char *p;

	*n = (size_t)BIO_get_mem_data(SSL_get_wbio(conn[i]), &p);
	return (const uint8_t *)p;
}

void client_out_clear(unsigned int i)
{
	(void)BIO_reset(SSL_get_wbio(conn[i]));
}

SSL_SESSION *client_ticket(void)
{
	if (newest)
		SSL_SESSION_up_ref(newest);
	return newest;
}

void bench_to_client(unsigned int i, const void *p, size_t n)
{
	if (conn[i] && BIO_write(SSL_get_rbio(conn[i]), p, (int)n) != (int)n)
		bench_die("to client");
}
