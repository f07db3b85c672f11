/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Who has a mailbox, from a file: an address or "@domain" a line, "#" to the end of a line is a
 * comment. Kept as keyed 128-bit hashes, so a million are 32 MB whatever their length. Domains are
 * compared as A-labels; local parts without their quotes (RFC 5321 4.1.2) and, unless `exact`, without
 * the case of ASCII letters.
 */

#include <stdbool.h>

#include "control/config/config_value.h"

struct config_recipients;

/* `text` is that of the file `path`. In r->mem. NULL: an error. */
struct config_recipients *config_recipients_parse(struct config_reader *r, const struct config_node *at,
						  const char *path, struct str text, bool exact,
						  char delimiter);
/* Reads `path`; what is wrong is an error with the file's own line. */
struct config_recipients *config_recipients_load(struct config_reader *r, const struct config_node *at,
						 const char *path, bool exact, char delimiter);
