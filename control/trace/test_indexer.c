/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The index has what the log has, whatever happens to either: rotation by us and by others, a line that was
 * torn, a process that died, a database that is locked, damaged or gone.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>

#include "control/trace/index.h"
#include "control/trace/logfiles.h"
#include "control/trace/trace.h"
#include "postern/stats.h"

static char dir[64], log_path[96], db_path[96], err[256];
static uint64_t counters[POSTERN_CTL_COUNTER_COUNT];
static struct trace_options opt;
static struct trace *t;
static char alerted[512];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/postern-indexer-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(log_path, sizeof(log_path), "%s/trace.jsonl", dir);
	snprintf(db_path, sizeof(db_path), "%s/trace.db", dir);
	opt = (struct trace_options){.file = log_path, .index = db_path, .index_size = 64 << 20,
				     .index_age_s = 86400, .files = 50, .keep = 4};
	memset(counters, 0, sizeof(counters));
	alerted[0] = '\0';
	t = NULL;
	return 0;
}

static void start(void)
{
	t = trace_new(&opt, counters, err, sizeof(err));
	if (!t)
		fail_msg("%s", err);
}

static void stop(void)
{
	trace_free(t);
	t = NULL;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	stop();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void alert(const char *text)
{
	snprintf(alerted, sizeof(alerted), "%s", text);
}

static void write_n(int from, int to)
{
	char id[32];

	for (int i = from; i < to; i++) {
		snprintf(id, sizeof(id), "T%06d", i);
		trace_write(t, json_pack("{s:s, s:s, s:s}", "trace_id", id, "outcome", "delivered", "rcpt",
					 "u@example.com"));
	}
}

static bool caught_up(void)
{
	json_t *s = trace_status(t);
	bool yes = json_is_true(json_object_get(s, "caught_up"));

	json_decref(s);
	return yes;
}

static void settle(void)
{
	for (int i = 0; i < 3000 && !caught_up(); i++)
		usleep(10000);
	assert_true(caught_up());
}

static int64_t number(const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *s;
	int64_t v = -1;

	assert_int_equal(sqlite3_open_v2(db_path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
		v = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return v;
}

/* Each of T000000 to T(n-1) once, and the lines of the log stand where the index says. */
static void has(int n)
{
	assert_int_equal(number("SELECT count(*) FROM record"), n);
	assert_int_equal(number("SELECT count(DISTINCT trace_id) FROM record"), n);
	assert_int_equal(number("SELECT count(*) FROM record WHERE CAST(substr(trace_id, 2) AS INTEGER) >= 0"), n);
	if (n)
		assert_int_equal(number("SELECT max(CAST(substr(trace_id, 2) AS INTEGER)) FROM record"), n - 1);
	assert_int_equal(number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check != 'ok'"), 0);
}

static void restart(void **state)
{
	(void)state;
	start();
	write_n(0, 100);
	settle();
	has(100);
	stop();
	start();
	write_n(100, 150);
	settle();
	has(150);
	assert_int_equal(counters[CTL_trace_records], 150);
	/* what was read is not read again */
	stop();
	unlink(log_path);
	start();
	settle();
	has(150);
}

/* Our own rotation, faster than the index is asked to look. */
static void rotation(void **state)
{
	struct logfile *list;
	long n;

	(void)state;
	opt.file_size = 4000;
	start();
	for (int i = 0; i < 40; i++) {
		write_n(i * 50, i * 50 + 50);
		usleep(2000);
	}
	settle();
	has(2000);
	trace_second(t, alert);
	assert_true(counters[CTL_trace_rotated] > 5);
	assert_int_equal(counters[CTL_trace_rotate_failed], 0);
	assert_int_equal(counters[CTL_trace_indexed], 2000);
	n = logfiles_list(log_path, &list);
	assert_true(n > 5);
	/* by time, the log itself last */
	for (long i = 1; i < n; i++)
		assert_true(list[i - 1].time_ms <= list[i].time_ms);
	free(list);
	/* all of them anew */
	assert_int_equal(trace_reindex(t), 0);
	settle();
	has(2000);
	assert_string_equal(alerted, "");
}

/* Only so many are kept. */
static void kept(void **state)
{
	char name[128];

	(void)state;
	opt.file_size = 1000;
	opt.files = 3;
	start();
	for (int i = 0; i < 20; i++) {
		write_n(i * 20, i * 20 + 20);
		usleep(5000);
	}
	settle();
	snprintf(name, sizeof(name), "%s.3", log_path);
	assert_int_equal(access(name, F_OK), 0);
	snprintf(name, sizeof(name), "%s.4", log_path);
	assert_int_not_equal(access(name, F_OK), 0);
}

/* logrotate: renamed, written to still, then SIGHUP. */
static void renamed(void **state)
{
	char old[128];

	(void)state;
	start();
	write_n(0, 10);
	settle();
	snprintf(old, sizeof(old), "%s-20260101", log_path);
	assert_int_equal(rename(log_path, old), 0);
	write_n(10, 20);
	usleep(300000);
	assert_int_equal(trace_reopen(t), 0);
	write_n(20, 30);
	settle();
	has(30);
	stop();
	start();
	settle();
	has(30);
}

/* copytruncate, while nobody looks: what the copy holds is known by its first line. */
static void truncated(void **state)
{
	char command[400];

	(void)state;
	start();
	write_n(0, 10);
	settle();
	snprintf(command, sizeof(command), "cp %s %s.1 && truncate -s 0 %s", log_path, log_path, log_path);
	assert_int_equal(system(command), 0);
	write_n(10, 12);
	settle();
	has(12);
}

/* A process that died in the middle of a line, and the next one. */
static void torn(void **state)
{
	FILE *f;

	(void)state;
	start();
	write_n(0, 10);
	settle();
	stop();
	f = fopen(log_path, "a");
	fputs("{\"trace_id\":\"T000010\",\"outcome\":\"deli", f);
	fclose(f);
	start();
	write_n(10, 20);
	settle();
	has(20);
	trace_second(t, alert);
	assert_int_equal(counters[CTL_trace_index_bad], 1);
}

/* Nothing but the log is left of the last of them. */
static void killed(void **state)
{
	struct stat st;
	pid_t pid;
	int status;

	(void)state;
	for (int round = 0; round < 3; round++) {
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			t = trace_new(&opt, counters, err, sizeof(err));
			for (int i = 0; t && i < 1 << 20; i++) {
				write_n(round * 100000 + i, round * 100000 + i + 1);
				usleep(100);
			}
			_exit(1);
		}
		/* In the middle of writing, however slow the machine is. */
		for (int i = 0; i < 3000 && (stat(log_path, &st) || st.st_size < (round + 1) * 16000); i++)
			usleep(10000);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
	}
	start();
	settle();
	assert_int_equal(number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check != 'ok'"), 0);
	{
		char line[512];
		FILE *f = fopen(log_path, "r");
		int64_t n = 0;

		assert_non_null(f);
		while (fgets(line, sizeof(line), f))
			n += strncmp(line, "{\"time\"", 7) == 0 && strstr(line, "\"}\n") != NULL;
		fclose(f);
		assert_true(n > 100);
		assert_int_equal(number("SELECT count(*) FROM record"), n);
		assert_int_equal(number("SELECT count(DISTINCT trace_id) FROM record"), n);
	}
}

/* Somebody holds the database: the log goes on, and when it is free the index has everything. */
static void locked(void **state)
{
	sqlite3 *db;

	(void)state;
	start();
	write_n(0, 10);
	settle();
	assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	write_n(10, 2000);
	for (int i = 0; i < 1000 && !counters[CTL_trace_index_failed]; i++) {
		usleep(10000);
		trace_second(t, alert);
	}
	assert_true(counters[CTL_trace_index_failed] > 0);
	assert_non_null(strstr(alerted, "database is locked"));
	assert_true(counters[CTL_trace_index_lag_bytes] > 0);
	assert_int_equal(counters[CTL_trace_failed], 0);
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	settle();
	has(2000);
	trace_second(t, alert);
	assert_int_equal(counters[CTL_trace_index_lag_bytes], 0);
}

/* Files that rotation deleted meanwhile: each counts once, but for the one that is held open. */
static void lost(void **state)
{
	uint64_t failed;
	sqlite3 *db;

	(void)state;
	opt.file_size = 1000;
	opt.files = 2;
	start();
	write_n(0, 1);
	settle();
	assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	for (int i = 1; i < 1000 && counters[CTL_trace_rotated] < 10; i++) {
		write_n(i * 20, i * 20 + 20);
		usleep(5000);
		trace_second(t, alert);
	}
	assert_true(counters[CTL_trace_rotated] >= 10);
	failed = counters[CTL_trace_index_failed];
	for (int i = 0; i < 1000 && counters[CTL_trace_index_failed] < failed + 3; i++) {
		usleep(10000);
		trace_second(t, alert);
	}
	assert_int_equal(counters[CTL_trace_index_dropped], 0);
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	settle();
	trace_second(t, alert);
	/* two are there, and the first was open */
	assert_int_equal(counters[CTL_trace_index_dropped], counters[CTL_trace_rotated] - 3);
	assert_int_equal(number("SELECT count(*) FROM record WHERE trace_id IN ('T000000', 'T000020')"), 2);
}

/* A database that is damaged is put aside; one that is gone is made again. */
static void damaged(void **state)
{
	char other[128];
	FILE *f;

	(void)state;
	start();
	write_n(0, 3000);
	settle();
	stop();
	f = fopen(db_path, "r+");
	assert_non_null(f);
	fseek(f, 100, SEEK_SET);
	for (int i = 0; i < 60000; i++)
		fputc(0xa5, f);
	fclose(f);
	start();
	write_n(3000, 3001);
	settle();
	has(3001);
	trace_second(t, alert);
	assert_int_equal(counters[CTL_trace_index_rebuilt], 1);
	snprintf(other, sizeof(other), "%s.damaged", db_path);
	assert_int_equal(access(other, F_OK), 0);
	stop();
	unlink(db_path);
	start();
	settle();
	has(3001);
}

/* Under a process that has it open. */
static void damaged_meanwhile(void **state)
{
	sqlite3 *db;
	FILE *f;

	(void)state;
	start();
	write_n(0, 3000);
	settle();
	assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE); CREATE TABLE other (a);"
				      "PRAGMA wal_checkpoint(TRUNCATE);", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	f = fopen(db_path, "r+");
	assert_non_null(f);
	fseek(f, 100, SEEK_SET);
	for (int i = 0; i < 60000; i++)
		fputc(0xa5, f);
	fclose(f);
	write_n(3000, 3001);
	for (int i = 0; i < 1000 && !counters[CTL_trace_index_rebuilt]; i++) {
		usleep(10000);
		trace_second(t, alert);
	}
	assert_non_null(strstr(alerted, "malformed"));
	settle();
	has(3001);
}

/* A file that somebody named by mistake stays as it is. */
static void mistaken(void **state)
{
	char text[64] = "";
	FILE *f = fopen(db_path, "w");

	(void)state;
	fputs("not to be touched, whatever it is\n", f);
	fclose(f);
	assert_null(trace_new(&opt, counters, err, sizeof(err)));
	assert_non_null(strstr(err, "not a database"));
	f = fopen(db_path, "r");
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	assert_string_equal(text, "not to be touched, whatever it is\n");
}

static char alerts[2048];

static void gather(const char *text)
{
	strncat(alerts, text, sizeof(alerts) - strlen(alerts) - 1);
	strncat(alerts, "\n", sizeof(alerts) - strlen(alerts) - 1);
}

/* Neither log nor database can be opened: it is said of each, counted, and mended without a restart. */
static void missing(void **state)
{
	char away[80], path[2][120];
	json_t *s;

	(void)state;
	snprintf(away, sizeof(away), "%s/away", dir);
	snprintf(path[0], sizeof(path[0]), "%s/trace.jsonl", away);
	snprintf(path[1], sizeof(path[1]), "%s/trace.db", away);
	opt.file = path[0];
	opt.index = path[1];
	start();
	alerts[0] = '\0';
	for (int i = 0; i < 500 && !strstr(alerts, "index: "); i++) {
		trace_second(t, gather);
		usleep(10000);
	}
	assert_non_null(strstr(alerts, "/away/trace.jsonl cannot be opened: No such file or directory; mail goes on"));
	assert_non_null(strstr(alerts, "/away/trace.db: unable to open"));
	write_n(0, 3);
	for (int i = 0; i < 500 && counters[CTL_trace_failed] < 3; i++) {
		trace_second(t, alert);
		usleep(10000);
	}
	assert_int_equal(counters[CTL_trace_failed], 3);
	s = trace_status(t);
	assert_non_null(strstr(json_string_value(json_object_get(s, "file_error")), "cannot be opened"));
	json_decref(s);
	assert_int_equal(trace_reopen(t), -ENOENT);
	assert_int_equal(mkdir(away, 0700), 0);
	assert_int_equal(trace_reopen(t), 0);
	snprintf(db_path, sizeof(db_path), "%.95s", path[1]);
	write_n(0, 5);
	for (int i = 0; i < 500 && access(db_path, F_OK); i++)
		usleep(10000);
	settle();
	has(5);
	s = trace_status(t);
	assert_true(json_is_null(json_object_get(s, "file_error")) && json_is_null(json_object_get(s, "index_error")));
	json_decref(s);
	assert_int_equal(counters[CTL_trace_failed], 3);
}

static void old(void **state)
{
	FILE *f = fopen(log_path, "w");

	(void)state;
	fputs("{\"trace_id\":\"T000099\",\"outcome\":\"delivered\",\"time\":\"2020-01-01T00:00:00.000Z\"}\n", f);
	fclose(f);
	start();
	write_n(0, 5);
	settle();
	has(5);
}

/* A batch is larger than what is kept free in a small database: it goes on all the same. */
static void full(void **state)
{
	char id[32], text[1001];

	(void)state;
	memset(text, 'r', 1000);
	text[1000] = '\0';
	opt.index_size = 8 << 20;
	start();
	for (int i = 0; i < 3000; i++) {
		snprintf(id, sizeof(id), "T%06d", i);
		trace_write(t, json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s}}", "trace_id", id, "outcome", "delivered",
			"reply", text, "next_hop_reply", text, "subject", text, "judged", "reason", text));
		if (i % 500 == 499)
			usleep(20000);
	}
	settle();
	trace_second(t, alert);
	assert_int_equal(number("SELECT max(CAST(substr(trace_id, 2) AS INTEGER)) FROM record"), 2999);
	assert_true(number("SELECT count(*) FROM record") > 500);
	assert_int_equal(counters[CTL_trace_indexed], 3000);
	assert_int_equal(counters[CTL_trace_index_lag_bytes], 0);
	assert_int_equal(number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check != 'ok'"), 0);
}

static void times(void **state)
{
	(void)state;
	assert_int_equal(logfiles_time_ms("1970-01-01T00:00:01.5Z"), 1500);
	assert_int_equal(logfiles_time_ms("2025-11-28T00:00:00.123Z"), INT64_C(1764288000123));
	assert_int_equal(logfiles_time_ms("2025-11-28T00:00:00.123456Z"), INT64_C(1764288000123));
	assert_int_equal(logfiles_time_ms("2025-11-28T00:00:00"), 0);
	assert_int_equal(logfiles_time_ms("2025-11-28"), 0);
	assert_int_equal(logfiles_time_ms(""), 0);
	assert_int_equal(logfiles_time_ms(NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(killed, setup, teardown), /* forks: before there are threads */
		cmocka_unit_test_setup_teardown(restart, setup, teardown),
		cmocka_unit_test_setup_teardown(rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(kept, setup, teardown),
		cmocka_unit_test_setup_teardown(renamed, setup, teardown),
		cmocka_unit_test_setup_teardown(truncated, setup, teardown),
		cmocka_unit_test_setup_teardown(torn, setup, teardown),
		cmocka_unit_test_setup_teardown(locked, setup, teardown),
		cmocka_unit_test_setup_teardown(lost, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(mistaken, setup, teardown),
		cmocka_unit_test_setup_teardown(missing, setup, teardown),
		cmocka_unit_test_setup_teardown(old, setup, teardown),
		cmocka_unit_test_setup_teardown(full, setup, teardown),
		cmocka_unit_test(times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
