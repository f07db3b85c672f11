/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Whether a recipient is good, as far as it is known here, and what each answer of a next hop teaches.
 *
 * A transaction of which one recipient is refused at delivery ends before its content, with 451 for
 * all. So that this ends, in every verify mode and however late the retry comes, the retry has to hear
 * the refusal at that RCPT, once at least: then the others go. A refusal that speaks of the host or of
 * us is not remembered as such, but the recipient that alone met it is deferred once in the same way.
 * Where refusals come behind the content only (trust_rcpt is off), one that speaks of a recipient
 * makes all of its transaction go alone.
 */

#include <stdio.h>
#include <string.h>

#include "control/deliver/internal.h"
#include "control/hash/siphash.h"

/*
 * What a server says of a recipient it says to this client: another may not relay there. A name of a
 * route holds no space.
 */
static const char *scope(const struct config_route *route, const struct deliver_client *client,
			 char *buf, size_t cap)
{
	char server[64], ip[64], from[64];

	if (!route->dialled || !client)
		return route->name;
	snprintf(buf, cap, "%s [%s]:%u %s %s", route->name,
		 ip_format(&client->local, server, sizeof(server)), client->local_port,
		 ip_format(&client->ip, ip, sizeof(ip)), ip_format(&client->connected, from, sizeof(from)));
	return buf;
}

struct truth_keys truth_keys(const struct deliver *d, const struct config_route *route,
			     const struct deliver_client *client, struct str from, struct str rcpt)
{
	char buf[LIMIT_CONFIG_NAME + 3 * 64 + 16];
	const char *name = scope(route, client, buf, sizeof(buf));

	return (struct truth_keys){
		.pair = memory_key(d->secret, name, &from, rcpt),
		.wide = memory_key(d->secret, name, NULL, rcpt),
	};
}

void truth_accept(struct deliver_reply *r)
{
	verdict_own(r, 250, 1, 5, "recipient ok", NULL);
}

bool truth_stale(struct deliver *d, const struct truth_keys *k, struct deliver_reply *r)
{
	if (!memory_get(d->known, k->wide, deliver_now_s(d), NULL, NULL))
		return false;
	truth_accept(r);
	return true;
}

/* ---- the breaker -------------------------------------------------------------------------------- */

static void doubt(struct deliver *d, struct deliver_reply *r, const char *trace_id)
{
	deliver_count(d, CTL_breaker_deferred);
	verdict_own(r, 451, 4, 0, "mail service refuses far more than usual, try again later", trace_id);
}

bool truth_doubtful(const struct xact *x, struct deliver_reply *r)
{
	if (!x->pool->breaker.open)
		return false;
	doubt(x->d, r, x->trace_id);
	return true;
}

/* Who sent, by the prefix that a site has; where that is not known each counts for itself. */
static uint64_t source_of(const struct xact *x, struct memory_key wide)
{
	struct ip_addr ip;

	if (!x->client)
		return wide.lo;
	ip = x->client->ip;
	if (ip_is_v4(&ip))
		ip.a[15] = 0;
	else
		memset(ip.a + 6, 0, 10);
	return siphash128(x->d->secret, ip.a, sizeof(ip.a)).lo;
}

static void note(struct xact *x, struct memory_key wide, bool refused)
{
	struct deliver *d = x->d;
	struct breaker *b = &x->pool->breaker;
	uint64_t now = deliver_now_s(d);
	bool known = memory_get(d->known, wide, now, NULL, NULL);
	struct deliver_alert a = {
		.route = x->route->name,
		.text = "its next hop refuses far more recipients than usual: the breaker is open, all "
			"its 5xx become 451 until it is acknowledged (posternctl breaker)",
	};

	if (!breaker_note(b, &x->route->breaker, now, refused, known, source_of(x, wide)))
		return;
	deliver_count(d, CTL_breaker_opened);
	deliver_breaker_changed(d);
	/* However much else was told of this route: this is told. */
	if (d->on_alert)
		d->on_alert(d->alert_arg, &a);
}

/* Does a refusal say something of the route? Not where anybody can bring it about: relaying, or where
 * the server takes us for the client, its address and reputation. */
static bool counts(const struct deliver_reply *said)
{
	return !verdict_relay_denied(said) && !(said->to_client && said->enh_subject == 7);
}

/* ---- at RCPT -------------------------------------------------------------------------------------- */

static bool recall(struct deliver *d, struct pool *p, struct memory *m, struct memory_key key,
		   struct deliver_reply *r)
{
	uint64_t made;

