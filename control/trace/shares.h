/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What becomes of mail, by the way that it goes: route, our address that the client connected to, and our
 * address that the next hop saw, each of IPv4 or IPv6. Ways of one route carry the same mixture of mail,
 * so they should fare alike. One that does not (an egress address with a bad name, one that is missing in a
 * skip list, a listener only half of whose senders are known) is what "only some of it goes to Junk" looks
 * like from here.
 */

#include <jansson.h>
#include <stdint.h>

#include "control/trace/index.h"

#define SHARES_SAMPLES 50        /* of a way, and of the others together, before they are compared */
#define SHARES_DIFFERENCE 0.05   /* least difference of two shares that is told */
#define SHARES_SIGMA 4.0         /* how unlikely it must be by chance: 1 in 16,000 */

/* *out: {since, ways[{route, listener, listener_family, egress, egress_family, messages, outcomes{}}],
 * findings[{route, listener, egress, outcome, share, others, messages, text}]}. 0 or
 * -errno. New reference in any case. */
int shares_of(struct trace_index *x, int64_t since_ms, json_t **out);
