/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* A line a record, as wide as the terminal: what does not fit is cut and ends in ~. */

#include <stdio.h>
#include <string.h>

#include "control/cli/table.h"
#include "control/cli/trace.h"
#include "postern/utf8.h"

#define CELL 1100

size_t trace_clean(const json_t *record, const char *member, char *out, size_t cap)
{
	struct str t = str_c(json_string_value(json_object_get(record, member)));
	size_t len = 0;

	for (size_t i = 0, n; i < t.n; i += n) {
		long cp = utf8_at(t, i, &n);
		/* The joiners are of use in some scripts, and of none in a table of strangers' words. */
		bool shown = cp >= 0x20 && cp != 0x7f && !utf8_is_deceptive(cp) && cp != 0x200c && cp != 0x200d;

		if (!shown)
			continue;
		if (len + n >= cap)
			break;
		memcpy(out + len, t.p + i, n);
		len += n;
	}
	out[len] = '\0';
	return len;
}

struct layout {
	unsigned int from, to, origin; /* 0 of origin: left out */
	bool score, year, route;
};

static unsigned int widest(const json_t *records, const char *member, unsigned int least)
{
	char text[CELL];
	const json_t *v;
	size_t i;

	json_array_foreach(records, i, v) {
		trace_clean(v, member, text, sizeof(text));
		if (table_width(text) > least)
			least = table_width(text);
	}
	return least;
}

/* TIME, TRACE ID and OUTCOME are always there; what else depends on the room. */
static struct layout plan(const json_t *records, unsigned int columns)
{
	struct layout l = {.from = widest(records, "mail_from", 4), .to = widest(records, "rcpt", 2),
			   .origin = widest(records, "origin", 6), .score = true, .year = true, .route = true};
	unsigned int room, fixed = 14 + 1 + 16 + 1 + 11 + 1;

	if (!columns)
		return l;
	l.route = columns >= 150;
	l.year = columns >= 120;
	l.score = columns >= 100;
	if (columns < 100)
		l.origin = 0;
	fixed += (l.year ? 5 : 0) + (l.score ? 7 : 0) + (l.origin ? l.origin + 1 : 0) + (l.route ? 13 : 0) + 1;
	room = columns > fixed + 16 ? columns - fixed : 16;
	if (l.from + l.to <= room)
		return l;
	if (l.from > room / 2 && l.to > room / 2) {
		l.from = room / 2;
		l.to = room - room / 2;
	} else if (l.from > room / 2) {
		l.from = room - l.to;
	} else {
		l.to = room - l.from;
	}
	return l;
}

static void text_cell(const json_t *v, const char *member, unsigned int columns)
{
	char text[CELL];

	trace_clean(v, member, text, sizeof(text));
	table_cell(text, columns);
	putchar(' ');
}

static void row(const json_t *v, const struct layout *l)
{
	const json_t *score = json_object_get(v, "score");
	char time[CELL], text[32] = "-";

	if (!json_is_number(score))
		score = json_object_get(json_object_get(v, "judged"), "score");
	if (json_is_number(score))
		snprintf(text, sizeof(text), "%.2f", json_number_value(score));
	/* 2026-01-31T12:00:00.123Z */
	if (trace_clean(v, "time", time, sizeof(time)) >= 19) {
		time[10] = ' ';
		time[19] = '\0';
	}
	table_cell(l->year || strlen(time) < 19 ? time : time + 5, l->year ? 19 : 14);
	putchar(' ');
	text_cell(v, "trace_id", 16);
	text_cell(v, json_object_get(v, "event") ? "event" : "outcome", 11);
	if (l->origin)
		text_cell(v, "origin", l->origin);
	if (l->score)
		printf("%6.6s ", text);
	if (l->route)
		text_cell(v, "route", 12);
	text_cell(v, "mail_from", l->from);
	trace_clean(v, "rcpt", time, sizeof(time));
	table_cell(time, table_width(time) > l->to ? l->to : 0);
	putchar('\n');
}

void trace_table(const json_t *answer, unsigned int columns)
{
	const json_t *records = json_object_get(answer, "records"), *v;
	struct layout l = plan(records, columns);
	size_t i;

	table_cell("TIME (UTC)", l.year ? 19 : 14);
	printf(" %-16s %-11s ", "TRACE ID", "OUTCOME");
	if (l.origin)
		printf("%-*s ", (int)l.origin, "ORIGIN");
	if (l.score)
		printf("%6s ", "SCORE");
	if (l.route)
		printf("%-12s ", "ROUTE");
	printf("%-*s TO\n", (int)l.from, "FROM");
	json_array_foreach(records, i, v)
		row(v, &l);
	printf("%zu record(s)", json_array_size(records));
	if (json_is_string(json_object_get(answer, "next")))
		printf("; older ones: --before %s", show_text(answer, "next"));
	putchar('\n');
}
