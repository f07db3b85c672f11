/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/access.h"

#include <stdio.h>

#include "control/loop.h"

static bool speaks_early(const struct config_policy *p)
{
	return !p->dry_run && p->access.deny_action >= CONFIG_DEFER;
}

static bool refuses_origin(const struct config_policy *p, const struct ip_addr *ip)
{
	struct policy_access found;

	return speaks_early(p) && p->access.deny_action == CONFIG_REJECT &&
	       policy_denies_origin(p, ip, &found);
}

void access_connect(struct loop *l, const struct session *s, struct ctl_reply *r)
{
	const struct config *c = l->active->config;

	if (!session_is_origin(c, s) || !refuses_origin(&c->policy, &s->peer))
		return;
	/* Nobody knows yet for whom it has mail. */
	for (size_t i = 0; i < c->n_routes; i++)
		if (c->route[i].policy && !refuses_origin(c->route[i].policy, &s->peer))
			return;
	l->counters[CTL_access_denied]++;
	/* RFC 5321 3.1: the session stays for QUIT. */
	*r = (struct ctl_reply){554, 5, 7, 1,
				STR("Mail of your address is refused by policy (deny-origins)")};
}

bool access_rcpt(struct loop *l, const struct session_question *q, struct str mail_from,
		 struct ctl_reply *r, char buf[HANDOFF_MAX_TEXT + 1])
{
	const struct config *c = q->snapshot->config;
	const struct config_policy *p = config_policy_for(c, q->route);
	struct policy_access found = {.list = "", .by = ""};
	bool rejects = p->access.deny_action == CONFIG_REJECT;

	if (!speaks_early(p) || !((session_is_origin(c, q->session) &&
				   policy_denies_origin(p, &q->session->peer, &found)) ||
				  policy_denies_sender(p, mail_from, &found)))
		return false;
	l->counters[CTL_access_denied]++;
	policy_denial(&found, buf, HANDOFF_MAX_TEXT + 1);
	*r = (struct ctl_reply){rejects ? 550 : 451, rejects ? 5 : 4, 7, 1, str_c(buf)};
	return true;
}
