/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What goes into the index is found by each of its keys, in pages; bounds hold; what is no index of ours is
 * left alone. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>
#include <sqlite3.h>

#include "control/trace/index.h"

#define BASE INT64_C(1764288000000) /* 2025-11-28T00:00:00Z */

static char dir[64], path[96], err[256];
static struct trace_index *x;

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/postern-index-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/trace.db", dir);
	return trace_index_open(&x, path, 16 << 20, err, sizeof(err));
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	trace_index_close(x);
	x = NULL;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static int put_at(int64_t ms, const char *rest)
{
	char line[8192];
	struct row r;
	time_t t = (time_t)(ms / 1000);
	char day[32];
	int rc;

	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", gmtime(&t));
	snprintf(line, sizeof(line), "{%s,\"time\":\"%s.%03dZ\"}", rest, day, (int)(ms % 1000));
	assert_true(row_read(&r, line, strlen(line)));
	rc = trace_index_put(x, &r, 1, 100, strlen(line));
	return rc;
}

static void put(int64_t ms, const char *rest)
{
	assert_int_equal(trace_index_begin(x), 0);
	assert_int_equal(put_at(ms, rest), 0);
	assert_int_equal(trace_index_commit(x), 0);
}

/* The trace ids that are found, with a space behind each. */
static const char *found(const struct trace_search *q)
{
	static char text[4096];
	struct trace_search all = *q;
	json_t *a, *v;
	int64_t next;
	size_t i;

	if (!all.limit)
		all.limit = 10;
	text[0] = '\0';
	assert_int_equal(trace_index_search(x, &all, &a, &next, err, sizeof(err)), 0);
	json_array_foreach(a, i, v) {
		strcat(text, json_string_value(json_object_get(v, "trace_id")));
		strcat(text, " ");
	}
	json_decref(a);
	return text;
}

#define FOUND(want, ...) assert_string_equal(found(&(struct trace_search){__VA_ARGS__}), want)

static void fill(void)
{
	put(BASE, "\"trace_id\":\"A1\",\"outcome\":\"delivered\",\"message_id\":\"<one@example.net>\","
		  "\"mail_from\":\"S@B\xc3\xbc" "cher.example\",\"rcpt\":\"U@Example.com\",\"origin\":\"192.0.2.7\","
		  "\"peer\":\"192.0.2.7\",\"local\":\"192.0.2.25\",\"egress\":\"198.51.100.25\",\"route\":\"office\","
		  "\"size\":10,\"judged\":{\"score\":2.5,\"action\":\"accept\",\"spf\":{\"result\":\"pass\"},"
		  "\"dkim\":[{\"result\":\"fail\"},{\"result\":\"pass\"}],"
		  "\"matches\":[{\"rule\":\"R_ONE\"},{\"rule\":\"R_TWO\"},{\"rule\":\"R_ONE\"}]}");
	put(BASE, "\"trace_id\":\"A2\",\"outcome\":\"rejected\",\"message_id\":\"<two@example.net>\","
		  "\"mail_from\":\"\",\"rcpt\":\"v@example.com\",\"origin\":\"2001:db8::7\",\"route\":\"other\","
		  "\"judged\":{\"score\":9,\"matches\":[{\"rule\":\"R_TWO\"}]}");
	put(BASE + 5000, "\"trace_id\":\"A3\",\"outcome\":\"observed\",\"message_id\":\"\",\"mail_from\":\"s@example.org\","
		  "\"rcpt\":\"u@example.com\",\"origin\":\"192.0.2.9\"");
	put(BASE + 6000, "\"event\":\"reply-lost\",\"trace_id\":\"A1\"");
	put(BASE + 6000, "\"event\":\"reply-lost\",\"trace_id\":\"A1\"");
}

