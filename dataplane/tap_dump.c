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

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include "dataplane/net/net_cksum.h"
#include "dataplane/net/net_frag.h"
#include "dataplane/tap/tap_decap.h"
#include "dataplane/tap/tap_report.h"
#include "dataplane/tap_dump.h"

#define BURST           32
#define MAX_QUEUES      64
#define VIEWS           128  /* mbufs that a packet may be chained of */
#define FRAGMENTS       1024 /* datagrams in reassembly */
#define FRAGMENT_S      30 /* RFC 1122 3.3.2: 60 to 120 s is for hosts; a capture shows them at once */
#define MBUFS           16384 /* that wait for an ACK; --rx-mbufs says more */
#define MBUFS_FRAGMENTS 4096  /* that fragments may hold beside them */
#define MBUFS_SPARE     1024  /* for what is in hand */
#define EMPTY_TURNS     3     /* of a file, at its end */
#define STATS_TURNS     1024

struct queue {
	uint16_t port, id;
	uint16_t at, n; /* of m[]: the next, the end */
	struct rte_mbuf *m[BURST];
};

static struct {
	const struct args *args;
	struct rte_mempool *pool;
	uint32_t mbufs;   /* that may wait for an ACK */
	uint32_t receive; /* that reception needs: nothing that waits may have them */
	struct net_frag frag;
	struct tap_report *report;
	struct tap *tap;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT];
	uint64_t missed[NET_MAX_PORTS], no_mbuf[NET_MAX_PORTS];
	struct queue queue[MAX_QUEUES];
	unsigned int n_queues;
	bool file[NET_MAX_PORTS]; /* a capture file, which ends */
	int stamp;                /* of the mbuf: offset of its time; -1: none */
	uint64_t stamp_flag;
	uint64_t now_us;
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
	if (d.n_queues + n > MAX_QUEUES)
		die("port %u (%s): over %d receive queues", id, info.driver_name, MAX_QUEUES);
	rc = rte_eth_dev_configure(id, n, 0, &conf);
	for (uint16_t q = 0; !rc && q < n; q++) {
		d.queue[d.n_queues++] = (struct queue){.port = id, .id = q};
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
	if (strcmp(info.driver_name, "net_pcap") == 0) {
		int bit = rte_mbuf_dynflag_lookup(RTE_MBUF_DYNFLAG_RX_TIMESTAMP_NAME, NULL);

		d.stamp = rte_mbuf_dynfield_lookup(RTE_MBUF_DYNFIELD_TIMESTAMP_NAME, NULL);
		d.stamp_flag = bit < 0 ? 0 : 1ull << bit;
	}
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

static void hold(void *owner)
{
	rte_mbuf_refcnt_update(owner, 1);
}

static void drop(void *owner)
{
	rte_pktmbuf_free_seg(owner);
}

static void count(enum postern_counter c)
{
	d.counters[c]++;
}

static bool checksum_bad(const struct rte_mbuf *m, const struct net_head *h)
{
	uint32_t len = h->end - h->l4;

	if (d.args->tap_no_checksums)
		return false;
	switch (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) {
	case RTE_MBUF_F_RX_L4_CKSUM_GOOD:
	case RTE_MBUF_F_RX_L4_CKSUM_NONE:
		return false;
	case RTE_MBUF_F_RX_L4_CKSUM_BAD:
		return true;
	default:
		return net_cksum_fold(net_cksum_pseudo(h->tuple.remote, h->tuple.local, h->ip6,
						       NET_PROTO_TCP, len) +
				      net_mbuf_sum(m, h->l4, len)) != 0xffff;
	}
}

static void segment(struct rte_mbuf *m, const struct net_head *h, const uint8_t *head, bool bad)
{
	uint32_t off = h->l4 + h->tcp_header, left = h->end - off;
	struct tap_view view[VIEWS];
	struct tap_segment seg = {.tuple = &h->tuple,
				  .header = head + h->l4,
				  .header_len = h->tcp_header,
				  .view = view,
				  .payload_len = left,
				  .time_us = d.now_us,
				  .ttl = h->ttl,
				  .bad_checksum = bad || checksum_bad(m, h)};
	struct rte_mbuf *s = m;

	for (; s && off >= s->data_len; s = s->next)
		off -= s->data_len;
	for (; s && left; s = s->next, off = 0) {
		uint32_t k = s->data_len - off < left ? s->data_len - off : left;

		if (!k)
			continue;
		view[seg.n_views++] =
			(struct tap_view){rte_pktmbuf_mtod_offset(s, uint8_t *, off), k, s};
		left -= k;
	}
	tap_input(d.tap, &seg);
}

/* What a tunnel carries, in place of the whole. False: none that is known. */
static bool unwrap(struct rte_mbuf *m, const struct net_head *h)
{
	uint32_t left = h->end - h->l4, n = left < TAP_DECAP_HEAD ? left : TAP_DECAP_HEAD, off;
	uint8_t scratch[TAP_DECAP_HEAD], *ether;
	const uint8_t *p = rte_pktmbuf_read(m, h->l4, n, scratch);
	struct tap_inner in;

	if (!p || !tap_decap(p, n, h->proto, &in)) {
		count(CNT_rx_drop_ip_proto);
		return false;
	}
	/* A packet without a frame gets an Ethernet header where the outer headers were. */
	off = h->l4 + in.off - (in.type ? NET_ETHER : 0);
	ether = (uint8_t *)rte_pktmbuf_adj(m, (uint16_t)off);
	if (!ether || m->data_len < NET_ETHER) {
		count(CNT_rx_drop_chain);
		return false;
	}
	if (in.type) {
		memset(ether, 0, NET_ETHER - 2);
		net_put16(ether + NET_ETHER - 2, in.type);
	}
	/* What the NIC said is said of the outer packet. */
	m->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
	count(CNT_tap_tunnelled);
	return true;
}

static bool fragment_wanted(const struct net_head *h)
{
	return h->fragment_proto == NET_PROTO_TCP || h->fragment_proto == NET_PROTO_GRE ||
	       h->fragment_proto == NET_PROTO_UDP;
}

/* Whatever waits for ACKs may have its share of the pool, now or later; what it leaves beside that
 * of reception is for fragments. */
static bool fragment_room(const struct rte_mbuf *m)
{
	struct tap_usage u;

	tap_get_usage(d.tap, &u);
	return rte_mempool_avail_count(d.pool) + u.pieces - u.blocks >=
	       d.receive + d.mbufs + m->nb_segs;
}

/* `whole`: it came out of reassembly. `tunnels` that it was in. Takes the mbuf. */
static void packet(struct rte_mbuf *m, bool whole, unsigned int tunnels)
{
	uint8_t scratch[NET_HEAD_TAP];
	uint32_t n = m->pkt_len < NET_HEAD_TAP ? m->pkt_len : NET_HEAD_TAP;
	const uint8_t *head = rte_pktmbuf_read(m, 0, n, scratch);
	struct net_head h;

	if (m->nb_segs > VIEWS || !head) {
		count(CNT_rx_drop_chain);
	} else if (!net_parse_tap(head, n, m->pkt_len, !d.args->tap_no_checksums, &h)) {
		count((enum postern_counter)h.drop);
		/* The receiver drops it, and its flow is told that it was there. */
		if (h.drop == CNT_rx_drop_ip_checksum &&
		    net_parse_tap(head, n, m->pkt_len, false, &h) && h.kind == NET_KIND_TCP)
			segment(m, &h, head, true);
	} else if (h.kind == NET_KIND_TCP) {
		segment(m, &h, head, false);
	} else if (h.kind == NET_KIND_TUNNEL) {
		if (tunnels == LIMIT_TAP_TUNNELS) {
			count(CNT_rx_drop_ip_proto);
		} else if (unwrap(m, &h)) {
			packet(m, false, tunnels + 1);
			return;
		}
	} else if (h.kind == NET_KIND_FRAGMENT && !whole && fragment_wanted(&h)) {
		d.frag.now_us = d.now_us;
		if (!fragment_room(m)) {
			net_frag_expire(&d.frag);
			if (!fragment_room(m)) {
				count(CNT_rx_drop_fragment_low);
				rte_pktmbuf_free(m);
				return;
			}
		}
		m = net_frag_add(&d.frag, m, &h);
		if (m)
			packet(m, true, tunnels);
		return;
	} else if (h.kind == NET_KIND_FRAGMENT && whole) {
		count(CNT_rx_drop_fragment);
	}
	rte_pktmbuf_free(m);
}

static uint64_t time_of(const struct rte_mbuf *m)
{
	if (d.stamp >= 0 && d.stamp_flag && m->ol_flags & d.stamp_flag)
		return *RTE_MBUF_DYNFIELD(m, d.stamp, rte_mbuf_timestamp_t *);
	return rte_rdtsc() / (rte_get_tsc_hz() / 1000000);
}

static void take(struct queue *q)
{
	struct rte_mbuf *m = q->m[q->at++];
	uint64_t us = time_of(m);

	if (us > d.now_us)
		d.now_us = us;
	d.counters[CNT_rx_packets]++;
	d.counters[CNT_tap_packets]++;
	d.counters[CNT_rx_bytes] += m->pkt_len;
	packet(m, false, 0);
}

/* True: it has a packet. */
static bool fill(struct queue *q)
{
	if (q->at < q->n)
		return true;
	q->at = 0;
	q->n = rte_eth_rx_burst(q->port, q->id, q->m, BURST);
	return q->n != 0;
}

/* Files that show one feed, a direction each, are read by the time of their packets. */
static unsigned int poll_ports(void)
{
	unsigned int total = 0;

	for (unsigned int k = 0; k < BURST; k++) {
		struct queue *first = NULL;

		for (unsigned int i = 0; i < d.n_queues; i++) {
			struct queue *q = &d.queue[i];

			if (fill(q) &&
			    (!first || time_of(q->m[q->at]) < time_of(first->m[first->at])))
				first = q;
		}
		if (!first)
			break;
		take(first);
		total++;
	}
	return total;
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
		.hold = hold,
		.drop = drop,
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
}

static void start(void)
{
	uint32_t mbufs = d.args->rx_mbufs > MBUFS ? d.args->rx_mbufs : MBUFS;
	uint32_t desc = d.args->rx_desc ? d.args->rx_desc : 1024, n;
	struct sigaction act = {.sa_handler = on_signal};

	d.mbufs = mbufs;
	d.receive = MBUFS_SPARE + d.args->n_ports * desc + MAX_QUEUES * BURST;
	n = mbufs + MBUFS_FRAGMENTS + d.receive;
	d.pool = rte_pktmbuf_pool_create("tap", n, 0, 0,
					 (uint16_t)(RTE_PKTMBUF_HEADROOM + d.args->mbuf_size),
					 SOCKET_ID_ANY);
	if (!d.pool)
		die("no memory for %u packet buffers: give EAL more (-m, huge pages) or lower "
		    "--rx-mbufs",
		    n);
	d.stamp = -1;
	d.frag.counters = d.counters;
	d.frag.table = rte_ip_frag_table_create(FRAGMENTS, 4, FRAGMENTS, FRAGMENT_S * 1000000ull,
						SOCKET_ID_ANY);
	if (!d.frag.table)
		die("no memory for fragments");
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
	for (unsigned int i = 0; i < d.n_queues; i++)
		while (d.queue[i].at < d.queue[i].n)
			rte_pktmbuf_free(d.queue[i].m[d.queue[i].at++]);
	for (unsigned int i = 0; i < d.args->n_ports; i++) {
		rte_eth_dev_stop(d.args->port[i].port_id);
		rte_eth_dev_close(d.args->port[i].port_id);
	}
	tap_report_free(d.report);
	rte_ip_frag_free_death_row(&d.frag.death, 0);
	rte_ip_frag_table_destroy(d.frag.table);
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
			net_frag_expire(&d.frag);
			tap_advance(d.tap, d.now_us);
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
