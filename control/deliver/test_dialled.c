/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Routes to whom the client dialled: which server, in whose name, what is remembered for whom, and
 * the connection that has the client's address. All of 127.0.0.0/8 is here, so addresses of clients
 * are taken from it; a foreign one, and its way back, is tests/e2e/test_inline_control.py.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/deliver/fake_hop.h"

#define TEXT "Subject: a\r\n\r\nb\r\n"
#define EHLO_X "250-hop.example.net\r\n250-PIPELINING\r\n250 XCLIENT NAME ADDR PORT PROTO HELO"
#define DENIED "554 5.7.1 <a@b>: Relay access denied"

static struct lab l;
static struct hop *h, *other;
static struct deliver_client one, two;
static char alerted[300];

static void on_alert(void *arg, const struct deliver_alert *a)
{
	(void)arg;
	snprintf(alerted, sizeof(alerted), "%.290s", a->text ? a->text : a->said->text);
}

static struct deliver_client client(const char *ip, const char *server, uint16_t port)
{
	struct deliver_client c = {.port = 4711, .local_port = port, .helo = STR("mail.example.org"),
				   .esmtp = true};

	assert_true(ip_parse(str_c(ip), &c.ip));
	assert_true(ip_parse(str_c(server), &c.local));
	c.connected = c.ip;
	return c;
}

static int setup(void **state)
{
	(void)state;
	alerted[0] = '\0';
	lab_init(&l);
	h = hop_new_at(l.base, "127.0.0.1", 0);
	other = hop_new_at(l.base, "127.0.0.2", h->port);
	deliver_on_alert(l.d, on_alert, NULL);
	l.route.dialled = true;
	one = client("127.0.0.71", "127.0.0.1", h->port);
	two = client("127.0.0.72", "127.0.0.1", h->port);
	l.client = &one;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hop_free(h);
	hop_free(other);
	lab_fini(&l);
	return 0;
}

static struct deliver_result deliver(void)
{
	struct sent s;

	sent_start(&l, &s, TEXT, 1);
	lab_run(&l, &s.done);
	return s.result;
}

static struct deliver_reply asked(const char *rcpt)
{
	struct asked a = {0};

	assert_non_null(ask(&l, &a, "sender@example.org", rcpt));
	lab_run(&l, &a.done);
	return a.reply;
}

/* The tests of transparency need the capability; whoever has it not is told by the others. */
static bool may_be_others(void)
{
	return geteuid() == 0;
}

static void the_server_that_was_dialled(void **state)
{
	struct deliver_client elsewhere = client("127.0.0.71", "127.0.0.2", h->port);
	struct deliver_result r;

	(void)state;
	l.route.xclient = true;
	h->script.ehlo = other->script.ehlo = EHLO_X;
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	assert_int_equal(h->messages, 1);
	assert_int_equal(other->accepted, 0);
	assert_int_equal(hop_count(h, "XCLIENT ADDR=127.0.0.71 PORT=4711 PROTO=ESMTP HELO=mail.example.org"), 1);
	l.client = &elsewhere;
	r = deliver();
	assert_int_equal(r.outcome, DELIVER_DELIVERED);
	assert_non_null(strstr(r.host, "127.0.0.2 [127.0.0.2]:"));
	assert_int_equal(other->messages, 1);
	/* Of each its own connection, for one route. */
	assert_int_equal(h->accepted, 1);
	l.client = &one;
	deliver();
	assert_int_equal(h->accepted, 1);
	assert_int_equal(h->messages, 2);
}

static void nobody_dialled(void **state)
{
	struct deliver_client lost = one;
	struct deliver_result r;

	(void)state;
	lost.local_port = 0;
	l.client = &lost;
	r = deliver();
	assert_int_equal(r.outcome, DELIVER_DEFERRED);
	assert_int_equal(r.reply.code, 451);
	l.client = NULL;
	assert_int_equal(deliver().reply.code, 451);
	assert_int_equal(asked("user@example.com").code, 451);
	assert_int_equal(h->accepted + other->accepted, 0);
}

