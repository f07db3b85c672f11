/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The policy section. */

#include <string.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

#define N_KEYS(t) (sizeof(t) / sizeof((t)[0]))

bool config_domain_listed(const struct config_domains *list, const char *domain)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->name[i][0] == '.' ? strlen(domain) > strlen(list->name[i]) &&
						      str_iends(str_c(domain), str_c(list->name[i]))
					    : !strcmp(list->name[i], domain))
			return true;
	return false;
}

static void read_domain_list(struct config_reader *r, const struct config_node *n,
			     const struct config_key *k, void *field)
{
	struct config_domains *list = field;

	if (!config_list(r, n, k))
		return;
	list->name = config_alloc(r->mem, (n->n + 1) * sizeof(*list->name));
	for (const struct config_node *e = n->first; e && list->name; e = e->next) {
		const char *name = config_name_or_below(r, e);

		if (!name)
			continue;
		for (size_t i = 0; i < list->n; i++)
			if (!strcmp(list->name[i], name)) {
				config_fail(r->c, e, NULL, "%s is listed twice", e->text);
				break;
			}
		list->name[list->n++] = name;
	}
}


#define POLICY(member) CONFIG_FIELD(struct config_policy, member)

static const struct config_key policy_keys[] = {
	{"dry-run", NULL, POLICY(dry_run)},
	{"tag-score", NULL, POLICY(tag_score)},
	{"quarantine-score", NULL, POLICY(quarantine_score)},
	{"defer-score", NULL, POLICY(defer_score)},
	{"reject-score", NULL, POLICY(reject_score)},
	{"allow-origins", read_access_nets, POLICY(access.allow_origins)},
	{"deny-origins", read_access_nets, POLICY(access.deny_origins)},
	{"deny-senders", read_access_senders, POLICY(access.deny_senders)},
	{"allow-domains", read_access_domains, POLICY(access.allow_domains)},
	{"deny-domains", read_access_domains, POLICY(access.deny_domains)},
	{"deny-action", NULL, POLICY(access.deny_action)},
	{"allow-skips", read_access_skips, POLICY(access.skips)},
	{"greylist", NULL, POLICY(greylist.on)},
	{"greylist-delay", NULL, POLICY(greylist.delay_s)},
	{"greylist-window", NULL, POLICY(greylist.window_s)},
	{"greylist-lifetime", NULL, POLICY(greylist.lifetime_s)},
	{"greylist-prefix-v4", NULL, POLICY(greylist.prefix_v4)},
	{"greylist-prefix-v6", NULL, POLICY(greylist.prefix_v6)},
	{"quarantine-mailbox", read_mailbox, POLICY(quarantine_mailbox)},
	{"quarantine-route", read_route_name, POLICY(quarantine_route_name)},
	{"dmarc", NULL, POLICY(dmarc)},
	{"dmarc-quarantine", NULL, POLICY(dmarc_hold)},
	{"trusted-sealers", read_domain_list, POLICY(trusted_sealers)},
	{"trusted-forwarders", read_domain_list, POLICY(trusted_forwarders)},
	{"protected-domains", read_domain_list, POLICY(protected_domains)},
	{"dkim-l", NULL, POLICY(dkim_l_fail)},
	{"dkim-l-score", NULL, POLICY(dkim_l_score)},
	{"dkim-testing", NULL, POLICY(dkim_testing_pass)},
	{"dkim-required", NULL, POLICY(dkim_required)},
	{"dkim-missing", NULL, POLICY(dkim_missing)},
	{"spf-fail", NULL, POLICY(spf_fail)},
	{"spf-permerror", NULL, POLICY(spf_permerror)},
	{"spf-temperror", NULL, POLICY(spf_temperror)},
	{"reverse-dns", NULL, POLICY(reverse_dns)},
	{"arc-fail", NULL, POLICY(arc_fail)},
	{"null-mx", NULL, POLICY(null_mx)},
	{"allow-private-peer", NULL, POLICY(allow_private_peer)},
	{"deny", read_policy_nets, POLICY(deny)},
	{"allow", read_policy_nets, POLICY(allow)},
};

const struct config_binding config_of_policy = CONFIG_BINDING("policy", policy_keys);
const struct config_binding config_of_route_policy = CONFIG_BINDING("route.policy", policy_keys);

