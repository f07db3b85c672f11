/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * `posternctl top`, in three steps that know nothing of each other: two answers to `show top`
 * become what is to be seen (top_view.c: JSON, which --json prints), that becomes lines of a size
 * (top_frame.c), and those are put on a terminal (screen.h).
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define TOP_SCHEMA "postern.top.1"

/*
 * postern.top.1 (docs/json.md). Rates are differences by the daemon's own clock; null where there
 * is none to be had: no answer before (NULL), another process, or a counter that went back. New
 * reference; what may be wrong with an answer makes members null or 0.
 */
json_t *top_view(const json_t *before, const json_t *now);

enum top_section { TOP_WORKERS, TOP_ROUTES, TOP_RULES, TOP_SECTIONS };

/* In which order rows stand; each section has orders of its own, the first is that without a
 * choice. */
struct top_order {
	unsigned int by[TOP_SECTIONS];
	int only; /* enum top_section; -1: all of them */
};
/* The section's next one. */
void top_order_next(struct top_order *o, enum top_section s);
/* By its name, as --sort has it. False: there is no such. */
bool top_order_named(struct top_order *o, const char *name);
/* All of them, for the usage. */
const char *top_order_names(void);

enum top_style { TOP_PLAIN, TOP_BAR, TOP_ALARM, TOP_TITLE, TOP_DIM };

#define TOP_COLUMNS 400 /* wider is not made use of */

struct top_line {
	enum top_style style;
	char text[TOP_COLUMNS + 1]; /* printable ASCII */
};

struct top_frame {
	unsigned int columns, rows; /* it has to fit; rows 0: as many as it takes */
	struct top_line *line;
	size_t n, cap;
	bool failed; /* out of memory: lines are missing */
};

struct top_state {
	const json_t *view;  /* NULL: nothing came yet */
	const char *problem; /* NULL: none; why what is shown is old, or nothing is */
	const char *clock;   /* time of day, for the first line */
	bool paused;
	bool keys; /* tell of them */
	struct top_order order;
};

/* Begins at the first line; columns and rows are set. */
void top_frame_make(struct top_frame *f, const struct top_state *s);
void top_frame_free(struct top_frame *f);
