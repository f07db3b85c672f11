/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "control/auth/dkim/tags.h"
#include "control/hash/sha256.h"

static bool list_has(struct str list, struct str what)
{
	struct str item;

	while (dkim_list_next(&list, ':', &item))
		if (str_ieq(item, what))
			return true;
	return false;
}

int dkim_key_parse(struct str record, struct dkim_key *key, const char **why)
{
	const struct dkim_tag *v, *k, *h, *s, *t, *p;
	struct dkim_tags tags;
	long n;

	*key = (struct dkim_key){.sha256 = true, .email = true};
	if (dkim_tags_parse(record, &tags, why))
		return -EBADMSG;
	*why = "v= is not DKIM1 or not first";
	v = dkim_tags_find(&tags, "v");
	if (v && (v != &tags.tag[0] || !str_eq(v->value, STR("DKIM1"))))
		return -EBADMSG;
	*why = "unknown key type";
	k = dkim_tags_find(&tags, "k");
	if (k && str_ieq(k->value, STR("ed25519")))
		key->type = DKIM_KEY_ED25519;
	else if (k && !str_ieq(k->value, STR("rsa")))
		return -EBADMSG;
	h = dkim_tags_find(&tags, "h");
	key->sha256 = !h || list_has(h->value, STR("sha256"));
	s = dkim_tags_find(&tags, "s");
	key->email = !s || list_has(s->value, STR("*")) || list_has(s->value, STR("email"));
	t = dkim_tags_find(&tags, "t");
	key->testing = t && list_has(t->value, STR("y"));
	key->strict_identity = t && list_has(t->value, STR("s"));
	p = dkim_tags_find(&tags, "p");
	*why = "no p= tag";
	if (!p)
		return -EBADMSG;
	key->revoked = p->value.n == 0;
	n = dkim_base64(p->value, key->data, sizeof(key->data));
	*why = "malformed p=";
	if (n < 0)
		return -EBADMSG;
	key->len = (size_t)n;
	return 0;
}

static EVP_PKEY *rsa_load(const struct dkim_key *key)
{
	const unsigned char *at = key->data;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)key->len);

	/* RFC 6376 3.6.1 names RSAPublicKey, its examples are SubjectPublicKeyInfo: both exist. */
	if (!pkey) {
		at = key->data;
		pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)key->len);
	}
	if (pkey && (!EVP_PKEY_is_a(pkey, "RSA") || at != key->data + key->len)) {
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
	return pkey;
}

static EVP_PKEY_CTX *rsa_context(EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);

	if (ctx && EVP_PKEY_verify_init(ctx) == 1 &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_signature_md(ctx, hash_sha256()) == 1)
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

static void key_open(struct dkim_key *key)
{
	if (key->pkey || key->unusable)
		return;
	if (key->type == DKIM_KEY_RSA)
		key->pkey = rsa_load(key);
	else if (key->len == 32) /* RFC 8463 4: 32 raw octets */
		key->pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->data,
							key->len);
	key->unusable = !key->pkey;
	key->bits = key->unusable ? 0
		    : key->type == DKIM_KEY_RSA ? (uint32_t)EVP_PKEY_get_bits(key->pkey)
						: 256;
}

void dkim_key_close(struct dkim_key *key)
{
	EVP_PKEY_CTX_free(key->rsa);
	EVP_PKEY_free(key->pkey);
	key->rsa = NULL;
	key->pkey = NULL;
}

static enum dkim_result rsa_verify(struct dkim_key *key, const struct dkim_params *p,
				   const uint8_t *digest, char *reason, size_t cap)
{
	/* RFC 8301 3.2: shorter keys must not verify, longer ones need not. */
	if (key->bits < LIMIT_RSA_BITS_MIN || key->bits > LIMIT_RSA_BITS_MAX) {
		snprintf(reason, cap, "RSA key of %u bits", key->bits);
		return DKIM_POLICY;
	}
	if (!key->rsa)
		key->rsa = rsa_context(key->pkey);
	if (!key->rsa) {
		snprintf(reason, cap, "RSA key cannot be used");
		return DKIM_PERMERROR;
	}
	if (EVP_PKEY_verify(key->rsa, p->signature, p->signature_len, digest, CANON_DIGEST) == 1)
		return DKIM_PASS;
	snprintf(reason, cap, "signature did not verify");
	return DKIM_FAIL;
}

