/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Names: postern_ and the name in stats.h, _total behind those that count. Base units: seconds, bytes.
 * OpenMetrics 1.0 and the older text format differ in the family's name (without _total), the UNIT line,
 * escapes in HELP, and "# EOF".
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/metrics/metrics.h"

static const struct postern_counter_info dp_info[] = {POSTERN_DP_COUNTERS(POSTERN_COUNTER_INFO)};
static const struct postern_counter_info ctl_info[] = {POSTERN_CTL_COUNTERS(POSTERN_COUNTER_INFO)};

struct out {
	char *p;
	size_t n, cap;
	bool failed, openmetrics;
};

static void put(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct out *o, const char *fmt, ...)
{
	for (int i = 0; i < 2 && !o->failed; i++) {
		va_list ap;
		int n;
		char *p;

		va_start(ap, fmt);
		n = vsnprintf(o->p + o->n, o->cap - o->n, fmt, ap);
		va_end(ap);
		if (n < 0) {
			o->failed = true;
			return;
		}
		if ((size_t)n < o->cap - o->n) {
			o->n += (size_t)n;
			return;
		}
		p = realloc(o->p, o->cap * 2 + (size_t)n);
		o->failed = !p;
		if (p) {
			o->p = p;
			o->cap = o->cap * 2 + (size_t)n;
		}
	}
}

/* The value of a label, or a HELP. */
static void put_escaped(struct out *o, const char *s, bool quotes)
{
	for (; *s; s++) {
		if (*s == '\\')
			put(o, "\\\\");
		else if (*s == '\n')
			put(o, "\\n");
		else if (*s == '"' && quotes)
			put(o, "\\\"");
		else
			put(o, "%c", *s);
	}
}

static void family(struct out *o, const char *name, const char *type, const char *help)
{
	const char *total = !strcmp(type, "counter") && !o->openmetrics ? "_total" : "";
	size_t n = strlen(name);

	put(o, "# TYPE postern_%s%s %s\n", name, total, type);
	if (o->openmetrics && n > 8 && !strcmp(name + n - 8, "_seconds"))
		put(o, "# UNIT postern_%s seconds\n", name);
	if (o->openmetrics && n > 6 && !strcmp(name + n - 6, "_bytes"))
		put(o, "# UNIT postern_%s bytes\n", name);
	put(o, "# HELP postern_%s%s ", name, total);
	put_escaped(o, help, o->openmetrics);
	put(o, "\n");
}

static void gauge(struct out *o, const char *name, double v, const char *help)
{
	family(o, name, "gauge", help);
	put(o, "postern_%s %.15g\n", name, v);
}

/* ---- counters ---------------------------------------------------------------------------------- */

/* Nanoseconds are told in seconds. False: as it is. */
static bool in_seconds(const char *name, char out[128])
{
	size_t n = strlen(name);

	snprintf(out, 128, "%s", name);
	if (n < 4 || n > 100 || strcmp(name + n - 3, "_ns"))
		return false;
	strcpy(out + n - 3, "_seconds");
	return true;
}

static void sample(struct out *o, const struct postern_counter_info *c, const char *name, bool seconds,
		   const char *labels, uint64_t v)
{
	put(o, "postern_%s%s%s ", name, c->kind == 'G' ? "" : "_total", labels);
	if (seconds)
		put(o, "%.9f\n", (double)v / 1e9);
	else
		put(o, "%llu\n", (unsigned long long)v);
}

