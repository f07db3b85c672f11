/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Each check by itself and with others: action, code, enhanced code, words. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "control/policy/policy.h"

/* A message with which everything is in order; rows change what they are about. */
struct message {
	struct config_policy c;
	struct origin origin;
	struct spf_verdict spf;
	struct dkim_signature sig[2];
	struct dkim_results dkim;
	struct arc_set set[1];
	struct arc_results arc;
	struct ptr_result ptr;
	struct dmarc_verdict dmarc;
	struct policy_input in;
};

static void good(struct message *m)
{
	*m = (struct message){.origin.status = ORIGIN_DIRECT, .ptr.status = PTR_OK};
	ip_parse(STR("192.0.2.7"), &m->origin.ip);
	m->spf = (struct spf_verdict){.result = SPF_PASS, .domain = "sender.example"};
	m->sig[0] = (struct dkim_signature){.result = DKIM_PASS, .domain = "sender.example"};
	m->dkim = (struct dkim_results){m->sig, 1};
	m->arc.set = m->set;
	m->dmarc = (struct dmarc_verdict){.result = DMARC_NONE, .n = 1};
	strcpy(m->dmarc.author[0].domain, "sender.example");
	m->in = (struct policy_input){.config = &m->c, .origin = &m->origin, .spf = &m->spf,
				      .dkim = &m->dkim, .arc = &m->arc, .ptr = &m->ptr,
				      .dmarc = &m->dmarc, .mail_from = STR("a@sender.example")};
}

static struct policy_verdict decide(const struct message *m)
{
	struct policy_verdict v;

	policy_decide(&m->in, &v);
	return v;
}

static void expect(const char *what, const struct policy_verdict *v, enum policy_action action,
		   unsigned int code, unsigned int detail, enum policy_cause cause, const char *text)
{
	if (v->action != action || v->code != code || v->enh_detail != detail || v->cause != cause ||
	    !strstr(v->text, text))
		fail_msg("%s: %s %u %u.%u.%u %s (%s)", what, policy_action_name(v->action), v->code,
			 v->enh_class, v->enh_subject, v->enh_detail, v->text, v->reason);
	if (action >= POLICY_DEFER) {
		assert_int_equal(v->enh_class, code / 100);
		assert_int_equal(v->enh_subject, 7);
	}
	assert_int_equal(!v->reason[0], action == POLICY_ACCEPT);
}

/* Nothing refuses by default, whatever fails. */
static void defaults(void **state)
{
	struct policy_verdict v;
	struct message m;

	(void)state;
	good(&m);
	m.spf.result = SPF_FAIL;
	m.sig[0].result = DKIM_FAIL;
	m.arc.result = ARC_FAIL;
	m.ptr.status = PTR_NONE;
	m.in.null_mx = true;
	v = decide(&m);
	expect("defaults", &v, POLICY_ACCEPT, 0, 0, POLICY_BY_NOTHING, "");
}

