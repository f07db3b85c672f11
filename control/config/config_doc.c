/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Writes the table of keys into a text, at the line that is MARK alone: `config_doc scdoc FILE` for the
 * manual page, `config_doc markdown FILE` for docs/configuration.md.
 */

#include <stdio.h>
#include <string.h>

#include "control/config/keys.h"

#define MARK	 "@KEYS@\n"
#define WIDTH	 118 /* of docs/, where a line is no longer */
#define LINE_MAX 4096

static void keys(enum config_markup m)
{
	for (size_t i = 0; i < n_config_sections; i++)
		config_print_section(stdout, m, config_sections[i], WIDTH);
}

int main(int argc, char **argv)
{
	bool scdoc = argc == 3 && !strcmp(argv[1], "scdoc"), found = false;
	char line[LINE_MAX];
	FILE *f;

	if (argc != 3 || (!scdoc && strcmp(argv[1], "markdown") != 0)) {
		fprintf(stderr, "usage: config_doc scdoc|markdown FILE\n");
		return 2;
	}
	f = fopen(argv[2], "r");
	if (!f) {
		perror(argv[2]);
		return 1;
	}
	while (fgets(line, sizeof(line), f)) {
		if (strcmp(line, MARK) != 0) {
			fputs(line, stdout);
			continue;
		}
		found = true;
		keys(scdoc ? MARKUP_SCDOC : MARKUP_MARKDOWN);
	}
	fclose(f);
	if (!found)
		fprintf(stderr, "%s: no line %s", argv[2], MARK);
	return found && !ferror(stdout) && fflush(stdout) == 0 ? 0 : 1;
}
