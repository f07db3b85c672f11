/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Frames through the parsing core of net/. The first octet says whether the IPv4 header checksum is
 * verified and whether the frame is one of a mirror; the rest is a frame. What the parser says must lie in the frame.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/net/net_cksum.h"
#include "dataplane/net/net_parse.h"
#include "dataplane/tap/tap_decap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void check(const struct net_head *h, size_t total)
{
	require(h->l3 >= NET_ETHER && h->l4 >= h->l3 && h->l4 <= h->end && h->end <= total);
	if (h->kind == NET_KIND_TCP) {
		require(h->tcp_header >= NET_TCP && h->tcp_header <= 60);
		require(h->l4 + h->tcp_header <= h->end && h->l4 + h->tcp_header <=
								  (h->watched ? NET_HEAD_TAP : NET_HEAD));
	}
	if (h->kind == NET_KIND_ARP)
		return;
	require(h->watched || h->ip6 || net_source_possible(h->tuple.remote, false));
	require(!h->ip6 || !net_is_mapped4(h->tuple.remote));
	require(!h->ip6 || !net_is_mapped4(h->tuple.local));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_head h;
	size_t n, len, most;
	uint8_t *head;
	bool tap;

	if (size < 1)
		return 0;
	tap = data[0] & 2;
	most = tap ? NET_HEAD_TAP : NET_HEAD;
	/* The caller gives the parser no more than so many octets: a read past them is to be seen. */
	n = size - 1 < most ? size - 1 : most;
	head = malloc(n ? n : 1);
	if (!head)
		return 0;
	memcpy(head, data + 1, n);
	if (tap ? net_parse_tap(head, n, size - 1, data[0] & 1, &h)
		: net_parse(head, n, size - 1, data[0] & 1, &h)) {
		const uint8_t *p = head + h.l4;
		struct net_solicit ns;
		struct net_quote q;
		struct net_arp arp;

		check(&h, size - 1);
		len = h.l4 < n ? (h.end < n ? h.end : n) - h.l4 : 0;
		if (h.kind == NET_KIND_ARP)
			net_parse_arp(p, len, &arp);
		if (h.kind == NET_KIND_ICMP6)
			net_parse_solicit(p, len, h.ttl, h.tuple.remote, h.tuple.local, &ns);
		if (h.kind == NET_KIND_ICMP || h.kind == NET_KIND_ICMP6) {
			if (net_parse_icmp_error(p, len, h.ip6, &q))
				require(!h.ip6 || q.mtu == 0 || q.mtu >= NET_MIN_MTU6);
		}
		if (h.kind == NET_KIND_TUNNEL) {
			size_t k = len < TAP_DECAP_HEAD ? len : TAP_DECAP_HEAD;
			uint8_t *outer = malloc(k ? k : 1);
			struct tap_inner in;

			if (outer) {
				memcpy(outer, p, k);
				if (tap_decap(outer, k, h.proto, &in))
					require(in.off < k);
			}
			free(outer);
		}
		require(net_cksum_fold(net_cksum_add(0, p, len)) == net_cksum_fold(net_cksum_sum(p, len)));
	} else {
		require(h.kind == NET_KIND_DROP && h.drop != 0);
	}
	free(head);
	return 0;
}
