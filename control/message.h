/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What message.c, message_record.c, hold.c, redirect.c, observe.c and journal.c tell each other. */

#include <errno.h>
#include <stdio.h>

#include "control/loop.h"

/* hold.c: puts the judged message into quarantine; it comes back by one of the two below. -ENOMEM. */
int hold_start(struct message *m);
void hold_free(struct hold *h);

/* redirect.c: sends it to the quarantine mailbox of its policy; comes back by the same. -errno: it does
 * not. */
int redirect_start(struct message *m);
void redirect_free(struct redirect *r);
json_t *redirect_json(const struct redirect *r);

/* under_way.c: by trace id, from SUBMIT to its end. The loop's table begins as zeros. */
void under_way_add(struct message *m);
void under_way_remove(struct message *m);
/* origin_in_hand: is the message of this trace id another one than m (arg), to all recipients of m? */
bool under_way_elsewhere(void *m, struct str trace_id);

/* The judged message with our block, and above it for whom and why it comes to a mailbox that is not
 * its recipients'. *range is to be freed, as *out. 0 or -errno. */
int redirect_block(struct message *m, const char *reason, struct annotate_output *out,
		   struct mail_range **range);

/* journal.c: a copy of an observed message; comes back by observe_journaled(). -errno: it does not. */
int journal_start(struct message *m);
void journal_free(struct journal *j);
json_t *journal_json(const struct journal *j);
/* observe.c: the copy is over. Frees the message. */
void observe_journaled(struct message *m);

/* message_record.c: what of the octets a record tells, before they are given back. */
void message_remember(struct message *m);
/* One record a recipient. `res` NULL: it never came to a delivery. */
void message_record(struct message *m, enum trace_outcome outcome, const struct ctl_reply *r,
		    const struct deliver_result *res);

/* message.c: of a SUBMIT, among those under way. NULL and an errno in *error. */
struct message *message_new(struct loop *l, const struct handoff_desc *d, int *error);
/* Release without a record; frees the message. */
void message_forget(struct message *m);
/* An observed one is over: record, release; frees the message. */
void message_observed(struct message *m, enum trace_outcome outcome);
/* The client's reply; frees the message. */
void message_answer(struct message *m, const struct ctl_reply *r, enum trace_outcome outcome);
/* Nobody waits for it any more; frees the message. */
void message_give_back(struct message *m);
/* Right before it is given away for good: from here on its 250 may be in doubt. */
void message_begin(struct message *m);
/* And it was taken. */
void message_taken(struct message *m);
/* For deliver/: asked right before the final dot; arg: the message. */
bool message_onward(void *arg);
/* Who sent it, as the next hop is told where its route says so. All of it lives as long as `m`. */
void message_client(const struct message *m, const struct config_route *route, struct deliver_client *c);
bool message_block_8bit(const struct annotate_output *out);
/* Does the client still wait? */
bool message_wanted(const struct message *m);
