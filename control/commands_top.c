/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * `show top`: all that `posternctl top` shows, in one answer, so that what it divides by one
 * another is of one moment. Counters are as they are; who asks twice has the rates.
 *
 * Of rules there are thousands. They are looked through no more often than each LIMIT_TOP_RULES_S,
 * and what is told is what a few of them did since the time before; nobody asks, nobody looks.
 */

#include <stdlib.h>
#include <string.h>

#include "control/loop.h"
#include "control/reload.h"
#include "control/trace/facts.h"
#include "postern/clock.h"
#include "postern/limits.h"

#define FORGET_S 60 /* a time before that is longer ago is not "now" */

static const struct postern_counter_info dp_info[] = {POSTERN_DP_COUNTERS(POSTERN_COUNTER_INFO)};
static const struct postern_counter_info ctl_info[] = {POSTERN_CTL_COUNTERS(POSTERN_COUNTER_INFO)};

/* What a rule did since. */
struct top_rule {
	size_t at; /* rules_at() */
	uint64_t hits, ns;
};

struct top_sample {
	uint64_t hits, ns;
};

struct top {
	uint64_t generation; /* of the rules below */
	uint64_t at_us;      /* they were looked through; 0: never */
	double over_s;       /* since the time before; 0: since control began */
	struct top_sample *sample;
	size_t n;
	struct top_rule by_hits[LIMIT_TOP_RULES], by_cost[LIMIT_TOP_RULES];
	size_t n_hits, n_cost;
};

/* ---- rules ---- */

/* The largest are first; what has none is none of them. */
static void keep(struct top_rule *list, size_t *n, bool cost, const struct top_rule *r)
{
	uint64_t key = cost ? r->ns : r->hits;
	size_t at = *n;

	while (at && (cost ? list[at - 1].ns : list[at - 1].hits) < key)
		at--;
	if (!key || at == LIMIT_TOP_RULES)
		return;
	*n += *n < LIMIT_TOP_RULES;
	memmove(list + at + 1, list + at, (*n - 1 - at) * sizeof(*list));
	list[at] = *r;
}

static void look_through(struct top *t, const struct snapshot *s, uint64_t now)
{
	bool since = t->at_us && t->generation == s->generation &&
		     now - t->at_us < FORGET_S * 1000000ull;
	size_t n = rules_total(s->rules);

	if (t->generation != s->generation || t->n != n) {
		free(t->sample);
		t->sample = calloc(n + 1, sizeof(*t->sample));
		t->n = t->sample ? n : 0;
		since = false;
	}
	t->over_s = since ? (double)(now - t->at_us) / 1e6 : 0;
	t->generation = s->generation;
	t->at_us = now;
	t->n_hits = t->n_cost = 0;
	for (size_t i = 0; i < t->n; i++) {
		const struct rule_counts *c = rules_stats_of(s->rules_stats, i);
		struct top_sample was = since ? t->sample[i] : (struct top_sample){0};
		struct top_rule r = {i, c->hits - was.hits, c->ns - was.ns};

		t->sample[i] = (struct top_sample){c->hits, c->ns};
		keep(t->by_hits, &t->n_hits, false, &r);
		keep(t->by_cost, &t->n_cost, true, &r);
	}
}

static void add_rules(const struct snapshot *s, const struct top_rule *list, size_t n,
		      const struct top_rule *but, size_t n_but, json_t *to)
{
	for (size_t i = 0; i < n; i++) {
		const struct rule *rule = rules_at(s->rules, list[i].at);
		const struct rule_counts *c = rules_stats_of(s->rules_stats, list[i].at);
		bool there = false;

		for (size_t k = 0; k < n_but; k++)
			there |= but[k].at == list[i].at;
		if (!there)
			json_array_append_new(
				to, json_pack("{s:s, s:f, s:I, s:I, s:I, s:I}", "name", rule->name,
					      "score", rule->score, "hits", (json_int_t)c->hits,
					      "ns", (json_int_t)c->ns, "recent_hits",
					      (json_int_t)list[i].hits, "recent_ns",
					      (json_int_t)list[i].ns));
	}
}

static json_t *rules(struct loop *l)
{
	const struct snapshot *s = l->active;
	uint64_t now = clock_mono_us();
	json_t *list = json_array();
	struct top *t = l->top;

	if (!t)
		t = l->top = calloc(1, sizeof(*t));
	if (t && s->rules_stats) {
		if (!t->at_us || t->generation != s->generation ||
		    now - t->at_us >= LIMIT_TOP_RULES_S * 1000000ull)
			look_through(t, s, now);
		add_rules(s, t->by_hits, t->n_hits, NULL, 0, list);
		add_rules(s, t->by_cost, t->n_cost, t->by_hits, t->n_hits, list);
	}
	return json_pack("{s:f, s:i, s:o}", "over_s", t ? t->over_s : 0.0, "total",
			 (int)rules_count(s->rules), "rules", list);
}

void commands_top_free(struct loop *l)
{
	if (l->top)
		free(l->top->sample);
	free(l->top);
	l->top = NULL;
}

/* ---- counters ---- */

static uint64_t dp_sum(const struct ctl_epoch *e, enum postern_counter c)
{
	uint64_t sum = 0;

	for (uint32_t w = 0; w < ctl_epoch_workers(e); w++)
		sum += ctl_epoch_counter(e, w, c);
	return sum;
}

