/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * The generator's TCP and dialogue against a small server in this file, over a link that loses
 * segments by a seed: a generator that loses messages itself would blame the gateway for it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/smtpload/load.h"

#define SESSIONS      8u
#define QUEUE         4096u
#define SERVER_RTO_MS 250u
#define SERVER_MAIL   70000u

struct load load;

struct frame {
	uint32_t index;
	struct seg seg;
	uint8_t data[1500];
};

/* The server's side of one connection. */
struct peer {
	bool up, fin_sent, in_data;
	uint32_t rcv_nxt, una, nxt; /* una: sequence number of out[0] */
	uint8_t out[512];
	uint32_t n_out, sent_ms;
	char line[512];
	uint32_t n_line;
	uint8_t mail[SERVER_MAIL];
	uint32_t n_mail;
	unsigned int mails;
};

static struct peer peer[SESSIONS];
static struct frame *queue;
static uint32_t head, tail;
static unsigned int loss; /* per cent, both ways */
static uint32_t window, mss;
static const char *final_reply, *rcpt_reply;
static unsigned int commands;
static bool reset_in_data;
static uint32_t random_state;

static bool lost(void)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % 100 < loss;
}

/* ---- the generator's way out ------------------------------------------------------------------
 */

bool wire_tcp(struct sess *s, uint8_t flags, uint32_t seq, uint32_t from, uint32_t n)
{
	struct frame *f = &queue[tail % QUEUE];

	assert_true(n <= 1460);
	assert_true(tail - head < QUEUE);
	if (lost())
		return true;
	*f = (struct frame){.index = sess_index(s),
			    .seg = {.seq = seq, .ack = s->rcv_nxt, .flags = flags, .len = n}};
	assert_true(from + n <= smtp_unit_len(s) || n == 0);
	if (n)
		smtp_copy(s, f->data, from, n);
	tail++;
	return true;
}

/* ---- the server ---------------------------------------------------------------------------------
 */

static void to_client(uint32_t i, uint8_t flags, uint32_t seq, const uint8_t *p, uint32_t n)
{
	struct seg g = {.seq = seq,
			.ack = peer[i].rcv_nxt,
			.flags = flags,
			.wnd = window,
			.data = p,
			.len = n,
			.has_mss = true,
			.mss = (uint16_t)mss};

	if (!lost())
		tcp_input(&load.sess[i], &g);
}

static void transmit(uint32_t i)
{
	struct peer *p = &peer[i];
	uint8_t copy[sizeof(p->out)];
	uint32_t n = p->n_out;
	bool fin = p->fin_sent;

	memcpy(copy, p->out, n);
	p->sent_ms = load.now_ms;
	to_client(i, TH_ACK | (fin ? TH_FIN : 0), p->una, copy, n);
}

static void say(uint32_t i, const char *text)
{
	struct peer *p = &peer[i];

	memcpy(p->out + p->n_out, text, strlen(text));
	p->n_out += (uint32_t)strlen(text);
}

static void message_came(struct peer *p)
{
	/* Content of the right length, whole lines, the same letters as ever. */
	assert_int_equal(p->n_mail, load.opt.size + 3);
	assert_memory_equal(p->mail, "From: <a@", 9);
	assert_memory_equal(p->mail + p->n_mail - 5, "\r\n.\r\n", 5);
	p->mails++;
	p->n_mail = 0;
	p->in_data = false;
}

static void command(uint32_t i)
{
	struct peer *p = &peer[i];

	commands++;
	if (!strcmp(p->line, "EHLO h\r\n"))
		say(i, "250-server\r\n250-SIZE\r\n250 PIPELINING\r\n");
	else if (!strcmp(p->line, "DATA\r\n"))
		say(i, "354 go on\r\n");
	else if (!strncmp(p->line, "RCPT", 4))
		say(i, rcpt_reply);
	else if (!strcmp(p->line, "QUIT\r\n"))
		say(i, "221 bye\r\n");
	else
		say(i, "250 ok\r\n");
	p->in_data = !strcmp(p->line, "DATA\r\n");
	p->fin_sent = !strcmp(p->line, "QUIT\r\n");
	p->n_line = 0;
}

