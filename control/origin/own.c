/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Is this message on its way round? Its Received fields say where it has been. That it was here once
 * means little: a mailbox of one of our domains forwards to another. That it was here for the same
 * recipient, or twice, is a loop (RFC 5321 6.3).
 */

#include "control/origin/origin.h"
#include "postern/limits.h"

static bool same_mailbox(struct str a, struct str b)
{
	struct str x = mailbox_local(a), y = mailbox_local(b);

	return str_eq(x, y) && mailbox_domain(a).n && str_ieq(mailbox_domain(a), mailbox_domain(b));
}

bool origin_is_loop(const struct headers *h, struct str own, const struct str *rcpt, size_t n_rcpts)
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
		/* "for" stands there only where the recipient was alone. */
		if (++seen > 1 || (n_rcpts == 1 && r.for_addr.n && same_mailbox(r.for_addr, rcpt[0])))
			return true;
	}
	return false;
}
