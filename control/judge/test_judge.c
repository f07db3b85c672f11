/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/auth/arc/pool.h"
#include "control/dns/dns_zone.h"
#include "control/judge/judge_internal.h"
#include "postern/stats.h"

static const char zone[] = "$ORIGIN example.\n"
			   "victim TXT \"v=spf1 ip4:192.0.2.1 -all\"\n"
			   "_dmarc.victim TXT \"v=DMARC1; p=reject; sp=quarantine\"\n"
			   "www.victim A 192.0.2.1\n"
			   "attacker TXT \"v=spf1 ip4:198.51.100.9 -all\"\n"
			   "quiet TXT \"v=spf1 ip4:198.51.100.9 -all\"\n";

#define CONFIG(policy)                                                                             \
	"hostname = \"mx.example.net\"\n"                                                          \
	"listener a { port = 0; address = [\"192.0.2.25/24\"] }\n"                                 \
	"route b { domains = [\"example.com\"]; hosts = [\"192.0.2.2\"] }\n"                       \
	"policy { " policy " }\n"

static struct event_base *base;
static struct dns *dns;
static struct spf_jail *jail;
static uint64_t counters[POSTERN_CTL_COUNTER_COUNT];

static void done(void *arg, const struct judgement *j)
{
	(void)j;
	*(bool *)arg = true;
	event_base_loopbreak(base);
}

struct row {
	const char *config, *ip, *mail_from, *from;
	enum policy_action want;
	unsigned int detail;
	const char *authres; /* in our block */
	unsigned int counter;
};

static void check(const struct row *t, const struct judge *j)
{
	const struct judgement *r = judge_result(j);
	json_t *o = judge_json(j), *d = json_object_get(o, "dmarc");
	bool refused = r->policy.action == POLICY_REJECT;

	assert_int_equal(r->error, 0);
	if (r->policy.action != t->want || r->policy.enh_detail != t->detail)
		fail_msg("%s: %s, %s", t->from, policy_action_name(r->policy.action),
			 r->policy.reason);
	if (!memmem(r->out.block, r->out.block_len, t->authres, strlen(t->authres)))
		fail_msg("no '%s' in\n%.*s", t->authres, (int)r->out.block_len, r->out.block);
	if (refused)
		assert_non_null(strstr(r->policy.text, "DMARC policy of victim.example"));
	assert_int_equal(counters[t->counter], 1);
	assert_int_equal(counters[CTL_dmarc_refused], refused);
	assert_string_equal(json_string_value(json_object_get(d, "result")),
			    dmarc_result_name(r->dmarc.result));
	assert_int_equal(json_array_size(json_object_get(d, "authors")), r->dmarc.n);
	json_decref(o);
}

static void dmarc(void **state)
{
	static const struct row rows[] = {
		{CONFIG(""), "192.0.2.1", "a@victim.example", "a@victim.example", POLICY_ACCEPT, 0,
		 "dmarc=pass header.from=victim.example policy.dmarc=reject", CTL_dmarc_pass},
		/* SPF hard fail, no signature: more than the policy speaks against it */
		{CONFIG(""), "198.51.100.9", "a@victim.example", "a@victim.example", POLICY_REJECT,
		 26, "header.from=victim.example policy.dmarc=reject", CTL_dmarc_fail},
		{CONFIG(""), "198.51.100.9", "a@attacker.example", "a@victim.example", POLICY_TAG,
		 0, "dmarc=fail reason=\"no aligned SPF or DKIM pass\"", CTL_dmarc_fail},
		{CONFIG("dmarc = strict"), "198.51.100.9", "a@attacker.example", "a@victim.example",
		 POLICY_REJECT, 26, "dmarc=fail", CTL_dmarc_fail},
		{CONFIG("dmarc = strict"), "198.51.100.9", "a@attacker.example",
		 "a@www.victim.example", POLICY_TAG, 0,
		 "header.from=www.victim.example policy.dmarc=quarantine", CTL_dmarc_fail},
		{CONFIG("dmarc = monitor"), "198.51.100.9", "a@victim.example", "a@victim.example",
		 POLICY_ACCEPT, 0, "dmarc=fail", CTL_dmarc_fail},
		{CONFIG(""), "198.51.100.9", "a@quiet.example", "a@quiet.example", POLICY_ACCEPT, 0,
		 "dmarc=none reason=\"no policy record\" header.from=quiet.example",
		 CTL_dmarc_none},
		{CONFIG(""), "198.51.100.9", "a@attacker.example",
		 "a@attacker.example, b@victim.example", POLICY_TAG, 0,
		 "header.from=victim.example", CTL_dmarc_fail},
		{CONFIG(""), "198.51.100.9", "a@attacker.example",
		 "a@attacker.example\r\nFrom: b@victim.example", POLICY_TAG, 0,
		 "dmarc=permerror reason=\"From: more than one From field\"", CTL_dmarc_permerror},
		/* null reverse-path: HELO is attacker.example */
		{CONFIG(""), "198.51.100.9", "", "a@attacker.example", POLICY_ACCEPT, 0,
		 "dmarc=none", CTL_dmarc_none},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char m[512];
		struct iovec iov = {
			m, (size_t)snprintf(m, sizeof(m), "From: %s\r\n\r\nx\r\n", rows[i].from)};
		struct mail_bytes content = {&iov, 1, iov.iov_len};
		struct str rcpt = STR("r@example.com");
		struct mail_envelope env = {.helo = STR("attacker.example"),
					    .rcpt = &rcpt,
					    .n_rcpts = 1,
					    .mail_from = str_c(rows[i].mail_from),
					    .trace_id = "t",
					    .time_ns = 1700000000000000000u};
		struct judge_env jenv = {base, dns, jail, counters};
		struct judge_request req = {.env = &env, .content = &content};
		struct config_error err[1];
		struct judge *j;
		bool finished = false;
		size_t n;

		memset(counters, 0, sizeof(counters));
		assert_true(ip_parse(str_c(rows[i].ip), &env.peer));
		assert_int_equal(config_parse("t", rows[i].config, strlen(rows[i].config), 1,
					      &req.config, err, 1, &n),
				 0);
		j = judge_start(&jenv, &req, done, &finished);
		assert_non_null(j);
		assert_false(finished);
		event_base_dispatch(base);
		assert_true(finished);
		check(&rows[i], j);
		judge_free(j);
		config_unref(req.config);
	}
}