static void octet(uint32_t i, uint8_t c)
{
	struct peer *p = &peer[i];

	if (p->in_data) {
		assert_true(p->n_mail < SERVER_MAIL);
		p->mail[p->n_mail++] = c;
		if (p->n_mail >= 5 && !memcmp(p->mail + p->n_mail - 5, "\r\n.\r\n", 5)) {
			message_came(p);
			say(i, final_reply);
		}
		return;
	}
	assert_true(p->n_line < sizeof(p->line) - 1);
	p->line[p->n_line++] = (char)c;
	p->line[p->n_line] = 0;
	if (c == '\n')
		command(i);
}

static void from_client(const struct frame *f)
{
	struct peer *p = &peer[f->index];
	const struct seg *g = &f->seg;
	uint32_t acked, skip;

	if (g->flags & TH_SYN) {
		/* The same SYN again is answered again; another one is another connection. */
		if (p->rcv_nxt != g->seq + 1)
			*p = (struct peer){.rcv_nxt = g->seq + 1, .una = 7000, .mails = p->mails};
		to_client(f->index, TH_SYN | TH_ACK, 6999, NULL, 0);
		return;
	}
	if (g->flags & TH_RST || p->rcv_nxt == 0) {
		p->rcv_nxt = 0;
		return;
	}
	if (!p->up) {
		p->up = true;
		say(f->index, "220 hello\r\n");
	}
	acked = g->ack - p->una;
	if (acked && acked <= p->n_out) {
		memmove(p->out, p->out + acked, p->n_out - acked);
		p->n_out -= acked;
		p->una += acked;
	}
	skip = p->rcv_nxt - g->seq;
	if (skip < g->len) {
		if (reset_in_data && p->in_data) {
			to_client(f->index, TH_RST | TH_ACK, p->una + p->n_out, NULL, 0);
			*p = (struct peer){.mails = p->mails};
			return;
		}
		for (uint32_t k = skip; k < g->len; k++)
			octet(f->index, f->data[k]);
		p->rcv_nxt = g->seq + g->len;
	}
	if (g->flags & TH_FIN && g->seq + g->len == p->rcv_nxt) {
		p->rcv_nxt++;
		p->n_out = 0;
		p->una = g->ack;
		p->fin_sent = false;
		to_client(f->index, TH_ACK, p->una, NULL, 0);
		*p = (struct peer){.mails = p->mails};
		return;
	}
	if (p->n_out || g->len || g->seq != p->rcv_nxt)
		transmit(f->index);
}

static void one_ms(void)
{
	uint32_t end = tail; /* a millisecond from here to there */

	load.now_us += 1000;
	load.now_ms++;
	while (head != end) {
		from_client(&queue[head % QUEUE]);
		head++;
	}
	timer_run();
	for (uint32_t i = 0; i < SESSIONS; i++)
		if (peer[i].rcv_nxt && (peer[i].n_out || peer[i].fin_sent) &&
		    load.now_ms - peer[i].sent_ms >= SERVER_RTO_MS)
			transmit(i);
}

