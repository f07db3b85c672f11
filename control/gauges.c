/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/gauges.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/loop.h"
#include "control/reload.h"
#include "postern/clock.h"

#define RULES_S 15 /* thousands of rules are not looked through each second */

struct gauges {
	struct metrics *http;
	struct buckets judge, message;
	struct {
		char name[METRICS_NAME];
		uint64_t outcome[TRACE_OUTCOMES];
	} route[METRICS_ROUTES + 1];     /* the last: all others */
	size_t n_routes;                 /* without the last */
	uint64_t rules_s;                /* when they were looked through */
	struct metrics_rule top[METRICS_RULES];
	size_t n_top;
};

_Static_assert((int)METRICS_WAIT == (int)DELIVER_WAIT && (int)METRICS_WHOLE == (int)DELIVER_WHOLE &&
		       (int)METRICS_STAGES == (int)DELIVER_TIMES, "one order of stages");

struct gauges *gauges_new(const char *listen, char *err, size_t err_len)
{
	struct gauges *g = calloc(1, sizeof(*g));

	if (!g) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	strcpy(g->route[METRICS_ROUTES].name, "other");
	g->http = metrics_new(listen, err, err_len);
	if (g->http)
		return g;
	free(g);
	return NULL;
}

void gauges_free(struct gauges *g)
{
	if (!g)
		return;
	metrics_free(g->http);
	free(g);
}

/* Routes keep their place for as long as this runs; what comes when all are taken is one of the others. */
static size_t place(struct gauges *g, const char *route)
{
	char name[METRICS_NAME];
	size_t i = 0;

	snprintf(name, sizeof(name), "%s", route ? route : "none");
	while (i < g->n_routes && strcmp(g->route[i].name, name))
		i++;
	if (i < g->n_routes || i == METRICS_ROUTES)
		return i;
	strcpy(g->route[g->n_routes++].name, name);
	return i;
}

void gauges_recipient(struct gauges *g, const char *route, enum trace_outcome o)
{
	if (g && o < TRACE_OUTCOMES)
		g->route[place(g, route)].outcome[o]++;
}

void gauges_message(struct gauges *g, uint64_t us)
{
	if (g)
		buckets_add(&g->message, us);
}

void gauges_judged(struct gauges *g, uint64_t us)
{
	if (g)
		buckets_add(&g->judge, us);
}

/* ---- the snapshot ------------------------------------------------------------------------------- */

static void dataplane(const struct loop *l, struct metrics_snapshot *s)
{
	const struct ctl_epoch *e = ctl_link_epoch(l->link);

	s->linked = e != NULL;
	s->workers = e ? ctl_epoch_workers(e) : 0;
	if (s->workers > HANDOFF_MAX_WORKERS)
		s->workers = HANDOFF_MAX_WORKERS;
	for (uint32_t w = 0; w < s->workers; w++)
		for (int i = 0; i < POSTERN_DP_COUNTER_COUNT; i++)
			s->dp[w][i] = ctl_epoch_counter(e, w, (enum postern_counter)i);
}

static bool breaker_is_open(const struct deliver_breaker_status *b, size_t n, const char *route)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(b[i].route, route))
			return b[i].open;
	return false;
}

static void loads(struct loop *l, struct metrics_snapshot *s)
{
	const struct config *c = l->active->config;
	struct deliver_load_status *load = calloc(c->n_routes + 1, sizeof(*load));
	struct deliver_breaker_status *b = calloc(c->n_routes + 1, sizeof(*b));
	size_t n = load && b ? deliver_loads(l->deliver, c, load, c->n_routes) : 0;
	size_t n_b = load && b ? deliver_breakers(l->deliver, c, b, c->n_routes) : 0;

	for (size_t i = 0; i < n; i++) {
		struct metrics_route *r = &s->route[place(l->gauges, load[i].route)];
		const struct buckets *t = deliver_times(l->deliver, load[i].route);

		/* Of the others together: sums, and the worst. */
		r->outstanding += load[i].load.outstanding;
		r->bound += load[i].load.bound;
		r->waiting += load[i].waiting;
		r->connections += load[i].connections;
		if ((unsigned int)load[i].load.state > r->state)
			r->state = (unsigned int)load[i].load.state;
		r->breaker_open |= breaker_is_open(b, n_b, load[i].route);
		for (int k = 0; t && k < METRICS_STAGES; k++)
			buckets_sum(&r->stage[k], &t[k]);
	}
	free(load);
	free(b);
}

static void routes(struct loop *l, struct metrics_snapshot *s)
{
	struct gauges *g = l->gauges;
	const struct config *c = l->active->config;

	memset(s->route, 0, sizeof(s->route));
	/* Configured ones have their place before others take it. */
	for (size_t i = 0; i < c->n_routes; i++)
		(void)place(g, c->route[i].name);
	loads(l, s);
	for (size_t i = 0; i <= METRICS_ROUTES; i++) {
		memcpy(s->route[i].name, g->route[i].name, METRICS_NAME);
		memcpy(s->route[i].outcome, g->route[i].outcome, sizeof(s->route[i].outcome));
	}
	s->n_routes = g->n_routes < METRICS_ROUTES ? g->n_routes : METRICS_ROUTES + 1;
}

/* Those that hit most, most first. */
static void top_rules(struct gauges *g, const struct snapshot *active)
{
	size_t n = active->rules ? rules_total(active->rules) : 0, k;

	g->n_top = 0;
	for (size_t i = 0; i < n; i++) {
		const struct rule_counts *c = rules_stats_of(active->rules_stats, i);

		if (!c || !c->hits || (g->n_top == METRICS_RULES && c->hits <= g->top[METRICS_RULES - 1].hits))
			continue;
		/* Two that begin alike and are cut would be one series twice. */
		if (strlen(rules_at(active->rules, i)->name) >= METRICS_NAME)
			continue;
		k = g->n_top < METRICS_RULES ? g->n_top++ : METRICS_RULES - 1;
		for (; k && g->top[k - 1].hits < c->hits; k--)
			g->top[k] = g->top[k - 1];
		snprintf(g->top[k].name, sizeof(g->top[k].name), "%s", rules_at(active->rules, i)->name);
		g->top[k].hits = c->hits;
	}
}

static void rules(const struct loop *l, struct metrics_snapshot *s)
{
	struct gauges *g = l->gauges;

	if (s->realtime_ns / 1000000000u >= g->rules_s + RULES_S) {
		g->rules_s = s->realtime_ns / 1000000000u;
		top_rules(g, l->active);
	}
	memcpy(s->rule, g->top, sizeof(s->rule));
	s->n_rules = g->n_top;
}

void gauges_second(struct loop *l)
{
	struct metrics_snapshot *s;

	if (!l->gauges)
		return;
	s = metrics_fill(l->gauges->http);
	s->realtime_ns = clock_real_ns();
	s->started_ns = l->started_ns;
	s->generation = l->active->generation;
	s->ready = l->ready;
	s->reload_failed = reload_failed(l->reload);
	s->sessions = l->n_sessions;
	s->messages = l->n_messages;
	memcpy(s->ctl, l->counters, sizeof(s->ctl));
	s->judge = l->gauges->judge;
	s->message = l->gauges->message;
	s->dns = *dns_times(l->dns);
	dataplane(l, s);
	routes(l, s);
	rules(l, s);
	metrics_publish(l->gauges->http);
}