/* Octets are missing: no signature has failed, and nobody is judged by those that there are. */
static void incomplete(void **state)
{
	char m[] = "DKIM-Signature: v=1; a=rsa-sha256; d=victim.example; s=s; h=from; bh=AAAA; b=AAAA\r\n"
		   "From: a@victim.example\r\n\r\nx\r\n";
	struct iovec iov = {m, sizeof(m) - 1};
	struct mail_bytes content = {&iov, 1, sizeof(m) - 1};
	struct mail_envelope env = {.helo = STR("h.example"),
				    .mail_from = STR("a@victim.example"),
				    .trace_id = "t",
				    .flags = RECORD_F_OBSERVED,
				    .time_ns = 1700000000000000000u};
	struct judge_env jenv = {base, dns, jail, counters};
	struct judge_request req = {.env = &env, .content = &content, .incomplete = true};
	struct config_error err[1];
	const struct judgement *r;
	bool finished = false;
	struct judge *j;
	json_t *o;
	size_t n;

	(void)state;
	memset(counters, 0, sizeof(counters));
	assert_true(ip_parse(STR("192.0.2.1"), &env.peer));
	assert_int_equal(config_parse("t", CONFIG("dkim-required = author"),
				      strlen(CONFIG("dkim-required = author")), 1, &req.config, err, 1,
				      &n),
			 0);
	j = judge_start(&jenv, &req, done, &finished);
	assert_non_null(j);
	event_base_dispatch(base);
	assert_true(finished);
	r = judge_result(j);
	assert_int_equal(r->error, 0);
	assert_int_equal(r->spf.result, SPF_PASS);
	assert_int_equal(r->dkim->n, 0);
	assert_false(r->dmarc_judged);
	assert_int_equal(r->policy.action, POLICY_ACCEPT);
	assert_int_equal(counters[CTL_dkim_fail] + counters[CTL_dkim_neutral] +
			 counters[CTL_dmarc_fail], 0);
	o = judge_json(j);
	assert_int_equal(json_array_size(json_object_get(o, "not_evaluated")), 3);
	json_decref(o);
	judge_free(j);
	config_unref(req.config);
}

/* Given up while DMARC waits, and everything before: no callback, nothing left. */
static void cancelled(void **state)
{
	char m[] = "From: a@victim.example\r\n\r\nx\r\n";
	struct iovec iov = {m, sizeof(m) - 1};
	struct mail_bytes content = {&iov, 1, sizeof(m) - 1};
	struct str rcpt = STR("r@example.com");
	struct mail_envelope env = {.helo = STR("h.example"),
				    .mail_from = STR("a@victim.example"),
				    .rcpt = &rcpt,
				    .n_rcpts = 1,
				    .trace_id = "t"};
	struct judge_env jenv = {base, dns, jail, counters};
	struct judge_request req = {.env = &env, .content = &content};
	struct config_error err[1];
	size_t n;

	(void)state;
	assert_true(ip_parse(STR("192.0.2.1"), &env.peer));
	assert_int_equal(
		config_parse("t", CONFIG(""), strlen(CONFIG("")), 1, &req.config, err, 1, &n), 0);
	for (int turns = 0;; turns++) {
		bool finished = false;
		struct judge *j = judge_start(&jenv, &req, done, &finished);

		assert_non_null(j);
		for (int k = 0; k < turns && !finished; k++)
			event_base_loop(base, EVLOOP_ONCE);
		judge_free(j);
		if (finished)
			break;
		assert_true(turns < 1000);
	}
	config_unref(req.config);
}

