/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What an operator may push, and what he is told. */

#include "dataplane/tls/test_tls_util.h"

#include <openssl/pem.h>

static struct pem *ec, *ec2, *rsa, *ca, *leaf, *expired, *ed;

static int setup_group(void **state)
{
	(void)state;
	ca = pem_make(KEY_EC, "Test CA", NULL, 30, NULL);
	ec = pem_make(KEY_EC, "a.example.com", NULL, 30, NULL);
	ec2 = pem_make(KEY_EC, "b.example.com", NULL, 30, NULL);
	rsa = pem_make(KEY_RSA, "a.example.com", NULL, 30, NULL);
	leaf = pem_make(KEY_EC, "c.example.com", "DNS:c.example.com", 30, ca);
	expired = pem_make(KEY_EC, "d.example.com", NULL, -5, NULL);
	ed = pem_make(KEY_ED25519, "e.example.com", NULL, 30, NULL);
	return 0;
}

static int teardown_group(void **state)
{
	struct pem *all[] = {ec, ec2, rsa, ca, leaf, expired, ed};

	(void)state;
	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		pem_free(all[i]);
	return 0;
}

static char err[300];

static struct tls_context *make(struct tls_options o, unsigned int n, struct tls_certificate *c)
{
	o.certificate = c;
	o.n_certificates = n;
	memset(err, 'x', sizeof(err));
	return tls_context_new(&o, err, sizeof(err));
}

static void refused(struct tls_options o, unsigned int n, struct tls_certificate *c,
		    const char *why)
{
	struct tls_context *ctx = make(o, n, c);

	assert_null(ctx);
	if (!strstr(err, why))
		fail_msg("\"%s\" not in \"%s\"", why, err);
}

static void taken(struct tls_options o, unsigned int n, struct tls_certificate *c,
		  const char *warning)
{
	struct tls_context *ctx = make(o, n, c);

	if (!ctx)
		fail_msg("refused: %s", err);
	if (*warning ? !strstr(err, warning) : *err)
		fail_msg("\"%s\" is not \"%s\"", err, warning);
	tls_context_unref(ctx);
}

static const struct tls_options none;

static void test_certificates(void **state)
{
	struct tls_certificate c[2] = {pem_certificate(ec), pem_certificate(rsa)};
	static struct tls_certificate many[TLS_MAX_CERTIFICATES + 1];

	(void)state;
	taken(none, 2, c, "");
	c[1] = pem_certificate(ed);
	taken(none, 2, c, "");
	refused(none, 0, c, "0 certificates");
	for (unsigned int i = 0; i <= TLS_MAX_CERTIFICATES; i++)
		many[i] = pem_certificate(ec);
	refused(none, TLS_MAX_CERTIFICATES + 1, many, "65 certificates");
	taken(none, TLS_MAX_CERTIFICATES, many, "certificate 2: never served");
}

static void test_mistakes(void **state)
{
	struct tls_certificate c[2] = {pem_certificate(ec), pem_certificate(ec2)};
	char *two, *reversed;

	(void)state;
	c[1].key = str_c(ec->key);
	refused(none, 2, c, "certificate 2: the key does not belong to the first");
	c[1].key = str_c(rsa->key);
	refused(none, 2, c, "certificate 2: the key does not belong");
	c[1].key = STR("");
	refused(none, 2, c, "certificate 2: no usable private key");
	c[1].key = str_c(ec2->chain);
	refused(none, 2, c, "certificate 2: no usable private key");
	c[1] = pem_certificate(ec2);
	c[1].chain = STR("nothing of the kind");
	refused(none, 2, c, "certificate 2: no certificate in the PEM text");
	c[1].chain = str_cut(str_c(ec2->chain), strlen(ec2->chain) / 2);
	refused(none, 2, c, "certificate 2: certificate in the chain does not parse");
	/* The issuer first. */
	assert_true(asprintf(&reversed, "%s%s", ca->chain, leaf->chain) > 0);
	c[1] = pem_certificate(leaf);
	taken(none, 2, c, "");
	c[1].chain = str_c(reversed);
	refused(none, 2, c, "the key belongs to certificate 2 of the chain");
	free(reversed);
	two = calloc(1, 20 * strlen(ec->chain) + 1);
	for (int i = 0; i < 20; i++)
		strcat(two, ec->chain);
	c[1] = pem_certificate(ec);
	c[1].chain = str_c(two);
	refused(none, 2, c, "more than 16 certificates");
	free(two);
}

