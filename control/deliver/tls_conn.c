/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * TLS on one connection. OpenSSL reads and writes the socket through a BIO of our own: it never
 * raises SIGPIPE, and it keeps apart the end, a reset, and octets that are no TLS, which OpenSSL
 * reports as one.
 *
 * Content goes out a record at a time. A record that the socket took in part stays with OpenSSL and
 * the same octets are given again; so that they are the same, nothing else is written meanwhile, and
 * the pieces of stuff.c stay as they are until they are taken.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "control/deliver/internal.h"

#define RECORD SSL3_RT_MAX_PLAIN_LENGTH
#define LARGE 4096 /* a piece of so much is a record of its own */

struct tls {
	SSL *ssl;
	int fd;
	int error;                /* errno of the socket */
	bool eof;
	bool read_wants_write;
	uint8_t key[32];          /* of the session */
	uint8_t *record;          /* small pieces put together */
};

/* ---- BIO -------------------------------------------------------------------------------------- */

static int bio_write(BIO *b, const char *p, int n)
{
	struct tls *t = BIO_get_data(b);
	ssize_t done = send(t->fd, p, (size_t)n, MSG_NOSIGNAL);

	BIO_clear_retry_flags(b);
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(b);
	else if (done < 0)
		t->error = errno;
	return (int)done;
}

static int bio_read(BIO *b, char *p, int n)
{
	struct tls *t = BIO_get_data(b);
	ssize_t done = recv(t->fd, p, (size_t)n, 0);

	BIO_clear_retry_flags(b);
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(b);
	else if (done < 0)
		t->error = errno;
	else if (done == 0)
		t->eof = true;
	return (int)done;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	const struct tls *t = BIO_get_data(b);

	(void)num;
	(void)ptr;
	if (cmd == BIO_CTRL_EOF)
		return t->eof;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO *bio_new(struct tls *t)
{
	static BIO_METHOD *method; /* lives as long as the process */
	BIO *b;

	if (!method) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "next hop");
		if (!method)
			return NULL;
		BIO_meth_set_write(method, bio_write);
		BIO_meth_set_read(method, bio_read);
		BIO_meth_set_ctrl(method, bio_ctrl);
	}
	b = BIO_new(method);
	if (b) {
		BIO_set_data(b, t);
		BIO_set_init(b, 1);
	}
	return b;
}

/* ---- what is asked of the peer ---------------------------------------------------------------- */

/* In mode testing the certificate is looked at, and counts for nothing (RFC 8461 5). */
static bool is_tested(const struct conn *c)
{
	return c->x->sts && c->x->sts->mode == STS_TESTING && c->level < TLS_POLICY_VERIFY;
}

static bool looks_by_sts(const struct conn *c)
{
	return tls_by_sts(c) || is_tested(c);
}

/* A provider's own domains, and any name below them, which nobody else gets certificates for. */
static bool want_provider(SSL *ssl, const char *const *domain)
{
	char below[300];

	for (; *domain; domain++) {
		snprintf(below, sizeof(below), ".%s", *domain);
		if (!SSL_add1_host(ssl, *domain) || !SSL_add1_host(ssl, below))
			return false;
	}
	return true;
}

static bool want_names(struct conn *c, SSL *ssl)
{
	const struct config_route *route = c->x->route;
	const struct config_route_tls *t = &route->tls;

	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (looks_by_sts(c)) {
		/* RFC 8461 4.1: a name of subjectAltName, of the host that MX records name. */
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
					       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
		return SSL_set1_host(ssl, c->host->name);
	}
	if (!t->n_names && route->tls_names)
		return want_provider(ssl, route->tls_names);
	if (!t->n_names && c->host->is_ip)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), c->host->name);
	if (!t->n_names)
		return SSL_set1_host(ssl, c->host->name);
	for (size_t i = 0; i < t->n_names; i++)
		if (!SSL_add1_host(ssl, t->name[i]))
			return false;
	return true;
}

