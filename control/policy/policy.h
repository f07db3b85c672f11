/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* From what was found to what is done. Pure: no I/O, no state. */

#include "control/auth/dkim/dkim.h"
#include "control/auth/dmarc/dmarc.h"
#include "control/auth/spf/spf.h"
#include "control/config/config.h"
#include "control/origin/origin.h"
#include "control/rules/rules.h"

enum policy_action { POLICY_ACCEPT, POLICY_TAG, POLICY_DEFER, POLICY_REJECT };
const char *policy_action_name(enum policy_action a); /* "accept" "tag" "defer" "reject" */

struct policy_input {
	const struct config_policy *config;
	const struct origin *origin;
	enum spf_result spf;
	const struct dkim_results *dkim;
	const struct dmarc_verdict *dmarc; /* NULL: not judged */
	const struct rule_hit *hit;
	size_t n_hits;
	uint32_t flags;        /* RECORD_F_* of the message */
};

struct policy_verdict {
	enum policy_action action;
	double score;
	/* for DEFER and REJECT: the reply */
	uint16_t code;
	uint8_t enh_class;
	uint16_t enh_subject, enh_detail;
	char text[200];
	char reason[160];      /* for the trace: which rule or which threshold */
	bool dmarc;            /* DMARC decided the action */
};

/* Order: an unresolved relay or a private peer defers (451 4.7.1) before anything else; then actions
 * of rules (the strictest stands: reject, defer, quarantine, tag); then thresholds; then DMARC, for
 * what is not refused or deferred by then. A quarantine has no place to go yet: it is done as a
 * deferral (451 4.7.1) that says so, and as a tag where DMARC asks for it. */
void policy_decide(const struct policy_input *in, struct policy_verdict *out);
