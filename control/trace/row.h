/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A line of the log as the index keeps it: what is looked for and what a table shows. Everything else
 * stays in the log, at the place that the index remembers. Lines may be of any version of this program,
 * damaged, or somebody else's writing.
 */

#include <stdbool.h>
#include <stdint.h>

#include "control/mail/mail.h"
#include "control/trace/trace.h"
#include "postern/limits.h"

#define ROW_RULES 64u            /* hits of a message that can be looked for */
#define ROW_KEY (LIMIT_PATH + MAIL_ALABEL)
#define ROW_TEXT 1024u           /* octets of a text; longer ones are cut */

/* Texts are borrowed from the line, and end in a NUL; NULL: it says nothing. */
struct row_text {
	const char *p;
	size_t n;
};

struct row {
	int64_t time_ms;
	const char *event;           /* not NULL: this and trace_id is all there is */
	enum trace_outcome outcome;
	struct row_text trace_id, message_id, mail_from, rcpt, helo, route, action, reason, stage, next_hop,
		reply, next_hop_reply, spf, dkim, dmarc, arc, subject, how;
	struct ip_addr origin, peer, local, egress;
	bool has_origin, has_peer, has_local, has_egress, has_score;
	double score;
	int64_t size, us, judge_us;
	struct row_text rule[ROW_RULES];
	size_t n_rules;
	/* For the search: lower case, domains as A-labels. */
	char sender_key[ROW_KEY], rcpt_key[ROW_KEY];
};

/* Texts are decoded within the line, which is written to. False: no record. */
bool row_read(struct row *r, char *line, size_t n);
/* An address as it is looked for. Returns its domain (within out), "" without one. */
const char *row_key(const char *address, size_t n, char out[ROW_KEY]);
