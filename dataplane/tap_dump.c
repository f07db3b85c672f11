/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Tap ports on the main lcore, without workers and without control: for captures, and to see what a
 * mirror feed shows. The ports have no transmit queue, so that nothing can be sent on them.
 *
 * A capture file that is read slowly loses nothing, so this may print where a worker could not.
 */

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "dataplane/tap/tap_report.h"
#include "dataplane/tap_dump.h"
#include "dataplane/tap_feed.h"
#include "dataplane/tap_packet.h"

#define BURST       32
#define FRAGMENTS   1024 /* datagrams in reassembly */
#define MBUFS_FRAGMENTS 4096 /* that fragments may hold beside those that wait for an ACK */
#define MBUFS_SPARE 1024  /* for what is in hand */
#define EMPTY_TURNS 3     /* of a file, at its end */
#define STATS_TURNS 1024

static struct {
	const struct args *args;
	struct rte_mempool *pool;
	struct tap_packet packet;
	struct tap_feed feed;
	struct tap_report *report;
	struct tap *tap;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT];
	uint64_t missed[NET_MAX_PORTS], no_mbuf[NET_MAX_PORTS];
	bool file[NET_MAX_PORTS]; /* a capture file, which ends */
	volatile sig_atomic_t signalled;
} d;

static void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *fmt, ...)
{
	va_list ap;

	fputs("postern-dataplane: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void on_signal(int sig)
{
	d.signalled = sig;
}

/* ---- ports ---- */

static void start_port(unsigned int i)
{
	uint16_t id = d.args->port[i].port_id;
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf = {0};
	const struct rte_devargs *devargs;
	uint16_t n;
	int rc = rte_eth_dev_info_get(id, &info);

	if (rc)
		die("port %u: there is no such device; %u were found (see --vdev, --allow)", id,
		    rte_eth_dev_count_avail());
	conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	if (d.args->mtu)
		conf.rxmode.mtu = d.args->mtu;
	devargs = rte_dev_devargs(info.device);
	d.file[i] = strcmp(info.driver_name, "net_pcap") == 0 && devargs && devargs->args &&
		    strstr(devargs->args, "rx_pcap=") && !strstr(devargs->args, "infinite_rx=1");
	/* A capture that is spread over queues is read from all of them; a NIC needs no more than
	 * one. */
	n = d.file[i] ? info.max_rx_queues : 1;
	if (d.feed.n_queues + n > TAP_FEED_QUEUES)
		die("port %u (%s): over %d receive queues", id, info.driver_name, TAP_FEED_QUEUES);
	rc = rte_eth_dev_configure(id, n, 0, &conf);
	for (uint16_t q = 0; !rc && q < n; q++) {
		tap_feed_add(&d.feed, id, q);
		rc = rte_eth_rx_queue_setup(id, q, d.args->rx_desc ? d.args->rx_desc : 1024,
					    (unsigned int)rte_eth_dev_socket_id(id), NULL, d.pool);
	}
	if (!rc)
		rc = rte_eth_dev_start(id);
	if (rc)
		die("port %u (%s): %s", id, info.driver_name, strerror(-rc));
	rc = rte_eth_promiscuous_enable(id);
	if (rc && rc != -ENOTSUP)
		die("port %u (%s): promiscuous mode: %s", id, info.driver_name, strerror(-rc));
	/* Its unit is the device's own, but for this driver. */
	if (strcmp(info.driver_name, "net_pcap") == 0)
		tap_feed_stamped(&d.feed);
}

/* What the driver and its hardware lost is what gaps from here on may be. */
static void look_at_stats(void)
{
	for (unsigned int i = 0; i < d.args->n_ports; i++) {
		struct rte_eth_stats s;

		if (rte_eth_stats_get(d.args->port[i].port_id, &s))
			continue;
		if (s.imissed > d.missed[i])
			tap_missed(d.tap, TAP_CAUSE_nic_missed);
		if (s.rx_nombuf > d.no_mbuf[i])
			tap_missed(d.tap, TAP_CAUSE_no_mbuf);
		d.missed[i] = s.imissed;
		d.no_mbuf[i] = s.rx_nombuf;
	}
}

/* ---- packets ---- */

static unsigned int poll_ports(void)
{
	unsigned int n = 0;
	struct rte_mbuf *m;
	uint64_t us;

	while (n < BURST && (m = tap_feed_next(&d.feed, &us))) {
		if (us > d.packet.now_us)
			d.packet.now_us = us;
		d.counters[CNT_rx_packets]++;
		d.counters[CNT_tap_packets]++;
		d.counters[CNT_rx_bytes] += m->pkt_len;
		tap_packet_input(&d.packet, m);
		n++;
	}
	return n;
}

/* ---- start and end ---- */

static void make_report(uint32_t mbufs)
{
	struct tap_report_options opt = {
		.track = {.flows = 2 * d.args->max_sessions,
			  .pieces = mbufs,
			  .blocks = mbufs,
			  .n_ports = d.args->n_tap_ports,
			  .midstream = d.args->tap_midstream},
		.sessions = d.args->max_sessions,
		.hold = tap_packet_hold,
		.drop = tap_packet_drop,
		.counters = d.counters,
		.out = stdout,
	};

	memcpy(opt.track.port, d.args->tap_port, sizeof(opt.track.port));
	if (getrandom(opt.secret, sizeof(opt.secret), 0) != sizeof(opt.secret))
		die("no random numbers: %s", strerror(errno));
	d.report = tap_report_new(&opt);
	if (!d.report)
		die("no memory for %u sessions: lower --max-sessions", d.args->max_sessions);
	d.tap = tap_report_tap(d.report);
	d.packet.tap = d.tap;
}

static void start(void)
{
	uint32_t mbufs = d.args->rx_mbufs > DEFAULT_TAP_MBUFS ? d.args->rx_mbufs : DEFAULT_TAP_MBUFS;
	uint32_t desc = d.args->rx_desc ? d.args->rx_desc : 1024;
	uint32_t n = mbufs + MBUFS_FRAGMENTS + MBUFS_SPARE;
	struct sigaction act = {.sa_handler = on_signal};

	n += d.args->n_ports * desc + TAP_FEED_QUEUES * TAP_FEED_BURST;
	d.pool = rte_pktmbuf_pool_create("tap", n, 0, 0,
					 (uint16_t)(RTE_PKTMBUF_HEADROOM + d.args->mbuf_size),
					 SOCKET_ID_ANY);
	if (!d.pool)
		die("no memory for %u packet buffers: give EAL more (-m, huge pages) or lower "
		    "--rx-mbufs",
		    n);
	tap_feed_init(&d.feed);
	if (tap_packet_init(&d.packet, d.counters, FRAGMENTS, SOCKET_ID_ANY))
		die("no memory for fragments");
	d.packet.low = n - mbufs - MBUFS_FRAGMENTS;
	d.packet.ignore_checksums = d.args->tap_no_checksums;
	make_report(mbufs);
	for (unsigned int i = 0; i < d.args->n_ports; i++)
		start_port(i);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
}

static bool all_files(void)
{
	for (unsigned int i = 0; i < d.args->n_ports; i++)
		if (!d.file[i])
			return false;
	return true;
}

static void stop(void)
{
	tap_feed_free(&d.feed);
	for (unsigned int i = 0; i < d.args->n_ports; i++) {
		rte_eth_dev_stop(d.args->port[i].port_id);
		rte_eth_dev_close(d.args->port[i].port_id);
	}
	tap_report_free(d.report);
	tap_packet_free(&d.packet);
	rte_mempool_free(d.pool);
	rte_eal_cleanup();
}

int tap_dump(const struct args *args)
{
	unsigned int empty = 0;
	bool files, failed;

	d.args = args;
	start();
	files = all_files();
	for (unsigned int turn = 1; !d.signalled && !(files && empty >= EMPTY_TURNS); turn++) {
		empty = poll_ports() ? 0 : empty + 1;
		if (turn % STATS_TURNS == 0 || empty == 1) {
			look_at_stats();
			tap_packet_expire(&d.packet);
			tap_advance(d.tap, d.packet.now_us);
		}
	}
	look_at_stats();
	tap_report_finish(d.report);
	failed = ferror(stdout) != 0;
	failed |= fflush(stdout) != 0;
	stop();
	if (failed)
		die("standard output: %s", strerror(errno));
	return 0;
}
