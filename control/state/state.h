/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What control has learnt and must still know after a crash: small documents, one a file, each
 * replaced as a whole. A thread writes them (beside, fsync, rename, fsync of the directory), so that a
 * loop never waits for a disk; of a document that changes while it is written the newest version
 * follows. What a document says is its owner's business: here it is octets.
 *
 *   DIRECTORY/lock      one owner
 *   DIRECTORY/NAME      a line with version and SHA-256, then the octets
 *   DIRECTORY/NAME.bad  what could not be read the last time
 */

#include <stddef.h>
#include <stdint.h>

struct state;

enum state_doc {
	STATE_BREAKERS,  /* breakers.json: of the routes */
	STATE_STS,       /* mta-sts.json: policies of domains */
	STATE_DOCS,
};
const char *state_name(enum state_doc doc);

/* Makes the directory if it is not there (mode 0750), its parent not. NULL: err (>= 256 octets) says
 * why; another process that has it is one reason. */
struct state *state_open(const char *directory, char *err, size_t err_len);
/* Writes what waits to be written. */
void state_close(struct state *s);

/* The document as it was written last; *text is malloc'ed, NUL-terminated. -ENOENT: there is none;
 * -EBADMSG: damaged, and moved away; -EFBIG, -ENOMEM, -errno. To be asked before the first put. */
int state_read(struct state *s, enum state_doc doc, char **text, size_t *n);
/* Takes text (malloc'ed) over. At most LIMIT_STATE_DOC octets, else it counts as a write that failed.
 * A write that fails is tried again every LIMIT_STATE_RETRY_S, until it succeeds or another follows. */
void state_put(struct state *s, enum state_doc doc, char *text, size_t n);
/* Writes that failed since the start, those tried again too. */
uint64_t state_failed(struct state *s);
