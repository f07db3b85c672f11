/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The thread that keeps the index: it reads the log behind its writer and puts what it finds into the
 * database, a batch a transaction, together with the place in the log up to which that was. The log is
 * the queue. Nobody waits for this thread; if the database is locked, full or slow the log grows, and
 * is read when it is well again, also by the next process after a crash. Only what the log's own
 * rotation deleted before it was read is lost to the index (`dropped`).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "control/trace/logfiles.h"

struct indexer;

struct indexer_options {
	const char *log, *database;
	uint64_t max_size;           /* octets of the database */
	unsigned int max_age_s;
};

struct indexer_stats {
	uint64_t records;            /* put into the index since the start */
	uint64_t lines_bad;          /* lines of the log that are no records */
	uint64_t failed;             /* transactions that did not succeed; they are tried again */
	uint64_t dropped;            /* files that rotation deleted before they were read to their end */
	uint64_t pruned;             /* records forgotten for age or size */
	uint64_t rebuilt;            /* databases that were damaged and made anew */
	uint64_t lag;                /* octets of the log that wait; gauge */
	uint64_t bytes;              /* of the database that are in use; gauge */
	unsigned int diverging;      /* findings of shares.h over the last hour; gauge */
	char why[800];               /* of the last failure; "": it is over */
	char finding[300];           /* the first of those that diverge */
	bool caught_up;
	uint64_t written, read;      /* how often there was more to read, and of these how often all of it was */
};

/* The database is made if it is not there; one that cannot be opened now is tried again by the thread. NULL, err
 * (>= 512) says why: it is no database, or another program's. */
struct indexer *indexer_new(const struct indexer_options *opt, char *err, size_t err_len);
/* Reads on to the end of the log for a second at most. */
void indexer_free(struct indexer *x);
/* The writer's, after a write; and before its first, and when it has gone over to another file: from
 * now on nothing is written to the one before. */
void indexer_kick(struct indexer *x);
void indexer_tip(struct indexer *x, const struct stat *now);
/* Somebody waits for what was written a moment ago: no more of it is gathered first. */
void indexer_hurry(struct indexer *x);
/* The writer's: rotation deleted that file. It counts as dropped if it was not read to its end. */
void indexer_gone(struct indexer *x, const struct logfile *f);
void indexer_rebuild(struct indexer *x);
void indexer_stats(struct indexer *x, struct indexer_stats *out);
