/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Verification with keys out of records, with the cache of parsed keys and without. */

#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/auth/dkim/tags.h"
#include "control/hash/sha256.h"

static const uint8_t digest[CANON_DIGEST] = {1, 2, 3};

static void base64(const uint8_t *p, size_t n, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, p, (int)n);
}

/* A key, the record that publishes it and its signature over `digest`. */
struct signer {
	char record[2048];
	struct dkim_params p;
};

static void rsa_sign(EVP_PKEY *key, struct dkim_params *p)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

	p->key_type = DKIM_KEY_RSA;
	p->signature_len = sizeof(p->signature);
	assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 1);
	assert_int_equal(EVP_PKEY_CTX_set_signature_md(ctx, hash_sha256()), 1);
	assert_int_equal(EVP_PKEY_sign(ctx, p->signature, &p->signature_len, digest, 32), 1);
	EVP_PKEY_CTX_free(ctx);
}

static void rsa_signer(struct signer *s, unsigned int bits)
{
	EVP_PKEY *key = EVP_RSA_gen(bits);
	uint8_t *der = NULL;
	int n = i2d_PUBKEY(key, &der);
	char b64[1600];

	memset(s, 0, sizeof(*s));
	if (bits <= LIMIT_RSA_BITS_MAX)
		rsa_sign(key, &s->p);
	base64(der, (size_t)n, b64);
	snprintf(s->record, sizeof(s->record), "v=DKIM1; p=%s", b64);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
}

static void ed25519_signer(struct signer *s, uint8_t first)
{
	const uint8_t seed[32] = {first};
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t pub[32];
	size_t n = sizeof(pub);
	char b64[64];

	memset(s, 0, sizeof(*s));
	s->p.key_type = DKIM_KEY_ED25519;
	s->p.signature_len = sizeof(s->p.signature);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
	assert_int_equal(
		EVP_DigestSign(ctx, s->p.signature, &s->p.signature_len, digest, sizeof(digest)), 1);
	assert_int_equal(EVP_PKEY_get_raw_public_key(key, pub, &n), 1);
	base64(pub, n, b64);
	snprintf(s->record, sizeof(s->record), "v=DKIM1; k=ed25519; t=y; p=%s", b64);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
}

static struct dkim_key_verdict try(struct dkim_keys *keys, const char *record,
				   const struct dkim_params *p)
{
	struct dkim_key_verdict v = {.result = DKIM_NONE};

	dkim_key_try(keys, str_c(record), p, digest, &v);
	return v;
}

/* Each key type and size, three times over: pass, fail on another signature, pass again. */
static void same_verdicts(void **state)
{
	static const unsigned int bits[] = {1024, 1536, 2048, 3072, 4096};
	struct dkim_keys *keys = dkim_keys_new(8);
	struct dkim_keys_stats stats;
	struct signer s;

	(void)state;
	for (size_t i = 0; i <= sizeof(bits) / sizeof(bits[0]); i++) {
		struct dkim_params wrong;

		if (i == sizeof(bits) / sizeof(bits[0]))
			ed25519_signer(&s, 1);
		else
			rsa_signer(&s, bits[i]);
		wrong = s.p;
		wrong.signature[7] ^= 1;
		for (int k = 0; k < 3; k++) {
			struct dkim_keys *with = k == 2 ? NULL : keys;
			struct dkim_key_verdict v = try(with, s.record, &s.p);

			assert_int_equal(v.result, DKIM_PASS);
			assert_string_equal(v.reason, "");
			assert_int_equal(v.bits, s.p.key_type == DKIM_KEY_RSA ? bits[i] : 256);
			assert_int_equal(v.testing, s.p.key_type == DKIM_KEY_ED25519);
			v = try(with, s.record, &wrong);
			assert_int_equal(v.result, DKIM_FAIL);
			assert_string_equal(v.reason, "signature did not verify");
		}
	}
	dkim_keys_stats(keys, &stats);
	assert_int_equal(stats.misses, 6);
	assert_int_equal(stats.hits, 18);
	assert_int_equal(stats.kept, 6);
	dkim_keys_free(keys);
}

