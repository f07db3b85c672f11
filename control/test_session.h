/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* For the session tests: a loop whose rings, callouts and messages are the test's own. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/access.h"
#include "control/grey.h"
#include "control/loop.h"
#include "control/refused.h"
#include "control/watched.h"
#include "postern/limits.h"

#define N_CALLOUTS 128

struct deliver_question {
	deliver_verify_callback *cb; /* NULL: over */
	void *arg;
	struct config *config;
	char rcpt[64];
};

static struct {
	struct loop l;
	struct config config;
	struct snapshot active;
	struct config_route route[2];
	struct message message;
	struct handoff_desc observed; /* of observe_submit() */
	struct ctl_submission sub;
	struct deliver_question callout[N_CALLOUTS];
	unsigned int n_callouts, running;
	const char *rcpt[N_CALLOUTS]; /* of the record; NULL: one of the first route */
	int bad_record;
	char said[2048];              /* "question:code " of RCPT */
	bool good;
	unsigned int cancelled, lost, replies, gone, refused;
	const char *mail_from;
	uint16_t code;
	char text[HANDOFF_MAX_TEXT + 1];
	struct judgement judged;
	bool no_callout, private_peer;
	size_t rcpt_max;              /* of the next hop; 0: any */
	uint8_t rcpt_peer;
	uint16_t rcpt_listener, rcpt_port;
	struct deliver_client client; /* of the last callout */
	struct load load[2];          /* of the routes */
	struct load_rules rules;
	bool lasts;                   /* it has been shedding for long */
	char watched[256];            /* what watched.c was told, a letter each */
} t;

/* ---- the neighbours -------------------------------------------------------------------------- */

struct snapshot *snapshot_ref(struct snapshot *s)
{
	s->refs++;
	return s;
}

void snapshot_unref(struct snapshot *s)
{
	if (s)
		s->refs--;
}

struct deliver_question *deliver_verify(struct deliver *d, const struct deliver_ask *ask,
					deliver_verify_callback *cb, void *arg)
{
	struct deliver_question *q;

	(void)d;
	if (t.no_callout)
		return NULL;
	assert_true(t.n_callouts < N_CALLOUTS);
	assert_ptr_equal(ask->route, loop_route_at(ask->config, t.rcpt_listener, &ask->client->local,
						   ask->client->local_port, ask->rcpt));
	t.client = *ask->client;
	q = &t.callout[t.n_callouts++];
	*q = (struct deliver_question){.cb = cb, .arg = arg, .config = ask->config};
	snprintf(q->rcpt, sizeof(q->rcpt), "%.*s", STR_FMT(ask->rcpt));
	t.running++;
	assert_true(t.running <= LIMIT_RCPT_CALLOUTS);
	return q;
}

struct ctl_epoch *ctl_loop_epoch(const struct ctl_loop *l)
{
	(void)l;
	return NULL;
}

bool ctl_epoch_room(const struct ctl_epoch *e, uint32_t worker, struct ctl_room *out)
{
	(void)e;
	(void)worker;
	*out = (struct ctl_room){.records = 100, .chunks = 1000};
	return true;
}

/* As overload.c does; t.rules.config.max_outstanding is the bound. */
bool deliver_admit(struct deliver *d, const struct deliver_entry *e, struct load_ticket *ticket,
		   struct deliver_reply *why)
{
	struct load *l = &t.load[e->route - t.route];

	(void)d;
	if (ticket->load == l)
		return true;
	load_leave(ticket);
	if (load_admit(l, &t.rules, 1, &e->room, e->declared_size, ticket) == LOAD_ADMITTED)
		return true;
	*why = (struct deliver_reply){.code = e->again && t.lasts ? 421 : 451};
	return false;
}

uint16_t deliver_arena_share(struct deliver *d, const struct config *c, const struct config_route *route,
			     uint8_t *share)
{
	(void)d;
	(void)c;
	*share = 50;
	return (uint16_t)(1 + (route - t.route));
}

bool deliver_may_join(struct deliver *d, const struct deliver_ask *ask, const struct deliver_joined *have,
		      struct deliver_reply *why)
{
	(void)d;
	(void)ask;
	if (!t.rcpt_max || have->n < t.rcpt_max)
		return true;
	*why = (struct deliver_reply){.code = 452};
	return false;
}

void deliver_join(struct deliver *d, struct deliver_joined *have, struct str rcpt)
{
	(void)d;
	(void)rcpt;
	have->n++;
}

