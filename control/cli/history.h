/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The shell's history on disk: a line each, in $XDG_STATE_HOME/postern/history or
 * ~/.local/state/postern/history, for its owner only. Lines are added one by one, so that two
 * shells at once keep both theirs; when it is opened what is older than the last LIMIT_CLI_HISTORY
 * goes.
 */

#include <stdbool.h>
#include <stddef.h>

#include "postern/limits.h"

struct history_file {
	int fd; /* -1: none is kept */
};

/* Each line that is kept, oldest first, is given to `each`. Where it cannot be had no history is
 * kept, and `why` (>= 256; "" if there is no home) says so. */
void history_open(struct history_file *h, void (*each)(void *arg, const char *line), void *arg,
		  char *why, size_t why_len);
/* A line that begins with a blank, or is too long, is not kept. */
bool history_is_kept(const char *line, size_t n);
void history_add(struct history_file *h, const char *line, size_t n);
void history_close(struct history_file *h);
