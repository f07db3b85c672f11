/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Sealing by threads: the octets of arc_seal(), each job once, none that is read behind its cancel. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "control/auth/arc/pool.h"
#include "postern/limits.h"

#define CAP (3 * LIMIT_HEADER_FIELD)

static struct event_base *base;
static struct arc_pool *pool;
static struct arc_key *key;
static const struct arc_results no_chain;

struct one {
	struct arc_job *job;
	struct arc_seal_request req;
	struct iovec iov;
	struct mail_bytes content;
	char *text, *set;
	long n;
	unsigned int calls;
	struct one *cancels;         /* in its callback */
};

static void on_done(void *arg, long n)
{
	struct one *o = arg;

	o->calls++;
	o->n = n;
	o->job = NULL;
	if (o->cancels && o->cancels->job) {
		arc_job_cancel(o->cancels->job);
		o->cancels->job = NULL;
	}
}

static int setup(void **state)
{
	EVP_PKEY *k = EVP_RSA_gen(2048);
	BIO *b = BIO_new(BIO_s_mem());
	char err[256], *pem;
	long n;

	(void)state;
	assert_true(PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL));
	n = BIO_get_mem_data(b, &pem);
	key = arc_key_new(str_make((uint8_t *)pem, (size_t)n), err, sizeof(err));
	assert_non_null(key);
	BIO_free(b);
	EVP_PKEY_free(k);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arc_key_free(key);
	return 0;
}

static void open_pool(unsigned int threads)
{
	char err[256];

	base = event_base_new();
	pool = arc_pool_new(base, threads, err, sizeof(err));
	assert_non_null(pool);
}

static void close_pool(void)
{
	arc_pool_free(pool);
	event_base_free(base);
}

static void one_new(struct one *o, unsigned int i)
{
	memset(o, 0, sizeof(*o));
	o->text = malloc(200);
	o->set = malloc(CAP);
	assert_non_null(o->text);
	assert_non_null(o->set);
	o->iov.iov_base = o->text;
	o->iov.iov_len = (size_t)snprintf(o->text, 200,
					  "From: a@example.org\r\nSubject: %u\r\n\r\nbody %u\r\n", i, i);
	o->content = (struct mail_bytes){&o->iov, 1, o->iov.iov_len};
	o->req = (struct arc_seal_request){
		.key = key, .domain = "example.com", .selector = "s", .authserv_id = "mx.example.com",
		.results = STR(" spf=pass"), .now = 1700000000,
	};
}

static bool one_start(struct one *o)
{
	o->job = arc_pool_seal(pool, &o->req, &o->content, &no_chain, o->set, CAP, on_done, o);
	return o->job != NULL;
}

static void one_free(struct one *o)
{
	free(o->text);
	free(o->set);
}

static void same_octets(void **state)
{
	struct one one[40];
	char *by_hand = malloc(CAP);
	unsigned int open = 40;

	(void)state;
	open_pool(2);
	for (unsigned int i = 0; i < 40; i++) {
		one_new(&one[i], i);
		if (i == 7)
			one[i].req.domain = "not a name";
		assert_true(one_start(&one[i]));
		assert_int_equal(one[i].calls, 0);
	}
	while (open) {
		event_base_loop(base, EVLOOP_ONCE);
		open = 0;
		for (unsigned int i = 0; i < 40; i++)
			open += !one[i].calls;
	}
	for (unsigned int i = 0; i < 40; i++) {
		long n = arc_seal(&one[i].req, &one[i].content, &no_chain, by_hand, CAP);

		assert_int_equal(one[i].calls, 1);
		assert_int_equal(one[i].n, n);
		assert_int_equal(n < 0, i == 7);
		if (n > 0)
			assert_memory_equal(one[i].set, by_hand, (size_t)n);
		one_free(&one[i]);
	}
	free(by_hand);
	close_pool();
}

/* In the queue, while it runs, when it is done: its memory is the test's again at once. */
static void cancelled_anywhere(void **state)
{
	(void)state;
	open_pool(2);
	for (unsigned int round = 0; round < 60; round++) {
		struct one one[8];

		for (unsigned int i = 0; i < 8; i++) {
			one_new(&one[i], i);
			assert_true(one_start(&one[i]));
		}
		for (volatile unsigned int spin = 0; spin < round * 20000; spin++)
			;
		if (round % 2)
			event_base_loop(base, EVLOOP_NONBLOCK);
		for (unsigned int i = 0; i < 8; i++) {
			unsigned int calls = one[i].calls;

			if (one[i].job)
				arc_job_cancel(one[i].job);
			else
				assert_int_equal(calls, 1);
			one_free(&one[i]);
			memset(&one[i], 0xff, sizeof(one[i]));
		}
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	close_pool();
}

static void cancelled_in_a_callback(void **state)
{
	struct one a, b;

	(void)state;
	open_pool(2);
	for (unsigned int i = 0; i < 20; i++) {
		one_new(&a, 1);
		one_new(&b, 2);
		a.cancels = &b;
		b.cancels = &a;
		assert_true(one_start(&a));
		assert_true(one_start(&b));
		while (a.job || b.job)
			event_base_loop(base, EVLOOP_ONCE);
		assert_int_equal(a.calls + b.calls, 1);
		one_free(&a);
		one_free(&b);
	}
	close_pool();
}

/* Who finds no place does it himself; nothing waits without bound. */
static void bounded(void **state)
{
	static struct one one[LIMIT_ARC_QUEUE + 1];

	(void)state;
	open_pool(0); /* nobody works */
	for (unsigned int i = 0; i <= LIMIT_ARC_QUEUE; i++) {
		one_new(&one[i], i);
		assert_int_equal(one_start(&one[i]), i < LIMIT_ARC_QUEUE);
	}
	arc_job_cancel(one[3].job);
	assert_true(one_start(&one[LIMIT_ARC_QUEUE]));
	assert_false(one_start(&one[3]));
	for (unsigned int i = 0; i <= LIMIT_ARC_QUEUE; i++) {
		if (one[i].job)
			arc_job_cancel(one[i].job);
		one_free(&one[i]);
	}
	close_pool();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_octets), cmocka_unit_test(cancelled_anywhere),
		cmocka_unit_test(cancelled_in_a_callback), cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
