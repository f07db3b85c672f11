/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/rules/rules.h"

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

static void a_prefilter_is_confirmed(void **state)
{
	struct rules *r = parse("full LOOK /win(?= now)/\n", 0);
	struct handoff_match m = {.slot = VIEW_FULL, .count = 1};
	struct rule_hit hit[4];
	unsigned int unknown = 0;
	char yes[] = "you win now", no[] = "you win later";
	struct iovec iov = {yes, sizeof(yes) - 1};
	struct mail_bytes content = {&iov, 1, sizeof(yes) - 1};

	(void)state;
	assert_int_equal(rules_count(r), 1);
	assert_true(rules_at(r, 0)->tier != RULE_NATIVE);
	m.rule = rules_at(r, 0)->id;
	assert_int_equal(rules_hits(r, &m, 1, &content, hit, 4, &unknown), 1);
	iov = (struct iovec){no, sizeof(no) - 1};
	content.size = sizeof(no) - 1;
	assert_int_equal(rules_hits(r, &m, 1, &content, hit, 4, &unknown), 0);
	m.rule = 77;
	assert_int_equal(rules_hits(r, &m, 1, &content, hit, 4, &unknown), 0);
	assert_int_equal(unknown, 1);
	rules_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_and_its_parts),
		cmocka_unit_test(what_is_wrong_has_its_place),
		cmocka_unit_test(a_prefilter_is_confirmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
