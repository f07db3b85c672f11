/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Views of a message: the texts that rules look at, made of the octets in one pass, resumable at
 * any split, in bounded memory and without malloc. Knows no rules, no Hyperscan, no sockets; the
 * dataplane and control make the same views of the same octets.
 *
 *   octets → mime.h (structure, fields, transfer decoding: decode.h)
 *              ├ fields  → words.h (RFC 2047, 2231) → header selectors
 *              ├ text    → charset.h → html.h → folding → body, uri.h → uri
 *              │         └ rawbody
 *              └ any part → attach.h → attachment
 *
 * Every view is given out in runs of at most CONTENT_RUN octets. One that fits in a single run is
 * given once, with FIRST and LAST, and can be scanned as a block; of a larger one the runs follow
 * each other, and together they are the view. Where runs begin does not depend on where the input
 * was split; in which order runs of different views come does.
 *
 * Made here: body, rawbody, uri, attachment, and the texts of selectors. Lines of views end with LF,
 * the last one, too. What each of them is, and where it is not what SpamAssassin has, is in
 * docs/content.md.
 *
 * The attachment view has a line, LF behind it, for each part that is neither multipart nor text
 * without a file name, when the part is over; lines of members of an archive come before that of
 * their part (attach.h). Words are separated by one space; name is UTF-8 in which octets below
 * 0x21, DEL, '"' and '%', and those that are no UTF-8, are %XX; a name that is told in part has
 * "cut" before it; what is not known is left out:
 *
 *   member part=3 encrypted name="invoice.exe"
 *   part part=3 type=application/zip is=zip size=1234 sha256=… broken name="invoice.zip"
 *
 * The line of a message/rfc822, whose octets are read on as parts, comes when it begins, and has no
 * size.
 *
 * What cannot be told (a bound was met, a charset nobody knows, an encoding that is broken) is a
 * mark; what can be read of it all the same is read. Marks speak of what was looked at: the
 * encoding of a part that no view wants is not. Nothing here changes the message.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/handoff.h"
#include "postern/limits.h"
#include "postern/str.h"

#define CONTENT_RUN (64u * 1024)
#define CONTENT_MAX_SELECTORS HANDOFF_MAX_SELECTORS

/* What of a header is one selector's text: values of fields of one name, in the order of the message,
 * a line each. DECODED and RAW ones end with LF, the last one, too; between the others there is one. */
enum content_form {
	CONTENT_DECODED,  /* unfolded, RFC 2047 words decoded where a field may have them, UTF-8 */
	CONTENT_RAW,      /* as it stands behind the colon, folding included; CRLF is LF */
	CONTENT_ADDR,     /* the addresses of the mailboxes, comma and space between */
	CONTENT_NAME,     /* their display names, decoded */
	CONTENT_NAME_RAW, /* the same as they stand */
};

enum content_source {
	CONTENT_FIELD,      /* fields of that name in the header of the message */
	CONTENT_ALL,        /* the whole header block, "Name: value" lines; form DECODED or RAW */
	CONTENT_TOCC,       /* To, then Cc */
	CONTENT_MESSAGEID,  /* X-Message-Id, then Resent-, X-Original-Message-Id, Message-Id */
	/* Fields of that name in all headers: of the message, of parts, of messages in it. All of
	 * them, whatever `pick` says. Where the fields that all selectors of this kind want do not
	 * fit in LIMIT_HEADER_FIELD octets, a text of less than CONTENT_RUN may come in more than
	 * one run. */
	CONTENT_MIMEFIELD,
};

#define CONTENT_PICK_ALL 0
#define CONTENT_PICK_FIRST 1
#define CONTENT_PICK_LAST 2

struct content_selector {
	uint8_t source;   /* enum content_source */
	uint8_t form;     /* enum content_form */
	uint8_t pick;     /* CONTENT_PICK_* */
	struct str name;  /* lower case; of FIELD and MIMEFIELD */
};

/* What is wanted. Immutable while messages use it; views that nobody wants are not made. */
struct content_plan {
	uint32_t views;                           /* bit (1 << enum handoff_view) */
	const struct content_selector *selector;
	unsigned int n_selectors;
	bool hash;                                /* SHA-256 of parts, in the attachment view */
};

/* Slots: a view by its enum handoff_view, selector i as CONTENT_SLOT_SELECTOR + i. */
#define CONTENT_SLOT_SELECTOR VIEW_COUNT

#define CONTENT_RUN_FIRST 1u
#define CONTENT_RUN_LAST 2u

struct content_sink {
	/* n may be 0 with LAST. A view or selector that is empty (no such field) is not given at all;
	 * a field that is there and has no value is given as its LF, or as 0 octets, FIRST | LAST. */
	void (*run)(void *ctx, unsigned int slot, const uint8_t *p, size_t n, unsigned int flags);
	void *ctx;
};

/* Marks: what the message did to its reader. Counted as content_NAME. */
#define CONTENT_M_HEADER_CUT (1u << 0)     /* header block, field or their number past its bound */
#define CONTENT_M_NESTING (1u << 1)        /* deeper than LIMIT_MIME_NESTING */
#define CONTENT_M_PARTS (1u << 2)          /* more than LIMIT_MIME_PARTS */
#define CONTENT_M_NO_END (1u << 3)         /* a multipart without its closing delimiter */
#define CONTENT_M_BAD_BOUNDARY (1u << 4)   /* none, empty, over-long or given twice */
#define CONTENT_M_BAD_ENCODING (1u << 5)   /* octets that base64 or quoted-printable cannot hold */
#define CONTENT_M_UNKNOWN_ENCODING (1u << 6)
#define CONTENT_M_UNKNOWN_CHARSET (1u << 7)
#define CONTENT_M_BAD_CHARSET (1u << 8)    /* octets its charset cannot hold */
#define CONTENT_M_NUL (1u << 9)            /* NUL in a header or in text */
#define CONTENT_M_8BIT_HEADER (1u << 10)
#define CONTENT_M_HTML_CUT (1u << 11)      /* nesting or attribute past its bound */
#define CONTENT_M_URI_CUT (1u << 12)       /* more or longer URIs than are kept */
#define CONTENT_M_DUPLICATE_FIELD (1u << 13) /* Content-Type or -Transfer-Encoding twice */
#define CONTENT_M_BAD_FIELD (1u << 14)     /* a line in a header that is no field */
#define CONTENT_M_ARCHIVE (1u << 15)       /* an archive whose directory cannot be read */

/* State of one message; size and alignment for pools. A fresh or finished one may be begun. */
struct content;
size_t content_size(void);
/* mem: content_size() octets, 64-byte aligned, owned by the caller; nothing else is held. Once for
 * each: it asks the kernel for random octets (uri.h). Pages that messages do not need are not
 * touched. */
struct content *content_init(void *mem);
/* Plan and sink must live until content_end(), or until the next message is begun. */
void content_begin(struct content *c, const struct content_plan *plan,
		   const struct content_sink *sink);
/* The next octets of the message, of any size; dot-unstuffed, CRLF line ends (a bare LF from BDAT
 * ends a line, too, a bare CR does not). The `full` view is not made here: its octets are the
 * input's. */
void content_feed(struct content *c, const uint8_t *p, size_t n);
/* The last runs. */
void content_end(struct content *c);
uint32_t content_marks(const struct content *c);
