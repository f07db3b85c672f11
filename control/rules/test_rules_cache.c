/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What pruning removes, and what it must not touch. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/rules/rules_cache.h"

#define DAY 86400

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[400];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* 64 times the digit. */
static const char *name_of(char digit, const char *suffix)
{
	static char name[100];

	memset(name, digit, 64);
	snprintf(name + 64, sizeof(name) - 64, "%s", suffix);
	return name;
}

static void make(const char *name, size_t n, time_t age)
{
	struct timespec then[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)n), 0);
	assert_int_equal(futimens(fd, then), 0);
	close(fd);
}

static bool there(const char *name)
{
	struct stat st;

	return !lstat(in_dir(name), &st);
}

static int begin(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test-rules-cache-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	(void)state;
	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    unlinkat(dirfd(d), e->d_name, 0))
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	if (d)
		closedir(d);
	return rmdir(dir);
}

static void by_age(void **state)
{
	struct rules_cache_pruned gone;

	(void)state;
	make(name_of('1', ".db"), 100, 31 * DAY);
	make(name_of('2', ".db"), 10, 29 * DAY);
	make(name_of('3', ".db.abcDEF"), 1, 2 * 3600); /* a compiler was killed over it */
	make(name_of('4', ".db.abcDEF"), 1, 60);       /* one that writes */
	assert_int_equal(rules_cache_prune(dir, 1000000, 30, &gone), 0);
	assert_int_equal(gone.files, 2);
	assert_int_equal(gone.octets, 101);
	assert_false(there(name_of('1', ".db")));
	assert_true(there(name_of('2', ".db")));
	assert_false(there(name_of('3', ".db.abcDEF")));
	assert_true(there(name_of('4', ".db.abcDEF")));
}

static void by_size(void **state)
{
	struct rules_cache_pruned gone;

	(void)state;
	for (char c = '1'; c <= '6'; c++) /* 6 was used last */
		make(name_of(c, ".db"), 100, ('7' - c) * 3600);
	assert_int_equal(rules_cache_prune(dir, 300, 30, &gone), 0);
	assert_int_equal(gone.files, 3);
	assert_int_equal(gone.octets, 300);
	for (char c = '1'; c <= '6'; c++)
		assert_int_equal(there(name_of(c, ".db")), c >= '4');
	assert_int_equal(rules_cache_prune(dir, 300, 30, &gone), 0);
	assert_int_equal(gone.files, 0);
}

/* Files of others, and ways out of the directory. */
static void foreign(void **state)
{
	static const char *const names[] = {
		"README", "x.db", "a.db.abcDEF", "ABCDEF.db",
		"g111111111111111111111111111111111111111111111111111111111111111.db",
		"1111111111111111111111111111111111111111111111111111111111111111.dbx",
		"1111111111111111111111111111111111111111111111111111111111111111.db.abcDE",
		"1111111111111111111111111111111111111111111111111111111111111111.db~abcDEF",
		"11111111111111111111111111111111111111111111111111111111111111111.db",
	};
	struct rules_cache_pruned gone;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		make(names[i], 1000, 100 * DAY);
	make("target", 1000, 100 * DAY);
	assert_int_equal(symlink("target", in_dir(name_of('7', ".db"))), 0);
	assert_int_equal(mkdir(in_dir(name_of('8', ".db")), 0700), 0);
	assert_int_equal(mkfifo(in_dir(name_of('9', ".db")), 0600), 0);
	assert_int_equal(rules_cache_prune(dir, 1, 30, &gone), 0);
	assert_int_equal(gone.files, 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!there(names[i]))
			fail_msg("%s is gone", names[i]);
	assert_true(there("target"));
	assert_true(there(name_of('7', ".db")) && there(name_of('8', ".db")) && there(name_of('9', ".db")));
	assert_int_equal(rules_cache_prune(in_dir("target"), 1, 30, &gone), -ENOTDIR);
	assert_int_equal(rules_cache_prune(in_dir("none"), 1, 30, &gone), -ENOENT);
}

static void age(const char *path)
{
	struct timespec then[2] = {{.tv_sec = time(NULL) - 100 * DAY}, {.tv_sec = time(NULL) - 100 * DAY}};

	assert_int_equal(utimensat(AT_FDCWD, path, then, 0), 0);
}

/* What is in use stays, however old and large; a get says so to other processes too. */
static void in_use(void **state)
{
	struct rules_cache_pruned gone;
	char put[RULES_CACHE_PATH], got[RULES_CACHE_PATH], other[RULES_CACHE_PATH];
	const char *const text[] = {"a", "b", "c"};
	unsigned int zero = 0;
	struct stat st;
	char *bytes;
	size_t len;
	pid_t pid;
	int status;

	(void)state;
	assert_true(rules_cache_path(dir, 1, &text[0], &zero, &zero, 1, put));
	assert_true(rules_cache_path(dir, 1, &text[1], &zero, &zero, 1, got));
	assert_true(rules_cache_path(dir, 1, &text[2], &zero, &zero, 1, other));
	pid = fork(); /* another compiler's */
	if (pid == 0) {
		rules_cache_put(got, "text", 4);
		rules_cache_put(other, "text", 4);
		_exit(0);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	age(got);
	age(other);
	rules_cache_put(put, "text", 4);
	age(put);
	assert_true(rules_cache_get(got, &bytes, &len));
	free(bytes);
	assert_int_equal(stat(got, &st), 0);
	assert_true(st.st_atime > time(NULL) - 60 && st.st_mtime < time(NULL) - DAY);
	age(got);
	assert_int_equal(rules_cache_prune(dir, 1, 30, &gone), 0);
	assert_int_equal(gone.files, 1);
	assert_int_not_equal(access(other, F_OK), 0);
	assert_int_equal(access(got, F_OK), 0);
	assert_int_equal(access(put, F_OK), 0);
	/* One that is damaged is not in use. */
	assert_int_equal(truncate(got, 40), 0);
	assert_false(rules_cache_get(got, &bytes, &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(by_age, begin, end),
		cmocka_unit_test_setup_teardown(by_size, begin, end),
		cmocka_unit_test_setup_teardown(foreign, begin, end),
		cmocka_unit_test_setup_teardown(in_use, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
