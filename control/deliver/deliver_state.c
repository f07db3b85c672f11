/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What a restart must not forget. An open breaker: without it the next hop's 5xx would be passed on
 * again, and bounce. What is usual on a route: without it a jump is not seen as one. MTA-STS policies:
 * without them the next mail goes as if there were none (RFC 8461 3.3, 10.2), see control/sts/.
 *
 * Times are written as CLOCK_REALTIME, for the clock that is used here begins anew with each boot.
 * Whatever stands in the document is checked: it may be of another version, or written by hand.
 */

#include <errno.h>
#include <math.h>
#include <string.h>

#include "control/deliver/internal.h"

#define COUNT_MAX 1e12               /* more answers than that no route had */

static json_t *route_json(const struct deliver *d, const struct pool *p, uint64_t real_s)
{
	const struct breaker *b = &p->breaker;
	uint64_t age = b->open ? deliver_now_s(d) - b->opened_s : 0;

	return json_pack("{s:s, s:b, s:b, s:I, s:I, s:f, s:f, s:I}", "route", p->route, "open", b->open,
			 "by_known", b->by_known, "opened", (json_int_t)b->opened, "opened_at",
			 (json_int_t)(age < real_s ? real_s - age : 0), "answers", b->base_n, "refused",
			 b->base_refused, "at", (json_int_t)real_s);
}

json_t *deliver_breakers_save(const struct deliver *d, uint64_t real_s)
{
	json_t *routes = json_array();
	const struct pool *p;

	TAILQ_FOREACH(p, &d->pools, link)
		if (p->breaker.open || p->breaker.opened || p->breaker.base_n > 0)
			json_array_append_new(routes, route_json(d, p, real_s));
	return json_pack("{s:i, s:o}", "version", 1, "routes", routes);
}

static bool is_count(double v)
{
	return isfinite(v) && v >= 0 && v <= COUNT_MAX;
}

/* Seconds from then to now; a time to come is now. */
static uint64_t since(json_int_t then, uint64_t real_s)
{
	return then >= 0 && (uint64_t)then < real_s ? real_s - (uint64_t)then : 0;
}

static bool load_route(struct deliver *d, const json_t *j, uint64_t real_s)
{
	const char *name;
	int open, by_known;
	json_int_t opened, opened_at, at;
	double n, refused, fade;
	struct pool *p;

	if (json_unpack((json_t *)(uintptr_t)j, "{s:s, s:b, s:b, s:I, s:I, s:F, s:F, s:I}", "route", &name,
			"open", &open, "by_known", &by_known, "opened", &opened, "opened_at", &opened_at,
			"answers", &n, "refused", &refused, "at", &at))
		return false;
	if (!name[0] || opened < (open != 0) || !is_count(n) || !is_count(refused) || refused > n)
		return false;
	p = pool_get(d, name);
	if (!p)
		return false;
	fade = exp2(-(double)since(at, real_s) / LIMIT_BREAKER_HALF_LIFE_S);
	p->breaker.base_n = n * fade;
	p->breaker.base_refused = refused * fade;
	p->breaker.by_known = by_known;
	p->breaker.opened = (uint64_t)opened;
	breaker_restore(&p->breaker, open, deliver_now_s(d) - since(opened_at, real_s));
	return true;
}

int deliver_breakers_load(struct deliver *d, const struct config *c, const json_t *j, uint64_t real_s)
{
	const json_t *routes = json_object_get(j, "routes"), *one;
	int open = 0;
	size_t i;

	if (json_integer_value(json_object_get(j, "version")) != 1 || !json_is_array(routes))
		return -EBADMSG;
	json_array_foreach(routes, i, one) {
		const char *name = json_string_value(json_object_get(one, "route"));
		bool ours = false;

		/* A route that is not configured any more takes its history with it. */
		for (size_t k = 0; name && k < c->n_routes; k++)
			ours |= !strcmp(c->route[k].name, name);
		if (name && !ours)
			continue;
		if (!load_route(d, one, real_s))
			return -EBADMSG;
		open += pool_get(d, name)->breaker.open;
	}
	return open;
}

void deliver_breakers_doubt(struct deliver *d, const struct config *c)
{
	for (size_t i = 0; i < c->n_routes; i++) {
		struct pool *p = c->route[i].breaker.on ? pool_get(d, c->route[i].name) : NULL;

		if (!p || p->breaker.open)
			continue;
		p->breaker.opened++;
		p->breaker.by_known = false;
		breaker_restore(&p->breaker, true, deliver_now_s(d));
		deliver_count(d, CTL_breaker_opened);
	}
}

void deliver_on_breaker(struct deliver *d, deliver_breaker_callback *cb, void *arg)
{
	d->on_breaker = cb;
	d->breaker_arg = arg;
}

json_t *deliver_sts_save(const struct deliver *d, uint64_t real_s)
{
	return d->sts ? sts_save(d->sts, real_s) : NULL;
}

int deliver_sts_load(struct deliver *d, const json_t *j, uint64_t real_s)
{
	struct sts *s = deliver_sts(d);

	return s ? sts_load(s, j, real_s) : -ENOMEM;
}

uint64_t deliver_sts_changes(const struct deliver *d)
{
	return d->sts ? sts_changes(d->sts) : 0;
}
