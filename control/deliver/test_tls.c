/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* docs/tls-out.md, executed: policy × what the next hop does at STARTTLS and in the handshake. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/deliver/fake_hop.h"

#define TEXT "Subject: test\r\n\r\n.dot\r\nbody\r\n"
#define SHORT_MS 250
#define NAME "mx.example.net"
#define NO_STARTTLS "250-hop.example.net\r\n250 8BITMIME"

enum cert { GOOD, WRONG_NAME, EXPIRED, NOT_YET, SELF_SIGNED, OTHER_CA, CERTS };

static struct fake_cert ca, other_ca, leaf[CERTS];
static SSL_CTX *server[CERTS];
static struct str ca_pem;

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN); /* the TLS of the server raises it */
	ca = fake_ca("Test CA");
	other_ca = fake_ca("Other CA");
	ca_pem = fake_pem(&ca);
	leaf[GOOD] = fake_leaf(&ca, (struct fake_leaf){.dns = NAME});
	leaf[WRONG_NAME] = fake_leaf(&ca, (struct fake_leaf){.dns = "other.example.net"});
	leaf[EXPIRED] = fake_leaf(&ca, (struct fake_leaf){.dns = NAME, .from_s = -200, .to_s = -100});
	leaf[NOT_YET] = fake_leaf(&ca, (struct fake_leaf){.dns = NAME, .from_s = 100, .to_s = 200});
	leaf[SELF_SIGNED] = fake_leaf(NULL, (struct fake_leaf){.dns = NAME, .self_signed = true});
	leaf[OTHER_CA] = fake_leaf(&other_ca, (struct fake_leaf){.dns = NAME});
	for (int i = 0; i < CERTS; i++)
		server[i] = fake_server(&leaf[i], NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < CERTS; i++) {
		SSL_CTX_free(server[i]);
		fake_cert_free(&leaf[i]);
	}
	fake_cert_free(&ca);
	fake_cert_free(&other_ca);
	free((void *)(uintptr_t)ca_pem.p);
	return 0;
}

static void tls_lab(struct lab *l, struct hop **h, enum config_tls_policy policy, enum cert cert)
{
	lab_init(l);
	*h = hop_new(l->base);
	(*h)->script.tls = server[cert];
	l->route.tls.policy = policy;
	if (policy == TLS_POLICY_VERIFY)
		l->route.tls.ca = ca_pem;
	fake_dns.a = DNS_OK;
	fake_dns.aaaa = DNS_NODATA;
	fake_dns.n_a = 1;
	memcpy(fake_dns.a_data[0], (uint8_t[]){127, 0, 0, 1}, 4);
	lab_add_name(l, NAME, (*h)->port);
}

static void done(struct lab *l, struct hop *h)
{
	hop_free(h);
	lab_fini(l);
}

enum what { FINE, MISSING, S454, S554, S421, S354, INJECT, HANG, CLOSE, RESET, NOT_TLS, ALERT };

struct cell {
	enum config_tls_policy policy;
	enum cert cert;
	enum what what;
	bool clear, secure;   /* how it was delivered, if it was */
	unsigned int subject, detail; /* of the 451, if it was not */
	bool alert;
	const char *why;
};

#define NONE TLS_POLICY_NONE
#define MAY TLS_POLICY_MAY
#define ENCRYPT TLS_POLICY_ENCRYPT
#define VERIFY TLS_POLICY_VERIFY
#define CLEAR true, false
#define SECURE false, true
#define FAILS false, false

