/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Recipients of a session that are open at once: order, a full ring, control that dies, time. */

#include <stdio.h>

#include "dataplane/test_session.h"

#define ONE "RCPT TO:<b@example.com>\r\n"
#define LOST "451 4.3.2 System not accepting messages now, try again later\r\n"

/* The RCPTs in the rings since `from`, in order: so many, each the next one of the record. */
static void asked_since(unsigned int from, unsigned int n, uint32_t first_rcpt)
{
	unsigned int k = 0;

	for (unsigned int i = from; i < t.n_descs; i++) {
		const struct handoff_desc *d = &t.desc[i];

		if (d->kind != DESC_RCPT)
			continue;
		assert_int_equal(d->msg.rcpt, first_rcpt + k);
		assert_int_equal(d->question, t.desc[from].question + k);
		k++;
	}
	assert_int_equal(k, n);
}

/* Control's replies; a refusal among them names the trace id of the transaction. */
static void hear_asked(struct tcp_conn *c, const char *text)
{
	char want[512], id[17] = "";
	const char *end;
	size_t n = 0;

	memcpy(id, dp_msg_record(t.w.arena, &c->app->txn->msg)->trace_id, 16);
	for (; (end = strstr(text, "\r\n")); text = end + 2)
		n += (size_t)snprintf(want + n, sizeof(want) - n, "%.*s%s%s\r\n", (int)(end - text), text,
				      *text == '2' ? "" : " id=", *text == '2' ? "" : id);
	snprintf(want + n, sizeof(want) - n, "%s", text);
	hear(c, want);
}

static bool accepted(const struct tcp_conn *c, unsigned int i)
{
	return dp_msg_record(t.w.arena, &c->app->txn->msg)->rcpt[i].accepted;
}

static void test_recipients(void **state)
{
	struct tcp_conn *c;
	unsigned int from;

	(void)state;
	up(16);
	c = established(0);
	from = t.n_descs;
	say(c, "MAIL FROM:<a@example.org>\r\n" ONE ONE ONE ONE ONE "DATA\r\n");
	asked_since(from, 5, 0);
	assert_int_equal(c->app->n_open, 5);
	c->out_n = 0;
	/* Control answers in order; what is not of the oldest is of none. */
	assert_false(answer(&t.desc[from + 1], 250));
	assert_false(answer(&t.desc[from + 4], 250));
	hear(c, "");
	assert_true(answer(&t.desc[from], 550));
	assert_false(answer(&t.desc[from], 550));
	assert_true(answer(&t.desc[from + 1], 250));
	assert_true(answer(&t.desc[from + 2], 450));
	hear_asked(c, "550 5.0.0 as asked\r\n250 2.0.0 as asked\r\n450 4.0.0 as asked\r\n");
	assert_int_equal(c->app->on, ON_ASKED);
	assert_true(answer(&t.desc[from + 3], 250));
	assert_true(answer(&t.desc[from + 4], 599));
	assert_int_equal(c->app->on, ON_NONE);
	hear_asked(c, "250 2.0.0 as asked\r\n599 5.0.0 as asked\r\n354 ");
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(accepted(c, i), i == 1 || i == 3);
	say(c, "x\r\n.\r\n");
	assert_true(answer(last(DESC_SUBMIT), 250));
	hear(c, "250 2.0.0 as asked id=");
	dp_worker_reclaim(t.w.arena);
	/* 421 to one: the rest is nobody's, control hears that the transaction is over. */
	from = t.n_descs;
	say(c, "MAIL FROM:<a@example.org>\r\n" ONE ONE ONE);
	asked_since(from + 0, 3, 0);
	assert_true(answer(&t.desc[from], 421));
	assert_int_equal(c->app->on, ON_NONE);
	assert_true(c->closing);
	last(DESC_TXN_END);
	assert_int_equal(records(), 0);
	assert_false(answer(&t.desc[from + 1], 250));
	down();
}

