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
		{ORIGIN_DIRECT, RULE_TAG, 10, POLICY_REJECT, 550},
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

/* With a place to hold messages back; what is stricter still wins. */
static void quarantine(void **state)
{
	static const struct {
		enum rule_action rule;
		double score;
		enum config_action listed, spf_fail;
		bool dmarc_hold;
		enum dmarc_result dmarc;
		enum policy_action want;
		enum policy_cause cause;
	} t[] = {
		{RULE_QUARANTINE, 0, 0, 0, false, DMARC_PASS, POLICY_QUARANTINE, POLICY_BY_RULE},
		{RULE_QUARANTINE, 10, 0, 0, false, DMARC_PASS, POLICY_REJECT, POLICY_BY_SCORE},
		{RULE_SCORE, 5, 0, 0, false, DMARC_PASS, POLICY_TAG, POLICY_BY_SCORE},
		{RULE_SCORE, 7, 0, 0, false, DMARC_PASS, POLICY_QUARANTINE, POLICY_BY_SCORE},
		{RULE_SCORE, 0, CONFIG_QUARANTINE, 0, false, DMARC_PASS, POLICY_QUARANTINE,
		 POLICY_BY_DNSBL},
		{RULE_QUARANTINE, 0, CONFIG_DEFER, 0, false, DMARC_PASS, POLICY_DEFER,
		 POLICY_BY_DNSBL},
		{RULE_SCORE, 0, 0, CONFIG_QUARANTINE, false, DMARC_NONE, POLICY_QUARANTINE,
		 POLICY_BY_SPF_FAIL},
		{RULE_QUARANTINE, 0, 0, CONFIG_REJECT, false, DMARC_NONE, POLICY_REJECT,
		 POLICY_BY_SPF_FAIL},
		{RULE_SCORE, 0, 0, 0, false, DMARC_FAIL, POLICY_TAG, POLICY_BY_DMARC},
		{RULE_SCORE, 0, 0, 0, true, DMARC_FAIL, POLICY_QUARANTINE, POLICY_BY_DMARC},
		{RULE_TAG, 0, 0, 0, true, DMARC_FAIL, POLICY_QUARANTINE, POLICY_BY_DMARC},
		{RULE_QUARANTINE, 0, 0, 0, true, DMARC_FAIL, POLICY_QUARANTINE, POLICY_BY_RULE},
		{RULE_REJECT, 0, 0, 0, true, DMARC_FAIL, POLICY_REJECT, POLICY_BY_RULE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct config_listing listing = {.action = t[i].listed};
		struct dnsbl_list list = {.name = (char *)"l", .zone = (char *)"l.example"};
		struct config_policy c = {.tag_score = 5, .quarantine_score = 7, .reject_score = 10,
					  .spf_fail = t[i].spf_fail, .dmarc_hold = t[i].dmarc_hold,
					  .dnsbl = &list, .listing = &listing, .n_dnsbls = 1};
		struct dnsbl_verdict found = {.result = DNSBL_LISTED};
		struct origin o = {.status = ORIGIN_DIRECT};
		char name[] = "R";
		struct rule r = {.name = name, .action = t[i].rule};
		struct rule_hit h = {.rule = &r, .count = 1, .score = t[i].score};
		struct spf_verdict spf = {.result = SPF_FAIL};
		struct dkim_signature sig = {.result = DKIM_PASS};
		struct dkim_results dkim = {.sig = &sig, .n = 1};
		struct dmarc_verdict d = {.result = t[i].dmarc, .n = 1,
					  .disposition = DMARC_POLICY_QUARANTINE};
		struct policy_input in = {.config = &c, .origin = &o, .hit = &h, .n_hits = 1,
					  .spf = &spf, .dkim = &dkim, .dmarc = &d, .dnsbl = &found,
					  .quarantine = true};
		struct policy_verdict v;

		d.author[0].walk = (struct dmarc_evaluation){
			.result = t[i].dmarc, .has_policy = true, .policy = DMARC_POLICY_QUARANTINE,
			.disposition = DMARC_POLICY_QUARANTINE};
		policy_decide(&in, &v);
		if (v.action != t[i].want || v.cause != t[i].cause)
			fail_msg("%zu: %s by %s: %s", i, policy_action_name(v.action),
				 policy_cause_name(v.cause), v.reason);
		assert_true(v.reason[0]);
	}
}

static void dry_run(void **state)
{
	static const struct {
		enum origin_status origin;
		enum rule_action rule;
		enum policy_action action, would;
	} t[] = {
		{ORIGIN_DIRECT, RULE_REJECT, POLICY_ACCEPT, POLICY_REJECT},
		{ORIGIN_DIRECT, RULE_DEFER, POLICY_ACCEPT, POLICY_DEFER},
		{ORIGIN_DIRECT, RULE_QUARANTINE, POLICY_ACCEPT, POLICY_QUARANTINE},
		{ORIGIN_DIRECT, RULE_TAG, POLICY_TAG, POLICY_TAG},
		{ORIGIN_DIRECT, RULE_SCORE, POLICY_ACCEPT, POLICY_ACCEPT},
		{ORIGIN_UNRESOLVED, RULE_SCORE, POLICY_DEFER, POLICY_DEFER},
		{ORIGIN_PRIVATE_PEER, RULE_REJECT, POLICY_DEFER, POLICY_DEFER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct config_policy c = {.tag_score = 5, .dry_run = true};
		struct origin o = {.status = t[i].origin};
		char name[] = "R";
		struct rule r = {.name = name, .action = t[i].rule};
		struct rule_hit h = {.rule = &r, .count = 1};
		struct policy_input in = {.config = &c, .origin = &o, .hit = &h, .n_hits = 1,
					  .quarantine = true};
		struct policy_verdict v;

		policy_decide(&in, &v);
		policy_dry_run(&c, &v);
		assert_int_equal(v.action, t[i].action);
		assert_int_equal(v.would, t[i].would);
		c.dry_run = false;
		policy_decide(&in, &v);
		policy_dry_run(&c, &v);
		assert_int_equal(v.action, t[i].would);
		assert_int_equal(v.would, t[i].would);
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
		struct dkim_signature sig = {.result = DKIM_PASS};
		struct dkim_results dkim = {.sig = &sig, .n = t[i].signatures};
		struct spf_verdict spf = {.result = t[i].spf};
		struct dmarc_verdict d = {.result = t[i].result,
					  .disposition = t[i].disposition, .n = 1};
		struct policy_input in = {.config = &c, .origin = &o, .hit = &h, .n_hits = 1,
					  
					  .spf = &spf, .dkim = &dkim, .dmarc = &d};
		struct policy_verdict v;

		d.author[0].walk = (struct dmarc_evaluation){.policy = t[i].policy,
			.has_policy = t[i].result != DMARC_NONE, .policy_domain = "victim.example"};
		policy_decide(&in, &v);
		if (v.action != t[i].want || (v.cause == POLICY_BY_DMARC) != t[i].decided)
			fail_msg("row %zu: %s, %s", i, policy_action_name(v.action), v.reason);
		if (v.action != POLICY_REJECT || v.cause != POLICY_BY_DMARC)
			continue;
		assert_int_equal(v.enh_detail, 26);
		assert_non_null(strstr(v.text, "victim.example"));
	}
}

/* A victim's mail as any forger can send it: SPF fails hard, and p=reject. */
static void forged(struct dmarc_verdict *d, const char *author)
{
	*d = (struct dmarc_verdict){.result = DMARC_FAIL, .disposition = DMARC_POLICY_REJECT, .n = 1};
	strcpy(d->author[0].domain, author);
	d->author[0].walk = (struct dmarc_evaluation){
		.result = DMARC_FAIL, .has_policy = true, .policy = DMARC_POLICY_REJECT,
		.disposition = DMARC_POLICY_REJECT};
	strcpy(d->author[0].walk.policy_domain, author);
}

/* Which signatures take SPF's evidence away: those that somebody may answer for. */
static void evidence(void **state)
{
	static const struct {
		struct dkim_signature sig[2];
		size_t n;
		bool testing_pass;
		enum policy_action want;
	} t[] = {
		{{{0}}, 0, false, POLICY_REJECT},
		{{{.result = DKIM_PERMERROR}}, 1, false, POLICY_REJECT}, /* junk, no such key */
		{{{.result = DKIM_FAIL}}, 1, false, POLICY_REJECT},
		{{{.result = DKIM_NEUTRAL}}, 1, false, POLICY_REJECT},
		{{{.result = DKIM_POLICY}}, 1, false, POLICY_REJECT},
		{{{.result = DKIM_PASS}}, 1, false, POLICY_TAG},
		{{{.result = DKIM_TEMPERROR}}, 1, false, POLICY_TAG},
		{{{.result = DKIM_PERMERROR}, {.result = DKIM_PASS}}, 2, false, POLICY_TAG},
		{{{.result = DKIM_PASS, .testing = true}}, 1, false, POLICY_REJECT},
		{{{.result = DKIM_PASS, .testing = true}}, 1, true, POLICY_TAG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct config_policy c = {.tag_score = 5, .dkim_testing_pass = t[i].testing_pass};
		struct origin o = {.status = ORIGIN_DIRECT};
		struct dkim_signature sig[2] = {t[i].sig[0], t[i].sig[1]};
		struct dkim_results dkim = {sig, t[i].n};
		struct spf_verdict spf = {.result = SPF_FAIL};
		struct dmarc_verdict d;
		struct policy_input in = {.config = &c, .origin = &o, .spf = &spf, .dkim = &dkim,
					  .dmarc = &d};
		struct policy_verdict v;

		forged(&d, "victim.example");
		policy_decide(&in, &v);
		if (v.action != t[i].want)
			fail_msg("row %zu: %s, %s", i, policy_action_name(v.action), v.reason);
		assert_int_equal(!!strstr(v.reason, "; spf fail, no credible signature"),
				 v.action == POLICY_REJECT);
		/* Only a hard fail is evidence. */
		spf.result = SPF_SOFTFAIL;
		policy_decide(&in, &v);
		assert_int_equal(v.action, POLICY_TAG);
	}
}

static void listing_as_evidence(void **state)
{
	static struct dnsbl_list list[] = {{.name = "weak", .zone = "a.example"},
					   {.name = "strong", .zone = "b.example"}};
	static struct config_listing listing[] = {{.evidence = false}, {.evidence = true}};
	struct dnsbl_verdict l[2] = {{.result = DNSBL_LISTED}, {.result = DNSBL_FAILED}};
	struct config_policy c = {.tag_score = 5, .dnsbl = list, .listing = listing, .n_dnsbls = 2};
	struct origin o = {.status = ORIGIN_DIRECT};
	struct spf_verdict spf = {.result = SPF_PASS};
	struct dmarc_verdict d;
	struct policy_input in = {.config = &c, .origin = &o, .spf = &spf, .dmarc = &d, .dnsbl = l};
	struct policy_verdict v;

	(void)state;
	forged(&d, "victim.example");
	policy_decide(&in, &v);
	assert_int_equal(v.action, POLICY_TAG);
	l[1].result = DNSBL_LISTED;
	policy_decide(&in, &v);
	assert_int_equal(v.action, POLICY_REJECT);
	assert_non_null(strstr(v.reason, "listed in strong"));
	assert_int_equal(v.enh_detail, 26);
	/* Beside a policy that does not ask for it, it refuses nothing. */
	d.disposition = d.author[0].walk.policy = DMARC_POLICY_QUARANTINE;
	policy_decide(&in, &v);
	assert_int_equal(v.action, POLICY_TAG);
	/* Its score is evidence, too, though no listing is. */
	forged(&d, "victim.example");
	l[1].result = DNSBL_FAILED;
	listing[0].score = 5;
	c.tag_score = 5;
	policy_decide(&in, &v);
	assert_int_equal(v.action, POLICY_REJECT);
	assert_non_null(strstr(v.reason, "; score 5.00"));
}

static void protected_domains(void **state)
{
	static const char *names[] = {"victim.example", ".brand.example"};
	static const struct {
		const char *author;
		enum dmarc_result result;
		enum dmarc_policy policy;
		enum config_dmarc mode;
		enum policy_action want;
	} t[] = {
		{"victim.example", DMARC_FAIL, R, ENFORCE, POLICY_REJECT},
		{"victim.example", DMARC_FAIL, N, ENFORCE, POLICY_REJECT},
		{"x.victim.example", DMARC_FAIL, N, ENFORCE, POLICY_ACCEPT},
		{"x.brand.example", DMARC_FAIL, N, ENFORCE, POLICY_REJECT},
		{"brand.example", DMARC_FAIL, Q, ENFORCE, POLICY_TAG},
		{"victim.example", DMARC_PASS, R, ENFORCE, POLICY_ACCEPT},
		{"victim.example", DMARC_NONE, N, ENFORCE, POLICY_ACCEPT},
		{"victim.example", DMARC_TEMPERROR, R, ENFORCE, POLICY_TAG},
		{"victim.example", DMARC_FAIL, R, MONITOR, POLICY_ACCEPT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct config_policy c = {.tag_score = 5, .dmarc = t[i].mode,
					  .protected_domains = {names, 2}};
		struct origin o = {.status = ORIGIN_DIRECT};
		struct dmarc_verdict d;
		struct policy_input in = {.config = &c, .origin = &o, .dmarc = &d};
		struct policy_verdict v;

		forged(&d, t[i].author);
		d.result = d.author[0].walk.result = t[i].result;
		d.author[0].walk.policy = t[i].policy;
		d.disposition = t[i].result == DMARC_FAIL ? t[i].policy : N;
		policy_decide(&in, &v);
		if (v.action != t[i].want)
			fail_msg("row %zu: %s, %s", i, policy_action_name(v.action), v.reason);
		if (v.action == POLICY_REJECT)
			assert_non_null(strstr(v.text, t[i].author));
	}
}

/* The other author is the one that decides, and asks for nothing. */
static void protected_among_others(void **state)
{
	static const char *names[] = {"victim.example"};
	struct config_policy c = {.protected_domains = {names, 1}};
	struct origin o = {.status = ORIGIN_DIRECT};
	struct dmarc_verdict d;
	struct policy_input in = {.config = &c, .origin = &o, .dmarc = &d};
	struct policy_verdict v;

	(void)state;
	forged(&d, "other.example");
	d.n = 2;
	d.disposition = d.author[0].walk.policy = DMARC_POLICY_NONE;
	d.author[1] = d.author[0];
	strcpy(d.author[1].domain, "victim.example");
	policy_decide(&in, &v);
	assert_int_equal(v.action, POLICY_REJECT);
	assert_non_null(strstr(v.reason, "victim.example is a protected domain"));
}

/* What a report would give as the reason why a policy was not followed. */
static void overrides(void **state)
{
	static const struct {
		enum config_dmarc mode;
		enum dmarc_result result;
		enum dmarc_policy policy, disposition;
		bool testing;
		enum policy_override want;
	} t[] = {
		{ENFORCE, DMARC_FAIL, R, R, false, POLICY_OVERRIDE_LOCAL}, /* tagged only */
		{STRICT, DMARC_FAIL, R, R, false, POLICY_OVERRIDE_NONE},
		{ENFORCE, DMARC_FAIL, Q, Q, false, POLICY_OVERRIDE_NONE},
		{ENFORCE, DMARC_FAIL, R, Q, true, POLICY_OVERRIDE_TEST},
		{ENFORCE, DMARC_FAIL, Q, N, true, POLICY_OVERRIDE_TEST},
		{MONITOR, DMARC_FAIL, Q, Q, false, POLICY_OVERRIDE_LOCAL},
		{MONITOR, DMARC_FAIL, N, N, false, POLICY_OVERRIDE_NONE},
		{ENFORCE, DMARC_PASS, R, N, false, POLICY_OVERRIDE_NONE},
		{ENFORCE, DMARC_TEMPERROR, R, N, false, POLICY_OVERRIDE_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct config_policy c = {.dmarc = t[i].mode};
		struct origin o = {.status = ORIGIN_DIRECT};
		struct dmarc_verdict d;
		struct policy_input in = {.config = &c, .origin = &o, .dmarc = &d};
		struct policy_verdict v;

		forged(&d, "victim.example");
		d.result = d.author[0].walk.result = t[i].result;
		d.author[0].walk.policy = t[i].policy;
		d.author[0].record.testing = t[i].testing;
		d.disposition = t[i].disposition;
		policy_decide(&in, &v);
		if (v.override != t[i].want || v.lifted)
			fail_msg("row %zu: %s (%s)", i, policy_override_name(v.override), v.comment);
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
		assert_int_equal(v.cause == POLICY_BY_DMARC, t[i].want != POLICY_ACCEPT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(quarantine),
		cmocka_unit_test(dry_run),
		cmocka_unit_test(dmarc),
		cmocka_unit_test(evidence),
		cmocka_unit_test(listing_as_evidence),
		cmocka_unit_test(protected_domains),
		cmocka_unit_test(protected_among_others),
		cmocka_unit_test(overrides),
		cmocka_unit_test(dmarc_without_author),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
