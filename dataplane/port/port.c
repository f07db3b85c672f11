/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/port/port.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "dataplane/port/port_quirks.h"

#define RSS_TCP      (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP)
#define LAYER2_OCTETS (RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN) /* as ethdev adds them to an MTU */
#define RSS_ALL (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP)
#define RX_CHECKSUMS (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM)

/* What is being set up. */
struct setup {
	struct port_info *info;
	const struct port_options *opt;
	const struct port_quirk *quirk;
	uint16_t n_pools;              /* fewer than queues: they take turns; 0: one a queue */
	struct rte_eth_dev_info dev;
	struct rte_eth_conf conf;
	char *err;
	size_t err_len;
};

static int fail(const struct setup *s, int rc, const char *what)
{
	snprintf(s->err, s->err_len, "port %u (%s): %s: %s", s->info->id, s->info->driver, what,
		 strerror(-rc));
	return rc;
}

/* 0 when the driver sits on no kernel interface. */
static uint16_t kernel_mtu(unsigned int if_index)
{
	struct ifreq ifr = {0};
	uint16_t mtu = 0;
	int fd;

	if (!if_index || !if_indextoname(if_index, ifr.ifr_name))
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	if (ioctl(fd, SIOCGIFMTU, &ifr) == 0 && ifr.ifr_mtu > 0)
		mtu = ifr.ifr_mtu < UINT16_MAX ? (uint16_t)ifr.ifr_mtu : UINT16_MAX;
	close(fd);
	return mtu;
}

static int choose_queues(struct setup *s, uint16_t n_workers)
{
	struct port_info *info = s->info;

	if (!n_workers || n_workers > PORT_MAX_QUEUES)
		return fail(s, -EINVAL, "number of workers");
	info->n_queues = n_workers;
	if (info->n_queues > s->dev.max_rx_queues ||
	    (s->opt->receive_only && strcmp(info->driver, "net_pcap") == 0))
		info->n_queues = s->dev.max_rx_queues;
	if (s->opt->receive_only && s->quirk->equal_queues)
		return fail(s, -ENOTSUP, "the driver wants a transmit queue for each receive queue, "
					 "and a tap port has none");
	if (s->opt->receive_only) {
		s->n_pools = n_workers;
		return info->n_queues && info->n_queues <= PORT_MAX_QUEUES
			       ? 0 : fail(s, -ENOSPC, "number of receive queues");
	}
	info->n_tx_queues = n_workers;
	if (!info->n_queues || n_workers > s->dev.max_tx_queues)
		return fail(s, -ENOSPC, "fewer transmit queues than workers");
	if (s->quirk->equal_queues && info->n_queues != info->n_tx_queues)
		return fail(s, -ENOSPC, "fewer receive queues than workers");
	return 0;
}

static int choose_rss(struct setup *s)
{
	struct port_info *info = s->info;
	size_t len = s->dev.hash_key_size;

	/* 40 octets cover the IPv6 4-tuple. */
	info->rss = s->quirk->rss && !s->opt->no_rss && info->n_queues > 1 && len >= 40 &&
		    len <= PORT_MAX_RSS_KEY && s->dev.reta_size &&
		    s->dev.reta_size <= PORT_MAX_RETA &&
		    (s->dev.flow_type_rss_offloads & RSS_TCP) == RSS_TCP;
	if (!info->rss)
		return 0;
	if (s->opt->receive_only || s->opt->bridged)
		/* Of period 16 bits: addresses and ports may be swapped. Public, so that flows can be
		 * aimed at a worker; the tracker's own table, and that of a cable, has a secret. */
		for (size_t i = 0; i < len; i++)
			info->rss_key[i] = i % 2 ? 0x5a : 0x6d;
	/* Random: who knows the key can aim every flow at one worker. */
	else if (getrandom(info->rss_key, len, 0) != (ssize_t)len)
		return fail(s, -EIO, "getrandom");
	info->rss_key_len = (uint8_t)len;
	s->conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	s->conf.rx_adv_conf.rss_conf.rss_key = info->rss_key;
	s->conf.rx_adv_conf.rss_conf.rss_key_len = info->rss_key_len;
	/* What is only bridged has no owner, but should not all be the first worker's. */
	s->conf.rx_adv_conf.rss_conf.rss_hf =
		s->opt->bridged ? RSS_ALL & s->dev.flow_type_rss_offloads : RSS_TCP;
	return 0;
}

