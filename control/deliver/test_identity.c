/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The client as the next hop is told of it: XCLIENT, XFORWARD, PROXY. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/deliver/fake_hop.h"
#include "postern/crc32c.h"
#include "postern/proxy_tlv.h"

#define TEXT "Subject: a\r\n\r\nb\r\n"
#define ALL "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"
#define EHLO_X "250-hop.example.net\r\n250-PIPELINING\r\n250 XCLIENT " ALL
#define EHLO_F "250-hop.example.net\r\n250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"

static struct lab l;
static struct hop *h;
static struct deliver_client one, two;
static char alerted[200];

static void on_alert(void *arg, const struct deliver_alert *a)
{
	(void)arg;
	snprintf(alerted, sizeof(alerted), "%.190s", a->text ? a->text : a->said->text);
}

static void parse_ip(const char *text, struct ip_addr *ip)
{
	assert_true(ip_parse(str_c(text), ip));
}

static int setup(void **state)
{
	(void)state;
	alerted[0] = '\0';
	lab_init(&l);
	h = hop_new(l.base);
	lab_add(&l, "127.0.0.1", h->port);
	deliver_on_alert(l.d, on_alert, NULL);
	one = (struct deliver_client){.port = 4711, .local_port = 25, .helo = STR("mail.example.org"),
				      .name = STR("out.example.org"), .esmtp = true};
	parse_ip("203.0.113.7", &one.ip);
	parse_ip("192.0.2.25", &one.local);
	two = (struct deliver_client){.port = 0, .helo = STR("win+pc=")};
	parse_ip("2001:db8::7", &two.ip);
	l.client = &one;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hop_free(h);
	lab_fini(&l);
	return 0;
}

static struct deliver_result deliver(void)
{
	struct sent s;

	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	return s.result;
}

static void log_is(const char *want)
{
	if (strncmp(h->log, want, strlen(want)))
		fail_msg("log:\n%s", h->log);
}

/* ---- XCLIENT -------------------------------------------------------------------------------------- */

static void xclient(void **state)
{
	(void)state;
	l.route.xclient = true;
	h->script.ehlo = EHLO_X;
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	log_is("EHLO relay.example.org\n"
	       "XCLIENT ADDR=203.0.113.7 PORT=4711 PROTO=ESMTP DESTADDR=192.0.2.25 DESTPORT=25 "
	       "HELO=mail.example.org NAME=out.example.org\n"
	       "EHLO mail.example.org\n"
	       "MAIL FROM:<sender@example.org>\n");
	/* The same client again: it is named already. */
	deliver();
	assert_int_equal(hop_count(h, "XCLIENT"), 1);
	assert_int_equal(hop_count(h, "EHLO"), 2);
	/* Another, on the same connection. What is no name is no word of EHLO either. */
	l.client = &two;
	deliver();
	assert_int_equal(h->accepted, 1);
	two.helo = STR("win pc");
	deliver();
	assert_int_equal(hop_count(h, "XCLIENT ADDR=IPV6:2001:db8::7 PORT=[UNAVAILABLE] PROTO=SMTP "
				      "HELO=[UNAVAILABLE] NAME=[UNAVAILABLE]"), 1);
	assert_int_equal(hop_count(h, "XCLIENT ADDR=IPV6:2001:db8::7 PORT=[UNAVAILABLE] PROTO=SMTP "
				      "HELO=win+2Bpc+3D NAME=[UNAVAILABLE]"), 1);
	assert_int_equal(hop_count(h, "EHLO relay.example.org"), 3);
	assert_int_equal(h->messages, 4);
}

static void xclient_at_callouts(void **state)
{
	struct asked a = {0};

	(void)state;
	l.route.xclient = true;
	h->script.ehlo = EHLO_X;
	assert_non_null(ask(&l, &a, "sender@example.org", "user@example.com"));
	lab_run(&l, &a.done);
	assert_int_equal(a.reply.code, 250);
	assert_int_equal(hop_count(h, "XCLIENT ADDR=203.0.113.7"), 1);
	/* Nobody is known: as ourselves, which needs a connection that named nobody. */
	l.client = NULL;
	lab_spin(&l, 20);
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	assert_int_equal(hop_count(h, "XCLIENT"), 1);
	assert_int_equal(h->accepted, 2);
}

