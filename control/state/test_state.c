/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Documents that survive: what was put is read again, what is damaged is said to be. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/state/state.h"
#include "postern/limits.h"

static char dir[64], path[128];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/postern-state-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/state", dir);
	return 0;
}

static int teardown(void **state)
{
	char cmd[200];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	return system(cmd);
}

static struct state *open_it(void)
{
	char err[256] = "";
	struct state *s = state_open(path, err, sizeof(err));

	if (!s)
		fail_msg("%s", err);
	return s;
}

static void put(struct state *s, enum state_doc doc, const char *text)
{
	state_put(s, doc, strdup(text), strlen(text));
}

static void expect(struct state *s, enum state_doc doc, const char *text)
{
	char *got = NULL;
	size_t n = 0;

	assert_int_equal(state_read(s, doc, &got, &n), 0);
	assert_int_equal(n, strlen(text));
	assert_string_equal(got, text);
	free(got);
}

static void what_was_put_is_read(void **state)
{
	struct state *s = open_it();
	char *text;
	size_t n;

	(void)state;
	assert_int_equal(state_read(s, STATE_BREAKERS, &text, &n), -ENOENT);
	for (int i = 0; i < 200; i++) {
		char v[20];

		snprintf(v, sizeof(v), "version %d", i);
		put(s, STATE_BREAKERS, v);
	}
	put(s, STATE_STS, "");
	state_close(s);
	s = open_it();
	expect(s, STATE_BREAKERS, "version 199"); /* the newest, and the close waited for it */
	expect(s, STATE_STS, "");
	assert_int_equal(state_failed(s), 0);
	state_close(s);
}

static void one_owner(void **state)
{
	struct state *s = open_it();
	char err[256];

	(void)state;
	assert_null(state_open(path, err, sizeof(err)));
	assert_non_null(strstr(err, "another process owns it"));
	state_close(s);
	state_close(open_it());
	assert_null(state_open("/nonexistent/a/b", err, sizeof(err)));
	assert_non_null(strstr(err, "/nonexistent/a/b: "));
}

/* Every octet counts; what is damaged is not read. */
static void damage_is_seen(void **state)
{
	char file[200], *text;
	struct stat st;
	size_t n;

	(void)state;
	snprintf(file, sizeof(file), "%s/%s", path, state_name(STATE_BREAKERS));
	for (long at = -1;; at++) {
		struct state *s = open_it();
		uint8_t c;
		int fd;

		put(s, STATE_BREAKERS, "{\"routes\":[]}");
		state_close(s);
		fd = open(file, O_RDWR);
		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		if (at == st.st_size) {
			close(fd);
			break;
		}
		if (at < 0) {
			assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
		} else {
			assert_int_equal(pread(fd, &c, 1, at), 1);
			c ^= 0x20;
			assert_int_equal(pwrite(fd, &c, 1, at), 1);
		}
		close(fd);
		s = open_it();
		assert_int_equal(state_read(s, STATE_BREAKERS, &text, &n), -EBADMSG);
		/* Until a good one is written it is damaged, not absent. */
		assert_int_equal(state_read(s, STATE_BREAKERS, &text, &n), -EBADMSG);
		state_close(s);
	}
	assert_int_equal(truncate(file, 0), 0);
	{
		struct state *s = open_it();

		assert_int_equal(state_read(s, STATE_BREAKERS, &text, &n), -EBADMSG);
		state_close(s);
	}
}

/* A write that was cut off leaves the document before it. */
static void half_written(void **state)
{
	struct state *s = open_it();
	char file[200];
	int fd;

	(void)state;
	put(s, STATE_STS, "first");
	state_close(s);
	snprintf(file, sizeof(file), "%s/%s.new", path, state_name(STATE_STS));
	fd = open(file, O_WRONLY | O_CREAT, 0640);
	assert_int_equal(write(fd, "postern-st", 10), 10);
	close(fd);
	s = open_it();
	expect(s, STATE_STS, "first");
	put(s, STATE_STS, "second");
	state_close(s);
	s = open_it();
	expect(s, STATE_STS, "second");
	state_close(s);
}

static void failure_is_counted(void **state)
{
	struct state *s = open_it();
	char file[200], *big = malloc(LIMIT_STATE_DOC + 1);

	(void)state;
	assert_non_null(big);
	memset(big, 'x', LIMIT_STATE_DOC + 1);
	/* A directory stands where the file is to be written. */
	snprintf(file, sizeof(file), "%s/%s.new", path, state_name(STATE_STS));
	assert_int_equal(mkdir(file, 0700), 0);
	put(s, STATE_STS, "first");
	while (!state_failed(s))
		usleep(1000);
	assert_int_equal(rmdir(file), 0);
	/* It is kept, and written at the close at the latest. */
	state_put(s, STATE_BREAKERS, big, LIMIT_STATE_DOC + 1);
	state_close(s);
	s = open_it();
	expect(s, STATE_STS, "first");
	state_close(s);
	snprintf(file, sizeof(file), "%s/%s", path, state_name(STATE_BREAKERS));
	assert_int_equal(access(file, F_OK), -1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_was_put_is_read), T(one_owner), T(damage_is_seen), T(half_written),
		T(failure_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
