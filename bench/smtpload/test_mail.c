/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What is sent and how: BDAT, TLS, mixes, messages of a directory, thinking, books. */

#include "bench/smtpload/test_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNKING "250-server\r\n250-chunking 1 2\r\n250-X-CHUNKING\r\n250 PIPELINING\r\n"

/* Each serial came once. */
static void each_once(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(server.got[i], 1);
}

/* ---- BDAT ----------------------------------------------------------------------------------- */

static void bdat(uint32_t chunk, bool pipeline, unsigned int loss, uint32_t n)
{
	server_teardown(NULL);
	server_setup(NULL);
	server.ehlo = CHUNKING;
	server.loss = loss;
	load.opt.bdat = true;
	load.opt.chunk = chunk;
	load.opt.pipeline = pipeline;
	assert_true(send_messages(n, 600000));
	assert_int_equal(load.f.accepted, n);
	assert_int_equal(mails(), n);
	assert_int_equal(load.f.lost, 0);
	assert_int_equal(load.f.octets, n * 10000);
	each_once(n);
	if (loss)
		return;
	assert_int_equal(load.f.retransmits, 0);
	assert_int_equal(server.chunks, n * (chunk ? (10000 + chunk - 1) / chunk : 1));
	assert_int_equal(server.commands, n * 2 + server.chunks + SESSIONS);
	assert_true(end_sessions());
}

static void test_bdat(void **state)
{
	static const uint32_t chunk[] = {0, 512, 1000, 9999, 10000, 20000};

	(void)state;
	for (unsigned int i = 0; i < sizeof(chunk) / sizeof(chunk[0]); i++)
		for (unsigned int pipeline = 0; pipeline < 2; pipeline++) {
			bdat(chunk[i], pipeline, 0, 80);
			bdat(chunk[i], pipeline, 10, 20);
		}
}

static void test_bdat_refused(void **state)
{
	(void)state;
	server.ehlo = CHUNKING;
	server.chunk_reply = "452 no room\r\n";
	load.opt.bdat = true;
	load.opt.chunk = 3000;
	assert_true(send_messages(40, 60000));
	assert_int_equal(load.f.refused[452], 40);
	assert_int_equal(load.f.accepted + load.f.lost + load.f.refused[0], 0);
	assert_int_equal(server.chunks, 40);
	assert_int_equal(mails(), 0);
	/* Pipelined, the chunks behind it are on their way: the session ends. */
	server_teardown(NULL);
	server_setup(NULL);
	server.ehlo = CHUNKING;
	server.chunk_reply = "452 no room\r\n";
	load.opt.bdat = load.opt.pipeline = true;
	load.opt.chunk = 3000;
	assert_true(send_messages(8, 60000));
	assert_int_equal(load.f.refused[452], load.messages_done);
	assert_int_equal(load.f.lost, load.messages_done);
	assert_int_equal(load.f.refused[0] + load.f.accepted, 0);
}

/* To a session in this phase, which has said as much as the window allows: the text, with so many
 * octets of its unit acknowledged. What comes too early is not believed. */
static void too_early(enum phase phase, uint32_t acked, const char *text)
{
	struct seg early = {.flags = TH_ACK,
			    .wnd = 1000,
			    .data = (const uint8_t *)text,
			    .len = (uint32_t)strlen(text)};
	struct sess *s = &load.sess[0];

	server.ehlo = CHUNKING;
	server.window = 1000;
	(void)send_messages(1, 0);
	while (s->phase != phase)
		one_ms();
	early.seq = s->rcv_nxt;
	early.ack = s->unit_seq + acked;
	assert_true(seq_lt(s->snd_una, early.ack + 1) && !seq_lt(s->snd_max, early.ack));
	tcp_input(s, &early);
	assert_int_equal(load.f.accepted, 0);
	assert_int_equal(load.f.refused[0], 1);
	assert_int_equal(s->tcp, T_CLOSED);
}

static void test_answered_too_early(void **state)
{
	static const char all[] = "250 a\r\n250 b\r\n250 c\r\n250 d\r\n250 e\r\n250 f\r\n";

	(void)state;
	too_early(P_BODY, 0, "250 ok\r\n");
	for (unsigned int i = 0; i < 4; i++) {
		/* Nothing, MAIL, the envelope, and two chunks of three without an octet. */
		static const uint32_t acked[] = {0, 27, 52, 871};

		server_teardown(NULL);
		server_setup(NULL);
		load.opt.bdat = load.opt.pipeline = true;
		load.opt.size[0].octets = 1200;
		load.opt.chunk = 400;
		too_early(P_MAIL, acked[i], all);
		assert_int_equal(load.sess[0].chunk, i == 3);
	}
}

