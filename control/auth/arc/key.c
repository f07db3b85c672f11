/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/auth/arc/seal.h"
#include "control/hash/sha256.h"

/* Without it OpenSSL would ask the terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

struct arc_key *arc_key_new(struct str pem, char *err, size_t cap)
{
	struct arc_key *k = calloc(1, sizeof(*k));
	BIO *bio = pem.n <= 65536 ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	const char *why = "no unencrypted PEM private key";
	int bits;

	if (k && bio)
		k->pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (!k || !k->pkey)
		goto fail;
	bits = EVP_PKEY_get_bits(k->pkey);
	k->ed25519 = EVP_PKEY_is_a(k->pkey, "ED25519");
	why = "neither RSA nor Ed25519";
	if (!k->ed25519 && !EVP_PKEY_is_a(k->pkey, "RSA"))
		goto fail;
	why = "RSA key is not of 1024 to 4096 bits";
	/* RFC 8301 3.2: nobody would verify with it. */
	if (!k->ed25519 && (bits < LIMIT_RSA_BITS_MIN || bits > LIMIT_RSA_BITS_MAX))
		goto fail;
	return k;
fail:
	snprintf(err, cap, "%s", why);
	arc_key_free(k);
	return NULL;
}

void arc_key_free(struct arc_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

/* RFC 8463 3: PureEdDSA over the SHA-256 digest. */
static bool ed25519_sign(EVP_PKEY *pkey, const uint8_t *digest, uint8_t *sig, size_t *n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		  EVP_DigestSign(ctx, sig, n, digest, CANON_DIGEST) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

static bool rsa_sign(EVP_PKEY *pkey, const uint8_t *digest, uint8_t *sig, size_t *n)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
		  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		  EVP_PKEY_CTX_set_signature_md(ctx, hash_sha256()) == 1 &&
		  EVP_PKEY_sign(ctx, sig, n, digest, CANON_DIGEST) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

int arc_key_sign(const struct arc_key *k, const uint8_t digest[CANON_DIGEST],
		 char out[ARC_B64_SIGNATURE])
{
	uint8_t sig[DKIM_MAX_SIGNATURE];
	size_t n = sizeof(sig);
	bool ok = k->ed25519 ? ed25519_sign(k->pkey, digest, sig, &n)
			     : rsa_sign(k->pkey, digest, sig, &n);

	ERR_clear_error();
	if (!ok)
		return -EIO;
	EVP_EncodeBlock((unsigned char *)out, sig, (int)n);
	return 0;
}
