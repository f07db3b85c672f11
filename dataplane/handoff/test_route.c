/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The share of one route: in DATA, with control, and beside others that take what they can. */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MESSAGES 256

static uint8_t junk[HANDOFF_CHUNK];
static struct dp_msg msg[MESSAGES];

static int setup(void **state)
{
	struct dp_arena_opts o = {.n_workers = 1, .slice_mb = 16, .n_records = 160,
				  .hugetlb = DP_HUGETLB_NEVER};
	struct dp_arena *a;
	char err[160];

	memset(msg, 0, sizeof(msg));
	if (dp_arena_new(&o, &a, err, sizeof(err)))
		return -1;
	*state = a;
	return 0;
}

static int teardown(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_usage u;

	for (size_t i = 0; i < MESSAGES; i++)
		dp_msg_free(w, &msg[i]);
	dp_worker_reclaim(w);
	dp_worker_usage(w, &u);
	assert_int_equal(u.chunks_used + u.records_used, 0);
	for (size_t i = 0; i < HANDOFF_MAX_ROUTES; i++)
		assert_int_equal(w->route_chunks[i], 0);
	dp_arena_free(*state);
	return 0;
}

static int begin(struct dp_worker *w, struct dp_msg *m, uint16_t route, uint8_t share)
{
	int rc = dp_msg_open(w, m);

	if (rc)
		return rc;
	dp_msg_set_route(w, m, route, share);
	rc = dp_msg_data_begin(w, m, 0, 1000);
	if (rc)
		dp_msg_free(w, m);
	return rc;
}

static uint32_t fill(struct dp_worker *w, struct dp_msg *m, uint32_t n)
{
	uint32_t i = 0;

	while (i < n && dp_msg_room(w, m) >= HANDOFF_CHUNK) {
		assert_int_equal(dp_msg_append(w, m, junk, HANDOFF_CHUNK), 0);
		i++;
	}
	return i;
}

static void submit(struct dp_worker *w, struct dp_msg *m)
{
	dp_msg_data_end(w, m);
	dp_msg_submitted(w, m, 0);
}

/* All that it can, with control, from messages of `chunks`. */
static uint32_t take_all(struct dp_worker *w, uint16_t route, uint8_t share, uint32_t chunks)
{
	int rc = 0;

	for (int i = 0; i < MESSAGES && !rc; i++) {
		struct dp_msg m = {0};

		rc = begin(w, &m, route, share);
		if (rc)
			continue;
		fill(w, &m, chunks);
		submit(w, &m);
	}
	assert_int_equal(rc, -EDQUOT);
	return w->route_chunks[route];
}

static void test_half(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	uint32_t has = take_all(w, 1, 50, 1);

	assert_in_range(has, w->n_chunks / 2 - 1, w->n_chunks / 2);
	assert_int_equal(w->counters[CNT_arena_route_refused], 1);
	/* Others are not bound by it. */
	assert_int_equal(begin(w, &msg[0], 0, 0), 0);
	assert_int_equal(fill(w, &msg[0], 2), 2);
	assert_int_equal(begin(w, &msg[1], 2, 50), 0);
	assert_int_equal(fill(w, &msg[1], 2), 2);
}

static void test_several(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	uint32_t all = w->n_chunks, has[3];

	/* One after the other: the second takes half of what the first left, and leaves the rest. */
	for (uint16_t r = 1; r < 3; r++)
		has[r] = take_all(w, r, 50, 1);
	assert_in_range(has[1], all / 2 - 1, all / 2);
	assert_in_range(has[2], all / 4 - 1, all / 4);
	assert_int_equal(begin(w, &msg[0], 3, 50), 0);
	/* A smaller share is smaller. */
	dp_worker_reclaim(w);
	assert_in_range(take_all(w, 1, 10, 1), all / 10 - 1, all / 10);
}

/* In DATA it is held at its share; the oldest of all goes on, so that something completes. */
static void test_data(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	uint32_t n = 0, held = 0;

	for (int i = 0; i < 8; i++)
		assert_int_equal(begin(w, &msg[i], 1, 50), 0);
	for (int i = 1; i < 8; i++)
		n += fill(w, &msg[i], w->floor);
	assert_in_range(n + 1, w->n_chunks / 2 - 2, w->n_chunks / 2 + 1);
	for (int i = 1; i < 8; i++)
		held += dp_msg_room(w, &msg[i]) == 0 && msg[i].held < w->floor;
	assert_true(held >= 1);
	assert_true(w->counters[CNT_arena_route_held] >= 1);
	assert_int_equal(fill(w, &msg[0], w->floor), w->floor);
	/* What control gives back the others get. */
	n = w->route_chunks[1];
	submit(w, &msg[0]);
	assert_int_equal(w->route_chunks[1], n);
	dp_worker_reclaim(w);
	assert_int_equal(w->route_chunks[1], n - w->floor);
	assert_true(dp_msg_room(w, &msg[7]) > 0);
}

static void test_whole(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);

	/* 100: no share; and what is out of range is no route. */
	for (int i = 0; i < 60; i++)
		assert_int_equal(begin(w, &msg[i], i % 2 ? 1 : HANDOFF_MAX_ROUTES, i % 2 ? 100 : 1), 0);
	assert_int_equal(w->route_chunks[1], 30);
	assert_int_equal(w->route_chunks[0], 30);
	/* Too late: it counts where it began. */
	dp_msg_set_route(w, &msg[0], 2, 50);
	assert_int_equal(w->use[msg[0].record].route, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_half, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several, setup, teardown),
		cmocka_unit_test_setup_teardown(test_data, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
