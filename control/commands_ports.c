/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What the dataplane says of its ports. It is asked each time, and answers in order. */

#include "control/loop.h"

void commands_show_ports(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;

	(void)body;
	if (l->n_ports_asked == LOOP_PORTS_ASKED)
		api_error(req, "busy", "the dataplane has not answered the last %u requests", LOOP_PORTS_ASKED);
	else if (!ctl_link_epoch(l->link) || ctl_link_ports(l->link))
		api_error(req, "failed", "the dataplane is not linked");
	else
		l->ports_asked[l->n_ports_asked++] = req;
}

static struct api_request *oldest(struct loop *l)
{
	struct api_request *req = l->n_ports_asked ? l->ports_asked[0] : NULL;

	for (unsigned int i = 1; i < l->n_ports_asked; i++)
		l->ports_asked[i - 1] = l->ports_asked[i];
	l->n_ports_asked -= req != NULL;
	return req;
}

void commands_ports_told(void *arg, struct str json)
{
	struct api_request *req = oldest(arg);
	json_t *ports;

	if (!req)
		return;
	ports = json_loadb((const char *)json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_array(ports)) {
		api_reply(req, json_pack("{s:o}", "ports", ports));
		return;
	}
	json_decref(ports);
	api_error(req, "failed", "the dataplane's answer is no list of ports");
}

void commands_ports_lost(struct loop *l)
{
	struct api_request *req;

	while ((req = oldest(l)))
		api_error(req, "failed", "the dataplane was lost before it answered");
}
