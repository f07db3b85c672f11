/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What strangers wrote must not draw on the operator's terminal. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/cli/cli.h"

static char text[8192];

/* What show_answer() or print_json() wrote to standard output. */
static const char *shown(const char *command, json_t *v)
{
	int out = dup(1);
	FILE *f = tmpfile();
	size_t n;

	assert_true(out >= 0 && f);
	fflush(stdout);
	dup2(fileno(f), 1);
	if (command)
		show_answer(command, v);
	else
		print_json(v);
	fflush(stdout);
	dup2(out, 1);
	close(out);
	rewind(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

#define EVIL "\xc3\xa4\xe2\x80\xae" "b\xc2\x9b" "c\x1b[2J\xf3\xa0\x81\x81\x7f@example.com"

static void table(void **state)
{
	json_t *v = json_pack("{s:[{s:s, s:s, s:s}]}", "records", "mail_from", EVIL, "rcpt",
			      "\xc3\xa4@\xe4\xbe\x8b.example", "trace_id", "0123456789ABCDEF");

	(void)state;
	shown("trace", v);
	json_decref(v);
	assert_non_null(strstr(text, "from <\xc3\xa4?b?c?[2J??@example.com> to <\xc3\xa4@\xe4\xbe\x8b.example>"));
	assert_null(strchr(text, '\x1b'));
}

static void json(void **state)
{
	json_t *v = json_pack("{s:s}", "mail_from", EVIL), *back;

	(void)state;
	shown(NULL, v);
	assert_non_null(strstr(text, "\xc3\xa4\\u202Eb\\u009Bc\\u001B[2J\\uDB40\\uDC41\\u007F@example.com"));
	back = json_loads(text, 0, NULL);
	assert_non_null(back);
	assert_true(json_equal(v, back));
	json_decref(back);
	json_decref(v);
}

static void long_value(void **state)
{
	char big[5000];
	json_t *v;

	(void)state;
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	v = json_pack("{s:[{s:s}]}", "records", "mail_from", big);
	shown("trace", v);
	json_decref(v);
	assert_true(strlen(text) > 1000 && strlen(text) < 1200);
}

/* Why a failed DMARC did nothing, and why what was done was done. */
static void lifted(void **state)
{
	json_t *v = json_pack("{s:[{s:s, s:{s:{s:s, s:{s:s, s:s, s:b}}, s:f, s:s, s:s}}]}", "records",
			      "origin", "192.0.2.1", "judged", "dmarc", "result", "fail", "override",
			      "type", "trusted_forwarder", "comment", "dkim=pass header.d=list.example",
			      "lifted", 1, "score", 5.5, "action", "tag", "reason", "listed in one");

	(void)state;
	assert_non_null(v);
	shown("trace", v);
	json_decref(v);
	assert_non_null(strstr(text, "dmarc fail lifted (trusted_forwarder: dkim=pass "
				     "header.d=list.example); score 5.50, tag (listed in one)"));
}

/* What an operator must not overlook, and how far a reload is. */
static void reloads(void **state)
{
	static const struct {
		const char *reload, *shown;
	} t[] = {
		{"{\"stage\":\"compiling\",\"what\":\"patterns\",\"done\":3,\"all\":7,\"seconds\":2.0}",
		 "  reload      compiling: 3 of 7 patterns, 2 s\n"},
		{"{\"stage\":\"reading\",\"what\":\"\",\"done\":0,\"all\":0,\"seconds\":1.0}",
		 "  reload      reading, 1 s\n"},
		{"{\"stage\":\"idle\",\"compiler\":\"gone\"}", "  rules       CANNOT BE RELOADED: "},
		{"{\"stage\":\"idle\",\"last\":{\"ok\":false,\"file\":\"/a.cf\",\"line\":4,\"key\":\"R\","
		 "\"reason\":\"bad\"}}", "  last reload FAILED: /a.cf:4: R: bad\n"},
	};
	json_t *v;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		v = json_pack("{s:o}", "reload", json_loads(t[i].reload, 0, NULL));
		assert_non_null(strstr(shown("show status", v), t[i].shown));
		json_decref(v);
	}
	v = json_pack("{s:{s:s, s:s, s:n}}", "reload", "stage", "idle", "compiler", "ok", "last");
	shown("show status", v);
	json_decref(v);
	assert_null(strstr(text, "reload"));
	assert_null(strstr(text, "CANNOT"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table), cmocka_unit_test(reloads), cmocka_unit_test(json),
		cmocka_unit_test(long_value), cmocka_unit_test(lifted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
