/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* EAL without devices but one memif, whose other end is the gateway's; buffers; the clock. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#include "bench/smtpload/load.h"

#define BURST         64u
#define BURSTS_A_TURN 8u
#define QUEUE         512u
#define POOL          16383u
#define TRIES         200u /* with a full ring, before a frame is lost */
#define LINK_WAIT_MS  20000u

uint8_t link_mac[6], link_peer_mac[6];
bool link_peer_known;

static struct rte_mempool *pool;
static struct rte_mbuf *queue[QUEUE];
static unsigned int queued;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "smtpload: %s%s%s\n", what, why ? ": " : "", why ? why : "");
	exit(1);
}

static void start_eal(void)
{
	char lcores[32], prefix[64], vdev[400];
	const char *argv[24] = {
		"smtpload", "--no-pci", "--no-telemetry", "--log-level", "lib.eal:warning",
		"--lcores", lcores,     "--file-prefix",  prefix,        "--vdev",
		vdev};
	int argc = 11;

	snprintf(lcores, sizeof(lcores), "0@%u", load.opt.core);
	snprintf(prefix, sizeof(prefix), "smtpload-%ld", (long)getpid());
	if (snprintf(vdev, sizeof(vdev),
		     "net_memif0,role=client,id=0,socket=%s,socket-abstract=no,rsize=%u,bsize=2048",
		     load.opt.socket, load.opt.ring_log2) >= (int)sizeof(vdev))
		die("--socket", "too long");
	if (load.opt.huge) {
		argv[argc++] = "--in-memory";
	} else {
		argv[argc++] = "--no-huge";
		argv[argc++] = "--no-shconf";
		argv[argc++] = "-m";
		argv[argc++] = "128";
	}
	if (rte_eal_init(argc, (char **)(uintptr_t)argv) < 0)
		die("EAL does not start", rte_strerror(rte_errno));
}

void link_clock(void)
{
	uint64_t t = rte_rdtsc(), s = t / load.hz;

	load.now_us = s * 1000000 + (t - s * load.hz) * 1000000 / load.hz;
	load.now_ms = (uint32_t)(load.now_us / 1000);
}

static void wait_for_link(void)
{
	struct rte_eth_link link;

	for (unsigned int i = 0; i < LINK_WAIT_MS / 10; i++) {
		memset(&link, 0, sizeof(link));
		if (!rte_eth_link_get_nowait(0, &link) && link.link_status)
			return;
		usleep(10000);
	}
	die(load.opt.socket, "nobody answers at this socket");
}

void link_start(void)
{
	static const struct rte_eth_conf conf;
	struct rte_ether_addr mac;
	uint16_t desc = (uint16_t)(1u << load.opt.ring_log2);

	start_eal();
	load.hz = rte_get_tsc_hz();
	link_clock();
	pool = rte_pktmbuf_pool_create("load", POOL, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool)
		die("no memory for packet buffers", rte_strerror(rte_errno));
	if (!rte_eth_dev_is_valid_port(0) || rte_eth_dev_configure(0, 1, 1, &conf) ||
	    rte_eth_rx_queue_setup(0, 0, desc, SOCKET_ID_ANY, NULL, pool) ||
	    rte_eth_tx_queue_setup(0, 0, desc, SOCKET_ID_ANY, NULL) || rte_eth_dev_start(0) ||
	    rte_eth_macaddr_get(0, &mac))
		die("the memif port does not start", NULL);
	memcpy(link_mac, mac.addr_bytes, 6);
	wait_for_link();
}

void link_stop(void)
{
	link_flush();
	rte_eth_dev_stop(0);
	rte_eth_dev_close(0);
	rte_eal_cleanup();
}

struct rte_mbuf *link_alloc(void)
{
	return rte_pktmbuf_alloc(pool);
}

unsigned int link_alloc_bulk(struct rte_mbuf **m, unsigned int n)
{
	return rte_pktmbuf_alloc_bulk(pool, m, n) ? 0 : n;
}

unsigned int link_send_now(struct rte_mbuf **m, unsigned int n)
{
	unsigned int sent = rte_eth_tx_burst(0, 0, m, (uint16_t)n);

	load.f.tx += sent;
	if (sent < n)
		rte_pktmbuf_free_bulk(m + sent, n - sent);
	return sent;
}

void link_flush(void)
{
	unsigned int sent = 0;

	for (unsigned int i = 0; sent < queued && i < TRIES; i++) {
		sent += rte_eth_tx_burst(0, 0, queue + sent, (uint16_t)(queued - sent));
		if (sent < queued)
			rte_pause();
	}
	load.f.tx += sent;
	load.f.tx_not_taken += queued - sent;
	if (sent < queued)
		rte_pktmbuf_free_bulk(queue + sent, queued - sent);
	queued = 0;
}

void link_send(struct rte_mbuf *m)
{
	queue[queued++] = m;
	if (queued == QUEUE)
		link_flush();
}

unsigned int link_poll(void)
{
	struct rte_mbuf *m[BURST];
	unsigned int total = 0, n;

	for (unsigned int k = 0; k < BURSTS_A_TURN; k++) {
		n = rte_eth_rx_burst(0, 0, m, BURST);
		for (unsigned int i = 0; i < n; i++)
			wire_input(rte_pktmbuf_mtod(m[i], const uint8_t *), m[i]->data_len);
		if (n)
			rte_pktmbuf_free_bulk(m, n);
		total += n;
		if (n < BURST)
			break;
	}
	return total;
}
