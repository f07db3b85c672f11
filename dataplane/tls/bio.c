/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The BIO between OpenSSL and a connection. Reads come straight from the caller's buffer, so that
 * ciphertext is copied once (into OpenSSL's record buffer, where it is decrypted in place). Writes
 * go straight to send(), or are collected while the pool has the connection.
 */

#include "dataplane/tls/internal.h"

#include <limits.h>
#include <string.h>

bool tls_buf_append(struct tls_buf *b, const uint8_t *p, size_t n)
{
	size_t need = b->len + n;

	if (need > b->cap) {
		size_t cap = b->cap ? b->cap : 2048;
		uint8_t *q;

		while (cap < need)
			cap *= 2;
		if (cap > UINT32_MAX)
			return false;
		q = OPENSSL_realloc(b->p, cap);
		if (!q)
			return false;
		b->p = q;
		b->cap = (uint32_t)cap;
	}
	memcpy(b->p + b->len, p, n);
	b->len += (uint32_t)n;
	return true;
}

void tls_buf_clear(struct tls_buf *b)
{
	OPENSSL_free(b->p);
	*b = (struct tls_buf){0};
}

unsigned int tls_frame_feed(struct tls_frame *f, const uint8_t *p, size_t n)
{
	unsigned int ended = 0;

	while (n && !f->bad) {
		size_t k;

		if (f->have < sizeof(f->head)) {
			f->head[f->have++] = *p++;
			n--;
			if (f->have < sizeof(f->head))
				continue;
			f->left = (uint32_t)f->head[3] << 8 | f->head[4];
			/* RFC 8446 5.1, RFC 5246 6.2.1: OpenSSL makes the alert. */
			f->bad = f->head[0] < 20 || f->head[0] > 24 || f->head[1] != 3 ||
				 f->left > SSL3_RT_MAX_ENCRYPTED_LENGTH;
			if (f->bad)
				break;
		}
		k = n < f->left ? n : f->left;
		p += k;
		n -= k;
		f->left -= (uint32_t)k;
		if (f->left == 0) {
			f->have = 0;
			ended++;
		}
	}
	return f->bad ? ended + 1 : ended;
}

static size_t take(uint8_t *out, size_t n, const uint8_t *p, size_t have)
{
	if (n > have)
		n = have;
	memcpy(out, p, n);
	return n;
}

static int bio_read(BIO *b, char *out, int len)
{
	struct tls_conn *c = BIO_get_data(b);
	size_t n = 0;

	BIO_clear_retry_flags(b);
	if (len <= 0)
		return 0;
	/* A storm of records that carry nothing: no more of it. */
	if (c->state == TLS_S_OPEN && c->barren > LIMIT_TLS_BARREN)
		return -1;
	if (tls_buf_left(&c->in)) {
		n = take((uint8_t *)out, (size_t)len, c->in.p + c->in.off, tls_buf_left(&c->in));
		c->in.off += (uint32_t)n;
	} else if (c->rn) {
		n = take((uint8_t *)out, (size_t)len, c->rp, c->rn);
		c->rp += n;
		c->rn -= n;
	}
	if (n == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	if (c->state == TLS_S_OPEN)
		c->barren = (uint16_t)(c->barren +
				       tls_frame_feed(&c->frame, (const uint8_t *)out, n));
	return (int)n;
}

static int bio_write(BIO *b, const char *p, int len)
{
	struct tls_conn *c = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	if (len <= 0)
		return 0;
	if (c->state == TLS_S_POOL) {
		if (tls_buf_append(&c->out, (const uint8_t *)p, (size_t)len))
			return len;
		c->send_failed = true;
		return -1;
	}
	if (c->send_failed || c->freed)
		return -1;
	c->depth++;
	if (c->worker->ops->send(c->owner, p, (size_t)len))
		c->send_failed = true;
	c->depth--;
	return c->send_failed ? -1 : len;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b, (void)num, (void)ptr;
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

static BIO_METHOD *method;
static CRYPTO_ONCE method_once = CRYPTO_ONCE_STATIC_INIT;

static void method_free(void)
{
	BIO_meth_free(method);
	method = NULL;
}

static void method_make(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "postern");
	if (!method)
		return;
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
	BIO_meth_set_create(method, bio_create);
	OPENSSL_atexit(method_free);
}

SSL *tls_bio_ssl_new(struct tls_conn *c)
{
	SSL *ssl;
	BIO *b;

	if (!CRYPTO_THREAD_run_once(&method_once, method_make) || !method)
		return NULL;
	ssl = SSL_new(c->ctx->ssl[0]);
	b = BIO_new(method);
	if (!ssl || !b) {
		SSL_free(ssl);
		BIO_free(b);
		return NULL;
	}
	BIO_set_data(b, c);
	SSL_set_bio(ssl, b, b);
	SSL_set_accept_state(ssl);
	return ssl;
}
