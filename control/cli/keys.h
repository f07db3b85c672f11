/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* `posternctl keys`: what its three commands have in common. No daemon is asked. */

#include <stdint.h>

#include "control/auth/arc/arc.h"
#include "control/cli/cli.h"
#include "control/dns/dns.h"

/* Prints the record as a line of a zone file, in strings of at most 255 octets (RFC 1035 3.3.14).
 */
void keys_print_record(const char *selector, const char *domain, const char *record);
/* Does DNS publish the key, and it alone, under its selector? KEYS_OK, or what else there is and, in
 * why, more of it. */
enum keys_published { KEYS_NOT_ASKED, KEYS_OK, KEYS_MISSING, KEYS_DIFFERS, KEYS_FAILED };
enum keys_published keys_published(const struct arc_key *key, const struct dns_answer *answer,
				   char *why, size_t cap);
/* keys_generate.c: argv behind the word. */
int keys_generate(const struct cli *cli, int argc, char **argv);
