/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "control/attachments/attachments.h"

#define SHA "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void test_lines(void **state)
{
	struct attachment a;

	(void)state;
	assert_true(attachment_parse(STR("part part=3 type=application/zip is=zip size=1234 sha256=" SHA
					 " broken name=\"a%20b%22%25.zip\""), &a));
	assert_false(a.member);
	assert_int_equal(a.part, 3);
	assert_int_equal(a.size, 1234);
	assert_true(a.has_sha256 && a.broken && !a.encrypted);
	assert_int_equal(a.sha256[31], 0x1f);
	assert_true(str_eq(a.name, STR("a b\"%.zip")));
	assert_true(str_eq(a.type, STR("application/zip")));
	assert_true(attachment_parse(STR("member part=1 encrypted name=\"x\""), &a));
	assert_true(a.member && a.encrypted);
	assert_false(attachment_parse(STR(""), &a));
	assert_false(attachment_parse(STR("parts part=1"), &a));
	/* What is not well formed is not there. */
	assert_true(attachment_parse(STR("part sha256=00 size=x name=\"%4\" = =x name"), &a));
	assert_false(a.has_sha256);
	assert_int_equal(a.size, 0);
}

static bool meant(const struct attachment_rule *r, const char *view)
{
	char why[200];
	bool yes = attachments_match(r, str_c(view), why, sizeof(why));

	assert_int_equal(yes, why[0] != '\0');
	return yes;
}

static void test_extensions(void **state)
{
	static const char *const ext[] = {"exe", "js"};
	const struct attachment_rule r = {.extension = ext, .n_extensions = 2};
	struct attachment_rule m = r;
	char why[200];

	(void)state;
	m.members = true;
	assert_true(meant(&r, "part part=1 name=\"a.exe\"\n"));
	assert_true(meant(&r, "part part=1 name=\"A.EXE\""));
	assert_true(meant(&r, "part part=1 name=\"a.exe.%20. .\"\n"));
	assert_true(meant(&r, "part part=1 name=\"c:\\\\dir.d\\a.Js\"\n"));
	assert_true(meant(&r, "part part=1 name=\"a.exe::$DATA\"\n"));
	assert_true(meant(&r, "part part=1 name=\"a.e\xe2\x80\x8bxe\"\n"));
	assert_true(meant(&r, "part part=1 name=\"a.txt\"\npart part=2 name=\"b.js\"\n"));
	assert_false(meant(&r, "part part=1 name=\"exe\"\n"));
	assert_false(meant(&r, "part part=1 name=\".exe\"\n"));
	assert_false(meant(&r, "part part=1 name=\"a.exe/b.txt\"\n"));
	assert_false(meant(&r, "part part=1 name=\"a.exec\"\n"));
	assert_false(meant(&r, "part part=1\n"));
	/* What the end of a name that was cut is, nobody knows. */
	assert_true(meant(&r, "part part=1 cut name=\"aaaa\"\n"));
	assert_true(meant(&m, "member part=1 cut name=\"d/d/d\"\n"));
	assert_false(meant(&r, "member part=1 name=\"a.exe\"\n"));
	assert_true(meant(&m, "member part=1 name=\"dir/a.exe\"\n"));
	attachments_match(&m, STR("member part=7 name=\"dir/a\xff.exe\"\n"), why, sizeof(why));
	assert_string_equal(why, "member of part 7 \"a?.exe\": its extension");
}

static void test_kinds(void **state)
{
	static const char *const is[] = {"exe"}, *const type[] = {"application/x-*"};
	static const char *const name[] = {"invoice*.ht?", "*secret*"};
	struct attachment_rule r = {.is = is, .n_is = 1};

	(void)state;
	assert_true(meant(&r, "part part=1 type=image/png is=exe\n"));
	assert_false(meant(&r, "part part=1 type=image/png is=png name=\"exe\"\n"));
	r = (struct attachment_rule){.type = type, .n_types = 1};
	assert_true(meant(&r, "part part=1 type=application/x-msdownload is=zip\n"));
	assert_false(meant(&r, "part part=1 type=application/pdf\n"));
	assert_false(meant(&r, "part part=1\n"));
	r = (struct attachment_rule){.glob = name, .n_globs = 2};
	assert_true(meant(&r, "part part=1 name=\"Invoice%2042.HTM\"\n"));
	assert_false(meant(&r, "part part=1 name=\"invoice.html\"\n"));
	assert_true(meant(&r, "part part=1 name=\"my%20secret.txt\"\n"));
	assert_false(meant(&r, "part part=1 name=\"\"\n"));
}

static void test_tricks(void **state)
{
	struct attachment_rule r = {.double_extension = true};

	(void)state;
	assert_true(meant(&r, "part part=1 name=\"invoice.pdf.exe\"\n"));
	assert_true(meant(&r, "part part=1 name=\"invoice.PDF%20%20%20%20.scr\"\n"));
	assert_false(meant(&r, "part part=1 name=\"archive.tar.gz\"\n"));
	assert_false(meant(&r, "part part=1 name=\"setup.v2.exe\"\n"));
	assert_false(meant(&r, "part part=1 name=\"a.exe\"\n"));
	r = (struct attachment_rule){.disguised = true};
	assert_true(meant(&r, "part part=1 name=\"annex\xe2\x80\xae" "fdp.exe\"\n"));
	assert_false(meant(&r, "part part=1 name=\"\xe2\x82\xac.pdf\"\n"));
	r = (struct attachment_rule){.mismatch = true};
	assert_true(meant(&r, "part part=1 is=exe name=\"photo.jpg\"\n"));
	assert_true(meant(&r, "part part=1 is=exe type=application/pdf\n"));
	assert_false(meant(&r, "part part=1 is=exe type=application/octet-stream name=\"a.exe\"\n"));
	assert_false(meant(&r, "part part=1 is=pdf name=\"a.exe\"\n"));
	r = (struct attachment_rule){.encrypted = true};
	assert_true(meant(&r, "member part=1 encrypted name=\"a\"\npart part=1 is=zip\n"));
	assert_false(meant(&r, "member part=1 name=\"a\"\n"));
	r = (struct attachment_rule){.broken = true};
	assert_true(meant(&r, "part part=1 is=zip broken\n"));
}

static void test_hashes(void **state)
{
	struct attachment_rule r = {0};
	struct list_error err;
	struct list *l;

	(void)state;
	assert_int_equal(list_parse(STR(SHA "\n"), LIST_SHA256, &l, &err), 0);
	r.hashes = l;
	assert_true(meant(&r, "part part=1 sha256=" SHA "\n"));
	assert_false(meant(&r, "part part=1\n"));
	list_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines), cmocka_unit_test(test_extensions), cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_tricks), cmocka_unit_test(test_hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
