/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/note.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control/rfc3339.h"

static const char *const names[] = {[NOTE_ERROR] = "error",
				    [NOTE_NOTICE] = "notice",
				    [NOTE_INFO] = "info",
				    [NOTE_DEBUG] = "debug"};

static _Atomic int said = NOTE_INFO;
static void (*alerted)(const char *text);

void note_on_alert(void (*told)(const char *text))
{
	alerted = told;
}

bool note_is_said(enum note_level level)
{
	return (int)level <= atomic_load_explicit(&said, memory_order_relaxed);
}

enum note_level note_level(void)
{
	return (enum note_level)atomic_load_explicit(&said, memory_order_relaxed);
}

void note_set_level(enum note_level level)
{
	atomic_store_explicit(&said,
			      level < NOTE_ERROR   ? NOTE_ERROR
			      : level > NOTE_DEBUG ? NOTE_DEBUG
						   : level,
			      memory_order_relaxed);
}

const char *note_level_name(enum note_level level)
{
	return level >= NOTE_ERROR && level <= NOTE_DEBUG ? names[level] : "";
}

bool note_level_parse(const char *name, enum note_level *level)
{
	for (int i = NOTE_ERROR; i <= NOTE_DEBUG; i++)
		if (!strcmp(names[i], name)) {
			*level = (enum note_level)i;
			return true;
		}
	return false;
}

/* Who keeps it may cut it again. */
__attribute__((format(printf, 1, 0))) static void alert(const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	alerted(text);
}

void note(enum note_level level, const char *fmt, ...)
{
	char when[RFC3339];
	va_list ap;

	if (!note_is_said(level))
		return;
	rfc3339(time(NULL), when);
	if (level == NOTE_ALERT && alerted) {
		va_start(ap, fmt);
		alert(fmt, ap);
		va_end(ap);
	}
	flockfile(stderr);
	fprintf(stderr, "%s control: %s", when, level == NOTE_ALERT ? "ALERT " : "");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	funlockfile(stderr);
}