static const struct cell cells[] = {
	{NONE, GOOD, FINE, CLEAR},
	{NONE, GOOD, MISSING, CLEAR},
	{MAY, GOOD, FINE, SECURE},
	{MAY, WRONG_NAME, FINE, SECURE},
	{MAY, EXPIRED, FINE, SECURE},
	{MAY, SELF_SIGNED, FINE, SECURE},
	{MAY, GOOD, MISSING, CLEAR, .why = "not offered"},
	{MAY, GOOD, S454, CLEAR, .why = "STARTTLS refused: 454"},
	{MAY, GOOD, S554, CLEAR, .why = "STARTTLS refused: 554"},
	{MAY, GOOD, S421, CLEAR, .why = "STARTTLS refused: 421"},
	{MAY, GOOD, S354, CLEAR, .why = "in clear, TLS failed"},
	{MAY, GOOD, INJECT, CLEAR, .why = "octets in clear"},
	{MAY, GOOD, HANG, CLEAR, .why = "no answer in time"},
	{MAY, GOOD, CLOSE, CLEAR, .why = "connection lost"},
	{MAY, GOOD, RESET, CLEAR, .why = "connection lost"},
	{MAY, GOOD, NOT_TLS, CLEAR, .why = "in clear, TLS failed: handshake"},
	{MAY, GOOD, ALERT, CLEAR, .why = "in clear, TLS failed: handshake"},
	{ENCRYPT, GOOD, FINE, SECURE},
	{ENCRYPT, WRONG_NAME, FINE, SECURE},
	{ENCRYPT, EXPIRED, FINE, SECURE},
	{ENCRYPT, SELF_SIGNED, FINE, SECURE},
	{ENCRYPT, GOOD, MISSING, FAILS, 7, 4, true, "not offered"},
	{ENCRYPT, GOOD, S454, FAILS, 4, 0, false, "STARTTLS refused: 454"},
	{ENCRYPT, GOOD, S554, FAILS, 4, 0, true, "STARTTLS refused: 554"},
	{ENCRYPT, GOOD, S421, FAILS, 4, 0, false, "STARTTLS refused: 421"},
	{ENCRYPT, GOOD, S354, FAILS, 4, 0, false, "no valid reply to STARTTLS"},
	{ENCRYPT, GOOD, INJECT, FAILS, 4, 0, true, "octets in clear"},
	{ENCRYPT, GOOD, HANG, FAILS, 4, 1, false, "no answer in time"},
	{ENCRYPT, GOOD, CLOSE, FAILS, 4, 1, false, "connection lost"},
	{ENCRYPT, GOOD, RESET, FAILS, 4, 1, false, "connection lost"},
	{ENCRYPT, GOOD, NOT_TLS, FAILS, 4, 0, false, "handshake"},
	{ENCRYPT, GOOD, ALERT, FAILS, 7, 5, true, "handshake"},
	{VERIFY, GOOD, FINE, SECURE},
	{VERIFY, WRONG_NAME, FINE, FAILS, 7, 5, true, "certificate: hostname mismatch"},
	{VERIFY, EXPIRED, FINE, FAILS, 7, 5, true, "certificate: certificate has expired"},
	{VERIFY, NOT_YET, FINE, FAILS, 7, 5, true, "certificate: certificate is not yet valid"},
	{VERIFY, SELF_SIGNED, FINE, FAILS, 7, 5, true, "certificate: self-signed certificate"},
	{VERIFY, OTHER_CA, FINE, FAILS, 7, 5, true, "certificate: unable to get local issuer"},
	{VERIFY, GOOD, MISSING, FAILS, 7, 4, true, "not offered"},
	{VERIFY, GOOD, S454, FAILS, 4, 0, false, "STARTTLS refused: 454"},
	{VERIFY, GOOD, INJECT, FAILS, 4, 0, true, "octets in clear"},
	{VERIFY, GOOD, HANG, FAILS, 4, 1, false, "no answer in time"},
	{VERIFY, GOOD, NOT_TLS, FAILS, 4, 0, false, "handshake"},
	{VERIFY, GOOD, ALERT, FAILS, 7, 5, true, "handshake"},
};

static const char *const starttls[] = {
	[S454] = "454 4.7.0 not now", [S554] = "554 5.7.1 not for you", [S421] = "421 4.3.2 going down",
	[S354] = "354 what"};
static const char *const handshake[] = {
	[HANG] = HOP_HANG, [CLOSE] = HOP_CLOSE, [RESET] = HOP_RESET, [NOT_TLS] = "SSH-2.0-no\r\n"};

