/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The index of the log: SQLite, one writer, any number of readers, of which each is another process.
 * A record's number is its time: milliseconds << 20, and a count for those of one millisecond, so that
 * every index of the database is in order of time, and the log read again gives the same numbers.
 *
 * Not for two threads at once. What comes out of the database is as hostile as the mail that it tells of,
 * and the file itself may be anybody's.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/trace/row.h"

#define INDEX_SEQUENCE 20        /* bits of a record's number below the time */
#define INDEX_MIN_SIZE (8u << 20)

struct trace_index;

/* size: octets that it may take, beside its write-ahead log. -EBADMSG: it is damaged, or no database;
 * -EEXIST: another program's; else -errno. err (>= 256) says why. */
int trace_index_open(struct trace_index **out, const char *path, uint64_t size, char *err, size_t err_len);
/* To look only; a running writer does not mind, and none is needed. */
int trace_index_read(struct trace_index **out, const char *path, char *err, size_t err_len);
/* A writer's: gives a database that an older version of this program made, or that was reset bare, the indexes that
 * it lacks, which takes some seconds for a million records. -ENOSPC: there is no room for them; without them searches are slower.
 * -EINTR: stop(ctx), asked meanwhile, has said so; NULL: nobody stops it. */
int trace_index_complete(struct trace_index *x, bool (*stop)(void *ctx), void *ctx);
void trace_index_close(struct trace_index *x);
/* Of what failed last. Until the next call. */
const char *trace_index_why(const struct trace_index *x);

/* A batch is a transaction. -EBUSY: somebody else writes; -ENOSPC; -EBADMSG: damaged; -EIO. */
int trace_index_begin(struct trace_index *x);
int trace_index_commit(struct trace_index *x);
void trace_index_rollback(struct trace_index *x);
/* Within a batch: up to where the file of this first line was read; made if it is new. */
int trace_index_place(struct trace_index *x, uint64_t key, int64_t *segment, uint64_t *offset);
int trace_index_placed(struct trace_index *x, int64_t segment, uint64_t offset);
/* at, len: the line's octets in the file. */
int trace_index_put(struct trace_index *x, const struct row *r, int64_t segment, uint64_t at, uint64_t len);
/* Forgets what is older than that, and the oldest while it is too large, or once because the caller says
 * that it is (force); at most some thousand, *more: there is more to do. *pruned: records, without
 * events. A batch of its own. */
int trace_index_prune(struct trace_index *x, int64_t before_ms, bool force, uint64_t *pruned, bool *more);
/* Forgets everything. A batch of its own. bare: without indexes, which trace_index_complete() makes much faster
 * when all records are there than as they come. */
int trace_index_reset(struct trace_index *x, bool bare);
/* Octets that are in use. */
uint64_t trace_index_bytes(struct trace_index *x);

/* Every member that is set must match. Addresses as in struct trace_query; origin may be a network. */
struct trace_search {
	const char *trace_id, *message_id, *mail_from, *rcpt, *origin, *outcome, *rule, *route;
	int64_t since_ms, until_ms;  /* from and before; 0: any */
	int64_t before;              /* only records with a lower number: the "next" of a page; 0: any */
	size_t limit;
};
/*
 * Newest first. *records: an array of objects, the members of docs/json.md, and "_segment", "_offset",
 * "_length": where in the log it stands. *next: for the next page; 0: this was the last. -EINVAL: a
 * member of the search cannot be one (err); else as above.
 */
int trace_index_search(struct trace_index *x, const struct trace_search *q, json_t **records, int64_t *next,
		       char *err, size_t err_len);
/* Events of a trace id, [{time, event}]. New reference. */
json_t *trace_index_events(struct trace_index *x, const char *trace_id);
/* The key of the file that the segment is; false: nobody knows. */
bool trace_index_segment(struct trace_index *x, int64_t segment, uint64_t *key);

/* shares.c: see shares.h. Calls one() with each count. */
struct trace_share_row {
	const char *route, *egress, *local;
	enum trace_outcome outcome;
	uint64_t n;
};
int trace_index_shares(struct trace_index *x, int64_t since_ms,
		       void (*one)(void *arg, const struct trace_share_row *r), void *arg);