static void choose_offloads(struct setup *s)
{
	uint64_t rx = s->dev.rx_offload_capa, tx = s->dev.tx_offload_capa;
	struct port_info *info = s->info;

	/* Buffers shorter than a frame then come as chains; net/ takes those. */
	s->conf.rxmode.offloads = rx & RTE_ETH_RX_OFFLOAD_SCATTER;
	/* What came as a chain leaves as one. */
	if (s->opt->bridged) {
		s->conf.txmode.offloads = tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
		return;
	}
	if (s->opt->no_offloads || !s->quirk->checksums)
		return;
	info->rx_checksum = (rx & RX_CHECKSUMS) == RX_CHECKSUMS;
	s->conf.rxmode.offloads |= rx & RX_CHECKSUMS;
	info->tx_ip_checksum = (tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
	info->tx_tcp_checksum = (tx & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0;
	s->conf.txmode.offloads =
		tx & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM);
}

/* The driver's argument that bounds the frames of its ring: what is longer would come cut off. */
static uint16_t fit_frame(const struct setup *s, uint16_t mtu)
{
	const struct rte_devargs *devargs = rte_dev_devargs(s->dev.device);
	const char *at = devargs && devargs->args ? strstr(devargs->args, s->quirk->frame_arg) : NULL;
	unsigned long frame = at ? strtoul(at + strlen(s->quirk->frame_arg), NULL, 10)
				 : s->quirk->frame_default;

	if (frame > s->quirk->frame_overhead && frame - s->quirk->frame_overhead < mtu)
		mtu = (uint16_t)(frame - s->quirk->frame_overhead);
	return mtu;
}

static int choose_mtu(struct setup *s)
{
	uint16_t mtu = s->opt->mtu;

	if (!mtu && s->quirk->kernel_mtu)
		mtu = kernel_mtu(s->dev.if_index);
	if (!mtu && rte_eth_dev_get_mtu(s->info->id, &mtu))
		mtu = RTE_ETHER_MTU;
	if (mtu < s->dev.min_mtu || (s->dev.max_mtu && mtu > s->dev.max_mtu))
		return fail(s, -ERANGE, "MTU");
	if (s->quirk->frame_arg && s->opt->bridged && fit_frame(s, mtu) < mtu)
		return fail(s, -EMSGSIZE, "its framesz would cut frames off; make it the MTU and 84");
	if (s->quirk->frame_arg)
		mtu = fit_frame(s, mtu);
	s->info->mtu = s->conf.rxmode.mtu = mtu;
	if (s->quirk->any_mtu && s->dev.max_rx_pktlen > LAYER2_OCTETS &&
	    mtu > s->dev.max_rx_pktlen - LAYER2_OCTETS)
		s->conf.rxmode.mtu = s->dev.max_rx_pktlen - LAYER2_OCTETS;
	return 0;
}

static void descriptors(const struct port_options *opt, const struct port_quirk *quirk,
			uint16_t *rx, uint16_t *tx)
{
	*rx = opt->rx_desc ? opt->rx_desc : quirk->rx_desc;
	*tx = opt->tx_desc ? opt->tx_desc : quirk->tx_desc;
}

static int setup_queues(struct setup *s, struct rte_mempool *const rx_pools[])
{
	struct port_info *info = s->info;
	struct rte_eth_rxconf rx = s->dev.default_rxconf;
	struct rte_eth_txconf tx = s->dev.default_txconf;
	int rc;

	descriptors(s->opt, s->quirk, &info->rx_desc, &info->tx_desc);
	rc = rte_eth_dev_adjust_nb_rx_tx_desc(info->id, &info->rx_desc, &info->tx_desc);
	if (rc)
		return fail(s, rc, "number of descriptors");
	rx.offloads = s->conf.rxmode.offloads;
	tx.offloads = s->conf.txmode.offloads;
	for (uint16_t q = 0; q < info->n_queues; q++) {
		rc = rte_eth_rx_queue_setup(info->id, q, info->rx_desc, (unsigned int)info->socket,
					    &rx, rx_pools[s->n_pools ? q % s->n_pools : q]);
		if (rc)
			return fail(s, rc,
				    "receive queue (are the buffers as long as its frames?)");
	}
	for (uint16_t q = 0; q < info->n_tx_queues; q++) {
		rc = rte_eth_tx_queue_setup(info->id, q, info->tx_desc, (unsigned int)info->socket,
					    &tx);
		if (rc)
			return fail(s, rc, "transmit queue");
	}
	return 0;
}

/* What the driver really hashes by. Without a readable table its choice cannot be followed. */
static void read_rss(struct port_info *info, uint16_t n_workers)
{
	struct rte_eth_rss_reta_entry64 reta[PORT_MAX_RETA / RTE_ETH_RETA_GROUP_SIZE] = {0};
	struct rte_eth_rss_conf conf = {.rss_key = info->rss_key, .rss_key_len = info->rss_key_len};
	struct rte_eth_dev_info dev;

	info->rss = false;
	if (rte_eth_dev_info_get(info->id, &dev) || dev.reta_size > PORT_MAX_RETA ||
	    !dev.reta_size || (dev.reta_size & (dev.reta_size - 1)) ||
	    dev.reta_size % RTE_ETH_RETA_GROUP_SIZE)
		return;
	for (uint16_t i = 0; i < dev.reta_size / RTE_ETH_RETA_GROUP_SIZE; i++)
		reta[i].mask = UINT64_MAX;
	if (rte_eth_dev_rss_reta_query(info->id, reta, dev.reta_size) ||
	    rte_eth_dev_rss_hash_conf_get(info->id, &conf) || (conf.rss_hf & RSS_TCP) != RSS_TCP)
		return;
	for (uint16_t i = 0; i < dev.reta_size; i++) {
		uint16_t q = reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];

		if (q >= n_workers)
			return;
		info->reta[i] = (uint8_t)q;
	}
	info->reta_size = dev.reta_size;
	info->rss = true;
}

