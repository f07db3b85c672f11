/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <stdlib.h>

#include "control/rules/rules_stats.h"

/* Of all sets at once in which the rule stands. */
struct shared {
	unsigned int refs;
	struct rule_counts c;
};

struct rules_stats {
	const struct rules *r;
	size_t n;
	struct shared *of[]; /* by rule */
};

static struct shared *inherited(const struct rules_stats *before, const struct rule *rule)
{
	const struct rule *old = before ? rules_find(before->r, rule->name) : NULL;

	if (!old || old->kind != rule->kind)
		return NULL;
	return before->of[old - rules_at(before->r, 0)];
}

struct rules_stats *rules_stats_new(const struct rules *r, const struct rules_stats *before)
{
	size_t n = rules_total(r);
	struct rules_stats *s = calloc(1, sizeof(*s) + n * sizeof(s->of[0]));

	if (!s)
		return NULL;
	s->r = r;
	for (; s->n < n; s->n++) {
		struct shared *one = inherited(before, rules_at(r, s->n));

		if (!one)
			one = calloc(1, sizeof(*one));
		if (!one) {
			rules_stats_free(s);
			return NULL;
		}
		one->refs++;
		s->of[s->n] = one;
	}
	return s;
}

void rules_stats_free(struct rules_stats *s)
{
	for (size_t i = 0; s && i < s->n; i++)
		if (!--s->of[i]->refs)
			free(s->of[i]);
	free(s);
}

struct rule_counts *rules_stats_of(const struct rules_stats *s, size_t i)
{
	return s && i < s->n ? &s->of[i]->c : NULL;
}
