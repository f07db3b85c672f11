/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/deliver/mx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/deliver/address.h"
#include "postern/ascii.h"

struct mx_lookup {
	struct mx_query *q;
	struct dns_query *query;
	bool v6;
	size_t host;
};

struct mx_query {
	const struct config *config;
	bool local;
	char domain[MAIL_ALABEL];
	struct dns *dns;
	struct dns_query *mx;
	struct mx_lookup lookup[2 * LIMIT_CONFIG_HOSTS];
	size_t open;
	bool own[LIMIT_CONFIG_HOSTS];
	struct mx_result result;
	mx_callback *cb;
	void *arg;
};

static void query_free(struct mx_query *q)
{
	if (q->mx)
		dns_cancel(q->mx);
	for (size_t i = 0; i < sizeof(q->lookup) / sizeof(q->lookup[0]); i++)
		if (q->lookup[i].query)
			dns_cancel(q->lookup[i].query);
	free(q);
}

void mx_cancel(struct mx_query *q)
{
	query_free(q);
}

static void done(struct mx_query *q, enum mx_status status)
{
	struct mx_result r = q->result;
	mx_callback *cb = q->cb;
	void *arg = q->arg;

	r.status = status;
	query_free(q);
	cb(arg, &r);
}

/* ---- ourselves ------------------------------------------------------------------------------ */

/* Would a packet to this address stay here? The kernel says so without sending one: it would come
 * from that very address, or it is loopback. */
static bool is_local(const struct ip_addr *ip)
{
	static const struct ip_addr loopback6 = {.a = {[15] = 1}};
	struct sockaddr_storage to, from;
	socklen_t n = address_to_sockaddr(ip, 25, &to), len = sizeof(from);
	int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ip_addr source;
	bool local = ip_is_v4(ip) ? ip->a[12] == 127 : !memcmp(ip, &loopback6, sizeof(*ip));

	if (fd < 0)
		return local;
	if (!connect(fd, (struct sockaddr *)&to, n) &&
	    !getsockname(fd, (struct sockaddr *)&from, &len)) {
		address_from_sockaddr(&from, &source);
		local |= !memcmp(&source, ip, sizeof(source));
	}
	close(fd);
	return local;
}

static bool is_own(const struct mx_query *q, const struct ip_addr *ip)
{
	const struct config *c = q->config;

	for (size_t i = 0; i < c->n_listeners; i++)
		for (size_t k = 0; k < c->listener[i].n_addresses; k++)
			if (!memcmp(&c->listener[i].address[k].addr, ip, sizeof(*ip)))
				return true;
	for (size_t i = 0; i < c->n_routes; i++)
		for (int k = 0; k < 2; k++)
			if (c->route[i].has_source[k] &&
			    !memcmp(&c->route[i].source[k], ip, sizeof(*ip)))
				return true;
	return q->local && is_local(ip);
}

/* RFC 5321 5.1: ourselves, and whatever is not better, are dropped. */
static void finish(struct mx_query *q)
{
	struct mx_result *r = &q->result;
	unsigned int limit = UINT16_MAX + 1u;
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		if (q->own[i] && r->host[i].preference < limit)
			limit = r->host[i].preference;
	while (n < r->n && r->host[n].preference < limit)
		n++;
	r->n = n;
	done(q, n ? MX_FOUND : MX_SELF);
}

static void on_address(void *arg, const struct dns_answer *a)
{
	struct mx_lookup *l = arg;
	struct mx_query *q = l->q;
	size_t want = l->v6 ? 16 : 4;

	l->query = NULL;
	for (size_t i = 0; a->status == DNS_OK && i < a->n; i++) {
		struct ip_addr ip = {.a = {[10] = 0xff, [11] = 0xff}};

		if (a->rr[i].len != want)
			continue;
		memcpy(ip.a + 16 - want, a->rr[i].data, want);
		q->own[l->host] |= is_own(q, &ip);
	}
	if (--q->open == 0)
		finish(q);
}