static int listen_to_groups(struct setup *s)
{
	struct port_info *info = s->info;
	int rc;

	/* A driver may have one switch without the other; promiscuous mode takes groups in as well. */
	if (s->opt->bridged)
		(void)rte_eth_allmulticast_enable(info->id);
	/* Neighbour solicitations come to group addresses (RFC 4861 7.2.2). */
	if (!s->quirk->promiscuous && !s->opt->promiscuous && !s->opt->receive_only && !s->opt->bridged &&
	    rte_eth_allmulticast_enable(info->id) == 0)
		return 0;
	rc = rte_eth_promiscuous_enable(info->id);
	info->promiscuous = rc == 0;
	/* A driver that has no such switch has no such filter either. */
	return rc && rc != -ENOTSUP ? fail(s, rc, "promiscuous mode") : 0;
}

static bool is_capture(const struct setup *s)
{
	const struct rte_devargs *devargs = rte_dev_devargs(s->dev.device);

	return strcmp(s->info->driver, "net_pcap") == 0 && devargs && devargs->args &&
	       strstr(devargs->args, "rx_pcap=") && !strstr(devargs->args, "infinite_rx=1");
}

static int identify(struct setup *s)
{
	struct port_info *info = s->info;
	struct rte_ether_addr mac;
	int rc = rte_eth_dev_info_get(info->id, &s->dev);

	if (rc)
		return fail(s, rc, "no such port");
	snprintf(info->driver, sizeof(info->driver), "%s", s->dev.driver_name);
	if (rte_eth_dev_get_name_by_port(info->id, info->name))
		info->name[0] = 0;
	info->socket = rte_eth_dev_socket_id(info->id);
	s->quirk = port_quirk(info->driver);
	info->receive_only = s->opt->receive_only;
	info->capture = info->receive_only && is_capture(s);
	info->if_index = s->quirk->kernel_mtu ? s->dev.if_index : 0;
	rc = rte_eth_macaddr_get(info->id, &mac);
	if (rc)
		return fail(s, rc, "MAC address");
	memcpy(info->mac, mac.addr_bytes, 6);
	return 0;
}

