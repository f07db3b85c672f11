/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * OpenMetrics over HTTP. The loop fills a snapshot once a second; a thread of libmicrohttpd renders what
 * was published last. Neither waits for the other: a scrape costs the loop nothing, and a loop that
 * stands still is seen by the age of its snapshot.
 *
 * Labels are bounded: workers, METRICS_ROUTES routes (the others together are "other"), and
 * METRICS_RULES rules. Nothing of a message is ever a label.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/trace/trace.h"
#include "postern/buckets.h"
#include "postern/handoff.h"
#include "postern/stats.h"

#define METRICS_ROUTES 64u
#define METRICS_RULES 20u
#define METRICS_NAME 128u

enum metrics_stage { METRICS_WAIT, METRICS_CONNECT, METRICS_RCPT, METRICS_TRANSFER, METRICS_REPLY, METRICS_WHOLE,
		     METRICS_STAGES };

struct metrics_route {
	char name[METRICS_NAME];
	uint64_t outcome[TRACE_OUTCOMES];  /* recipients */
	struct buckets stage[METRICS_STAGES];
	unsigned int outstanding, bound, waiting, connections, state; /* state: enum load_state */
	bool breaker_open;
};

struct metrics_rule {
	char name[METRICS_NAME];
	uint64_t hits;
};

struct metrics_snapshot {
	uint64_t realtime_ns, started_ns;
	uint64_t generation;               /* of the configuration */
	bool linked, ready, reload_failed;
	uint32_t workers;
	uint64_t dp[HANDOFF_MAX_WORKERS][POSTERN_DP_COUNTER_COUNT];
	uint64_t ctl[POSTERN_CTL_COUNTER_COUNT];
	uint64_t sessions, messages;       /* now */
	struct buckets judge, dns, message;
	struct metrics_route route[METRICS_ROUTES + 1];
	size_t n_routes;
	struct metrics_rule rule[METRICS_RULES];
	size_t n_rules;
};

/* ---- http.c ------------------------------------------------------------------------------------ */

struct metrics;

/* listen: "unix:/path" (mode 0660; a stale socket is replaced) or "address:port". NULL: err says why. */
struct metrics *metrics_new(const char *listen, char *err, size_t err_len);
void metrics_free(struct metrics *m);
/* The loop's to fill, whole, until metrics_publish(). */
struct metrics_snapshot *metrics_fill(struct metrics *m);
/* Never waits; if the thread is at it right now the next second's will be published. */
void metrics_publish(struct metrics *m);
/* Is OpenMetrics what this Accept field asks for (RFC 9110 12.5.1)? NULL: it said none. */
bool metrics_wants_openmetrics(const char *accept);

/* ---- render.c ---------------------------------------------------------------------------------- */

/* *text is malloc'ed. openmetrics: 1.0, else the text format 0.0.4 of Prometheus. 0 or -ENOMEM. */
int metrics_render(const struct metrics_snapshot *s, bool openmetrics, char **text, size_t *len);
