/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* One connection's memory, as the WELCOME announced it and only if the memfds agree. */

#include "control/handoff/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW) /* else a mapping could end in SIGBUS */

static const char *check_welcome(const struct link_welcome *w, uint32_t n_loops, size_t n_fd)
{
	uint64_t used;

	if (w->magic != HANDOFF_MAGIC || w->version != HANDOFF_VERSION)
		return "welcome of another version";
	if (w->layout_hash != handoff_layout_hash(POSTERN_DP_COUNTER_COUNT))
		return "welcome of another layout";
	if (w->n_workers < 1 || w->n_workers > HANDOFF_MAX_WORKERS || w->n_loops != n_loops ||
	    n_loops > HANDOFF_MAX_LOOPS)
		return "number of workers or loops is wrong";
	if (n_fd != 3 + (size_t)w->n_loops + w->n_workers)
		return "number of files in the welcome is wrong";
	used = (uint64_t)w->n_records * HANDOFF_RECORD + (uint64_t)w->n_chunks * HANDOFF_CHUNK;
	if (!w->n_records || !w->n_chunks || used > w->slice_size ||
	    w->slice_size > SIZE_MAX / HANDOFF_MAX_WORKERS || w->slice_size % 4096 ||
	    w->arena_size != w->slice_size * w->n_workers)
		return "arena sizes do not fit together";
	if (w->rings_size != HANDOFF_RINGS_SIZE(w->n_workers, w->n_loops) ||
	    w->counters_size != (uint64_t)w->n_workers * HANDOFF_COUNTER_BLOCK)
		return "size of rings or counters is wrong";
	if (!w->epoch || !w->max_message)
		return "welcome without epoch or message size";
	return NULL;
}

static int map_fd(int fd, uint64_t size, int prot, void **out)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *p;

	if (seals < 0 || (seals & SIZE_SEALS) != SIZE_SEALS || fstat(fd, &st) < 0 ||
	    st.st_size < 0 || (uint64_t)st.st_size != size)
		return -EPROTO;
	p = mmap(NULL, (size_t)size, prot, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*out = p;
	return 0;
}

static int map_all(struct ctl_epoch *e, const struct link_welcome *w, const int *fd,
		   const char **why)
{
	const struct rings_head *h;
	void *p = NULL;
	int rc;

	*why = "the arena cannot be mapped";
	rc = map_fd(fd[0], w->arena_size, PROT_READ, &p);
	if (rc)
		return rc;
	e->arena = p;
	e->arena_size = (size_t)w->arena_size;
	*why = "the counters cannot be mapped";
	rc = map_fd(fd[1], w->counters_size, PROT_READ, &p);
	if (rc)
		return rc;
	e->counters = p;
	e->counters_size = (size_t)w->counters_size;
	*why = "the rings cannot be mapped";
	rc = map_fd(fd[2], w->rings_size, PROT_READ | PROT_WRITE, &p);
	if (rc)
		return rc;
	e->rings = p;
	e->rings_size = (size_t)w->rings_size;
	h = e->rings;
	*why = "head of the rings differs from the welcome";
	if (h->magic != HANDOFF_MAGIC || h->version != HANDOFF_VERSION ||
	    h->layout_hash != w->layout_hash || h->epoch != w->epoch ||
	    h->n_workers != w->n_workers || h->n_loops != w->n_loops)
		return -EPROTO;
	return 0;
}

static void close_all(const int *fd, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		close(fd[i]);
}

int ctl_epoch_new(const struct link_welcome *w, uint32_t n_loops, const int *fd, size_t n_fd,
		  struct ctl_epoch **out, const char **why)
{
	struct ctl_epoch *e;
	int rc;

