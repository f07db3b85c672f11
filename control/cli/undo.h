/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What was done to a signed message? A changed message does not tell, but whoever changes mail does
 * the same few things: a tag in the Subject, a footer, a banner, a wrapped or re-encoded body. Each
 * is taken back in turn, and a hash that fits is proof: nothing is guessed. The work is bounded, so
 * "not found" says little.
 */

#include "control/cli/message.h"

#define UNDO_TEXT 160
#define UNDO_STEPS 3

/* One step back. */
struct undo_step {
	const char *what; /* "subject-tag" "from" "field-added" "encoding" "wrapped" "lines-added" */
	char text[UNDO_TEXT]; /* plain words that end "the signature verifies again when ...";
	                       * printable ASCII */
};

/* What of a signature holds, and what to take back for the rest of it to hold. Of a part that is
 * whole or was not found n is 0. */
struct undo_part {
	bool whole;             /* as the message is */
	size_t n;
	struct undo_step step[UNDO_STEPS];
};

struct undo {
	struct undo_part header, body;
};

/* For a signature that failed. Both parts are known only if its key is in DNS: 0, else -ENOENT;
 * -ENOMEM. */
int undo_try(struct look *l, const struct dkim_signature *sig, struct undo *out);

/* ---- between the files of this part --------------------------------------------------------- */

/* The body of the message, or a part of it. */
struct undo_mime {
	struct str body;
	struct str type, encoding; /* raw values of Content-Type, Content-Transfer-Encoding; or none */
};

#define UNDO_PARTS 8

/* The parts of a multipart body that is none below it; how many. */
size_t undo_parts(struct str content_type, struct str body, struct undo_mime out[UNDO_PARTS]);
/* Decodes quoted-printable or base64 into out (cap >= in.n). Length, or -EBADMSG. */
long undo_decode(struct str encoding, struct str in, uint8_t *out, size_t cap);

/* What was hashed for one signature, against a bound. */
struct undo_hash {
	const struct dkim_params *p;
	uint64_t hashed;
};

bool undo_exhausted(const struct undo_hash *u);
/* Is this, in n pieces, the body that was signed? */
bool undo_fits(struct undo_hash *u, const struct str *piece, size_t n);
/* Looks for text put in at the usual places: of one part, or of two (as text and as HTML). */
bool undo_inserted(struct undo_hash *u, struct str content_type, struct str body,
		   struct undo_part *out);
/* Looks for a body that the signature covers. */
void undo_body(const struct look *l, const struct dkim_params *p, struct undo_part *out);
/* Looks for a header that it covers; `own`: its field. */
int undo_header(struct look *l, const struct dkim_signature *sig, const struct dkim_params *p,
		const struct look_txt *key, struct undo_part *out);
