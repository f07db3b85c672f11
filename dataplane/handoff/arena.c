/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The arena's memory. Sealing comes behind our own writable mapping: F_SEAL_FUTURE_WRITE leaves
 * that one alone and refuses every later one, so the memfd can be given away.
 */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define MIB ((size_t)1 << 20)
#define HUGE_ALIGN (2 * MIB)
#define ARENA_SEALS (F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int fail(char *err, size_t cap, int error, const char *what)
{
	if (err && cap)
		snprintf(err, cap, "%s: %s", what, strerror(-error));
	return error;
}

int dp_memfd(const char *name, unsigned int extra_flags)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | extra_flags;
	int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, flags);
	return fd < 0 ? -errno : fd;
}

/* A sealed mapping of `size` octets that only we can write. */
static int map_sealed(const char *name, unsigned int flags, size_t size, int *fd_out, uint8_t **out)
{
	int fd = dp_memfd(name, flags), rc;
	void *p;

	if (fd < 0)
		return fd;
	if (ftruncate(fd, (off_t)size) < 0) {
		rc = -errno;
		goto out;
	}
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		rc = -errno;
		goto out;
	}
	if (fcntl(fd, F_ADD_SEALS, ARENA_SEALS) < 0) {
		rc = -errno;
		munmap(p, size);
		goto out;
	}
	*fd_out = fd;
	*out = p;
	return 0;
out:
	close(fd);
	return rc;
}

static int map_arena(struct dp_arena *a, const struct dp_arena_opts *o)
{
	int rc = -ENOMEM;

	if (o->hugetlb != DP_HUGETLB_NEVER) {
		rc = map_sealed("postern-arena", MFD_HUGETLB, a->size, &a->arena_fd, &a->map);
		a->hugetlb = rc == 0;
		if (rc == 0 || o->hugetlb == DP_HUGETLB_MUST)
			return rc;
	}
	return map_sealed("postern-arena", 0, a->size, &a->arena_fd, &a->map);
}

static int bind_and_touch(struct dp_arena *a, const struct dp_arena_opts *o)
{
	for (uint32_t w = 0; w < a->n_workers; w++) {
		uint8_t *p = a->map + w * a->slice;
		int rc = o->bind ? o->bind(o->bind_arg, w, p, a->slice) : 0;

		if (rc)
			return rc;
		if (!o->prefault)
			continue;
#ifdef MADV_POPULATE_WRITE
		if (madvise(p, a->slice, MADV_POPULATE_WRITE) == 0)
			continue;
		if (errno == ENOMEM || errno == EFAULT || errno == EHWPOISON)
			return -ENOMEM;
#endif
		for (size_t i = 0; i < a->slice; i += 4096)
			*(volatile uint8_t *)(p + i) = 0;
	}
	return 0;
}

/* chunks that the largest message takes, a CRLF added to it included */
static uint32_t message_chunks(uint64_t max_message)
{
	return (uint32_t)((max_message + 2 + HANDOFF_CHUNK - 1) / HANDOFF_CHUNK);
}

static int layout(struct dp_arena *a, const struct dp_arena_opts *o)
{
	uint64_t records = o->n_records;

	if (o->n_workers < 1 || o->n_workers > HANDOFF_MAX_WORKERS || o->slice_mb < 8 ||
	    o->slice_mb > 65536 || o->pinned_percent > 100)
		return -EINVAL;
	a->n_workers = o->n_workers;
	a->slice = ((size_t)o->slice_mb * MIB + HUGE_ALIGN - 1) & ~(HUGE_ALIGN - 1);
	a->size = a->slice * a->n_workers;
	if (!records) /* a small message takes 48 KiB of record beside 64 KiB of chunk */
		records = a->slice / 4 / HANDOFF_RECORD;
	if (records * HANDOFF_RECORD > a->slice / 2)
		return -EINVAL;
	a->n_records = (uint32_t)records;
	a->n_chunks = (uint32_t)((a->slice - records * HANDOFF_RECORD) / HANDOFF_CHUNK);
	a->max_message = a->slice / 8;
	if (a->max_message > (uint64_t)(HANDOFF_MAX_CHUNKS - 1) * HANDOFF_CHUNK)
		a->max_message = (uint64_t)(HANDOFF_MAX_CHUNKS - 1) * HANDOFF_CHUNK;
	a->counters_size = (size_t)a->n_workers * HANDOFF_COUNTER_BLOCK;
	return 0;
}