/* Addresses of all hosts: only they show which one is us under another name. */
static void look_for_ourselves(struct mx_query *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->result.n; i++) {
		q->own[i] = !strcmp(q->result.host[i].name, q->config->hostname);
		for (int v6 = 0; v6 < 2 && !q->own[i]; v6++) {
			struct mx_lookup *l = &q->lookup[n++];

			*l = (struct mx_lookup){.q = q, .v6 = v6, .host = i};
			l->query = dns_resolve(q->dns, str_c(q->result.host[i].name),
					       v6 ? DNS_AAAA : DNS_A, on_address, l);
			if (!l->query) {
				done(q, MX_FAILED);
				return;
			}
			q->open++;
		}
	}
	if (!q->open)
		finish(q);
}

/* ---- MX records ----------------------------------------------------------------------------- */

/* In order of preference; of more than there is room for, the worst are left out. */
static void insert(struct mx_result *r, const char *name, uint16_t preference)
{
	size_t at = r->n;

	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->host[i].name, name)) {
			/* Twice: the better one counts. Taken out, it goes in again below. */
			if (r->host[i].preference <= preference)
				return;
			memmove(&r->host[i], &r->host[i + 1], (--r->n - i) * sizeof(r->host[0]));
			at = r->n;
			break;
		}
	while (at && r->host[at - 1].preference > preference)
		at--;
	if (at == LIMIT_CONFIG_HOSTS)
		return;
	if (r->n == LIMIT_CONFIG_HOSTS)
		r->n--;
	memmove(&r->host[at + 1], &r->host[at], (r->n - at) * sizeof(r->host[0]));
	snprintf(r->host[at].name, sizeof(r->host[at].name), "%s", name);
	r->host[at].preference = preference;
	r->n++;
}

/* Octets that need an escape are of no host; an underscore is against the rules, and seen. */
static bool is_host_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
			return false;
	return s.n > 0;
}

static void on_mx(void *arg, const struct dns_answer *a)
{
	struct mx_query *q = arg;
	bool null = false;

	q->mx = NULL;
	q->result.secure = a->secure;
	switch (a->status) {
	case DNS_OK:
		break;
	case DNS_NODATA:
		insert(&q->result, q->domain, 0); /* RFC 5321 5.1: the implicit MX */
		look_for_ourselves(q);
		return;
	case DNS_NXDOMAIN:
		done(q, MX_NOWHERE);
		return;
	default:
		done(q, MX_FAILED);
		return;
	}
	for (size_t i = 0; i < a->n; i++) {
		const struct dns_rr *rr = &a->rr[i];
		char name[LIMIT_DNS_NAME + 1];
		long n = rr->len > 2 ? dns_name(rr, 2, name, sizeof(name)) : -1;

		/* RFC 7505 3: a null MX stands alone; beside others it is no host. */
		null |= n == 0 || (n == 1 && name[0] == '.');
		if (n <= 0 || name[0] == '.')
			continue;
		for (long k = 0; k < n; k++)
			name[k] = (char)ascii_lower((uint8_t)name[k]);
		if (is_host_name(str_c(name)))
			insert(&q->result, name, (uint16_t)(rr->data[0] << 8 | rr->data[1]));
	}
	if (q->result.n)
		look_for_ourselves(q);
	else
		done(q, null ? MX_NULL : MX_NOWHERE);
}

struct mx_query *mx_resolve(struct dns *dns, const struct config *config, bool local,
			    struct str domain, mx_callback *cb, void *arg)
{
	struct mx_query *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->dns = dns;
	q->config = config;
	q->local = local;
	q->cb = cb;
	q->arg = arg;
	snprintf(q->domain, sizeof(q->domain), "%.*s", STR_FMT(str_cut(domain, MAIL_ALABEL - 1)));
	q->mx = dns_resolve(dns, str_c(q->domain), DNS_MX, on_mx, q);
	if (!q->mx) {
		free(q);
		return NULL;
	}
	return q;
}
