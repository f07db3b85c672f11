/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What control says in its own fixed words. One list, so that a test can look at each: a refusal
 * says why, and leaves room for the trace id that it goes out with (docs/smtp.md). Words that are made of
 * what was found are those of policy/, deliver/ and sources.c.
 */

#include "control/handoff/handoff_ctl.h"

/* clang-format off */
/* X(name, code, subject, detail, text) */
#define CONTROL_REPLIES(X) \
	/* 2xx */ \
	X(ACCEPTED, 250, 0, 0, "Message accepted") \
	X(TAKEN_BEFORE, 250, 0, 0, "Message was taken before") \
	/* at CONNECT */ \
	X(PRIVATE_PEER, 421, 7, 1, "Private source address, the true sender cannot be seen") \
	/* at RCPT */ \
	X(OTHER_ROUTE, 452, 5, 3, "This recipient goes another way, send it separately") \
	X(NO_DOMAIN, 550, 1, 2, "No valid international domain") \
	X(NOT_OURS, 550, 7, 1, "Relaying denied") \
	X(TO_LITERAL, 550, 7, 1, "Relaying denied: mail to an address literal") \
	X(ROUTED_LOCAL, 550, 7, 1, "Routing inside the local part is not relayed") \
	/* of a message */ \
	X(BUSY, 451, 3, 0, "Local error, try again later") \
	X(NOT_JUDGED, 451, 3, 0, "Message could not be judged, try again later") \
	X(STOPPING, 451, 3, 2, "Service is restarting, try again later") \
	X(OLD_RULES, 451, 3, 2, "Scanned by rules that are gone, try again") \
	X(OLD_ROUTES, 451, 3, 2, "Configuration changed, try again") \
	X(NO_QUARANTINE, 451, 3, 0, "Quarantine is not available, try again later") \
	X(DISK_FULL, 452, 3, 1, "Insufficient system storage, try again later") \
	X(TOO_BIG, 552, 3, 4, "Message is too big for the mail service") \
	X(LOOP, 554, 4, 6, "Routing loop: this message was here before") \
	X(BAD_HEADER, 554, 6, 0, "Message refused: malformed or oversized header")
/* clang-format on */

#define CONTROL_REPLY_ENUM(name, code, subject, detail, text) SAYS_##name,
enum control_reply { CONTROL_REPLIES(CONTROL_REPLY_ENUM) CONTROL_REPLY_COUNT };

struct ctl_reply control_reply(enum control_reply r);
