/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/net/net.h"

#include <errno.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "dataplane/net/net_priv.h"

static void fill_budgets(struct net *net)
{
	net->budget[NET_BUDGET_NEIGHBOUR] = NET_RATE_NEIGHBOUR * (NET_SLICE_US / 1000) / 1000;
	net->budget[NET_BUDGET_ECHO] = NET_RATE_ECHO * (NET_SLICE_US / 1000) / 1000;
	net->budget[NET_BUDGET_ERROR] = NET_RATE_ERROR * (NET_SLICE_US / 1000) / 1000;
}

/* All are known: the ends of cables to each other, and the exception port to both ends. */
static int pair_ports(struct net *net, const struct net_options *opt)
{
	struct inline_options flows = {.flows = opt->inline_flows ? opt->inline_flows : DEFAULT_INLINE_FLOWS,
				       .counters = opt->counters};
	bool any = false;

	for (unsigned int i = 0; i < NET_MAX_PORTS; i++)
		net->port[i].exception = NET_MAX_PORTS;
	for (unsigned int i = 0; i < opt->n_ports; i++) {
		const struct port_info *info = &opt->port[i];

		if (!net->port[info->id].bridged)
			continue;
		any = true;
		if (info->peer >= NET_MAX_PORTS || net->port[info->peer].info.role != PORT_INLINE ||
		    (info->role == PORT_INLINE && net->port[info->peer].info.peer != info->id))
			return -EINVAL;
		if (info->role == PORT_INLINE)
			continue;
		if (!opt->kernel)
			return -EINVAL;
		net->port[info->peer].exception = (uint8_t)info->id;
		net->port[net->port[info->peer].info.peer].exception = (uint8_t)info->id;
	}
	if (!any)
		return 0;
	memcpy(flows.key, opt->hash_key, sizeof(flows.key));
	net->kernel = opt->kernel;
	net->watch = opt->watch;
	net->watch_ctx = opt->watch_ctx;
	net->cable = inline_new(&flows);
	return net->cable ? 0 : -ENOMEM;
}

static int take_options(struct net *net, const struct net_options *opt)
{
	uint16_t room = rte_pktmbuf_data_room_size(opt->tx_pool);
	int rc;

	if (!opt->n_workers || opt->n_workers > HANDOFF_MAX_WORKERS ||
	    opt->worker >= opt->n_workers || (opt->n_workers > 1 && !opt->steer))
		return -EINVAL;
	/* The smallest IPv6 path must go through one mbuf. */
	if (room < RTE_PKTMBUF_HEADROOM + NET_ETHER + NET_VLAN + NET_MIN_MTU6)
		return -EINVAL;
	net->tx_room = room - RTE_PKTMBUF_HEADROOM;
	for (unsigned int i = 0; i < opt->n_ports; i++) {
		const struct port_info *info = &opt->port[i];

		if (info->id >= NET_MAX_PORTS || net->port[info->id].used ||
		    info->n_tx_queues < opt->n_workers)
			return -EINVAL;
		net->port[info->id].used = true;
		net->port[info->id].info = *info;
		net->port[info->id].bridged =
			info->role == PORT_INLINE || info->role == PORT_EXCEPTION;
	}
	rc = pair_ports(net, opt);
	if (rc)
		return rc;
	net->cnt = opt->counters;
	net->tx_pool = opt->tx_pool;
	net->rx_pool = opt->rx_pool;
	net->rx_reserve = opt->rx_reserve;
	net->foreign = opt->foreign;
	net->foreign_ctx = opt->foreign_ctx;
	net->worker = opt->worker;
	net->n_workers = opt->n_workers;
	if (opt->n_workers > 1)
		memcpy(net->steer, opt->steer, opt->n_workers * sizeof(net->steer[0]));
	memcpy(net->hash_key, opt->hash_key, sizeof(net->hash_key));
	net->now_us = net->slice_us = opt->now_us;
	fill_budgets(net);
	return 0;
}

struct net *net_new(const struct net_options *opt)
{
	uint32_t datagrams = opt->fragments ? opt->fragments : NET_FRAGMENTS;
	struct net *net = rte_zmalloc_socket("net", sizeof(*net), RTE_CACHE_LINE_SIZE, opt->socket);
	int rc;

	if (!net) {
		errno = ENOMEM;
		return NULL;
	}
	rc = take_options(net, opt);
	if (!rc) {
		net->frag.counters = net->cnt;
		/* The table's clock is any monotonic count: ours is in microseconds. */
		net->frag.table = rte_ip_frag_table_create(rte_align32pow2(datagrams), 4, datagrams,
						     NET_FRAGMENT_US, opt->socket);
		if (!net->frag.table)
			rc = -ENOMEM;
	}
	if (rc) {
		inline_free(net->cable);
		rte_free(net);
		errno = -rc;
		return NULL;
	}
	return net;
}

void net_free(struct net *net)
{
	if (!net)
		return;
	for (unsigned int i = 0; i < NET_MAX_PORTS; i++)
		for (unsigned int k = 0; k < net->port[i].n_tx; k++)
			rte_pktmbuf_free(net->port[i].tx[k]);
	rte_ip_frag_free_death_row(&net->frag.death, 0);
	rte_ip_frag_table_destroy(net->frag.table);
	inline_free(net->cable);
	rte_free(net);
}

void net_set_tcp(struct net *net, struct tcp_stack *tcp)
{
	net->tcp = tcp;
}

