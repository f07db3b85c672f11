/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What the files of this folder and their tests share; nobody else includes it. */

#include <stdatomic.h>

#include "control/handoff/handoff_ctl.h"

/* fds of a WELCOME: arena, counters, rings, loop doorbells, worker doorbells */
#define CTL_WELCOME_FDS (3u + HANDOFF_MAX_LOOPS + HANDOFF_MAX_WORKERS)

struct ctl_epoch {
	_Atomic uint32_t refs;
	_Atomic uint32_t dead;
	uint64_t id;
	uint32_t n_workers, n_loops, n_records, n_chunks;
	uint64_t max_message;
	const uint8_t *arena;
	size_t arena_size, slice;
	const struct handoff_counters *counters;
	size_t counters_size;
	struct rings_head *rings;
	size_t rings_size;
	int loop_bell[HANDOFF_MAX_LOOPS];     /* read ends */
	int worker_bell[HANDOFF_MAX_WORKERS]; /* write ends */
};

/* Checks a WELCOME and maps what came with it. The fds are taken, whatever comes out. 0, -EPROTO or
 * what mmap said; *why is a literal. */
int ctl_epoch_new(const struct link_welcome *w, uint32_t n_loops, const int *fd, size_t n_fd,
		  struct ctl_epoch **out, const char **why);
void ctl_epoch_kill(struct ctl_epoch *e);

const struct handoff_record *ctl_epoch_record(const struct ctl_epoch *e, uint32_t worker,
					      uint32_t record);
const uint8_t *ctl_epoch_chunks(const struct ctl_epoch *e, uint32_t worker);

/* Static checks of a descriptor that came from `worker`'s ring. */
bool ctl_desc_fits(const struct handoff_desc *d, uint32_t worker, uint32_t n_records);

/* Builds a verdict into slots (HANDOFF_VERDICT_SLOTS * HANDOFF_SLOT octets). r: NULL for kinds that
 * carry no reply. Number of slots, or -EINVAL. */
int ctl_verdict_build(uint8_t *slots, uint8_t kind, uint16_t flags, const struct handoff_desc *d,
		      const struct ctl_reply *r);
/* Writes it to the loop's ring of d->worker or queues it. 0 or -ENOMEM. */
int ctl_loop_put(struct ctl_loop *l, uint32_t worker, const uint8_t *slots, uint32_t n);
uint64_t *ctl_loop_counters(struct ctl_loop *l);

/* Sealed memfd with a copy of p[0..n). fd or -errno. */
int ctl_memfd(const char *name, const void *p, size_t n);