static void script(struct hop *h, enum what what)
{
	switch (what) {
	case MISSING:
		h->script.ehlo = NO_STARTTLS;
		break;
	case S454:
	case S554:
	case S421:
	case S354:
		h->script.starttls = starttls[what];
		break;
	case INJECT:
		h->script.injected = "250-hop.example.net\r\n250 SIZE 1\r\n";
		break;
	case HANG:
	case CLOSE:
	case RESET:
	case NOT_TLS:
		h->script.handshake = handshake[what];
		break;
	default:
		break;
	}
}

static unsigned int alerts;
static char alert_text[500];

static void on_alert(void *arg, const struct deliver_alert *a)
{
	(void)arg;
	alerts++;
	assert_string_equal(a->stage, "tls");
	assert_null(a->said);
	assert_string_equal(a->host, NAME);
	snprintf(alert_text, sizeof(alert_text), "%s", a->text);
}

/* A server that takes nothing but TLS 1.2 with a cipher that we do not have: it sends the alert. */
static SSL_CTX *picky_server(void)
{
	SSL_CTX *ctx = fake_server(&leaf[GOOD], NULL);

	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	assert_true(SSL_CTX_set_cipher_list(ctx, "ECDHE-RSA-AES128-GCM-SHA256"));
	return ctx;
}

static void run_cell(const struct cell *c)
{
	SSL_CTX *picky = c->what == ALERT ? picky_server() : NULL;
	struct lab l;
	struct hop *h;
	struct sent s;

	tls_lab(&l, &h, c->policy, c->cert);
	if (picky)
		h->script.tls = picky;
	script(h, c->what);
	alerts = 0;
	deliver_on_alert(l.d, on_alert, NULL);
	if (c->what == HANG)
		deliver_tuning(l.d)->command_ms = SHORT_MS;
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	if (c->why && !strstr(s.result.tls.why, c->why))
		fail_msg("why: %s", s.result.tls.why);
	if (!c->why)
		assert_string_equal(s.result.tls.why, "");
	assert_int_equal(s.result.alert, c->alert);
	assert_int_equal(alerts, c->alert || c->what == INJECT);
	assert_int_equal(l.counters[CTL_nexthop_tls_injected], c->what == INJECT);
	assert_int_equal(l.counters[CTL_nexthop_tls], c->secure);
	if (c->clear || c->secure) {
		assert_int_equal(s.result.reply.code, 250);
		assert_string_equal((char *)h->content, TEXT);
		assert_int_equal(h->secured, c->secure);
		assert_int_equal(hop_count(h, "+MAIL"), c->secure);
		assert_int_equal(hop_count(h, "MAIL"), 1);
	} else {
		assert_int_equal(s.result.reply.code, 451);
		assert_int_equal(s.result.reply.enh_subject, c->subject);
		assert_int_equal(s.result.reply.enh_detail, c->detail);
		assert_int_equal(s.result.outcome, DELIVER_DEFERRED);
		assert_string_equal(s.result.stage, "tls");
		assert_int_equal(hop_count(h, "MAIL"), 0);
	}
	assert_int_equal(s.result.tls.version[0] != 0, c->secure);
	assert_int_equal(s.result.tls.verified,
			 c->secure && c->policy == VERIFY ? DELIVER_VERIFIED_NAME : DELIVER_VERIFIED_NO);
	assert_int_equal(l.counters[CTL_nexthop_tls_fallback],
			 c->policy == MAY && c->clear && c->what != MISSING);
	assert_null(strstr(s.result.reply.text, NAME));
	done(&l, h);
	SSL_CTX_free(picky);
}

static void the_table(void **state)
{
	static const char *const policy[] = {TLS_POLICY_WORDS};

	(void)state;
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		printf("  %zu: %s, certificate %d, %d\n", i, policy[cells[i].policy],
		       cells[i].cert, cells[i].what);
		run_cell(&cells[i]);
	}
}

static void send_one(struct lab *l, struct sent *s, const char *text)
{
	sent_start(l, s, text, 1);
	lab_run(l, &s->done);
	if (s->result.reply.code != 250)
		fail_msg("%u %s (%s)", s->result.reply.code, s->result.reply.text, s->result.tls.why);
}

