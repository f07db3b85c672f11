/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* How far a reload is, on standard error: one line that changes on a terminal, else a line for each
 * stage that takes long. */

#include <stdbool.h>

struct cli;

struct progress {
	const struct cli *cli;
	char stage[32];        /* that was told last */
	bool line;             /* of the terminal, to be wiped */
};

/* Asks the daemon, on a connection of its own. False: it does not say. arg: struct progress. */
bool progress_show(void *arg);
void progress_end(struct progress *p);
