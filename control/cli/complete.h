/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Words that are not in the table: files, and what only control knows. */

#include "control/cli/cli.h"
#include "control/cli/grammar.h"

#define COMPLETE_MAX 512 /* ours: nobody reads more */

struct complete_list {
	char *word[COMPLETE_MAX];
	size_t n;
};

/* Adds those that begin with `typed`. Control is asked for a second at most; nothing if it is away.
 * The text of a directory ends in /. */
void complete_value(const struct cli *cli, enum grammar_kind kind, const char *typed,
		    bool with_files, struct complete_list *list);
void complete_free(struct complete_list *list);
/* Of files: is it one that complete_value() looks up? */
bool complete_is_file(enum grammar_kind kind);
