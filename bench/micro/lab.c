/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "bench/micro/lab.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "bench/micro/lab_priv.h"
#include "bench/micro/micro.h"
#include "dataplane/net/net_parse.h"
#include "dataplane/port/port.h"

#define BURST 32
#define TX_RING 16384 /* a tick of a million flows may owe 10,000 ACKs at once */
#define TX_MBUFS 16383
#define POOL_CACHE 256 /* as the dataplane's pools have it */
#define TICK_US 1000   /* a worker turns the wheel once in a millisecond */

struct lab lab;
struct rte_mempool *lab_rx_pool;
struct rte_ring *lab_to_port;
static struct rte_mempool *tx_pool;
static struct rte_ring *from_port;
static uint16_t port_id;

const uint8_t lab_our_mac[6] = {2, 0, 0, 0, 0, 1}, lab_peer_mac[6] = {2, 0, 0, 0, 0, 2};
const uint8_t lab_our_ip[4] = {192, 0, 2, 25};

/* The last CPU that we may use: the first one has the interrupts. */
static unsigned int last_cpu(void)
{
	unsigned int cpu = 0;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 0;
	for (unsigned int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			cpu = i;
	return cpu;
}

void lab_start(const char *argv0)
{
	static char args[][24] = {"", "--no-huge", "--no-shconf", "--no-pci", "-m", "128", "-l", "0",
				  "--no-telemetry", "--log-level=3", "--file-prefix=micro"};
	const int argc = sizeof(args) / sizeof(args[0]);
	const struct rte_eth_conf conf = {0};
	char *argv[sizeof(args) / sizeof(args[0])];
	int id;

	snprintf(args[0], sizeof(args[0]), "%.20s", argv0);
	snprintf(args[7], sizeof(args[7]), "%u", last_cpu());
	for (int i = 0; i < argc; i++)
		argv[i] = args[i];
	micro_must(rte_eal_init(argc, argv) >= 0, "EAL does not start here");
	lab_rx_pool = rte_pktmbuf_pool_create("rx", LAB_BATCH + 2 * POOL_CACHE, POOL_CACHE, 0,
					      2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	tx_pool = rte_pktmbuf_pool_create("tx", TX_MBUFS, POOL_CACHE, 0,
					  2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	lab_to_port = rte_ring_create("to", 2 * LAB_BATCH, SOCKET_ID_ANY,
				      RING_F_SP_ENQ | RING_F_SC_DEQ);
	from_port = rte_ring_create("from", TX_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	lab.flow = calloc(LAB_FLOWS_MAX, sizeof(*lab.flow));
	micro_must(lab_rx_pool && tx_pool && lab_to_port && from_port && lab.flow, "no memory");
	lab_fill_pool();
	id = rte_eth_from_rings("micro", &lab_to_port, 1, &from_port, 1, 0);
	micro_must(id >= 0 && id < NET_MAX_PORTS, "no ring port");
	port_id = (uint16_t)id;
	micro_must(!rte_eth_dev_configure(port_id, 1, 1, &conf) &&
			   !rte_eth_rx_queue_setup(port_id, 0, 64, 0, NULL, lab_rx_pool) &&
			   !rte_eth_tx_queue_setup(port_id, 0, 64, 0, NULL) &&
			   !rte_eth_dev_start(port_id), "the ring port does not start");
}

static int output(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path,
		  const uint8_t *header, size_t header_len, const struct tcp_view *payload,
		  unsigned int n_views)
{
	(void)ctx;
	return net_tcp_output(lab.net, tuple, path, header, header_len, payload, n_views);
}

static bool listening(void *ctx, const struct tcp_tuple *tuple)
{
	(void)ctx;
	return net_listening(lab.net, tuple);
}

static uint16_t mss(void *ctx, const struct tcp_tuple *tuple, const struct tcp_path *path)
{
	(void)ctx;
	return net_tcp_mss(lab.net, tuple, path);
}

/* As the NIC would: the descriptors are done, the mbufs go back. */
static uint64_t complete(struct lab_cost *c, uint64_t from)
{
	struct rte_mbuf *m[2 * BURST];
	unsigned int n;

	for (;;) {
		n = rte_ring_sc_dequeue_burst(from_port, (void **)m, 2 * BURST, NULL);
		if (!n)
			return micro_since(from);
		if (lab.sent) {
			uint64_t before = rte_rdtsc();

			for (unsigned int i = 0; i < n; i++)
				lab_frame_sent(rte_pktmbuf_mtod(m[i], uint8_t *));
			from += rte_rdtsc() - before;
		}
		rte_pktmbuf_free_bulk(m, n);
		c->sent += n;
	}
}

/* The announcements of our address, so that what is counted later is TCP only. */
static void announce(void)
{
	struct lab_cost unused = {0};

	for (unsigned int i = 0; i < 8; i++) {
		lab.now_us += 1000000;
		net_tick(lab.net, lab.now_us);
	}
	net_tx_flush(lab.net);
	complete(&unused, 0);
}

void lab_up(const struct tcp_options *opt, const struct tcp_app *app)
{
	struct port_info info = {.id = port_id, .n_queues = 1, .n_tx_queues = 1, .mtu = 1500,
				 .tx_ip_checksum = true, .tx_tcp_checksum = true};
	struct handoff_listener l = {.tcp_port = 25, .port = port_id, .prefix_len = 120};
	struct tcp_env env = {.output = output, .listening = listening, .mss = mss, .app = app,
			      .counters = lab.counters, .secret = "a secret of the micro benches"};
	struct net_options net = {.n_workers = 1, .socket = SOCKET_ID_ANY, .counters = lab.counters,
				  .port = &info, .n_ports = 1, .tx_pool = tx_pool,
				  .now_us = 1000000};

	lab = (struct lab){.flow = lab.flow, .now_us = net.now_us};
	memcpy(info.mac, lab_our_mac, 6);
	net_map4(l.address, lab_our_ip);
	lab.net = net_new(&net);
	micro_must(lab.net && !net_set_addresses(lab.net, &l, 1), "no net");
	announce();
	lab.tcp = tcp_stack_new(opt, &env, lab.now_us);
	micro_must(lab.tcp != NULL, "no memory for this many flows");
	net_set_tcp(lab.net, lab.tcp);
}

void lab_set_tcp(struct tcp_stack *tcp)
{
	net_set_tcp(lab.net, tcp);
}

void lab_down(void)
{
	tcp_stack_free(lab.tcp);
	net_free(lab.net);
	lab.tcp = NULL;
	lab.net = NULL;
	micro_must(rte_mempool_avail_count(tx_pool) == TX_MBUFS, "transmit mbufs were lost");
}

void lab_run(struct lab_cost *c)
{
	uint64_t next_tick = lab.now_us - lab.now_us % TICK_US + TICK_US, t;
	unsigned int n;

	for (;;) {
		t = rte_rdtsc();
		n = net_rx(lab.net, port_id, 0);
		if (!n)
			break;
		c->rx += micro_since(t);
		if (lab.between) {
			t = rte_rdtsc();
			lab.between();
			c->between += micro_since(t);
		}
		lab.now_us += n;
		if (lab.now_us >= next_tick) {
			next_tick += TICK_US;
			t = rte_rdtsc();
			tcp_advance(lab.tcp, lab.now_us);
			net_tick(lab.net, lab.now_us);
			c->advance += micro_since(t);
		}
		t = rte_rdtsc();
		tcp_burst_end(lab.tcp);
		c->end += micro_since(t);
		t = rte_rdtsc();
		net_tx_flush(lab.net);
		c->tx += complete(c, t);
	}
	lab.made = 0;
	micro_must(rte_mempool_avail_count(lab_rx_pool) == lab_rx_pool->size,
		   "received mbufs were lost");
}

uint64_t lab_run_raw(void)
{
	struct rte_mbuf *m[BURST];
	uint64_t t = rte_rdtsc(), all;
	unsigned int n;

	while ((n = rte_eth_rx_burst(port_id, 0, m, BURST)))
		for (unsigned int i = 0; i < n; i++)
			rte_pktmbuf_free(m[i]);
	all = micro_since(t);
	lab.made = 0;
	return all;
}

void lab_row(struct micro_row *row, unsigned int rep, const struct lab_cost *c, uint64_t units)
{
	const char *name[5] = {"net_rx", "answers", "tcp_advance", "tcp_burst_end", "tx"};
	const uint64_t v[5] = {c->rx, c->between, c->advance, c->end, c->tx};
	unsigned int n = 0;

	row->total[rep] = 0;
	for (unsigned int i = 0; i < 5; i++) {
		row->total[rep] += (double)v[i] / (double)units;
		if (i == 1 && !lab.between)
			continue;
		row->part[n] = name[i];
		row->of_part[n++][rep] = (double)v[i] / (double)units;
	}
	row->n_parts = n;
	row->sent = (double)c->sent / (double)units;
	micro_done(row, rep);
}
