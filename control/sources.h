/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Between the sessions and the table of sources (control/admission/): who is exempt, what counts as a
 * failure, what the client and the operator are told. With loop.sources NULL nothing is limited.
 *
 * What is counted is the client that is judged, never the TCP peer that names it: who may use XCLIENT
 * and listed relays are exempt as such. The client behind a relay is known with its message only; what
 * becomes of that message is its own.
 */

#include <stdbool.h>
#include <stddef.h>

#include "control/deliver/deliver.h"
#include "control/handoff/handoff_ctl.h"
#include "control/trace/trace.h"

struct loop;
struct message;
struct session;
struct sources;
struct admission;

/* NULL: no memory or no randomness. */
struct sources *sources_new(void);
void sources_free(struct sources *s);

/* CONNECT, also a second one: the session goes to another source. *r is what it would be answered; a
 * refusal is written there, its text stands until the next call. True: the source is in good standing, or
 * exempt. */
bool sources_connect(struct loop *l, struct session *s, struct ctl_reply *r);
/* At RCPT, before anybody is asked. True: *r is the answer, and the session ends with it. */
bool sources_rcpt(struct loop *l, struct session *s, struct ctl_reply *r);
/* A recipient is about to be refused with *r, which may turn into the end of the session. */
void sources_rcpt_refused(struct loop *l, struct session *s, struct ctl_reply *r);
/* What became of a message; res NULL: it never came to a delivery. */
void sources_message(struct loop *l, const struct message *m, enum trace_outcome outcome,
		     const struct deliver_result *res);
/* SESSION_END, before the session is freed: what it showed. */
void sources_session_end(struct loop *l, struct session *s, const struct handoff_desc *d);
/* The session is gone, or all of them are. */
void sources_leave(struct session *s);
void sources_leave_all(struct loop *l);

/* For `show sources`. */
struct admission *sources_table(struct loop *l);
uint64_t sources_now_ms(void);
