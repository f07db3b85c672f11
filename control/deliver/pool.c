/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <stdlib.h>
#include <string.h>

#include "control/deliver/internal.h"

static void on_timer(evutil_socket_t fd, short what, void *arg);

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
	p->number = ++d->n_pools;
	load_init(&p->load);
	evtimer_assign(&p->timer, d->base, on_timer, p);
	TAILQ_INIT(&p->hosts);
	TAILQ_INIT(&p->waiting[0]);
	TAILQ_INIT(&p->waiting[1]);
	TAILQ_INSERT_TAIL(&d->pools, p, link);
	return p;
}

static void host_free(struct host *h)
{
	TAILQ_REMOVE(&h->pool->hosts, h, link);
	h->pool->n_hosts--;
	free(h->name);
	free(h);
}

/* MX records are others' words, and change: what they named once is not kept for ever. */
static void prune(struct pool *p)
{
	uint64_t now = deliver_now_s(p->d);
	struct host *h, *next;

	for (h = TAILQ_FIRST(&p->hosts); h; h = next) {
		next = TAILQ_NEXT(h, link);
		if (h->by_mx && !h->refs && TAILQ_EMPTY(&h->idle) && TAILQ_EMPTY(&h->busy) &&
		    (now - h->named_s >= LIMIT_MX_HOST_S || p->n_hosts >= LIMIT_MX_HOSTS))
			host_free(h);
	}
}

static bool same_sources(const struct host *h, const struct config_route *r)
{
	for (int i = 0; i < 2; i++)
		if (h->has_source[i] != r->has_source[i] ||
		    (h->has_source[i] && memcmp(&h->source[i], &r->source[i], sizeof(r->source[i]))))
			return false;
	return true;
}

/* A reload that changes one of them gets new connections. */
struct host *pool_host(struct pool *p, const struct config_route *route,
		       const struct config_host *want, bool by_mx)
{
	struct host *h;

	TAILQ_FOREACH(h, &p->hosts, link)
		if (h->port == want->port && !strcmp(h->name, want->name) && same_sources(h, route) &&
		    !memcmp(h->tls_id, route->tls.id, sizeof(h->tls_id))) {
			h->named_s = deliver_now_s(p->d);
			h->by_mx &= by_mx;
			return h;
		}
	if (by_mx)
		prune(p);
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
	h->is_ip = want->is_ip;
	h->ip = want->ip;
	h->by_mx = by_mx;
	h->named_s = deliver_now_s(p->d);
	memcpy(h->source, route->source, sizeof(h->source));
	memcpy(h->has_source, route->has_source, sizeof(h->has_source));
	memcpy(h->tls_id, route->tls.id, sizeof(h->tls_id));
	TAILQ_INIT(&h->idle);
	TAILQ_INIT(&h->busy);
	TAILQ_INSERT_TAIL(&p->hosts, h, link);
	p->n_hosts++;
	return h;
}

/* MX: which of them the records name now is not known here; all that they ever named. */
static bool is_of_route(const struct host *h, const struct config_route *route,
			const struct deliver_client *client)
{
	if (!same_sources(h, route))
		return false;
	if (route->dialled)
		return client && h->port == client->local_port &&
		       !memcmp(&h->ip, &client->local, sizeof(h->ip));
	if (route->mx)
		return h->by_mx;
	for (size_t i = 0; i < route->n_hosts; i++)
		if (route->host[i].port == h->port && !strcmp(route->host[i].name, h->name))
			return true;
	return false;
}

struct host *pool_next(struct pool *p, const struct config_route *route,
		       const struct deliver_client *client, struct host *after)
{
	struct host *h = after ? TAILQ_NEXT(after, link) : TAILQ_FIRST(&p->hosts);

	while (h && !is_of_route(h, route, client))
		h = TAILQ_NEXT(h, link);
	return h;
}

bool pool_offers(struct deliver *d, const struct config_route *route,
		 const struct deliver_client *client, uint32_t caps)
{
	struct pool *p = pool_get(d, route->name);
	struct host *h = NULL;
	size_t n = 0;

	while (p && (h = pool_next(p, route, client, h))) {
		if (!h->greeted || (h->caps & caps) != caps)
			return false;
		n++;
	}
	return route->mx || route->dialled ? n : n && n == route->n_hosts;
}

/* ---- waiting ---------------------------------------------------------------------------------- */

static void arm(struct pool *p, uint64_t us)
{
	struct timeval tv = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};

	evtimer_add(&p->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct pool *p = arg;

	(void)fd;
	(void)what;
	deliver_kick(p->d);
}

/* Would it wait for its turn by the rate for longer than anybody waits? */
static bool too_late(const struct pool *p, const struct xact *x)
{
	double rate = x->route->rate;

	return rate > 0 && !x->probe &&
	       (double)p->n_waiting / rate > (double)x->route->queue_timeout_s;
}

