/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Definitions and settings → rules. A setting may stand before its rule; of several, the last counts. */

#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

struct name {
	const struct rules_def *def;
	long rule;               /* index in rules->rule, -1: not supported */
};

static int by_name(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int d = strcmp(x->def->name, y->def->name);

	return d ? d : x->def < y->def ? -1 : x->def > y->def;
}

static int find_name(const void *key, const void *element)
{
	return strcmp(key, ((const struct name *)element)->def->name);
}

static double default_score(const char *name, bool nice)
{
	double score = strncmp(name, "T_", 2) == 0 ? 0.01 : 1;

	/* Names of two underscores are parts of meta rules; alone they mean nothing. */
	if (strncmp(name, "__", 2) == 0)
		score = 0;
	return nice ? -score : score;
}

/* The definition that counts, of the run of one name. */
static size_t last_of(struct rules *r, const struct name *names, size_t from, size_t n)
{
	size_t last = from;

	while (last + 1 < n && strcmp(names[last + 1].def->name, names[from].def->name) == 0) {
		const struct rule_source *src = &names[++last].def->src;

		rules_issue_add(r, RULES_NOTE, src->file, src->line, names[from].def->name,
				"defined again; the definition of line %u of %s does not count",
				names[last - 1].def->src.line, names[last - 1].def->src.file);
	}
	return last;
}

/* Sorted by name, one entry a name; those that are rules are marked by rule 0. */
static size_t unique(struct rules *r, struct name *names, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n;) {
		size_t last = last_of(r, names, i, n);

		names[kept] = names[last];
		names[kept].rule = names[last].def->supported ? 0 : -1;
		kept++;
		i = last + 1;
	}
	return kept;
}

static int by_definition(const void *a, const void *b)
{
	const struct name *const *x = a, *const *y = b;

	return (*x)->def < (*y)->def ? -1 : (*x)->def > (*y)->def;
}

/* Ids follow the order of the files, so that a set reads like its sources. */
static bool make_rules(struct rules *r, struct name *names, size_t n_names)
{
	struct name **order = calloc(n_names + 1, sizeof(*order));
	size_t n = 0;

	r->rule = calloc(n_names + 1, sizeof(*r->rule));
	r->src = calloc(n_names + 1, sizeof(*r->src));
	if (!order || !r->rule || !r->src) {
		free(order);
		r->oom = true;
		return false;
	}
	for (size_t i = 0; i < n_names; i++)
		if (names[i].rule >= 0)
			order[n++] = &names[i];
	qsort(order, n, sizeof(*order), by_definition);
	if (n > LIMIT_RULES) {
		rules_issue_add(r, RULES_ERROR, order[LIMIT_RULES]->def->src.file,
				order[LIMIT_RULES]->def->src.line, order[LIMIT_RULES]->def->name,
				"more than %d patterns", LIMIT_RULES);
		n = LIMIT_RULES;
	}
	for (size_t i = 0; i < n; i++) {
		struct rules_def *d = (struct rules_def *)order[i]->def;

		order[i]->rule = (long)i;
		r->rule[i] = (struct rule){
			.name = d->name, .view = VIEW_FULL, .id = (uint32_t)i,
			.score = default_score(d->name, false),
		};
		r->src[i] = d->src;
		/* Both move to the rule. */
		d->name = rules_dup(r, str_c(d->name));
		d->src.file = NULL;
		d->src.pattern = NULL;
		r->n++;
		r->rule[i].describe = rules_dup(r, STR(""));
	}
	free(order);
	return !r->oom;
}

static void apply_tflags(struct rules *r, size_t i, struct str text, bool *nice)
{
	struct rule *rule = &r->rule[i];

	rule->multiple = *nice = false;
	r->src[i].max_hits = 0;
	while (text.n) {
		size_t n = 0;
		struct str w;

		while (n < text.n && !ascii_is_wsp(text.p[n]))
			n++;
		w = str_cut(text, n);
		text = str_trim(str_skip(text, n));
		if (str_ieq(w, STR("multiple")))
			rule->multiple = true;
		else if (str_ieq(w, STR("nice")))
			*nice = true;
		else if (str_istarts(w, STR("maxhits=")))
			for (size_t k = 8; k < w.n && k < 14 && ascii_is_digit(w.p[k]); k++)
				r->src[i].max_hits = r->src[i].max_hits * 10 + w.p[k] - '0';
	}
}

/* A description goes to headers, replies and terminals: printable ASCII. */
static void apply_describe(struct rules *r, struct rule *rule, const char *text)
{
	char *d = rules_dup(r, str_cut(str_c(text), LIMIT_RULES_DESCRIBE));

	if (!d)
		return;
	for (char *p = d; *p; p++)
		if ((uint8_t)*p < 0x20 || (uint8_t)*p > 0x7e)
			*p = '?';
	free(rule->describe);
	rule->describe = d;
}

static void apply(struct rules_reader *rd, const struct name *names, size_t n_names)
{
	static const char *const kinds[] = {"score", "describe", "tflags", "action"};
	struct rules *r = rd->r;
	bool *scored = calloc(r->n + 1, 1);

	if (!scored) {
		r->oom = true;
		return;
	}
	for (size_t i = 0; i < rd->n_settings; i++) {
		const struct setting *s = &rd->setting[i];
		const struct name *name = n_names ? bsearch(s->name, names, n_names, sizeof(*names),
							    find_name) : NULL;
		struct rule *rule;
		bool nice;

		if (!name) {
			rules_issue_add(r, RULES_NOTE, s->file, s->line, s->name,
					"%s of a rule that is not defined", kinds[s->kind]);
			continue;
		}
		if (name->rule < 0 || (size_t)name->rule >= r->n)
			continue;
		rule = &r->rule[name->rule];
		switch (s->kind) {
		case SET_SCORE:
			rule->score = s->score;
			scored[name->rule] = true;
			break;
		case SET_DESCRIBE:
			apply_describe(r, rule, s->text);
			break;
		case SET_TFLAGS:
			apply_tflags(r, (size_t)name->rule, str_c(s->text), &nice);
			if (!scored[name->rule])
				rule->score = default_score(rule->name, nice);
			break;
		case SET_ACTION:
			rule->action = s->action;
			break;
		}
	}
	free(scored);
}

void rules_finish(struct rules_reader *rd)
{
	struct name *names;
	size_t n;

	if (rd->r->oom)
		return;
	names = calloc(rd->n_defs + 1, sizeof(*names));
	if (!names) {
		rd->r->oom = true;
		return;
	}
	for (size_t i = 0; i < rd->n_defs; i++)
		names[i].def = &rd->def[i];
	qsort(names, rd->n_defs, sizeof(*names), by_name);
	n = unique(rd->r, names, rd->n_defs);
	if (make_rules(rd->r, names, n))
		apply(rd, names, n);
	free(names);
}
