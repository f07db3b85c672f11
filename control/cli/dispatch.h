/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* From a command line to what it does. */

#include "control/cli/cli.h"

/* Takes --json and --socket out of argv, wherever they stand before "--". The new argc, or -1
 * having said why. */
int dispatch_globals(struct cli *cli, int argc, char **argv);

/* Runs argv here; an enum cli_exit. */
int dispatch(const struct cli *cli, int argc, char **argv);

/* The same in a process of its own, with no standard input if `quiet`: a command may exit, be cut
 * short by ^C, or leave what it likes behind in its memory. Also takes out what dispatch_globals()
 * does. The exit code; 128 and the signal if it was ended by one. */
int dispatch_apart(const struct cli *cli, int argc, char **argv, bool quiet);

/* Says exit or quit, and nothing else but what dispatch_globals() takes out. */
bool dispatch_ends(const struct cli *cli, int argc, char **argv);

/* At the end of a command: `code`, or CLI_FINDING if that is CLI_OK and standard output could not be
 * written, which is said in either case. */
int dispatch_flush(int code);
