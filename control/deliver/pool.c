/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>
#include <string.h>

#include "control/deliver/internal.h"

struct pool *pool_get(struct deliver *d, const char *route)
{
	struct pool *p;

	TAILQ_FOREACH(p, &d->pools, link)
		if (!strcmp(p->route, route))
			return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->route = strdup(route);
	if (!p->route) {
		free(p);
		return NULL;
	}
	p->d = d;
	TAILQ_INIT(&p->hosts);
	TAILQ_INIT(&p->waiting[0]);
	TAILQ_INIT(&p->waiting[1]);
	TAILQ_INSERT_TAIL(&d->pools, p, link);
	return p;
}

/* By name, port and source address, so that a reload that changes one of them gets new connections. */
struct host *pool_host(struct pool *p, const struct config_route *route, size_t i)
{
	const struct config_host *want = &route->host[i];
	struct host *h;

	TAILQ_FOREACH(h, &p->hosts, link)
		if (h->port == want->port && !strcmp(h->name, want->name) &&
		    h->has_source == route->has_source &&
		    (!h->has_source || !memcmp(&h->source, &route->source, sizeof(h->source))))
			return h;
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->name = strdup(want->name);
	if (!h->name) {
		free(h);
		return NULL;
	}
	h->pool = p;
	h->port = want->port;
	h->has_source = route->has_source;
	h->source = route->source;
	TAILQ_INIT(&h->idle);
	TAILQ_INIT(&h->busy);
	TAILQ_INSERT_TAIL(&p->hosts, h, link);
	return h;
}

bool pool_offers(struct deliver *d, const struct config_route *route, uint32_t caps)
{
	struct pool *p = pool_get(d, route->name);

	for (size_t i = 0; p && i < route->n_hosts; i++) {
		const struct host *h = pool_host(p, route, i);

		if (!h || !h->greeted || (h->caps & caps) != caps)
			return false;
	}
	return p;
}

bool pool_wait(struct xact *x, bool first)
{
	struct pool *p = x->pool;
	struct xact_list *q = &p->waiting[x->probe ? 0 : 1];

	if (!first && p->n_waiting >= p->d->tuning.waiting_max)
		return false;
	if (first)
		TAILQ_INSERT_HEAD(q, x, link);
	else
		TAILQ_INSERT_TAIL(q, x, link);
	p->n_waiting++;
	x->place = XACT_WAITING;
	deliver_kick(p->d);
	return true;
}

void pool_unwait(struct xact *x)
{
	TAILQ_REMOVE(&x->pool->waiting[x->probe ? 0 : 1], x, link);
	x->pool->n_waiting--;
	x->place = XACT_NEW;
}

static void attach(struct conn *c, struct xact *x)
{
	struct pool *p = x->pool;

	pool_unwait(x);
	x->place = XACT_ON_CONN;
	x->conn = c;
	x->last = c->host;
	c->x = x;
	c->idle_ms = x->route->idle_timeout_s * 1000u;
	if (p->d->tuning.idle_ms)
		c->idle_ms = p->d->tuning.idle_ms;
	c->counts_bulk = !x->probe;
	if (c->counts_bulk)
		p->n_bulk++;
}

static bool reuse(struct host *h, struct xact *x)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&h->idle); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (xact_tried(x, &c->addr))
			continue;
		if (!conn_alive(c)) {
			conn_close(c, false);
			continue;
		}
		TAILQ_REMOVE(&h->idle, c, link);
		TAILQ_INSERT_TAIL(&h->busy, c, link);
		attach(c, x);
		x->cur = c->addr;
		x->has_cur = true;
		c->reused = true;
		if (!x->probe)
			deliver_count(h->pool->d, CTL_nexthop_reused);
		session_begin(c);
		return true;
	}
	return false;
}

/* Makes room by closing the connection that is idle for the longest, of whatever host. */
static bool evict(struct pool *p)
{
	struct host *h;

	TAILQ_FOREACH(h, &p->hosts, link) {
		struct conn *c = TAILQ_LAST(&h->idle, conn_list);

		if (c) {
			conn_quit(c);
			return true;
		}
	}
	return false;
}

/* Messages leave some slots to callouts, which have five seconds and a client waiting at RCPT. */
static unsigned int bulk_limit(const struct config_route *r, unsigned int max)
{
	if (r->verify != VERIFY_CALLOUT || max < 2)
		return max;
	return max - 1 - max / 16;
}

/* False: no slot; x stays where it is. */
static bool place(struct pool *p, struct xact *x)
{
	unsigned int max = x->route->max_connections ? x->route->max_connections : 1;
	struct host *h = pool_host(p, x->route, x->order[x->host_at]);
	struct conn *c;

	if (!h)
		return false;
	if (!x->probe && p->n_bulk >= bulk_limit(x->route, max))
		return false;
	if (!x->fresh_only && reuse(h, x))
		return true;
	if (p->n_conns >= max && !evict(p))
		return false;
	c = conn_new(h);
	if (!c)
		return false;
	p->n_conns++;
	attach(c, x);
	if (!x->resolved && resolve_start(x)) {
		session_failed(c, END_DNS);
		return true;
	}
	if (x->resolved)
		xact_resolved(x);
	return true;
}

void pool_dispatch(struct pool *p)
{
	for (int kind = 0; kind < 2; kind++) {
		size_t turns = p->n_waiting;
		struct xact *x;

		/* Bounded: one that failed at once stands in front again. */
		while (turns-- && (x = TAILQ_FIRST(&p->waiting[kind])) && place(p, x))
			;
	}
}

static void unlink_conn(struct conn *c)
{
	struct pool *p = c->host->pool;

	if (c->state == CONN_IDLE)
		TAILQ_REMOVE(&c->host->idle, c, link);
	else
		TAILQ_REMOVE(&c->host->busy, c, link);
	if (c->counts_bulk)
		p->n_bulk--;
	c->counts_bulk = false;
}

void pool_leave(struct conn *c)
{
	if (!c->host)
		return;
	unlink_conn(c);
	c->host->pool->n_conns--;
	c->host = NULL;
	deliver_kick(c->d);
}

void pool_idle(struct conn *c)
{
	struct host *h = c->host;

	unlink_conn(c);
	c->state = CONN_IDLE;
	TAILQ_INSERT_HEAD(&h->idle, c, link);
	deliver_kick(c->d);
}

void pools_free(struct deliver *d)
{
	struct pool *p;

	while ((p = TAILQ_FIRST(&d->pools))) {
		struct host *h;

		while ((h = TAILQ_FIRST(&p->hosts))) {
			struct conn *c;

			while ((c = TAILQ_FIRST(&h->idle)) || (c = TAILQ_FIRST(&h->busy)))
				conn_close(c, false);
			TAILQ_REMOVE(&p->hosts, h, link);
			free(h->name);
			free(h);
		}
		TAILQ_REMOVE(&d->pools, p, link);
		free(p->route);
		free(p);
	}
}
