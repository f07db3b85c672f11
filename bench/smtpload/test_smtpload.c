/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The generator's TCP and dialogue against the server of test_server.c: a generator that loses
 * messages itself would blame the gateway for it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/smtpload/test_server.h"

static void test_clean(void **state)
{
	(void)state;
	assert_true(send_messages(200, 10000));
	assert_int_equal(load.f.accepted, 200);
	assert_int_equal(mails(), 200);
	assert_int_equal(load.f.retransmits, 0);
	assert_int_equal(load.f.transaction.n, 200);
	assert_true(end_sessions());
	assert_int_equal(load.f.lost, 0);
}

static void test_loss(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 5; seed++) {
		server_teardown(NULL);
		server_setup(NULL);
		server.random_state = seed;
		server.loss = 10;
		assert_true(send_messages(100, 600000));
		assert_int_equal(load.f.accepted, 100);
		assert_int_equal(mails(), 100);
		assert_int_equal(load.f.lost, 0);
		assert_true(load.f.retransmits > 0);
	}
}

static void test_small_window(void **state)
{
	(void)state;
	server.window = 700;
	server.mss = 536;
	assert_true(send_messages(40, 100000));
	assert_int_equal(load.f.accepted, 40);
	assert_int_equal(load.f.retransmits, 0);
}

static void test_closed_window(void **state)
{
	(void)state;
	server.window = 0;
	assert_false(send_messages(8, 3000));
	assert_int_equal(mails(), 0);
	server.window = 16384;
	for (uint32_t t = 0; t < 30000 && load.messages_done < 8; t++)
		one_ms();
	assert_int_equal(load.f.accepted, 8);
	assert_int_equal(load.f.lost, 0);
}

static void test_refusals(void **state)
{
	(void)state;
	server.final_reply = "452-not\r\n452 now\r\n";
	assert_true(send_messages(50, 10000));
	assert_int_equal(load.f.accepted, 0);
	assert_int_equal(load.f.refused[452], 50);
	assert_int_equal(load.f.lost, 0);
}

/* 250 to DATA accepts nothing. */
static void test_odd_replies(void **state)
{
	(void)state;
	for (unsigned int pipeline = 0; pipeline < 2; pipeline++) {
		server_teardown(NULL);
		server_setup(NULL);
		load.opt.pipeline = pipeline;
		server.data_reply = "250 ok\r\n";
		assert_true(send_messages(8, 60000));
		assert_int_equal(load.f.accepted, 0);
		assert_int_equal(load.f.refused[0], load.messages_done);
	}
}

static void test_reset(void **state)
{
	(void)state;
	server.reset_in_data = true;
	assert_true(send_messages(20, 60000));
	assert_int_equal(load.f.accepted, 0);
	assert_int_equal(load.f.refused[0], 20);
	assert_int_equal(load.f.lost, 20);
	server.reset_in_data = false;
	assert_true(load.f.opened >= 20);
}

/* MAIL, RCPT and DATA in one segment, their replies in another; with loss, each message once. */
static void test_pipeline(void **state)
{
	(void)state;
	load.opt.pipeline = true;
	assert_true(send_messages(80, 10000));
	assert_int_equal(load.f.accepted, 80);
	assert_int_equal(mails(), 80);
	assert_int_equal(load.f.retransmits, 0);
	assert_int_equal(server.commands, 80 * 3 + SESSIONS);
	server_teardown(NULL);
	server_setup(NULL);
	load.opt.pipeline = true;
	server.loss = 10;
	assert_true(send_messages(100, 600000));
	assert_int_equal(load.f.accepted, 100);
	assert_int_equal(load.f.lost, 0);
}

/* The reply to DATA is still to come when RCPT is refused: the session is given up, not the count.
 */
static void test_pipeline_refused(void **state)
{
	(void)state;
	load.opt.pipeline = true;
	server.rcpt_reply = "550 no\r\n";
	assert_true(send_messages(8, 60000));
	assert_int_equal(load.f.accepted, 0);
	assert_int_equal(load.f.refused[550], load.messages_done);
	assert_int_equal(load.f.lost, load.messages_done);
}

/* Fewer sessions are busy than there are, and as many messages go out as are due. */
static void test_open_loop(void **state)
{
	(void)state;
	load.run_rate = 200;
	assert_int_equal(pace_start(load.run_rate), 0);
	load.run_active = SESSIONS;
	load.running = true;
	assert_int_equal(smtp_start(), 0);
	for (uint32_t i = 0; i < SESSIONS; i++)
		tcp_open(&load.sess[i]);
	for (uint32_t t = 0; t < 4000; t++) {
		one_ms();
		(void)pace_turn();
	}
	assert_in_range(load.messages_begun, 700, 900);
	assert_in_range(load.f.accepted, load.messages_begun - SESSIONS, load.messages_begun);
	assert_true(pace_late() < 20);
	assert_int_equal(load.f.reply.n, load.f.accepted);
	assert_true(hist_at(&load.f.reply, 0.5) <= hist_at(&load.f.transaction, 0.5));
}

/* More is due than goes: the latency counts from when a message was due, and what never went is
 * told. */