static void test_not_offered(void **state)
{
	(void)state;
	load.opt.bdat = true;
	assert_false(send_messages(1, 60000));
	assert_int_equal(load.up, 0);
	assert_int_equal(mails(), 0);
	assert_true(load.f.not_offered >= SESSIONS);
	assert_int_equal(server.commands, 2 * load.f.not_offered); /* EHLO, QUIT */
}

/* ---- TLS ------------------------------------------------------------------------------------ */

static void tls(double share, unsigned int loss, uint32_t size, bool with_bdat, bool pipeline)
{
	server_teardown(NULL);
	server_setup(NULL);
	server_tls();
	server.loss = loss;
	load.opt.tls = share;
	load.opt.size[0].octets = size;
	load.opt.bdat = with_bdat;
	load.opt.chunk = with_bdat ? size / 3 : 0;
	load.opt.pipeline = pipeline;
	assert_true(send_messages(40, 600000));
	assert_int_equal(load.f.accepted, 40);
	assert_int_equal(load.f.lost + load.f.tls_failed, 0);
	each_once(40);
	if (loss)
		return;
	assert_int_equal(load.f.retransmits, 0);
	assert_int_equal(server.secured, (unsigned int)(share * SESSIONS));
	assert_int_equal(load.f.handshakes, server.secured);
	assert_int_equal(load.up_tls, server.secured);
	assert_true(end_sessions());
	assert_int_equal(load.up_tls, 0);
}

static void test_tls(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		tls(1, 0, 10000, i & 1, i & 2);
		tls(1, 5, 10000, i & 1, i & 2);
		tls(0.5, 0, 60000, i & 1, i & 2);
	}
	tls(0.01, 0, 1000, false, true);
}

/* RFC 3207 4.2: what comes in clear behind the 220 may be anybody's. */
static void test_tls_injected(void **state)
{
	(void)state;
	server_tls();
	load.opt.tls = 1;
	server.starttls_reply = "220 go\r\n250 injected\r\n";
	assert_false(send_messages(1, 5000));
	assert_true(load.f.tls_failed >= SESSIONS);
	assert_int_equal(load.f.handshakes + load.up, 0);
	assert_int_equal(mails(), 0);
}

static void test_tls_refused(void **state)
{
	(void)state;
	server_tls();
	load.opt.tls = 0.5;
	server.starttls_reply = "454 not now\r\n";
	assert_true(send_messages(20, 20000));
	assert_true(load.f.refused[454] >= 4);
	assert_int_equal(load.up, 4);
	assert_int_equal(load.f.handshakes, 0);
	server_teardown(NULL);
	server_setup(NULL);
	load.opt.tls = 1;
	assert_false(send_messages(1, 20000));
	assert_true(load.f.not_offered >= SESSIONS);
}

/* A flight that answers what was not all said. */
static void test_tls_too_early(void **state)
{
	(void)state;
	server_tls();
	load.opt.tls = 1;
	server.ack_behind = true;
	assert_false(send_messages(1, 2000));
	assert_true(load.f.tls_failed >= SESSIONS);
	assert_int_equal(load.f.handshakes, 0);
}

