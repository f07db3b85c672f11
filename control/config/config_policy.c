/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The policy section. */

#include <string.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

#define N_KEYS(t) (sizeof(t) / sizeof((t)[0]))

void config_policy_defaults(struct config_policy *policy)
{
	policy->tag_score = 5;
	policy->dkim_l_score = 1;
	policy->dkim_missing = CONFIG_TAG;
}

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

	(void)k;
	if (!config_strings(r, n, 0, LIMIT_POLICY_DOMAINS))
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

static const char *const dmarc_words[] = {[CONFIG_DMARC_ENFORCE] = "enforce",
					  [CONFIG_DMARC_MONITOR] = "monitor",
					  [CONFIG_DMARC_STRICT] = "strict",
					  NULL};
static const char *const action_words[] = {[CONFIG_ACCEPT] = "accept",
					   [CONFIG_TAG] = "tag",
					   [CONFIG_QUARANTINE] = "quarantine",
					   [CONFIG_DEFER] = "defer",
					   [CONFIG_REJECT] = "reject",
					   NULL};
/* What may be right at the next try is never refused for good. */
static const char *const passing_words[] = {
	[CONFIG_ACCEPT] = "accept", [CONFIG_TAG] = "tag", [CONFIG_QUARANTINE] = "quarantine",
	[CONFIG_DEFER] = "defer", NULL};
static const char *const required_words[] = {[CONFIG_DKIM_NONE] = "none",
					     [CONFIG_DKIM_PASSING] = "passing",
					     [CONFIG_DKIM_ACCEPTABLE] = "acceptable",
					     [CONFIG_DKIM_AUTHOR] = "author",
					     NULL};
static const char *const l_words[] = {"pass", "fail", NULL};
static const char *const dmarc_hold_words[] = {"tag", "quarantine", NULL};
static const char *const testing_words[] = {"unsigned", "pass", NULL};

#define POLICY_INT(member) CONFIG_INT(struct config_policy, member)
#define POLICY(member)     CONFIG_FIELD(struct config_policy, member)

static const struct config_key policy_keys[] = {
	{"dry-run", read_bool, POLICY(dry_run)},
	{"tag-score", read_double, POLICY(tag_score), 0, 10000},
	{"quarantine-score", read_double, POLICY(quarantine_score), 0, 10000},
	{"reject-score", read_double, POLICY(reject_score), 0, 10000},
	{"dmarc", read_choice, POLICY_INT(dmarc), .words = dmarc_words},
	{"dmarc-quarantine", read_choice, POLICY_INT(dmarc_hold), .words = dmarc_hold_words},
	{"trusted-sealers", read_domain_list, POLICY(trusted_sealers)},
	{"trusted-forwarders", read_domain_list, POLICY(trusted_forwarders)},
	{"protected-domains", read_domain_list, POLICY(protected_domains)},
	{"dkim-l", read_choice, POLICY_INT(dkim_l_fail), .words = l_words},
	{"dkim-l-score", read_double, POLICY(dkim_l_score), 0, 10000},
	{"dkim-testing", read_choice, POLICY_INT(dkim_testing_pass), .words = testing_words},
	{"dkim-required", read_choice, POLICY_INT(dkim_required), .words = required_words},
	{"dkim-missing", read_choice, POLICY_INT(dkim_missing), .words = action_words},
	{"spf-fail", read_choice, POLICY_INT(spf_fail), .words = action_words},
	{"spf-permerror", read_choice, POLICY_INT(spf_permerror), .words = action_words},
	{"spf-temperror", read_choice, POLICY_INT(spf_temperror), .words = passing_words},
	{"reverse-dns", read_choice, POLICY_INT(reverse_dns), .words = action_words},
	{"arc-fail", read_choice, POLICY_INT(arc_fail), .words = action_words},
	{"null-mx", read_choice, POLICY_INT(null_mx), .words = action_words},
	/* Of the whole only: nobody knows a route when a client connects. */
	{"allow-private-peer", read_bool, POLICY(allow_private_peer)},
	{"deny", read_policy_nets, POLICY(deny)},
	{"allow", read_policy_nets, POLICY(allow)},
};
#define N_ROUTE_KEYS (N_KEYS(policy_keys) - 3)

void read_policy(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		 void *field)
{
	(void)k;
	config_read_section(r, n, policy_keys, N_KEYS(policy_keys), field);
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
		config_read_section(r, n, policy_keys, N_ROUTE_KEYS, p);
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
	static const char why[] = "there is no quarantine section: no place for quarantined mail";

	if (p->quarantine_score > 0 && config_child(n, "quarantine-score"))
		config_fail(r->c, config_child(n, "quarantine-score"), NULL, "%s", why);
	for (const struct config_node *e = n->first; e; e = e->next)
		if (e->kind == NODE_STRING && !strcmp(e->text, "quarantine"))
			config_fail(r->c, e, NULL, "%s", why);
}

static void check_policy(struct config_reader *r, const struct config_node *n,
			 const struct config_policy *p)
{
	if (p->reject_score > 0 && p->tag_score > p->reject_score)
		config_fail(r->c, n, "reject-score",
			    "%g is below the tag-score of %g: nothing would ever be tagged",
			    p->reject_score, p->tag_score);
	if (!n)
		return;
	if (!r->out->quarantine.directory)
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

	check_policy(r, config_child(root, "policy"), &c->policy);
	for (size_t i = 0; i < c->policy.n_dnsbls && !c->quarantine.directory; i++)
		if (c->policy.listing[i].action == CONFIG_QUARANTINE)
			config_fail(r->c, config_child(root, "dnsbl"), c->policy.dnsbl[i].name,
				    "there is no quarantine section: no place for quarantined mail");
	for (size_t i = 0; routes && i < c->n_routes; i++)
		if (c->route[i].policy)
			check_policy(r,
				     config_child(config_child(routes, c->route[i].name), "policy"),
				     c->route[i].policy);
}
