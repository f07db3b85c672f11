/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The URIs of one message: found in text that comes in runs cut anywhere, or handed over by html.h,
 * made comparable, and each form given out once. Time is linear, state bounded.
 *
 * In text: http, https, ftp and mailto with a scheme; without one a host name under a top-level
 * domain in use (`http://` is put in front, `ftp://` before `ftp.`) and a mailbox (`mailto:`).
 *
 * Forms of one URI that are given out, where they differ:
 *   - as it was written (tabs and line ends taken out);
 *   - made absolute by <base>, or by `http://` where a relative link begins with a host name;
 *   - scheme and host in lower case, the host in ASCII (RFC 3492) and an IPv4 address in four
 *     decimals, `\` as `/`, the scheme's own port, dot segments (RFC 3986 5.2.4) and
 * percent-encoding of printable ASCII but '%' gone; of mailto: without what follows the address;
 *   - the same with the host in Unicode, if that is another one;
 *   - URIs inside of it (a redirector's `?u=http://…`, percent-encoded up to four times over),
 * eight at most, with the forms of their own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/content/html.h"
#include "postern/limits.h"
#include "postern/str.h"

struct uri_sink {
	/* A URI no equal of which was given before in this message, without LF. */
	void (*uri)(void *ctx, const uint8_t *p, size_t n);
	void *ctx;
};

#define URI_CUT (1u << 0) /* more URIs than LIMIT_URIS, or one longer than LIMIT_URI */

struct uri;
size_t uri_size(void);
/* mem: uri_size() octets, 16-byte aligned, owned by the caller. Asks the kernel for random octets,
 * as the hashes of the set are keyed: for pools made at start, not in the datapath. */
struct uri *uri_init(void *mem);
/* A new message. The sink must live as long as it does. */
void uri_begin(struct uri *u, const struct uri_sink *sink);
/* A new part begins: a <base> of the part before is forgotten. */
void uri_part(struct uri *u);
/* The next octets of a text: the body view's (UTF-8), or a header's. */
void uri_text(struct uri *u, const uint8_t *p, size_t n);
/* The text ends here: what is held back is looked at. */
void uri_text_end(struct uri *u);
/* A link of an HTML part; may come between two uri_text(). */
void uri_link(struct uri *u, enum html_link kind, struct str url);
uint32_t uri_marks(const struct uri *u);
