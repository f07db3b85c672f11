/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Reply text. Our own replies are literals, complete with code, enhanced code (RFC 2034, 3463) and
 * CRLF, so that answering costs no formatting; replies from control are sanitised and cut here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/smtp/smtp.h"
#include "postern/limits.h"

/* clang-format off */
#define SMTP_REPLIES(X) \
	X(SAY_OK, 250, "2.0.0", "Ok") \
	X(SAY_SENDER_OK, 250, "2.1.0", "Sender ok") \
	X(SAY_BYE, 221, "2.0.0", "Bye") \
	X(SAY_VRFY, 252, "2.0.0", "Cannot verify, send some mail and see") \
	X(SAY_HELP, 214, "2.0.0", "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP: RFC 5321") \
	X(SAY_LINE_TOO_LONG, 500, "5.5.2", "Line too long") \
	X(SAY_LINE_END, 500, "5.5.2", "Lines end in CRLF") \
	X(SAY_CONTROL_CHAR, 500, "5.5.2", "Control character in command") \
	X(SAY_UNKNOWN, 500, "5.5.1", "Command not recognized") \
	X(SAY_NOT_IMPLEMENTED, 502, "5.5.1", "Command not implemented") \
	X(SAY_NO_ARGUMENT, 501, "5.5.4", "This command takes no argument") \
	X(SAY_NEED_ARGUMENT, 501, "5.5.4", "Argument missing") \
	X(SAY_BAD_HELO, 501, "5.5.4", "Bad host name") \
	X(SAY_BAD_SENDER, 501, "5.1.7", "Bad sender address syntax") \
	X(SAY_SENDER_LONG, 501, "5.1.7", "Sender address too long") \
	X(SAY_BAD_RCPT, 501, "5.1.3", "Bad recipient address syntax") \
	X(SAY_RCPT_LONG, 501, "5.1.3", "Recipient address too long") \
	X(SAY_NOT_ASCII, 553, "5.6.7", "Non-ASCII addresses take SMTPUTF8 and plain UTF-8") \
	X(SAY_SOURCE_ROUTE, 550, "5.7.1", "Source routes are not relayed") \
	X(SAY_BAD_PARAM, 501, "5.5.4", "Bad parameter") \
	X(SAY_UNKNOWN_PARAM, 555, "5.5.4", "Parameter not recognized or not implemented") \
	X(SAY_NEED_HELO, 503, "5.5.1", "Send EHLO or HELO first") \
	X(SAY_NESTED_MAIL, 503, "5.5.1", "Sender already given") \
	X(SAY_NEED_MAIL, 503, "5.5.1", "Need MAIL first") \
	X(SAY_NO_RCPT, 554, "5.5.1", "No valid recipients") \
	X(SAY_BAD_CHUNK, 501, "5.5.4", "Bad chunk size, closing") \
	X(SAY_CHUNKS, 503, "5.5.1", "A message is coming in chunks, finish it or send RSET") \
	X(SAY_REFUSED, 503, "5.5.1", "Service refused, QUIT is all that is left") \
	X(SAY_XCLIENT_DENIED, 550, "5.7.0", "XCLIENT is not for you") \
	X(SAY_XCLIENT_TXN, 503, "5.5.1", "No XCLIENT within a transaction") \
	X(SAY_XCLIENT_BAD, 501, "5.5.4", "Bad XCLIENT attribute") \
	X(SAY_TLS_GO, 220, "2.0.0", "Ready to start TLS") \
	X(SAY_TLS_FULL, 454, "4.7.0", "TLS not available now, try again later") \
	X(SAY_TLS_ACTIVE, 503, "5.5.1", "TLS is active already") \
	X(SAY_TLS_TXN, 503, "5.5.1", "No STARTTLS within a transaction") \
	X(SAY_TLS_INJECTED, 554, "5.5.0", "Commands behind STARTTLS, closing") \
	X(SAY_RCPT_LIMIT, 452, "4.5.3", "Too many recipients, send the rest in a new transaction") \
	X(SAY_NO_STORAGE, 452, "4.3.1", "Insufficient system storage, try again later") \
	X(SAY_SIZE_DECLARED, 552, "5.3.4", "Message size exceeds the maximum") \
	X(SAY_SIZE_EXCEEDED, 552, "5.3.4", "Message too big") \
	X(SAY_BARE_LF, 554, "5.6.0", "Message refused: bare LF in content") \
	X(SAY_BARE_CR, 554, "5.6.0", "Message refused: bare CR in content") \
	X(SAY_LONG_LINE, 554, "5.6.0", "Message refused: line too long in content") \
	X(SAY_CONTROL_DOWN, 451, "4.3.2", "System not accepting messages now, try again later") \
	X(SAY_CONTROL_DOWN_BYE, 421, "4.3.2", "System not accepting messages now, closing") \
	X(SAY_NO_VERDICT, 451, "4.3.2", "No decision in time, try again later") \
	X(SAY_BAD_VERDICT, 451, "4.3.0", "Internal error, try again later") \
	X(SAY_NO_LINE, 421, "4.3.2", "Too busy, closing") \
	X(SAY_TIMEOUT, 421, "4.4.2", "Timeout, closing") \
	X(SAY_SLOW, 421, "4.4.2", "Data comes too slowly, closing") \
	X(SAY_EARLY, 554, "5.5.0", "You spoke before our greeting, closing") \
	X(SAY_ERRORS, 421, "4.7.0", "Too many errors, closing") \
	X(SAY_TRANSACTIONS, 421, "4.7.0", "Too many messages in this session, closing") \
	X(SAY_FOREIGN, 421, "4.7.0", "This is SMTP, closing")
