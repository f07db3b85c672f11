/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Who may connect: the sources section, and the lists by address of policy. */

#include <string.h>

#include "control/config/config_value.h"
#include "postern/limits.h"


#define OF_LIMIT(l, member) CONFIG_TAKE(struct admission_rules, limit[l].member)

static const struct config_key keys[] = {
	{"sessions", OF_LIMIT(ADMISSION_SESSIONS, max)},
	{"sessions-mode", OF_LIMIT(ADMISSION_SESSIONS, mode)},
	{"connection-rate", OF_LIMIT(ADMISSION_RATE, max)},
	{"connection-rate-mode", OF_LIMIT(ADMISSION_RATE, mode)},
	{"failures", OF_LIMIT(ADMISSION_FAILURES, max)},
	{"failures-mode", OF_LIMIT(ADMISSION_FAILURES, mode)},
	{"unknown-recipients", OF_LIMIT(ADMISSION_UNKNOWN, max)},
	{"unknown-recipients-mode", OF_LIMIT(ADMISSION_UNKNOWN, mode)},
	{"half-life", CONFIG_TAKE(struct admission_rules, half_life_s)},
};
const struct config_binding config_of_sources = CONFIG_BINDING("sources", keys);

void read_sources(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		  void *field)
{
	(void)k;
	config_read_section(r, n, &config_of_sources, field);
}

/* Any network may stand here, "0.0.0.0/0" too: a list of those who may speak, and nobody else. */
void read_policy_nets(struct config_reader *r, const struct config_node *n,
		      const struct config_key *k, void *field)
{
	struct admission_nets *nets = field;

	if (!config_list(r, n, k))
		return;
	nets->net = config_alloc(r->mem, (n->n + 1) * sizeof(*nets->net));
	for (const struct config_node *e = n->first; e && nets->net; e = e->next)
		if (config_network(r, e, 0, 0, &nets->net[nets->n]))
			nets->n++;
	if (nets->net)
		admission_nets_sort(nets);
}

const struct ip_net *config_net_in_both(const struct admission_nets *a,
					const struct admission_nets *b)
{
	for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
		const struct ip_net *x = &a->net[i], *y = &b->net[k];
		int order = x->prefix != y->prefix ? (x->prefix > y->prefix ? -1 : 1)
						   : memcmp(x->addr.a, y->addr.a, sizeof(x->addr.a));

		if (!order)
			return x;
		if (order < 0)
			i++;
		else
			k++;
	}
	return NULL;
}

/* The longer prefix counts, so the same network in both lists would mean nothing. */
void config_check_sources(struct config_reader *r, const struct config_node *root)
{
	const struct config_policy *p = &r->out->policy;
	const struct ip_net *d = config_net_in_both(&p->deny, &p->allow);
	char buf[64];

	if (d)
		config_fail(r->c, config_child(config_child(root, "policy"), "allow"), NULL,
			    "%s/%d is in deny, too", ip_format(&d->addr, buf, sizeof(buf)),
			    d->prefix - (ip_is_v4(&d->addr) ? 96 : 0));
}
