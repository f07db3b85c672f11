/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* docs/tls-out.md, executed: policy × what the next hop does at STARTTLS and in the handshake. */

#include "control/deliver/test_tls.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
