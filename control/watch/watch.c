/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/watch/watch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "control/api/api.h"
#include "control/rfc3339.h"
#include "control/watch/filter.h"
#include "postern/clock.h"
#include "postern/limits.h"
#include "postern/stats.h"

#define SCHEMA "postern.watch.1"

struct watcher {
	struct watch *watch;
	struct api_request *req;
	struct watch_filter filter;
	uint64_t left_out; /* since this was told last */
	TAILQ_ENTRY(watcher) link;
};

struct watch {
	uint64_t *counters;
	unsigned int n;
	TAILQ_HEAD(, watcher) watchers;
};

/* ---- a line ---- */

static char *line_of(json_t *event)
{
	char now[RFC3339];

	if (!json_object_get(event, "time"))
		json_object_set_new(event, "time", json_string(rfc3339_ms(clock_real_ms(), now)));
	json_object_set_new(event, "schema", json_string(SCHEMA));
	return json_dumps(event, JSON_COMPACT);
}

/* ---- a watcher ---- */

static int send_event(struct watcher *w, json_t *event)
{
	char *line = line_of(event);
	int rc = line ? api_stream_send(w->req, line, strlen(line)) : -1;

	free(line);
	json_decref(event);
	return rc;
}

static void tell_left_out(struct watcher *w)
{
	if (!send_event(w,
			json_pack("{s:s, s:I}", "event", "left-out", "n", (json_int_t)w->left_out)))
		w->left_out = 0;
}

static void leave_out(struct watcher *w)
{
	w->left_out++;
	w->watch->counters[CTL_watch_left_out]++;
}

/* Once some were left out it begins again at half, so that gaps are few. */
static void push(struct watcher *w, const char *line, size_t n)
{
	size_t queued = api_stream_queued(w->req);

	if (w->left_out && queued <= LIMIT_WATCH_QUEUE / 2)
		tell_left_out(w);
	if (!w->left_out && queued + n + 1 <= LIMIT_WATCH_QUEUE &&
	    !api_stream_send(w->req, line, n)) {
		w->watch->counters[CTL_watch_events]++;
		return;
	}
	leave_out(w);
}

static void on_room(void *arg)
{
	struct watcher *w = arg;

	if (w->left_out)
		tell_left_out(w);
}

static void on_gone(void *arg)
{
	struct watcher *w = arg;

	TAILQ_REMOVE(&w->watch->watchers, w, link);
	w->watch->n--;
	free(w);
}

void watch_request(struct watch *all, struct api_request *req, const json_t *body)
{
	static const struct api_stream_ops ops = {on_room, on_gone};
	struct watch_filter filter;
	struct watcher *w;
	char why[160];

	if (watch_filter_read(&filter, body, why, sizeof(why))) {
		api_error(req, "bad-request", "%s", why);
		return;
	}
	if (!all || all->n >= LIMIT_WATCHERS) {
		api_error(req, "busy", "%d watch already: that many may", LIMIT_WATCHERS);
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		api_error(req, "failed", "out of memory");
		return;
	}
	w->watch = all;
	w->req = req;
	w->filter = filter;
	TAILQ_INSERT_TAIL(&all->watchers, w, link);
	all->n++;
	api_stream(req, &ops, w, LIMIT_WATCH_QUEUE / 2, LIMIT_WATCH_STUCK_S);
	(void)send_event(w, json_pack("{s:s, s:b, s:b}", "event", "watching", "sessions",
				      filter.sessions, "messages", filter.messages));
}

struct watch *watch_new(uint64_t *counters)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->counters = counters;
	TAILQ_INIT(&w->watchers);
	return w;
}

void watch_free(struct watch *w)
{
	free(w);
}

/* ---- messages ---- */

