/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* `posternctl keys`: what its three commands have in common. No daemon is asked. */

#include <stdint.h>

#include "control/auth/arc/arc.h"
#include "control/cli/cli.h"

/* Prints the record as a line of a zone file, in strings of at most 255 octets (RFC 1035 3.3.14).
 */
void keys_print_record(const char *selector, const char *domain, const char *record);
/* keys_generate.c: argv behind the word. */
int keys_generate(const struct cli *cli, int argc, char **argv);
