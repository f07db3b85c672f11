/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <stdio.h>
#include <stdlib.h>

#include "control/auth/dmarc/names.h"

/* ---- names ---------------------------------------------------------------------------------- */

void dmarc_names_close(struct dmarc_names *n)
{
	for (struct dmarc_name *e = n->first; e; e = e->next) {
		if (!e->query)
			continue;
		dns_cancel(e->query);
		e->query = NULL;
		e->status = DNS_TEMPFAIL;
	}
	n->open = 0;
	n->closed = true;
}

void dmarc_names_free(struct dmarc_names *n)
{
	dmarc_names_close(n);
	while (n->first) {
		struct dmarc_name *e = n->first;

		n->first = e->next;
		free(e);
	}
}

static void on_answer(void *arg, const struct dns_answer *a)
{
	struct dmarc_name *e = arg;
	uint8_t text[LIMIT_DMARC_RECORD];
	struct dmarc_record record;

	e->query = NULL;
	e->status = a->status;
	for (size_t i = 0; a->status == DNS_OK && i < a->n; i++) {
		long len = dns_txt(&a->rr[i], text, sizeof(text));

		if (len < 0 || !dmarc_record_parse(str_make(text, (size_t)len), &record))
			continue;
		e->record = record;
		e->n_records++;
	}
	e->names->open--;
	e->names->answered(e->names->arg);
}

enum dmarc_wait dmarc_name_get(struct dmarc_names *n, const char *domain, bool policy,
			       const struct dmarc_name **out)
{
	/* A name of which "_dmarc." makes more than DNS can hold does not exist. */
	static const struct dmarc_name too_long = {.status = DNS_NXDOMAIN};
	char name[LIMIT_DNS_NAME + 1];
	struct dmarc_name *e;
	int len = snprintf(name, sizeof(name), "%s%s", policy ? "_dmarc." : "", domain);

	*out = &too_long;
	if (len < 0 || (size_t)len >= sizeof(name))
		return DMARC_READY;
	*out = NULL;
	for (e = n->first; e; e = e->next)
		if (!strcmp(e->name, name)) {
			*out = e;
			return e->query ? DMARC_WAITING : DMARC_READY;
		}
	e = n->closed ? NULL : calloc(1, sizeof(*e));
	if (!e)
		return DMARC_READY;
	e->names = n;
	memcpy(e->name, name, sizeof(name));
	e->status = DNS_TEMPFAIL;
	e->next = n->first;
	n->first = e;
	*out = e;
	e->query = dns_resolve(n->dns, str_c(e->name), DNS_TXT, on_answer, e);
	if (!e->query)
		return DMARC_READY;
	n->open++;
	return DMARC_WAITING;
}

bool dmarc_name_failed(const struct dmarc_name *n)
{
	return !n || n->status == DNS_TEMPFAIL || n->status == DNS_BOGUS;
}

const struct dmarc_record *dmarc_name_record(const struct dmarc_name *n)
{
	/* RFC 9989 4.10: several records are none. */
	return n && n->n_records == 1 ? &n->record : NULL;
}

/* ---- labels --------------------------------------------------------------------------------- */

unsigned int dmarc_label_count(const char *domain)
{
	unsigned int n = 1;

	for (; *domain; domain++)
		n += *domain == '.';
	return n;
}

const char *dmarc_labels(const char *domain, unsigned int k)
{
	for (unsigned int n = dmarc_label_count(domain); n > k; n--)
		domain = strchr(domain, '.') + 1;
	return domain;
}

bool dmarc_below(const char *domain, const char *top)
{
	size_t n = strlen(domain), t = strlen(top);

	return n >= t && !strcmp(domain + n - t, top) && (n == t || domain[n - t - 1] == '.');
}

/* ---- the walk ------------------------------------------------------------------------------- */

/* What a record at `at` says of the walk. True: it ends here. */
static bool step(struct dmarc_walk *w, const char *domain, const char *at,
		 const struct dmarc_record *rec)
{
	if (at == domain)
		w->exact = rec;
	/* RFC 9989 4.10.2: psd=n is the organizational domain itself, above it nothing counts;
	 * psd=y is one label above it, unless the walk began there. Else the fewest labels with a
	 * record. */
	if (rec->psd == 'y' && at != domain) {
		const char *org = dmarc_labels(domain, dmarc_label_count(at) + 1);

		if (w->org != org)
			w->org_record = NULL;
		w->org = org;
		w->psd = at;
		w->psd_record = rec;
		return true;
	}
	w->org = at;
	w->org_record = rec;
	return rec->psd != 'u';
}

enum dmarc_wait dmarc_walk(struct dmarc_names *n, const char *domain, struct dmarc_walk *out)
{
	unsigned int labels = dmarc_label_count(domain);

	/* RFC 9989 4.10.2: without any record the domain is its own organizational domain. */
	*out = (struct dmarc_walk){.org = domain};
	for (unsigned int k = labels; k > 0;) {
		const char *at = dmarc_labels(domain, k);
		const struct dmarc_record *rec;
		const struct dmarc_name *e;

		if (dmarc_name_get(n, at, true, &e) == DMARC_WAITING)
			return DMARC_WAITING;
		if (dmarc_name_failed(e)) {
			out->failed = true;
			return DMARC_READY;
		}
		rec = dmarc_name_record(e);
		if (rec && step(out, domain, at, rec))
			return DMARC_READY;
		/* RFC 9989 4.10: a long name is cut, so that no walk has more than 8 queries. */
		k = k > LIMIT_DMARC_LABELS + 1 ? LIMIT_DMARC_LABELS : k - 1;
	}
	return DMARC_READY;
}
