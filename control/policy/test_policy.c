/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
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

#define ENFORCE CONFIG_DMARC_ENFORCE
#define MONITOR CONFIG_DMARC_MONITOR
#define STRICT CONFIG_DMARC_STRICT

static void dmarc(void **state)
{
	static const struct {
		enum config_dmarc mode;
		enum dmarc_result result;
		enum dmarc_policy policy, disposition;
		enum spf_result spf;
		size_t signatures;
		double score;
		enum policy_action want;
		bool decided;
	} t[] = {
#define N DMARC_POLICY_NONE
#define Q DMARC_POLICY_QUARANTINE
#define R DMARC_POLICY_REJECT
		{ENFORCE, DMARC_PASS, R, N, SPF_PASS, 1, 0, POLICY_ACCEPT, false},
		{ENFORCE, DMARC_NONE, N, N, SPF_FAIL, 0, 0, POLICY_ACCEPT, false},
		{ENFORCE, DMARC_FAIL, N, N, SPF_FAIL, 0, 0, POLICY_ACCEPT, false},
		{ENFORCE, DMARC_FAIL, Q, Q, SPF_FAIL, 0, 0, POLICY_TAG, true},
		/* t=y came before */
		{STRICT, DMARC_FAIL, R, Q, SPF_FAIL, 0, 0, POLICY_TAG, true},
		{STRICT, DMARC_FAIL, Q, N, SPF_FAIL, 0, 0, POLICY_ACCEPT, false},
		/* p=reject alone; with other evidence; strictly */
		{ENFORCE, DMARC_FAIL, R, R, SPF_SOFTFAIL, 0, 0, POLICY_TAG, true},
		{ENFORCE, DMARC_FAIL, R, R, SPF_FAIL, 1, 0, POLICY_TAG, true},
		{ENFORCE, DMARC_FAIL, R, R, SPF_FAIL, 0, 0, POLICY_REJECT, true},
		{ENFORCE, DMARC_FAIL, R, R, SPF_PASS, 1, 5, POLICY_REJECT, true},
		{ENFORCE, DMARC_FAIL, R, R, SPF_PASS, 1, 4.9, POLICY_TAG, true},
		{STRICT, DMARC_FAIL, R, R, SPF_PASS, 1, 0, POLICY_REJECT, true},
		/* nobody gets off by errors */
		{ENFORCE, DMARC_TEMPERROR, R, N, SPF_FAIL, 0, 0, POLICY_TAG, true},
		{STRICT, DMARC_TEMPERROR, Q, N, SPF_FAIL, 0, 0, POLICY_TAG, true},
		{STRICT, DMARC_TEMPERROR, N, N, SPF_FAIL, 0, 0, POLICY_ACCEPT, false},
		/* the score has decided before */
		{ENFORCE, DMARC_FAIL, Q, Q, SPF_PASS, 1, 5, POLICY_TAG, false},
		{STRICT, DMARC_FAIL, R, R, SPF_PASS, 1, 10, POLICY_REJECT, false},
		{MONITOR, DMARC_FAIL, R, R, SPF_FAIL, 0, 0, POLICY_ACCEPT, false},
		{MONITOR, DMARC_FAIL, R, R, SPF_FAIL, 0, 5, POLICY_TAG, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct config_policy c = {.tag_score = 5, .reject_score = 10, .dmarc = t[i].mode};
		struct origin o = {.status = ORIGIN_DIRECT};
		char name[] = "R";
		struct rule r = {.name = name, .action = RULE_SCORE};
		struct rule_hit h = {.rule = &r, .count = 1, .score = t[i].score};
		struct dkim_results dkim = {.n = t[i].signatures};
		struct dmarc_verdict d = {.result = t[i].result,
					  .disposition = t[i].disposition, .n = 1};
		struct policy_input in = {.config = &c, .origin = &o, .hit = &h, .n_hits = 1,
					  .spf = t[i].spf, .dkim = &dkim, .dmarc = &d};
		struct policy_verdict v;

		d.author[0].walk = (struct dmarc_evaluation){.policy = t[i].policy,
			.has_policy = t[i].result != DMARC_NONE, .policy_domain = "victim.example"};
		policy_decide(&in, &v);
		if (v.action != t[i].want || v.dmarc != t[i].decided)
			fail_msg("row %zu: %s, %s", i, policy_action_name(v.action), v.reason);
		if (v.action != POLICY_REJECT || !v.dmarc)
			continue;
		assert_int_equal(v.enh_detail, 26);
		assert_non_null(strstr(v.text, "victim.example"));
	}
}

static void dmarc_without_author(void **state)
{
	static const struct {
		enum config_dmarc mode;
		enum policy_action want;
	} t[] = {{ENFORCE, POLICY_TAG}, {MONITOR, POLICY_ACCEPT}, {STRICT, POLICY_REJECT}};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct config_policy c = {.dmarc = t[i].mode};
		struct origin o = {.status = ORIGIN_DIRECT};
		struct dkim_results dkim = {0};
		struct dmarc_verdict d = {.result = DMARC_PERMERROR, .from = FROM_SEVERAL,
					  .reason = "From: more than one From field"};
		struct policy_input in = {.config = &c, .origin = &o, .dkim = &dkim, .dmarc = &d};
		struct policy_verdict v;

		policy_decide(&in, &v);
		assert_int_equal(v.action, t[i].want);
		assert_int_equal(v.dmarc, t[i].want != POLICY_ACCEPT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(dmarc),
					   cmocka_unit_test(dmarc_without_author)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
