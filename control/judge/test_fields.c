/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Header fields by configuration: foreign trust, Received-SPF, a route's prefix and form. */

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "control/dns/dns_zone.h"
#include "control/judge/judge.h"
#include "postern/stats.h"

static const char zone[] = "$ORIGIN example.\n"
			   "sender TXT \"v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all\"\n"
			   "other TXT \"v=spf1 mx -all\"\n"
			   "broken TXT \"v=spf1 ip4:1.2.3 -all\"\n"
			   "void TXT \"v=spf1 ?all\"\n";

#define CONFIG(top, route)                                                                         \
	"hostname = \"mx.example.net\"\n" top "\n"                                                 \
	"listener a { port = 0; address = [\"192.0.2.25/24\"] }\n"                                 \
	"relay edge { addresses = [\"198.51.100.1\"] }\n"                                          \
	"route b { domains = [\"example.com\"]; hosts = [\"192.0.2.2\"]; " route " }\n"

#define SCL    "X-MS-Exchange-Organization-SCL: -1\r\n"
#define FROM   "From: a@sender.example\r\n"
#define BODY   "\r\nx\r\n"
#define HOP                                                                                        \
	"Received: from h.example ([192.0.2.1]) by edge.example with SMTP id 1;\r\n"               \
	" Tue, 14 Nov 2023 22:13:20 +0000\r\n"

static struct event_base *base;
static struct dns *dns;
static struct spf_jail *jail;
static uint64_t counters[POSTERN_CTL_COUNTER_COUNT];

struct row {
	const char *config, *ip, *helo, *mail_from, *message;
	const char *has[3], *lacks[3]; /* in what leaves */
	enum policy_action want;
	unsigned int found, stripped, refused;
	const char *finding;           /* "code name", of the first; NULL: none */
	bool utf8;
};

