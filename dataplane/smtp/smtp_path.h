/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Paths and mailboxes of MAIL and RCPT: RFC 5321 4.1.2 and 4.1.3 with the UTF-8 of RFC 6531 3.3. Who
 * may use that is not known here. No state, no allocation.
 */

#include <stdbool.h>
#include <stddef.h>

#include "postern/str.h"

enum smtp_path_verdict { SMTP_PATH_OK, SMTP_PATH_SYNTAX, SMTP_PATH_LONG, SMTP_PATH_NOT_UTF8 };
enum smtp_path_kind { SMTP_PATH_REVERSE, SMTP_PATH_FORWARD };

struct smtp_path {
	struct str mailbox; /* as written, without brackets and source route; n == 0: "<>" */
	size_t used;        /* octets of the input up to and with '>' */
	bool source_route;
	bool utf8;          /* it holds UTF-8: only with SMTPUTF8 */
};

/*
 * in starts with '<'. "<>" is a reverse-path only; "<postmaster>" in any case is a forward-path
 * only. What stands between the quotes of a local part, and '%' or '!' in it, is data.
 */
enum smtp_path_verdict smtp_path_parse(struct str in, enum smtp_path_kind kind,
				       struct smtp_path *out);

/* A whole ASCII domain or address literal, also used to look at EHLO arguments in tests. */
bool smtp_domain_valid(struct str s);
bool smtp_literal_valid(struct str s);
