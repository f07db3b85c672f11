/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>

#include "control/auth/dkim/tags.h"

/*
 * Key records of one name, a line each, tried in turn for a signature of a known Ed25519 key, with
 * the cache of parsed keys, once more with it, and without. All three say the same, and nothing
 * but that key passes.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t digest[CANON_DIGEST] = {7};
static struct dkim_params right, rsa;
static uint8_t public[32];

static void make(void)
{
	const uint8_t seed[32] = {1, 2, 3};
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = sizeof(public);

	right.key_type = DKIM_KEY_ED25519;
	right.signature_len = 64;
	rsa.key_type = DKIM_KEY_RSA;
	rsa.signature_len = 128;
	rsa.identity_differs = true;
	if (EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
	    EVP_DigestSign(ctx, right.signature, &right.signature_len, digest, 32) != 1 ||
	    EVP_PKEY_get_raw_public_key(key, public, &n) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
}

static void check_pass(struct str records)
{
	struct str line;

	while (dkim_list_next(&records, '\n', &line)) {
		struct dkim_key key;
		const char *why;

		if (dkim_key_parse(line, &key, &why) == 0 && key.len == 32 &&
		    memcmp(key.data, public, 32) == 0)
			return;
	}
	abort();
}

static struct dkim_key_verdict try_all(struct dkim_keys *keys, struct str records,
				       const struct dkim_params *p)
{
	struct dkim_key_verdict v = {.result = DKIM_NONE};
	struct str line;

	while (dkim_list_next(&records, '\n', &line))
		dkim_key_try(keys, line, p, digest, &v);
	if ((v.result == DKIM_PASS) != (v.reason[0] == '\0'))
		abort();
	return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dkim_keys *keys = dkim_keys_new(3);
	struct str records = str_make(data, size);
	const struct dkim_params *p[] = {&right, &rsa};

	if (!right.signature_len)
		make();
	for (size_t i = 0; i < 2 && keys && size; i++) {
		struct dkim_key_verdict a = try_all(keys, records, p[i]),
					b = try_all(keys, records, p[i]),
					c = try_all(NULL, records, p[i]);

		if (a.result != b.result || a.result != c.result || a.bits != b.bits ||
		    a.bits != c.bits || a.testing != b.testing || a.testing != c.testing ||
		    strcmp(a.reason, b.reason) != 0 || strcmp(a.reason, c.reason) != 0)
			abort();
		if (a.result == DKIM_PASS)
			check_pass(records);
	}
	dkim_keys_free(keys);
	return 0;
}
