/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The yardstick: nothing but OpenSSL, in the calling thread. */

#include "bench.h"

#include <string.h>

#include <openssl/pem.h>

static SSL_CTX *ctx;
static SSL *conn[MAX_CONNS];
static uint64_t received;

static void start(const char *chain, const char *key)
{
	BIO *b = BIO_new_mem_buf(chain, -1);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	EVP_PKEY *k;

	BIO_free(b);
	b = BIO_new_mem_buf(key, -1);
	k = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
	BIO_free(b);
	ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx || SSL_CTX_use_cert_and_key(ctx, x, k, NULL, 1) != 1)
		bench_die("bare context");
	X509_free(x);
	EVP_PKEY_free(k);
	/* As ours, so that both do the same work. */
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384");
	received = 0;
}

static void stop(void)
{
	SSL_CTX_free(ctx);
}

static void open_conn(unsigned int i)
{
	conn[i] = SSL_new(ctx);
	if (!conn[i])
		bench_die("bare connection");
	SSL_set_bio(conn[i], BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(conn[i]);
}

static void close_conn(unsigned int i)
{
	SSL_free(conn[i]);
	conn[i] = NULL;
}

static void input(unsigned int i, const uint8_t *p, size_t n)
{
	static uint8_t plain[16384];
	SSL *s = conn[i];
	char *out;
	long len;
	int r;

	BIO_write(SSL_get_rbio(s), p, (int)n);
	if (!SSL_is_init_finished(s) && SSL_accept(s) != 1 &&
	    SSL_get_error(s, -1) != SSL_ERROR_WANT_READ)
		bench_die("bare handshake");
	while (SSL_is_init_finished(s) && (r = SSL_read(s, plain, sizeof(plain))) > 0)
		received += (uint64_t)r;
	len = BIO_get_mem_data(SSL_get_wbio(s), &out);
	if (len > 0) {
		bench_to_client(i, out, (size_t)len);
		(void)BIO_reset(SSL_get_wbio(s));
	}
}

static void settle(void)
{
}

static uint64_t get_received(void)
{
	return received;
}

const struct bench_server bench_bare = {start, stop, open_conn, close_conn, input, settle,
					get_received};
