/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Private to index.c (the writer), index_query.c and index_find.c (searches), and shares.c. */

#include <sqlite3.h>

#include "control/trace/index.h"

enum {
	INDEX_BEGIN, INDEX_COMMIT, INDEX_ROLLBACK, INDEX_PUT, INDEX_RULE, INDEX_NEW_RULE, INDEX_HIT, INDEX_EVENT,
	INDEX_SEGMENT, INDEX_NEW_SEGMENT, INDEX_SET_OFFSET, INDEX_PAGES, INDEX_OLDEST,
	INDEX_OLDEST_EVENT, INDEX_EXPIRE, INDEX_EXPIRE_HITS, INDEX_EXPIRE_EVENTS, INDEX_STATEMENTS
};

struct trace_index {
	sqlite3 *db;
	sqlite3_stmt *stmt[INDEX_STATEMENTS];
	uint64_t size;               /* bound; 0: of a reader */
	uint32_t page;
	char why[256];               /* of the batch that was taken back last; "": SQLite knows */
};

/* Of a result code of SQLite. */
int trace_index_errno(int rc);
/* Whether the database has that index: one that an older version made may lack it. */
bool trace_index_has(struct trace_index *x, const char *index);

/* ---- index_find.c: numbers of the newest records of which all of that is true ------------------- */

#define INDEX_TERMS  12u
#define INDEX_VALUES 20u

struct index_value {
	const void *p;               /* borrowed; NULL: number */
	size_t n;
	bool blob;
	int64_t number;
};

/* A condition, in names of columns of `record`; ?N: its values, from 1 on. */
struct index_term {
	char text[128];
	const char *index;           /* that has it; NULL: none */
	bool unordered;              /* what the index gives is not in order of time */
};

struct index_find {
	struct index_term term[INDEX_TERMS];
	size_t n_terms;
	struct index_value value[INDEX_VALUES];
	size_t n_values;
	const char *rule;            /* that hit; NULL: any or none */
	int64_t from, below;         /* numbers; 0: any */
};

/* id: room for `limit`; newest first. *n: how many. A result code of SQLite: SQLITE_DONE, or why not. */
int trace_index_find(struct trace_index *x, const struct index_find *f, int64_t *id, size_t limit, size_t *n);
