/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * `posternctl rules test`: what hits in message files, where, and what it adds up to. Views, scan,
 * confirmation and meta rules are the daemon's.
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/message.h"
#include "control/cli/offline.h"
#include "control/judge/judge.h"

/* Of what hit, this much is shown. */
#define SHOWN_OCTETS 80u

struct test {
	const struct cli *cli;
	const char *config_path;
	const char **file;       /* rule files */
	size_t n_files;
	bool parts;
	struct rules_options opt;
	struct offline_sender sender;
	struct offline offline;
	uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
	json_t *list;            /* with --json */
};

static int options(struct test *t, int argc, char **argv)
{
	static const struct option opts[] = {
		{"rules", 1, 0, 'r'}, {"config", 1, 0, 'C'}, {"cache", 1, 0, 'c'}, {"score-set", 1, 0, 's'},
		{"parts", 0, 0, 'p'}, {"ip", 1, 0, 'i'}, {"helo", 1, 0, 'h'}, {"from", 1, 0, 'f'}, {0}};
	int o;

	optind = 1;
	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 'r': t->file[t->n_files++] = optarg; break;
		case 'C': t->config_path = optarg; break;
		case 'c': t->opt.cache = optarg; break;
		case 'p': t->parts = true; break;
		case 'i': t->sender.ip = optarg; break;
		case 'h': t->sender.helo = optarg; break;
		case 'f': t->sender.from = optarg; break;
		case 's':
			if (!cli_score_set("rules test", optarg, &t->opt.score_set))
				return CLI_USAGE;
			break;
		default: return CLI_USAGE;
		}
	}
	t->offline.relayed = !t->sender.ip;
	if (!t->sender.ip)
		t->sender.ip = "127.0.0.1";
	if (optind < argc && (t->n_files || t->config_path))
		return CLI_OK;
	fprintf(stderr, "posternctl rules test: %s\n",
		optind < argc ? "which rules? --rules FILE or --config FILE" : "which message?");
	return CLI_USAGE;
}

/* The rules of the files given, else of the configuration. */
static int load(struct test *t)
{
	const struct rules_issue *issue;
	size_t n;
	int rc = offline_load(&t->offline, t->config_path, !t->n_files);

	if (rc || !t->n_files)
		return rc;
	rc = rules_load_with(t->file, t->n_files, &t->opt, &t->offline.rules);
	if (!t->offline.rules)
		fprintf(stderr, "posternctl rules test: out of memory\n");
	if (!rc || !t->offline.rules)
		return rc ? CLI_USAGE : CLI_OK;
	n = rules_issues(t->offline.rules, &issue);
	for (size_t i = 0; i < n; i++)
		if (issue[i].severity == RULES_ERROR)
			fprintf(stderr, "%s:%u: %s%s%s\n", issue[i].file, issue[i].line, issue[i].rule,
				issue[i].rule[0] ? ": " : "", issue[i].reason);
	return CLI_USAGE;
}

/* ---- what is said of a hit ---------------------------------------------------------------------- */

/* As a pattern would have it: nothing of a message draws on the terminal. */
static const char *escaped(struct str s, char out[SHOWN_OCTETS * 4 + 4])
{
	size_t n = s.n < SHOWN_OCTETS ? s.n : SHOWN_OCTETS;
	char *p = out;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = s.p[i];

		if (c == '\n')
			p += sprintf(p, "\\n");
		else if (c == '\t')
			p += sprintf(p, "\\t");
		else if (c == '\\')
			p += sprintf(p, "\\\\");
		else if (c < ' ' || c > '~')
			p += sprintf(p, "\\x%02x", c);
		else
			*p++ = (char)c;
	}
	strcpy(p, s.n > n ? "..." : "");
	return out;
}

static bool is_part(const struct rule_hit *h)
{
	return strncmp(h->rule->name, "__", 2) == 0 && h->rule->action == RULE_SCORE;
}

/* Lists and attachments of the configuration hit as rules do, but are none of the set. */
static bool of_set(const struct test *t, const struct rule *rule)
{
	return rules_find(t->offline.rules, rule->name) == rule;
}

static const struct rule_hit *hit_of(const struct judgement *r, const struct rule *rule)
{
	for (size_t i = 0; i < r->n_hits; i++)
		if (r->hit[i].rule == rule)
			return &r->hit[i];
	return NULL;
}

