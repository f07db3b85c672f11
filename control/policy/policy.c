/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <stdio.h>

#include "control/policy/policy.h"

const char *policy_action_name(enum policy_action a)
{
	static const char *const name[] = {"accept", "tag", "defer", "reject"};

	return name[a];
}

static void refuse(struct policy_verdict *v, enum policy_action action, uint16_t code,
		   uint16_t subject, uint16_t detail, const char *text)
{
	v->action = action;
	v->code = code;
	v->enh_class = (uint8_t)(code / 100);
	v->enh_subject = subject;
	v->enh_detail = detail;
	snprintf(v->text, sizeof(v->text), "%s", text);
}

/* Without a known sender nothing that follows could be true: the relay's line is repaired, or the
 * NAT in front is, and then the sender's retry goes through. */
static bool sender_unknown(const struct policy_input *in, struct policy_verdict *v)
{
	if (in->origin->status != ORIGIN_UNRESOLVED && in->origin->status != ORIGIN_PRIVATE_PEER)
		return false;
	refuse(v, POLICY_DEFER, 451, 7, 1, "The original sender cannot be determined, try again later");
	snprintf(v->reason, sizeof(v->reason), "origin %s: %.120s", origin_status_name(in->origin->status),
		 in->origin->reason);
	return true;
}

static bool by_rule(const struct policy_input *in, struct policy_verdict *v)
{
	const struct rule *worst = NULL;

	for (size_t i = 0; i < in->n_hits; i++)
		if (!worst || in->hit[i].rule->action > worst->action)
			worst = in->hit[i].rule;
	if (!worst || worst->action == RULE_SCORE)
		return false;
	snprintf(v->reason, sizeof(v->reason), "rule %.140s", worst->name);
	switch (worst->action) {
	case RULE_REJECT:
		refuse(v, POLICY_REJECT, 550, 7, 1, "Message content is refused by policy");
		break;
	case RULE_DEFER:
		refuse(v, POLICY_DEFER, 451, 7, 1, "Message is deferred by policy, try again later");
		break;
	case RULE_QUARANTINE:
		refuse(v, POLICY_DEFER, 451, 7, 1, "Quarantine is not available, try again later");
		break;
	default:
		v->action = POLICY_TAG;
	}
	return true;
}

static void by_score(const struct policy_input *in, struct policy_verdict *out)
{
	const struct config_policy *c = in->config;

	if (c->reject_score > 0 && out->score >= c->reject_score) {
		refuse(out, POLICY_REJECT, 550, 7, 1, "Message content is refused by policy");
		snprintf(out->reason, sizeof(out->reason), "score %.2f, reject-score %.2f", out->score,
			 c->reject_score);
	} else if (c->quarantine_score > 0 && out->score >= c->quarantine_score) {
		refuse(out, POLICY_DEFER, 451, 7, 1, "Quarantine is not available, try again later");
		snprintf(out->reason, sizeof(out->reason), "score %.2f, quarantine-score %.2f", out->score,
			 c->quarantine_score);
	} else if (c->tag_score > 0 && out->score >= c->tag_score) {
		out->action = POLICY_TAG;
		snprintf(out->reason, sizeof(out->reason), "score %.2f, tag-score %.2f", out->score,
			 c->tag_score);
	}
}

/* RFC 9989 5.4: p=reject alone should not refuse a message: lists and forwarders break
 * alignment. It is with something else against the message. */
static bool has_evidence(const struct policy_input *in, double score)
{
	return (in->config->tag_score > 0 && score >= in->config->tag_score) ||
	       (in->spf == SPF_FAIL && !in->dkim->n);
}

static void tag_for_dmarc(struct policy_verdict *out, const char *why)
{
	if (out->action == POLICY_TAG)
		return;
	out->action = POLICY_TAG;
	out->dmarc = true;
	snprintf(out->reason, sizeof(out->reason), "%.159s", why);
}

/* A From that cannot be judged is an attack or broken; who shows what of it nobody knows. */
static void by_from(const struct policy_input *in, struct policy_verdict *out)
{
	char why[160];

	snprintf(why, sizeof(why), "dmarc %s", in->dmarc->reason);
	if (in->config->dmarc != CONFIG_DMARC_STRICT) {
		tag_for_dmarc(out, why);
		return;
	}
	refuse(out, POLICY_REJECT, 550, 7, 26, "Message refused: its author cannot be determined");
	out->dmarc = true;
	snprintf(out->reason, sizeof(out->reason), "%.159s", why);
}

static void by_dmarc(const struct policy_input *in, struct policy_verdict *out)
{
	const struct dmarc_verdict *d = in->dmarc;
	const struct dmarc_evaluation *e;
	bool reject;
	char text[200];

	if (!d || in->config->dmarc == CONFIG_DMARC_MONITOR || out->action >= POLICY_DEFER)
		return;
	if (d->result == DMARC_PERMERROR)
		by_from(in, out);
	if (d->decisive >= d->n)
		return;
	e = &d->author[d->decisive].walk;
	/* Whoever can make a look-up fail must not get off lighter than with a quarantine. */
	if (d->result == DMARC_TEMPERROR && e->has_policy && e->policy != DMARC_POLICY_NONE)
		tag_for_dmarc(out, "dmarc temperror under a policy");
	if (d->result != DMARC_FAIL || d->disposition == DMARC_POLICY_NONE)
		return;
	snprintf(text, sizeof(text), "dmarc fail, %s=%s of %.120s", dmarc_tag_name(e->tag),
		 dmarc_policy_name(e->policy), e->policy_domain);
	reject = d->disposition == DMARC_POLICY_REJECT &&
		 (in->config->dmarc == CONFIG_DMARC_STRICT || has_evidence(in, out->score));
	if (!reject) {
		tag_for_dmarc(out, text);
		return;
	}
	snprintf(out->reason, sizeof(out->reason), "%.159s", text);
	snprintf(text, sizeof(text),
		 "Unauthenticated mail is refused by the DMARC policy of %.130s", e->policy_domain);
	refuse(out, POLICY_REJECT, 550, 7, 26, text);
	out->dmarc = true;
}

void policy_decide(const struct policy_input *in, struct policy_verdict *out)
{
	*out = (struct policy_verdict){.action = POLICY_ACCEPT};
	for (size_t i = 0; i < in->n_hits; i++)
		out->score += in->hit[i].score;
	if (sender_unknown(in, out))
		return;
	if (!by_rule(in, out))
		by_score(in, out);
	by_dmarc(in, out);
}
