/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Judging by tiers against judging every pattern in full, over texts in which the rules' words stand
 * at random places; and what meta rules, defaults and headers that are missing come to.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/rules/mailtext.h"
#include "control/rules/rules.h"
#include "dataplane/scan/scan.h"
#include "dataplane/scan/bundle.h"
#include "postern/stats.h"

#define MESSAGES 3000

static uint32_t seed = 7;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(seed >> 4) * below) >> 28);
}

/* Texts by slot; absent: NULL. */
struct message {
	const struct rules *r;
	struct str view[VIEW_COUNT + 16];
	struct str told[RULES_TOLD];
	unsigned int asked;
};

static int text(void *ctx, uint16_t slot, struct str *out)
{
	struct message *m = ctx;
	const struct str *s = slot >= RULES_SLOT_TOLD ? &m->told[slot - RULES_SLOT_TOLD] : &m->view[slot];

	m->asked++;
	if (!s->p)
		return 0;
	*out = *s;
	return 1;
}

static struct rules *parse(const char *t)
{
	struct rules *r = NULL;
	const struct rules_issue *issue;

	if (rules_parse("t.cf", t, strlen(t), &r)) {
		rules_issues(r, &issue);
		fail_msg("%u: %s", issue[0].line, issue[0].reason);
	}
	return r;
}

static uint16_t slot_of(const struct rules *r, const char *rule)
{
	assert_non_null(rules_find(r, rule));
	return rules_find(r, rule)->slot;
}

/* ---- what a message comes to -------------------------------------------------------------- */

static double score(const struct rules *r, struct message *m, const char *rule, unsigned int *count)
{
	struct rules_source src = {.text = text, .ctx = m, .parts = true};
	struct rule_hit hit[100];
	struct rules_judged j;
	long n = rules_judge_in_full(r, &src, hit, 100, &j);

	*count = 0;
	for (long i = 0; i < n; i++)
		if (strcmp(hit[i].rule->name, rule) == 0) {
			*count = hit[i].count;
			return hit[i].score;
		}
	return 0;
}

static bool hits(const struct rules *r, struct message *m, const char *rule)
{
	unsigned int count;

	score(r, m, rule, &count);
	return count > 0;
}

static void headers_that_are_not_there(void **state)
{
	struct rules *r = parse("header H Subject =~ /money/\nheader NO_X Subject !~ /money/\n"
				"header UNSET X-A =~ /^UNSET$/ [if-unset: UNSET]\nheader THERE exists:X-A\n"
				"header NOT !exists:X-A\nheader ADDR From:addr =~ /@example\\.com$/\n"
				"header EMPTY X-B =~ /^$/\n");
	struct message m = {.r = r};

	(void)state;
	assert_false(hits(r, &m, "H"));
	assert_true(hits(r, &m, "NO_X"));
	assert_true(hits(r, &m, "UNSET"));
	assert_false(hits(r, &m, "THERE"));
	assert_true(hits(r, &m, "NOT"));
	assert_true(hits(r, &m, "EMPTY"));
	m.view[slot_of(r, "H")] = STR("much money");
	m.view[slot_of(r, "THERE")] = STR("value");
	m.view[slot_of(r, "ADDR")] = STR("a@example.com");
	assert_true(hits(r, &m, "H"));
	assert_false(hits(r, &m, "NO_X"));
	assert_false(hits(r, &m, "UNSET"));
	assert_true(hits(r, &m, "THERE"));
	assert_false(hits(r, &m, "NOT"));
	assert_true(hits(r, &m, "ADDR"));
	rules_free(r);
}

