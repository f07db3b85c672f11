/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What is counted of each rule, to the last one; and what of it the next set goes on with. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/rules/rules_stats.h"

static const char set[] = "body GATED /free money(?! back)/i\n"
			  "body OTHER /\\$\\d{1,3}(?:,\\d{3}){2}/\n"
			  "header NATIVE Subject =~ /prize|winner/i\n"
			  "header NOT Subject !~ /prize/\n"
			  "body ALWAYS /(?s)(.)(.)\\1\\2\\1/\n"
			  "body MANY /please/\ntflags MANY multiple maxhits=5\n"
			  "body __PART /a part of it/\n"
			  "meta META GATED && !OTHER\n"
			  "body SPF_PASS eval:check_for_spf_pass()\n"
			  "body OFF /free/\nscore OFF 0\n";

struct message {
	struct str body, subject;
	uint16_t subject_slot;
	int error; /* instead of the body */
};

struct sum {
	uint64_t evaluated, gates, pattern_ns, limited;
};

static struct rules *parse(const char *text)
{
	const struct rules_issue *issue;
	struct rules *r = NULL;

	if (rules_parse("t.cf", text, strlen(text), &r)) {
		rules_issues(r, &issue);
		fail_msg("%u: %s", issue[0].line, issue[0].reason);
	}
	return r;
}

static int text(void *ctx, uint16_t slot, struct str *out)
{
	const struct message *m = ctx;
	struct str s = slot == VIEW_BODY         ? m->body
		       : slot == m->subject_slot ? m->subject
						 : STR_NONE;

	if (slot == VIEW_BODY && m->error)
		return m->error;
	*out = s;
	return s.p != NULL;
}

static struct rule_counts *of(const struct rules *r, const struct rules_stats *s, const char *name)
{
	const struct rule *rule = rules_find(r, name);

	assert_non_null(rule);
	return rules_stats_of(s, (size_t)(rule - rules_at(r, 0)));
}

static struct handoff_match match_of(const struct rules *r, const char *name, uint16_t count)
{
	const struct rule *rule = rules_find(r, name);

	assert_non_null(rule);
	return (struct handoff_match){
		.rule = rule->id, .slot = rule->slot, .count = count, .end = 4};
}

/* Does the dataplane look for it, and control again? */
static bool has_gate(const struct rules *r, const char *name)
{
	enum rule_tier t = rules_find(r, name)->tier;

	return t == RULE_CONFIRMED || t == RULE_GATED || t == RULE_AUTOMATON;
}

static long judge(const struct rules *r, struct rules_stats *stats, struct message *m,
		  uint32_t flags, const struct handoff_match *match, size_t n, struct sum *sum)
{
	static const struct rules_fact fact = {"SPF_PASS", 1};
	struct rules_source src = {
		.text = text, .ctx = m, .stats = stats, .fact = &fact, .n_facts = 1};
	struct rule_hit hit[16];
	struct rules_judged out;
	long hits;

	m->subject_slot = rules_find(r, "NATIVE") ? rules_find(r, "NATIVE")->slot : RULES_SLOT_NONE;
	hits = rules_judge(r, match, n, flags, &src, hit, 16, &out);
	sum->evaluated += out.evaluated;
	sum->gates += out.gates;
	sum->pattern_ns += out.pattern_ns;
	sum->limited += out.limited;
	return hits;
}

#define COUNTS(name, a, b, c, d)                                                                   \
	do {                                                                                       \
		const struct rule_counts *k = of(r, s, name);                                      \
		if (k->hits != (a) || k->opened != (b) || k->evaluated != (c) ||                   \
		    k->matched != (d))                                                             \
			fail_msg("line %d, %s: hits %d, opened %d, evaluated %d, matched %d",      \
				 __LINE__, name, (int)k->hits, (int)k->opened, (int)k->evaluated,  \
				 (int)k->matched);                                                 \
	} while (0)

/* All that rules are charged with is what the messages were charged with. */
static void adds_up(const struct rules *r, const struct rules_stats *s, const struct sum *sum)
{
	struct rule_counts all = {0};

	for (size_t i = 0; i < rules_total(r); i++) {
		const struct rule_counts *c = rules_stats_of(s, i);

		all.evaluated += c->evaluated;
		all.opened += c->opened;
		all.limited += c->limited;
		all.ns += c->ns;
		assert_true(c->evaluated || !c->ns);
	}
	assert_int_equal(all.evaluated, sum->evaluated);
	assert_int_equal(all.opened, sum->gates);
	assert_int_equal(all.limited, sum->limited);
	assert_int_equal(all.ns, sum->pattern_ns);
	assert_true(all.ns > 0);
}