#define SEALS(more)                                                                                \
	"hostname = \"mx.example.net\"\n"                                                          \
	"listener a { port = 0; address = [\"192.0.2.25/24\"] }\n"                                 \
	"route b { domains = [\"example.com\"]; hosts = [\"192.0.2.2\"]; " more " }\n"             \
	"route c { domains = [\"example.org\"]; hosts = [\"192.0.2.2\"] }\n"                       \
	"arc { key k { domain = \"example.net\"; selector = s; active-until = \"2024-01-01\"; "     \
	"pem = [\"-----BEGIN PRIVATE KEY-----\", "                                                  \
	"\"MC4CAQAwBQYDK2VwBCIEIAQFBgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", "                    \
	"\"-----END PRIVATE KEY-----\"] } }\n"
#define ALWAYS	 SEALS("arc-seal = always")
#define MODIFIED SEALS("arc-seal = modified")
#define FORGED	 "X-Postern-Score: 1\r\nFrom: a@quiet.example\r\n\r\nx\r\n"
#define PLAIN	 "From: a@quiet.example\r\n\r\nx\r\n"
#define ENDED                                                                                      \
	"ARC-Seal: i=1; cv=fail; a=ed25519-sha256; d=a.example; s=s; b=AAAA\r\n"                   \
	"ARC-Message-Signature: i=1; a=ed25519-sha256; d=a.example; s=s; h=from; bh=AA; b=AA\r\n"  \
	"ARC-Authentication-Results: i=1; a.example; none\r\n" PLAIN

struct seal_row {
	const char *config, *message, *rcpt, *ip;
	uint64_t seconds;
	int turns;            /* then it is given up; 0: to the end */
	unsigned int counter; /* CTL_messages: none of the three of sealing */
	const char *reason;
	unsigned int removed;
	bool late;            /* after `turns` its time is over instead */
};

