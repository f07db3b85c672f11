/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Makes messages that are really signed, with a fixed seed: DKIM signatures by a signer of its own
 * and ARC sets, over whatever h= can hold, with fields that pretend to be ours or the next hop's,
 * and headers at the limits. What each field is, is known from making it.
 */

#include <stdbool.h>
#include <stddef.h>

#define MAILGEN_FIELDS 2100
#define MAILGEN_TEXT   (600 * 1024)
#define MAILGEN_NAMES  32
#define MAILGEN_BODY   "body\r\n"

/* Which route of the configuration takes it. */
enum route { PLAIN, OTHER, KEEPS };

enum kind {
	STAYS,
	OURS,    /* forged, whatever the route */
	OURS_B,  /* forged where the prefix is the route's own */
	FOREIGN, /* another system's trust */
};

struct field {
	const char *text;
	size_t len;
	char name[40];
	enum kind kind;
	bool odd;
};

struct signature { /* DKIM-Signature, AMS */
	char names[MAILGEN_NAMES][40];
	size_t n;
};

struct mail {
	enum route route;
	struct field field[MAILGEN_FIELDS]; /* bottom up: field[0] is the last */
	size_t n;
	struct signature dkim[3], ams[3];
	size_t n_dkim, n_arc;
	bool own_aar[3]; /* the set says that it is ours */
	bool at_limits;
	char store[MAILGEN_TEXT];
	size_t used;
	char text[MAILGEN_TEXT];
	size_t size;
};

/* Keys; writes their records as a zone. 0 or -1. */
int mailgen_start(char *zone, size_t cap);
void mailgen_stop(void);
/* The next message; it stays until the next call. */
const struct mail *mailgen_next(void);
unsigned int mailgen_below(unsigned int n);