static int configure(struct setup *s, uint16_t n_workers)
{
	int rc = identify(s);

	if (!rc)
		rc = choose_queues(s, n_workers);
	if (!rc)
		rc = choose_rss(s);
	if (!rc)
		rc = choose_mtu(s);
	if (rc)
		return rc;
	choose_offloads(s);
	rc = rte_eth_dev_configure(s->info->id, s->info->n_queues, s->info->n_tx_queues, &s->conf);
	return rc ? fail(s, rc, "configure") : 0;
}

int port_init(uint16_t port_id, uint16_t n_workers, struct rte_mempool *const rx_pools[],
	      const struct port_options *opt, struct port_info *info, char *err, size_t err_len)
{
	static const struct port_options defaults;
	struct setup s = {
		.info = info, .opt = opt ? opt : &defaults, .err = err, .err_len = err_len};
	int rc;

	_Static_assert(sizeof(info->name) >= RTE_ETH_NAME_MAX_LEN, "device name");
	memset(info, 0, sizeof(*info));
	info->id = port_id;
	rc = configure(&s, n_workers);
	if (!rc)
		rc = setup_queues(&s, rx_pools);
	if (rc)
		return rc;
	rc = rte_eth_dev_start(port_id);
	if (rc)
		return fail(&s, rc, "start");
	if (info->rss)
		read_rss(info, n_workers);
	rc = listen_to_groups(&s);
	if (rc)
		rte_eth_dev_stop(port_id);
	return rc;
}

void port_pair_rss(struct port_info *a, struct port_info *b)
{
	bool same = a->rss && b->rss && a->reta_size == b->reta_size &&
		    a->rss_key_len == b->rss_key_len &&
		    !memcmp(a->rss_key, b->rss_key, a->rss_key_len) &&
		    !memcmp(a->reta, b->reta, a->reta_size);

	for (size_t i = 2; same && i < a->rss_key_len; i++)
		same = a->rss_key[i] == a->rss_key[i - 2];
	a->rss = b->rss = same;
}

void port_close(struct port_info *info)
{
	rte_eth_dev_stop(info->id);
	rte_eth_dev_close(info->id);
}

int port_set_link(const struct port_info *info, bool up)
{
	return up ? rte_eth_dev_set_link_up(info->id) : rte_eth_dev_set_link_down(info->id);
}

bool port_link_up(const struct port_info *info)
{
	struct rte_eth_link link = {0};
	struct ifreq ifr = {0};
	int fd, rc;

	/* What sits on a kernel interface says of itself that it is up. */
	if (info->if_index && if_indextoname(info->if_index, ifr.ifr_name)) {
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		rc = fd < 0 ? -1 : ioctl(fd, SIOCGIFFLAGS, &ifr);
		if (fd >= 0)
			close(fd);
		if (rc == 0)
			return (ifr.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
	}
	return rte_eth_link_get_nowait(info->id, &link) == 0 && link.link_status;
}

static uint32_t mbufs(uint16_t port_id, uint16_t n_workers, const struct port_options *opt, bool tx)
{
	static const struct port_options defaults;
	struct rte_eth_dev_info dev;
	uint16_t n_rx = 0, n_tx = 0;

	if (rte_eth_dev_info_get(port_id, &dev))
		return 0;
	descriptors(opt ? opt : &defaults, port_quirk(dev.driver_name), &n_rx, &n_tx);
	if (rte_eth_dev_adjust_nb_rx_tx_desc(port_id, &n_rx, &n_tx))
		return 0;
	if (!tx && n_workers > dev.max_rx_queues)
		n_workers = dev.max_rx_queues;
	return (uint32_t)(tx ? n_tx : n_rx) * n_workers;
}

uint32_t port_rx_mbufs(uint16_t port_id, uint16_t n_workers, const struct port_options *opt)
{
	return mbufs(port_id, n_workers, opt, false);
}

uint32_t port_tx_mbufs(uint16_t port_id, uint16_t n_workers, const struct port_options *opt)
{
	return mbufs(port_id, n_workers, opt, true);
}
