/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Rule files (SpamAssassin's language) → one Hyperscan blob per view (struct scan_blob_head of
 * dataplane/scan/scan.h) and a table from pattern ids back to rules. A pattern that Hyperscan takes
 * only as a prefilter is confirmed here by PCRE2 before it counts.
 *
 * Built now: `full`, `score`, `describe`, `tflags`, `action`, `if/ifplugin/else/endif/version`
 * blocks. `header body rawbody uri meta mimeheader` rules are reported as not supported, by file and
 * line, and left out. A rule with a bad pattern is an error: the set is then refused as a whole.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/mail/mail.h"
#include "postern/handoff.h"

enum rules_severity { RULES_NOTE, RULES_UNSUPPORTED, RULES_ERROR };

struct rules_issue {
	enum rules_severity severity;
	char *file;
	unsigned int line;
	char *rule;            /* name or "" */
	char *reason;
};

enum rule_action {
	RULE_SCORE, RULE_TAG, RULE_QUARANTINE, RULE_DISCARD, RULE_DEFER, RULE_REJECT
};

struct rule {
	char *name;
	char *describe;        /* "" if none */
	uint8_t view;          /* enum handoff_view */
	uint32_t id;           /* pattern id in the view's database */
	double score;          /* default 1 (0.01 for names that begin with T_) */
	enum rule_action action;
	bool multiple;         /* tflags multiple */
	bool prefilter;        /* needs PCRE2 */
};

struct rules;

/* 0 and *out (also when some rules are unsupported); -EINVAL when there is an error: *out is then
 * a set that holds issues only. -ENOMEM: *out NULL. n_files 0 is a valid, empty set. */
int rules_load(const char *const *file, size_t n_files, struct rules **out);
/* From memory: tests, fuzzing. */
int rules_parse(const char *name, const void *text, size_t len, struct rules **out);
void rules_free(struct rules *r);

size_t rules_count(const struct rules *r);
const struct rule *rules_at(const struct rules *r, size_t i);
size_t rules_issues(const struct rules *r, const struct rules_issue **issue);
/* SHA-256 over what was compiled: generation key. */
const uint8_t *rules_digest(const struct rules *r);
/* Blob of a view for the dataplane; NULL if the view has no rules. Owned by the set. */
const void *rules_blob(const struct rules *r, uint8_t view, size_t *len);

/*
 * What the matches of a scan mean. Each match is looked up, bounds-checked, confirmed by PCRE2 over
 * the content where it was a prefilter, and turned into hits (a rule once, `count` for multiple
 * rules, whose score counts once all the same). A match with an unknown id is counted in *unknown
 * and left out; so is one that PCRE2 could not confirm within its limits.
 */
struct rule_hit {
	const struct rule *rule;
	unsigned int count;
	double score;          /* what it adds */
};
/* Number of hits (at most cap), or -ENOMEM. */
long rules_hits(const struct rules *r, const struct handoff_match *match, size_t n_matches,
		const struct mail_bytes *content, struct rule_hit *hit, size_t cap, unsigned int *unknown);