static json_t *dp_counters(const struct ctl_epoch *e)
{
	static const enum postern_counter shown[] = {
		CNT_rx_packets,     CNT_rx_bytes,       CNT_tx_packets,         CNT_tx_bytes,
		CNT_smtp_sessions,  CNT_smtp_messages,  CNT_smtp_message_bytes, CNT_smtp_reply_2xx,
		CNT_smtp_reply_4xx, CNT_smtp_reply_5xx, CNT_tap_flows,          CNT_tap_messages};
	json_t *o = json_object();
	uint64_t drops = 0;

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		json_object_set_new(o, dp_info[shown[i]].name,
				    json_integer((json_int_t)dp_sum(e, shown[i])));
	for (int i = 0; i < POSTERN_DP_COUNTER_COUNT; i++)
		if (dp_info[i].kind == 'D')
			drops += dp_sum(e, (enum postern_counter)i);
	json_object_set_new(o, "drops", json_integer((json_int_t)drops));
	return o;
}

static json_t *ctl_counters(const struct loop *l)
{
	static const enum postern_ctl_counter shown[] = {CTL_connects,  CTL_rcpts,
							 CTL_delivered, CTL_deferred,
							 CTL_rejected,  CTL_quarantined};
	json_t *o = json_object();
	uint64_t drops = 0;

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		json_object_set_new(o, ctl_info[shown[i]].name,
				    json_integer((json_int_t)l->counters[shown[i]]));
	for (int i = 0; i < POSTERN_CTL_COUNTER_COUNT; i++)
		if (ctl_info[i].kind == 'D')
			drops += l->counters[i];
	json_object_set_new(o, "drops", json_integer((json_int_t)drops));
	return o;
}

static json_t *worker(const struct loop *l, const struct ctl_epoch *e, uint32_t w)
{
	static const enum postern_counter shown[] = {
		CNT_busy_cycles,  CNT_total_cycles,      CNT_rx_packets,        CNT_tx_packets,
		CNT_sessions_now, CNT_smtp_sessions,     CNT_smtp_messages,     CNT_tap_flows,
		CNT_tap_messages, CNT_arena_chunks_used, CNT_arena_records_used};
	json_t *o = json_pack("{s:i}", "worker", (int)w);
	struct ctl_room room;
	struct ctl_fill fill;

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		json_object_set_new(o, dp_info[shown[i]].name,
				    json_integer((json_int_t)ctl_epoch_counter(e, w, shown[i])));
	if (ctl_epoch_room(e, w, &room)) {
		json_object_set_new(o, "arena_chunks_free", json_integer(room.chunks));
		json_object_set_new(o, "arena_records_free", json_integer(room.records));
	}
	if (l->rings && ctl_loop_fill(l->rings, w, &fill)) {
		json_object_set_new(o, "submit_ring",
				    json_real((double)fill.submit / HANDOFF_RING_SLOTS));
		json_object_set_new(o, "verdict_ring",
				    json_real((double)fill.verdict / HANDOFF_RING_SLOTS));
	}
	return o;
}

/* ---- the answer ---- */

static json_t *dataplane(const struct loop *l, const struct ctl_epoch *e)
{
	json_t *workers = json_array(), *o;

	for (uint32_t w = 0; e && w < ctl_epoch_workers(e); w++)
		json_array_append_new(workers, worker(l, e, w));
	o = json_pack("{s:b, s:I, s:s, s:o}", "linked", e != NULL, "epoch",
		      (json_int_t)(e ? ctl_epoch_id(e) : 0), "error", l->push_error, "workers",
		      workers);
	if (e)
		json_object_set_new(o, "counters", dp_counters(e));
	return o;
}

static json_t *alerts(const struct loop *l)
{
	return json_pack("{s:I, s:f, s:o}", "n", (json_int_t)l->alerts.n, "ago_s",
			 clock_since(l->alerts.at_ns), "text", trace_text(str_c(l->alerts.text)));
}

void commands_show_top(void *arg, struct api_request *req, const json_t *body)
{
	struct loop *l = arg;
	const struct ctl_epoch *e = ctl_link_epoch(l->link);
	json_t *o;

	(void)body;
	/* run: which process it is, so that nobody takes the difference between two. */
	o = json_pack("{s:I, s:I, s:b, s:b, s:s, s:s, s:f, s:I, s:I, s:I}", "at_us",
		      (json_int_t)clock_mono_us(), "run", (json_int_t)l->started_ns, "ready",
		      l->ready, "draining", e && dp_sum(e, CNT_draining), "version", POSTERN_VERSION, "hostname",
		      l->active->config->hostname, "uptime_s", clock_since(l->started_ns),
		      "generation", (json_int_t)l->active->generation, "sessions",
		      (json_int_t)l->n_sessions, "messages_in_flight", (json_int_t)l->n_messages);
	json_object_set_new(o, "reload", reload_status(l->reload));
	json_object_set_new(o, "alerts", alerts(l));
	json_object_set_new(o, "dataplane", dataplane(l, e));
	json_object_set_new(o, "counters", ctl_counters(l));
	json_object_set_new(o, "routes", commands_routes(l));
	json_object_set_new(o, "breakers", commands_breakers(l));
	json_object_set_new(o, "hosts", commands_hosts(l));
	json_object_set_new(o, "rules", rules(l));
	api_reply(req, o);
}
