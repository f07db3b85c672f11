/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Who lifts a failed DMARC, and who does not. The author is always victim.example, p=reject. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "control/policy/policy.h"

#define PASS "mx.list.example; dmarc=pass header.from=victim.example"

/* What is wrong with the newest set, or with the chain. */
enum flaw {
	NONE, PARTIAL, TEST_KEY, NO_FROM, TEST_SEAL, OTHER_AMS, FAILED, ENDED, OLD_AMS, STRICT, SEVERAL
};

struct chain {
	const char *domain[3]; /* of the sealers, i=1 first */
	const char *aar[3];
};

static void build(const struct chain *t, enum flaw flaw, struct arc_set *set,
		  struct arc_results *out)
{
	static struct str from[] = {{(const uint8_t *)"to", 2}, {(const uint8_t *)"from", 4}};

	*out = (struct arc_results){.result = ARC_PASS, .set = set};
	for (; out->n < 3 && t->domain[out->n]; out->n++) {
		struct arc_set *s = &set[out->n];

		*s = (struct arc_set){.results = str_c(t->aar[out->n])};
		s->message.result = s->sealed.result = DKIM_PASS;
		s->message.signed_names = from;
		s->message.n_signed = 2;
		snprintf(s->message.domain, sizeof(s->message.domain), "%s", t->domain[out->n]);
		snprintf(s->sealed.domain, sizeof(s->sealed.domain), "%s", t->domain[out->n]);
		snprintf(s->sealed.selector, sizeof(s->sealed.selector), "s%zu", out->n + 1);
	}
	if (!out->n)
		return;
	set[out->n - 1].message.partial = flaw == PARTIAL;
	set[out->n - 1].message.testing = flaw == TEST_KEY;
	set[out->n - 1].message.n_signed = flaw == NO_FROM ? 1 : 2;
	set[out->n - 1].sealed.testing = flaw == TEST_SEAL;
	if (flaw == OTHER_AMS)
		strcpy(set[out->n - 1].message.domain, "evil.example");
	if (flaw == OLD_AMS)
		set[0].message.result = DKIM_FAIL;
	out->result = flaw == FAILED ? ARC_FAIL : ARC_PASS;
	out->ended = flaw == ENDED;
}

static void author(struct dmarc_verdict *d, enum flaw flaw)
{
	static const char *const name[] = {"victim.example", "other.example"};

	*d = (struct dmarc_verdict){.result = DMARC_FAIL, .disposition = DMARC_POLICY_REJECT,
				    .n = flaw == SEVERAL ? 2 : 1};
	for (size_t i = 0; i < d->n; i++) {
		struct dmarc_author *a = &d->author[i];

		strcpy(a->domain, name[i]);
		a->walk = (struct dmarc_evaluation){.result = DMARC_FAIL, .has_policy = true,
						    .policy = DMARC_POLICY_REJECT};
		strcpy(a->walk.org, name[i]);
		strcpy(a->walk.policy_domain, name[i]);
		a->record.adkim_strict = a->record.aspf_strict = flaw == STRICT;
	}
}