/* ---- tests
 * ---------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	static const struct load_options opt = {.active = SESSIONS,
						.ehlo = true,
						.rto_ms = 300,
						.size = 10000,
						.to_port = 25,
						.from = "a@example.net",
						.rcpt = "b@example.com",
						.helo = "h"};

	(void)state;
	memset(&load, 0, sizeof(load));
	memset(peer, 0, sizeof(peer));
	load.opt = opt;
	load.n_sess = load.sources = SESSIONS;
	load.blocks = 1;
	load.incarnations = LOAD_PORTS;
	load.now_us = 5000000;
	load.now_ms = 5000;
	load.sess = calloc(SESSIONS, sizeof(*load.sess));
	queue = calloc(QUEUE, sizeof(*queue));
	head = tail = 0;
	loss = 0;
	window = 16384;
	mss = 1460;
	final_reply = "250 taken\r\n";
	rcpt_reply = "250 ok\r\n";
	commands = 0;
	reset_in_data = false;
	random_state = 1;
	assert_non_null(load.sess);
	assert_non_null(queue);
	timer_start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	smtp_stop();
	pace_stop();
	free(load.sess);
	free(queue);
	return 0;
}

/* Sends n messages, then QUIT; true when all was over within the time. */
static bool send_messages(uint32_t n, uint32_t limit_ms)
{
	assert_int_equal(smtp_start(), 0);
	load.running = true;
	load.run_active = SESSIONS;
	load.run_messages = n;
	for (uint32_t i = 0; i < SESSIONS; i++)
		tcp_open(&load.sess[i]);
	for (uint32_t t = 0; t < limit_ms && load.messages_done < n; t++)
		one_ms();
	return load.messages_done == n;
}

static unsigned int mails(void)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < SESSIONS; i++)
		n += peer[i].mails;
	return n;
}

static void test_clean(void **state)
{
	(void)state;
	assert_true(send_messages(200, 10000));
	assert_int_equal(load.f.accepted, 200);
	assert_int_equal(mails(), 200);
	assert_int_equal(load.f.retransmits, 0);
	assert_int_equal(load.f.transaction.n, 200);
	load.ending = true;
	for (uint32_t i = 0; i < SESSIONS; i++)
		smtp_next(&load.sess[i]);
	for (uint32_t t = 0; t < 100; t++)
		one_ms();
	assert_int_equal(load.up, 0);
	assert_int_equal(load.f.lost, 0);
	for (uint32_t i = 0; i < SESSIONS; i++)
		assert_int_equal(load.sess[i].tcp, T_CLOSED);
}

static void test_loss(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 5; seed++) {
		teardown(NULL);
		setup(NULL);
		random_state = seed;
		loss = 10;
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
	window = 700;
	mss = 536;
	assert_true(send_messages(40, 100000));
	assert_int_equal(load.f.accepted, 40);
	assert_int_equal(load.f.retransmits, 0);
}

static void test_closed_window(void **state)
{
	(void)state;
	window = 0;
	assert_false(send_messages(8, 3000));
	assert_int_equal(mails(), 0);
	window = 16384;
	for (uint32_t t = 0; t < 30000 && load.messages_done < 8; t++)
		one_ms();
	assert_int_equal(load.f.accepted, 8);
	assert_int_equal(load.f.lost, 0);
}

static void test_refusals(void **state)
{
	(void)state;
	final_reply = "452-not\r\n452 now\r\n";
	assert_true(send_messages(50, 10000));
	assert_int_equal(load.f.accepted, 0);
	assert_int_equal(load.f.refused[452], 50);
	assert_int_equal(load.f.lost, 0);
}

static void test_reset(void **state)
{
	(void)state;
	reset_in_data = true;
	assert_true(send_messages(20, 60000));
	assert_int_equal(load.f.accepted, 0);
	assert_int_equal(load.f.refused[0], 20);
	assert_int_equal(load.f.lost, 20);
	reset_in_data = false;
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
	assert_int_equal(commands, 80 * 3 + SESSIONS);
	teardown(NULL);
	setup(NULL);
	load.opt.pipeline = true;
	loss = 10;
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
	rcpt_reply = "550 no\r\n";
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
		cmocka_unit_test_setup_teardown(test_clean, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loss, setup, teardown),
		cmocka_unit_test_setup_teardown(test_small_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipeline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipeline_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_loop_past_the_knee, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_probe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_connection, setup, teardown),
		cmocka_unit_test(test_histogram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
