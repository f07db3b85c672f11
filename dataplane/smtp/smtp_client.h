/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Whose connection this is. The TCP peer, unless the trust list of the configuration lets that peer
 * name another: by a PROXY header in front of everything, or by XCLIENT. Trust is of the TCP peer,
 * never of a client it named.
 */

#include <stdint.h>

struct smtp_client {
	uint8_t peer[16];    /* IPv4 mapped */
	uint8_t local[16];   /* the address it connected to */
	uint16_t peer_port;
	uint16_t local_port;
	uint8_t via;         /* enum handoff_via */
};
