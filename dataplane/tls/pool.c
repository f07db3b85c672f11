/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Threads that run handshakes. Between a worker and the pool lie two rings (a link): the worker's
 * ends are its own, lock-free and without waiting; the pool's ends are shared by its threads under
 * a lock the worker never takes. Each ring holds all connections of its worker: never full.
 *
 * Sleeping. Worker: publish; full fence; sleepers, and none being woken? bump the futex word and
 * wake one. Thread: count itself a sleeper; full fence; look at the rings once more; sleep only if
 * the word is unchanged. One of the two sees the other's store. The thread that got up takes the
 * mark off and wakes the next if there is more to do, so a burst of handshakes costs the worker one
 * system call and a busy pool none.
 */

#include "dataplane/tls/internal.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_THREADS 64u
#define MAX_WORKERS 256u
/* Below the workers, so that a flood of handshakes takes no core from a poll loop, yet not so low
 * that a busy machine starves them: a quarter of a core that is fought for. */
#define POOL_NICE 5
#define LINE 64 /* a cache line */

struct ring {
	_Alignas(LINE) atomic_uint head; /* producer's */
	_Alignas(LINE) atomic_uint tail; /* consumer's */
	struct tls_conn **slot;
};

struct tls_link {
	struct tls_pool *pool;
	unsigned int mask;
	atomic_uint refs;      /* worker and pool */
	atomic_bool orphaned;
	bool alone;            /* no threads: the worker serves itself */
	pthread_mutex_t in_lock, out_lock; /* of the pool's threads */
	struct ring to_pool, to_worker;
};

struct tls_pool {
	unsigned int n_threads, n_workers, started;
	atomic_bool stop;
	_Alignas(LINE) atomic_uint sleepers;
	atomic_bool waking;              /* a thread is on its way out of rest() */
	_Alignas(LINE) atomic_uint word; /* the futex */
	pthread_t thread[MAX_THREADS];
	_Atomic(struct tls_link *) link[MAX_WORKERS];
};

static bool ring_empty(const struct ring *r)
{
	return atomic_load_explicit(&r->tail, memory_order_relaxed) ==
	       atomic_load_explicit(&r->head, memory_order_acquire);
}

static void ring_put(struct ring *r, unsigned int mask, struct tls_conn *c)
{
	unsigned int head = atomic_load_explicit(&r->head, memory_order_relaxed);

	r->slot[head & mask] = c;
	atomic_store_explicit(&r->head, head + 1, memory_order_release);
}

static struct tls_conn *ring_get(struct ring *r, unsigned int mask)
{
	unsigned int tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	struct tls_conn *c;

	if (tail == atomic_load_explicit(&r->head, memory_order_acquire))
		return NULL;
	c = r->slot[tail & mask];
	/* The slot is free for its producer only behind this. */
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
	return c;
}

void tls_link_unref(struct tls_link *l)
{
	if (atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&l->in_lock);
	pthread_mutex_destroy(&l->out_lock);
	free(l->to_pool.slot);
	free(l->to_worker.slot);
	free(l);
}

struct tls_link *tls_link_new(struct tls_pool *p, unsigned int index, uint32_t max_conns)
{
	struct tls_link *none = NULL, *l;
	unsigned int size = 1;

	if (index >= p->n_workers) {
		errno = EINVAL;
		return NULL;
	}
	while (size < max_conns)
		size *= 2;
	l = aligned_alloc(LINE, (sizeof(*l) + LINE - 1) / LINE * LINE);
	if (!l)
		return NULL;
	*l = (struct tls_link){.pool = p, .mask = size - 1, .alone = p->n_threads == 0};
	atomic_init(&l->refs, 2);
	pthread_mutex_init(&l->in_lock, NULL);
	pthread_mutex_init(&l->out_lock, NULL);
	l->to_pool.slot = calloc(size, sizeof(struct tls_conn *));
	l->to_worker.slot = calloc(size, sizeof(struct tls_conn *));
	if (!l->to_pool.slot || !l->to_worker.slot) {
		errno = ENOMEM;
	} else if (!atomic_compare_exchange_strong(&p->link[index], &none, l)) {
		errno = EBUSY;
	} else {
		return l;
	}
	atomic_store(&l->refs, 1);
	tls_link_unref(l);
	return NULL;
}

bool tls_link_orphaned(const struct tls_link *l)
{
	return atomic_load(&l->orphaned);
}

