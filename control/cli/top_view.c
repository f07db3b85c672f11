/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* From two answers to `show top` to rates. */

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control/cli/top.h"
#include "control/rfc3339.h"

/* Of which pairs of answers a difference can be taken. */
struct step {
	const json_t *before, *now;
	double s;    /* seconds between them; 0: control is another, or the clock stands */
	bool linked; /* and the dataplane is the same */
};

static json_int_t whole(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static const json_t *dataplane(const json_t *a)
{
	return json_object_get(a, "dataplane");
}

static struct step step(const json_t *before, const json_t *now)
{
	struct step d = {before, now, 0, false};
	const json_t *a = dataplane(before), *b = dataplane(now);

	if (before && whole(before, "run") == whole(now, "run") &&
	    whole(now, "at_us") > whole(before, "at_us"))
		d.s = (double)(whole(now, "at_us") - whole(before, "at_us")) / 1e6;
	d.linked = d.s > 0 && json_is_true(json_object_get(a, "linked")) &&
		   json_is_true(json_object_get(b, "linked")) &&
		   whole(a, "epoch") == whole(b, "epoch");
	return d;
}

/* ---- differences ---- */

/* Below 0: it cannot be told. */
static double difference(const json_t *before, const json_t *now, const char *name)
{
	const json_t *a = json_object_get(before, name), *b = json_object_get(now, name);

	if (!json_is_integer(a) || !json_is_integer(b) ||
	    json_integer_value(b) < json_integer_value(a))
		return -1;
	return (double)(json_integer_value(b) - json_integer_value(a));
}

static json_t *or_null(double v)
{
	return v < 0 ? json_null() : json_real(v);
}

/* The sum of two counters, per second; other NULL: of one. */
static json_t *rate(bool ok, double s, const json_t *before, const json_t *now, const char *name,
		    const char *other)
{
	double a = ok ? difference(before, now, name) : -1,
	       b = ok && other ? difference(before, now, other) : 0;

	return or_null(a < 0 || b < 0 ? -1 : (a + b) / s);
}

static json_t *rates(const struct step *d)
{
	static const struct {
		const char *name, *counter, *other;
	} of[] = {{"sessions", "smtp_sessions", "tap_flows"},
		  {"messages", "smtp_messages", "tap_messages"},
		  {"replies_2xx", "smtp_reply_2xx", NULL},
		  {"replies_4xx", "smtp_reply_4xx", NULL},
		  {"replies_5xx", "smtp_reply_5xx", NULL},
		  {"rx_bytes", "rx_bytes", NULL},
		  {"tx_bytes", "tx_bytes", NULL},
		  {"rx_packets", "rx_packets", NULL},
		  {"tx_packets", "tx_packets", NULL},
		  {"message_bytes", "smtp_message_bytes", NULL},
		  {"drops", "drops", NULL}};
	const json_t *a = json_object_get(dataplane(d->before), "counters");
	const json_t *b = json_object_get(dataplane(d->now), "counters");
	json_t *o = json_object();

	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		json_object_set_new(o, of[i].name,
				    rate(d->linked, d->s, a, b, of[i].counter, of[i].other));
	a = json_object_get(d->before, "counters");
	b = json_object_get(d->now, "counters");
	json_object_set_new(o, "recipients", rate(d->s > 0, d->s, a, b, "rcpts", NULL));
	json_object_set_new(o, "control_drops", rate(d->s > 0, d->s, a, b, "drops", NULL));
	return o;
}

/* ---- workers ---- */

static json_t *fill(const json_t *w, const char *used, const char *free)
{
	double n = (double)whole(w, used), all = n + (double)whole(w, free);

	if (!json_object_get(w, free) || all <= 0)
		return json_null();
	return json_real(n / all);
}

static json_t *busy(bool ok, const json_t *before, const json_t *now)
{
	double busy = ok ? difference(before, now, "busy_cycles") : -1;
	double total = ok ? difference(before, now, "total_cycles") : -1;

	if (busy < 0 || total <= 0)
		return json_null();
	return json_real(busy < total ? busy / total : 1.0);
}

static void copy(json_t *to, const char *name, const json_t *from, const char *as)
{
	const json_t *v = json_object_get(from, as);

	if (v)
		json_object_set(to, name, (json_t *)(uintptr_t)v);
	else
		json_object_set_new(to, name, json_null());
}

static json_t *worker(const struct step *d, const json_t *before, const json_t *now)
{
	bool ok = d->linked && before;
	json_t *o = json_object();

	copy(o, "worker", now, "worker");
	json_object_set_new(o, "busy", busy(ok, before, now));
	json_object_set_new(o, "rx_packets", rate(ok, d->s, before, now, "rx_packets", NULL));
	json_object_set_new(o, "tx_packets", rate(ok, d->s, before, now, "tx_packets", NULL));
	copy(o, "sessions_now", now, "sessions_now");
	json_object_set_new(o, "sessions",
			    rate(ok, d->s, before, now, "smtp_sessions", "tap_flows"));
	json_object_set_new(o, "messages",
			    rate(ok, d->s, before, now, "smtp_messages", "tap_messages"));
	json_object_set_new(o, "arena", fill(now, "arena_chunks_used", "arena_chunks_free"));
	json_object_set_new(o, "records", fill(now, "arena_records_used", "arena_records_free"));
	copy(o, "submit_ring", now, "submit_ring");
	copy(o, "verdict_ring", now, "verdict_ring");
	return o;
}

static json_t *workers(const struct step *d)
{
	const json_t *was = json_object_get(dataplane(d->before), "workers"), *v;
	json_t *a = json_array();
	size_t i;

	json_array_foreach(json_object_get(dataplane(d->now), "workers"), i, v)
		json_array_append_new(a, worker(d, json_array_get(was, i), v));
	return a;
}

/* ---- routes and next hops ---- */

static bool same(const json_t *a, const json_t *b, const char *name)
{
	const char *x = json_string_value(json_object_get(a, name)),
		   *y = json_string_value(json_object_get(b, name));

	return x && y && !strcmp(x, y);
}

static const json_t *host_before(const struct step *d, const json_t *host)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(d->before, "hosts"), i, v)
		if (same(v, host, "route") && same(v, host, "host") &&
		    whole(v, "port") == whole(host, "port"))
			return v;
	return NULL;
}

