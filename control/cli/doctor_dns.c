/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What the DNS says of the next hops, of the domains, and of the key that seals. */

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "control/cli/doctor.h"
#include "control/cli/keys.h"

#define MAX_HOSTS 16 /* of one answer or route that are looked at */

struct ask {
	dns_callback *cb;
	void *arg;
	struct ptr_result *ptr;
	bool done;
};

static void on_answer(void *arg, const struct dns_answer *answer)
{
	struct ask *a = arg;

	a->cb(a->arg, answer);
	a->done = true;
}

static void wait_for(struct look *l, const struct ask *a)
{
	while (!a->done && event_base_loop(l->base, EVLOOP_ONCE) == 0)
		;
}

void doctor_ask(struct look *l, const char *name, uint16_t type, dns_callback *cb, void *arg)
{
	struct ask a = {.cb = cb, .arg = arg};

	if (dns_resolve(l->dns, str_c(name), type, on_answer, &a))
		wait_for(l, &a);
}

static void on_ptr(void *arg, const struct ptr_result *r)
{
	struct ask *a = arg;

	*a->ptr = *r;
	a->done = true;
}

void doctor_ask_ptr(struct look *l, const struct ip_addr *ip, struct ptr_result *out)
{
	struct ask a = {.ptr = out};

	*out = (struct ptr_result){.status = PTR_TEMPFAIL};
	if (ptr_resolve(l->dns, ip, on_ptr, &a))
		wait_for(l, &a);
}

struct list {
	enum dns_status status;
	size_t n;
	struct ip_addr ip[MAX_HOSTS];
	char name[MAX_HOSTS][256];
};

static void on_a(void *arg, const struct dns_answer *answer)
{
	struct list *l = arg;

	l->status = answer->status;
	for (size_t i = 0; answer->status == DNS_OK && i < answer->n && l->n < MAX_HOSTS; i++)
		if (answer->rr[i].len == 4) {
			l->ip[l->n] = (struct ip_addr){{[10] = 0xff, [11] = 0xff}};
			memcpy(l->ip[l->n++].a + 12, answer->rr[i].data, 4);
		}
}

static void on_mx(void *arg, const struct dns_answer *answer)
{
	struct list *l = arg;

	l->status = answer->status;
	for (size_t i = 0; answer->status == DNS_OK && i < answer->n && l->n < MAX_HOSTS; i++)
		if (dns_name(&answer->rr[i], 2, l->name[l->n], sizeof(l->name[0])) >= 0)
			l->n++;
}

size_t doctor_addresses(struct look *l, const char *host, struct ip_addr *out, size_t cap,
			enum dns_status *status)
{
	struct list found = {.status = DNS_TEMPFAIL};

	doctor_ask(l, host, DNS_A, on_a, &found);
	*status = found.status;
	for (size_t i = 0; i < found.n && i < cap; i++)
		out[i] = found.ip[i];
	return found.n < cap ? found.n : cap;
}

static bool no_answer(enum dns_status s)
{
	return s == DNS_TEMPFAIL || s == DNS_BOGUS;
}

/* ---- next hops ------------------------------------------------------------------------------ */

