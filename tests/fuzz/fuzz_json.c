/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "control/json/json_out.h"
#include "control/json/test_json_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How deep brackets stand, those within texts as well. */
static unsigned int depth(const uint8_t *p, size_t n)
{
	unsigned int now = 0, most = 0;

	for (size_t i = 0; i < n; i++) {
		now += p[i] == '[' || p[i] == '{';
		most = now > most ? now : most;
		now -= now && (p[i] == ']' || p[i] == '}');
	}
	return most;
}

/* Read as jansson reads it; and as a text, written so that jansson reads the same text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_out o = {0};
	json_t *v, *as_it_is;

	if (depth(data, size) <= 64 && !json_tree_agrees((const char *)data, size))
		abort();
	json_out_text(&o, NULL, str_make(data, size));
	v = o.failed ? NULL : json_loadb(o.p, o.n, JSON_DECODE_ANY, NULL);
	if (!v || json_string_length(v) != size)
		abort();
	as_it_is = memchr(data, '\0', size) ? NULL : json_stringn((const char *)data, size);
	if (as_it_is && !json_equal(v, as_it_is))
		abort();
	json_decref(v);
	json_decref(as_it_is);
	json_out_free(&o);
	return 0;
}
