/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/message.h"

#define MESSAGE_MAX (256u * 1024 * 1024)

static int complain(const char *who, const char *what, const char *why)
{
	fprintf(stderr, "posternctl %s: %s: %s\n", who, what, why);
	return CLI_USAGE;
}

static int slurp(const char *who, const char *file, uint8_t **data, size_t *size)
{
	FILE *f = strcmp(file, "-") ? fopen(file, "rb") : stdin;
	size_t cap = 1 << 16, n = 0, k;
	uint8_t *p = malloc(cap);

	if (!f || !p) {
		free(p);
		return complain(who, file, strerror(errno));
	}
	while ((k = fread(p + n, 1, cap - n, f)) > 0) {
		n += k;
		if (n == cap) {
			uint8_t *more = cap < MESSAGE_MAX ? realloc(p, cap * 2) : NULL;

			if (!more) {
				free(p);
				return complain(who, file, "too large");
			}
			p = more;
			cap *= 2;
		}
	}
	if (f != stdin)
		fclose(f);
	*data = p;
	*size = n;
	return CLI_OK;
}

/* A file with lone LFs is a mail as UNIX keeps it: SMTP would have carried CRLF. */
static int to_crlf(const char *who, const char *file, uint8_t **data, size_t *size)
{
	const uint8_t *in = *data;
	size_t lone = 0, n = 0;
	uint8_t *p;

	for (size_t i = 0; i < *size; i++)
		lone += in[i] == '\n' && (!i || in[i - 1] != '\r');
	if (!lone)
		return CLI_OK;
	fprintf(stderr, "posternctl %s: %zu line(s) end in LF alone, taken as CRLF\n", who, lone);
	p = malloc(*size + lone);
	if (!p)
		return complain(who, file, "out of memory");
	for (size_t i = 0; i < *size; i++) {
		if (in[i] == '\n' && (!i || in[i - 1] != '\r'))
			p[n++] = '\r';
		p[n++] = in[i];
	}
	free(*data);
	*data = p;
	*size = n;
	return CLI_OK;
}

int message_read(const char *who, const char *file, uint8_t **data, size_t *size)
{
	int rc = slurp(who, file, data, size);

	return rc ? rc : to_crlf(who, file, data, size);
}
