/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <argp.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/answer.h"
#include "dataplane/args.h"
#include "postern/limits.h"

enum {
	OPT_SOCKET_GID = 256, OPT_CONTROL_UID, OPT_HALF_OPEN, OPT_TIME_WAIT, OPT_BLOCKS, OPT_STREAMS, OPT_LINES, OPT_REPLIES,
	OPT_MAX_TLS, OPT_TLS_THREADS, OPT_TLS_CPUS, OPT_RX_MBUFS, OPT_RX_DESC, OPT_MBUF_SIZE, OPT_IDLE, OPT_MTU, OPT_NO_OFFLOADS, OPT_KEEP_PRIVILEGES,
	OPT_INLINE_FLOWS, OPT_TAP_DUMP, OPT_TAP_PORTS, OPT_TAP_MIDSTREAM, OPT_TAP_NO_CHECKSUMS, OPT_TAP_WHOLE,
	OPT_ANSWER, OPT_RULES, OPT_LISTEN, OPT_STATS
};

static const struct argp_option options[] = {
	{"port", 'p', "N=ROLE", 0, "ethdev port N and what it does: gateway; tap, a mirror, on which nothing "
	 "is sent; inline:M, a cable with port M; exception:M, the kernel's way to the servers behind port M", 1},
	{"socket", 's', "PATH", 0, "UNIX socket for control (/run/postern/dataplane.sock)", 1},
	{"socket-gid", OPT_SOCKET_GID, "GROUP", 0, "group of the socket file, by name or number", 1},
	{"control-uid", OPT_CONTROL_UID, "USER", 0, "user besides root who may connect as control", 1},
	{"arena-mb", 'a', "MIB", 0, "message memory of each worker (512)", 2},
	{"max-sessions", 'n', "N", 0, "SMTP sessions of each worker (8192)", 2},
	{"half-open", OPT_HALF_OPEN, "N", 0, "half-open connections of each worker (8192)", 2},
	{"time-wait", OPT_TIME_WAIT, "N", 0, "TIME_WAIT entries of each worker (262144)", 2},
	{"blocks", OPT_BLOCKS, "N", 0, "2 KiB blocks for octets out of order, each worker (16384)", 2},
	{"line-buffers", OPT_LINES, "N", 0, "buffers for incomplete command lines, each worker (0: a quarter of the sessions)", 2},
	{"reply-blocks", OPT_REPLIES, "N", 0, "512 octet blocks for replies under way, each worker (0: by --max-sessions)", 2},
	{"streams", OPT_STREAMS, "N", 0, "messages over 64 KiB scanned at once, each worker (256)", 2},
	{"max-tls", OPT_MAX_TLS, "N", 0, "sessions of each worker under TLS at once, 14 KiB each while they "
	 "last (65536, at most --max-sessions); 0: no STARTTLS", 2},
	{"tls-threads", OPT_TLS_THREADS, "N", 0, "threads for TLS handshakes (1)", 2},
	{"tls-cpus", OPT_TLS_CPUS, "LIST", 0, "CPUs they run on, as in 0,4-7 (that of the main lcore)", 2},
	{"inline-flows", OPT_INLINE_FLOWS, "N", 0, "flows of a cable that are not terminated and "
	 "remembered, each worker (65536)", 2},
	{"rx-mbufs", OPT_RX_MBUFS, "N", 0, "receive buffers beyond the descriptors, each worker (2048)", 2},
	{"rx-desc", OPT_RX_DESC, "N", 0, "descriptors of each receive queue (0: by driver)", 2},
	{"mbuf-size", OPT_MBUF_SIZE, "OCTETS", 0, "octets of a receive buffer; net_af_packet needs its "
	 "framesz (2048)", 2},
	{"idle-sleep-us", OPT_IDLE, "US", 0, "sleep this long when there is nothing to do (0: never)", 3},
	{"mtu", OPT_MTU, "OCTETS", 0, "MTU of the ports (0: what the device has)", 3},
	{"no-offloads", OPT_NO_OFFLOADS, NULL, 0, "checksums in software", 3},
	{"keep-privileges", OPT_KEEP_PRIVILEGES, NULL, 0, "do not drop capabilities (for a debugger)", 3},
	{"tap-dump", OPT_TAP_DUMP, NULL, 0, "watch tap ports (by default port 0) without control: a JSON line "
	 "for each message and anomaly on standard output; ends with the capture file or on a signal", 4},
	{"tap-ports", OPT_TAP_PORTS, "LIST", 0, "TCP ports of the servers watched (25); this and the next two "
	 "hold until control says otherwise", 4},
	{"tap-midstream", OPT_TAP_MIDSTREAM, NULL, 0, "watch connections as well whose begin was not seen", 4},
	{"tap-ignore-checksums", OPT_TAP_NO_CHECKSUMS, NULL, 0, "believe packets with a bad checksum: the "
	 "capture was made where the NIC fills them in", 4},
	{"tap-whole-queues", OPT_TAP_WHOLE, NULL, 0, "each receive queue of a tap port has both directions of its "
	 "connections: workers hand nothing to each other", 4},
	{"answer", OPT_ANSWER, "accept", 0, "for benches: workers accept every message themselves and THROW IT "
	 "AWAY; no control, nothing is delivered", 5},
	{"listen", OPT_LISTEN, "N=ADDRESS/LENGTH[:PORT]", 0, "with --answer: an address of ethdev port N, IPv6 in "
	 "brackets, and its TCP port (25)", 5},
	{"rules", OPT_RULES, "FILE", 0, "with --answer: what is scanned for, of posternctl rules compile", 5},
	{"stats-seconds", OPT_STATS, "N", 0, "with --answer: a JSON line of counters on standard output so "
	 "often (0: at the end only)", 5},
	{0},
};

