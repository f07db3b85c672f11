/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"

json_t *request_string(const char *command, const char *text)
{
	json_t *s = json_string(text);

	if (!s)
		fprintf(stderr, "posternctl %s: \"%.200s\" is no UTF-8\n", command,
			show_plain(text));
	return s;
}

int request_text(json_t *request, const char *command, const char *name, const char *text)
{
	return json_object_set_new(request, name, request_string(command, text)) ? CLI_USAGE
										 : CLI_OK;
}

long request_number(const char *text, long most)
{
	long n;

	if (!*text || text[strspn(text, "0123456789")])
		return 0;
	errno = 0;
	n = strtol(text, NULL, 10);
	return !errno && n <= most ? n : 0;
}
