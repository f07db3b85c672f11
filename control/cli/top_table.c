/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/top_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/str.h"

/* ---- order ---- */

#define MAX_ORDERS 5

static const char *const orders[TOP_SECTIONS][MAX_ORDERS] = {
	[TOP_WORKERS] = {"worker", "busy", "packets", "sessions", "messages"},
	[TOP_ROUTES] = {"route", "load", "queue", "latency", "failing"},
	[TOP_RULES] = {"hits", "cost"},
};

static double key_of(enum top_section s, unsigned int by, const json_t *v)
{
	static const char *const worker[MAX_ORDERS] = {NULL, "busy", "rx_packets", "sessions_now",
						       "messages"};
	static const char *const route[MAX_ORDERS] = {NULL, "outstanding", "waiting", NULL,
						      "failing"};
	const char *name = s == TOP_WORKERS ? worker[by] : route[by];

	if (s == TOP_RULES) {
		/* Before there are rates: since the start. */
		double v_now = top_num(v, by ? "us" : "hits");

		return v_now >= 0 ? v_now : top_num(v, by ? "ns_total" : "hits_total");
	}
	if (s == TOP_ROUTES && by == 3)
		return top_num(json_object_get(v, "message"), "p99_us");
	return name ? top_num(v, name) : 0;
}

void top_order_next(struct top_order *o, enum top_section s)
{
	o->by[s]++;
	if (o->by[s] >= MAX_ORDERS || !orders[s][o->by[s]])
		o->by[s] = 0;
}

bool top_order_named(struct top_order *o, const char *name)
{
	for (int s = 0; s < TOP_SECTIONS; s++)
		for (unsigned int i = 0; i < MAX_ORDERS && orders[s][i]; i++)
			if (!strcmp(orders[s][i], name)) {
				o->by[s] = i;
				return true;
			}
	return false;
}

const char *top_order_name(const struct top_order *o, enum top_section s)
{
	return orders[s][o->by[s]];
}

const char *top_order_names(void)
{
	return "worker, busy, packets, sessions, messages; route, load, queue, latency, failing; "
	       "hits, cost";
}

/* ---- rows ---- */