/* RFC 3207 4.2: what was offered in clear counts for nothing. */
static void clear_ehlo_is_forgotten(void **state)
{
	struct lab l;
	struct hop *h;
	struct sent s;

	(void)state;
	tls_lab(&l, &h, ENCRYPT, GOOD);
	h->script.ehlo = "250-hop.example.net\r\n250-STARTTLS\r\n250-CHUNKING\r\n250-PIPELINING\r\n"
			 "250 SIZE 10";
	h->script.ehlo_tls = "250 hop.example.net";
	send_one(&l, &s, TEXT);
	assert_int_equal(hop_count(h, "EHLO"), 2);
	assert_int_equal(hop_count(h, "+EHLO"), 1);
	assert_int_equal(hop_count(h, "BDAT"), 0);
	assert_null(strstr(h->log, "SIZE="));
	done(&l, h);

	/* Offered again: not begun again. */
	tls_lab(&l, &h, ENCRYPT, GOOD);
	h->script.ehlo_tls = "250-hop.example.net\r\n250-STARTTLS\r\n250 8BITMIME";
	send_one(&l, &s, TEXT);
	assert_int_equal(hop_count(h, "STARTTLS"), 1);
	done(&l, h);
}

static void reuse_and_resumption(void **state)
{
	struct lab l;
	struct hop *h;
	struct sent s;

	(void)state;
	for (int tls12 = 0; tls12 < 2; tls12++) {
		tls_lab(&l, &h, VERIFY, GOOD);
		if (tls12)
			SSL_CTX_set_max_proto_version(server[GOOD], TLS1_2_VERSION);
		send_one(&l, &s, TEXT);
		assert_string_equal(s.result.tls.version, tls12 ? "TLSv1.2" : "TLSv1.3");
		assert_true(s.result.tls.cipher[0]);
		assert_false(s.result.tls.resumed);
		/* The tickets of TLS 1.3, unread or not, are no sign of death. */
		send_one(&l, &s, TEXT);
		assert_int_equal(h->accepted, 1);
		assert_int_equal(l.counters[CTL_nexthop_reused], 1);
		assert_int_equal(s.result.tls.verified, DELIVER_VERIFIED_NAME);
		/* A new connection takes the session up, and with it what was verified. */
		hop_close_all(h);
		lab_spin(&l, 20);
		send_one(&l, &s, TEXT);
		assert_int_equal(h->accepted, 2);
		assert_int_equal(h->resumed, 1);
		assert_true(s.result.tls.resumed);
		assert_int_equal(s.result.tls.verified, DELIVER_VERIFIED_NAME);
		assert_int_equal(l.counters[CTL_nexthop_tls_resumed], 1);
		/* Not for ever: the certificate is looked at again. */
		hop_close_all(h);
		lab_spin(&l, 20);
		deliver_tuning(l.d)->skew_s = LIMIT_TLS_SESSION_S + 1;
		h->script.tls = server[EXPIRED];
		sent_start(&l, &s, TEXT, 1);
		lab_run(&l, &s.done);
		assert_int_equal(s.result.reply.code, 451);
		assert_non_null(strstr(s.result.tls.why, "expired"));
		done(&l, h);
		SSL_CTX_set_max_proto_version(server[GOOD], 0);
	}
}

/* What was proven under one set of settings says nothing under another. */
static void settings_share_nothing(void **state)
{
	struct lab l;
	struct hop *h;
	struct sent s;

	(void)state;
	tls_lab(&l, &h, ENCRYPT, SELF_SIGNED);
	send_one(&l, &s, TEXT);
	l.route.tls.policy = VERIFY;
	l.route.tls.ca = ca_pem;
	l.route.tls.id[0] = 1;
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 451);
	assert_int_equal(h->accepted, 2);
	assert_int_equal(l.counters[CTL_nexthop_reused], 0);
	done(&l, h);
}

