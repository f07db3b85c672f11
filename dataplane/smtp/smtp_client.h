/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Whose connection this is. The TCP peer, unless the trust list of the configuration lets that peer
 * name another: by a PROXY header in front of everything, or by XCLIENT. Trust is of the TCP peer,
 * never of a client it named.
 */

#include <stdint.h>

#include "postern/limits.h"

struct smtp_client {
	uint8_t peer[16];    /* IPv4 mapped */
	uint8_t local[16];   /* the address it connected to */
	uint16_t peer_port;
	uint16_t local_port;
	uint8_t via;         /* enum handoff_via */
	uint8_t tlv_cut;     /* 1: more TLVs were sent than tlv[] holds */
	uint16_t tlv_len;
	uint8_t tlv[LIMIT_PROXY_TLV_KEPT]; /* of its PROXY header, as they came */
};
