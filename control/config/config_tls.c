/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The tls section: certificates that STARTTLS shows, and whose client certificates are asked for.
 * The files are read here, once, with the configuration: the dataplane opens none. What a client
 * would trip over (a key of another certificate, an encrypted key) is an error of the file; a
 * certificate that has run out is not, because mail must go on: it is reported as expired.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

struct str config_file(struct config_reader *r, const struct config_node *n, bool secret)
{
	struct str out = {0};
	struct stat st;
	uint8_t *p;
	ssize_t got;
	int fd;

	if (!config_string(r, n))
		return out;
	if (n->text[0] != '/') {
		config_fail(r->c, n, NULL, "expected an absolute path, found %s", n->text);
		return out;
	}
	fd = open(n->text, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		config_fail(r->c, n, NULL, "%s: %s", n->text, strerror(errno));
		return out;
	}
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size == 0) {
		config_fail(r->c, n, NULL, "%s is empty or no regular file", n->text);
	} else if (secret && st.st_mode & (S_IRWXO | S_IWGRP)) {
		config_fail(r->c, n, NULL, "%s holds a key, and others may read or write it: take their "
			    "permission away (chmod 0640)", n->text);
	} else if (st.st_size > LIMIT_PEM_FILE) {
		config_fail(r->c, n, NULL, "%s is larger than %u octets", n->text, LIMIT_PEM_FILE);
	} else if ((p = config_alloc(r->mem, (size_t)st.st_size + 1))) {
		got = read(fd, p, (size_t)st.st_size);
		if (got == (ssize_t)st.st_size)
			out = str_make(p, (size_t)got);
		else
			config_fail(r->c, n, NULL, "%s changed while it was read", n->text);
	}
	close(fd);
	return out;
}

void read_pem_chain(struct config_reader *r, const struct config_node *n,
		    const struct config_key *k, void *field)
{
	struct config_certificate *c = field;

	(void)k;
	c->chain = config_file(r, n, false);
	c->chain_file = n->kind == NODE_STRING ? config_dup(r->mem, str_c(n->text)) : NULL;
}

void read_pem_key(struct config_reader *r, const struct config_node *n,
		  const struct config_key *k, void *field)
{
	struct config_certificate *c = field;

	(void)k;
	c->key = config_file(r, n, false);
}

void read_pem_ca(struct config_reader *r, const struct config_node *n,
		 const struct config_key *k, void *field)
{
	struct str pem = config_file(r, n, false);
	BIO *bio = pem.n ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	(void)k;
	if (pem.n && !x)
		config_fail(r->c, n, NULL, "%s holds no certificate in PEM", n->text);
	X509_free(x);
	BIO_free(bio);
	ERR_clear_error();
	*(struct str *)field = pem;
}

/* 0: "1.2" is the default and the floor; RFC 8996 has buried what came before. */
void read_tls_version(struct config_reader *r, const struct config_node *n,
		      const struct config_key *k, void *field)
{
	uint16_t *version = field;

	(void)k;
	if (!config_string(r, n))
		return;
	if (!strcmp(n->text, "1.2"))
		*version = TLS1_2_VERSION;
	else if (!strcmp(n->text, "1.3"))
		*version = TLS1_3_VERSION;
	else
		config_fail(r->c, n, NULL, "expected \"1.2\" or \"1.3\", found \"%s\"", n->text);
}

static void read_ciphers(struct config_reader *r, const struct config_node *n,
			 const struct config_key *k, void *field)
{
	struct config_tls *t = field;
	SSL_CTX *ctx;

	(void)k;
	if (!config_string(r, n))
		return;
	ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx)
		r->mem->failed = true;
	else if (strlen(n->text) >= 1024 || !SSL_CTX_set_cipher_list(ctx, n->text))
		config_fail(r->c, n, NULL, "\"%s\" is no list of ciphers that OpenSSL knows", n->text);
	else
		t->ciphers = str_c(config_dup(r->mem, str_c(n->text)));
	SSL_CTX_free(ctx);
	ERR_clear_error();
}

