/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What a service manager hears, through a socket of its kind. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "dataplane/watchdog.h"
#include "postern/notify.h"
#include "postern/stats.h"

static int manager = -1;

/* An abstract address, or one in the file system. */
static void listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = strlen(path);

	if (manager >= 0)
		close(manager);
	memcpy(a.sun_path, path, n);
	if (*path == '@')
		a.sun_path[0] = '\0';
	else
		unlink(path);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(manager >= 0);
	assert_int_equal(bind(manager, (struct sockaddr *)&a,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
}

static const char *heard(void)
{
	static char text[256];
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

	if (n < 0)
		return NULL;
	text[n] = '\0';
	return text;
}

static void test_send(void **state)
{
	char path[64], longer[200];

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_send("READY=1"), 0);
	snprintf(path, sizeof(path), "@postern-test-%d", (int)getpid());
	listen_at(path);
	assert_int_equal(notify_send("READY=1\nSTATUS=here"), 0);
	assert_string_equal(heard(), "READY=1\nSTATUS=here");
	snprintf(path, sizeof(path), "/tmp/postern-test-%d", (int)getpid());
	listen_at(path);
	assert_int_equal(notify_send("STOPPING=1"), 0);
	assert_string_equal(heard(), "STOPPING=1");
	unlink(path);
	assert_int_equal(notify_send("READY=1"), -ENOENT);
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(notify_send("READY=1"), -EINVAL);
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longer, 1);
	assert_int_equal(notify_send("READY=1"), -EINVAL);
}

static void test_watched(void **state)
{
	char pid[24];

	(void)state;
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	assert_false(notify_watched());
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_true(notify_watched());
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_true(notify_watched());
	setenv("WATCHDOG_PID", "1", 1);
	assert_false(notify_watched());
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "0", 1);
	assert_false(notify_watched());
}

/* Fed while all loops turn; not while one of them stands. */
static void test_feed(void **state)
{
	static uint64_t block[2][POSTERN_DP_COUNTER_COUNT];
	uint64_t *const counters[2] = {block[0], block[1]};
	struct watchdog w;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "@postern-test-feed-%d", (int)getpid());
	listen_at(path);
	setenv("WATCHDOG_USEC", "30000000", 1);
	watchdog_start(&w, 100);
	block[0][CNT_loop_turns] = block[1][CNT_loop_turns] = 1;
	assert_false(watchdog_feed(&w, counters, 2, 100));
	assert_true(watchdog_feed(&w, counters, 2, 101));
	assert_string_equal(heard(), "WATCHDOG=1");
	block[0][CNT_loop_turns]++;
	assert_false(watchdog_feed(&w, counters, 2, 101));
	assert_false(watchdog_feed(&w, counters, 2, 102));
	assert_null(heard());
	block[0][CNT_loop_turns]++;
	block[1][CNT_loop_turns]++;
	assert_true(watchdog_feed(&w, counters, 2, 103));
	assert_string_equal(heard(), "WATCHDOG=1");
	unsetenv("WATCHDOG_USEC");
	watchdog_start(&w, 200);
	block[0][CNT_loop_turns]++;
	block[1][CNT_loop_turns]++;
	assert_false(watchdog_feed(&w, counters, 2, 300));
	assert_null(heard());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_send), cmocka_unit_test(test_watched), cmocka_unit_test(test_feed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