static void meta_rules(void **state)
{
	static const struct { const char *expression; bool hit; } t[] = {
		{"A && B", false}, {"A || B", true}, {"A && !B", true}, {"!A", false}, {"(A + B) > 1", false},
		{"A + B * 3 == 1", true}, {"M3 >= 3", true}, {"M3 - 1 == 2", true}, {"2 * M3 == 6", true},
		{"M3 / 2 > 1", true}, {"A && UNKNOWN", false}, {"A && !UNKNOWN", true}, {"A != 1", false},
		{"((A))", true}, {"-A < 0", true}, {"!(A && B) && (A || B)", true}, {"1 / 0", false},
		{"A < B", false}, {"A <= 1 && 1", true}, {"rules_matching(A*) >= 1", true},
		{"A || B && 0", true}, {"(A || B) && 0", false}, {"EV", false}, {"!EV", true},
	};
	char rules[4000] = "body A /apple/\nbody B /banana/\nbody M3 /m/\ntflags M3 multiple maxhits=3\n"
			   "body EV eval:check_something()\n";
	struct message m = {.view[VIEW_BODY] = STR("apple m m m m\n")};
	struct rules *r;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		sprintf(rules + strlen(rules), "meta T%zu %s\n", i, t[i].expression);
	r = parse(rules);
	m.r = r;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char name[20];

		sprintf(name, "T%zu", i);
		if (hits(r, &m, name) != t[i].hit)
			fail_msg("%s", t[i].expression);
	}
	assert_true(rules_find(r, "T22")->partial);
	assert_false(rules_find(r, "T0")->partial);
	rules_free(r);
}

