/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A line of the shell or of a batch, in words. Blanks part them; '...' is as it stands; in "..." a
 * backslash stands before " and \; elsewhere it takes the next octet as it is. What touches is one
 * word: a'b c'"d" is ab cd. # at the beginning of a word begins a comment.
 */

#include <stdbool.h>
#include <stddef.h>

#include "postern/limits.h"

#define WORDS_WHY 128

struct words {
	char *word[LIMIT_CLI_WORDS + 1]; /* NULL at the end */
	size_t n;
	char *text;   /* theirs */
	bool open;    /* the line ends inside of the last word, */
	size_t begin; /* which begins here; not open: the line's length */
	char quote;   /* that is not closed: ' " or a backslash; 0: none */
	bool comment; /* the line ends in one */
};

/* 0; -EINVAL (a quote is open: the words are there as far as they go), -EILSEQ (an octet that no
 * line has), -E2BIG, -ENOMEM: `why` says it. words_free() in any case. */
int words_split(struct words *w, const char *line, size_t n, char why[WORDS_WHY]);
void words_free(struct words *w);

/* Such that words_split() makes this one word of it. How long that is without its NUL, which is
 * written as well; 0: it does not fit. */
size_t words_quote(const char *word, char *out, size_t cap);