static bool want_records(struct conn *c, SSL *ssl)
{
	const struct dane *d = &c->x->dane;
	size_t taken = 0;

	/* RFC 7672 3.1.1: with DANE-EE(3) neither name nor time of the certificate counts. */
	if (SSL_dane_enable(ssl, d->base) <= 0)
		return false;
	SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	/* RFC 7672 3.2.2: names that signed records led from are as good: the alias, the MX domain. */
	if (!SSL_add1_host(ssl, c->host->name))
		return false;
	if (c->x->domain[0] && !SSL_add1_host(ssl, c->x->domain))
		return false;
	for (size_t i = 0; i < d->n; i++)
		taken += SSL_dane_tlsa_add(ssl, d->rec[i].usage, d->rec[i].selector,
					   d->rec[i].matching, d->rec[i].data, d->rec[i].len) > 0;
	return taken > 0;
}

static bool want_server_name(struct conn *c, SSL *ssl)
{
	const struct config_route_tls *t = &c->x->route->tls;
	const char *name = t->sni;

	if (c->level == TLS_POLICY_DANE)
		return true; /* RFC 7672 8.1: the name of the records, which SSL_dane_enable() set */
	if (!name && !c->host->is_ip)
		name = c->host->name;
	else if (!name && t->n_names)
		name = t->name[0];
	return !name || SSL_set_tlsext_host_name(ssl, name);
}

/* Of all that the handshake proves: only the same may be taken over from it. */
static bool session_key(const struct conn *c, uint8_t key[32])
{
	const struct dane *d = &c->x->dane;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint32_t level = c->level;
	uint8_t by_sts = looks_by_sts(c);
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);

	if (ok) {
		EVP_DigestUpdate(md, c->x->route->tls.id, sizeof(c->x->route->tls.id));
		EVP_DigestUpdate(md, &level, sizeof(level));
		EVP_DigestUpdate(md, &by_sts, sizeof(by_sts));
		EVP_DigestUpdate(md, &c->addr.ip, sizeof(c->addr.ip));
		EVP_DigestUpdate(md, &c->addr.port, sizeof(c->addr.port));
		EVP_DigestUpdate(md, c->host->name, strlen(c->host->name) + 1);
		if (level == TLS_POLICY_DANE) {
			EVP_DigestUpdate(md, d->base, strlen(d->base) + 1);
			EVP_DigestUpdate(md, c->x->domain, strlen(c->x->domain) + 1);
		}
		for (size_t i = 0; level == TLS_POLICY_DANE && i < d->n; i++) {
			EVP_DigestUpdate(md, &d->rec[i].len, sizeof(d->rec[i].len));
			EVP_DigestUpdate(md, &d->rec[i].usage, 1);
			EVP_DigestUpdate(md, &d->rec[i].selector, 1);
			EVP_DigestUpdate(md, &d->rec[i].matching, 1);
			EVP_DigestUpdate(md, d->rec[i].data, d->rec[i].len);
		}
		ok = EVP_DigestFinal_ex(md, key, NULL);
	}
	EVP_MD_CTX_free(md);
	return ok;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct conn *c = SSL_get_app_data(ssl);
	/* A copy: OpenSSL marks its own as spent when the connection ends without a farewell. */
	SSL_SESSION *copy = SSL_SESSION_dup(session);

	if (copy)
		tls_session_put(c->d->tls, c->tls->key, deliver_now_s(c->d), copy,
				SSL_session_reused(ssl));
	return 0;
}

static bool set_up(struct conn *c, struct tls *t)
{
	SSL_SESSION *session;
	BIO *bio = bio_new(t);

	if (!bio)
		return false;
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_app_data(t->ssl, c);
	SSL_set_connect_state(t->ssl);
	/* Where nobody is verified a weak key is better than none. */
	SSL_set_security_level(t->ssl, c->level >= TLS_POLICY_VERIFY ? 2 : 1);
	if ((c->level == TLS_POLICY_VERIFY || is_tested(c)) && !want_names(c, t->ssl))
		return false;
	if (c->level == TLS_POLICY_DANE && !want_records(c, t->ssl))
		return false;
	SSL_set_verify(t->ssl, c->level >= TLS_POLICY_VERIFY ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
		       NULL);
	if (!want_server_name(c, t->ssl) || !session_key(c, t->key))
		return false;
	session = tls_session_get(c->d->tls, t->key, deliver_now_s(c->d));
	if (session)
		SSL_set_session(t->ssl, session);
	SSL_SESSION_free(session);
	return true;
}

