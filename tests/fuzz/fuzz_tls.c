/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The server's side of TLS. The first octet chooses: even, the rest is what a client sends in place
 * of a handshake; odd, a session is established with OpenSSL as client and the rest is a script of
 * what both sides do with it (data, KeyUpdate, close, tampered and foreign records, back-pressure,
 * splits). Whatever happens: plain text is what the client sent, as far as it came; upcalls come
 * once; nothing is consumed beyond what was given.
 */

#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "dataplane/tls/tls.h"
#include "postern/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PLAIN_MAX (1u << 20)

static struct tls_worker *worker;
static struct tls_context *ctx;
static SSL_CTX *client_ctx;
static uint64_t counters[POSTERN_DP_COUNTER_COUNT];

static struct {
	struct tls_conn *c;
	SSL *client;
	unsigned int established, failed, eof;
	size_t take, sent, got;  /* octets of plain text: a counter, so that order is checked */
	bool free_in_plain, tampered;
} s;

static void must(bool ok)
{
	if (!ok)
		abort();
}

static int up_send(void *owner, const void *p, size_t n)
{
	(void)owner;
	if (s.client)
		BIO_write(SSL_get_rbio(s.client), p, (int)n);
	return 0;
}

static void up_established(void *owner, const struct tls_facts *f)
{
	(void)owner;
	must(s.established++ == 0 && !s.failed);
	must(f->version == TLS1_2_VERSION || f->version == TLS1_3_VERSION);
}

static size_t up_plain(void *owner, uint8_t *p, size_t n)
{
	size_t k = n < s.take ? n : s.take;

	(void)owner;
	must(n && n <= 16384 && s.established && !s.failed && !s.eof);
	for (size_t i = 0; i < k; i++)
		must(p[i] == (uint8_t)(s.got++ % 251));
	must(s.got <= s.sent);
	memset(p, 0, k);
	if (s.free_in_plain) {
		tls_free(s.c);
		s.c = NULL;
	}
	return k;
}

static void up_eof(void *owner)
{
	(void)owner;
	must(s.eof++ == 0 && !s.failed);
}

static void up_failed(void *owner, enum tls_failure why)
{
	(void)owner, (void)why;
	must(s.failed++ == 0);
}

static void up_ready(void *owner)
{
	(void)owner;
	must(!s.failed);
}

static const struct tls_ops ops = {up_send, up_established, up_plain, up_eof, up_failed, up_ready};

static struct tls_context *make_context(void)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *chain = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
	struct tls_certificate c;
	struct tls_options o = {.certificate = &c, .n_certificates = 1};
	struct tls_context *out;
	char *p, err[200];
	long n;

	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const uint8_t *)"mx.example.com", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, k);
	must(X509_sign(x, k, EVP_sha256()) > 0);
	PEM_write_bio_X509(chain, x);
	PEM_write_bio_PrivateKey(key, k, NULL, NULL, 0, NULL, NULL);
	n = BIO_get_mem_data(chain, &p);
	c.chain = str_make(p, (size_t)n);
	n = BIO_get_mem_data(key, &p);
	c.key = str_make(p, (size_t)n);
	/* Asking for a client certificate opens more of OpenSSL's parsers to the fuzzer. */
	o.client_ca = c.chain;
	o.tickets = tls_tickets_new(1);
	out = tls_context_new(&o, err, sizeof(err));
	tls_tickets_free(o.tickets);
	BIO_free(chain);
	BIO_free(key);
	X509_free(x);
	EVP_PKEY_free(k);
	return out;
}

static void start(void)
{
	struct tls_pool *pool = tls_pool_new(0, 1);

	must(pool);
	worker = tls_worker_new(pool, 0, 64, &ops, counters);
	ctx = make_context();
	client_ctx = SSL_CTX_new(TLS_client_method());
	must(worker && ctx && client_ctx);
}

static void settle(void)
{
	struct tls_usage u;

	do {
		tls_poll(worker, 64);
		tls_get_usage(worker, &u);
	} while (u.handshakes);
}

/* What was not consumed is lost, as if the flow had been cut there. */
static void feed(const uint8_t *p, size_t n, size_t chunk)
{
	while (n && s.c) {
		size_t k = n < chunk ? n : chunk, used = tls_input(s.c, p, k);

		must(used <= k);
		p += used;
		n -= used;
		settle();
		if (!used && s.c && tls_waiting(s.c)) {
			s.take = SIZE_MAX;
			tls_resume(s.c);
			must(!s.c || !tls_waiting(s.c));
		}
	}
}

static void from_client(size_t chunk, int flip)
{
	char *p;
	long n = BIO_get_mem_data(SSL_get_wbio(s.client), &p);

	if (n <= 0)
		return;
	if (flip >= 0) {
		p[flip % n] = (char)(p[flip % n] ^ 0x10);
		s.tampered = true;
	}
	feed((const uint8_t *)p, (size_t)n, chunk);
	(void)BIO_reset(SSL_get_wbio(s.client));
}

static void client_data(size_t n)
{
	static uint8_t buf[16384];

	if (s.sent + n > PLAIN_MAX || !n)
		return;
	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)((s.sent + i) % 251);
	if (SSL_write(s.client, buf, (int)n) == (int)n)
		s.sent += n;
}

static void client_reads(void)
{
	uint8_t buf[512];

	while (SSL_read(s.client, buf, sizeof(buf)) > 0)
		;
}

static void establish(bool v12)
{
	s.client = SSL_new(client_ctx);
	SSL_set_bio(s.client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(s.client);
	if (v12)
		SSL_set_max_proto_version(s.client, TLS1_2_VERSION);
	for (int i = 0; i < 8 && !(s.established && SSL_is_init_finished(s.client)); i++) {
		SSL_do_handshake(s.client);
		from_client(SIZE_MAX, -1);
	}
	must(s.established == 1);
	client_reads();
}

static void script(const uint8_t *p, size_t n)
{
	size_t chunk = SIZE_MAX;

	for (size_t i = 0; i + 1 < n && i < 200 && s.c; i += 2) {
		uint8_t arg = p[i + 1];

		switch (p[i] % 12) {
		case 0: client_data(arg); break;
		case 1: client_data(arg * 64u); break;
		case 2: SSL_key_update(s.client, arg & 1); break;
		case 3: SSL_shutdown(s.client); break;
		case 4: from_client(chunk, -1); break;
		case 5: from_client(chunk, arg); break;
		case 6: chunk = arg ? arg : SIZE_MAX; break;
		case 7: s.take = arg; break;
		case 8: tls_resume(s.c); break;
		case 9: tls_send(s.c, "250 2.0.0 Ok\r\n", 14); break;
		case 10:
			if (arg & 1)
				tls_close(s.c);
			else
				s.free_in_plain = arg & 2;
			break;
		case 11:
			s.tampered = true;
			feed(p + i + 2, n - i - 2 < arg ? n - i - 2 : arg, chunk);
			break;
		}
		client_reads();
	}
	if (s.c)
		from_client(chunk, -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!worker)
		start();
	if (size == 0)
		return 0;
	memset(&s, 0, sizeof(s));
	s.take = SIZE_MAX;
	s.c = tls_open(worker, ctx, &s);
	must(s.c);
	if (data[0] & 1) {
		establish(data[0] & 2);
		script(data + 1, size - 1);
		must(s.tampered || s.got <= s.sent);
	} else {
		feed(data + 1, size - 1, data[0] & 2 ? 1u + data[0] / 4u : SIZE_MAX);
		must(!s.established);
	}
	if (s.c)
		tls_free(s.c);
	settle();
	SSL_free(s.client);
	return 0;
}