static void test_open_loop_past_the_knee(void **state)
{
	(void)state;
	load.run_rate = 10000;
	assert_int_equal(pace_start(load.run_rate), 0);
	load.run_active = SESSIONS;
	load.running = true;
	assert_int_equal(smtp_start(), 0);
	for (uint32_t i = 0; i < SESSIONS; i++)
		tcp_open(&load.sess[i]);
	for (uint32_t t = 0; t < 2000; t++) {
		one_ms();
		(void)pace_turn();
	}
	assert_in_range(load.messages_begun + pace_late(), 19300, 20700);
	assert_true(pace_late() > 5000);
	assert_true(load.f.transaction.max > 500000);
	assert_true(load.f.reply.max < 100000);
}

static void test_text(void **state)
{
	static const char want[] = "\r\n\r\n one \r\ntwo   three\r\nxxx";
	char name[] = "/tmp/smtpload-test-XXXXXX";
	int fd = mkstemp(name);
	FILE *f = fdopen(fd, "w");
	struct sess *s = &load.sess[0];
	uint8_t got[10003];

	(void)state;
	assert_non_null(f);
	fputs(".one\r\ntwo \xff three\n", f);
	for (unsigned int i = 0; i < 2000; i++)
		putc('x', f);
	fclose(f);
	load.opt.text = name;
	assert_int_equal(smtp_start(), 0);
	unlink(name);
	s->phase = P_BODY;
	assert_int_equal(smtp_unit_len(s), sizeof(got));
	smtp_copy(s, got, 0, sizeof(got));
	assert_memory_equal(got + sizeof(got) - 5, "\r\n.\r\n", 5);
	assert_non_null(memmem(got, sizeof(got), want, sizeof(want) - 1));
	for (uint32_t i = 0, column = 0; i < sizeof(got); i++) {
		column = got[i] == '\n' ? 0 : column + 1;
		assert_true(column <= 998);
		assert_true(got[i] < 0x80 && (got[i] != '\n' || got[i - 1] == '\r'));
		assert_true(column != 1 || got[i] != '.' || i == sizeof(got) - 3);
	}
	smtp_stop();
	load.opt.text = "/nonexistent";
	assert_int_not_equal(smtp_start(), 0);
}

static void test_probe(void **state)
{
	struct seg keep_alive = {.flags = TH_ACK, .wnd = 16384};
	struct sess *s = &load.sess[0];

	(void)state;
	assert_true(send_messages(8, 1000));
	for (uint32_t t = 0; t < 10; t++)
		one_ms();
	assert_int_equal(head, tail);
	keep_alive.seq = s->rcv_nxt - 1;
	keep_alive.ack = s->snd_max;
	tcp_input(s, &keep_alive);
	assert_int_equal(tail - head, 1);
	assert_int_equal(queue[head % QUEUE].seg.ack, s->rcv_nxt);
	assert_int_equal(queue[head % QUEUE].seg.flags, TH_ACK);
}

/* RFC 9293 3.10.7.3: what answers our SYN belongs to an old connection. */
static void test_old_connection(void **state)
{
	struct seg challenge = {.flags = TH_ACK, .wnd = 16384, .seq = 99, .ack = 4711};

	(void)state;
	assert_int_equal(smtp_start(), 0);
	tcp_open(&load.sess[0]);
	head = tail;
	tcp_input(&load.sess[0], &challenge);
	assert_int_equal(tail - head, 1);
	assert_int_equal(queue[head % QUEUE].seg.flags, TH_RST);
	assert_int_equal(queue[head % QUEUE].seg.seq, 4711);
	assert_int_equal(load.sess[0].tcp, T_SYN_SENT);
}

static void test_histogram(void **state)
{
	static struct hist h;

	(void)state;
	memset(&h, 0, sizeof(h));
	assert_int_equal(hist_at(&h, 0.5), 0);
	for (uint64_t v = 1; v <= 100000; v++)
		hist_add(&h, v);
	assert_in_range(hist_at(&h, 0.5), 50000, 51600);
	assert_in_range(hist_at(&h, 0.99), 99000, 100000);
	assert_int_equal(h.max, 100000);
	hist_add(&h, UINT64_MAX);
	assert_int_equal(hist_at(&h, 1), UINT64_MAX);
	hist_add(&h, 0);
	assert_int_equal(hist_at(&h, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_clean, server_setup, server_teardown),
		cmocka_unit_test_setup_teardown(test_loss, server_setup, server_teardown),
		cmocka_unit_test_setup_teardown(test_small_window, server_setup, server_teardown),
		cmocka_unit_test_setup_teardown(test_closed_window, server_setup, server_teardown),
		cmocka_unit_test_setup_teardown(test_refusals, server_setup, server_teardown),
		cmocka_unit_test_setup_teardown(test_odd_replies, server_setup, server_teardown),
		cmocka_unit_test_setup_teardown(test_reset, server_setup, server_teardown),
		cmocka_unit_test_setup_teardown(test_pipeline, server_setup, server_teardown),
		cmocka_unit_test_setup_teardown(test_pipeline_refused, server_setup,
						server_teardown),
		cmocka_unit_test_setup_teardown(test_open_loop, server_setup, server_teardown),
		cmocka_unit_test_setup_teardown(test_open_loop_past_the_knee, server_setup,
						server_teardown),
		cmocka_unit_test_setup_teardown(test_text, server_setup, server_teardown),
		cmocka_unit_test_setup_teardown(test_probe, server_setup, server_teardown),
		cmocka_unit_test_setup_teardown(test_old_connection, server_setup, server_teardown),
		cmocka_unit_test(test_histogram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
