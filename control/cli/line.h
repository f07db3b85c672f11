/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The daemon's socket for those who do something else meanwhile: nothing here waits. */

#include <stdbool.h>
#include <stddef.h>

struct line_client {
	int fd; /* to poll; -1: not connected */
	char *buf;
	size_t n, cap, taken; /* octets read; room; those of the line that was given out last */
};

/* 0 or -errno; *c is then closed. */
int line_open(struct line_client *c, const char *path);
void line_close(struct line_client *c);
/* A request, which fits into a socket's buffer. 0 or -errno. */
int line_send(struct line_client *c, const char *text);
/* 1: *line is one, without its end, until the next call; 0: none yet; -errno: it is over. */
int line_next(struct line_client *c, char **line);
