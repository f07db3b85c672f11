/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* `posternctl explain`: what happened to this message on its way into the mailbox. */

#include "control/cli/message.h"

#define EXPLAIN_FINDINGS 64
#define EXPLAIN_TEXT     768

struct finding {
	const char *code;          /* stable, for programs */
	long field;                /* of the message, or -1 */
	char text[EXPLAIN_TEXT];   /* what is wrong, in plain words */
	char advice[EXPLAIN_TEXT]; /* what to configure, or that nothing helps */
};

struct explanation {
	struct look look;
	struct walker_view hops;
	const char *stamp; /* name of the field in which the mailbox said whom it took; or NULL */
	struct ip_addr taken;
	long border; /* index in hops of whom the mailbox took; -1: unknown */
	long sender; /* index in hops of who sent it, as far as can be told; or -1 */
	struct finding finding[EXPLAIN_FINDINGS];
	size_t n;
};

/* The advice is left for the caller to write. NULL: there are too many. */
struct finding *explain_add(struct explanation *e, const char *code, long field, const char *fmt,
			    ...) __attribute__((format(printf, 4, 5)));
/* explain_dkim.c */
void explain_dkim(struct explanation *e);
/* "body" "header" "missing-field" "key" "policy" "other", or "" for one that passed. */
const char *explain_dkim_kind(const struct headers *h, const struct dkim_signature *sig);
