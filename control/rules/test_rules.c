/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/rules/rules.h"
#include "postern/limits.h"

static struct rules *parse(const char *text, int want)
{
	struct rules *r = NULL;

	assert_int_equal(rules_parse("t.cf", text, strlen(text), &r), want);
	assert_non_null(r);
	return r;
}

static void a_set_and_its_parts(void **state)
{
	struct rules *r = parse("# comment\nfull A /lot+ery/i\nscore A 2.5\ndescribe A Words\n\n"
				"full T_B /x{3}y/\naction T_B reject\n", 0);
	size_t len = 0;

	(void)state;
	assert_int_equal(rules_count(r), 2);
	assert_string_equal(rules_at(r, 0)->name, "A");
	assert_true(rules_at(r, 0)->score > 2.49 && rules_at(r, 0)->score < 2.51);
	assert_string_equal(rules_at(r, 0)->describe, "Words");
	assert_int_equal(rules_at(r, 1)->action, RULE_REJECT);
	assert_non_null(rules_blob(r, VIEW_FULL, &len));
	assert_true(len > 64);
	assert_null(rules_blob(r, VIEW_BODY, &len));
	rules_free(r);
}

static void what_is_wrong_has_its_place(void **state)
{
	static const struct {
		const char *text;
		int rc;
		unsigned int line;
		enum rules_severity severity;
	} t[] = {
		{"full A /ok/\nfull B /((/\n", -EINVAL, 2, RULES_ERROR},
		{"\n\nbody C eval:x()\n", 0, 3, RULES_UNSUPPORTED},
		{"askdns M x.example A 1\n", 0, 1, RULES_UNSUPPORTED},
		{"full D no-slashes\n", -EINVAL, 1, RULES_ERROR},
		{"full E /x/\nscore E many\n", -EINVAL, 2, RULES_ERROR},
		{"full F /x/\naction F explode\n", -EINVAL, 2, RULES_ERROR},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct rules *r = parse(t[i].text, t[i].rc);
		const struct rules_issue *issue;
		size_t n = rules_issues(r, &issue);

		assert_true(n >= 1);
		assert_int_equal(issue[0].line, t[i].line);
		assert_int_equal(issue[0].severity, t[i].severity);
		assert_true(issue[0].reason[0] != '\0');
		rules_free(r);
	}
}

static int full_text(void *ctx, uint16_t slot, struct str *text)
{
	if (slot != VIEW_FULL)
		return 0;
	*text = *(struct str *)ctx;
	return 1;
}

static void a_prefilter_is_confirmed(void **state)
{
	struct rules *r = parse("full LOOK /win(?= now)/\n", 0);
	struct handoff_match m = {.slot = VIEW_FULL, .count = 1};
	struct str content = STR("you win now");
	const struct rules_source src = {.text = full_text, .ctx = &content};
	struct rules_judged judged;
	struct rule_hit hit[4];

	(void)state;
	assert_int_equal(rules_count(r), 1);
	assert_true(rules_at(r, 0)->tier != RULE_NATIVE);
	m.rule = rules_at(r, 0)->id;
	assert_int_equal(rules_judge(r, &m, 1, 0, &src, hit, 4, &judged), 1);
	content = STR("you win later");
	assert_int_equal(rules_judge(r, &m, 1, 0, &src, hit, 4, &judged), 0);
	m.rule = 77;
	assert_int_equal(rules_judge(r, &m, 1, 0, &src, hit, 4, &judged), 0);
	assert_int_equal(judged.unknown, 1);
	rules_free(r);
}

/* ---- a set that another process compiled --------------------------------------------------- */

static const char kept_rules[] = "body A /lottery/\nheader B Subject =~ /^win [a-z]+ now$/i\n"
				 "header C X-None !~ /x/\nmeta D A && C\nbody E /(?:a|b).*(?=c)/\n"
				 "body W /\\x{263a}/\n";

static const char *kept_file(const char *text)
{
	static char path[] = "/tmp/test_rules.XXXXXX";
	static int fd = -1;

	if (fd < 0)
		fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	return path;
}

static int load_kept(const void *kept, size_t len, struct rules **out)
{
	const char *file = kept_file(kept_rules);
	struct rules_options opt = RULES_DEFAULT;

	opt.kept = kept;
	opt.kept_len = len;
	return rules_load_with(&file, 1, &opt, out);
}

static int give(void *ctx, uint16_t slot, struct str *text)
{
	(void)ctx;
	*text = slot == VIEW_BODY ? STR("a lottery\nab c\n") : STR("Win something now");
	return slot == VIEW_BODY || slot == CONTENT_SLOT_SELECTOR;
}

