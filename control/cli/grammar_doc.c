/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Writes the table of commands into the manual page, at the line that is MARK alone: `grammar_doc
 * FILE`. */

#include <stdio.h>
#include <string.h>

#include "control/cli/grammar.h"

#define MARK     "@COMMANDS@\n"
#define LINE_MAX 4096

int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
	bool found = false;
	char line[LINE_MAX];

	if (!f) {
		fprintf(stderr, "grammar_doc: which FILE?\n");
		return 2;
	}
	while (fgets(line, sizeof(line), f)) {
		if (!strcmp(line, MARK)) {
			grammar_manual(stdout);
			found = true;
		} else {
			fputs(line, stdout);
		}
	}
	fclose(f);
	if (!found)
		fprintf(stderr, "%s: no line %s", argv[1], MARK);
	return found && !ferror(stdout) && fflush(stdout) == 0 ? 0 : 1;
}
