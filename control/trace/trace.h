/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * One record per recipient: JSON lines in a file, and the newest records in memory for `posternctl
 * trace`. Writing never waits for a disk on the event loop: lines are buffered and written by a
 * thread of this folder; what cannot be written is counted, the message is not held up.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace;

enum trace_outcome {
	TRACE_DELIVERED, TRACE_REJECTED, TRACE_DEFERRED, TRACE_QUARANTINED, TRACE_DISCARDED, TRACE_ABORTED,
	TRACE_OBSERVED, /* seen on a tap port: nobody was answered by us */
	TRACE_UNJUDGED  /* the same, and not judged */
};
const char *trace_outcome_name(enum trace_outcome o);

/* Opens (appends, mode 0640, O_CLOEXEC) and keeps the last `keep` records in memory (default
 * 10,000). `counters`: CTL_trace_records, CTL_trace_failed. NULL: err (>= 256) says why. */
struct trace *trace_new(const char *path, size_t keep, uint64_t *counters, char *err, size_t err_len);
/* Writes what is buffered, then closes. */
void trace_free(struct trace *t);
/* After the file was renamed (SIGHUP): opens the path again. 0 or -errno (the old file stays). */
int trace_reopen(struct trace *t);

/*
 * Takes the reference. Members that are looked for: "trace_id", "message_id", "mail_from", "rcpt",
 * "origin" (address text), "outcome", "time" (RFC 3339 UTC with milliseconds). A record without
 * "time" gets it here.
 */
void trace_write(struct trace *t, json_t *record);

/* Every string that is set must match: ids exactly (a trace id without case), addresses without
 * case, as a whole or as a domain ("@example.com"). Newest first, at most `limit`. New reference. */
struct trace_query {
	const char *trace_id, *message_id, *mail_from, *rcpt, *origin, *outcome;
	size_t limit;
};
json_t *trace_find(struct trace *t, const struct trace_query *q);
