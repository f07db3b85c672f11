/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * One record per recipient: JSON lines in a file, which is the truth; an index of it in SQLite
 * (index.h), which a thread of its own reads out of the file (indexer.h); and the newest records in
 * memory. Writing never waits for a disk on the event loop: lines are buffered and written by a
 * thread of this folder; what cannot be written is counted, the message is not held up.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/json/json_out.h"

struct trace;

enum trace_outcome {
	TRACE_DELIVERED, TRACE_REJECTED, TRACE_DEFERRED, TRACE_QUARANTINED, TRACE_DISCARDED, TRACE_ABORTED,
	TRACE_OBSERVED, /* seen on a tap port: nobody was answered by us */
	TRACE_UNJUDGED, /* the same, and not judged */
	TRACE_OUTCOMES
};
const char *trace_outcome_name(enum trace_outcome o);
/* TRACE_OUTCOMES: none of these. */
enum trace_outcome trace_outcome_of(const char *name);

struct trace_options {
	const char *file;
	uint64_t file_size;          /* octets at which the file becomes file.1; 0: never */
	unsigned int files;          /* file.1 to file.N are kept */
	const char *index;           /* path of the database; NULL: there is none */
	uint64_t index_size;         /* octets */
	unsigned int index_age_s;    /* older records are forgotten by it */
	size_t keep;                 /* newest records in memory; 0: 1000 */
};

/* Opens (appends, mode 0640, O_CLOEXEC). A file or a database that cannot be opened is told of by trace_second() and
 * tried again, and records are lost meanwhile; one that is no database of ours is an error. `counters`: CTL_trace_*.
 * NULL: err (>= 512) says why. */
struct trace *trace_new(const struct trace_options *opt, uint64_t *counters, char *err,
			size_t err_len);
/* Writes what is buffered, then closes. What the index lacks then it reads at the next start. */
void trace_free(struct trace *t);
/* After the file was renamed (SIGHUP): opens the path again. 0 or -errno (the old file stays). */
int trace_reopen(struct trace *t);

/* What the threads counted, into counters; once a second. What an operator must know: a line each,
 * at most LIMIT_ALERT_S apart. */
typedef void trace_alert(const char *text);
void trace_second(struct trace *t, trace_alert *alert);

/*
 * A record: an object of JSON on one line, n octets without its end. Members that are looked for: "trace_id",
 * "message_id", "mail_from", "rcpt", "origin" (address text), "outcome", "time" (RFC 3339 UTC with milliseconds).
 */
void trace_write_line(struct trace *t, const char *line, size_t n);
/* Opens a record in `o`, with its "time". */
void trace_begin(struct json_out *o);
/* Closes it, writes it and frees what it was made in; one that failed is counted. */
void trace_end(struct trace *t, struct json_out *o);
/* A record that is seldom written. Takes the reference; one without "time" gets it here. */
void trace_write(struct trace *t, json_t *record);

/* Is told of each line that is written, on the event loop; the line is borrowed. */
typedef void trace_listener(void *arg, const char *line, size_t n);
void trace_on_record(struct trace *t, trace_listener *cb, void *arg);

/* Every string that is set must match: ids exactly (a trace id without case), addresses without
 * case, as a whole or as a domain ("@example.com"). Newest first, at most `limit`. New reference. */
struct trace_query {
	const char *trace_id, *message_id, *mail_from, *rcpt, *origin, *outcome;
	size_t limit;
};
/* Of the records in memory. */
json_t *trace_find(struct trace *t, const struct trace_query *q);

/* Where file and index are, and how far the index is; see docs/api.md. New reference. */
json_t *trace_status(struct trace *t);
/* Somebody waits for the index to have what was written up to now. */
void trace_hurry(struct trace *t);
/* Forgets the index and reads it anew out of the files that are there, in its thread. -ENOENT: there
 * is no index. */
int trace_reindex(struct trace *t);
