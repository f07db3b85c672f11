/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* `posternctl rules check`: each rule of a set, how it is decided, and what is wrong. */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/cli/cli.h"
#include "control/rules/rules.h"

struct check {
	bool explain, json;
	struct rules_options opt;
	struct rules *r;
	size_t count[RULE_KINDS][RULE_TIERS];
};

static const char *const severity[] = {"note", "unsupported", "error"};

static void progress(void *arg, const char *what, size_t done, size_t all)
{
	(void)arg;
	fprintf(stderr, "\r%-10s %zu/%zu ", what, done, all);
	if (done == all)
		fputs("\r                          \r", stderr);
}

static json_t *issues_json(const struct check *c)
{
	const struct rules_issue *issue;
	size_t n = rules_issues(c->r, &issue);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:s, s:s}", "file", issue[i].file,
			"line", (int)issue[i].line, "severity", severity[issue[i].severity], "rule",
			issue[i].rule, "reason", issue[i].reason));
	return list;
}

static json_t *rule_json(const struct check *c, const struct rule *rule)
{
	char slot[200];
	unsigned int line;
	const char *file = rules_place(c->r, rule, &line);

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:f, s:b, s:b, s:i, s:f, s:f}", "name", rule->name,
		"kind", rule_kind_name(rule->kind), "tier", rule_tier_name(rule->tier), "text",
		rules_slot_name(c->r, rule->slot, slot, sizeof(slot)), "file", file, "line", (int)line,
		"score", rule->score, "multiple", rule->multiple, "partial", rule->partial, "literals",
		(int)rule->n_literals, "gate_per_10k", rule->gate, "gb_s", rule->gb_s);
}

static json_t *counts_json(const struct check *c)
{
	json_t *kinds = json_object();

	for (int k = 0; k < RULE_KINDS; k++) {
		json_t *tiers = json_object();

		for (int t = 0; t < RULE_TIERS; t++)
			if (c->count[k][t])
				json_object_set_new(tiers, rule_tier_name((enum rule_tier)t),
						    json_integer((json_int_t)c->count[k][t]));
		json_object_set_new(kinds, rule_kind_name((enum rule_kind)k), tiers);
	}
	return kinds;
}

static void print_as_json(const struct check *c, int rc)
{
	json_t *o = json_pack("{s:s, s:b, s:I, s:o, s:o}", "schema", "postern.rules-check.1", "ok", !rc, "rules", (json_int_t)rules_count(c->r),
			      "counts", counts_json(c), "issues", issues_json(c));

	if (c->explain) {
		json_t *list = json_array();

		for (size_t i = 0; i < rules_total(c->r); i++)
			json_array_append_new(list, rule_json(c, rules_at(c->r, i)));
		json_object_set_new(o, "plan", list);
	}
	print_json(o);
	json_decref(o);
}

static void print_rule(const struct check *c, const struct rule *rule)
{
	char slot[200];

	printf("%-11s %-28s %-36s", rule_tier_name(rule->tier),
	       rules_slot_name(c->r, rule->slot, slot, sizeof(slot)), rule->name);
	if (rule->n_literals)
		printf("  %u literal(s)", rule->n_literals);
	if (rule->tier == RULE_GATED || rule->tier == RULE_AUTOMATON)
		printf("  opens %.2g/10k", rule->gate);
	if (rule->gb_s > 0)
		printf("  %.2f GB/s", rule->gb_s);
	if (rule->partial)
		printf("  over rules that are not supported");
	printf("%s%s\n", rule->why[0] ? "  " : "", rule->why);
}

static void print_as_text(const struct check *c)
{
	const struct rules_issue *issue;
	size_t n = rules_issues(c->r, &issue);

	for (size_t i = 0; i < n; i++)
		printf("%s:%u: %s: %s%s%s\n", issue[i].file, issue[i].line, severity[issue[i].severity],
		       issue[i].rule, issue[i].rule[0] ? ": " : "", issue[i].reason);
	for (size_t i = 0; c->explain && i < rules_total(c->r); i++)
		print_rule(c, rules_at(c->r, i));
	printf("%-11s", "");
	for (int t = 0; t < RULE_TIERS; t++)
		printf(" %11s", rule_tier_name((enum rule_tier)t));
	for (int k = 0; k < RULE_KINDS; k++) {
		printf("\n%-11s", rule_kind_name((enum rule_kind)k));
		for (int t = 0; t < RULE_TIERS; t++)
			printf(" %11zu", c->count[k][t]);
	}
	printf("\n%zu rule(s), %zu remark(s)\n", rules_count(c->r), n);
}

bool cli_score_set(const char *who, const char *text, unsigned int *set)
{
	if (strlen(text) != 1 || text[0] < '0' || text[0] > '3') {
		fprintf(stderr, "posternctl %s: --score-set: 0, 1, 2 or 3\n", who);
		return false;
	}
	*set = (unsigned int)(text[0] - '0');
	return true;
}

int cmd_rules_check(const struct cli *cli, int argc, char **argv)
{
	static const struct option opts[] = {{"explain", 0, 0, 'e'}, {"cache", 1, 0, 'c'},
		{"score-set", 1, 0, 's'}, {0}};
	struct check c = {.json = cli->json, .opt = RULES_DEFAULT};
	const struct rules_issue *issue;
	size_t n;
	int o, rc;

	optind = 1;
	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 'e': c.explain = c.opt.explain = true; break;
		case 'c': c.opt.cache = optarg; break;
		case 's':
			if (!cli_score_set("rules check", optarg, &c.opt.score_set))
				return CLI_USAGE;
			break;
		default: return CLI_USAGE;
		}
	}
	if (isatty(STDERR_FILENO))
		c.opt.progress = progress;
	rc = rules_load_with((const char *const *)argv + optind, (size_t)(argc - optind), &c.opt, &c.r);
	if (!c.r) {
		fprintf(stderr, "posternctl rules check: out of memory\n");
		return CLI_FINDING;
	}
	for (size_t i = 0; i < rules_total(c.r); i++)
		c.count[rules_at(c.r, i)->kind][rules_at(c.r, i)->tier]++;
	if (c.json)
		print_as_json(&c, rc);
	else
		print_as_text(&c);
	n = rules_issues(c.r, &issue);
	rules_free(c.r);
	return rc || n ? CLI_FINDING : CLI_OK;
}