static void meta_rules_that_are_refused(void **state)
{
	static const char *const bad[] = {"meta A B\nmeta B C\nmeta C A\n", "meta A A\n", "meta A (B\n",
		"meta A B &&\n", "meta A\n", "meta A 1 2\n", "meta A $x\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct rules_issue *issue;
		struct rules *r = NULL;
		size_t n;
		bool error = false;

		if (rules_parse("t.cf", bad[i], strlen(bad[i]), &r) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
		n = rules_issues(r, &issue);
		for (size_t k = 0; k < n; k++)
			error |= issue[k].severity == RULES_ERROR && issue[k].line > 0;
		assert_true(error);
		rules_free(r);
	}
}

static void lines_and_counts(void **state)
{
	struct rules *r = parse("body SPAN /one\\s+two/\nbody EDGE /^start.*end$/\nbody LAST /end\\W/\n"
				"uri U /^https:..a\\.example\\/x$/\nrawbody RAW /one\\s+two/\n"
				"body MANY /x/\ntflags MANY multiple maxhits=4\nscore MANY 2.5\n"
				"body NS /subject/\ntflags NS nosubject\n"
				"uri UM /example/\ntflags UM multiple\n");
	struct message m = {.r = r, .view[VIEW_BODY] = STR("subject one\ntwo x xx xx x\nstart of the end\n"),
			    .view[VIEW_URI] = STR("HTTP://b.example/\nhttp://b.example/\n"
						   "https://a.example/x\n"),
			    .view[VIEW_RAWBODY] = STR("one\ntwo\n")};
	unsigned int count;

	(void)state;
	assert_false(hits(r, &m, "SPAN"));
	assert_true(hits(r, &m, "EDGE"));
	assert_true(hits(r, &m, "LAST"));
	assert_true(hits(r, &m, "U"));
	assert_true(hits(r, &m, "RAW"));
	assert_false(hits(r, &m, "NS"));
	/* Each match scores. */
	assert_true(score(r, &m, "MANY", &count) == 10);
	assert_int_equal(count, 4);
	/* Two forms of one URI are one. */
	assert_true(score(r, &m, "UM", &count) == 2);
	assert_int_equal(count, 2);
	rules_free(r);
}

static void what_a_meta_rule_is_over(void **state)
{
	struct rules *r = parse("body A /a/\nbody B /b/\nmeta M (A + B > 1) || (A && NONE)\n");
	const struct rule *m = rules_find(r, "M");

	(void)state;
	assert_ptr_equal(rules_meta_over(r, m, 0), rules_find(r, "A"));
	assert_ptr_equal(rules_meta_over(r, m, 1), rules_find(r, "B"));
	assert_null(rules_meta_over(r, m, 2));
	assert_null(rules_meta_over(r, rules_find(r, "A"), 0));
	rules_free(r);
}

static void where_native_rules_hit(void **state)
{
	struct rules *r = parse("header S Subject =~ /b+/\n");
	struct message m = {.r = r};
	const struct handoff_match match = {.rule = 0, .slot = slot_of(r, "S"), .count = 1};
	struct rules_source src = {.text = text, .ctx = &m};
	struct rule_hit hit[2];
	struct rules_judged j;

	(void)state;
	assert_int_equal(rules_find(r, "S")->tier, RULE_NATIVE);
	m.view[match.slot] = STR("abbc\n");
	assert_int_equal(rules_judge(r, &match, 1, 0, &src, hit, 2, &j), 1);
	assert_int_equal(hit[0].text.n, 0);
	src.where = true;
	assert_int_equal(rules_judge(r, &match, 1, 0, &src, hit, 2, &j), 1);
	assert_true(str_eq(hit[0].text, STR("bb")));
	rules_free(r);
}

static void tags_are_replaced(void **state)
{
	struct rules *r = parse("ifplugin Mail::SpamAssassin::Plugin::ReplaceTags\nreplace_tag A [a4@]\n"
				"replace_tag B (?:b|8)\nreplace_inter W [-_]?\nbody R /x<inter W><A><B><A>y/i\n"
				"replace_rules R\nendif\nbody P /<A>/\n");
	struct message m = {.r = r, .view[VIEW_BODY] = STR("X@_8ay\n")};

	(void)state;
	assert_true(hits(r, &m, "R"));
	assert_false(hits(r, &m, "P"));
	m.view[VIEW_BODY] = STR("xab-_ay <A>\n");
	assert_false(hits(r, &m, "R"));
	assert_true(hits(r, &m, "P"));
	rules_free(r);
}

/* ---- tiers -------------------------------------------------------------------------------- */

static const char tiered[] =
	"body B1 /free money/i\nbody B2 /\\bact\\s+now\\b/i\nbody B3 /(?:viagra|cialis)/i\n"
	"body B4 /(?:\\b|\\s)[_\\W]{0,3}v[_\\W]{0,3}[i1l|][_\\W]{0,3}[a4@][_\\W]{0,3}g/i\n"
	"body B5 /\\$\\d{1,3}(?:,\\d{3}){2}/\nbody B6 /\\S/\nbody B7 /^winner.{1,20}prize$/\n"
	"body B8 /urgent(?! meeting)/i\nbody B9 /(\\w+) and \\1/\nbody BA /(?<!\\s)now/\n"
	"body BM /please/i\ntflags BM multiple maxhits=5\nbody BC /lottery\\s+prize/\n"
	"uri U1 /\\.example\\.net\\/pay/\nuri U2 /^https?:\\/\\/\\d+\\./\nrawbody R1 /<a\\s+href/i\n"
	"full F1 /^Subject: win/m\nheader S1 Subject =~ /prize|winner/i\nheader S2 Subject !~ /money/\n"
	"header S3 Subject =~ /(?=now)now/\nheader S4 Subject =~ /\\W$/\nheader T1 EnvelopeFrom =~ /@example/\n"
	"mimeheader M1 Content-Type =~ /^text\\/html/\nbody L1 /(?:[a-z]{6,}[ .]+){3}/\n"
	"meta X1 B1 && !B2\nmeta X2 (B1 + B2 + B3 + U1) > 1\n";

static const char *const words[] = {"free money", "act now", "act\nnow", "v-1_a.g", "v|@gra", "VIAGRA",
	"$100,000,000", "urgent meeting", "urgent", "cat and cat", "winner of the prize", "please", "now",
	"lottery prize", "lottery\nprize", " now", "money", "wonderful delivery tomorrow ",
	"https://1.example.net/pay", "<a href=x>", "\xc3\xa4\xc3\xb6", "v\xc3\xae" "agra"};

static void fill(char *p, size_t cap, bool lines)
{
	size_t n = 0;

	while (n + 200 < cap) {
		uint32_t k = rnd(3);

		if (k == 0) {
			const char *w = words[rnd(sizeof(words) / sizeof(words[0]))];

			for (; *w; w++)
				p[n++] = *w == '\n' && !lines ? ' ' : *w;
		} else {
			uint32_t len = rnd(120);

			mailtext_body(rnd(100000), (uint8_t *)p + n, len);
			for (uint32_t i = 0; i < len; i++, n++)
				if (p[n] == '\n' && !lines)
					p[n] = ' ';
		}
		p[n++] = rnd(4) || !lines ? ' ' : '\n';
	}
	p[n] = '\0';
}

struct scanner {
	struct scan_generation *g;
	struct scan_worker *w;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT];
};

