/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* A DMARC policy record (RFC 9989 4.7, 4.8). Pure functions over octets. */

#include <stdbool.h>

#include "postern/str.h"

enum dmarc_policy { DMARC_POLICY_NONE, DMARC_POLICY_QUARANTINE, DMARC_POLICY_REJECT };
const char *dmarc_policy_name(enum dmarc_policy p); /* "none" "quarantine" "reject" */

#define DMARC_URIS 512 /* octets of rua= and ruf= that are kept; ours */

struct dmarc_record {
	enum dmarc_policy p, sp, np; /* sp and np fall back: np, sp, p */
	bool has_p;                  /* also where rua= stands in for it (p=none) */
	bool has_sp, has_np;         /* published, not fallen back */
	bool testing;                /* t=y */
	char psd;                    /* 'y', 'n', 'u' */
	bool adkim_strict, aspf_strict;
	char rua[DMARC_URIS], ruf[DMARC_URIS]; /* as published; "": none or too long */
	char fo[16];                 /* "0" by default */
};

/* Does the text begin as a policy record must? Others at the same name are somebody else's. */
bool dmarc_record_is(struct str text);
/* False: it is none (dmarc_record_is()). An sp or np that is no policy voids p as well. Other errors
 * are ignored tag by tag, as are unknown tags and the pct, rf and ri of RFC 7489. The first of
 * several tags of a name counts. */
bool dmarc_record_parse(struct str text, struct dmarc_record *out);
