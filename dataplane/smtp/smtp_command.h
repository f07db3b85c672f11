/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* One command line into a typed command: RFC 5321 4.1. Knows grammar, not the order of commands. */

#include "dataplane/smtp/smtp.h"
#include "dataplane/smtp/smtp_reply.h"

enum smtp_verb {
	VERB_UNKNOWN, VERB_HELO, VERB_EHLO, VERB_MAIL, VERB_RCPT, VERB_DATA, VERB_RSET, VERB_NOOP,
	VERB_QUIT, VERB_VRFY, VERB_HELP, VERB_NOT_OFFERED, VERB_FOREIGN,
	VERB_XCLIENT, VERB_STARTTLS, VERB_BDAT
};

struct smtp_command {
	enum smtp_verb verb;
	enum smtp_say fault;    /* SAY_NONE, or the reply that refuses the line */
	struct str arg;         /* HELO, EHLO: the name; XCLIENT: the attributes */
	struct smtp_mail mail;  /* MAIL */
	struct str rcpt;        /* RCPT: the mailbox */
	bool rcpt_utf8;         /* which is good only behind MAIL with SMTPUTF8 */
	uint64_t chunk;         /* BDAT: octets that follow the line */
	bool last;              /* BDAT: LAST */
};

/* line: without its CRLF; the strings of *out point into it. */
void smtp_command_parse(struct str line, struct smtp_command *out);
/*
 * True if the line, whole or its beginning, was meant as BDAT, however malformed: what follows it
 * may be a chunk, and how long that is nobody knows.
 */
bool smtp_meant_bdat(struct str line);
/* True if no command can begin with this octet: binary protocols (a TLS record: 0x16). */
bool smtp_foreign_octet(uint8_t c);
/* smtp_foreign.c: a line, without its CRLF, that is no command of SMTP but one of another protocol. */
bool smtp_foreign_line(struct str line);
/* Of a line that is not known, before any command was understood. */
bool smtp_foreign_first(struct str line);
/* The same: has control characters and does not begin with a letter, as binary protocols do. */
bool smtp_foreign_binary(struct str line);
