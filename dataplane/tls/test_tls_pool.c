/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Many connections over several threads, rotation meanwhile, and ends in every order. */

#include "dataplane/tls/test_tls_util.h"

#include <time.h>

#define CONNS 1000

static struct pem *ec;
static struct tls_context *ctx;
static struct tls_tickets *tickets;
static SSL_CTX *cc;

static int setup(void **state)
{
	(void)state;
	ec = pem_make(KEY_EC, "mx.example.com", NULL, 30, NULL);
	tickets = tls_tickets_new(1);
	ctx = context_of(tickets, 1, (const struct pem *const *)&ec);
	cc = client_ctx();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	SSL_CTX_free(cc);
	tls_context_unref(ctx);
	tls_tickets_free(tickets);
	pem_free(ec);
	return 0;
}

/* One exchange of what both sides have, without waiting for the pool. */
static bool step(struct server *s, struct client *k)
{
	uint8_t buf[4096];
	size_t n;
	int r;

	if (!k->done && SSL_do_handshake(k->ssl) == 1) {
		k->done = true;
		SSL_write(k->ssl, "HELO\r\n", 6);
	}
	while ((r = BIO_read(SSL_get_wbio(k->ssl), buf, sizeof(buf))) > 0)
		bytes_add(&k->up, buf, (size_t)r);
	n = k->up.n - k->up.off;
	if (n)
		k->up.off += tls_input(s->c, k->up.p + k->up.off, n);
	n = s->wire.n - s->wire.off;
	if (n) {
		BIO_write(SSL_get_rbio(k->ssl), s->wire.p + s->wire.off, (int)n);
		s->wire.off = s->wire.n;
	}
	return s->got.n == 6;
}

static void test_thousand(void **state)
{
	struct harness *h = harness_new(2, CONNS);
	struct server *s = calloc(CONNS, sizeof(*s));
	struct client *k = calloc(CONNS, sizeof(*k));
	const struct timespec nap = {.tv_nsec = 500000};
	struct tls_usage u;
	uint64_t now = 1;
	time_t end = time(NULL) + 120;
	int done = 0;

	(void)state;
	for (int i = 0; i < CONNS; i++) {
		server_init(&s[i], h, ctx);
		client_init(&k[i], cc, NULL);
	}
	while (done < CONNS && time(NULL) < end) {
		done = 0;
		for (int i = 0; i < CONNS; i++)
			done += step(&s[i], &k[i]);
		nanosleep(&nap, NULL);
		tls_poll(h->w, 10000);
		/* Readers are at it on both threads. */
		tls_tickets_rotate(tickets, now += TLS_TICKET_LIFETIME_S);
	}
	assert_int_equal(done, CONNS);
	assert_int_equal(h->counters[CNT_tls_handshakes], CONNS);
	tls_get_usage(h->w, &u);
	assert_int_equal(u.conns, CONNS);
	for (int i = 0; i < CONNS; i++) {
		assert_int_equal(s[i].established, 1);
		assert_memory_equal(s[i].got.p, "HELO\r\n", 6);
		server_free(&s[i]);
		client_free(&k[i]);
	}
	free(s);
	free(k);
	harness_free(h);
}

/* Handshakes are under way when all ends; the worker or the pool goes first. */
static void test_shutdown(void **state)
{
	(void)state;
	for (int order = 0; order < 6; order++) {
		struct harness *h = harness_new(2, 64);
		struct server s[40];
		struct client k[40];

		for (int i = 0; i < 40; i++) {
			server_init(&s[i], h, ctx);
			client_init(&k[i], cc, NULL);
			step(&s[i], &k[i]);
		}
		if (order & 1)
			tls_poll(h->w, 3);
		if (order & 2) {
			tls_pool_free(h->pool);
			tls_worker_free(h->w);
		} else {
			tls_worker_free(h->w);
			tls_pool_free(h->pool);
		}
		free(h);
		for (int i = 0; i < 40; i++) {
			s[i].c = NULL;
			server_free(&s[i]);
			client_free(&k[i]);
		}
	}
}

/* A context outlives its last reference by us as long as connections use it. */
static void test_context_lives(void **state)
{
	struct tls_context *own = context_of(NULL, 1, (const struct pem *const *)&ec);
	struct harness *h = harness_new(1, 4);
	struct server s;
	struct client k;

	(void)state;
	server_init(&s, h, own);
	tls_context_unref(own);
	client_init(&k, cc, "mx.example.com");
	handshake(h, &s, &k);
	assert_int_equal(s.established, 1);
	server_free(&s);
	client_free(&k);
	harness_free(h);
}

/*
 * Work that comes just as a thread gets up or lies down must not stay undone. Garbage, because it
 * is dealt with in no time; the pauses vary so that all moments are met.
 */
static void test_wake(void **state)
{
	struct harness *h = harness_new(1, 4);

	(void)state;
	for (unsigned int i = 0; i < 6000; i++) {
		struct server s[3];

		for (unsigned int j = 0; j < 3; j++) {
			server_init(&s[j], h, ctx);
			assert_int_equal(tls_input(s[j].c, (const uint8_t *)"EHLO x", 6), 6);
			for (volatile unsigned int k = 0; k < (i * 7919 + j * 104729) % 60000; k++)
				;
		}
		harness_settle(h);
		for (unsigned int j = 0; j < 3; j++) {
			assert_int_equal(s[j].failed, 1);
			server_free(&s[j]);
		}
	}
	harness_free(h);
}

/* Without threads the worker does it all, in tls_poll(). */
static void test_no_threads(void **state)
{
	struct harness *h = harness_new(0, 4);
	struct server s;
	struct client k;

	(void)state;
	server_init(&s, h, ctx);
	client_init(&k, cc, "mx.example.com");
	handshake(h, &s, &k);
	assert_int_equal(s.established, 1);
	server_free(&s);
	client_free(&k);
	/* And with a handshake under way. */
	server_init(&s, h, ctx);
	client_init(&k, cc, NULL);
	step(&s, &k);
	harness_free(h);
	s.c = NULL;
	server_free(&s);
	client_free(&k);
}

static void test_arguments(void **state)
{
	static const struct tls_ops ops;
	static uint64_t counters[POSTERN_DP_COUNTER_COUNT];
	struct tls_pool *p;
	struct tls_worker *w;

	(void)state;
	assert_null(tls_pool_new(1, 0));
	assert_null(tls_pool_new(100000, 1));
	p = tls_pool_new(1, 2);
	assert_null(tls_worker_new(p, 2, 1, &ops, counters));
	assert_null(tls_worker_new(p, 0, 0, &ops, counters));
	w = tls_worker_new(p, 1, 1, &ops, counters);
	assert_non_null(w);
	assert_null(tls_worker_new(p, 1, 1, &ops, counters));
	tls_worker_free(w);
	tls_pool_free(p);
	tls_pool_free(NULL);
	tls_worker_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thousand), cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_context_lives), cmocka_unit_test(test_no_threads),
		cmocka_unit_test(test_wake),
		cmocka_unit_test(test_arguments),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
