/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/cli/show_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/cli.h"
#include "control/cli/table.h"
#include "control/cli/terminal.h"

#define BEGIN(t, column, indent) table_begin(t, column, sizeof(column) / sizeof((column)[0]), indent)

static const char *s(const json_t *o, const char *name)
{
	return show_text(o, name);
}

static long long n(const json_t *o, const char *name)
{
	return (long long)json_integer_value(json_object_get(o, name));
}

static double f(const json_t *o, const char *name)
{
	return json_number_value(json_object_get(o, name));
}

static void add_numbers(struct table *t, const json_t *v, const char *const *member, size_t n_members)
{
	for (size_t i = 0; i < n_members; i++)
		table_add(t, "%lld", n(v, member[i]));
}
#define NUMBERS(t, v, ...)                                                                         \
	add_numbers(t, v, (const char *const[]){__VA_ARGS__},                                      \
		    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

void show_duration(double sec, char *buf, size_t cap)
{
	unsigned long t = (unsigned long)sec;

	if (t >= 86400)
		snprintf(buf, cap, "%lud %luh", t / 86400, t % 86400 / 3600);
	else if (t >= 3600)
		snprintf(buf, cap, "%luh %lum", t / 3600, t % 3600 / 60);
	else if (t >= 60)
		snprintf(buf, cap, "%lum %lus", t / 60, t % 60);
	else
		snprintf(buf, cap, "%.1fs", sec);
}

void show_hosts(const json_t *hosts)
{
	static const struct table_column column[] = {
		{"ROUTE", TABLE_CUT, 0}, {"NEXT HOP", TABLE_CUT, 0}, {"CONN", TABLE_RIGHT, 0},
		{"BUSY", TABLE_RIGHT, 3}, {"WAIT", TABLE_RIGHT, 2}, {"DELIVERED", TABLE_RIGHT, 0},
		{"REJECTED", TABLE_RIGHT, 0}, {"DEFERRED", TABLE_RIGHT, 0}, {"LAST ERROR", TABLE_WRAP, 0}};
	const json_t *v;
	struct table t;
	size_t i;

	if (!json_array_size(hosts))
		return;
	putchar('\n');
	BEGIN(&t, column, 2);
	json_array_foreach(hosts, i, v) {
		table_add(&t, "%s", s(v, "route"));
		table_add(&t, "%s:%lld", s(v, "host"), n(v, "port"));
		NUMBERS(&t, v, "connections", "busy", "waiting", "delivered", "rejected", "deferred");
		table_add(&t, "%s", s(v, "last_error"));
	}
	table_end(&t, terminal_columns());
}

void show_workers(const json_t *a)
{
	static const struct table_column column[] = {
		{"WORKER", TABLE_RIGHT, 0}, {"BUSY", TABLE_RIGHT, 0}, {"SESSIONS", TABLE_RIGHT, 0},
		{"CONNS", TABLE_RIGHT, 1}, {"TIMEWAIT", TABLE_RIGHT, 4}, {"CHUNKS", TABLE_RIGHT, 3},
		{"RECORDS", TABLE_RIGHT, 2}, {"RX PACKETS", TABLE_RIGHT, 0}, {"TX PACKETS", TABLE_RIGHT, 0}};
	const json_t *v;
	struct table t;
	size_t i;

	BEGIN(&t, column, 0);
	json_array_foreach(json_object_get(a, "workers"), i, v) {
		table_add(&t, "%lld", n(v, "worker"));
		table_add(&t, "%.1f%%", 100 * f(v, "busy_share"));
		NUMBERS(&t, v, "sessions_now", "conns_now", "time_wait_now", "arena_chunks_used",
			"arena_records_used", "rx_packets", "tx_packets");
	}
	table_end(&t, terminal_columns());
	if (!json_is_true(json_object_get(a, "linked")))
		printf("the dataplane is not linked\n");
}

void show_ports(const json_t *a)
{
	static const struct table_column column[] = {
		{"PORT", TABLE_RIGHT, 0}, {"ROLE", 0, 0}, {"DEVICE", TABLE_CUT, 0}, {"LINK", 0, 0},
		{"MTU", TABLE_RIGHT, 1}, {"RX PACKETS", TABLE_RIGHT, 0}, {"TX PACKETS", TABLE_RIGHT, 0},
		{"RX LOST", TABLE_RIGHT, 0}, {"TX ERRORS", TABLE_RIGHT, 0}};
	const json_t *v;
	struct table t;
	size_t i;

	BEGIN(&t, column, 0);
	json_array_foreach(json_object_get(a, "ports"), i, v) {
		const char *other = json_object_get(v, "pair") ? "pair" : "servers";

		table_add(&t, "%lld", n(v, "id"));
		if (json_object_get(v, other))
			table_add(&t, "%s:%lld", s(v, "role"), n(v, other));
		else
			table_add(&t, "%s", s(v, "role"));
		table_add(&t, "%s", s(v, "name"));
		table_add(&t, "%s", json_is_true(json_object_get(v, "link")) ? "up" : "down");
		NUMBERS(&t, v, "mtu", "rx_packets", "tx_packets");
		table_add(&t, "%lld", n(v, "rx_missed") + n(v, "rx_no_mbuf") + n(v, "rx_errors"));
		NUMBERS(&t, v, "tx_errors");
	}
	table_end(&t, terminal_columns());
}

void show_sessions(const json_t *a)
{
	static const struct table_column column[] = {
		{"WORKER", TABLE_RIGHT, 3}, {"SLOT", TABLE_RIGHT, 2}, {"PEER", 0, 0}, {"STATE", 0, 0},
		{"SECONDS", TABLE_RIGHT, 0}, {"ROUTE", TABLE_CUT, 0}, {"MESSAGES", TABLE_RIGHT, 1},
		{"TRACE ID", 0, 0}};
	const json_t *v;
	struct table t;
	size_t i;

	BEGIN(&t, column, 0);
	json_array_foreach(json_object_get(a, "sessions"), i, v) {
		NUMBERS(&t, v, "worker", "slot");
		table_add(&t, "%s %lld", s(v, "peer"), n(v, "peer_port"));
		table_add(&t, "%s", s(v, "state"));
		table_add(&t, "%.1f", f(v, "seconds"));
		table_add(&t, "%s", s(v, "route"));
		NUMBERS(&t, v, "messages");
		table_add(&t, "%s", s(v, "trace_id"));
	}
	table_end(&t, terminal_columns());
	printf("%lld session(s)\n", n(a, "total"));
}

/* ---- sources ---- */

/* The limits that it is over or ran into, and what its failures are. */
static void which(const json_t *v, char *out, size_t cap)
{
	const json_t *k;
	const char *name;
	size_t i, at = 0;

	out[0] = '\0';
	json_array_foreach(json_object_get(v, "over"), i, k)
		if (at < cap)
			at += (size_t)snprintf(out + at, cap - at, "%sOVER %s;", at ? " " : "",
					       show_plain(json_string_value(k)));
	json_object_foreach((json_t *)json_object_get(v, "failures"), name, k)
		if (json_number_value(k) >= 0.5 && at < cap)
			at += (size_t)snprintf(out + at, cap - at, "%s%s %.0f", at ? " " : "",
					       show_plain(name), json_number_value(k));
	json_object_foreach((json_t *)json_object_get(v, "hit"), name, k)
		if (json_integer_value(k) && at < cap)
			at += (size_t)snprintf(out + at, cap - at, "%shit %s %lldx", at ? "; " : "",
					       show_plain(name), (long long)json_integer_value(k));
}

static void source_list(const json_t *list, const char *what)
{
	const struct table_column column[] = {
		{what, 0, 0}, {"", 0, 0}, {"SESSIONS", TABLE_RIGHT, 0}, {"RATE", TABLE_RIGHT, 0},
		{"ACCEPTED", TABLE_RIGHT, 1}, {"FAILURES", TABLE_RIGHT, 0}, {"WHICH", TABLE_WRAP, 0}};
	char text[1024];
	const json_t *v, *k;
	const char *name;
	struct table t;
	size_t i;

	if (!json_array_size(list))
		return;
	BEGIN(&t, column, 0);
	json_array_foreach(list, i, v) {
		double failures = 0;

		json_object_foreach((json_t *)json_object_get(v, "failures"), name, k)
			failures += json_number_value(k);
		which(v, text, sizeof(text));
		table_add(&t, "%s", s(v, "source"));
		table_add(&t, "%s", json_is_true(json_object_get(v, "good")) ? "good" : "");
		NUMBERS(&t, v, "sessions", "rate");
		table_add(&t, "%.1f", f(v, "accepted"));
		table_add(&t, "%.1f", failures);
		table_add(&t, "%s", text);
	}
	table_end(&t, terminal_columns());
}

void show_sources(const json_t *a)
{
	if (json_object_get(a, "sources")) {
		source_list(json_object_get(a, "sources"), "SOURCE");
		printf("%zu source(s); in policy.allow or policy.deny: %s\n",
		       json_array_size(json_object_get(a, "sources")), s(a, "listed"));
		return;
	}
	source_list(json_object_get(a, "worst"), "WORST");
	source_list(json_object_get(a, "busiest"), "BUSIEST");
	printf("%lld source(s) known, room for %lld\n", n(a, "known"), n(a, "room"));
}

/* ---- routes ---- */

void show_breakers(const json_t *a)
{
	static const struct table_column column[] = {
		{"ROUTE", TABLE_CUT, 0}, {"BREAKER", 0, 0}, {"FOR", TABLE_RIGHT, 0},
		{"SAMPLES", TABLE_RIGHT, 0}, {"5XX", TABLE_RIGHT, 0}, {"USUAL", TABLE_RIGHT, 0},
		{"LIMIT", TABLE_RIGHT, 0}};
	const json_t *b;
	struct table t;
	size_t i;

	BEGIN(&t, column, 0);
	json_array_foreach(json_object_get(a, "breakers"), i, b) {
		bool open = json_is_true(json_object_get(b, "open"));
		char since[32] = "";

		if (open)
			show_duration((double)n(b, "open_s"), since, sizeof(since));
		table_add(&t, "%s", s(b, "route"));
		table_add(&t, "%s", open ? "OPEN" : "closed");
		table_add(&t, "%s", since);
		NUMBERS(&t, b, "samples");
		table_add(&t, "%.1f%%", 100 * f(b, "share"));
		table_add(&t, "%.1f%%", 100 * f(b, "base"));
		table_add(&t, "%.1f%%", 100 * f(b, "limit"));
	}
	table_end(&t, terminal_columns());
}

/* p50 and p99 in milliseconds, "-" while nothing was seen. */
static void add_latency(struct table *t, const json_t *v)
{
	if (!n(v, "p99_us"))
		table_add(t, "-");
	else
		table_add(t, "%.0f/%.0f", (double)n(v, "p50_us") / 1e3, (double)n(v, "p99_us") / 1e3);
}

void show_routes(const json_t *a)
{
	static const struct table_column column[] = {
		{"ROUTE", TABLE_CUT, 0}, {"STATE", TABLE_CUT, 0}, {"OUT", TABLE_RIGHT, 0},
		{"BOUND", TABLE_RIGHT, 0}, {"WAITING", TABLE_RIGHT, 0}, {"HELD MB", TABLE_RIGHT, 5},
		{"DEFERRED", TABLE_RIGHT, 0}, {"WAIT ms", TABLE_RIGHT, 1}, {"CONNECT", TABLE_RIGHT, 4},
		{"RCPT", TABLE_RIGHT, 3}, {"DOT", TABLE_RIGHT, 2}, {"ALL p50/p99", TABLE_RIGHT, 0}};
	const json_t *r;
	struct table t;
	size_t i;

	BEGIN(&t, column, 0);
	json_array_foreach(json_object_get(a, "routes"), i, r) {
		const json_t *stage = json_object_get(r, "stages");
		const char *cause = s(r, "cause");

		table_add(&t, "%s", s(r, "route"));
		table_add(&t, "%s%s%s%s", s(r, "state"), *cause ? " (" : "", cause, *cause ? ")" : "");
		NUMBERS(&t, r, "outstanding", "bound", "waiting");
		table_add(&t, "%.1f", (double)n(r, "held") / 1e6);
		table_add(&t, "%lld", n(r, "refused_bound") + n(r, "refused_memory"));
		add_latency(&t, json_object_get(r, "wait"));
		add_latency(&t, json_object_get(stage, "connect"));
		add_latency(&t, json_object_get(stage, "rcpt"));
		add_latency(&t, json_object_get(stage, "dot"));
		add_latency(&t, json_object_get(r, "message"));
	}
	table_end(&t, terminal_columns());
}

/* ---- counters ---- */

static void counters(struct table *t, const json_t *list, const char *side)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v) {
		table_add(t, "%s", side);
		table_add(t, "%s", s(v, "name"));
		NUMBERS(t, v, "value");
		table_add(t, "%s", s(v, "help"));
	}
}

void show_stats(const json_t *a)
{
	static const struct table_column column[] = {
		{"SIDE", 0, 1}, {"COUNTER", 0, 0}, {"VALUE", TABLE_RIGHT, 0}, {"WHAT", TABLE_WRAP, 0}};
	struct table t;

	BEGIN(&t, column, 0);
	counters(&t, json_object_get(a, "dataplane"), "dataplane");
	counters(&t, json_object_get(a, "control"), "control");
	table_end(&t, terminal_columns());
	if (!json_is_true(json_object_get(a, "linked")))
		printf("the dataplane is not linked: its counters are not known\n");
}