/* The i-th rule of a meta rule's expression that hit. */
static const struct rule *made_of(const struct test *t, const struct judgement *r,
				  const struct rule_hit *h, size_t *i)
{
	const struct rule *of;

	if (h->rule->kind != RULE_META || !of_set(t, h->rule))
		return NULL;
	do
		of = rules_meta_over(t->offline.rules, h->rule, (*i)++);
	while (of && !hit_of(r, of));
	return of;
}

/* ---- what is said of a message ------------------------------------------------------------------ */

struct threshold {
	const char *name;
	double score;
};

/* The worst first. */
static void thresholds(const struct config_policy *c, struct threshold out[4])
{
	out[0] = (struct threshold){"reject", c->reject_score};
	out[1] = (struct threshold){"defer", c->defer_score};
	out[2] = (struct threshold){"quarantine", c->quarantine_score};
	out[3] = (struct threshold){"tag", c->tag_score};
}

static const char *reached(const struct config_policy *c, double score)
{
	struct threshold at[4];

	thresholds(c, at);
	for (size_t i = 0; i < 4; i++)
		if (at[i].score > 0 && score >= at[i].score)
			return at[i].name;
	return "none";
}

static double total(const struct judgement *r)
{
	double score = 0;

	for (size_t i = 0; i < r->n_hits; i++)
		score += r->hit[i].score;
	return score;
}

static json_t *hit_json(const struct test *t, const struct judgement *r, const struct rule_hit *h)
{
	char slot[200], text[SHOWN_OCTETS * 4 + 4];
	const struct rule *of;
	bool own = of_set(t, h->rule);
	json_t *o = json_pack("{s:s, s:f, s:i, s:s, s:s, s:s, s:s, s:s}", "name", h->rule->name, "score",
		h->score, "count", (int)h->count, "kind", own ? rule_kind_name(h->rule->kind) : "configuration",
		"tier", own ? rule_tier_name(h->rule->tier) : "computed", "in",
		rules_slot_name(t->offline.rules, h->rule->slot, slot, sizeof(slot)), "describe",
		h->rule->describe, "text", escaped(h->text, text));
	json_t *list = json_array();

	for (size_t i = 0; (of = made_of(t, r, h, &i)) != NULL;)
		json_array_append_new(list, json_string(of->name));
	json_object_set_new(o, "of", list);
	return o;
}

static void as_json(struct test *t, const char *file, const struct judgement *r, uint64_t limited)
{
	const struct config_policy *c = r->policy_config;
	struct threshold at[4];
	json_t *hits = json_array(), *limits = json_object();

	thresholds(c, at);
	for (size_t i = 0; i < 4; i++)
		if (at[i].score > 0)
			json_object_set_new(limits, at[i].name, json_real(at[i].score));
	for (size_t i = 0; i < r->n_hits; i++)
		if (t->parts || !is_part(&r->hit[i]))
			json_array_append_new(hits, hit_json(t, r, &r->hit[i]));
	json_array_append_new(t->list, json_pack("{s:o, s:f, s:s, s:o, s:I, s:o}", "file",
		look_text(str_c(file)), "score", total(r), "reaches", reached(c, total(r)), "thresholds",
		limits, "limited", (json_int_t)limited, "hits", hits));
}

static void print_hit(const struct test *t, const struct judgement *r, const struct rule_hit *h)
{
	static const char *const action[] = {
		[RULE_SCORE] = "", [RULE_TAG] = " (action tag)", [RULE_QUARANTINE] = " (action quarantine)",
		[RULE_DISCARD] = " (action discard)", [RULE_DEFER] = " (action defer)",
		[RULE_REJECT] = " (action reject)"};
	char slot[200], text[SHOWN_OCTETS * 4 + 4];
	const struct rule *of;
	size_t i = 0;

	printf("%7.2f  %-28s %-13s %s%s\n", h->score, h->rule->name,
	       of_set(t, h->rule) ? rule_tier_name(h->rule->tier) : "configuration", h->rule->describe,
	       action[h->rule->action]);
	if (h->text.n) {
		printf("%9s%s: \"%s\"", "", rules_slot_name(t->offline.rules, h->rule->slot, slot, sizeof(slot)),
		       escaped(h->text, text));
		if (h->count > 1)
			printf(" and %u more", h->count - 1);
		printf("\n");
	}
	while ((of = made_of(t, r, h, &i)) != NULL)
		printf("%9sof %s\n", "", of->name);
}