static void counts_of_each_rule(void **state)
{
	struct rules *r = parse(set);
	struct rules_stats *s = rules_stats_new(r, NULL);
	struct message m = {.body = STR("nothing\n"), .subject = STR("x")};
	struct handoff_match match[4];
	struct sum sum = {0};

	(void)state;
	assert_non_null(s);
	assert_true(has_gate(r, "GATED") && has_gate(r, "OTHER") && has_gate(r, "MANY") &&
		    has_gate(r, "__PART"));
	assert_int_equal(rules_find(r, "NATIVE")->tier, RULE_NATIVE);
	assert_int_equal(rules_find(r, "ALWAYS")->tier, RULE_CONTROL);

	/* No gate is open: what is for control alone is evaluated, and a pattern that is not there
	 * hits. */
	assert_int_equal(judge(r, s, &m, 0, NULL, 0, &sum), 2);
	COUNTS("GATED", 0, 0, 0, 0);
	COUNTS("ALWAYS", 0, 0, 1, 0);
	COUNTS("NOT", 1, 0, 0, 0);
	COUNTS("NATIVE", 0, 0, 0, 0);
	COUNTS("SPF_PASS", 1, 0, 0, 0);

	/* The gate opens and the pattern matches; a match told twice opens it once. */
	m.body = STR("free money for you\n");
	match[0] = match[1] = match_of(r, "GATED", 3);
	assert_int_equal(judge(r, s, &m, 0, match, 2, &sum), 4);
	COUNTS("GATED", 1, 1, 1, 1);
	COUNTS("META", 1, 0, 0, 0);
	COUNTS("ALWAYS", 0, 0, 2, 0);

	/* It opens for nothing. */
	m.body = STR("free money back for you\n");
	assert_int_equal(judge(r, s, &m, 0, match, 1, &sum), 2);
	COUNTS("GATED", 1, 2, 2, 1);
	COUNTS("META", 1, 0, 0, 0);

	/* A native rule is not evaluated; one with `!~` has its match, so it is no hit; a multiple
	 * rule counts messages; a hidden one that no verdict depends on is not looked at. */
	m = (struct message){.body = STR("please please a part of it\n"), .subject = STR("prize")};
	match[0] = match_of(r, "NATIVE", 1);
	match[1] = match_of(r, "MANY", 2);
	match[2] = match_of(r, "__PART", 1);
	match[3] = match_of(r, "NOT", 1);
	assert_int_equal(judge(r, s, &m, 0, match, 4, &sum), 3);
	COUNTS("NATIVE", 1, 0, 0, 0);
	COUNTS("NOT", 3, rules_find(r, "NOT")->tier != RULE_NATIVE,
	       rules_find(r, "NOT")->tier != RULE_NATIVE,
	       rules_find(r, "NOT")->tier != RULE_NATIVE);
	COUNTS("MANY", 1, 1, 1, 1);
	COUNTS("__PART", 0, 1, 0, 0);
	COUNTS("SPF_PASS", 4, 0, 0, 0);
	COUNTS("OFF", 0, 0, 0, 0);
	adds_up(r, s, &sum);
	rules_stats_free(s);
	rules_free(r);
}

static void counts_where_not_all_is_there(void **state)
{
	struct rules *r = parse(set);
	struct rules_stats *s = rules_stats_new(r, NULL);
	struct message m = {.body = STR("free money\n"), .subject = STR("prize")};
	struct handoff_match match = match_of(r, "GATED", 1),
			     unknown = {.rule = 4000, .slot = VIEW_BODY};
	struct rules_source src = {.text = text, .ctx = &m};
	struct rule_hit hit[8];
	struct rules_judged out;
	struct sum sum = {0};

	(void)state;
	/* Evaluated in full: nothing is due to a gate, and native patterns are looked at too. */
	judge(r, s, &m, RECORD_F_MATCHES_CUT, &match, 1, &sum);
	COUNTS("GATED", 1, 0, 1, 1);
	COUNTS("OTHER", 0, 0, 1, 0);
	COUNTS("NATIVE", 1, 0, 1, 1);
	COUNTS("NOT", 0, 0, 1, 1);
	assert_int_equal(sum.evaluated, 7);
	/* A gate opens and there is no text: it was not evaluated. */
	m.error = -EIO;
	judge(r, s, &m, 0, &match, 1, &sum);
	COUNTS("GATED", 1, 1, 1, 1);
	COUNTS("ALWAYS", 0, 0, 1, 0);
	/* No memory: what was judged is not known. Of the rules before it something was counted. */
	m.error = -ENOMEM;
	assert_int_equal(judge(r, s, &m, 0, &match, 1, &sum), -ENOMEM);
	COUNTS("GATED", 1, 2, 1, 1);
	COUNTS("SPF_PASS", 2, 0, 0, 0);
	m.error = 0;
	judge(r, s, &m, 0, &unknown, 1, &sum);
	COUNTS("GATED", 1, 2, 1, 1);
	adds_up(r, s, &sum);
	/* Nobody wants it by rule. */
	assert_true(rules_judge(r, &match, 1, 0, &src, hit, 8, &out) > 0);
	assert_int_equal(out.gates, 1);
	assert_int_equal(out.evaluated, 2);
	rules_judge(r, &match, 1, 0, NULL, hit, 8, &out);
	COUNTS("GATED", 1, 2, 1, 1);
	assert_null(rules_stats_of(NULL, 0));
	assert_null(rules_stats_of(s, rules_total(r)));
	rules_stats_free(s);
	rules_stats_free(NULL);
	rules_free(r);
}

