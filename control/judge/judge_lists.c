/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Questions that only policy has: is the original sender on a list, does the domain of MAIL FROM
 * say that it takes no mail. Both are worth nothing without an answer. */

#include <errno.h>
#include <stdio.h>

#include "control/judge/judge_internal.h"

static void on_lists(void *arg, const struct dnsbl_verdict *v, size_t n)
{
	struct judge *j = arg;

	j->dnsbl_open = false;
	j->result.dnsbl = v;
	j->result.n_dnsbls = n;
	judge_one_done(j);
}

/* RFC 7505 3: one MX, preference 0, the root as its name. */
static void on_mx(void *arg, const struct dns_answer *a)
{
	static const uint8_t none[] = {0, 0, 0};
	struct judge *j = arg;

	j->null_mx = NULL;
	j->result.null_mx = a->status == DNS_OK && a->n == 1 && a->rr[0].len == sizeof(none) &&
			    !memcmp(a->rr[0].data, none, sizeof(none));
	judge_one_done(j);
}

static int start_null_mx(struct judge *j)
{
	uint8_t alabels[LIMIT_PATH + MAIL_ALABEL];
	struct str domain =
		mailbox_domain(mailbox_alabel(j->req.env->mail_from, alabels, sizeof(alabels)));

	if (!j->result.policy_config->null_mx || !domain_is_valid(domain))
		return 0;
	j->null_mx = dns_resolve(j->env.dns, domain, DNS_MX, on_mx, j);
	if (!j->null_mx)
		return -ENOMEM;
	j->open++;
	return 0;
}

int judge_lists_start(struct judge *j)
{
	const struct config_policy *p = j->result.policy_config;
	const struct ip_addr *ip = &j->result.origin.ip;

	/* Nobody lists addresses that everybody has, and nobody is to hear of ours. */
	if (p->n_dnsbls && !ip_is_private(ip)) {
		j->dnsbl = dnsbl_check(j->env.dns, j->env.base, p->dnsbl, p->n_dnsbls, ip, 0,
				       on_lists, j);
		if (!j->dnsbl)
			return -ENOMEM;
		j->dnsbl_open = true;
		j->open++;
	}
	return start_null_mx(j);
}

void judge_lists_give_up(struct judge *j)
{
	const struct config_policy *p = j->result.policy_config;

	dns_cancel(j->null_mx);
	j->null_mx = NULL;
	if (!j->dnsbl_open)
		return;
	dnsbl_free(j->dnsbl);
	j->dnsbl = NULL;
	j->dnsbl_open = false;
	for (size_t i = 0; i < p->n_dnsbls; i++) {
		j->lists[i].result = DNSBL_FAILED;
		snprintf(j->lists[i].reason, sizeof(j->lists[i].reason), "no answer in time");
	}
	j->result.dnsbl = j->lists;
	j->result.n_dnsbls = p->n_dnsbls;
}

void judge_lists_free(struct judge *j)
{
	dnsbl_free(j->dnsbl);
}

size_t judge_lists_names(const struct judge *j, char buf[LIMIT_DNSBLS][JUDGE_LIST_NAME],
			 const char **name)
{
	const struct config_policy *p = j->result.policy_config;
	size_t n = 0;

	for (size_t i = 0; i < j->result.n_dnsbls; i++) {
		if (p->dnsbl[i].allow || j->result.dnsbl[i].result != DNSBL_LISTED)
			continue;
		snprintf(buf[n], JUDGE_LIST_NAME, "dnsbl.%.*s", LIMIT_CONFIG_NAME,
			 p->dnsbl[i].name);
		name[n] = buf[n];
		n++;
	}
	return n;
}
