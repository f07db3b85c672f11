/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The service manager's watchdog is fed by the main lcore, for as long as every worker's loop turns:
 * a worker that hangs ends the process, which the manager starts again. Clients see a reset before
 * any 250.
 */

#include <stdbool.h>
#include <stdint.h>

#include "postern/handoff.h"

struct watchdog {
	bool wanted;
	uint64_t next_s;
	uint64_t turns[HANDOFF_MAX_WORKERS]; /* of each worker, when it was looked at last */
};

/* Reads the environment; counts from now on (seconds, monotonic). */
void watchdog_start(struct watchdog *w, uint64_t now_s);
/* Often; does something once a second. counters[i]: worker i's block. True: the manager was told. */
bool watchdog_feed(struct watchdog *w, uint64_t *const counters[], unsigned int n_workers,
		   uint64_t now_s);
