/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* `posternctl doctor --verify`: where what the cloud stamped on a message and our own record of it
 * part, and what that means. No DNS is asked. */

#include "control/cli/arrived.h"
#include "control/cli/findings.h"
#include "control/config/config.h"

struct verify {
	struct arrived_names names;
	const struct ip_range *egress; /* n_egress 0: not known */
	size_t n_egress;
	const struct origin_relays *relays;
	char *const *domain; /* of the route, as in struct config_route */
	size_t n_domains;
	bool sealing; /* the route seals */
};

struct verify_result {
	struct findings findings;
	bool has_entry, drifted; /* drifted: the sender that was judged is not the one we found */
	struct ip_addr entry;    /* who handed it to the cloud */
};

/* result: zeroed by the caller, who frees its findings. 0 or -ENOMEM. */
int verify_message(const struct verify *v, const struct headers *h, struct verify_result *result);

/* verify_verdicts.c: filters that were passed by, results, verdicts. passed: it came through this
 * gateway, so that a->own and a->record are ours. */
void verify_verdicts(struct findings *f, const struct verify *v, const struct arrived *a,
		     bool passed, bool drifted);
bool ip_listed(const struct ip_addr *ip, const struct ip_range *range, size_t n);
