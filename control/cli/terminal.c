/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TEXT_LEAST 40 /* narrower than that nothing is to be had of it */
#define TEXT_USUAL 80
#define TEXT_MOST  110

unsigned int terminal_columns(void)
{
	struct winsize w;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) ? 0 : w.ws_col;
}

unsigned int terminal_text_columns(void)
{
	unsigned int n = terminal_columns();

	return n < TEXT_LEAST ? TEXT_USUAL : n < TEXT_MOST ? n : TEXT_MOST;
}

bool terminal_draws(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

bool terminal_colour(void)
{
	const char *no = getenv("NO_COLOR");

	return !(no && *no) && terminal_draws();
}
