/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Keys from their making to the record that verifiers find. */

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/auth/arc/seal.h"

struct arc_key *arc_key_generate(unsigned int bits)
{
	struct arc_key *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->ed25519 = bits == 0;
	k->pkey = bits ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits)
		       : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	ERR_clear_error();
	if (k->pkey)
		return k;
	arc_key_free(k);
	return NULL;
}

bool arc_key_is_ed25519(const struct arc_key *k)
{
	return k->ed25519;
}

unsigned int arc_key_bits(const struct arc_key *k)
{
	return k->ed25519 ? 256 : (unsigned int)EVP_PKEY_get_bits(k->pkey);
}

long arc_key_pem(const struct arc_key *k, char *buf, size_t cap)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *data;
	long n, rc = -EIO;

	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL) == 1) {
		n = BIO_get_mem_data(bio, &data);
		rc = n > 0 && (size_t)n < cap ? n : -ENOSPC;
	}
	if (rc > 0) {
		memcpy(buf, data, (size_t)rc);
		buf[rc] = '\0';
	}
	BIO_free(bio); /* of this kind it is cleansed */
	ERR_clear_error();
	return rc;
}

/* RFC 8463 4: of Ed25519 the 32 raw octets; of RSA SubjectPublicKeyInfo, which everybody takes. */
static int public_octets(const struct arc_key *k, uint8_t *out, size_t cap)
{
	unsigned char *at = out;
	size_t n = cap;
	int len;

	if (k->ed25519)
		return EVP_PKEY_get_raw_public_key(k->pkey, out, &n) == 1 ? (int)n : -EIO;
	len = i2d_PUBKEY(k->pkey, NULL);
	if (len <= 0 || (size_t)len > cap)
		return -EIO;
	return i2d_PUBKEY(k->pkey, &at);
}

long arc_key_record(const struct arc_key *k, char *buf, size_t cap)
{
	uint8_t octets[ARC_KEY_RECORD / 4 * 3 - 32];
	int n = public_octets(k, octets, sizeof(octets)), at;

	ERR_clear_error();
	if (n < 0)
		return n;
	at = snprintf(buf, cap, "v=DKIM1; k=%s; p=", k->ed25519 ? "ed25519" : "rsa");
	if (at < 0 || (size_t)at + (size_t)(n + 2) / 3 * 4 >= cap)
		return -ENOSPC;
	return at + EVP_EncodeBlock((unsigned char *)buf + at, octets, n);
}

bool arc_key_fits(const struct arc_key *k, struct str record, char *err, size_t cap)
{
	static const uint8_t digest[CANON_DIGEST] = "what is signed does not matter";
	struct dkim_params p = {.key_type = k->ed25519 ? DKIM_KEY_ED25519 : DKIM_KEY_RSA};
	struct dkim_key_verdict v = {.result = DKIM_NONE};
	char b[ARC_B64_SIGNATURE];
	long n = arc_key_sign(k, digest, b);

	if (!n)
		n = dkim_base64(str_c(b), p.signature, sizeof(p.signature));
	if (n < 0) {
		snprintf(err, cap, "the key cannot sign");
		return false;
	}
	p.signature_len = (size_t)n;
	dkim_key_try(NULL, record, &p, digest, &v);
	if (v.result == DKIM_PASS)
		return true;
	/* A signature that does not verify says of the record that it is of another key. */
	snprintf(err, cap, "%s", v.result == DKIM_FAIL ? "it is of another key" : v.reason);
	return false;
}
