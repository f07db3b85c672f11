/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The whole proof: every signature that passed on arrival (DKIM-Signature, ARC-Message-Signature,
 * ARC-Seal) is verified again over the message as it leaves. One that does not pass any more must
 * be among those that h= foretold (control/annotate/conflicts.h); else we broke it. Keys are asked
 * for again, from the cache as a rule. A key that has gone or changed in between is not our doing:
 * the octets that such a signature covers are compared, and it counts as unsettled if they are the
 * same.
 */

#include "control/annotate/annotate.h"
#include "control/dns/dns.h"

struct reverify_request {
	struct dns *dns;
	struct event_base *base;
	int64_t now;                   /* seconds since the epoch, as on arrival */
	const struct headers *headers; /* of the original */
	const uint8_t *drop;
	const struct mail_bytes *content;
	struct annotate_signatures sigs;
	const struct annotate_output *out;
};

struct reverify_result {
	bool done;
	unsigned int checked;   /* signatures that had passed */
	unsigned int voided;    /* do not pass any more, as foretold */
	unsigned int broken;    /* do not pass any more, and nothing foretold it */
	unsigned int unsettled; /* not verified for want of the key; what they sign is unchanged */
	char text[360];         /* of the first broken one: which, and how it failed; "" for none */
};

struct event_base;
struct reverify;
typedef void reverify_callback(void *arg, const struct reverify_result *result);

/* Everything in the request stays valid until the callback or the free. The callback never runs
 * inside this call. NULL: -ENOMEM. */
struct reverify *reverify_start(const struct reverify_request *req, reverify_callback *cb,
				void *arg);
/* Before the callback it cancels. */
void reverify_free(struct reverify *v);
