/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The share of one source, and who is cut first when others need room. */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "postern/limits.h"

#define MAX (3 * HANDOFF_CHUNK - 2) /* the largest message: three chunks */

static uint8_t junk[HANDOFF_CHUNK];

static int setup(void **state)
{
	struct dp_arena_opts o = {.n_workers = 1, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER};
	struct dp_arena *a;
	char err[160];

	if (dp_arena_new(&o, &a, err, sizeof(err)))
		return -1;
	*state = a;
	return 0;
}

static int teardown(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_usage u;

	dp_worker_usage(w, &u);
	assert_int_equal(u.sources, 0);
	assert_int_equal(u.chunks_used, 0);
	dp_arena_free(*state);
	return 0;
}

static int begin(struct dp_worker *w, struct dp_msg *m, uint64_t key, bool good)
{
	int rc = dp_msg_open(w, m);

	if (rc)
		return rc;
	dp_msg_set_source(w, m, key, good);
	rc = dp_msg_data_begin(w, m, 0, 1000);
	if (rc)
		dp_msg_free(w, m);
	return rc;
}

/* As many whole chunks as there is room for, n at most. */
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

static void test_share_is_a_message(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);

	dp_worker_set_share(w, 1, MAX, MODE_ENFORCE);
	assert_int_equal(w->share, 3);
	dp_worker_set_share(w, 1, MAX + 1, MODE_ENFORCE);
	assert_int_equal(w->share, 4);
	dp_worker_set_share(w, 50, MAX, MODE_ENFORCE);
	assert_int_equal(w->share, w->n_chunks / 2);
}

/* At its share a source begins nothing more, whoever has its octets; others do. */
static void test_refused(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_msg a = {0}, b = {0}, c = {0};
	uint32_t record, gen;

	dp_worker_set_share(w, 1, MAX, MODE_ENFORCE);
	assert_int_equal(begin(w, &a, 7, false), 0);
	assert_int_equal(fill(w, &a, 3), 3); /* one largest message, always */
	assert_int_equal(begin(w, &b, 7, false), -EDQUOT);
	assert_int_equal(w->counters[CNT_arena_share_refused], 1);
	record = a.record;
	gen = dp_msg_generation(w, &a);
	submit(w, &a);
	assert_int_equal(begin(w, &b, 7, false), -EDQUOT); /* control has them: they are its */
	assert_int_equal(begin(w, &c, 8, false), 0);
	assert_int_equal(begin(w, &b, 7, true), 0); /* of good standing, and there is plenty */
	dp_msg_free(w, &b);
	assert_int_equal(dp_record_cancel(w, record, gen), 0);
	assert_int_equal(begin(w, &b, 7, false), -EDQUOT);
	dp_record_return(w, record);
	assert_int_equal(begin(w, &b, 7, false), 0);
	dp_msg_free(w, &b);
	dp_msg_free(w, &c);
	/* Promised chunks count: sessions in DATA that bring nothing hold them all the same. */
	assert_int_equal(begin(w, &a, 7, false), 0);
	assert_int_equal(begin(w, &b, 7, false), 0);
	assert_int_equal(begin(w, &c, 7, false), 0);
	dp_msg_free(w, &a);
	assert_int_equal(begin(w, &a, 7, false), 0);
	dp_msg_free(w, &a);
	dp_msg_free(w, &b);
	dp_msg_free(w, &c);
}

