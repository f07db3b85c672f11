/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Which certificates a name is served with (RFC 6066 3, RFC 9525 6.3).
 *
 * All names of all certificates, each with a set: for every key type the first certificate that has
 * the name itself, else the first that has the wildcard above it. A client that cannot verify the
 * key type it is given is lost, so a name takes whatever types it can get.
 */

#include "dataplane/tls/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#define MAX_NAMES 4096u /* of a context; more in one file is a mistake */

/* A host name or wildcard as it may stand in a certificate, lowered into out. */
static bool take(const uint8_t *p, int n, char *out, size_t size)
{
	if (n <= 0 || n > LIMIT_DNS_NAME || (size_t)n >= size)
		return false;
	for (int i = 0; i < n; i++) {
		uint8_t c = ascii_lower(p[i]);
		bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
			  c == '.' || c == '_' || (c == '*' && i == 0);

		if (!ok)
			return false;
		out[i] = (char)c;
	}
	out[n] = '\0';
	/* RFC 9525 6.3: the wildcard is the whole left-most label. */
	return out[0] != '*' || (n > 2 && out[1] == '.');
}

/* Calls f for each name until it returns non-zero. */
static int each_name(const X509 *x, int (*f)(void *arg, const char *name), void *arg)
{
	GENERAL_NAMES *san = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	bool have_dns = false;
	char name[256];
	int rc = 0;

	for (int i = 0; !rc && i < sk_GENERAL_NAME_num(san); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(san, i);

		if (g->type != GEN_DNS)
			continue;
		have_dns = true;
		if (take(ASN1_STRING_get0_data(g->d.dNSName), ASN1_STRING_length(g->d.dNSName),
			 name, sizeof(name)))
			rc = f(arg, name);
	}
	GENERAL_NAMES_free(san);
	if (!have_dns) {
		const X509_NAME *s = X509_get_subject_name(x);
		int at = X509_NAME_get_index_by_NID(s, NID_commonName, -1);
		const X509_NAME_ENTRY *e = at >= 0 ? X509_NAME_get_entry(s, at) : NULL;
		const ASN1_STRING *v = e ? X509_NAME_ENTRY_get_data(e) : NULL;

		if (v && take(ASN1_STRING_get0_data(v), ASN1_STRING_length(v), name, sizeof(name)))
			rc = f(arg, name);
	}
	ERR_clear_error();
	return rc;
}

struct first {
	char *out;
	size_t size;
};

static int copy_first(void *arg, const char *name)
{
	struct first *f = arg;

	snprintf(f->out, f->size, "%s", name);
	return 1;
}

void tls_names_first(const X509 *x, char *out, size_t size)
{
	struct first f = {out, size};

	out[0] = '\0';
	each_name(x, copy_first, &f);
}

struct entry { /* a name of a certificate */
	char *name;
	unsigned int cert;
};

struct collect {
	struct entry *v;
	unsigned int n, cap, cert;
};