static const struct row rows[] = {
	/* foreign trust: strip is the default */
	{CONFIG("", ""), "192.0.2.1", "h.example", "a@sender.example", SCL FROM BODY,
	 {FROM BODY}, {"X-MS-"}, POLICY_ACCEPT, 1, 1, 0,
	 "foreign-trust-header X-MS-Exchange-Organization-SCL"},
	{CONFIG("", "foreign-trust = strip"), "192.0.2.1", "h.example", "",
	 "x-forefront-antispam-report : SFV:SKN\r\n" FROM "X-MS-Exchange-CrossPremises-A:\r\n b\r\n"
	 "X-MS-Has-Attach: 1\r\n" BODY,
	 {FROM "X-MS-Has-Attach: 1\r\n" BODY}, {"SKN", "CrossPremises"}, POLICY_ACCEPT, 1, 2, 0,
	 "foreign-trust-header x-forefront-antispam-report"},
	{CONFIG("", "foreign-trust = keep"), "192.0.2.1", "h.example", "", SCL FROM BODY,
	 {SCL FROM BODY}, {NULL}, POLICY_ACCEPT, 1, 0, 0,
	 "foreign-trust-header X-MS-Exchange-Organization-SCL"},
	{CONFIG("", "foreign-trust = reject"), "192.0.2.1", "h.example", "", SCL FROM BODY,
	 {NULL}, {NULL}, POLICY_REJECT, 1, 0, 1,
	 "foreign-trust-header X-MS-Exchange-Organization-SCL"},
	{CONFIG("", "foreign-trust = reject"), "192.0.2.1", "h.example", "", FROM BODY,
	 {FROM BODY}, {NULL}, POLICY_ACCEPT, 0, 0, 0, NULL},
	/* through a listed relay: it may be ours, and says who sent it */
	{CONFIG("", "foreign-trust = reject"), "198.51.100.1", "edge.example", "", HOP SCL FROM BODY,
	 {HOP SCL FROM BODY}, {NULL}, POLICY_ACCEPT, 0, 0, 0, NULL},
	/* where it cannot be told, nothing is */
	{CONFIG("", "foreign-trust = reject"), "198.51.100.1", "edge.example", "", SCL FROM BODY,
	 {NULL}, {NULL}, POLICY_DEFER, 0, 0, 0, NULL},
	{CONFIG("foreign-trust-headers = [\"X-Acme-Trust\", \"x-inner-\"]", ""), "192.0.2.1",
	 "h.example", "", "X-ACME-Trusted: 1\r\nX-Inner-A: 1\r\nX-Inner: 1\r\n" SCL FROM BODY,
	 {"\r\nX-Inner: 1\r\n" FROM BODY}, {"ACME", "Inner-A", "SCL"}, POLICY_ACCEPT, 1, 3, 0,
	 "foreign-trust-header X-ACME-Trusted"},
	/* what is ours already is not counted twice */
	{CONFIG("", ""), "192.0.2.1", "h.example", "", "X-Postern-A: 1\nX-Forefront-A: 1\r\n" FROM BODY,
	 {"+0000\r\n" FROM BODY}, {"Forefront"}, POLICY_ACCEPT, 0, 0, 0, NULL},
	{CONFIG("", ""), "192.0.2.1", "h.example", "", FROM "X-A: 1\rX-Forefront-B: 1\r\n" BODY,
	 {FROM BODY}, {"X-A"}, POLICY_ACCEPT, 1, 1, 0, "foreign-trust-header X-Forefront-B"},
	/* names with octets that only some readers take away */
	{CONFIG("", ""), "192.0.2.1", "h.example", "", FROM "\x0bX-Forefront-A\xa0\x01: 1\r\n" BODY,
	 {FROM BODY}, {"Forefront"}, POLICY_ACCEPT, 1, 1, 0, "foreign-trust-header X-Forefront-A"},
	{CONFIG("", ""), "192.0.2.1", "h.example", "", FROM "X-Forefront-\xff: 1\r\n" BODY,
	 {FROM BODY}, {"Forefront"}, POLICY_ACCEPT, 1, 1, 0, "foreign-trust-header X-Forefront-"},

	/* Received-SPF */
	{CONFIG("", ""), "192.0.2.1", "h.example", "a@sender.example", FROM BODY,
	 {FROM BODY}, {"Received-SPF"}, POLICY_ACCEPT, 0, 0, 0, NULL},
	{CONFIG("received-spf = true", ""), "192.0.2.1", "h.example", "a@sender.example", FROM BODY,
	 {"iprev=permerror policy.iprev=192.0.2.1\r\n"
	  "Received-SPF: pass (mx.example.net: sender.example permits 192.0.2.1)\r\n"
	  "\tclient-ip=192.0.2.1;\r\n\tenvelope-from=\"a@sender.example\";\r\n\thelo=h.example;\r\n"
	  "\treceiver=mx.example.net;\r\n\tidentity=mailfrom;\r\n\tmechanism=\"ip4:192.0.2.1\";\r\n"
	  "Received: from h.example ("}, {NULL}, POLICY_ACCEPT, 0, 0, 0, NULL},
	{CONFIG("received-spf = true", "received-spf = false"), "192.0.2.1", "h.example", "", FROM BODY,
	 {NULL}, {"Received-SPF"}, POLICY_ACCEPT, 0, 0, 0, NULL},
	{CONFIG("", "received-spf = on"), "2001:db8::1", "h.example", "a@sender.example", FROM BODY,
	 {"\tclient-ip=\"2001:db8::1\";\r\n"}, {NULL}, POLICY_ACCEPT, 0, 0, 0, NULL},
	{CONFIG("", "received-spf = on"), "198.51.100.9", "h.example", "", FROM BODY,
	 {"Received-SPF: none (mx.example.net: h.example has no policy about 198.51.100.9)\r\n"
	  "\tclient-ip=198.51.100.9;\r\n\thelo=h.example;\r\n", "\tidentity=helo;\r\n"},
	 {"envelope-from", "mechanism"}, POLICY_ACCEPT, 0, 0, 0, NULL},
	{CONFIG("", "received-spf = on"), "192.0.2.9", "h.example",
	 "\"a\\\";\\\\ b(c)\"@sender.example", FROM BODY,
	 {"Received-SPF: fail (mx.example.net: sender.example does not permit 192.0.2.9)\r\n",
	  "\tenvelope-from=\"\\\"a\\\\\\\";\\\\\\\\ b(c)\\\"@sender.example\";\r\n"}, {NULL},
	 POLICY_ACCEPT, 0, 0, 0, NULL},
	{CONFIG("", "received-spf = on"), "192.0.2.9", "[192.0.2.9]", "a@broken.example", FROM BODY,
	 {"Received-SPF: permerror (mx.example.net: broken.example cannot be asked about 192.0.2.9)\r\n",
	  "\thelo=\"[192.0.2.9]\";\r\n", "\tproblem=\""}, {NULL}, POLICY_ACCEPT, 0, 0, 0, NULL},
	{CONFIG("", "received-spf = on"), "192.0.2.9", "h.example", "\xc3\xa4@void.example", FROM BODY,
	 {"Received-SPF: neutral (mx.example.net: void.example says nothing about 192.0.2.9)\r\n",
	  "\tenvelope-from=\"\xc3\xa4@void.example\";\r\n"}, {NULL}, POLICY_ACCEPT, 0, 0, 0, NULL, true},
	{CONFIG("", "received-spf = on"), "192.0.2.9", "h.example", "\xc3\xa4@void.example", FROM BODY,
	 {"\tenvelope-from=\"??@void.example\";\r\n"}, {NULL}, POLICY_ACCEPT, 0, 0, 0, NULL},
	/* somebody else's stays below ours */
	{CONFIG("", "received-spf = on"), "192.0.2.9", "h.example", "a@void.example",
	 "Received-SPF: pass receiver=mx.example.net\r\n" FROM BODY,
	 {"Received-SPF: neutral (", "+0000\r\nReceived-SPF: pass receiver=mx.example.net\r\n" FROM BODY},
	 {NULL}, POLICY_ACCEPT, 0, 0, 0, NULL},
	/* the origin behind a relay is who is told of */
	{CONFIG("", "received-spf = on"), "198.51.100.1", "edge.example", "a@sender.example",
	 HOP FROM BODY,
	 {"Received-SPF: pass (mx.example.net: sender.example permits 192.0.2.1)\r\n"
	  "\tclient-ip=192.0.2.1;\r\n", "\thelo=h.example;\r\n"}, {NULL}, POLICY_ACCEPT, 0, 0, 0, NULL},

	/* prefix and form of a route */
	{CONFIG("", "header-prefix = \"X-Q7f3a\"; received-format = exchange"), "2001:db8::1",
	 "h.example", "", "X-Q7F3A-Score: 1\r\nX-Postern-Score: 2\r\nX-Q7f3ab: 3\r\n" FROM BODY,
	 {"X-Q7f3a-Score: 0.00\r\nX-Q7f3a-Verdict: accept\r\n",
	  "Received: from h.example (2001:db8::1)\r\n\tby mx.example.net (Postern) with ESMTP id t\r\n",
	  "+0000\r\nX-Q7f3ab: 3\r\n" FROM BODY}, {"X-Postern", "Q7F3A-Score: 1"}, POLICY_ACCEPT, 0, 0, 0,
	 NULL},
	{CONFIG("", "received-format = exchange"), "192.0.2.1", "x (8.8.8.8)", "", FROM BODY,
	 {"Received: from [192.0.2.1] (192.0.2.1)\r\n\tby mx.example.net"}, {NULL}, POLICY_ACCEPT,
	 0, 0, 0, NULL},
	{CONFIG("header-prefix = X-Acme", "v6-literal = plain; received-format = rfc5321"), "2001:db8::1",
	 "h.example", "", "X-Postern-Score: 2\r\n" FROM BODY,
	 {"X-Acme-Score: 0.00\r\n", "from h.example (unknown [2001:db8::1])\r\n",
	  "\nX-Postern-Score: 2\r\n"},
	 {NULL}, POLICY_ACCEPT, 0, 0, 0, NULL},
};