static uint32_t number(struct argp_state *state, const char *what, const char *text, unsigned long min,
		       unsigned long max)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || v < min || v > max)
		argp_error(state, "--%s=%s: expected a number from %lu to %lu", what, text, min, max);
	return (uint32_t)v;
}

static error_t parse_port(struct args *a, const char *text, struct argp_state *state)
{
	char err[200];

	if (a->n_ports == NET_MAX_PORTS)
		argp_error(state, "--port: at most %d ports", NET_MAX_PORTS);
	if (port_parse_arg(text, &a->port[a->n_ports], err, sizeof(err)))
		argp_error(state, "--port=%s: %s", text, err);
	for (unsigned int i = 0; i < a->n_ports; i++)
		if (a->port[i].port_id == a->port[a->n_ports].port_id)
			argp_error(state, "--port=%s: port %u is named twice", text, a->port[i].port_id);
	a->n_ports++;
	return 0;
}

/* "0,4-7" */
static void parse_cpus(struct args *a, const char *text, struct argp_state *state)
{
	const char *p = text;

	CPU_ZERO(&a->tls_cpus);
	do {
		char *end;
		unsigned long from = strtoul(p, &end, 10), to = from;

		if (end != p && *end == '-') {
			p = end + 1;
			to = strtoul(p, &end, 10);
		}
		if (end == p || (*end && *end != ',') || from > to || to >= CPU_SETSIZE)
			argp_error(state, "--tls-cpus=%s: expected a list like 0,4-7", text);
		for (; from <= to; from++)
			CPU_SET(from, &a->tls_cpus);
		p = *end ? end + 1 : end;
	} while (*p);
	a->has_tls_cpus = true;
}

static bool is_number(const char *arg)
{
	return *arg && !arg[strspn(arg, "0123456789")];
}

static int user(struct argp_state *state, const char *arg)
{
	const struct passwd *pw;

	if (is_number(arg))
		return (int)number(state, "control-uid", arg, 0, INT32_MAX);
	pw = getpwnam(arg);
	if (!pw)
		argp_error(state, "--control-uid %s: there is no such user", arg);
	return pw ? (int)pw->pw_uid : -1;
}

static int group(struct argp_state *state, const char *arg)
{
	const struct group *gr;

	if (is_number(arg))
		return (int)number(state, "socket-gid", arg, 0, INT32_MAX);
	gr = getgrnam(arg);
	if (!gr)
		argp_error(state, "--socket-gid %s: there is no such group", arg);
	return gr ? (int)gr->gr_gid : -1;
}

