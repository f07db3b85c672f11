/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/*
 * Tables for people. A column is as wide as what stands in it. Where the terminal is narrower than all of them, texts are
 * cut and end in ~ (or go on in the next line), then columns are left out: --json has all of it.
 */

#include <stdbool.h>
#include <stddef.h>

#define TABLE_COLUMNS 16

enum { TABLE_RIGHT = 1, TABLE_CUT = 2, TABLE_WRAP = 4 };

struct table_column {
	const char *title;
	unsigned int flags; /* RIGHT: numbers; CUT: may be cut; WRAP: of the last one, goes on below */
	unsigned int rank;  /* 0: always there; the largest is left out first */
};

struct table {
	const struct table_column *column;
	size_t n; /* TABLE_COLUMNS at most */
	unsigned int indent;
	char **cell; /* row by row */
	size_t n_cells, cap;
};

void table_begin(struct table *t, const struct table_column *column, size_t n, unsigned int indent);
/* The next cell, row by row. Nothing of a stranger's but through show_text(). */
void table_add(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints it, and frees what it holds. columns: of the terminal; 0: nothing is cut. Without memory rows are missing. */
void table_end(struct table *t, unsigned int columns);

/* ---- a cell: columns of the terminal, which are neither octets nor characters ---- */

unsigned int table_width(const char *text);
/* Left-adjusted in so many columns, cut if need be; 0: as it is, the last of its line. */
void table_cell(const char *text, unsigned int columns);
