/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Recipient callouts. A question waits for a probe, several questions for the same one; a question
 * has LIMIT_CALLOUT_S, the probe some more, so that what a slow next hop says in the end is there
 * for the sender's retry.
 *
 * Two gateways that route to each other would ask each other for ever, each waiting for the other. Who
 * asks for the recipient and sender that it is being asked for at this moment hears so.
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
	struct truth_keys keys;
	struct deliver_ask ask;      /* its texts are not kept, nor are those of its client */
	struct deliver_client client;
	struct deliver_reply reply;
	deliver_verify_callback *cb;
	void *arg;
};

struct probe {
	TAILQ_ENTRY(probe) link;
	struct completion done;
	struct xact x;
	struct truth_keys keys;
	struct deliver_client client;
	struct event timer;
	TAILQ_HEAD(, deliver_question) questions;
	struct deliver_rcpt_result result;
	struct str rcpt;
	uint8_t text[]; /* MAIL FROM, RCPT, those of the client */
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
	config_unref(q->ask.config);
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
	/* Known only now, perhaps: the next hop said it in the EHLO of the probe. */
	if (r->code / 100 == 2)
		truth_too_big(q->d, &q->ask, &q->reply);
	deliver_complete(q->d, &q->done);
}

static void silent_reply(struct deliver *d, const struct truth_keys *k, struct deliver_reply *r)
{
	deliver_count(d, CTL_callout_failed);
	if (!truth_stale(d, k, r))
		verdict_own(r, 451, 4, 3, "recipient cannot be checked now, try again later", NULL);
}

static void question_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct deliver_question *q = arg;
	struct probe *p = q->probe;
	struct deliver_reply r;

	(void)fd;
	(void)what;
	silent_reply(q->d, &q->keys, &r);
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
		silent_reply(p->x.d, &p->keys, &r);
		answer(q, &r);
	}
	probe_free(p);
}