/* clang-format on */

#define SMTP_SAY_ENUM(name, code, enh, text) name,
enum smtp_say { SAY_NONE, SMTP_REPLIES(SMTP_SAY_ENUM) SAY_COUNT };

/* The whole line with CRLF. */
struct str smtp_say_line(enum smtp_say say);
unsigned int smtp_say_code(enum smtp_say say);
/*
 * The same, with what is said of the session: the contact behind 421 and 5xx (n == 0: none), the
 * trace id (16 octets or NULL) behind 4xx and 5xx. Returns the length.
 */
size_t smtp_say_format(uint8_t out[LIMIT_REPLY_LINE], enum smtp_say say, struct str contact,
		       const uint8_t *trace_id);
/* RFC 5321 4.1.1.4; an intermediate reply carries no enhanced code (RFC 2034 4). */
#define SMTP_START_DATA STR("354 Start mail input; end with <CRLF>.<CRLF>\r\n")

/*
 * One line from a reply of control: unprintable octets become '?', the line with CRLF is cut at
 * LIMIT_REPLY_LINE, an enhanced code of a class other than the code's becomes x.0.0.
 * bare: no enhanced code at all, as in the greeting (RFC 2034 4). trace_id: 16 octets or NULL; it
 * stands in the text as "id=...", and is never what is cut.
 * Returns the length.
 */
#define SMTP_TRACE_ID 16
size_t smtp_reply_format(uint8_t out[LIMIT_REPLY_LINE], const struct smtp_reply *r, bool bare,
			 const uint8_t *trace_id);

/* Octets of texts[] that stand in a reply behind something else. */
#define SMTP_CONTACT_MAX (sizeof(((struct handoff_config *)0)->contact) - 1)

/* Texts in which a host names itself. */
struct smtp_face {
	uint32_t banner_len;     /* "220 host ESMTP" and what is configured behind it, no CRLF */
	uint32_t helo_len;
	uint32_t ehlo_len;
	uint32_t ehlo_tls_len;   /* the same with STARTTLS; 0: not offered */
	uint8_t banner[512];
	uint8_t helo[512];
	uint8_t ehlo[768];
	uint8_t ehlo_tls[800];
};

/* struct smtp_config: what handoff_config says, and the texts that come from it. */
struct smtp_config {
	struct handoff_config c; /* limits with defaults filled in; listeners are not used */
	uint32_t help_len;       /* 0: SAY_HELP */
	struct str contact;      /* in c; n == 0: none */
	uint8_t help[512];
	uint32_t n_faces;        /* 1 and handoff_config.n_inline_names */
	struct smtp_face face[]; /* [0]: our own name */
};
