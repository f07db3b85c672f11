/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * trace.c         the command: which records, in which form
 * trace_source.c  where index and log are, and what a record says beyond the index
 * trace_table.c   for people
 * trace_csv.c     for spreadsheets, by the names of other mail systems
 * trace_explain.c `explain TRACE-ID` (explain_any.c tells it from a file)
 *
 * Records come from files that anybody may have given us, and tell of mail: all of their texts are a
 * stranger's.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/cli/cli.h"
#include "control/trace/index.h"

#define TRACE_SCHEMA "postern.trace.1"

struct trace_source {
	char database[4096], log[4096];
	struct trace_index *index;   /* NULL: the running process's newest records are all there is */
	struct logfile *files;       /* of the log, listed when they are first asked for */
	long n_files;
	bool listed;
};

struct trace_where {
	const char *database, *log, *config; /* NULL: not said */
};
/* Of what was said, of the running process, of the configuration file: the first that says it. CLI_OK, or
 * why not is on stderr. memory: without an index the running process will do. */
int trace_source_open(struct trace_source *s, const struct cli *cli, const struct trace_where *w, bool memory);
/* The names alone; nothing is opened, and trace_source_close() not due. */
int trace_source_locate(struct trace_source *s, const struct cli *cli, const struct trace_where *w);
void trace_source_close(struct trace_source *s);
/* A record of trace_index_search() as the log has it, with members of the index for what it lacks; without
 * the log as it is. "detail" says which. Takes and gives a reference. */
json_t *trace_source_detail(struct trace_source *s, json_t *record);

/* Milliseconds since 1970 of "2026-01-31T12:00:00Z", "2026-01-31", or a time ago: "90s", "30m", "2h", "7d".
 * 0: none of these. */
int64_t trace_time(const char *text, int64_t now_ms);
int64_t trace_now_ms(void);

/* columns: of the terminal; 0: nothing is cut. */
void trace_table(const json_t *answer, unsigned int columns);
/* False: there are no such fields. */
bool trace_csv(const json_t *records, const char *fields);
/* A text without what would draw on a terminal or turn a line around: control characters and Unicode
 * formatting are left out. out holds cap octets. Returns its length. */
size_t trace_clean(const json_t *record, const char *member, char *out, size_t cap);

/* Is this a trace id? */
bool trace_is_id(const char *text);
int cmd_explain_trace(const struct cli *cli, int argc, char **argv);
