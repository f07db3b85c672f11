/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* .include: which files, in which order, what an error names, and what bounds them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/config/config.h"
#include "postern/limits.h"

#define H "hostname = \"mx.example.net\"\n"
#define L "listener a { port = 0; address = [\"192.0.2.25/24\"] }\n"
#define R "route b { domains = [\"example.com\"]; hosts = [\"198.51.100.1\"] }\n"

static char dir[] = "/tmp/postern-include-XXXXXX";
static struct config_error err[4];
static size_t n_err;

static const char *path(const char *name)
{
	static char p[4][512];
	static unsigned int next;
	char *out = p[next++ % 4];

	snprintf(out, sizeof(p[0]), "%s/%s", dir, name);
	return out;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(path(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path(name), 0640), 0);
}

static struct config *load(const char *text)
{
	struct config *c = NULL;

	put("main.conf", text);
	memset(err, 0, sizeof(err));
	if (config_load(path("main.conf"), 1, &c, err, 4, &n_err))
		assert_null(c);
	return c;
}

static void refused(const char *text, const char *file, unsigned int line, const char *key,
		    const char *reason)
{
	assert_null(load(text));
	if (strcmp(err[0].file, path(file)) || err[0].line != line || strcmp(err[0].key, key) ||
	    !strstr(err[0].reason, reason))
		fail_msg("%s:%u: %s: %s", err[0].file, err[0].line, err[0].key, err[0].reason);
}

static void ways(void **state)
{
	struct config *c;
	char text[1024];

	(void)state;
	put("whole.inc", H L);
	put("d/20.conf", "route c { domains = [\"c.example\"]; hosts = [\"198.51.100.3\"] }\n");
	put("d/10.conf", R);
	put("d/.hidden.conf", "frobnicate = 1\n");
	put("d/30.conf.bak", "frobnicate = 1\n");
	put("policy.inc", "tag-score = 7 # without a line end");
	/* Beside the file, with wildcards in order, inside a section. */
	c = load(".include \"whole.inc\"\n.include \"d/*.conf\"\npolicy { .include policy.inc; "
		 "reject-score = 9 }\n");
	if (!c)
		fail_msg("%s:%u: %s: %s", err[0].file, err[0].line, err[0].key, err[0].reason);
	assert_int_equal(c->n_routes, 2);
	assert_string_equal(c->route[0].name, "b");
	assert_string_equal(c->route[1].name, "c");
	assert_true(c->policy.tag_score == 7 && c->policy.reject_score == 9);
	config_unref(c);
	/* By its whole path; relative to the file that says it, not to the first. */
	put("d/nested.inc", ".include \"10.conf\"\n");
	snprintf(text, sizeof(text), H L ".include \"%s\"", path("d/nested.inc"));
	c = load(text);
	assert_non_null(c);
	assert_int_equal(c->n_routes, 1);
	config_unref(c);
	/* A pattern that nothing fits is no error, but a directory that is not there is. */
	c = load(H L R ".include \"*.none\"\n");
	assert_non_null(c);
	config_unref(c);
	refused(H L R ".include \"none/*.conf\"\n", "main.conf", 4, ".include", "No such file");
}

static void errors_name_the_file(void **state)
{
	(void)state;
	put("a.inc", "\npolicy {\n tag-scor = 5\n}\n");
	refused(H L R ".include \"a.inc\"\n", "a.inc", 3, "policy.tag-scor",
		"did you mean \"tag-score\"?");
	put("a.inc", "\n\npolicy { tag-score = 5");
	refused(H L R ".include \"a.inc\"\n", "a.inc", 3, "", "section without its closing }");
	put("a.inc", "}\n");
	refused(H L R "policy { .include \"a.inc\"\n }", "a.inc", 1, "", "expected a key");
	/* What comes behind an include is where it was. */
	put("a.inc", "\n\n\n\n");
	refused(H L R ".include \"a.inc\"\nfrobnicate = 1\n", "main.conf", 5, "frobnicate",
		"unknown key");
	put("a.inc", "loops = 1\n");
	refused(H L R "\n\nloops = 1\n.include \"a.inc\"\n", "a.inc", 1, "loops",
		"first in line 6 of ");
	put("a.inc", R);
	refused(H L R ".include \"a.inc\"\n", "a.inc", 1, "route.b", "first in line 3 of ");
	put("a.inc", "route = 5\n");
	refused(H L ".include \"a.inc\"\n" R, "main.conf", 4, "route", "first in line 1 of ");
	/* What only the whole shows. */
	put("a.inc", "policy { reject-score = 2 }\n");
	refused(H L R ".include \"a.inc\"\n", "a.inc", 1, "policy.reject-score",
		"below the tag-score");
	put("a.inc", "loops = \000");
	refused(H L R ".include \"a.inc\" x\n", "a.inc", 1, "", "a value is missing");
	put("a.inc", "loops = 1\n");
	refused(H L R ".include \"a.inc\" x = 1\n", "main.conf", 4, ".include", "end of the line");
}

