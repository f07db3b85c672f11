/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What the rings between a worker and control cost: the worker's side is the dataplane's own code,
 * control's a thread on another CPU that reads each descriptor and answers it, and neither sleeps.
 * A figure is that of the quickest of 200 blocks of 1,024 calls: in the others somebody else may
 * have had one of the CPUs.
 *
 *     bench-rings [RUNS [FILE.json]]
 *
 * one: a question is asked when the last one is answered; many: 32 are asked at once; empty: a
 * worker's turn in which no loop has said anything, by the number of loops, since each worker has a
 * pair of rings with each.
 */

#include "dataplane/handoff/internal.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS_MAX 32
#define BLOCKS   200u
#define CALLS    1024u
#define BURST    32u
#define SESSIONS 64u

static const struct {
	const char *name, *what;
	uint32_t loops, burst; /* burst 0: nothing is asked */
} cases[] = {
	{"one", "one question, asked and answered", 1, 1},
	{"many", "a question of 32, asked and answered", 1, BURST},
	{"empty-1", "a turn without answers, 1 loop", 1, 0},
	{"empty-4", "a turn without answers, 4 loops", 4, 0},
	{"empty-16", "a turn without answers, 16 loops", 16, 0},
};

#define N_CASES (sizeof(cases) / sizeof(cases[0]))

static _Atomic bool stop;
static struct handoff_ring *submit, *verdict; /* of loop 0 */
static unsigned int answered;
static cpu_set_t cpus; /* those that we may use */

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench-rings: %s\n", what);
	exit(1);
}

static void pin(unsigned int nth)
{
	unsigned int seen = 0;
	cpu_set_t one;

	CPU_ZERO(&one);
	for (int c = 0; c < CPU_SETSIZE; c++)
		if (CPU_ISSET(c, &cpus) && seen++ == nth)
			CPU_SET(c, &one);
	if (pthread_setaffinity_np(pthread_self(), sizeof(one), &one))
		die("a CPU cannot be taken");
}

/* Control, without what it thinks about a question. */
static void *control(void *arg)
{
	struct handoff_verdict v = {.kind = VERDICT_RCPT,
				    .slots = 1,
				    .session = 5,
				    .generation = 9,
				    .question = 3,
				    .code = 250,
				    .enh_class = 2,
				    .enh_subject = 1,
				    .enh_detail = 5};
	uint32_t tail = 0;

	(void)arg;
	pin(1);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint32_t head = atomic_load_explicit(&submit->ctl.head, memory_order_acquire);

		if (head == tail)
			continue;
		for (; tail != head; tail++) {
			struct handoff_desc d;

			memcpy(&d, submit->slot[tail % HANDOFF_RING_SLOTS], sizeof(d));
			v.session = d.session;
			memcpy(verdict->slot[tail % HANDOFF_RING_SLOTS], &v, HANDOFF_SLOT);
		}
		atomic_store_explicit(&submit->ctl.tail, tail, memory_order_release);
		atomic_store_explicit(&verdict->ctl.head, tail, memory_order_release);
	}
	return NULL;
}

static bool on_verdict(void *arg, const struct dp_verdict *v)
{
	(void)arg;
	answered += v->head.code == 250;
	return true;
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ns a question, or a turn. */
static double turns(struct dp_rings *r, uint32_t burst)
{
	const struct handoff_desc d = {
		.kind = DESC_RCPT, .session = 5, .generation = 9, .question = 3};
	double begin = now_ns();

	for (uint32_t i = 0; i < CALLS; i += burst ? burst : 1) {
		unsigned int want = answered + burst;

		for (uint32_t k = 0; k < burst; k++)
			if (dp_rings_push(r, 0, &d))
				die("a ring is full");
		dp_rings_flush(r);
		do
			dp_rings_poll(r, BURST, on_verdict, NULL);
		while (answered != want);
	}
	return (now_ns() - begin) / CALLS;
}

static double measure(uint32_t loops, uint32_t burst)
{
	struct dp_arena_opts o = {.n_workers = 1, .slice_mb = 8, .hugetlb = DP_HUGETLB_NEVER};
	static struct dp_meet meet; /* opened anew each time */
	struct dp_epoch *epoch;
	struct dp_arena *arena;
	struct dp_rings *r;
	pthread_t thread;
	char err[160];
	double ns;

	if (dp_arena_new(&o, &arena, err, sizeof(err)) || dp_meet_open(&meet, 1) ||
	    dp_epoch_new(1, 1, loops, &epoch) ||
	    dp_rings_new_at(&meet, dp_arena_worker(arena, 0), SESSIONS, &r))
		die("no memory");
	submit = (struct handoff_ring *)((uint8_t *)epoch->head + HANDOFF_RING_PAIR(0, 0, loops));
	verdict = submit + 1;
	atomic_store(&meet.current, epoch);
	if (dp_rings_epoch(r) != DP_EPOCH_UP)
		die("the worker does not see its rings");
	atomic_store(&stop, false);
	if (pthread_create(&thread, NULL, control, NULL))
		die("no thread");
	ns = turns(r, burst);
	for (unsigned int i = 1; i < BLOCKS; i++) {
		double once = turns(r, burst);

		ns = once < ns ? once : ns;
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	dp_rings_free(r);
	dp_epoch_free(epoch);
	dp_meet_close(&meet);
	dp_arena_free(arena);
	return ns;
}

static int write_json(const char *path, double v[N_CASES][RUNS_MAX], unsigned int runs)
{
	FILE *f = fopen(path, "we");

	if (!f) {
		perror(path);
		return 1;
	}
	fputs("{\"bench\":\"rings\",\"cases\":[", f);
	for (size_t c = 0; c < N_CASES; c++) {
		fprintf(f, "%s\n{\"id\":\"%s\",\"name\":\"%s\",\"ns\":[", c ? "," : "",
			cases[c].name, cases[c].what);
		for (unsigned int i = 0; i < runs; i++)
			fprintf(f, "%s%.2f", i ? "," : "", v[c][i]);
		fputs("]}", f);
	}
	fputs("]}\n", f);
	return fclose(f) ? 1 : 0;
}

int main(int argc, char **argv)
{
	unsigned int runs = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 5;
	static double v[N_CASES][RUNS_MAX];

	if (runs < 1 || runs > RUNS_MAX) {
		fprintf(stderr, "usage: bench-rings [1..%d [FILE.json]]\n", RUNS_MAX);
		return 2;
	}
	if (sched_getaffinity(0, sizeof(cpus), &cpus) || CPU_COUNT(&cpus) < 2)
		die("two CPUs are needed");
	pin(0);
	for (unsigned int i = 0; i < runs; i++)
		for (size_t c = 0; c < N_CASES; c++)
			v[c][i] = measure(cases[c].loops, cases[c].burst);
	for (size_t c = 0; c < N_CASES; c++) {
		double low = v[c][0], high = v[c][0];

		for (unsigned int i = 1; i < runs; i++) {
			low = v[c][i] < low ? v[c][i] : low;
			high = v[c][i] > high ? v[c][i] : high;
		}
		printf("%s: %.1f to %.1f ns\n", cases[c].what, low, high);
	}
	return argc > 2 ? write_json(argv[2], v, runs) : 0;
}