/* What a server lets one client do it may refuse to another: nothing is remembered across. */
static void truth_is_of_a_client_and_a_server(void **state)
{
	struct deliver_client elsewhere = client("127.0.0.71", "127.0.0.2", h->port);

	(void)state;
	l.route.xclient = true;
	h->script.ehlo = other->script.ehlo = EHLO_X;
	assert_int_equal(asked("user@example.com").code, 250);
	assert_int_equal(asked("user@example.com").code, 250); /* known */
	assert_int_equal(hop_count(h, "RCPT"), 1);
	h->script.refuse = "user@example.com";
	h->script.refuse_with = DENIED;
	l.client = &two;
	assert_int_equal(asked("user@example.com").code, 554);
	assert_int_equal(hop_count(h, "RCPT"), 2);
	l.client = &elsewhere;
	assert_int_equal(asked("user@example.com").code, 250);
	assert_int_equal(hop_count(other, "RCPT"), 1);
	h->script.refuse_with = "550 5.1.1 no such user";
	l.client = &two;
	assert_int_equal(asked("user@example.com").code, 550);
	assert_int_equal(asked("user@example.com").code, 550);
	assert_int_equal(hop_count(h, "RCPT"), 3);
	l.client = &one;
	assert_int_equal(asked("user@example.com").code, 250);
}

/* Not open: the server's own word is passed on, as a 5xx, and nobody is woken up for it. */
static void relaying_is_the_servers_to_refuse(void **state)
{
	struct deliver_result r;

	(void)state;
	l.route.xclient = true;
	h->script.ehlo = EHLO_X;
	h->script.refuse = "user0@example.com";
	h->script.refuse_with = DENIED;
	r = deliver();
	assert_int_equal(r.outcome, DELIVER_REJECTED);
	assert_int_equal(r.reply.code, 554);
	assert_int_equal(h->messages, 0);
	assert_string_equal(alerted, "");
	/* To us, whom it does not take for anybody else, the same is no word about mail. */
	h->script.refuse = NULL;
	h->script.xclient = "550 5.7.0 not authorized to use XCLIENT";
	l.client = &two;
	r = deliver();
	assert_int_equal(r.outcome, DELIVER_DEFERRED);
	assert_int_equal(r.reply.code, 451);
	assert_non_null(strstr(alerted, "XCLIENT"));
}

static void a_gateway_is_refused_as_before(void **state)
{
	(void)state;
	l.route.dialled = false;
	lab_add(&l, "127.0.0.1", h->port);
	l.route.xclient = true;
	h->script.ehlo = EHLO_X;
	h->script.refuse = "user0@example.com";
	h->script.refuse_with = DENIED;
	assert_int_equal(deliver().reply.code, 451);
	assert_string_not_equal(alerted, "");
}

/* What one server takes is nothing to those who dialled another. */
static void size_is_of_the_server(void **state)
{
	struct deliver_client elsewhere = client("127.0.0.71", "127.0.0.2", h->port);

	(void)state;
	l.route.xclient = true;
	h->script.ehlo = "250-hop.example.net\r\n250-SIZE 1000\r\n250 XCLIENT ADDR";
	other->script.ehlo = EHLO_X;
	l.declared_size = 5000;
	assert_int_equal(asked("user@example.com").code, 550);
	l.client = &elsewhere;
	assert_int_equal(asked("user@example.com").code, 250);
}

static void proxy_is_of_one_client(void **state)
{
	(void)state;
	l.route.proxy = PROXY_V2;
	h->script.proxy = true;
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	/* It would have heard the client's word. */
	assert_int_equal(hop_count(h, "EHLO mail.example.org"), 1);
	deliver();
	assert_int_equal(h->accepted, 1);
	one.helo = STR("[127.0.0.71]");
	deliver();
	assert_int_equal(h->accepted, 2);
	assert_int_equal(hop_count(h, "EHLO [127.0.0.71]"), 1);
	l.client = &two;
	deliver();
	assert_int_equal(h->accepted, 3);
	assert_int_equal(h->messages, 4);
}

/* ---- the client's own address ------------------------------------------------------------------ */

