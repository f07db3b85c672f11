/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* docs/tls-out.md, executed: MTA-STS policies of a domain whose mail goes by MX records. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/deliver/fake_hop.h"
#include "control/sts/fake_https.h"

#define TEXT "Subject: test\r\n\r\nbody\r\n"
#define NAME "mx.example.net"
#define OK "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nversion: STSv1\n"
#define ENFORCE OK "mode: enforce\nmx: *.example.net\nmax_age: 86400\n"
#define TESTING OK "mode: testing\nmx: *.example.net\nmax_age: 86400\n"
#define OTHERS OK "mode: enforce\nmx: mx.example.org\nmax_age: 86400\n"
#define OTHERS_TESTING OK "mode: testing\nmx: mx.example.org\nmax_age: 86400\n"
#define NONE OK "mode: none\nmax_age: 86400\n"

enum cert { GOOD, WRONG_NAME, EXPIRED, CERTS };

static struct fake_cert ca, web, leaf[CERTS];
static SSL_CTX *server[CERTS];
static struct str ca_pem;
static char ca_file[64];

static int setup(void **state)
{
	int fd;

	(void)state;
	signal(SIGPIPE, SIG_IGN); /* the TLS of the server raises it */
	ca = fake_ca("Test CA");
	ca_pem = fake_pem(&ca);
	web = fake_leaf(&ca, (struct fake_leaf){.dns = "mta-sts.example.com"});
	leaf[GOOD] = fake_leaf(&ca, (struct fake_leaf){.dns = NAME});
	leaf[WRONG_NAME] = fake_leaf(&ca, (struct fake_leaf){.dns = "example.com"});
	leaf[EXPIRED] = fake_leaf(&ca, (struct fake_leaf){.dns = NAME, .from_s = -200, .to_s = -100});
	for (int i = 0; i < CERTS; i++)
		server[i] = fake_server(&leaf[i], NULL);
	strcpy(ca_file, "/tmp/postern-sts-XXXXXX");
	fd = mkstemp(ca_file);
	if (fd < 0 || write(fd, ca_pem.p, ca_pem.n) != (ssize_t)ca_pem.n)
		return -1;
	return close(fd);
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < CERTS; i++) {
		SSL_CTX_free(server[i]);
		fake_cert_free(&leaf[i]);
	}
	fake_cert_free(&ca);
	fake_cert_free(&web);
	free((void *)(uintptr_t)ca_pem.p);
	return unlink(ca_file);
}

struct sts_lab {
	struct lab l;
	struct hop *h;
	struct fake_https *web;
};

static void sts_lab(struct sts_lab *s, enum config_tls_policy policy, enum cert cert,
		    const char *says)
{
	struct lab *l = &s->l;

	lab_init(l);
	s->h = hop_new(l->base);
	s->h->script.tls = server[cert];
	s->web = fake_https_new(l->base, &web, says);
	sts_options(deliver_sts(l->d))->ca_file = ca_file;
	sts_options(deliver_sts(l->d))->port = s->web->port;
	l->route.tls.policy = policy;
	l->route.tls.ca = ca_pem;
	l->route.mta_sts = true;
	l->route.mx = true;
	l->route.port = s->h->port;
	fake_dns.a = DNS_OK;
	fake_dns.aaaa = DNS_NODATA;
	fake_dns.n_a = 1;
	memcpy(fake_dns.a_data[0], (uint8_t[]){127, 0, 0, 1}, 4);
	fake_dns_add("example.com", DNS_MX, DNS_OK, "10 " NAME);
	fake_dns_add("_mta-sts.example.com", DNS_TXT, DNS_OK, "v=STSv1; id=1;");
}

static void done(struct sts_lab *s)
{
	hop_free(s->h);
	fake_https_free(s->web);
	lab_fini(&s->l);
}