static void client_certificate(void **state)
{
	struct fake_cert mine = fake_leaf(&ca, (struct fake_leaf){.dns = "relay.example.org",
								  .client = true});
	struct str pem = fake_pem(&mine), key = fake_pem_key(&mine);
	SSL_CTX *ctx;

	(void)state;
	for (int tls12 = 0; tls12 < 2; tls12++) {
		struct lab l;
		struct hop *h;
		struct sent s;

		ctx = fake_server(&leaf[GOOD], NULL);
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca.x);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		if (tls12)
			SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
		tls_lab(&l, &h, VERIFY, GOOD);
		h->script.tls = ctx;
		/* None to show. In TLS 1.3 its refusal comes when our side is done. */
		sent_start(&l, &s, TEXT, 1);
		lab_run(&l, &s.done);
		assert_int_equal(s.result.reply.code, 451);
		assert_int_equal(s.result.reply.enh_subject, 7);
		assert_string_equal(s.result.stage, "tls");
		assert_true(s.result.alert);
		assert_non_null(strstr(s.result.tls.why, "handshake: "));
		assert_int_equal(hop_count(h, "MAIL"), 0);
		done(&l, h);

		tls_lab(&l, &h, VERIFY, GOOD);
		h->script.tls = ctx;
		l.route.tls.certificate.chain = pem;
		l.route.tls.certificate.key = key;
		send_one(&l, &s, TEXT);
		assert_int_equal(h->client_certs, 1);
		done(&l, h);
		SSL_CTX_free(ctx);
	}
	fake_cert_free(&mine);
	free((void *)(uintptr_t)pem.p);
	free((void *)(uintptr_t)key.p);
}

static void names(void **state)
{
	struct fake_cert by_ip = fake_leaf(&ca, (struct fake_leaf){.ip = "127.0.0.1"});
	SSL_CTX *ctx = fake_server(&by_ip, NULL);
	char *other[] = {(char *)(uintptr_t)"none.example.net", (char *)(uintptr_t)"other.example.net"};
	struct lab l;
	struct hop *h;
	struct sent s;

	(void)state;
	/* The host's name, unless told otherwise. */
	tls_lab(&l, &h, VERIFY, WRONG_NAME);
	l.route.tls.name = other;
	l.route.tls.n_names = 2;
	send_one(&l, &s, TEXT);
	assert_string_equal(h->sni, NAME);
	done(&l, h);
	tls_lab(&l, &h, VERIFY, GOOD);
	l.route.tls.sni = (char *)(uintptr_t)"front.example.net";
	send_one(&l, &s, TEXT);
	assert_string_equal(h->sni, "front.example.net");
	done(&l, h);
	/* A provider's domains stand for all below them. */
	for (int fits = 0; fits < 2; fits++) {
		const char *const domains[] = {fits ? "example.net" : "ample.net", NULL};

		tls_lab(&l, &h, VERIFY, WRONG_NAME);
		l.route.tls_names = domains;
		sent_start(&l, &s, TEXT, 1);
		lab_run(&l, &s.done);
		assert_int_equal(s.result.reply.code, fits ? 250 : 451);
		done(&l, h);
	}
	/* A host given by address: the address in the certificate, or the names. */
	tls_lab(&l, &h, VERIFY, GOOD);
	l.route.n_hosts = 0;
	lab_add(&l, "127.0.0.1", h->port);
	h->script.tls = ctx;
	send_one(&l, &s, TEXT);
	assert_string_equal(h->sni, "");
	h->script.tls = server[GOOD];
	hop_close_all(h);
	lab_spin(&l, 20);
	deliver_tuning(l.d)->skew_s = LIMIT_TLS_SESSION_S + 1;
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_non_null(strstr(s.result.tls.why, "IP address mismatch"));
	done(&l, h);
	SSL_CTX_free(ctx);
	fake_cert_free(&by_ip);
}

