/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* docs/tls-out.md, executed: what DNS says of a host × what the host does. */

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

#define TEXT "Subject: test\r\n\r\nbody\r\n"
#define NAME "mx.example.net"

enum cert { GOOD, WRONG_NAME, EXPIRED, OTHER, CERTS };

static struct fake_cert ca, leaf[CERTS];
static SSL_CTX *server[CERTS];

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN); /* the TLS of the server raises it */
	ca = fake_ca("Test CA");
	leaf[GOOD] = fake_leaf(&ca, (struct fake_leaf){.dns = NAME});
	leaf[WRONG_NAME] = fake_leaf(&ca, (struct fake_leaf){.dns = "other.example.net"});
	leaf[EXPIRED] = fake_leaf(&ca, (struct fake_leaf){.dns = NAME, .from_s = -200, .to_s = -100});
	leaf[OTHER] = fake_leaf(&ca, (struct fake_leaf){.dns = NAME});
	for (int i = 0; i < CERTS; i++)
		server[i] = fake_server(&leaf[i], &ca);
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
	return 0;
}

static void dane_lab(struct lab *l, struct hop **h, bool only, enum cert cert)
{
	lab_init(l);
	*h = hop_new(l->base);
	(*h)->script.tls = server[cert];
	l->route.tls.policy = only ? TLS_POLICY_DANE_ONLY : TLS_POLICY_DANE;
	fake_dns.a = DNS_OK;
	fake_dns.aaaa = DNS_NODATA;
	fake_dns.a_secure = fake_dns.tlsa_secure = true;
	fake_dns.tlsa = DNS_NODATA;
	fake_dns.n_a = 1;
	memcpy(fake_dns.a_data[0], (uint8_t[]){127, 0, 0, 1}, 4);
	lab_add_name(l, NAME, (*h)->port);
}

static void record(const struct fake_cert *c, int usage, int selector, int matching)
{
	size_t i = fake_dns.n_tlsa++;

	fake_dns.tlsa = DNS_OK;
	fake_dns.tlsa_len[i] = fake_tlsa(c, usage, selector, matching, fake_dns.tlsa_data[i],
					 sizeof(fake_dns.tlsa_data[i]));
}

static void done(struct lab *l, struct hop *h)
{
	hop_free(h);
	lab_fini(l);
}

/* subject 0: delivered. */
static void expect(struct lab *l, struct hop *h, enum deliver_verified verified, bool tls,
		   unsigned int subject, unsigned int detail, const char *why)
{
	struct sent s;

	sent_start(l, &s, TEXT, 1);
	lab_run(l, &s.done);
	if (!strstr(s.result.tls.why, why))
		fail_msg("why: %s", s.result.tls.why);
	if (s.result.reply.code != (subject ? 451 : 250))
		fail_msg("%u %s (%s)", s.result.reply.code, s.result.reply.text, s.result.tls.why);
	if (subject) {
		assert_int_equal(s.result.reply.enh_subject, subject);
		assert_int_equal(s.result.reply.enh_detail, detail);
		assert_int_equal(s.result.outcome, DELIVER_DEFERRED);
		assert_string_equal(s.result.stage, "tls");
		assert_int_equal(h->messages, 0);
		assert_int_equal(hop_count(h, "MAIL"), 0);
		/* An attack or a breakdown of DNS, or something an operator can mend? */
		assert_int_equal(s.result.alert, subject == 7);
	} else {
		assert_int_equal(s.result.tls.version[0] != 0, tls);
		assert_int_equal(s.result.tls.verified, verified);
	}
}

#define DANE DELIVER_VERIFIED_DANE
#define NO DELIVER_VERIFIED_NO

static void end_entity(void **state)
{
	char owner[64];

	(void)state;
	for (int selector = 0; selector < 2; selector++)
		for (int matching = 0; matching < 3; matching++) {
			struct lab l;
			struct hop *h;

			dane_lab(&l, &h, matching == 1, GOOD);
			record(&leaf[GOOD], 3, selector, matching);
			expect(&l, h, DANE, true, 0, 0, "1 of 1 TLSA records are usable");
			snprintf(owner, sizeof(owner), "_%u._tcp." NAME, h->port);
			assert_string_equal(fake_dns.tlsa_name, owner);
			assert_string_equal(h->sni, NAME);
			done(&l, h);

			dane_lab(&l, &h, false, OTHER);
			record(&leaf[GOOD], 3, selector, matching);
			expect(&l, h, NO, false, 7, 5, "certificate: ");
			assert_int_equal(l.counters[CTL_nexthop_tls_untrusted], 1);
			done(&l, h);
		}
}

