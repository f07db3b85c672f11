/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Control's log: lines on standard error, with the time. How much is said is set while it runs
 * (`posternctl loglevel`) and is NOTE_INFO at the start. May be used from any thread; lines are not
 * mixed.
 */

#include <stdbool.h>
#include <stddef.h>

enum note_level {
	NOTE_ALERT,  /* somebody must act. No level keeps it back; the line says ALERT */
	NOTE_ERROR,  /* something did not work */
	NOTE_NOTICE, /* something changed: start, stop, configuration, dataplane */
	NOTE_INFO,   /* what the limits of sources do, and the like */
	NOTE_DEBUG,  /* a line for each message and each question of an operator */
};

void note(enum note_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Hears of each ALERT, without the word, on the thread that says it; NULL: nobody does. */
void note_on_alert(void (*told)(const char *text));

/* Is it said? For what is dear to put together. */
bool note_is_said(enum note_level level);
enum note_level note_level(void);
/* NOTE_ALERT is taken as NOTE_ERROR. */
void note_set_level(enum note_level level);

/* "error" to "debug". */
const char *note_level_name(enum note_level level);
bool note_level_parse(const char *name, enum note_level *level);