static void wake(struct tls_pool *p, int n)
{
	atomic_fetch_add(&p->word, 1);
	syscall(SYS_futex, &p->word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void wake_one(struct tls_pool *p)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&p->sleepers, memory_order_relaxed) &&
	    !atomic_exchange(&p->waking, true))
		wake(p, 1);
}

void tls_link_put(struct tls_link *l, struct tls_conn *c)
{
	ring_put(&l->to_pool, l->mask, c);
	wake_one(l->pool);
}

/* One connection of a link, if there is one. */
static bool serve(struct tls_link *l)
{
	struct tls_conn *c;

	if (ring_empty(&l->to_pool))
		return false;
	pthread_mutex_lock(&l->in_lock);
	c = ring_get(&l->to_pool, l->mask);
	pthread_mutex_unlock(&l->in_lock);
	if (!c)
		return false;
	if (!ring_empty(&l->to_pool))
		wake_one(l->pool);
	if (!atomic_load_explicit(&c->abandoned, memory_order_relaxed))
		tls_handshake_step(c);
	pthread_mutex_lock(&l->out_lock);
	ring_put(&l->to_worker, l->mask, c);
	pthread_mutex_unlock(&l->out_lock);
	return true;
}

struct tls_conn *tls_link_get(struct tls_link *l)
{
	if (l->alone)
		serve(l);
	return ring_get(&l->to_worker, l->mask);
}

static bool anything(struct tls_pool *p)
{
	for (unsigned int i = 0; i < p->n_workers; i++) {
		struct tls_link *l = atomic_load_explicit(&p->link[i], memory_order_acquire);

		if (l && !ring_empty(&l->to_pool))
			return true;
	}
	return atomic_load(&p->stop);
}

static void rest(struct tls_pool *p)
{
	unsigned int word = atomic_load(&p->word);

	atomic_fetch_add(&p->sleepers, 1);
	/* The mark may stem from a wake-up that came when nobody slept any more: nobody would ever
	 * wake us then. If it is set behind this, the word has changed as well. */
	atomic_exchange(&p->waking, false);
	atomic_thread_fence(memory_order_seq_cst);
	if (!anything(p))
		syscall(SYS_futex, &p->word, FUTEX_WAIT_PRIVATE, word, NULL, NULL, 0);
	atomic_fetch_sub(&p->sleepers, 1);
	/* What was published without waking anybody is seen by the scan that follows. */
	atomic_exchange(&p->waking, false);
}

static void *run(void *arg)
{
	struct tls_pool *p = arg;
	unsigned int first = 0;

	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), POOL_NICE);
	while (!atomic_load_explicit(&p->stop, memory_order_relaxed)) {
		bool worked = false;

		/* One of each worker in turn: none can keep the others waiting. */
		for (unsigned int i = 0; i < p->n_workers; i++) {
			unsigned int at = (first + i) % p->n_workers;
			struct tls_link *l = atomic_load_explicit(&p->link[at],
								  memory_order_acquire);

			worked = (l && serve(l)) || worked;
		}
		first++;
		if (!worked)
			rest(p);
	}
	return NULL;
}

struct tls_pool *tls_pool_new(unsigned int n_threads, unsigned int n_workers)
{
	sigset_t all, old;
	struct tls_pool *p;
	int rc = 0;

	if (n_threads > MAX_THREADS || n_workers == 0 ||
	    n_workers > MAX_WORKERS) {
		errno = EINVAL;
		return NULL;
	}
	p = aligned_alloc(LINE, (sizeof(*p) + LINE - 1) / LINE * LINE);
	if (!p)
		return NULL;
	*p = (struct tls_pool){.n_threads = n_threads, .n_workers = n_workers};
	/* Signals are for the thread that expects them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (!rc && p->started < n_threads) {
		rc = pthread_create(&p->thread[p->started], NULL, run, p);
		if (!rc)
			p->started++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		tls_pool_free(p);
		errno = rc;
		return NULL;
	}
	return p;
}

void tls_pool_free(struct tls_pool *p)
{
	if (!p)
		return;
	atomic_store(&p->stop, true);
	wake(p, (int)p->n_threads);
	for (unsigned int i = 0; i < p->started; i++)
		pthread_join(p->thread[i], NULL);
	for (unsigned int i = 0; i < p->n_workers; i++) {
		struct tls_link *l = atomic_load(&p->link[i]);

		if (!l)
			continue;
		atomic_store(&l->orphaned, true);
		tls_link_unref(l);
	}
	free(p);
}
