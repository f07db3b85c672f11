/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * What came by BDAT or with SMTPUTF8 leaves rightly: octet for octet, by BDAT where DATA cannot carry
 * it, with the extensions that it needs or not at all.
 */

#include "control/deliver/fake_hop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "Received: from a by b; now\r\nSubject: test\r\n\r\n"
#define HEAD_SIZE "45"
#define UTF8_PATH "j\xc3\xb6rg@example.org"

static struct lab l;
static struct hop *h;
static struct sent s;

static int setup(void **state)
{
	(void)state;
	lab_init(&l);
	h = hop_new(l.base);
	h->script.ehlo = HOP_CHUNKING;
	lab_add(&l, "127.0.0.1", h->port);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hop_free(h);
	lab_fini(&l);
	return 0;
}

static void go(const struct deliver_request *req)
{
	sent_go(&l, &s, req);
	lab_run(&l, &s.done);
	lab_spin(&l, 5);
	assert_int_equal(s.calls, 1);
}

static void arrived(const char *text, size_t n)
{
	assert_int_equal(s.result.outcome, DELIVER_DELIVERED);
	assert_int_equal(h->content_n, n);
	assert_memory_equal(h->content, text, n);
}

static void refused(uint16_t code, unsigned int subject, unsigned int detail)
{
	assert_int_equal(s.result.reply.code, code);
	assert_int_equal(s.result.reply.enh_class, 5);
	assert_int_equal(s.result.reply.enh_subject, subject);
	assert_int_equal(s.result.reply.enh_detail, detail);
	assert_int_equal(s.result.outcome, DELIVER_REJECTED);
	assert_int_equal(s.rcpt[0].outcome, DELIVER_REJECTED);
	assert_false(s.result.dot_written);
	assert_false(s.result.alert);
	/* Nothing of the message was sent, not even its envelope. */
	assert_int_equal(hop_count(h, "MAIL"), 0);
	assert_int_equal(h->raw_body, 0);
	assert_int_equal(l.counters[CTL_nexthop_unsendable], 1);
	assert_int_equal(s.asked, 0);
}

/* Whatever is in it, also what would be commands or an end of data elsewhere. */
static void octet_for_octet(void **state)
{
	static const char *const body[] = {
		"plain\r\n", ".\r\n", "..\r\n.\r\n.a\r\n", "no end", "a\nb\n", "a\n.\nQUIT\n",
		"a\r.\rb\r\n", "\r\r\n", "end\r", ".", "RSET\r\nBDAT 3 LAST\r\nabc", "\xc3\xbc\r\n",
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(body) / sizeof(body[0]); i++) {
		struct deliver_request req;

		snprintf(text, sizeof(text), "%s%s", HEAD, body[i]);
		req = sent_request(&l, &s, text, 2);
		req.bare_lf = req.bare_cr = true;
		req.has_8bit = strchr(body[i], '\xc3') != NULL;
		go(&req);
		arrived(text, strlen(text));
		assert_true(s.result.bdat);
		assert_false(s.result.eof_crlf_added);
		assert_int_equal(s.asked, 1);
	}
	/* One connection all the while: none of it was taken for something else. */
	assert_int_equal(h->accepted, 1);
	assert_int_equal(hop_count(h, "BDAT"), sizeof(body) / sizeof(body[0]));
	assert_int_equal(hop_count(h, "RSET"), 0);
	assert_int_equal(hop_count(h, "QUIT"), 0);
	assert_int_equal(l.counters[CTL_nexthop_bdat], sizeof(body) / sizeof(body[0]));
	assert_int_equal(l.counters[CTL_nexthop_crlf_added], 0);
}

/* NUL as well, in more pieces than one sendmsg takes, through a socket that takes little. */
static void large_and_in_pieces(void **state)
{
	static char text[3 * 1024 * 1024];
	static struct iovec iov[1500];
	struct deliver_request req;
	char command[64];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 31 + (i >> 9));
	for (size_t i = 0; i < 1500; i++)
		iov[i] = (struct iovec){text + i * (sizeof(text) / 1500), sizeof(text) / 1500};
	iov[1499].iov_len += sizeof(text) % 1500;
	iov[700].iov_len = iov[701].iov_len = 0; /* pieces may be empty */
	iov[702].iov_base = iov[700].iov_base;
	iov[702].iov_len = 3 * (sizeof(text) / 1500);
	deliver_tuning(l.d)->sndbuf = 16384;
	req = sent_request(&l, &s, "", 1);
	req.iov = iov;
	req.n_iov = 1500;
	req.size = sizeof(text);
	req.bare_lf = req.bare_cr = req.has_8bit = true;
	go(&req);
	arrived(text, sizeof(text));
	snprintf(command, sizeof(command), "BDAT %zu LAST\n", sizeof(text));
	assert_int_equal(hop_count(h, command), 1);
}