static void keys(void **state)
{
	json_t *e;

	(void)state;
	fill();
	FOUND("A3 A2 A1 ", .limit = 0);
	FOUND("A1 ", .trace_id = "a1");
	FOUND("", .trace_id = "A");
	FOUND("A1 ", .message_id = "<one@example.net>");
	FOUND("A1 ", .message_id = "one@example.net");
	FOUND("", .message_id = "");
	FOUND("A2 ", .mail_from = "");
	FOUND("A1 ", .mail_from = "s@xn--bcher-kva.example");
	FOUND("A1 ", .mail_from = "@B\xc3\x9c" "CHER.example");
	FOUND("A3 A1 ", .rcpt = "u@example.com");
	FOUND("A3 A2 A1 ", .rcpt = "@example.com");
	FOUND("", .rcpt = "@ample.com");
	FOUND("A1 ", .origin = "192.0.2.7");
	FOUND("A3 A1 ", .origin = "192.0.2.0/24");
	FOUND("A2 ", .origin = "2001:db8::/32");
	FOUND("A2 ", .outcome = "rejected");
	FOUND("A1 ", .outcome = "delivered");
	FOUND("A3 ", .outcome = "observed");
	FOUND("A2 A1 ", .rule = "R_TWO");
	FOUND("A1 ", .rule = "R_ONE");
	FOUND("", .rule = "R_%");
	FOUND("A1 ", .rule = "R_TWO", .rcpt = "u@example.com");
	FOUND("A2 ", .rule = "R_TWO", .outcome = "rejected");
	FOUND("A1 ", .route = "office");
	FOUND("A3 ", .since_ms = BASE + 1);
	FOUND("A2 A1 ", .until_ms = BASE + 5000);
	FOUND("A2 ", .rule = "R_TWO", .since_ms = BASE, .route = "other");
	FOUND("", .rule = "R_TWO", .until_ms = BASE);
	FOUND("A3 A1 ", .rcpt = "@example.com", .mail_from = NULL, .origin = "192.0.2.0/28");
	e = trace_index_events(x, "A1");
	assert_int_equal(json_array_size(e), 1);
	json_decref(e);
	/* what cannot be */
	{
		struct trace_search q = {.outcome = "lost", .limit = 1}, o = {.origin = "192.0.2", .limit = 1};
		json_t *a;
		int64_t next;

		assert_int_equal(trace_index_search(x, &q, &a, &next, err, sizeof(err)), -EINVAL);
		json_decref(a);
		assert_non_null(strstr(err, "is no outcome"));
		assert_int_equal(trace_index_search(x, &o, &a, &next, err, sizeof(err)), -EINVAL);
		json_decref(a);
	}
}

/* What a record says comes out as it went in, and what was not said as null. */
static void columns(void **state)
{
	struct trace_search q = {.limit = 10};
	json_t *a, *v;
	int64_t next;

	(void)state;
	fill();
	assert_int_equal(trace_index_search(x, &q, &a, &next, err, sizeof(err)), 0);
	v = json_array_get(a, 2);
	assert_string_equal(json_string_value(json_object_get(v, "mail_from")), "S@B\xc3\xbc" "cher.example");
	assert_string_equal(json_string_value(json_object_get(v, "rcpt")), "U@Example.com");
	assert_string_equal(json_string_value(json_object_get(v, "egress")), "198.51.100.25");
	assert_string_equal(json_string_value(json_object_get(v, "dkim")), "pass");
	assert_string_equal(json_string_value(json_object_get(v, "time")), "2025-11-28T00:00:00.000Z");
	assert_float_equal(json_real_value(json_object_get(v, "score")), 2.5, 0);
	v = json_array_get(a, 0);
	assert_true(json_is_null(json_object_get(v, "score")));
	assert_true(json_is_null(json_object_get(v, "egress")));
	assert_string_equal(json_string_value(json_object_get(v, "outcome")), "observed");
	json_decref(a);
}

/* Many of one millisecond, and of a clock that was set back: each has a place, in order of time. */
static void pages(void **state)
{
	struct trace_search q = {.limit = 7};
	char rest[200];
	size_t n = 0, calls = 0;
	int64_t last = INT64_MAX;
	json_t *a, *v;
	size_t i;

	(void)state;
	assert_int_equal(trace_index_begin(x), 0);
	for (int k = 0; k < 100; k++) {
		snprintf(rest, sizeof(rest), "\"trace_id\":\"P%d\",\"outcome\":\"deferred\",\"rcpt\":\"u@example.com\"", k);
		assert_int_equal(put_at(BASE + 10 - k / 10, rest), 0);
	}
	assert_int_equal(trace_index_commit(x), 0);
	do {
		assert_int_equal(trace_index_search(x, &q, &a, &q.before, err, sizeof(err)), 0);
		json_array_foreach(a, i, v) {
			int k = atoi(json_string_value(json_object_get(v, "trace_id")) + 1);
			int64_t place = (BASE + 10 - k / 10) * 1000 + k % 10;

			assert_true(place < last);
			last = place;
		}
		n += json_array_size(a);
		calls++;
		json_decref(a);
	} while (q.before);
	assert_int_equal(n, 100);
	assert_int_equal(calls, 15);
}