static void test_tls_garbage(void **state)
{
	static const char garbage[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	struct seg g = {.flags = TH_ACK, .wnd = 16384, .data = (const uint8_t *)garbage};
	struct sess *s = &load.sess[0];

	(void)state;
	server_tls();
	load.opt.tls = 1;
	(void)send_messages(1, 0);
	while (s->phase != P_TLS)
		one_ms();
	g.seq = s->rcv_nxt;
	g.ack = s->snd_max;
	g.len = sizeof(garbage) - 1;
	tcp_input(s, &g);
	assert_int_equal(s->tcp, T_CLOSED);
	assert_int_equal(load.f.tls_failed, 1);
}

/* ---- which messages ------------------------------------------------------------------------- */

static void test_mix(void **state)
{
	uint64_t octets = 0;
	uint32_t of[3] = {0};

	(void)state;
	load.opt.size[0] = (struct size_class){.octets = 1000, .weight = 6};
	load.opt.size[1] = (struct size_class){.octets = 3000, .weight = 3};
	load.opt.size[2] = (struct size_class){.octets = 20000, .weight = 1};
	load.opt.n_sizes = 3;
	assert_true(send_messages(500, 60000));
	each_once(500);
	for (uint32_t i = 0; i < 500; i++) {
		uint32_t k = content_pick(i);

		of[k]++;
		octets += load.opt.size[k].octets;
		assert_int_equal(contents.of[k].octets, load.opt.size[k].octets);
	}
	assert_int_equal(load.f.octets, octets);
	assert_in_range(of[0], 260, 340);
	assert_in_range(of[1], 115, 185);
	assert_in_range(of[2], 30, 75);
	for (uint32_t i = 0, same = 0; i < 500; i++, assert_true(same < 450)) {
		uint32_t k = content_pick(i);

		load.opt.seed = 2;
		same += k == content_pick(i);
		load.opt.seed = 1;
	}
}

static void test_per_session(void **state)
{
	(void)state;
	load.opt.per_session = 3;
	assert_true(send_messages(240, 60000));
	each_once(240);
	assert_in_range(server.connections, 80, 80 + SESSIONS);
	assert_int_equal(load.f.lost + load.f.open_failed, 0);
	assert_in_range(load.f.reconnected, 80 - SESSIONS, 80);
}

static void test_normalise(void **state)
{
	static const struct {
		const char *in, *out; /* out NULL: a fault */
		enum corpus_fault fault;
		uint32_t line;
	} row[] = {
		{"A: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n", CORPUS_OK, 0},
		{"A: b\n\n.x\n..\n.\n", "A: b\r\n\r\n.x\r\n..\r\n.\r\n", CORPUS_OK, 0},
		{"A: b\r c\r\rx\ry", "A: b\r\n c\r\n\r\nx\r\ny\r\n", CORPUS_OK, 0},
		{"A: b\n\r\n\n\r\rx", "A: b\r\n\r\n\r\n\r\n\r\nx\r\n", CORPUS_OK, 0},
		{"A : b", "A : b\r\n", CORPUS_OK, 0},
		{"A:", "A:\r\n", CORPUS_OK, 0},
		{"A: \xe4\n\n\xff\n", "A: \xe4\r\n\r\n\xff\r\n", CORPUS_OK, 0},
		{"", NULL, CORPUS_EMPTY, 0},
		{"From a@example.net Mon\nA: b\n\n", NULL, CORPUS_NO_HEADER, 1},
		{"\nA: b\n", NULL, CORPUS_NO_HEADER, 1},
		{": b\n", NULL, CORPUS_NO_HEADER, 1},
		{" A: b\n", NULL, CORPUS_NO_HEADER, 1},
		{"A: b\nno field\n\n", NULL, CORPUS_HEADER, 2},
		{"A: b\n\x80: c\n", NULL, CORPUS_HEADER, 2},
	};
	uint8_t out[4096];
	uint32_t n, line;

	(void)state;
	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		size_t len = strlen(row[i].in);

		assert_int_equal(
			corpus_normalise((const uint8_t *)row[i].in, (uint32_t)len, out, &n, &line),
			row[i].fault);
		if (row[i].out) {
			assert_int_equal(n, strlen(row[i].out));
			assert_memory_equal(out, row[i].out, n);
		} else {
			assert_int_equal(line, row[i].line);
		}
		assert_non_null(corpus_why(row[i].fault));
	}
	assert_int_equal(corpus_normalise((const uint8_t *)"A: b\n\nx\0y", 9, out, &n, &line),
			 CORPUS_NUL);
	assert_int_equal(line, 3);
	memset(out, 'x', 2000);
	memcpy(out, "A:", 2);
	assert_int_equal(corpus_normalise(out, 998, out + 2000, &n, &line), CORPUS_OK);
	assert_int_equal(corpus_normalise(out, 999, out + 2000, &n, &line), CORPUS_LONG_LINE);
}