static void spf(void **state)
{
	static const struct {
		enum spf_result result;
		enum config_action fail, perm, temp;
		bool dmarc_pass;
		enum policy_action want;
		unsigned int code, detail;
		const char *text;
	} t[] = {
		{SPF_FAIL, CONFIG_REJECT, 0, 0, false, POLICY_REJECT, 550, 23,
		 "SPF check failed: sender.example does not send from here"},
		{SPF_FAIL, CONFIG_DEFER, 0, 0, false, POLICY_DEFER, 451, 23, ""},
		{SPF_FAIL, CONFIG_TAG, 0, 0, false, POLICY_TAG, 0, 0, ""},
		{SPF_FAIL, CONFIG_ACCEPT, CONFIG_REJECT, CONFIG_DEFER, false, POLICY_ACCEPT, 0, 0, ""},
		{SPF_FAIL, CONFIG_REJECT, 0, 0, true, POLICY_ACCEPT, 0, 0, ""},
		{SPF_SOFTFAIL, CONFIG_REJECT, 0, 0, false, POLICY_ACCEPT, 0, 0, ""},
		{SPF_PERMERROR, CONFIG_REJECT, CONFIG_REJECT, 0, false, POLICY_REJECT, 550, 24,
		 "SPF record of sender.example is in error: two records"},
		{SPF_PERMERROR, 0, CONFIG_DEFER, 0, false, POLICY_DEFER, 451, 24, ""},
		/* what is in error stays in error, DMARC or not */
		{SPF_PERMERROR, 0, CONFIG_REJECT, 0, true, POLICY_REJECT, 550, 24, ""},
		{SPF_PERMERROR, CONFIG_REJECT, 0, 0, false, POLICY_ACCEPT, 0, 0, ""},
		{SPF_TEMPERROR, CONFIG_REJECT, CONFIG_REJECT, CONFIG_DEFER, false, POLICY_DEFER, 451, 24,
		 "SPF of sender.example cannot be checked just now"},
		{SPF_TEMPERROR, CONFIG_REJECT, CONFIG_REJECT, CONFIG_TAG, false, POLICY_TAG, 0, 0, ""},
		{SPF_TEMPERROR, CONFIG_REJECT, CONFIG_REJECT, 0, false, POLICY_ACCEPT, 0, 0, ""},
		{SPF_NONE, CONFIG_REJECT, CONFIG_REJECT, CONFIG_DEFER, false, POLICY_ACCEPT, 0, 0, ""},
	};
	struct policy_verdict v;
	struct message m;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char row[32];

		snprintf(row, sizeof(row), "row %zu", i);
		good(&m);
		m.spf.result = t[i].result;
		strcpy(m.spf.reason, "two records");
		m.c.spf_fail = t[i].fail;
		m.c.spf_permerror = t[i].perm;
		m.c.spf_temperror = t[i].temp;
		m.dmarc.result = t[i].dmarc_pass ? DMARC_PASS : DMARC_NONE;
		v = decide(&m);
		expect(row, &v, t[i].want, t[i].code, t[i].detail,
		       t[i].want == POLICY_ACCEPT    ? POLICY_BY_NOTHING
		       : t[i].result == SPF_FAIL ? POLICY_BY_SPF_FAIL : POLICY_BY_SPF_ERROR, t[i].text);
	}
	/* The owner's words are told as the owner's, cut to what fits. */
	good(&m);
	m.spf.result = SPF_FAIL;
	m.c.spf_fail = CONFIG_REJECT;
	memset(m.spf.explanation, 'x', sizeof(m.spf.explanation) - 1);
	v = decide(&m);
	expect("exp=", &v, POLICY_REJECT, 550, 23, POLICY_BY_SPF_FAIL,
	       "SPF check of sender.example failed, sender.example explains: xxx");
	/* A forwarder that is trusted may fail SPF. */
	m.c.trusted_forwarders = (struct config_domains){(const char *[]){"sender.example"}, 1};
	v = decide(&m);
	expect("forwarder", &v, POLICY_ACCEPT, 0, 0, POLICY_BY_NOTHING, "");
}

