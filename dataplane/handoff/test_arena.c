/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The arena's layout, and that nobody else can ever write it. */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct dp_arena *make(uint32_t workers, enum dp_hugetlb huge)
{
	struct dp_arena_opts o = {.n_workers = workers, .slice_mb = 8, .hugetlb = huge};
	struct dp_arena *a = NULL;
	char err[160] = "";
	int rc = dp_arena_new(&o, &a, err, sizeof(err));

	if (rc)
		assert_null(a);
	return a;
}

static void test_layout(void **state)
{
	struct dp_arena *a = make(2, DP_HUGETLB_NEVER);
	struct dp_arena_info i;

	(void)state;
	assert_non_null(a);
	dp_arena_info(a, &i);
	assert_int_equal(i.slice_size, 8 << 20);
	assert_int_equal(i.arena_size, 2 * i.slice_size);
	assert_int_equal(i.max_message, i.slice_size / 8);
	assert_true((uint64_t)i.n_records * HANDOFF_RECORD + (uint64_t)i.n_chunks * HANDOFF_CHUNK <=
		    i.slice_size);
	assert_true(i.n_records >= 16);
	assert_ptr_equal((uint8_t *)dp_arena_slice(a, 0) + i.slice_size, dp_arena_slice(a, 1));
	assert_null(dp_arena_slice(a, 2));
	assert_null(dp_arena_worker(a, 2));
	/* The last chunk of the last worker lies inside. */
	memset(dp_arena_worker(a, 1)->chunk + (size_t)(i.n_chunks - 1) * HANDOFF_CHUNK, 1,
	       HANDOFF_CHUNK);
	dp_arena_free(a);
}

static void test_bad_options(void **state)
{
	struct dp_arena_opts bad[] = {
		{.n_workers = 0, .slice_mb = 8},
		{.n_workers = HANDOFF_MAX_WORKERS + 1, .slice_mb = 8},
		{.n_workers = 1, .slice_mb = 7},
		{.n_workers = 1, .slice_mb = 65537},
		{.n_workers = 1, .slice_mb = 8, .n_records = 100},
		{.n_workers = 1, .slice_mb = 8, .pinned_percent = 101},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct dp_arena *a = NULL;
		char err[160] = "";

		bad[i].hugetlb = DP_HUGETLB_NEVER;
		assert_int_equal(dp_arena_new(&bad[i], &a, err, sizeof(err)), -EINVAL);
		assert_null(a);
		assert_true(err[0]);
	}
}

static int binds;
static int bind_one(void *arg, uint32_t worker, void *p, size_t n)
{
	assert_ptr_equal(arg, &binds);
	assert_int_equal(worker, binds);
	assert_non_null(p);
	assert_int_equal(n, 8 << 20);
	binds++;
	return worker == 2 ? -ENODEV : 0;
}

static void test_bind(void **state)
{
	struct dp_arena_opts o = {.n_workers = 2, .slice_mb = 8, .prefault = true,
				  .bind = bind_one, .bind_arg = &binds};
	struct dp_arena *a = NULL;
	char err[160];

	(void)state;
	binds = 0;
	o.hugetlb = DP_HUGETLB_TRY;
	assert_int_equal(dp_arena_new(&o, &a, err, sizeof(err)), 0);
	assert_int_equal(binds, 2);
	dp_arena_free(a);
	binds = 0;
	a = NULL;
	o.n_workers = 3;
	assert_int_equal(dp_arena_new(&o, &a, err, sizeof(err)), -ENODEV);
	assert_null(a);
}

/* Runs in a child that got the fd: the number of the first attempt that succeeded, or 0. */
static int attack(int fd, size_t size)
{
	char path[40], byte = 1;
	void *p;
	int again;

	if (mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
		return 1;
	p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return 2; /* reading must work */
	if (mprotect(p, 4096, PROT_READ | PROT_WRITE) == 0)
		return 3;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR);
	if (again >= 0) {
		if (mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) != MAP_FAILED)
			return 4;
		if (pwrite(again, &byte, 1, 0) == 1)
			return 5;
		if (ftruncate(again, 0) == 0)
			return 6;
	}
	if (pwrite(fd, &byte, 1, 0) == 1)
		return 7;
	if (ftruncate(fd, 4096) == 0 || ftruncate(fd, (off_t)size * 2) == 0)
		return 8;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 << 20) == 0)
		return 9;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0)
		return 10;
	if (madvise(p, 2 << 20, MADV_REMOVE) == 0)
		return 11;
	if (*(volatile uint8_t *)p != 0x5a)
		return 12;
	return 0;
}

static void attack_in_child(int fd, uint8_t *ours, size_t size)
{
	int status;
	pid_t pid;

	ours[0] = 0x5a;
	pid = fork();
	if (pid == 0) {
		/* Our own mapping is the parent's; the child's copy of it goes first. */
		munmap(ours, size);
		_exit(attack(fd, size));
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	ours[1] = 1; /* and we still can */
}

static void test_seals(void **state)
{
	struct dp_arena *a = make(1, DP_HUGETLB_NEVER);

	(void)state;
	assert_non_null(a);
	attack_in_child(a->arena_fd, a->map, a->size);
	dp_arena_free(a);
}

static void test_seals_counters(void **state)
{
	struct dp_arena *a = make(1, DP_HUGETLB_NEVER);
	struct handoff_counters *c;
	uint32_t magic;

	(void)state;
	assert_non_null(a);
	c = (struct handoff_counters *)a->counters;
	assert_int_equal(c->magic, HANDOFF_MAGIC);
	assert_int_equal(c->n, POSTERN_DP_COUNTER_COUNT);
	assert_true(c->epoch > 0);
	dp_worker_counters(dp_arena_worker(a, 0))[CNT_rx_packets] = 7;
	assert_int_equal(c->value[CNT_rx_packets], 7);
	magic = c->magic;
	attack_in_child(a->counters_fd, a->counters, a->counters_size);
	c->magic = magic;
	dp_arena_free(a);
}

static void test_seals_hugetlb(void **state)
{
	struct dp_arena *a = make(1, DP_HUGETLB_MUST);

	(void)state;
	if (!a)
		skip(); /* no huge pages on this machine */
	assert_true(a->hugetlb);
	attack_in_child(a->arena_fd, a->map, a->size);
	dp_arena_free(a);
}

static void test_hugetlb_fallback(void **state)
{
	struct dp_arena *a = make(1, DP_HUGETLB_TRY);

	(void)state;
	assert_non_null(a);
	a->map[a->size - 1] = 1;
	dp_arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_bind),
		cmocka_unit_test(test_seals),
		cmocka_unit_test(test_seals_counters),
		cmocka_unit_test(test_seals_hugetlb),
		cmocka_unit_test(test_hugetlb_fallback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