	if (!memory_get(m, key, deliver_now_s(d), r, &made))
		return false;
	if (r->code / 100 != 5)
		return true;
	if (p->breaker.open) {
		doubt(d, r, NULL);
		return true;
	}
	if (!breaker_suspect(&p->breaker, made))
		return true;
	memory_drop(m, key);
	return false;
}

static bool is_remembered(struct deliver *d, const struct config_route *route,
			  const struct truth_keys *k, struct deliver_reply *r)
{
	struct pool *p = pool_get(d, route->name);

	if (!p || (!recall(d, p, d->refusals, k->pair, r) && !recall(d, p, d->unknown, k->wide, r)))
		return false;
	deliver_count(d, CTL_rcpt_remembered);
	return true;
}

static bool is_fresh(struct deliver *d, struct memory_key wide)
{
	uint64_t now = deliver_now_s(d), made;

	return memory_get(d->known, wide, now, NULL, &made) && now - made < LIMIT_KNOWN_RCPT_FRESH_S;
}

bool truth_answer(struct deliver *d, const struct deliver_ask *ask, const struct truth_keys *k,
		  bool utf8, struct deliver_reply *r)
{
	const struct config_route *route = ask->route;

	if (!ask->rcpt.n || !verdict_path_is_safe(ask->rcpt)) {
		verdict_own(r, 501, 1, 3, "bad recipient address", NULL);
		return true;
	}
	if (!verdict_path_is_safe(ask->mail_from)) {
		verdict_own(r, 501, 1, 7, "bad sender address", NULL);
		return true;
	}
	if (is_remembered(d, route, k, r))
		return true;
	if (route->verify == VERIFY_LIST && !config_recipients_has(route->recipients, ask->rcpt)) {
		deliver_count(d, CTL_rcpt_unlisted);
		verdict_own(r, 550, 1, 1, "no such recipient here", NULL);
		return true;
	}
	/* That the recipient is good does not say that it can be sent to: RFC 6531 3.1, 3.5. */
	if (route->verify == VERIFY_CALLOUT && route->trust_rcpt &&
	    (!is_fresh(d, k->wide) || (utf8 && !pool_offers(d, route, ask->client,
								   EHLO_SMTPUTF8))))
		return false;
	truth_accept(r);
	return true;
}

bool truth_too_big(struct deliver *d, const struct deliver_ask *ask, struct deliver_reply *r)
{
	const struct config_route *route = ask->route;
	struct pool *p;
	uint64_t limit = route->max_message;

	if (!ask->declared_size)
		return false;
	p = pool_get(d, route->name);
	for (struct host *h = NULL; p && !limit && (h = pool_next(p, route, ask->client, h));)
		if (h->greeted && h->size > route->size_margin &&
		    (!limit || h->size - route->size_margin < limit))
			limit = h->size - route->size_margin;
	if (!limit || ask->declared_size <= limit)
		return false;
	deliver_count(d, CTL_rcpt_too_big);
	verdict_own(r, 550, 3, 4, "message is too big for the recipient's mail service", NULL);
	return true;
}

/* The less of two bounds, of which 0 is none. */
static unsigned int bound(unsigned int a, unsigned int b)
{
	return a && (!b || a < b) ? a : b;
}

/* RFC 9422 3.2, 3.3: what the next hops of the route take at once. 0: no bound is known. */
static void known_bounds(struct deliver *d, const struct deliver_ask *ask, unsigned int *rcpts,
			 unsigned int *domains)
{
	const struct config_route *route = ask->route;
	struct pool *p = pool_get(d, route->name);
	uint64_t now = deliver_now_s(d);

	*rcpts = *domains = 0;
	for (struct host *h = NULL; p && (h = pool_next(p, route, ask->client, h));) {
		*rcpts = bound(*rcpts, h->rcpt_max);
		*domains = bound(*domains, h->domain_max);
		if (now < h->learned_until_s)
			*rcpts = bound(*rcpts, h->rcpt_learned);
	}
}

static uint64_t domain_hash(const struct deliver *d, struct str rcpt)
{
	char name[MAIL_ALABEL];
	struct str domain = mailbox_domain(rcpt);

	/* What is no name counts as one domain: nothing was ever accepted for it. */
	if (!mail_alabel(domain, name))
		name[0] = '\0';
	return siphash128(d->secret, (const uint8_t *)name, strlen(name)).lo;
}

static bool has_domain(const struct deliver_joined *have, uint64_t domain)
{
	for (unsigned int i = 0; i < have->n_domains; i++)
		if (have->domain[i] == domain)
			return true;
	return false;
}

void deliver_join(struct deliver *d, struct deliver_joined *have, struct str rcpt)
{
	uint64_t domain = domain_hash(d, rcpt);

	have->n++;
	if (have->n_domains < LIMIT_RCPT_DOMAINS && !has_domain(have, domain))
		have->domain[have->n_domains++] = domain;
}

