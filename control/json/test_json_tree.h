/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What json_in.h reads, held against jansson. */

#include <stdbool.h>
#include <stddef.h>

/* Both take it for the same values, or both refuse it; as a tree, and passed over as a whole. */
bool json_tree_agrees(const char *text, size_t n);