static void old_versions(void **state)
{
	SSL_CTX *old = fake_server(&leaf[GOOD], NULL);
	struct lab l;
	struct hop *h;
	struct sent s;

	(void)state;
	SSL_CTX_set_security_level(old, 0);
	SSL_CTX_set_min_proto_version(old, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
	SSL_CTX_set_cipher_list(old, "ALL:@SECLEVEL=0");
	tls_lab(&l, &h, ENCRYPT, GOOD);
	h->script.tls = old;
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 451);
	assert_true(s.result.alert);
	done(&l, h);
	SSL_CTX_free(old);

	tls_lab(&l, &h, ENCRYPT, GOOD);
	SSL_CTX_set_max_proto_version(server[GOOD], TLS1_2_VERSION);
	l.route.tls.min_version = TLS1_3_VERSION;
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 451);
	SSL_CTX_set_max_proto_version(server[GOOD], 0);
	done(&l, h);
}

/* After TLS failed under "may" the host is spoken to in clear at once, for a while. */
static void failure_is_remembered(void **state)
{
	struct lab l;
	struct hop *h;
	struct sent s;

	(void)state;
	tls_lab(&l, &h, MAY, GOOD);
	h->script.handshake = HOP_CLOSE;
	h->script.close_idle_after = 1;
	send_one(&l, &s, TEXT);
	assert_int_equal(h->accepted, 2);
	lab_spin(&l, 20);
	send_one(&l, &s, TEXT);
	assert_int_equal(h->accepted, 3);
	assert_non_null(strstr(s.result.tls.why, "less than 60 s ago"));
	assert_int_equal(hop_count(h, "STARTTLS"), 1);
	done(&l, h);
}

/* Two hosts: TLS that is not as it must be takes the message to the other one. */
static void another_address(void **state)
{
	struct lab l;
	struct hop *bad, *good;
	struct sent s;

	(void)state;
	tls_lab(&l, &bad, VERIFY, EXPIRED);
	good = hop_new(l.base);
	good->script.tls = server[GOOD];
	lab_add_name(&l, NAME, good->port);
	alerts = 0;
	deliver_on_alert(l.d, on_alert, NULL);
	send_one(&l, &s, TEXT);
	assert_int_equal(good->messages, 1);
	assert_int_equal(bad->messages, 0);
	assert_int_equal(alerts, 1); /* it went well, and still somebody should know */
	assert_non_null(strstr(alert_text, "expired"));
	assert_int_equal(l.counters[CTL_nexthop_failover], 1);
	hop_free(good);
	done(&l, bad);
}

/* Both ways of content, in records that tiny sockets take in parts. */
static void large(void **state)
{
	const size_t n = 3 * 1024 * 1024;
	char *text = malloc(n + 1);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		text[i] = (char)('a' + i * 7 % 23);
	for (size_t i = 60; i + 4 < n; i += 40 + i % 50)
		memcpy(text + i, "\r\n.", 3);
	memcpy(text + 100000, text + 200000, 70000); /* lines cut anywhere */
	memset(text + 300000, 'y', 200000);          /* and one that is a record and more */
	memcpy(text + n - 2, "\r\n", 3);
	for (int bdat = 0; bdat < 2; bdat++) {
		struct lab l;
		struct hop *h;
		struct sent s;

		tls_lab(&l, &h, ENCRYPT, GOOD);
		h->script.ehlo_tls = bdat ? HOP_CHUNKING : HOP_PLAIN;
		deliver_tuning(l.d)->sndbuf = 4096;
		send_one(&l, &s, text);
		assert_int_equal(h->content_n, n);
		assert_memory_equal(h->content, text, n);
		assert_int_equal(s.result.bdat, bdat);
		assert_true(s.result.tls.version[0]);
		done(&l, h);
	}
	free(text);
}