static void expect(struct sts_lab *l, enum deliver_verified verified, bool tls, unsigned int subject,
		   unsigned int detail, const char *why)
{
	struct sent s;

	sent_start(&l->l, &s, TEXT, 1);
	lab_run(&l->l, &s.done);
	if (!strstr(s.result.tls.why, why))
		fail_msg("why: %s", s.result.tls.why);
	if (s.result.reply.code != (subject ? 451 : 250))
		fail_msg("%u %s (%s)", s.result.reply.code, s.result.reply.text, s.result.tls.why);
	if (subject) {
		assert_int_equal(s.result.reply.enh_subject, subject);
		assert_int_equal(s.result.reply.enh_detail, detail);
		assert_int_equal(hop_count(l->h, "MAIL"), 0);
	} else {
		assert_int_equal(s.result.tls.version[0] != 0, tls);
		assert_int_equal(s.result.tls.verified, verified);
	}
}

#define BY_NAME DELIVER_VERIFIED_NAME
#define NO DELIVER_VERIFIED_NO
#define MAY TLS_POLICY_MAY

static void enforced(void **state)
{
	struct sts_lab s;

	(void)state;
	for (enum config_tls_policy p = MAY; p <= TLS_POLICY_DANE; p++) {
		sts_lab(&s, p, GOOD, ENFORCE);
		expect(&s, BY_NAME, true, 0, 0, "mta-sts: enforce");
		assert_int_equal(s.l.counters[CTL_sts_enforced], 1);
		done(&s);
	}
	sts_lab(&s, MAY, WRONG_NAME, ENFORCE);
	expect(&s, NO, false, 7, 5, "mta-sts: enforce; certificate: hostname mismatch");
	done(&s);
	sts_lab(&s, MAY, EXPIRED, ENFORCE);
	expect(&s, NO, false, 7, 5, "mta-sts: enforce; certificate: certificate has expired");
	done(&s);
	/* The downgrade that the policy is for. */
	sts_lab(&s, MAY, GOOD, ENFORCE);
	s.h->script.ehlo = "250 hop.example.net";
	expect(&s, NO, false, 7, 4, "mta-sts: enforce; STARTTLS is not offered");
	done(&s);
	sts_lab(&s, MAY, GOOD, ENFORCE);
	s.h->script.handshake = HOP_CLOSE;
	expect(&s, NO, false, 4, 1, "mta-sts: enforce; handshake");
	assert_int_equal(s.l.counters[CTL_nexthop_tls_fallback], 0);
	done(&s);
}

/* MX records that somebody forged. */
static void hosts(void **state)
{
	struct sts_lab s;
	struct sent m;

	(void)state;
	sts_lab(&s, MAY, GOOD, OTHERS);
	sent_start(&s.l, &m, TEXT, 1);
	lab_run(&s.l, &m.done);
	assert_int_equal(m.result.reply.code, 451);
	assert_int_equal(s.h->accepted, 0);
	assert_int_equal(s.l.counters[CTL_sts_mx_refused], 1);
	assert_int_equal(s.l.counters[CTL_sts_refused], 1);
	assert_string_equal(m.result.tls.why, "mta-sts: enforce, without " NAME);
	done(&s);

	/* One of two is left. */
	sts_lab(&s, MAY, GOOD, ENFORCE);
	fake_dns_add("example.com", DNS_MX, DNS_OK, "5 evil.example.org");
	fake_dns_add("evil.example.org", DNS_A, DNS_OK, "127.0.0.1");
	expect(&s, BY_NAME, true, 0, 0, "without evil.example.org");
	assert_string_equal(s.h->sni, NAME);
	done(&s);
}

