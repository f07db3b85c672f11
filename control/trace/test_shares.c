/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Which way fares worse than the others of its route, and that chance alone is not told. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/trace/index_internal.h"
#include "control/trace/shares.h"

static struct trace_index *x;
static char path[] = ":memory:", err[256];

static int setup(void **state)
{
	(void)state;
	return trace_index_open(&x, path, 64 << 20, err, sizeof(err));
}

static int teardown(void **state)
{
	(void)state;
	trace_index_close(x);
	return 0;
}

static void put(const char *route, const char *egress, const char *local, const char *outcome, int n)
{
	char line[512];
	struct row r;

	assert_int_equal(trace_index_begin(x), 0);
	for (int i = 0; i < n; i++) {
		snprintf(line, sizeof(line), "{\"trace_id\":\"A\",\"time\":\"2026-01-01T00:00:00.000Z\",\"route\":\"%s\","
			 "\"egress\":\"%s\",\"local\":\"%s\",\"outcome\":\"%s\"}", route, egress, local, outcome);
		assert_true(row_read(&r, line, strlen(line)));
		assert_int_equal(trace_index_put(x, &r, 1, 0, 0), 0);
	}
	assert_int_equal(trace_index_commit(x), 0);
}

static json_t *shares(void)
{
	json_t *o;

	assert_int_equal(shares_of(x, 1, &o), 0);
	return o;
}

static void differs(void **state)
{
	json_t *o, *f;

	(void)state;
	put("exo", "198.51.100.1", "192.0.2.1", "delivered", 950);
	put("exo", "198.51.100.1", "192.0.2.1", "rejected", 50);
	put("exo", "198.51.100.2", "192.0.2.1", "delivered", 150);
	put("exo", "198.51.100.2", "192.0.2.1", "rejected", 50);
	put("exo", "2001:db8::1", "2001:db8::2", "delivered", 96);
	put("exo", "2001:db8::1", "2001:db8::2", "rejected", 4);
	/* another route has other mail */
	put("gws", "198.51.100.1", "192.0.2.1", "rejected", 500);
	/* decided before a next hop */
	put("exo", "", "192.0.2.1", "rejected", 5000);
	o = shares();
	assert_int_equal(json_array_size(json_object_get(o, "ways")), 5);
	f = json_object_get(o, "findings");
	/* 198.51.100.2: fewer delivered, more rejected; and .1 is better than the rest. */
	assert_int_equal(json_array_size(f), 4);
	for (size_t i = 0; i < 4; i++) {
		const json_t *v = json_array_get(f, i);

		assert_string_equal(json_string_value(json_object_get(v, "route")), "exo");
		assert_memory_equal(json_string_value(json_object_get(v, "egress")), "198.51.100.", 11);
		if (!strcmp(json_string_value(json_object_get(v, "egress")), "198.51.100.2"))
			assert_float_equal(json_number_value(json_object_get(v, "share")),
					   !strcmp(json_string_value(json_object_get(v, "outcome")), "rejected") ?
					   0.25 : 0.75, 1e-9);
	}
	json_decref(o);
}

/* The same shares, small samples, small differences: nothing is said. */
static void alike(void **state)
{
	json_t *o;

	(void)state;
	put("exo", "198.51.100.1", "192.0.2.1", "delivered", 9000);
	put("exo", "198.51.100.1", "192.0.2.1", "deferred", 1000);
	put("exo", "198.51.100.2", "192.0.2.1", "delivered", 9300);
	put("exo", "198.51.100.2", "192.0.2.1", "deferred", 700); /* sure, and small */
	put("exo", "198.51.100.3", "192.0.2.1", "deferred", 49);  /* large, and few */
	put("exo", "198.51.100.4", "192.0.2.1", "delivered", 55);
	put("exo", "198.51.100.4", "192.0.2.1", "deferred", 11);  /* may be chance */
	o = shares();
	assert_int_equal(json_array_size(json_object_get(o, "findings")), 0);
	json_decref(o);
}

/* ---- each way is found, once, by the index and by the records ------------------------------------ */

static void count(void *arg, const struct trace_share_row *r)
{
	char key[200];

	snprintf(key, sizeof(key), "%s|%s|%s|%d", r->route, r->egress, r->local, (int)r->outcome);
	/* A route that is "" and none at all are one to whoever asks. */
	json_object_set_new(arg, key, json_integer((json_int_t)r->n + json_integer_value(json_object_get(arg, key))));
}

static json_t *counted(int64_t since_ms)
{
	json_t *o = json_object();

	assert_int_equal(trace_index_shares(x, since_ms, count, o), 0);
	return o;
}

/* Members that may be missing, and values that are the least of their kind. */
static void put_one(unsigned int i)
{
	static const char *const routes[] = {"", ",\"route\":\"\"", ",\"route\":\"a\"", ",\"route\":\"b\""};
	static const char *const egress[] = {"", ",\"egress\":\"::\"", ",\"egress\":\"192.0.2.1\""};
	static const char *const local[] = {"", ",\"local\":\"::\"", ",\"local\":\"2001:db8::1\""};
	char line[512];
	struct row r;

	snprintf(line, sizeof(line), "{\"trace_id\":\"A\",\"time\":\"2026-01-01T00:00:%02u.000Z\",\"outcome\":\"%s\"%s%s%s}",
		 i * 7 % 60, trace_outcome_name((enum trace_outcome)(i * i % 5)), routes[i % 4], egress[i / 4 % 3],
		 local[i / 12 % 3]);
	assert_true(row_read(&r, line, strlen(line)));
	assert_int_equal(trace_index_put(x, &r, 1, 0, 0), 0);
}

static void ways_are_whole(void **state)
{
	static const int64_t since[] = {0, 1767225600000LL, 1767225630000LL, 1767225659000LL, 1767225700000LL};
	json_t *fast[5], *slow;

	(void)state;
	assert_int_equal(trace_index_reset(x, false), 0);
	assert_int_equal(trace_index_begin(x), 0);
	for (unsigned int i = 0; i < 700; i++)
		put_one(i);
	assert_int_equal(trace_index_commit(x), 0);
	for (size_t i = 0; i < 5; i++)
		fast[i] = counted(since[i]);
	assert_true(json_object_size(fast[0]) > 36);
	assert_int_equal(sqlite3_exec(x->db, "DROP INDEX by_way", NULL, NULL, NULL), SQLITE_OK);
	for (size_t i = 0; i < 5; i++) {
		slow = counted(since[i]);
		assert_true(json_equal(fast[i], slow));
		json_decref(slow);
		json_decref(fast[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(differs, setup, teardown),
		cmocka_unit_test_setup_teardown(alike, setup, teardown),
		cmocka_unit_test_setup_teardown(ways_are_whole, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
