/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Look-ups in the tables that gen_tables.py makes at build time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/str.h"

#define TABLES_ENTITY_NAME  32 /* octets of the longest name, its ';' included */
#define TABLES_ENTITY_SHORT 6  /* of the longest that goes without one */

/* The text of a named character reference; the name as it stands behind the '&', with its ';' if it
 * has one. STR_NONE: there is none of that name. */
struct str tables_entity(struct str name);

/* A top-level domain in use: ASCII, in lower case, without dots. */
bool tables_is_tld(struct str label);

/* What a character of a host name stands for (UTS 46): up to four code points into out, 0 if it is
 * left out; 1 and itself for most. */
size_t tables_idna(uint32_t cp, uint32_t out[4]);
