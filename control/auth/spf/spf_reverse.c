/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/auth/spf/spf_check.h"

#include <errno.h>

/* RFC 7208 5.5 and %{p}: at most ten names, each confirmed by its own addresses. */

static void ready(struct spf_check *c)
{
	c->reverse.state = SPF_REVERSE_READY;
	if (c->explaining)
		spf_explain(c);
	else
		spf_fetch_pump(c);
}

static void forward_done(void *arg, const struct dns_answer *a)
{
	__typeof__(((struct spf_reverse *)0)->host[0]) *h = arg;
	struct spf_check *c = h->c;
	bool v4 = ip_is_v4(&c->ip);

	h->query = NULL;
	if (a->status == DNS_TEMPFAIL || a->status == DNS_BOGUS)
		c->unsure = true;
	else if (a->ttl < c->ttl)
		c->ttl = a->ttl;
	/* RFC 7208 5.5: on an error the name is skipped. */
	for (size_t i = 0; i < a->n; i++)
		if (a->rr[i].len == (v4 ? 4 : 16) &&
		    memcmp(a->rr[i].data, v4 ? c->ip.a + 12 : c->ip.a, a->rr[i].len) == 0)
			h->confirmed = true;
	if (--c->reverse.open == 0)
		ready(c);
}

static void reverse_done(void *arg, const struct dns_answer *a)
{
	struct spf_check *c = arg;
	struct spf_reverse *r = &c->reverse;
	uint16_t type = ip_is_v4(&c->ip) ? DNS_A : DNS_AAAA;

	r->query = NULL;
	r->status = a->status == DNS_OK                                   ? SPF_ANSWER_OK
		    : a->status == DNS_TEMPFAIL || a->status == DNS_BOGUS ? SPF_ANSWER_TEMPFAIL
									  : SPF_ANSWER_VOID;
	if (r->status == SPF_ANSWER_TEMPFAIL)
		c->unsure = true;
	else if (a->ttl < c->ttl)
		c->ttl = a->ttl;
	for (size_t i = 0; i < a->n && i < LIMIT_SPF_PTR; i++) {
		if (dns_name(&a->rr[i], 0, r->host[r->n].name, sizeof(r->host[0].name)) <= 0)
			continue;
		r->host[r->n++].c = c;
	}
	for (size_t i = 0; i < r->n; i++) {
		r->host[i].query = dns_resolve(c->jail->dns, str_c(r->host[i].name), type,
					       forward_done, &r->host[i]);
		if (r->host[i].query)
			r->open++;
	}
	if (r->open == 0)
		ready(c);
}

int spf_reverse_start(struct spf_check *c)
{
	char name[80];

	if (c->reverse.state != SPF_REVERSE_UNKNOWN)
		return 0;
	dns_reverse_name(&c->ip, name, sizeof(name));
	c->reverse.query = dns_resolve(c->jail->dns, str_c(name), DNS_PTR, reverse_done, c);
	if (!c->reverse.query)
		return -ENOMEM;
	c->reverse.state = SPF_REVERSE_ASKING;
	return 0;
}

void spf_reverse_free(struct spf_check *c)
{
	dns_cancel(c->reverse.query);
	for (size_t i = 0; i < c->reverse.n; i++)
		dns_cancel(c->reverse.host[i].query);
}

bool spf_is_within(struct str name, struct str domain)
{
	if (domain.n && domain.p[domain.n - 1] == '.')
		domain.n--;
	if (!str_iends(name, domain) || domain.n == 0)
		return false;
	return name.n == domain.n || name.p[name.n - domain.n - 1] == '.';
}

const char *spf_reverse_pick(const struct spf_check *c, struct str current)
{
	const struct spf_reverse *r = &c->reverse;
	const char *within = NULL, *any = NULL;

	for (size_t i = 0; i < r->n; i++) {
		const char *name = r->host[i].name;

		if (!r->host[i].confirmed)
			continue;
		if (str_ieq(str_c(name), current))
			return name;
		if (!within && spf_is_within(str_c(name), current))
			within = name;
		if (!any)
			any = name;
	}
	return within ? within : any ? any : "unknown";
}