/* What is no key, or not one to verify with, says the same each time. */
static void bad_keys(void **state)
{
	static const struct {
		const char *record, *reason;
		enum dkim_result result;
		uint64_t hits;
	} t[] = {
		{"v=DKIM1; p=Zm9v", "p= holds no RSA key", DKIM_PERMERROR, 1},
		{"v=DKIM1; k=ed25519; p=Zm9v", "key is of another type than the signature",
		 DKIM_PERMERROR, 1},
		{"v=DKIM1; p=", "key revoked", DKIM_PERMERROR, 1},
		{"v=DKIM1; s=other; p=Zm9v", "key is not for email", DKIM_PERMERROR, 1},
		{"v=DKIM1; h=sha1; p=Zm9v", "key does not allow sha256", DKIM_PERMERROR, 1},
		/* Malformed ones are not kept. */
		{"v=DKIM1; p=Zm9", "key record: malformed p=", DKIM_PERMERROR, 0},
		{"no record", "key record: malformed tag name", DKIM_PERMERROR, 0},
	};
	struct signer s;

	(void)state;
	rsa_signer(&s, 1024);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct dkim_keys *keys = dkim_keys_new(4);
		struct dkim_keys_stats stats;

		for (int k = 0; k < 2; k++) {
			struct dkim_key_verdict v = try(keys, t[i].record, &s.p);

			assert_int_equal(v.result, t[i].result);
			assert_string_equal(v.reason, t[i].reason);
		}
		dkim_keys_stats(keys, &stats);
		assert_int_equal(stats.hits, t[i].hits);
		assert_int_equal(stats.kept, t[i].hits);
		dkim_keys_free(keys);
	}
	/* RFC 8301 3.2 */
	rsa_signer(&s, 512);
	assert_int_equal(try(NULL, s.record, &s.p).result, DKIM_POLICY);
	assert_string_equal(try(NULL, s.record, &s.p).reason, "RSA key of 512 bits");
	rsa_signer(&s, 4104);
	s.p.signature_len = 512;
	assert_int_equal(try(NULL, s.record, &s.p).result, DKIM_POLICY);
	assert_string_equal(try(NULL, s.record, &s.p).reason, "RSA key of 4104 bits");
}

static void bounded(void **state)
{
	struct dkim_keys *keys = dkim_keys_new(3);
	struct dkim_keys_stats stats;
	struct signer s[5];

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		ed25519_signer(&s[i], (uint8_t)(i + 1));
		assert_int_equal(try(keys, s[i].record, &s[i].p).result, DKIM_PASS);
		/* The first is used all the time and stays. */
		assert_int_equal(try(keys, s[0].record, &s[0].p).result, DKIM_PASS);
		/* Its key is not the other's. */
		if (i)
			assert_int_equal(try(keys, s[0].record, &s[i].p).result, DKIM_FAIL);
	}
	dkim_keys_stats(keys, &stats);
	assert_int_equal(stats.kept, 3);
	assert_int_equal(stats.misses, 5);
	assert_int_equal(stats.hits, 9);
	assert_int_equal(try(keys, s[1].record, &s[1].p).result, DKIM_PASS);
	dkim_keys_stats(keys, &stats);
	assert_int_equal(stats.misses, 6);
	assert_int_equal(stats.kept, 3);
	dkim_keys_free(keys);
}

/* RFC 6376 6.1.2: of several records the one that verifies counts; else the best reason. */
static void several(void **state)
{
	struct signer right, other;
	struct dkim_key_verdict v = {.result = DKIM_NONE};

	(void)state;
	rsa_signer(&right, 1024);
	rsa_signer(&other, 1024);
	dkim_key_try(NULL, STR_NONE, &right.p, digest, &v);
	assert_string_equal(v.reason, "malformed key record");
	dkim_key_try(NULL, STR("v=DKIM1; p="), &right.p, digest, &v);
	assert_int_equal(v.result, DKIM_PERMERROR);
	dkim_key_try(NULL, str_c(other.record), &right.p, digest, &v);
	assert_int_equal(v.result, DKIM_FAIL);
	dkim_key_try(NULL, STR("v=spf1 -all"), &right.p, digest, &v);
	assert_int_equal(v.result, DKIM_FAIL);
	dkim_key_try(NULL, str_c(right.record), &right.p, digest, &v);
	assert_int_equal(v.result, DKIM_PASS);
	assert_string_equal(v.reason, "");
	assert_int_equal(v.bits, 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_verdicts),
		cmocka_unit_test(bad_keys),
		cmocka_unit_test(bounded),
		cmocka_unit_test(several),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