static void as_text(const struct test *t, const char *file, const struct judgement *r,
		    uint64_t limited)
{
	char name[512];
	struct threshold at[4];

	printf("%s\n", look_clean(str_c(file), name, sizeof(name)));
	for (size_t i = 0; i < r->n_hits; i++)
		if (t->parts || !is_part(&r->hit[i]))
			print_hit(t, r, &r->hit[i]);
	thresholds(r->policy_config, at);
	printf("%7.2f  in all", total(r));
	for (size_t i = 4; i--;)
		if (at[i].score > 0)
			printf(", %s at %.2f", at[i].name, at[i].score);
	printf(": %s\n", reached(r->policy_config, total(r)));
	if (limited)
		printf("%9s%" PRIu64 " pattern(s) not decided: over PCRE2's limits, or out of time\n", "",
		       limited);
}

/* Without --from the sender is that of Return-Path, as in a message out of a mailbox. */
static int envelope(const struct test *t, const struct mail_bytes *content, uint8_t path[LOOK_PATH],
		    struct mail_envelope *env)
{
	struct headers h = {0};
	int rc = offline_envelope(&t->offline, &t->sender, content->iov[0].iov_base, content->size,
				  env);

	if (rc || t->sender.from)
		return rc;
	if (!headers_parse(&h, content))
		env->mail_from = look_return_path(&h, path);
	headers_free(&h);
	return CLI_OK;
}

static int test_one(struct test *t, const char *file)
{
	static struct handoff_match match[HANDOFF_MAX_MATCHES];
	struct mail_envelope env = {0};
	struct iovec iov;
	struct mail_bytes content;
	struct judge_env judge = {.counters = t->counters};
	struct judge_request req = {.config = t->offline.config, .rules = t->offline.rules, .env = &env,
				    .content = &content, .match = match};
	struct judge *j = NULL;
	uint8_t path[LOOK_PATH];
	uint32_t n_matches;
	uint8_t *p = NULL;
	size_t n = 0;
	int rc = message_read("rules test", file, &p, &n);

	if (rc)
		return CLI_FINDING;
	iov = (struct iovec){p, n};
	content = (struct mail_bytes){&iov, 1, n};
	rc = envelope(t, &content, path, &env);
	if (rc)
		goto out;
	env.flags |= offline_scan(&t->offline, p, n, match, &n_matches);
	req.n_matches = n_matches;
	t->counters[CTL_rule_limited] = 0;
	rc = judge_rules_alone(&judge, &req, true, &j);
	if (rc) {
		fprintf(stderr, "posternctl rules test: %s: %s\n", file,
			rc == -EBADMSG ? "its header cannot be read to the end" : strerror(-rc));
		rc = CLI_FINDING;
	} else if (t->cli->json) {
		as_json(t, file, judge_result(j), t->counters[CTL_rule_limited]);
	} else {
		as_text(t, file, judge_result(j), t->counters[CTL_rule_limited]);
	}
out:
	judge_free(j);
	free(p);
	return rc;
}

static int test_all(struct test *t, char **file, size_t n)
{
	int rc = CLI_OK;

	t->list = json_array();
	for (size_t i = 0; i < n && rc != CLI_USAGE; i++) {
		int one = test_one(t, file[i]);

		rc = one > rc ? one : rc;
	}
	if (t->cli->json && rc != CLI_USAGE) {
		json_t *o = json_pack("{s:s, s:b, s:O}", "schema", "postern.rules-test.1", "ok", rc == CLI_OK, "messages", t->list);

		print_json(o);
		json_decref(o);
	}
	json_decref(t->list);
	return rc;
}

int cmd_rules_test(const struct cli *cli, int argc, char **argv)
{
	struct test *t = calloc(1, sizeof(*t));
	int rc = CLI_USAGE;

	if (t)
		t->file = calloc((size_t)argc, sizeof(*t->file));
	if (!t || !t->file) {
		fprintf(stderr, "posternctl rules test: out of memory\n");
		free(t);
		return CLI_FINDING;
	}
	t->cli = cli;
	t->opt = RULES_DEFAULT;
	t->offline.who = "rules test";
	t->sender = (struct offline_sender){.helo = "localhost"};
	rc = options(t, argc, argv);
	if (!rc)
		rc = load(t);
	if (!rc)
		rc = offline_arm(&t->offline);
	if (!rc)
		rc = test_all(t, argv + optind, (size_t)(argc - optind));
	offline_close(&t->offline);
	free(t->file);
	free(t);
	return rc;
}
