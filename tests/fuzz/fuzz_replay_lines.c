/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What a dataplane gone mad might print, as tables and as JSON: nothing but printable text comes out. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/cli/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void once(const uint8_t *data, size_t size, bool json)
{
	struct replay_lines r = {.json = json, .all = true};
	FILE *in = fmemopen((void *)(uintptr_t)data, size, "r"), *saved = stdout;
	char *text = NULL;
	size_t n = 0;

	stdout = open_memstream(&text, &n);
	if (!in || !stdout)
		abort();
	if (!replay_read(&r, in) && !r.fault[0])
		abort();
	fclose(stdout);
	stdout = saved;
	fclose(in);
	for (size_t i = 0; i < n; i++)
		if (((uint8_t)text[i] < ' ' && text[i] != '\n') || text[i] == 0x7f ||
		    (json && (uint8_t)text[i] > '~'))
			abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	once(data, size, false);
	once(data, size, true);
	return 0;
}