static void dkim(void **state)
{
	static const struct {
		enum config_dkim required;
		struct dkim_signature sig[2];
		size_t n;
		bool testing_pass;
		unsigned int code, detail; /* 0: accepted */
	} t[] = {
#define SIG(r, d, ...) {.result = r, .domain = d, __VA_ARGS__}
#define PASSING CONFIG_DKIM_PASSING
#define ACCEPTABLE CONFIG_DKIM_ACCEPTABLE
#define AUTHOR CONFIG_DKIM_AUTHOR
		{PASSING, {SIG(DKIM_PASS, "x.example", .testing = true)}, 1, false, 0, 0},
		{PASSING, {SIG(DKIM_FAIL, "sender.example")}, 1, false, 550, 20},
		{PASSING, {SIG(DKIM_POLICY, "sender.example")}, 1, false, 550, 20},
		{PASSING, {{0}}, 0, false, 550, 20},
		/* one that could not be checked may be it */
		{PASSING, {SIG(DKIM_FAIL, "x.example"), SIG(DKIM_TEMPERROR, "sender.example")}, 2, false,
		 451, 5},
		{AUTHOR, {SIG(DKIM_PASS, "x.example"), SIG(DKIM_TEMPERROR, "sender.example")}, 2, false,
		 451, 5},
		{ACCEPTABLE, {SIG(DKIM_PASS, "x.example")}, 1, false, 0, 0},
		{ACCEPTABLE, {SIG(DKIM_PASS, "x.example", .testing = true)}, 1, false, 550, 21},
		{ACCEPTABLE, {SIG(DKIM_PASS, "x.example", .testing = true)}, 1, true, 0, 0},
		{ACCEPTABLE, {SIG(DKIM_PASS, "x.example", .partial = true)}, 1, true, 550, 21},
		{ACCEPTABLE, {SIG(DKIM_FAIL, "x.example")}, 1, false, 550, 20},
		{AUTHOR, {SIG(DKIM_PASS, "x.example")}, 1, false, 550, 22},
		{AUTHOR, {SIG(DKIM_PASS, "sender.example", .testing = true)}, 1, false, 550, 21},
		{AUTHOR, {SIG(DKIM_PASS, "mail.sender.example")}, 1, false, 0, 0},
		{AUTHOR, {SIG(DKIM_PASS, "x.example"), SIG(DKIM_PASS, "SENDER.example")}, 2, false, 0, 0},
		{AUTHOR, {SIG(DKIM_PASS, "x.example"), SIG(DKIM_PASS, "sender.example", .partial = true)},
		 2, false, 550, 22},
		{CONFIG_DKIM_NONE, {{0}}, 0, false, 0, 0},
	};
	struct policy_verdict v;
	struct message m;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		good(&m);
		m.c.dkim_required = t[i].required;
		m.c.dkim_missing = CONFIG_REJECT;
		m.c.dkim_testing_pass = t[i].testing_pass;
		memcpy(m.sig, t[i].sig, sizeof(m.sig));
		m.dkim.n = t[i].n;
		v = decide(&m);
		if (v.code != t[i].code || v.enh_detail != t[i].detail)
			fail_msg("row %zu: %u x.7.%u %s", i, v.code, v.enh_detail, v.text);
		if (t[i].code)
			assert_int_equal(v.cause, POLICY_BY_DKIM);
		m.c.dkim_missing = CONFIG_TAG;
		v = decide(&m);
		assert_int_equal(v.action, t[i].code ? POLICY_TAG : POLICY_ACCEPT);
	}
	/* Under a policy alignment is what DMARC found: here strict, so a subdomain is nothing. */
	good(&m);
	m.c.dkim_required = AUTHOR;
	m.c.dkim_missing = CONFIG_REJECT;
	strcpy(m.sig[0].domain, "mail.sender.example");
	m.dmarc.author[0].walk.has_policy = true;
	v = decide(&m);
	expect("strict", &v, POLICY_REJECT, 550, 22, POLICY_BY_DKIM, "author-matched");
	m.dmarc.author[0].walk.dkim_aligned = 1;
	v = decide(&m);
	expect("aligned", &v, POLICY_ACCEPT, 0, 0, POLICY_BY_NOTHING, "");
	/* Two authors, one signature. */
	m.dmarc.n = 2;
	strcpy(m.dmarc.author[1].domain, "other.example");
	v = decide(&m);
	expect("two authors", &v, POLICY_REJECT, 550, 22, POLICY_BY_DKIM, "");
}

