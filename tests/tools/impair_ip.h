/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What impair needs to know of IP: cutting datagrams into fragments, and refusing long ones. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ip_cut {
	IP_CUT_NONE,    /* as it should be */
	IP_CUT_OVERLAP, /* the second piece begins 8 octets early, with other octets there */
};

/*
 * Emits the TCP datagram of this untagged Ethernet frame in pieces of at most `mtu` octets of layer
 * 3, DF or not. False: nothing emitted, it is short enough or not TCP over IPv4 or IPv6.
 */
bool ip_fragment(const uint8_t *frame, size_t n, size_t mtu, uint32_t id, enum ip_cut how,
		 void (*emit)(void *arg, const uint8_t *frame, size_t n), void *arg);

/* Does the IP datagram of this frame exceed mtu, and may it not be fragmented on its way? */
bool ip_too_big(const uint8_t *frame, size_t n, size_t mtu);
/* The ICMP "fragmentation needed" or ICMPv6 "packet too big" that answers it; its length. */
size_t ip_refuse(const uint8_t *frame, size_t n, size_t mtu, uint8_t *out, size_t cap);
