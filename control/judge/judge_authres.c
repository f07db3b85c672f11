/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What was found, as RFC 8601 says it. */

#include <errno.h>
#include <stdio.h>

#include "control/auth/authres/authres.h"
#include "control/judge/judge_internal.h"

#define MAX_CHAIN 800 /* octets of arc.chain */

static void write_spf(struct authres_writer *w, const struct judgement *r,
		      const struct mail_envelope *env)
{
	authres_result(w, "spf", spf_result_name(r->spf.result), str_c(r->spf.reason));
	if (r->spf.identity == SPF_ID_MAILFROM && env->mail_from.n)
		authres_property(w, "smtp", "mailfrom", env->mail_from);
	else
		authres_property(w, "smtp", "helo", str_c(r->spf.domain));
	/* RFC 7208 2.3: HELO is a result of its own; only told where it says something more. */
	if (r->spf.identity == SPF_ID_MAILFROM && r->spf_helo.result != SPF_NONE &&
	    r->spf_helo.domain[0]) {
		authres_result(w, "spf", spf_result_name(r->spf_helo.result), STR_NONE);
		authres_property(w, "smtp", "helo", str_c(r->spf_helo.domain));
	}
}

static void write_dkim(struct authres_writer *w, const struct judgement *r)
{
	if (!r->dkim->n)
		authres_result(w, "dkim", "none", STR_NONE);
	for (size_t i = 0; i < r->dkim->n; i++) {
		const struct dkim_signature *s = &r->dkim->sig[i];
		bool test = s->result == DKIM_PASS && s->testing && !s->reason[0];

		authres_result(w, "dkim", dkim_result_name(s->result),
			       test ? STR("testing key") : str_c(s->reason));
		authres_property(w, "header", "d", str_c(s->domain));
		authres_property(w, "header", "i", str_c(s->identity));
		authres_property(w, "header", "s", str_c(s->selector));
		authres_property(w, "header", "a", str_c(s->algorithm));
		authres_property(w, "header", "b", str_c(s->b_prefix));
	}
}

/* RFC 8617 5.2: oldest-pass. The chain is worth what its sealers are, and whoever reads this must
 * see them: i=1 first. */
static void write_arc(struct authres_writer *w, const struct arc_results *arc)
{
	char sealers[LIMIT_ARC_SETS * (LIMIT_DNS_NAME + 1) + 1], oldest[16];
	long n = arc_sealers(arc, sealers, sizeof(sealers));

	authres_result(w, "arc", arc_result_name(arc->result), str_c(arc->reason));
	if (arc->result != ARC_PASS)
		return;
	snprintf(oldest, sizeof(oldest), "%u", arc->oldest_pass);
	authres_property(w, "header", "oldest-pass", str_c(oldest));
	/* A line has 998 octets: longer chains are told by the trace alone. */
	if (n > 0 && n <= MAX_CHAIN)
		authres_property(w, "arc", "chain", str_make(sealers, (size_t)n));
}

/* RFC 9989 and 8601: of several author domains the one that decided. */
static void write_dmarc(struct authres_writer *w, const struct dmarc_verdict *d,
			const struct policy_verdict *p)
{
	const struct dmarc_author *a = d->decisive < d->n ? &d->author[d->decisive] : NULL;

	authres_result(w, "dmarc", dmarc_result_name(d->result), str_c(d->reason));
	if (!a)
		return;
	authres_property(w, "header", "from", str_c(a->domain));
	if (a->walk.has_policy)
		authres_property(w, "policy", "dmarc", str_c(dmarc_policy_name(a->walk.policy)));
	/* RFC 8601 2.4: local policy that overrides a result is told by a property of its own; the
	 * result and policy.dmarc (RFC 9989 9.1: one of three words) stay what they are. */
	if (p->lifted) {
		authres_property(w, "policy", "override", str_c(policy_override_name(p->override)));
		authres_comment(w, str_c(p->comment));
	}
}

/* RFC 8904 2: only a list of the good has a method. */
static void write_dnswl(struct authres_writer *w, const struct judgement *r)
{
	const struct dnsbl_list *list = r->policy_config->dnsbl;
	char ip[16];

	for (size_t i = 0; i < r->n_dnsbls; i++) {
		const struct dnsbl_verdict *v = &r->dnsbl[i];
		const char *result = "none";

		if (!list[i].allow)
			continue;
		if (v->result == DNSBL_LISTED)
			result = "pass";
		else if (v->result != DNSBL_NOT_LISTED)
			result = v->result == DNSBL_FAILED ? "temperror" : "permerror";
		authres_result(w, "dnswl", result, str_c(v->reason));
		authres_property(w, "dns", "zone", str_c(list[i].zone));
		if (v->result != DNSBL_LISTED)
			continue;
		snprintf(ip, sizeof(ip), "%u.%u.%u.%u", v->answer[0], v->answer[1], v->answer[2],
			 v->answer[3]);
		authres_property(w, "policy", "ip", str_c(ip));
		authres_property(w, "dns", "sec", v->secure ? STR("yes") : STR("no"));
	}
}

static const char *iprev(const struct ptr_result *p)
{
	switch (p->status) {
	case PTR_OK: return "pass";
	case PTR_MISMATCH: return "fail";
	case PTR_TEMPFAIL: return "temperror";
	default: return "permerror"; /* RFC 8601 2.7.3: no PTR record */
	}
}

int judge_authres(const struct judgement *r, const struct mail_envelope *env, const char *authserv_id,
		  char *buf, size_t cap)
{
	struct authres_writer w;
	char ip[64];
	long n;

	authres_begin(&w, buf, cap - 1, str_c(authserv_id));
	w.utf8 = env->smtputf8;
	if (r->origin.status == ORIGIN_DIRECT || r->origin.status == ORIGIN_VIA) {
		write_spf(&w, r, env);
		write_dkim(&w, r);
		write_arc(&w, r->arc);
		if (r->dmarc_judged)
			write_dmarc(&w, &r->dmarc, &r->policy);
		authres_result(&w, "iprev", iprev(&r->origin_ptr), STR_NONE);
		authres_property(&w, "policy", "iprev", str_c(ip_format(&r->origin.ip, ip, sizeof(ip))));
		if (r->origin_ptr.name[0])
			authres_comment(&w, str_c(r->origin_ptr.name));
		write_dnswl(&w, r);
	}
	n = authres_end(&w);
	if (n < 0)
		return -ENOSPC;
	buf[n] = '\0';
	return 0;
}
