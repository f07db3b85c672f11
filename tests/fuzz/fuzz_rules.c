/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Rules, a line with a NUL alone, a message. The rules are a set, or an error with a place. What a
 * set finds in the message by its tiers is what its patterns find in full, and matches that no set
 * has are counted and change nothing. Without the line all of it is rules, and the message too.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/oracle/pipeline.h"

#define RULES_MAX   2048u
#define MESSAGE_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A message in two pieces gives what it gives in one. */
static void in_pieces(struct pipeline *p, struct str message, struct pipeline_scan *s)
{
	const struct scan_target t = pipeline_target(s);
	struct scan_large *l = scan_views_open(p->views, p->worker, &t);
	size_t cut = message.n / 3;

	if (!l)
		abort();
	scan_large_run(l, message.p, cut);
	scan_large_run(l, message.p + cut, message.n - cut);
	s->flags = scan_large_close(l).flags;
}

static void same(const struct pipeline_verdict *tiers, const struct pipeline_verdict *full)
{
	unsigned int a, b;
	const struct rule *rule;

	/* A pattern that ran into PCRE2's limits says nothing. */
	if (tiers->judged.limited || full->judged.limited)
		return;
	if (tiers->judged.failed || full->judged.failed)
		abort();
	rule = pipeline_differ(tiers, full, &a, &b);
	if (rule) {
		fprintf(stderr, "%s (%s): %u by tiers, %u in full\n", rule->name,
			rule_tier_name(rule->tier), a, b);
		abort();
	}
}

static void judge(const struct rules *r, struct str message)
{
	const size_t cut[2] = {message.n / 2, message.n};
	struct pipeline_verdict tiers = {0}, full = {0};
	struct pipeline_texts t;
	struct pipeline_scan s;
	struct pipeline p;
	char err[256];

	if (!pipeline_new(&p, r, 1, err)) {
		fprintf(stderr, "%s\n", err);
		abort();
	}
	if (!pipeline_texts_new(&p, message, cut, &t) || !pipeline_judge(&p, &t, NULL, &full))
		abort();
	pipeline_block(&p, message, &s);
	if (!pipeline_judge(&p, &t, &s, &tiers) || tiers.judged.unknown)
		abort();
	same(&tiers, &full);
	in_pieces(&p, message, &s);
	if (s.n == HANDOFF_MAX_MATCHES)
		abort();
	s.match[s.n++] = (struct handoff_match){.rule = 0xfffffffeu, .slot = 200, .count = 1};
	if (!pipeline_judge(&p, &t, &s, &tiers) || tiers.judged.unknown != 1)
		abort();
	same(&tiers, &full);
	free(tiers.hit);
	free(full.hit);
	pipeline_texts_free(&t);
	pipeline_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = size ? memmem(data, size, "\n\0\n", 3) : NULL;
	struct str text = str_make(data, line ? (size_t)(line - data) + 1 : size);
	struct str message = line ? str_skip(str_make(data, size), text.n + 2) : text;
	const struct rules_issue *issue;
	struct rules *r = NULL;
	int rc;

	text = str_cut(text, RULES_MAX);
	message = str_cut(message, MESSAGE_MAX);
	rc = rules_parse("fuzz", text.p, text.n, &r);
	if (rc == -EINVAL && (!r || !rules_issues(r, &issue)))
		abort();
	if (!rc)
		judge(r, message);
	rules_free(r);
	return 0;
}
