/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Between the files of the URI finder:
 *
 *   uri.c       the message: the set of what was given, links of HTML, forms
 *   uri_text.c  finding them in text
 *   uri_norm.c  one URI made comparable
 *   uri_host.c  one host name: percent-encoding, UTS 46 mapping, RFC 3492, IPv4 numbers
 */

#include "dataplane/content/hex.h"
#include "dataplane/content/steps.h"
#include "dataplane/content/keyed.h"
#include "dataplane/content/uri.h"

#define URI_SLOTS  (2 * LIMIT_URIS) /* of the set: half full at most */
#define URI_HOST   768              /* ours: octets of a host name that is looked into, 3 x 255 */
#define URI_LABEL  63  /* RFC 1035 2.3.4; characters, too: none encodes to less than an octet */
#define URI_INNER  8   /* ours: URIs inside of one that are given out */
#define URI_DATA   256 /* ours: octets of a data: URI, which is content, no place */
#define URI_ROUNDS 4   /* ours: times that percent-encoding is undone for what is inside */

struct uri {
	const struct uri_sink *sink;
	uint32_t marks;
	uint16_t n;      /* given out */
	uint16_t n_base; /* 0: no <base> */
	uint64_t base_hash;
	uint16_t n_held;
	struct keyed key;
	uint64_t set[URI_SLOTS];   /* hashes; 0: free */
	uint16_t used[LIMIT_URIS]; /* slots, for the next message to clear */
	uint8_t base[LIMIT_URI];
	uint8_t held[LIMIT_URI]; /* a word of text whose end has not come yet */
};

enum uri_scheme { URI_OTHER, URI_HTTP, URI_HTTPS, URI_FTP, URI_MAILTO };

/* uri.c */
/* A URI with its scheme, and every form of it. */
void uri_found(struct uri *u, struct str s);
/* The same of one that had none: scheme is put in front. */
void uri_found_as(struct uri *u, struct str scheme, struct str s);

/* uri_norm.c */
/* *n: octets up to and with the ':'; 0 if there is no scheme. */
enum uri_scheme uri_scheme_of(struct str s, size_t *n);
/* The comparable form into out, of LIMIT_URI octets; 0 if it has none (other schemes, no host). */
size_t uri_normalise(struct str s, bool unicode_host, uint8_t *out);
/* Percent-encoding of printable ASCII undone, in place; of '%' itself if `all`. The new length. */
size_t uri_percent(uint8_t *p, size_t n, bool all);
/* A relative reference against an absolute http, https or ftp URI (RFC 3986 5.2.2, but without the
 * removal of dot segments) into out, of LIMIT_URI octets; 0 if it does not fit. */
size_t uri_resolve(struct str base, struct str rel, uint8_t *out);

/* uri_host.c */
/* The name as it is compared into out, of URI_HOST octets; 0: it is no host name. */
size_t uri_host(struct str raw, bool unicode, uint8_t *out);
/* Two labels at least, and the last a top-level domain in use; as it stands in text. */
bool uri_is_domain(struct str s);
/* RFC 3492, without "xn--"; 0: does not fit, or is wrong. */
size_t uri_punycode_encode(const uint32_t *cp, size_t n, uint8_t *out, size_t size);
size_t uri_punycode_decode(struct str s, uint32_t *cp, size_t size);
