/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What stands in which column. */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "control/cli/top_table.h"

/* ---- numbers ---- */

double top_number(const json_t *v)
{
	return json_is_number(v) ? json_number_value(v) : -1;
}

double top_num(const json_t *o, const char *member)
{
	return top_number(json_object_get(o, member));
}

const char *top_text(const json_t *o, const char *member)
{
	const char *s = json_string_value(json_object_get(o, member));

	return s ? s : "";
}

const char *top_short(double v, char out[16])
{
	static const char unit[] = "kMGTPE";
	size_t u = 0;

	if (v < 99999.5) {
		snprintf(out, 16, v < 0 ? "-" : v < 9.95 && v != floor(v) ? "%.1f" : "%.0f", v);
		return out;
	}
	for (v /= 1000; v >= 999.5 && u + 2 < sizeof(unit); u++)
		v /= 1000;
	if (v >= 999.5)
		snprintf(out, 16, "many");
	else
		snprintf(out, 16, v < 9.95 ? "%.1f%c" : "%.0f%c", v, unit[u]);
	return out;
}

static void percent(double v, char out[16])
{
	if (v < 0)
		snprintf(out, 16, "-");
	else
		snprintf(out, 16, "%.1f%%", v * 100);
}

static void two(double a, double b, char out[16])
{
	char x[16], y[16];

	snprintf(out, 16, "%.6s/%.6s", top_short(a, x), top_short(b, y));
}

/* Milliseconds; nothing was seen: "-". */
static void times(const json_t *v, char out[16])
{
	if (top_num(v, "p99_us") <= 0)
		snprintf(out, 16, "-");
	else
		two(top_num(v, "p50_us") / 1e3, top_num(v, "p99_us") / 1e3, out);
}

/* Six octets, whatever LIMIT_RULES_SCORE allows. */
static void score(double v, char out[16])
{
	double size = v < 0 ? -v : v;

	snprintf(out, 16, "%.*f", size < 99.995 ? 2 : size < 999.95 ? 1 : 0, v);
}

/* ---- columns ---- */

static const struct top_column workers[] = {
	{"WORKER", 6, 0, TOP_NAME, "worker", NULL, NULL},
	{"BUSY", 6, 1, TOP_SHARE, "busy", NULL, NULL},
	{"RX PKT/S", 8, 2, TOP_NUMBER, "rx_packets", NULL, NULL},
	{"TX PKT/S", 8, 7, TOP_NUMBER, "tx_packets", NULL, NULL},
	{"SESSIONS", 8, 3, TOP_NUMBER, "sessions_now", NULL, NULL},
	{"SESS/S", 6, 6, TOP_NUMBER, "sessions", NULL, NULL},
	{"MSG/S", 6, 4, TOP_NUMBER, "messages", NULL, NULL},
	{"ARENA", 6, 5, TOP_SHARE, "arena", NULL, NULL},
	{"RECORDS", 7, 8, TOP_SHARE, "records", NULL, NULL},
	{"RING IN", 7, 9, TOP_SHARE, "submit_ring", NULL, NULL},
	{"RING OUT", 8, 10, TOP_SHARE, "verdict_ring", NULL, NULL},
	{0},
};

static const struct top_column routes[] = {
	{"ROUTE", 10, 0, TOP_NAME, "route", NULL, NULL},
	{"STATE", 8, 2, TOP_WORD, "state", NULL, NULL},
	{"UNDER WAY", 9, 1, TOP_TWO, "outstanding", "bound", "busy"},
	{"QUEUE", 5, 3, TOP_NUMBER, "waiting", NULL, "waiting"},
	{"CONN", 7, 8, TOP_TWO, "connections", "max_connections", "connections"},
	{"MSG/S", 6, 4, TOP_NUMBER, "messages", NULL, "messages"},
	{"FAIL", 6, 5, TOP_SHARE, "failing", NULL, "failing"},
	{"BREAKER", 7, 6, TOP_WORD, "breaker", NULL, NULL},
	{"WAIT ms", 12, 10, TOP_TIMES, "wait", NULL, NULL},
	{"CONNECT ms", 12, 11, TOP_STAGE, "connect", NULL, NULL},
	{"RCPT ms", 12, 12, TOP_STAGE, "rcpt", NULL, NULL},
	{"DOT ms", 12, 9, TOP_STAGE, "dot", NULL, NULL},
	{"ALL p50/p99", 11, 7, TOP_TIMES, "message", NULL, NULL},
	{0},
};

static const struct top_column rules[] = {
	{"RULE", 12, 0, TOP_NAME, "name", NULL, NULL},
	{"SCORE", 6, 4, TOP_SCORE, "score", NULL, NULL},
	{"HITS/S", 6, 1, TOP_NUMBER, "hits", NULL, NULL},
	{"US/S", 6, 3, TOP_NUMBER, "us", NULL, NULL},
	{"CPU", 6, 2, TOP_CPU, "us", NULL, NULL},
	{"HITS", 7, 5, TOP_NUMBER, "hits_total", NULL, NULL},
	{"US/HIT", 7, 6, TOP_EACH, "ns_total", "hits_total", NULL},
	{0},
};

const struct top_column *top_columns(enum top_section s)
{
	return s == TOP_WORKERS ? workers : s == TOP_ROUTES ? routes : rules;
}

void top_cell(const struct top_column *c, const struct top_row *r, char out[16])
{
	const char *member = r->route ? c->hop : c->member;
	enum top_kind kind = r->route && c->kind == TOP_TWO ? TOP_NUMBER : c->kind;
	double v = member ? top_num(r->v, member) : -1, n;

	out[0] = '\0';
	if (!member)
		return; /* of a route, not of its next hop */
	switch (kind) {
	case TOP_NAME: /* top_row_name() */
		break;
	case TOP_NUMBER:
		top_short(v, out);
		break;
	case TOP_SHARE:
		percent(v, out);
		break;
	case TOP_TWO:
		two(v, top_num(r->v, c->other), out);
		break;
	case TOP_WORD:
		snprintf(out, 16, "%.12s", *top_text(r->v, member) ? top_text(r->v, member) : "-");
		break;
	case TOP_TIMES:
		times(json_object_get(r->v, member), out);
		break;
	case TOP_STAGE:
		times(json_object_get(json_object_get(r->v, "stages"), member), out);
		break;
	case TOP_SCORE:
		score(json_number_value(json_object_get(r->v, member)), out);
		break;
	case TOP_CPU:
		percent(v < 0 ? -1 : v / 1e6, out);
		break;
	case TOP_EACH:
		n = top_num(r->v, c->other);
		top_short(n > 0 ? v / 1e3 / n : -1, out);
		break;
	}
}

void top_row_name(enum top_section s, const struct top_row *r, char *out, size_t cap)
{
	const char *member = top_columns(s)[0].member;
	char number[16];

	if (s == TOP_WORKERS)
		snprintf(out, cap, "%s", top_short(top_num(r->v, member), number));
	else if (r->route)
		snprintf(out, cap, "  %.200s:%.0f", top_text(r->v, "host"), top_num(r->v, "port"));
	else
		snprintf(out, cap, "%.200s", top_text(r->v, member));
}
