/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Sessions of control: what an idle one holds, when work comes and goes, and that nothing of it is
 * left behind. Rings, callouts and messages are the test's own.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/loop.h"

static struct {
	struct loop l;
	struct config config;
	struct snapshot active;
	struct config_route route;
	struct message message;
	struct ctl_submission sub;
	deliver_verify_callback *cb; /* of the question that waits */
	void *cb_arg;
	unsigned int cancelled, lost, replies, gone;
	uint16_t code;
	bool no_callout, private_peer;
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

struct deliver_question *deliver_verify(struct deliver *d, struct config *config,
					const struct config_route *route, struct str mail_from,
					struct str rcpt, bool smtputf8,
					deliver_verify_callback *cb, void *arg)
{
	(void)d;
	(void)config;
	(void)route;
	(void)mail_from;
	(void)rcpt;
	(void)smtputf8;
	if (t.no_callout)
		return NULL;
	t.cb = cb;
	t.cb_arg = arg;
	return (struct deliver_question *)&t;
}

void deliver_verify_cancel(struct deliver_question *q)
{
	(void)q;
	t.cb = NULL;
	t.cancelled++;
}

int ctl_rcpt_question(struct ctl_loop *l, const struct handoff_desc *d, struct ctl_rcpt_question *q)
{
	(void)l;
	(void)d;
	memset(q, 0, offsetof(struct ctl_rcpt_question, buf));
	q->rcpt = STR("b@example.com");
	return 0;
}

static int said(const struct ctl_reply *r)
{
	t.replies++;
	t.code = r->code;
	return 0;
}

int ctl_verdict_connect(struct ctl_loop *l, const struct handoff_desc *d, const struct ctl_reply *r)
{
	(void)l;
	(void)d;
	return said(r);
}

int ctl_verdict_rcpt(struct ctl_loop *l, const struct handoff_desc *d, const struct ctl_reply *r)
{
	(void)l;
	(void)d;
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

bool ip_in_net(const struct ip_addr *a, const struct ip_net *net)
{
	return !memcmp(a->a, net->addr.a, sizeof(a->a));
}

const char *loop_mailbox_problem(struct str mailbox)
{
	(void)mailbox;
	return NULL;
}

const struct config_route *loop_route(const struct config *c, struct str mailbox)
{
	(void)c;
	(void)mailbox;
	return &t.route;
}

void trace_write(struct trace *tr, json_t *record)
{
	(void)tr;
	json_decref(record);
	t.lost++;
}

void message_submit(struct loop *l, struct session *s, const struct handoff_desc *d)
{
	struct session_work *k = session_work(s);

	(void)l;
	assert_non_null(k);
	t.sub.desc = *d;
	t.message = (struct message){.session = s, .sub = &t.sub};
	k->message = &t.message;
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
static void message_answered(void)
{
	struct session *s = t.message.session;

	session_remember_final(s, t.sub.desc.question, "0123456789ABCDEF");
	s->work->message = NULL;
	session_work_done(s);
}

/* ---- tests ------------------------------------------------------------------------------------- */

static char route_name[] = "office";

static void up(void)
{
	memset(&t, 0, sizeof(t));
	TAILQ_INIT(&t.l.works);
	t.active.config = &t.config;
	t.active.refs = 1;
	t.l.active = &t.active;
	t.route.name = route_name;
}

static void send_desc(uint8_t kind, uint16_t worker, uint32_t slot, uint32_t question)
{
	const struct handoff_desc d = {.kind = kind, .worker = worker, .session = slot,
				       .generation = 1, .question = question,
				       .msg.transaction = 1};

	session_desc(&t.l, &d);
}

static void connect_via(uint8_t via, uint8_t last)
{
	struct handoff_desc d = {.kind = DESC_CONNECT, .generation = 1, .question = 1};

	d.connect.peer[15] = last;
	d.connect.via = via;
	session_desc(&t.l, &d);
}

/* A private peer is refused, but one that may name another client has to be heard first; the client
 * that it names is not. */
static void test_private(void **state)
{
	struct ip_net net = {.addr.a[15] = 7};
	struct config_trust trust = {.net = &net, .n_nets = 1, .xclient = true};

	(void)state;
	up();
	t.private_peer = true;
	connect_via(VIA_NONE, 7);
	assert_int_equal(t.code, 421);
	t.config.trust = &trust;
	t.config.n_trusts = 1;
	connect_via(VIA_NONE, 7);
	assert_int_equal(t.code, 220);
	connect_via(VIA_NONE, 8);
	assert_int_equal(t.code, 421);
	connect_via(VIA_XCLIENT, 9);
	assert_int_equal(t.code, 421);
	connect_via(VIA_PROXY, 7);
	assert_int_equal(t.code, 421);
	t.private_peer = false;
	connect_via(VIA_XCLIENT, 9);
	assert_int_equal(t.code, 220);
	session_end_all(&t.l);
}

static void verified(uint16_t code)
{
	struct deliver_reply r = {.code = code};
	deliver_verify_callback *cb = t.cb;

	t.cb = NULL;
	assert_non_null(cb);
	cb(t.cb_arg, &r);
}

static const struct session *first(void)
{
	uint32_t worker = 0, slot = 0;

	return session_next(&t.l, &worker, &slot);
}

static void test_idle(void **state)
{
	static const uint32_t slot[] = {0, 1, SESSION_PAGE - 1, SESSION_PAGE, 100000,
					SESSION_SLOTS_MAX - 1};
	uint32_t worker = 0, at = 0;
	size_t n = 0;

	(void)state;
	up();
	for (size_t w = 0; w < 3; w += 2)
		for (size_t i = 0; i < 6; i++)
			send_desc(DESC_CONNECT, (uint16_t)w, slot[i], 1);
	assert_int_equal(t.replies, 12);
	assert_int_equal(t.l.n_sessions, 12);
	send_desc(DESC_CONNECT, 0, SESSION_SLOTS_MAX, 1);
	assert_int_equal(t.l.counters[CTL_desc_invalid], 1);
	for (const struct session *s; (s = session_next(&t.l, &worker, &at)); n++, at++) {
		assert_int_equal(s->worker, n < 6 ? 0 : 2);
		assert_int_equal(s->slot, slot[n % 6]);
		assert_null(s->work);
	}
	assert_int_equal(n, 12);
	/* A page goes with its last session. */
	send_desc(DESC_SESSION_END, 0, 0, 1);
	send_desc(DESC_SESSION_END, 0, 1, 1);
	assert_non_null(t.l.workers[0].page[0]);
	send_desc(DESC_SESSION_END, 0, SESSION_PAGE - 1, 1);
	assert_null(t.l.workers[0].page[0]);
	send_desc(DESC_SESSION_END, 0, 1, 1);
	assert_int_equal(t.l.counters[CTL_desc_stale], 1);
	assert_int_equal(t.l.n_sessions, 9);
	session_end_all(&t.l);
	assert_int_equal(t.l.n_sessions, 0);
	assert_null(first());
}

static void test_work(void **state)
{
	(void)state;
	up();
	send_desc(DESC_CONNECT, 0, 7, 1);
	send_desc(DESC_RCPT, 0, 7, 2);
	assert_non_null(first()->work);
	verified(550);
	assert_int_equal(t.code, 550);
	assert_null(first()->work);
	assert_int_equal(t.active.refs, 1);
	send_desc(DESC_RCPT, 0, 7, 3);
	verified(250);
	assert_int_equal(t.active.refs, 2);
	send_desc(DESC_TXN_END, 0, 7, 3);
	assert_null(first()->work);
	assert_int_equal(t.active.refs, 1);
	t.no_callout = true;
	send_desc(DESC_RCPT, 0, 7, 4);
	assert_int_equal(t.code, 451);
	assert_null(first()->work);
	t.no_callout = false;
	/* A message, its reply, its acknowledgement. */
	send_desc(DESC_RCPT, 0, 7, 5);
	verified(250);
	send_desc(DESC_SUBMIT, 0, 7, 6);
	assert_int_equal(t.active.refs, 1);
	message_answered();
	assert_non_null(first()->work);
	send_desc(DESC_REPLY_ACKED, 0, 7, 5); /* not that one */
	assert_non_null(first()->work);
	send_desc(DESC_REPLY_ACKED, 0, 7, 6);
	assert_null(first()->work);
	send_desc(DESC_SUBMIT, 0, 7, 8);
	message_answered();
	send_desc(DESC_REPLY_LOST, 0, 7, 8);
	assert_int_equal(t.lost, 1);
	assert_null(first()->work);
	send_desc(DESC_SESSION_END, 0, 7, 8);
	assert_null(first());
	session_end_all(&t.l);
	assert_int_equal(t.active.refs, 1);
}

/* What is under way when the session or the dataplane goes. */
static void test_gone(void **state)
{
	(void)state;
	up();
	send_desc(DESC_RCPT, 0, 7, 2); /* of a session of the control before us */
	send_desc(DESC_SESSION_END, 0, 7, 2);
	assert_int_equal(t.cancelled, 1);
	assert_int_equal(t.active.refs, 1);
	send_desc(DESC_SUBMIT, 0, 7, 3);
	send_desc(DESC_CANCEL, 0, 7, 3);
	assert_true(t.message.cancelled);
	send_desc(DESC_RCPT, 0, 9, 1);
	for (uint32_t i = 100; i < 2000; i++)
		send_desc(DESC_CONNECT, 0, i, 1);
	session_end_all(&t.l);
	assert_int_equal(t.gone, 1);
	assert_int_equal(t.cancelled, 2);
	assert_int_equal(t.active.refs, 1);
	assert_int_equal(t.l.n_sessions, 0);
	assert_true(TAILQ_EMPTY(&t.l.works));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_work),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
