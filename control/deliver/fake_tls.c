/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "control/deliver/fake_tls.h"

static void extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX v;
	X509_EXTENSION *e;

	X509V3_set_ctx(&v, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &v, nid, value);
	assert_non_null(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

static struct fake_cert make(const char *cn, long from_s, long to_s)
{
	static long serial;
	struct fake_cert c = {X509_new(), EVP_EC_gen("P-256")};

	assert_non_null(c.x);
	assert_non_null(c.key);
	X509_set_version(c.x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c.x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(c.x), from_s);
	X509_gmtime_adj(X509_getm_notAfter(c.x), to_s);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(c.x), "CN", MBSTRING_ASC,
				   (const unsigned char *)cn, -1, -1, 0);
	X509_set_pubkey(c.x, c.key);
	return c;
}

struct fake_cert fake_ca(const char *name)
{
	struct fake_cert c = make(name, -86400, 86400);

	X509_set_issuer_name(c.x, X509_get_subject_name(c.x));
	extension(c.x, c.x, NID_basic_constraints, "critical,CA:TRUE");
	extension(c.x, c.x, NID_key_usage, "critical,keyCertSign,cRLSign");
	extension(c.x, c.x, NID_subject_key_identifier, "hash");
	assert_true(X509_sign(c.x, c.key, EVP_sha256()) > 0);
	return c;
}

struct fake_cert fake_leaf(const struct fake_cert *ca, struct fake_leaf what)
{
	bool now = !what.from_s && !what.to_s;
	struct fake_cert c = make("leaf", now ? -3600 : what.from_s, now ? 3600 : what.to_s);
	const struct fake_cert *by = what.self_signed ? &c : ca;
	char san[300];

	X509_set_issuer_name(c.x, X509_get_subject_name(by->x));
	snprintf(san, sizeof(san), "%s%s", what.dns ? "DNS:" : "IP:",
		 what.dns ? what.dns : what.ip ? what.ip : "192.0.2.1");
	extension(c.x, by->x, NID_subject_alt_name, san);
	extension(c.x, by->x, NID_ext_key_usage, what.client ? "clientAuth" : "serverAuth");
	assert_true(X509_sign(c.x, by->key, EVP_sha256()) > 0);
	return c;
}

void fake_cert_free(struct fake_cert *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->key);
	memset(c, 0, sizeof(*c));
}

static struct str take(BIO *b)
{
	uint8_t *p;
	long n = BIO_get_mem_data(b, &p);
	uint8_t *copy = malloc((size_t)n + 1);

	assert_non_null(copy);
	memcpy(copy, p, (size_t)n);
	copy[n] = 0;
	BIO_free(b);
	return str_make(copy, (size_t)n);
}

struct str fake_pem(const struct fake_cert *c)
{
	BIO *b = BIO_new(BIO_s_mem());

	assert_true(PEM_write_bio_X509(b, c->x));
	return take(b);
}

struct str fake_pem_key(const struct fake_cert *c)
{
	BIO *b = BIO_new(BIO_s_mem());

	assert_true(PEM_write_bio_PrivateKey(b, c->key, NULL, NULL, 0, NULL, NULL));
	return take(b);
}

SSL_CTX *fake_server(const struct fake_cert *c, const struct fake_cert *chain)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	assert_non_null(ctx);
	assert_true(SSL_CTX_use_certificate(ctx, c->x));
	assert_true(SSL_CTX_use_PrivateKey(ctx, c->key));
	if (chain)
		assert_true(SSL_CTX_add1_chain_cert(ctx, chain->x));
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"hop", 3);
	return ctx;
}

size_t fake_tlsa(const struct fake_cert *c, int usage, int selector, int matching, uint8_t *out,
		 size_t cap)
{
	uint8_t *der = NULL;
	int n = selector ? i2d_PUBKEY(c->key, &der) : i2d_X509(c->x, &der);
	unsigned int len = (unsigned int)n;

	assert_true(n > 0 && (size_t)n + 64 + 3 < cap);
	out[0] = (uint8_t)usage;
	out[1] = (uint8_t)selector;
	out[2] = (uint8_t)matching;
	if (matching)
		EVP_Digest(der, (size_t)n, out + 3, &len, matching == 1 ? EVP_sha256() : EVP_sha512(),
			   NULL);
	else
		memcpy(out + 3, der, (size_t)n);
	OPENSSL_free(der);
	return 3 + len;
}
