/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What both kinds of gates have in common (literals.h, automaton.h). */

#include <stddef.h>
#include <stdint.h>

/* A gate is told this often in a call, with a place each, and once more if there are others: control
 * then looks at these places only, or at all of the text. */
#define GATE_PLACES 8u

/* `end`: offset behind an octet that a match must reach, or begin at, counted from p. */
typedef void gate_found(void *ctx, uint32_t id, size_t end);
