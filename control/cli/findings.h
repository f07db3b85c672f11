/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What `posternctl doctor` has to say, in order. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum findings_level {
	FINDINGS_OK,
	FINDINGS_WARNING,
	FINDINGS_FAIL,
	FINDINGS_UNKNOWN, /* could not be looked at */
};

#define FINDINGS_TEXT 768

struct check {
	const char *code; /* stable, for programs */
	enum findings_level level;
	char text[FINDINGS_TEXT];   /* what is so; printable ASCII, whatever went into it */
	char advice[FINDINGS_TEXT]; /* what to do; "": nothing */
};

struct findings {
	struct check *check;
	size_t n, cap;
	bool failed; /* out of memory: some are not here */
};

void findings_add(struct findings *f, const char *code, enum findings_level level, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));
/* Of the one that was added last. */
void findings_advise(struct findings *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
bool findings_has(const struct findings *f, const char *code, enum findings_level least);
/* CLI_OK, CLI_FINDING (a warning or a FAIL), or CLI_UNREACHABLE: nothing found, but not all could
 * be looked at. */
int findings_exit(const struct findings *f);
json_t *findings_json(const struct findings *f);
void findings_print(const struct findings *f);
void findings_free(struct findings *f);