/* RFC 7672 3.1.1: neither name nor time of what DANE-EE(3) names counts. */
static void end_entity_is_all(void **state)
{
	(void)state;
	for (enum cert c = WRONG_NAME; c <= EXPIRED; c++) {
		struct lab l;
		struct hop *h;

		dane_lab(&l, &h, false, c);
		record(&leaf[c], 3, 1, 1);
		expect(&l, h, DANE, true, 0, 0, "usable");
		done(&l, h);
	}
}

static void trust_anchor(void **state)
{
	struct lab l;
	struct hop *h;

	(void)state;
	for (int matching = 0; matching < 3; matching++) {
		dane_lab(&l, &h, false, GOOD);
		record(&ca, 2, 0, matching);
		expect(&l, h, DANE, true, 0, 0, "usable");
		done(&l, h);
	}
	/* RFC 7672 3.1.2: here both count. */
	dane_lab(&l, &h, false, WRONG_NAME);
	record(&ca, 2, 0, 1);
	expect(&l, h, NO, false, 7, 5, "hostname mismatch");
	done(&l, h);
	dane_lab(&l, &h, false, EXPIRED);
	record(&ca, 2, 0, 1);
	expect(&l, h, NO, false, 7, 5, "expired");
	done(&l, h);
}

static void several(void **state)
{
	struct lab l;
	struct hop *h;

	(void)state;
	/* A key being rolled over, and a record that we pass over. */
	dane_lab(&l, &h, false, GOOD);
	record(&leaf[OTHER], 3, 1, 1);
	record(&leaf[GOOD], 1, 1, 1);
	record(&leaf[GOOD], 3, 1, 1);
	expect(&l, h, DANE, true, 0, 0, "2 of 3 TLSA records are usable");
	done(&l, h);
}

static void binding(void **state)
{
	struct lab l;
	struct hop *h;

	(void)state;
	/* Downgrade: STARTTLS taken out. */
	dane_lab(&l, &h, false, GOOD);
	record(&leaf[GOOD], 3, 1, 1);
	h->script.ehlo = "250 hop.example.net";
	expect(&l, h, NO, false, 7, 4, "not offered");
	done(&l, h);
	dane_lab(&l, &h, false, GOOD);
	record(&leaf[GOOD], 3, 1, 1);
	h->script.handshake = HOP_CLOSE;
	expect(&l, h, NO, false, 4, 1, "connection lost");
	done(&l, h);
}

static void unusable(void **state)
{
	struct lab l;
	struct hop *h;

	(void)state;
	for (int only = 0; only < 2; only++)
		for (int missing = 0; missing < 2; missing++) {
			dane_lab(&l, &h, only, OTHER);
			record(&leaf[GOOD], 1, 1, 1);
			record(&leaf[GOOD], 3, 1, 1);
			fake_dns.tlsa_len[1]--;                /* no digest of this length */
			record(&leaf[GOOD], 3, 0, 0);
			fake_dns.tlsa_len[2] -= 9;             /* no certificate */
			record(&leaf[GOOD], 3, 1, 1);
			fake_dns.tlsa_data[3][2] = 9;          /* no such matching type */
			if (missing)
				h->script.ehlo = "250 hop.example.net";
			/* RFC 7672 2.2: still encrypted, with whomever. */
			if (only)
				expect(&l, h, NO, false, 7, 5, "0 of 4 TLSA records are usable");
			else if (missing)
				expect(&l, h, NO, false, 7, 4, "not offered");
			else
				expect(&l, h, NO, true, 0, 0, "0 of 4 TLSA records are usable");
			done(&l, h);
		}
}

