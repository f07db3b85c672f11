/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Handshakes: versions, ciphers, certificates, resumption, refusals. */

#include "dataplane/tls/test_tls_util.h"

static struct harness *h;
static struct tls_tickets *tickets;
static struct pem *ec, *rsa, *ec_b, *rsa_wild, *ca, *client_cert, *stranger;
static struct tls_context *ctx; /* ec, rsa, ec_b, rsa_wild */

static struct server s;
static struct client k;
static SSL_CTX *cc;

static int setup_group(void **state)
{
	const struct pem *all[4];

	(void)state;
	ca = pem_make(KEY_EC, "Test CA", NULL, 30, NULL);
	all[0] = ec = pem_make(KEY_EC, "mx.example.com", "DNS:mx.example.com", 30, NULL);
	all[1] = rsa = pem_make(KEY_RSA, "mx.example.com", "DNS:mx.example.com", 30, NULL);
	all[2] = ec_b = pem_make(KEY_EC, "b", "DNS:Mail.Example.NET,DNS:b.example.org", 30, ca);
	all[3] = rsa_wild = pem_make(KEY_RSA, "w", "DNS:*.example.net", 30, ca);
	client_cert = pem_make(KEY_EC, "client", "DNS:Out.Example.ORG", 30, ca);
	stranger = pem_make(KEY_EC, "stranger.example.org", NULL, 30, NULL);
	tickets = tls_tickets_new(1000000);
	h = harness_new(1, 64);
	ctx = context_of(tickets, 4, all);
	return 0;
}

static int teardown_group(void **state)
{
	struct pem *all[] = {ec, rsa, ec_b, rsa_wild, ca, client_cert, stranger};

	(void)state;
	harness_free(h);
	tls_context_unref(ctx);
	tls_tickets_free(tickets);
	for (unsigned int i = 0; i < 7; i++)
		pem_free(all[i]);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	cc = client_ctx();
	memset(h->counters, 0, sizeof(h->counters));
	return 0;
}

static int teardown(void **state)
{
	struct tls_usage u;

	(void)state;
	server_free(&s);
	client_free(&k);
	SSL_CTX_free(cc);
	harness_settle(h);
	tls_get_usage(h->w, &u);
	assert_int_equal(u.conns, 0);
	return 0;
}

static void begin(struct tls_context *c, const char *sni)
{
	server_init(&s, h, c);
	client_init(&k, cc, sni);
}

static void end(void)
{
	server_free(&s);
	client_free(&k);
}

static void check_open(int version)
{
	assert_int_equal(s.established, 1);
	assert_int_equal(s.failed, 0);
	assert_true(k.done);
	assert_int_equal(s.facts.version, version);
	client_write(&k, "EHLO x\r\n", 8);
	s.echo = true;
	handshake(h, &s, &k);
	assert_int_equal(s.got.n, 8);
	assert_memory_equal(s.got.p, "EHLO x\r\n", 8);
	assert_int_equal(k.got.n, 8);
	assert_memory_equal(k.got.p, "EHLO x\r\n", 8);
}

static void check_refused(enum tls_failure why, enum postern_counter counter, int alert)
{
	assert_int_equal(s.established, 0);
	assert_int_equal(s.failed, 1);
	assert_int_equal(s.why, why);
	assert_int_equal(h->counters[counter], 1);
	assert_int_equal(h->counters[CNT_tls_handshakes], 0);
	assert_int_equal(k.alert, alert);
	assert_int_equal(tls_send(s.c, "x", 1), -EPIPE);
	/* What still comes is swallowed. */
	assert_int_equal(tls_input(s.c, (const uint8_t *)"abc", 3), 3);
}

static void test_versions(void **state)
{
	(void)state;
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		SSL_CTX_set_max_proto_version(cc, v);
		begin(ctx, "MX.Example.com");
		handshake(h, &s, &k);
		check_open(v);
		assert_string_equal(s.facts.sni, "mx.example.com");
		assert_false(s.facts.resumed);
		assert_false(s.facts.client_certificate);
		assert_int_equal(s.facts.cipher, v == TLS1_2_VERSION ? 0xc02b : 0x1301);
		assert_string_equal(s.facts.cipher_name,
				    v == TLS1_2_VERSION
					    ? "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
					    : "TLS_AES_128_GCM_SHA256");
		end();
	}
	assert_int_equal(h->counters[CNT_tls_version_1_2], 1);
	assert_int_equal(h->counters[CNT_tls_version_1_3], 1);
	assert_int_equal(h->counters[CNT_tls_handshakes], 2);
}