static void test_modes(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_msg a = {0}, b = {0};

	dp_worker_set_share(w, 1, MAX, MODE_OBSERVE);
	assert_int_equal(begin(w, &a, 7, false), 0);
	assert_int_equal(fill(w, &a, 3), 3);
	assert_int_equal(begin(w, &b, 7, false), 0);
	assert_int_equal(fill(w, &b, 3), 3);
	assert_int_equal(w->counters[CNT_arena_share_observed], 1);
	assert_int_equal(w->counters[CNT_arena_share_refused], 0);
	dp_msg_free(w, &b);
	dp_worker_set_share(w, 1, MAX, MODE_OFF);
	assert_int_equal(begin(w, &b, 7, false), 0);
	assert_int_equal(w->counters[CNT_arena_share_observed], 1);
	dp_msg_free(w, &a);
	dp_msg_free(w, &b);
	/* Without a source there is no share. */
	dp_worker_set_share(w, 1, MAX, MODE_ENFORCE);
	assert_int_equal(begin(w, &a, 0, false), 0);
	assert_int_equal(fill(w, &a, 3), 3);
	assert_int_equal(begin(w, &b, 0, false), 0);
	dp_msg_free(w, &a);
	dp_msg_free(w, &b);
}

/* Others that take `n` chunks in all: four a message, with control. */
static void others(struct dp_worker *w, uint32_t n)
{
	static uint64_t key = 1000;
	struct dp_msg m = {0};

	while (n) {
		uint32_t k = n < 4 ? n : 4;

		assert_int_equal(begin(w, &m, key++, false), 0);
		assert_int_equal(fill(w, &m, k), k);
		submit(w, &m);
		n -= k;
	}
}

/* Beyond its share a flow waits once half of the slice is taken, but one of the source goes on. */
static void test_window(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_msg first = {0}, a = {0}, b = {0}, c = {0};

	dp_worker_set_share(w, 1, 4 * HANDOFF_CHUNK - 2, MODE_ENFORCE);
	assert_int_equal(begin(w, &first, 1, false), 0); /* the oldest of all */
	assert_int_equal(begin(w, &a, 7, false), 0);
	assert_int_equal(begin(w, &b, 7, false), 0);
	assert_int_equal(begin(w, &c, 7, true), 0);
	assert_int_equal(fill(w, &a, 2), 2);
	assert_int_equal(fill(w, &b, 3), 3); /* six in all with c's, and nobody minds */
	others(w, w->n_chunks / 2);
	assert_true(w->n_free_chunk > 2 * w->floor);
	assert_int_equal(dp_msg_room(w, &b), 0);
	assert_int_equal(dp_msg_room(w, &b), 0);
	assert_int_equal(w->counters[CNT_arena_share_held], 1);
	assert_true(dp_msg_room(w, &a) >= HANDOFF_CHUNK);
	assert_true(dp_msg_room(w, &c) >= 2 * HANDOFF_CHUNK);
	/* Its first done, the next may go on. */
	dp_msg_free(w, &a);
	assert_true(dp_msg_room(w, &b) >= 2 * HANDOFF_CHUNK);
	/* Free room is short: what is reserved for c it may have, and no more. */
	others(w, w->n_free_chunk - w->reserved - 2 * w->floor);
	assert_int_equal(dp_msg_room(w, &c), HANDOFF_CHUNK);
	/* The oldest takes what it likes, over its share or not. */
	dp_msg_free(w, &first);
	assert_true(dp_msg_room(w, &b) >= 2 * HANDOFF_CHUNK);
	dp_msg_free(w, &b);
	dp_msg_free(w, &c);
	dp_worker_reclaim(w);
}