/* The ring is full in the middle of several questions; another session's come in between. */
static void test_recipients_ring_full(void **state)
{
	struct tcp_conn *c, *k;
	unsigned int from;
	struct handoff_desc d;

	(void)state;
	up(16);
	c = established(0);
	say(c, "MAIL FROM:<a@example.org>\r\n");
	from = t.n_descs;
	t.room = 2;
	say(c, ONE ONE ONE);
	assert_int_equal(c->app->n_unsent, 1);
	assert_int_equal(c->app->on, ON_UNSENT);
	k = open_conn(1);
	say(c, ONE);
	assert_int_equal(c->app->n_unsent, 2);
	asked_since(from, 2, 0);
	c->out_n = 0;
	/* Those that are with control are answered; the next nobody can know. */
	assert_true(answer(&t.desc[from], 250));
	assert_true(answer(&t.desc[from + 1], 250));
	d = t.desc[from + 1];
	d.question++;
	assert_false(answer(&d, 250));
	hear(c, "250 2.0.0 as asked\r\n250 2.0.0 as asked\r\n");
	assert_int_equal(c->app->on, ON_UNSENT);
	t.room = 1;
	turn();
	asked_since(from, 3, 0);
	assert_int_equal(c->app->n_unsent, 1);
	say(c, ONE);
	t.room = 10;
	turn();
	last(DESC_CONNECT); /* it came later, and all of the first session went before it */
	t.n_descs--;
	asked_since(from, 5, 0);
	t.n_descs++;
	assert_int_equal(c->app->on, ON_ASKED);
	for (unsigned int i = 2; i < 5; i++)
		assert_true(answer(&t.desc[from + i], 250));
	hear(c, "250 2.0.0 as asked\r\n250 2.0.0 as asked\r\n250 2.0.0 as asked\r\n");
	assert_true(answer(last(DESC_CONNECT), 220));
	hear(k, "220 ");
	/* The client goes with some sent and some not. */
	t.room = 1;
	say(c, ONE ONE);
	from = t.n_descs;
	gone(c, TCP_CLOSED_RESET);
	assert_int_equal(records(), 0);
	t.room = 10;
	turn();
	assert_int_equal(t.desc[from].kind, DESC_TXN_END);
	assert_int_equal(t.desc[from + 1].kind, DESC_SESSION_END);
	assert_int_equal(t.n_descs, from + 2);
	down();
}

/* Control dies with some sent and some not, and another is there before they were answered. */
static void test_recipients_lost(void **state)
{
	struct tcp_conn *c;
	unsigned int from;
	struct handoff_desc old;

	(void)state;
	up(16);
	c = established(0);
	say(c, "MAIL FROM:<a@example.org>\r\n");
	from = t.n_descs;
	t.room = 3;
	say(c, ONE ONE ONE ONE);
	assert_true(answer(&t.desc[from], 250));
	old = t.desc[from + 1];
	c->out_n = 0;
	t.w.up = false;
	outbox_clear(&t.w);
	say(c, ONE); /* waits: nobody is there to ask, and three are in front of it */
	hear(c, "");
	t.w.up = true;
	t.w.epoch++;
	t.room = N_DESCS;
	t.n_descs = 0;
	say(c, ONE);
	assert_int_equal(t.n_descs, 0);
	assert_false(answer(&old, 250));
	turn();
	hear(c, LOST LOST LOST);
	asked_since(0, 2, 4); /* those that waited, of the new one */
	assert_true(answer(&t.desc[0], 250));
	assert_true(answer(&t.desc[1], 550));
	hear_asked(c, "250 2.0.0 as asked\r\n550 5.0.0 as asked\r\n");
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(accepted(c, i), i == 0 || i == 4);
	/* The rings are gone before the worker hears of it. */
	say(c, ONE);
	t.broken = true;
	say(c, ONE);
	hear(c, "");
	t.w.up = t.broken = false;
	turn();
	hear(c, LOST LOST);
	say(c, "NOOP\r\n");
	hear(c, "250 2.0.0 Ok");
	down();
}

static void test_recipients_overdue(void **state)
{
	struct tcp_conn *c;
	unsigned int from;

	(void)state;
	up(16);
	c = established(0);
	say(c, "MAIL FROM:<a@example.org>\r\n");
	from = t.n_descs;
	t.room = 2;
	say(c, ONE ONE ONE);
	assert_true(answer(&t.desc[from], 250));
	c->out_n = 0;
	t.w.now_ms += 302 * 1000;
	while (session_sweep(&t.w))
		;
	hear(c, LOST LOST);
	assert_int_equal(c->app->on, ON_NONE);
	assert_false(answer(&t.desc[from + 1], 250));
	t.room = 10;
	turn();
	assert_int_equal(t.n_descs, from + 2);
	say(c, ONE "DATA\r\n");
	/* The next serial is not theirs: so control knows that it is not awaited with them. */
	assert_true(last(DESC_RCPT)->question > t.desc[from].question + 3);
	assert_int_equal(last(DESC_RCPT)->msg.rcpt, 3);
	assert_false(answer(&t.desc[from + 1], 250));
	assert_true(answer(last(DESC_RCPT), 550));
	hear_asked(c, "550 5.0.0 as asked\r\n354 ");
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(accepted(c, i), i == 0);
	down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_recipients_ring_full),
		cmocka_unit_test(test_recipients_lost),
		cmocka_unit_test(test_recipients_overdue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
