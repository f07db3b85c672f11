/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What the files of net/ share with each other, and nobody else. */

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dataplane/inline/inline.h"
#include "dataplane/net/net.h"
#include "dataplane/net/net_frag.h"
#include "dataplane/net/net_parse.h"
#include "dataplane/port/port.h"
#include "postern/stats.h"

#define NET_RX_BURST 32
#define NET_TX_BURST 64
#define NET_VIEWS 64           /* mbufs that a packet may be chained of */
#define NET_BURST_VIEWS 192    /* of a burst; a burst of longer chains is handed up in parts */
#define NET_FRAGMENTS 32       /* datagrams in reassembly: 8 mbufs each, 256 of the receive pool */
#define NET_FRAGMENT_US 10000000 /* ours; RFC 1122 3.3.2 asks for 60 s, which floods turn on us */
#define NET_ANNOUNCE 3         /* RFC 5227 1.1 asks for two, one second apart; ours: one more */
#define NET_ANNOUNCE_US 1000000
#define NET_ICMP_TEXT (8 + NET_IP6 + 8 + 60 + 20) /* of an ICMP error: enough of what it quotes */
#define NET_SLICE_US 100000    /* rate budgets are filled in tenths of a second */

/* Per second and worker, all ours: far above what neighbours and monitors send. */
#define NET_RATE_NEIGHBOUR 2000
#define NET_RATE_ECHO 1000
#define NET_RATE_ERROR 1000

enum net_rate { NET_BUDGET_NEIGHBOUR, NET_BUDGET_ECHO, NET_BUDGET_ERROR, NET_BUDGETS };

/* What struct tcp_path holds. */
struct net_path {
	uint8_t port;
	uint8_t tagged : 1;
	uint8_t bridged : 1; /* a cable: what is sent is from `own` */
	uint16_t vlan;     /* TCI */
	uint8_t mac[6];    /* of the peer or its router */
	uint8_t own[6];    /* bridged: what the peer takes us for */
};
_Static_assert(NET_MAX_PORTS <= UINT8_MAX, "port of a path");

_Static_assert(sizeof(struct net_path) == sizeof(struct tcp_path), "path");

struct net_port {
	bool used;
	bool bridged;      /* one end of a cable, or the kernel's way to it */
	uint8_t exception; /* end of a cable: that port; NET_MAX_PORTS: none */
	uint16_t n_tx;
	struct port_info info;
	struct rte_mbuf *tx[NET_TX_BURST];
};

struct net_address {
	uint8_t ip[16];
	uint16_t port;
	uint8_t announce;  /* announcements still to send */
	uint32_t net4, mask4; /* of its subnet; mask4 0: one without edges, or IPv6 */
	uint64_t announce_us;
};

/* A packet of the burst on its way to tcp_input_burst(). */
struct net_item {
	struct rte_mbuf *m;
	const uint8_t *head; /* contiguous begin of the frame */
	struct net_head h;
	union {
		struct net_path path;
		struct tcp_path tcp_path; /* as TCP keeps it */
	};
};

struct net {
	uint64_t *cnt;
	struct tcp_stack *tcp;
	struct rte_mempool *tx_pool, *rx_pool;
	uint32_t rx_reserve;
	uint16_t worker, n_workers;
	uint16_t tx_room;      /* octets of a frame that one mbuf of tx_pool takes */
	uint16_t n_address, n_listener;
	uint32_t budget[NET_BUDGETS];
	uint64_t now_us, slice_us;
	struct net_frag frag;
	struct inline_worker *cable; /* NULL: no port is a cable's */
	struct net_kernel *kernel;   /* [port] */
	void (*watch)(void *ctx, struct rte_mbuf *m, const struct net_head *h, const uint8_t *head);
	void *watch_ctx;
	struct rte_ring *steer[HANDOFF_MAX_WORKERS];
	void (*foreign)(void *ctx, struct rte_mbuf *m);
	void *foreign_ctx;
	uint8_t hash_key[16];
	struct net_port port[NET_MAX_PORTS];
	struct net_address address[HANDOFF_MAX_LISTENERS];
	struct handoff_listener listener[HANDOFF_MAX_LISTENERS];
	unsigned int n_segment, n_view; /* of the burst under way */
	struct net_item item[NET_RX_BURST];
	struct tcp_segment segment[NET_RX_BURST]; /* [i] speaks of item[i] */
	struct tcp_view view[NET_BURST_VIEWS];
	uint8_t scratch[NET_RX_BURST][NET_HEAD]; /* heads of packets whose first mbuf is short */
};

