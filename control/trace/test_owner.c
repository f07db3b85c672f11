/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What is said of a file that is somebody else's, as nobody sees it: never what would hurt if it were done. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/trace/owner.h"

#define NOBODY 65534

static char dir[] = "/tmp/postern-owner-XXXXXX";

static const char *said(const char *name, char *path, size_t cap)
{
	static char text[1024];

	snprintf(path, cap, "%s/%s", dir, name);
	assert_int_equal(seteuid(NOBODY), 0);
	owner_text(path, text, sizeof(text));
	assert_int_equal(seteuid(0), 0);
	return text;
}

static void make(const char *path, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static void owners(void **state)
{
	char path[256], want[700];
	const char *text;

	(void)state;
	if (geteuid()) {
		print_message("not root: skipped\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(path, sizeof(path), "%s/log", dir);
	make(path, 0640);
	text = said("log", path, sizeof(path));
	snprintf(want, sizeof(want), "; %s belongs to uid 0 (root), mode 0640, and this runs as uid %d: chown -h %d:%u %s", path,
		 NOBODY, NOBODY, (unsigned int)getegid(), path);
	assert_string_equal(text, want);
	assert_int_equal(chmod(path, 0666), 0);
	assert_string_equal(said("log", path, sizeof(path)), "");

	/* Not there: the directory, which may be one of the system's. */
	snprintf(want, sizeof(want), "; %s belongs to uid 0 (root), mode 0755, and this runs as uid %d", dir, NOBODY);
	assert_string_equal(said("other", path, sizeof(path)), want);
	assert_int_equal(chmod(dir, 0700), 0);
	snprintf(want, sizeof(want), "; %s belongs to uid 0 (root), mode 0700, and this runs as uid %d", dir, NOBODY);
	assert_string_equal(said("log", path, sizeof(path)), want);
	assert_int_equal(chmod(dir, 0755), 0);

	snprintf(path, sizeof(path), "%s/link", dir);
	assert_int_equal(symlink("log", path), 0);
	assert_string_equal(said("link", path, sizeof(path)), "; it is a symbolic link, which is not followed");
	unlink(path);
	snprintf(path, sizeof(path), "%s/log", dir);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(owners)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
