/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include "control/auth/spf/spf_check.h"
#include "postern/clock.h"

/* All that can reach a result by macros (RFC 7208 7.2) is the same, not only address and domain. */
static bool identical(const struct spf_check *a, const struct spf_check *b)
{
	return str_eq(a->local, b->local) && str_eq(a->domain, b->domain) &&
	       str_eq(a->helo, b->helo) && str_eq(a->hostname, b->hostname) && a->now == b->now;
}

static void lead(struct spf_check *c)
{
	c->jail->stats.cache_misses++;
	c->leading = true;
	LIST_INSERT_HEAD(&c->jail->leader[c->key.hi % SPF_LEADERS], c, lead);
}

bool spf_share_ask(struct spf_check *c)
{
	struct spf_jail *j = c->jail;
	struct spf_check *other;

	if (!j->cache) {
		j->stats.cache_misses++;
		return false;
	}
	c->key = spf_cache_key(j->cache, &c->ip, c->domain);
	if (spf_cache_get(j->cache, c->key, clock_mono_s(), &c->verdict)) {
		j->stats.cache_hits++;
		c->answered = true;
		return true;
	}
	/* Else those whose results cannot be shared would go one behind the other. */
	if (c->alone) {
		j->stats.cache_misses++;
		return false;
	}
	LIST_FOREACH (other, &j->leader[c->key.hi % SPF_LEADERS], lead)
		if (other->key.lo == c->key.lo && other->key.hi == c->key.hi) {
			c->leader = other;
			LIST_INSERT_HEAD(&other->followers, c, follow);
			return true;
		}
	lead(c);
	return false;
}

static void detach(struct spf_check *f)
{
	LIST_REMOVE(f, follow);
	f->leader = NULL;
	event_active(f->begin, EV_TIMEOUT, 0);
}

void spf_share_tell(struct spf_check *c)
{
	struct spf_verdict *v = &c->verdict;
	struct spf_check *f, *next;

	if (!c->leading)
		return;
	if (v->cacheable) /* without room it is only not kept */
		(void)spf_cache_put(c->jail->cache, c->key, clock_mono_s(), v);
	for (f = LIST_FIRST(&c->followers); f; f = next) {
		struct spf_verdict own = f->verdict;

		next = LIST_NEXT(f, follow);
		/* An error of the moment is not handed on: the next try may be without. */
		if (!v->cacheable && (v->result == SPF_TEMPERROR || !identical(c, f))) {
			f->alone = v->result != SPF_TEMPERROR;
			continue;
		}
		f->verdict = *v;
		f->verdict.identity = own.identity;
		memcpy(f->verdict.domain, own.domain, sizeof(own.domain));
		f->answered = true;
		c->jail->stats.cache_shared++;
		detach(f);
	}
}

void spf_share_leave(struct spf_check *c)
{
	struct spf_check *f;

	if (c->leader)
		LIST_REMOVE(c, follow);
	if (!c->leading)
		return;
	LIST_REMOVE(c, lead);
	while ((f = LIST_FIRST(&c->followers)))
		detach(f);
}
