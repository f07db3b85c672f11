/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Keys of session tickets (RFC 5077, RFC 8446 4.6.1): AES-256-CBC, then HMAC-SHA256.
 *
 * One writer (the main lcore), readers on every thread of the pool. A sequence lock over a few
 * words: a reader copies all keys and looks whether they changed meanwhile, which they do twice a
 * day. So readers neither lock nor write shared memory, and no old key outlives its time because
 * some reader may still hold a pointer to it.
 */

#include "dataplane/tls/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#define N_KEYS 3 /* the current one and the two before it */
#define ROTATE_S (TLS_TICKET_LIFETIME_S / 2)

struct ticket_key {
	uint8_t name[16];
	uint8_t aes[32];
	uint8_t mac[32];
	uint64_t made_s; /* 0: no key */
};

struct ticket_keys {
	struct ticket_key key[N_KEYS]; /* newest first */
};

#define WORDS (sizeof(struct ticket_keys) / sizeof(uint64_t))
_Static_assert(sizeof(struct ticket_keys) % sizeof(uint64_t) == 0, "copied word by word");

struct tls_tickets {
	atomic_uint refs;
	atomic_uint seq; /* odd while the writer is at it */
	_Atomic uint64_t word[WORDS];
	EVP_CIPHER *cipher; /* fetched once: a fetch per ticket takes OpenSSL's locks */
	EVP_MD *md;
};

static int ex_index = -1;
static CRYPTO_ONCE ex_once = CRYPTO_ONCE_STATIC_INIT;

static void tickets_unref(struct tls_tickets *t)
{
	if (atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	EVP_CIPHER_free(t->cipher);
	EVP_MD_free(t->md);
	explicit_bzero(t, sizeof(*t));
	free(t);
}

/* A context keeps its keys for as long as connections of it may decrypt tickets. */
static void ex_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	if (ptr)
		tickets_unref(ptr);
}

static void ex_make(void)
{
	ex_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, ex_free);
}

static void load(struct tls_tickets *t, struct ticket_keys *out)
{
	uint64_t w[WORDS];
	unsigned int s;

	do {
		while ((s = atomic_load_explicit(&t->seq, memory_order_acquire)) & 1)
			;
		for (size_t i = 0; i < WORDS; i++)
			w[i] = atomic_load_explicit(&t->word[i], memory_order_acquire);
	} while (atomic_load_explicit(&t->seq, memory_order_relaxed) != s);
	memcpy(out, w, sizeof(*out));
	explicit_bzero(w, sizeof(w));
}

static void store(struct tls_tickets *t, const struct ticket_keys *k)
{
	uint64_t w[WORDS];

	memcpy(w, k, sizeof(w));
	atomic_fetch_add(&t->seq, 1);
	for (size_t i = 0; i < WORDS; i++)
		atomic_store_explicit(&t->word[i], w[i], memory_order_release);
	atomic_fetch_add(&t->seq, 1);
	explicit_bzero(w, sizeof(w));
}

static int key_new(struct ticket_key *k, uint64_t now_s)
{
	uint8_t r[sizeof(k->name) + sizeof(k->aes) + sizeof(k->mac)];

	if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
		return -EIO;
	memcpy(k->name, r, sizeof(k->name));
	memcpy(k->aes, r + 16, sizeof(k->aes));
	memcpy(k->mac, r + 48, sizeof(k->mac));
	k->made_s = now_s ? now_s : 1;
	explicit_bzero(r, sizeof(r));
	return 0;
}

struct tls_tickets *tls_tickets_new(uint64_t now_s)
{
	struct tls_tickets *t = calloc(1, sizeof(*t));
	struct ticket_keys k = {0};

	if (!t)
		return NULL;
	atomic_init(&t->refs, 1);
	t->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	t->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!t->cipher || !t->md || key_new(&k.key[0], now_s)) {
		tickets_unref(t);
		return NULL;
	}
	store(t, &k);
	explicit_bzero(&k, sizeof(k));
	return t;
}

void tls_tickets_rotate(struct tls_tickets *t, uint64_t now_s)
{
	struct ticket_keys k;

	load(t, &k);
	/* A clock that went backwards changes nothing. */
	if (now_s < k.key[0].made_s || now_s - k.key[0].made_s < ROTATE_S)
		goto out;
	memmove(&k.key[1], &k.key[0], (N_KEYS - 1) * sizeof(k.key[0]));
	/* Without random numbers the old key stays a while longer. */
	if (key_new(&k.key[0], now_s))
		goto out;
	/* After a pause (suspended machine) also the old ones are past their time. */
	for (unsigned int i = 1; i < N_KEYS; i++)
		if (k.key[i].made_s && now_s - k.key[i].made_s > (i + 1) * (uint64_t)ROTATE_S)
			explicit_bzero(&k.key[i], sizeof(k.key[i]));
	store(t, &k);
out:
	explicit_bzero(&k, sizeof(k));
}

void tls_tickets_free(struct tls_tickets *t)
{
	if (t)
		tickets_unref(t);
}

static const struct ticket_key *choose(const struct ticket_keys *k, const unsigned char *name,
				       int enc)
{
	if (enc)
		return &k->key[0];
	for (unsigned int i = 0; i < N_KEYS; i++)
		if (k->key[i].made_s && memcmp(k->key[i].name, name, sizeof(k->key[i].name)) == 0)
			return &k->key[i];
	return NULL;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 good, 2 good but renew, 0 full handshake, -1 error. */
static int ticket_cb(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int enc)
{
	struct tls_tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ex_index);
	const struct ticket_key *k;
	struct ticket_keys keys;
	char digest[] = "SHA256";
	OSSL_PARAM p[3];
	int rc = -1;

	if (!t)
		return enc ? -1 : 0;
	load(t, &keys);
	k = choose(&keys, name, enc);
	if (!k) {
		rc = 0;
		goto out;
	}
	if (enc) {
		if (getrandom(iv, 16, 0) != 16)
			goto out;
		memcpy(name, k->name, sizeof(k->name));
	}
	if (EVP_CipherInit_ex2(cipher, t->cipher, k->aes, iv, enc, NULL) != 1)
		goto out;
	p[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)k->mac,
						 sizeof(k->mac));
	p[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
	p[2] = OSSL_PARAM_construct_end();
	if (EVP_MAC_CTX_set_params(mac, p) != 1)
		goto out;
	/* RFC 8446 C.4: a ticket of TLS 1.3 is used once, so its client gets the next one. */
	rc = enc || (k == &keys.key[0] && SSL_version(ssl) < TLS1_3_VERSION) ? 1 : 2;
out:
	explicit_bzero(&keys, sizeof(keys));
	return rc;
}

int tls_tickets_attach(struct tls_tickets *t, SSL_CTX *ssl)
{
	if (!CRYPTO_THREAD_run_once(&ex_once, ex_make) || ex_index < 0)
		return -ENOMEM;
	if (SSL_CTX_set_ex_data(ssl, ex_index, t) != 1)
		return -ENOMEM;
	atomic_fetch_add(&t->refs, 1);
	return SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, ticket_cb) == 1 ? 0 : -EINVAL;
}
