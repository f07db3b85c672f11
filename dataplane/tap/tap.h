/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Passive TCP of one worker: both directions of each flow as a mirror port shows them, put in order
 * as the receiver put them. Nothing is ever sent, so nothing can be asked for again: what the
 * capture lacks is a gap with a named cause, and what two receivers could take differently is an
 * anomaly.
 *
 * What one side sent is given to the application when the other side has acknowledged it, and not
 * before everything that its sender had acknowledged by then was given. So commands and replies
 * come in the order in which the two sides saw them, whatever the mirror did to the order of
 * packets. With one direction alone in the capture there is nothing to wait for: it is given at
 * once.
 *
 * It knows no DPDK, mbuf or SMTP. Single threaded, no allocation after tap_new().
 *
 * Octets that wait are kept where they lie when their memory has an owner (tap_env.hold: an mbuf);
 * small payloads, and those without an owner, are copied into blocks of a pool.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/tcp/tcp.h"
#include "postern/stats.h"

enum tap_side { TAP_CLIENT, TAP_SERVER };

/* Why octets are missing. The names are those of the JSON lines and of counters tap_gap_*. */
#define TAP_CAUSES(X)        X(never_seen) X(nic_missed) X(no_mbuf) X(ooo_cap) X(budget) X(checksum)
#define TAP_CAUSE_ENUM(name) TAP_CAUSE_##name,
enum tap_cause { TAP_CAUSES(TAP_CAUSE_ENUM) TAP_CAUSE_COUNT };

/* What is odd; docs/tap.md says what is done about each. Counters tap_<name>. */
#define TAP_ANOMALIES(X)                                                                           \
	X(overlap_diff)                                                                            \
	X(out_of_window) X(rst_in_window) X(rst_out_of_window) X(data_after_rst) X(syn_in_flow)    \
		X(syn_data) X(data_after_fin) X(fin_false) X(paws) X(no_ack) X(bad_flags)          \
			X(bad_checksum) X(ttl) X(tiny_segments) X(urgent) X(early_talk)            \
				X(early_data) X(bare_lf_command) X(bare_lf) X(bare_cr) X(nul)      \
					X(lookalike) X(disputed_end) X(early_reply)                \
						X(unpaired_reply) X(bad_reply) X(pairing_lost)     \
							X(bad_bdat) X(long_line) X(nested_mail)    \
								X(starttls_injection) X(cut)
#define TAP_ANOMALY_ENUM(name) TAP_##name,
enum tap_anomaly { TAP_ANOMALIES(TAP_ANOMALY_ENUM) TAP_ANOMALY_COUNT };
_Static_assert(TAP_ANOMALY_COUNT <= 64, "a mask of 64 bits");

/* Never NULL. */
const char *tap_anomaly_name(enum tap_anomaly a);
const char *tap_cause_name(enum tap_cause c);
enum postern_counter tap_anomaly_counter(enum tap_anomaly a);

struct tap_view {
	const uint8_t *p;
	uint32_t n;
	void *owner; /* for tap_env.hold(); NULL: the octets are copied if they must wait */
};

/* One captured segment. net_parse() has checked that the TCP header lies in it. */
struct tap_segment {
	const struct tcp_tuple *tuple; /* local: destination, remote: source */
	const uint8_t *header;         /* TCP header and options, contiguous */
	uint16_t header_len;
	uint16_t n_views;
	const struct tap_view *view;
	uint32_t payload_len;
	uint64_t time_us; /* of capture; may go back a little */
	uint8_t ttl;
	bool bad_checksum; /* counted, blamed for a gap; never believed */
};

/* For the application: a flow as it began. */
struct tap_flow_info {
	struct tcp_tuple tuple; /* local: the server, remote: the client */
	uint64_t time_us;       /* of its first packet */
	bool midstream;         /* no SYN was seen */
	uint64_t anomalies;     /* mask of what was odd before open() */
};

/* How octets are given. */
#define TAP_F_ONE_WAY 1u /* the other direction is not in the capture: no reply will come */
#define TAP_F_FORCED  2u /* all must be taken: the bound is reached, or the flow has ended */

struct tap_app {
	/* With the first payload. NULL: the flow is not followed (counted by the application). */
	void *(*open)(void *ctx, const struct tap_flow_info *info);
	/*
	 * In-order octets of one side; returns how many it took (a prefix). The rest is offered
	 * again when octets of the other side were taken.
	 */
	size_t (*data)(void *app, enum tap_side side, const uint8_t *p, size_t n, unsigned int how);
	/* Octets of this side are missing here. */
	void (*gap)(void *app, enum tap_side side, uint32_t octets, enum tap_cause cause);
	void (*anomaly)(void *app, enum tap_anomaly what);
	/* Last call. */
	void (*closed)(void *app);
};

struct tap_env {
	const struct tap_app *app;
	void *ctx;
	void (*hold)(void *owner); /* one more reference to the memory of a view */
	void (*drop)(void *owner); /* gives it back */
	uint64_t *counters;        /* indexed by enum postern_counter */
	uint8_t secret[16];        /* hash of the flow table: random per boot */
};

#define TAP_MAX_PORTS 16

struct tap_options {
	uint32_t flows;               /* entries of the flow table */
	uint32_t pieces;              /* payloads that wait, in all */
	uint32_t blocks;              /* copied payloads of TAP_BLOCK octets, in all */
	uint16_t port[TAP_MAX_PORTS]; /* TCP ports of servers */
	unsigned int n_ports;
	bool midstream; /* flows without a SYN are taken up */
};

#define TAP_BLOCK 256

struct tap; /* one per worker */

/* NULL when memory cannot be had. */
struct tap *tap_new(const struct tap_options *opt, const struct tap_env *env);
/* The flows end without a call: tap_finish() first, if the application is to hear of them. */
void tap_free(struct tap *t);
/* Others from here on; flows that are followed stay. n up to TAP_MAX_PORTS. */
void tap_set_ports(struct tap *t, const uint16_t *port, unsigned int n, bool midstream);
void tap_input(struct tap *t, const struct tap_segment *seg);
/* Moves the clock of the capture; ends flows that were idle for too long. */
void tap_advance(struct tap *t, uint64_t now_us);
/* Packets were lost before they came here (nic_missed, no_mbuf): gaps from now on may be theirs. */
void tap_missed(struct tap *t, enum tap_cause cause);
/* End of the capture: every flow ends. */
void tap_finish(struct tap *t);

struct tap_usage {
	uint32_t flows, pieces, blocks;
};
void tap_get_usage(const struct tap *t, struct tap_usage *out);
