/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Of test_tls.c and test_tls_conn.c: certificates good and bad, a next hop that shows one. */

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

#define NONE TLS_POLICY_NONE
#define MAY TLS_POLICY_MAY
#define ENCRYPT TLS_POLICY_ENCRYPT
#define VERIFY TLS_POLICY_VERIFY

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