static void done(void *arg, const struct judgement *j)
{
	(void)j;
	*(bool *)arg = true;
	event_base_loopbreak(base);
}

static void check_text(const struct row *t, const struct judgement *r)
{
	static char out[65536];
	size_t n = 0;

	for (size_t i = 0; i < r->out.n_iov; i++) {
		memcpy(out + n, r->out.iov[i].iov_base, r->out.iov[i].iov_len);
		n += r->out.iov[i].iov_len;
	}
	out[n] = '\0';
	for (size_t i = 0; i < 3; i++) {
		if (t->has[i] && !strstr(out, t->has[i]))
			fail_msg("row %td: no '%s' in\n%s", t - rows, t->has[i], out);
		if (t->lacks[i] && strstr(out, t->lacks[i]))
			fail_msg("row %td: '%s' in\n%s", t - rows, t->lacks[i], out);
	}
}

static void check(const struct row *t, const struct judge *j)
{
	const struct judgement *r = judge_result(j);
	json_t *o = judge_json(j), *list = json_object_get(o, "findings"), *first;
	char finding[256] = "";

	assert_int_equal(r->error, 0);
	check_text(t, r);
	if (r->policy.action != t->want || counters[CTL_foreign_trust] != t->found ||
	    counters[CTL_foreign_trust_stripped] != t->stripped ||
	    counters[CTL_foreign_trust_refused] != t->refused)
		fail_msg("row %td: %s, %s", t - rows, policy_action_name(r->policy.action),
			 r->policy.reason);
	if (t->refused) {
		assert_int_equal(r->policy.cause, POLICY_BY_FOREIGN_TRUST);
		assert_int_equal(r->policy.code, 550);
		assert_int_equal(r->policy.enh_subject * 10 + r->policy.enh_detail, 71);
	}
	first = json_array_get(list, 0);
	if (first)
		snprintf(finding, sizeof(finding), "%s %s",
			 json_string_value(json_object_get(first, "code")),
			 json_string_value(json_object_get(first, "name")));
	assert_string_equal(finding, t->finding ? t->finding : "");
	json_decref(o);
}