static void testing(void **state)
{
	struct sts_lab s;

	(void)state;
	sts_lab(&s, MAY, GOOD, TESTING);
	expect(&s, NO, true, 0, 0, "mta-sts: testing");
	assert_int_equal(s.l.counters[CTL_sts_testing_failed], 0);
	done(&s);
	sts_lab(&s, MAY, WRONG_NAME, TESTING);
	expect(&s, NO, true, 0, 0, "mta-sts: testing; certificate: hostname mismatch");
	assert_int_equal(s.l.counters[CTL_sts_testing_failed], 1);
	done(&s);
	sts_lab(&s, MAY, GOOD, TESTING);
	s.h->script.ehlo = "250 hop.example.net";
	expect(&s, NO, false, 0, 0, "mta-sts: testing; STARTTLS is not offered");
	assert_int_equal(s.l.counters[CTL_sts_testing_failed], 1);
	done(&s);
	sts_lab(&s, MAY, GOOD, OTHERS_TESTING);
	expect(&s, NO, true, 0, 0, "mta-sts: testing, without " NAME);
	done(&s);
}

static void no_policy(void **state)
{
	struct sts_lab s;

	(void)state;
	sts_lab(&s, MAY, WRONG_NAME, NONE);
	expect(&s, NO, true, 0, 0, "");
	done(&s);
	sts_lab(&s, MAY, WRONG_NAME, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	expect(&s, NO, true, 0, 0, "mta-sts: policy cannot be fetched: HTTP status 404");
	done(&s);
	sts_lab(&s, MAY, WRONG_NAME, ENFORCE);
	s.l.route.mta_sts = false;
	expect(&s, NO, true, 0, 0, "");
	assert_int_equal(s.web->requests, 0);
	done(&s);
}

/* RFC 8461 2: a DANE that fails is not mended by a policy that would do. */
static void dane_goes_first(void **state)
{
	struct sts_lab s;

	(void)state;
	for (int right = 0; right < 2; right++) {
		sts_lab(&s, TLS_POLICY_DANE, GOOD, ENFORCE);
		fake_dns.mx_secure = fake_dns.a_secure = fake_dns.tlsa_secure = true;
		fake_dns.tlsa = DNS_OK;
		fake_dns.n_tlsa = 1;
		fake_dns.tlsa_len[0] = fake_tlsa(&leaf[right ? GOOD : EXPIRED], 3, 1, 1,
						 fake_dns.tlsa_data[0], sizeof(fake_dns.tlsa_data[0]));
		if (right)
			expect(&s, DELIVER_VERIFIED_DANE, true, 0, 0, "mta-sts: enforce; 1 of 1 TLSA");
		else
			expect(&s, NO, false, 7, 5, "mta-sts: enforce; 1 of 1 TLSA");
		done(&s);
	}
}

/* A connection that was made without a policy does not serve a message that has one. */
static void pools(void **state)
{
	struct sts_lab s;

	(void)state;
	sts_lab(&s, MAY, GOOD, ENFORCE);
	s.l.route.mta_sts = false;
	expect(&s, NO, true, 0, 0, "");
	s.l.route.mta_sts = true;
	s.h->log[0] = 0;
	expect(&s, BY_NAME, true, 0, 0, "mta-sts: enforce");
	assert_int_equal(s.h->accepted, 2);
	/* The other way round it does. */
	s.l.route.mta_sts = false;
	expect(&s, BY_NAME, true, 0, 0, "");
	assert_int_equal(s.h->accepted, 2);
	done(&s);
}

static void given_up(void **state)
{
	(void)state;
	for (unsigned int ms = 0; ms < 16; ms++) {
		struct sts_lab s;
		struct sent m;

		sts_lab(&s, MAY, GOOD, ENFORCE);
		sent_start(&s.l, &m, TEXT, 1);
		lab_spin(&s.l, ms);
		if (m.job && !m.done)
			deliver_cancel(m.job);
		lab_run(&s.l, &m.done);
		sent_start(&s.l, &m, TEXT, 1);
		lab_spin(&s.l, ms);
		done(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(enforced),
		cmocka_unit_test(hosts),
		cmocka_unit_test(testing),
		cmocka_unit_test(no_policy),
		cmocka_unit_test(dane_goes_first),
		cmocka_unit_test(pools),
		cmocka_unit_test(given_up),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
