/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Sections list and attachment, with files that are made here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/config/config.h"

#define HEAD                                                                                       \
	"hostname = mx.example.net\n"                                                              \
	"listener a { port = 1; address = [\"192.0.2.25/24\"] }\n"                                 \
	"route b { domains = [\"example.com\"], hosts = [\"198.51.100.1\"] }\n"
#define SHA "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static char dir[64];

static void write_file(const char *name, const char *text)
{
	char p[128];
	FILE *f;

	snprintf(p, sizeof(p), "%s/%s", dir, name);
	f = fopen(p, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static struct config *parse(const char *fmt, struct config_error *err, size_t *n)
{
	char text[2000];
	struct config *c = NULL;
	int rc;

	snprintf(text, sizeof(text), fmt, dir, dir, dir);
	rc = config_parse("test", text, strlen(text), 1, &c, err, 4, n);
	assert_true((rc == 0) == (c != NULL));
	return c;
}

static void test_good(void **state)
{
	struct config_error err[4];
	struct config *c;
	size_t n = 0;
	char why[200];

	(void)state;
	c = parse(HEAD "list bad { file = \"%s/domains\"; score = 4; action = reject; describe = \"Known bad\" }\n"
		  "list worse { kind = sha256; file = \"%s/hashes\" }\n"
		  "attachment programs { extensions = [exe, scr]; contents = [exe]; double-extension = yes;"
		  " hashes = \"%s/hashes\"; action = quarantine; members = no }\n", err, &n);
	if (!c)
		fail_msg("%s: %s", err[0].key, err[0].reason);
	assert_int_equal(c->n_lists, 2);
	assert_string_equal(c->list[0].finding.name, "list.bad");
	assert_int_equal(c->list[0].finding.action, CONFIG_REJECT);
	assert_true(list_has_domain(c->list[0].list, STR("a.bad.example"), c->list[0].below));
	assert_int_equal(c->list[1].kind, LIST_SHA256);
	assert_true(c->list[1].finding.score > 0.99 && c->list[1].finding.score < 1.01);
	assert_int_equal(c->n_attachments, 1);
	assert_string_equal(c->attachment[0].finding.name, "attachment.programs");
	assert_true(config_wants_hashes(c));
	assert_true(attachments_match(&c->attachment[0].rule, STR("part part=2 name=\"a.scr\""), why, sizeof(why)));
	assert_false(attachments_match(&c->attachment[0].rule, STR("member part=2 name=\"a.scr\""), why, sizeof(why)));
	assert_true(attachments_match(&c->attachment[0].rule, STR("part part=2 sha256=" SHA), why, sizeof(why)));
	config_unref(c);
}

static void bad(const char *text, const char *key, const char *reason, unsigned int line)
{
	struct config_error err[4];
	size_t n = 0;
	struct config *c = parse(text, err, &n);

	assert_null(c);
	assert_true(n >= 1);
	if (!strstr(err[0].key, key) || !strstr(err[0].reason, reason))
		fail_msg("%s:%u %s: %s", err[0].file, err[0].line, err[0].key, err[0].reason);
	if (line) {
		assert_int_equal(err[0].line, line);
		assert_non_null(strstr(err[0].file, dir));
	}
}

static void test_bad(void **state)
{
	(void)state;
	bad(HEAD "list a { score = 1 }\n", "list.a.file", "missing", 0);
	bad(HEAD "list a { file = \"%s/nothing\" }\n", "list.a.file", strerror(ENOENT), 0);
	bad(HEAD "list a { file = \"%s/broken\" }\n", "", "no domain", 2);
	bad(HEAD "list a { file = \"%s/domains\"; kind = words }\n", "list.a.kind", "words", 0);
	bad(HEAD "list a { file = \"%s/hashes\"; kind = sha256; match = below }\n", "list.a.match", "domains", 0);
	bad(HEAD "list a { file = \"%s\" }\n", "list.a.file", "no regular file", 0);
	bad(HEAD "list a { file = \"%s/domains\"; action = discard }\n", "list.a.action", "discard", 0);
	bad(HEAD "attachment a { score = 1 }\n", "attachment.a", "says nothing", 0);
	bad(HEAD "attachment a { extensions = [\".exe\"] }\n", "attachment.a.extensions", "no dot", 0);
	bad(HEAD "attachment a { contents = [programs] }\n", "attachment.a.contents", "is no type", 0);
	bad(HEAD "attachment a { names = [\"\"] }\n", "attachment.a.names", "empty", 0);
	bad(HEAD "attachment a { hashes = \"%s/broken\" }\n", "", "hexadecimal", 1);
	/* What was loaded goes when something else is wrong. */
	bad(HEAD "list a { file = \"%s/domains\" }\nlist b { file = \"%s/nothing\" }\n", "list.b.file",
	    strerror(ENOENT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};
	int rc;

	snprintf(dir, sizeof(dir), "/tmp/test-lists-XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	write_file("domains", "# none of these exist\nbad.example\n");
	write_file("broken", "good.example\nno domain\n");
	write_file("hashes", SHA "\n");
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	for (int i = 0; i < 3; i++) {
		static const char *const name[] = {"domains", "broken", "hashes"};
		char p[128];

		snprintf(p, sizeof(p), "%s/%s", dir, name[i]);
		unlink(p);
	}
	rmdir(dir);
	return rc;
}