static void each(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *t = &rows[i];
		struct iovec iov = {(void *)(uintptr_t)t->message, strlen(t->message)};
		struct mail_bytes content = {&iov, 1, iov.iov_len};
		struct str rcpt = STR("r@example.com");
		struct mail_envelope env = {.helo = str_c(t->helo), .rcpt = &rcpt, .n_rcpts = 1,
					    .mail_from = str_c(t->mail_from), .trace_id = "t",
					    .proto = PROTO_ESMTP, .smtputf8 = t->utf8,
					    .time_ns = 1700000000000000000u};
		struct judge_env jenv = {base, dns, jail, counters};
		struct judge_request req = {.env = &env, .content = &content};
		struct config_error err[1];
		bool finished = false;
		struct judge *j;
		size_t n;

		memset(counters, 0, sizeof(counters));
		assert_true(ip_parse(str_c(t->ip), &env.peer));
		if (config_parse("t", t->config, strlen(t->config), 1, &req.config, err, 1, &n))
			fail_msg("row %zu: %s: %s", i, err[0].key, err[0].reason);
		j = judge_start(&jenv, &req, done, &finished);
		assert_non_null(j);
		event_base_dispatch(base);
		assert_true(finished);
		check(t, j);
		judge_free(j);
		config_unref(req.config);
	}
}

static int setup(void **state)
{
	struct spf_options opt = {.n_workers = 1};
	struct dns_zone *z = dns_zone_new();
	char err[256] = "";

	(void)state;
	if (dns_zone_parse(z, (const uint8_t *)zone, strlen(zone), "test", err, sizeof(err))) {
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
	const struct CMUnitTest tests[] = {cmocka_unit_test(each)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
