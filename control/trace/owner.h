/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Why a file of ours cannot be opened, for whoever has to mend it. */

#include <stddef.h>

/* "; FILE belongs to uid 0 (root), mode 0640, and this runs as uid 998: chown -h 998:998 FILE"; of the directory that
 * it would be made in, without what is to be done; that it is a link; "" where this process may read and write it, or
 * nobody knows. No names but root's: they would be asked for in the middle of mail. */
void owner_text(const char *path, char *out, size_t cap);