static void only_what_is_announced(void **state)
{
	(void)state;
	l.route.xclient = true;
	h->script.ehlo = "250-hop.example.net\r\n250 XCLIENT addr Name NEW";
	deliver();
	assert_int_equal(hop_count(h, "XCLIENT ADDR=203.0.113.7 NAME=out.example.org"), 1);
	assert_null(strstr(h->log, "HELO="));
}

/* The mail would be judged as ours, and the sender take the blame: it waits, and somebody is told. */
static void not_offered(void **state)
{
	static const char *const ehlo[] = {NULL, "250-hop.example.net\r\n250 XCLIENT NAME HELO"};
	struct deliver_result r;

	(void)state;
	for (int i = 0; i < 2; i++) {
		l.route.xclient = true;
		h->script.ehlo = ehlo[i];
		r = deliver();
		assert_int_equal(r.reply.code, 451);
		assert_int_equal(r.outcome, DELIVER_DEFERRED);
		assert_int_equal(hop_count(h, "MAIL"), 0);
	}
	assert_non_null(strstr(alerted, "XCLIENT"));
	assert_int_equal(l.counters[CTL_nexthop_no_xclient], 2);
}

static void not_allowed(void **state)
{
	struct deliver_result r;

	(void)state;
	l.route.xclient = true;
	h->script.ehlo = EHLO_X;
	h->script.xclient = "550 5.7.0 insufficient authorization";
	r = deliver();
	assert_int_equal(r.reply.code, 451);
	assert_true(r.alert);
	assert_int_equal(hop_count(h, "MAIL"), 0);
	h->script.xclient = "421 4.3.2 later";
	r = deliver();
	assert_int_equal(r.reply.code, 451);
	assert_false(r.alert);
	h->script.xclient = HOP_CLOSE;
	assert_int_equal(deliver().reply.code, 451);
	h->script.xclient = HOP_GARBAGE;
	assert_int_equal(deliver().reply.code, 451);
	assert_int_equal(h->messages, 0);
}

/* Behind XCLIENT the next hop takes us for the client, and may offer it to us no more: each other
 * client has a connection of its own then. */
static void offered_once(void **state)
{
	(void)state;
	l.route.xclient = true;
	h->script.ehlo = EHLO_X;
	h->script.ehlo_again = "250-hop.example.net\r\n250 PIPELINING";
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	assert_int_equal(h->accepted, 1);
	l.client = &two;
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	assert_int_equal(h->accepted, 2);
	assert_int_equal(hop_count(h, "XCLIENT"), 2);
	assert_int_equal(l.counters[CTL_nexthop_no_xclient], 0);
}

/* RFC 5321 4.5.3.1.4 and what Postfix reads: a command of 512 octets with its CRLF. */
static void long_values(void **state)
{
	char helo[600];
	bool left_out = false;
	const char *p;

	(void)state;
	l.route.xclient = true;
	h->script.ehlo = EHLO_X;
	memset(helo, '+', sizeof(helo));
	for (size_t n = 1; n < 420; n += 7) {
		h->log[0] = '\0';
		one.helo = str_make((uint8_t *)helo, n);
		assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
		for (p = h->log; *p; p = strchr(p, '\n') + 1)
			assert_true(strcspn(p, "\n") <= 510);
		left_out |= strstr(h->log, "HELO=[UNAVAILABLE] NAME=out.example.org") != NULL;
	}
	assert_true(left_out);
}

/* ---- XFORWARD ------------------------------------------------------------------------------------- */

static void xforward(void **state)
{
	(void)state;
	l.route.xforward = true;
	h->script.ehlo = EHLO_F;
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	log_is("EHLO relay.example.org\n"
	       "XFORWARD ADDR=203.0.113.7 PORT=4711 PROTO=ESMTP HELO=mail.example.org "
	       "NAME=out.example.org SOURCE=REMOTE IDENT=0123456789abcdef\n"
	       "MAIL FROM:<sender@example.org>\n");
	/* It is forgotten with the transaction. */
	deliver();
	assert_int_equal(h->accepted, 1);
	assert_int_equal(hop_count(h, "XFORWARD"), 2);
	h->script.xforward = "550 5.7.0 not you";
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	h->script.xforward = "421 4.3.2 later";
	assert_int_equal(deliver().reply.code, 451);
	h->script.xforward = HOP_GARBAGE;
	assert_int_equal(deliver().reply.code, 451);
	assert_int_equal(h->messages, 3);
}