static int worker_init(struct dp_arena *a, uint32_t index, const struct dp_arena_opts *o)
{
	struct dp_worker *w = &a->worker[index];
	uint8_t *slice = a->map + index * a->slice;
	uint32_t percent = o->pinned_percent ? o->pinned_percent : 25;

	w->index = index;
	w->record = (struct handoff_record *)slice;
	w->chunk = slice + (size_t)a->n_records * HANDOFF_RECORD;
	w->counters = ((struct handoff_counters *)a->counters)[index].value;
	w->n_records = a->n_records;
	w->n_chunks = a->n_chunks;
	w->max_message = a->max_message;
	w->floor = message_chunks(a->max_message);
	w->pinned_budget = (uint32_t)((uint64_t)a->n_chunks * percent / 100);
	TAILQ_INIT(&w->age);
	w->use = calloc(w->n_records, sizeof(*w->use));
	w->free_record = calloc(w->n_records, sizeof(*w->free_record));
	w->free_chunk = calloc(w->n_chunks, sizeof(*w->free_chunk));
	w->chunk_used = calloc(w->n_chunks, 1);
	if (!w->use || !w->free_record || !w->free_chunk || !w->chunk_used)
		return -ENOMEM;
	/* Stacks that hand out the low indices first. */
	for (uint32_t i = 0; i < w->n_records; i++)
		w->free_record[i] = w->n_records - 1 - i;
	for (uint32_t i = 0; i < w->n_chunks; i++)
		w->free_chunk[i] = w->n_chunks - 1 - i;
	w->n_free_record = w->n_records;
	w->n_free_chunk = w->n_chunks;
	return dp_source_init(w);
}

static void counters_init(struct dp_arena *a, uint64_t now_ns)
{
	if (!now_ns) {
		struct timespec ts;

		clock_gettime(CLOCK_REALTIME, &ts);
		now_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	}
	for (uint32_t i = 0; i < a->n_workers; i++) {
		struct handoff_counters *c = &((struct handoff_counters *)a->counters)[i];

		c->magic = HANDOFF_MAGIC;
		c->n = POSTERN_DP_COUNTER_COUNT;
		c->epoch = now_ns;
	}
}

int dp_arena_new(const struct dp_arena_opts *opts, struct dp_arena **out, char *err, size_t cap)
{
	struct dp_arena *a = calloc(1, sizeof(*a));
	int rc;

	if (!a)
		return fail(err, cap, -ENOMEM, "arena");
	a->arena_fd = a->counters_fd = -1;
	rc = layout(a, opts);
	if (rc) {
		fail(err, cap, rc, "arena layout: workers, slice or records out of range");
		goto out;
	}
	rc = map_arena(a, opts);
	if (rc) {
		fail(err, cap, rc, opts->hugetlb == DP_HUGETLB_MUST ? "arena (hugetlb)" : "arena");
		goto out;
	}
	rc = bind_and_touch(a, opts);
	if (rc) {
		fail(err, cap, rc, "arena: binding or prefaulting");
		goto out;
	}
	rc = map_sealed("postern-counters", 0, a->counters_size, &a->counters_fd, &a->counters);
	if (rc) {
		fail(err, cap, rc, "counters");
		goto out;
	}
	counters_init(a, opts->now_ns);
	a->worker = calloc(a->n_workers, sizeof(*a->worker));
	rc = a->worker ? 0 : -ENOMEM;
	for (uint32_t i = 0; rc == 0 && i < a->n_workers; i++)
		rc = worker_init(a, i, opts);
	if (rc) {
		fail(err, cap, rc, "arena bookkeeping");
		goto out;
	}
	*out = a;
	return 0;
out:
	dp_arena_free(a);
	return rc;
}

void dp_arena_free(struct dp_arena *a)
{
	if (!a)
		return;
	for (uint32_t i = 0; a->worker && i < a->n_workers; i++) {
		free(a->worker[i].use);
		free(a->worker[i].free_record);
		free(a->worker[i].free_chunk);
		free(a->worker[i].chunk_used);
		free(a->worker[i].source);
		free(a->worker[i].source_bucket);
	}
	free(a->worker);
	if (a->map)
		munmap(a->map, a->size);
	if (a->counters)
		munmap(a->counters, a->counters_size);
	if (a->arena_fd >= 0)
		close(a->arena_fd);
	if (a->counters_fd >= 0)
		close(a->counters_fd);
	free(a);
}

void dp_arena_info(const struct dp_arena *a, struct dp_arena_info *info)
{
	*info = (struct dp_arena_info){
		.arena_fd = a->arena_fd,
		.counters_fd = a->counters_fd,
		.arena_size = a->size,
		.slice_size = a->slice,
		.counters_size = a->counters_size,
		.n_workers = a->n_workers,
		.n_records = a->n_records,
		.n_chunks = a->n_chunks,
		.max_message = a->max_message,
		.hugetlb = a->hugetlb,
	};
}

void *dp_arena_slice(const struct dp_arena *a, uint32_t worker)
{
	return worker < a->n_workers ? a->map + worker * a->slice : NULL;
}

struct dp_worker *dp_arena_worker(struct dp_arena *a, uint32_t worker)
{
	return worker < a->n_workers ? &a->worker[worker] : NULL;
}

uint64_t *dp_worker_counters(struct dp_worker *w)
{
	return w->counters;
}
