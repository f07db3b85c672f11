/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What standard output is. */

#include <stdbool.h>

/* 0: no terminal, or one that does not say: nothing is cut. */
unsigned int terminal_columns(void);
/* For lines of text, which longer than that nobody likes to read. */
unsigned int terminal_text_columns(void);
/* Of a terminal: neither NO_COLOR (https://no-color.org: unless it is empty) nor TERM=dumb is set. */
bool terminal_colour(void);
/* Can it be drawn upon? */
bool terminal_draws(void);