static void scanner_new(struct scanner *s, const struct rules *r)
{
	void *bundle = NULL;
	char err[256] = "";
	size_t len = 0;

	assert_int_equal(rules_pack(r, 0, false, &bundle, &len), 0);
	if (scan_generation_new(bundle, len, 1, &s->g, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(scan_worker_new(s->g, 2, s->counters, &s->w), 0);
	free(bundle);
}

/* As the dataplane does: whole, or in runs cut anywhere. */
static void scan(struct scanner *s, uint16_t slot, struct str t, struct handoff_match *match,
		 uint32_t *n)
{
	struct scan_message *m;

	if (!t.p)
		return;
	if (rnd(2) || slot >= VIEW_COUNT) {
		scan_block(s->w, slot, t.p, t.n, match, n, 500);
		return;
	}
	m = scan_open(s->w, slot);
	while (m && t.n) {
		size_t k = 1 + rnd((uint32_t)t.n);

		scan_run(m, t.p, k, match, n, 500);
		t = str_skip(t, k);
	}
	if (m)
		scan_close(m, match, n, 500);
}

static int by_rule(const void *a, const void *b)
{
	const struct rule_hit *x = a, *y = b;

	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

static void compare(const struct rules *r, struct message *m, const struct handoff_match *match, uint32_t n)
{
	struct rules_source src = {.text = text, .ctx = m, .parts = true};
	struct rule_hit a[100], b[100];
	struct rules_judged ja, jb;
	long na = rules_judge(r, match, n, 0, &src, a, 100, &ja);
	long nb = rules_judge_in_full(r, &src, b, 100, &jb);

	assert_true(na >= 0 && nb >= 0);
	assert_int_equal(ja.unknown, 0);
	qsort(a, (size_t)na, sizeof(*a), by_rule);
	qsort(b, (size_t)nb, sizeof(*b), by_rule);
	for (long i = 0; i < na || i < nb; i++)
		if (i >= na || i >= nb || a[i].rule != b[i].rule || a[i].count != b[i].count)
			fail_msg("tiers %s, in full %s, body: %.*s", i < na ? a[i].rule->name : "-",
				 i < nb ? b[i].rule->name : "-", STR_FMT(m->view[VIEW_BODY]));
}

static void tiers_agree_with_all_in_full(void **state)
{
	static char body[4000], subject[300], raw[2000], uri[600];
	struct rules *r = parse(tiered);
	uint16_t slots[] = {VIEW_BODY, VIEW_URI, VIEW_RAWBODY, VIEW_FULL, slot_of(r, "S1"), slot_of(r, "M1")};
	unsigned int tiers[RULE_TIERS] = {0};
	struct scanner s = {0};

	(void)state;
	for (size_t i = 0; i < rules_total(r); i++)
		tiers[rules_at(r, i)->tier]++;
	assert_true(tiers[RULE_NATIVE] && tiers[RULE_CONFIRMED] && tiers[RULE_GATED] &&
		    tiers[RULE_AUTOMATON] && tiers[RULE_CONTROL]);
	scanner_new(&s, r);
	for (int i = 0; i < MESSAGES; i++) {
		struct message m = {.r = r, .told[RULES_ENVELOPE_FROM] = STR("a@example.com")};
		struct handoff_match match[500];
		uint32_t n = 0;

		fill(body, 250 + rnd(sizeof(body) - 250), true);
		fill(subject, sizeof(subject), false);
		fill(raw, 250 + rnd(sizeof(raw) - 250), true);
		mailtext_uri(rnd(1000), (uint8_t *)uri, sizeof(uri) - 1);
		m.view[VIEW_BODY] = rnd(10) ? str_c(body) : STR_NONE;
		m.view[VIEW_RAWBODY] = m.view[VIEW_FULL] = str_c(raw);
		m.view[VIEW_URI] = str_c(uri);
		m.view[slot_of(r, "S1")] = rnd(5) ? str_c(subject) : STR_NONE;
		m.view[slot_of(r, "M1")] = rnd(2) ? STR("text/html\n") : STR_NONE;
		for (size_t k = 0; k < sizeof(slots) / sizeof(slots[0]); k++)
			scan(&s, slots[k], m.view[slots[k]], match, &n);
		compare(r, &m, match, n);
	}
	scan_worker_free(s.w);
	scan_generation_free(s.g);
	rules_free(r);
}

/* A match list that was cut, or a scan that was: everything is looked at. */
static void what_was_cut_is_judged_in_full(void **state)
{
	struct rules *r = parse("body A /free money/\n");
	struct message m = {.r = r, .view[VIEW_BODY] = STR("free money\n")};
	struct rules_source src = {.text = text, .ctx = &m};
	struct rule_hit hit[2];
	struct rules_judged j;

	(void)state;
	assert_int_equal(rules_judge(r, NULL, 0, 0, &src, hit, 2, &j), 0);
	assert_int_equal(rules_judge(r, NULL, 0, RECORD_F_MATCHES_CUT, &src, hit, 2, &j), 1);
	assert_int_equal(rules_judge(r, NULL, 0, RECORD_F_SCAN_PARTIAL, &src, hit, 2, &j), 1);
	rules_free(r);
}

/* A text of which not all was looked at: the rules of its slot, and no others. */
static void what_was_not_scanned_is_judged_in_full(void **state)
{
	struct rules *r = parse("body A /free money/\nheader H Subject =~ /prize/\nheader N Subject !~ /prize/\n"
				"header T X-A =~ /prize/\nmeta M H && !A\n");
	struct message m = {.r = r, .view[VIEW_BODY] = STR("free money\n")};
	struct rules_source src = {.text = text, .ctx = &m};
	struct handoff_match match = {.rule = HANDOFF_PARTIAL, .slot = slot_of(r, "H"), .count = 1};
	struct rules_judged j;
	struct rule_hit hit[4];

	(void)state;
	m.view[slot_of(r, "H")] = m.view[slot_of(r, "T")] = STR("prize");
	assert_int_equal(rules_judge(r, &match, 1, 0, &src, hit, 4, &j), 2);
	assert_string_equal(hit[0].rule->name, "H");
	assert_string_equal(hit[1].rule->name, "M");
	assert_int_equal(j.unknown, 0);
	match.slot = VIEW_BODY;
	assert_int_equal(rules_judge(r, &match, 1, 0, &src, hit, 4, &j), 2);
	assert_string_equal(hit[0].rule->name, "A");
	assert_string_equal(hit[1].rule->name, "N");
	/* Of no slot, and where there is nobody to ask. */
	match.slot = 300;
	assert_int_equal(rules_judge(r, &match, 1, 0, &src, hit, 4, &j), 1);
	assert_int_equal(j.unknown, 1);
	match.slot = VIEW_BODY;
	assert_int_equal(rules_judge(r, &match, 1, 0, NULL, hit, 4, &j), 1);
	assert_string_equal(hit[0].rule->name, "N");
	rules_free(r);
}

/* Quadratic at every place: PCRE2's own limits do not end it in this life. */
static void a_text_made_to_be_slow(void **state)
{
	struct rules *r = parse("body SLOW /click(?: \\w+)* here/\nbody QUICK /click/\n");
	const size_t size = 1u << 20;
	char *slow = malloc(size + 1);
	struct message m = {.r = r};
	const struct rules_source src = {.text = text, .ctx = &m};
	struct rules_judged out;
	struct rule_hit hit[2];

	(void)state;
	assert_non_null(slow);
	for (size_t i = 0; i < size; i += 8)
		memcpy(slow + i, "click a ", 8);
	memcpy(slow + size - 8, "   here\n", 8);
	slow[size] = '\0';
	m.view[VIEW_BODY] = str_make(slow, size);
	assert_int_equal(rules_judge_in_full(r, &src, hit, 2, &out), 1);
	assert_string_equal(hit[0].rule->name, "QUICK");
	assert_int_equal(out.limited, 1);
	free(slow);
	rules_free(r);
}

/* No memory for a text: nobody may say that nothing hit. */
static int no_memory(void *ctx, uint16_t slot, struct str *text)
{
	(void)ctx;
	(void)slot;
	(void)text;
	return -ENOMEM;
}

static void a_text_for_which_is_no_memory(void **state)
{
	struct rules *r = parse("body B /(x)\\1/\nheader H exists:X-There\n");
	const struct rules_source src = {.text = no_memory};
	struct rules_judged out;
	struct rule_hit hit[2];

	(void)state;
	assert_int_equal(rules_judge(r, NULL, 0, 0, &src, hit, 2, &out), -ENOMEM);
	rules_free(r);
}

/* More hits than room: what does something is among those that are told. */
static void more_hits_than_room(void **state)
{
	struct rules *r = parse("body A /x/\nbody B /x/\nbody C /x/\naction C reject\n");
	struct message m = {.r = r, .view[VIEW_BODY] = STR("x\n")};
	const struct rules_source src = {.text = text, .ctx = &m};
	struct rules_judged out;
	struct rule_hit hit[2];

	(void)state;
	assert_int_equal(rules_judge_in_full(r, &src, hit, 2, &out), 2);
	assert_string_equal(hit[0].rule->name, "C");
	assert_string_equal(hit[1].rule->name, "A");
	assert_int_equal(out.cut, 1);
	rules_free(r);
}

/* \A and \Z are those of a line, and Hyperscan would take them for those of the view. */
static void ends_of_the_text_are_of_lines(void **state)
{
	struct rules *r = parse("body A /\\A\\d/\nbody Z /\\d\\Z/\nbody M /(?-m)^\\d/\nuri U /\\Ax:/\n"
				"body OK /^\\d/\n");
	static const char *const names[] = {"A", "Z", "M", "U"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct rule *rule = rules_find(r, names[i]);

		assert_non_null(rule);
		assert_true(rule->tier != RULE_NATIVE && rule->tier != RULE_CONFIRMED);
	}
	rules_free(r);
}

static void a_view_for_control_alone(void **state)
{
	struct rules *r = parse("rawbody R /(?s)(.)(.)\\1\\2\\1/\nbody B /needle/\n");

	(void)state;
	assert_int_equal(rules_plan(r)->views, 1u << VIEW_BODY);
	assert_int_equal(rules_views(r), 1u << VIEW_BODY | 1u << VIEW_RAWBODY);
	rules_free(r);
}

static void a_packed_set(void **state)
{
	const uint32_t present = 1u << VIEW_BODY | 1u << VIEW_ATTACHMENT;
	const struct content_plan *plan, *want;
	struct rules *r = parse(tiered), *none = parse("");
	const struct scan_bundle_slot *slot;
	const struct scan_bundle *head;
	struct scan_generation *g;
	char err[256] = "";
	void *file = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(rules_pack(r, present, true, &file, &len), 0);
	head = file;
	assert_int_equal(head->size, len);
	slot = (const void *)((const uint8_t *)file + head->slots);
	for (uint32_t i = 0; i < head->n_slots; i++)
		assert_int_equal(slot[i].flags, slot[i].slot < VIEW_COUNT && present & 1u << slot[i].slot
							? SCAN_SLOT_PRESENT : 0);
	assert_int_equal(scan_generation_new(file, len, 1, &g, err, sizeof(err)), 0);
	plan = scan_generation_plan(g);
	want = rules_plan(r);
	assert_true(plan->hash);
	assert_int_equal(plan->n_selectors, want->n_selectors);
	for (unsigned int i = 0; i < plan->n_selectors; i++) {
		assert_true(str_eq(plan->selector[i].name, want->selector[i].name));
		assert_int_equal(plan->selector[i].source, want->selector[i].source);
		assert_int_equal(plan->selector[i].form, want->selector[i].form);
		assert_int_equal(plan->selector[i].pick, want->selector[i].pick);
	}
	assert_true(plan->views & 1u << VIEW_ATTACHMENT);
	scan_generation_free(g);
	free(file);
	/* Nothing to look for: nothing to push. */
	assert_int_equal(rules_pack(none, 0, false, &file, &len), 0);
	assert_null(file);
	assert_int_equal(rules_pack(none, 1u << VIEW_URI, false, &file, &len), 0);
	assert_int_equal(scan_generation_new(file, len, 1, &g, err, sizeof(err)), 0);
	assert_int_equal(scan_generation_plan(g)->views, 1u << VIEW_URI);
	scan_generation_free(g);
	free(file);
	rules_free(none);
	rules_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_that_are_not_there),
		cmocka_unit_test(meta_rules),
		cmocka_unit_test(meta_rules_that_are_refused),
		cmocka_unit_test(lines_and_counts),
		cmocka_unit_test(what_a_meta_rule_is_over),
		cmocka_unit_test(where_native_rules_hit),
		cmocka_unit_test(tags_are_replaced),
		cmocka_unit_test(tiers_agree_with_all_in_full),
		cmocka_unit_test(what_was_cut_is_judged_in_full),
		cmocka_unit_test(what_was_not_scanned_is_judged_in_full),
		cmocka_unit_test(a_text_made_to_be_slow),
		cmocka_unit_test(a_text_for_which_is_no_memory),
		cmocka_unit_test(more_hits_than_room),
		cmocka_unit_test(ends_of_the_text_are_of_lines),
		cmocka_unit_test(a_view_for_control_alone),
		cmocka_unit_test(a_packed_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