void config_policy_defaults(struct config_reader *r, struct config_policy *policy)
{
	config_read_defaults(r, &config_of_policy, policy);
	policy->access.skips = CONFIG_SKIP_DEFAULT;
}

void read_policy(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	(void)k;
	config_read_section(r, n, &config_of_policy, field);
}

void config_route_policies(struct config_reader *r, const struct config_node *root)
{
	struct config *c = r->out;
	const struct config_node *routes = config_child(root, "route");

	for (size_t i = 0; routes && i < c->n_routes; i++) {
		const struct config_node *route = config_child(routes, c->route[i].name), *n;
		struct config_policy *p;

		n = route && route->kind == NODE_SECTION ? config_child(route, "policy") : NULL;
		p = n && n->kind == NODE_SECTION ? config_alloc(r->mem, sizeof(*p)) : NULL;
		if (!p)
			continue;
		*p = c->policy;
		config_read_section(r, n, &config_of_route_policy, p);
		c->route[i].policy = p;
	}
}

const struct config_policy *config_policy_for(const struct config *c,
					      const struct config_route *route)
{
	return route && route->policy ? route->policy : &c->policy;
}

/* Whatever would be held back needs a place. */
static void check_holding(struct config_reader *r, const struct config_node *n,
			  const struct config_policy *p)
{
	static const char why[] = "there is no quarantine section and no quarantine-mailbox: no place "
				  "for quarantined mail";

	if (p->quarantine_score > 0 && config_child(n, "quarantine-score"))
		config_fail(r->c, config_child(n, "quarantine-score"), NULL, "%s", why);
	for (const struct config_node *e = n->first; e; e = e->next)
		if (e->kind == NODE_STRING && !strcmp(e->text, "quarantine"))
			config_fail(r->c, e, NULL, "%s", why);
}

static void check_greylist(struct config_reader *r, const struct config_node *n,
			   const struct config_greylist *g)
{
	static const char *const of_it[] = {"greylist-delay", "greylist-window", "greylist-lifetime",
					    "greylist-prefix-v4", "greylist-prefix-v6"};

	r->out->greylist |= g->on;
	if (g->window_s <= g->delay_s)
		config_fail(r->c, n, "greylist-window",
			    "%u s are not more than the greylist-delay of %u s: no retry would pass",
			    g->window_s, g->delay_s);
	for (size_t i = 0; i < N_KEYS(of_it) && !g->on; i++)
		if (config_child(n, of_it[i]) && !config_child(n, "greylist"))
			config_fail(r->c, config_child(n, of_it[i]), NULL, "greylist is not on");
}

bool config_can_hold(const struct config *c, const struct config_policy *p)
{
	return c->quarantine.directory || p->quarantine_mailbox;
}

static const struct config_route *route_by_name(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_routes; i++)
		if (!strcmp(c->route[i].name, name))
			return &c->route[i];
	return NULL;
}

static const struct config_route *route_with(const struct config *c, const char *domain)
{
	for (size_t i = 0; i < c->n_routes; i++)
		for (size_t k = 0; k < c->route[i].n_domains; k++)
			if (!strcmp(c->route[i].domain[k], domain))
				return &c->route[i];
	return NULL;
}

/* As config_route_for(), whose index is not made yet. */
static const struct config_route *route_of_domain(const struct config *c, const char *domain)
{
	const struct config_route *route = route_with(c, domain);

	for (const char *dot = strchr(domain, '.'); dot && !route; dot = strchr(dot + 1, '.'))
		route = route_with(c, dot);
	return route;
}

/* The route of the mailbox: the one that is named, else that of its domain. n: the section that says
 * it, or NULL. */
static void find_quarantine_route(struct config_reader *r, const struct config_node *n,
				  struct config_policy *p)
{
	const struct config_node *name = n ? config_child(n, "quarantine-route") : NULL;
	const struct config_node *mailbox = n ? config_child(n, "quarantine-mailbox") : NULL;
	const char *domain;

