/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Whose mail is let in and whose is not, by lists of the configuration. A deny stands over every
 * allow; among prefixes of origins the longer one counts. Nothing is allowed by what anybody can
 * write: by MAIL FROM mail is only denied, and a domain counts as it is authenticated. For an allow
 * that is a signature over the whole body by a key that is not being tried out; a deny takes any
 * that passed.
 */

#include "control/policy/internal.h"

static bool denied(struct policy_access *a, const char *list, const char *by)
{
	a->listed = POLICY_DENIED;
	a->list = list;
	a->by = by;
	return true;
}

static bool allowed(struct policy_access *a, const char *list, const char *by)
{
	a->listed = POLICY_ALLOWED;
	a->list = list;
	a->by = by;
	return true;
}

bool policy_denies_origin(const struct config_policy *c, const struct ip_addr *ip,
			  struct policy_access *access)
{
	const struct config_access *a = &c->access;

	if (!a->deny_origins.n ||
	    admission_listed(&a->deny_origins, &a->allow_origins, ip) != ADMISSION_DENIED)
		return false;
	ip_format(ip, access->what, sizeof(access->what));
	return denied(access, "deny-origins", "");
}

bool policy_denies_sender(const struct config_policy *c, struct str mail_from,
			  struct policy_access *access)
{
	if (!config_listed_sender(c->access.deny_senders, mail_from))
		return false;
	SAY(access->what, "%.*s", STR_FMT(mail_from));
	return denied(access, "deny-senders", "");
}

void policy_denial(const struct policy_access *a, char *text, size_t cap)
{
	/* A path that is long or not ASCII is the client's own, it knows it. */
	if (!*a->by && str_find(str_c(a->what), '@') < strlen(a->what))
		policy_say(text, cap, "Mail from this sender is refused by policy (%s)", a->list);
	else
		policy_say(text, cap, "Mail of %.200s is refused by policy (%s)", a->what, a->list);
}

/* ---- authenticated domains ------------------------------------------------------------------ */

/* Is one of them in `set`? full: what allows. */
static bool authenticated(const struct policy_input *in, const struct config_set *set, bool full,
			  struct policy_access *a, const char **by)
{
	char name[MAIL_ALABEL];
	size_t first;

#define LISTED(domain, how)                                                                        \
	(mail_alabel(str_c(domain), name) && config_listed_domain(set, name) &&                    \
	 (policy_say(a->what, sizeof(a->what), "%s", name), *by = how))
	if (!set)
		return false;
	if (in->dmarc && in->dmarc->result == DMARC_PASS)
		for (size_t i = 0; i < in->dmarc->n; i++)
			if (in->dmarc->author[i].walk.result == DMARC_PASS &&
			    LISTED(in->dmarc->author[i].domain, "dmarc"))
				return true;
	for (size_t i = 0; in->dkim && i < in->dkim->n; i++) {
		const struct dkim_signature *s = &in->dkim->sig[i];

		if ((full ? policy_full_pass(s) : s->result == DKIM_PASS) &&
		    LISTED(s->domain, "dkim"))
			return true;
	}
	if (in->spf && in->spf->result == SPF_PASS && in->spf->identity == SPF_ID_MAILFROM &&
	    LISTED(in->spf->domain, "spf"))
		return true;
	first = policy_first_trusted(in);
	for (size_t i = first; first && i <= in->arc->n; i++)
		if (LISTED(in->arc->set[i - 1].sealed.domain, "arc"))
			return true;
#undef LISTED
	return false;
}

/* ---- a message ------------------------------------------------------------------------------ */

bool policy_skips(const struct policy_input *in, const struct policy_verdict *v, unsigned int bit)
{
	return v->access.listed == POLICY_ALLOWED && in->config->access.skips & bit;
}

static void look(const struct policy_input *in, struct policy_access *a)
{
	const struct config_access *c = &in->config->access;
	const char *by = "";

	if (policy_denies_origin(in->config, &in->origin->ip, a) ||
	    policy_denies_sender(in->config, in->mail_from, a))
		return;
	if (authenticated(in, c->deny_domains, false, a, &by)) {
		denied(a, "deny-domains", by);
		return;
	}
	if (admission_nets_match(&c->allow_origins, &in->origin->ip) >= 0) {
		ip_format(&in->origin->ip, a->what, sizeof(a->what));
		allowed(a, "allow-origins", "");
	} else if (authenticated(in, c->allow_domains, true, a, &by)) {
		allowed(a, "allow-domains", by);
	}
}

bool policy_access(const struct policy_input *in, struct policy_verdict *out)
{
	const struct policy_access *a = &out->access;
	enum config_action action = in->config->access.deny_action;
	char text[320];

	look(in, &out->access);
	if (a->listed != POLICY_DENIED)
		return false;
	out->cause = POLICY_BY_DENY;
	SAY(out->reason, "%.120s is in %s%s%s", a->what, a->list, *a->by ? ", by " : "", a->by);
	policy_denial(a, text, sizeof(text));
	switch (action) {
	case CONFIG_REJECT:
		policy_refuse(out, POLICY_REJECT, 550, 1, text);
		break;
	case CONFIG_DEFER:
		policy_refuse(out, POLICY_DEFER, 451, 1, text);
		break;
	case CONFIG_QUARANTINE:
		policy_hold(in, out);
		break;
	default:
		out->action = (enum policy_action)action;
	}
	/* What only tags or holds back lets the rest have its say. */
	return out->action >= POLICY_DISCARD;
}
