/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* --answer=accept: what a bench has in place of control's pushes, and of what control shows. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "dataplane/handoff/handoff_dp.h"

/* For the log, in sight of whoever started it. */
#define ANSWER_WARNING                                                                             \
	"*** --answer=accept: THIS IS A BENCH. Every message is accepted and THROWN AWAY: nothing is " \
	"delivered, judged or recorded ***"

struct args;
struct worker;

/* "N=ADDRESS/LENGTH[:PORT]"; id is left to the caller. 0 or -EINVAL. */
int answer_parse_listen(const char *text, struct handoff_listener *out);
/* A configuration, and the rules if there are any, as control would push them: the limits are a
 * gateway's, but for those on what one client may do. err >= 200. 0, or an errno of either sign with
 * a text. */
int answer_push(const struct args *args, uint64_t max_message,
		int (*push)(void *arg, const struct dp_push *push, char *text, size_t cap), char *err,
		size_t cap);
/* In place of dp_link_poll(): a tenth of a second, and the line below every `seconds`, if not 0. 0. */
int answer_poll(uint32_t seconds, struct worker *const *w, unsigned int n_workers);
/* A line: seconds on the monotonic clock, TSC, and of each worker the counters that are not 0. */
void answer_stats(FILE *out, struct worker *const *w, unsigned int n_workers);
