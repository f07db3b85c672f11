/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * One flight of a handshake, on a thread of the pool, which owns the connection for that long.
 * Everything that costs time at its end (the facts, the client's certificate) is done here too.
 */

#include "dataplane/tls/internal.h"

#include <string.h>

static enum tls_failure of_reason(int reason)
{
	/* OpenSSL adds the number of a received alert to this. */
	if (reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
		return TLS_FAIL_ALERT;
	switch (reason) {
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
	case SSL_R_VERSION_TOO_HIGH:
	case SSL_R_UNSUPPORTED_SSL_VERSION:
	case SSL_R_INAPPROPRIATE_FALLBACK:
	case SSL_R_NO_PROTOCOLS_AVAILABLE:
		return TLS_FAIL_VERSION;
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_CIPHERS_AVAILABLE:
	case SSL_R_NO_CIPHERS_SPECIFIED:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_NO_SUITABLE_GROUPS:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
	case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
	case SSL_R_WRONG_CURVE:
		return TLS_FAIL_CIPHER;
	case ERR_R_MALLOC_FAILURE:
		return TLS_FAIL_MEMORY;
	default:
		return TLS_FAIL_PROTOCOL;
	}
}

enum tls_failure tls_failure_of(int ssl_error)
{
	unsigned long e = ERR_peek_error();

	/* close_notify in place of a handshake message is the peer taking its leave. */
	if (ssl_error == SSL_ERROR_ZERO_RETURN)
		return TLS_FAIL_ALERT;
	if (e && (ERR_GET_LIB(e) == ERR_LIB_SSL || ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE))
		return of_reason(ERR_GET_REASON(e));
	return TLS_FAIL_PROTOCOL;
}

static void client_facts(SSL *ssl, struct tls_facts *f)
{
	X509 *x = SSL_get0_peer_certificate(ssl);
	unsigned int n;

	if (!x)
		return;
	f->client_certificate = true;
	f->client_verified = SSL_get_verify_result(ssl) == X509_V_OK;
	if (X509_digest(x, EVP_sha256(), f->client_sha256, &n) != 1)
		f->client_verified = false; /* a pin of zeros must match nobody */
	tls_names_first(x, f->client_name, sizeof(f->client_name));
}

static struct tls_facts *make_facts(SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct tls_facts *f = OPENSSL_zalloc(sizeof(*f));

	if (!f)
		return NULL;
	f->version = (uint16_t)SSL_version(ssl);
	f->cipher = SSL_CIPHER_get_protocol_id(cipher);
	f->resumed = SSL_session_reused(ssl) == 1;
	/* The names of RFCs (TLS_...), which is what headers and reports use. */
	snprintf(f->cipher_name, sizeof(f->cipher_name), "%s", SSL_CIPHER_standard_name(cipher));
	for (size_t i = 0; sni && sni[i] && i + 1 < sizeof(f->sni); i++) {
		uint8_t ch = (uint8_t)sni[i];

		/* It goes to headers and logs. */
		f->sni[i] = (char)(ch > ' ' && ch < 0x7f ? ascii_lower(ch) : '?');
	}
	client_facts(ssl, f);
	return f;
}

static void failed(struct tls_conn *c, enum tls_failure why)
{
	c->step = TLS_STEP_FAILED;
	c->failure = (uint8_t)why;
}

/*
 * RFC 8446 6.2: OpenSSL has no call that sends an alert of ours. As long as nothing of ours went
 * out, nothing is encrypted either and it can be written by hand.
 */
static void overflow_alert(struct tls_conn *c)
{
	static const uint8_t internal_error[] = {21, 3, 3, 0, 2, 2, 80};

	if (!c->spoke && tls_buf_left(&c->out) == 0)
		tls_buf_append(&c->out, internal_error, sizeof(internal_error));
}

/* The other side of the handshake is done: TLS_STEP_DONE. */
static void complete(struct tls_conn *c)
{
	c->facts = make_facts(c->ssl);
	ERR_clear_error();
	if (!c->facts) {
		failed(c, TLS_FAIL_MEMORY);
		return;
	}
	c->step = TLS_STEP_DONE;
}

void tls_handshake_step(struct tls_conn *c)
{
	int r, e;

	c->step = TLS_STEP_MORE;
	ERR_clear_error();
	if (!c->ssl)
		c->ssl = tls_bio_ssl_new(c);
	if (!c->ssl) {
		ERR_clear_error();
		failed(c, TLS_FAIL_MEMORY);
		return;
	}
	r = SSL_accept(c->ssl);
	if (r == 1) {
		complete(c);
		return;
	}
	e = SSL_get_error(c->ssl, r);
	if (e != SSL_ERROR_WANT_READ) {
		failed(c, c->send_failed ? TLS_FAIL_MEMORY : tls_failure_of(e));
	} else if (c->handshake_bytes >= TLS_HANDSHAKE_MAX) {
		failed(c, TLS_FAIL_OVERFLOW);
		overflow_alert(c);
	} else {
		tls_buf_clear(&c->in); /* read to its end */
	}
	ERR_clear_error();
}