	*why = check_welcome(w, n_loops, n_fd);
	if (*why) {
		close_all(fd, 0, n_fd);
		return -EPROTO;
	}
	e = calloc(1, sizeof(*e));
	if (!e) {
		*why = "no memory";
		close_all(fd, 0, n_fd);
		return -ENOMEM;
	}
	atomic_init(&e->refs, 1);
	e->id = w->epoch;
	e->n_workers = w->n_workers;
	e->n_loops = w->n_loops;
	e->n_records = w->n_records;
	e->n_chunks = w->n_chunks;
	e->slice = (size_t)w->slice_size;
	e->max_message = w->max_message;
	for (uint32_t i = 0; i < e->n_loops; i++)
		e->loop_bell[i] = fd[3 + i];
	for (uint32_t i = 0; i < e->n_workers; i++)
		e->worker_bell[i] = fd[3 + e->n_loops + i];
	rc = map_all(e, w, fd, why);
	close_all(fd, 0, 3); /* the mappings stay */
	if (rc) {
		ctl_epoch_unref(e);
		return rc;
	}
	*out = e;
	return 0;
}

struct ctl_epoch *ctl_epoch_ref(struct ctl_epoch *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

void ctl_epoch_unref(struct ctl_epoch *e)
{
	if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (e->arena)
		munmap((void *)(uintptr_t)e->arena, e->arena_size);
	if (e->counters)
		munmap((void *)(uintptr_t)e->counters, e->counters_size);
	if (e->rings)
		munmap(e->rings, e->rings_size);
	close_all(e->loop_bell, 0, e->n_loops);
	close_all(e->worker_bell, 0, e->n_workers);
	free(e);
}

void ctl_epoch_kill(struct ctl_epoch *e)
{
	atomic_store_explicit(&e->dead, 1, memory_order_release);
}

bool ctl_epoch_alive(const struct ctl_epoch *e)
{
	return atomic_load_explicit(&e->dead, memory_order_acquire) == 0;
}

uint64_t ctl_epoch_id(const struct ctl_epoch *e)
{
	return e->id;
}

uint32_t ctl_epoch_workers(const struct ctl_epoch *e)
{
	return e->n_workers;
}

uint64_t ctl_epoch_max_message(const struct ctl_epoch *e)
{
	return e->max_message;
}

const struct handoff_counters *ctl_epoch_counters(const struct ctl_epoch *e, uint32_t worker)
{
	const struct handoff_counters *c;

	if (worker >= e->n_workers)
		return NULL;
	c = &e->counters[worker];
	return c->magic == HANDOFF_MAGIC && c->n == POSTERN_DP_COUNTER_COUNT ? c : NULL;
}

uint64_t ctl_epoch_counter(const struct ctl_epoch *e, uint32_t worker, enum postern_counter c)
{
	const struct handoff_counters *block = ctl_epoch_counters(e, worker);

	if (!block || (unsigned int)c >= POSTERN_DP_COUNTER_COUNT)
		return 0;
	return __atomic_load_n(&block->value[c], __ATOMIC_RELAXED);
}

static uint32_t left_of(uint64_t all, uint64_t used)
{
	return used < all ? (uint32_t)(all - used) : 0;
}

bool ctl_epoch_room(const struct ctl_epoch *e, uint32_t worker, struct ctl_room *out)
{
	if (!ctl_epoch_counters(e, worker))
		return false;
	out->records = left_of(e->n_records, ctl_epoch_counter(e, worker, CNT_arena_records_used));
	out->chunks = left_of(e->n_chunks, ctl_epoch_counter(e, worker, CNT_arena_chunks_used));
	return true;
}

const struct handoff_record *ctl_epoch_record(const struct ctl_epoch *e, uint32_t worker,
					      uint32_t record)
{
	if (worker >= e->n_workers || record >= e->n_records)
		return NULL;
	return (const struct handoff_record *)(e->arena + worker * e->slice) + record;
}

const uint8_t *ctl_epoch_chunks(const struct ctl_epoch *e, uint32_t worker)
{
	return e->arena + worker * e->slice + (size_t)e->n_records * HANDOFF_RECORD;
}