static void put_file(const char *dir, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void remove_all(const char *dir)
{
	static const char *const name[] = {"a.eml", "b.eml", "bad.eml", ".hidden", "fifo"};
	char path[128];

	for (unsigned int i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, name[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/sub", dir);
	rmdir(path);
	rmdir(dir);
}

static void corpus(const char *dir, bool with_bdat)
{
	server_teardown(NULL);
	server_setup(NULL);
	server.ehlo = "250-server\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 PIPELINING\r\n";
	load.opt.n_sizes = 0;
	load.opt.corpus = dir;
	load.opt.bdat = with_bdat;
	load.opt.chunk = 512;
	load.opt.skip_bad = true;
	assert_true(send_messages(100, 20000));
	assert_int_equal(contents.n, 2);
	assert_string_equal(contents.of[0].file, "a.eml");
	assert_string_equal(contents.of[1].file, "b.eml");
	each_once(100);
	for (uint32_t i = 0, a = 0; i < 100; i++) {
		a += content_pick(i) == 0;
		if (i == 99)
			assert_in_range(a, 30, 70);
	}
}

static void test_corpus(void **state)
{
	char dir[] = "/tmp/smtpload-test-XXXXXX", path[128];

	(void)state;
	assert_non_null(mkdtemp(dir));
	load.opt.n_sizes = 0;
	load.opt.corpus = dir;
	assert_int_not_equal(smtp_start(), 0); /* nothing in it */
	smtp_stop();
	put_file(dir, "b.eml", "Subject: x\n\n.\n..a\n.b\n\xe4\n");
	put_file(dir, "a.eml", "Subject: y\r\n folded\r\n\r\nno line end");
	put_file(dir, ".hidden", "\n");
	snprintf(path, sizeof(path), "%s/sub", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(smtp_start(), 0);
	assert_int_equal(contents.n, 2);
	smtp_stop();
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_not_equal(smtp_start(), 0);
	smtp_stop();
	unlink(path);
	put_file(dir, "bad.eml", "no header at all\n");
	assert_int_not_equal(smtp_start(), 0);
	smtp_stop();
	corpus(dir, false);
	corpus(dir, true);
	remove_all(dir);
	load.opt.corpus = "/nonexistent";
	smtp_stop();
	assert_int_not_equal(smtp_start(), 0);
}

/* ---- thinking ------------------------------------------------------------------------------- */

static void test_think(void **state)
{
	(void)state;
	load.opt.think = (struct think){.kind = THINK_FIXED, .a = 100000};
	assert_false(send_messages(100000, 2000));
	/* A message takes some milliseconds, and the first one is thought about, too. */
	assert_in_range(load.messages_begun, SESSIONS * 17, SESSIONS * 19);
	each_once((uint32_t)load.messages_done);
	assert_true(load.f.transaction.max < 50000);
	load.running = false; /* who thinks now sends no more */
	for (uint32_t t = 0; t < 300; t++)
		one_ms();
	assert_int_equal(load.messages_begun, load.messages_done);
	assert_true(end_sessions());
}

static void test_think_command(void **state)
{
	(void)state;
	server_tls();
	load.opt.tls = 0.5;
	load.opt.bdat = true;
	load.opt.chunk = 4000;
	load.opt.think_command = (struct think){.kind = THINK_EVEN, .a = 20000, .b = 60000};
	assert_true(send_messages(40, 60000));
	each_once(40);
	assert_int_equal(load.f.lost, 0);
	/* Before RCPT and three chunks. */
	assert_in_range(hist_at(&load.f.transaction, 0), 4 * 20000, 4 * 60000);
	assert_in_range(load.f.transaction.max, 4 * 30000, 4 * 66000);
}

/* The server ends the session while it thinks: the message is counted once. */
static void test_think_cut(void **state)
{
	struct seg bye = {
		.flags = TH_ACK, .wnd = 16384, .data = (const uint8_t *)"421 bye\r\n", .len = 9};
	struct sess *s = &load.sess[3];

	(void)state;
	load.opt.think_command = (struct think){.kind = THINK_FIXED, .a = 1e6};
	(void)send_messages(SESSIONS, 0);
	while (s->phase != P_PAUSE)
		one_ms();
	bye.seq = s->rcv_nxt;
	bye.ack = s->snd_max;
	tcp_input(s, &bye);
	assert_int_equal(load.messages_done, 1);
	assert_int_equal(load.f.refused[421], 1);
	assert_int_equal(s->tcp, T_CLOSED);
	for (uint32_t t = 0; t < 30000; t++)
		one_ms();
	assert_int_equal(load.messages_done, SESSIONS);
	assert_int_equal(load.f.accepted, SESSIONS - 1);
}

static void test_think_time(void **state)
{
	static const struct think row[] = {
		{THINK_NOT, 5, 9}, {THINK_FIXED, 5, 9}, {THINK_EVEN, 5, 9}, {THINK_EXP, 7, 0}};
	static const double mean[] = {0, 5, 7, 7};

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		double sum = 0, least = 1e9, most = 0;

		for (unsigned int k = 0; k < 20000; k++) {
			double t = think_time(&row[i]);

			sum += t;
			least = t < least ? t : least;
			most = t > most ? t : most;
		}
		assert_true(sum / 20000 >= mean[i] * 0.97 && sum / 20000 <= mean[i] * 1.03);
		assert_true(i == 3 ||
			    (least >= row[i].a * (i > 0) && most <= (i == 2 ? 9 : mean[i])));
		assert_true(i != 3 || (least < 0.1 && most > 40));
	}
}

/* ---- books ---------------------------------------------------------------------------------- */

/* Lines of the file that have the text. */
static unsigned int lines_with(const char *path, const char *text)
{
	char line[1024];
	unsigned int n = 0;
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, text) != NULL;
	fclose(f);
	return n;
}

static void books(const char *path, const char *final, const char *rcpt, uint32_t n)
{
	server_teardown(NULL);
	server_setup(NULL);
	load.opt.books = path;
	server.final_reply = final;
	server.rcpt_reply = rcpt;
	assert_true(send_messages(n, 20000));
	assert_int_equal(books_close(), 0);
	assert_int_equal(lines_with(path, "\"id\": \""), n);
	assert_int_equal(lines_with(path, "{\"content\": 0, \"octets\": 10000, "), 1);
}

static void test_books(void **state)
{
	char path[] = "/tmp/smtpload-test-XXXXXX";

	(void)state;
	close(mkstemp(path));
	books(path, "250-2.0.0 first\r\n250 second\r\n", "250 ok\r\n", 50);
	assert_int_equal(
		lines_with(path, "\"stage\": \"content\", \"reply\": 250, \"text\": \"2.0.0 first "
				 "second\"}"),
		50);
	assert_int_equal(lines_with(path, ".00000031\""), 1);
	assert_int_equal(lines_with(path, "{\"end\": true, \"messages\": 50, \"accepted\": 50}"),
			 1);
	books(path, "550 a \"b\\c\x01\xff\r\n", "250 ok\r\n", 8);
	assert_int_equal(
		lines_with(path, "\"reply\": 550, \"text\": \"a \\\"b\\\\c\\u0001\\u00ff\"}"), 8);
	books(path, "250 ok\r\n", "450 later\r\n", 8);
	assert_int_equal(
		lines_with(path, "\"reply_us\": -1, \"stage\": \"rcpt\", \"reply\": 450, \"text\": "
				 "\"later\"}"),
		8);
	assert_int_equal(lines_with(path, "\"accepted\": 0}"), 1);
	server_teardown(NULL);
	server_setup(NULL);
	load.opt.books = path;
	server.reset_in_data = true;
	assert_true(send_messages(8, 20000));
	assert_int_equal(books_close(), 0);
	assert_int_equal(lines_with(path, "\"reply\": 0, \"text\": \"\"}"), 8);
	/* What was under way at the end may arrive: it has a line. */
	server_teardown(NULL);
	server_setup(NULL);
	load.opt.books = path;
	assert_false(send_messages(1000, 40));
	assert_true(load.messages_begun > load.messages_done);
	smtp_cut();
	assert_int_equal(books_close(), 0);
	assert_int_equal(lines_with(path, "\"id\": \""), load.messages_begun);
	assert_int_equal(lines_with(path, "\"reply\": 0, \"text\": \"\"}"),
			 load.messages_begun - load.messages_done);
	unlink(path);
	load.opt.books = "/nonexistent/books";
	assert_int_not_equal(books_open(), 0);
	assert_int_equal(books_close(), 0);
	load.opt.books = "/dev/full";
	assert_int_equal(books_open(), 0);
	assert_int_not_equal(books_close(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, server_setup, server_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bdat),        TEST(test_bdat_refused),  TEST(test_answered_too_early),
		TEST(test_not_offered), TEST(test_tls),           TEST(test_tls_injected),
		TEST(test_tls_refused), TEST(test_tls_too_early), TEST(test_tls_garbage),
		TEST(test_mix),         TEST(test_per_session),   TEST(test_normalise),
		TEST(test_corpus),      TEST(test_think),         TEST(test_think_command),
		TEST(test_think_cut),   TEST(test_think_time),    TEST(test_books),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