static void only_after_every_rcpt(void **state)
{
	(void)state;
	h->script.hold_rcpt = true;
	sent_start(&l, &s, HEAD, 4);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.outcome, DELIVER_DELIVERED);
	assert_true(s.result.bdat);
	assert_false(h->data_before_replies);
}

/* The client went while the chunk was on its way: its last octet is not sent, and the connection is cut. */
static void unwanted_before_last(void **state)
{
	struct deliver_request req = sent_request(&l, &s, HEAD "body\r\n", 1);

	(void)state;
	s.wanted = false;
	go(&req);
	assert_int_equal(s.result.outcome, DELIVER_ABORTED);
	assert_int_equal(s.asked, 1);
	assert_false(s.result.dot_written);
	assert_false(s.result.bdat);
	assert_string_equal(s.result.stage, "body");
	assert_true(h->raw_body < strlen(HEAD "body\r\n"));
	assert_false(h->saw_dot);
	assert_int_equal(h->open, 0);
	assert_int_equal(hop_count(h, "RSET") + hop_count(h, "QUIT"), 0);
	assert_int_equal(l.counters[CTL_nexthop_in_doubt], 0);
}

static void cancelled_before_last(void **state)
{
	static char text[4 * 1024 * 1024]; /* more than both sockets hold */
	struct deliver_request req;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	req = sent_request(&l, &s, text, 1);
	deliver_tuning(l.d)->sndbuf = 16384;
	sent_go(&l, &s, &req);
	while (!h->raw_body)
		event_base_loop(l.base, EVLOOP_ONCE);
	deliver_cancel(s.job);
	lab_run(&l, &s.done);
	for (int i = 0; i < 1000 && h->open; i++)
		lab_spin(&l, 5);
	assert_int_equal(s.result.outcome, DELIVER_ABORTED);
	assert_false(s.result.late);
	assert_false(h->saw_dot);
	assert_int_equal(h->open, 0);
}

/* LAST is out: the reply counts, whoever still waits. */
static void cancelled_after_last(void **state)
{
	struct deliver_request req = sent_request(&l, &s, HEAD, 1);

	(void)state;
	h->script.last = HOP_HANG;
	deliver_tuning(l.d)->final_ms = 100;
	sent_go(&l, &s, &req);
	while (!h->saw_dot)
		event_base_loop(l.base, EVLOOP_ONCE);
	deliver_cancel(s.job);
	assert_false(s.done);
	lab_run(&l, &s.done);
	assert_true(s.result.late);
	assert_true(s.result.dot_written);
	assert_true(s.result.bdat);
	assert_string_equal(s.result.stage, "dot");
	assert_int_equal(l.counters[CTL_nexthop_in_doubt], 1);
}

/* Another address is tried after a chunk that got lost on its way, none once its last octet is out. */
static void another_address(void **state)
{
	static char text[4 * 1024 * 1024];
	struct hop *second = hop_new(l.base);

	(void)state;
	second->script.ehlo = HOP_CHUNKING;
	lab_add(&l, "127.0.0.1", second->port);
	memset(text, 'x', sizeof(text) - 1);
	deliver_tuning(l.d)->sndbuf = 16384;
	h->script.mid_body = HOP_RESET;
	sent_start(&l, &s, text, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.outcome, DELIVER_DELIVERED);
	assert_int_equal(second->messages, 1);
	assert_false(h->saw_dot);
	h->script.mid_body = NULL;
	h->script.last = HOP_RESET;
	sent_start(&l, &s, HEAD, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.reply.code, 451);
	assert_int_equal(second->messages, 1);
	hop_free(second);
}

/* A BDAT that is not known leaves open what the next hop took its octets for; a message that is refused
 * does not. */
