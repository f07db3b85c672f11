/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The author domains of a message: exactly one From field, read by RFC 5322 3.4 with RFC 6532 and
 * RFC 6854. Of the obsolete forms a dot in a display name is taken, and a source route, which is
 * read past and marked. The others are read differently by different programs (white space inside
 * an address, empty elements), and who is shown must be who was judged. It knows nothing of DNS and
 * policy.
 */

#include "control/mail/mail.h"
#include "postern/limits.h"

enum from_status {
	FROM_OK,
	FROM_ROUTED,     /* by the grammar, with a source route: the mailbox is who is judged (RFC 5322
	                  * 4.4), but some show the route, so it may not pass */
	FROM_MISSING,    /* no From field */
	FROM_SEVERAL,    /* more than one, or something that some read as another one */
	FROM_MALFORMED,  /* not by the grammar */
	FROM_NO_ADDRESS, /* by the grammar, but only empty groups */
	FROM_TOO_MANY,   /* more than LIMIT_DMARC_AUTHORS domains */
};
const char *from_status_name(enum from_status s); /* "ok", "missing", ... */

struct from_authors {
	enum from_status status;
	char reason[96];               /* "" for FROM_OK; plain words, never a part of the field */
	size_t n_addresses;
	char domain[LIMIT_DMARC_AUTHORS][MAIL_ALABEL]; /* distinct, lower case, A-labels */
	size_t n;                      /* 0 unless FROM_OK or FROM_ROUTED */
};

/* The raw, folded value of one From field. */
void from_parse(struct str value, struct from_authors *out);
/* The From field of a message; borrows nothing. */
void from_find(const struct headers *h, struct from_authors *out);