static void without_records(void **state)
{
	static const struct {
		bool a_secure, tlsa_secure, records;
		const char *why;
	} t[] = {
		{true, true, false, "no TLSA records"},
		{true, false, false, "no TLSA records, and no proof of it"},
		{true, false, true, "TLSA records are not signed"},
		{false, true, true, "addresses are not signed"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		for (int only = 0; only < 2; only++)
			for (int missing = 0; missing < 2; missing++) {
				struct lab l;
				struct hop *h;

				dane_lab(&l, &h, only, OTHER);
				fake_dns.a_secure = t[i].a_secure;
				fake_dns.tlsa_secure = t[i].tlsa_secure;
				if (t[i].records)
					record(&leaf[GOOD], 3, 1, 1);
				if (missing)
					h->script.ehlo = "250 hop.example.net";
				if (only)
					expect(&l, h, NO, false, 7, 5, t[i].why);
				else
					expect(&l, h, NO, !missing, 0, 0, t[i].why);
				assert_int_equal(h->accepted, !only);
				/* RFC 7672 2.2.2: not even asked for. */
				assert_int_equal(fake_dns.tlsa_name[0] != 0, t[i].a_secure);
				done(&l, h);
			}
}

/* What cannot be found out closes the host: a dropped packet must not open it. */
static void not_to_be_found_out(void **state)
{
	static const enum dns_status bad[] = {DNS_BOGUS, DNS_TEMPFAIL};
	struct lab l;
	struct hop *h;

	(void)state;
	for (int only = 0; only < 2; only++)
		for (size_t i = 0; i < 2; i++) {
			dane_lab(&l, &h, only, GOOD);
			fake_dns.tlsa = bad[i];
			fake_dns.tlsa_secure = false;
			expect(&l, h, NO, false, 4, 3, i ? "no answer: test" : "bogus: test");
			assert_int_equal(h->accepted, 0);
			assert_int_equal(l.counters[CTL_nexthop_tlsa_failed], 1);
			assert_int_equal(l.counters[CTL_nexthop_tls_fallback], 0);
			done(&l, h);
		}
	dane_lab(&l, &h, false, GOOD);
	fake_dns.aaaa = DNS_BOGUS;
	expect(&l, h, NO, false, 4, 3, "addresses are bogus");
	assert_int_equal(h->accepted, 0);
	done(&l, h);
}

static void other_host_is_tried(void **state)
{
	struct lab l;
	struct hop *h;
	struct sent s;

	(void)state;
	dane_lab(&l, &h, false, GOOD);
	fake_dns.tlsa = DNS_BOGUS;
	lab_add(&l, "127.0.0.1", h->port);
	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 250);
	assert_int_equal(h->accepted, 1);
	done(&l, h);
}

/* A session proves what was proven by the records of its time, and no more. */
static void sessions_follow_records(void **state)
{
	struct lab l;
	struct hop *h;

	(void)state;
	dane_lab(&l, &h, false, GOOD);
	record(&leaf[GOOD], 3, 1, 1);
	expect(&l, h, DANE, true, 0, 0, "usable");
	hop_close_all(h);
	lab_spin(&l, 20);
	expect(&l, h, DANE, true, 0, 0, "usable");
	assert_int_equal(h->resumed, 1);
	hop_close_all(h);
	lab_spin(&l, 20);
	fake_dns.n_tlsa = 0;
	record(&leaf[OTHER], 3, 1, 1);
	h->messages = 0;
	h->log[0] = 0;
	expect(&l, h, NO, false, 7, 5, "certificate: ");
	done(&l, h);
}

/* By MX records: they have to be signed too, and their domain is a name as good as the host's. */
static void by_mx(void **state)
{
	struct fake_cert of_domain = fake_leaf(&ca, (struct fake_leaf){.dns = "example.com"});
	SSL_CTX *ctx = fake_server(&of_domain, &ca);

	(void)state;
	for (int is_signed = 0; is_signed < 2; is_signed++) {
		struct lab l;
		struct hop *h;

		dane_lab(&l, &h, false, GOOD);
		h->script.tls = ctx;
		l.route.n_hosts = 0;
		l.route.mx = true;
		l.route.port = h->port;
		fake_dns_add("example.com", DNS_MX, DNS_OK, "10 " NAME);
		fake_dns.mx_secure = is_signed;
		record(&ca, 2, 0, 1);
		if (is_signed)
			expect(&l, h, DANE, true, 0, 0, "usable");
		else
			expect(&l, h, NO, true, 0, 0, "MX records are not signed");
		done(&l, h);
	}
	SSL_CTX_free(ctx);
	fake_cert_free(&of_domain);
}

/* RFC 7672 2.2.3, 3.2.2: the records of what the alias leads to, or its own; both names are good. */
static void by_alias(void **state)
{
	static const char real[] = "real.example.org";

	(void)state;
	for (int at_alias = 0; at_alias < 2; at_alias++)
		for (enum cert c = GOOD; c <= WRONG_NAME; c++) {
			struct lab l;
			struct hop *h;

			dane_lab(&l, &h, false, c);
			fake_dns.alias = real;
			fake_dns.tlsa_at = at_alias ? NAME : real;
			record(&ca, 2, 0, 1);
			if (c == GOOD)
				expect(&l, h, DANE, true, 0, 0, "usable");
			else
				expect(&l, h, NO, false, 7, 5, "hostname mismatch");
			if (c == GOOD)
				assert_string_equal(h->sni, at_alias ? NAME : real);
			done(&l, h);
		}
}

/* RFC 7672 2.2.2: what the alias leads to is not signed, but the alias is: its records bind. */
static void by_alias_out_of_signed_zones(void **state)
{
	static const struct {
		bool a_secure, cname_secure;
		enum dns_status cname;
		unsigned int subject, detail; /* of the 451 with a key that does not fit; 0: delivered */
		const char *why;
	} t[] = {
		/* the addresses are signed, only the records of their name are not */
		{true, false, DNS_OK, 7, 5, "usable"},
		{false, true, DNS_OK, 7, 5, "usable"},
		{false, false, DNS_OK, 0, 0, "addresses are not signed"},
		{false, true, DNS_NODATA, 0, 0, "addresses are not signed"},
		{false, false, DNS_BOGUS, 4, 3, "its alias: bogus: test"},
		{false, false, DNS_TEMPFAIL, 4, 3, "its alias: no answer: test"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		for (enum cert c = GOOD; c <= OTHER; c = c == GOOD ? OTHER : CERTS) {
			struct lab l;
			struct hop *h;
			bool binds = t[i].subject == 7;

			dane_lab(&l, &h, false, c);
			fake_dns.alias = "real.example.org";
			fake_dns.tlsa_at = NAME;
			fake_dns.tlsa_else_insecure = true;
			fake_dns.a_secure = t[i].a_secure;
			fake_dns.cname_secure = t[i].cname_secure;
			fake_dns.cname = t[i].cname;
			record(&leaf[GOOD], 3, 1, 1);
			if (binds && c == GOOD)
				expect(&l, h, DANE, true, 0, 0, t[i].why);
			else
				expect(&l, h, NO, true, t[i].subject, t[i].detail, t[i].why);
			done(&l, h);
		}
}

static void given_up(void **state)
{
	(void)state;
	for (unsigned int ms = 0; ms < 8; ms++) {
		struct lab l;
		struct hop *h;
		struct sent s;

		dane_lab(&l, &h, false, GOOD);
		record(&leaf[GOOD], 3, 1, 1);
		sent_start(&l, &s, TEXT, 1);
		lab_spin(&l, ms);
		if (s.job && !s.done)
			deliver_cancel(s.job);
		lab_run(&l, &s.done);
		sent_start(&l, &s, TEXT, 1);
		lab_spin(&l, ms);
		done(&l, h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(end_entity),
		cmocka_unit_test(end_entity_is_all),
		cmocka_unit_test(trust_anchor),
		cmocka_unit_test(several),
		cmocka_unit_test(binding),
		cmocka_unit_test(unusable),
		cmocka_unit_test(without_records),
		cmocka_unit_test(not_to_be_found_out),
		cmocka_unit_test(other_host_is_tried),
		cmocka_unit_test(sessions_follow_records),
		cmocka_unit_test(by_mx),
		cmocka_unit_test(by_alias),
		cmocka_unit_test(by_alias_out_of_signed_zones),
		cmocka_unit_test(given_up),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
