/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * JSON (RFC 8259) written as it is said, without a tree of values in between: a record of the trace is
 * made for each recipient on the event loop, and as a tree it cost more than all of its delivery's
 * commands. What is read, or made seldom, is jansson's.
 *
 * `name` is that of a member, plain ASCII without quotes, and NULL within an array or at the top.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/str.h"

struct json_out {
	char *p;       /* n octets, not ended */
	size_t n, cap;
	bool failed;   /* memory ran out: what is there is of no use */
};

/* Gives the text back; {0} is an empty one. */
void json_out_free(struct json_out *o);

void json_out_open(struct json_out *o, const char *name);   /* { */
void json_out_close(struct json_out *o);                    /* } */
void json_out_array(struct json_out *o, const char *name);  /* [ */
void json_out_end(struct json_out *o);                      /* ] */
/* Any octets: of a text that is no UTF-8, or has a NUL, which most readers refuse, what is not printable ASCII
 * becomes '?'. */
void json_out_text(struct json_out *o, const char *name, struct str s);
void json_out_string(struct json_out *o, const char *name, const char *s);
/* The same, or null. */
void json_out_string_or_null(struct json_out *o, const char *name, const char *s);
void json_out_int(struct json_out *o, const char *name, int64_t v);
/* Finite. */
void json_out_real(struct json_out *o, const char *name, double v);
void json_out_bool(struct json_out *o, const char *name, bool v);
void json_out_null(struct json_out *o, const char *name);
/* Takes the reference; NULL is a failure. */
void json_out_value(struct json_out *o, const char *name, json_t *v);
/* All members of an object, behind those that are there. Takes the reference; NULL is a failure. */
void json_out_members(struct json_out *o, json_t *object);
/* n octets that are JSON, or part of it, already. */
void json_out_raw(struct json_out *o, const char *p, size_t n);
