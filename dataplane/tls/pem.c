/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* PEM texts of configuration to certificates and keys, with reasons an operator can act on. */

#include "dataplane/tls/internal.h"

#include <errno.h>
#include <limits.h>

#include <openssl/pem.h>

const char *tls_openssl_reason(void)
{
	unsigned long e = ERR_get_error();
	const char *s = ERR_reason_error_string(e);

	ERR_clear_error();
	return s ? s : "unknown reason";
}

void tls_cert_clear(struct tls_cert *c)
{
	X509_free(c->leaf);
	EVP_PKEY_free(c->key);
	sk_X509_pop_free(c->chain, X509_free);
	*c = (struct tls_cert){0};
}

/* OpenSSL would ask the terminal otherwise. */
static int no_password(char *buf, int size, int rw, void *arg)
{
	(void)buf, (void)size, (void)rw, (void)arg;
	return -1;
}

static int read_chain(struct str pem, struct tls_cert *out, char *err, size_t err_len)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	unsigned long e;
	X509 *x;
	int rc = -EINVAL;

	out->chain = sk_X509_new_null();
	if (!b || !out->chain) {
		snprintf(err, err_len, "out of memory");
		goto out;
	}
	while ((x = PEM_read_bio_X509(b, NULL, no_password, NULL))) {
		if (!out->leaf) {
			out->leaf = x;
		} else if (sk_X509_num(out->chain) >= LIMIT_TLS_CHAIN - 1 ||
			   !sk_X509_push(out->chain, x)) {
			X509_free(x);
			snprintf(err, err_len, "more than %d certificates in the chain",
				 LIMIT_TLS_CHAIN);
			goto out;
		}
	}
	e = ERR_peek_last_error();
	if (ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE) {
		snprintf(err, err_len, "certificate in the chain does not parse: %s",
			 tls_openssl_reason());
		goto out;
	}
	if (!out->leaf) {
		snprintf(err, err_len, "no certificate in the PEM text");
		goto out;
	}
	rc = 0;
out:
	ERR_clear_error();
	BIO_free(b);
	return rc;
}

static int read_key(struct str pem, struct tls_cert *out, char *err, size_t err_len)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	int rc = -EINVAL;

	if (b)
		out->key = PEM_read_bio_PrivateKey(b, NULL, no_password, NULL);
	if (out->key) {
		rc = 0;
	} else {
		unsigned long e = ERR_peek_last_error();

		if (ERR_GET_REASON(e) == PEM_R_BAD_PASSWORD_READ)
			snprintf(err, err_len, "the key is encrypted");
		else
			snprintf(err, err_len, "no usable private key in the PEM text: %s",
				 tls_openssl_reason());
	}
	ERR_clear_error();
	BIO_free(b);
	return rc;
}

static int key_type(const EVP_PKEY *k)
{
	switch (EVP_PKEY_get_base_id(k)) {
	case EVP_PKEY_RSA:
		return 0;
	case EVP_PKEY_EC:
		return 1;
	case EVP_PKEY_ED25519:
		return 2;
	case EVP_PKEY_RSA_PSS:
		return 3;
	default:
		return -EINVAL;
	}
}

static int check_match(struct tls_cert *c, char *err, size_t err_len)
{
	if (X509_check_private_key(c->leaf, c->key) == 1)
		return 0;
	snprintf(err, err_len, "the key does not belong to the first certificate of the chain");
	for (int i = 0; i < sk_X509_num(c->chain); i++)
		if (X509_check_private_key(sk_X509_value(c->chain, i), c->key) == 1)
			snprintf(err, err_len,
				 "the key belongs to certificate %d of the chain, which must come "
				 "first", i + 2);
	ERR_clear_error();
	return -EINVAL;
}

int tls_pem_certificate(const struct tls_certificate *in, struct tls_cert *out, char *err,
			size_t err_len)
{
	*out = (struct tls_cert){0};
	if (in->chain.n > LIMIT_TLS_PEM || in->key.n > LIMIT_TLS_PEM) {
		snprintf(err, err_len, "PEM text over %u octets", LIMIT_TLS_PEM);
		return -EINVAL;
	}
	ERR_clear_error();
	if (read_chain(in->chain, out, err, err_len) || read_key(in->key, out, err, err_len))
		goto fail;
	out->type = key_type(out->key);
	if (out->type < 0) {
		snprintf(err, err_len, "keys of type %s are not supported",
			 OBJ_nid2sn(EVP_PKEY_get_base_id(out->key)));
		goto fail;
	}
	if (check_match(out, err, err_len))
		goto fail;
	return 0;
fail:
	tls_cert_clear(out);
	return -EINVAL;
}