static void bounds(void **state)
{
	char rest[3000], reply[1001];
	uint64_t pruned = 0, n;
	struct stat st;
	bool more;

	(void)state;
	memset(reply, 'r', 1000);
	reply[1000] = '\0';
	for (int k = 0; k < 40; k++) {
		assert_int_equal(trace_index_begin(x), 0);
		for (int i = 0; i < 500; i++) {
			snprintf(rest, sizeof(rest), "\"trace_id\":\"B%d\",\"outcome\":\"delivered\",\"reply\":\"%s\","
				 "\"judged\":{\"matches\":[{\"rule\":\"R%d\"}]}", k * 500 + i, reply, i % 7);
			assert_int_equal(put_at(BASE + k * 500 + i, rest), 0);
		}
		assert_int_equal(trace_index_commit(x), 0);
		do {
			assert_int_equal(trace_index_prune(x, 0, false, &n, &more), 0);
			pruned += n;
		} while (more && trace_index_bytes(x) > (16 << 20) / 16 * 15);
	}
	/* 20,000 records of more than 1 KB each do not fit. */
	assert_true(pruned >= 4000 && pruned < 15000);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size <= 16 << 20);
	FOUND("B19999 ", .limit = 1);
	FOUND("B19997 ", .limit = 1, .rule = "R0", .until_ms = BASE + 19999);
	FOUND("", .trace_id = "B0");
	FOUND("", .until_ms = BASE + 1000, .rule = "R1");
	/* by age */
	do
		assert_int_equal(trace_index_prune(x, BASE + 19990, false, &n, &more), 0);
	while (more);
	FOUND("B19999 B19998 B19997 B19996 B19995 B19994 B19993 B19992 B19991 B19990 ", .limit = 100);
	FOUND("B19995 ", .rule = "R5", .limit = 100, .since_ms = BASE + 19995, .until_ms = BASE + 19996);
}