	if (name && !p->quarantine_mailbox)
		config_fail(r->c, name, NULL, "needs quarantine-mailbox, which goes by it");
	if (!p->quarantine_mailbox)
		return;
	/* A route that names a mailbox of its own means the way of that one. */
	if (mailbox && !name)
		p->quarantine_route_name = NULL;
	domain = strrchr(p->quarantine_mailbox, '@') + 1;
	p->quarantine_route = p->quarantine_route_name
				      ? route_by_name(r->out, p->quarantine_route_name)
				      : route_of_domain(r->out, domain);
	if (p->quarantine_route && p->quarantine_route->dialled)
		config_fail(r->c, name ? name : n, name ? NULL : "quarantine-route", "route \"%s\" goes to "
			    "whom the client dialled: what is held back needs one with hosts",
			    p->quarantine_route_name);
	if (p->quarantine_route)
		return;
	if (p->quarantine_route_name)
		config_fail(r->c, name ? name : n, name ? NULL : "quarantine-route",
			    "there is no route \"%s\"", p->quarantine_route_name);
	else
		config_fail(r->c, mailbox ? mailbox : n, mailbox ? NULL : "quarantine-mailbox",
			    "no route has the domain %s: quarantine-route = \"NAME\" says where it goes",
			    domain);
}

/* The sections of routes are read behind that of all: each has its own copy by now. */
static void find_quarantine_routes(struct config_reader *r, const struct config_node *root)
{
	const struct config_node *routes = config_child(root, "route");
	struct config *c = r->out;

	find_quarantine_route(r, config_child(root, "policy"), &c->policy);
	for (size_t i = 0; routes && i < c->n_routes; i++)
		if (c->route[i].policy) {
			/* Made by config_route_policies(), and ours until the snapshot is. */
			struct config_policy *p = (struct config_policy *)(uintptr_t)c->route[i].policy;

			find_quarantine_route(
				r, config_child(config_child(routes, c->route[i].name), "policy"), p);
		}
}

static void check_policy(struct config_reader *r, const struct config_node *n,
			 const struct config_policy *p)
{
	if (p->reject_score > 0 && p->tag_score > p->reject_score)
		config_fail(r->c, n, "reject-score",
			    "%g is below the tag-score of %g: nothing would ever be tagged",
			    p->reject_score, p->tag_score);
	if (p->reject_score > 0 && p->defer_score >= p->reject_score)
		config_fail(r->c, n, "defer-score",
			    "%g is not below the reject-score of %g: nothing would ever be deferred",
			    p->defer_score, p->reject_score);
	if (!n)
		return;
	config_check_access(r, n, &p->access);
	check_greylist(r, n, &p->greylist);
	if (!config_can_hold(r->out, p))
		check_holding(r, n, p);
	if (config_child(n, "dkim-missing") && p->dkim_required == CONFIG_DKIM_NONE)
		config_fail(r->c, config_child(n, "dkim-missing"), NULL,
			    "needs dkim-required, which says what is missing");
	if (config_child(n, "dkim-l-score") && p->dkim_l_fail)
		config_fail(r->c, config_child(n, "dkim-l-score"), NULL,
			    "with dkim-l = fail such a signature counts for nothing");
	if (config_child(n, "protected-domains") && p->dmarc == CONFIG_DMARC_MONITOR &&
	    p->protected_domains.n)
		config_fail(r->c, config_child(n, "protected-domains"), NULL,
			    "dmarc = monitor refuses nothing");
}

void config_check_policy(struct config_reader *r, const struct config_node *root)
{
	const struct config *c = r->out;
	const struct config_node *routes = config_child(root, "route");

	find_quarantine_routes(r, root);
	check_policy(r, config_child(root, "policy"), &c->policy);
	for (size_t i = 0; i < c->policy.n_dnsbls && !config_can_hold(c, &c->policy); i++)
		if (c->policy.listing[i].action == CONFIG_QUARANTINE)
			config_fail(r->c, config_child(root, "dnsbl"), c->policy.dnsbl[i].name,
				    "there is no quarantine section and no quarantine-mailbox of policy: "
				    "no place for quarantined mail");
	for (size_t i = 0; routes && i < c->n_routes; i++)
		if (c->route[i].policy)
			check_policy(r,
				     config_child(config_child(routes, c->route[i].name), "policy"),
				     c->route[i].policy);
}
