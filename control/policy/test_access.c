/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Lists of policy, read from a configuration, and what they do to a message that everything else
 * speaks against: 192.0.2.7, a@sender.example, signed by sender.example. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/policy/policy.h"
#include "dataplane/smtp/smtp_reply.h"

#define BASE                                                                                       \
	"hostname = \"mx.example.com\"\nlistener \"l\" { port = 0; address = "                     \
	"[\"203.0.113.1/24\"] }\nroute \"r\" { domains = [\"example.com\"]; hosts = "              \
	"[\"203.0.113.9\"] }\nquarantine { directory = \"/q\" }\n"

static struct {
	struct config *c;
	struct config_policy policy;
	struct origin origin;
	struct spf_verdict spf;
	struct dkim_signature sig[2];
	struct dkim_results dkim;
	struct arc_set set[3];
	struct arc_results arc;
	struct dmarc_verdict dmarc;
	struct ptr_result ptr;
	struct rule rule;
	struct rule_hit hit;
	struct dnsbl_list list;
	struct config_listing listing;
	struct dnsbl_verdict listed;
	struct policy_input in;
} m;

static void down(void)
{
	config_unref(m.c);
	m.c = NULL;
}

/* A message with everything against it, under `policy`. */
static void up(const char *policy)
{
	struct config_error err[4];
	char text[2048];
	size_t n = 0;

	down();
	memset(&m, 0, sizeof(m));
	snprintf(text, sizeof(text), BASE "policy { %s }\n", policy);
	if (config_parse("test", text, strlen(text), 1, &m.c, err, 4, &n))
		fail_msg("%s: %s: %s", policy, err[0].key, err[0].reason);
	m.policy = m.c->policy;
	assert_true(ip_parse(STR("192.0.2.7"), &m.origin.ip));
	m.origin.status = ORIGIN_DIRECT;
	m.spf = (struct spf_verdict){.result = SPF_FAIL, .domain = "sender.example"};
	strcpy(m.sig[0].domain, "sender.example");
	m.sig[0].result = DKIM_FAIL;
	m.dkim = (struct dkim_results){.sig = m.sig, .n = 1};
	m.arc = (struct arc_results){.result = ARC_NONE, .set = m.set};
	m.dmarc.result = DMARC_FAIL;
	m.dmarc.n = 1;
	strcpy(m.dmarc.author[0].domain, "sender.example");
	m.dmarc.author[0].walk.result = DMARC_FAIL;
	m.dmarc.disposition = DMARC_POLICY_REJECT;
	m.ptr.status = PTR_NONE;
	m.rule = (struct rule){
		.name = (char *)(uintptr_t) "BAD", .action = RULE_REJECT, .score = 50};
	m.hit = (struct rule_hit){.rule = &m.rule, .score = 50};
	m.list = (struct dnsbl_list){.name = "bl", .zone = "bl.example"};
	m.listing = (struct config_listing){.score = 7, .evidence = true, .action = CONFIG_REJECT};
	m.listed.result = DNSBL_LISTED;
	m.policy.dnsbl = &m.list;
	m.policy.listing = &m.listing;
	m.policy.n_dnsbls = 1;
	m.policy.reverse_dns = CONFIG_REJECT;
	m.policy.reject_score = 40;
	m.in = (struct policy_input){.config = &m.policy,
				     .origin = &m.origin,
				     .spf = &m.spf,
				     .dkim = &m.dkim,
				     .arc = &m.arc,
				     .dmarc = &m.dmarc,
				     .ptr = &m.ptr,
				     .dnsbl = &m.listed,
				     .mail_from = STR("A@sender.example"),
				     .quarantine = true,
				     .hit = &m.hit,
				     .n_hits = 1};
}

static struct policy_verdict decide(void)
{
	struct policy_verdict v;

	policy_decide(&m.in, &v);
	return v;
}

