/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Who may connect: the sources section, and the lists by address of policy. */

#include <string.h>

#include "control/config/config_value.h"
#include "postern/limits.h"

static const char *const mode_words[] = {
	[ADMISSION_OFF] = "off", [ADMISSION_OBSERVE] = "observe", [ADMISSION_ENFORCE] = "enforce", NULL};

#define MAX(l) CONFIG_INT(struct admission_rules, limit[l].max), 1, 1000000
#define MODE(l) CONFIG_INT(struct admission_rules, limit[l].mode), .words = mode_words

static const struct config_key keys[] = {
	{"sessions", read_count, MAX(ADMISSION_SESSIONS)},
	{"sessions-mode", read_choice, MODE(ADMISSION_SESSIONS)},
	{"connection-rate", read_count, MAX(ADMISSION_RATE)},
	{"connection-rate-mode", read_choice, MODE(ADMISSION_RATE)},
	{"failures", read_count, MAX(ADMISSION_FAILURES)},
	{"failures-mode", read_choice, MODE(ADMISSION_FAILURES)},
	{"unknown-recipients", read_count, MAX(ADMISSION_UNKNOWN)},
	{"unknown-recipients-mode", read_choice, MODE(ADMISSION_UNKNOWN)},
	{"half-life", read_seconds, CONFIG_INT(struct admission_rules, half_life_s), 60, 86400},
};

void read_sources(struct config_reader *r, const struct config_node *n, const struct config_key *k,
		  void *field)
{
	(void)k;
	config_read_section(r, n, keys, sizeof(keys) / sizeof(keys[0]), field);
}

void config_sources_defaults(struct admission_rules *rules)
{
	*rules = (struct admission_rules){
		.limit = {
			[ADMISSION_FAILURES] = {DEFAULT_SOURCE_FAILURES, ADMISSION_ENFORCE},
			[ADMISSION_UNKNOWN] = {DEFAULT_SOURCE_UNKNOWN, ADMISSION_ENFORCE},
			[ADMISSION_SESSIONS] = {DEFAULT_SOURCE_SESSIONS, ADMISSION_ENFORCE},
			[ADMISSION_RATE] = {DEFAULT_SOURCE_RATE, ADMISSION_ENFORCE},
		},
		.half_life_s = DEFAULT_SOURCE_HALF_LIFE_S,
	};
}

/* Any network may stand here, "0.0.0.0/0" too: a list of those who may speak, and nobody else. */
void read_policy_nets(struct config_reader *r, const struct config_node *n,
		      const struct config_key *k, void *field)
{
	struct admission_nets *nets = field;

	(void)k;
	if (!config_strings(r, n, 0, LIMIT_POLICY_NETS))
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
