/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* `posternctl explain`: what happened to this message on its way into the mailbox. */

#include "control/cli/message.h"
#include "control/cli/told.h"
#include "control/cli/undo.h"

#define EXPLAIN_FINDINGS 64
#define EXPLAIN_TEXT     1024
#define EXPLAIN_UNDO     3 /* signatures for which it is tried what was done to them */

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
	struct told_list told;
	const struct told *host; /* what the mailbox host itself found; NULL: it does not say */
	long entry;  /* index in hops of the line by which the mailbox's side got it; -1: unknown */
	long border; /* index in hops of whom the mailbox took; -1: unknown */
	long sender; /* index in hops of who sent it, as far as can be told; or -1 */
	struct finding finding[EXPLAIN_FINDINGS];
	size_t n;
	struct undo undo[EXPLAIN_UNDO]; /* of signature undo_of[i] in look.dkim */
	size_t undo_of[EXPLAIN_UNDO], n_undo;
};

/* The advice is left for the caller to write. NULL: there are too many. */
struct finding *explain_add(struct explanation *e, const char *code, long field, const char *fmt,
			    ...) __attribute__((format(printf, 4, 5)));
/* explain_path.c: border, host, sender. */
void explain_path(struct explanation *e);
/* Index in hops of the line that was written by who wrote this: the one below it, else the one
 * above it; -1: neither. */
long explain_line_of(const struct explanation *e, const struct told *t);
/* explain_arc.c: after explain_path(). */
void explain_arc(struct explanation *e);
/* explain_dkim.c: after explain_path(). */
void explain_dkim(struct explanation *e);
/* What would make signature i verify again; NULL: it was not tried. */
const struct undo *explain_undo(const struct explanation *e, size_t i);
/* "the signature verifies again when ...", or its header or body alone; "" if nothing was found. */
const char *explain_undo_text(const struct undo *u, char *buf, size_t cap);
/* "body" "header" "missing-field" "key" "policy" "other", or "" for one that passed. */
const char *explain_dkim_kind(const struct explanation *e, size_t i);