static void xforward_is_a_wish(void **state)
{
	(void)state;
	l.route.xforward = true;
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	assert_int_equal(hop_count(h, "XFORWARD"), 0);
}

/* ---- PROXY ---------------------------------------------------------------------------------------- */

static struct str tlvs(size_t addresses)
{
	assert_true(h->header_n >= 16 + addresses);
	assert_int_equal(h->header_n, 16u + (h->header[14] << 8 | h->header[15]));
	return str_make(h->header + 16 + addresses, h->header_n - 16 - addresses);
}

static struct str tlv(struct str rest, uint8_t want)
{
	struct str value, found = STR_NONE;
	uint8_t type = 0;

	while (rest.n) {
		assert_true(proxy_tlv_next(&rest, &type, &value));
		if (type == want)
			found = value;
	}
	return found;
}

static void check_crc(struct str rest)
{
	struct str v = tlv(rest, TLV_CRC32C);
	uint32_t said;

	assert_int_equal(v.n, 4);
	said = (uint32_t)v.p[0] << 24 | (uint32_t)v.p[1] << 16 | (uint32_t)v.p[2] << 8 | v.p[3];
	assert_int_equal(crc32c(h->header, h->header_n, (size_t)(v.p - h->header)), said);
}

static void proxy(void **state)
{
	static const uint8_t want[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\0\xcb\0\x71\7\xc0\0\2\x19\x12\x67\0\x19";
	struct str ssl;

	(void)state;
	l.route.proxy = PROXY_V2;
	h->script.proxy = true;
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	assert_memory_equal(h->header, want, 14);
	assert_memory_equal(h->header + 16, want + 16, 12);
	check_crc(tlvs(12));
	assert_null(tlv(tlvs(12), TLV_SSL).p);
	/* A client that came by TLS, with a certificate. */
	one.port++;
	one.tls_version = 0x0304;
	one.tls_cipher = STR("TLS_AES_128_GCM_SHA256");
	one.tls_client = STR("client.example.org");
	deliver();
	check_crc(tlvs(12));
	ssl = tlv(tlvs(12), TLV_SSL);
	assert_int_equal(ssl.p[0], 7);
	assert_memory_equal(ssl.p + 1, "\0\0\0\0", 4);
	ssl = str_skip(ssl, TLV_SSL_HEAD);
	assert_true(str_eq(tlv(ssl, TLV_SSL_VERSION), STR("TLSv1.3")));
	assert_true(str_eq(tlv(ssl, TLV_SSL_CIPHER), STR("TLS_AES_128_GCM_SHA256")));
	assert_true(str_eq(tlv(ssl, TLV_SSL_CN), STR("client.example.org")));
	/* Families differ (a relay in front): both as IPv6. */
	two.local = one.local;
	l.client = &two;
	deliver();
	assert_int_equal(h->header[13], 0x21);
	assert_memory_equal(h->header + 16, two.ip.a, 16);
	assert_memory_equal(h->header + 32, two.local.a, 16);
	check_crc(tlvs(36));
	/* It is us. */
	l.client = NULL;
	deliver();
	assert_int_equal(h->header[12], 0x20);
	assert_int_equal(h->header[13], 0);
	check_crc(tlvs(0));
	assert_int_equal(h->messages, 4);
}

/* A connection is one client's, from its callout to its message. */
static void a_connection_a_client(void **state)
{
	struct asked a = {0};

	(void)state;
	l.route.proxy = PROXY_V2;
	h->script.proxy = true;
	l.route.max_connections = 2;
	two = one;
	two.name = STR_NONE; /* not known at RCPT; the header does not have it */
	l.client = &two;
	assert_non_null(ask(&l, &a, "sender@example.org", "user0@example.com"));
	lab_run(&l, &a.done);
	lab_spin(&l, 20); /* its RSET */
	l.client = &one;
	deliver();
	deliver();
	assert_int_equal(h->accepted, 1);
	two.port = 1;
	l.client = &two;
	deliver();
	assert_int_equal(h->accepted, 2);
	/* Those of others that are idle make room. */
	two.port = 2;
	deliver();
	assert_int_equal(h->accepted, 3);
	assert_int_equal(h->most_open, 2);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(xclient), T(xclient_at_callouts), T(only_what_is_announced), T(not_offered),
		T(not_allowed), T(offered_once), T(long_values), T(xforward), T(xforward_is_a_wish),
		T(proxy), T(a_connection_a_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
