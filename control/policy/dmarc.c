/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/policy/internal.h"

/* RFC 9989 5.4: p=reject alone should not refuse a message, since lists and forwarders break
 * alignment. It is refused with something else against it, which is independent of the failure. */

/* Could somebody answer for the message? A signature that did not verify, has no key or cannot be
 * read costs a forger nothing. One that temporarily could not be checked may be good. One by a
 * testing key is to be as no signature (RFC 6376 3.6.1). */
static bool is_credible(const struct policy_input *in, const struct dkim_signature *s)
{
	if (s->testing && !in->config->dkim_testing_pass)
		return false;
	return s->result == DKIM_PASS || s->result == DKIM_TEMPERROR;
}

static bool spf_alone(const struct policy_input *in)
{
	if (!in->spf || in->spf->result != SPF_FAIL)
		return false;
	for (size_t i = 0; in->dkim && i < in->dkim->n; i++)
		if (is_credible(in, &in->dkim->sig[i]))
			return false;
	return true;
}

/* In words, for the trace; false: nothing but the policy speaks against it. */
static bool find_evidence(const struct policy_input *in, const struct policy_verdict *v, char *why,
			  size_t cap)
{
	const struct config_policy *c = in->config;
	double score = policy_skips(in, v, CONFIG_SKIP_SCORE) ? 0 : v->score;

	if (c->dmarc == CONFIG_DMARC_STRICT) {
		policy_say(why, cap, "dmarc = strict");
		return true;
	}
	if (c->tag_score > 0 && score >= c->tag_score) {
		policy_say(why, cap, "score %.2f", score);
		return true;
	}
	for (size_t i = 0; in->dnsbl && i < c->n_dnsbls; i++)
		if (c->listing[i].evidence && in->dnsbl[i].result == DNSBL_LISTED) {
			policy_say(why, cap, "listed in %s", c->dnsbl[i].name);
			return true;
		}
	if (!spf_alone(in))
		return false;
	policy_say(why, cap, "spf fail, no credible signature");
	return true;
}

/* RFC 9989 5.3.6 (quarantine): suspicious. Where such mail goes is the operator's: to the next hop,
 * told in the header block, or held back. */
static void tag(const struct policy_input *in, struct policy_verdict *out, const char *why)
{
	enum policy_action action =
		in->quarantine && in->config->dmarc_hold ? POLICY_QUARANTINE : POLICY_TAG;

	if (out->action >= action)
		return;
	out->action = action;
	out->cause = POLICY_BY_DMARC;
	SAY(out->reason, "%s", why);
}

static void reject(struct policy_verdict *out, const char *why, const char *text)
{
	policy_refuse(out, POLICY_REJECT, 550, 26, text);
	out->cause = POLICY_BY_DMARC;
	SAY(out->reason, "%s", why);
}

/* A From that cannot be judged is an attack or broken; who shows what of it nobody knows. */
static void by_from(const struct policy_input *in, struct policy_verdict *out)
{
	char why[160];

	SAY(why, "dmarc %s", in->dmarc->reason);
	if (in->config->dmarc == CONFIG_DMARC_STRICT)
		reject(out, why, "Message refused: its author cannot be determined");
	else
		tag(in, out, why);
}

/* The names that are ours to protect: whoever uses them is to be authenticated, whatever the
 * published policy asks for. */
static const char *protected_author(const struct policy_input *in)
{
	const struct dmarc_verdict *d = in->dmarc;

	for (size_t i = 0; i < d->n; i++)
		if (d->author[i].walk.result == DMARC_FAIL &&
		    config_domain_listed(&in->config->protected_domains, d->author[i].domain))
			return d->author[i].domain;
	return NULL;
}

static void by_failure(const struct policy_input *in, struct policy_verdict *out)
{
	const struct dmarc_verdict *d = in->dmarc;
	const struct dmarc_evaluation *e = &d->author[d->decisive].walk;
	const char *ours = protected_author(in);
	char why[256], text[300], more[80];

	if (ours) {
		SAY(why, "dmarc fail, %s is a protected domain", ours);
		SAY(text, "Mail in the name of %s that fails DMARC is refused", ours);
		reject(out, why, text);
		return;
	}
	if (d->disposition == DMARC_POLICY_NONE)
		return;
	SAY(why, "dmarc fail, %s=%s of %s", dmarc_tag_name(e->tag), dmarc_policy_name(e->policy),
	    e->policy_domain);
	if (d->disposition != DMARC_POLICY_REJECT ||
	    !find_evidence(in, out, more, sizeof(more))) {
		tag(in, out, why);
		return;
	}
	SAY(text, "Unauthenticated mail is refused by the DMARC policy of %s", e->policy_domain);
	reject(out, why, text);
	SAY(out->reason, "dmarc fail, %s=%s of %s; %s", dmarc_tag_name(e->tag),
	    dmarc_policy_name(e->policy), e->policy_domain, more);
}

/* A published policy was not followed as it stands: an aggregate report has to say why. */
static void note_override(const struct policy_input *in, struct policy_verdict *out)
{
	const struct dmarc_author *a = &in->dmarc->author[in->dmarc->decisive];
	bool refused = out->action == POLICY_REJECT;

	if (out->lifted) {
		out->override = out->lift == POLICY_LIFT_FORWARDER ? POLICY_OVERRIDE_FORWARDER
								   : POLICY_OVERRIDE_LOCAL;
		return;
	}
	out->comment[0] = '\0';
	if (in->dmarc->result != DMARC_FAIL || refused || a->walk.policy == DMARC_POLICY_NONE)
		return;
	if (policy_skips(in, out, CONFIG_SKIP_DMARC)) {
		out->override = POLICY_OVERRIDE_LOCAL;
		SAY(out->comment, "%.200s", out->access.list);
	} else if (in->config->dmarc == CONFIG_DMARC_MONITOR) {
		out->override = POLICY_OVERRIDE_LOCAL;
		SAY(out->comment, "monitored only");
	} else if (a->record.testing) {
		out->override = POLICY_OVERRIDE_TEST;
	} else if (a->walk.policy == DMARC_POLICY_REJECT) {
		out->override = POLICY_OVERRIDE_LOCAL;
		SAY(out->comment, "nothing but the policy speaks against it");
	}
}

void policy_dmarc(const struct policy_input *in, struct policy_verdict *out)
{
	const struct dmarc_verdict *d = in->dmarc;
	const struct dmarc_evaluation *e;
	bool act = in->config->dmarc != CONFIG_DMARC_MONITOR && out->action < POLICY_DEFER &&
		   !policy_skips(in, out, CONFIG_SKIP_DMARC);

	if (d && d->result == DMARC_PERMERROR && act)
		by_from(in, out);
	if (!d || d->decisive >= d->n)
		return;
	e = &d->author[d->decisive].walk;
	/* Whoever can make a look-up fail must not get off lighter than with a quarantine. */
	if (d->result == DMARC_FAIL || (d->result == DMARC_TEMPERROR && e->has_policy))
		out->lifted = out->lift && out->action < POLICY_DEFER &&
			      (e->policy != DMARC_POLICY_NONE || protected_author(in));
	if (act && !out->lifted) {
		if (d->result == DMARC_TEMPERROR && e->has_policy && e->policy != DMARC_POLICY_NONE)
			tag(in, out, "dmarc temperror under a policy");
		if (d->result == DMARC_FAIL)
			by_failure(in, out);
	}
	note_override(in, out);
}
