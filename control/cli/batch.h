/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* `posternctl -f FILE|-`: a command a line, each run when it is read. */

#include "control/cli/cli.h"

/* The exit code of the first command that failed, behind which no other runs unless keep_going. */
int batch_run(const struct cli *cli, const char *file, bool keep_going);