/* RFC 8463 3: PureEdDSA over the SHA-256 digest. */
static enum dkim_result ed25519_verify(const struct dkim_key *key, const struct dkim_params *p,
				       const uint8_t *digest, char *reason, size_t cap)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	enum dkim_result res = DKIM_FAIL;

	if (!ctx || EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->pkey) != 1) {
		snprintf(reason, cap, "Ed25519 key cannot be used");
		res = DKIM_PERMERROR;
	} else if (EVP_DigestVerify(ctx, p->signature, p->signature_len, digest, CANON_DIGEST) ==
		   1) {
		res = DKIM_PASS;
	} else {
		snprintf(reason, cap, "signature did not verify");
	}
	EVP_MD_CTX_free(ctx);
	return res;
}

static enum dkim_result open_and_verify(struct dkim_key *key, const struct dkim_params *p,
					const uint8_t *digest, uint32_t *bits, char *reason,
					size_t cap)
{
	bool rsa = key->type == DKIM_KEY_RSA;

	key_open(key);
	if (key->unusable) {
		snprintf(reason, cap, "p= holds no %s key", rsa ? "RSA" : "Ed25519");
		return DKIM_PERMERROR;
	}
	*bits = key->bits;
	return rsa ? rsa_verify(key, p, digest, reason, cap)
		   : ed25519_verify(key, p, digest, reason, cap);
}

enum dkim_result dkim_key_verify(struct dkim_key *key, const struct dkim_params *p,
				 const uint8_t digest[CANON_DIGEST], uint32_t *bits, char *reason,
				 size_t cap)
{
	enum dkim_result res = DKIM_PERMERROR;

	reason[0] = '\0';
	/* RFC 6376 6.1.2, in its order. */
	if (!key->email)
		snprintf(reason, cap, "key is not for email");
	else if (key->strict_identity && p->identity_differs)
		snprintf(reason, cap, "key does not allow a subdomain in i=");
	else if (!key->sha256)
		snprintf(reason, cap, "key does not allow sha256");
	else if (key->revoked)
		snprintf(reason, cap, "key revoked");
	else if (key->type != p->key_type)
		snprintf(reason, cap, "key is of another type than the signature");
	else
		res = open_and_verify(key, p, digest, bits, reason, cap);
	/* A failed decode or check leaves its errors on this thread's queue. */
	ERR_clear_error();
	return res;
}

static unsigned int rank(enum dkim_result r)
{
	return r == DKIM_PASS ? 4 : r == DKIM_FAIL ? 3 : r == DKIM_POLICY ? 2 : r == DKIM_PERMERROR;
}

void dkim_key_try(struct dkim_keys *cache, struct str record, const struct dkim_params *p,
		  const uint8_t digest[CANON_DIGEST], struct dkim_key_verdict *v)
{
	char reason[sizeof(v->reason)] = "";
	enum dkim_result res = DKIM_PERMERROR;
	struct dkim_key own, *key = NULL;
	const char *why = "";
	uint32_t bits = 0;

	if (!record.p) {
		snprintf(reason, sizeof(reason), "malformed key record");
	} else if (!(key = dkim_keys_get(cache, record, &own, &why))) {
		snprintf(reason, sizeof(reason), "key record: %s", why);
	} else {
		res = dkim_key_verify(key, p, digest, &bits, reason, sizeof(reason));
		if (rank(res) >= rank(v->result))
			v->testing = key->testing;
		if (key == &own)
			dkim_key_close(&own);
	}
	if (rank(res) > rank(v->result)) {
		v->result = res;
		v->bits = bits;
		memcpy(v->reason, reason, sizeof(reason));
	}
}