static void others(void **state)
{
	static const enum config_action act[] = {CONFIG_TAG, CONFIG_DEFER, CONFIG_REJECT};
	struct policy_verdict v;
	struct message m;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		enum policy_action want = (enum policy_action)act[i];
		unsigned int code = i == 0 ? 0 : i == 1 ? 451 : 550;
		/* what may be right at the next try is deferred at most */
		enum policy_action later = want > POLICY_DEFER ? POLICY_DEFER : want;
		unsigned int later_code = i ? 451 : 0;

		good(&m);
		m.c.reverse_dns = act[i];
		m.ptr.status = PTR_NONE;
		v = decide(&m);
		expect("ptr", &v, want, code, i ? 25 : 0, POLICY_BY_REVERSE_DNS,
		       i ? "192.0.2.7 has no name" : "");
		m.ptr.status = PTR_MISMATCH;
		v = decide(&m);
		expect("ptr", &v, want, code, i ? 25 : 0, POLICY_BY_REVERSE_DNS,
		       i ? "does not lead back" : "");
		m.ptr.status = PTR_TEMPFAIL;
		v = decide(&m);
		expect("ptr", &v, later, later_code, i ? 25 : 0, POLICY_BY_REVERSE_DNS,
		       i ? "just now" : "");

		good(&m);
		m.c.arc_fail = act[i];
		m.arc = (struct arc_results){.result = ARC_FAIL, .set = m.set, .n = 1,
					     .reason = "i=1: ARC-Seal: bad"};
		v = decide(&m);
		expect("arc", &v, want, code, i ? 29 : 0, POLICY_BY_ARC,
		       i ? "ARC validation failure: i=1: ARC-Seal: bad" : "");
		m.set[0].sealed.result = DKIM_TEMPERROR;
		v = decide(&m);
		expect("arc", &v, later, later_code, i ? 29 : 0, POLICY_BY_ARC, "");
		m.arc.n = 0; /* nothing that is a set */
		v = decide(&m);
		expect("arc", &v, want, code, i ? 29 : 0, POLICY_BY_ARC, "");
		m.in.arc_unanswered = true;
		v = decide(&m);
		expect("arc", &v, later, later_code, i ? 29 : 0, POLICY_BY_ARC, "");
		m.dmarc.result = DMARC_PASS;
		v = decide(&m);
		expect("arc", &v, POLICY_ACCEPT, 0, 0, POLICY_BY_NOTHING, "");

		good(&m);
		m.c.null_mx = act[i];
		v = decide(&m);
		expect("mx", &v, POLICY_ACCEPT, 0, 0, POLICY_BY_NOTHING, "");
		m.in.null_mx = true;
		v = decide(&m);
		expect("mx", &v, want, code, i ? 27 : 0, POLICY_BY_NULL_MX,
		       i ? "Sender address has null MX: sender.example" : "");
	}
}

/* RFC 7372 3.4: 26 where more than one refuses; the strictest action stands. */
static void several(void **state)
{
	struct policy_verdict v;
	struct message m;

	(void)state;
	good(&m);
	m.spf.result = SPF_FAIL;
	m.ptr.status = PTR_NONE;
	m.in.null_mx = true;
	m.c.spf_fail = m.c.reverse_dns = CONFIG_REJECT;
	m.c.null_mx = CONFIG_DEFER;
	v = decide(&m);
	expect("two", &v, POLICY_REJECT, 550, 26, POLICY_BY_SEVERAL,
	       "Multiple authentication checks failed: SPF fail, no reverse DNS");
	assert_null(strstr(v.text, "null MX"));
	m.c.spf_fail = m.c.reverse_dns = CONFIG_DEFER;
	v = decide(&m);
	expect("three deferring", &v, POLICY_DEFER, 451, 26, POLICY_BY_SEVERAL, "null MX");
	m.c.reverse_dns = m.c.null_mx = CONFIG_TAG;
	v = decide(&m);
	expect("one deferring", &v, POLICY_DEFER, 451, 23, POLICY_BY_SPF_FAIL, "");
	m.c.spf_fail = CONFIG_TAG;
	v = decide(&m);
	expect("tags", &v, POLICY_TAG, 0, 0, POLICY_BY_SEVERAL, "");
	assert_string_equal(v.reason, "policy: SPF fail, no reverse DNS, sender address has null MX");
	/* All five at once fit. */
	m.arc = (struct arc_results){.result = ARC_FAIL, .set = m.set, .n = 1};
	m.sig[0].result = DKIM_FAIL;
	m.c.spf_fail = m.c.reverse_dns = m.c.null_mx = m.c.arc_fail = m.c.dkim_missing = CONFIG_REJECT;
	m.c.dkim_required = CONFIG_DKIM_PASSING;
	v = decide(&m);
	expect("five", &v, POLICY_REJECT, 550, 26, POLICY_BY_SEVERAL, "SPF fail, no passing DKIM "
	       "signature, no reverse DNS, ARC validation failure, sender address has null MX");
	/* A relay that is not understood comes first. */
	m.origin.status = ORIGIN_UNRESOLVED;
	v = decide(&m);
	expect("origin", &v, POLICY_DEFER, 451, 1, POLICY_BY_ORIGIN, "");
}

