/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The words inside the value of one header field: encoded-words (RFC 2047), parameters (RFC 2045,
 * 2231) and mailboxes (RFC 5322), all as lenient as mailers are. A value comes whole, as it stands
 * in the header behind the colon, folding included, at most LIMIT_HEADER_FIELD octets; time is
 * linear in it. Knows no field names and no message structure. No state is kept between calls.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/str.h"

/* Takes the next octets of a result; n is never 0. p is gone when it returns. */
typedef void (*words_out)(void *ctx, const uint8_t *p, size_t n);

/* How octets of a charset become UTF-8; one conversion at a time. */
struct words_charset {
	/* 0, or -ENOENT: a charset nobody knows (the word is then left as it is). */
	int (*begin)(void *ctx, struct str name);
	/* The next octets, cut anywhere; what cannot be converted is the converter's to mark. */
	void (*feed)(void *ctx, const uint8_t *p, size_t n, words_out out, void *out_ctx);
	/* No octets follow: what is held back (a character cut short) goes out. */
	void (*end)(void *ctx, words_out out, void *out_ctx);
	void *ctx;
};

/* What was seen on the way; or-ed together. */
#define WORDS_8BIT            (1u << 0) /* octets above 127 outside of encoded-words */
#define WORDS_NUL             (1u << 1)
#define WORDS_UNKNOWN_CHARSET (1u << 2) /* of an encoded-word or a parameter */
#define WORDS_BAD_ENCODING    (1u << 3) /* what base64, quoted-printable or percent cannot hold */
#define WORDS_DUPLICATE       (1u << 4) /* the parameter was given twice; the first one counts */
#define WORDS_CUT             (1u << 5) /* longer than the caller's buffer, or nested too deep */
#define WORDS_BROKEN          (1u << 6) /* a quote or comment without its end, a gap in sections */

/* Line ends with the white space behind them become one SP; white space around the value goes. */
uint32_t words_unfold(struct str value, words_out out, void *ctx);

/* As words_unfold(), with encoded-words decoded wherever they stand. White space between two of
 * them is no text; neighbours of one charset are converted as one string, so that a character may
 * be cut between them. A word that is broken, or of an unknown charset, stays as it is. CR and LF
 * that a word brings become SP: no rule sees a line that is none. Octets above 127 that are not
 * UTF-8 are taken as Windows-1252. */
uint32_t words_decode(struct str value, const struct words_charset *cs, words_out out, void *ctx);

/* What stands before the first ';' (a media type, a disposition, an encoding), lower case, without
 * comments and white space, into buf; *n is its length, 0 when there is none. */
uint32_t words_main(struct str value, uint8_t *buf, size_t size, size_t *n);

/*
 * The value of one parameter in UTF-8 into buf, name in lower case. True when it is there (it may
 * be empty). It may be a token, a quoted string (with encoded-words in it, as mailers write them),
 * or in sections (RFC 2231: name*0*=charset'lang'percent; name*1=…); `name*` wins over `name` (RFC
 * 5987 4.3.1 has that for mailers that give both). Sections may come in any order. With cs NULL
 * nothing is converted: the octets of a plain parameter, as a boundary is compared.
 */
bool words_param(struct str value, struct str name, const struct words_charset *cs, uint8_t *buf,
		 size_t size, size_t *n, uint32_t *marks);

/* Of a list of mailboxes (RFC 5322 3.4, groups and routes of 4.4 included) the addresses, without
 * brackets and comments, `, ` between two; the first `most` of them. What has no '@' is no address.
 * Returns how many. most 1 is what SpamAssassin's `From:addr` has. */
size_t words_addresses(struct str value, size_t most, words_out out, void *ctx);

/* Of the same the display names, decoded and without quotes; of a mailbox without one the comment
 * (`a@example.org (Name)`). Looks at the first `most` mailboxes; one that has no name is left out.
 * Returns how many. cs NULL: encoded-words stand as they are. */
size_t words_names(struct str value, size_t most, const struct words_charset *cs, words_out out,
		   void *ctx);
