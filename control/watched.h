/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What those who watch (control/watch/) are told of sessions. Nobody watches: next to nothing is
 * done. */

#include "control/handoff/handoff_ctl.h"

struct loop;
struct session;

/* It is answered with r. */
void watched_opened(struct loop *l, const struct session *s, const struct ctl_reply *r);
/* A recipient is asked about: the first of a session shows its HELO and whether it speaks TLS. */
void watched_greeted(struct loop *l, struct session *s, const struct ctl_rcpt_question *asked);
/* DESC_SESSION_END. */
void watched_closed(struct loop *l, const struct session *s, const struct handoff_desc *d);
/* The dataplane is gone, and all sessions with it: before they are. */
void watched_lost(struct loop *l);
