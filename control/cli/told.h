/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * What servers on the way say that they found: Authentication-Results and its relatives, and
 * Received-SPF, as a message in a mailbox carries them. The topmost is the mailbox host's. Whatever
 * stands below the first server that is not trusted may be forged.
 */

#include "control/cli/message.h"

#define TOLD_MAX 24
#define TOLD_DKIM 8

struct told {
	long field;
	const char *name;      /* of the field, as it is usually spelled */
	char by[128];          /* authserv-id, or receiver= of Received-SPF; "": it does not say */
	unsigned int instance; /* of ARC-Authentication-Results, else 0 */
	char error[96];        /* "" unless it could not be read; then nothing below is set */
	/* Results are words of RFC 8601, or "" if it does not say. Everything is printable ASCII. */
	char spf[16], mail_from[128];
	bool has_ip;
	struct ip_addr ip;     /* whom SPF was judged for */
	struct {
		char result[16], domain[128];
	} dkim[TOLD_DKIM];
	size_t n_dkim;
	char dmarc[16], from[128], arc[16];
	bool has_oda, oda;     /* Microsoft's, beside arc: is its sealer one that they were told to trust? */
	char compauth[16], compauth_reason[8]; /* Microsoft's */
};

struct told_list {
	struct told told[TOLD_MAX]; /* top to bottom */
	size_t n;
};

void told_read(const struct headers *h, struct told_list *out);
/* The topmost field that says this result of DKIM for the domain; the lowest one above `above`, if
 * that is not NULL. NULL: none does. */
const struct told *told_dkim(const struct told_list *list, const char *domain, const char *result,
			     const struct told *above);
/* "spf fail (192.0.2.25), dkim pass (example.com), dmarc fail"; returns buf. */
const char *told_text(const struct told *t, char *buf, size_t cap);
json_t *told_json(const struct told_list *list);
