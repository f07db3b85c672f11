/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Where load.c meets pools, transactions and the clock, and what clients and operator hear of it. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/deliver/internal.h"

static const struct timeval second = {.tv_sec = 1};

/* ---- what the operator hears ------------------------------------------------------------------ */

static double seconds(uint64_t us)
{
	return (double)us / 1e6;
}

static void describe(const struct load_view *v, char *out, size_t cap)
{
	snprintf(out, cap,
		 "overload (%s): %u under way, at most %u; %.1f MB held; waits for a connection %.1f s; "
		 "connect %.3f s, rcpt %.3f s, dot %.3f s (usual: %.3f, %.3f, %.3f): new mail for it hears "
		 "451 before its content", load_cause_name(v->cause), v->outstanding, v->bound,
		 (double)v->held / 1e6, seconds(v->wait_us[0]), seconds(v->stage_us[LOAD_CONNECT][0]),
		 seconds(v->stage_us[LOAD_RCPT][0]), seconds(v->stage_us[LOAD_DOT][0]),
		 seconds(v->usual_us[LOAD_CONNECT]), seconds(v->usual_us[LOAD_RCPT]),
		 seconds(v->usual_us[LOAD_DOT]));
}

static void tell_begin(struct pool *p)
{
	struct deliver_alert a = {.route = p->route};
	struct load_view v;
	char text[400];

	deliver_count(p->d, CTL_overload_opened);
	if (!deliver_alert_due(p->d, &p->shedding, &a.untold))
		return;
	load_look(&p->load, &p->rules, deliver_now_us(), &v);
	describe(&v, text, sizeof(text));
	a.text = text;
	p->shedding_told = true;
	p->d->on_alert(p->d->alert_arg, &a);
}

static void tell_end(struct pool *p)
{
	struct deliver_alert a = {.route = p->route, .over = true};
	struct load_view v;
	char text[160];

	if (!p->shedding_told)
		return;
	p->shedding_told = false;
	load_look(&p->load, &p->rules, deliver_now_us(), &v);
	snprintf(text, sizeof(text), "overload is over; %llu recipients were deferred in all",
		 (unsigned long long)(v.refused_bound + v.refused_memory));
	a.text = text;
	p->d->on_alert(p->d->alert_arg, &a);
}

/* ---- each second ------------------------------------------------------------------------------ */

/* Messages only: what a callout may wait is bounded by its own budget. */
static uint64_t oldest(const struct pool *p, uint64_t now)
{
	const struct xact *x = TAILQ_FIRST(&p->waiting[1]);

	return x ? now - x->queued_us : 0;
}

static void turn(struct pool *p, uint64_t now)
{
	bool shed = p->load.state == LOAD_SHEDDING;

	load_turn(&p->load, &p->rules, now, oldest(p, now));
	if (shed && p->load.state != LOAD_SHEDDING)
		tell_end(p);
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct deliver *d = arg;
	uint64_t now = deliver_now_us();
	bool busy = false;
	struct pool *p;

	(void)fd;
	(void)what;
	TAILQ_FOREACH(p, &d->pools, link)
		if (load_busy(&p->load, &p->rules)) {
			turn(p, now);
			busy = true;
		}
	if (busy)
		event_add(d->second, &second);
}

static void run(struct deliver *d)
{
	if (!event_pending(d->second, EV_TIMEOUT, NULL))
		event_add(d->second, &second);
}

int overload_init(struct deliver *d)
{
	d->second = event_new(d->base, -1, 0, on_second, d);
	return d->second ? 0 : -ENOMEM;
}

void overload_free(struct deliver *d)
{
	if (d->second)
		event_free(d->second);
	d->second = NULL;
}

void overload_rules(struct pool *p, const struct config_route *route)
{
	p->rules = (struct load_rules){
		.config = route->overload,
		.connections = route->max_connections ? route->max_connections : 1,
	};
}

/* ---- tickets ----------------------------------------------------------------------------------- */

static bool refuse(struct pool *p, const struct deliver_entry *e, enum load_answer because,
		   struct deliver_reply *why)
{
	bool away = e->again && load_lasts(&p->load, deliver_now_us());

	deliver_count(p->d, because == LOAD_OVER_MEMORY ? CTL_overload_memory : CTL_overload_deferred);
	if (away)
		deliver_count(p->d, CTL_overload_closed);
	/* RFC 3463 3.5: X.4.5 is congestion. RFC 5321 3.8: 421 ends the session. */
	verdict_own(why, away ? 421 : 451, 4, 5,
		    "recipient's mail service is slow or does not answer, try again later", e->trace_id);
	return false;
}

bool deliver_admit(struct deliver *d, const struct deliver_entry *e, struct load_ticket *t,
		   struct deliver_reply *why)
{
	struct pool *p = pool_get(d, e->route->name);
	enum load_answer answer;
	bool shed;

