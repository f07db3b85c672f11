/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A list of recipients: any text is taken or told of, and a plain line that was taken is found. */

#include <stdlib.h>
#include <string.h>

#include "control/config/recipients.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error err[4];
	struct config_mem mem = {0};
	struct config_ctx ctx = {.file = "f", .err = err, .cap = 4};
	struct config_reader r = {.c = &ctx, .mem = &mem};
	bool exact = size && data[0] & 1;
	struct str text = str_skip(str_make(data, size), 1), rest = text;
	struct config_recipients *l = config_recipients_parse(&r, NULL, "list", text, exact, '+');

	if (!l != (ctx.n_errors > 0))
		abort();
	while (l && rest.n) {
		struct str line = str_cut(rest, str_find(rest, '\n'));

		rest = str_skip(rest, line.n + 1);
		line = str_trim(line);
		if (line.n && str_find(line, '#') == line.n && mailbox_local(line).n &&
		    !config_recipients_has(l, line))
			abort();
	}
	config_mem_free(&mem);
	config_mem_free(&ctx.mem);
	return 0;
}