/* Who is listed, by whichever list, and who is not. */
static void who(void **state)
{
	static const struct {
		const char *policy, *list, *by;
		bool denied;
	} t[] = {
		{"deny-origins = [\"192.0.2.0/24\"]", "deny-origins", "", true},
		{"deny-origins = [\"192.0.2.0/24\"]; allow-origins = [\"192.0.2.7\"]",
		 "allow-origins", "", false},
		{"deny-origins = [\"192.0.2.7\"]; allow-origins = [\"192.0.2.0/24\"]",
		 "deny-origins", "", true},
		{"deny-origins = [\"192.0.2.8\", \"2001:db8::/32\"]", "", "", false},
		{"allow-origins = [\"::/0\"]", "", "", false},
		{"allow-origins = [\"0.0.0.0/0\"]", "allow-origins", "", false},
		{"deny-senders = [\"a@sender.example\"]", "deny-senders", "", true},
		{"deny-senders = [\"a@SENDER.example\"]", "deny-senders", "", true},
		{"deny-senders = [\"@sender.example\"]", "deny-senders", "", true},
		{"deny-senders = [\"@.sender.example\", \"b@sender.example\"]", "", "", false},
		/* all of it fails: nobody is authenticated */
		{"allow-domains = [\"sender.example\"]; deny-domains = [\"sender.example\"]", "",
		 "", false},
		/* a deny stands over an allow */
		{"deny-senders = [\"@sender.example\"]; allow-origins = [\"192.0.2.7\"]",
		 "deny-senders", "", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct policy_verdict v;

		up(t[i].policy);
		v = decide();
		if (strcmp(v.access.list, t[i].list) || strcmp(v.access.by, t[i].by) ||
		    (v.access.listed == POLICY_DENIED) != t[i].denied ||
		    (v.cause == POLICY_BY_DENY) != t[i].denied)
			fail_msg("row %zu: %s: \"%s\" by \"%s\" %d", i, t[i].policy, v.access.list,
				 v.access.by, v.access.listed);
	}
	down();
}

/* What authenticates a domain, for an allow and for a deny. */
static void authenticated(void **state)
{
	static const struct {
		const char *what, *by;
		bool allows, denies;
	} t[] = {
		{"spf", "spf", true, true},
		{"spf helo", "spf", false, false},
		{"dkim", "dkim", true, true},
		{"dkim testing", "dkim", false, true},
		{"dkim partial", "dkim", false, true},
		{"dkim temperror", "", false, false},
		{"dmarc", "dmarc", true, true},
		{"arc", "arc", true, true},
		{"arc fail", "", false, false},
		{"arc untrusted", "", false, false},
	};
	static const char *const key[] = {"allow-domains", "deny-domains"};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		for (int deny = 0; deny < 2; deny++) {
			bool want = deny ? t[i].denies : t[i].allows;
			struct policy_verdict v;
			char policy[160];

			snprintf(policy, sizeof(policy),
				 "%s = [\"listed.example\"]; trusted-sealers = "
				 "[\"%s.example\"]",
				 key[deny],
				 strcmp(t[i].what, "arc untrusted") ? "listed" : "other");
			up(policy);
			m.spf.result = SPF_NONE;
			if (!strncmp(t[i].what, "spf", 3)) {
				strcpy(m.spf.domain, "listed.example");
				m.spf.result = SPF_PASS;
				m.spf.identity = t[i].what[3] ? SPF_ID_HELO : SPF_ID_MAILFROM;
			} else if (!strncmp(t[i].what, "dkim", 4)) {
				strcpy(m.sig[0].domain, "LISTED.example");
				m.sig[0].result =
					strstr(t[i].what, "temp") ? DKIM_TEMPERROR : DKIM_PASS;
				m.sig[0].testing = strstr(t[i].what, "testing");
				m.sig[0].partial = strstr(t[i].what, "partial");
			} else if (!strcmp(t[i].what, "dmarc")) {
				strcpy(m.dmarc.author[0].domain, "listed.example");
				m.dmarc.result = m.dmarc.author[0].walk.result = DMARC_PASS;
			} else {
				static struct str from[] = {STR("from")};
				struct arc_set *s = &m.set[0];

				m.arc.n = 1;
				m.arc.result = strstr(t[i].what, "fail") ? ARC_FAIL : ARC_PASS;
				strcpy(s->sealed.domain, "listed.example");
				strcpy(s->message.domain, "listed.example");
				s->sealed.result = s->message.result = DKIM_PASS;
				s->message.signed_names = from;
				s->message.n_signed = 1;
			}
			v = decide();
			if ((v.access.listed != POLICY_UNLISTED) != want ||
			    (want &&
			     (strcmp(v.access.by, t[i].by) || strcmp(v.access.list, key[deny]) ||
			      strcmp(v.access.what, "listed.example"))))
				fail_msg("%s, %s: %d %s by %s", t[i].what, key[deny],
					 v.access.listed, v.access.list, v.access.by);
		}
	down();
}

/* What an allow takes away, key by key, and what it never does. */
static void skips(void **state)
{
	static const struct {
		const char *skips;
		enum policy_cause cause;
	} t[] = {
		{"", POLICY_BY_RULE},
		{"\"score\"", POLICY_BY_RULE},
		{"\"rules\"", POLICY_BY_SCORE},
		{"\"rules\", \"score\"", POLICY_BY_DNSBL},
		{"\"rules\", \"score\", \"dnsbl\"", POLICY_BY_REVERSE_DNS},
		{"\"rules\", \"score\", \"dnsbl\", \"checks\"", POLICY_BY_DMARC},
		{"\"rules\", \"score\", \"dnsbl\", \"checks\", \"dmarc\"", POLICY_BY_NOTHING},
		{"\"rules\", \"score\", \"checks\", \"dmarc\"", POLICY_BY_DNSBL},
	};
	struct policy_verdict v;
	char policy[256];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(policy, sizeof(policy),
			 "dmarc = strict; allow-origins = [\"192.0.2.7\"]; "
			 "allow-skips = [%s]",
			 t[i].skips);
		up(policy);
		v = decide();
		if (v.cause != t[i].cause)
			fail_msg("%s: %s (%s)", t[i].skips, policy_cause_name(v.cause), v.reason);
		assert_int_equal(v.action, t[i].cause ? POLICY_REJECT : POLICY_ACCEPT);
		assert_true(v.score == (strstr(t[i].skips, "dnsbl") ? 50 : 57));
	}
	/* Not listed, so not spared. */
	up("dmarc = strict; allow-origins = [\"192.0.2.8\"]; allow-skips = [\"rules\"]");
	assert_int_equal(decide().cause, POLICY_BY_RULE);
	/* By default: not what rules and DMARC say. And the score is no evidence beside a failed
	 * DMARC. */
	up("allow-origins = [\"192.0.2.7\"]");
	m.rule.action = RULE_SCORE;
	m.spf.result = SPF_NONE;
	v = decide();
	assert_int_equal(v.cause, POLICY_BY_DMARC);
	assert_int_equal(v.action, POLICY_TAG);
	/* Whose sender is not known is deferred, whatever any list says. */
	for (int i = 0; i < 2; i++) {
		up("allow-origins = [\"0.0.0.0/0\"]; allow-skips = [\"score\", \"dnsbl\", "
		   "\"checks\", "
		   "\"greylist\", \"rules\", \"dmarc\"]; deny-senders = [\"@sender.example\"]");
		m.origin.status = i ? ORIGIN_PRIVATE_PEER : ORIGIN_UNRESOLVED;
		v = decide();
		assert_int_equal(v.cause, POLICY_BY_ORIGIN);
		assert_int_equal(v.action, POLICY_DEFER);
		assert_int_equal(v.access.listed, POLICY_UNLISTED);
	}
	down();
}

