/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Layers 2 and 3 of one worker: Ethernet, VLAN, ARP, ND, IPv4, IPv6, fragments, ICMP, and the way
 * of a packet to the worker that owns its flow. Single threaded; the only thing shared between
 * workers are the steering rings. Frames of ports go in by net_rx(), TCP segments go up to
 * tcp_input_burst(), segments of TCP come down by net_tcp_output().
 *
 * It must not know what TCP does with a segment, and not what a session is.
 *
 * Order of a worker's turn:
 *     net_rx() for each port, net_steer_poll()   -> tcp_input_burst(), tcp_icmp_error()
 *     tcp_burst_end()                            (the worker's, not called here)
 *     net_tx_flush()
 *     now and then: tcp_advance(), net_tick()
 *
 * Received mbufs are freed before the call that received them returns, but for fragments, which
 * wait in a bounded table. What is sent is always built in mbufs of tx_pool: a worker answers while
 * its receive pool is empty.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/tcp/tcp.h"
#include "postern/handoff.h"

struct rte_mempool;
struct rte_ring;
struct rte_mbuf;
struct port_info;
struct net_head;

struct net; /* one per worker */

/* The kernel's MACs at an exception port, seen in what came out of it by whichever worker: 0, or
 * bit 48 and the address. Written by all of them, and hardly ever. */
#define NET_KERNEL_MACS 8
struct net_kernel {
	_Atomic uint64_t mac[NET_KERNEL_MACS];
};

#define NET_MAX_PORTS 16      /* ethdev port ids below this */
#define NET_STEER_RING 1024   /* packets that may wait for a worker; a power of two */

struct net_options {
	uint16_t worker;             /* index, also the TX queue on every port */
	uint16_t n_workers;
	int socket;                  /* NUMA node, or -1 */
	uint64_t *counters;          /* this worker's block, indexed by enum postern_counter */
	uint8_t hash_key[16];        /* of SipHash: random per boot, the same for all workers */
	const struct port_info *port; /* of every port in use; copied */
	unsigned int n_ports;
	/* n_workers rings, [w] read by worker w (net_steer_ring_new); NULL when n_workers is 1 */
	struct rte_ring *const *steer;
	struct rte_mempool *tx_pool; /* not the pool of any RX queue */
	/* Of this worker's RX queues; NULL: its running empty is not counted. With fewer than
	 * rx_reserve of a packet's pool left no packet is handed to another worker, with fewer than
	 * twice that no fragment is kept: nothing that waits may end reception. */
	struct rte_mempool *rx_pool;
	uint32_t rx_reserve;
	uint32_t fragments;          /* datagrams in reassembly at once; 0: default 32 */
	uint64_t now_us;             /* initial clock */
	/* Packets that another worker handed over and whose port is none of the above: takes them. */
	void (*foreign)(void *ctx, struct rte_mbuf *m);
	void *foreign_ctx;
	/* With ports of a cable: flows that are remembered, 0: default; and what all workers share,
	 * indexed by port id. */
	uint32_t inline_flows;
	struct net_kernel *kernel;
	/* Segments that pass a cable and are watched; NULL: nobody watches. Both directions of a flow
	 * come to one worker. m is not the callee's; it may be held by reference, and is sent. */
	void (*watch)(void *ctx, struct rte_mbuf *m, const struct net_head *h, const uint8_t *head);
	void *watch_ctx;
};

/* NULL when memory cannot be had or an option is out of range (errno says which). */
struct net *net_new(const struct net_options *opt);
/* Frees packets in reassembly and in the transmit buffers as well; not the rings. */
void net_free(struct net *net);

/* The multi-producer, single-consumer ring of one worker; made and freed by the main lcore. */
struct rte_ring *net_steer_ring_new(uint16_t worker, int socket);
void net_steer_ring_free(struct rte_ring *ring);

/* tcp may be NULL: then TCP is counted as rx_drop_ip_proto. */
void net_set_tcp(struct net *net, struct tcp_stack *tcp);

/*
 * Which addresses are ours on which port, and which of their TCP ports listen. Replaces the former
 * set; called by the worker itself between turns. Addresses that were not there before are
 * announced (gratuitous ARP, unsolicited NA) by worker 0 in the next ticks. 0; -EINVAL for a port
 * that is not ours, an address that cannot be ours, or tcp_port 0; -E2BIG over
 * HANDOFF_MAX_LISTENERS. On error the former set stays.
 */
int net_set_addresses(struct net *net, const struct handoff_listener *listener, unsigned int n);

/* The cable's part of a new configuration; called by the worker itself between turns. */
void net_set_inline(struct net *net, const struct handoff_config *c);
/* Is control there, and would a new session find memory? */
void net_set_inline_state(struct net *net, bool control, bool memory);
/* The server in whose name this flow is terminated by the present configuration, or NULL. */
const struct handoff_inline *net_inline(const struct net *net, const struct tcp_tuple *tuple);

/* For tcp_env.listening: is there a listener at tuple->local:local_port? */
bool net_listening(const struct net *net, const struct tcp_tuple *tuple);
/* The listener's index in control's configuration (handoff_listener.id, handoff_inline.id), or -1. */
int net_listener_id(const struct net *net, const struct tcp_tuple *tuple);

/*
 * For tcp_env.output and tcp_env.mss. ctx is the struct net. (tcp_env.ctx is the worker's, since
 * accept() gets it as well: the worker wraps these two.) net_tcp_output copies the payload into
 * one mbuf, which leaves with the next net_tx_flush() or when the buffer is full.
 * 0 or -ENOBUFS.
 */
int net_tcp_output(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path,
		   const uint8_t *header, size_t header_len, const struct tcp_view *payload,
		   unsigned int n_views);
uint16_t net_tcp_mss(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path);

/* The ethdev port id that is written in a path. */
uint16_t net_path_port(const struct tcp_path *path);

/* One receive burst of (port, queue). Returns the number of packets that the driver gave. */
unsigned int net_rx(struct net *net, uint16_t port_id, uint16_t queue_id);
/* Packets that other workers received for us. Returns their number. */
unsigned int net_steer_poll(struct net *net);
/* For packets of ports that are not ours: takes m to the worker `owner`, whose net_steer_poll() gives it
 * to net_options.foreign, or drops it (counted). */
void net_hand_over(struct net *net, struct rte_mbuf *m, uint16_t owner);
/* How many packets every other worker's ring takes for sure, if nobody else gives it one. */
unsigned int net_steer_room(const struct net *net);
/* Where a port with RSS puts the packets of a flow. */
uint16_t net_rss_owner(const struct port_info *info, const struct tcp_tuple *tuple, uint16_t n_workers);
/* The worker of a fragment, by the tuple's addresses and `id`. */
uint16_t net_fragment_owner(const struct net *net, const struct tcp_tuple *tuple, uint32_t id);
/* Hands the transmit buffers to the drivers. Returns the number of packets that were taken. */
unsigned int net_tx_flush(struct net *net);
/* Moves the clock (monotonic, microseconds): fragment time-outs, announcements, rate budgets. */
void net_tick(struct net *net, uint64_t now_us);

/* Worker that owns a flow arriving on port_id: by RSS where the port can be believed, else by
 * SipHash. Always 0 with one worker. */
uint16_t net_owner(const struct net *net, uint16_t port_id, const struct tcp_tuple *tuple);