static void unknown_command_ends_the_connection(void **state)
{
	(void)state;
	h->script.last = "552 5.3.4 too big";
	sent_start(&l, &s, HEAD, 1);
	lab_run(&l, &s.done);
	lab_spin(&l, 5);
	assert_int_equal(s.result.reply.code, 552);
	assert_int_equal(h->open, 1);
	assert_int_equal(hop_count(h, "RSET"), 1);
	h->script.last = "500 5.5.1 BDAT?";
	sent_start(&l, &s, HEAD, 1);
	lab_run(&l, &s.done);
	lab_spin(&l, 5);
	assert_int_equal(s.result.reply.code, 451);
	assert_int_equal(h->open, 0);
	assert_int_equal(hop_count(h, "RSET"), 1);
	assert_int_equal(hop_count(h, "QUIT"), 1);
	h->script.last = NULL;
	sent_start(&l, &s, HEAD, 1);
	lab_run(&l, &s.done);
	assert_int_equal(s.result.outcome, DELIVER_DELIVERED);
	assert_int_equal(h->accepted, 2);
}

static void bare_lf_needs_bdat(void **state)
{
	struct deliver_request req;

	(void)state;
	h->script.ehlo = NULL; /* without CHUNKING */
	req = sent_request(&l, &s, HEAD "a\nb\r\n", 1);
	req.bare_lf = true;
	go(&req);
	refused(550, 6, 11);
	assert_string_equal(s.result.stage, "mail");
}

/* What cannot be sent is refused on a connection that was used before, which goes back to where it was. */
static void refused_on_a_connection_in_use(void **state)
{
	struct deliver_request req;

	(void)state;
	h->script.ehlo = NULL; /* without CHUNKING */
	h->script.close_idle_after = 2;
	for (unsigned int round = 1; round <= 3; round++) {
		for (int i = 0; i < 2; i++) {
			req = sent_request(&l, &s, HEAD "a\r\n", 1);
			go(&req);
			assert_int_equal(s.result.outcome, DELIVER_DELIVERED);
			if (i)
				break; /* it is closed */
			req = sent_request(&l, &s, HEAD "a\nb\r\n", 1);
			req.bare_lf = true;
			go(&req);
			assert_int_equal(s.result.reply.code, 550);
			assert_int_equal(s.result.reply.enh_detail, 11);
		}
		lab_spin(&l, 5);
		assert_int_equal(h->accepted, round);
		assert_int_equal(h->open, 0);
	}
}

static void bare_lf_and_the_route_says_never(void **state)
{
	struct deliver_request req;

	(void)state;
	l.route.no_chunking = true;
	req = sent_request(&l, &s, HEAD "a\nb\r\n", 1);
	req.bare_lf = true;
	go(&req);
	refused(550, 6, 11);
	assert_int_equal(hop_count(h, "BDAT"), 0);
}

/* Beside a dot or an LF a bare CR is as bad; elsewhere DATA takes it. */
static void bare_cr_under_data(void **state)
{
	static const struct { const char *body; bool taken; } row[] = {
		{"a\rb\r\n", true}, {"a\r\r\n", true}, {"a\r.b\r\n", false}, {"a.\rb\r\n", false},
		{"\rb\r\n", false}, {"a\r\n\rb\r\n", false}, {".\r", false}, {"a\r", true},
		{".\r\n.\r\n", true},
	};
	char text[256];

	(void)state;
	h->script.ehlo = NULL;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct deliver_request req;

		snprintf(text, sizeof(text), "%s%s", HEAD, row[i].body);
		req = sent_request(&l, &s, text, 1);
		req.bare_cr = true;
		go(&req);
		assert_int_equal(s.result.reply.code, row[i].taken ? 250 : 550);
		if (row[i].taken)
			continue;
		assert_int_equal(s.result.reply.enh_detail, 11);
		assert_int_equal(s.result.outcome, DELIVER_REJECTED);
	}
	assert_int_equal(h->messages, 4);
	assert_int_equal(l.counters[CTL_nexthop_unsendable], 5);
}