static void final(struct xact *x, const struct ending *e)
{
	struct probe *p = PROBE_OF(x, x);
	struct deliver *d = x->d;
	struct deliver_question *q;
	struct deliver_reply r;
	enum deliver_outcome outcome;
	bool alert = false;

	overload_ended(x, e);
	switch (e->kind) {
	case END_ACCEPTED:
	case END_RCPTS:
		truth_of_probe(x, &p->keys, &p->result.next_hop, &r);
		break;
	case END_REPLY:
		if (verdict_classify(x->config, e->stage, &e->reply) == VERDICT_SERVICE &&
		    truth_stale(d, &p->keys, &r))
			break;
		xact_reply(x, e, &r, &outcome, &alert);
		break;
	case END_LOCAL:
		r = e->reply;
		break;
	default:
		silent_reply(d, &p->keys, &r);
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
		if (p->keys.pair.lo == pair.lo && p->keys.pair.hi == pair.hi && p->x.utf8 == utf8 &&
		    p->x.place != XACT_DONE)
			return p;
	return NULL;
}

/*
 * Does this very question come from where the probe has put it? A gateway asks from another address than
 * it listens on, but under one name. Anybody may say that name: then it is he who comes back later.
 */
static bool goes_round(const struct probe *p, const struct deliver_ask *ask)
{
	const struct conn *c = p->x.conn;

	if (!c || !ask->client || (c->state != CONN_MAIL && c->state != CONN_RCPT))
		return false; /* it was not asked yet */
	return !memcmp(&c->addr.ip, &ask->client->ip, sizeof(c->addr.ip)) ||
	       (c->ehlo.name[0] && str_ieq(str_c(c->ehlo.name), ask->client->helo));
}

static void refuse_round(struct deliver *d, const struct probe *p, struct deliver_reply *r)
{
	deliver_count(d, CTL_rcpt_loops);
	xact_route_alert(&p->x, "its next hop asks us for the recipient that we ask it for: the two route "
				"to each other");
	/* As where MX records lead back here: the operator's to put right, and no sender's mail. */
	verdict_own(r, 451, 4, 6, "routing loop, the mail service sends this recipient back here", NULL);
}

static struct str keep(uint8_t **at, struct str s)
{
	struct str kept = str_make(*at, s.n);

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return kept;
}

static void keep_client(struct probe *p, uint8_t *at, const struct deliver_client *client)
{
	if (!client)
		return;
	p->client = *client;
	p->client.helo = keep(&at, client->helo);
	p->client.name = keep(&at, client->name);
	p->client.tls_cipher = keep(&at, client->tls_cipher);
	p->client.tls_client = keep(&at, client->tls_client);
	p->x.client = &p->client;
}

static struct probe *probe_new(struct deliver *d, const struct deliver_ask *ask, bool utf8)
{
	static const struct deliver_client nobody;
	const struct deliver_client *c = ask->client ? ask->client : &nobody;
	size_t n = ask->mail_from.n + ask->rcpt.n + c->helo.n + c->name.n + c->tls_cipher.n +
		   c->tls_client.n;
	struct probe *p = calloc(1, sizeof(*p) + n);
	unsigned int ms = d->tuning.callout_ms * PROBE_LIFE;
	struct timeval life = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
	uint8_t *at;

	if (!p || xact_init(&p->x, d, ask->config, ask->route)) {
		free(p);
		return NULL;
	}
	at = p->text;
	p->x.mail_from = keep(&at, ask->mail_from);
	p->rcpt = keep(&at, ask->rcpt);
	keep_client(p, at, ask->client);
	TAILQ_INIT(&p->questions);
	p->done.run = probe_done;
	p->x.probe = true;
	p->x.rcpt = &p->rcpt;
	p->x.n_rcpts = 1;
	p->x.rcpt_result = &p->result;
	p->x.utf8 = utf8;
	p->x.final = final;
	evtimer_assign(&p->timer, d->base, probe_timeout, p);
	evtimer_add(&p->timer, &life);
	TAILQ_INSERT_TAIL(&d->probes, p, link);
	return p;
}

static struct deliver_question *question_new(struct deliver *d, const struct deliver_ask *ask,
					     deliver_verify_callback *cb, void *arg)
{
	struct deliver_question *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->d = d;
	q->cb = cb;
	q->arg = arg;
	q->done.run = question_run;
	q->keys = truth_keys(d, ask->route, ask->client, ask->mail_from, ask->rcpt);
	q->ask = *ask;
	q->ask.config = config_ref(ask->config);
	q->ask.mail_from = q->ask.rcpt = STR_NONE;
	if (ask->client) {
		q->client = *ask->client;
		q->client.helo = q->client.name = STR_NONE;
		q->client.tls_cipher = q->client.tls_client = STR_NONE;
		q->ask.client = &q->client;
	}
	evtimer_assign(&q->timer, d->base, question_timeout, q);
	TAILQ_INSERT_TAIL(&d->questions, q, link);
	return q;
}

struct deliver_question *deliver_verify(struct deliver *d, const struct deliver_ask *ask,
					deliver_verify_callback *cb, void *arg)
{
	struct deliver_question *q = question_new(d, ask, cb, arg);
	struct timeval budget = {.tv_sec = d->tuning.callout_ms / 1000,
				 .tv_usec = (d->tuning.callout_ms % 1000) * 1000};
	bool utf8 = ask->smtputf8 || !verdict_path_is_ascii(ask->mail_from) ||
		    !verdict_path_is_ascii(ask->rcpt);
	struct deliver_reply r;
	struct probe *p;
	bool fresh;

	if (!q)
		return NULL;
	if (truth_answer(d, ask, &q->keys, utf8, &r)) {
		answer(q, &r);
		return q;
	}
	p = probe_find(d, q->keys.pair, utf8);
	if (p && goes_round(p, ask)) {
		refuse_round(d, p, &r);
		answer(q, &r);
		return q;
	}
	fresh = !p;
	if (fresh)
		p = probe_new(d, ask, utf8);
	if (!p) {
		question_free(q);
		return NULL;
	}
	q->probe = p;
	TAILQ_INSERT_TAIL(&p->questions, q, waiting);
	evtimer_add(&q->timer, &budget);
	if (fresh) {
		p->keys = q->keys;
		deliver_count(d, CTL_callouts);
		xact_start(&p->x, NULL);
	}
	return q;
}

void deliver_verify_cancel(struct deliver_question *q)
{
	question_free(q);
}
