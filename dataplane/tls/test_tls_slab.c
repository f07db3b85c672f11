/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* OpenSSL's memory: sizes, contents, blocks that change threads, bounds; handshakes over it. */

#include "dataplane/tls/test_tls_util.h"

#include <pthread.h>

#define N 4000

static void *block[N];
static size_t size[N];
static uint32_t seed = 7;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

static void fill(int i, size_t n)
{
	size[i] = n;
	memset(block[i], i & 0xff, n);
}

static void check(int i)
{
	const uint8_t *p = block[i];

	for (size_t j = 0; j < size[i]; j++)
		if (p[j] != (i & 0xff))
			fail_msg("block %d of %zu octets overwritten at %zu", i, size[i], j);
}

static size_t any_size(void)
{
	static const uint32_t top[] = {64, 600, 5000, 33000, 80000};

	return 1 + rnd(top[rnd(5)]);
}

static void test_contents(void **state)
{
	(void)state;
	assert_int_equal(tls_slab_init(), 0);
	for (int turn = 0; turn < 5 * N; turn++) {
		int i = (int)rnd(N);

		if (!block[i]) {
			size_t n = any_size();

			block[i] = tls_slab_alloc(n);
			assert_non_null(block[i]);
			assert_int_equal((uintptr_t)block[i] % 16, 0);
			fill(i, n);
			continue;
		}
		check(i);
		if (rnd(3)) {
			tls_slab_free(block[i]);
			block[i] = NULL;
		} else {
			size_t n = any_size(), keep = n < size[i] ? n : size[i];

			block[i] = tls_slab_realloc(block[i], n);
			assert_non_null(block[i]);
			size[i] = keep;
			check(i);
			fill(i, n);
		}
	}
	for (int i = 0; i < N; i++) {
		if (block[i]) {
			check(i);
			tls_slab_free(block[i]);
		}
		block[i] = NULL;
	}
	assert_null(tls_slab_realloc(tls_slab_alloc(5), 0));
}

static void *free_them(void *arg)
{
	struct tls_slab_usage u;

	(void)arg;
	for (int i = 0; i < N; i++)
		tls_slab_free(block[i]);
	/* Two batches of 16 KiB and 64 blocks a class at the most. */
	tls_slab_get_usage(&u);
	assert_true(u.cached <= 2 * 16384 + 2 * 32768);
	return NULL;
}

/* What one thread allocates and another frees comes round: memory does not grow. */
static void test_migration(void **state)
{
	struct tls_slab_usage before = {0}, after;

	(void)state;
	for (int turn = 0; turn < 20; turn++) {
		pthread_t t;

		for (int i = 0; i < N; i++)
			assert_non_null(block[i] = tls_slab_alloc(300));
		assert_int_equal(pthread_create(&t, NULL, free_them, NULL), 0);
		pthread_join(t, NULL);
		if (turn == 1)
			tls_slab_get_usage(&before);
	}
	tls_slab_get_usage(&after);
	assert_true(after.mapped <= before.mapped + 65536);
}

static atomic_uint clashes;

static void *hammer(void *arg)
{
	uint32_t x = (uint32_t)(uintptr_t)arg;
	uint32_t *p[300] = {0};

	for (int turn = 0; turn < 60000; turn++) {
		uint32_t i;

		x = x * 1664525u + 1013904223u;
		i = (x >> 8) % 300;
		if (p[i]) {
			if (p[i][0] != (uint32_t)(uintptr_t)arg || p[i][30] != i)
				atomic_fetch_add(&clashes, 1);
			tls_slab_free(p[i]);
			p[i] = NULL;
		} else {
			p[i] = tls_slab_alloc(128 + (x >> 24) * 4);
			p[i][0] = (uint32_t)(uintptr_t)arg;
			p[i][30] = i;
		}
	}
	for (int i = 0; i < 300; i++)
		tls_slab_free(p[i]);
	return NULL;
}

/* No block is ever given to two threads. */
static void test_threads(void **state)
{
	pthread_t t[4];

	(void)state;
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, hammer, (void *)(i + 1)), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(atomic_load(&clashes), 0);
}

static void test_openssl(void **state)
{
	struct pem *p;
	struct tls_context *ctx;
	struct harness *h;
	SSL_CTX *cc;

	(void)state;
	p = pem_make(KEY_EC, "mx.example.com", NULL, 30, NULL);
	ctx = context_of(NULL, 1, (const struct pem *const *)&p);
	h = harness_new(2, 16);
	cc = client_ctx();
	for (int i = 0; i < 20; i++) {
		struct server s;
		struct client k;

		server_init(&s, h, ctx);
		client_init(&k, cc, NULL);
		s.echo = true;
		handshake(h, &s, &k);
		client_write(&k, "NOOP\r\n", 6);
		handshake(h, &s, &k);
		assert_int_equal(k.got.n, 6);
		server_free(&s);
		client_free(&k);
	}
	SSL_CTX_free(cc);
	harness_free(h);
	tls_context_unref(ctx);
	pem_free(p);
	assert_int_equal(tls_memory_init(), -EALREADY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contents), cmocka_unit_test(test_migration),
		cmocka_unit_test(test_threads), cmocka_unit_test(test_openssl),
	};

	if (tls_memory_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
