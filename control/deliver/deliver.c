/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "control/deliver/internal.h"
#include "postern/clock.h"

uint64_t deliver_now_us(void)
{
	return clock_mono_us();
}

uint64_t deliver_now_s(const struct deliver *d)
{
	return deliver_now_us() / 1000000u + d->tuning.skew_s;
}

/* SplitMix64; the bias of the last step is below n / 2^32. */
uint32_t deliver_random(struct deliver *d, uint32_t n)
{
	uint64_t z = d->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z >> 32) * n >> 32);
}

bool deliver_alert_due(struct deliver *d, struct route_alert *a, uint64_t *untold)
{
	uint64_t now = deliver_now_s(d);

	a->n++;
	if (!d->on_alert || (a->told && now - a->told_s < LIMIT_ALERT_S))
		return false;
	*untold = a->n - a->told - 1;
	a->told = a->n;
	a->told_s = now;
	return true;
}

void deliver_kick(struct deliver *d)
{
	event_active(d->kick, EV_TIMEOUT, 0);
}

void deliver_complete(struct deliver *d, struct completion *c)
{
	if (c->queued)
		return;
	c->queued = true;
	TAILQ_INSERT_TAIL(&d->done, c, link);
	deliver_kick(d);
}

void deliver_uncomplete(struct deliver *d, struct completion *c)
{
	if (c->queued)
		TAILQ_REMOVE(&d->done, c, link);
	c->queued = false;
}

static void free_list(struct conn_list *list)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, c, link);
		conn_free(c);
	}
}

/* The only place from which user code runs. */
static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct deliver *d = arg;
	struct completion *c, *last;
	struct pool *p;
	bool gone = false;

	(void)fd;
	(void)what;
	free_list(&d->dead);
	TAILQ_FOREACH(p, &d->pools, link)
		pool_dispatch(p);
	/* Those that a callback adds wait for the next turn, so that sockets are not starved. */
	last = TAILQ_LAST(&d->done, completion_list);
	d->gone = &gone;
	while ((c = TAILQ_FIRST(&d->done))) {
		bool end = c == last;

		TAILQ_REMOVE(&d->done, c, link);
		c->queued = false;
		c->run(c);
		if (gone)
			return;
		if (end)
			break;
	}
	d->gone = NULL;
	if (!TAILQ_EMPTY(&d->done))
		deliver_kick(d);
}

struct sts *deliver_sts(struct deliver *d)
{
	if (!d->sts && d->dns)
		d->sts = sts_new(d->base, d->dns, d->counters);
	return d->sts;
}

struct deliver_tuning *deliver_tuning(struct deliver *d)
{
	return &d->tuning;
}

void deliver_on_alert(struct deliver *d, deliver_alert_callback *cb, void *arg)
{
	d->on_alert = cb;
	d->alert_arg = arg;
}

struct deliver *deliver_new(struct event_base *base, struct dns *dns, uint64_t *counters)
{
	struct deliver *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->base = base;
	d->dns = dns;
	d->counters = counters;
	d->tuning = (struct deliver_tuning){
		.progress_ms = LIMIT_ONWARD_PROGRESS_S * 1000u,
		.final_ms = LIMIT_FINAL_REPLY_TIMEOUT_S * 1000u,
		.callout_ms = LIMIT_CALLOUT_S * 1000u,
		.avoid_ms = 10000,
		.waiting_max = LIMIT_ONWARD_WAITING,
		.local_is_own = true,
	};
	TAILQ_INIT(&d->pools);
	TAILQ_INIT(&d->done);
	TAILQ_INIT(&d->quitting);
	TAILQ_INIT(&d->dead);
	TAILQ_INIT(&d->jobs);
	TAILQ_INIT(&d->probes);
	TAILQ_INIT(&d->questions);
	TAILQ_INIT(&d->checks);
	if (overload_init(d)) {
		deliver_free(d);
		return NULL;
	}
	d->kick = event_new(base, -1, 0, on_kick, d);
	d->tls = tls_store_new();
	d->refusals = memory_new(LIMIT_REFUSALS_KEPT);
	d->unknown = memory_new(LIMIT_REFUSALS_KEPT);
	d->known = memory_new(LIMIT_RECIPIENTS_KEPT);
	d->alone = memory_new(LIMIT_REFUSALS_KEPT);
	if (!d->kick || !d->tls || !d->refusals || !d->unknown || !d->known || !d->alone ||
	    getrandom(d->secret, sizeof(d->secret), 0) != (ssize_t)sizeof(d->secret) ||
	    getrandom(&d->random, sizeof(d->random), 0) != (ssize_t)sizeof(d->random)) {
		deliver_free(d);
		return NULL;
	}
	return d;
}

void deliver_free(struct deliver *d)
{
	struct conn *c;

	if (!d)
		return;
	if (d->gone)
		*d->gone = true;
	jobs_drop(d);
	probes_drop(d);
	route_checks_drop(d);
	while ((c = TAILQ_FIRST(&d->quitting)))
		conn_close(c, false);
	pools_free(d);
	free_list(&d->dead);
	sts_free(d->sts);
	tls_store_free(d->tls);
	memory_free(d->refusals);
	memory_free(d->unknown);
	memory_free(d->known);
	memory_free(d->alone);
	overload_free(d);
	if (d->kick)
		event_free(d->kick);
	free(d);
}

size_t deliver_status(const struct deliver *d, struct deliver_host_status *out, size_t cap)
{
	const struct pool *p;
	size_t n = 0;

	TAILQ_FOREACH(p, &d->pools, link) {
		const struct host *h;

		TAILQ_FOREACH(h, &p->hosts, link) {
			struct deliver_host_status *s = n < cap ? &out[n] : NULL;
			const struct conn *c;

			n++;
			if (!s)
				continue;
			memset(s, 0, sizeof(*s));
			s->route = p->route;
			s->host = h->name;
			s->port = h->port;
			TAILQ_FOREACH(c, &h->busy, link)
				s->busy++;
			s->connections = s->busy;
			TAILQ_FOREACH(c, &h->idle, link)
				s->connections++;
			/* The queue is the route's; it is told with its first host. */
			if (h == TAILQ_FIRST(&p->hosts))
				s->waiting = (unsigned int)p->n_waiting;
			s->delivered = h->delivered;
			s->rejected = h->rejected;
			s->deferred = h->deferred;
			memcpy(s->last_error, h->last_error, sizeof(s->last_error));
		}
	}
	return n < cap ? n : cap;
}