static void parse_tap_ports(struct args *a, const char *text, struct argp_state *state)
{
	const char *p = text;

	a->n_tap_ports = 0;
	do {
		char *end;
		unsigned long v = strtoul(p, &end, 10);

		if (end == p || (*end && *end != ',') || !v || v > UINT16_MAX ||
		    a->n_tap_ports == TAP_MAX_PORTS)
			argp_error(state, "--tap-ports=%s: expected a list like 25,587, at most %d", text,
				   TAP_MAX_PORTS);
		a->tap_port[a->n_tap_ports++] = (uint16_t)v;
		p = *end ? end + 1 : end;
	} while (*p);
}

static struct port_arg *find_port(struct args *a, uint16_t id)
{
	for (unsigned int i = 0; i < a->n_ports; i++)
		if (a->port[i].port_id == id)
			return &a->port[i];
	return NULL;
}

/* The other end of a cable need not be named: its role follows. */
static void pair_ports(struct args *a, struct argp_state *state)
{
	for (unsigned int i = 0; i < a->n_ports; i++) {
		const struct port_arg *p = &a->port[i], *other = find_port(a, p->peer);

		if (p->role != PORT_INLINE)
			continue;
		if (other && (other->role != PORT_INLINE || other->peer != p->port_id))
			argp_error(state, "--port %u=inline:%u: port %u has another role or end",
				   p->port_id, p->peer, p->peer);
		if (other)
			continue;
		if (a->n_ports == NET_MAX_PORTS)
			argp_error(state, "--port: at most %d ports", NET_MAX_PORTS);
		a->port[a->n_ports++] = (struct port_arg){
			.port_id = p->peer, .role = PORT_INLINE, .peer = p->port_id};
	}
	for (unsigned int i = 0; i < a->n_ports; i++) {
		const struct port_arg *p = &a->port[i], *servers = find_port(a, p->peer);

		if (p->role != PORT_EXCEPTION)
			continue;
		if (!servers || servers->role != PORT_INLINE)
			argp_error(state, "--port %u=exception:%u: port %u is no inline port", p->port_id,
				   p->peer, p->peer);
		for (unsigned int k = 0; k < i; k++)
			if (a->port[k].role == PORT_EXCEPTION && servers &&
			    (a->port[k].peer == p->peer || a->port[k].peer == servers->peer))
				argp_error(state, "--port %u=exception:%u: that cable has one already",
					   p->port_id, p->peer);
	}
}

/* "0=192.0.2.25/24:2525", "0=[2001:db8::25]/64" */
static void parse_listen(struct args *a, const char *text, struct argp_state *state)
{
	struct handoff_listener l;

	if (a->n_listen == HANDOFF_MAX_LISTENERS)
		argp_error(state, "--listen: at most %u", HANDOFF_MAX_LISTENERS);
	if (answer_parse_listen(text, &l))
		argp_error(state, "--listen=%s: expected N=192.0.2.25/24:25 or N=[2001:db8::25]/64:25", text);
	l.id = (uint16_t)a->n_listen;
	a->listen[a->n_listen++] = l;
}

static void check_answer(const struct args *a, struct argp_state *state)
{
	if (!a->answer && (a->rules || a->n_listen || a->stats_seconds))
		argp_error(state, "--rules, --listen and --stats-seconds are for --answer");
	if (a->answer && (a->tap_dump || a->has_control))
		argp_error(state, "--answer: there is no control and no dump with it");
	for (unsigned int i = 0; a->answer && !a->n_listen && i < a->n_ports; i++)
		if (a->port[i].role == PORT_GATEWAY)
			argp_error(state, "--answer: which address has port %u? (--listen)",
				   a->port[i].port_id);
}

