/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#include "control/dns/dns_internal.h"
#include "postern/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_TIMEOUT_MS 10000

static struct dns *make(struct event_base *base, unsigned int timeout_ms)
{
	struct dns *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	if (timeout_ms == 0)
		timeout_ms = DEFAULT_TIMEOUT_MS;
	d->base = base;
	d->timeout.tv_sec = timeout_ms / 1000;
	d->timeout.tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000;
	LIST_INIT(&d->queries);
	return d;
}

struct dns *dns_new(struct event_base *base, const struct dns_options *opt, char *err,
		    size_t err_len)
{
	struct dns *d = make(base, opt->timeout_ms);

	if (!d) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	if (opt->n_zone_files) {
		d->zone = dns_zone_new();
		if (!d->zone) {
			snprintf(err, err_len, "out of memory");
			goto fail;
		}
		for (size_t i = 0; i < opt->n_zone_files; i++)
			if (dns_zone_load(d->zone, opt->zone_file[i], err, err_len))
				goto fail;
		return d;
	}
	d->cache = dns_cache_new();
	if (!d->cache) {
		snprintf(err, err_len, "out of memory");
		goto fail;
	}
	d->unbound = dns_unbound_new(base, opt, err, err_len);
	if (d->unbound)
		return d;
fail:
	dns_free(d);
	return NULL;
}

struct dns *dns_new_memory(struct event_base *base, struct dns_zone *z, unsigned int timeout_ms)
{
	struct dns *d = make(base, timeout_ms);

	if (d)
		d->zone = z;
	return d;
}

static void release(struct dns_query *q)
{
	LIST_REMOVE(q, link);
	if (q->ticket)
		dns_unbound_forget(q);
	event_del(&q->ev);
	dns_parsed_free(&q->answer);
	free(q);
}

void dns_free(struct dns *d)
{
	struct dns_query *q;

	if (!d)
		return;
	while ((q = LIST_FIRST(&d->queries)))
		release(q);
	dns_unbound_free(d->unbound);
	dns_cache_free(d->cache);
	dns_zone_free(d->zone);
	free(d);
}

const struct buckets *dns_times(const struct dns *d)
{
	return &d->times;
}

/* Runs from the loop: the answer is there, or time is up. */
static void deliver(evutil_socket_t fd, short what, void *arg)
{
	struct dns_query *q = arg;
	dns_callback *cb = q->cb;
	void *cb_arg = q->arg;
	struct dns_parsed parsed;
	struct dns_answer a;

	(void)fd;
	(void)what;
	buckets_add(&q->d->times, clock_mono_us() - q->asked_us);
	if (!q->done)
		dns_parsed_fail(&q->answer, "timed out");
	/* The query is gone before the callback: it may cancel others, ask anew or free the dns. */
	parsed = q->answer;
	q->answer.data = NULL;
	release(q);
	a = (struct dns_answer){
		.status = parsed.status,
		.secure = parsed.secure,
		.ttl = parsed.ttl,
		.rr = parsed.rr,
		.n = parsed.n,
		.alias = parsed.alias,
		.reason = parsed.reason,
	};
	cb(cb_arg, &a);
	dns_parsed_free(&parsed);
}

void dns_query_done(struct dns_query *q)
{
	q->done = true;
	event_active(&q->ev, EV_TIMEOUT, 0);
}

struct dns_query *dns_resolve(struct dns *d, struct str name, uint16_t type, dns_callback *cb,
			      void *arg)
{
	struct dns_query *q = calloc(1, sizeof(*q));
	int rc;

	if (!q)
		return NULL;
	q->asked_us = clock_mono_us();
	dns_parsed_init(&q->answer);
	q->d = d;
	q->type = type;
	q->cb = cb;
	q->arg = arg;
	evtimer_assign(&q->ev, d->base, deliver, q);
	LIST_INSERT_HEAD(&d->queries, q, link);
	if (dns_wire_from_text(name, &q->name)) {
		q->answer.status = DNS_NXDOMAIN;
		dns_query_done(q);
		return q;
	}
	if (d->cache && dns_cache_get(d->cache, &q->name, type, q->asked_us, &q->answer)) {
		dns_query_done(q);
		return q;
	}
	if (evtimer_add(&q->ev, &d->timeout) < 0) {
		release(q);
		return NULL;
	}
	if (d->zone) {
		rc = dns_zone_lookup(d->zone, &q->name, type, &q->answer);
		if (rc == 0)
			dns_query_done(q);
	} else {
		rc = dns_unbound_ask(d->unbound, q);
	}
	if (rc) {
		release(q);
		return NULL;
	}
	return q;
}

void dns_cancel(struct dns_query *q)
{
	if (q)
		release(q);
}
