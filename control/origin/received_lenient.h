/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Reads whatever a mail server ever wrote into a Received field. For `explain` and for the models
 * of other readers (walkers.h): what it says is a guess about a stranger's text. The trust walk
 * reads with received_parse_strict() and must never read with this.
 */

#include "control/origin/origin.h"

/* `scratch` (cap octets) holds the unfolded value that the fields point into.
 * 0: a hop, with its address. -ENOENT: tells of no SMTP hop (a queue, a scanner, fetchmail), or of
 * one without an address; *why says which. -ENOSPC: too long. */
int received_parse_lenient(struct str value, uint8_t *scratch, size_t cap, struct received *out,
			   const char **why);
