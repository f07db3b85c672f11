/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/background.h"

static struct {
	struct event_base *base;
	struct background *b;
	pthread_t loop, thread;
	pthread_mutex_t gate;
	int worked, done;
} t;

static void work(void *arg)
{
	pthread_mutex_lock(&t.gate);
	t.thread = pthread_self();
	t.worked++;
	pthread_mutex_unlock(&t.gate);
	assert_ptr_equal(arg, &t);
}

static void once(void *arg)
{
	t.done++;
	assert_ptr_equal(arg, &t);
	assert_true(pthread_equal(pthread_self(), t.loop));
}

/* The next piece may be begun where the last one is done. */
static void thrice(void *arg)
{
	once(arg);
	if (t.done < 3)
		assert_int_equal(background_run(t.b, work, thrice, arg), 0);
}

static void runs(void **state)
{
	(void)state;
	t.loop = pthread_self();
	t.base = event_base_new();
	t.b = background_new(t.base);
	assert_non_null(t.b);
	pthread_mutex_init(&t.gate, NULL);
	/* Nothing here waits for it, and there is one at a time. */
	pthread_mutex_lock(&t.gate);
	assert_int_equal(background_run(t.b, work, thrice, &t), 0);
	assert_int_equal(background_run(t.b, work, once, &t), -EBUSY);
	assert_int_equal(event_base_loop(t.base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(t.worked + t.done, 0);
	pthread_mutex_unlock(&t.gate);
	while (t.done < 3)
		event_base_loop(t.base, EVLOOP_ONCE);
	assert_int_equal(t.worked, 3);
	assert_false(pthread_equal(t.thread, t.loop));
	/* What is under way at the end is waited for, and its done() not called. */
	assert_int_equal(background_run(t.b, work, once, &t), 0);
	background_free(t.b);
	assert_int_equal(t.worked, 4);
	assert_int_equal(t.done, 3);
	pthread_mutex_destroy(&t.gate);
	event_base_free(t.base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(runs)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
