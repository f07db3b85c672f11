/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>
#include <string.h>

#include "control/trace/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(struct trace_index *x, struct trace_search *q, bool found)
{
	char err[256];
	json_t *a;
	int64_t next;

	q->limit = 3;
	if (trace_index_search(x, q, &a, &next, err, sizeof(err)))
		abort();
	if (found && !json_array_size(a))
		abort();
	json_decref(a);
}

/* A line of the log: what is taken goes into an index, and is found there by what it says of itself. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct trace_index *x;
	char err[256], id[64], mail_from[ROW_TEXT + 1];
	struct row r;
	char *line;

	if (!x && trace_index_open(&x, ":memory:", 64 << 20, err, sizeof(err)))
		abort();
	line = malloc(size + 1);
	if (!line)
		return 0;
	memcpy(line, data, size);
	if (!row_read(&r, line, size)) {
		free(line);
		return 0;
	}
	if (trace_index_begin(x) || trace_index_put(x, &r, 1, 0, size))
		abort();
	if (!r.event && r.trace_id.n < sizeof(id)) {
		struct trace_search q = {.trace_id = id};
		bool lower = false;

		memcpy(id, r.trace_id.p, r.trace_id.n);
		id[r.trace_id.n] = '\0';
		/* Ids are looked for in upper case. */
		for (size_t i = 0; i < r.trace_id.n; i++)
			lower |= id[i] >= 'a' && id[i] <= 'z';
		look(x, &q, !lower && r.time_ms < INT64_MAX >> INDEX_SEQUENCE);
	}
	if (!r.event && r.mail_from.p && r.mail_from.n <= ROW_TEXT) {
		struct trace_search q = {.mail_from = mail_from};

		memcpy(mail_from, r.mail_from.p, r.mail_from.n);
		mail_from[r.mail_from.n] = '\0';
		look(x, &q, mail_from[0] != '@');
		q.rcpt = mail_from;
		look(x, &q, false);
	}
	trace_index_rollback(x);
	free(line);
	return 0;
}
