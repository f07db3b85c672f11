/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * HTML in UTF-8 to text, and the links in it. Fed in runs cut anywhere; what comes out does not
 * depend on the cuts. Builds no tree: the tokeniser of the HTML standard as far as mail needs it,
 * and of each element only what it does to text. No nesting is tracked, so none can be too deep.
 * Time is linear in the input and state is bounded, whatever the input is.
 *
 * The text is SpamAssassin's `body`: runs of ASCII white space are one SP; <br> and the ends of
 * <div> are one line end, those of <p>, <hr>, <pre>, <blockquote>, <title> … are two, and more than
 * two LF never follow each other; cells, list items and headings are parted by SP, other elements
 * by nothing. There is no white space beside a line end; line ends and white space at the start and
 * the end stay, as they part the text from that of other parts. A title is text; so is what a style
 * sheet hides; comments, <script>, <style>, alt and title attributes are not.
 */

#include <stddef.h>
#include <stdint.h>

#include "postern/limits.h"
#include "postern/str.h"

/* What a link was found in. */
enum html_link {
	HTML_LINK_HREF,    /* of any element but <base> */
	HTML_LINK_SRC,     /* src, srcset, background, poster, lowsrc, dynsrc; data of <object> */
	HTML_LINK_FORM,    /* action, formaction */
	HTML_LINK_BASE,    /* <base href>: what the relative links behind it belong to */
	HTML_LINK_REFRESH, /* <meta http-equiv=refresh content="0; url=…"> */
	HTML_LINK_CSS,     /* url(…) and @import in <style> and in style attributes */
};

struct html_sink {
	/* The next octets of the text, valid UTF-8 where the input is, but a character may be cut
	 * between two calls; n is never 0. */
	void (*text)(void *ctx, const uint8_t *p, size_t n);
	/* Character references decoded, at most LIMIT_URI octets; never empty. Text in front of it
	 * was given before, but for white space. */
	void (*link)(void *ctx, enum html_link kind, struct str url);
	void *ctx;
};

#define HTML_CUT (1u << 0) /* an attribute or URL past LIMIT_URI */
#define HTML_NUL (1u << 1) /* left out */

struct html;
size_t html_size(void);
/* mem: html_size() octets, 16-byte aligned, owned by the caller. */
struct html *html_init(void *mem);
/* A new part; one that is under way is forgotten. The sink must live until html_end(). */
void html_begin(struct html *h, const struct html_sink *sink);
void html_feed(struct html *h, const uint8_t *p, size_t n);
/* The last text. */
void html_end(struct html *h);
/* Of this part. */
uint32_t html_marks(const struct html *h);
