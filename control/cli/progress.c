/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/cli/cli.h"

bool progress_show(void *arg)
{
	struct progress *p = arg;
	json_t *status = client_status(p->cli);
	const json_t *reload = json_object_get(status, "reload");
	char text[160];
	bool known = status != NULL;

	if (!show_progress(reload, text, sizeof(text)))
		; /* the answer is on its way */
	else if (isatty(STDERR_FILENO)) {
		fprintf(stderr, "\r\033[K%s", text);
		fflush(stderr);
		p->line = true;
	} else if (strcmp(p->stage, show_text(reload, "stage")) != 0) {
		fprintf(stderr, "%s\n", text);
	}
	snprintf(p->stage, sizeof(p->stage), "%s", show_text(reload, "stage"));
	json_decref(status);
	return known;
}

void progress_end(struct progress *p)
{
	if (p->line)
		fputs("\r\033[K", stderr);
}
