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
#include "control/cli/table.h"

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

/* ---- tables ---- */

static const struct table_column columns[] = {{"NAME", TABLE_CUT, 0},
					      {"N", TABLE_RIGHT, 0},
					      {"MORE", TABLE_RIGHT, 2},
					      {"LESS", TABLE_RIGHT, 1},
					      {"WHY", TABLE_WRAP, 0}};

static const char *printed(const char *name, const char *why, unsigned int width)
{
	struct table t;
	char *p = text;
	FILE *f;
	int out;

	table_begin(&t, columns, 5, 0);
	for (int row = 0; row < 2; row++) {
		table_add(&t, "%s", name);
		table_add(&t, "%d", 7 + 100 * row);
		table_add(&t, "%s", "12345");
		table_add(&t, "%s", "-");
		table_add(&t, "%s", why);
	}
	out = dup(1);
	f = tmpfile();
	assert_true(out >= 0 && f);
	fflush(stdout);
	dup2(fileno(f), 1);
	table_end(&t, width);
	fflush(stdout);
	dup2(out, 1);
	close(out);
	rewind(f);
	text[fread(p, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return text;
}

static void tables(void **state)
{
	(void)state;
	/* As wide as what stands in it. */
	assert_string_equal(printed("a", "no", 0), "NAME   N  MORE LESS  WHY\n"
						   "a      7 12345    -  no\n"
						   "a    107 12345    -  no\n");
	/* Two columns a character, and none. */
	assert_string_equal(printed("\xe4\xbe\x8b\xe4\xbe\x8b", "e\xcc\x81", 80),
			    "NAME   N  MORE LESS  WHY\n"
			    "\xe4\xbe\x8b\xe4\xbe\x8b   7 12345    -  e\xcc\x81\n"
			    "\xe4\xbe\x8b\xe4\xbe\x8b 107 12345    -  e\xcc\x81\n");
	/* Texts give first: the last one goes on below itself, others are cut. */
	assert_string_equal(printed("a", "it was so and not so at all", 36),
			    "NAME   N  MORE LESS  WHY\n"
			    "a      7 12345    -  it was so and\n"
			    "                     not so at all\n"
			    "a    107 12345    -  it was so and\n"
			    "                     not so at all\n");
	/* A word that has no room there begins further left. */
	assert_string_equal(printed("a", "not policy.spf-permerror, no", 36),
			    "NAME   N  MORE LESS  WHY\n"
			    "a      7 12345    -  not\n"
			    "               policy.spf-permerror,\n"
			    "                     no\n"
			    "a    107 12345    -  not\n"
			    "               policy.spf-permerror,\n"
			    "                     no\n");
	printed("a-name-that-is-too-long.example", "no", 32);
	assert_non_null(strstr(text, "a-name-that~   7 12345    -  no\n"));
	/* Then columns go, the dearest first. */
	printed("a-name-that-is-too-long.example", "no", 30);
	assert_null(strstr(text, "MORE"));
	assert_non_null(strstr(text, "LESS"));
	printed("a-name-that-is-too-long.example", "no", 22);
	assert_null(strstr(text, "LESS"));
	/* Below all that there is: as narrow as it gets. */
	printed("a-name-that-is-too-long.example", "no", 5);
	assert_non_null(strstr(text, "a-name-that~ 107  no\n"));
}

static void tables_of_nothing(void **state)
{
	struct table t;

	(void)state;
	table_begin(&t, columns, 5, 0);
	table_end(&t, 80);
	for (unsigned int width = 1; width < 200; width++)
		for (int i = 0; i < 3; i++) {
			printed(i ? "a-name-that-is-too-long.example" : "", i > 1 ? "it was so" : "", width);
			for (const char *line = text; width > 30 && *line; line += strcspn(line, "\n") + 1)
				assert_true(strcspn(line, "\n") <= width);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table), cmocka_unit_test(reloads), cmocka_unit_test(json),
		cmocka_unit_test(long_value), cmocka_unit_test(lifted), cmocka_unit_test(tables),
		cmocka_unit_test(tables_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
