/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The hops of a message as the text that SpamAssassin's rules look at (X-Spam-Relays-Trusted and its
 * kin), from the top, one block a hop:
 *
 *   [ ip=192.0.2.1 rdns=mx.example.net helo=mx by=us.example.com ident= envfrom=a@example.org
 *     intl=0 id=X auth= msa=0 ]
 *
 * (on one line). Trusted and internal are the hops of the trust walk that belong to a listed relay;
 * untrusted and external are the first that does not, and what it and those below wrote.
 */

#include "control/origin/origin.h"

#define RELAYS_HOPS 64u

struct relays_text {
	char *trusted, *untrusted;  /* owned; "" if there are none */
	/* Fields above end_trusted are a relay's, with the Received that names the first hop that is none;
	 * from first_untrusted on they are a stranger's, with that same line, as SpamAssassin has it. */
	size_t end_trusted, first_untrusted;
};

/* own: our name, which took the message from hop 0. rdns: of the peer, as looked up, or empty.
 * 0 or -ENOMEM. */
int relays_make(const struct origin *o, const struct mail_envelope *env, const struct headers *h,
		struct str own, struct str rdns, struct relays_text *out);
void relays_free(struct relays_text *r);
