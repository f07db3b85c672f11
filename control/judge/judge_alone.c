/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl rules test`: what rules say of a message, and nothing else is asked. */

#include <errno.h>
#include <stdlib.h>

#include "control/judge/judge_internal.h"

int judge_rules_alone(const struct judge_env *env, const struct judge_request *req, bool parts,
		      struct judge **out)
{
	struct judge *j = *out = calloc(1, sizeof(*j));
	struct origin_request walk;
	int rc;

	if (!j)
		return -ENOMEM;
	j->env = *env;
	j->req = *req;
	j->alone = true;
	j->parts = parts;
	config_ref(req->config);
	j->result.arc = &j->no_arc;
	j->result.dkim = &j->no_dkim;
	judge_find_route(j);
	j->result.policy_config = config_policy_for(req->config, j->route);
	rc = judge_read_headers(j);
	if (rc)
		return rc;
	walk = (struct origin_request){.relays = &req->config->relays, .env = req->env,
				       .headers = &j->result.headers,
				       .allow_private = req->config->policy.allow_private_peer};
	rc = origin_find(&walk, &j->result.origin);
	return rc ? rc : judge_rules(j);
}
