/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What a single check is worth by itself, where configuration says so; by default nothing. Replies
 * are those of RFC 7372, 7505 and 8617; one that may be right at the next try is deferred at most.
 */

#include "control/policy/internal.h"

struct finding {
	enum config_action action;
	enum policy_cause cause;
	uint16_t detail;  /* of 5.7.x or 4.7.x */
	const char *name; /* in a few words */
	char text[320];
};

struct findings {
	struct finding f[5]; /* spf, dkim, reverse dns, arc, null mx */
	size_t n;
};

static struct finding *add(struct findings *all, enum config_action action, enum policy_cause cause,
			   bool passing, uint16_t detail, const char *name)
{
	struct finding *f = &all->f[all->n++];

	*f = (struct finding){.action = action, .cause = cause, .detail = detail, .name = name};
	if (passing && f->action > CONFIG_DEFER)
		f->action = CONFIG_DEFER;
	return f;
}

/* ---- SPF ------------------------------------------------------------------------------------ */

static void spf_check_result(const struct policy_input *in, bool vouched, struct findings *all)
{
	const struct config_policy *c = in->config;
	const struct spf_verdict *v = in->spf;
	struct finding *f;

	/* RFC 9989 7.1: SPF breaks with every forwarder; who is authenticated otherwise is heard. */
	if (v->result == SPF_FAIL && c->spf_fail && !vouched) {
		f = add(all, c->spf_fail, POLICY_BY_SPF_FAIL, false, 23, "SPF fail");
		/* RFC 7208 8.4: it must be clear whose words they are. */
		if (v->explanation[0])
			SAY(f->text, "SPF check of %s failed, %s explains: %s", v->domain,
			    v->domain, v->explanation);
		else
			SAY(f->text, "SPF check failed: %s does not send from here", v->domain);
	} else if (v->result == SPF_PERMERROR && c->spf_permerror) {
		f = add(all, c->spf_permerror, POLICY_BY_SPF_ERROR, false, 24, "SPF permerror");
		SAY(f->text, "SPF record of %s is in error: %s", v->domain, v->reason);
	} else if (v->result == SPF_TEMPERROR && c->spf_temperror) {
		f = add(all, c->spf_temperror, POLICY_BY_SPF_ERROR, true, 24, "SPF temperror");
		SAY(f->text, "SPF of %s cannot be checked just now", v->domain);
	}
}

/* ---- DKIM ----------------------------------------------------------------------------------- */

static bool is_of_author(const struct dmarc_author *a, const struct dkim_results *d, size_t i)
{
	char domain[MAIL_ALABEL];

	if (i < 32 && (a->walk.dkim_aligned & 1u << i))
		return true;
	/* Without a policy nobody has looked at alignment. */
	return !a->walk.has_policy && mail_alabel(str_c(d->sig[i].domain), domain) &&
	       policy_same_org(domain, a->domain);
}

/* Has every author domain an acceptable signature? */
static bool of_authors(const struct policy_input *in, const bool *acceptable)
{
	const struct dmarc_verdict *v = in->dmarc;
	bool all = v && v->n > 0;

	for (size_t k = 0; all && k < v->n; k++) {
		bool any = false;

		for (size_t i = 0; i < in->dkim->n && i < LIMIT_DKIM_SIGNATURES; i++)
			any |= acceptable[i] && is_of_author(&v->author[k], in->dkim, i);
		all = any;
	}
	return all;
}

static void dkim_check_results(const struct policy_input *in, struct findings *all)
{
	const struct config_policy *c = in->config;
	bool acceptable[LIMIT_DKIM_SIGNATURES] = {0};
	enum config_dkim have = CONFIG_DKIM_NONE;
	bool open = false;
	struct finding *f;

	for (size_t i = 0; i < in->dkim->n && i < LIMIT_DKIM_SIGNATURES; i++) {
		const struct dkim_signature *s = &in->dkim->sig[i];

		open |= s->result == DKIM_TEMPERROR;
		if (s->result != DKIM_PASS)
			continue;
		acceptable[i] = !s->partial && (!s->testing || c->dkim_testing_pass);
		if (have < CONFIG_DKIM_PASSING)
			have = CONFIG_DKIM_PASSING;
		if (acceptable[i])
			have = CONFIG_DKIM_ACCEPTABLE;
	}
	if (have == CONFIG_DKIM_ACCEPTABLE && of_authors(in, acceptable))
		have = CONFIG_DKIM_AUTHOR;
	if (have >= c->dkim_required || !c->dkim_missing)
		return;
	if (open) {
		/* RFC 6376 6.3 */
		f = add(all, c->dkim_missing, POLICY_BY_DKIM, true, 5, "DKIM temperror");
		SAY(f->text, "Unable to verify signature - key server unavailable");
	} else if (have == CONFIG_DKIM_NONE) {
		f = add(all, c->dkim_missing, POLICY_BY_DKIM, false, 20,
			"no passing DKIM signature");
		SAY(f->text, "No passing DKIM signature found");
	} else if (have == CONFIG_DKIM_PASSING) {
		f = add(all, c->dkim_missing, POLICY_BY_DKIM, false, 21,
			"no acceptable DKIM signature");
		SAY(f->text,
		    "No acceptable DKIM signature found: the key is a test, or the body is "
		    "signed in part");
	} else {
		f = add(all, c->dkim_missing, POLICY_BY_DKIM, false, 22,
			"no DKIM signature of the author");
		SAY(f->text, "No valid author-matched DKIM signature found");
	}
}

