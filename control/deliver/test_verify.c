/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Recipient callouts: what the client hears, what is remembered, when the operator is told. */

#include "control/deliver/fake_hop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FROM "sender@example.org"
#define TO "user@example.com"

struct told {
	unsigned int n;
	char stage[16];
	uint16_t code;
	uint64_t untold;
	char text[160];
};

static void on_alert(void *arg, const struct deliver_alert *a)
{
	struct told *t = arg;

	t->n++;
	t->untold = a->untold;
	snprintf(t->text, sizeof(t->text), "%s", a->text ? a->text : "");
	if (a->text)
		return;
	t->code = a->said->code;
	snprintf(t->stage, sizeof(t->stage), "%s", a->stage);
	assert_string_equal(a->host, "127.0.0.1");
}

static struct lab l;
static struct hop *h;
static struct told told;

static int setup(void **state)
{
	(void)state;
	memset(&told, 0, sizeof(told));
	lab_init(&l);
	h = hop_new(l.base);
	lab_add(&l, "127.0.0.1", h->port);
	l.route.verify = VERIFY_CALLOUT;
	deliver_on_alert(l.d, on_alert, &told);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hop_free(h);
	lab_fini(&l);
	return 0;
}

static struct deliver_reply answer(const char *from, const char *to)
{
	struct asked a = {0};

	assert_non_null(ask(&l, &a, from, to));
	lab_run(&l, &a.done);
	return a.reply;
}

static void taken_and_kept(void **state)
{
	(void)state;
	assert_int_equal(answer(FROM, TO).code, 250);
	assert_int_equal(hop_count(h, "RCPT"), 1);
	assert_int_equal(hop_count(h, "DATA"), 0);
	assert_int_equal(answer(FROM, TO).code, 250); /* known by now */
	assert_int_equal(hop_count(h, "RCPT"), 1);
	assert_int_equal(l.counters[CTL_callouts], 1);
}

static void refused_and_kept(void **state)
{
	struct deliver_reply r;

	(void)state;
	h->script.rcpt[0] = "550 5.1.1 no such user";
	r = answer(FROM, TO);
	assert_int_equal(r.code, 550);
	assert_int_equal(r.enh_subject, 1);
	assert_int_equal(r.enh_detail, 1);
	r = answer("other@example.org", TO); /* whoever asks: the recipient is unknown */
	assert_int_equal(r.code, 550);
	assert_int_equal(hop_count(h, "RCPT"), 1);
	assert_int_equal(l.counters[CTL_rcpt_remembered], 1);
	assert_int_equal(told.n, 0);
}

/* The relay is refused, not the recipient: nobody is bounced, and the operator hears of it. */
static void the_relay_is_refused(void **state)
{
	struct deliver_reply r;

	(void)state;
	h->script.mail = "530 5.7.64 TenantAttribution; Relay Access Denied";
	r = answer(FROM, TO);
	assert_int_equal(r.code, 451);
	assert_int_equal(r.enh_subject, 4);
	assert_int_equal(l.counters[CTL_nexthop_relay_fault], 1);
	assert_int_equal(told.n, 1);
	assert_string_equal(told.stage, "mail");
	assert_int_equal(told.code, 530);
	/* Not kept as a refusal, and not told with each: once a minute. */
	assert_int_equal(answer(FROM, TO).code, 451);
	assert_int_equal(hop_count(h, "MAIL"), 2);
	assert_int_equal(l.counters[CTL_nexthop_relay_fault], 2);
	assert_int_equal(told.n, 1);
}

static void a_message_tells_as_well(void **state)
{
	struct sent s;

	(void)state;
	h->script.rcpt[1] = "550 5.7.1 Relaying denied";
	sent_start(&l, &s, "Subject: a\r\n\r\nb\r\n", 3);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 451);
	assert_true(s.result.alert);
	assert_int_equal(told.n, 1);
	assert_string_equal(told.stage, "rcpt");
	assert_int_equal(told.code, 550);
}

static void silence_is_no_answer(void **state)
{
	struct deliver_reply r;

	(void)state;
	h->script.mail = HOP_HANG;
	deliver_tuning(l.d)->callout_ms = 50;
	r = answer(FROM, TO);
	assert_int_equal(r.code, 451);
	assert_int_equal(r.enh_subject, 4);
	assert_int_equal(r.enh_detail, 3);
	assert_int_equal(l.counters[CTL_callout_failed], 1);
	assert_int_equal(told.n, 0);
}

static void many_ask_one_probe(void **state)
{
	struct asked a[5] = {0};

	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		assert_non_null(ask(&l, &a[i], FROM, TO));
	for (unsigned int i = 0; i < 5; i++) {
		lab_run(&l, &a[i].done);
		assert_int_equal(a[i].reply.code, 250);
	}
	assert_int_equal(hop_count(h, "RCPT"), 1);
	assert_int_equal(l.counters[CTL_callouts], 1);
}

static void a_question_may_be_taken_back(void **state)
{
	struct asked a = {0}, b = {0};
	struct deliver_question *q;

	(void)state;
	q = ask(&l, &a, FROM, TO);
	assert_non_null(q);
	assert_non_null(ask(&l, &b, FROM, TO));
	deliver_verify_cancel(q);
	lab_run(&l, &b.done);
	assert_int_equal(b.reply.code, 250);
	assert_false(a.done);
}