static void actions(void **state)
{
	static const struct {
		const char *word;
		enum policy_action action;
		unsigned int code;
		enum policy_cause cause;
	} t[] = {
		/* the rule, which has its say where this only tags or holds back */
		{"tag", POLICY_DEFER, 451, POLICY_BY_RULE},
		{"quarantine", POLICY_DEFER, 451, POLICY_BY_RULE},
		{"discard", POLICY_DISCARD, 0, POLICY_BY_DENY},
		{"defer", POLICY_DEFER, 451, POLICY_BY_DENY},
		{"reject", POLICY_REJECT, 550, POLICY_BY_DENY},
	};
	struct policy_verdict v;
	char policy[160];

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(policy, sizeof(policy),
			 "deny-senders = [\"@sender.example\"]; deny-action = %s", t[i].word);
		up(policy);
		m.rule.action = RULE_DEFER;
		v = decide();
		if (v.action != t[i].action || v.code != t[i].code || v.cause != t[i].cause)
			fail_msg("%s: %s %u %s", t[i].word, policy_action_name(v.action), v.code,
				 v.reason);
		m.in.n_hits = 0;
		m.in.dnsbl = NULL;
		m.in.ptr = NULL;
		m.in.dmarc = NULL;
		v = decide();
		assert_string_equal(policy_action_name(v.action), t[i].word);
		assert_string_equal(v.reason, "A@sender.example is in deny-senders");
		m.in.quarantine = false;
		v = decide();
		/* without a place to hold it back it comes again */
		assert_string_equal(policy_action_name(v.action),
				    strcmp(t[i].word, "quarantine") ? t[i].word : "defer");
		/* A dry run tells, and does nothing. */
		m.policy.dry_run = true;
		policy_dry_run(&m.policy, &v);
		assert_int_equal(v.action, i ? POLICY_ACCEPT : POLICY_TAG);
	}
	down();
}

