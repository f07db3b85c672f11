/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What a driver is like, beyond what it says of itself. */
struct port_quirk {
	const char *driver;   /* as in rte_eth_dev_info.driver_name; NULL: all others */
	uint16_t rx_desc, tx_desc;
	bool promiscuous;     /* group addresses do not arrive otherwise */
	bool rss;             /* its RSS, if it offers one, keeps a flow on a queue */
	bool checksums;       /* its checksum offloads are done in hardware or by the peer */
	bool equal_queues;    /* as many TX as RX queues, or it does not start */
	bool kernel_mtu;      /* the MTU is that of a kernel interface */
	bool any_mtu;         /* what it says of the largest frame is not true */
	const char *frame_arg; /* device argument with the size of a frame's slot, overhead included */
	uint16_t frame_default, frame_overhead;
};

/* Never NULL. */
const struct port_quirk *port_quirk(const char *driver);
