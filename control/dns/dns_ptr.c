/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/dns/dns.h"

#include <stdlib.h>

/*
 * RFC 8601 3 (iprev): the reverse names, then their addresses, all at once; the first name in the
 * order of the reply that leads back to the address is the confirmed one.
 */

#define MAX_NAMES 10 /* as for SPF, RFC 7208 5.5 */

struct candidate {
	struct ptr_query *parent;
	struct dns_query *query;
	char name[256];
	bool confirmed;
};

struct ptr_query {
	struct dns *d;
	struct ip_addr ip;
	ptr_callback *cb;
	void *arg;
	struct dns_query *reverse;
	struct candidate name[MAX_NAMES];
	size_t n, open;
	bool tempfail;
};

static void finish(struct ptr_query *p, int status)
{
	struct ptr_result r = {.status = PTR_NONE};
	ptr_callback *cb = p->cb;
	void *arg = p->arg;

	r.status = status;
	for (size_t i = 0; i < p->n && status == PTR_OK; i++) {
		if (p->name[i].confirmed) {
			memcpy(r.name, p->name[i].name, sizeof(r.name));
			break;
		}
	}
	free(p);
	cb(arg, &r);
}

static void forward_done(void *arg, const struct dns_answer *a)
{
	struct candidate *c = arg;
	struct ptr_query *p = c->parent;
	const uint8_t *want = ip_is_v4(&p->ip) ? p->ip.a + 12 : p->ip.a;
	size_t len = ip_is_v4(&p->ip) ? 4 : 16;
	bool any = false;

	c->query = NULL;
	for (size_t i = 0; i < a->n; i++)
		if (a->rr[i].len == len && memcmp(a->rr[i].data, want, len) == 0)
			c->confirmed = true;
	if (a->status == DNS_TEMPFAIL || a->status == DNS_BOGUS)
		p->tempfail = true;
	if (--p->open)
		return;
	for (size_t i = 0; i < p->n; i++)
		any |= p->name[i].confirmed;
	finish(p, any ? PTR_OK : p->tempfail ? PTR_TEMPFAIL : PTR_MISMATCH);
}

static void reverse_done(void *arg, const struct dns_answer *a)
{
	struct ptr_query *p = arg;
	uint16_t type = ip_is_v4(&p->ip) ? DNS_A : DNS_AAAA;

	p->reverse = NULL;
	if (a->status == DNS_TEMPFAIL || a->status == DNS_BOGUS) {
		finish(p, PTR_TEMPFAIL);
		return;
	}
	for (size_t i = 0; i < a->n && i < MAX_NAMES; i++) {
		struct candidate *c = &p->name[p->n];

		/* The name goes into Received: only a host name will do. */
		if (dns_name(&a->rr[i], 0, c->name, sizeof(c->name)) <= 0 ||
		    !domain_is_valid(str_c(c->name)))
			continue;
		c->parent = p;
		p->n++;
	}
	for (size_t i = 0; i < p->n; i++) {
		struct candidate *c = &p->name[i];

		c->query = dns_resolve(p->d, str_c(c->name), type, forward_done, c);
		if (c->query)
			p->open++;
		else
			p->tempfail = true;
	}
	if (p->open == 0)
		finish(p, p->tempfail ? PTR_TEMPFAIL : a->n ? PTR_MISMATCH : PTR_NONE);
}

struct ptr_query *ptr_resolve(struct dns *d, const struct ip_addr *ip, ptr_callback *cb, void *arg)
{
	struct ptr_query *p = calloc(1, sizeof(*p));
	char name[80];

	if (!p)
		return NULL;
	p->d = d;
	p->ip = *ip;
	p->cb = cb;
	p->arg = arg;
	dns_reverse_name(ip, name, sizeof(name));
	p->reverse = dns_resolve(d, str_c(name), DNS_PTR, reverse_done, p);
	if (!p->reverse) {
		free(p);
		return NULL;
	}
	return p;
}

void ptr_cancel(struct ptr_query *p)
{
	if (!p)
		return;
	dns_cancel(p->reverse);
	for (size_t i = 0; i < p->n; i++)
		dns_cancel(p->name[i].query);
	free(p);
}
