/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Ethernet devices: set-up, receive-side scaling, offloads, link state, description. Everything
 * here runs on the main lcore, before workers start or on their behalf; nothing here is called per
 * packet. struct port_info is the result: facts that never change while the port runs, read by
 * net/ without asking the driver.
 *
 * It must not know what the packets are.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rte_mempool;

#define PORT_MAX_RSS_KEY 64
#define PORT_MAX_RETA 512
#define PORT_MAX_QUEUES 64

enum port_role { PORT_GATEWAY, PORT_INLINE, PORT_TAP, PORT_EXCEPTION };

struct port_arg {
	uint16_t port_id;
	enum port_role role;
	uint16_t peer; /* INLINE: the other port of the cable. EXCEPTION: its end with the servers */
};

/*
 * Parses the value of --port: N=gateway, N=tap, N=inline:M or N=exception:M. 0, or -EINVAL with a
 * text in err.
 */
int port_parse_arg(const char *text, struct port_arg *out, char *err, size_t err_len);

struct port_options {
	uint16_t rx_desc;    /* per queue; 0: the quirk table's default */
	uint16_t tx_desc;
	uint16_t mtu;        /* 0: what the device has */
	bool no_offloads;    /* software checksums only */
	bool no_rss;         /* owner of a flow by SipHash even if the driver has RSS */
	bool promiscuous;    /* in addition to what the quirk table demands */
	/* A mirror's port: no transmit queue, so that nothing can be sent on it; promiscuous; both
	 * directions of a flow on one queue where the driver spreads flows by our key; of a capture
	 * that is spread over queues every one is set up, queue q by the pool of worker q modulo
	 * n_workers. */
	bool receive_only;
	/* Of a cable: all frames come in, whole, spread so that both directions of a flow meet on
	 * one queue where the driver can do that, and no checksum is left to a device. */
	bool bridged;
};

struct port_info {
	uint16_t id;
	bool receive_only;   /* n_tx_queues is 0 */
	bool capture;        /* files, which end: packets have the time they were captured at */
	uint16_t peer;       /* as in struct port_arg; set by the caller, like role */
	enum port_role role;
	uint16_t n_queues;   /* RX queues; TX queue q belongs to the worker of RX queue q */
	uint16_t n_tx_queues;
	uint16_t mtu;        /* of layer 3 */
	unsigned int if_index; /* of the kernel interface that it sits on; 0: none */
	uint16_t rx_desc, tx_desc;
	int socket;          /* NUMA node, or -1 */
	uint8_t mac[6];
	bool rss;            /* the driver spreads flows by rss_key and reta, and can be believed */
	bool rx_checksum;    /* the driver marks received checksums GOOD or BAD */
	bool tx_ip_checksum;
	bool tx_tcp_checksum;
	bool promiscuous;
	/* Random per boot. Read by words where a packet's queue is computed. */
	_Alignas(8) uint8_t rss_key[PORT_MAX_RSS_KEY];
	uint8_t rss_key_len;
	uint16_t reta_size;  /* entries, a power of two; 0 without rss */
	uint8_t reta[PORT_MAX_RETA]; /* hash & (reta_size - 1) -> queue */
	char driver[32];
	char name[64];
};

/*
 * Configures and starts the port with one RX queue a worker (rx_pools[q] feeds queue q) and one TX
 * queue a worker. A driver with fewer RX queues than workers gets as many as it has (info->n_queues
 * says so: workers above that only transmit, and receive by steering); fewer TX queues than workers
 * is an error. 0 or -errno with a text in err.
 */
int port_init(uint16_t port_id, uint16_t n_workers, struct rte_mempool *const rx_pools[],
	      const struct port_options *opt, struct port_info *info, char *err, size_t err_len);

/* Stops and closes. No worker may use the port any more. */
void port_close(struct port_info *info);

bool port_link_up(const struct port_info *info);
/* 0, or -ENOTSUP and what else a driver may say: -EPERM where that is the kernel's to do. */
int port_set_link(const struct port_info *info, bool up);

/*
 * Do both ends of a cable put a flow on the same queue? They must have the same key and table, and the
 * key must not tell the directions apart. Otherwise neither is believed any more.
 */
void port_pair_rss(struct port_info *a, struct port_info *b);

/*
 * JSON object of one port: identity, link, queues, offloads, and the driver's own counters with
 * what was lost below us (rx_missed, rx_no_mbuf, rx_errors, tx_errors). Returns the length
 * written without the NUL, or -ENOSPC.
 */
int port_describe(const struct port_info *info, char *out, size_t n);

/* mbufs that the port's descriptors can hold: for sizing pools. Both before port_init(). */
uint32_t port_rx_mbufs(uint16_t port_id, uint16_t n_workers, const struct port_options *opt);
uint32_t port_tx_mbufs(uint16_t port_id, uint16_t n_workers, const struct port_options *opt);
