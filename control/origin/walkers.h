/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * How the other side finds the sender of a message that a gateway handed to it: models of the next
 * hops' own walks over Received, for tests, `simulate` and `explain`. Nothing here decides anything
 * in the daemon: that is origin_walk(). The clouds' grammars are not documented; the models read
 * with the lenient reader and pass over what it cannot read, which is the most that a forger could
 * hope for.
 */

#include "control/origin/origin.h"

enum walker_kind {
	WALKER_EXCHANGE,       /* enhanced filtering for connectors ("skip listing") */
	WALKER_GMAIL,          /* inbound gateway */
	WALKER_SPAMASSASSIN,   /* trusted_networks; authenticated hops extend the trust */
	WALKER_RSPAMD,         /* external_relay by ip_map; the PTR is taken for the HELO */
	WALKER_FIRST_RECEIVED, /* the address in the topmost field */
	WALKER_LAST_PUBLIC,    /* the lowest public address: what any sender can write himself */
};
/* "exchange" "gmail" "spamassassin" "rspamd" "first-received" "last-public" */
const char *walker_kind_name(enum walker_kind kind);
bool walker_kind_parse(struct str name, enum walker_kind *out);

struct walker_setting {
	enum walker_kind kind;
	bool on;                       /* false: the other side believes who connects to it */
	const struct ip_range *listed; /* skip list, gateway list, trusted networks, ip_map */
	size_t n_listed;
	bool skip_last;    /* Exchange: "skip the last address" in place of the list */
	bool keep_private; /* Gmail: "detect external IP" is off */
};

/* Where the walk begins. */
struct walker_start {
	bool has_peer; /* who connects to the other side; else the first field says it */
	struct ip_addr peer;
	struct str peer_helo;
	size_t field; /* Received fields above this one are not looked at */
};

struct walker_hop {
	bool has_ip;        /* false: a line that is no hop */
	bool authenticated; /* the line says so */
	struct ip_addr ip;
	char helo[256], rdns[256], by[256]; /* printable, or "" */
	long field;                         /* of the message; -1: who connected */
	char note[160];
};

struct walker_view {
	bool found; /* false: every hop was passed over, and `ip` is who connected; with
		       n_hops == 0 there is not even that */
	struct ip_addr ip;
	char helo[256];
	long field;
	struct walker_hop hop[ORIGIN_MAX_HOPS]; /* top to bottom, to where the walk ended */
	size_t n_hops;
};

void walker_run(const struct walker_setting *set, const struct walker_start *start,
		const struct headers *h, struct walker_view *out);
/* Every hop that the message tells of, without choosing one. */
void walker_hops(const struct walker_start *start, const struct headers *h,
		 struct walker_view *out);
