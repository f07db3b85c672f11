/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The one pass over the body of a message, for DKIM and ARC together, in slices over several turns
 * of the loop. Who needs hashes adds them to `pass` before the next turn and joins with an event
 * of its own, which is made active when the digests are there.
 */

#include "control/auth/dkim/canon.h"

struct event;
struct event_base;

#define BODY_RUN_MEMBERS 4

struct body_run {
	struct canon_pass pass;
	bool done;
	/* ours */
	struct mail_bytes content;
	size_t piece, piece_off;
	struct event *turn;
	struct event *member[BODY_RUN_MEMBERS];
	unsigned int refs;
};

/* headers and content stay valid until the last unref. One reference. NULL: -ENOMEM. */
struct body_run *body_run_new(struct event_base *base, const struct headers *headers,
			      const struct mail_bytes *content);
/* Takes a reference. 0 or -ENOSPC. */
int body_run_join(struct body_run *r, struct event *ev);
/* Gives it back; ev is not touched any more. */
void body_run_leave(struct body_run *r, struct event *ev);
void body_run_unref(struct body_run *r);
