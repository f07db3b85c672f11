/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * content.c     the interface, and the parts of a message on their way to the views
 * selectors.c   the header of the message, and fields of parts, to the texts of selectors
 * part_line.c   the attachment view
 *
 * The state of a message. What is large stands at the end, and pages of it that a message does not
 * need are not touched.
 */

#include "dataplane/content/attach.h"
#include "dataplane/content/charset.h"
#include "dataplane/content/charset_words.h"
#include "dataplane/content/content.h"
#include "dataplane/content/fold.h"
#include "dataplane/content/html.h"
#include "dataplane/content/mime.h"
#include "dataplane/content/run.h"
#include "dataplane/content/uri.h"

#define CONTENT_BUF     (CONTENT_RUN + RUN_SLACK)
#define CONTENT_BUCKETS 256u

/* A field that is kept: name, colon, value. */
struct content_field {
	uint32_t off; /* in content.kept */
	uint32_t len;
	uint32_t hash; /* of the name */
	uint16_t name_len;
	uint16_t next; /* of the same bucket: index + 1; 0: none */
};

/* Names that are wanted; more may pass. */
struct content_names {
	uint64_t bit[4];
	bool all;
};

struct content {
	const struct content_plan *plan;
	const struct content_sink *sink;
	uint32_t marks;
	uint32_t views;
	/* selectors.c */
	struct content_names top, inner;
	uint32_t n_fields, n_kept, n_inner;
	uint16_t bucket[CONTENT_BUCKETS], bucket_last[CONTENT_BUCKETS];
	/* Of MIMEFIELD: a run was given; a value was there. */
	uint64_t begun[CONTENT_MAX_SELECTORS / 64], there[CONTENT_MAX_SELECTORS / 64];
	struct charset_words words;
	bool bad_words;
	/* content.c: the part in hand */
	uint8_t kind; /* enum mime_kind */
	bool to_text, to_raw, to_attach;
	bool raw_cr;      /* of the rawbody view: CR is held */
	bool raw_begins;  /* nothing of this part is in it yet */
	uint8_t raw_last; /* its last octet of this part; 0: none */
	struct charset charset;
	struct fold fold;
	struct content_run body, raw, uris, attachments;
	struct html_sink html_sink;
	struct uri_sink uri_sink;
	struct mime_sink mime_sink;
	struct html *html;
	struct uri *uri;
	/* part_line.c */
	uint32_t part_index;
	uint32_t n_members;      /* told, of all parts */
	uint16_t n_part_type, n_part_name;
	bool part_name_cut;
	uint8_t part_type[128];
	uint8_t part_name[1024];
	struct content_attach attach;
	uint8_t piece[CHARSET_OUT(1024)];
	struct mime mime;
	struct content_field field[LIMIT_HEADER_FIELDS];
	/* Fields of parts that selectors want, until they go out. */
	uint8_t inner_kept[LIMIT_HEADER_FIELD + 1024];
	uint8_t selector_buf[CONTENT_BUF];
	/* The header of the message, until it has ended, and from then on the runs of views. */
	union {
		uint8_t kept[LIMIT_HEADER_BLOCK];
		struct {
			uint8_t body[CONTENT_BUF], raw[CONTENT_BUF], uris[CONTENT_BUF],
				attachments[CONTENT_BUF];
		} run;
	} u;
};

/* selectors.c */
void content_selectors_begin(struct content *c);
/* A field of the message's header or of a part's. */
void content_selectors_field(struct content *c, const struct mime_field *f);
/* The header has ended: the texts of its selectors go out. */
void content_selectors_header(struct content *c);
/* Then the Subject (the last one, if there are more), decoded, into c->selector_buf. Returns its
 * length, at most CONTENT_RUN. */
size_t content_selectors_subject(struct content *c);
/* The message has: those of fields of parts. */
void content_selectors_end(struct content *c);

/* part_line.c */
void content_line_begin(struct content *c, const struct mime_part *part);
void content_line_end(struct content *c);
/* A part whose octets are read on: what its header says. */
void content_line_container(struct content *c, const struct mime_part *part);
