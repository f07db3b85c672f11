/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What only the whole configuration can show. Runs on a tree whose values are good one by one. */

#include <stdlib.h>
#include <string.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

static const struct config_node *child_at(const struct config_node *section, const char *key,
					  const char *name, const char *leaf)
{
	const struct config_node *n = config_child(section, key);

	n = n ? config_child(n, name) : NULL;
	return n ? config_child(n, leaf) : NULL;
}

static const struct config_node *element(const struct config_node *array, size_t i)
{
	const struct config_node *n = array ? array->first : NULL;

	while (n && i--)
		n = n->next;
	return n;
}

static void check_listeners(struct config_reader *r, const struct config_node *root)
{
	const struct config *c = r->out;
	struct {
		const struct config_listener *l;
		const struct ip_net *a;
	} all[HANDOFF_MAX_LISTENERS];
	size_t n = 0;

	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct config_listener *l = &c->listener[i];

		for (size_t j = 0; j < l->n_addresses; j++) {
			const struct config_node *at =
				element(child_at(root, "listener", l->name, "address"), j);

			if (n == HANDOFF_MAX_LISTENERS) {
				config_fail(r->c, at, NULL, "more than %u listener addresses in all",
					    HANDOFF_MAX_LISTENERS);
				return;
			}
			for (size_t k = 0; k < n; k++) {
				if (memcmp(&all[k].a->addr, &l->address[j].addr, sizeof(struct ip_addr)))
					continue;
				if (all[k].l->smtp_port == l->smtp_port)
					config_fail(r->c, at, NULL, "address and port are taken by "
						    "listener \"%s\" already", all[k].l->name);
				else if (all[k].l->ethdev != l->ethdev)
					config_fail(r->c, at, NULL, "address is on port %u in listener "
						    "\"%s\"", all[k].l->ethdev, all[k].l->name);
				else if (all[k].a->prefix != l->address[j].prefix)
					config_fail(r->c, at, NULL, "address has another prefix in "
						    "listener \"%s\"", all[k].l->name);
			}
			all[n].l = l;
			all[n++].a = &l->address[j];
		}
	}
}

static bool is_own(const struct config *c, const struct ip_addr *ip, const char **listener)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		for (size_t j = 0; j < c->listener[i].n_addresses; j++)
			if (!memcmp(&c->listener[i].address[j].addr, ip, sizeof(*ip))) {
				*listener = c->listener[i].name;
				return true;
			}
	return false;
}

static void check_hosts(struct config_reader *r, const struct config_node *root,
			const struct config_route *route)
{
	const struct config_node *hosts = child_at(root, "route", route->name, "hosts");
	const char *listener = NULL;
	bool fits = false;

	for (size_t i = 0; i < route->n_hosts; i++) {
		const struct config_host *h = &route->host[i];
		enum config_family other = h->is_ip && ip_is_v4(&h->ip) ? FAMILY_V6 : FAMILY_V4;

		fits |= !h->is_ip || route->family != other;
		if (h->is_ip && is_own(r->out, &h->ip, &listener))
			config_fail(r->c, element(hosts, i), NULL, "%s is our own address (listener "
				    "\"%s\"): mail would go round in a loop", h->name, listener);
		else if (!h->is_ip && r->out->hostname && !strcmp(h->name, r->out->hostname))
			config_fail(r->c, element(hosts, i), NULL, "%s is our own name: mail would go "
				    "round in a loop", h->name);
	}
	if (route->n_hosts && !fits) {
		const struct config_node *source = child_at(root, "route", route->name, "source-address");

		config_fail(r->c, source ? source : hosts, NULL, "no host of this route is of the same "
			    "address family (source-address, family, provider)");
	}
}

/* Mail for our own name, by its own MX records, comes here. */
static void check_mx(struct config_reader *r, const struct config_node *root,
		     const struct config_route *route)
{
	const char *own = r->out->hostname;

	if (!route->mx || !own)
		return;
	if (route->mx_domain && !strcmp(route->mx_domain, own))
		config_fail(r->c, child_at(root, "route", route->name, "mx"), NULL, "%s is our own name: "
			    "mail would go round in a loop", own);
	for (size_t i = 0; i < route->n_domains && !route->mx_domain; i++)
		if (!strcmp(route->domain[i], own))
			config_fail(r->c, element(child_at(root, "route", route->name, "domains"), i),
				    NULL, "%s is our own name: by its MX records mail would go round "
				    "in a loop", own);
}

static void check_route(struct config_reader *r, const struct config_node *root,
			const struct config_route *route)
{
	check_hosts(r, root, route);
	check_mx(r, root, route);
	if (route->tls.policy >= TLS_POLICY_DANE && !r->out->dns.trust_anchor_file)
		config_fail(r->c, child_at(root, "route", route->name, "tls"), NULL,
			    "DANE needs DNSSEC: dns.trust-anchor-file is missing");
}

struct domain_use {
	const char *domain;
	const struct config_route *route;
	size_t index;
};

static int by_domain(const void *a, const void *b)
{
	const struct domain_use *x = a, *y = b;
	int d = strcmp(x->domain, y->domain);

	if (d)
		return d;
	if (x->route != y->route)
		return x->route < y->route ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static void check_domains(struct config_reader *r, const struct config_node *root)
{
	const struct config *c = r->out;
	struct domain_use *use;
	size_t n = 0, at = 0;

	for (size_t i = 0; i < c->n_routes; i++)
		n += c->route[i].n_domains;
	use = config_alloc(&r->c->mem, n * sizeof(*use));
	if (!use || !n)
		return;
	for (size_t i = 0; i < c->n_routes; i++)
		for (size_t j = 0; j < c->route[i].n_domains; j++)
			use[at++] = (struct domain_use){c->route[i].domain[j], &c->route[i], j};
	qsort(use, n, sizeof(*use), by_domain);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(use[i].domain, use[i - 1].domain))
			continue;
		config_fail(r->c, element(child_at(root, "route", use[i].route->name, "domains"),
					  use[i].index), NULL,
			    "%s is a domain of route \"%s\" already", use[i].domain,
			    use[i - 1].route->name);
	}
}

void config_check_net(struct config_reader *r, const struct config_node *root)
{
	check_listeners(r, root);
	for (size_t i = 0; i < r->out->n_routes; i++)
		check_route(r, root, &r->out->route[i]);
	check_domains(r, root);
}