static int by_key(const void *a, const void *b)
{
	const struct top_row *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? 1 : -1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static const json_t *list_of(enum top_section s, const json_t *view)
{
	static const char *const name[] = {
		[TOP_WORKERS] = "workers", [TOP_ROUTES] = "routes", [TOP_RULES] = "rules"};

	return json_object_get(view, name[s]);
}

static bool route_alarms(const json_t *v)
{
	return !strcmp(top_text(v, "state"), "shedding") || !strcmp(top_text(v, "breaker"), "open");
}

/* Next hops stand below their route, as they came. */
static void with_hops(struct top_table *t, const struct top_row *routes, size_t n)
{
	size_t all = n, i;
	const json_t *v;

	for (size_t k = 0; k < n; k++)
		all += json_array_size(json_object_get(routes[k].v, "hosts"));
	t->row = calloc(all + 1, sizeof(*t->row));
	for (size_t k = 0; t->row && k < n; k++) {
		t->row[t->n++] = routes[k];
		json_array_foreach(json_object_get(routes[k].v, "hosts"), i, v)
			t->row[t->n++] = (struct top_row){.v = v, .route = routes[k].v};
	}
}

void top_table_make(struct top_table *t, enum top_section s, const json_t *view,
		    const struct top_order *order)
{
	const json_t *list = list_of(s, view), *v;
	struct top_row *row = calloc(json_array_size(list) + 1, sizeof(*row));
	size_t i, n = 0;

	*t = (struct top_table){.section = s};
	if (!row)
		return;
	json_array_foreach(list, i, v)
		row[n++] = (struct top_row){.v = v,
					    .key = key_of(s, order->by[s], v),
					    .at = i,
					    .alarm = s == TOP_ROUTES && route_alarms(v)};
	qsort(row, n, sizeof(*row), by_key);
	if (s == TOP_ROUTES) {
		with_hops(t, row, n);
		free(row);
		return;
	}
	t->row = row;
	t->n = n;
}

void top_table_free(struct top_table *t)
{
	free(t->row);
	*t = (struct top_table){0};
}

/* ---- columns ---- */

static unsigned int longest_name(const struct top_table *t)
{
	char name[256];
	size_t longest = 0;

	for (size_t i = 0; i < t->n; i++) {
		top_row_name(t->section, &t->row[i], name, sizeof(name));
		if (strlen(name) > longest)
			longest = strlen(name);
	}
	return (unsigned int)longest;
}

void top_table_plan(const struct top_table *t, unsigned int columns, struct top_layout *l)
{
	const struct top_column *c = top_columns(t->section);
	unsigned int used, longest = longest_name(t);

	if (columns > TOP_COLUMNS)
		columns = TOP_COLUMNS;
	*l = (struct top_layout){0};
	l->width[0] = c[0].width;
	/* The name is what the rest is about: it has up to a third before other columns have any.
	 */
	if (longest > l->width[0])
		l->width[0] = longest < columns / 3      ? longest
			      : columns / 3 > c[0].width ? columns / 3
							 : c[0].width;
	if (l->width[0] > columns)
		l->width[0] = columns;
	used = l->width[0];
	for (unsigned int rank = 1; rank < TOP_TABLE_COLUMNS; rank++)
		for (unsigned int i = 1; c[i].title; i++)
			if (c[i].rank == rank && used + 1 + c[i].width <= columns) {
				l->width[i] = c[i].width;
				used += 1 + c[i].width;
			}
	if (longest > l->width[0] && used < columns) {
		unsigned int more = longest - l->width[0] < columns - used ? longest - l->width[0]
									   : columns - used;

		l->width[0] += more;
		used += more;
	}
	if (t->section == TOP_ROUTES && columns >= used + 2 + 16)
		l->rest = columns - used - 2;
}

struct line {
	char *out;
	size_t n;
};

/* Cut to the width, which ends in ~ then. */
static void put(struct line *l, const char *s, unsigned int width, bool left)
{
	size_t n = strlen(s), room = TOP_COLUMNS - l->n;
	size_t all = width < room ? width : room, k = n < all ? n : all;
	char *p = l->out + l->n;

	memset(p, ' ', all);
	memcpy(left ? p : p + all - k, s, k);
	if (n > all && all)
		p[all - 1] = '~';
	l->n += all;
	l->out[l->n] = '\0';
}

static void space(struct line *l, const char *s)
{
	put(l, s, (unsigned int)strlen(s), true);
}

void top_table_title(const struct top_table *t, const struct top_layout *l,
		     char out[TOP_COLUMNS + 1])
{
	const struct top_column *c = top_columns(t->section);
	struct line line = {out, 0};

	out[0] = '\0';
	for (unsigned int i = 0; i < TOP_TABLE_COLUMNS; i++) {
		if (!l->width[i])
			continue;
		if (i)
			space(&line, " ");
		put(&line, c[i].title, l->width[i], i == 0);
	}
	if (l->rest) {
		space(&line, "  ");
		put(&line, "CAUSE, LAST ERROR", l->rest, true);
	}
}

void top_table_row(const struct top_table *t, const struct top_layout *l, size_t i,
		   char out[TOP_COLUMNS + 1])
{
	const struct top_column *columns = top_columns(t->section);
	const struct top_row *r = &t->row[i];
	struct line line = {out, 0};
	char name[256], cell[16];

	out[0] = '\0';
	top_row_name(t->section, r, name, sizeof(name));
	put(&line, name, l->width[0], true);
	for (unsigned int c = 1; c < TOP_TABLE_COLUMNS; c++) {
		if (!l->width[c])
			continue;
		top_cell(&columns[c], r, cell);
		space(&line, " ");
		put(&line, cell, l->width[c], false);
	}
	if (l->rest) {
		space(&line, "  ");
		put(&line, top_text(r->v, r->route ? "last_error" : "cause"), l->rest, true);
	}
}
