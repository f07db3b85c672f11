/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Mirror feeds that come in a tunnel: GRE (RFC 2784, 2890), ERSPAN types I to III, VXLAN (RFC
 * 7348). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAP_DECAP_HEAD 64 /* octets that are looked at, at most */

struct tap_inner {
	uint16_t off;  /* from p to what is inside */
	uint16_t type; /* 0: an Ethernet frame; else the EtherType of a packet without one */
};

/*
 * p[0..n): the payload of an outer IP packet, as far as it is contiguous, of protocol `proto`; n
 * may be cut at TAP_DECAP_HEAD. False: no tunnel of these, or malformed.
 */
bool tap_decap(const uint8_t *p, size_t n, uint8_t proto, struct tap_inner *out);
