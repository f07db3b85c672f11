/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "bench.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#include "dataplane/tls/tls.h"
#include "postern/stats.h"

static struct tls_tickets *tickets;
static struct tls_context *ctx;
static struct tls_pool *pool;
static struct tls_worker *worker;
static struct tls_conn *conn[MAX_CONNS];
static uint64_t counters[POSTERN_DP_COUNTER_COUNT];
static uint64_t received;

static int up_send(void *owner, const void *p, size_t n)
{
	bench_to_client((unsigned int)(uintptr_t)owner, p, n);
	return 0;
}

static void up_established(void *owner, const struct tls_facts *f)
{
	(void)owner, (void)f;
}

static size_t up_plain(void *owner, uint8_t *p, size_t n)
{
	(void)owner, (void)p;
	received += n;
	return n;
}

static void up_nothing(void *owner)
{
	(void)owner;
}

static void up_failed(void *owner, enum tls_failure why)
{
	(void)owner, (void)why;
	bench_die("our handshake");
}

static const struct tls_ops ops = {up_send, up_established, up_plain, up_nothing, up_failed,
				   up_nothing};

static void start(const char *chain, const char *key)
{
	struct tls_certificate c = {str_c(chain), str_c(key)};
	struct tls_options o = {.certificate = &c, .n_certificates = 1};
	char err[200];

	o.tickets = tickets = tls_tickets_new(1);
	ctx = tls_context_new(&o, err, sizeof(err));
	pool = tls_pool_new(1, 1);
	worker = pool ? tls_worker_new(pool, 0, MAX_CONNS, &ops, counters) : NULL;
	if (!ctx || !worker)
		bench_die("our start");
	received = 0;
}

static void stop(void)
{
	tls_worker_free(worker);
	tls_pool_free(pool);
	tls_context_unref(ctx);
	tls_tickets_free(tickets);
}

static void open_conn(unsigned int i)
{
	conn[i] = tls_open(worker, ctx, (void *)(uintptr_t)i);
	if (!conn[i])
		bench_die("our connection");
}

static void close_conn(unsigned int i)
{
	tls_free(conn[i]);
	conn[i] = NULL;
}

static void input(unsigned int i, const uint8_t *p, size_t n)
{
	if (tls_input(conn[i], p, n) != n)
		bench_die("our input");
}

/* The wait itself is not the server's work: it sleeps. */
static void settle(void)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	struct tls_usage u;

	for (;;) {
		tls_poll(worker, MAX_CONNS);
		tls_get_usage(worker, &u);
		if (!u.handshakes)
			return;
		nanosleep(&nap, NULL);
	}
}

static uint64_t get_received(void)
{
	return received;
}

const struct bench_server bench_ours = {start, stop, open_conn, close_conn, input, settle,
					get_received};
