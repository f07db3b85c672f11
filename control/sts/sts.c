/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * An entry a domain. It lives while something of it is under way, while its policy is valid, and for
 * LIMIT_STS_RETRY_S after a fetch that failed.
 *
 *   idle → record (TXT) → addresses (A, AAAA) → fetch → idle
 *
 * Who asks while a valid policy is there is answered at once, whatever is under way; the others wait
 * for the end.
 */

#include "control/sts/internal.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "control/hash/siphash.h"
#include "postern/clock.h"
#include "postern/limits.h"
#include "postern/stats.h"

struct sts_query {
	TAILQ_ENTRY(sts_query) link;  /* of the entry; of the answered */
	struct sts *s;
	struct entry *e;              /* NULL: answered, its turn comes */
	struct sts_policy *policy;
	char error[160];
	sts_callback *cb;
	void *arg;
};

static void count(struct sts *s, enum postern_ctl_counter c)
{
	if (s->counters)
		s->counters[c]++;
}

uint64_t sts_now_s(const struct sts *s)
{
	return clock_mono_s() + s->opt.skew_s;
}

bool sts_entry_valid(const struct entry *e)
{
	return e->policy && sts_now_s(e->s) < e->until_s;
}

/* ---- entries ---------------------------------------------------------------------------------- */

void sts_entry_free(struct entry *e)
{
	struct sts *s = e->s;

	if (e->txt)
		dns_cancel(e->txt);
	for (int i = 0; i < 2; i++)
		if (e->addr[i])
			dns_cancel(e->addr[i]);
	if (e->fetch)
		sts_fetch_cancel(e->fetch);
	sts_policy_unref(e->policy);
	LIST_REMOVE(e, bucket);
	TAILQ_REMOVE(&s->entries, e, lru);
	s->n--;
	free(e);
}

static unsigned int bucket_of(const struct sts *s, const char *domain)
{
	return (unsigned int)siphash128(s->secret, (const uint8_t *)domain, strlen(domain)).lo % BUCKETS;
}

struct entry *sts_entry_get(struct sts *s, const char *domain)
{
	unsigned int b = bucket_of(s, domain);
	struct entry *e, *prev;

	LIST_FOREACH(e, &s->bucket[b], bucket)
		if (!strcmp(e->domain, domain)) {
			TAILQ_REMOVE(&s->entries, e, lru);
			TAILQ_INSERT_HEAD(&s->entries, e, lru);
			return e;
		}
	for (e = TAILQ_LAST(&s->entries, entry_list); e && s->n >= LIMIT_STS_DOMAINS; e = prev) {
		prev = TAILQ_PREV(e, entry_list, lru);
		if (!e->busy)
			sts_entry_free(e);
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->s = s;
	snprintf(e->domain, sizeof(e->domain), "%s", domain);
	TAILQ_INIT(&e->waiting);
	LIST_INSERT_HEAD(&s->bucket[b], e, bucket);
	TAILQ_INSERT_HEAD(&s->entries, e, lru);
	s->n++;
	return e;
}

/* ---- answers ---------------------------------------------------------------------------------- */

static void answer(struct sts_query *q, const struct entry *e)
{
	struct sts *s = q->s;

	/* RFC 8461 5: mode none is as if there were no policy. */
	if (e && sts_entry_valid(e) && e->policy->mode != STS_NONE)
		q->policy = sts_policy_ref(e->policy);
	else if (e && !sts_entry_valid(e))
		snprintf(q->error, sizeof(q->error), "%s", e->error);
	q->e = NULL;
	TAILQ_INSERT_TAIL(&s->answered, q, link);
	event_active(&s->kick, EV_TIMEOUT, 0);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct sts *s = arg;
	struct sts_query *q;
	bool gone = false;

	(void)fd;
	(void)what;
	s->gone = &gone;
	while ((q = TAILQ_FIRST(&s->answered))) {
		struct sts_result r = {q->policy, q->error[0] ? q->error : NULL};

		TAILQ_REMOVE(&s->answered, q, link);
		q->cb(q->arg, &r);
		sts_policy_unref(q->policy);
		free(q);
		if (gone)
			return;
	}
	s->gone = NULL;
}

/* What was under way for this domain is over; the entry may be gone. */
static void finish(struct entry *e)
{
	struct sts_query *q;

	e->busy = false;
	while ((q = TAILQ_FIRST(&e->waiting))) {
		TAILQ_REMOVE(&e->waiting, q, link);
		answer(q, e);
	}
	if (!sts_entry_valid(e) && sts_now_s(e->s) >= e->retry_s)
		sts_entry_free(e);
}

/* ---- the way to a policy ---------------------------------------------------------------------- */

static void failed(struct entry *e, const char *what)
{
	count(e->s, CTL_sts_fetch_failed);
	snprintf(e->error, sizeof(e->error), "policy cannot be fetched: %.120s", what);
	e->retry_s = sts_now_s(e->s) + LIMIT_STS_RETRY_S;
	finish(e);
}

static void on_fetched(void *arg, struct str body, const char *error)
{
	struct entry *e = arg;
	struct sts_policy *p = NULL;
	uint64_t now = sts_now_s(e->s);

	e->fetch = NULL;
	if (!error)
		p = sts_policy_parse(body, &error);
	if (!p) {
		failed(e, error);
		return;
	}
	count(e->s, CTL_sts_fetched);
	e->s->changes++;
	sts_policy_unref(e->policy);
	e->policy = p;
	memcpy(e->id, e->new_id, sizeof(e->id));
	e->fetched_s = now;
	e->until_s = now + p->max_age;
	e->retry_s = 0;
	e->error[0] = '\0';
	finish(e);
}

static void addresses_known(struct entry *e)
{
	if (!e->n_addresses) {
		failed(e, "mta-sts host has no address");
		return;
	}
	e->fetch = sts_fetch_start(e->s->fetcher, e->domain, e->address, e->n_addresses, on_fetched, e);
	if (!e->fetch)
		failed(e, "out of memory");
}

static void on_address(struct entry *e, int which, const struct dns_answer *a)
{
	size_t want = which ? 16 : 4, room = which ? ADDRESSES / 2 : ADDRESSES;

	e->addr[which] = NULL;
	for (size_t i = 0; a->status == DNS_OK && i < a->n && e->n_addresses < room; i++) {
		struct ip_addr ip = {.a = {[10] = 0xff, [11] = 0xff}};

		if (a->rr[i].len != want)
			continue;
		memcpy(ip.a + 16 - want, a->rr[i].data, want);
		e->address[e->n_addresses++] = ip;
	}
	if (!e->addr[0] && !e->addr[1])
		addresses_known(e);
}

static void on_a(void *arg, const struct dns_answer *a)
{
	on_address(arg, 0, a);
}

static void on_aaaa(void *arg, const struct dns_answer *a)
{
	on_address(arg, 1, a);
}

static void find_host(struct entry *e)
{
	char name[300];

	snprintf(name, sizeof(name), "mta-sts.%s", e->domain);
	e->n_addresses = 0;
	e->addr[0] = dns_resolve(e->s->dns, str_c(name), DNS_A, on_a, e);
	e->addr[1] = e->addr[0] ? dns_resolve(e->s->dns, str_c(name), DNS_AAAA, on_aaaa, e) : NULL;
	if (!e->addr[0])
		failed(e, "out of memory");
}

static void on_record(void *arg, const struct dns_answer *a)
{
	struct entry *e = arg;
	uint64_t now = sts_now_s(e->s);
	bool found = a->status == DNS_OK && sts_record_id(a->rr, a->n, e->new_id), fresh;

	e->txt = NULL;
	if (a->status != DNS_TEMPFAIL && a->status != DNS_BOGUS && !found)
		e->error[0] = '\0'; /* it says no longer that there is a policy */
	e->check_s = now + (a->ttl < 60 ? 60 : a->ttl < LIMIT_STS_CHECK_S ? a->ttl : LIMIT_STS_CHECK_S);
	fresh = sts_entry_valid(e) && !strcmp(e->id, e->new_id) && now - e->fetched_s < LIMIT_STS_REFRESH_S &&
		now - e->fetched_s < e->policy->max_age / 2 + 1;
	/* RFC 8461 5.1: without a record a policy that is valid still goes on. */
	if (!found || fresh || now < e->retry_s)
		finish(e);
	else
		find_host(e);
}

static void begin(struct entry *e)
{
	char name[300];

	snprintf(name, sizeof(name), "_mta-sts.%s", e->domain);
	e->busy = true;
	e->txt = dns_resolve(e->s->dns, str_c(name), DNS_TXT, on_record, e);
	if (!e->txt)
		finish(e);
}

struct sts_query *sts_lookup(struct sts *s, struct str domain, sts_callback *cb, void *arg)
{
	struct sts_query *q = calloc(1, sizeof(*q));
	char name[256];
	struct entry *e;

