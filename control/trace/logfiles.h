/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The log and what rotation made of it: PATH, and PATH with a suffix of dots, hyphens and digits
 * ("trace.jsonl.1", "trace.jsonl-20260101"). A file is known by its first line, which names a time and
 * a trace id and never changes, whatever the file is called by then.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LOGFILES_MAX 1000u
#define LOGFILES_LINE (4u * 1024 * 1024) /* a longer line is no record */

struct logfile {
	char name[256];              /* in the directory of the log */
	uint64_t key;                /* of its first line */
	int64_t time_ms;             /* of its first line; 0: it says none */
	dev_t dev;
	ino_t ino;
	uint64_t size;
};

/* Oldest first. Files without a whole first line are left out. How many, or -errno. *list is to be
 * freed. */
long logfiles_list(const char *path, struct logfile **list);
/* One of them, by its path alone. False: it is not there, or without a whole first line. */
bool logfiles_look(const char *path, struct logfile *f);
/* -errno: it is gone. */
int logfiles_open(const char *path, const struct logfile *f);
/* RFC 3339, UTC; 0: it is none. */
int64_t logfiles_time_ms(const char *text);