static void seal_check(const struct seal_row *t, const struct judge *j,
		       const struct mail_bytes *content)
{
	static const unsigned int all[] = {CTL_arc_sealed, CTL_arc_seal_failed, CTL_arc_seal_skipped};
	const struct judgement *r = judge_result(j);
	json_t *o = judge_json(j), *arc = json_object_get(o, "arc");
	const char *reason = json_string_value(json_object_get(arc, "unsealed"));
	bool sealed = t->counter == CTL_arc_sealed;

	assert_int_equal(r->error, 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(counters[all[i]], t->counter == all[i]);
	assert_int_equal(r->out.headers_removed, t->removed);
	assert_int_equal(counters[CTL_headers_removed], t->removed);
	assert_int_equal(json_is_object(json_object_get(arc, "sealed")), sealed);
	assert_int_equal(!memcmp(r->out.block, "ARC-Seal: a=ed25519-sha256;", 27), sealed);
	assert_int_equal(annotate_prove(&r->out, content, r->range, r->n_ranges), 0);
	if (t->reason ? !reason || strcmp(reason, t->reason) != 0 : reason != NULL)
		fail_msg("%s, not %s", reason ? reason : "none", t->reason ? t->reason : "none");
	json_decref(o);
}

static struct arc_pool *pool; /* NULL: sealed on the loop */
static unsigned int n_too_late; /* times that a thread had it when its time was over */

static bool seal_one(const struct seal_row *t)
{
	struct seal_row too_late = *t;
	struct iovec iov = {(void *)(uintptr_t)t->message, strlen(t->message)};
	struct mail_bytes content = {&iov, 1, iov.iov_len};
	struct str rcpt = str_c(t->rcpt);
	struct mail_envelope env = {.helo = STR("attacker.example"),
				    .rcpt = &rcpt,
				    .n_rcpts = 1,
				    .mail_from = STR("a@victim.example"),
				    .trace_id = "t",
				    .time_ns = t->seconds * 1000000000u};
	struct judge_env jenv = {base, dns, jail, counters, .seals = pool};
	struct judge_request req = {.env = &env, .content = &content};
	struct config_error err[1];
	bool finished = false;
	struct judge *j;
	size_t n;

	memset(counters, 0, sizeof(counters));
	assert_true(ip_parse(str_c(t->ip), &env.peer));
	if (config_parse("t", t->config, strlen(t->config), 1, &req.config, err, 1, &n))
		fail_msg("%s: %s", err[0].key, err[0].reason);
	j = judge_start(&jenv, &req, done, &finished);
	assert_non_null(j);
	for (int i = 0; i < t->turns && !finished; i++)
		event_base_loop(base, EVLOOP_ONCE);
	if (t->late && !finished && j->sealing.job) {
		too_late.counter = CTL_arc_seal_failed;
		too_late.reason = "it was not done in time";
		n_too_late++;
	}
	if (t->late && !finished)
		event_active(j->timer, EV_TIMEOUT, 0);
	while (!finished && (!t->turns || t->late))
		event_base_loop(base, EVLOOP_ONCE);
	if (finished)
		seal_check(&too_late, j, &content);
	judge_free(j);
	config_unref(req.config);
	return finished;
}

static void seals(void **state)
{
	static const char past[] = "no key of the route is active today",
			  ended[] = "the chain has ended: its newest seal says cv=fail",
			  victim[] = "From: a@victim.example\r\n\r\nx\r\n";
	static const struct seal_row rows[] = {
		{ALWAYS, PLAIN, "r@example.com", "192.0.2.1", 1700000000, 0, CTL_arc_sealed, NULL, 0},
		{ALWAYS, FORGED, "r@example.com", "192.0.2.1", 1700000000, 0, CTL_arc_sealed, NULL, 1},
		{MODIFIED, FORGED, "r@example.com", "192.0.2.1", 1700000000, 0, CTL_arc_sealed, NULL, 1},
		{MODIFIED, PLAIN, "r@example.com", "192.0.2.1", 1700000000, 0, CTL_messages, NULL, 0},
		{SEALS("arc-seal = never"), FORGED, "r@example.com", "192.0.2.1", 1700000000, 0,
		 CTL_messages, NULL, 1},
		{ALWAYS, PLAIN, "r@example.org", "192.0.2.1", 1700000000, 0, CTL_messages, NULL, 0},
		{ALWAYS, PLAIN, "r@nowhere.example", "192.0.2.1", 1700000000, 0, CTL_messages, NULL, 0},
		{ALWAYS, PLAIN, "r@example.com", "192.0.2.1", 1800000000, 0, CTL_arc_seal_failed, past, 0},
		{ALWAYS, ENDED, "r@example.com", "192.0.2.1", 1700000000, 0, CTL_arc_seal_skipped, ended,
		 0},
		/* refused, and deferred without a look at the chain: nothing of it goes out */
		{ALWAYS "policy { dmarc = strict }", victim, "r@example.com", "198.51.100.9", 1700000000,
		 0, CTL_messages, NULL, 0},
		{ALWAYS, PLAIN, "r@example.com", "10.1.1.1", 1700000000, 0, CTL_messages, NULL, 0},
	};
	struct seal_row given_up = rows[1], late = rows[1];
	char err[256];

	(void)state;
	for (int threads = 0; threads < 2; threads++) {
		pool = threads ? arc_pool_new(base, 2, err, sizeof(err)) : NULL;
		assert_int_equal(pool != NULL, threads);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			assert_true(seal_one(&rows[i]));
		/* Given up at any moment, also while only the body or a thread is waited for. */
		for (given_up.turns = 1; !seal_one(&given_up); given_up.turns++)
			assert_true(given_up.turns < 1000);
		/* Out of time at any moment: sealed over a body that nobody has hashed yet; or not, if
		 * a thread has it. */
		for (late.late = true, late.turns = 0; late.turns <= given_up.turns; late.turns++)
			assert_true(seal_one(&late));
		arc_pool_free(pool);
	}
	pool = NULL;
	assert_true(n_too_late > 0);
}

static int setup(void **state)
{
	struct spf_options opt = {.n_workers = 1};
	struct dns_zone *z = dns_zone_new();
	static char text[sizeof(zone)];
	char err[256] = "";

	(void)state;
	memcpy(text, zone, sizeof(zone));
	if (dns_zone_parse(z, (uint8_t *)text, strlen(text), "test", err, sizeof(err))) {
		fprintf(stderr, "%s\n", err);
		return -1;
	}
	base = event_base_new();
	dns = dns_new_memory(base, z, 0);
	jail = spf_jail_new(base, dns, &opt, err, sizeof(err));
	return jail ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	spf_jail_free(jail);
	dns_free(dns);
	event_base_free(base);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dmarc),
		cmocka_unit_test(incomplete), cmocka_unit_test(cancelled),
		cmocka_unit_test(seals),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
