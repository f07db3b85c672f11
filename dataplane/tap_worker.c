/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/tap_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "dataplane/tap/tap_smtp.h"
#include "dataplane/tap_feed.h"
#include "dataplane/tap_packet.h"
#include "dataplane/tap_session.h"
#include "dataplane/tcp/siphash.h"
#include "dataplane/worker.h"

#define BURST          32
#define PREFETCH_AHEAD 4
#define FRAGMENTS      256     /* datagrams in reassembly, 8 mbufs each */
#define CAPTURE_END_US 1000000 /* without a packet: no file has any more */
#define STALL_US       5000    /* that another worker may take for its packets until they are dropped */

struct tap_worker {
	struct worker *w;
	struct net *net;
	struct tap *tap;
	struct tap_sessions *sessions;
	struct tap_packet packet;
	struct tap_feed feed; /* this worker's queues */
	bool capture;         /* files: their packets' time is the clock */
	uint8_t share;        /* of the arena */
	bool ended;
	uint64_t last_us; /* worker.now_us at the last packet of a capture */
	uint64_t full_us; /* worker.now_us when another worker's ring was found full; 0: has room */
	unsigned int n_workers;
	uint32_t one_queue;          /* mask of tap ports with one: all fragments come in there */
	const struct port_info *rss; /* any tap port, where RSS of all of them can be believed */
	uint8_t hash_key[16];
	struct { /* of the command line */
		uint16_t port[TAP_MAX_PORTS];
		unsigned int n_ports;
		bool midstream, ignore_checksums;
	} given;
	const struct tap_lost *lost;
	uint32_t nic_missed, no_mbuf; /* of `lost`, as told */
};

/* ---- whose a flow is ---- */

/* The same for both directions. */
static uint16_t hash_owner(const struct tap_worker *t, const struct tcp_tuple *tuple)
{
	struct tcp_tuple key = *tuple;
	int order = memcmp(tuple->local, tuple->remote, 16);

	if (order > 0 || (!order && tuple->local_port > tuple->remote_port)) {
		memcpy(key.local, tuple->remote, 16);
		memcpy(key.remote, tuple->local, 16);
		key.local_port = tuple->remote_port;
		key.remote_port = tuple->local_port;
	}
	return (uint16_t)(siphash24(t->hash_key, &key, sizeof(key)) % t->n_workers);
}

/* As it came, without a tag or options, which drivers think differently of: RSS has placed it. */
static bool placed(const struct tap_worker *t, const struct rte_mbuf *m, const struct net_head *h,
		   bool raw)
{
	return t->rss && raw && !h->tagged && m->nb_segs == 1 &&
	       h->l4 == h->l3 + (h->ip6 ? NET_IP6 : NET_IP4);
}

static bool elsewhere(void *ctx, struct rte_mbuf *m, const struct net_head *h, bool raw)
{
	struct tap_worker *t = ctx;
	uint16_t owner;

	/* Put together where all of them are, so that the segment comes in its place of the flow.
	 */
	if (h->kind == NET_KIND_FRAGMENT && t->one_queue & 1u << m->port % 32)
		return false;
	if (h->kind == NET_KIND_FRAGMENT)
		owner = net_fragment_owner(t->net, &h->tuple, h->fragment_id);
	else if (placed(t, m, h, raw))
		return false;
	else
		owner = t->rss ? net_rss_owner(t->rss, &h->tuple, (uint16_t)t->n_workers)
			       : hash_owner(t, &h->tuple);
	if (owner == t->w->opt.index)
		return false;
	net_hand_over(t->net, m, owner);
	return true;
}

/* RSS can be followed if all ports spread alike. */
static const struct port_info *common_rss(const struct tap_worker_options *opt)
{
	const struct port_info *first = NULL;

	for (unsigned int i = 0; i < opt->n_ports; i++) {
		const struct port_info *p = &opt->port[i];

		if (!p->receive_only)
			continue;
		if (!p->rss)
			return NULL;
		if (!first)
			first = p;
		if (p->reta_size != first->reta_size || p->rss_key_len != first->rss_key_len ||
		    memcmp(p->reta, first->reta, p->reta_size) ||
		    memcmp(p->rss_key, first->rss_key, p->rss_key_len))
			return NULL;
	}
	return first;
}

/* ---- packets ---- */

static void take(struct tap_worker *t, struct rte_mbuf *m)
{
	uint64_t *c = t->packet.counters;

	c[CNT_rx_packets]++;
	c[CNT_tap_packets]++;
	c[CNT_rx_bytes] += m->pkt_len;
	tap_packet_input(&t->packet, m);
}

/* Of a packet at hand: when it was captured. */
static void set_clock(struct tap_worker *t, uint64_t us)
{
	if (!t->capture) {
		t->packet.now_us = t->w->now_us;
		return;
	}
	if (us > t->packet.now_us)
		t->packet.now_us = us;
	t->last_us = t->w->now_us;
	t->ended = false;
}

