/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What `posternctl replay` makes of the lines of --tap-dump (docs/tap.md). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A line has at most LIMIT_TAP_ENVELOPE and a reply; an octet of them takes up to 6 in JSON. */
#define REPLAY_LINE (512u * 1024)

struct replay_lines {
	bool json;            /* lines are passed on, all in ASCII */
	bool all;             /* a row for each anomaly */
	bool ended;           /* the summary was there */
	uint64_t rows, encrypted, incomplete, anomalies;
	uint64_t packets, flows, messages; /* of the summary */
	char fault[160];      /* a line that is none of ours, and why; "": there was none */
};

/* One line without its LF. False: r->fault is set, the rest is not to be believed; or it could not be
 * written. */
bool replay_line(struct replay_lines *r, const char *p, size_t n);
/* Everything that `in` gives, to its end; the first fault ends it. */
bool replay_read(struct replay_lines *r, FILE *in);
