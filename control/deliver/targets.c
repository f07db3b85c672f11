/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Next hops of a transaction: the hosts of its route, what the MX records say now, or whom the client
 * dialled, in an order of its own. Lower priority goes first; among equals the draw is by weight, so
 * that RFC 5321 5.1 (equal preference: at random) is weight 1 for all. Those that lately did not connect
 * go behind all others: an order, not a blackout, so that a host that comes back is found by the next message at
 * the latest when the time is over.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/deliver/internal.h"

void targets_free(struct xact *x)
{
	while (x->n_targets)
		x->target[--x->n_targets].host->refs--;
	sts_policy_unref(x->sts);
	x->sts = NULL;
}

static void add_target(struct xact *x, const struct config_host *want, bool by_mx)
{
	struct host *h = pool_host(x->pool, x->route, want, by_mx);

	if (!h || x->n_targets == LIMIT_CONFIG_HOSTS)
		return;
	h->refs++;
	x->target[x->n_targets++] = (struct target){h, want->priority, want->weight};
}

static bool goes_before(const struct target *a, const struct target *b, uint64_t now_ms)
{
	bool a_late = a->host->avoid_until_ms > now_ms, b_late = b->host->avoid_until_ms > now_ms;

	return a_late != b_late ? b_late : a->priority < b->priority;
}

/* Brings to `at` one of the best that are not placed yet. */
static void place_next(struct xact *x, size_t at, uint64_t now_ms)
{
	struct target *t = x->target, best = t[at], pick;
	uint32_t sum = 0, draw;
	size_t i;

	for (i = at; i < x->n_targets; i++)
		if (goes_before(&t[i], &best, now_ms))
			best = t[i];
	for (i = at; i < x->n_targets; i++)
		if (!goes_before(&best, &t[i], now_ms))
			sum += t[i].weight ? t[i].weight : 1u;
	draw = deliver_random(x->d, sum);
	for (i = at; i < x->n_targets; i++) {
		uint32_t weight = t[i].weight ? t[i].weight : 1u;

		if (goes_before(&best, &t[i], now_ms))
			continue;
		if (draw < weight)
			break;
		draw -= weight;
	}
	pick = t[i];
	memmove(&t[at + 1], &t[at], (i - at) * sizeof(t[0]));
	t[at] = pick;
}

static void ready(struct xact *x)
{
	uint64_t now_ms = deliver_now_us() / 1000;

	for (size_t at = 0; at < x->n_targets; at++)
		place_next(x, at, now_ms);
	x->host_at = 0;
	xact_ready(x);
}

/* Nobody's mail is refused for what DNS says of the route itself: it may be put right. */
static void route_broken(struct xact *x, enum postern_ctl_counter counter, uint16_t detail,
			 const char *text)
{
	deliver_count(x->d, counter);
	xact_route_alert(x, text);
	xact_refuse(x, 451, 4, detail, "no way to the mail service is known, try again later");
}

/* RFC 8461 4.1, 5: by the policy of the domain; in mode testing it is only said. */
static bool is_allowed(struct xact *x, const char *host)
{
	size_t n = strlen(x->sts_why);

	if (!x->sts || sts_policy_allows(x->sts, str_c(host)))
		return true;
	snprintf(x->sts_why + n, sizeof(x->sts_why) - n, ", without %.100s", host);
	if (x->sts->mode == STS_ENFORCE) {
		deliver_count(x->d, CTL_sts_mx_refused);
		return false;
	}
	deliver_count(x->d, CTL_sts_testing_failed);
	return true;
}

static void on_mx(void *arg, const struct mx_result *r)
{
	struct xact *x = arg;

	x->mx = NULL;
	x->place = XACT_NEW;
	switch (r->status) {
	case MX_NULL:
		/* RFC 7505 4.1, 4.2 */
		deliver_count(x->d, CTL_route_null_mx);
		xact_refuse(x, 556, 1, 10, "recipient's domain takes no mail (null MX)");
		return;
	case MX_SELF:
		route_broken(x, CTL_route_mx_self, 6, "its MX records lead back here and to nothing better");
		return;
	case MX_NOWHERE:
		route_broken(x, CTL_route_mx_nowhere, 4, "its domain does not exist, or its MX records "
			     "name no host");
		return;
	case MX_FAILED:
		deliver_count(x->d, CTL_route_mx_failed);
		x->dns_failed = true;
		xact_ready(x);
		return;
	case MX_FOUND:
		x->unsigned_mx = !r->secure;
		break;
	}
	for (size_t i = 0; i < r->n; i++) {
		struct config_host want = {
			.name = (char *)(uintptr_t)r->host[i].name, .port = x->route->port,
			.priority = r->host[i].preference, .weight = 1,
		};

		if (is_allowed(x, want.name))
			add_target(x, &want, true);
	}
	if (x->n_targets || !x->sts) {
		ready(x);
		return;
	}
	tls_facts(x, &x->tls);
	route_broken(x, CTL_sts_refused, 4, "its MTA-STS policy names none of the hosts of its MX records");
}

static void ask_mx(struct xact *x)
{
	if (x->domain[0] && x->d->dns)
		x->mx = mx_resolve(x->d->dns, x->config, x->d->tuning.local_is_own, str_c(x->domain),
				   on_mx, x);
	if (x->mx) {
		x->place = XACT_MX;
		return;
	}
	x->place = XACT_NEW;
	x->dns_failed = true;
	xact_ready(x);
}

static void on_sts(void *arg, const struct sts_result *r)
{
	struct xact *x = arg;

	x->sts_query = NULL;
	x->sts = sts_policy_ref(r->policy);
	if (x->sts)
		snprintf(x->sts_why, sizeof(x->sts_why), "mta-sts: %s", sts_mode_name(x->sts->mode));
	else if (r->error)
		snprintf(x->sts_why, sizeof(x->sts_why), "mta-sts: %s", r->error);
	if (x->sts && x->sts->mode == STS_ENFORCE)
		deliver_count(x->d, CTL_sts_enforced);
	ask_mx(x);
}

/* The server that the client dialled, whoever answers there. */
static void ask_dialled(struct xact *x)
{
	const struct deliver_client *c = x->client;
	char name[64];
	struct config_host want = {.name = name, .is_ip = true, .weight = 1};

	if (!c || !c->local_port) {
		xact_refuse(x, 451, 4, 4, "no way to the mail service is known, try again later");
		return;
	}
	want.ip = c->local;
	want.port = c->local_port;
	ip_format(&c->local, name, sizeof(name));
	/* As what MX records name: others' doing, and not kept for ever. */
	add_target(x, &want, true);
	ready(x);
}

void targets_begin(struct xact *x)
{
	const struct config_route *route = x->route;

	if (route->dialled) {
		ask_dialled(x);
		return;
	}
	if (!route->mx) {
		for (size_t i = 0; i < route->n_hosts; i++)
			add_target(x, &route->host[i], false);
		ready(x);
		return;
	}
	config_route_way(route, mailbox_domain(x->rcpt[0]), x->domain);
	if (route->mx_domain)
		snprintf(x->domain, sizeof(x->domain), "%s", route->mx_domain);
	if (route->mta_sts && x->domain[0] && deliver_sts(x->d))
		x->sts_query = sts_lookup(x->d->sts, str_c(x->domain), on_sts, x);
	if (x->sts_query)
		x->place = XACT_MX;
	else
		ask_mx(x);
}
