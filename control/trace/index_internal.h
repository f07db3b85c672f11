/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Private to index.c (the writer), index_query.c (searches) and shares.c. */

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
