/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What a watcher may ask for, and which records and sessions are what it asked for. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/watch/filter.h"

static struct watch_filter filter;
static char why[160];

static int read_it(const char *request)
{
	json_t *body = json_loads(request, 0, NULL);
	int rc;

	assert_non_null(body);
	why[0] = '\0';
	rc = watch_filter_read(&filter, body, why, sizeof(why));
	json_decref(body);
	return rc;
}

static void good(const char *request)
{
	if (read_it(request))
		fail_msg("%s: %s", request, why);
}

static void bad(const char *request, const char *says)
{
	if (!read_it(request))
		fail_msg("%s was taken", request);
	if (!strstr(why, says))
		fail_msg("%s: \"%s\" lacks \"%s\"", request, why, says);
}

static bool fits(const char *record)
{
	json_t *r = json_loads(record, 0, NULL);
	bool yes;

	assert_non_null(r);
	yes = watch_filter_record(&filter, r);
	json_decref(r);
	return yes;
}

static bool session_fits(const char *peer)
{
	struct ip_addr ip;

	assert_true(ip_parse(str_c(peer), &ip));
	return watch_filter_session(&filter, &ip);
}

static void questions(void **state)
{
	(void)state;
	good("{}");
	assert_true(filter.sessions && filter.messages && !filter.has_peer);
	good("{\"what\":\"sessions\",\"peer\":\"2001:db8::/32\"}");
	assert_true(filter.sessions && !filter.messages);
	good("{\"what\":\"messages\"}");
	assert_true(!filter.sessions && filter.messages);
	/* What only messages have leaves sessions out. */
	good("{\"what\":\"all\",\"route\":\"office\"}");
	assert_true(!filter.sessions && filter.messages);
	good("{\"domain\":\"@B\\u00fccher.example\",\"rule\":\"R_*\",\"trace_id\":"
	     "\"0123456789abcdef\","
	     "\"outcome\":\"deferred\"}");
	assert_string_equal(filter.domain, "xn--bcher-kva.example");
	bad("{\"what\":\"mail\"}", "sessions, messages or all");
	bad("{\"what\":7}", "what: a string");
	bad("{\"peer\":\"192.0.2.0/33\"}", "peer: an address");
	bad("{\"peer\":\"mail.example.net\"}", "peer: an address");
	bad("{\"peer\":[]}", "peer: a string");
	bad("{\"domain\":\"\"}", "domain");
	bad("{\"domain\":\"@\"}", "domain");
	bad("{\"rule\":\"a b\"}", "rule: 1 to 128");
	bad("{\"rule\":\"\"}", "rule: 1 to 128");
	bad("{\"trace_id\":\"0123\"}", "trace_id: 16");
	bad("{\"trace_id\":\"0123456789abcde%\"}", "trace_id: 16");
	bad("{\"route\":\"\"}", "route");
	bad("{\"route\":\"0123456789012345678901234567890123456789012345678901234567890123\"}",
	    "route");
	bad("{\"outcome\":\"lost\"}", "outcome: delivered");
	bad("{\"what\":\"sessions\",\"domain\":\"example.com\"}", "of messages, not of sessions");
}

#define RECORD                                                                                     \
	"{\"trace_id\":\"0123456789ABCDEF\",\"peer\":\"192.0.2.9\",\"origin\":\"203.0.113.7\","    \
	"\"mail_from\":\"a@example.net\",\"rcpt\":\"b@B\\u00fccher.example\",\"route\":"           \
	"\"office\","                                                                              \
	"\"outcome\":\"delivered\",\"judged\":{\"matches\":[{\"rule\":\"R_ONE\"},{\"rule\":\"S_"   \
	"TWO\"}]}}"

static void records(void **state)
{
	static const struct {
		const char *request;
		bool fits;
	} of[] = {{"{}", true},
		  {"{\"what\":\"sessions\"}", false},
		  {"{\"peer\":\"192.0.2.0/24\"}", true},
		  {"{\"peer\":\"203.0.113.7\"}", true},
		  {"{\"peer\":\"198.51.100.0/24\"}", false},
		  {"{\"peer\":\"2001:db8::/32\"}", false},
		  {"{\"domain\":\"EXAMPLE.net\"}", true},
		  {"{\"domain\":\"xn--bcher-kva.example\"}", true},
		  {"{\"domain\":\"b\\u00fccher.example\"}", true},
		  {"{\"domain\":\"ample.net\"}", false},
		  {"{\"domain\":\"sub.example.net\"}", false},
		  {"{\"rule\":\"s_two\"}", true},
		  {"{\"rule\":\"R_*\"}", true},
		  {"{\"rule\":\"R_\"}", false},
		  {"{\"trace_id\":\"0123456789abcdef\"}", true},
		  {"{\"trace_id\":\"0123456789abcdee\"}", false},
		  {"{\"route\":\"office\"}", true},
		  {"{\"route\":\"offic\"}", false},
		  {"{\"outcome\":\"delivered\"}", true},
		  {"{\"outcome\":\"rejected\"}", false},
		  {"{\"outcome\":\"delivered\",\"route\":\"office\",\"peer\":\"192.0.2.9\","
		   "\"rule\":\"*\"}",
		   true},
		  {"{\"outcome\":\"delivered\",\"route\":\"office\",\"peer\":\"192.0.2.8\","
		   "\"rule\":\"*\"}",
		   false}};

	(void)state;
	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		good(of[i].request);
		if (fits(RECORD) != of[i].fits)
			fail_msg("%s: %d", of[i].request, !of[i].fits);
	}
}

/* Whatever stands there: seen in part, of a session, or nothing at all. */
static void odd_records(void **state)
{
	static const char *const odd[] = {
		"{}", "{\"peer\":7,\"mail_from\":null,\"route\":null,\"judged\":[]}",
		"{\"event\":\"reply-lost\",\"trace_id\":\"0123456789ABCDEF\"}",
		"{\"judged\":{\"matches\":[7,{},{\"rule\":null}]},\"mail_from\":\"\"}",
		"{\"via\":{\"address\":\"not one\"},\"rcpt\":\"postmaster\"}"};
	static const char *const requests[] = {
		"{\"peer\":\"::/0\"}", "{\"domain\":\"example.com\"}", "{\"rule\":\"*\"}",
		"{\"route\":\"office\"}", "{\"outcome\":\"delivered\"}"};

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		good("{}");
		assert_true(fits(odd[i]));
		for (size_t k = 0; k < sizeof(requests) / sizeof(requests[0]); k++) {
			good(requests[k]);
			if (fits(odd[i]))
				fail_msg("%s fits %s", odd[i], requests[k]);
		}
	}
	good("{\"trace_id\":\"0123456789ABCDEF\"}");
	assert_true(fits(odd[2]));
	good("{\"peer\":\"192.0.2.1\"}");
	assert_true(fits("{\"peer\":\"203.0.113.1\",\"via\":{\"address\":\"192.0.2.1\"}}"));
}

static void sessions(void **state)
{
	(void)state;
	good("{}");
	assert_true(session_fits("192.0.2.1"));
	good("{\"what\":\"messages\"}");
	assert_false(session_fits("192.0.2.1"));
	good("{\"peer\":\"192.0.2.0/25\"}");
	assert_true(session_fits("192.0.2.1"));
	assert_false(session_fits("192.0.2.200"));
	assert_false(session_fits("2001:db8::1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(questions), cmocka_unit_test(records),
					   cmocka_unit_test(odd_records),
					   cmocka_unit_test(sessions)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