static void test_encrypted_key(void **state)
{
	struct tls_certificate c = pem_certificate(ec);
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long n;

	(void)state;
	PEM_write_bio_PrivateKey(b, ec->pkey, EVP_aes_128_cbc(), (const uint8_t *)"pw", 2, NULL,
				 NULL);
	n = BIO_get_mem_data(b, &p);
	c.key = str_make(p, (size_t)n);
	refused(none, 1, &c, "certificate 1: the key is encrypted");
	BIO_free(b);
}

static void test_dates(void **state)
{
	struct tls_certificate c[2] = {pem_certificate(rsa), pem_certificate(expired)};

	(void)state;
	taken(none, 2, c, "certificate 2: expired on ");
}

static void test_options(void **state)
{
	struct tls_certificate c = pem_certificate(ec);
	struct tls_options o = {0};

	(void)state;
	o.min_version = 0x0304;
	taken(o, 1, &c, "");
	o.min_version = 0x0302;
	refused(o, 1, &c, "min_version");
	o.min_version = 0;
	o.ciphers = STR("ECDHE-ECDSA-AES256-GCM-SHA384");
	taken(o, 1, &c, "");
	o.ciphers = STR("NO-SUCH-CIPHER");
	refused(o, 1, &c, "ciphers: ");
	o.ciphers = STR("HIGH\0X");
	refused(o, 1, &c, "ciphers: ");
	o.ciphers = STR_NONE;
	o.client_ca = str_c(ca->chain);
	taken(o, 1, &c, "");
	o.client_ca = STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	refused(o, 1, &c, "client_ca: certificate 1: ");
	o.client_ca = STR("nothing");
	refused(o, 1, &c, "client_ca: no certificate");
	assert_null(tls_context_new(&o, NULL, 0));
	/* OpenSSL has memory of its own by now. */
	assert_int_equal(tls_memory_init(), -EALREADY);
}

static void test_names(void **state)
{
	struct pem *p = pem_make(KEY_EC, "cn.example.com",
				 "DNS:One.example.com,DNS:*.two.example.com,IP:192.0.2.1", 30,
				 NULL);
	struct pem *q = pem_make(KEY_EC, "CN.Example.com", "IP:192.0.2.1", 30, NULL);
	struct pem *bad = pem_make(KEY_EC, "not a name\r\nX: y", NULL, 30, NULL);
	struct tls_cert c[2] = {{.leaf = p->x, .type = 1}, {.leaf = q->x, .type = 1}};
	struct tls_names names;
	struct tls_set *set;
	unsigned int n;
	char out[256];

	(void)state;
	tls_names_first(p->x, out, sizeof(out));
	assert_string_equal(out, "one.example.com");
	tls_names_first(q->x, out, sizeof(out));
	assert_string_equal(out, "cn.example.com");
	tls_names_first(bad->x, out, sizeof(out));
	assert_string_equal(out, "");
	assert_int_equal(tls_names_make(&names, c, 2, &set, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(names.n, 3);
#define FIND(s) set[tls_names_find(&names, s, strlen(s))].cert[1]
	assert_int_equal(FIND("one.example.com"), 0);
	assert_int_equal(FIND("cn.example.com"), 1); /* p has a SAN: its CN does not count */
	assert_int_equal(tls_names_find(&names, "", 0), 0);
	assert_int_equal(tls_names_find(&names, "*.two.example.com", 17), 0);
	assert_int_equal(FIND("x.two.example.com"), 0);
	free(set);
	tls_names_free(&names);
	pem_free(p);
	pem_free(q);
	pem_free(bad);
}

static void test_frame(void **state)
{
	static const uint8_t two[] = {22, 3, 1, 0, 2, 'a', 'b', 23, 3, 3, 0, 0, 21, 3, 3, 0, 1};
	struct tls_frame f = {0};
	unsigned int n = 0;

	(void)state;
	assert_int_equal(tls_frame_feed(&f, two, sizeof(two)), 2);
	f = (struct tls_frame){0};
	for (size_t i = 0; i < sizeof(two); i++)
		n += tls_frame_feed(&f, two + i, 1);
	assert_int_equal(n, 2);
	assert_int_equal(f.left, 1);
	f = (struct tls_frame){0};
	assert_int_equal(tls_frame_feed(&f, (const uint8_t *)"EHLO ", 5), 1);
	assert_true(f.bad);
	assert_int_equal(tls_frame_feed(&f, (const uint8_t *)"x", 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certificates), cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_encrypted_key), cmocka_unit_test(test_dates),
		cmocka_unit_test(test_options), cmocka_unit_test(test_names),
		cmocka_unit_test(test_frame),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
