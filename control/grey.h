/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The greylist at RCPT (RFC 6647, docs/policy.md): asked for recipients that are good, of senders
 * whose own address is known, by the policy of their route. An address that nobody knows is looked
 * at by its SPF domain as well, so that a pool that retries from elsewhere passes.
 */

#include "control/deliver/deliver.h"

struct loop;
struct message;
struct session_question;

/* `good` is what the recipient hears if nothing speaks against it. True: q->reply is set. False:
 * q->spf is under way, `then` follows; not inside this call. */
bool grey_ask(struct session_question *q, const struct deliver_reply *good,
	      void (*then)(struct session_question *q));
/* A next hop took the message: who sent it is known from now on. */
void grey_accepted(struct loop *l, const struct message *m);
/* Opens the table if the configuration wants one and it is not open yet. False: *err says why. */
bool grey_open(struct loop *l, const struct config *c, char *err, size_t err_len);