static void served(const struct pem *p)
{
	X509 *x = SSL_get0_peer_certificate(k.ssl);

	assert_non_null(x);
	assert_int_equal(X509_cmp(x, p->x), 0);
}

/* RFC 8446 4.2.3: the certificate follows what the client can verify. */
static void test_key_type(void **state)
{
	static const char *const sigalgs[] = {"ECDSA+SHA256", "rsa_pss_rsae_sha256:RSA+SHA256"};

	(void)state;
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++)
		for (int i = 0; i < 2; i++) {
			SSL_CTX_set_max_proto_version(cc, v);
			SSL_CTX_set1_sigalgs_list(cc, sigalgs[i]);
			begin(ctx, NULL);
			handshake(h, &s, &k);
			check_open(v);
			assert_string_equal(s.facts.sni, "");
			served(i ? rsa : ec);
			end();
		}
}

static void test_sni(void **state)
{
	const struct {
		const char *name;
		const struct pem *ec, *rsa;
	} t[] = {
		{"mx.example.com", ec, rsa},
		{"unknown.example.com", ec, rsa},
		{"com", ec, rsa},
		{"mail.example.net", ec_b, rsa_wild},
		{"MAIL.example.NET.", ec_b, rsa_wild},
		{"other.example.net", NULL, rsa_wild},
		{"a.b.example.net", ec, rsa}, /* a wildcard is one label */
		{"example.net", ec, rsa},
		{"b.example.org", ec_b, NULL},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		for (int type = 0; type < 2; type++) {
			const struct pem *want = type ? t[i].rsa : t[i].ec;

			SSL_CTX_set1_sigalgs_list(cc, type ? "rsa_pss_rsae_sha256"
							   : "ECDSA+SHA256");
			begin(ctx, t[i].name);
			handshake(h, &s, &k);
			if (want) {
				check_open(TLS1_3_VERSION);
				served(want);
			} else {
				assert_int_equal(s.failed, 1);
				assert_int_equal(s.why, TLS_FAIL_CIPHER);
			}
			end();
		}
}

static void test_old_versions(void **state)
{
	(void)state;
	for (int v = TLS1_VERSION; v <= TLS1_1_VERSION; v++) {
		memset(h->counters, 0, sizeof(h->counters));
		SSL_CTX_set_min_proto_version(cc, v);
		SSL_CTX_set_max_proto_version(cc, v);
		begin(ctx, NULL);
		handshake(h, &s, &k);
		check_refused(TLS_FAIL_VERSION, CNT_tls_failed_version, SSL_AD_PROTOCOL_VERSION);
		end();
	}
}

static void test_floor(void **state)
{
	struct tls_certificate c = pem_certificate(ec);
	struct tls_options o = {.certificate = &c, .n_certificates = 1,
				.min_version = TLS1_3_VERSION};
	struct tls_context *only13;
	char err[200];

	(void)state;
	only13 = tls_context_new(&o, err, sizeof(err));
	assert_non_null(only13);
	SSL_CTX_set_max_proto_version(cc, TLS1_2_VERSION);
	begin(only13, NULL);
	handshake(h, &s, &k);
	check_refused(TLS_FAIL_VERSION, CNT_tls_failed_version, SSL_AD_PROTOCOL_VERSION);
	tls_context_unref(only13);
}

/* A ClientHello by hand: this OpenSSL cannot offer 3DES and RC4 any more. */
static void test_weak_ciphers(void **state)
{
	static const uint8_t hello[] = {
		22, 3, 1, 0, 49, 1, 0, 0, 45, 3, 3,
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
		0,
		0, 6, 0x00, 0x0a, 0x00, 0x05, 0xc0, 0x12, /* 3DES, RC4, ECDHE with 3DES */
		1, 0,
	};
	static const char *const gone[] = {"AES128-SHA", "AES256-GCM-SHA384",
					   "ECDHE-RSA-AES128-SHA",
					   "DHE-RSA-AES128-GCM-SHA256"};

	(void)state;
	begin(ctx, NULL);
	assert_int_equal(tls_input(s.c, hello, sizeof(hello)), sizeof(hello));
	harness_settle(h);
	assert_int_equal(s.failed, 1);
	assert_int_equal(s.why, TLS_FAIL_CIPHER);
	assert_int_equal(s.wire.n, 7);
	assert_int_equal(s.wire.p[0], 21);
	assert_int_equal(s.wire.p[6], SSL_AD_HANDSHAKE_FAILURE);
	end();
	SSL_CTX_set_max_proto_version(cc, TLS1_2_VERSION);
	for (unsigned int i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
		memset(h->counters, 0, sizeof(h->counters));
		assert_int_equal(SSL_CTX_set_cipher_list(cc, gone[i]), 1);
		begin(ctx, NULL);
		handshake(h, &s, &k);
		check_refused(TLS_FAIL_CIPHER, CNT_tls_failed_cipher, SSL_AD_HANDSHAKE_FAILURE);
		end();
	}
}

/* What Windows Server 2012 R2 offers for RSA keys. */
static void test_cbc_sha2(void **state)
{
	(void)state;
	SSL_CTX_set_max_proto_version(cc, TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_set_cipher_list(cc, "ECDHE-RSA-AES256-SHA384"), 1);
	begin(ctx, NULL);
	handshake(h, &s, &k);
	check_open(TLS1_2_VERSION);
	assert_int_equal(s.facts.cipher, 0xc028);
}

/* 1: with a resumption, 0: a full handshake; the ticket moves on to *ticket. */
static void resume(struct tls_context *c, SSL_SESSION **ticket, bool resumed)
{
	SSL_SESSION *next;

	begin(c, "mx.example.com");
	if (*ticket) {
		/* OpenSSL's client spoils a ticket that it used. */
		SSL_SESSION *copy = SSL_SESSION_dup(*ticket);

		SSL_set_session(k.ssl, copy);
		SSL_SESSION_free(copy);
	}
	handshake(h, &s, &k);
	check_open(SSL_CTX_get_max_proto_version(cc));
	assert_int_equal(s.facts.resumed, resumed);
	assert_int_equal(SSL_session_reused(k.ssl), resumed);
	next = k.session ? k.session : SSL_get1_session(k.ssl);
	k.session = NULL;
	SSL_SESSION_free(*ticket);
	*ticket = next;
	end();
}

static void test_resumption(void **state)
{
	const struct pem *all[] = {ec, rsa};

	(void)state;
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		struct tls_tickets *t = tls_tickets_new(1000000);
		struct tls_context *a = context_of(t, 2, all), *b;
		SSL_SESSION *ticket = NULL, *old;
		uint64_t half = TLS_TICKET_LIFETIME_S / 2;

		SSL_CTX_set_max_proto_version(cc, v);
		resume(a, &ticket, false);
		resume(a, &ticket, true);
		tls_tickets_rotate(t, 1000000 + half - 1); /* not yet */
		tls_tickets_rotate(t, 999);                /* a clock that went backwards */
		resume(a, &ticket, true);
		old = ticket;
		SSL_SESSION_up_ref(old);
		tls_tickets_rotate(t, 1000000 + half);
		resume(a, &ticket, true);
		/* Another generation of the configuration, its predecessor gone. */
		b = context_of(t, 2, all);
		tls_context_unref(a);
		resume(b, &ticket, true);
		tls_tickets_rotate(t, 1000000 + 2 * half);
		ticket = (SSL_SESSION_free(ticket), old);
		SSL_SESSION_up_ref(old);
		resume(b, &ticket, true); /* two keys ago */
		tls_tickets_rotate(t, 1000000 + 3 * half);
		ticket = (SSL_SESSION_free(ticket), old);
		resume(b, &ticket, false); /* three */
		SSL_SESSION_free(ticket);
		tls_tickets_free(t); /* the context has its own reference */
		ticket = NULL;
		resume(b, &ticket, false);
		resume(b, &ticket, true);
		SSL_SESSION_free(ticket);
		tls_context_unref(b);
	}
	assert_int_equal(h->counters[CNT_tls_resumed], 12);
}

