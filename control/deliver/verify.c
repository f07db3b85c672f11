/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Recipient callouts. A question waits for a probe, several questions for the same one; a question
 * has LIMIT_CALLOUT_S, the probe some more, so that what a slow next hop says in the end is there
 * for the sender's retry.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/deliver/internal.h"

#define PROBE_LIFE 4 /* times the budget of a question */

struct deliver_question {
	TAILQ_ENTRY(deliver_question) link;    /* of deliver */
	TAILQ_ENTRY(deliver_question) waiting; /* of the probe */
	struct deliver *d;
	struct probe *probe;
	struct completion done;
	struct event timer;
	struct memory_key wide;
	struct config *config;
	struct deliver_reply reply;
	deliver_verify_callback *cb;
	void *arg;
};

struct probe {
	TAILQ_ENTRY(probe) link;
	struct completion done;
	struct xact x;
	struct memory_key pair, wide;
	struct event timer;
	TAILQ_HEAD(, deliver_question) questions;
	struct deliver_rcpt_result result;
	struct str rcpt;
	uint8_t text[]; /* MAIL FROM, RCPT */
};

#define PROBE_OF(ptr, member) ((struct probe *)((char *)(ptr)-offsetof(struct probe, member)))
#define QUESTION_OF(ptr, member) \
	((struct deliver_question *)((char *)(ptr)-offsetof(struct deliver_question, member)))

static void probe_free(struct probe *p)
{
	struct deliver *d = p->x.d;

	TAILQ_REMOVE(&d->probes, p, link);
	evtimer_del(&p->timer);
	deliver_uncomplete(d, &p->done);
	xact_fini(&p->x);
	free(p);
}

static void probe_done(struct completion *c)
{
	probe_free(PROBE_OF(c, done));
}

/* A probe that still waits for a connection and that nobody waits for is not worth one. */
static void drop_unwanted(struct probe *p)
{
	if (p && TAILQ_EMPTY(&p->questions) &&
	    (p->x.place == XACT_WAITING || p->x.place == XACT_MX))
		probe_free(p);
}

static void question_free(struct deliver_question *q)
{
	struct probe *p = q->probe;

	TAILQ_REMOVE(&q->d->questions, q, link);
	evtimer_del(&q->timer);
	deliver_uncomplete(q->d, &q->done);
	if (p)
		TAILQ_REMOVE(&p->questions, q, waiting);
	drop_unwanted(p);
	config_unref(q->config);
	free(q);
}

void probes_drop(struct deliver *d)
{
	struct deliver_question *q;
	struct probe *p;

	while ((q = TAILQ_FIRST(&d->questions)))
		question_free(q);
	while ((p = TAILQ_FIRST(&d->probes)))
		probe_free(p);
}

static void question_run(struct completion *c)
{
	struct deliver_question *q = QUESTION_OF(c, done);
	struct deliver_reply reply = q->reply;
	deliver_verify_callback *cb = q->cb;
	void *arg = q->arg;

	question_free(q);
	cb(arg, &reply);
}

static void answer(struct deliver_question *q, const struct deliver_reply *r)
{
	if (q->probe) {
		TAILQ_REMOVE(&q->probe->questions, q, waiting);
		q->probe = NULL;
	}
	evtimer_del(&q->timer);
	q->reply = *r;
	deliver_complete(q->d, &q->done);
}

static void accept_reply(struct deliver_reply *r)
{
	verdict_own(r, 250, 1, 5, "recipient ok", NULL);
}

/* The next hop is silent: what it last said of this recipient, if that was yes, counts for a day. */
static bool stale_reply(struct deliver *d, struct memory_key wide, struct deliver_reply *r)
{
	if (!memory_get(d->known, wide, deliver_now_s(d), NULL, NULL))
		return false;
	accept_reply(r);
	return true;
}

