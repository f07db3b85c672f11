/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <stdarg.h>
#include <stdio.h>

#include "control/policy/internal.h"

const char *policy_action_name(enum policy_action a)
{
	static const char *const name[] = {"accept", "tag", "quarantine", "discard", "defer",
					   "reject"};

	return name[a];
}

const char *policy_cause_name(enum policy_cause c)
{
	static const char *const name[] = {
		[POLICY_BY_NOTHING] = "nothing",     [POLICY_BY_ORIGIN] = "origin",
		[POLICY_BY_DENY] = "deny",
		[POLICY_BY_RULE] = "rule",	     [POLICY_BY_SCORE] = "score",
		[POLICY_BY_DNSBL] = "dnsbl",	     [POLICY_BY_SPF_FAIL] = "spf-fail",
		[POLICY_BY_SPF_ERROR] = "spf-error", [POLICY_BY_DKIM] = "dkim",
		[POLICY_BY_REVERSE_DNS] = "reverse-dns", [POLICY_BY_ARC] = "arc",
		[POLICY_BY_NULL_MX] = "null-mx",     [POLICY_BY_SEVERAL] = "several",
		[POLICY_BY_DMARC] = "dmarc",	     [POLICY_BY_FOREIGN_TRUST] = "foreign-trust",
	};

	return name[c];
}

const char *policy_override_name(enum policy_override o)
{
	static const char *const name[] = {
		[POLICY_OVERRIDE_NONE] = "none",
		[POLICY_OVERRIDE_FORWARDER] = "trusted_forwarder",
		[POLICY_OVERRIDE_LOCAL] = "local_policy",
		[POLICY_OVERRIDE_TEST] = "policy_test_mode",
	};

	return name[o];
}

void policy_say(char *buf, size_t cap, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, cap, fmt, ap);
	va_end(ap);
}

void policy_refuse(struct policy_verdict *out, enum policy_action action, uint16_t code,
		   uint16_t detail, const char *text)
{
	out->action = action;
	out->code = code;
	out->enh_class = (uint8_t)(code / 100);
	out->enh_subject = 7;
	out->enh_detail = detail;
	SAY(out->text, "%s", text);
}

/* Without a known sender nothing that follows could be true: the relay's line is repaired, or the
 * NAT in front is, and then the sender's retry goes through. */
static bool sender_unknown(const struct policy_input *in, struct policy_verdict *v)
{
	if (in->origin->status != ORIGIN_UNRESOLVED && in->origin->status != ORIGIN_PRIVATE_PEER)
		return false;
	policy_refuse(v, POLICY_DEFER, 451, 1,
		      "The original sender cannot be determined, try again later");
	v->cause = POLICY_BY_ORIGIN;
	SAY(v->reason, "origin %s: %s", origin_status_name(in->origin->status), in->origin->reason);
	return true;
}

/* Without a place to hold it back nobody takes it: it comes again. */
void policy_hold(const struct policy_input *in, struct policy_verdict *v)
{
	if (in->quarantine)
		v->action = POLICY_QUARANTINE;
	else
		policy_refuse(v, POLICY_DEFER, 451, 1,
			      "Quarantine is not available, try again later");
}

static void by_rule(const struct policy_input *in, struct policy_verdict *v)
{
	static const enum policy_action by_action[] = {
		[RULE_SCORE] = POLICY_ACCEPT, [RULE_TAG] = POLICY_TAG,
		[RULE_QUARANTINE] = POLICY_QUARANTINE, [RULE_DISCARD] = POLICY_DISCARD,
		[RULE_DEFER] = POLICY_DEFER, [RULE_REJECT] = POLICY_REJECT,
	};
	const struct rule *worst = NULL;

	for (size_t i = 0; i < in->n_hits; i++)
		if (!worst || in->hit[i].rule->action > worst->action)
			worst = in->hit[i].rule;
	if (!worst || worst->action == RULE_SCORE || by_action[worst->action] <= v->action)
		return;
	v->cause = POLICY_BY_RULE;
	SAY(v->reason, "rule %s", worst->name);
	switch (worst->action) {
	case RULE_REJECT:
		policy_refuse(v, POLICY_REJECT, 550, 1, "Message content is refused by policy");
		break;
	case RULE_DEFER:
		policy_refuse(v, POLICY_DEFER, 451, 1, "Message is deferred by policy, try again later");
		break;
	case RULE_QUARANTINE:
		policy_hold(in, v);
		break;
	default:
		v->action = by_action[worst->action];
	}
}

