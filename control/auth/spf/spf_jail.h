/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The pool of workers, as spf_check.c uses it. */

#include <event2/event.h>
#include <sys/queue.h>

#include "control/auth/spf/spf.h"
#include "control/auth/spf/spf_cache.h"
#include "control/auth/spf/spf_wire.h"

struct spf_worker;

/* One evaluation. `done` comes from the event loop, never from inside spf_run_start(); response is
 * NULL if the worker died, was killed for its time, or answered nonsense: *why says which. */
struct spf_run {
	TAILQ_ENTRY(spf_run) link;
	struct spf_worker *worker; /* NULL: waiting for one */
	bool active;
	uint32_t seq;
	uint8_t *request; /* owned by the run until it ends */
	size_t len;
	void (*done)(struct spf_run *run, const struct spf_wire_response *response,
		     const char *why);
};

TAILQ_HEAD(spf_run_list, spf_run);
LIST_HEAD(spf_check_list, spf_check);

#define SPF_WORKERS_MAX 16
#define SPF_LEADERS     256 /* hash buckets */

struct spf_worker {
	struct spf_jail *jail;
	int fd; /* -1: no process */
	pid_t pid;
	bool wanted; /* asked for, not there yet */
	bool killed;
	struct spf_run *run; /* NULL with busy: the run was given up, its answer is dropped */
	bool busy;
	uint32_t seq;
	struct event *readable, *timer;
};

struct spf_jail {
	struct event_base *base;
	struct dns *dns;
	struct spf_stats stats;
	struct timeval budget, run_time;
	pid_t helper; /* the keeper, spf_spawner.h */
	int helper_fd; /* -1: gone */
	struct event *helper_event, *respawn;
	unsigned int n_workers, failures; /* failures: in a row, for the back-off */
	uint32_t seq;
	struct spf_worker worker[SPF_WORKERS_MAX];
	struct spf_run_list waiting;
	struct spf_check_list checks;
	struct spf_cache *cache;                   /* NULL: none */
	struct spf_check_list leader[SPF_LEADERS]; /* checks that others may wait for */
};

/* Takes `request` (malloc'ed) over. */
void spf_run_start(struct spf_jail *j, struct spf_run *run, uint8_t *request, size_t len);
/* done() will not be called. */
void spf_run_abort(struct spf_jail *j, struct spf_run *run);
void spf_checks_free(struct spf_jail *j);
