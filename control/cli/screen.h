/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * A terminal that is drawn upon: the alternate screen, keys without Enter, and back to how it was
 * on every way out but SIGKILL. A frame is one write, of the lines that are not what they were;
 * nothing is ever cleared but what is right of a line and below the last one, so that nothing
 * flickers. One at a time.
 */

#include <poll.h>
#include <stdbool.h>

#include "control/cli/top.h"

/* 0; -ENOTTY: standard output is no terminal that can be drawn upon, nothing was changed; or -errno. */
int screen_open(void);
/* Also if it is not open. */
void screen_close(void);
/* Of now. */
void screen_size(unsigned int *columns, unsigned int *rows);
/* False: the terminal is gone. */
bool screen_draw(const struct top_frame *f);
/* -1: there are no keys. */
int screen_keys_fd(void);

enum screen_event {
	SCREEN_NOTHING,
	SCREEN_REDRAW, /* the size is another, or we were away */
	SCREEN_QUIT,   /* SIGINT: as the key */
	SCREEN_END,    /* SIGTERM, SIGHUP, SIGQUIT: screen_die() is due */
};
/* ppoll() in which alone signals arrive; SIGTSTP is dealt with inside. *n: what poll() gives, 0 if
 * it was cut short. */
enum screen_event screen_wait(struct pollfd *p, nfds_t n_fds, int timeout_ms, int *n);
/* Restores the terminal, and ends of the signal that came. */
void screen_die(void);
