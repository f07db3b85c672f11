/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Commands of DPDK's telemetry socket (dpdk-telemetry.py):
 *
 *   /postern/counters[,PREFIX]  counters, all workers together: those that are not 0, or with a prefix
 *                               all whose names begin so ("tcp_", "tap_")
 *   /postern/workers[,N]        numbers of the workers; counters of one that are not 0
 *   /postern/ports[,ID]         numbers of the ports; what one is
 *
 * They run on a thread of DPDK's and read what workers write, without a lock.
 */

#include <stdint.h>

#include "dataplane/port/port.h"

struct telemetry {
	uint64_t *const *counters;       /* of each worker */
	unsigned int n_workers;
	const struct port_info *port;
	unsigned int n_ports;
};

/* What is shown must stay until telemetry_stop(). Without a telemetry socket (--no-telemetry) nothing asks.
 * 0 or -errno. */
int telemetry_start(const struct telemetry *t);
/* Waits for a command under way; later ones find nothing. */
void telemetry_stop(void);