static int64_t number(const char *text)
{
	sqlite3 *db;
	sqlite3_stmt *s;
	int64_t v = -1;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	if (sqlite3_prepare_v2(db, text, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
		v = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return v;
}

/* Until it is full. Returns how many are there. */
static int fill_with_events(int64_t ms, int step)
{
	char rest[100];
	int n = 0, rc = 0;

	while (!rc) {
		assert_int_equal(trace_index_begin(x), 0);
		for (int i = 0; !rc && i < 2000; i++) {
			snprintf(rest, sizeof(rest), "\"event\":\"reply-lost\",\"trace_id\":\"E%014d\"", n + i);
			rc = put_at(ms + (int64_t)(n + i) * step, rest);
		}
		rc = rc ? rc : trace_index_commit(x);
		n += rc ? 0 : 2000;
		assert_true(n < 1000000);
	}
	trace_index_rollback(x);
	assert_int_equal(rc, -ENOSPC);
	/* and what is told is not of the rollback */
	assert_non_null(strstr(trace_index_why(x), "full"));
	return n;
}

/* Events have no record that they would go with: they are bounded by themselves. */
static void events(void **state)
{
	uint64_t n;
	bool more;
	int all;

	(void)state;
	for (int step = 1; step >= 0; step--) {
		all = fill_with_events(BASE, step);
		assert_int_equal(number("SELECT count(*) FROM event"), all);
		do
			assert_int_equal(trace_index_prune(x, 0, false, &n, &more), 0);
		while (more);
		assert_true(trace_index_bytes(x) <= (16 << 20) / 16 * 15);
		assert_true(number("SELECT count(*) FROM event") > all / 2);
		put(BASE + INT64_C(86400000), "\"trace_id\":\"LAST\",\"outcome\":\"delivered\"");
		/* a young record is no reason to keep old events */
		do
			assert_int_equal(trace_index_prune(x, BASE + INT64_C(86400000), false, &n, &more), 0);
		while (more);
		assert_int_equal(number("SELECT count(*) FROM event"), 0);
		FOUND("LAST ", .limit = 1);
	}
}

/* A step leaves half of few. */
static void half(void **state)
{
	uint64_t n;
	bool more;
	char rest[100];

	(void)state;
	for (int k = 0; k < 5; k++) {
		snprintf(rest, sizeof(rest), "\"trace_id\":\"H%d\",\"outcome\":\"delivered\"", k);
		put(BASE + k, rest);
	}
	assert_int_equal(trace_index_prune(x, 0, false, &n, &more), 0);
	assert_int_equal(n, 0);
	assert_int_equal(trace_index_prune(x, 0, true, &n, &more), 0);
	assert_int_equal(n, 3);
	assert_false(more);
	FOUND("H4 H3 ", .limit = 5);
	assert_int_equal(trace_index_prune(x, 0, true, &n, &more), 0);
	FOUND("H4 ", .limit = 5);
	/* one of before the index of events had its own */
	trace_index_close(x);
	{
		sqlite3 *db;

		assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, "DROP INDEX event_time", NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(db);
	}
	assert_int_equal(trace_index_open(&x, path, 16 << 20, err, sizeof(err)), 0);
	assert_int_equal(number("SELECT count(*) FROM sqlite_schema WHERE name = 'event_time'"), 1);
	FOUND("H4 ", .limit = 5);
}

static void reset(void **state)
{
	int64_t segment;
	uint64_t offset;

	(void)state;
	fill();
	assert_int_equal(trace_index_begin(x), 0);
	assert_int_equal(trace_index_place(x, 77, &segment, &offset), 0);
	assert_int_equal(offset, 0);
	assert_int_equal(trace_index_placed(x, segment, 1234), 0);
	assert_int_equal(trace_index_commit(x), 0);
	assert_int_equal(trace_index_begin(x), 0);
	assert_int_equal(trace_index_place(x, 77, &segment, &offset), 0);
	assert_int_equal(offset, 1234);
	trace_index_rollback(x);
	assert_int_equal(trace_index_reset(x, false), 0);
	FOUND("", .limit = 5);
	fill();
	FOUND("A2 A1 ", .rule = "R_TWO");
	assert_int_equal(trace_index_begin(x), 0);
	assert_int_equal(trace_index_place(x, 77, &segment, &offset), 0);
	assert_int_equal(offset, 0);
	trace_index_rollback(x);
}

static void readers(void **state)
{
	struct trace_index *w = x, *r;
	char copy[128];
	FILE *f;
	sqlite3 *db;

	(void)state;
	fill();
	/* beside a writer, and without one */
	assert_int_equal(trace_index_read(&r, path, err, sizeof(err)), 0);
	x = r;
	FOUND("A1 ", .trace_id = "A1");
	trace_index_close(r);
	trace_index_close(w);
	x = NULL;
	assert_int_equal(trace_index_read(&r, path, err, sizeof(err)), 0);
	x = r;
	FOUND("A1 ", .trace_id = "A1");
	trace_index_close(r);
	x = NULL;
	/* what is none */
	snprintf(copy, sizeof(copy), "%s/x?mode=rwc&#.db", dir);
	assert_int_equal(trace_index_read(&r, copy, err, sizeof(err)), -ENOENT);
	f = fopen(copy, "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is no database\n", f);
	fclose(f);
	assert_int_equal(trace_index_read(&r, copy, err, sizeof(err)), -EBADMSG);
	assert_int_equal(trace_index_open(&r, copy, 16 << 20, err, sizeof(err)), -EBADMSG);
	unlink(copy);
	assert_int_equal(sqlite3_open(copy, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE record (x)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(trace_index_open(&r, copy, 16 << 20, err, sizeof(err)), -EEXIST);
	assert_non_null(strstr(err, "another program"));
	assert_int_equal(trace_index_read(&r, copy, err, sizeof(err)), -EBADMSG);
}

static void rows(void **state)
{
	static const char *const bad[] = {
		"", "[]", "{}", "{\"trace_id\":\"A\"}", "{\"trace_id\":\"A\",\"time\":\"2025-11-28T00:00:00.000Z\"}",
		"{\"trace_id\":1,\"outcome\":\"delivered\",\"time\":\"2025-11-28T00:00:00.000Z\"}",
		"{\"trace_id\":\"A\",\"outcome\":\"lost\",\"time\":\"2025-11-28T00:00:00.000Z\"}",
		"{\"trace_id\":\"A\",\"outcome\":\"delivered\",\"time\":\"yesterday\"}",
		"{\"trace_id\":\"A\",\"outcome\":\"delivered\",\"time\":\"2025-11-28T00:00:00.000Z\"",
	};
	char big[9000];
	struct row r;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		strcpy(big, bad[i]);
		assert_false(row_read(&r, big, strlen(big)));
	}
	/* long texts are cut between characters */
	strcpy(big, "{\"trace_id\":\"A\",\"outcome\":\"delivered\",\"time\":\"2025-11-28T00:00:00Z\",\"reply\":\"x");
	for (int i = 0; i < 2000; i++)
		strcat(big, "\xc3\xa4");
	strcat(big, "\"}");
	assert_true(row_read(&r, big, strlen(big)));
	assert_int_equal(r.reply.n, ROW_TEXT - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keys, setup, teardown),
		cmocka_unit_test_setup_teardown(columns, setup, teardown),
		cmocka_unit_test_setup_teardown(pages, setup, teardown),
		cmocka_unit_test_setup_teardown(bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(events, setup, teardown),
		cmocka_unit_test_setup_teardown(half, setup, teardown),
		cmocka_unit_test_setup_teardown(reset, setup, teardown),
		cmocka_unit_test_setup_teardown(readers, setup, teardown),
		cmocka_unit_test(rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