static void what_ran_into_a_limit(void **state)
{
	struct rules *r = parse("body SLOW /(x+x+)+y/\nbody QUICK /z/\n");
	struct rules_stats *s = rules_stats_new(r, NULL);
	struct message m = {
		.body = STR("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxzy\n")};
	struct sum sum = {0};

	(void)state;
	judge(r, s, &m, RECORD_F_SCAN_PARTIAL, NULL, 0, &sum);
	COUNTS("SLOW", 0, 0, 1, 0);
	assert_int_equal(of(r, s, "SLOW")->limited, 1);
	COUNTS("QUICK", 1, 0, 1, 1);
	assert_int_equal(of(r, s, "QUICK")->limited, 0);
	adds_up(r, s, &sum);
	rules_stats_free(s);
	rules_free(r);
}

/* Names go on, wherever they stand in the new set; another kind is another rule. */
static void a_set_after_a_set(void **state)
{
	struct rules *a =
		parse("body STAYS /one/\nbody KIND /two/\nbody GOES /three/\nbody LAST /four/\n");
	struct rules *b = parse(
		"body LAST /4/\nbody NEW /five/\nheader KIND Subject =~ /two/\nbody STAYS /1|one/\n"
		"score STAYS 4\n");
	struct rules *c = parse("body GOES /three/\nbody STAYS /one/\nbody STAYS /uno/\n");
	struct rules_stats *sa = rules_stats_new(a, NULL), *sb, *sc;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		rules_stats_of(sa, i)->hits = 100 + i;
	sb = rules_stats_new(b, sa);
	assert_int_equal(of(b, sb, "STAYS")->hits, of(a, sa, "STAYS")->hits);
	assert_int_equal(of(b, sb, "STAYS")->hits, 100);
	assert_int_equal(of(b, sb, "LAST")->hits, 103);
	assert_int_equal(of(b, sb, "KIND")->hits, 0);
	assert_int_equal(of(b, sb, "NEW")->hits, 0);
	/* Messages of the old set that are still judged. */
	of(a, sa, "STAYS")->hits++;
	of(a, sa, "GOES")->hits++;
	assert_int_equal(of(b, sb, "STAYS")->hits, 101);
	rules_stats_free(sa);
	rules_free(a);
	of(b, sb, "STAYS")->hits++;
	sc = rules_stats_new(c, sb);
	rules_stats_free(sb);
	rules_free(b);
	assert_int_equal(of(c, sc, "STAYS")->hits, 102);
	/* It was away: it begins anew. */
	assert_int_equal(of(c, sc, "GOES")->hits, 0);
	rules_stats_free(sc);
	rules_free(c);
}

static void a_set_without_rules(void **state)
{
	struct rules *none = parse(""), *r = parse("body A /a/\n");
	struct rules_stats *a = rules_stats_new(none, NULL), *b = rules_stats_new(r, a),
			   *c = rules_stats_new(none, b);

	(void)state;
	assert_non_null(a);
	assert_null(rules_stats_of(a, 0));
	assert_int_equal(of(r, b, "A")->hits, 0);
	assert_non_null(c);
	rules_stats_free(a);
	rules_stats_free(b);
	rules_stats_free(c);
	rules_free(none);
	rules_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_of_each_rule),
		cmocka_unit_test(counts_where_not_all_is_there),
		cmocka_unit_test(what_ran_into_a_limit),
		cmocka_unit_test(a_set_after_a_set),
		cmocka_unit_test(a_set_without_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