static void body_ends(const char *says, bool stuck)
{
	static char text[4 * 1024 * 1024];

	memset(text, 'x', sizeof(text) - 1);
	for (size_t i = 70; i + 2 < sizeof(text); i += 72)
		memcpy(text + i, "\r\n", 2);
	for (int bdat = 0; bdat < 2; bdat++) {
		struct lab l;
		struct hop *h;
		struct sent s;

		tls_lab(&l, &h, ENCRYPT, GOOD);
		h->script.mid_body = says;
		h->script.no_read_body = stuck;
		h->script.ehlo_tls = bdat ? HOP_CHUNKING : HOP_PLAIN;
		deliver_tuning(l.d)->sndbuf = 8192;
		if (stuck)
			deliver_tuning(l.d)->progress_ms = SHORT_MS;
		sent_start(&l, &s, text, 1);
		lab_run(&l, &s.done);
		assert_int_equal(s.result.reply.code / 100, 4);
		assert_string_equal(s.result.stage, "body");
		assert_false(s.result.dot_written);
		lab_spin(&l, 20);
		assert_false(h->saw_dot);
		assert_int_equal(l.counters[CTL_nexthop_tls_fallback], 0);
		done(&l, h);
	}
}

static void mid_body(void **state)
{
	(void)state;
	body_ends(HOP_RESET, false);
	body_ends(HOP_CLOSE, false);
	body_ends("452 4.3.1 disk", false);
	body_ends("250 2.0.0 queued", false);
	body_ends(NULL, true);
}

/* A reply too many must not pass for that to LAST, also where TLS has it already and the socket not. */
static void reply_too_many(void **state)
{
	static const char *const more[] = {"250 2.0.0 queued\r\n", "421 4.3.2 down\r\n"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct lab l;
		struct hop *h;
		struct sent s;

		tls_lab(&l, &h, ENCRYPT, GOOD);
		h->script.ehlo_tls = HOP_CHUNKING;
		h->script.chunk_apart = more[i];
		sent_start(&l, &s, TEXT, 1);
		lab_run(&l, &s.done);
		assert_int_equal(s.result.reply.code, 451);
		assert_string_equal(s.result.stage, "chunk");
		assert_false(s.result.dot_written);
		assert_true(s.result.done_us < 5000000);
		done(&l, h);
	}
}

static void callouts(void **state)
{
	struct lab l;
	struct hop *h;
	struct asked a;
	struct sent s;

	(void)state;
	tls_lab(&l, &h, VERIFY, GOOD);
	ask(&l, &a, "sender@example.org", "user0@example.com");
	lab_run(&l, &a.done);
	assert_int_equal(a.reply.code, 250);
	assert_int_equal(hop_count(h, "+RCPT"), 1);
	lab_spin(&l, 20); /* RSET is answered */
	send_one(&l, &s, TEXT);
	assert_int_equal(h->accepted, 1);
	assert_int_equal(s.result.tls.verified, DELIVER_VERIFIED_NAME);
	done(&l, h);

	tls_lab(&l, &h, VERIFY, WRONG_NAME);
	ask(&l, &a, "sender@example.org", "user0@example.com");
	lab_run(&l, &a.done);
	assert_int_equal(a.reply.code, 451);
	done(&l, h);
}

/* Given up at any time: nothing is left, nothing called. */
static void given_up(void **state)
{
	(void)state;
	for (unsigned int ms = 0; ms < 12; ms++) {
		struct lab l;
		struct hop *h;
		struct sent s;

		tls_lab(&l, &h, VERIFY, GOOD);
		sent_start(&l, &s, TEXT, 1);
		lab_spin(&l, ms);
		if (s.job && !s.done)
			deliver_cancel(s.job);
		lab_run(&l, &s.done);
		assert_int_equal(s.calls, 1);
		sent_start(&l, &s, TEXT, 1);
		lab_spin(&l, ms);
		done(&l, h);
		assert_true(s.calls <= 1);
	}
}

static void idle_close_is_seen(void **state)
{
	struct lab l;
	struct hop *h;
	struct sent s;

	(void)state;
	tls_lab(&l, &h, ENCRYPT, GOOD);
	h->script.close_idle_after = 1;
	send_one(&l, &s, TEXT);
	send_one(&l, &s, TEXT);
	assert_int_equal(h->accepted, 2);
	assert_int_equal(h->messages, 2);
	h->script.close_idle_after = 0;
	h->script.die_at_second_mail = true;
	send_one(&l, &s, TEXT);
	send_one(&l, &s, TEXT);
	assert_int_equal(h->messages, 4);
	done(&l, h);
}