static void sealers(void **state)
{
	static const char *trusted[] = {"list.example", ".deep.example"};
	static const struct row {
		struct chain chain;
		enum flaw flaw;
		bool lifted;
		const char *comment;
	} t[] = {
		{{{"list.example"}, {PASS}}, NONE, true, "arc=pass as[1].d=list.example as[1].s=s1"},
		{{{"LIST.example"}, {PASS}}, NONE, true, ""},
		{{{"a.deep.example"}, {PASS}}, NONE, true, ""},
		{{{"deep.example"}, {PASS}}, NONE, false, ""},
		{{{"evil.example"}, {PASS}}, NONE, false, ""},
		{{{NULL}, {NULL}}, NONE, false, ""},
		/* the newest sealer is not one of ours: whoever stands below it */
		{{{"list.example", "evil.example"}, {PASS, PASS}}, NONE, false, ""},
		/* the oldest trusted one down to the first stranger says what it found */
		{{{"list.example", "a.deep.example"}, {PASS, "x; dmarc=fail header.from=victim.example"}},
		 NONE, true, "as[2].d=a.deep.example as[2].s=s2 as[1].d=list.example"},
		{{{"list.example", "a.deep.example"}, {"x; dmarc=fail header.from=victim.example", PASS}},
		 NONE, false, ""},
		{{{"evil.example", "list.example"}, {PASS, "x; dmarc=none; spf=fail"}}, NONE, false, ""},
		{{{"evil.example", "list.example"}, {"x; none", PASS}}, NONE, true, ""},
		{{{"list.example", "evil.example", "a.deep.example"}, {PASS, PASS, "x; none"}}, NONE,
		 false, ""},
		/* the chain and its newest set must hold the whole message and its author */
		{{{"list.example"}, {PASS}}, PARTIAL, false, ""},
		{{{"list.example"}, {PASS}}, TEST_KEY, false, ""},
		{{{"list.example"}, {PASS}}, TEST_SEAL, false, ""},
		{{{"list.example"}, {PASS}}, NO_FROM, false, ""},
		{{{"list.example"}, {PASS}}, OTHER_AMS, false, ""},
		{{{"list.example"}, {PASS}}, FAILED, false, ""},
		{{{"list.example"}, {PASS}}, ENDED, false, ""},
		{{{"list.example", "a.deep.example"}, {PASS, PASS}}, OLD_AMS, true, ""},
		/* what the AAR must say, of the author as it stands now */
		{{{"list.example"}, {"x; dmarc=pass header.from=other.example"}}, NONE, false, ""},
		{{{"list.example"}, {"x; dmarc=pass"}}, NONE, false, ""},
		{{{"list.example"}, {"x; dmarc=pass header.from=VICTIM.example"}}, NONE, true, ""},
		{{{"list.example"}, {"x; dmarc=bestguesspass header.from=victim.example"}}, NONE, false,
		 ""},
		{{{"list.example"}, {"x; dmarc=pass (p=reject) header.from=victim.example action=none"}},
		 NONE, true, ""},
		{{{"list.example"},
		  {"x; dmarc=pass header.from=victim.example; dmarc=fail header.from=victim.example"}},
		 NONE, false, ""},
		{{{"list.example"}, {"x; dmarc=fail (dmarc=pass header.from=victim.example)"}}, NONE,
		 false, ""},
		{{{"list.example"}, {"x; spf=fail reason=\"dmarc=pass header.from=victim.example\""}}, NONE,
		 false, ""},
		{{{"list.example"}, {"x; dmarc=pass header.from=victim.example; ("}}, NONE, false, ""},
		{{{"list.example"}, {"x 2; dmarc=pass header.from=victim.example"}}, NONE, false, ""},
		{{{"list.example"}, {"x; none"}}, NONE, false, ""},
		/* or SPF or DKIM that align */
		{{{"list.example"}, {"x; dkim=pass header.d=victim.example"}}, NONE, true, ""},
		{{{"list.example"}, {"x; dkim=pass header.d=mail.victim.example"}}, NONE, true, ""},
		{{{"list.example"}, {"x; dkim=pass header.d=mail.victim.example"}}, STRICT, false, ""},
		{{{"list.example"}, {"x; dkim=pass header.d=notvictim.example"}}, NONE, false, ""},
		{{{"list.example"}, {"x; dkim=pass header.d=example"}}, NONE, false, ""},
		{{{"list.example"}, {"x; dkim=fail header.d=victim.example"}}, NONE, false, ""},
		{{{"list.example"}, {"x; dkim=pass"}}, NONE, false, ""},
		{{{"list.example"}, {"x; spf=pass smtp.mailfrom=a@victim.example"}}, NONE, true, ""},
		{{{"list.example"}, {"x; spf=pass smtp.mailfrom=victim.example"}}, NONE, true, ""},
		{{{"list.example"}, {"x; spf=pass smtp.mailfrom=a@mail.victim.example"}}, STRICT, false,
		 ""},
		{{{"list.example"}, {"x; spf=pass smtp.helo=victim.example"}}, NONE, false, ""},
		{{{"list.example"}, {"x; spf=softfail smtp.mailfrom=a@victim.example"}}, NONE, false, ""},
		{{{"list.example"}, {"x; dkim=pass header.d=victim.example; dmarc=fail "
				     "header.from=victim.example"}}, NONE, false, ""},
		/* every author */
		{{{"list.example"}, {PASS}}, SEVERAL, false, ""},
		{{{"list.example"}, {PASS "; dmarc=pass header.from=other.example"}}, SEVERAL, true, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct config_policy c = {.trusted_sealers = {trusted, 2}};
		struct origin o = {.status = ORIGIN_DIRECT};
		struct arc_set set[3];
		struct arc_results arc;
		struct dmarc_verdict d;
		struct policy_input in = {.config = &c, .origin = &o, .arc = &arc, .dmarc = &d};
		struct policy_verdict v;

		build(&t[i].chain, t[i].flaw, set, &arc);
		author(&d, t[i].flaw);
		policy_decide(&in, &v);
		if (v.lifted != t[i].lifted || (v.action == POLICY_ACCEPT) != t[i].lifted)
			fail_msg("row %zu: %s, %s", i, policy_action_name(v.action), v.comment);
		if (!t[i].lifted) {
			/* Without a lift p=reject alone still only tags, and a report says why. */
			assert_int_equal(v.action, POLICY_TAG);
			assert_string_equal(v.comment, "nothing but the policy speaks against it");
		} else if (!strstr(v.comment, t[i].comment)) {
			fail_msg("row %zu: %s", i, v.comment);
		}
		assert_int_equal(v.override, POLICY_OVERRIDE_LOCAL);
		/* Nobody is trusted unless named. */
		c.trusted_sealers.n = 0;
		policy_decide(&in, &v);
		assert_false(v.lifted);
		/* No verdict on the author, no lift. */
		c.trusted_sealers.n = 2;
		in.dmarc = NULL;
		policy_decide(&in, &v);
		assert_int_equal(v.lift, POLICY_LIFT_NONE);
	}
}

static void forwarders(void **state)
{
	static const char *trusted[] = {"list.example", ".deep.example"};
	static const struct {
		struct dkim_signature dkim;
		struct spf_verdict spf;
		bool lifted;
		const char *comment;
	} t[] = {
#define DKIM(r, d, ...) {.result = r, .domain = d, __VA_ARGS__}
#define SPF(r, i, d) {.result = r, .identity = i, .domain = d}
		{DKIM(DKIM_PASS, "list.example"), {0}, true, "dkim=pass header.d=list.example"},
		{DKIM(DKIM_PASS, "x.deep.example"), {0}, true, "dkim=pass header.d=x.deep.example"},
		{DKIM(DKIM_PASS, "x.list.example"), {0}, false, ""},
		{DKIM(DKIM_PASS, "evil.example"), {0}, false, ""},
		{DKIM(DKIM_FAIL, "list.example"), {0}, false, ""},
		{DKIM(DKIM_TEMPERROR, "list.example"), {0}, false, ""},
		{DKIM(DKIM_PASS, "list.example", .testing = true), {0}, false, ""},
		{DKIM(DKIM_PASS, "list.example", .partial = true), {0}, false, ""},
		{DKIM(DKIM_NONE, ""), SPF(SPF_PASS, SPF_ID_MAILFROM, "list.example"), true,
		 "spf=pass smtp.mailfrom=list.example"},
		{DKIM(DKIM_NONE, ""), SPF(SPF_PASS, SPF_ID_MAILFROM, "LIST.EXAMPLE"), true, ""},
		{DKIM(DKIM_NONE, ""), SPF(SPF_PASS, SPF_ID_HELO, "list.example"), false, ""},
		{DKIM(DKIM_NONE, ""), SPF(SPF_SOFTFAIL, SPF_ID_MAILFROM, "list.example"), false, ""},
		{DKIM(DKIM_NONE, ""), SPF(SPF_PASS, SPF_ID_MAILFROM, "evil.example"), false, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct config_policy c = {.trusted_forwarders = {trusted, 2}};
		struct origin o = {.status = ORIGIN_DIRECT};
		struct dkim_signature sig = t[i].dkim;
		struct dkim_results dkim = {&sig, 1};
		struct dmarc_verdict d;
		struct policy_input in = {.config = &c, .origin = &o, .dkim = &dkim, .spf = &t[i].spf,
					  .dmarc = &d};
		struct policy_verdict v;

		author(&d, NONE);
		policy_decide(&in, &v);
		if (v.lifted != t[i].lifted || (v.action == POLICY_ACCEPT) != t[i].lifted ||
		    (t[i].lifted && !strstr(v.comment, t[i].comment)))
			fail_msg("row %zu: %s, %s", i, policy_action_name(v.action), v.comment);
		if (!t[i].lifted)
			continue;
		assert_int_equal(v.override, POLICY_OVERRIDE_FORWARDER);
		assert_string_equal(policy_override_name(v.override), "trusted_forwarder");
		/* A failure of DNS in the author's policy does not undo it; a broken From does. */
		d.result = DMARC_TEMPERROR;
		policy_decide(&in, &v);
		assert_int_equal(v.action, POLICY_ACCEPT);
		d.result = DMARC_PERMERROR;
		d.n = 0;
		policy_decide(&in, &v);
		assert_int_equal(v.action, POLICY_TAG);
		assert_false(v.lifted);
		/* Nothing to lift where nothing is asked for. */
		author(&d, NONE);
		d.author[0].walk.policy = d.disposition = DMARC_POLICY_NONE;
		policy_decide(&in, &v);
		assert_false(v.lifted);
		assert_int_equal(v.override, POLICY_OVERRIDE_NONE);
		assert_string_equal(v.comment, "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(sealers), cmocka_unit_test(forwarders)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
