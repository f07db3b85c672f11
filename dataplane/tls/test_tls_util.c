/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tls/test_tls_util.h"

#include <time.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

void bytes_add(struct bytes *b, const void *p, size_t n)
{
	if (b->off == b->n)
		b->off = b->n = 0;
	if (b->n + n > b->cap) {
		b->cap = 2 * (b->n + n);
		b->p = realloc(b->p, b->cap);
		assert_non_null(b->p);
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

void bytes_free(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){0};
}

/* ---- certificates -------------------------------------------------------------------------- */

static EVP_PKEY *key_make(enum key_kind kind)
{
	if (kind == KEY_EC)
		return EVP_EC_gen("P-256");
	if (kind == KEY_RSA)
		return EVP_RSA_gen(2048);
	return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static char *bio_text(BIO *b)
{
	char *p, *out;
	long n = BIO_get_mem_data(b, &p);

	out = strndup(p, (size_t)n);
	BIO_free(b);
	return out;
}

static void extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

struct pem *pem_make(enum key_kind kind, const char *cn, const char *names, int days,
		     const struct pem *issuer)
{
	static long serial = 1;
	struct pem *p = calloc(1, sizeof(*p));
	X509 *x = X509_new();
	EVP_PKEY *k = key_make(kind);
	X509_NAME *name = X509_get_subject_name(x);
	BIO *b;

	assert_non_null(k);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(x), days < 0 ? days * 86400L - 86400L : -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), days * 86400L);
	if (cn)
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1,
					   0);
	X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer->x) : name);
	X509_set_pubkey(x, k);
	if (names)
		extension(x, NID_subject_alt_name, names);
	if (!issuer)
		extension(x, NID_basic_constraints, "CA:TRUE");
	assert_int_not_equal(X509_sign(x, issuer ? issuer->pkey : k,
				       issuer || kind != KEY_ED25519 ? EVP_sha256() : NULL), 0);
	p->x = x;
	p->pkey = k;
	b = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(b, x);
	if (issuer)
		PEM_write_bio_X509(b, issuer->x);
	p->chain = bio_text(b);
	b = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL);
	p->key = bio_text(b);
	return p;
}

void pem_free(struct pem *p)
{
	if (!p)
		return;
	X509_free(p->x);
	EVP_PKEY_free(p->pkey);
	free(p->chain);
	free(p->key);
	free(p);
}

struct tls_certificate pem_certificate(const struct pem *p)
{
	return (struct tls_certificate){.chain = str_c(p->chain), .key = str_c(p->key)};
}

struct tls_context *context_of(struct tls_tickets *t, unsigned int n, const struct pem *const *p)
{
	struct tls_certificate c[TLS_MAX_CERTIFICATES];
	struct tls_options o = {.certificate = c, .n_certificates = n, .tickets = t};
	struct tls_context *ctx;
	char err[256];

	for (unsigned int i = 0; i < n; i++)
		c[i] = pem_certificate(p[i]);
	ctx = tls_context_new(&o, err, sizeof(err));
	assert_string_equal(err, "");
	assert_non_null(ctx);
	return ctx;
}

/* ---- the server's upcalls ------------------------------------------------------------------ */

static int up_send(void *owner, const void *p, size_t n)
{
	struct server *s = owner;

	if (n > s->room)
		return -ENOBUFS;
	s->room -= n;
	bytes_add(&s->wire, p, n);
	return 0;
}

static void up_established(void *owner, const struct tls_facts *f)
{
	struct server *s = owner;

	s->established++;
	s->facts = *f;
}

static size_t up_plain(void *owner, uint8_t *p, size_t n)
{
	struct server *s = owner;
	size_t k = n < s->take ? n : s->take;

	s->plain_calls++;
	bytes_add(&s->got, p, k);
	if (s->echo)
		tls_send(s->c, p, k);
	memset(p, 0xee, k); /* writable, and what was taken is ours */
	if (s->close_in_plain)
		tls_close(s->c);
	if (s->free_in_plain) {
		tls_free(s->c);
		s->c = NULL;
	}
	return k;
}

static void up_eof(void *owner)
{
	((struct server *)owner)->eof++;
}

static void up_failed(void *owner, enum tls_failure why)
{
	struct server *s = owner;

	s->failed++;
	s->why = why;
}

static void up_ready(void *owner)
{
	((struct server *)owner)->ready++;
}

static const struct tls_ops ops = {up_send, up_established, up_plain, up_eof, up_failed, up_ready};

struct harness *harness_new(unsigned int threads, uint32_t max_conns)
{
	struct harness *h = calloc(1, sizeof(*h));

	h->pool = tls_pool_new(threads, 1);
	assert_non_null(h->pool);
	h->w = tls_worker_new(h->pool, 0, max_conns, &ops, h->counters);
	assert_non_null(h->w);
	return h;
}

void harness_free(struct harness *h)
{
	tls_worker_free(h->w);
	tls_pool_free(h->pool);
	free(h);
}