/* Of names that begin with d each is a domain with MX records of its own. */
void loop_way(const struct config_route *route, struct str mailbox, char out[MAIL_ALABEL])
{
	(void)route;
	out[0] = '\0';
	if (mailbox.n && mailbox.p[0] == 'd')
		snprintf(out, MAIL_ALABEL, "%.*s", STR_FMT(str_cut(mailbox, 2)));
}

void deliver_verify_cancel(struct deliver_question *q)
{
	assert_non_null(q->cb);
	q->cb = NULL;
	t.running--;
	t.cancelled++;
}

int ctl_rcpt_question(struct ctl_loop *l, const struct handoff_desc *d, struct ctl_rcpt_question *q)
{
	const char *rcpt = t.rcpt[d->msg.rcpt];

	(void)l;
	memset(q, 0, offsetof(struct ctl_rcpt_question, buf));
	q->rcpt = rcpt ? str_c(rcpt) : STR("b@example.com");
	q->mail_from = str_c(t.mail_from ? t.mail_from : "");
	q->peer[10] = q->peer[11] = 0xff;
	q->peer[15] = t.rcpt_peer;
	q->connected[10] = q->connected[11] = 0xff;
	q->connected[15] = 99;
	q->listener = t.rcpt_listener;
	q->local_port = t.rcpt_port;
	return t.bad_record;
}

static inline int said(const struct ctl_reply *r)
{
	t.replies++;
	t.code = r->code;
	snprintf(t.text, sizeof(t.text), "%.*s", STR_FMT(r->text));
	return 0;
}

int ctl_verdict_connect(struct ctl_loop *l, const struct handoff_desc *d, const struct ctl_reply *r,
			bool good)
{
	t.good = good;
	(void)l;
	(void)d;
	return said(r);
}

int ctl_verdict_rcpt(struct ctl_loop *l, const struct handoff_desc *d, const struct ctl_reply *r)
{
	size_t n = strlen(t.said);

	(void)l;
	/* Whose memory it is is told with all that are accepted, and with no other. */
	assert_int_equal(r->route_share, r->code / 100 == 2 ? 50 : 0);
	snprintf(t.said + n, sizeof(t.said) - n, "%u:%u ", d->question, r->code);
	return said(r);
}

int ctl_verdict_release(struct ctl_loop *l, const struct handoff_desc *d)
{
	(void)l;
	(void)d;
	return 0;
}

bool ip_is_private(const struct ip_addr *a)
{
	(void)a;
	return t.private_peer;
}

bool ip_in_range(const struct ip_addr *ip, const struct ip_range *range)
{
	return memcmp(ip, &range->first, sizeof(*ip)) >= 0 &&
	       memcmp(ip, &range->last, sizeof(*ip)) <= 0;
}

bool ip_in_net(const struct ip_addr *a, const struct ip_net *net)
{
	return !memcmp(a->a, net->addr.a, sizeof(a->a));
}

bool ip_is_v4(const struct ip_addr *a)
{
	return a->a[10] == 0xff;
}

const char *ip_format(const struct ip_addr *a, char *buf, size_t cap)
{
	snprintf(buf, cap, "#%u", a->a[15]);
	return buf;
}

const struct judgement *judge_result(const struct judge *j)
{
	(void)j;
	return &t.judged;
}

enum control_reply loop_mailbox_problem(struct str mailbox)
{
	(void)mailbox;
	return CONTROL_REPLY_COUNT;
}

const struct config_route *loop_route(const struct config *c, struct str mailbox)
{
	(void)c;
	if (mailbox.n && mailbox.p[0] == 'x')
		return NULL;
	return &t.route[mailbox.n && mailbox.p[0] == 'o'];
}

/* In a cable: of the first route, port 25; what is behind another is listed no more. */
const struct config_route *loop_route_at(const struct config *c, uint16_t listener,
					 const struct ip_addr *local, uint16_t port, struct str mailbox)
{
	(void)local;
	if (!config_is_inline(listener))
		return loop_route(c, mailbox);
	return port == 25 ? &t.route[0] : NULL;
}

struct ctl_reply loop_refusal(struct str mailbox, enum control_reply problem)
{
	(void)mailbox;
	(void)problem;
	return control_reply(SAYS_NOT_OURS);
}

#ifndef TEST_POLICY_IS_REAL /* access.c, grey.c are linked */
void access_connect(struct loop *l, const struct session *s, struct ctl_reply *r)
{
	(void)l;
	(void)s;
	(void)r;
}

bool access_rcpt(struct loop *l, const struct session_question *q, struct str mail_from,
		 struct ctl_reply *r, char buf[HANDOFF_MAX_TEXT + 1])
{
	(void)l;
	(void)q;
	(void)mail_from;
	(void)r;
	(void)buf;
	return false;
}