unsigned int truth_domains(const struct xact *x)
{
	struct deliver_joined all = {0};

	for (size_t i = 0; i < x->n_rcpts; i++)
		deliver_join(x->d, &all, x->rcpt[i]);
	return all.n_domains;
}

bool deliver_may_join(struct deliver *d, const struct deliver_ask *ask, const struct deliver_joined *have,
		      struct deliver_reply *why)
{
	unsigned int rcpts, domains;
	struct truth_keys k;

	if (!have->n)
		return true;
	known_bounds(d, ask, &rcpts, &domains);
	if (rcpts && have->n >= rcpts) {
		deliver_count(d, CTL_rcpt_too_many);
		verdict_own(why, 452, 5, 3, "too many recipients at once for their mail service", NULL);
		return false;
	}
	if (domains > LIMIT_RCPT_DOMAINS)
		domains = LIMIT_RCPT_DOMAINS;
	if (domains && have->n_domains >= domains && !has_domain(have, domain_hash(d, ask->rcpt))) {
		deliver_count(d, CTL_rcpt_too_many);
		verdict_own(why, 452, 5, 3, "too many domains at once for their mail service", NULL);
		return false;
	}
	if (ask->route->trust_rcpt)
		return true;
	k = truth_keys(d, ask->route, ask->client, ask->mail_from, ask->rcpt);
	if (!memory_get(d->alone, k.pair, deliver_now_s(d), NULL, NULL))
		return true;
	deliver_count(d, CTL_rcpt_too_many);
	verdict_own(why, 452, 5, 3, "this recipient has to be sent separately", NULL);
	return false;
}

/* ---- what answers teach --------------------------------------------------------------------------- */

static void good(struct xact *x, struct memory_key wide)
{
	note(x, wide, false);
	/* Where all are taken at RCPT it says nothing. */
	if (x->route->trust_rcpt)
		memory_put(x->d->known, wide, deliver_now_s(x->d), LIMIT_KNOWN_RCPT_TTL_S, 0, NULL);
}

void truth_of_probe(struct xact *x, const struct truth_keys *k, const struct deliver_reply *said,
		    struct deliver_reply *r)
{
	struct ending e = {.kind = END_REPLY, .stage = STAGE_RCPT, .reply = *said};
	enum verdict_class v = verdict_classify(x->config, STAGE_RCPT, said);
	enum deliver_outcome outcome;
	bool alert = false;

	if (v == VERDICT_OK) {
		good(x, k->wide);
		truth_accept(r);
		return;
	}
	if (v == VERDICT_SERVICE && truth_stale(x->d, k, r))
		return;
	if (v == VERDICT_REJECT && counts(said))
		note(x, k->wide, true);
	xact_reply(x, &e, r, &outcome, &alert);
	if (v != VERDICT_REJECT || x->pool->breaker.open)
		return;
	memory_drop(x->d->known, k->wide);
	if (verdict_recipient_wide(said))
		memory_put(x->d->unknown, k->wide, deliver_now_s(x->d), LIMIT_UNKNOWN_RCPT_TTL_S, 0, r);
}

/* It held up others for a reason that is not kept: deferred at its next RCPT, that once. */
static void defer_once(struct xact *x, size_t i)
{
	struct truth_keys k = truth_keys(x->d, x->route, x->client, x->mail_from, x->rcpt[i]);
	struct deliver_reply later;

	verdict_own(&later, 451, 3, 0, "recipient was not taken at the moment, try again later", NULL);
	memory_put(x->d->refusals, k.pair, deliver_now_s(x->d), 0, LIMIT_REFUSAL_UNTOLD_S, &later);
}

static void refused(struct xact *x, size_t i, enum verdict_class v)
{
	struct deliver *d = x->d;
	const struct deliver_reply *said = &x->rcpt_result[i].next_hop;
	struct truth_keys k = truth_keys(d, x->route, x->client, x->mail_from, x->rcpt[i]);
	/* Who was alone in its transaction has heard it. */
	uint32_t untold = x->n_rcpts > 1 ? LIMIT_REFUSAL_UNTOLD_S : 0;
	uint64_t now = deliver_now_s(d);
	struct deliver_reply keep;

	if (v == VERDICT_REJECT && counts(said))
		note(x, k.wide, true);
	if (v == VERDICT_REJECT && x->pool->breaker.open) {
		if (x->n_rcpts > 1)
			defer_once(x, i);
		return;
	}
	verdict_pass(&keep, said, NULL);
	memory_put(d->refusals, k.pair, now,
		   v == VERDICT_REJECT ? LIMIT_REFUSAL_5XX_TTL_S : LIMIT_REFUSAL_4XX_TTL_S, untold, &keep);
	deliver_count(d, CTL_nexthop_rcpt_refused);
	if (v == VERDICT_REJECT)
		memory_drop(d->known, k.wide);
	if (verdict_recipient_wide(said))
		memory_put(d->unknown, k.wide, now, LIMIT_UNKNOWN_RCPT_TTL_S, 0, &keep);
}

