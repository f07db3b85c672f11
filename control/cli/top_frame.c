/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * From what is to be seen to lines of a size. What there is no room for is left out from the right,
 * the least important columns first; rows are shared out among the sections, so that a machine with
 * many workers shows its routes, too.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/message.h"
#include "control/cli/top_table.h"

#define ALERT_S 3600 /* an older one is in the log, and not of now */

/* ---- lines ---- */

static void add(struct top_frame *f, enum top_style style, const char *text)
{
	unsigned int columns = f->columns < TOP_COLUMNS ? f->columns : TOP_COLUMNS;
	struct top_line *l;

	if (f->rows && f->n >= f->rows)
		return;
	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 64;
		struct top_line *p = realloc(f->line, cap * sizeof(*p));

		if (!p) {
			f->failed = true;
			return;
		}
		f->line = p;
		f->cap = cap;
	}
	l = &f->line[f->n++];
	l->style = style;
	look_clean(str_cut(str_c(text), columns), l->text, sizeof(l->text));
}

__attribute__((format(printf, 3, 4))) static void addf(struct top_frame *f, enum top_style style,
						       const char *fmt, ...)
{
	char text[TOP_COLUMNS + 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(f, style, text);
}

void top_frame_free(struct top_frame *f)
{
	free(f->line);
	*f = (struct top_frame){0};
}

/* ---- the head ---- */

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

static void duration(double sec, char out[32])
{
	unsigned long t = sec > 0 && sec < 1e15 ? (unsigned long)sec : 0;

	if (t >= 86400)
		snprintf(out, 32, "%lud %luh", t / 86400, t % 86400 / 3600);
	else if (t >= 3600)
		snprintf(out, 32, "%luh %lum", t / 3600, t % 3600 / 60);
	else if (t >= 60)
		snprintf(out, 32, "%lum %lus", t / 60, t % 60);
	else
		snprintf(out, 32, "%lus", t);
}

static const char *state_of(const json_t *v, bool *alarm)
{
	*alarm = !json_is_true(json_object_get(v, "ready"));
	if (!json_is_true(json_object_get(v, "linked")))
		return "NO DATAPLANE";
	if (json_is_true(json_object_get(v, "draining")))
		return "DRAINED";
	return *alarm ? "NOT READY" : "READY";
}

/* The most important first, and the time at the right if there is room. */
static void bar(struct top_frame *f, const struct top_state *s)
{
	char text[TOP_COLUMNS + 1], up[32];
	unsigned int columns = f->columns < TOP_COLUMNS ? f->columns : TOP_COLUMNS;
	bool alarm = true;
	const char *state = s->view ? state_of(s->view, &alarm) : "NO ANSWER";
	size_t n, clock = strlen(s->clock);

	duration(json_number_value(json_object_get(s->view, "uptime_s")), up);
	snprintf(text, sizeof(text), "%s%s", s->problem && s->view ? "OLD: " : "", state);
	n = strlen(text);
	if (s->paused)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "  PAUSED");
	if (s->view)
		snprintf(text + n, sizeof(text) - n,
			 "  %.100s  up %s  configuration %lld  Postern %.20s",
			 text_of(s->view, "hostname"), up,
			 (long long)json_integer_value(json_object_get(s->view, "generation")),
			 text_of(s->view, "version"));
	n = strlen(text);
	if (n + 2 + clock <= columns) {
		memset(text + n, ' ', columns - n);
		memcpy(text + columns - clock, s->clock, clock + 1);
	} else if (n < columns) {
		memset(text + n, ' ', columns - n);
		text[columns] = '\0';
	}
	add(f, alarm || s->problem ? TOP_ALARM : TOP_BAR, text);
}

static void notes(struct top_frame *f, const struct top_state *s)
{
	const json_t *alerts = json_object_get(s->view, "alerts"),
		     *reload = json_object_get(s->view, "reload");
	const char *stage = text_of(reload, "stage");
	char ago[32];

	if (s->problem)
		add(f, TOP_ALARM, s->problem);
	if (s->view && *text_of(s->view, "error"))
		addf(f, TOP_ALARM, "the dataplane refused the configuration: %s",
		     text_of(s->view, "error"));
	if (json_integer_value(json_object_get(alerts, "n")) &&
	    json_number_value(json_object_get(alerts, "ago_s")) < ALERT_S) {
		duration(json_number_value(json_object_get(alerts, "ago_s")), ago);
		addf(f, TOP_ALARM, "ALERT %s ago (%lld in all): %s", ago,
		     (long long)json_integer_value(json_object_get(alerts, "n")),
		     text_of(alerts, "text"));
	}
	if (*stage && strcmp(stage, "idle") != 0)
		addf(f, TOP_PLAIN, "reload: %s, %.0f s", stage,
		     json_number_value(json_object_get(reload, "seconds")));
}

/* ---- rates ---- */

struct tokens {
	struct top_frame *f;
	char line[TOP_COLUMNS + 1];
	unsigned int lines, most; /* written; at most */
};

static void flush(struct tokens *t)
{
	if (t->line[0] && t->lines < t->most) {
		add(t->f, TOP_PLAIN, t->line);
		t->lines++;
	}
	t->line[0] = '\0';
}

