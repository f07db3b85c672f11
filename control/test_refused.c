/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Every reply in control's own words, one by one: a refusal says why and leaves with a trace id, in
 * the line that the dataplane makes of it. And what is refused before there is a message has its
 * record. Those that policy makes of what it found are looked at in policy/test_access.c, by cause.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/loop.h"
#include "control/refused.h"
#include "dataplane/smtp/smtp_reply.h"
#include "postern/limits.h"

#define ID "0123456789ABCDEF"

static void every_reply(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < CONTROL_REPLY_COUNT; i++) {
		struct ctl_reply r = control_reply((enum control_reply)i);
		const struct smtp_reply s = {r.code, r.enh_class, r.enh_subject, r.enh_detail,
					     r.text};
		unsigned int class = r.code / 100;
		uint8_t line[LIMIT_REPLY_LINE + 1];
		char text[128];
		size_t n;

		snprintf(text, sizeof(text), "%.*s", STR_FMT(r.text));
		if ((class != 2 && class != 4 && class != 5) || r.enh_class != class ||
		    r.text.n < 15)
			fail_msg("reply %u: %u %u.x.x \"%s\"", i, r.code, r.enh_class, text);
		for (size_t k = 0; k < r.text.n; k++)
			assert_true(r.text.p[k] >= 0x20 && r.text.p[k] <= 0x7e);
		/* What may be right at the next try says so, or what is to be done. */
		if (class == 4 && r.code != 421 && !strstr(text, "try again") &&
		    !strstr(text, "separately"))
			fail_msg("reply %u: \"%s\" says nothing of another try", i, text);
		n = smtp_reply_format(line, &s, false, (const uint8_t *)ID);
		assert_true(n <= LIMIT_REPLY_LINE);
		line[n] = '\0';
		assert_non_null(strstr((char *)line, text));
		assert_string_equal((char *)line + n - strlen(" id=" ID "\r\n"), " id=" ID "\r\n");
	}
}

static struct {
	struct loop l;
	struct session s;
	char path[64];
} t;

static int up(void **state)
{
	char err[256];
	int fd;

	(void)state;
	memset(&t, 0, sizeof(t));
	snprintf(t.path, sizeof(t.path), "/tmp/test-refused-XXXXXX");
	fd = mkstemp(t.path);
	assert_true(fd >= 0);
	close(fd);
	t.l.trace = trace_new(&(struct trace_options){.file = t.path, .keep = 2000}, t.l.counters, err, sizeof(err));
	assert_non_null(t.l.trace);
	assert_true(ip_parse(STR("192.0.2.7"), &t.s.peer));
	return 0;
}

static int down(void **state)
{
	(void)state;
	trace_free(t.l.trace);
	unlink(t.path);
	return 0;
}

static json_t *found(const char *id)
{
	struct trace_query q = {.trace_id = id, .limit = 10};
	json_t *a = trace_find(t.l.trace, &q), *o = json_incref(json_array_get(a, 0));

	assert_int_equal(json_array_size(a), 1);
	json_decref(a);
	return o;
}

static void is(const json_t *o, const char *key, const char *want)
{
	const char *got = json_string_value(json_object_get(o, key));

	if (!got || strcmp(got, want))
		fail_msg("%s: %s", key, got ? got : "(none)");
}

/* A reply of any length keeps its id, and fits the greeting's line. */
static void at_connect(void **state)
{
	static const size_t len[] = {1, 60, 480, 490, 600, 2000};
	char buf[HANDOFF_MAX_TEXT + 1], long_text[2001];

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		struct ctl_reply r = {554, 5, 7, 1, str_make(long_text, len[i])};
		uint8_t line[LIMIT_REPLY_LINE + 1];
		struct smtp_reply s;
		char id[17];
		json_t *o;
		size_t n;

		refused_connect(&t.l, &t.s, &r, buf);
		memcpy(id, buf + strlen(buf) - 16, 17);
		s = (struct smtp_reply){r.code, r.enh_class, r.enh_subject, r.enh_detail, r.text};
		n = smtp_reply_format(line, &s, true, NULL);
		line[n] = '\0';
		assert_true(n <= LIMIT_REPLY_LINE);
		assert_non_null(strstr((char *)line, id));
		o = found(id);
		is(o, "outcome", "rejected");
		is(o, "stage", "connect");
		is(o, "origin", "192.0.2.7");
		json_decref(o);
	}
}

static void at_rcpt(void **state)
{
	const struct ctl_reply r = {451, 4, 7, 1, STR("Greylisted")};
	static char name[] = "office";
	struct config_route route = {.name = name};
	static struct ctl_rcpt_question asked;
	json_t *o;

	(void)state;
	asked.mail_from = STR("a@x.example");
	asked.rcpt = STR("b@example.com");
	asked.helo = STR("client.example");
	refused_rcpt(&t.l, &t.s, &asked, &route, &r); /* no id yet: nothing to find it by */
	memcpy(asked.trace_id, ID, sizeof(asked.trace_id));
	refused_rcpt(&t.l, &t.s, &asked, &route, &r);
	o = found(ID);
	is(o, "outcome", "deferred");
	is(o, "stage", "rcpt");
	is(o, "mail_from", "a@x.example");
	is(o, "rcpt", "b@example.com");
	is(o, "route", "office");
	is(o, "reply", "451 4.7.1 Greylisted");
	json_decref(o);
}

/* A flood of refusals does not push the trace of messages out of memory. */
static void flood(void **state)
{
	struct trace_query q = {.limit = 1000};
	char buf[HANDOFF_MAX_TEXT + 1];
	uint64_t untold;
	json_t *a;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct ctl_reply r = {421, 4, 7, 0, STR("Too many")};

		refused_connect(&t.l, &t.s, &r, buf);
		assert_non_null(strstr(buf, "Too many id="));
	}
	a = trace_find(t.l.trace, &q);
	untold = t.l.counters[CTL_trace_untold];
	assert_true(untold > 0);
	assert_int_equal(json_array_size(a) + untold, 1000);
	json_decref(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reply),
		cmocka_unit_test_setup_teardown(at_connect, up, down),
		cmocka_unit_test_setup_teardown(at_rcpt, up, down),
		cmocka_unit_test_setup_teardown(flood, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