	if (!q)
		return NULL;
	q->s = s;
	q->cb = cb;
	q->arg = arg;
	snprintf(name, sizeof(name), "%.*s", STR_FMT(str_cut(domain, sizeof(name) - 1)));
	e = sts_entry_get(s, name);
	if (!e) {
		free(q);
		return NULL;
	}
	/* Asked again although the last fetch failed: the record may be gone, and with it the error. */
	if (sts_entry_valid(e))
		answer(q, e);
	else {
		q->e = e;
		TAILQ_INSERT_TAIL(&e->waiting, q, link);
	}
	if (!e->busy && (!sts_entry_valid(e) || sts_now_s(s) >= e->check_s))
		begin(e);
	return q;
}

void sts_cancel(struct sts_query *q)
{
	if (q->e)
		TAILQ_REMOVE(&q->e->waiting, q, link);
	else
		TAILQ_REMOVE(&q->s->answered, q, link);
	sts_policy_unref(q->policy);
	free(q);
}

/* ---- life ------------------------------------------------------------------------------------- */

struct sts_options *sts_options(struct sts *s)
{
	return &s->opt;
}

size_t sts_count(const struct sts *s)
{
	return s->n;
}

uint64_t sts_changes(const struct sts *s)
{
	return s->changes;
}

struct sts *sts_new(struct event_base *base, struct dns *dns, uint64_t *counters)
{
	struct sts *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base = base;
	s->dns = dns;
	s->counters = counters;
	TAILQ_INIT(&s->entries);
	TAILQ_INIT(&s->answered);
	evtimer_assign(&s->kick, base, on_kick, s);
	s->fetcher = sts_fetcher_new(base, &s->opt);
	if (!s->fetcher || getrandom(s->secret, sizeof(s->secret), 0) != (ssize_t)sizeof(s->secret)) {
		sts_free(s);
		return NULL;
	}
	return s;
}

void sts_free(struct sts *s)
{
	struct sts_query *q;
	struct entry *e;

	if (!s)
		return;
	if (s->gone)
		*s->gone = true;
	while ((e = TAILQ_FIRST(&s->entries))) {
		while ((q = TAILQ_FIRST(&e->waiting)))
			sts_cancel(q);
		sts_entry_free(e);
	}
	while ((q = TAILQ_FIRST(&s->answered)))
		sts_cancel(q);
	sts_fetcher_free(s->fetcher);
	evtimer_del(&s->kick);
	free(s);
}
