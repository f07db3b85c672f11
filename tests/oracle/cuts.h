/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Where a text is cut into runs. */

#include "postern/str.h"
#include "tests/oracle/rng.h"

enum cuts_kind {
	CUTS_FEW,      /* one to eight places */
	CUTS_OCTETS,   /* an octet a run, in part of it where it is long */
	CUTS_TINY,     /* runs of 0 to 16 octets */
	CUTS_INSIDE,   /* inside of CRLF, characters, escapes and groups of base64 */
	CUTS_BOUNDARY, /* about multiples of CONTENT_RUN */
	CUTS_SEGMENTS, /* as TCP brings it */
	CUTS_KINDS
};
const char *cuts_name(enum cuts_kind k);

struct cuts {
	enum cuts_kind kind;
	size_t *at; /* ascending, each within the text; equal ones make empty runs */
	size_t n, cap;
};

/* Replaces what c held. Aborts where there is no memory. */
void cuts_draw(struct cuts *c, struct rng *r, struct str text);
void cuts_free(struct cuts *c);
