/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/utf8.h"

#define LEAST 12 /* columns that are left of a text */

/* ---- a cell ---- */

/* Columns of a code point: marks take none, East Asian ones two. */
static unsigned int width_of(long cp)
{
	if ((cp >= 0x300 && cp <= 0x36f) || (cp >= 0x1ab0 && cp <= 0x1aff) || (cp >= 0x20d0 && cp <= 0x20ff) ||
	    (cp >= 0xfe00 && cp <= 0xfe0f) || (cp >= 0xfe20 && cp <= 0xfe2f))
		return 0;
	if ((cp >= 0x1100 && cp <= 0x115f) || (cp >= 0x2e80 && cp <= 0xa4cf) || (cp >= 0xac00 && cp <= 0xd7a3) ||
	    (cp >= 0xf900 && cp <= 0xfaff) || (cp >= 0xfe30 && cp <= 0xfe6f) || (cp >= 0xff00 && cp <= 0xff60) ||
	    (cp >= 0x1f300 && cp <= 0x1faff) || cp >= 0x20000)
		return 2;
	return 1;
}

static unsigned int width_of_str(struct str t)
{
	unsigned int w = 0;

	for (size_t i = 0, n; i < t.n; i += n)
		w += width_of(utf8_at(t, i, &n));
	return w;
}

unsigned int table_width(const char *text)
{
	return width_of_str(str_c(text));
}

static void blanks(unsigned int n)
{
	printf("%*s", (int)n, "");
}

void table_cell(const char *text, unsigned int columns)
{
	struct str t = str_c(text);
	unsigned int w = 0;
	size_t i = 0, n;

	if (!columns || table_width(text) <= columns) {
		fputs(text, stdout);
		w = table_width(text);
		blanks(w < columns ? columns - w : 0);
		return;
	}
	for (; i < t.n; i += n) {
		unsigned int k = width_of(utf8_at(t, i, &n));

		if (w + k > columns - 1)
			break;
		w += k;
		fwrite(t.p + i, 1, n, stdout);
	}
	blanks(columns - 1 - w);
	putchar('~');
}

/* ---- all of them ---- */

void table_begin(struct table *t, const struct table_column *column, size_t n, unsigned int indent)
{
	*t = (struct table){.column = column, .n = n, .indent = indent};
}

void table_add(struct table *t, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	if (t->n_cells == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		char **p = realloc(t->cell, cap * sizeof(*p));

		if (!p)
			return;
		t->cell = p;
		t->cap = cap;
	}
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	t->cell[t->n_cells++] = n < 0 ? NULL : text;
}

static const char *at(const struct table *t, size_t row, size_t c)
{
	const char *text = t->cell[row * t->n + c];

	return text ? text : "";
}

struct layout {
	unsigned int width[TABLE_COLUMNS], least[TABLE_COLUMNS]; /* width 0: left out */
};

/* Texts stand apart from what is in front of them. */
static unsigned int gap(const struct table *t, size_t c)
{
	return !c ? t->indent : t->column[c].flags & TABLE_RIGHT ? 1 : 2;
}

static unsigned int total(const struct table *t, const struct layout *l)
{
	unsigned int w = 0;

	for (size_t c = 0; c < t->n; c++)
		w += l->width[c] ? l->width[c] + gap(t, c) : 0;
	return w;
}

/* The widest text that can give, -1: none. */
static int giver(const struct table *t, const struct layout *l)
{
	int best = -1;

	for (size_t c = 0; c < t->n; c++)
		if (l->width[c] > l->least[c] && (best < 0 || l->width[c] > l->width[best]))
			best = (int)c;
	return best;
}

static int dearest(const struct table *t, const struct layout *l)
{
	int best = -1;

	for (size_t c = 0; c < t->n; c++)
		if (l->width[c] && t->column[c].rank &&
		    (best < 0 || t->column[c].rank > t->column[best].rank))
			best = (int)c;
	return best;
}

static void plan(const struct table *t, size_t rows, unsigned int columns, struct layout *l)
{
	unsigned int room = 0;

	for (size_t c = 0; c < t->n; c++) {
		unsigned int title = table_width(t->column[c].title);

		l->width[c] = title ? title : 1;
		for (size_t r = 0; r < rows; r++)
			if (table_width(at(t, r, c)) > l->width[c])
				l->width[c] = table_width(at(t, r, c));
		l->least[c] = l->width[c];
		if (t->column[c].flags & (TABLE_CUT | TABLE_WRAP) && l->width[c] > LEAST)
			l->least[c] = title > LEAST ? title : LEAST;
	}
	while (columns && total(t, l) > columns) {
		int c = dearest(t, l);

		room = 0;
		for (size_t k = 0; k < t->n; k++)
			room += l->width[k] ? l->width[k] - l->least[k] : 0;
		if (total(t, l) - room > columns && c >= 0) {
			l->width[c] = l->least[c] = 0;
			continue;
		}
		c = giver(t, l);
		if (c < 0)
			break;
		l->width[c]--;
	}
}

/* From where the line is on; it goes on below itself. A word that has no room there begins further left. */
static void wrapped(const char *text, unsigned int from, unsigned int columns)
{
	unsigned int room = columns > from ? columns - from : 1, w = 0;

	while (*text) {
		size_t n = strcspn(text, " ");
		unsigned int k = width_of_str(str_make(text, n));

		if ((k > room && columns > from) || (w && w + 1 + k > room)) {
			putchar('\n');
			blanks(k <= room ? from : k < columns ? columns - k : 0);
			w = 0;
		}
		printf("%s%.*s", w ? " " : "", (int)n, text);
		w += k + (w > 0);
		text += n;
		text += strspn(text, " ");
	}
}

static void print_row(const struct table *t, const struct layout *l, const char *const *text, unsigned int columns)
{
	unsigned int from = 0;
	size_t last = 0;

	for (size_t c = 0; c < t->n; c++)
		last = l->width[c] ? c : last;
	for (size_t c = 0; c <= last; c++) {
		unsigned int w = table_width(text[c]);

		if (!l->width[c])
			continue;
		blanks(gap(t, c));
		from += gap(t, c);
		if (t->column[c].flags & TABLE_RIGHT)
			printf("%*s%s", w < l->width[c] ? (int)(l->width[c] - w) : 0, "", text[c]);
		else if (c == last && columns && t->column[c].flags & TABLE_WRAP)
			wrapped(text[c], from, columns);
		else
			table_cell(text[c], c == last && w <= l->width[c] ? 0 : l->width[c]);
		from += l->width[c];
	}
	putchar('\n');
}

void table_end(struct table *t, unsigned int columns)
{
	const char *text[TABLE_COLUMNS] = {0};
	size_t rows = t->n_cells / t->n;
	struct layout l = {0};

	plan(t, rows, columns, &l);
	for (size_t c = 0; c < t->n; c++)
		text[c] = t->column[c].title;
	print_row(t, &l, text, columns);
	for (size_t r = 0; r < rows; r++) {
		for (size_t c = 0; c < t->n; c++)
			text[c] = at(t, r, c);
		print_row(t, &l, text, columns);
	}
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cell[i]);
	free(t->cell);
	*t = (struct table){.n = 0};
}
