/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A message out of a mailbox of Exchange Online or Gmail: what that side stamped on it, and what
 * this gateway had written before it was handed over. Nothing in it is to be trusted but by its
 * place: what the cloud's front door wrote stands above the next Received below its own, or is
 * Exchange's and there once only.
 */

#include "control/cli/message.h"
#include "control/cli/told.h"

enum arrived_side { ARRIVED_EXCHANGE, ARRIVED_GMAIL };
/* "Exchange Online", "Gmail" */
const char *arrived_side_name(enum arrived_side side);

/* How this gateway names itself in what it writes. */
struct arrived_names {
	enum arrived_side side;
	const char *hostname; /* "by" of Received */
	const char *authserv_id;
	const char *prefix; /* "X-Postern" */
};

/* "ip=[192.0.2.1];domain=HELO" and its like. Texts are printable ASCII. */
struct arrived_stamp {
	unsigned int copies; /* more than one: nobody knows which one is Exchange's, none is read */
	bool has_ip;
	struct ip_addr ip;
	char helo[256];
};

/* X-Forefront-Antispam-Report. */
struct arrived_report {
	unsigned int copies;
	bool has_ip, has_scl;
	int scl;           /* -1: not filtered; 5 and more: spam */
	struct ip_addr ip; /* CIP */
	char helo[256], ptr[256];
	char cat[16], sfv[16], ipv[16], sfty[16];
};

/* X-Postern-Original-Sender, -Score, -Verdict between the front door's Received and ours. */
struct arrived_record {
	bool has_ip;
	struct ip_addr ip;
	char helo[800], ptr[256], via[256]; /* helo percent-encoded, as it is written */
	char score[16], verdict[512];
};

struct arrived {
	struct told_list told;
	struct walker_view hops;
	long entry;                  /* index in hops of the front door's line; -1: there is none */
	long ours;                   /* of the first line of this gateway below it; -1 */
	const struct told *host;     /* Authentication-Results of that side; NULL: none */
	const struct told *host_spf; /* its Received-SPF */
	const struct told *host_arc; /* its ARC-Authentication-Results */
	const struct told
		*own; /* Authentication-Results of this gateway, right above its Received */
	struct arrived_stamp skip_listed,
		original; /* SkipListed-, ExternalOriginalInternetSender */
	struct arrived_report report;
	struct arrived_record record;
	char mail_from[256]; /* Return-Path, else as that side's SPF says it; "": unknown or null */
};

/* Pointers of `out` point into `out`. */
void arrived_read(const struct headers *h, const struct arrived_names *names, struct arrived *out);
/* Whom that side judged, and the name of the field that says so; false: it does not say. */
bool arrived_taken(const struct arrived *a, enum arrived_side side, struct ip_addr *ip,
		   const char **field);