struct done {
	double all, failed; /* below 0: it cannot be told */
};

static struct done done_by(const struct step *d, const json_t *host)
{
	const json_t *was = d->s > 0 ? host_before(d, host) : NULL;
	double ok = difference(was, host, "delivered"),
	       rejected = difference(was, host, "rejected"),
	       deferred = difference(was, host, "deferred");

	if (ok < 0 || rejected < 0 || deferred < 0)
		return (struct done){-1, -1};
	return (struct done){ok + rejected + deferred, rejected + deferred};
}

/* failing: of what ended meanwhile; null: nothing did. */
static void add_done(json_t *o, const struct done *n, double s)
{
	json_object_set_new(o, "messages", or_null(n->all < 0 ? -1 : n->all / s));
	json_object_set_new(o, "failing", or_null(n->all <= 0 ? -1 : n->failed / n->all));
}

static json_t *hosts(const struct step *d, const json_t *route, struct done *sum)
{
	static const char *const as_it_is[] = {"host", "port",    "connections",
					       "busy", "waiting", "last_error"};
	json_t *a = json_array();
	const json_t *v;
	size_t i;

	*sum = (struct done){-1, -1};
	json_array_foreach(json_object_get(d->now, "hosts"), i, v) {
		struct done n;
		json_t *o;

		if (!same(v, route, "route"))
			continue;
		n = done_by(d, v);
		o = json_object();
		for (size_t k = 0; k < sizeof(as_it_is) / sizeof(as_it_is[0]); k++)
			copy(o, as_it_is[k], v, as_it_is[k]);
		add_done(o, &n, d->s);
		json_array_append_new(a, o);
		if (n.all < 0)
			continue;
		sum->all = (sum->all < 0 ? 0 : sum->all) + n.all;
		sum->failed = (sum->failed < 0 ? 0 : sum->failed) + n.failed;
	}
	return a;
}

static json_t *breaker(const json_t *now, const json_t *route)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(now, "breakers"), i, v)
		if (same(v, route, "route"))
			return json_string(json_is_true(json_object_get(v, "open")) ? "open"
										    : "closed");
	return json_null();
}

static json_t *route(const struct step *d, const json_t *r)
{
	static const char *const as_it_is[] = {"route", "state",   "cause",       "outstanding",
					       "bound", "waiting", "connections", "max_connections",
					       "wait",  "message", "stages"};
	json_t *o = json_object(), *list;
	struct done sum;

	for (size_t k = 0; k < sizeof(as_it_is) / sizeof(as_it_is[0]); k++)
		copy(o, as_it_is[k], r, as_it_is[k]);
	json_object_set_new(o, "breaker", breaker(d->now, r));
	list = hosts(d, r, &sum);
	add_done(o, &sum, d->s);
	json_object_set_new(o, "hosts", list);
	return o;
}

static json_t *routes(const struct step *d)
{
	json_t *a = json_array();
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(d->now, "routes"), i, v)
		json_array_append_new(a, route(d, v));
	return a;
}

/* ---- rules ---- */

/* The daemon looks through them at its own pace, and says over which time. */
static json_t *rules(const json_t *now)
{
	const json_t *r = json_object_get(now, "rules"), *v;
	double over = json_number_value(json_object_get(r, "over_s"));
	json_t *a = json_array();
	size_t i;

	json_array_foreach(json_object_get(r, "rules"), i, v) {
		json_t *o = json_object();

		copy(o, "name", v, "name");
		copy(o, "score", v, "score");
		copy(o, "hits_total", v, "hits");
		copy(o, "ns_total", v, "ns");
		json_object_set_new(
			o, "hits", or_null(over > 0 ? (double)whole(v, "recent_hits") / over : -1));
		json_object_set_new(
			o, "us",
			or_null(over > 0 ? (double)whole(v, "recent_ns") / 1e3 / over : -1));
		json_array_append_new(a, o);
	}
	return a;
}

/* ---- all of it ---- */

json_t *top_view(const json_t *before, const json_t *now)
{
	static const char *const as_it_is[] = {
		"hostname", "version",    "ready",    "draining",
		"uptime_s", "generation", "sessions", "messages_in_flight",
		"reload",   "alerts"};
	struct step d = step(before, now);
	char time_of_day[RFC3339];
	json_t *o = json_pack("{s:s, s:s}", "schema", TOP_SCHEMA, "time",
			      rfc3339(time(NULL), time_of_day));

	json_object_set_new(o, "interval_s", or_null(d.s > 0 ? d.s : -1));
	for (size_t i = 0; i < sizeof(as_it_is) / sizeof(as_it_is[0]); i++)
		copy(o, as_it_is[i], now, as_it_is[i]);
	copy(o, "linked", dataplane(now), "linked");
	copy(o, "error", dataplane(now), "error");
	json_object_set_new(o, "rates", rates(&d));
	json_object_set_new(o, "workers", workers(&d));
	json_object_set_new(o, "routes", routes(&d));
	json_object_set_new(o, "rules", rules(now));
	copy(o, "rules_over_s", json_object_get(now, "rules"), "over_s");
	copy(o, "rules_total", json_object_get(now, "rules"), "total");
	return o;
}
