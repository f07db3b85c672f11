/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* What writer, reader and the search for our own id have in common: the tokens of RFC 8601 2.2. */

#include <stdbool.h>
#include <stddef.h>

#include "postern/str.h"

/* Octets of the comment at i (nested, with quoted pairs); 0: it does not end, or lies deeper than
 * LIMIT_AUTHRES_NESTING. */
size_t authres_comment_len(struct str s, size_t i);
/* Octets of the quoted-string at i with its quotes; 0: it does not end. */
size_t authres_quoted_len(struct str s, size_t i);
/* Behind white space and comments at i; s.n + 1 if a comment does not end. */
size_t authres_skip_cfws(struct str s, size_t i);
/* RFC 2045 5.1: token; `utf8`: octets above 127 too (RFC 6532 3.2). */
bool authres_is_token(struct str s, bool utf8);
/* RFC 5321 4.1.2: Keyword. */
bool authres_is_keyword(struct str s);
/* [local-part] "@" domain-name with a local-part that needs no quotes. */
bool authres_is_address(struct str s, bool utf8);