/* The rules that weigh most, of those that hit. */
static json_t *heaviest(const json_t *matches)
{
	const json_t *best[LIMIT_WATCH_RULES], *m;
	json_t *names = json_array();
	size_t n = 0, i;

	json_array_foreach(matches, i, m) {
		double weight = fabs(json_number_value(json_object_get(m, "score")));
		size_t at = n;

		while (at &&
		       fabs(json_number_value(json_object_get(best[at - 1], "score"))) < weight)
			at--;
		if (at == LIMIT_WATCH_RULES)
			continue;
		n += n < LIMIT_WATCH_RULES;
		memmove(best + at + 1, best + at, (n - 1 - at) * sizeof(best[0]));
		best[at] = m;
	}
	for (i = 0; i < n; i++)
		json_array_append(names, json_object_get(best[i], "rule"));
	return names;
}

/* A record says far more than a line has room for: `explain` has the rest. */
static json_t *message(const json_t *r)
{
	static const char *const as_it_is[] = {
		"time",      "trace_id", "message_id", "peer",  "origin", "helo",
		"mail_from", "rcpt",     "outcome",    "route", "reply",  "next_hop",
		"stage",     "size",     "us",         "mode",  "how"};
	const json_t *judged = json_object_get(r, "judged"),
		     *matches = json_object_get(judged, "matches");
	json_t *o = json_pack("{s:s}", "event", "message");

	for (size_t i = 0; i < sizeof(as_it_is) / sizeof(as_it_is[0]); i++)
		json_object_set(o, as_it_is[i], json_object_get(r, as_it_is[i]));
	if (judged) {
		json_object_set(o, "action", json_object_get(judged, "action"));
		json_object_set(o, "score", json_object_get(judged, "score"));
		json_object_set_new(o, "rules", heaviest(matches));
		json_object_set_new(o, "rules_hit",
				    json_integer((json_int_t)json_array_size(matches)));
	}
	json_object_set_new(o, "tls", json_boolean(json_object_get(r, "tls") != NULL));
	return o;
}

/* An event of the trace that is no record of a message: as it is. */
static json_t *other(const json_t *r)
{
	json_t *o = json_object();

	json_object_update(o, (json_t *)(uintptr_t)r);
	return o;
}

static void show(struct watch *all, const json_t *record)
{
	const json_t *kind = json_object_get(record, "event");
	const char *stage;
	struct watcher *w;
	char *line = NULL;

	stage = json_string_value(json_object_get(record, "stage"));
	/* Refused when it connected: the session says so. */
	if (stage && !strcmp(stage, "connect") && !json_object_get(record, "judged") &&
	    !json_object_get(record, "next_hop"))
		return;
	TAILQ_FOREACH (w, &all->watchers, link) {
		if (!watch_filter_record(&w->filter, record))
			continue;
		if (!line) {
			json_t *event = kind ? other(record) : message(record);

			line = line_of(event);
			json_decref(event);
		}
		if (line)
			push(w, line, strlen(line));
		else
			leave_out(w);
	}
	free(line);
}

void watch_record(void *arg, const char *line, size_t n)
{
	struct watch *all = arg;
	struct watcher *w;
	json_t *record;

	if (TAILQ_EMPTY(&all->watchers))
		return;
	record = json_loadb(line, n, 0, NULL);
	if (record)
		show(all, record);
	else
		TAILQ_FOREACH (w, &all->watchers, link)
			leave_out(w);
	json_decref(record);
}

/* ---- sessions ---- */

bool watch_wants_session(const struct watch *all, const struct ip_addr *peer)
{
	const struct watcher *w;

	if (all)
		TAILQ_FOREACH (w, &all->watchers, link)
			if (watch_filter_session(&w->filter, peer))
				return true;
	return false;
}

/* peer NULL: of all. */
static void session_event(struct watch *all, const struct ip_addr *peer, json_t *event)
{
	char *line = all && !TAILQ_EMPTY(&all->watchers) ? line_of(event) : NULL;
	struct watcher *w;

	if (all)
		TAILQ_FOREACH (w, &all->watchers, link) {
			if (!(peer ? watch_filter_session(&w->filter, peer) : w->filter.sessions))
				continue;
			if (line)
				push(w, line, strlen(line));
			else
				leave_out(w);
		}
	free(line);
	json_decref(event);
}

void watch_session(struct watch *all, const struct ip_addr *peer, json_t *event)
{
	session_event(all, peer, event);
}

void watch_all_sessions(struct watch *all, json_t *event)
{
	session_event(all, NULL, event);
}