static void counters(struct out *o, const struct metrics_snapshot *s)
{
	char name[128], label[32];

	for (int i = 0; i < POSTERN_CTL_COUNTER_COUNT; i++) {
		bool seconds = in_seconds(ctl_info[i].name, name);

		family(o, name, ctl_info[i].kind == 'G' ? "gauge" : "counter", ctl_info[i].help);
		sample(o, &ctl_info[i], name, seconds, "", s->ctl[i]);
	}
	for (int i = 0; s->workers && i < POSTERN_DP_COUNTER_COUNT; i++) {
		bool seconds = in_seconds(dp_info[i].name, name);

		family(o, name, dp_info[i].kind == 'G' ? "gauge" : "counter", dp_info[i].help);
		for (uint32_t w = 0; w < s->workers && w < HANDOFF_MAX_WORKERS; w++) {
			snprintf(label, sizeof(label), "{worker=\"%u\"}", w);
			sample(o, &dp_info[i], name, seconds, label, s->dp[w][i]);
		}
	}
}

/* ---- times ------------------------------------------------------------------------------------- */

/* labels: "" or `route="x",stage="y",` as they are written. */
static void histogram(struct out *o, const char *name, const char *labels, const struct buckets *b)
{
	uint64_t all = 0;
	size_t n = strlen(labels);

	for (unsigned int i = 0; i < BUCKETS; i++) {
		all += b->n[i];
		put(o, "postern_%s_bucket{%sle=\"", name, labels);
		if (i == BUCKETS - 1)
			put(o, "+Inf");
		else if (buckets_bound_us[i] % 1000000)
			put(o, "%.6g", (double)buckets_bound_us[i] / 1e6);
		else /* canonical: with a point (OpenMetrics 1.0, "Numbers") */
			put(o, "%llu.0", (unsigned long long)buckets_bound_us[i] / 1000000);
		put(o, "\"} %llu\n", (unsigned long long)all);
	}
	put(o, n ? "postern_%s_sum{%.*s} %.6f\n" : "postern_%s_sum%.*s %.6f\n", name, n ? (int)n - 1 : 0, labels,
	    (double)b->sum_us / 1e6);
	put(o, n ? "postern_%s_count{%.*s} %llu\n" : "postern_%s_count%.*s %llu\n", name, n ? (int)n - 1 : 0,
	    labels, (unsigned long long)all);
}

static void times(struct out *o, const struct metrics_snapshot *s)
{
	static const struct { const char *name, *help; size_t off; } t[] = {
		{"judge_seconds", "judging of a message: origin, authentication, rules, policy",
		 offsetof(struct metrics_snapshot, judge)},
		{"dns_query_seconds", "questions to the DNS, those answered from the cache among them",
		 offsetof(struct metrics_snapshot, dns)},
		{"message_seconds", "messages from the end of their content to the verdict",
		 offsetof(struct metrics_snapshot, message)},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		family(o, t[i].name, "histogram", t[i].help);
		histogram(o, t[i].name, "", (const struct buckets *)(const void *)((const char *)s + t[i].off));
	}
}

/* ---- routes ------------------------------------------------------------------------------------ */

/* `route="name",` escaped; a name has at most METRICS_NAME octets. */
static void route_label(const char *name, char out[2 * METRICS_NAME + 16])
{
	char *p = stpcpy(out, "route=\"");

	for (size_t i = 0; name[i] && i < METRICS_NAME; i++) {
		if (name[i] == '"' || name[i] == '\\')
			*p++ = '\\';
		*p++ = name[i];
	}
	strcpy(p, "\",");
}

static void delivery_times(struct out *o, const struct metrics_snapshot *s)
{
	static const char *const stage[METRICS_STAGES] = {"wait", "connect", "recipients", "transfer", "reply",
							  "whole"};
	char route[2 * METRICS_NAME + 16], labels[3 * METRICS_NAME];

	if (!s->n_routes)
		return;
	family(o, "delivery_seconds", "histogram",
	       "delivery to a next hop by stage: wait for a connection, connect with EHLO and TLS, recipients "
	       "(MAIL and RCPT), transfer of the content, reply to its end, and the whole");
	for (size_t i = 0; i < s->n_routes; i++) {
		route_label(s->route[i].name, route);
		for (int k = 0; k < METRICS_STAGES; k++) {
			snprintf(labels, sizeof(labels), "%sstage=\"%s\",", route, stage[k]);
			histogram(o, "delivery_seconds", labels, &s->route[i].stage[k]);
		}
	}
}

