/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Server-side TCP of one worker. Receive-heavy, passive opens only, single threaded, no locks.
 *
 * It knows nothing of mbufs, Ethernet, IP or DPDK: a segment comes in as a parsed tuple, a TCP
 * header and payload views; a segment goes out through tcp_env.output(). Time comes from
 * tcp_advance(). So the same object runs on a NIC, under the script runner and under a fuzzer.
 *
 * It must not know SMTP either: bytes go up through tcp_app and come down through tcp_send().
 *
 * In-order payload goes up as it lies in the packet, without a copy. Two kinds of bytes are copied
 * into blocks of this worker's pool: out-of-order payload, and in-order payload that the
 * application did not take yet. Both are charged to the receive window. No caller memory is kept
 * after tcp_input() returns.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tcp_stack; /* one per worker */
struct tcp_conn;  /* the TCB: 256 bytes, four cache lines */

/* Addresses are 16 octets; IPv4 is mapped (::ffff:a.b.c.d). Ports in host order. */
struct tcp_tuple {
	uint8_t local[16];
	uint8_t remote[16];
	uint16_t local_port;
	uint16_t remote_port;
};

/* Where replies go on layer 2: opaque here, filled and read by net/. */
struct tcp_path {
	uint8_t b[16];
};

struct tcp_view {
	const uint8_t *p;
	uint32_t n;
};

struct tcp_segment {
	const struct tcp_tuple *tuple;
	const struct tcp_path *path;
	const uint8_t *header;      /* TCP header and options, contiguous */
	uint16_t header_len;        /* octets that are really there, >= 20 */
	uint16_t n_views;
	const struct tcp_view *view; /* payload; may be chained */
	uint32_t payload_len;       /* sum of the views */
	uint8_t ttl;
	uint8_t ecn;                /* two low bits of the traffic class */
};

enum tcp_close_reason {
	TCP_CLOSED_NORMAL,   /* both FINs seen and acknowledged (or in TIME_WAIT) */
	TCP_CLOSED_RESET,    /* peer sent a valid RST */
	TCP_CLOSED_TIMEOUT,  /* retransmission, persist or FIN_WAIT_2 limit */
	TCP_CLOSED_EVICTED,  /* memory pressure: tcp_evict() */
	TCP_CLOSED_ABORTED,  /* tcp_abort() by the application */
};

enum tcp_handshake { TCP_HANDSHAKE_NORMAL, TCP_HANDSHAKE_COOKIE };

/* Facts of a connection that go to control with a message. */
struct tcp_facts {
	uint32_t srtt_us;
	uint32_t retransmits;   /* segments we sent again */
	uint32_t ooo_segments;  /* segments that arrived out of order */
	uint32_t overlap_diff;  /* segments whose overlap differed from what was held */
	uint32_t peer_window;   /* last, scaled */
	uint16_t peer_mss;
	uint8_t ttl;            /* of the SYN */
	uint8_t handshake;      /* enum tcp_handshake */
};

/*
 * Upcalls. `app` is what accept() returned. An upcall may call tcp_send, tcp_close, tcp_abort,
 * tcp_set_window on its own connection; it must not call tcp_input or tcp_advance.
 */
struct tcp_app {
	/* Handshake complete. NULL refuses: the connection is reset. */
	void *(*accept)(void *ctx, struct tcp_conn *conn, const struct tcp_tuple *tuple);
	/*
	 * In-order bytes; returns how many it took (a prefix). The rest stays on the flow, charged
	 * to the window, and is offered again, in front of newer bytes, at tcp_resume() only.
	 */
	size_t (*data)(void *app, const struct tcp_view *view, unsigned int n_views);
	/* The peer's FIN is in order and all bytes before it were taken. Called once. */
	void (*eof)(void *app);
	/* The peer acknowledged: `unacked` octets of what was sent are still not acknowledged. */
	void (*acked)(void *app, uint32_t unacked);
	/* Called once, last. Afterwards the conn is gone. Not called when accept() returned NULL. */
	void (*closed)(void *app, enum tcp_close_reason reason);
};

struct tcp_env {
	void *ctx; /* first argument of the calls below, of accept() and listening() */
	/*
	 * Sends one segment. `header` is complete but for the checksum (zero), which net/ fills.
	 * 0, or -ENOBUFS: dropped, TCP recovers by its timers. Must not call back into the stack.
	 */
	int (*output)(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path,
		      const uint8_t *header, size_t header_len, const struct tcp_view *payload,
		      unsigned int n_views);
	/* Is there a listener at tuple->local:local_port? Otherwise a RST answers (limited). */
	bool (*listening)(void *ctx, const struct tcp_tuple *tuple);
	/* Largest segment the path takes: MTU less IP header less 20. */
	uint16_t (*mss)(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path);
	const struct tcp_app *app;
	uint64_t *counters;   /* this worker's block, indexed by enum postern_counter */
	uint8_t secret[32];   /* ISN, cookies, hashing; random per boot (tests: fixed) */
};