/* ---- the others ----------------------------------------------------------------------------- */

static void reverse_dns(const struct policy_input *in, struct findings *all)
{
	const enum config_action action = in->config->reverse_dns;
	struct finding *f;
	char ip[64];

	ip_format(&in->origin->ip, ip, sizeof(ip));
	if (!action || in->ptr->status == PTR_OK)
		return;
	f = add(all, action, POLICY_BY_REVERSE_DNS, in->ptr->status == PTR_TEMPFAIL, 25,
		in->ptr->status == PTR_TEMPFAIL ? "reverse DNS temperror" : "no reverse DNS");
	if (in->ptr->status == PTR_TEMPFAIL)
		SAY(f->text, "Reverse DNS of %s cannot be checked just now", ip);
	else if (in->ptr->status == PTR_NONE)
		SAY(f->text, "Reverse DNS validation failed: %s has no name", ip);
	else
		SAY(f->text, "Reverse DNS validation failed: the name of %s does not lead back",
		    ip);
}

/* RFC 8617 5.2: for the chain a failure of DNS is final; for the sender it need not be. */
static bool arc_failed_in_dns(const struct policy_input *in)
{
	const struct arc_results *a = in->arc;

	for (size_t i = 0; i < a->n; i++)
		if (a->set[i].message.result == DKIM_TEMPERROR ||
		    a->set[i].sealed.result == DKIM_TEMPERROR)
			return true;
	return in->arc_unanswered;
}

static void arc_check_result(const struct policy_input *in, bool vouched, struct findings *all)
{
	struct finding *f;

	/* RFC 8617 5.2.2: a broken chain means something where the rest is broken, too. */
	if (!in->config->arc_fail || in->arc->result != ARC_FAIL || vouched)
		return;
	f = add(all, in->config->arc_fail, POLICY_BY_ARC, arc_failed_in_dns(in), 29,
		"ARC validation failure");
	SAY(f->text, "ARC validation failure: %s", in->arc->reason);
}

static void null_mx(const struct policy_input *in, struct findings *all)
{
	struct str domain = mailbox_domain(in->mail_from);
	struct finding *f;

	if (!in->config->null_mx || !in->null_mx)
		return;
	f = add(all, in->config->null_mx, POLICY_BY_NULL_MX, false, 27,
		"sender address has null MX");
	/* RFC 7505 4.2 */
	SAY(f->text, "Sender address has null MX: %.*s takes no mail", STR_FMT(domain));
}

/* ---- together ------------------------------------------------------------------------------- */

/* RFC 7372 3.4: more than one that refuses is told as such, and not which one came first. */
static void apply(const struct findings *all, const struct finding *worst,
		  struct policy_verdict *out)
{
	size_t n = 0, at;
	char text[320] = "Multiple authentication checks failed: ", names[256] = "";

	for (size_t i = 0; i < all->n; i++) {
		if (all->f[i].action != worst->action)
			continue;
		at = strlen(names);
		policy_say(names + at, sizeof(names) - at, "%s%s", n++ ? ", " : "", all->f[i].name);
	}
	at = strlen(text);
	policy_say(text + at, sizeof(text) - at, "%s", names);
	out->cause = n > 1 ? POLICY_BY_SEVERAL : worst->cause;
	SAY(out->reason, "policy: %s", names);
	if (worst->action < CONFIG_DEFER)
		out->action = (enum policy_action)worst->action;
	else
		policy_refuse(out, (enum policy_action)worst->action,
			      worst->action == CONFIG_REJECT ? 550 : 451,
			      n > 1 ? 26 : worst->detail, n > 1 ? text : worst->text);
}

void policy_checks(const struct policy_input *in, struct policy_verdict *out)
{
	bool vouched = out->lift || (in->dmarc && in->dmarc->result == DMARC_PASS);
	const struct finding *worst = NULL;
	struct findings all = {.n = 0};

	if (out->action >= POLICY_DEFER)
		return;
	if (in->spf)
		spf_check_result(in, vouched, &all);
	if (in->dkim)
		dkim_check_results(in, &all);
	if (in->ptr)
		reverse_dns(in, &all);
	if (in->arc)
		arc_check_result(in, vouched, &all);
	null_mx(in, &all);
	for (size_t i = 0; i < all.n; i++)
		if (!worst || all.f[i].action > worst->action)
			worst = &all.f[i];
	if (worst && (enum policy_action)worst->action > out->action)
		apply(&all, worst, out);
}
