/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What the files of policy/ share. */

#include "control/policy/policy.h"

void policy_say(char *buf, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define SAY(buf, ...) policy_say(buf, sizeof(buf), __VA_ARGS__)

/* Action and reply; out->reason and the cause are the caller's. */
void policy_refuse(struct policy_verdict *out, enum policy_action action, uint16_t code,
		   uint16_t detail, const char *text);

/* lift.c: who vouches for a message whose author does not align; comment: in what words. */
enum policy_lift policy_lift(const struct policy_input *in, char *comment, size_t cap);
/* Is this a pass that says something of the message as it is: over the whole body, by a key that
 * is not just being tried out? */
bool policy_full_pass(const struct dkim_signature *s);
/* Are two domains the same, or of one organization as the public suffix list has it? */
bool policy_same_org(const char *a, const char *b);

/* checks.c: SPF, DKIM, reverse DNS, ARC and null MX as configured. */
void policy_checks(const struct policy_input *in, struct policy_verdict *out);

/* dmarc.c */
void policy_dmarc(const struct policy_input *in, struct policy_verdict *out);
/* access.c: fills out->access; a denial that decides is put into *out, and true. */
bool policy_access(const struct policy_input *in, struct policy_verdict *out);
/* Is this part of policy taken away by an allow list? bit: CONFIG_SKIP_*. */
bool policy_skips(const struct policy_input *in, const struct policy_verdict *v, unsigned int bit);
/* policy.c: held back if there is a place, else deferred. */
void policy_hold(const struct policy_input *in, struct policy_verdict *v);
/* lift.c: the instance of the oldest of the trusted sealers whose chain stands, counted from the newest
 * without a gap; 0: none. */
size_t policy_first_trusted(const struct policy_input *in);