static void dnsbl(void **state)
{
	static struct dnsbl_list list[] = {{.name = "one", .zone = "one.example"},
					   {.name = "two", .zone = "two.example"},
					   {.name = "wl", .zone = "wl.example", .allow = true}};
	struct config_listing listing[3] = {{.score = 3}, {.score = 2.5, .action = CONFIG_REJECT,
							   .reply = "See https://two.example/"},
					    {.score = -4}};
	struct dnsbl_verdict d[3] = {{.result = DNSBL_LISTED}};
	struct policy_verdict v;
	struct message m;

	(void)state;
	good(&m);
	m.c.dnsbl = list;
	m.c.listing = listing;
	m.c.n_dnsbls = 3;
	m.c.tag_score = 5;
	m.in.dnsbl = d;
	v = decide(&m);
	expect("score below", &v, POLICY_ACCEPT, 0, 0, POLICY_BY_NOTHING, "");
	assert_true(v.score == 3);
	d[1].result = DNSBL_LISTED;
	v = decide(&m);
	expect("reject", &v, POLICY_REJECT, 550, 1, POLICY_BY_DNSBL,
	       "192.0.2.7 is listed in two.example. See https://two.example/");
	listing[1].action = CONFIG_DEFER;
	listing[1].reply = NULL;
	v = decide(&m);
	expect("defer", &v, POLICY_DEFER, 451, 1, POLICY_BY_DNSBL, "192.0.2.7 is listed in two.example");
	listing[1].action = CONFIG_TAG;
	v = decide(&m);
	expect("both scores", &v, POLICY_TAG, 0, 0, POLICY_BY_SCORE, "");
	d[2].result = DNSBL_LISTED;
	v = decide(&m);
	assert_true(v.score == 1.5);
	expect("tag", &v, POLICY_TAG, 0, 0, POLICY_BY_DNSBL, "");
	assert_string_equal(v.reason, "listed in two (two.example)");
	/* Whatever is no listing is worth nothing. */
	listing[0].action = listing[1].action = CONFIG_REJECT;
	for (enum dnsbl_result r = DNSBL_NOT_LISTED; r <= DNSBL_BROKEN; r++) {
		if (r == DNSBL_LISTED)
			continue;
		d[0].result = d[1].result = d[2].result = r;
		v = decide(&m);
		assert_true(v.score == 0);
		expect("no listing", &v, POLICY_ACCEPT, 0, 0, POLICY_BY_NOTHING, "");
	}
}

/* l= shorter than the body: a score, unless something signs the whole. */
static void tail(void **state)
{
	struct policy_verdict v;
	struct message m;

	(void)state;
	good(&m);
	m.c.dkim_l_score = 2;
	v = decide(&m);
	assert_true(v.score == 0);
	m.sig[0].partial = true;
	v = decide(&m);
	assert_true(v.score == 2);
	m.sig[1] = (struct dkim_signature){.result = DKIM_FAIL};
	m.dkim.n = 2;
	v = decide(&m);
	assert_true(v.score == 2);
	m.sig[1].result = DKIM_PASS;
	v = decide(&m);
	assert_true(v.score == 0);
	m.sig[0].result = DKIM_POLICY;
	m.dkim.n = 1;
	v = decide(&m);
	assert_true(v.score == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(spf),   cmocka_unit_test(dkim),
		cmocka_unit_test(others),   cmocka_unit_test(several), cmocka_unit_test(dnsbl),
		cmocka_unit_test(tail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