static void silent_reply(struct deliver *d, struct memory_key wide, struct deliver_reply *r)
{
	deliver_count(d, CTL_callout_failed);
	if (!stale_reply(d, wide, r))
		verdict_own(r, 451, 4, 3, "recipient cannot be checked now, try again later", NULL);
}

static void question_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct deliver_question *q = arg;
	struct probe *p = q->probe;
	struct deliver_reply r;

	(void)fd;
	(void)what;
	silent_reply(q->d, q->wide, &r);
	answer(q, &r);
	drop_unwanted(p);
}

static void probe_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct probe *p = arg;
	struct deliver_question *q;
	struct deliver_reply r;

	(void)fd;
	(void)what;
	while ((q = TAILQ_FIRST(&p->questions))) {
		silent_reply(p->x.d, p->wide, &r);
		answer(q, &r);
	}
	probe_free(p);
}

/* RCPT was answered: what does the client hear, what is kept? */
static void refused(struct probe *p, struct deliver_reply *r)
{
	struct xact *x = &p->x;
	struct deliver *d = x->d;
	struct ending e = {.kind = END_REPLY, .stage = STAGE_RCPT, .reply = p->result.next_hop};
	enum verdict_class v = verdict_classify(x->config, STAGE_RCPT, &e.reply);
	enum deliver_outcome outcome;
	bool alert = false;

	if (v == VERDICT_SERVICE && stale_reply(d, p->wide, r))
		return;
	xact_reply(x, &e, r, &outcome, &alert);
	if (v != VERDICT_REJECT)
		return;
	memory_drop(d->known, p->wide);
	if (verdict_recipient_wide(&e.reply))
		memory_put(d->unknown, p->wide, deliver_now_s(d), LIMIT_UNKNOWN_RCPT_TTL_S, r);
}

static void final(struct xact *x, const struct ending *e)
{
	struct probe *p = PROBE_OF(x, x);
	struct deliver *d = x->d;
	struct deliver_question *q;
	struct deliver_reply r;
	enum deliver_outcome outcome;
	bool alert = false;

	switch (e->kind) {
	case END_ACCEPTED:
		memory_put(d->known, p->wide, deliver_now_s(d), LIMIT_KNOWN_RCPT_TTL_S, NULL);
		accept_reply(&r);
		break;
	case END_RCPTS:
		refused(p, &r);
		break;
	case END_REPLY:
		if (verdict_classify(x->config, e->stage, &e->reply) == VERDICT_SERVICE &&
		    stale_reply(d, p->wide, &r))
			break;
		xact_reply(x, e, &r, &outcome, &alert);
		break;
	case END_LOCAL:
		r = e->reply;
		break;
	default:
		silent_reply(d, p->wide, &r);
		break;
	}
	while ((q = TAILQ_FIRST(&p->questions)))
		answer(q, &r);
	deliver_complete(d, &p->done);
}

static struct probe *probe_find(struct deliver *d, struct memory_key pair, bool utf8)
{
	struct probe *p;

	TAILQ_FOREACH(p, &d->probes, link)
		if (p->pair.lo == pair.lo && p->pair.hi == pair.hi && p->x.utf8 == utf8 &&
		    p->x.place != XACT_DONE)
			return p;
	return NULL;
}

static struct probe *probe_new(struct deliver *d, struct config *config,
			       const struct config_route *route, struct str from, struct str rcpt,
			       bool utf8)
{
	struct probe *p = calloc(1, sizeof(*p) + from.n + rcpt.n);
	struct timeval life;
	unsigned int ms = d->tuning.callout_ms * PROBE_LIFE;

	if (!p || xact_init(&p->x, d, config, route)) {
		free(p);
		return NULL;
	}
	if (from.n)
		memcpy(p->text, from.p, from.n);
	memcpy(p->text + from.n, rcpt.p, rcpt.n);
	p->rcpt = str_make(p->text + from.n, rcpt.n);
	TAILQ_INIT(&p->questions);
	p->done.run = probe_done;
	p->x.probe = true;
	p->x.mail_from = str_make(p->text, from.n);
	p->x.rcpt = &p->rcpt;
	p->x.n_rcpts = 1;
	p->x.rcpt_result = &p->result;
	p->x.utf8 = utf8;
	p->x.final = final;
	evtimer_assign(&p->timer, d->base, probe_timeout, p);
	life.tv_sec = ms / 1000;
	life.tv_usec = (ms % 1000) * 1000;
	evtimer_add(&p->timer, &life);
	TAILQ_INSERT_TAIL(&d->probes, p, link);
	return p;
}

