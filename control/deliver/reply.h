/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Replies of a next hop, RFC 5321 4.2: octets in, one reply out, whatever the other side sends. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/limits.h"
#include "postern/str.h"

enum reply_status {
	REPLY_MORE,    /* all octets used, no reply yet */
	REPLY_DONE,    /* one reply is complete; octets behind it are not used */
	REPLY_GARBAGE, /* no SMTP: the connection is worth nothing any more */
};

#define REPLY_TEXT 1024

struct reply_parser {
	/* result; valid after REPLY_DONE until the next reply_reset() */
	uint16_t code;            /* 200..599 */
	uint8_t enh_class;        /* 0: none */
	uint16_t enh_subject, enh_detail;
	size_t text_len;          /* lines joined by a space, enhanced codes taken out; cut */
	uint8_t text[REPLY_TEXT]; /* as it came: not sanitised */
	unsigned int lines;

	/* parser: private */
	size_t line_len;
	uint8_t line[LIMIT_ONWARD_REPLY_LINE];
	/* every line's text as it arrives (EHLO keywords); may be NULL */
	void (*on_line)(void *arg, unsigned int index, struct str text);
	void *arg;
};

void reply_reset(struct reply_parser *p);
/* *used: octets consumed. After REPLY_DONE call reply_reset() before feeding again. */
enum reply_status reply_feed(struct reply_parser *p, const uint8_t *data, size_t n, size_t *used);
/* "5.1.1" at the start of s, followed by a space or the end. Octets taken (with the space), or 0. */
size_t reply_enhanced(struct str s, uint8_t *cls, uint16_t *subject, uint16_t *detail);

/* What EHLO offered. */
#define EHLO_PIPELINING (1u << 0)
#define EHLO_8BITMIME (1u << 1)
#define EHLO_SMTPUTF8 (1u << 2)
#define EHLO_CHUNKING (1u << 3)
#define EHLO_ENHANCED (1u << 4)
#define EHLO_SIZE (1u << 5)
#define EHLO_LIMITS (1u << 6)
#define EHLO_STARTTLS (1u << 7)

/* Attributes of XCLIENT and XFORWARD. */
#define IDENTITY_NAME (1u << 0)
#define IDENTITY_ADDR (1u << 1)
#define IDENTITY_PORT (1u << 2)
#define IDENTITY_PROTO (1u << 3)
#define IDENTITY_HELO (1u << 4)
#define IDENTITY_DESTADDR (1u << 5)
#define IDENTITY_DESTPORT (1u << 6)
#define IDENTITY_IDENT (1u << 7)
#define IDENTITY_SOURCE (1u << 8)

struct ehlo {
	char name[LIMIT_DOMAIN + 1]; /* as the server calls itself; "": it does not, or not in few words */
	uint32_t caps;
	uint64_t size; /* largest message; 0: no bound told */
	unsigned int rcpt_max, mail_max, domain_max; /* RFC 9422; 0: no bound told */
	uint32_t xclient, xforward; /* IDENTITY_*: attributes offered to us */
};

/* The first line of an EHLO reply, and one behind it. */
void ehlo_first(struct ehlo *e, struct str text);
void ehlo_line(struct ehlo *e, struct str text);