static void token(struct tokens *t, const char *name, const json_t *value, const char *unit)
{
	unsigned int columns = t->f->columns < TOP_COLUMNS ? t->f->columns : TOP_COLUMNS;
	char number[16], text[64];
	size_t n = strlen(t->line);

	snprintf(text, sizeof(text), "%s %s%s", name, top_short(top_number(value), number), unit);
	if (n && n + 3 + strlen(text) > columns) {
		flush(t);
		n = 0;
	}
	snprintf(t->line + n, sizeof(t->line) - n, "%s%s", n ? "   " : "", text);
}

static void rates(struct top_frame *f, const json_t *v)
{
	static const struct {
		const char *name, *member;
	} of[] = {{"sessions", "sessions"},    {"messages", "messages"},
		  {"2xx", "replies_2xx"},      {"4xx", "replies_4xx"},
		  {"5xx", "replies_5xx"},      {"drops", "drops"},
		  {"rx B", "rx_bytes"},        {"tx B", "tx_bytes"},
		  {"mail B", "message_bytes"}, {"rx pkt", "rx_packets"},
		  {"tx pkt", "tx_packets"},    {"control: recipients", "recipients"},
		  {"drops", "control_drops"}};
	const json_t *r = json_object_get(v, "rates");
	/* A third of the screen at most. */
	struct tokens t = {.f = f, .most = f->rows ? (f->rows + 2) / 3 : 16};

	token(&t, "now: sessions", json_object_get(v, "sessions"), "");
	token(&t, "messages", json_object_get(v, "messages_in_flight"), "");
	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		token(&t, of[i].name, json_object_get(r, of[i].member), "/s");
	flush(&t);
}

/* ---- sections ---- */

static void table(struct top_frame *f, const struct top_table *t, size_t lines)
{
	char text[TOP_COLUMNS + 1];
	size_t rows = lines ? lines - 1 : 0, left = 0;
	struct top_layout layout;

	if (!lines)
		return;
	if (rows < t->n) {
		left = t->n - rows;
		if (rows > 1) { /* one of them says how many are missing */
			rows--;
			left++;
		}
	} else {
		rows = t->n;
	}
	top_table_plan(t, f->columns, &layout);
	top_table_title(t, &layout, text);
	add(f, TOP_TITLE, text);
	for (size_t i = 0; i < rows; i++) {
		top_table_row(t, &layout, i, text);
		add(f, t->row[i].alarm ? TOP_ALARM : TOP_PLAIN, text);
	}
	if (left && rows > 0 && lines > 2)
		addf(f, TOP_DIM, "%zu more", left);
}

/* How many lines each section gets, its title included. */
static bool share_out(const size_t want[TOP_SECTIONS], size_t room, size_t out[TOP_SECTIONS])
{
	size_t all = 0, sections = 0;
	bool given = true;

	for (int i = 0; i < TOP_SECTIONS; i++) {
		all += want[i];
		sections += want[i] > 0;
		out[i] = 0;
	}
	for (int i = 0; i < TOP_SECTIONS && room >= 2; i++)
		if (want[i]) { /* a title without a row says nothing */
			out[i] = 2;
			room -= 2;
		}
	while (room && given) {
		given = false;
		for (int i = 0; i < TOP_SECTIONS && room; i++)
			if (out[i] && out[i] < want[i]) {
				out[i]++;
				room--;
				given = true;
			}
	}
	return sections > 0 && room >= sections; /* blank lines fit */
}

static void sections(struct top_frame *f, const struct top_state *s, size_t reserve)
{
	struct top_table t[TOP_SECTIONS];
	size_t want[TOP_SECTIONS], get[TOP_SECTIONS], room;
	bool blank;

	for (int i = 0; i < TOP_SECTIONS; i++) {
		top_table_make(&t[i], (enum top_section)i, s->view, &s->order);
		want[i] = s->order.only >= 0 && s->order.only != i ? 0 : t[i].n ? t[i].n + 1 : 0;
	}
	room = !f->rows ? SIZE_MAX / 2 : f->rows > f->n + reserve ? f->rows - f->n - reserve : 0;
	blank = share_out(want, room, get);
	for (int i = 0; i < TOP_SECTIONS; i++) {
		if (get[i] && blank)
			add(f, TOP_PLAIN, "");
		table(f, &t[i], get[i]);
		top_table_free(&t[i]);
	}
}

static void keys(struct top_frame *f, const struct top_state *s)
{
	while (f->n + 1 < f->rows && !f->failed)
		add(f, TOP_PLAIN, "");
	addf(f, TOP_DIM, "q quit  space %s  w n r order (%s, %s, %s)  W N R one section",
	     s->paused ? "go on" : "pause", top_order_name(&s->order, TOP_WORKERS),
	     top_order_name(&s->order, TOP_ROUTES), top_order_name(&s->order, TOP_RULES));
}

void top_frame_make(struct top_frame *f, const struct top_state *s)
{
	bool told = s->keys && f->rows >= 10;

	f->n = 0;
	f->failed = false;
	bar(f, s);
	notes(f, s);
	if (s->view) {
		rates(f, s->view);
		sections(f, s, told ? 1 : 0);
	}
	if (told)
		keys(f, s);
}