static void test_victim(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_msg old = {0}, good = {0}, slow = {0}, fast = {0}, big = {0}, big2 = {0};
	const uint64_t now = 1000 + 20000;

	dp_worker_set_share(w, 1, 4 * HANDOFF_CHUNK - 2, MODE_ENFORCE);
	assert_null(dp_worker_victim(w, now));
	assert_int_equal(begin(w, &old, 1, false), 0);
	assert_int_equal(begin(w, &good, 2, true), 0);
	assert_int_equal(begin(w, &slow, 3, false), 0);
	assert_int_equal(begin(w, &fast, 4, false), 0);
	assert_int_equal(fill(w, &old, 4), 4);   /* 13 kB/s */
	assert_int_equal(fill(w, &good, 3), 3);  /* 9.8 kB/s */
	assert_int_equal(fill(w, &slow, 1), 1);
	assert_int_equal(fill(w, &fast, 4), 4);
	/* Too young to be judged. */
	assert_null(dp_worker_victim(w, 1000 + LIMIT_EVICT_YOUNG_MS - 1));
	assert_ptr_equal(dp_worker_victim(w, now), &slow);
	/* Who had to wait is not slow for it. */
	dp_msg_wait(&slow, true, 3000);
	assert_ptr_equal(dp_worker_victim(w, now), &good); /* there is no other */
	dp_msg_wait(&slow, false, 20000);
	assert_ptr_equal(dp_worker_victim(w, now), &good);
	assert_int_equal(slow.begun_ms, 1000 + 17000);
	dp_msg_free(w, &good);
	assert_null(dp_worker_victim(w, now));
	/* Over its share, however fast. */
	assert_int_equal(begin(w, &big, 5, false), 0);
	assert_int_equal(begin(w, &big2, 5, false), 0);
	assert_int_equal(fill(w, &big, 2), 2);
	assert_int_equal(fill(w, &big2, 4), 4);
	assert_ptr_equal(dp_worker_victim(w, 2000), &big2);
	/* But what began first goes on: something always completes. */
	dp_msg_free(w, &old);
	dp_msg_free(w, &slow);
	dp_msg_free(w, &fast);
	assert_ptr_equal(dp_worker_victim(w, 2000), &big2);
	dp_msg_free(w, &big2);
	assert_int_equal(fill(w, &big, 4), 4);
	assert_null(dp_worker_victim(w, 2000));
	/* Unless it dawdles. */
	assert_ptr_equal(dp_worker_victim(w, 1000000), &big);
	dp_msg_free(w, &big);
}

/* Whatever they do: what sources have adds up, and at the end nobody has anything. */
#define FLOWS 48
#define KEYS 9

static void check_sums(struct dp_worker *w)
{
	uint32_t chunks = 0, records = 0, listed = 0;

	for (uint32_t b = 0; b <= w->source_mask; b++)
		for (uint32_t i = w->source_bucket[b]; i != DP_NO_SOURCE; i = w->source[i].next) {
			assert_true(w->source[i].records > 0);
			chunks += w->source[i].chunks;
			records += w->source[i].records;
			listed++;
		}
	assert_int_equal(chunks, w->n_chunks - w->n_free_chunk + w->reserved);
	assert_int_equal(records, w->n_records - w->n_free_record);
	assert_int_equal(listed, w->n_sources);
}

static uint32_t rnd(uint32_t n)
{
	static uint64_t x = 4711;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 20) % n;
}

static void test_property(void **state)
{
	struct dp_worker *w = dp_arena_worker(*state, 0);
	struct dp_msg m[FLOWS] = {0};
	uint32_t done = 0, refused = 0;

	dp_worker_set_share(w, 1, MAX, MODE_ENFORCE);
	for (unsigned int turn = 0; turn < 20000; turn++) {
		struct dp_msg *k = &m[rnd(FLOWS)];

		if (!k->open) {
			int rc = begin(w, k, 1 + rnd(KEYS), rnd(8) == 0);

			refused += rc == -EDQUOT;
			if (rc)
				dp_worker_reclaim(w);
		} else if (rnd(10) == 0) {
			dp_msg_free(w, k);
		} else if (k->held >= 3) {
			submit(w, k);
			done++;
		} else {
			fill(w, k, 1);
		}
		check_sums(w);
	}
	assert_true(done > 300 && refused > 300);
	for (unsigned int i = 0; i < FLOWS; i++)
		dp_msg_free(w, &m[i]);
	dp_worker_reclaim(w);
	check_sums(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_share_is_a_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_victim, setup, teardown),
		cmocka_unit_test_setup_teardown(test_property, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