/* Of the ports, when all are known. */
static void check_ports(struct args *a, struct argp_state *state)
{
	if (!a->n_ports && a->tap_dump)
		a->port[a->n_ports++] = (struct port_arg){.role = PORT_TAP};
	if (!a->n_ports)
		argp_error(state, "no port: give at least one --port N=gateway, N=tap or N=inline:M behind \"--\"");
	pair_ports(a, state);
	for (unsigned int i = 0; i < a->n_ports; i++) {
		if (a->port[i].role != PORT_TAP && a->tap_dump)
			argp_error(state, "--port %u: --tap-dump is for tap ports", a->port[i].port_id);
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;

	switch (key) {
	case 'p': return parse_port(a, arg, state);
	case 's': a->socket = arg; a->has_control = true; break;
	case OPT_SOCKET_GID: a->socket_gid = group(state, arg); a->has_control = true; break;
	case OPT_CONTROL_UID: a->control_uid = user(state, arg); a->has_control = true; break;
	case 'a': a->arena_mb = number(state, "arena-mb", arg, 8, 65536); break;
	case 'n': a->max_sessions = number(state, "max-sessions", arg, 16, 1u << 21); break;
	case OPT_HALF_OPEN: a->half_open = number(state, "half-open", arg, 16, 1u << 20); break;
	case OPT_TIME_WAIT: a->time_wait = number(state, "time-wait", arg, 16, 1u << 22); break;
	case OPT_BLOCKS: a->blocks = number(state, "blocks", arg, 64, 1u << 22); break;
	case OPT_LINES: a->line_buffers = number(state, "line-buffers", arg, 0, 1u << 21); break;
	case OPT_REPLIES: a->reply_blocks = number(state, "reply-blocks", arg, 0, 1u << 24); break;
	case OPT_STREAMS: a->streams = number(state, "streams", arg, 1, 65536); break;
	case OPT_MAX_TLS: a->max_tls = number(state, "max-tls", arg, 0, 1u << 21); break;
	case OPT_TLS_THREADS: a->tls_threads = number(state, "tls-threads", arg, 1, 64); break;
	case OPT_TLS_CPUS: parse_cpus(a, arg, state); break;
	case OPT_INLINE_FLOWS: a->inline_flows = number(state, "inline-flows", arg, 64, 1u << 24); break;
	case OPT_RX_MBUFS: a->rx_mbufs = number(state, "rx-mbufs", arg, 8, 1u << 20); break;
	case OPT_RX_DESC: a->rx_desc = (uint16_t)number(state, "rx-desc", arg, 0, 32768); break;
	case OPT_MBUF_SIZE: a->mbuf_size = number(state, "mbuf-size", arg, 1024, 32768); break;
	case OPT_IDLE: a->idle_sleep_us = number(state, "idle-sleep-us", arg, 0, 100000); break;
	case OPT_MTU: a->mtu = (uint16_t)number(state, "mtu", arg, 0, 9600); break;
	case OPT_NO_OFFLOADS: a->no_offloads = true; break;
	case OPT_KEEP_PRIVILEGES: a->keep_privileges = true; break;
	case OPT_TAP_DUMP: a->tap_dump = true; break;
	case OPT_TAP_PORTS: parse_tap_ports(a, arg, state); break;
	case OPT_TAP_MIDSTREAM: a->tap_midstream = true; break;
	case OPT_TAP_NO_CHECKSUMS: a->tap_no_checksums = true; break;
	case OPT_TAP_WHOLE: a->tap_whole_queues = true; break;
	case OPT_ANSWER:
		if (strcmp(arg, "accept") != 0)
			argp_error(state, "--answer=%s: accept is all there is", arg);
		a->answer = true;
		break;
	case OPT_RULES: a->rules = arg; break;
	case OPT_LISTEN: parse_listen(a, arg, state); break;
	case OPT_STATS: a->stats_seconds = number(state, "stats-seconds", arg, 0, 86400); break;
	case ARGP_KEY_END:
		check_ports(a, state);
		check_answer(a, state);
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

void args_parse(int argc, char **argv, struct args *out)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "The packet side of Postern. EAL options, then \"--\", then:",
	};

	*out = (struct args){
		.socket = "/run/postern/dataplane.sock",
		.socket_gid = -1,
		.control_uid = -1,
		.arena_mb = 512,
		.max_sessions = 8192,
		.half_open = 8192,
		.time_wait = 262144,
		.blocks = 16384,
		.streams = 256,
		.inline_flows = DEFAULT_INLINE_FLOWS,
		.rx_mbufs = 2048,
		.max_tls = 65536,
		.tls_threads = 1,
		.mbuf_size = 2048,
		.tap_port = {25},
		.n_tap_ports = 1,
	};
	argp_parse(&argp, argc, argv, 0, NULL, out);
	if (out->max_tls > out->max_sessions)
		out->max_tls = out->max_sessions;
}
