/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The tables of `posternctl top`: which rows, in which order, in which columns. */

#include <stdbool.h>
#include <stddef.h>

#include "control/cli/top.h"

#define TOP_TABLE_COLUMNS 14

struct top_row {
	const json_t *v;     /* of the view, borrowed */
	const json_t *route; /* of a next hop: whose; NULL: it is none */
	double key;          /* the largest is first */
	size_t at;           /* as they came */
	bool alarm;
};

enum top_kind {
	TOP_NAME,
	TOP_NUMBER,
	TOP_SHARE,
	TOP_TWO, /* this of that; of a next hop, this alone */
	TOP_WORD,
	TOP_TIMES, /* p50/p99 */
	TOP_STAGE, /* the same of a stage */
	TOP_SCORE,
	TOP_CPU,  /* microseconds a second */
	TOP_EACH, /* nanoseconds by a number */
};

struct top_column {
	const char *title;         /* NULL: behind the last one */
	unsigned char width, rank; /* rank 0: always there; the larger, the sooner it is left out */
	enum top_kind kind;
	const char *member, *other; /* of the row */
	const char *hop;            /* of a next hop's row; NULL: it has none of it */
};

struct top_table {
	enum top_section section;
	struct top_row *row;
	size_t n;
};

struct top_layout {
	unsigned int width[TOP_TABLE_COLUMNS]; /* 0: left out */
	unsigned int rest;                     /* for the text at the end; 0: left out */
};

/* Of the view; without memory it has no rows. */
void top_table_make(struct top_table *t, enum top_section s, const json_t *view,
		    const struct top_order *order);
void top_table_free(struct top_table *t);
void top_table_plan(const struct top_table *t, unsigned int columns, struct top_layout *l);
void top_table_title(const struct top_table *t, const struct top_layout *l,
		     char out[TOP_COLUMNS + 1]);
void top_table_row(const struct top_table *t, const struct top_layout *l, size_t i,
		   char out[TOP_COLUMNS + 1]);

/* top_cells.c */
const struct top_column *top_columns(enum top_section s);
void top_cell(const struct top_column *c, const struct top_row *r, char out[16]);
void top_row_name(enum top_section s, const struct top_row *r, char *out, size_t cap);

const char *top_order_name(const struct top_order *o, enum top_section s);

/* Below 0: it is null, or no number. */
double top_number(const json_t *v);
/* The same of a member. */
double top_num(const json_t *o, const char *member);
/* "" if it is no string; as it came: top_frame.c makes it printable. */
const char *top_text(const json_t *o, const char *member);
/* Six octets at most; "-" below 0. */
const char *top_short(double v, char out[16]);
