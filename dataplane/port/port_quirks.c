/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "dataplane/port/port_quirks.h"

#include <stddef.h>
#include <string.h>

static const struct port_quirk quirks[] = {
	/* Fan-out hashes fragments and tags apart and rolls flows over under load. The kernel's
	 * filter of group addresses does not know of ours. */
	{.driver = "net_af_packet",
	 .rx_desc = 256,
	 .tx_desc = 256,
	 .promiscuous = true,
	 .kernel_mtu = true,
	 .any_mtu = true,
	 .frame_arg = "framesz=",
	 .frame_default = 2048,
	 /* packet(7), TPACKET_V2: its header, an address, alignment; and a tag of ours. */
	 .frame_overhead = 84},
	{.driver = "net_af_xdp",
	 .rx_desc = 1024,
	 .tx_desc = 1024,
	 .promiscuous = true,
	 .kernel_mtu = true},
	/* Checksums would be computed in its own software, after a copy into another mbuf. Its RSS
	 * is a BPF program over tc with a key of its own. */
	{.driver = "net_tap",
	 .rx_desc = 256,
	 .tx_desc = 256,
	 .promiscuous = true,
	 .any_mtu = true,
	 .equal_queues = true},
	/* The descriptor number is the ring's size; the peer spreads as it likes. */
	{.driver = "net_memif", .rx_desc = 1024, .tx_desc = 1024},
	{.driver = "net_pcap", .rx_desc = 256, .tx_desc = 256},
	{.driver = "net_ring", .rx_desc = 256, .tx_desc = 256},
	{.driver = "net_null", .rx_desc = 256, .tx_desc = 256},
	{.driver = "net_vhost", .rx_desc = 256, .tx_desc = 256, .checksums = true},
	/* What the host calls a hash need not be Toeplitz with our key. */
	{.driver = "net_virtio", .rx_desc = 256, .tx_desc = 256, .checksums = true},
	{.driver = "net_virtio_user",
	 .rx_desc = 256,
	 .tx_desc = 256,
	 .checksums = true,
	 .equal_queues = true},
};

static const struct port_quirk others = {
	.rx_desc = 1024, .tx_desc = 1024, .rss = true, .checksums = true};

const struct port_quirk *port_quirk(const char *driver)
{
	for (size_t i = 0; driver && i < sizeof(quirks) / sizeof(quirks[0]); i++)
		if (strcmp(quirks[i].driver, driver) == 0)
			return &quirks[i];
	return &others;
}
