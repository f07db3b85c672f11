/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Is this message on its way round? Its Received fields say where it has been. That it was here once
 * means little: a mailbox forwards to another one here, a cloud sends mail out to a service and takes it
 * in again. That it was here twice is a loop (RFC 5321 6.3).
 *
 * Once is enough if the other time is not over: we still wait for the reply of the next hop to which we
 * gave it, for the same recipients. Whoever forwards or sends again has taken it before. Only next hops
 * that wait as we do, other gateways of this kind, bring it back meanwhile, and to give it to the same
 * next hop once more would bring it back once more.
 */

#include "control/origin/origin.h"
#include "postern/limits.h"

bool origin_is_loop(const struct headers *h, struct str own, bool shared, origin_in_hand *in_hand, void *arg)
{
	uint8_t scratch[4096];
	unsigned int seen = 0;
	size_t n = 0;

	for (size_t i = 0; (i = headers_find(h, STR("received"), i)) < h->n; i++) {
		struct received r;
		const char *why;

		if (++n > LIMIT_RECEIVED_HOPS)
			return true;
		if (received_parse_strict(header_value(h, i), scratch, sizeof(scratch), &r, &why) ||
		    !str_ieq(r.by, own))
			continue;
		/* Asked of one only: the next one decides by being there. */
		if ((++seen > 1 && !shared) || (in_hand && in_hand(arg, r.id)))
			return true;
	}
	return false;
}

bool origin_was_at(const struct headers *h, struct str own)
{
	uint8_t scratch[4096];
	size_t n = 0;

	for (size_t i = 0; (i = headers_find(h, STR("received"), i)) < h->n && n < LIMIT_RECEIVED_HOPS; i++, n++) {
		struct received r;
		const char *why;

		if (!received_parse_strict(header_value(h, i), scratch, sizeof(scratch), &r, &why) &&
		    str_ieq(r.by, own))
			return true;
	}
	return false;
}
