/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * bench-tls [RUNS]: each run is a process with the slab and one with malloc(), because OpenSSL
 * takes its memory functions once; in each, ours and bare alternate.
 */

#include "bench.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/tls/tls.h"

#define ROUNDS 8       /* batches of handshakes in one measurement */
#define BULK (64u << 20)
#define SLICE (256u << 10)
#define SEGMENT 1448
#define IDLE 256

static double client_s; /* CPU of this thread that was the client's */

static double cpu(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#define AS_CLIENT(...) \
	do { \
		double as_client_ = cpu(CLOCK_THREAD_CPUTIME_ID); \
		__VA_ARGS__; \
		client_s += cpu(CLOCK_THREAD_CPUTIME_ID) - as_client_; \
	} while (0)

static void flow(const struct bench_server *sv, unsigned int i)
{
	size_t n;
	const uint8_t *p = client_out(i, &n);

	if (n)
		sv->input(i, p, n);
}

/* n connections brought up in step. */
static void connect_all(const struct bench_server *sv, unsigned int n, SSL_SESSION *ticket)
{
	unsigned int done = 0;

	AS_CLIENT(for (unsigned int i = 0; i < n; i++) client_open(i, ticket));
	for (unsigned int i = 0; i < n; i++)
		sv->open(i);
	for (int turn = 0; turn < 10 && done < n; turn++) {
		done = 0;
		AS_CLIENT(for (unsigned int i = 0; i < n; i++) done += client_step(i));
		for (unsigned int i = 0; i < n; i++)
			flow(sv, i);
		AS_CLIENT(for (unsigned int i = 0; i < n; i++) client_out_clear(i));
		sv->settle();
	}
	if (done < n)
		bench_die("handshakes do not end");
	/* Tickets of TLS 1.3 came behind. */
	AS_CLIENT(for (unsigned int i = 0; i < n; i++) client_step(i));
}

static void close_all(const struct bench_server *sv, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		sv->close(i);
	AS_CLIENT(for (unsigned int i = 0; i < n; i++) client_close(i));
}

static double handshakes(const struct bench_server *sv, bool resumed)
{
	SSL_SESSION *ticket;
	double t0;

	connect_all(sv, BATCH, NULL);
	close_all(sv, BATCH);
	ticket = resumed ? client_ticket() : NULL;
	if (resumed && !ticket)
		bench_die("no ticket");
	client_s = 0;
	t0 = cpu(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < ROUNDS; i++) {
		connect_all(sv, BATCH, ticket);
		close_all(sv, BATCH);
	}
	t0 = cpu(CLOCK_PROCESS_CPUTIME_ID) - t0 - client_s;
	SSL_SESSION_free(ticket);
	return ROUNDS * BATCH / t0;
}

static double bulk(const struct bench_server *sv, size_t record, size_t segment)
{
	uint64_t before;
	double s = 0;

	connect_all(sv, 1, NULL);
	before = sv->received();
	for (size_t sent = 0; sent < BULK; sent += SLICE) {
		const uint8_t *p;
		double t0;
		size_t n;

		client_write(0, SLICE, record);
		p = client_out(0, &n);
		t0 = cpu(CLOCK_THREAD_CPUTIME_ID);
		for (size_t at = 0; at < n; at += segment)
			sv->input(0, p + at, n - at < segment ? n - at : segment);
		s += cpu(CLOCK_THREAD_CPUTIME_ID) - t0;
		client_out_clear(0);
	}
	if (sv->received() - before != BULK)
		bench_die("octets lost");
	close_all(sv, 1);
	return BULK * 8.0 / s;
}

/* What malloc() has out that only the servers' sides hold; 0 where it cannot be known. */
static double idle(const struct bench_server *sv, enum bench_memory m)
{
	size_t held;

	if (m != MEMORY_MALLOC)
		return 0;
	connect_all(sv, IDLE, NULL);
	for (unsigned int i = 0; i < IDLE; i++) {
		client_write(i, 100, 100);
		flow(sv, i);
		client_out_clear(i);
	}
	held = mallinfo2().uordblks;
	for (unsigned int i = 0; i < IDLE; i++)
		sv->close(i);
	held -= mallinfo2().uordblks;
	for (unsigned int i = 0; i < IDLE; i++)
		client_close(i);
	return (double)held / IDLE;
}

static double measure(const struct bench_server *sv, enum bench_case c, enum bench_memory m)
{
	switch (c) {
	case CASE_ECDSA_13:
	case CASE_ECDSA_12:
	case CASE_RSA_13:
		return handshakes(sv, false);
	case CASE_RESUMED_13:
		return handshakes(sv, true);
	case CASE_BULK_16K:
		return bulk(sv, 16384, 65536);
	case CASE_BULK_4K:
		return bulk(sv, 4096, 65536);
	case CASE_BULK_4K_SEGMENTS:
		return bulk(sv, 4096, SEGMENT);
	default:
		return idle(sv, m);
	}
}

static int run(struct bench_results *r, enum bench_memory m, unsigned int rep)
{
	static const struct bench_server *const side[] = {&bench_ours, &bench_bare};
	char *chain[2], *key[2];

	/* One arena: mallinfo2() counts the whole heap. */
	mallopt(M_ARENA_MAX, 1);
	if (m == MEMORY_SLAB && tls_memory_init())
		bench_die("memory");
	bench_keys(false, &chain[0], &key[0]);
	bench_keys(true, &chain[1], &key[1]);
	for (unsigned int c = 0; c < N_CASES; c++)
		for (unsigned int i = 0; i < N_SIDES; i++) {
			unsigned int s = (i + rep) % N_SIDES;
			bool rsa = c == CASE_RSA_13;
			bool v12 = c == CASE_ECDSA_12 || c == CASE_IDLE_12;

			client_start(v12 ? TLS1_2_VERSION : TLS1_3_VERSION);
			side[s]->start(chain[rsa], key[rsa]);
			r->v[m][c][s][rep] = measure(side[s], (enum bench_case)c, m);
			side[s]->stop();
			client_stop();
		}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int reps = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 7;
	struct bench_results *r;

	if (reps < 1 || reps > MAX_REPS) {
		fprintf(stderr, "usage: bench-tls [1..%d [FILE.json]]\n", MAX_REPS);
		return 2;
	}
	r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r == MAP_FAILED)
		return 1;
	for (unsigned int i = 0; i < reps; i++)
		for (unsigned int m = 0; m < N_MEMORIES; m++) {
			pid_t pid = fork();
			int st;

			if (pid == 0)
				_exit(run(r, (enum bench_memory)m, i));
			if (pid < 0 || waitpid(pid, &st, 0) != pid || st)
				bench_die("a run failed");
		}
	bench_report(r, reps);
	return argc > 2 && bench_write_json(r, reps, argv[2]) ? 1 : 0;
}