#define TCP_TX_BLOCK 512

struct tcp_options {
	uint32_t max_conns;       /* TCB pool */
	uint32_t max_half_open;   /* mini-TCB pool; cookies above 3/4 of it */
	uint32_t max_time_wait;   /* compact entries; the oldest is recycled and counted */
	uint32_t blocks;          /* pool of 2 KiB blocks for out-of-order and held bytes */
	uint32_t tx_blocks;       /* pool of TCP_TX_BLOCK octets for unacknowledged replies */
	uint32_t boards;          /* flights repaired by SACK at once; 0: a 64th of max_conns, >= 64 */
	uint32_t window_idle;     /* octets, default 16 KiB */
	uint32_t time_wait_ms;    /* default 60,000 */
	bool no_sack, no_timestamps; /* tests */
};

/* All memory is taken here; returns NULL when it cannot be had. `now_us` is the initial clock. */
struct tcp_stack *tcp_stack_new(const struct tcp_options *opt, const struct tcp_env *env,
				uint64_t now_us);
void tcp_stack_free(struct tcp_stack *s);
/* Octets tcp_stack_new() would take, for the memory table that is printed at start. */
size_t tcp_stack_bytes(const struct tcp_options *opt);

/* One received segment whose checksum is known to be good. */
void tcp_input(struct tcp_stack *s, const struct tcp_segment *seg);
/* The same for n segments in turn, in stages: the table's and the TCBs' cache lines of all are asked
 * for before the first is processed. */
void tcp_input_burst(struct tcp_stack *s, const struct tcp_segment *seg, unsigned int n);
/* After each receive burst: one ACK decision per flow that was touched. */
void tcp_burst_end(struct tcp_stack *s);
/* Moves the clock (monotonic, microseconds) and runs due timers, so many that their segments fit a
 * transmit ring. True: some are left; to be called again soon, after the segments have left. */
bool tcp_advance(struct tcp_stack *s, uint64_t now_us);
/*
 * An ICMP error quoting a segment of ours. mtu != 0: fragmentation needed / packet too big.
 * RFC 5927: believed only if quoted_seq lies in [SND.UNA, SND.NXT]; hard errors are soft here.
 */
void tcp_icmp_error(struct tcp_stack *s, const struct tcp_tuple *tuple, uint32_t quoted_seq,
		    uint32_t mtu);

/*
 * For who stands in a cable, where not every segment is for this stack. tcp_has: a connection, half
 * open ones and TIME_WAIT with them. tcp_claims: the same, or the ACK of a SYN cookie of ours.
 */
bool tcp_has(struct tcp_stack *s, const struct tcp_tuple *tuple);
bool tcp_claims(struct tcp_stack *s, const struct tcp_segment *seg);
/* Answers it with a RST, within the budget for these, unless it is one. */
void tcp_refuse(struct tcp_stack *s, const struct tcp_segment *seg);

/* Copies the bytes into the send queue and transmits what window and cwnd allow (after the
 * current burst). 0, or -ENOBUFS (pool empty or over the connection's bound; nothing queued),
 * -EPIPE after tcp_close(). */
int tcp_send(struct tcp_conn *c, const void *p, size_t n);
/* Octets sent or queued and not acknowledged. */
uint32_t tcp_unacked(const struct tcp_conn *c);
/* FIN after everything queued; received bytes are discarded (and acknowledged) from here on. */
void tcp_close(struct tcp_conn *c);
/* RST now; closed(TCP_CLOSED_ABORTED) is called before this returns. */
void tcp_abort(struct tcp_conn *c);
/* The same for memory pressure: closed(TCP_CLOSED_EVICTED). */
void tcp_evict(struct tcp_conn *c);
/* Offers held bytes to data() again; announces a re-opened window. */
void tcp_resume(struct tcp_conn *c);
/* Upper bound of the receive window. The right edge never moves left. */
void tcp_set_window(struct tcp_conn *c, uint32_t octets);
void tcp_get_facts(const struct tcp_conn *c, struct tcp_facts *out);
const struct tcp_tuple *tcp_get_tuple(const struct tcp_conn *c, struct tcp_tuple *out);

/*
 * Memory ladder. 0: normal; 1: no connection is offered more than one MSS beyond what it has taken;
 * 2: in addition no SYN is answered.
 */
void tcp_set_pressure(struct tcp_stack *s, int level);

/* For status and tests. */
struct tcp_usage {
	uint32_t conns, half_open, time_wait, blocks_used, tx_blocks_used;
};
void tcp_get_usage(const struct tcp_stack *s, struct tcp_usage *out);
