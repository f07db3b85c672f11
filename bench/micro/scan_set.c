/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Files of rules → what control judges with and what the dataplane scans with. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/micro/scan.h"
#include "postern/stats.h"

static _Noreturn void say_why(const struct rules *r)
{
	const struct rules_issue *issue;
	size_t n = r ? rules_issues(r, &issue) : 0;

	for (size_t i = 0; i < n; i++)
		if (issue[i].severity == RULES_ERROR)
			sb_die("%s:%u: %s: %s", issue[i].file, issue[i].line, issue[i].rule, issue[i].reason);
	sb_die("the rules do not load");
}

static void make(struct sb_set *s)
{
	char err[256] = "";
	void *bundle;
	size_t len;

	/* What PCRE2 compiles when it is needed first is no message's. */
	for (size_t at = 0; !rules_warm(s->rules, &at, 0);)
		;
	if (rules_pack(s->rules, 0, false, &bundle, &len))
		sb_die("no memory for the databases");
	s->counters = sb_alloc(POSTERN_DP_COUNTER_COUNT, sizeof(*s->counters));
	s->content = aligned_alloc(64, (content_size() + 63) & ~(size_t)63);
	if (!s->content || scan_views_new(1, s->counters, &s->views))
		sb_die("no memory for the state of a message");
	if (bundle && (scan_generation_new(bundle, len, 1, &s->generation, err, sizeof(err)) ||
		       scan_worker_new(s->generation, 1, s->counters, &s->worker)))
		sb_die("the dataplane does not take the databases: %s", err);
	free(bundle);
}

const struct content_plan *sb_set_plan(const struct sb_set *s)
{
	return s->worker ? scan_worker_plan(s->worker) : rules_plan(s->rules);
}

void sb_set_load(struct sb_set *s, const struct sb_files *f)
{
	struct rules_options opt = RULES_DEFAULT;

	*s = (struct sb_set){0};
	opt.cache = f->cache;
	if (rules_load_with(f->file, f->n, &opt, &s->rules))
		say_why(s->rules);
	make(s);
}

void sb_set_load_tiers(struct sb_set *s, const struct sb_files *f, const struct rules *all,
		       uint32_t tiers, const char *name)
{
	struct sb_files with = {.file = sb_alloc(f->n + 1, sizeof(*f->file)), .n = f->n + 1,
				.cache = f->cache};
	char path[4096];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s.cf", f->directory, name);
	out = fopen(path, "we");
	if (!out)
		sb_die("%s: %s", path, strerror(errno));
	for (size_t i = 0; i < rules_total(all); i++) {
		const struct rule *r = rules_at(all, i);

		if (r->tier < RULE_COMPUTED && !(tiers & 1u << r->tier))
			fprintf(out, "score %s 0\n", r->name);
	}
	if (fclose(out))
		sb_die("%s: %s", path, strerror(errno));
	memcpy(with.file, f->file, f->n * sizeof(*f->file));
	with.file[f->n] = path;
	sb_set_load(s, &with);
	free(with.file);
}

void sb_set_free(struct sb_set *s)
{
	if (s->worker)
		scan_worker_free(s->worker);
	if (s->generation)
		scan_generation_free(s->generation);
	scan_views_free(s->views);
	rules_free(s->rules);
	free(s->content);
	free(s->counters);
}
