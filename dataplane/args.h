/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What stands behind "--" on the dataplane's command line (EAL's own options stand before it). */

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/net/net.h"
#include "dataplane/port/port.h"
#include "dataplane/tap/tap.h"

struct args {
	struct port_arg port[NET_MAX_PORTS];
	unsigned int n_ports;
	const char *socket;        /* of the link to control */
	int socket_gid, control_uid; /* -1: none */
	uint32_t arena_mb;         /* MiB a worker */
	uint32_t max_sessions;     /* a worker */
	uint32_t half_open;        /* a worker */
	uint32_t time_wait;        /* a worker */
	uint32_t blocks;           /* 2 KiB blocks for out-of-order and held octets, a worker */
	uint32_t line_buffers;     /* incomplete command lines, a worker; 0: by max_sessions */
	uint32_t reply_blocks;     /* 512 octet blocks for replies not acknowledged, a worker; 0: same */
	uint32_t streams;          /* large messages scanned at once, a worker */
	uint32_t max_tls;          /* sessions under TLS at once, a worker; 0: no STARTTLS */
	uint32_t tls_threads;      /* for handshakes */
	cpu_set_t tls_cpus;        /* where they run, if has_tls_cpus */
	bool has_tls_cpus;
	uint32_t inline_flows;     /* of a cable that are remembered, a worker */
	uint32_t rx_mbufs;         /* beyond the descriptors, a worker */
	uint32_t mbuf_size;        /* octets of a receive buffer */
	uint16_t rx_desc;          /* of each receive queue; 0: what suits the driver */
	uint32_t idle_sleep_us;
	uint16_t mtu;
	bool no_offloads;
	bool keep_privileges;      /* for debuggers */
	bool tap_dump;             /* watch, print, end: no control, no workers */
	bool tap_midstream;        /* flows without a SYN as well */
	bool tap_no_checksums;     /* of IP and TCP: not looked at */
	bool tap_whole_queues;     /* both directions of a flow come in one queue */
	uint16_t tap_port[TAP_MAX_PORTS]; /* TCP ports of servers that are watched */
	unsigned int n_tap_ports;
	bool has_control;          /* something was said of its socket */
	bool answer;               /* a bench: the workers answer, there is no control */
	const char *rules;         /* with answer: a bundle (dataplane/scan/bundle.h); NULL: none */
	uint32_t stats_seconds;    /* with answer: between lines of counters; 0: at the end only */
	struct handoff_listener listen[HANDOFF_MAX_LISTENERS]; /* with answer */
	unsigned int n_listen;
};

/* Ends the process with a message on a usage error, or after --help. */
void args_parse(int argc, char **argv, struct args *out);
