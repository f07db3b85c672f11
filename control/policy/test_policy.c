/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/policy/policy.h"

static void table(void **state)
{
	static const struct {
		enum origin_status origin;
		enum rule_action rule;
		double score;
		enum policy_action want;
		uint16_t code;
	} t[] = {
		{ORIGIN_DIRECT, RULE_SCORE, 0, POLICY_ACCEPT, 0},
		{ORIGIN_VIA, RULE_SCORE, 4.9, POLICY_ACCEPT, 0},
		{ORIGIN_DIRECT, RULE_SCORE, 5, POLICY_TAG, 0},
		{ORIGIN_DIRECT, RULE_SCORE, 10, POLICY_REJECT, 550},
		{ORIGIN_DIRECT, RULE_TAG, 0, POLICY_TAG, 0},
		{ORIGIN_DIRECT, RULE_DEFER, 0, POLICY_DEFER, 451},
		{ORIGIN_DIRECT, RULE_QUARANTINE, 0, POLICY_DEFER, 451},
		{ORIGIN_DIRECT, RULE_REJECT, 0, POLICY_REJECT, 550},
		/* without a known sender nothing else counts */
		{ORIGIN_UNRESOLVED, RULE_REJECT, 20, POLICY_DEFER, 451},
		{ORIGIN_PRIVATE_PEER, RULE_SCORE, 0, POLICY_DEFER, 451},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct config_policy c = {.tag_score = 5, .reject_score = 10};
		struct origin o = {.status = t[i].origin};
		char name[] = "R";
		struct rule r = {.name = name, .action = t[i].rule};
		struct rule_hit h = {.rule = &r, .count = 1, .score = t[i].score};
		struct policy_input in = {.config = &c, .origin = &o, .hit = &h, .n_hits = 1};
		struct policy_verdict v;

		policy_decide(&in, &v);
		assert_int_equal(v.action, t[i].want);
		assert_int_equal(v.code, t[i].code);
		assert_true(!v.code || v.text[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(table)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
