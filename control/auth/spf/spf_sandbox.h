/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The jail a worker locks itself into. */

/* Closes every descriptor but fd. */
void spf_close_others(int fd);
/* Limits, no new privileges, not dumpable, and a system call filter: read and write on `fd`,
 * memory, exit. Anything else kills the process (SIGSYS). 0 or -errno; after an error the process
 * must end. */
int spf_sandbox_enter(int fd);
