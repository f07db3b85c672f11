/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Definitions and settings → rules. A setting may stand before its rule; of several, the last counts. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "control/rules/rules_internal.h"
#include "postern/limits.h"

static int by_name(const void *a, const void *b)
{
	const struct rules_def *x = *(const struct rules_def *const *)a;
	const struct rules_def *y = *(const struct rules_def *const *)b;
	int d = strcmp(x->name, y->name);

	return d ? d : x < y ? -1 : x > y;
}

static int by_place(const void *a, const void *b)
{
	const struct rules_def *x = *(const struct rules_def *const *)a;
	const struct rules_def *y = *(const struct rules_def *const *)b;

	return x < y ? -1 : x > y;
}

/* One definition a name, the last one. */
static size_t unique(struct rules *r, struct rules_def **def, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (i + 1 < n && strcmp(def[i]->name, def[i + 1]->name) == 0) {
			rules_issue_add(r, RULES_NOTE, def[i + 1]->src.file, def[i + 1]->src.line,
					def[i]->name, "defined again; the definition of line %u of %s does not "
					"count", def[i]->src.line, def[i]->src.file);
			continue;
		}
		def[kept++] = def[i];
	}
	return kept;
}

static double default_score(const char *name, bool nice)
{
	double score = strncmp(name, "T_", 2) == 0 ? 0.01 : 1;

	/* Names of two underscores are parts of meta rules; alone they mean nothing. */
	if (strncmp(name, "__", 2) == 0)
		score = 0;
	return nice ? -score : score;
}

static void make_rule(struct rules *r, struct rules_def *d)
{
	struct rule *rule = &r->rule[r->n];

	*rule = (struct rule){
		.name = d->name, .kind = d->kind, .slot = d->slot, .negated = d->negated,
		.exists = d->exists, .score = default_score(d->name, false),
		.why = d->why ? d->why : "",
		.tier = !d->supported ? RULE_NOT_SUPPORTED :
			d->kind == RULE_META || d->exists ? RULE_COMPUTED : RULE_CONTROL,
	};
	r->src[r->n] = d->src;
	/* These moved to the rule. */
	d->name = NULL;
	d->src = (struct rule_source){0};
	rule->describe = rules_dup(r, STR(""));
	r->n++;
}

static bool make_rules(struct rules *r, struct rules_def **def, size_t n)
{
	if (n > LIMIT_RULES) {
		rules_issue_add(r, RULES_ERROR, def[LIMIT_RULES]->src.file, def[LIMIT_RULES]->src.line,
				def[LIMIT_RULES]->name, "more than %d rules", LIMIT_RULES);
		n = LIMIT_RULES;
	}
	r->rule = calloc(n + 1, sizeof(*r->rule));
	r->src = calloc(n + 1, sizeof(*r->src));
	r->by_name = calloc(n + 1, sizeof(*r->by_name));
	if (!r->rule || !r->src || !r->by_name) {
		r->oom = true;
		return false;
	}
	for (size_t i = 0; i < n; i++)
		make_rule(r, def[i]);
	return !r->oom;
}

static int name_order(const void *a, const void *b, void *arg)
{
	const struct rules *r = arg;

	return strcmp(r->rule[*(const uint32_t *)a].name, r->rule[*(const uint32_t *)b].name);
}

/* ---- settings ----------------------------------------------------------------------------- */

static void apply_tflags(struct rules *r, size_t i, struct str text, bool *nice)
{
	struct rule *rule = &r->rule[i];

	rule->multiple = *nice = false;
	r->src[i].max_hits = 0;
	r->src[i].no_subject = false;
	while (text.n) {
		struct str w = rules_word(&text);

		if (str_ieq(w, STR("multiple")))
			rule->multiple = true;
		else if (str_ieq(w, STR("nice")))
			*nice = true;
		else if (str_ieq(w, STR("nosubject")))
			r->src[i].no_subject = true;
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

static void apply_replace(struct rules *r, size_t i)
{
	const char *why = "";

	if (!r->src[i].pattern || r->src[i].expanded || r->rule[i].kind >= RULE_META)
		return;
	if (!rules_replace(r, &r->src[i], &why))
		rules_issue_add(r, RULES_ERROR, r->src[i].file, r->src[i].line, r->rule[i].name, "%s", why);
}

static void apply_one(struct rules *r, const struct setting *s, size_t i, bool *scored)
{
	struct rule *rule = &r->rule[i];
	bool nice;

	switch (s->kind) {
	case SET_SCORE:
		rule->score = s->relative ? rule->score + s->score : s->score;
		*scored = true;
		break;
	case SET_DESCRIBE:
		apply_describe(r, rule, s->text);
		break;
	case SET_TFLAGS:
		apply_tflags(r, i, str_c(s->text), &nice);
		if (!*scored)
			rule->score = default_score(rule->name, nice);
		break;
	case SET_ACTION:
		rule->action = s->action;
		break;
	case SET_REPLACE:
		apply_replace(r, i);
		break;
	}
}

static void apply(struct rules_reader *rd)
{
	static const char *const kinds[] = {"score", "describe", "tflags", "action", "replace_rules"};
	struct rules *r = rd->r;
	bool *scored = calloc(r->n + 1, sizeof(*scored));

	if (!scored) {
		r->oom = true;
		return;
	}
	for (size_t i = 0; i < rd->n_settings && !r->oom; i++) {
		const struct setting *s = &rd->setting[i];
		const struct rule *rule = rules_find(r, s->name);

		if (rule)
			apply_one(r, s, (size_t)(rule - r->rule), &scored[rule - r->rule]);
		else if (s->kind != SET_DESCRIBE && s->kind != SET_TFLAGS)
			rules_issue_add(r, RULES_NOTE, s->file, s->line, s->name,
					"%s of a rule that is not defined", kinds[s->kind]);
	}
	/* A score of 0 switches a rule off, and a meta rule sees that it does not hit. */
	for (size_t i = 0; i < r->n; i++)
		if (scored[i] && fabs(r->rule[i].score) < 1e-9 && r->rule[i].action == RULE_SCORE &&
		    r->rule[i].tier != RULE_NOT_SUPPORTED)
			r->rule[i].tier = RULE_OFF;
	free(scored);
}

void rules_finish(struct rules_reader *rd)
{
	struct rules *r = rd->r;
	struct rules_def **def;
	size_t n;

	if (r->oom)
		return;
	def = calloc(rd->n_defs + 1, sizeof(*def));
	if (!def) {
		r->oom = true;
		return;
	}
	for (size_t i = 0; i < rd->n_defs; i++)
		def[i] = &rd->def[i];
	qsort(def, rd->n_defs, sizeof(*def), by_name);
	n = unique(r, def, rd->n_defs);
	/* Rules follow the order of the files, so that a set reads like its sources. */
	qsort(def, n, sizeof(*def), by_place);
	if (make_rules(r, def, n)) {
		for (size_t i = 0; i < r->n; i++)
			r->by_name[i] = (uint32_t)i;
		qsort_r(r->by_name, r->n, sizeof(*r->by_name), name_order, r);
		apply(rd);
		rules_meta_compile(r);
	}
	free(def);
}
