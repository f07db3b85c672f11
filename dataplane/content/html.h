/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * HTML in UTF-8 to the text a reader sees, and the links in it. Fed in runs cut anywhere; what comes
 * out does not depend on the cuts. Builds no tree: the tokeniser of the HTML standard as far as mail
 * needs it, and of each element only what it does to text. Time is linear in the input and state is
 * bounded, whatever the input is.
 *
 * The text: runs of white space are one SP; <br> is LF; where a block begins or ends there is one
 * LF LF; inside <pre> white space stands. No white space at the start of a line or in front of a
 * break. Comments, <script>, <style> and their like are no text; a <title> is not either.
 */

#include <stddef.h>
#include <stdint.h>

#include "postern/limits.h"
#include "postern/str.h"

/* What a link was found in. */
enum html_link {
	HTML_LINK_HREF,    /* a, area, link */
	HTML_LINK_SRC,     /* img, iframe, script, input, … and background, data, poster, … */
	HTML_LINK_FORM,    /* action, formaction */
	HTML_LINK_BASE,    /* <base href>: what the relative links behind it belong to */
	HTML_LINK_REFRESH, /* <meta http-equiv=refresh content="0; url=…"> */
	HTML_LINK_CSS,     /* url(…) in a style attribute or element */
};

struct html_sink {
	/* The next octets of the text, valid UTF-8 where the input is; n is never 0. */
	void (*text)(void *ctx, const uint8_t *p, size_t n);
	/* Character references decoded, white space around it removed, at most LIMIT_URI octets. */
	void (*link)(void *ctx, enum html_link kind, struct str url);
	void *ctx;
};

#define HTML_CUT (1u << 0) /* an attribute, URL or nesting past its bound */
#define HTML_NUL (1u << 1)

struct html;
size_t html_size(void);
/* mem: html_size() octets, 8-byte aligned, owned by the caller. */
struct html *html_init(void *mem);
/* A new part; one that is under way is forgotten. The sink must live until html_end(). */
void html_begin(struct html *h, const struct html_sink *sink);
void html_feed(struct html *h, const uint8_t *p, size_t n);
/* The last text. */
void html_end(struct html *h);
uint32_t html_marks(const struct html *h);
