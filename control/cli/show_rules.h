/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

#include <jansson.h>

/* The answer to `show rules` as a table of so many columns; 0: nothing is cut. */
void show_rules_table(const json_t *answer, unsigned int columns);