static int check_listener(const struct net *net, const struct handoff_listener *l)
{
	bool ip6 = !net_is_mapped4(l->address);

	if (l->port >= NET_MAX_PORTS || !net->port[l->port].used || net->port[l->port].bridged ||
	    !l->tcp_port)
		return -EINVAL;
	if (!net_source_possible(l->address, ip6))
		return -EINVAL;
	/* 0 says nothing of the subnet. */
	if (l->prefix_len > 128 || (!ip6 && l->prefix_len && l->prefix_len < 96))
		return -EINVAL;
	return 0;
}

static struct net_address *find_address(struct net_address *list, unsigned int n, uint16_t port,
					const uint8_t ip[16])
{
	for (unsigned int i = 0; i < n; i++)
		if (list[i].port == port && memcmp(list[i].ip, ip, 16) == 0)
			return &list[i];
	return NULL;
}

static void set_subnet(struct net_address *a, uint8_t prefix)
{
	/* RFC 3021: a /31 has neither broadcast nor network address. A /0 is no subnet. */
	a->mask4 = prefix > 126 || prefix <= 96 || !net_is_mapped4(a->ip) ? 0 : ~0u << (128 - prefix);
	a->net4 = net_be32(a->ip + 12) & a->mask4;
}

int net_set_addresses(struct net *net, const struct handoff_listener *listener, unsigned int n)
{
	struct net_address fresh[HANDOFF_MAX_LISTENERS];
	uint16_t n_fresh = 0;

	if (n > HANDOFF_MAX_LISTENERS)
		return -E2BIG;
	for (unsigned int i = 0; i < n; i++)
		if (check_listener(net, &listener[i]))
			return -EINVAL;
	for (unsigned int i = 0; i < n; i++) {
		const struct handoff_listener *l = &listener[i];
		struct net_address *a;

		if (find_address(fresh, n_fresh, l->port, l->address))
			continue;
		a = find_address(net->address, net->n_address, l->port, l->address);
		if (a) {
			fresh[n_fresh] = *a;
		} else {
			fresh[n_fresh] = (struct net_address){.port = l->port,
							      .announce = NET_ANNOUNCE,
							      .announce_us = net->now_us};
			memcpy(fresh[n_fresh].ip, l->address, 16);
		}
		set_subnet(&fresh[n_fresh++], l->prefix_len ? l->prefix_len : 128);
	}
	if (n_fresh)
		memcpy(net->address, fresh, n_fresh * sizeof(fresh[0]));
	if (n)
		memcpy(net->listener, listener, n * sizeof(listener[0]));
	net->n_address = n_fresh;
	net->n_listener = (uint16_t)n;
	return 0;
}

static const struct handoff_listener *find_listener(const struct net *net, const struct tcp_tuple *tuple)
{
	for (unsigned int i = 0; i < net->n_listener; i++)
		if (net->listener[i].tcp_port == tuple->local_port &&
		    memcmp(net->listener[i].address, tuple->local, 16) == 0)
			return &net->listener[i];
	return NULL;
}

int net_listener_id(const struct net *net, const struct tcp_tuple *tuple)
{
	const struct handoff_listener *l = find_listener(net, tuple);
	const struct handoff_inline *server = l ? NULL : net_inline(net, tuple);

	return l ? l->id : server ? server->id : -1;
}

void net_set_inline(struct net *net, const struct handoff_config *c)
{
	if (net->cable)
		inline_set_config(net->cable, c);
}

void net_set_inline_state(struct net *net, bool control, bool memory)
{
	if (net->cable)
		inline_set_state(net->cable, control, memory);
}

const struct handoff_inline *net_inline(const struct net *net, const struct tcp_tuple *tuple)
{
	/* Our own address is nobody's in a cable, whatever prefix it lies in. */
	return net->cable && !find_listener(net, tuple) ? inline_listener(net->cable, tuple) : NULL;
}

bool net_listening(const struct net *net, const struct tcp_tuple *tuple)
{
	return net_listener_id(net, tuple) >= 0;
}

bool net_ours(const struct net *net, uint16_t port, const uint8_t ip[16])
{
	for (unsigned int i = 0; i < net->n_address; i++)
		if (net->address[i].port == port && memcmp(net->address[i].ip, ip, 16) == 0)
			return true;
	return false;
}

/* RFC 1122 3.2.1.3: host part of all ones or all zeros in a subnet of ours. */
static bool subnet_edge(const struct net_address *a, const uint8_t ip[16])
{
	uint32_t address = net_be32(ip + 12);

	if (!a->mask4 || (address & a->mask4) != a->net4 || !net_is_mapped4(ip))
		return false;
	return address == a->net4 || address == (a->net4 | ~a->mask4);
}

bool net_source_ours(const struct net *net, uint16_t port, const uint8_t ip[16])
{
	for (unsigned int i = 0; i < net->n_address; i++) {
		const struct net_address *a = &net->address[i];

		if (memcmp(a->ip, ip, 16) == 0 || (a->port == port && subnet_edge(a, ip)))
			return true;
	}
	return false;
}

void net_tick(struct net *net, uint64_t now_us)
{
	if (now_us <= net->now_us)
		return;
	net->now_us = now_us;
	if (now_us - net->slice_us >= NET_SLICE_US) {
		net->slice_us = now_us;
		fill_budgets(net);
		net->frag.now_us = now_us;
		net_frag_expire(&net->frag);
		if (net->cable)
			inline_set_clock(net->cable, (uint32_t)(now_us / 1000000));
	}
	if (net->worker != 0)
		return;
	for (unsigned int i = 0; i < net->n_address; i++) {
		struct net_address *a = &net->address[i];

		if (!a->announce || now_us < a->announce_us)
			continue;
		a->announce--;
		a->announce_us = now_us + NET_ANNOUNCE_US;
		net_announce(net, a);
	}
}