/*
 * A file can wait, and what is read before control can judge it, or faster, would be read for
 * nothing. While control has messages it will give some back; what only open ones hold is not
 * waited for.
 */
static bool must_wait(const struct tap_worker *t)
{
	const struct worker *w = t->w;
	struct dp_usage u;

	if (!w->up || !w->current || net_steer_room(t->net) < t->n_workers * BURST)
		return true;
	dp_worker_usage(w->arena, &u);
	return u.records_control &&
	       (u.chunks - u.chunks_used - u.chunks_reserved <= u.chunks_floor + 2 * BURST ||
		!dp_may_observe(w->arena, t->share, BURST));
}

static unsigned int poll_capture(struct tap_worker *t)
{
	unsigned int n = 0;
	struct rte_mbuf *m;
	uint64_t us;

	if (must_wait(t)) {
		t->last_us = t->w->now_us;
		return 0;
	}
	while (n < BURST && (m = tap_feed_next(&t->feed, &us))) {
		set_clock(t, us);
		take(t, m);
		n++;
	}
	return n;
}

static unsigned int poll_queue(struct tap_worker *t, const struct tap_feed_queue *q)
{
	struct rte_mbuf *m[BURST];
	uint16_t n = rte_eth_rx_burst(q->port, q->id, m, BURST);

	for (uint16_t i = 0; i < n && i < PREFETCH_AHEAD; i++)
		rte_prefetch0(rte_pktmbuf_mtod(m[i], void *));
	for (uint16_t i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			rte_prefetch0(rte_pktmbuf_mtod(m[i + PREFETCH_AHEAD], void *));
		/* Not every virtual driver says where it came from. */
		m[i]->port = q->port;
		take(t, m[i]);
	}
	return n;
}

/*
 * Another worker is behind: what this one received for it would be dropped, while the queue of the NIC
 * still has room. Who stays behind does not stop us: its ring has to be half empty before it is waited
 * for again.
 */
static bool another_is_behind(struct tap_worker *t)
{
	unsigned int room;

	/* Where RSS places flows hardly anything is handed over, and the rings are others' memory. */
	if (!t->packet.elsewhere || t->rss)
		return false;
	room = net_steer_room(t->net);
	if (room >= NET_STEER_RING / 2)
		t->full_us = 0;
	if (room >= BURST)
		return false;
	if (!t->full_us)
		t->full_us = t->w->now_us;
	return t->w->now_us - t->full_us < STALL_US;
}

unsigned int tap_worker_poll(struct tap_worker *t)
{
	unsigned int n = 0;

	if (t->capture)
		return poll_capture(t);
	if (another_is_behind(t))
		return 0;
	set_clock(t, 0);
	for (unsigned int i = 0; i < t->feed.n_queues; i++)
		n += poll_queue(t, &t->feed.queue[i]);
	return n;
}

void tap_worker_steered(void *ctx, struct rte_mbuf *m)
{
	struct tap_worker *t = ctx;

	set_clock(t, t->capture ? tap_feed_time(&t->feed, m) : 0);
	tap_packet_steered(&t->packet, m);
}

void tap_worker_segment(struct tap_worker *t, struct rte_mbuf *m, const struct net_head *h,
			const uint8_t *head)
{
	set_clock(t, t->packet.now_us);
	tap_packet_segment(&t->packet, m, h, head, false);
}

/* ---- now and then ---- */

static void look_for_losses(struct tap_worker *t)
{
	uint32_t n;

	if (!t->lost)
		return;
	n = atomic_load_explicit(&t->lost->nic_missed, memory_order_relaxed);
	if (n != t->nic_missed)
		tap_missed(t->tap, TAP_CAUSE_nic_missed);
	t->nic_missed = n;
	n = atomic_load_explicit(&t->lost->no_mbuf, memory_order_relaxed);
	if (n != t->no_mbuf)
		tap_missed(t->tap, TAP_CAUSE_no_mbuf);
	t->no_mbuf = n;
}

void tap_worker_advance(struct tap_worker *t)
{
	look_for_losses(t);
	if (!t->capture)
		t->packet.now_us = t->w->now_us;
	tap_packet_expire(&t->packet);
	tap_advance(t->tap, t->packet.now_us);
	/* Its clock stands: what waits for a reply would wait for good. */
	if (t->capture && !t->ended && t->w->now_us - t->last_us > CAPTURE_END_US) {
		tap_finish(t->tap);
		t->ended = true;
	}
	/* Behind the flows that end by themselves. */
	tap_sessions_expire(t->sessions);
}

/* Also those of servers in a cable that are observed. */
static unsigned int add_observed(uint16_t port[TAP_MAX_PORTS], unsigned int n,
				 const struct handoff_config *c)
{
	for (uint32_t i = 0; i < c->n_inlines && n < TAP_MAX_PORTS; i++) {
		unsigned int k = 0;

		while (k < n && port[k] != c->inlined[i].tcp_port)
			k++;
		if (k == n && c->inlined[i].mode == INLINE_OBSERVE)
			port[n++] = c->inlined[i].tcp_port;
	}
	return n;
}