static inline void net_count(struct net *net, enum postern_counter c)
{
	net->cnt[c]++;
}

/* Buffers left in a pool, caches apart; rte_mempool_avail_count() would visit every core's. */
static inline unsigned int net_pool_left(const struct rte_mempool *pool)
{
	return rte_mempool_get_ops(pool->ops_index)->get_count(pool);
}

static inline bool net_rx_low(const struct rte_mbuf *m, uint32_t n)
{
	return n && net_pool_left(m->pool) < n;
}

/* Takes one from a budget; false: it is empty for this tenth of a second. */
static inline bool net_budget(struct net *net, enum net_rate which)
{
	if (!net->budget[which])
		return false;
	net->budget[which]--;
	return true;
}

/* net.c */
bool net_ours(const struct net *net, uint16_t port, const uint8_t ip[16]);
/* The source is one of our own addresses, or broadcast or network address of our subnet. */
bool net_source_ours(const struct net *net, uint16_t port, const uint8_t ip[16]);

/* net_tx.c: what is under construction */
struct net_frame {
	struct rte_mbuf *m;
	uint8_t *eth;
	uint8_t *l3;
	uint8_t *l4;
	uint16_t l4_len;
};
/* Ethernet header and tag; `len` octets of layer 3 follow at f->l3. 0 or -ENOBUFS (counted). */
int net_frame_eth(struct net *net, const struct net_path *path, uint16_t type, size_t len,
		  struct net_frame *f);
/* The same with an IP header from tuple->local to tuple->remote and `len` octets behind it. */
int net_frame_ip(struct net *net, const struct net_path *path, const struct tcp_tuple *tuple,
		 uint8_t proto, uint8_t ttl, size_t len, struct net_frame *f);
/* Into the transmit buffer. 0 or -ENOBUFS (counted, freed). */
int net_send(struct net *net, uint16_t port, struct rte_mbuf *m);
bool net_mtu_ok(const struct net *net, const struct net_path *path, size_t l3_len);

/* net_reply.c */
void net_input_arp(struct net *net, const struct net_item *it);
/* True: the packet was handed to another worker. */
bool net_input_icmp(struct net *net, const struct net_item *it, bool steered, bool reassembled);
void net_announce(struct net *net, struct net_address *a);

/* net_steer.c: true when the packet was handed over or dropped (counted), and is not ours now */
bool net_steer_flow(struct net *net, const struct net_item *it, const struct tcp_tuple *tuple);
/* The same of a cable: what comes from its exception port goes to whom its ends think it is for. */
bool net_steer_cable(struct net *net, const struct net_item *it, const struct tcp_tuple *tuple);
bool net_steer_fragment(struct net *net, const struct net_item *it);

/* net_frag.c: takes the mbuf; the whole datagram, or NULL */
struct rte_mbuf *net_reassemble(struct net *net, const struct net_item *it);

enum net_outcome {
	NET_OUT_TCP,  /* it is a segment for our TCP */
	NET_OUT_DONE, /* done with: free it */
	NET_OUT_GONE, /* the mbuf is somebody else's now */
};

/* net_bridge.c: a frame of a cable, or of its exception port */
enum net_outcome net_bridge(struct net *net, struct net_item *it, uint8_t *scratch, bool steered,
			    bool whole);

/* Puts a tag that lies in the frame or beside it into the path. */
static inline void net_path_tag(struct net_path *path, const struct net_head *h, const struct rte_mbuf *m)
{
	if (h->tagged) {
		path->tagged = 1;
		path->vlan = h->vlan;
	} else if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) {
		path->tagged = 1;
		path->vlan = m->vlan_tci;
	}
}

/* net_rx.c */
bool net_l4_checksum_ok(const struct net_item *it);
void net_process(struct net *net, struct rte_mbuf **m, unsigned int n, bool steered);