bool grey_ask(struct session_question *q, const struct deliver_reply *good,
	      void (*then)(struct session_question *q))
{
	(void)then;
	q->reply = *good;
	return true;
}

void spf_cancel(struct spf_check *c)
{
	(void)c;
}
#endif

void refused_connect(struct loop *l, const struct session *s, struct ctl_reply *r,
		     char buf[HANDOFF_MAX_TEXT + 1])
{
	(void)l;
	(void)s;
	(void)r;
	(void)buf;
	t.refused++;
}

void refused_rcpt(struct loop *l, const struct session *s, const struct ctl_rcpt_question *asked,
		  const struct config_route *route, const struct ctl_reply *r)
{
	(void)l;
	(void)s;
	(void)asked;
	(void)route;
	assert_true(r->code >= 400);
	t.refused++;
}

static inline void watched(char c)
{
	size_t n = strlen(t.watched);

	if (n + 1 < sizeof(t.watched))
		t.watched[n] = c;
}

void watched_opened(struct loop *l, const struct session *s, const struct ctl_reply *r)
{
	assert_ptr_equal(s->loop, l);
	watched(r->code == 220 ? 'o' : 'O');
}

void watched_greeted(struct loop *l, struct session *s, const struct ctl_rcpt_question *asked)
{
	(void)asked;
	assert_ptr_equal(s->loop, l);
	watched('g');
}

void watched_closed(struct loop *l, const struct session *s, const struct handoff_desc *d)
{
	assert_ptr_equal(s->loop, l);
	assert_int_equal(d->kind, DESC_SESSION_END);
	watched('c');
}

void watched_lost(struct loop *l)
{
	watched((char)('0' + l->n_sessions));
}

void trace_write(struct trace *tr, json_t *record)
{
	(void)tr;
	json_decref(record);
	t.lost++;
}

void observe_submit(struct loop *l, const struct handoff_desc *d)
{
	(void)l;
	t.observed = *d;
}

void message_submit(struct loop *l, struct session *s, const struct handoff_desc *d)
{
	struct session_work *k = session_work(s);

	(void)l;
	assert_non_null(k);
	t.sub.desc = *d;
	t.message = (struct message){.session = s, .sub = &t.sub};
	k->message = &t.message;
	load_submit(&t.load[0], 1, d->worker, 1, &k->ticket, &t.message.load);
}

void message_cancel(struct message *m)
{
	m->cancelled = true;
}

void message_session_gone(struct message *m)
{
	m->session = NULL;
	t.gone++;
}

/* As message.c does. */
static inline void message_answered(void)
{
	struct session *s = t.message.session;

	session_remember_final(s, t.sub.desc.question, "0123456789ABCDEF", NULL);
	s->work->message = NULL;
	load_leave(&t.message.load);
	session_work_done(s);
}

/* ---- what the tests do ------------------------------------------------------------------------- */

static char office[] = "office", other[] = "other";

static inline void up(void)
{
	memset(&t, 0, sizeof(t));
	TAILQ_INIT(&t.l.works);
	t.active.config = &t.config;
	t.active.refs = 1;
	t.l.active = &t.active;
	t.route[0].name = office;
	t.route[1].name = other;
	t.rules = (struct load_rules){.config = {.on = true, .wait_s = 5, .factor = 4, .arena_share = 100},
				      .connections = 1};
	load_init(&t.load[0]);
	load_init(&t.load[1]);
}

static inline void send_desc(uint8_t kind, uint16_t worker, uint32_t slot, uint32_t question)
{
	const struct handoff_desc d = {.kind = kind, .worker = worker, .session = slot,
				       .generation = 1, .question = question,
				       .msg.transaction = 1};

	session_desc(&t.l, &d);
}

static inline void verified_with(struct deliver_question *q, const struct deliver_reply *r)
{
	deliver_verify_callback *cb = q->cb;

	assert_non_null(cb);
	q->cb = NULL;
	t.running--;
	cb(q->arg, r);
}

static inline void verified_as(struct deliver_question *q, uint16_t code)
{
	const struct deliver_reply r = {.code = code};

	verified_with(q, &r);
}

/* The callout begun last. */
static inline void verified(uint16_t code)
{
	assert_true(t.n_callouts > 0);
	verified_as(&t.callout[t.n_callouts - 1], code);
}

static inline const struct session *first(void)
{
	uint32_t worker = 0, slot = 0;

	return session_next(&t.l, &worker, &slot);
}
