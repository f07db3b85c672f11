/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What is refused before there is a message: its text names a trace id, and trace has a record
 * under that id. At RCPT it is the id of the transaction, which the dataplane adds; at CONNECT
 * there is none yet and one is made here. Of a flood only LIMIT_TRACE_REFUSED a second are
 * recorded, the others counted (trace_untold).
 */

#include "control/handoff/handoff_ctl.h"

struct loop;
struct session;
struct config_route;

/* The refusal *r gets " id=..."; its text then stands in buf. */
void refused_connect(struct loop *l, const struct session *s, struct ctl_reply *r,
		     char buf[HANDOFF_MAX_TEXT + 1]);
/* route NULL: there is none for this recipient. */
void refused_rcpt(struct loop *l, const struct session *s, const struct ctl_rcpt_question *asked,
		  const struct config_route *route, const struct ctl_reply *r);
