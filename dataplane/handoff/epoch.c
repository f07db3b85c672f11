/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Rings memfd and doorbells of one epoch, and the place where link and workers meet.
 *
 * Doorbells are pipes, not eventfds: flags of an eventfd are shared with whoever got it, and
 * control could make our non-blocking write block by clearing O_NONBLOCK and filling the counter.
 * Each end of a pipe that we use is an open file description of our own.
 */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define RINGS_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int open_bell(int *read_end, int *write_end)
{
	int fd[2];

	if (pipe2(fd, O_NONBLOCK | O_CLOEXEC) < 0)
		return -errno;
	*read_end = fd[0];
	*write_end = fd[1];
	return 0;
}

/* ---- epoch --------------------------------------------------------------------------------- */

static int map_rings(struct dp_epoch *e)
{
	void *p;

	e->rings_fd = dp_memfd("postern-rings", 0);
	if (e->rings_fd < 0)
		return e->rings_fd;
	if (ftruncate(e->rings_fd, (off_t)e->size) < 0)
		return -errno;
	/* Populated: a ring must not fault in the poll loop, nor run out of memory there. */
	p = mmap(NULL, e->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, e->rings_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	e->head = p;
	return fcntl(e->rings_fd, F_ADD_SEALS, RINGS_SEALS) < 0 ? -errno : 0;
}

int dp_epoch_new(uint64_t id, uint32_t n_workers, uint32_t n_loops, struct dp_epoch **out)
{
	struct dp_epoch *e;
	int rc;

	if (n_workers < 1 || n_workers > HANDOFF_MAX_WORKERS || n_loops < 1 ||
	    n_loops > HANDOFF_MAX_LOOPS)
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->id = id;
	e->n_workers = n_workers;
	e->n_loops = n_loops;
	e->size = HANDOFF_RINGS_SIZE(n_workers, n_loops);
	e->rings_fd = -1;
	for (uint32_t l = 0; l < HANDOFF_MAX_LOOPS; l++)
		e->bell[l] = e->bell_read[l] = -1;
	rc = map_rings(e);
	for (uint32_t l = 0; rc == 0 && l < n_loops; l++)
		rc = open_bell(&e->bell_read[l], &e->bell[l]);
	if (rc) {
		dp_epoch_free(e);
		return rc;
	}
	e->head->magic = HANDOFF_MAGIC;
	e->head->version = HANDOFF_VERSION;
	e->head->layout_hash = handoff_layout_hash(POSTERN_DP_COUNTER_COUNT);
	e->head->epoch = id;
	e->head->n_workers = n_workers;
	e->head->n_loops = n_loops;
	*out = e;
	return 0;
}

void dp_epoch_free(struct dp_epoch *e)
{
	if (!e)
		return;
	if (e->head)
		munmap(e->head, e->size);
	shut(&e->rings_fd);
	for (uint32_t l = 0; l < HANDOFF_MAX_LOOPS; l++) {
		shut(&e->bell[l]);
		shut(&e->bell_read[l]);
	}
	free(e);
}

/* ---- meeting place ------------------------------------------------------------------------- */

int dp_meet_open(struct dp_meet *m, uint32_t n_workers)
{
	atomic_store(&m->current, NULL);
	m->n_workers = n_workers;
	for (uint32_t w = 0; w < HANDOFF_MAX_WORKERS; w++) {
		atomic_store(&m->hazard[w], NULL);
		m->wake_read[w] = m->wake_ctl[w] = m->wake_link[w] = -1;
	}
	for (uint32_t w = 0; w < n_workers; w++) {
		char path[40];
		int rc = open_bell(&m->wake_read[w], &m->wake_ctl[w]);

		if (rc)
			return rc;
		/* Opened anew, not duplicated: control shares the flags of wake_ctl. */
		snprintf(path, sizeof(path), "/proc/self/fd/%d", m->wake_ctl[w]);
		m->wake_link[w] = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		if (m->wake_link[w] < 0)
			return -errno;
	}
	return 0;
}

void dp_meet_close(struct dp_meet *m)
{
	for (uint32_t w = 0; w < m->n_workers; w++) {
		shut(&m->wake_read[w]);
		shut(&m->wake_ctl[w]);
		shut(&m->wake_link[w]);
	}
}

void dp_meet_wake(struct dp_meet *m)
{
	for (uint32_t w = 0; w < m->n_workers; w++) {
		/* A full pipe is readable, which is all that is wanted. */
		ssize_t n = write(m->wake_link[w], "", 1);

		(void)n;
	}
}

bool dp_meet_in_use(struct dp_meet *m, const struct dp_epoch *e)
{
	if (atomic_load(&m->current) == e)
		return true;
	for (uint32_t w = 0; w < m->n_workers; w++)
		if (atomic_load(&m->hazard[w]) == e)
			return true;
	return false;
}
