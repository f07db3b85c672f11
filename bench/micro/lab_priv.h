/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Between lab.c and lab_packet.c. */

#include <stdint.h>

struct rte_mempool;
struct rte_ring;

extern struct rte_mempool *lab_rx_pool;
extern struct rte_ring *lab_to_port;
extern const uint8_t lab_our_mac[6], lab_peer_mac[6], lab_our_ip[4];

/* Payload into every mbuf of the pool: making a packet writes its headers only. */
void lab_fill_pool(void);
/* A frame that left: lab.sent() with its TCP header and flow. */
void lab_frame_sent(const uint8_t *frame);