int tls_begin(struct conn *c)
{
	char why[160];
	SSL_CTX *ctx = tls_context(c->d->tls, &c->x->route->tls, c->x->config->generation,
				   c->level == TLS_POLICY_VERIFY || is_tested(c), why,
				   sizeof(why));
	struct tls *t = ctx ? calloc(1, sizeof(*t)) : NULL;

	c->fault = TLS_FAULT_LOCAL;
	if (!ctx) {
		tls_why(c, "%s", why);
		return -EINVAL;
	}
	if (t)
		t->ssl = SSL_new(ctx);
	if (!t || !t->ssl) {
		free(t);
		tls_why(c, "out of memory");
		return -ENOMEM;
	}
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	t->fd = c->fd;
	if (!set_up(c, t)) {
		SSL_free(t->ssl);
		free(t);
		ERR_clear_error();
		tls_why(c, "TLS cannot be set up");
		return -EINVAL;
	}
	c->tls = t;
	c->fault = TLS_FAULT_NONE;
	return 0;
}

/* ---- handshake -------------------------------------------------------------------------------- */

static void handshake_over(struct conn *c)
{
	SSL *ssl = c->tls->ssl;

	snprintf(c->facts.version, sizeof(c->facts.version), "%s", SSL_get_version(ssl));
	snprintf(c->facts.cipher, sizeof(c->facts.cipher), "%s", SSL_get_cipher_name(ssl));
	c->facts.resumed = SSL_session_reused(ssl);
	c->facts.verified = c->level == TLS_POLICY_DANE	    ? DELIVER_VERIFIED_DANE
			    : c->level == TLS_POLICY_VERIFY ? DELIVER_VERIFIED_NAME
							    : DELIVER_VERIFIED_NO;
	if (is_tested(c) && SSL_get_verify_result(ssl) != X509_V_OK) {
		tls_why(c, "certificate: %s",
			X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
		deliver_count(c->d, CTL_sts_testing_failed);
	}
	deliver_count(c->d, CTL_nexthop_tls);
	if (c->facts.resumed)
		deliver_count(c->d, CTL_nexthop_tls_resumed);
}

/* Octets that are no TLS at all. */
static bool is_garbage(unsigned long e)
{
	switch (ERR_GET_LIB(e) == ERR_LIB_SSL ? ERR_GET_REASON(e) : 0) {
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
	case SSL_R_RECORD_LENGTH_MISMATCH:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_UNEXPECTED_MESSAGE:
		return true;
	default:
		return false;
	}
}

/* The TLS library gave up: why? */
static enum tls_progress library_failed(struct conn *c)
{
	long verify = SSL_get_verify_result(c->tls->ssl);
	unsigned long e = ERR_peek_error();
	const char *reason = ERR_reason_error_string(e);

	if (c->level >= TLS_POLICY_VERIFY && verify != X509_V_OK) {
		c->fault = TLS_FAULT_CERTIFICATE;
		tls_why(c, "certificate: %s", X509_verify_cert_error_string(verify));
		return TLS_FAILED;
	}
	tls_why(c, "handshake: %s", reason ? reason : "failed");
	if (is_garbage(e))
		return TLS_GARBAGE;
	c->fault = TLS_FAULT_HANDSHAKE;
	return TLS_FAILED;
}

enum tls_progress tls_handshake(struct conn *c)
{
	struct tls *t = c->tls;
	enum tls_progress p = TLS_LOST;
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(t->ssl);
	switch (rc == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_NONE:
		handshake_over(c);
		return TLS_DONE;
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_SSL:
		if (t->eof || t->error)
			tls_why(c, "handshake: connection lost");
		else
			p = library_failed(c);
		break;
	default:
		tls_why(c, "handshake: connection lost");
		break;
	}
	tls_session_drop(c->d->tls, t->key);
	ERR_clear_error();
	return p;
}

/* ---- data ------------------------------------------------------------------------------------- */

/* errno of a call that did not go through; 0: the end. */
static int data_error(struct conn *c, int rc)
{
	struct tls *t = c->tls;
	unsigned long e;

	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		return EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		return t->error;
	default:
		break;
	}
	e = ERR_peek_error();
	/* An alert that was read counts though a write has failed: who sends one closes behind it. */
	if ((t->error || t->eof) &&
	    (ERR_GET_LIB(e) != ERR_LIB_SSL || ERR_GET_REASON(e) < SSL_AD_REASON_OFFSET))
		return t->error;
	/* TLS 1.3: that our certificate is not liked comes behind our end of the handshake. */
	if (!c->greeted) {
		c->fault = TLS_FAULT_HANDSHAKE;
		tls_why(c, "handshake: %s",
			ERR_reason_error_string(e) ? ERR_reason_error_string(e) : "failed");
		tls_session_drop(c->d->tls, t->key);
	}
	return EPROTO;
}

