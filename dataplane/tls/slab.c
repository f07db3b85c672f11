/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Memory of OpenSSL: size classes in spans of one reserved region, cached by thread.
 *
 *   region   64 GiB of addresses (PROT_NONE), opened in steps; what lies in it is ours, so free()
 *            needs no header: span number → class
 *   span     64 KiB of blocks of one class; a span is never given back
 *   cache    of a thread: a list for each class, at most two batches long; no lock, no shared line
 *   shared   batches of blocks for each class, a lock-free stack: handshakes allocate on threads of
 *            the pool what workers free, and neither may wait for a thread that is not running
 *
 * Blocks above the largest class go to malloc(), as does everything once the region is used up.
 */

#include "dataplane/tls/internal.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define REGION (64ull << 30)
#define STEP (2ull << 20)      /* opened at once */
#define SPAN (64u << 10)
#define N_SPANS (REGION / SPAN)
#define GRAIN 16u
#define BATCH_BYTES (16u << 10) /* moved between thread and shared stack at once */
#define BATCH_MAX 64u

/* 16,896: OpenSSL's record buffers, 16 KiB and the overheads of a record. */
static const uint32_t class_size[] = {
	16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896,
	1024, 1280, 1536, 1792, 2048, 2560, 3072, 4096, 5120, 6144, 8192, 10240, 13056, 16896,
	21824, 32768,
};
#define N_CLASSES (sizeof(class_size) / sizeof(class_size[0]))
#define LARGEST 32768u

struct block {
	struct block *next;       /* in its batch or cache */
	struct block *next_batch; /* in the shared stack; the first block of a batch only */
};
_Static_assert(sizeof(struct block) <= 16, "fits the smallest class");

struct list {
	struct block *first;
	uint32_t n;
};

struct cache {
	struct list full[N_CLASSES]; /* a whole batch, or empty */
	struct list part[N_CLASSES]; /* in use */
	struct cache *next;          /* in the list of caches without a thread */
};

static struct {
	uint8_t *base;
	atomic_uint_fast64_t used;   /* octets carved */
	atomic_uint_fast64_t opened; /* octets that may be touched */
	/* Top of the stack: block offset in grains (32 bits), tag against ABA (32 bits). */
	_Alignas(64) atomic_uint_fast64_t top[N_CLASSES];
	uint8_t *span_class;
	uint8_t class_of[LARGEST / GRAIN + 1];
	uint32_t batch[N_CLASSES];
	pthread_key_t key;
	pthread_mutex_t lock; /* start and end of threads, opening of steps */
	struct cache *spare;
	bool ready;
} slab = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local struct cache *mine;

static bool ours(const void *p)
{
	return (uintptr_t)p - (uintptr_t)slab.base < REGION;
}

static unsigned int class_at(const void *p)
{
	return slab.span_class[((uintptr_t)p - (uintptr_t)slab.base) / SPAN];
}

static struct block *block_at(uint64_t top)
{
	uint32_t grain = (uint32_t)top;

	return grain ? (struct block *)(void *)(slab.base + (uint64_t)(grain - 1) * GRAIN) : NULL;
}

static uint64_t make_top(const struct block *b, uint64_t old)
{
	uint64_t grain = b ? ((uintptr_t)b - (uintptr_t)slab.base) / GRAIN + 1 : 0;

	return ((old >> 32) + 1) << 32 | grain;
}

static void push_batch(unsigned int k, struct block *b)
{
	uint64_t old = atomic_load_explicit(&slab.top[k], memory_order_relaxed);

	do {
		b->next_batch = block_at(old);
	} while (!atomic_compare_exchange_weak_explicit(&slab.top[k], &old, make_top(b, old),
							memory_order_release,
							memory_order_relaxed));
}

/*
 * Another thread may have taken this block meanwhile and filled it. It stays mapped, and the tag
 * makes the exchange below fail, so what was read then is not used.
 */
__attribute__((noinline, no_sanitize("thread"))) static struct block *peek_next(struct block *b)
{
	return *(struct block *volatile *)&b->next_batch;
}

static struct block *pop_batch(unsigned int k)
{
	uint64_t old = atomic_load_explicit(&slab.top[k], memory_order_acquire);
	struct block *b;

	do {
		b = block_at(old);
		if (!b)
			return NULL;
	} while (!atomic_compare_exchange_weak_explicit(&slab.top[k], &old,
							make_top(peek_next(b), old),
							memory_order_acquire,
							memory_order_acquire));
	return b;
}

/* A step more of the region; false at its end. */
static bool open_to(uint64_t end)
{
	bool ok = end <= REGION;

	pthread_mutex_lock(&slab.lock);
	while (ok && atomic_load(&slab.opened) < end) {
		uint64_t at = atomic_load(&slab.opened);

		ok = mprotect(slab.base + at, STEP, PROT_READ | PROT_WRITE) == 0;
		if (ok)
			atomic_store(&slab.opened, at + STEP);
	}
	pthread_mutex_unlock(&slab.lock);
	return ok;
}

/* Cuts a new span into batches, keeps the first and shares the others. */
static struct block *carve(unsigned int k)
{
	uint64_t at = atomic_fetch_add(&slab.used, SPAN);
	unsigned int size = class_size[k], n = SPAN / size, in_batch = 0;
	struct block *first = NULL, *batch = NULL;