	if (!p) {
		verdict_own(why, 451, 3, 0, "local error, try again later", e->trace_id);
		return false;
	}
	if (t->load == &p->load)
		return true;
	load_leave(t);
	overload_rules(p, e->route);
	shed = p->load.state == LOAD_SHEDDING;
	answer = load_admit(&p->load, &p->rules, deliver_now_us(), &e->room, e->declared_size, t);
	run(d);
	if (!shed && p->load.state == LOAD_SHEDDING)
		tell_begin(p);
	return answer == LOAD_ADMITTED || refuse(p, e, answer, why);
}

uint16_t deliver_arena_share(struct deliver *d, const struct config *c, const struct config_route *route,
			     uint8_t *share)
{
	struct pool *p = pool_get(d, route->name);

	*share = 0;
	if (!p || !route->overload.on || c->n_routes < 2 || p->number >= HANDOFF_MAX_ROUTES)
		return 0;
	*share = (uint8_t)route->overload.arena_share;
	return (uint16_t)p->number;
}

void deliver_submitted(struct deliver *d, const struct config_route *route, uint32_t worker, uint64_t size,
		       struct load_ticket *from, struct load_ticket *to)
{
	struct pool *p = pool_get(d, route->name);
	struct load_ticket none = {0};

	if (!p)
		return; /* not counted, and delivered all the same if there is memory for that */
	overload_rules(p, route);
	load_submit(&p->load, deliver_now_us(), worker, size, from ? from : &none, to);
	run(d);
}

/* ---- what happens ------------------------------------------------------------------------------- */

void overload_attached(struct xact *x)
{
	x->attached_us = deliver_now_us();
	load_waited(&x->pool->load, x->attached_us, x->probe, x->attached_us - x->queued_us);
	if (!x->probe)
		buckets_add(&x->pool->times[DELIVER_WAIT], x->attached_us - x->queued_us);
}

void overload_stage(struct conn *c, enum load_stage stage, uint64_t asked_us)
{
	static const enum deliver_time as[LOAD_STAGES] = {
		[LOAD_CONNECT] = DELIVER_CONNECT, [LOAD_RCPT] = DELIVER_RCPT, [LOAD_DOT] = DELIVER_REPLY};
	uint64_t now = deliver_now_us();

	load_stage_took(&c->x->pool->load, stage, now, now - asked_us);
	buckets_add(&c->x->pool->times[as[stage]], now - asked_us);
	if (stage == LOAD_DOT && c->x->body_us && c->x->body_us <= asked_us)
		buckets_add(&c->x->pool->times[DELIVER_TRANSFER], asked_us - c->x->body_us);
}

/* Nothing that speaks of this message or this recipient says that the next hop is not well. */
static bool is_failure(const struct xact *x, const struct ending *e)
{
	switch (e->kind) {
	case END_CONNECT:
	case END_DNS:
	case END_LOST:
	case END_TIMEOUT:
	case END_GARBAGE:
	case END_TLS:
		return true;
	case END_REPLY:
		return verdict_classify(x->config, e->stage, &e->reply) == VERDICT_SERVICE;
	default:
		return false;
	}
}

void overload_ended(struct xact *x, const struct ending *e)
{
	struct load *l = &x->pool->load;
	uint64_t now = deliver_now_us();

	if (!x->probe && e->kind != END_ABORTED) {
		load_done(l, now, now - x->start_us);
		buckets_add(&x->pool->times[DELIVER_WHOLE], now - x->start_us);
	}
	/* Decided here, or by our client: it says nothing of the next hop. */
	if (e->kind == END_LOCAL || e->kind == END_ABORTED)
		return;
	load_ended(l, now, is_failure(x, e), !x->probe && x->attached_us ? now - x->attached_us : 0);
}

/* ---- for the operator --------------------------------------------------------------------------- */

static void status(const struct pool *p, const struct config_route *route, struct deliver_load_status *s)
{
	struct load_rules rules = {.config = route->overload, .connections = route->max_connections};

	*s = (struct deliver_load_status){
		.route = route->name, .waiting = (unsigned int)p->n_waiting, .connections = p->n_conns,
		.max_connections = route->max_connections,
	};
	load_look(&p->load, &rules, deliver_now_us(), &s->load);
}

const struct buckets *deliver_times(const struct deliver *d, const char *route)
{
	const struct pool *p;

	TAILQ_FOREACH(p, &d->pools, link)
		if (!strcmp(p->route, route))
			return p->times;
	return NULL;
}

size_t deliver_loads(const struct deliver *d, const struct config *c, struct deliver_load_status *out,
		     size_t cap)
{
	const struct pool *p;
	size_t n = 0;

	for (size_t i = 0; i < c->n_routes && n < cap; i++)
		TAILQ_FOREACH(p, &d->pools, link)
			if (!strcmp(p->route, c->route[i].name))
				status(p, &c->route[i], &out[n++]);
	return n;
}
