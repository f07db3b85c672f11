/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What DNS said for one message: each name is asked once, whoever needs it. And the tree walk of
 * RFC 9989 4.10 over it: a walk that meets a name without an answer asks for it and says "not yet";
 * it is begun again, from memory, when answers have come.
 *
 * At most LIMIT_DMARC_AUTHORS walks of authors (8 names, one for existence, one for the public
 * suffix list) and LIMIT_DKIM_SIGNATURES + 1 walks of identifiers: 138 names.
 */

#include "control/auth/dmarc/record.h"
#include "control/dns/dns.h"
#include "postern/limits.h"

struct dmarc_name {
	struct dmarc_names *names;
	struct dmarc_name *next;
	char name[LIMIT_DNS_NAME + 1]; /* as asked */
	struct dns_query *query;       /* NULL: answered */
	enum dns_status status;
	unsigned int n_records;        /* records that begin with v=DMARC1 */
	struct dmarc_record record;    /* if there is exactly one */
};

struct dmarc_names {
	struct dns *dns;
	struct dmarc_name *first;
	unsigned int open;
	bool closed;                   /* the time is over: nothing more is asked */
	void (*answered)(void *arg);   /* after each answer, inside the callback of dns.h */
	void *arg;
};

void dmarc_names_free(struct dmarc_names *n);
/* What is open counts as a temporary failure, and so does what is asked from now on. */
void dmarc_names_close(struct dmarc_names *n);

enum dmarc_wait { DMARC_READY, DMARC_WAITING };
/* What is known of "_dmarc.<domain>" (policy) or of the domain itself; *out NULL: it cannot be
 * asked (out of memory, too late), which is a temporary failure. */
enum dmarc_wait dmarc_name_get(struct dmarc_names *n, const char *domain, bool policy,
			       const struct dmarc_name **out);
bool dmarc_name_failed(const struct dmarc_name *n); /* temporarily */
/* The one policy record there, or NULL. */
const struct dmarc_record *dmarc_name_record(const struct dmarc_name *n);

/* Pointers into the domain that was walked, or into the names. */
struct dmarc_walk {
	bool failed;                   /* temporarily: org and what stands above are not known */
	const struct dmarc_record *exact;
	const char *org;               /* organizational domain, RFC 9989 4.10.2 */
	const struct dmarc_record *org_record;
	const char *psd;               /* where the walk met psd=y above its start, or NULL */
	const struct dmarc_record *psd_record;
};
enum dmarc_wait dmarc_walk(struct dmarc_names *n, const char *domain, struct dmarc_walk *out);

/* Labels cut off from the left: the k rightmost labels of the domain; all if it has fewer. */
const char *dmarc_labels(const char *domain, unsigned int k);
unsigned int dmarc_label_count(const char *domain);
/* Is `domain` the same as `top`, or below it? */
bool dmarc_below(const char *domain, const char *top);
