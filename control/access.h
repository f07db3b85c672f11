/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What the deny lists of policy say before there is content: the sender's address where it is known
 * to be that (the client is no relay), and MAIL FROM. Only a denial that refuses or defers is told
 * here; what is tagged, held back or discarded is so with its content, and a dry run waits for it,
 * too.
 */

#include "control/handoff/handoff_ctl.h"

struct loop;
struct session;
struct session_question;

/* At CONNECT, where the policy of every route would deny it: the greeting is 554. Else *r stays. */
void access_connect(struct loop *l, const struct session *s, struct ctl_reply *r);
/* At RCPT, by the policy of its route. True: *r is the answer, its text stands in buf. */
bool access_rcpt(struct loop *l, const struct session_question *q, struct str mail_from,
		 struct ctl_reply *r, char buf[HANDOFF_MAX_TEXT + 1]);
