/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Authentication-Results: strict writer and own-id detection (RFC 8601). */

#include <stdbool.h>
#include <stddef.h>

#include "control/mail/mail.h"

/* Appends to a bounded buffer; `failed` sticks. The result is one field, folded at resinfo borders
 * by CRLF HTAB, lines <= 998 octets, pure ASCII unless `utf8` was set behind
 * authres_begin(). */
struct authres_writer {
	char *buf;
	size_t cap, len;
	bool failed;
	bool utf8;              /* the caller's: SMTPUTF8 message, whose fields may be UTF-8 (RFC 6532) */
	unsigned int n_results;
};

void authres_begin(struct authres_writer *w, char *buf, size_t cap, struct str authserv_id);
/* method and result must be keywords of RFC 8601; reason may be n == 0. */
void authres_result(struct authres_writer *w, const char *method, const char *result, struct str reason);
/* A property of the last result: "smtp", "mailfrom", value. Values that are no plain token or
 * addr-spec/domain, and those with an apostrophe, are written as quoted-string; control octets and
 * non-ASCII (with `utf8`: what is not UTF-8, and deceptive code points) are replaced by '?';
 * n == 0 leaves the property out. */
void authres_property(struct authres_writer *w, const char *ptype, const char *property, struct str value);
/* A comment behind the last result or property; parentheses and backslashes escaped. */
void authres_comment(struct authres_writer *w, struct str text);
/* Ends the field with CRLF ("none" if nothing was added). Length, or -ENOSPC. */
long authres_end(struct authres_writer *w);

/* Does this (raw, folded) value of an Authentication-Results or ARC-Authentication-Results field
 * claim our authserv-id? Comments, quoted strings, case, EAI (NFKC/IDNA-folded) and white space do
 * not hide it; a value that cannot be parsed as RFC 8601 but contains the id anywhere before the
 * first semicolon claims it as well. */
bool authres_claims(struct str value, struct str authserv_id);