static void by_score(const struct policy_input *in, struct policy_verdict *out)
{
	const struct config_policy *c = in->config;
	const char *name = "tag-score";
	double limit = c->tag_score;

	if (c->reject_score > 0 && out->score >= c->reject_score) {
		name = "reject-score";
		limit = c->reject_score;
		policy_refuse(out, POLICY_REJECT, 550, 1, "Message content is refused by policy");
	} else if (c->defer_score > 0 && out->score >= c->defer_score) {
		name = "defer-score";
		limit = c->defer_score;
		policy_refuse(out, POLICY_DEFER, 451, 1,
			      "Message is deferred by policy, try again later");
	} else if (c->quarantine_score > 0 && out->score >= c->quarantine_score &&
		   out->action <= POLICY_QUARANTINE) {
		name = "quarantine-score";
		limit = c->quarantine_score;
		policy_hold(in, out);
	} else if (c->tag_score > 0 && out->score >= c->tag_score && out->action < POLICY_TAG) {
		out->action = POLICY_TAG;
	} else {
		return;
	}
	out->cause = POLICY_BY_SCORE;
	SAY(out->reason, "score %.2f, %s %.2f", out->score, name, limit);
}

/* RFC 6376 8.2: whatever stands behind the signed octets is anybody's. */
static double tail_score(const struct policy_input *in)
{
	bool limited = false;

	for (size_t i = 0; in->dkim && i < in->dkim->n; i++) {
		const struct dkim_signature *s = &in->dkim->sig[i];

		if (s->result == DKIM_PASS && !s->partial)
			return 0;
		limited |= s->result == DKIM_PASS;
	}
	return limited ? in->config->dkim_l_score : 0;
}

static double sum(const struct policy_input *in)
{
	const struct config_policy *c = in->config;
	double score = tail_score(in);

	for (size_t i = 0; i < in->n_hits; i++)
		score += in->hit[i].score;
	for (size_t i = 0; in->dnsbl && i < c->n_dnsbls; i++)
		if (in->dnsbl[i].result == DNSBL_LISTED)
			score += c->listing[i].score;
	return score;
}

static void by_dnsbl(const struct policy_input *in, struct policy_verdict *out)
{
	const struct config_policy *c = in->config;
	const struct config_listing *l;
	size_t worst = c->n_dnsbls;
	char text[320], ip[64];

	for (size_t i = 0; in->dnsbl && i < c->n_dnsbls; i++)
		if (in->dnsbl[i].result == DNSBL_LISTED &&
		    (worst == c->n_dnsbls || c->listing[i].action > c->listing[worst].action))
			worst = i;
	if (worst == c->n_dnsbls || out->action >= POLICY_DEFER)
		return;
	l = &c->listing[worst];
	if ((enum policy_action)l->action <= out->action)
		return;
	out->cause = POLICY_BY_DNSBL;
	SAY(out->reason, "listed in %s (%s)", c->dnsbl[worst].name, c->dnsbl[worst].zone);
	SAY(text, "%s is listed in %s%s%s", ip_format(&in->origin->ip, ip, sizeof(ip)),
	    c->dnsbl[worst].zone, l->reply ? ". " : "", l->reply ? l->reply : "");
	if (l->action == CONFIG_REJECT)
		policy_refuse(out, POLICY_REJECT, 550, 1, text);
	else if (l->action == CONFIG_DEFER)
		policy_refuse(out, POLICY_DEFER, 451, 1, text);
	else
		out->action = (enum policy_action)l->action;
}

void policy_dry_run(const struct config_policy *config, struct policy_verdict *v)
{
	v->would = v->action;
	if (config->dry_run && v->action >= POLICY_QUARANTINE && v->cause != POLICY_BY_ORIGIN)
		v->action = POLICY_ACCEPT;
}

void policy_decide(const struct policy_input *given, struct policy_verdict *out)
{
	struct policy_input in = *given;

	*out = (struct policy_verdict){.action = POLICY_ACCEPT, .access = {.list = "", .by = ""}};
	if (sender_unknown(&in, out)) {
		out->score = sum(&in);
		return;
	}
	if (policy_access(&in, out)) {
		out->score = sum(&in);
		return;
	}
	/* Neither its action nor its score, nor as evidence. */
	if (policy_skips(&in, out, CONFIG_SKIP_DNSBL))
		in.dnsbl = NULL;
	out->score = sum(&in);
	out->lift = policy_lift(&in, out->comment, sizeof(out->comment));
	if (!policy_skips(&in, out, CONFIG_SKIP_RULES))
		by_rule(&in, out);
	/* A rule that tags takes no threshold away. */
	if (out->action < POLICY_DEFER && !policy_skips(&in, out, CONFIG_SKIP_SCORE))
		by_score(&in, out);
	by_dnsbl(&in, out);
	if (!policy_skips(&in, out, CONFIG_SKIP_CHECKS))
		policy_checks(&in, out);
	policy_dmarc(&in, out);
	if (!out->override)
		out->comment[0] = '\0';
}