static void the_route_says_never(void **state)
{
	(void)state;
	l.route.no_chunking = true;
	sent_start(&l, &s, HEAD ".dot\r\n", 1);
	lab_run(&l, &s.done);
	arrived(HEAD ".dot\r\n", strlen(HEAD ".dot\r\n"));
	assert_false(s.result.bdat);
	assert_int_equal(hop_count(h, "DATA"), 1);
	assert_int_equal(hop_count(h, "BDAT"), 0);
	assert_int_equal(l.counters[CTL_nexthop_bdat], 0);
}

static void no_final_crlf_under_data(void **state)
{
	(void)state;
	h->script.ehlo = NULL;
	sent_start(&l, &s, HEAD "no end", 1);
	lab_run(&l, &s.done);
	arrived(HEAD "no end\r\n", strlen(HEAD "no end\r\n"));
	assert_true(s.result.eof_crlf_added);
	assert_int_equal(l.counters[CTL_nexthop_crlf_added], 1);
	sent_start(&l, &s, HEAD "end\r\n", 1);
	lab_run(&l, &s.done);
	arrived(HEAD "end\r\n", strlen(HEAD "end\r\n"));
	assert_false(s.result.eof_crlf_added);
	assert_int_equal(l.counters[CTL_nexthop_crlf_added], 1);
	/* Not said of a message that never got its end. */
	h->script.data = "451 4.3.0 not now";
	sent_start(&l, &s, HEAD "no end", 1);
	lab_run(&l, &s.done);
	assert_false(s.result.eof_crlf_added);
}

static void smtputf8_offered(void **state)
{
	struct deliver_request req;

	(void)state;
	h->script.ehlo = NULL;
	req = sent_request(&l, &s, HEAD, 1);
	req.smtputf8 = true; /* though all of it is ASCII */
	go(&req);
	arrived(HEAD, strlen(HEAD));
	assert_non_null(strstr(h->log, " SMTPUTF8\n"));
	req = sent_request(&l, &s, HEAD, 1);
	req.mail_from = STR(UTF8_PATH); /* though the client did not say so */
	req.has_8bit = true;
	go(&req);
	arrived(HEAD, strlen(HEAD));
	assert_non_null(strstr(h->log, "MAIL FROM:<" UTF8_PATH "> SIZE=" HEAD_SIZE
				       " BODY=8BITMIME SMTPUTF8\n"));
	sent_start(&l, &s, HEAD, 1);
	lab_run(&l, &s.done);
	assert_non_null(strstr(h->log, "MAIL FROM:<sender@example.org> SIZE=" HEAD_SIZE "\n"));
}

static void smtputf8_not_offered(void **state)
{
	struct deliver_request req = sent_request(&l, &s, HEAD, 1);

	(void)state;
	req.smtputf8 = true;
	go(&req);
	refused(553, 6, 7);
}

static void smtputf8_path_not_offered(void **state)
{
	struct deliver_request req = sent_request(&l, &s, HEAD, 1);

	(void)state;
	s.to[0] = STR(UTF8_PATH);
	go(&req);
	refused(553, 6, 7);
}

static void eight_bit_not_offered(void **state)
{
	struct deliver_request req = sent_request(&l, &s, HEAD "\xc3\xbc\r\n", 1);

	(void)state;
	h->script.ehlo = HOP_PLAIN;
	req.has_8bit = true;
	go(&req);
	refused(554, 6, 3);
}

static void eight_bit_passed(void **state)
{
	struct deliver_request req = sent_request(&l, &s, HEAD "\xc3\xbc\r\n", 1);

	(void)state;
	h->script.ehlo = HOP_PLAIN;
	l.route.pass_8bit = true;
	req.has_8bit = true;
	req.body = BODY_8BITMIME;
	go(&req);
	arrived(HEAD "\xc3\xbc\r\n", strlen(HEAD "\xc3\xbc\r\n"));
	assert_null(strstr(h->log, "BODY="));
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(octet_for_octet), T(large_and_in_pieces), T(only_after_every_rcpt),
		T(unwanted_before_last), T(cancelled_before_last), T(cancelled_after_last),
		T(another_address), T(unknown_command_ends_the_connection),
		T(bare_lf_needs_bdat), T(refused_on_a_connection_in_use), T(bare_lf_and_the_route_says_never), T(bare_cr_under_data),
		T(the_route_says_never), T(no_final_crlf_under_data),
		T(smtputf8_offered), T(smtputf8_not_offered), T(smtputf8_path_not_offered),
		T(eight_bit_not_offered), T(eight_bit_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
