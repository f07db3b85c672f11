/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Which frames of a cable are looked at. No DPDK: hostile octets reach this first, so it is fuzzed
 * alone. p[0..n) is the contiguous begin of a frame, n >= min(its length, NET_HEAD).
 */

#include "dataplane/inline/inline.h"
#include "dataplane/net/net_parse.h"

/*
 * False: the frame passes, as most do; a few octets tell. True of every TCP segment to or from a
 * port that some server has, of ICMP, and of what may hide one of these, in a frame to one MAC.
 */
bool net_look_wanted(const struct inline_worker *cable, const uint8_t *p, uint32_t n);

/*
 * Of a frame that net_parse() refused (h says why): could another stack take it for a segment to a
 * server that is terminated? Source routes, headers past our bounds. What no stack takes may pass.
 */
bool net_look_dubious(const struct inline_worker *cable, const uint8_t *p, uint32_t n,
		      const struct net_head *h);