bool pool_wait(struct xact *x, bool first)
{
	struct pool *p = x->pool;
	struct xact_list *q = &p->waiting[x->probe ? 0 : 1];

	if (!first && (p->n_waiting >= p->d->tuning.waiting_max || too_late(p, x)))
		return false;
	if (first)
		TAILQ_INSERT_HEAD(q, x, link);
	else
		TAILQ_INSERT_TAIL(q, x, link);
	p->n_waiting++;
	x->place = XACT_WAITING;
	x->queued_us = deliver_now_us();
	/* In all: who is taken to another address does not begin to wait again. */
	if (!x->waits_until_us)
		x->waits_until_us = deliver_now_us() + x->route->queue_timeout_s * UINT64_C(1000000);
	deliver_kick(p->d);
	return true;
}

void pool_unwait(struct xact *x)
{
	TAILQ_REMOVE(&x->pool->waiting[x->probe ? 0 : 1], x, link);
	x->pool->n_waiting--;
	x->place = XACT_NEW;
}

/* A slow next hop is felt by those who write to it, and not without end. */
static void expire(struct pool *p, struct xact_list *q)
{
	uint64_t now = deliver_now_us();
	struct xact *x;

	while ((x = TAILQ_FIRST(q)) && x->waits_until_us <= now) {
		deliver_count(p->d, CTL_nexthop_queue_timeout);
		pool_unwait(x);
		xact_refuse(x, 451, 4, 5, "mail service is too slow at the moment, try again later");
	}
	if (x && !evtimer_pending(&p->timer, NULL))
		arm(p, x->waits_until_us - now);
}

/* Its turn by the rate of the route; false: not yet, the timer runs. */
static bool take_turn(struct pool *p, struct xact *x)
{
	double rate = x->route->rate, burst = rate < 1 ? 1 : rate;
	uint64_t now = deliver_now_us();

	if (rate <= 0 || x->probe || x->rated)
		return true;
	p->tokens += p->filled_us ? (double)(now - p->filled_us) / 1e6 * rate : burst;
	p->filled_us = now;
	if (p->tokens > burst)
		p->tokens = burst;
	if (p->tokens < 1) {
		arm(p, (uint64_t)((1 - p->tokens) / rate * 1e6) + 1000);
		return false;
	}
	return true;
}

static void attach(struct conn *c, struct xact *x)
{
	struct pool *p = x->pool;

	pool_unwait(x);
	overload_attached(x);
	x->place = XACT_ON_CONN;
	x->conn = c;
	x->last = c->host;
	c->x = x;
	c->idle_ms = x->route->idle_timeout_s * 1000u;
	if (p->d->tuning.idle_ms)
		c->idle_ms = p->d->tuning.idle_ms;
	c->age_us = x->route->connection_age_s * UINT64_C(1000000);
	if (!x->probe && !x->rated && x->route->rate > 0)
		p->tokens -= 1;
	x->rated = true;
	c->counts_bulk = !x->probe;
	if (c->counts_bulk)
		p->n_bulk++;
}

static bool reuse(struct host *h, struct xact *x)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&h->idle); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (xact_tried(x, &c->addr) || !identity_fits(c, x) || !tls_fits(c, x))
			continue;
		if (!conn_alive(c)) {
			conn_close(c, false);
			continue;
		}
		if (conn_is_old(c)) {
			conn_quit(c);
			continue;
		}
		TAILQ_REMOVE(&h->idle, c, link);
		TAILQ_INSERT_TAIL(&h->busy, c, link);
		/* Which list it is on the state says, also where MAIL is not sent after all. */
		c->state = CONN_MAIL;
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
static void evict(struct pool *p)
{
	struct host *h;

	TAILQ_FOREACH(h, &p->hosts, link) {
		struct conn *c = TAILQ_LAST(&h->idle, conn_list);

		if (c) {
			conn_quit(c);
			return;
		}
	}
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
	struct host *h = x->target[x->host_at].host;
	struct conn *c;

	if (!take_turn(p, x))
		return false;
	if (!x->probe && p->n_bulk >= bulk_limit(x->route, max))
		return false;
	if (!x->fresh_only && reuse(h, x))
		return true;
	if (p->n_conns >= max) {
		/* Its slot is free when it is closed: a next hop counts what is open. */
		if (p->n_leaving < p->n_waiting)
			evict(p);
		return false;
	}
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

		expire(p, &p->waiting[kind]);
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
	c->slot = c->host->pool;
	c->slot->n_leaving++;
	c->host = NULL;
}

void pool_left(struct conn *c)
{
	if (!c->slot)
		return;
	c->slot->n_conns--;
	c->slot->n_leaving--;
	c->slot = NULL;
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
			host_free(h);
		}
		evtimer_del(&p->timer);
		load_fini(&p->load);
		TAILQ_REMOVE(&d->pools, p, link);
		free(p->route);
		free(p);
	}
}