static void comes_from_the_client(void **state)
{
	struct deliver_client moved = one;

	(void)state;
	if (!may_be_others())
		skip();
	l.route.transparent = true;
	assert_int_equal(asked("user0@example.com").code, 250);
	assert_string_equal(h->client, "127.0.0.71");
	lab_spin(&l, 50); /* its RSET is answered */
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	/* One connection for callout and message, in the client's words. */
	assert_int_equal(h->accepted, 1);
	assert_int_equal(hop_count(h, "EHLO mail.example.org"), 1);
	assert_int_equal(l.counters[CTL_nexthop_transparent], 1);
	/* Its next session, by another port of its own. */
	moved.port = 4712;
	l.client = &moved;
	deliver();
	assert_int_equal(h->accepted, 1);
	l.client = &two;
	deliver();
	assert_int_equal(h->accepted, 2);
	assert_string_equal(h->client, "127.0.0.72");
	/* Who is judged may be another than who connected, behind a balancer: the server saw that one. */
	moved = two;
	moved.ip.a[15] = 99;
	l.client = &moved;
	deliver();
	assert_int_equal(h->accepted, 3);
	assert_string_equal(h->client, "127.0.0.72");
	assert_string_equal(alerted, "");
}

/* Refused at the banner, by its address: the client's own affair. */
static void a_banned_client_hears_so(void **state)
{
	struct deliver_result r;

	(void)state;
	if (!may_be_others())
		skip();
	l.route.transparent = true;
	h->script.banner = "554 5.7.1 127.0.0.71 is on a list";
	r = deliver();
	assert_int_equal(r.outcome, DELIVER_REJECTED);
	assert_int_equal(r.reply.code, 554);
	assert_string_equal(alerted, "");
	h->script.banner = NULL;
	h->script.refuse = "user0@example.com";
	h->script.refuse_with = "550 127.0.0.71 is on a list";
	assert_int_equal(deliver().reply.code, 550);
	h->script.refuse = NULL;
	h->script.mail = "553 5.1.8 sender's domain does not exist";
	assert_int_equal(deliver().reply.code, 553);
	assert_string_equal(alerted, "");
}

static void is_put_away_soon(void **state)
{
	(void)state;
	if (!may_be_others())
		skip();
	l.route.transparent = true;
	deliver_tuning(l.d)->idle_ms = 1;
	deliver();
	lab_spin(&l, 300);
	assert_int_equal(h->quits, 1);
	assert_int_equal(h->open, 0);
}

static void what_cannot_be_had(void **state)
{
	struct deliver_client v6 = client("2001:db8::7", "127.0.0.1", h->port);
	struct deliver_result r;

	(void)state;
	if (!may_be_others())
		skip();
	l.route.transparent = true;
	l.route.transparent_interface = (char *)(uintptr_t)"none-such0";
	r = deliver();
	assert_int_equal(r.outcome, DELIVER_DEFERRED);
	assert_int_equal(r.reply.code, 451);
	assert_non_null(strstr(alerted, "none-such0: No such device"));
	assert_int_equal(l.counters[CTL_nexthop_no_transparent], 1);
	l.route.transparent_interface = NULL;
	l.client = &v6;
	assert_int_equal(deliver().reply.code, 451);
	assert_int_equal(l.counters[CTL_nexthop_no_transparent], 2);
	assert_int_equal(l.counters[CTL_nexthop_transparent], 0);
	assert_int_equal(h->accepted, 0);
	l.client = &one;
	l.route.transparent_interface = (char *)(uintptr_t)"lo";
	l.route.transparent_mark = 7;
	assert_int_equal(deliver().outcome, DELIVER_DELIVERED);
	assert_string_equal(h->client, "127.0.0.71");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_server_that_was_dialled, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_dialled, setup, teardown),
		cmocka_unit_test_setup_teardown(truth_is_of_a_client_and_a_server, setup, teardown),
		cmocka_unit_test_setup_teardown(relaying_is_the_servers_to_refuse, setup, teardown),
		cmocka_unit_test_setup_teardown(a_gateway_is_refused_as_before, setup, teardown),
		cmocka_unit_test_setup_teardown(size_is_of_the_server, setup, teardown),
		cmocka_unit_test_setup_teardown(proxy_is_of_one_client, setup, teardown),
		cmocka_unit_test_setup_teardown(comes_from_the_client, setup, teardown),
		cmocka_unit_test_setup_teardown(a_banned_client_hears_so, setup, teardown),
		cmocka_unit_test_setup_teardown(is_put_away_soon, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_had, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