static void check_host(struct doctor *d, const char *host)
{
	struct findings *f = &d->findings;
	struct ip_addr ip[MAX_HOSTS];
	enum dns_status status;
	char buf[64];
	size_t n;

	if (!doctor_is_door(d->side, host)) {
		findings_add(f, "next-hop", FINDINGS_FAIL, "%.200s is no name of %s", host,
			     arrived_side_name(d->side));
		findings_advise(f, d->side == ARRIVED_EXCHANGE
					   ? "The tenant's host is "
					     "DOMAIN.mail.protection.outlook.com, with dashes for "
					     "dots (admin center, Settings, Domains)."
					   : "The host is smtp.google.com, or aspmx.l.google.com "
					     "and its alternatives.");
		return;
	}
	n = doctor_addresses(&d->look, host, ip, MAX_HOSTS, &status);
	if (no_answer(status)) {
		findings_add(f, "next-hop", FINDINGS_UNKNOWN, "DNS does not answer for %.200s",
			     host);
		return;
	}
	if (!n) {
		findings_add(f, "next-hop", FINDINGS_FAIL, "%.200s has no IPv4 address", host);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (ip_is_private(&ip[i])) {
			findings_add(f, "next-hop", FINDINGS_FAIL,
				     "%.200s leads to %s, a private "
				     "address: this resolver does not see what the world sees",
				     host, ip_format(&ip[i], buf, sizeof(buf)));
			return;
		}
	findings_add(f, "next-hop", FINDINGS_OK, "%.200s, %zu IPv4 address%s", host, n,
		     n == 1 ? "" : "es");
}

static void check_mx_way(struct doctor *d, const char *domain)
{
	struct list mx = {.status = DNS_TEMPFAIL};

	doctor_ask(&d->look, domain, DNS_MX, on_mx, &mx);
	if (no_answer(mx.status))
		findings_add(&d->findings, "next-hop", FINDINGS_UNKNOWN,
			     "DNS does not answer for the "
			     "MX records of %.200s",
			     domain);
	else if (!mx.n)
		findings_add(&d->findings, "next-hop", FINDINGS_FAIL, "%.200s has no MX records",
			     domain);
	for (size_t i = 0; i < mx.n; i++)
		check_host(d, mx.name[i]);
}

/* Where senders find us: as long as they find the cloud there, they pass us by. */
static void check_public_mx(struct doctor *d, const char *domain)
{
	struct list mx = {.status = DNS_TEMPFAIL};
	const char *cloud = NULL;

	doctor_ask(&d->look, domain, DNS_MX, on_mx, &mx);
	for (size_t i = 0; i < mx.n; i++)
		if (doctor_is_door(d->side, mx.name[i]))
			cloud = mx.name[i];
	if (no_answer(mx.status)) {
		findings_add(&d->findings, "mx", FINDINGS_UNKNOWN,
			     "DNS does not answer for the MX "
			     "records of %.200s",
			     domain);
	} else if (!mx.n) {
		findings_add(&d->findings, "mx", FINDINGS_WARNING, "%.200s has no MX records",
			     domain);
	} else if (cloud) {
		findings_add(&d->findings, "mx", FINDINGS_FAIL,
			     "mail for %.200s finds %.200s in the "
			     "DNS: senders that choose it pass this gateway by",
			     domain, cloud);
		findings_advise(&d->findings,
				"Leave the names of this gateway alone in its MX "
				"records, before the cloud is told to take mail from it "
				"only.");
	} else {
		findings_add(&d->findings, "mx", FINDINGS_OK,
			     "mail for %.200s does not go to the "
			     "cloud directly",
			     domain);
	}
}

void doctor_hosts(struct doctor *d)
{
	const struct config_route *r = d->route;

	if (r->mx && r->mx_domain)
		check_mx_way(d, r->mx_domain);
	for (size_t i = 0; i < r->n_domains && i < MAX_HOSTS; i++) {
		if (r->domain[i][0] == '.')
			continue;
		if (r->mx && !r->mx_domain)
			check_mx_way(d, r->domain[i]);
		else
			check_public_mx(d, r->domain[i]);
	}
	for (size_t i = 0; i < r->n_hosts && i < MAX_HOSTS; i++) {
		if (!r->host[i].is_ip) {
			check_host(d, r->host[i].name);
			continue;
		}
		findings_add(&d->findings, "next-hop", FINDINGS_WARNING,
			     "%.100s is an address: "
			     "whether it is one of %s cannot be told, and they change",
			     r->host[i].name, arrived_side_name(d->side));
		findings_advise(&d->findings, "Use the provider's host name.");
	}
}

/* ---- sealer --------------------------------------------------------------------------------- */

struct key_asked {
	const struct arc_key *key;
	enum keys_published published;
	char why[160];
};

static void on_key(void *arg, const struct dns_answer *answer)
{
	struct key_asked *k = arg;

	k->published = keys_published(k->key, answer, k->why, sizeof(k->why));
}

void doctor_keys(struct doctor *d)
{
	const struct config_arc_key *key = config_arc_key_at(d->route, d->look.now);
	struct key_asked asked = {.published = KEYS_FAILED, .why = "out of memory"};
	char name[600];

	if (d->route->arc_seal == ARC_SEAL_NEVER)
		return;
	if (!key) {
		findings_add(&d->findings, "sealer", FINDINGS_FAIL,
			     "arc-seal is on, and no key is "
			     "active today: nothing is sealed");
		findings_advise(&d->findings, "posternctl keys lists them with their days.");
		return;
	}
	snprintf(name, sizeof(name), "%s._domainkey.%s", key->selector, key->domain);
	asked.key = key->key;
	doctor_ask(&d->look, name, DNS_TXT, on_key, &asked);
	if (asked.published == KEYS_OK) {
		findings_add(&d->findings, "sealer", FINDINGS_OK,
			     "%.300s is published, and is that of "
			     "the key that signs",
			     name);
	} else {
		findings_add(&d->findings, "sealer",
			     asked.published == KEYS_FAILED ? FINDINGS_UNKNOWN : FINDINGS_FAIL,
			     "%.300s: %s", name, asked.why);
		findings_advise(&d->findings, "posternctl keys prints the record to publish.");
	}
}
