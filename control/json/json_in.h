/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * JSON (RFC 8259) read as it stands, without a tree: the index of the trace wants a third of each line of
 * the log, and building the rest cost more than putting it into the database. Strings are decoded where
 * they lie, and end in a NUL. Whatever is malformed sets `bad`, after which nothing is read any more; so
 * does what jansson refuses: an integer past 64 bits, a real past a double, \u0000, half a surrogate pair,
 * and nesting beyond JSON_IN_DEPTH.
 *
 *	json_in_init(&in, line, n);
 *	if (json_in_object(&in))
 *		while (json_in_member(&in, &name))
 *			each value is asked for once: text, number, object, array, skip
 *	json_in_done(&in)
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/str.h"

#define JSON_IN_DEPTH 64u

struct json_in {
	char *p, *end;
	bool bad;
	bool fresh;          /* a bracket was opened, and nothing stands behind it yet */
};

/* `text` is written to. It must be UTF-8 without a NUL. */
void json_in_init(struct json_in *in, char *text, size_t n);
/* The next value is passed over, and false returned, if it is no object; else members follow. */
bool json_in_object(struct json_in *in);
bool json_in_array(struct json_in *in);
/* False behind the last one. The name is decoded. */
bool json_in_member(struct json_in *in, struct str *name);
bool json_in_element(struct json_in *in);
/* The next value; it is passed over, and false returned, if it is of another kind. */
bool json_in_text(struct json_in *in, struct str *out);
/* An integer, or (*whole false) a real. */
bool json_in_number(struct json_in *in, bool *whole, int64_t *integer, double *real);
void json_in_skip(struct json_in *in);
/* True: it was well-formed to the end. */
bool json_in_done(struct json_in *in);
