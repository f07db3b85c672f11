/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What the daemon and the dataplane have at hand when a message comes, without either: configuration,
 * rules, the scan of a message's views, an envelope. The code is theirs.
 */

#include "control/config/config.h"
#include "control/mail/mail.h"
#include "control/rules/rules.h"
#include "dataplane/scan/scan_views.h"
#include "postern/handoff.h"
#include "postern/stats.h"

struct offline {
	const char *who;         /* the command, for what is said on stderr */
	bool relayed;            /* without a configuration: who connects is a relay of ours, so the
				    message's topmost Received says who the sender is */
	struct config *config;
	struct rules *rules;     /* NULL: none */
	struct scan_generation *generation; /* NULL: nothing is looked for */
	struct scan_worker *worker;
	struct scan_views *views;
	uint64_t counters[POSTERN_DP_COUNTER_COUNT];
};

/* These return CLI_OK, or CLI_USAGE having said why; offline_close() in either case. */

/* path NULL: a configuration of which nothing is ever connected to. with_rules: those that it names,
 * too. */
int offline_load(struct offline *o, const char *path, bool with_rules);
/* Makes ready what offline_scan() needs. */
int offline_arm(struct offline *o);
void offline_close(struct offline *o);

/* Matches of a whole message (as many as find room), as the dataplane tells them. What is to be added
 * to the record's flags. */
uint32_t offline_scan(struct offline *o, const uint8_t *p, size_t n,
		      struct handoff_match match[HANDOFF_MAX_MATCHES], uint32_t *n_matches);

/* From this peer, to the first listener; the strings stay the caller's. now: seconds, 0: now. */
struct offline_sender {
	const char *ip, *helo, *from;
	struct str *rcpt;
	size_t n_rcpts;
	int64_t now;
};
int offline_envelope(const struct offline *o, const struct offline_sender *s, const uint8_t *p,
		     size_t n, struct mail_envelope *e);
