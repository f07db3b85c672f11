/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What DNS makes of the routes of a configuration that has just come into force. MX records are not
 * in the file, so it cannot be refused for them; but that they lead back here, or nowhere, is to be
 * heard before the first message that waits for it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/deliver/internal.h"

struct route_check {
	TAILQ_ENTRY(route_check) link;
	struct deliver *d;
	struct config *config;       /* referenced */
	const struct config_route *route;
	const char *domain;
	struct mx_query *mx;         /* NULL: answered */
};

static void check_free(struct route_check *k)
{
	TAILQ_REMOVE(&k->d->checks, k, link);
	if (k->mx)
		mx_cancel(k->mx);
	config_unref(k->config);
	free(k);
}

void route_checks_drop(struct deliver *d)
{
	while (!TAILQ_EMPTY(&d->checks))
		check_free(TAILQ_FIRST(&d->checks));
}

static void on_mx(void *arg, const struct mx_result *r)
{
	static const char *const what[] = {
		[MX_NULL] = "has a null MX: its mail is refused",
		[MX_SELF] = "has MX records that lead back here and to nothing better: its mail is deferred",
		[MX_NOWHERE] = "does not exist, or its MX records name no host: its mail is deferred",
		[MX_FAILED] = NULL, [MX_FOUND] = NULL,
	};
	struct route_check *k = arg;
	struct deliver_alert a = {.route = k->route->name};
	char text[LIMIT_DNS_NAME + 160];

	k->mx = NULL;
	if (what[r->status] && k->d->on_alert) {
		snprintf(text, sizeof(text), "%s %s", k->domain, what[r->status]);
		a.text = text;
		k->d->on_alert(k->d->alert_arg, &a);
	}
	check_free(k);
}

static void check(struct deliver *d, struct config *config, const struct config_route *route,
		  const char *domain)
{
	struct route_check *k = calloc(1, sizeof(*k));

	if (!k)
		return;
	k->d = d;
	k->config = config_ref(config);
	k->route = route;
	k->domain = domain;
	TAILQ_INSERT_TAIL(&d->checks, k, link);
	k->mx = mx_resolve(d->dns, config, d->tuning.local_is_own, str_c(domain), on_mx, k);
	if (!k->mx)
		check_free(k);
}

void deliver_check_routes(struct deliver *d, struct config *config)
{
	unsigned int n = 0;

	route_checks_drop(d);
	for (size_t i = 0; i < config->n_routes && d->dns; i++) {
		const struct config_route *r = &config->route[i];

		if (!r->mx)
			continue;
		if (r->mx_domain && n++ < LIMIT_ROUTE_CHECKS)
			check(d, config, r, r->mx_domain);
		for (size_t k = 0; k < r->n_domains && !r->mx_domain; k++)
			if (r->domain[k][0] != '.' && n++ < LIMIT_ROUTE_CHECKS)
				check(d, config, r, r->domain[k]);
	}
}