static void recipients(struct out *o, const struct metrics_snapshot *s)
{
	char route[2 * METRICS_NAME + 16];

	if (!s->n_routes)
		return;
	family(o, "recipients", "counter", "recipients of messages by what became of them, as the trace has them");
	for (size_t i = 0; i < s->n_routes; i++) {
		route_label(s->route[i].name, route);
		for (int k = 0; k < TRACE_OUTCOMES; k++)
			put(o, "postern_recipients_total{%soutcome=\"%s\"} %llu\n", route,
			    trace_outcome_name((enum trace_outcome)k),
			    (unsigned long long)s->route[i].outcome[k]);
	}
}

static void route_gauges(struct out *o, const struct metrics_snapshot *s)
{
	static const char *const name[] = {"route_outstanding", "route_bound", "route_waiting",
					   "route_connections", "route_state", "route_breaker_open"};
	static const char *const help[] = {
		"transactions of a route under way", "how many may be at once",
		"transactions that wait for a connection", "connections to next hops of a route",
		"0 ok, 1 slow, 2 shedding", "1: its breaker is open"};
	char route[2 * METRICS_NAME + 16];

	for (size_t g = 0; s->n_routes && g < sizeof(name) / sizeof(name[0]); g++) {
		family(o, name[g], "gauge", help[g]);
		for (size_t i = 0; i < s->n_routes; i++) {
			const struct metrics_route *r = &s->route[i];
			const unsigned int v[] = {r->outstanding, r->bound, r->waiting, r->connections, r->state,
						  r->breaker_open};

			route_label(r->name, route);
			put(o, "postern_%s{%.*s} %u\n", name[g], (int)strlen(route) - 1, route, v[g]);
		}
	}
}

static void rules(struct out *o, const struct metrics_snapshot *s)
{
	if (!s->n_rules)
		return;
	family(o, "rule_hits", "counter", "messages on which a rule hit, of the rules that hit most");
	for (size_t i = 0; i < s->n_rules; i++) {
		put(o, "postern_rule_hits_total{rule=\"");
		put_escaped(o, s->rule[i].name, true);
		put(o, "\"} %llu\n", (unsigned long long)s->rule[i].hits);
	}
}

int metrics_render(const struct metrics_snapshot *s, bool openmetrics, char **text, size_t *len)
{
	struct out o = {.p = malloc(256 * 1024), .cap = 256 * 1024, .openmetrics = openmetrics};

	if (!o.p)
		return -ENOMEM;
	family(&o, "build_info", "gauge", "version of the control process");
	put(&o, "postern_build_info{version=\"%s\"} 1\n", POSTERN_VERSION);
	gauge(&o, "start_time_seconds", (double)s->started_ns / 1e9, "when the control process began, Unix time");
	gauge(&o, "snapshot_time_seconds", (double)s->realtime_ns / 1e9,
	      "when its loop made these numbers, Unix time");
	gauge(&o, "config_generation", (double)s->generation, "configuration in force");
	gauge(&o, "config_reload_failed", s->reload_failed, "1: the last reload was not taken over");
	gauge(&o, "ready", s->ready, "1: the dataplane runs the configuration in force");
	gauge(&o, "dataplane_linked", s->linked, "1: the dataplane is there");
	gauge(&o, "sessions", (double)s->sessions, "SMTP sessions that control knows");
	gauge(&o, "messages_in_flight", (double)s->messages, "messages between their end and their verdict");
	counters(&o, s);
	times(&o, s);
	recipients(&o, s);
	delivery_times(&o, s);
	route_gauges(&o, s);
	rules(&o, s);
	if (openmetrics)
		put(&o, "# EOF\n");
	if (o.failed) {
		free(o.p);
		return -ENOMEM;
	}
	*text = o.p;
	*len = o.n;
	return 0;
}
