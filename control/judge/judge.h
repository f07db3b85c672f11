/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * One message from "it is here" to "this is what goes out": original sender, PTR, SPF and DKIM at
 * the same time, then DMARC, rules, policy, header block and its proof. The daemon and `posternctl
 * scan` run this same code. It delivers nothing and answers nobody.
 */

#include <jansson.h>

#include "control/annotate/annotate.h"
#include "control/auth/arc/arc.h"
#include "control/auth/dkim/dkim.h"
#include "control/auth/dnsbl/dnsbl.h"
#include "control/auth/dmarc/dmarc.h"
#include "control/auth/spf/spf.h"
#include "control/config/config.h"
#include "control/dns/dns.h"
#include "control/json/json_out.h"
#include "control/judge/judge_reverify.h"
#include "control/mail/mail.h"
#include "control/origin/origin.h"
#include "control/policy/policy.h"
#include "control/rules/rules.h"

/* What one event loop lends to its messages; `counters` is indexed by enum postern_ctl_counter. */
struct judge_env {
	struct event_base *base;
	struct dns *dns;
	struct spf_jail *spf;
	uint64_t *counters;
	struct dkim_keys *keys; /* NULL: DKIM and ARC keys are parsed anew each time */
	struct arc_pool *seals; /* NULL: sealing is done on the loop */
};

/* Whether signatures are verified once more over what leaves (judge_reverify.h). */
enum judge_reverify {
	REVERIFY_SHARE,        /* `reverify` of the configuration: beside; debug builds: all, first */
	REVERIFY_FIRST,        /* the callback waits for it */
	REVERIFY_BESIDE,       /* the callback does not */
};

/* Everything stays valid until judge_free(). */
struct judge_request {
	struct config *config;
	const struct rules *rules;     /* of the generation that scanned the message; NULL: none */
	struct rules_stats *rules_stats; /* of these rules; NULL: nothing is counted by rule */
	const struct mail_envelope *env;
	const struct mail_bytes *content;
	const struct handoff_match *match;
	size_t n_matches;
	const char *hostname;          /* NULL: config->hostname */
	enum judge_reverify reverify;
	bool incomplete;               /* octets are missing: nothing that is signed can be verified,
	                                  and DKIM, ARC and DMARC are not evaluated */
	bool refuse_loops;             /* what goes round is -ELOOP; a file that is looked at is not */
	origin_in_hand *in_hand;       /* asked then, inside judge_start(); NULL: nothing is */
	void *in_hand_arg;
};

#define JUDGE_FOREIGN_NAMES 8

/* Foreign trust fields (annotate.h) of a peer that no relay entry lists. */
struct judge_foreign {
	size_t n;                      /* fields */
	enum config_foreign action;    /* of the route */
	char name[JUDGE_FOREIGN_NAMES][80]; /* the first different names, printable, cut */
	size_t n_names;
};

/* A section list or attachment of the configuration, as a rule, and what it found. */
struct judge_found {
	struct rule rule;
	char why[200];
};

/* The set that was put on top (RFC 8617). */
struct judge_seal {
	enum { JUDGE_SEAL_OFF, JUDGE_SEALED, JUDGE_SEAL_SKIPPED, JUDGE_SEAL_FAILED } status;
	const char *reason;            /* of SKIPPED and FAILED */
	const char *domain, *selector; /* of SEALED, as the next two */
	unsigned int instance;
	enum arc_result cv;
};

/* Read-only for the caller, complete in the callback and after it. */
struct judgement {
	struct headers headers;
	struct mail_range *range;      /* what was removed of the header */
	size_t n_ranges;
	uint8_t *drop;                 /* enum annotate_drop by header field */
	size_t n_forged;               /* fields removed as forged copies of ours */
	struct judge_foreign foreign;
	struct origin origin;
	struct ptr_result ptr, origin_ptr; /* of the TCP peer; of the original sender */
	struct spf_verdict spf, spf_helo;
	const struct dkim_results *dkim;   /* never NULL in the callback */
	const struct arc_results *arc;     /* never NULL in the callback */
	struct dmarc_verdict dmarc;        /* if dmarc_judged */
	bool dmarc_judged;                 /* not without a known sender */
	struct rule_hit *hit;
	size_t n_hits;
	struct judge_found *found;     /* rules of lists and attachments, which hits point to */
	size_t n_found;
	const struct dnsbl_verdict *dnsbl; /* by config->policy.dnsbl[]; NULL: not asked */
	size_t n_dnsbls;               /* 0: not asked */
	bool null_mx;                  /* of the domain of MAIL FROM, if policy asks */
	const struct config_policy *policy_config; /* that policy went by */
	struct policy_verdict policy;
	struct annotate_output out;    /* what goes to the next hop; empty if not accepted or failed */
	struct annotate_conflicts conflicts;
	struct judge_seal seal;
	bool spf_field_left_out;       /* Received-SPF: a signature wants it absent */
	struct reverify_result reverify; /* may come after the callback; done: it came */
	int error;                     /* 0, or -errno: the message could not be judged (451);
	                                  -EBADMSG: its header must not be passed on (554);
	                                  -ELOOP: it goes round (554 5.4.6) */
	char error_text[160];
	bool timed_out;                /* LIMIT_JUDGE_S passed: what was open is temperror */
	uint64_t judge_us;
};

/* Views that these sections want (1 << enum handoff_view). */
uint32_t judge_content_views(const struct config *c);

struct judge;
typedef void judge_callback(void *arg, const struct judgement *j);

/* The callback runs once and not inside this call. NULL: -ENOMEM. */
struct judge *judge_start(const struct judge_env *env, const struct judge_request *req,
			  judge_callback *cb, void *arg);
/* Rules alone, at once, without the DNS: of the result there are headers, origin, hits (with what hit,
 * and, if `parts`, those of rules in __), and policy_config. *out is to be freed in either case. 0;
 * -EBADMSG: the header cannot be read; -ENOMEM. Of env only the counters are used. */
int judge_rules_alone(const struct judge_env *env, const struct judge_request *req, bool parts,
		      struct judge **out);
/* Before the callback it cancels. Inside the callback it is allowed as well. */
void judge_free(struct judge *j);
const struct judgement *judge_result(const struct judge *j);

/* Members of the judged part of a trace record, into an object that is open. */
void judge_record(const struct judge *j, struct json_out *o);
/* The contract of `posternctl scan --json`: the same, and "headers". New reference. */
json_t *judge_json(const struct judge *j);
