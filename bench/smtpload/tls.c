/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * STARTTLS for a share of the sessions (RFC 3207), by OpenSSL over memory. A unit is sealed when it
 * is said and kept until the next one: so TCP can send any part of it again. Nobody's certificate
 * is verified: the gateway of a bench has one of its own making.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "bench/smtpload/load.h"

#define PIECE    16384u /* octets of a record (RFC 8446 5.1) */
#define KEEP_MAX 65536u /* a larger unit's memory is not kept */

struct tls {
	SSL *ssl;
	uint8_t *p; /* the unit */
	uint32_t n, room;
	uint64_t since_us;
};

static SSL_CTX *ctx;
static struct tls **of; /* by session */
static uint8_t piece[PIECE];
static bool told;

int tls_start(void)
{
	uint32_t n = load.opt.idle + load.opt.active;

	if (load.opt.tls <= 0)
		return 0;
	of = calloc(n ? n : 1, sizeof(*of));
	ctx = SSL_CTX_new(TLS_client_method());
	if (!of || !ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
		fputs("smtpload: --tls: OpenSSL does not start, or no memory\n", stderr);
		return -1;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	return 0;
}

void tls_stop(void)
{
	if (of)
		for (uint32_t i = 0; i < load.opt.idle + load.opt.active; i++)
			tls_end(&load.sess[i]);
	free(of);
	of = NULL;
	SSL_CTX_free(ctx);
	ctx = NULL;
}

/* Spread over the sessions, so that each number of them has its share. */
bool tls_wanted(const struct sess *s)
{
	uint32_t i = sess_index(s);

	if (!of || is_churn(s))
		return false;
	if (!is_idle(s))
		i -= load.opt.idle;
	return (uint64_t)((i + 1) * load.opt.tls) > (uint64_t)(i * load.opt.tls);
}

static struct tls *tls_of(const struct sess *s)
{
	return of[sess_index(s)];
}

/* What OpenSSL wants to send, behind what there is of the unit. */
static bool collect(struct tls *t)
{
	BIO *out = SSL_get_wbio(t->ssl);
	size_t n = BIO_ctrl_pending(out);

	if (t->n + n > t->room) {
		uint8_t *p = n > UINT32_MAX / 2 - t->n ? NULL : realloc(t->p, t->n + n);

		if (!p)
			return false;
		t->p = p;
		t->room = (uint32_t)(t->n + n);
	}
	if (n && BIO_read(out, t->p + t->n, (int)n) != (int)n)
		return false;
	t->n += (uint32_t)n;
	return true;
}

static void clear_unit(struct tls *t)
{
	t->n = 0;
	if (t->room <= KEEP_MAX)
		return;
	free(t->p);
	t->p = NULL;
	t->room = 0;
}

static void fail(struct sess *s, const char *what)
{
	unsigned long e = ERR_get_error();
	char why[256] = "";

	load.f.tls_failed++;
	if (!told) {
		ERR_error_string_n(e, why, sizeof(why));
		fprintf(stderr, "smtpload: TLS: %s: %s; more of it is only counted\n", what,
			e ? why : "the session ended it");
	}
	told = true;
	ERR_clear_error();
	tcp_abort(s);
}

bool tls_begin(struct sess *s)
{
	struct tls *t = calloc(1, sizeof(*t));
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

	if (t)
		t->ssl = SSL_new(ctx);
	if (!t || !t->ssl || !in || !out) {
		BIO_free(in);
		BIO_free(out);
		if (t)
			SSL_free(t->ssl);
		free(t);
		return false;
	}
	SSL_set_bio(t->ssl, in, out);
	SSL_set_connect_state(t->ssl);
	t->since_us = load.now_us;
	of[sess_index(s)] = t;
	s->more |= M_TLS;
	ERR_clear_error();
	(void)SSL_do_handshake(t->ssl); /* wants to read: what it made is looked at */
	return collect(t) && t->n;
}

bool tls_seal(struct sess *s)
{
	struct tls *t = tls_of(s);
	uint32_t n = unit_len(s);

	clear_unit(t);
	if (!n)
		return true;
	ERR_clear_error();
	for (uint32_t at = 0, m; at < n; at += m) {
		m = n - at < PIECE ? n - at : PIECE;
		unit_copy(s, piece, at, m);
		if (SSL_write(t->ssl, piece, (int)m) != (int)m)
			return false;
	}
	return collect(t);
}

uint32_t tls_unit_len(const struct sess *s)
{
	return tls_of(s)->n;
}

void tls_copy(const struct sess *s, uint8_t *to, uint32_t from, uint32_t n)
{
	memcpy(to, tls_of(s)->p + from, n);
}

/* False: the session is gone, or wants more to go on. */
static bool shake(struct sess *s, struct tls *t)
{
	int rc = SSL_do_handshake(t->ssl);

	if (rc != 1 && SSL_get_error(t->ssl, rc) != SSL_ERROR_WANT_READ) {
		fail(s, "the handshake failed");
		return false;
	}
	if (rc != 1 && !BIO_ctrl_pending(SSL_get_wbio(t->ssl)))
		return false;
	if (s->snd_una != s->unit_seq + t->n) { /* an answer to what is not all said */
		fail(s, "a flight of the server came too early");
		return false;
	}
	if (rc == 1) {
		load.f.handshakes++;
		hist_add(&load.f.handshake, load.now_us - t->since_us);
		smtp_secured(s); /* our last flight goes with what is said now */
		return s->tcp == T_OPEN;
	}
	clear_unit(t);
	if (collect(t))
		tcp_say(s, P_TLS);
	else
		fail(s, "no memory");
	return false;
}

void tls_input(struct sess *s, const uint8_t *p, uint32_t n)
{
	struct tls *t = tls_of(s);
	uint8_t text[4096];
	int got = 0;

	ERR_clear_error();
	if (BIO_write(SSL_get_rbio(t->ssl), p, (int)n) != (int)n) {
		fail(s, "no memory");
		return;
	}
	if (!SSL_is_init_finished(t->ssl) && !shake(s, t))
		return;
	while (s->tcp == T_OPEN) {
		got = SSL_read(t->ssl, text, sizeof(text));
		if (got <= 0)
			break;
		reply_text(s, text, (uint32_t)got);
	}
	if (s->tcp != T_OPEN) /* and t is no more */
		return;
	got = SSL_get_error(t->ssl, got);
	/* RFC 8446 6.1: behind close_notify nothing comes but the FIN. */
	if (got != SSL_ERROR_WANT_READ && got != SSL_ERROR_ZERO_RETURN)
		fail(s, "a record cannot be read");
}

void tls_end(struct sess *s)
{
	struct tls *t = of && !is_churn(s) ? tls_of(s) : NULL;

	if (!t)
		return;
	SSL_free(t->ssl);
	free(t->p);
	free(t);
	of[sess_index(s)] = NULL;
}
