/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Tap ports: what is watched there, and where copies of it go. */

#include <string.h>

#include "control/config/config_value.h"

static void read_ports(struct config_reader *r, const struct config_node *n,
		       const struct config_key *k, void *field)
{
	struct handoff_config *d = &r->out->dataplane;

	(void)k;
	(void)field;
	if (n->kind != NODE_ARRAY || !n->first || n->n > HANDOFF_MAX_TAP_PORTS) {
		config_fail(r->c, n, NULL, "expected an array of 1 to %u TCP ports, as in [25]",
			    HANDOFF_MAX_TAP_PORTS);
		return;
	}
	d->n_tap_ports = 0;
	for (const struct config_node *e = n->first; e; e = e->next) {
		double v = e->kind == NODE_NUMBER && e->unit == UNIT_NONE ? e->number : 0;

		if (v < 1 || v > UINT16_MAX || v != (uint16_t)v) {
			config_fail(r->c, e, NULL, "expected a TCP port, 1 to 65535");
			return;
		}
		d->tap_port[d->n_tap_ports++] = (uint16_t)v;
	}
}

static const struct config_key keys[] = {
	{"ports", read_ports, 0, 0},
	{"midstream", CONFIG_TAKE(struct config, tap.midstream)},
	{"ignore-checksums", CONFIG_TAKE(struct config, tap.ignore_checksums)},
	{"journal-route", read_route_name, CONFIG_FIELD(struct config, tap.journal_route_name)},
	{"journal-mailbox", read_mailbox, CONFIG_FIELD(struct config, tap.journal_mailbox)},
};
const struct config_binding config_of_tap = CONFIG_BINDING("tap", keys);

void read_tap(struct config_reader *r, const struct config_node *n, const struct config_key *k,
	      void *field)
{
	struct handoff_config *d = &r->out->dataplane;

	(void)k;
	(void)field;
	d->tap_port[0] = 25;
	d->n_tap_ports = 1;
	config_read_section(r, n, &config_of_tap, r->out);
	d->tap_midstream = r->out->tap.midstream;
	d->tap_ignore_checksums = r->out->tap.ignore_checksums;
}

void config_check_tap(struct config_reader *r, const struct config_node *root)
{
	const struct config_node *n = config_child(root, "tap");
	struct config_tap *t = &r->out->tap;

	if (t->journal_mailbox && !t->journal_route_name)
		config_fail(r->c, config_child(n, "journal-mailbox"), NULL,
			    "needs journal-route, which its mail goes by");
	if (!t->journal_route_name)
		return;
	for (size_t i = 0; i < r->out->n_routes; i++)
		if (!strcmp(r->out->route[i].name, t->journal_route_name))
			t->journal_route = &r->out->route[i];
	if (!t->journal_route)
		config_fail(r->c, config_child(n, "journal-route"), NULL,
			    "there is no route \"%s\"", t->journal_route_name);
	else if (t->journal_route->dialled)
		config_fail(r->c, config_child(n, "journal-route"), NULL,
			    "route \"%s\" goes to whom the client dialled: copies need one with hosts",
			    t->journal_route_name);
	else if (t->journal_route->mx && !t->journal_route->mx_domain && !t->journal_mailbox)
		config_fail(
			r->c, config_child(n, "journal-route"), NULL,
			"copies would go by the MX records of the recipients, who have the mail "
			"already: give the route hosts, or journal-mailbox");
}