/* A rule's discard: whatever the sender hears of stands over it, whatever only holds back does not.
 */
static void discard(void **state)
{
	struct policy_verdict v;

	(void)state;
	up("");
	m.rule.action = RULE_DISCARD;
	m.hit.score = 0;
	m.in.dnsbl = NULL;
	m.in.ptr = NULL;
	m.in.dmarc = NULL;
	v = decide();
	assert_int_equal(v.action, POLICY_DISCARD);
	assert_string_equal(v.reason, "rule BAD");
	m.hit.score = 10;
	m.policy.quarantine_score = 9;
	v = decide();
	assert_int_equal(v.action, POLICY_DISCARD);
	m.policy.defer_score = 9.5;
	v = decide();
	assert_int_equal(v.action, POLICY_DEFER);
	assert_int_equal(v.code, 451);
	assert_string_equal(v.reason, "score 10.00, defer-score 9.50");
	m.policy.reject_score = 10;
	assert_int_equal(decide().action, POLICY_REJECT);
	down();
}

/* ---- what a client hears --------------------------------------------------------------------- */

/* Each leaves one thing to decide; `act` is its action. */
static void only(enum config_action act)
{
	up("");
	(void)act;
	m.in.n_hits = 0;
	m.in.dnsbl = NULL;
	m.in.ptr = NULL;
	m.in.dmarc = NULL;
	m.spf.result = SPF_PASS;
	m.policy.reject_score = m.policy.tag_score = 0;
	m.policy.reverse_dns = CONFIG_ACCEPT;
}

static void by_origin(enum config_action act)
{
	only(act);
	m.origin.status = ORIGIN_UNRESOLVED;
}
static void by_deny(enum config_action act)
{
	only(act);
	up("deny-senders = [\"@sender.example\"]");
	m.policy.access.deny_action = act;
}
static void by_rule(enum config_action act)
{
	only(act);
	m.in.n_hits = 1;
	m.rule.action = act == CONFIG_DEFER ? RULE_DEFER : RULE_REJECT;
}
static void by_place(enum config_action act)
{
	by_rule(act);
	m.rule.action = RULE_QUARANTINE;
	m.in.quarantine = false;
}
static void by_score(enum config_action act)
{
	only(act);
	m.in.n_hits = 1;
	m.rule.action = RULE_SCORE;
	*(act == CONFIG_DEFER ? &m.policy.defer_score : &m.policy.reject_score) = 1;
}
static void by_dnsbl(enum config_action act)
{
	only(act);
	m.in.dnsbl = &m.listed;
	m.listing.action = act;
	m.listing.score = 0;
}
static void by_spf(enum config_action act)
{
	only(act);
	m.spf.result = SPF_FAIL;
	m.policy.spf_fail = act;
}
static void by_spf_error(enum config_action act)
{
	only(act);
	m.spf.result = act == CONFIG_DEFER ? SPF_TEMPERROR : SPF_PERMERROR;
	m.policy.spf_temperror = m.policy.spf_permerror = act;
}
static void by_dkim(enum config_action act)
{
	only(act);
	m.policy.dkim_required = CONFIG_DKIM_PASSING;
	m.policy.dkim_missing = act;
}
static void by_ptr(enum config_action act)
{
	only(act);
	m.in.ptr = &m.ptr;
	m.policy.reverse_dns = act;
}
static void by_arc(enum config_action act)
{
	only(act);
	m.arc.result = ARC_FAIL;
	m.policy.arc_fail = act;
}
static void by_mx(enum config_action act)
{
	only(act);
	m.in.null_mx = true;
	m.policy.null_mx = act;
}
static void by_several(enum config_action act)
{
	by_mx(act);
	m.in.ptr = &m.ptr;
	m.policy.reverse_dns = act;
}
static void by_dmarc(enum config_action act)
{
	only(act);
	m.in.dmarc = &m.dmarc;
	m.policy.dmarc = CONFIG_DMARC_STRICT;
}