/* RFC 5321 4.5.3.1.10: so many it takes at once, whoever they are. */
static bool is_too_many(const struct deliver_reply *r)
{
	return r->code / 100 == 4 && r->enh_class == 4 && r->enh_subject == 5 && r->enh_detail == 3;
}

static void learn_max(struct xact *x, unsigned int taken)
{
	struct host *h = x->last;

	if (!h)
		return;
	h->rcpt_learned = taken;
	h->learned_until_s = deliver_now_s(x->d) + LIMIT_RCPT_LEARNED_S;
}

void truth_learn(struct xact *x)
{
	unsigned int taken = 0, before = 0;

	for (size_t i = 0; i < x->n_rcpts; i++)
		taken += x->rcpt_result[i].next_hop.code / 100 == 2;
	for (size_t i = 0; i < x->n_rcpts; i++) {
		const struct deliver_reply *r = &x->rcpt_result[i].next_hop;
		enum verdict_class v = verdict_classify(x->config, STAGE_RCPT, r);
		struct truth_keys k = truth_keys(x->d, x->route, x->client, x->mail_from, x->rcpt[i]);

		switch (v) {
		case VERDICT_OK:
			before++;
			good(x, k.wide);
			if (x->n_rcpts == 1) /* it has had its turn */
				memory_drop(x->d->alone, k.pair);
			break;
		case VERDICT_DEFER:
		case VERDICT_THROTTLE:
			if (before && is_too_many(r)) {
				learn_max(x, before);
				break;
			}
			refused(x, i, v);
			break;
		case VERDICT_REJECT:
			refused(x, i, v);
			break;
		default:
			/* Of the host or of us. If others were taken it is of this recipient as well. */
			if (taken)
				defer_once(x, i);
		}
	}
}

/* Without an enhanced code a refusal of the message reads like one of a recipient. */
static bool speaks_of_recipient(const struct deliver_reply *r)
{
	if (!r->enh_subject && !r->enh_detail)
		return r->code == 550 || r->code == 551 || r->code == 553 || r->code == 450;
	return r->enh_subject == 1 || r->enh_subject == 2 || verdict_recipient_wide(r);
}

/* Refused behind the content, where RCPT takes everybody. */
static void refused_late(struct xact *x, const struct deliver_reply *r, struct deliver_result *res)
{
	struct deliver *d = x->d;
	struct truth_keys k = truth_keys(d, x->route, x->client, x->mail_from, x->rcpt[0]);
	uint64_t now = deliver_now_s(d);
	struct deliver_reply keep;

	if (x->n_rcpts == 1) {
		/* Those that wait for it to be through have their turn before it comes again. */
		if (r->code / 100 == 4 && memory_get(d->alone, k.pair, now, NULL, NULL))
			defer_once(x, 0);
		if (!verdict_recipient_wide(r) || x->pool->breaker.open)
			return;
		verdict_pass(&keep, r, NULL);
		memory_put(d->unknown, k.wide, now, LIMIT_UNKNOWN_RCPT_TTL_S, 0, &keep);
		return;
	}
	for (size_t i = 0; i < x->n_rcpts; i++) {
		k = truth_keys(d, x->route, x->client, x->mail_from, x->rcpt[i]);
		memory_put(d->alone, k.pair, now, LIMIT_REFUSAL_UNTOLD_S, 0, NULL);
	}
	deliver_count(d, CTL_nexthop_split);
	res->outcome = DELIVER_DEFERRED;
	verdict_own(&res->reply, 451, 3, 0, "a recipient was refused, try again later", x->trace_id);
}

void truth_of_content(struct xact *x, const struct ending *e, struct deliver_result *res)
{
	enum verdict_class v = verdict_classify(x->config, e->stage, &e->reply);

	if (e->stage == STAGE_RCPT && x->n_rcpts > 1 && x->rcpt_at > 1)
		defer_once(x, x->rcpt_at - 1); /* 421 to this one, others were taken */
	if (x->route->trust_rcpt || e->stage < STAGE_DATA || !speaks_of_recipient(&e->reply))
		return;
	if (v == VERDICT_REJECT || v == VERDICT_DEFER || v == VERDICT_THROTTLE)
		refused_late(x, &e->reply, res);
}