/* What can be said without the next hop. */
static bool from_memory(struct deliver_question *q, const struct config_route *route,
			struct memory_key pair, struct str from, struct str rcpt, bool utf8,
			struct deliver_reply *r)
{
	struct deliver *d = q->d;
	uint64_t now = deliver_now_s(d), made;

	if (!rcpt.n || !verdict_path_is_safe(rcpt)) {
		verdict_own(r, 501, 1, 3, "bad recipient address", NULL);
		return true;
	}
	if (!verdict_path_is_safe(from)) {
		verdict_own(r, 501, 1, 7, "bad sender address", NULL);
		return true;
	}
	if (memory_get(d->refusals, pair, now, r, NULL) ||
	    memory_get(d->unknown, q->wide, now, r, NULL)) {
		deliver_count(d, CTL_rcpt_remembered);
		return true;
	}
	/* That the recipient is good does not say that it can be sent to: RFC 6531 3.1, 3.5. */
	if (route->verify == VERIFY_NONE ||
	    (memory_get(d->known, q->wide, now, NULL, &made) &&
	     now - made < LIMIT_KNOWN_RCPT_FRESH_S &&
	     (!utf8 || pool_offers(d, route, EHLO_SMTPUTF8)))) {
		accept_reply(r);
		return true;
	}
	return false;
}

struct deliver_question *deliver_verify(struct deliver *d, struct config *config,
					const struct config_route *route, struct str mail_from,
					struct str rcpt, bool smtputf8,
					deliver_verify_callback *cb, void *arg)
{
	struct deliver_question *q = calloc(1, sizeof(*q));
	struct memory_key pair = memory_key(d->secret, route->name, &mail_from, rcpt);
	struct timeval budget = {.tv_sec = d->tuning.callout_ms / 1000,
				 .tv_usec = (d->tuning.callout_ms % 1000) * 1000};
	struct deliver_reply r;
	struct probe *p;
	bool utf8 = smtputf8 || !verdict_path_is_ascii(mail_from) || !verdict_path_is_ascii(rcpt);
	bool fresh;

	if (!q)
		return NULL;
	q->d = d;
	q->cb = cb;
	q->arg = arg;
	q->done.run = question_run;
	q->wide = memory_key(d->secret, route->name, NULL, rcpt);
	q->config = config_ref(config);
	evtimer_assign(&q->timer, d->base, question_timeout, q);
	TAILQ_INSERT_TAIL(&d->questions, q, link);
	if (from_memory(q, route, pair, mail_from, rcpt, utf8, &r)) {
		answer(q, &r);
		return q;
	}
	p = probe_find(d, pair, utf8);
	fresh = !p;
	if (fresh)
		p = probe_new(d, config, route, mail_from, rcpt, utf8);
	if (!p) {
		question_free(q);
		return NULL;
	}
	q->probe = p;
	TAILQ_INSERT_TAIL(&p->questions, q, waiting);
	evtimer_add(&q->timer, &budget);
	if (fresh) {
		p->pair = pair;
		p->wide = q->wide;
		deliver_count(d, CTL_callouts);
		xact_start(&p->x, NULL);
	}
	return q;
}

void deliver_verify_cancel(struct deliver_question *q)
{
	question_free(q);
}
