/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The cables among the ports: that both ends of each have a link, or neither. On the main lcore. */

#include <stdint.h>

#include "dataplane/net/net.h"
#include "dataplane/port/port.h"
#include "dataplane/port/port_mirror.h"

struct cables {
	const struct port_info *port;
	unsigned int n_ports;
	uint64_t *counters;  /* worker 0's: of these two no worker writes */
	void (*note)(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
	struct port_mirror mirror[NET_MAX_PORTS]; /* by place in port[]: of the end named first */
};

/* All of it stays the caller's. */
void cables_init(struct cables *c, const struct port_info *port, unsigned int n_ports,
		 uint64_t *counters, void (*note)(const char *fmt, ...));
/* A configuration that names servers in a cable where no port is one is told of: mail passes elsewhere.
 * One with transparent servers where no port is the kernel's as well: their answers pass to clients. */
void cables_check(const struct cables *c, const struct handoff_config *config);
/* To be called several times a second. */
void cables_mirror(struct cables *c);
