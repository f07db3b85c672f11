/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * DMARC (RFC 9989): is the domain that the reader sees one that SPF or DKIM vouch for, and what
 * does its owner ask for where it is not? The tree walk decides. The public suffix list of RFC 7489 is
 * evaluated beside it and decides nothing: where the two differ, the verdict says so. What is done
 * about a verdict is policy's.
 */

#include "control/auth/dkim/dkim.h"
#include "control/auth/dmarc/from.h"
#include "control/auth/dmarc/record.h"
#include "control/auth/spf/spf.h"

/* Ascending by what stands when several author domains are judged. */
enum dmarc_result { DMARC_PASS, DMARC_NONE, DMARC_PERMERROR, DMARC_TEMPERROR, DMARC_FAIL };
const char *dmarc_result_name(enum dmarc_result r); /* as in RFC 8601 */

/* Which tag of the record was the policy. */
enum dmarc_tag { DMARC_TAG_P, DMARC_TAG_SP, DMARC_TAG_NP };
const char *dmarc_tag_name(enum dmarc_tag t); /* "p" "sp" "np" */

/* Of one author domain by one way of finding policy and organizational domain. */
struct dmarc_evaluation {
	enum dmarc_result result;
	enum dmarc_policy disposition;  /* asked for, after t=y; none unless the result is fail */
	bool has_policy;
	enum dmarc_policy policy;       /* published, of the tag that applies */
	enum dmarc_tag tag;
	char policy_domain[MAIL_ALABEL]; /* where the record is; "" for none */
	char org[MAIL_ALABEL];          /* of the author domain; "" if not known */
	bool spf_aligned;               /* passed and aligned */
	uint32_t dkim_aligned;          /* the same, a bit for dkim_results.sig[i]; i < 32 */
	char reason[128];               /* unless pass; plain words, printable ASCII */
};

struct dmarc_author {
	char domain[MAIL_ALABEL];
	struct dmarc_evaluation walk;   /* decides */
	struct dmarc_evaluation psl;    /* is compared */
	struct dmarc_record record;     /* published values; walk.has_policy */
};

struct dmarc_verdict {
	enum dmarc_result result;
	enum dmarc_policy disposition;
	enum from_status from;
	char reason[128];
	struct dmarc_author author[LIMIT_DMARC_AUTHORS];
	size_t n;
	size_t decisive;                /* author that the result is of; n if there is none */
	bool psl_differs;               /* in result or disposition, of any author */
	/* what was evaluated, for an aggregate report */
	enum spf_result spf;
	char spf_domain[MAIL_ALABEL];   /* of MAIL FROM, or HELO for a null path; "": none */
};

struct dmarc_request {
	const struct headers *headers;
	const struct spf_verdict *spf;  /* of MAIL FROM, or HELO for a null reverse-path */
	struct str mail_from;           /* n == 0: null reverse-path */
	const struct dkim_results *dkim;
};

struct dmarc_options {
	unsigned int budget_ms; /* 0: LIMIT_DMARC_TIME_S; then what is open has failed */
	/* A pass by a key with t=y counts. RFC 6376 3.6.1 has such mail treated as unsigned. */
	bool testing_counts;
};

struct event_base;
struct dmarc_check;
typedef void dmarc_callback(void *arg, const struct dmarc_verdict *verdict);

/* What is in the request is copied. The callback never runs inside dmarc_check(), and runs once.
 * The verdict lives until dmarc_check_free(), which is allowed inside the callback and before it
 * cancels. NULL: -ENOMEM. */
struct dmarc_check *dmarc_check(struct dns *dns, struct event_base *base,
				const struct dmarc_request *req, const struct dmarc_options *opt,
				dmarc_callback *cb, void *arg);
void dmarc_check_free(struct dmarc_check *c);
/* Puts the verdict in the state "not finished in time". */
void dmarc_verdict_temperror(struct dmarc_verdict *v, const char *reason);