/* Every cause there is, with each action that it can have: a reason in the text, one for the trace,
 * codes of one class, and a line that the trace id still fits. */
static void refusals(void **state)
{
	static const struct {
		enum policy_cause cause;
		void (*make)(enum config_action act);
		bool defers, rejects;
	} t[] = {
		{POLICY_BY_ORIGIN, by_origin, true, false},
		{POLICY_BY_DENY, by_deny, true, true},
		{POLICY_BY_RULE, by_rule, true, true},
		{POLICY_BY_RULE, by_place, true, false},
		{POLICY_BY_SCORE, by_score, true, true},
		{POLICY_BY_DNSBL, by_dnsbl, true, true},
		{POLICY_BY_SPF_FAIL, by_spf, true, true},
		{POLICY_BY_SPF_ERROR, by_spf_error, true, true},
		{POLICY_BY_DKIM, by_dkim, true, true},
		{POLICY_BY_REVERSE_DNS, by_ptr, true, true},
		{POLICY_BY_ARC, by_arc, true, true},
		{POLICY_BY_NULL_MX, by_mx, true, true},
		{POLICY_BY_SEVERAL, by_several, true, true},
		{POLICY_BY_DMARC, by_dmarc, false, true},
	};
	static const char id[] = "0123456789ABCDEF";
	bool seen[POLICY_CAUSES] = {[POLICY_BY_NOTHING] = true,
				    /* the judge's: judge/test_judge_policy.c */
				    [POLICY_BY_FOREIGN_TRUST] = true};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		for (int defers = 0; defers < 2; defers++) {
			uint8_t line[LIMIT_REPLY_LINE + 1];
			struct smtp_reply r;
			struct policy_verdict v;
			size_t n;

			if (!(defers ? t[i].defers : t[i].rejects))
				continue;
			t[i].make(defers ? CONFIG_DEFER : CONFIG_REJECT);
			v = decide();
			if (v.cause != t[i].cause ||
			    v.action != (defers ? POLICY_DEFER : POLICY_REJECT) ||
			    v.code / 100 != (defers ? 4 : 5) || v.enh_class != v.code / 100 ||
			    v.enh_subject != 7 || !v.enh_detail)
				fail_msg("row %zu: %s %s %u %u.%u.%u %s", i,
					 policy_cause_name(v.cause), policy_action_name(v.action),
					 v.code, v.enh_class, v.enh_subject, v.enh_detail, v.text);
			assert_true(strlen(v.text) > 20 && strlen(v.reason) > 5);
			r = (struct smtp_reply){v.code, v.enh_class, v.enh_subject, v.enh_detail,
						str_c(v.text)};
			n = smtp_reply_format(line, &r, false, (const uint8_t *)id);
			assert_true(n <= LIMIT_REPLY_LINE);
			line[n] = '\0';
			assert_non_null(strstr((char *)line, v.text));
			assert_non_null(strstr((char *)line, " id=0123456789ABCDEF\r\n"));
			seen[t[i].cause] = true;
		}
	for (size_t i = 0; i < POLICY_CAUSES; i++)
		if (!seen[i])
			fail_msg("no refusal by %s was looked at",
				 policy_cause_name((enum policy_cause)i));
	down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who),     cmocka_unit_test(authenticated),
		cmocka_unit_test(skips),   cmocka_unit_test(actions),
		cmocka_unit_test(discard), cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
