/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What policy asked and did, for the counters. */

#include "control/judge/judge_internal.h"
#include "postern/stats.h"

static void count_lists(const struct judgement *r, uint64_t *c)
{
	static const uint16_t list[] = {
		[DNSBL_NOT_LISTED] = CTL_dnsbl_not_listed, [DNSBL_LISTED] = CTL_dnsbl_listed,
		[DNSBL_FAILED] = CTL_dnsbl_failed,         [DNSBL_NO_LIST] = CTL_dnsbl_no_list,
		[DNSBL_BROKEN] = CTL_dnsbl_broken,
	};

	for (size_t i = 0; i < r->n_dnsbls; i++)
		c[list[r->dnsbl[i].result]]++;
}

static void count_policy(const struct policy_verdict *v, uint64_t *c)
{
	static const uint16_t refused[POLICY_CAUSES] = {
		[POLICY_BY_RULE] = CTL_policy_rule,
		[POLICY_BY_SCORE] = CTL_policy_score,
		[POLICY_BY_DNSBL] = CTL_dnsbl_refused,
		[POLICY_BY_SPF_FAIL] = CTL_policy_spf_fail,
		[POLICY_BY_SPF_ERROR] = CTL_policy_spf_error,
		[POLICY_BY_DKIM] = CTL_policy_dkim,
		[POLICY_BY_REVERSE_DNS] = CTL_policy_reverse_dns,
		[POLICY_BY_ARC] = CTL_policy_arc,
		[POLICY_BY_NULL_MX] = CTL_policy_null_mx,
		[POLICY_BY_SEVERAL] = CTL_policy_several,
		[POLICY_BY_DMARC] = CTL_dmarc_refused,
		[POLICY_BY_FOREIGN_TRUST] = CTL_foreign_trust_refused,
	};

	/* 0 is the first counter of all, which is none of these. */
	if (v->action >= POLICY_DEFER && refused[v->cause])
		c[refused[v->cause]]++;
	c[CTL_access_denied] += v->access.listed == POLICY_DENIED;
	c[CTL_access_allowed] += v->access.listed == POLICY_ALLOWED;
	c[CTL_policy_spared] += v->would != v->action;
	c[CTL_dmarc_tagged] += v->cause == POLICY_BY_DMARC && v->action == POLICY_TAG;
	c[CTL_dmarc_overridden_forwarder] += v->lifted && v->lift == POLICY_LIFT_FORWARDER;
	c[CTL_dmarc_overridden_sealer] += v->lifted && v->lift == POLICY_LIFT_SEALER;
}

void judge_count_policy(const struct judge *j)
{
	count_lists(&j->result, j->env.counters);
	/* Nothing is done to what was only watched. */
	if (!(j->req.env->flags & RECORD_F_OBSERVED))
		count_policy(&j->result.policy, j->env.counters);
}
