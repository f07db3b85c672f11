/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * mime.c       octets of a layer → lines that may be delimiters, body octets, header lines
 * mime_tree.c  what begins and ends: parts, levels, layers
 * mime_field.c fields → what the header of a part says
 * mime_boundary.c the boundaries that are open
 */

#include "dataplane/content/mime.h"

/* What the octets of the innermost layer are. */
enum { MODE_HEADER, MODE_PREAMBLE, MODE_LEAF, MODE_SKIP };

/* What is held of the octets of a layer. HELD_NONE: nothing, inside of a line. */
enum {
	HELD_NONE,
	HELD_START, /* nothing, at the start of a line */
	HELD_CR,    /* CR */
	HELD_END,   /* CRLF or LF: it belongs to the delimiter, if one follows (RFC 2046 5.1.1) */
	HELD_DASH,  /* that, if it is there, and `-` */
	HELD_LINE,  /* that, and the start of a line with `--` */
};

#define MIME_NO_LEVEL UINT8_MAX

/* mime.c: the next octets of a layer. */
void mime_scan(struct mime *m, unsigned int layer, const uint8_t *p, size_t n);
/* No more of them come: what is held is looked at. */
void mime_scan_end(struct mime *m, unsigned int layer);

/* mime_tree.c */
void mime_header_begin(struct mime *m, bool message, bool digest);
/* The header in hand is complete: what follows is decided. */
void mime_header_done(struct mime *m);
/* A delimiter of that level came in. */
void mime_delimiter(struct mime *m, unsigned int level, bool close);
/* Body octets of a layer. */
void mime_body(struct mime *m, unsigned int layer, const uint8_t *p, size_t n);
/* The message ends. */
void mime_finish(struct mime *m);

/* mime_field.c */
void mime_entity_init(struct mime_entity *e, bool message, bool digest);
/* The field that m->field holds goes to the sink and into m->entity. */
void mime_field_done(struct mime *m);
/* A line (line end and all) that begins a field. */
bool mime_is_field(struct str line);
/* What a part of that type is taken for. */
enum mime_kind mime_kind_of(struct str type);

/* mime_boundary.c */
/* False: no room. `l` is the level that m->n_levels counts next. */
bool mime_boundary_push(struct mime *m, struct mime_level *l, struct str boundary);
/* It is not looked for any more. */
void mime_boundary_close(struct mime *m, unsigned int level);
/* Whether one of that layer has this name already. */
bool mime_boundary_is_open(const struct mime *m, unsigned int layer, struct str boundary);
/* The level whose delimiter this line is (without line end, white space behind it allowed), or
 * MIME_NO_LEVEL. */
unsigned int mime_boundary_find(const struct mime *m, unsigned int layer, struct str line,
				bool *close);
