/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* posternctl: a command, a batch of them, or the shell. What they are says grammar.h. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/cli/batch.h"
#include "control/cli/cli.h"
#include "control/cli/dispatch.h"
#include "control/cli/grammar.h"

struct whole {
	const char *batch;
	bool keep_going;
};

static int wrong(const char *what, const char *why)
{
	fprintf(stderr, "posternctl: %s: %s\n", what, why);
	return -1;
}

/* Options in front of a command. How many words they are, -1: said why. */
static int own_options(struct whole *w, int argc, char **argv)
{
	int i = 0;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "--keep-going"))
			w->keep_going = true;
		else if (!strcmp(argv[i], "-f") && i + 1 == argc)
			return wrong("-f", "which file? - is standard input");
		else if (!strcmp(argv[i], "-f"))
			w->batch = argv[++i];
		else
			return wrong(show_plain(argv[i]),
				     "unknown, or misplaced: options of a command stand behind it");
	}
	if (w->batch && i < argc)
		return wrong(show_plain(argv[i]), "with -f the commands are in the file");
	if (w->keep_going && !w->batch)
		return wrong("--keep-going", "with -f only");
	return i;
}

static int run(int argc, char **argv)
{
	struct cli cli = {.socket = "/run/postern/control.sock"};
	int n = dispatch_globals(&cli, argc - 1, argv + 1), own;
	struct whole w = {.batch = NULL};
	char **a = argv + 1;

	if (n == 1 && !strcmp(a[0], "--version")) {
		puts("posternctl " POSTERN_VERSION);
		return CLI_OK;
	}
	if (n == 1 && !strcmp(a[0], "--help"))
		return cmd_help(&cli, 0, a);
	own = n < 0 ? -1 : own_options(&w, n, a);
	if (own < 0)
		return CLI_USAGE;
	if (w.batch)
		return batch_run(&cli, w.batch, w.keep_going);
	if (n == own && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return cmd_shell(&cli, 0, a);
	if (n == own) {
		fputs("posternctl: no command\n", stderr);
		grammar_usage(stderr);
		return CLI_USAGE;
	}
	return dispatch(&cli, n - own, a + own);
}

int main(int argc, char **argv)
{
	return dispatch_flush(run(argc, argv));
}
