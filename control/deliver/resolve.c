/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/deliver/internal.h"

#define N_FOUND (sizeof(((struct xact *)0)->found) / sizeof(struct address))

static const struct host *current(const struct xact *x)
{
	return x->target[x->host_at].host;
}

/* Addresses that are no host: a name that yields them must not send mail to ourselves. */
static bool is_usable(const struct xact *x, const struct ip_addr *ip)
{
	static const uint8_t zero[16];
	bool v4 = ip_is_v4(ip);

	if (x->route->family == (v4 ? FAMILY_V6 : FAMILY_V4))
		return false;
	if (v4)
		return ip->a[12] != 0 && ip->a[12] < 224;
	return memcmp(ip->a, zero, sizeof(zero)) != 0 && ip->a[0] != 0xff;
}

static void add(struct xact *x, const struct ip_addr *ip)
{
	size_t room = x->query[0] || x->query[1] ? N_FOUND / 2 : N_FOUND; /* half for the other */

	if (x->n_found < room && is_usable(x, ip))
		x->found[x->n_found++] = (struct address){.ip = *ip, .port = current(x)->port};
}

static void take(struct xact *x, unsigned int which, const struct dns_answer *answer)
{
	size_t want = which ? 16 : 4, before = x->n_found;

	x->query[which] = NULL;
	x->dns[which] = answer->status;
	x->dns_failed |= answer->status == DNS_TEMPFAIL || answer->status == DNS_BOGUS;
	x->unsigned_addr |= answer->status == DNS_OK && !answer->secure;
	if (answer->status == DNS_OK && answer->alias)
		snprintf(x->alias, sizeof(x->alias), "%s", answer->alias);
	for (size_t i = 0; answer->status == DNS_OK && i < answer->n; i++) {
		struct ip_addr ip = {.a = {[10] = 0xff, [11] = 0xff}};

		if (answer->rr[i].len != want)
			continue;
		memcpy(ip.a + 16 - want, answer->rr[i].data, want);
		add(x, &ip);
	}
	/* In whatever order the answers came. IPv4 goes first unless the route says otherwise: the
	 * large providers judge IPv6 senders by stricter rules. */
	if (which == (x->route->family == FAMILY_PREFER_V6) && before && x->n_found > before) {
		struct address other[N_FOUND];
		size_t n = x->n_found - before;

		memcpy(other, x->found, before * sizeof(other[0]));
		memmove(x->found, x->found + before, n * sizeof(other[0]));
		memcpy(x->found + n, other, before * sizeof(other[0]));
	}
	if (!x->query[0] && !x->query[1]) {
		x->resolved = true;
		dane_start(x, !x->unsigned_addr);
	}
}

static void on_a(void *arg, const struct dns_answer *answer)
{
	take(arg, 0, answer);
}

static void on_aaaa(void *arg, const struct dns_answer *answer)
{
	take(arg, 1, answer);
}

int resolve_start(struct xact *x)
{
	const struct host *h = current(x);
	struct str name = str_c(h->name);

	x->n_found = 0;
	x->unsigned_addr = false;
	x->alias[0] = '\0';
	dane_reset(&x->dane);
	x->dns[0] = x->dns[1] = DNS_NODATA;
	if (h->is_ip) {
		x->found[x->n_found++] = (struct address){.ip = h->ip, .port = h->port};
		x->resolved = true;
		return 0;
	}
	if (!x->d->dns) {
		x->dns[0] = DNS_TEMPFAIL;
		x->dns_failed = true;
		x->resolved = true;
		return 0;
	}
	x->query[0] = dns_resolve(x->d->dns, name, DNS_A, on_a, x);
	if (!x->query[0])
		return -ENOMEM;
	x->query[1] = dns_resolve(x->d->dns, name, DNS_AAAA, on_aaaa, x);
	if (!x->query[1]) {
		resolve_cancel(x);
		return -ENOMEM;
	}
	return 0;
}

void resolve_cancel(struct xact *x)
{
	if (x->mx)
		mx_cancel(x->mx);
	x->mx = NULL;
	if (x->sts_query)
		sts_cancel(x->sts_query);
	x->sts_query = NULL;
	for (unsigned int i = 0; i < 2; i++) {
		if (x->query[i])
			dns_cancel(x->query[i]);
		x->query[i] = NULL;
	}
	dane_reset(&x->dane);
}
