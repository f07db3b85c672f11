/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "control/snapshot.h"

static void add(struct snapshot_report *r, const struct rules_issue *i)
{
	struct config_error *e;

	if (r->n_errors < SNAPSHOT_ERRORS) {
		e = &r->error[r->n_errors];
		snprintf(e->file, sizeof(e->file), "%s", i->file);
		e->line = i->line;
		snprintf(e->key, sizeof(e->key), "%s", i->rule);
		snprintf(e->reason, sizeof(e->reason), "%s", i->reason);
	}
	r->n_errors++;
}

int snapshot_begin(const char *path, uint64_t generation, struct snapshot **out,
		   struct snapshot_report *report)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	int rc;

	memset(report, 0, sizeof(*report));
	if (!s)
		return -ENOMEM;
	s->refs = 1;
	s->generation = generation;
	rc = config_load(path, generation, &s->config, report->error, SNAPSHOT_ERRORS,
			 &report->n_errors);
	if (rc)
		snapshot_unref(s);
	else
		*out = s;
	return rc;
}

struct rules_options snapshot_rules_options(const struct config *c)
{
	struct rules_options opt = RULES_DEFAULT;

	opt.score_set = c->rules_score_set;
	return opt;
}

int snapshot_rules(struct snapshot *s, const struct rules_options *opt, struct snapshot_report *report)
{
	const struct rules_issue *issue;
	size_t n;
	int rc = rules_load_with((const char *const *)s->config->rules_file, s->config->n_rules_files, opt,
				 &s->rules);

	if (!s->rules)
		return rc;
	n = rules_issues(s->rules, &issue);
	for (size_t i = 0; i < n; i++)
		if (issue[i].severity == RULES_ERROR)
			add(report, &issue[i]);
		else if (issue[i].severity == RULES_UNSUPPORTED)
			report->unsupported++;
	return rc;
}

int snapshot_load(const char *path, uint64_t generation, struct snapshot **out,
		  struct snapshot_report *report)
{
	struct rules_options opt;
	struct snapshot *s;
	int rc = snapshot_begin(path, generation, &s, report);

	if (rc)
		return rc;
	opt = snapshot_rules_options(s->config);
	rc = snapshot_rules(s, &opt, report);
	if (rc)
		snapshot_unref(s);
	else
		*out = s;
	return rc;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
	s->refs++;
	return s;
}

void snapshot_unref(struct snapshot *s)
{
	if (!s || --s->refs)
		return;
	config_unref(s->config);
	rules_stats_free(s->rules_stats);
	rules_free(s->rules);
	if (s->mapped)
		munmap(s->mapped, s->mapped_len);
	free(s);
}