static void test_no_tickets(void **state)
{
	const struct pem *all[] = {ec};
	struct tls_context *c = context_of(NULL, 1, all);

	(void)state;
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		SSL_SESSION *ticket = NULL;

		SSL_CTX_set_max_proto_version(cc, v);
		resume(c, &ticket, false);
		resume(c, &ticket, false);
		SSL_SESSION_free(ticket);
	}
	tls_context_unref(c);
}

static struct tls_context *context_with_ca(const char *pem)
{
	struct tls_certificate c = pem_certificate(rsa);
	struct tls_options o = {.certificate = &c, .n_certificates = 1, .client_ca = str_c(pem),
				.tickets = tickets};
	char err[200];
	struct tls_context *r = tls_context_new(&o, err, sizeof(err));

	assert_string_equal(err, "");
	assert_non_null(r);
	return r;
}

static void test_client_certificate(void **state)
{
	const struct {
		const struct pem *cert;
		bool verified;
		const char *name;
	} t[] = {
		{NULL, false, ""},
		{client_cert, true, "out.example.org"},
		{stranger, false, "stranger.example.org"},
	};
	struct tls_context *c = context_with_ca(ca->chain);

	(void)state;
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++)
		for (unsigned int i = 0; i < 3; i++) {
			uint8_t sha[32];

			SSL_CTX_set_max_proto_version(cc, v);
			begin(c, NULL);
			if (t[i].cert) {
				SSL_use_certificate(k.ssl, t[i].cert->x);
				SSL_use_PrivateKey(k.ssl, t[i].cert->pkey);
				X509_digest(t[i].cert->x, EVP_sha256(), sha, NULL);
			}
			handshake(h, &s, &k);
			check_open(v);
			assert_int_equal(s.facts.client_certificate, t[i].cert != NULL);
			assert_int_equal(s.facts.client_verified, t[i].verified);
			assert_string_equal(s.facts.client_name, t[i].name);
			if (t[i].cert)
				assert_memory_equal(s.facts.client_sha256, sha, 32);
			end();
		}
	assert_int_equal(h->counters[CNT_tls_client_verified], 2);
	tls_context_unref(c);
}