static int collect_name(void *arg, const char *name)
{
	struct collect *c = arg;

	if (c->n == MAX_NAMES)
		return -E2BIG;
	if (c->n == c->cap) {
		unsigned int cap = c->cap ? 2 * c->cap : 16;
		struct entry *v = realloc(c->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		c->v = v;
		c->cap = cap;
	}
	c->v[c->n].name = strdup(name);
	if (!c->v[c->n].name)
		return -ENOMEM;
	c->v[c->n++].cert = c->cert;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : (int)x->cert - (int)y->cert;
}

/* "mx.example.com" → "*.example.com"; false for a name of one label. */
static bool wildcard_of(const char *name, char *out, size_t size)
{
	const char *dot = strchr(name, '.');

	if (!dot || dot == name || !dot[1])
		return false;
	snprintf(out, size, "*%s", dot);
	return true;
}

/* Adds the first certificate of each type that has exactly this name. */
static void add_exact(const struct collect *all, const struct tls_cert *cert, const char *name,
		      struct tls_set *set)
{
	unsigned int lo = 0, hi = all->n;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (strcmp(all->v[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < all->n && strcmp(all->v[lo].name, name) == 0; lo++) {
		int8_t *slot = &set->cert[cert[all->v[lo].cert].type];

		if (*slot < 0)
			*slot = (int8_t)all->v[lo].cert;
	}
}

/* Index of the set, which is added if it is new. */
static unsigned int set_index(struct tls_set *set, unsigned int *n, const struct tls_set *s)
{
	for (unsigned int i = 0; i < *n; i++)
		if (memcmp(&set[i], s, sizeof(*s)) == 0)
			return i;
	set[*n] = *s;
	return (*n)++;
}

static int fill(struct tls_names *out, const struct collect *all, const struct tls_cert *cert,
		struct tls_set *set, unsigned int *n_sets)
{
	char wild[260];

	for (unsigned int i = 0; i < all->n; i++) {
		struct tls_set s;

		if (i && strcmp(all->v[i].name, all->v[i - 1].name) == 0)
			continue;
		memset(&s, -1, sizeof(s));
		add_exact(all, cert, all->v[i].name, &s);
		if (all->v[i].name[0] != '*' && wildcard_of(all->v[i].name, wild, sizeof(wild)))
			add_exact(all, cert, wild, &s);
		out->v[out->n].name = strdup(all->v[i].name);
		if (!out->v[out->n].name)
			return -ENOMEM;
		out->v[out->n++].set = set_index(set, n_sets, &s);
	}
	return 0;
}

int tls_names_make(struct tls_names *out, const struct tls_cert *cert, unsigned int n,
		   struct tls_set **set, unsigned int *n_sets)
{
	struct collect all = {0};
	int rc = 0;

	*out = (struct tls_names){0};
	for (all.cert = 0; !rc && all.cert < n; all.cert++)
		rc = each_name(cert[all.cert].leaf, collect_name, &all);
	if (rc)
		goto out;
	if (all.n)
		qsort(all.v, all.n, sizeof(*all.v), by_name);
	*set = calloc(all.n + 1, sizeof(**set));
	out->v = calloc(all.n + 1, sizeof(*out->v));
	if (!*set || !out->v) {
		rc = -ENOMEM;
		goto out;
	}
	/* Set 0: the first of each type. */
	memset(&(*set)[0], -1, sizeof(**set));
	for (unsigned int i = 0; i < n; i++)
		if ((*set)[0].cert[cert[i].type] < 0)
			(*set)[0].cert[cert[i].type] = (int8_t)i;
	*n_sets = 1;
	rc = fill(out, &all, cert, *set, n_sets);
out:
	for (unsigned int i = 0; i < all.n; i++)
		free(all.v[i].name);
	free(all.v);
	return rc;
}

void tls_names_free(struct tls_names *names)
{
	for (unsigned int i = 0; i < names->n; i++)
		free(names->v[i].name);
	free(names->v);
	*names = (struct tls_names){0};
}

static const struct tls_name *find(const struct tls_names *names, const char *name)
{
	unsigned int lo = 0, hi = names->n;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;
		int r = strcmp(names->v[mid].name, name);

		if (r == 0)
			return &names->v[mid];
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

unsigned int tls_names_find(const struct tls_names *names, const char *host, size_t len)
{
	const struct tls_name *f;
	char name[256], wild[260];

	/* RFC 6066 3: without the trailing dot; some clients send it. */
	if (len && host[len - 1] == '.')
		len--;
	if (!take((const uint8_t *)host, (int)(len > 255 ? 0 : len), name, sizeof(name)) ||
	    name[0] == '*')
		return 0;
	f = find(names, name);
	if (!f && wildcard_of(name, wild, sizeof(wild)))
		f = find(names, wild);
	return f ? f->set : 0;
}
