/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The way of a message through rules without the programs around it: a set as control loads and
 * packs it, the bundle opened as the dataplane opens it, texts as control makes them, and the
 * verdict. All of it is the production code. For tests/oracle and tests/fuzz.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/judge/texts.h"
#include "control/rules/rules.h"
#include "dataplane/scan/scan_views.h"
#include "postern/stats.h"

struct pipeline {
	const struct rules *rules; /* the caller's; must live as long */
	struct scan_generation *generation;
	struct scan_worker *worker;
	struct scan_views *views;
	struct content_plan plan; /* what control makes texts of */
	uint64_t counters[POSTERN_DP_COUNTER_COUNT];
};

/* streams: messages in pieces at a time. False, and why in err (>= 256 octets). */
bool pipeline_new(struct pipeline *p, const struct rules *r, unsigned int streams, char *err);
void pipeline_free(struct pipeline *p);

/* What a scan came to: what goes into a message's record. */
struct pipeline_scan {
	struct handoff_match match[HANDOFF_MAX_MATCHES];
	uint32_t n;
	uint32_t flags; /* RECORD_F_* */
};
struct scan_target pipeline_target(struct pipeline_scan *s);
/* The message in one piece. */
void pipeline_block(struct pipeline *p, struct str message, struct pipeline_scan *s);

/* Texts of a message, and those of RULES_SLOT_TOLD, which are always the same. */
struct pipeline_texts {
	struct iovec iov[3];
	struct mail_bytes content;
	struct texts *texts;
};
/* cut: control has the message in pieces that end there. False: no memory. */
bool pipeline_texts_new(struct pipeline *p, struct str message, const size_t cut[2],
			struct pipeline_texts *t);
void pipeline_texts_free(struct pipeline_texts *t);

struct pipeline_verdict {
	struct rule_hit *hit; /* by rule, in the order of the set */
	size_t n, cap;
	double score;
	struct rules_judged judged;
};
/* s NULL: every pattern in full. Room for hits grows; the caller frees v->hit. False: no memory. */
bool pipeline_judge(struct pipeline *p, struct pipeline_texts *t, const struct pipeline_scan *s,
		    struct pipeline_verdict *v);
/* The first rule in which they differ, or NULL. *a, *b: how often it hit. */
const struct rule *pipeline_differ(const struct pipeline_verdict *x,
				   const struct pipeline_verdict *y, unsigned int *a,
				   unsigned int *b);
