/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A cable that is broken on one side is broken on the other: whoever has a second way must see it.
 * Takes the other end down while one end has no link. Which is told by time and by two link states
 * alone, so that it is tested without devices; the caller reads and sets them, on the main lcore.
 *
 * An end that we took down has no state of its own to be seen. When it comes up again its partner
 * needs a while to notice, in which it is not yet missed: PORT_MIRROR_MS.
 */

#include <stdbool.h>
#include <stdint.h>

#define PORT_MIRROR_MS 5000 /* ours: auto-negotiation of copper takes two to four seconds */

enum port_mirror_do { MIRROR_NOTHING, MIRROR_DOWN, MIRROR_UP };

struct port_mirror {
	bool forced[2];        /* we took this end down */
	uint64_t missed_at[2]; /* not missed before that time */
};

void port_mirror_init(struct port_mirror *m, uint64_t now_ms);
/* What is to be done with each end, where `up` is its link. */
void port_mirror_step(struct port_mirror *m, const bool up[2], uint64_t now_ms,
		      enum port_mirror_do todo[2]);
