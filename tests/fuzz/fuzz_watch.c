/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/watch/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What all of a request fits, each member of it fits. */
static void apart(const json_t *body, const json_t *record)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)body, name, v) {
		json_t *one = json_object();
		struct watch_filter f;
		char why[160];

		json_object_set(one, name, v);
		if (watch_filter_read(&f, one, why, sizeof(why)) ||
		    !watch_filter_record(&f, record))
			abort();
		json_decref(one);
	}
}

/* A request of `watch` in the first line, a record of the trace behind it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	size_t n = end ? (size_t)(end - data) : size;
	json_t *body = json_loadb((const char *)data, n, JSON_REJECT_DUPLICATES, NULL);
	json_t *record = end ? json_loadb((const char *)end + 1, size - n - 1, 0, NULL) : NULL;
	struct watch_filter f;
	char why[160] = "";
	int rc;

	rc = json_is_object(body) ? watch_filter_read(&f, body, why, sizeof(why)) : -1;
	if (rc && json_is_object(body) && (!why[0] || !memchr(why, 0, sizeof(why))))
		abort();
	if (!rc && f.sessions &&
	    (f.domain[0] || f.rule[0] || f.trace_id[0] || f.route[0] || f.outcome[0]))
		abort();
	if (!rc && record && watch_filter_record(&f, record))
		apart(body, record);
	json_decref(body);
	json_decref(record);
	return 0;
}