static void bad_addresses_are_not_asked(void **state)
{
	(void)state;
	assert_int_equal(answer(FROM, "a\r\nQUIT@example.com").code, 501);
	assert_int_equal(answer("a b\n@example.org", TO).code, 501);
	assert_int_equal(h->accepted, 0);
}

static struct deliver_reply answer_utf8(const char *from, const char *to)
{
	struct asked a = {0};

	assert_non_null(ask_utf8(&l, &a, from, to));
	lab_run(&l, &a.done);
	return a.reply;
}

static void refused_utf8(struct deliver_reply r)
{
	assert_int_equal(r.code, 553);
	assert_int_equal(r.enh_subject, 6);
	assert_int_equal(r.enh_detail, 7);
}

/* RFC 6531 3.5: said at RCPT, while the sender can still do something about it. */
static void smtputf8_is_asked_for(void **state)
{
	(void)state;
	assert_int_equal(answer_utf8(FROM, TO).code, 250);
	assert_int_equal(hop_count(h, "MAIL FROM:<" FROM "> SMTPUTF8"), 1);
	assert_int_equal(answer_utf8(FROM, TO).code, 250); /* known, and the next hop takes it */
	assert_int_equal(hop_count(h, "RCPT"), 1);
	assert_int_equal(answer("j\xc3\xb6rg@example.org", "other@example.com").code, 250);
	assert_int_equal(hop_count(h, "MAIL FROM:<j\xc3\xb6rg@example.org> SMTPUTF8"), 1);
}

static void smtputf8_is_not_offered(void **state)
{
	(void)state;
	h->script.ehlo = HOP_CHUNKING;
	refused_utf8(answer_utf8(FROM, TO));
	assert_int_equal(hop_count(h, "MAIL"), 0);
	/* Nothing against the recipient: an ordinary message is taken. That the recipient is known by
	 * then helps the other kind nothing, nor may the two share a probe. */
	assert_int_equal(answer(FROM, TO).code, 250);
	refused_utf8(answer_utf8(FROM, TO));
	assert_int_equal(l.counters[CTL_rcpt_remembered], 0);
}

static void the_two_kinds_share_no_probe(void **state)
{
	struct asked a = {0}, b = {0};

	(void)state;
	h->script.ehlo = HOP_CHUNKING;
	assert_non_null(ask(&l, &a, FROM, TO));
	assert_non_null(ask_utf8(&l, &b, FROM, TO));
	lab_run(&l, &a.done);
	lab_run(&l, &b.done);
	assert_int_equal(a.reply.code, 250);
	refused_utf8(b.reply);
}

/* `who` asks while the next hop is asked; FROM and TO are asked for. */
static uint16_t asked_meanwhile(const struct deliver_client *who, const char *from)
{
	struct asked a = {0}, b = {0};

	h->script.rcpt[0] = HOP_HANG;
	assert_non_null(ask(&l, &a, FROM, TO));
	while (!hop_count(h, "RCPT"))
		lab_spin(&l, 1);
	l.client = who;
	assert_non_null(ask(&l, &b, from, TO));
	l.client = NULL;
	lab_run(&l, &b.done);
	assert_int_equal(b.reply.enh_subject, 4);
	return b.reply.enh_detail;
}

/* Two gateways that route to each other: the one that is asked by whom it asks says so. */
static void it_goes_round(void **state)
{
	struct deliver_client who = {.helo = STR("HOP.example.net")};

	(void)state;
	assert_true(ip_parse(STR("192.0.2.1"), &who.ip));
	assert_int_equal(asked_meanwhile(&who, FROM), 6);
	assert_int_equal(l.counters[CTL_rcpt_loops], 1);
	assert_int_equal(told.n, 1);
	assert_non_null(strstr(told.text, "route to each other"));
}

static void it_goes_round_by_address(void **state)
{
	struct deliver_client who = {.helo = STR("a.example.net")};

	(void)state;
	assert_true(ip_parse(STR("127.0.0.1"), &who.ip));
	assert_int_equal(asked_meanwhile(&who, FROM), 6);
	assert_int_equal(l.counters[CTL_rcpt_loops], 1);
}

/* Others ask at the same time, and the next hop about another sender: they wait for it. */
static void it_does_not(void **state)
{
	struct deliver_client who = {.helo = STR("a.example.net")};

	(void)state;
	deliver_tuning(l.d)->callout_ms = 100;
	assert_true(ip_parse(STR("192.0.2.1"), &who.ip));
	assert_int_equal(asked_meanwhile(&who, FROM), 3);
	assert_int_equal(l.counters[CTL_rcpt_loops], 0);
	assert_int_equal(told.n, 0);
}

static void it_does_not_for_another_sender(void **state)
{
	struct deliver_client who = {.helo = STR("hop.example.net")};

	(void)state;
	deliver_tuning(l.d)->callout_ms = 100;
	assert_true(ip_parse(STR("127.0.0.1"), &who.ip));
	assert_int_equal(asked_meanwhile(&who, ""), 3);
	assert_int_equal(l.counters[CTL_rcpt_loops], 0);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(taken_and_kept), T(refused_and_kept), T(the_relay_is_refused),
		T(a_message_tells_as_well), T(silence_is_no_answer), T(many_ask_one_probe),
		T(a_question_may_be_taken_back), T(bad_addresses_are_not_asked),
		T(smtputf8_is_asked_for), T(smtputf8_is_not_offered), T(the_two_kinds_share_no_probe),
		T(it_goes_round), T(it_goes_round_by_address), T(it_does_not),
		T(it_does_not_for_another_sender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
