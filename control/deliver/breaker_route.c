/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The breakers of the routes, for the operator. */

#include <errno.h>
#include <string.h>

#include "control/deliver/internal.h"

static const struct config_route *route_named(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_routes; i++)
		if (!strcmp(c->route[i].name, name))
			return &c->route[i];
	return NULL;
}

size_t deliver_breakers(const struct deliver *d, const struct config *c,
			struct deliver_breaker_status *out, size_t cap)
{
	uint64_t now = deliver_now_s(d);
	const struct pool *p;
	size_t n = 0;

	TAILQ_FOREACH(p, &d->pools, link) {
		const struct config_route *route = route_named(c, p->route);
		struct breaker_view v;

		if (!route || n == cap)
			continue;
		breaker_look(&p->breaker, &route->breaker, &v);
		out[n++] = (struct deliver_breaker_status){
			.route = route->name, .open = p->breaker.open, .by_known = p->breaker.by_known,
			.open_s = p->breaker.open ? now - p->breaker.opened_s : 0,
			.opened = p->breaker.opened, .share = v.share, .base = v.base,
			.limit = v.limit, .samples = v.samples,
		};
	}
	return n;
}

int deliver_breaker_ack(struct deliver *d, const struct config *c, const char *name, bool learn)
{
	const struct config_route *route = route_named(c, name);
	struct pool *p = route ? pool_get(d, name) : NULL;

	if (!p)
		return -ENOENT;
	if (!breaker_ack(&p->breaker, &route->breaker, deliver_now_s(d), learn))
		return -EALREADY;
	deliver_breaker_changed(d);
	return 0;
}
