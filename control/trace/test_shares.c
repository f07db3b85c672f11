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
	json_t *json;

	assert_int_equal(trace_index_begin(x), 0);
	for (int i = 0; i < n; i++) {
		snprintf(line, sizeof(line), "{\"trace_id\":\"A\",\"time\":\"2026-01-01T00:00:00.000Z\",\"route\":\"%s\","
			 "\"egress\":\"%s\",\"local\":\"%s\",\"outcome\":\"%s\"}", route, egress, local, outcome);
		assert_true(row_read(&r, line, strlen(line), &json));
		assert_int_equal(trace_index_put(x, &r, 1, 0, 0), 0);
		json_decref(json);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(differs, setup, teardown),
		cmocka_unit_test_setup_teardown(alike, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