ssize_t tls_recv(struct conn *c, void *buf, size_t n)
{
	struct tls *t = c->tls;
	size_t got;
	int rc;

	ERR_clear_error();
	t->read_wants_write = false;
	rc = SSL_read_ex(t->ssl, buf, n, &got);
	if (rc == 1)
		return (ssize_t)got;
	t->read_wants_write = SSL_want_write(t->ssl);
	errno = data_error(c, rc);
	ERR_clear_error();
	return errno ? -1 : 0;
}

ssize_t tls_send(struct conn *c, const void *p, size_t n)
{
	size_t done;
	int rc;

	ERR_clear_error();
	rc = SSL_write_ex(c->tls->ssl, p, n < RECORD ? n : RECORD, &done);
	if (rc == 1)
		return (ssize_t)done;
	errno = data_error(c, rc);
	if (!errno)
		errno = EPIPE;
	ERR_clear_error();
	return -1;
}

ssize_t tls_sendv(struct conn *c, const struct iovec *v, size_t n)
{
	struct tls *t = c->tls;
	size_t at = 0;

	if (n == 1 || v[0].iov_len >= LARGE)
		return tls_send(c, v[0].iov_base, v[0].iov_len);
	if (!t->record)
		t->record = malloc(RECORD);
	if (!t->record)
		return tls_send(c, v[0].iov_base, v[0].iov_len);
	for (size_t i = 0; i < n && at < RECORD; i++) {
		size_t k = v[i].iov_len < RECORD - at ? v[i].iov_len : RECORD - at;

		memcpy(t->record + at, v[i].iov_base, k);
		at += k;
	}
	return tls_send(c, t->record, at);
}

bool tls_pending(const struct conn *c)
{
	return c->tls && SSL_pending(c->tls->ssl) > 0;
}

bool tls_read_again(struct conn *c)
{
	return c->tls && c->tls->read_wants_write;
}

bool tls_quiet(struct conn *c)
{
	uint8_t b;
	size_t n;
	int rc;
	bool quiet;

	/* Tickets and key updates are read on the way; what is left is an octet of a reply, the end, or
	 * nothing. */
	ERR_clear_error();
	rc = SSL_peek_ex(c->tls->ssl, &b, 1, &n);
	quiet = rc != 1 && SSL_get_error(c->tls->ssl, rc) == SSL_ERROR_WANT_READ;
	ERR_clear_error();
	return quiet;
}

void tls_end(struct conn *c, bool abort)
{
	struct tls *t = c->tls;

	if (!t)
		return;
	/* One try: who waits for more than QUIT's answer waits for nothing. */
	if (!abort && !t->eof && !t->error && SSL_is_init_finished(t->ssl))
		SSL_shutdown(t->ssl);
	SSL_free(t->ssl);
	free(t->record);
	free(t);
	c->tls = NULL;
	ERR_clear_error();
}