/* An encrypted key would ask on the terminal. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	*(bool *)arg = true;
	return -1;
}

void config_check_pair(struct config_reader *r, const struct config_node *n,
		       const char *chain_key, const char *key_key, struct config_certificate *c)
{
	BIO *chain = BIO_new_mem_buf(c->chain.p, (int)c->chain.n);
	BIO *key = BIO_new_mem_buf(c->key.p, (int)c->key.n);
	bool encrypted = false;
	X509 *x = chain ? PEM_read_bio_X509(chain, NULL, NULL, NULL) : NULL;
	EVP_PKEY *pk = key ? PEM_read_bio_PrivateKey(key, NULL, no_password, &encrypted) : NULL;
	struct tm tm = {0};

	if (!x)
		config_fail(r->c, n, chain_key, "no certificate in PEM in the file");
	else if (!pk)
		config_fail(r->c, n, key_key, encrypted ? "the key is encrypted: nobody is there to be "
			    "asked for its password" : "no private key in PEM in the file");
	else if (!X509_check_private_key(x, pk))
		config_fail(r->c, n, key_key, "the key does not belong to the first certificate of the "
			    "chain");
	else if (EVP_PKEY_is_a(pk, "RSA") && EVP_PKEY_get_bits(pk) < LIMIT_TLS_RSA_BITS)
		config_fail(r->c, n, key_key, "an RSA key of %d bits: at least %d", EVP_PKEY_get_bits(pk),
			    LIMIT_TLS_RSA_BITS);
	else if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm))
		c->not_after = (int64_t)timegm(&tm);
	EVP_PKEY_free(pk);
	X509_free(x);
	BIO_free(key);
	BIO_free(chain);
	ERR_clear_error();
}

static const struct config_key certificate_keys[] = {
	{"chain", read_pem_chain, 0, 0},
	{"key", read_pem_key, 0, 0},
};

const struct config_binding config_of_certificate = CONFIG_BINDING("tls.certificate", certificate_keys);

static void read_certificates(struct config_reader *r, const struct config_node *n,
			      const struct config_key *k, void *field)
{
	struct config_tls *t = field;
	size_t before;

	(void)k;
	if (n->n > LIMIT_TLS_CERTIFICATES) {
		config_fail(r->c, n, NULL, "more than %d certificates", LIMIT_TLS_CERTIFICATES);
		return;
	}
	t->certificate = config_alloc(r->mem, (n->n + 1) * sizeof(*t->certificate));
	for (const struct config_node *e = n->first; e && t->certificate; e = e->next) {
		struct config_certificate *c = &t->certificate[t->n_certificates];

		before = r->c->n_errors;
		if (!config_section_name(r, e) || !config_is_section(r, e))
			continue;
		c->name = config_dup(r->mem, str_c(e->key));
		config_read_section(r, e, &config_of_certificate, c);
		if (r->c->n_errors == before && !r->mem->failed) {
			config_check_pair(r, e, "chain", "key", c);
			t->n_certificates++;
		}
	}
}

static const struct config_key tls_keys[] = {
	{"certificate", read_certificates, 0, 0},
	{"min-version", read_tls_version, CONFIG_FIELD(struct config_tls, min_version)},
	{"ciphers", read_ciphers, 0, 0},
	{"client-ca", read_pem_ca, CONFIG_FIELD(struct config_tls, client_ca)},
};

const struct config_binding config_of_tls = CONFIG_BINDING("tls", tls_keys);

void read_tls(struct config_reader *r, const struct config_node *n, const struct config_key *k,
	      void *field)
{
	(void)k;
	config_read_defaults(r, &config_of_tls, field);
	config_read_section(r, n, &config_of_tls, field);
}

static struct handoff_tls_ref pack(uint8_t *to, size_t *at, struct str s)
{
	struct handoff_tls_ref ref = {(uint32_t)*at, (uint32_t)s.n};

	if (s.n)
		memcpy(to + *at, s.p, s.n);
	*at += s.n;
	return ref;
}

int config_tls_pack(const struct config *c, void **out, size_t *len)
{
	const struct config_tls *t = &c->tls;
	size_t n = sizeof(struct handoff_tls) + t->ciphers.n + t->client_ca.n, at = sizeof(struct handoff_tls);
	struct handoff_tls *h;
	uint8_t *p;

	*out = NULL;
	*len = 0;
	if (!t->n_certificates)
		return 0;
	for (size_t i = 0; i < t->n_certificates; i++)
		n += t->certificate[i].chain.n + t->certificate[i].key.n;
	p = calloc(1, n);
	if (!p)
		return -ENOMEM;
	h = (struct handoff_tls *)p;
	h->magic = HANDOFF_MAGIC;
	h->size = (uint32_t)n;
	h->min_version = t->min_version;
	h->n_certificates = (uint32_t)t->n_certificates;
	/* A certificate known by its fingerprint may be of any CA, or of none. */
	for (size_t i = 0; i < c->relays.n; i++)
		h->ask_client |= c->relays.relay[i].n_tls_sha256 > 0;
	h->ciphers = pack(p, &at, t->ciphers);
	h->client_ca = pack(p, &at, t->client_ca);
	for (size_t i = 0; i < t->n_certificates; i++) {
		h->certificate[i].chain = pack(p, &at, t->certificate[i].chain);
		h->certificate[i].key = pack(p, &at, t->certificate[i].key);
	}
	*out = p;
	*len = n;
	return 0;
}

void config_tls_forget(void *packed, size_t len)
{
	if (packed)
		OPENSSL_cleanse(packed, len);
	free(packed);
}