static void bounds(void **state)
{
	char text[4096] = "", name[32];

	(void)state;
	refused(H L R ".include \"missing\"\n", "main.conf", 4, ".include", "No such file");
	refused(H L R ".include \"/tmp\"\n", "main.conf", 4, ".include", "Is a directory");
	refused(H L R ".include \"d*/x.conf\"\n", "main.conf", 4, ".include",
		"last part of a path only");
	put("self.inc", ".include \"self.inc\"\n");
	refused(H L R ".include \"self.inc\"\n", "self.inc", 1, ".include", "would include itself");
	put("one.inc", ".include \"two.inc\"\n");
	put("two.inc", "\n.include \"main.conf\"\n");
	refused(H L R ".include \"one.inc\"\n", "two.inc", 2, ".include", "would include itself");
	for (unsigned int i = 1; i <= LIMIT_CONFIG_INCLUDES; i++) {
		snprintf(name, sizeof(name), "deep%u.inc", i);
		snprintf(text, sizeof(text), ".include \"deep%u.inc\"\n", i + 1);
		put(name, text);
	}
	snprintf(name, sizeof(name), "deep%u.inc", LIMIT_CONFIG_INCLUDES);
	refused(H L R ".include \"deep1.inc\"\n", name, 1, ".include", "deeper than 8");
	/* Often instead of deep. */
	put("empty.inc", "");
	text[0] = '\0';
	for (unsigned int i = 0; i < 64; i++)
		strcat(text, ".include \"empty.inc\"\n");
	put("many.inc", text);
	refused(H L R ".include \"many.inc\"\n.include \"many.inc\"\n.include "
		      "\"many.inc\"\n.include \"many.inc\"\n",
		"many.inc", 60, ".include", "more than 256 files");
}

static void octets(void **state)
{
	size_t n = LIMIT_CONFIG_FILE / 2;
	char *big = malloc(n + 1);

	(void)state;
	assert_non_null(big);
	memset(big, '\n', n);
	big[n] = '\0';
	put("big.inc", big);
	free(big);
	refused(H L R ".include \"big.inc\"\n.include \"big.inc\"\n", "main.conf", 5, ".include",
		"4194304 octets in all");
	put("twice1.inc", ".include \"big.inc\"");
	put("twice2.inc", ".include \"big.inc\"");
	refused(H L R ".include \"twice*.inc\"\n", "twice2.inc", 1, ".include",
		"4194304 octets in all");
}

/* A key in a file that everybody reads is refused there, whoever reads the first one. */
static void readable(void **state)
{
	(void)state;
	put("key.inc", "arc { key k { domain = \"example.net\"; selector = s\npem = [\"x\"] } }\n");
	assert_int_equal(chmod(path("key.inc"), 0644), 0);
	refused(H L R ".include \"key.inc\"\n", "key.inc", 2, "arc.key.k.pem", "others may read");
	assert_int_equal(chmod(path("key.inc"), 0640), 0);
	refused(H L R ".include \"key.inc\"\n", "key.inc", 2, "arc.key.k.pem", "");
	assert_null(strstr(err[0].reason, "others may read"));
}

static int setup(void **state)
{
	(void)state;
	return !mkdtemp(dir) || mkdir(path("d"), 0755);
}

static int teardown(void **state)
{
	char command[600];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ways),     cmocka_unit_test(errors_name_the_file),
		cmocka_unit_test(bounds),   cmocka_unit_test(octets),
		cmocka_unit_test(readable),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
