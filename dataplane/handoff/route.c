/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What the messages of one route may have of a slice: share : (100 - share) of what is free of it at
 * the time. Control names route and share with the first recipient that it accepts; it refuses
 * recipients by the same rule (control/deliver/load.h), but does not know what comes until it is here.
 *
 * A share of what is free, not of the whole: of any number of routes that take what they can none
 * comes to more than another, and something is always left for one that has nothing. As with sources
 * the oldest flow of all goes on whatever it is of, so that something always completes.
 */

#include "dataplane/handoff/internal.h"

void dp_msg_set_route(struct dp_worker *w, struct dp_msg *m, uint16_t route, uint8_t share)
{
	if (!m->open || m->in_data || route >= HANDOFF_MAX_ROUTES)
		return;
	w->use[m->record].route = route;
	m->route_share = share;
}

uint32_t dp_route_left(const struct dp_worker *w, const struct dp_msg *m, uint32_t unclaimed)
{
	uint32_t route = w->use[m->record].route;
	uint64_t share = m->route_share, may, has;

	if (!route || !share || share >= 100)
		return UINT32_MAX;
	/* Those that are free now and are taken next count no longer as free. */
	may = share * unclaimed;
	has = (uint64_t)w->route_chunks[route] * (100 - share);
	/* What is reserved for m is in the chunks of its route already. */
	return (uint32_t)(may > has ? (may - has) / 100 : 0) + m->reserved;
}

bool dp_route_may_begin(struct dp_worker *w, const struct dp_msg *m, uint32_t unclaimed)
{
	if (dp_route_left(w, m, unclaimed) || !w->route_chunks[w->use[m->record].route])
		return true;
	dp_count(w->counters, CNT_arena_route_refused, 1);
	return false;
}
