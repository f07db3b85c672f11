/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* From what was found to what is done. Pure: no I/O, no state. */

#include "control/auth/arc/arc.h"
#include "control/auth/dkim/dkim.h"
#include "control/auth/dmarc/dmarc.h"
#include "control/auth/dnsbl/dnsbl.h"
#include "control/auth/spf/spf.h"
#include "control/config/config.h"
#include "control/origin/origin.h"
#include "control/rules/rules.h"

/* Ascending by what stands when several are asked for. A discard gives way to whatever the sender
 * would hear of. */
enum policy_action {
	POLICY_ACCEPT, POLICY_TAG, POLICY_QUARANTINE, POLICY_DISCARD, POLICY_DEFER, POLICY_REJECT
};
const char *policy_action_name(enum policy_action a); /* "accept" "tag" "quarantine" ... */

/* What decided. */
enum policy_cause {
	POLICY_BY_NOTHING,
	POLICY_BY_ORIGIN,
	POLICY_BY_DENY,
	POLICY_BY_RULE,
	POLICY_BY_SCORE,
	POLICY_BY_DNSBL,
	POLICY_BY_SPF_FAIL,    /* to POLICY_BY_SEVERAL: replies of RFC 7372, 7505, 8617 */
	POLICY_BY_SPF_ERROR,
	POLICY_BY_DKIM,
	POLICY_BY_REVERSE_DNS,
	POLICY_BY_ARC,
	POLICY_BY_NULL_MX,
	POLICY_BY_SEVERAL,     /* more than one of these */
	POLICY_BY_DMARC,
	POLICY_BY_FOREIGN_TRUST, /* not by policy_decide(): by the judge, behind it */
	POLICY_CAUSES
};
const char *policy_cause_name(enum policy_cause c); /* "nothing" "origin" "rule" "spf-fail" ... */

/* Who lifts a failed DMARC. */
enum policy_lift { POLICY_LIFT_NONE, POLICY_LIFT_FORWARDER, POLICY_LIFT_SEALER };

/* Why what was done is not what a DMARC policy asked for, in the words of aggregate reports (RFC
 * 9990 3.1.6, RFC 7489 appendix C). We never guess, so "mailing_list" and "other" are not among
 * them. */
enum policy_override {
	POLICY_OVERRIDE_NONE,
	POLICY_OVERRIDE_FORWARDER, /* "trusted_forwarder" */
	POLICY_OVERRIDE_LOCAL,     /* "local_policy" */
	POLICY_OVERRIDE_TEST,      /* "policy_test_mode" */
};
const char *policy_override_name(enum policy_override o);

struct policy_input {
	const struct config_policy *config;
	const struct origin *origin;
	const struct spf_verdict *spf;
	const struct dkim_results *dkim;
	const struct arc_results *arc;
	bool arc_unanswered;               /* it failed for want of time */
	const struct dmarc_verdict *dmarc; /* NULL: not judged */
	const struct ptr_result *ptr;      /* of the original sender */
	const struct dnsbl_verdict *dnsbl; /* by config->dnsbl[]; NULL: not asked */
	struct str mail_from;              /* A-labels */
	bool null_mx;                      /* of its domain */
	bool quarantine;                   /* there is a place to hold messages back */
	const struct rule_hit *hit;
	size_t n_hits;
};

/* What the lists of policy.access say. */
enum policy_listed { POLICY_UNLISTED, POLICY_ALLOWED, POLICY_DENIED };
struct policy_access {
	enum policy_listed listed;
	const char *list;      /* its key, "deny-origins"; "" if there is none */
	char what[280];        /* the address or domain that is listed */
	const char *by;        /* of a domain: "dkim" "spf" "dmarc" "arc"; or "" */
};

/* Before there is content. The lists of origins, of an address that is known to be the sender's; that
 * of senders. True: denied, and *access says by which. */
bool policy_denies_origin(const struct config_policy *c, const struct ip_addr *ip,
			  struct policy_access *access);
bool policy_denies_sender(const struct config_policy *c, struct str mail_from,
			  struct policy_access *access);
/* What a client hears of it, at any stage. */
void policy_denial(const struct policy_access *access, char *text, size_t cap);

struct policy_verdict {
	enum policy_action action;
	enum policy_action would; /* the same, but for a dry run: what would have been done */
	enum policy_cause cause;
	double score;
	/* for DEFER and REJECT: the reply */
	uint16_t code;
	uint8_t enh_class;
	uint16_t enh_subject, enh_detail;
	char text[320];
	char reason[256];      /* for the trace: which rule, threshold or check */
	struct policy_access access;
	enum policy_lift lift; /* who would, whether DMARC failed or not */
	bool lifted;           /* and did */
	enum policy_override override;
	char comment[256];     /* of the override */
};

/* Order: an unresolved relay or a private peer defers (451 4.7.1) before anything else; then whose mail
 * is denied (an allow list takes away what it names of all that follows, no more); then actions of rules
 * (the strictest stands: reject, defer, quarantine, tag); then thresholds; then, for what
 * is not refused or deferred by then, lists in the DNS, the checks of policy and DMARC. Of what is
 * found the strictest stands. A quarantine that has no place to go is a deferral (451 4.7.1) that
 * says so. Of the pointers only config and origin must be there. */
void policy_decide(const struct policy_input *in, struct policy_verdict *out);
/* Behind everything that decides: with policy.dry-run nothing is refused, deferred or held back but
 * what has no known sender, which must never be delivered. Reply and reason stay. */
void policy_dry_run(const struct config_policy *config, struct policy_verdict *v);
