/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * TLSA records of a host (RFC 6698, with the rules of RFC 7672 for SMTP). They are looked for only
 * where the addresses are signed, or the alias that leads to them: an unsigned zone has no signed records, and some of its servers do
 * not even answer (RFC 7672 2.2.2). What cannot be found out (bogus, no answer) closes the host: an
 * attacker who can drop a packet must not be able to take DANE away.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "control/deliver/internal.h"

#define USAGE_DANE_TA 2
#define USAGE_DANE_EE 3
#define SELECTOR_CERT 0
#define SELECTOR_SPKI 1

void dane_reset(struct dane *d)
{
	if (d->query)
		dns_cancel(d->query);
	free(d->data);
	memset(d, 0, sizeof(*d));
}

/* A full certificate or key, as it stands in the record. */
static bool is_der(uint8_t selector, const uint8_t *p, size_t n)
{
	const uint8_t *end = p;
	X509 *x = selector == SELECTOR_CERT ? d2i_X509(NULL, &end, (long)n) : NULL;
	EVP_PKEY *k = selector == SELECTOR_SPKI ? d2i_PUBKEY(NULL, &end, (long)n) : NULL;
	bool ok = (x || k) && end == p + n;

	X509_free(x);
	EVP_PKEY_free(k);
	return ok;
}

/* RFC 7672 3.1.3: PKIX-TA(0) and PKIX-EE(1) are unusable with SMTP. RFC 6698 2.1: a matching type is
 * a digest of a given length, or the thing itself. */
static bool is_usable(const struct dane_record *r)
{
	if (r->usage != USAGE_DANE_TA && r->usage != USAGE_DANE_EE)
		return false;
	if (r->selector != SELECTOR_CERT && r->selector != SELECTOR_SPKI)
		return false;
	switch (r->matching) {
	case 0:
		return is_der(r->selector, r->data, r->len);
	case 1:
		return r->len == 32;
	case 2:
		return r->len == 64;
	default:
		return false;
	}
}

static int keep(struct dane *d, const struct dns_answer *a)
{
	size_t total = 0, at = 0;

	for (size_t i = 0; i < a->n; i++)
		total += a->rr[i].len;
	d->data = malloc(total ? total : 1);
	if (!d->data)
		return -ENOMEM;
	d->n_seen = a->n;
	for (size_t i = 0; i < a->n && d->n < LIMIT_TLSA_RECORDS; i++) {
		const struct dns_rr *rr = &a->rr[i];
		struct dane_record r;

		if (rr->len < 4)
			continue;
		memcpy(d->data + at, rr->data, rr->len);
		r = (struct dane_record){d->data[at], d->data[at + 1], d->data[at + 2],
					 d->data + at + 3, rr->len - 3};
		if (!is_usable(&r))
			continue;
		d->rec[d->n++] = r;
		at += rr->len;
	}
	return 0;
}

int dane_take(struct dane *d, const struct dns_answer *a)
{
	int rc = 0;

	switch (a->status) {
	case DNS_OK:
		if (!a->secure) {
			d->state = DANE_INSECURE;
			snprintf(d->why, sizeof(d->why), "TLSA records are not signed");
			return 0;
		}
		rc = keep(d, a);
		d->state = rc ? DANE_FAILED : d->n ? DANE_USABLE : DANE_UNUSABLE;
		snprintf(d->why, sizeof(d->why), "%zu of %zu TLSA records are usable", d->n,
			 d->n_seen);
		return rc;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		d->state = a->secure ? DANE_NONE : DANE_INSECURE;
		snprintf(d->why, sizeof(d->why), "no TLSA records%s",
			 a->secure ? "" : ", and no proof of it");
		return 0;
	default:
		d->state = DANE_FAILED;
		snprintf(d->why, sizeof(d->why), "TLSA records: %s: %.80s",
			 a->status == DNS_BOGUS ? "bogus" : "no answer", a->reason);
		return 0;
	}
}

static void on_tlsa(void *arg, const struct dns_answer *a);

static void ask(struct xact *x, const char *base)
{
	struct dane *d = &x->dane;
	char name[LIMIT_DNS_NAME + 20];

	snprintf(d->base, sizeof(d->base), "%s", base);
	snprintf(name, sizeof(name), "_%u._tcp.%s", x->conn->host->port, base);
	d->query = dns_resolve(x->d->dns, str_c(name), DNS_TLSA, on_tlsa, x);
	if (!d->query) {
		d->state = DANE_FAILED;
		snprintf(d->why, sizeof(d->why), "TLSA records: out of memory");
		xact_resolved(x);
	}
}

static void on_tlsa(void *arg, const struct dns_answer *a)
{
	struct xact *x = arg;
	struct dane *d = &x->dane;

	d->query = NULL;
	dane_take(d, a);
	/* RFC 7672 2.2.2, 2.2.3: of the name that an alias leads to, or, where there are no signed ones, of
	 * the alias itself. Records that are not signed are none. */
	if ((d->state == DANE_NONE || d->state == DANE_INSECURE) &&
	    strcasecmp(d->base, x->conn->host->name))
		ask(x, x->conn->host->name);
	else
		xact_resolved(x);
}

static void insecure(struct xact *x)
{
	struct dane *d = &x->dane;

	d->state = DANE_INSECURE;
	snprintf(d->why, sizeof(d->why), "%s are not signed",
		 x->unsigned_mx ? "MX records" : "addresses");
	xact_resolved(x);
}

static void on_cname(void *arg, const struct dns_answer *a)
{
	struct xact *x = arg;
	struct dane *d = &x->dane;

	d->query = NULL;
	if (a->status == DNS_TEMPFAIL || a->status == DNS_BOGUS) {
		d->state = DANE_FAILED;
		snprintf(d->why, sizeof(d->why), "its alias: %s: %.80s",
			 a->status == DNS_BOGUS ? "bogus" : "no answer", a->reason);
		xact_resolved(x);
	} else if (a->status == DNS_OK && a->secure) {
		ask(x, x->conn->host->name);
	} else {
		insecure(x);
	}
}

/* RFC 7672 2.2.2: the addresses may be unsigned only because a signed alias leads to them. Then records
 * of the alias still bind. */
static void ask_alias(struct xact *x)
{
	struct dane *d = &x->dane;

	d->query = dns_resolve(x->d->dns, str_c(x->conn->host->name), DNS_CNAME, on_cname, x);
	if (d->query)
		return;
	d->state = DANE_FAILED;
	snprintf(d->why, sizeof(d->why), "its alias: out of memory");
	xact_resolved(x);
}

void dane_start(struct xact *x, bool secure)
{
	struct dane *d = &x->dane;

	if (x->route->tls.policy < TLS_POLICY_DANE || !x->n_found) {
		xact_resolved(x);
		return;
	}
	if (x->dns[0] == DNS_BOGUS || x->dns[1] == DNS_BOGUS) {
		d->state = DANE_FAILED;
		snprintf(d->why, sizeof(d->why), "addresses are bogus");
		xact_resolved(x);
		return;
	}
	if (x->unsigned_mx || (!secure && !x->alias[0])) {
		insecure(x);
		return;
	}
	if (!secure) {
		ask_alias(x);
		return;
	}
	ask(x, x->alias[0] ? x->alias : x->conn->host->name);
}
