/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Words of a command line in a request to control. JSON holds UTF-8 only: what is none must not be
 * left out of a request, which would then ask for more than was said.
 */

#include <jansson.h>

/* A new reference; NULL: `text` is no UTF-8, and that was said on stderr. command: "watch". */
json_t *request_string(const char *command, const char *text);
/* The member `name`; CLI_OK, or CLI_USAGE having said why. */
int request_text(json_t *request, const char *command, const char *name, const char *text);
/* Of digits only, 1 to `most`; 0: it is no such number. */
long request_number(const char *text, long most);