void tap_worker_set_config(struct tap_worker *t, const struct handoff_config *c)
{
	uint16_t port[TAP_MAX_PORTS];
	bool said = c->n_tap_ports != 0;
	bool tap = said ? c->tap_midstream : t->given.midstream;
	bool cable = c->n_inlines && c->exception[PORT_MODE_INLINE][CAUSE_MIDSTREAM] == ACT_PASS_FLOW;
	unsigned int n = said ? c->n_tap_ports : t->given.n_ports;

	tap |= c->exception[PORT_MODE_TAP][CAUSE_MIDSTREAM] == ACT_PASS_FLOW;
	tap_sessions_midstream(t->sessions, tap, cable);
	memcpy(port, said ? c->tap_port : t->given.port, sizeof(port));
	n = add_observed(port, n, c);
	tap_set_ports(t->tap, port, n, tap || cable);
	t->packet.ignore_checksums = said ? c->tap_ignore_checksums : t->given.ignore_checksums;
}

/* ---- memory ---- */

uint32_t tap_worker_mbufs(void)
{
	return FRAGMENTS * 8;
}

/* This worker's queues; of a capture all must be, for its time to be the clock. */
static int add_queues(struct tap_worker *t, const struct tap_worker_options *opt)
{
	unsigned int ports = 0, captures = 0;

	for (unsigned int i = 0; i < opt->n_ports; i++) {
		const struct port_info *p = &opt->port[i];

		if (!p->receive_only)
			continue;
		ports++;
		captures += p->capture;
		t->one_queue |= p->n_queues == 1 ? 1u << p->id : 0;
		for (uint16_t q = 0; q < p->n_queues; q++)
			if (q % opt->n_workers == opt->worker->opt.index &&
			    !tap_feed_add(&t->feed, p->id, q))
				return -ENOSPC;
	}
	t->capture = ports && captures == ports;
	if (t->capture)
		tap_feed_stamped(&t->feed);
	return 0;
}

static int make(struct tap_worker *t, const struct tap_worker_options *opt)
{
	struct tap_env env = {.app = &tap_session_app,
			      .hold = tap_packet_hold,
			      .drop = tap_packet_drop,
			      .counters = t->w->counters};
	struct tap_options track = {.flows = 2 * opt->sessions,
				    .pieces = opt->held,
				    .blocks = opt->held,
				    .n_ports = opt->n_tap_ports,
				    .midstream = opt->midstream};
	struct tap_session_options session = {.worker = t->w,
					      .sessions = opt->sessions,
					      .share = opt->share,
					      .capture = t->capture,
					      .now_us = &t->packet.now_us,
					      .listener = opt->listener,
					      .listener_ctx = opt->listener_ctx};

	memcpy(track.port, opt->tap_port, sizeof(track.port));
	if (getrandom(env.secret, sizeof(env.secret), 0) != sizeof(env.secret))
		return -EIO;
	t->sessions = tap_sessions_new(&session);
	env.ctx = t->sessions;
	t->tap = t->sessions ? tap_new(&track, &env) : NULL;
	t->packet.tap = t->tap;
	return t->tap ? 0 : -ENOMEM;
}

struct tap_worker *tap_worker_new(const struct tap_worker_options *opt)
{
	struct tap_worker *t = calloc(1, sizeof(*t));

	_Static_assert(HANDOFF_MAX_TAP_PORTS == TAP_MAX_PORTS, "ports of servers");
	_Static_assert(NET_MAX_PORTS <= 32, "one_queue");
	if (!t)
		return NULL;
	t->w = opt->worker;
	t->net = opt->net;
	t->n_workers = opt->n_workers;
	t->share = opt->share;
	t->lost = opt->lost;
	t->rss = common_rss(opt);
	memcpy(t->hash_key, opt->hash_key, sizeof(t->hash_key));
	tap_feed_init(&t->feed);
	if (add_queues(t, opt) ||
	    tap_packet_init(&t->packet, t->w->counters, FRAGMENTS, SOCKET_ID_ANY) || make(t, opt)) {
		tap_worker_free(t);
		return NULL;
	}
	tap_sessions_midstream(t->sessions, opt->midstream, false);
	t->packet.low = opt->low;
	t->packet.ignore_checksums = t->given.ignore_checksums = opt->ignore_checksums;
	memcpy(t->given.port, opt->tap_port, sizeof(t->given.port));
	t->given.n_ports = opt->n_tap_ports;
	t->given.midstream = opt->midstream;
	t->packet.ctx = t;
	if (opt->n_workers > 1 && !opt->whole_queues)
		t->packet.elsewhere = elsewhere;
	return t;
}

void tap_worker_free(struct tap_worker *t)
{
	if (!t)
		return;
	tap_feed_free(&t->feed);
	if (t->tap)
		tap_free(t->tap);
	tap_sessions_free(t->sessions);
	tap_packet_free(&t->packet);
	free(t);
}
