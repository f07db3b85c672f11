/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * The URIs of one message: found in text that comes in runs cut anywhere, or handed over by html.h,
 * made comparable, and each form given out once. Time is linear, state bounded.
 *
 * Forms of one URI that are given out: as it was written, and, where that is another one, with
 * percent-encoding of unreserved characters undone, host in lower case and in ASCII (RFC 3492), and
 * the URI that stands inside of it (a redirector's `?u=http://…`).
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
/* mem: uri_size() octets, 8-byte aligned, owned by the caller. Asks the kernel for a random key the
 * first time (for pools made at start, not in the datapath). */
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