/* Who is known by a fingerprint needs no CA, and a ticket of before does not hide the certificate. */
static void test_ask_client(void **state)
{
	struct tls_certificate cert = pem_certificate(rsa);
	struct tls_options o = {.certificate = &cert, .n_certificates = 1, .tickets = tickets};
	struct tls_context *plain, *asks;
	SSL_SESSION *ticket = NULL;
	uint8_t sha[32];
	char err[200];

	(void)state;
	plain = tls_context_new(&o, err, sizeof(err));
	o.ask_client = true;
	asks = tls_context_new(&o, err, sizeof(err));
	assert_string_equal(err, "");
	X509_digest(stranger->x, EVP_sha256(), sha, NULL);
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		SSL_CTX_set_max_proto_version(cc, v);
		SSL_CTX_use_certificate(cc, stranger->x);
		SSL_CTX_use_PrivateKey(cc, stranger->pkey);
		for (int i = 0; i < 3; i++) {
			begin(i ? asks : plain, NULL);
			if (ticket)
				SSL_set_session(k.ssl, ticket);
			handshake(h, &s, &k);
			check_open(v);
			assert_int_equal(s.facts.resumed, i == 2);
			assert_int_equal(s.facts.client_certificate, i > 0);
			assert_false(s.facts.client_verified);
			if (i)
				assert_memory_equal(s.facts.client_sha256, sha, 32);
			SSL_SESSION_free(ticket);
			ticket = k.session ? k.session : SSL_get1_session(k.ssl);
			k.session = NULL;
			end();
		}
		SSL_SESSION_free(ticket);
		ticket = NULL;
	}
	tls_context_unref(plain);
	tls_context_unref(asks);
}