	if (at + SPAN > REGION || (at + SPAN > atomic_load(&slab.opened) && !open_to(at + SPAN))) {
		atomic_fetch_sub(&slab.used, SPAN);
		return NULL;
	}
	slab.span_class[at / SPAN] = (uint8_t)k;
	/* From the end, so that a list runs upwards. */
	for (unsigned int i = n; i-- > 0;) {
		struct block *b = (struct block *)(void *)(slab.base + at + (size_t)i * size);

		b->next = batch;
		batch = b;
		if (++in_batch < slab.batch[k] && i > 0)
			continue;
		/* The count of a batch is implied; a short one would lie about it. */
		if (in_batch == slab.batch[k]) {
			if (first)
				push_batch(k, first);
			first = batch;
		}
		batch = NULL;
		in_batch = 0;
	}
	return first;
}

/* Thread ends: incomplete lists stay with the cache, which the next thread takes over. */
static void thread_end(void *arg)
{
	struct cache *c = arg;

	mine = NULL;
	for (unsigned int k = 0; k < N_CLASSES; k++)
		if (c->full[k].first) {
			push_batch(k, c->full[k].first);
			c->full[k] = (struct list){0};
		}
	pthread_mutex_lock(&slab.lock);
	c->next = slab.spare;
	slab.spare = c;
	pthread_mutex_unlock(&slab.lock);
}

/* Once a thread. */
static __attribute__((noinline)) struct cache *cache_new(void)
{
	struct cache *c;

	pthread_mutex_lock(&slab.lock);
	c = slab.spare;
	if (c)
		slab.spare = c->next;
	pthread_mutex_unlock(&slab.lock);
	if (!c)
		c = calloc(1, sizeof(*c));
	if (c && pthread_setspecific(slab.key, c)) {
		thread_end(c);
		c = NULL;
	}
	mine = c;
	return c;
}

static __attribute__((noinline)) bool refill(struct cache *c, unsigned int k)
{
	if (c->full[k].first) {
		c->part[k] = c->full[k];
		c->full[k] = (struct list){0};
		return true;
	}
	c->part[k].first = pop_batch(k);
	if (!c->part[k].first)
		c->part[k].first = carve(k);
	c->part[k].n = c->part[k].first ? slab.batch[k] : 0;
	return c->part[k].first != NULL;
}

void *tls_slab_alloc(size_t n)
{
	struct cache *c = mine;
	struct block *b;
	unsigned int k;

	if (n > LARGEST || (!c && !(c = cache_new())))
		return malloc(n);
	k = slab.class_of[(n + GRAIN - 1) / GRAIN];
	if (!c->part[k].first && !refill(c, k))
		return malloc(n);
	b = c->part[k].first;
	c->part[k].first = b->next;
	c->part[k].n--;
	return b;
}

void tls_slab_free(void *p)
{
	struct cache *c = mine;
	struct block *b = p;
	unsigned int k;

	if (!ours(p)) {
		free(p);
		return;
	}
	/* Without a cache (no memory for one) the block is lost until the process ends. */
	if (!c && !(c = cache_new()))
		return;
	k = class_at(p);
	if (c->part[k].n == slab.batch[k]) {
		if (c->full[k].first)
			push_batch(k, c->full[k].first);
		c->full[k] = c->part[k];
		c->part[k] = (struct list){0};
	}
	b->next = c->part[k].first;
	c->part[k].first = b;
	c->part[k].n++;
}

void *tls_slab_realloc(void *p, size_t n)
{
	size_t have;
	void *q;

	if (!p)
		return tls_slab_alloc(n);
	if (n == 0) {
		tls_slab_free(p);
		return NULL;
	}
	if (!ours(p) && n > LARGEST)
		return realloc(p, n);
	have = ours(p) ? class_size[class_at(p)] : malloc_usable_size(p);
	/* Stays where it is unless most of it would be wasted. */
	if (ours(p) && n <= have && n * 2 > have)
		return p;
	q = tls_slab_alloc(n);
	if (!q)
		return NULL;
	memcpy(q, p, n < have ? n : have);
	tls_slab_free(p);
	return q;
}

int tls_slab_init(void)
{
	if (slab.ready)
		return 0;
	slab.base = mmap(NULL, REGION, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			 0);
	if (slab.base == MAP_FAILED)
		return -ENOMEM;
	slab.span_class = calloc(N_SPANS, 1);
	if (!slab.span_class || pthread_key_create(&slab.key, thread_end)) {
		free(slab.span_class);
		munmap(slab.base, REGION);
		return -ENOMEM;
	}
	for (unsigned int g = 0, k = 0; g <= LARGEST / GRAIN; g++) {
		if (g * GRAIN > class_size[k])
			k++;
		slab.class_of[g] = (uint8_t)k;
	}
	for (unsigned int k = 0; k < N_CLASSES; k++) {
		uint32_t n = BATCH_BYTES / class_size[k];

		slab.batch[k] = n == 0 ? 1 : n > BATCH_MAX ? BATCH_MAX : n;
	}
	slab.ready = true;
	return 0;
}

void tls_slab_get_usage(struct tls_slab_usage *out)
{
	*out = (struct tls_slab_usage){.mapped = atomic_load(&slab.used)};
	for (unsigned int k = 0; mine && k < N_CLASSES; k++)
		out->cached += (uint64_t)class_size[k] * (mine->part[k].n + mine->full[k].n);
}

static void *openssl_malloc(size_t n, const char *file, int line)
{
	(void)file, (void)line;
	return n ? tls_slab_alloc(n) : NULL;
}

static void *openssl_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file, (void)line;
	return tls_slab_realloc(p, n);
}

static void openssl_free(void *p, const char *file, int line)
{
	(void)file, (void)line;
	if (p)
		tls_slab_free(p);
}

int tls_memory_init(void)
{
	static bool installed;
	int rc;

	/* OpenSSL itself would take them twice. */
	if (installed)
		return -EALREADY;
	rc = tls_slab_init();
	if (rc)
		return rc;
	installed = CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) == 1;
	return installed ? 0 : -EALREADY;
}