void harness_settle(struct harness *h)
{
	const struct timespec nap = {.tv_nsec = 20000};
	struct tls_usage u;
	time_t end = time(NULL) + 20;

	for (;;) {
		tls_poll(h->w, 64);
		tls_get_usage(h->w, &u);
		if (!u.handshakes)
			return;
		assert_true(time(NULL) < end);
		nanosleep(&nap, NULL);
	}
}

void server_init(struct server *s, struct harness *h, struct tls_context *ctx)
{
	*s = (struct server){.take = SIZE_MAX, .room = SIZE_MAX};
	s->c = tls_open(h->w, ctx, s);
	assert_non_null(s->c);
}

void server_free(struct server *s)
{
	if (s->c)
		tls_free(s->c);
	bytes_free(&s->wire);
	bytes_free(&s->got);
	*s = (struct server){0};
}

/* ---- the client ---------------------------------------------------------------------------- */

SSL_CTX *client_ctx(void)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());

	assert_non_null(c);
	SSL_CTX_set_security_level(c, 0);
	SSL_CTX_set_min_proto_version(c, TLS1_VERSION);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	return c;
}

static int new_session(SSL *ssl, SSL_SESSION *s)
{
	struct client *k = SSL_get_app_data(ssl);

	SSL_SESSION_free(k->session);
	k->session = s;
	return 1;
}

static void info(const SSL *ssl, int where, int ret)
{
	struct client *k = SSL_get_app_data(ssl);

	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (ret & 0xff))
		k->alert = ret & 0xff;
}

void client_init(struct client *k, SSL_CTX *ctx, const char *sni)
{
	*k = (struct client){.ctx = ctx};
	SSL_CTX_up_ref(ctx);
	SSL_CTX_sess_set_new_cb(ctx, new_session);
	k->ssl = SSL_new(ctx);
	SSL_set_app_data(k->ssl, k);
	SSL_set_info_callback(k->ssl, info);
	SSL_set_bio(k->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(k->ssl);
	if (sni)
		SSL_set_tlsext_host_name(k->ssl, sni);
}

void client_free(struct client *k)
{
	SSL_SESSION_free(k->session);
	/* Else OpenSSL takes the session for broken and does not resume it. */
	if (k->ssl)
		SSL_set_shutdown(k->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(k->ssl);
	SSL_CTX_free(k->ctx);
	bytes_free(&k->up);
	bytes_free(&k->got);
	*k = (struct client){0};
}

static void client_drain(struct client *k)
{
	uint8_t buf[4096];
	int n;

	while ((n = BIO_read(SSL_get_wbio(k->ssl), buf, sizeof(buf))) > 0)
		bytes_add(&k->up, buf, (size_t)n);
}

static void client_turn(struct client *k)
{
	static uint8_t buf[20000];
	int r, e;

	ERR_clear_error();
	if (!k->done && !k->failed) {
		r = SSL_do_handshake(k->ssl);
		e = SSL_get_error(k->ssl, r);
		k->done = r == 1;
		k->failed = r != 1 && e != SSL_ERROR_WANT_READ;
	}
	while (k->done && !k->failed && !k->closed) {
		ERR_clear_error();
		r = SSL_read(k->ssl, buf, sizeof(buf));
		if (r <= 0) {
			e = SSL_get_error(k->ssl, r);
			k->closed = e == SSL_ERROR_ZERO_RETURN;
			k->failed = !k->closed && e != SSL_ERROR_WANT_READ;
			break;
		}
		bytes_add(&k->got, buf, (size_t)r);
	}
	ERR_clear_error();
	client_drain(k);
}

void client_write(struct client *k, const void *p, size_t n)
{
	assert_int_equal(SSL_write(k->ssl, p, (int)n), (int)n);
	client_drain(k);
}

void pump(struct harness *h, struct server *s, struct client *k, size_t chunk)
{
	for (;;) {
		bool moved = false;
		size_t n, used;

		client_turn(k);
		while (s->c && (n = k->up.n - k->up.off)) {
			uint8_t *copy;

			if (n > chunk)
				n = chunk;
			/* Of exact size: reading past it is seen. */
			copy = malloc(n);
			memcpy(copy, k->up.p + k->up.off, n);
			used = tls_input(s->c, copy, n);
			free(copy);
			assert_true(used <= n);
			k->up.off += used;
			moved = moved || used;
			harness_settle(h);
			if (!used)
				break;
		}
		n = s->wire.n - s->wire.off;
		if (n) {
			assert_int_equal(BIO_write(SSL_get_rbio(k->ssl), s->wire.p + s->wire.off,
						   (int)n), (int)n);
			s->wire.off = s->wire.n;
			moved = true;
		}
		if (!moved)
			return;
	}
}

void handshake(struct harness *h, struct server *s, struct client *k)
{
	pump(h, s, k, SIZE_MAX);
}