static void same_hits(const struct rules *a, const struct rules *b)
{
	const struct rules_source src = {.text = give};
	struct rule_hit x[8], y[8];
	struct rules_judged j;
	long n = rules_judge_in_full(a, &src, x, 8, &j);

	assert_true(n >= 4);
	assert_int_equal(rules_judge_in_full(b, &src, y, 8, &j), n);
	for (long i = 0; i < n; i++) {
		assert_string_equal(x[i].rule->name, y[i].rule->name);
		assert_int_equal(x[i].text.n, y[i].text.n);
	}
}

static void a_kept_set_is_the_same(void **state)
{
	const char *file = kept_file(kept_rules);
	const struct rules_issue *issue;
	struct rules *r, *k;
	size_t len, a_len, b_len;
	void *kept, *a, *b;

	(void)state;
	assert_int_equal(rules_load(&file, 1, &r), 0);
	assert_int_equal(rules_keep(r, &kept, &len), 0);
	assert_int_equal(load_kept(kept, len, &k), 0);
	assert_int_equal(rules_total(k), rules_total(r));
	for (size_t i = 0; i < rules_total(r); i++) {
		assert_int_equal(rules_at(k, i)->tier, rules_at(r, i)->tier);
		assert_int_equal(rules_at(k, i)->id, rules_at(r, i)->id);
		assert_string_equal(rules_at(k, i)->why, rules_at(r, i)->why);
	}
	assert_int_equal(rules_issues(k, &issue), rules_issues(r, &issue));
	assert_memory_equal(rules_digest(k), rules_digest(r), 32);
	assert_int_equal(rules_plan(k)->views, rules_plan(r)->views);
	assert_int_equal(rules_pack(r, 0, false, &a, &a_len), 0);
	assert_int_equal(rules_pack(k, 0, false, &b, &b_len), 0);
	assert_int_equal(a_len, b_len);
	assert_memory_equal(a, b, a_len);
	same_hits(r, k);
	free(a);
	free(b);
	free(kept);
	rules_free(k);
	rules_free(r);
}

/* Cut anywhere, or with any octet of what is not a database altered: refused, or harmless. */
static void what_is_kept_is_looked_at(void **state)
{
	const char *file = kept_file(kept_rules);
	struct rules *r, *k;
	size_t len, refused = 0, head = 1024;
	uint8_t *kept;
	void *p;

	(void)state;
	assert_int_equal(rules_load(&file, 1, &r), 0);
	assert_int_equal(rules_keep(r, &p, &len), 0);
	kept = p;
	assert_true(len > head);
	for (size_t i = 0; i < head; i++) {
		kept[i] ^= 0xff;
		refused += load_kept(kept, len, &k) != 0;
		if (rules_total(k) && !rules_pack(k, 0, false, &p, &(size_t){0}))
			free(p);
		rules_free(k);
		kept[i] ^= 0xff;
		assert_int_equal(load_kept(kept, i, &k), -ESTALE);
		rules_free(k);
	}
	assert_true(refused > sizeof(uint64_t) * 12);
	rules_free(r);
	file = kept_file("body A /other/\n");
	assert_int_equal(rules_load_with(&file, 1, &(struct rules_options){.score_set = 1, .kept = kept,
									   .kept_len = len}, &r), -ESTALE);
	rules_free(r);
	unlink(file);
	free(kept);
}

static void dawdle(void *arg, const char *what, size_t done, size_t all)
{
	(void)done;
	(void)all;
	if (strcmp(what, "patterns") == 0 && !(*(int *)arg)++)
		usleep((LIMIT_RULES_MS + 50) * 1000);
}

static int nothing(void *ctx, uint16_t slot, struct str *text)
{
	(void)ctx;
	(void)slot;
	(void)text;
	return 0;
}

/* PCRE2's time for a message is not its time for a set: what a header that is not there stands for
 * is found out for the last rule, too. */
static void a_set_that_takes_long_to_read(void **state)
{
	const char *file = kept_file("header A Subject =~ /win/\nheader B X-None:raw =~ /^\\s*$/\n"
				     "header C X-None =~ /^NO$/ [if-unset: NO]\n");
	int calls = 0;
	struct rules_options opt = {.score_set = 1, .progress = dawdle, .arg = &calls};
	const struct rules_source src = {.text = nothing};
	struct rules_judged judged;
	struct rule_hit hit[4];
	struct rules *r;

	(void)state;
	assert_int_equal(rules_load_with(&file, 1, &opt, &r), 0);
	assert_true(calls > 1);
	assert_int_equal(rules_judge(r, NULL, 0, 0, &src, hit, 4, &judged), 2);
	rules_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_and_its_parts),
		cmocka_unit_test(what_is_wrong_has_its_place),
		cmocka_unit_test(a_prefilter_is_confirmed),
		cmocka_unit_test(a_kept_set_is_the_same),
		cmocka_unit_test(a_set_that_takes_long_to_read),
		cmocka_unit_test(what_is_kept_is_looked_at), /* the last: the file goes */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
