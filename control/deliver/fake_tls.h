/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* For tests: a CA made on the spot, and what a TLS server with a certificate of it needs. */

#include <openssl/ssl.h>

#include "postern/str.h"

struct fake_cert {
	X509 *x;
	EVP_PKEY *key;
};

struct fake_leaf {
	const char *dns, *ip;        /* subjectAltName; NULL: none */
	long from_s, to_s;           /* seconds from now; 0, 0: an hour before and after */
	bool self_signed, client;
};

/* A CA; free with fake_cert_free(). */
struct fake_cert fake_ca(const char *name);
struct fake_cert fake_leaf(const struct fake_cert *ca, struct fake_leaf what);
void fake_cert_free(struct fake_cert *c);
/* PEM, to be freed. */
struct str fake_pem(const struct fake_cert *c);
struct str fake_pem_key(const struct fake_cert *c);
/* A server's; chain: one certificate to be sent behind it, or NULL. */
SSL_CTX *fake_server(const struct fake_cert *c, const struct fake_cert *chain);
/* TLSA rdata; its length. matching 0..2 */
size_t fake_tlsa(const struct fake_cert *c, int usage, int selector, int matching, uint8_t *out,
		 size_t cap);