/* The store alone: bounded, and no longer than an hour from the handshake that looked. */
static void sessions_kept(void **state)
{
	struct tls_store *s = tls_store_new();
	SSL_SESSION *made = SSL_SESSION_new(), *got;
	uint8_t key[32] = {0};

	(void)state;
	SSL_SESSION_set1_id(made, (const unsigned char *)"id", 2);
	for (unsigned int i = 0; i < LIMIT_TLS_SESSIONS_KEPT + 10; i++) {
		memcpy(key, &i, sizeof(i));
		tls_session_put(s, key, 100, SSL_SESSION_dup(made), false);
	}
	assert_int_equal(tls_session_count(s), LIMIT_TLS_SESSIONS_KEPT);
	got = tls_session_get(s, key, 100);
	assert_non_null(got);
	SSL_SESSION_free(got);
	/* A ticket of a resumed connection does not begin the hour anew. */
	tls_session_put(s, key, 100 + LIMIT_TLS_SESSION_S - 1, SSL_SESSION_dup(made), true);
	assert_null(tls_session_get(s, key, 100 + LIMIT_TLS_SESSION_S));
	tls_session_put(s, key, 100 + LIMIT_TLS_SESSION_S, SSL_SESSION_dup(made), true);
	assert_null(tls_session_get(s, key, 100 + LIMIT_TLS_SESSION_S));
	memset(key, 0, sizeof(key)); /* the first one went for the last */
	assert_null(tls_session_get(s, key, 100));
	SSL_SESSION_free(made);
	tls_store_free(s);
}

/* What a reload replaced goes, but for the configuration before this one. */
static void contexts_kept(void **state)
{
	struct tls_store *s = tls_store_new();
	struct config_route_tls t = {.policy = ENCRYPT};
	char why[160];
	SSL_CTX *first, *second;

	(void)state;
	first = tls_context(s, &t, 1, false, why, sizeof(why));
	assert_non_null(first);
	assert_ptr_equal(tls_context(s, &t, 1, false, why, sizeof(why)), first);
	second = tls_context(s, &t, 2, false, why, sizeof(why));
	assert_ptr_not_equal(second, first);
	assert_ptr_equal(tls_context(s, &t, 1, false, why, sizeof(why)), first);
	assert_non_null(tls_context(s, &t, 3, true, why, sizeof(why)));
	assert_ptr_equal(tls_context(s, &t, 2, false, why, sizeof(why)), second);
	t.ca = STR("nothing");
	assert_null(tls_context(s, &t, 4, true, why, sizeof(why)));
	assert_non_null(strstr(why, "CA certificates"));
	tls_store_free(s);
}

static void our_own_fault(void **state)
{
	struct lab l;
	struct hop *h;
	struct sent s;

	(void)state;
	tls_lab(&l, &h, VERIFY, GOOD);
	l.route.tls.ca = STR("no certificate");
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 451);
	assert_int_equal(s.result.reply.enh_subject, 3);
	assert_true(s.result.alert);
	assert_non_null(strstr(s.result.tls.why, "CA certificates"));
	done(&l, h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table),
		cmocka_unit_test(clear_ehlo_is_forgotten),
		cmocka_unit_test(reuse_and_resumption),
		cmocka_unit_test(settings_share_nothing),
		cmocka_unit_test(client_certificate),
		cmocka_unit_test(names),
		cmocka_unit_test(old_versions),
		cmocka_unit_test(failure_is_remembered),
		cmocka_unit_test(another_address),
		cmocka_unit_test(large),
		cmocka_unit_test(mid_body),
		cmocka_unit_test(reply_too_many),
		cmocka_unit_test(callouts),
		cmocka_unit_test(given_up),
		cmocka_unit_test(idle_close_is_seen),
		cmocka_unit_test(sessions_kept),
		cmocka_unit_test(contexts_kept),
		cmocka_unit_test(our_own_fault),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
