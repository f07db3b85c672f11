/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What TLS changes for connections: reuse, sessions, names, certificates of ours, content, its end. */

#include "control/deliver/test_tls.h"

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

/* A reply too many must not pass for that to the message, also where TLS has it already and the socket not. */
static void reply_too_many(void **state)
{
	static const char *const more[] = {"250 2.0.0 queued\r\n", "421 4.3.2 down\r\n"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct lab l;
		struct hop *h;
		struct sent s;

		tls_lab(&l, &h, ENCRYPT, GOOD);
		h->script.ehlo_tls = "250-hop.example.net\r\n250 CHUNKING"; /* one by one */
		h->script.apart = more[i];
		sent_start(&l, &s, TEXT, 1);
		lab_run(&l, &s.done);
		assert_int_equal(s.result.reply.code, 451);
		assert_string_equal(s.result.stage, "body");
		assert_false(s.result.dot_written);
		assert_false(h->saw_dot);
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
