/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>

#include "dataplane/port/port.h"

/* Device names come from the command line: what JSON cannot hold becomes an underscore. */
static void plain(char *out, size_t n, const char *in)
{
	size_t i;

	for (i = 0; in[i] && i + 1 < n; i++)
		out[i] = in[i] < ' ' || in[i] > '~' || in[i] == '"' || in[i] == '\\' ? '_' : in[i];
	out[i] = 0;
}

static const char *boolean(bool b)
{
	return b ? "true" : "false";
}

static const char *const role[] = {[PORT_GATEWAY] = "gateway",
				   [PORT_INLINE] = "inline",
				   [PORT_TAP] = "tap",
				   [PORT_EXCEPTION] = "exception"};

int port_describe(const struct port_info *info, char *out, size_t n)
{
	struct rte_eth_stats st = {0};
	struct rte_eth_link link = {0};
	char name[sizeof(info->name)], driver[sizeof(info->driver)], pair[24] = "";
	int len;

	plain(name, sizeof(name), info->name);
	plain(driver, sizeof(driver), info->driver);
	(void)rte_eth_link_get_nowait(info->id, &link);
	rte_eth_stats_get(info->id, &st);
	if (info->role == PORT_INLINE || info->role == PORT_EXCEPTION)
		snprintf(pair, sizeof(pair), ",\"%s\":%u",
			 info->role == PORT_INLINE ? "pair" : "servers", info->peer);
	len = snprintf(
		out, n,
		"{\"id\":%u,\"role\":\"%s\"%s,\"name\":\"%s\",\"driver\":\"%s\","
		"\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"link\":%s,\"speed_mbps\":%" PRIu32
		",\"mtu\":%u,\"socket\":%d,\"rx_queues\":%u,\"tx_queues\":%u,"
		"\"rx_desc\":%u,\"tx_desc\":%u,\"rss\":%s,\"rx_checksum\":%s,"
		"\"tx_ip_checksum\":%s,\"tx_tcp_checksum\":%s,\"promiscuous\":%s,"
		"\"rx_packets\":%" PRIu64 ",\"rx_bytes\":%" PRIu64 ",\"tx_packets\":%" PRIu64
		",\"tx_bytes\":%" PRIu64 ",\"rx_missed\":%" PRIu64 ",\"rx_no_mbuf\":%" PRIu64
		",\"rx_errors\":%" PRIu64 ",\"tx_errors\":%" PRIu64 "}",
		info->id, role[info->role], pair, name, driver, info->mac[0], info->mac[1], info->mac[2], info->mac[3],
		info->mac[4], info->mac[5], boolean(port_link_up(info)),
		link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed, info->mtu,
		info->socket, info->n_queues, info->n_tx_queues, info->rx_desc, info->tx_desc,
		boolean(info->rss), boolean(info->rx_checksum), boolean(info->tx_ip_checksum),
		boolean(info->tx_tcp_checksum), boolean(info->promiscuous), st.ipackets, st.ibytes,
		st.opackets, st.obytes, st.imissed, st.rx_nombuf, st.ierrors, st.oerrors);
	return len >= 0 && (size_t)len < n ? len : -ENOSPC;
}