/* "Verified" must not outlive the CA by way of a ticket. */
static void test_client_ca_changed(void **state)
{
	struct tls_context *a = context_with_ca(ca->chain), *b = context_with_ca(stranger->chain);
	SSL_SESSION *ticket = NULL;

	(void)state;
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		SSL_CTX_set_max_proto_version(cc, v);
		SSL_CTX_use_certificate(cc, client_cert->x);
		SSL_CTX_use_PrivateKey(cc, client_cert->pkey);
		for (int i = 0; i < 3; i++) {
			begin(i < 2 ? a : b, NULL);
			if (ticket)
				SSL_set_session(k.ssl, ticket);
			handshake(h, &s, &k);
			check_open(v);
			assert_int_equal(s.facts.resumed, i == 1);
			assert_int_equal(s.facts.client_verified, i < 2);
			assert_string_equal(s.facts.client_name, "out.example.org");
			SSL_SESSION_free(ticket);
			ticket = k.session ? k.session : SSL_get1_session(k.ssl);
			k.session = NULL;
			end();
		}
		SSL_SESSION_free(ticket);
		ticket = NULL;
	}
	tls_context_unref(a);
	tls_context_unref(b);
}

static void test_renegotiation(void **state)
{
	(void)state;
	SSL_CTX_set_max_proto_version(cc, TLS1_2_VERSION);
	begin(ctx, NULL);
	handshake(h, &s, &k);
	assert_int_equal(s.established, 1);
	assert_int_equal(SSL_renegotiate(k.ssl), 1);
	SSL_do_handshake(k.ssl);
	handshake(h, &s, &k);
	assert_int_equal(k.alert, SSL_AD_NO_RENEGOTIATION);
	assert_int_equal(s.established, 1);
	assert_int_equal(h->counters[CNT_tls_handshakes], 1);
}

static void test_garbage(void **state)
{
	static const char *const t[] = {"EHLO client.example.com\r\n", "GET / HTTP/1.1\r\n\r\n",
					"\x16\x03\x01\xff\xff", "\x80\x80\x80\x80\x80\x80\x80\x80"};

	(void)state;
	for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		size_t n = strlen(t[i]);

		memset(h->counters, 0, sizeof(h->counters));
		begin(ctx, NULL);
		for (size_t j = 0; j < n && s.c; j++) {
			assert_int_equal(tls_input(s.c, (const uint8_t *)t[i] + j, 1), 1);
			harness_settle(h);
		}
		assert_int_equal(s.failed, 1);
		assert_int_equal(s.why, TLS_FAIL_PROTOCOL);
		assert_int_equal(h->counters[CNT_tls_failed_protocol], 1);
		end();
	}
}

/* Well-formed records without end of a message that is announced as 128 KiB. */
static void test_huge_hello(void **state)
{
	static uint8_t flood[100000];
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i + 1005 <= sizeof(flood); i += 1005)
		memcpy(flood + i, "\x16\x03\x01\x03\xe8", 5);
	memcpy(flood + 5, "\x01\x01\xff\xff\x03\x03", 6);
	begin(ctx, NULL);
	for (int turns = 0; turns < 1000 && at < sizeof(flood) && !s.failed; turns++) {
		at += tls_input(s.c, flood + at, sizeof(flood) - at);
		harness_settle(h);
	}
	assert_int_equal(s.failed, 1);
	assert_int_equal(s.why, TLS_FAIL_OVERFLOW);
	assert_int_equal(h->counters[CNT_tls_failed_overflow], 1);
	assert_int_equal(s.wire.n, 7);
	assert_int_equal(s.wire.p[6], SSL_AD_INTERNAL_ERROR);
}

/* The client does not like our certificate; under TLS 1.3 its alert is encrypted. */
static void test_client_alert(void **state)
{
	(void)state;
	for (int v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		SSL_CTX_set_max_proto_version(cc, v);
		SSL_CTX_set_verify(cc, SSL_VERIFY_PEER, NULL);
		begin(ctx, NULL);
		handshake(h, &s, &k);
		assert_true(k.failed);
		assert_int_equal(s.failed, 1);
		assert_int_equal(s.why, TLS_FAIL_ALERT);
		end();
	}
	assert_int_equal(h->counters[CNT_tls_failed_alert], 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_versions), T(test_key_type), T(test_sni), T(test_old_versions),
		T(test_floor), T(test_weak_ciphers), T(test_cbc_sha2), T(test_resumption),
		T(test_no_tickets), T(test_client_certificate), T(test_client_ca_changed), T(test_ask_client),
		T(test_renegotiation), T(test_garbage), T(test_huge_hello), T(test_client_alert),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
