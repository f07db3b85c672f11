/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Between the files of the renderer:
 *
 *   html.c       the tokeniser's states that are not inside a tag; rawtext, script, comments
 *   html_tag.c   names, attributes and their values; what an element does
 *   html_text.c  white space, breaks, character references, the way out
 *   html_css.c   url(…) and @import of style sheets
 */

#include <stdbool.h>

#include "dataplane/content/html.h"
#include "dataplane/content/steps.h"

#define HTML_NAME  16   /* octets of a name that are kept; none that matters is longer */
#define HTML_REF   34   /* '&' and the longest name, its ';' included, and one */
#define HTML_EQUIV 48   /* of the value of http-equiv, references included */
#define HTML_OUT   2048 /* octets of text gathered for one call */

/* States, named as in the standard (13.2.5) where it has one of the kind. */
enum html_state {
	HTML_DATA,      /* and RCDATA, and the rawtext of <xmp> */
	HTML_REFERENCE, /* behind '&' */
	HTML_REF_NAME,
	HTML_REF_NUMBER,   /* behind "&#" */
	HTML_TAG_OPEN,     /* behind '<' */
	HTML_END_TAG_OPEN, /* behind "</" */
	HTML_MARKUP,       /* behind "<!" */
	HTML_BOGUS,        /* to the next '>' */
	HTML_COMMENT,
	HTML_CDATA,    /* as a bogus comment, but its octets are text */
	HTML_RAW,      /* style, script, … to their end tag */
	HTML_RAW_LESS, /* behind '<' in there, or in RCDATA */
	/* Inside a tag; all that follow are html_tag.c's. */
	HTML_TAG_NAME,
	HTML_BEFORE_ATTR,
	HTML_ATTR_NAME,
	HTML_AFTER_ATTR,
	HTML_BEFORE_VALUE,
	HTML_VALUE_QUOTED,
	HTML_VALUE_BARE,
	HTML_SKIP_QUOTED,
	HTML_SKIP_BARE,
};

/* Elements whose content is not markup. */
enum html_raw {
	HTML_RAW_NONE,
	HTML_RAW_TITLE,
	HTML_RAW_TEXTAREA, /* RCDATA: text with references */
	HTML_RAW_XMP,
	HTML_RAW_PLAINTEXT, /* text as it stands */
	HTML_RAW_STYLE,
	HTML_RAW_SCRIPT, /* no text */
	HTML_RAW_IFRAME,
	HTML_RAW_NOEMBED,
	HTML_RAW_NOFRAMES, /* no text */
};

/* Attributes that are read. */
enum html_attr {
	HTML_ATTR_NONE,
	HTML_ATTR_HREF,
	HTML_ATTR_SRC,
	HTML_ATTR_SRCSET,
	HTML_ATTR_FORM,
	HTML_ATTR_STYLE,
	HTML_ATTR_CONTENT,
	HTML_ATTR_HTTP_EQUIV,
};

enum html_css_state {
	HTML_CSS_TEXT,
	HTML_CSS_OPEN, /* behind "url(", white space so far */
	HTML_CSS_BARE,
	HTML_CSS_QUOTED,
	HTML_CSS_AT,     /* behind '@' and some of "import" */
	HTML_CSS_IMPORT, /* behind "@import", white space so far */
};

struct html {
	const struct html_sink *sink;
	uint32_t marks;
	uint8_t state; /* enum html_state */
	uint8_t raw;   /* enum html_raw */
	/* Text */
	uint8_t breaks; /* LFs that are due before the next octet: 0, 1, 2 */
	bool space;     /* an SP is */
	/* Comments and scripts */
	uint8_t dashes;   /* in a row, 2 at most */
	bool bang;        /* "--!" */
	uint8_t brackets; /* ']' that wait, in CDATA */
	uint8_t script;   /* 0; 1: behind "<!--"; 2: and <script> in there */
	/* A tag */
	bool end_tag;
	uint8_t attr; /* enum html_attr */
	uint8_t quote;
	bool refresh, held; /* <meta>: http-equiv is refresh; value is its content */
	uint8_t css;        /* enum html_css_state */
	uint8_t css_quote;
	uint8_t css_at;      /* octets of "import" seen */
	uint8_t css_last[3]; /* the octets before this one */
	uint8_t n_name, n_attr, n_ref, n_equiv;
	uint32_t number; /* of a numeric reference */
	bool hex, digits;
	uint8_t name[HTML_NAME];
	uint8_t attr_name[HTML_NAME];
	uint8_t ref[HTML_REF];     /* of a reference, or what may become an end tag in rawtext */
	uint8_t equiv[HTML_EQUIV]; /* value of http-equiv */
	uint16_t n_value, n_out;
	uint8_t value[LIMIT_URI]; /* of an attribute, or a URL of a style sheet */
	uint8_t out[HTML_OUT];
};

/* html_text.c */
/* Text of markup: white space folds. Up to end or to an octet of `<`, `&` (if references are read)
 * or NUL; returns where it stopped. */
const uint8_t *html_run(struct html *h, const uint8_t *p, const uint8_t *end, bool refs);
/* Octets without white space folding further: no '<', '&' is special in them. */
void html_put(struct html *h, const uint8_t *p, size_t n);
/* White space that is due goes out. */
void html_due(struct html *h);
void html_break(struct html *h, unsigned int lines);
void html_flush(struct html *h);
const uint8_t *html_reference(struct html *h, const uint8_t *p, const uint8_t *end);
/* The same where all of it lies in this run, '&' at p; NULL if that cannot be told. */
const uint8_t *html_reference_here(struct html *h, const uint8_t *p, const uint8_t *end);
/* What is open at the end of the input is text. */
void html_reference_end(struct html *h);
/* References of an attribute value decoded into out, which has room for size; returns the length.
 */
size_t html_decode(struct str value, uint8_t *out, size_t size, bool *cut);

/* html_tag.c */
const uint8_t *html_tag(struct html *h, const uint8_t *p, const uint8_t *end);
void html_tag_begin(struct html *h, bool end_tag);

/* html_css.c */
void html_css_begin(struct html *h);
void html_css(struct html *h, const uint8_t *p, size_t n);
/* url(…) in a style attribute, which is whole. */
void html_css_attribute(struct html *h, struct str value);

/* To sink->link, white space around it removed; not if nothing is left. */
void html_link(struct html *h, enum html_link kind, struct str url);

static inline bool html_is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}
