/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* BDAT: whole sessions, what is refused and how far it is swallowed, clocks between chunks. */

#include "dataplane/smtp/smtp_script.h"

#define TAKEN(n) "250 2.0.0 " #n " octets taken\r\n"
#define CHUNKS "503 5.5.1 A message is coming in chunks, finish it or send RSET\r\n"
#define NESTED "503 5.5.1 Sender already given\r\n"
#define NO_RCPT "554 5.5.1 No valid recipients\r\n"
#define BAD_CHUNK "501 5.5.4 Bad chunk size, closing\r\n"
#define TOO_BIG "552 5.3.4 Message too big\r\n"
#define NO_STORAGE "452 4.3.1 Insufficient system storage, try again later\r\n"
#define TIMEOUT "421 4.4.2 Timeout, closing\r\n"
#define SLOW "421 4.4.2 Data comes too slowly, closing\r\n"
#define DRAIN "421 4.3.2 Going down\r\n"
#define EVIL "\r\n.\r\nMAIL FROM:<evil@example.org>\r\n" /* 35 octets */

static const struct script scripts[] = {
	{S_MAIL "BDAT 6 LAST\r\nA: b\r\nQUIT\r\n", H_MAIL DONE BYE, 1, "A: b\r\n", true},
	{S_MAIL "BDAT 3\r\nA: BDAT 0\r\nBDAT 3\r\nb\r\nbdat 2 last\r\n\r\nNOOP\r\n",
	 H_MAIL TAKEN(3) TAKEN(0) TAKEN(3) DONE OK, 1, "A: b\r\n\r\n", false},
	{S_MAIL "BDAT 0 LAST\r\nQUIT\r\n", H_MAIL DONE BYE, 1, "", true},
	{S_MAIL "BDAT 4\r\na\r\nbBDAT 0 LAST\r\n", H_MAIL TAKEN(4) DONE, 1, "a\r\nb", false},
	/* Nothing within a chunk means anything, nothing is unstuffed. */
	{S_MAIL "BDAT 35\r\n" EVIL "BDAT 35 LAST\r\n" EVIL MAIL, H_MAIL TAKEN(35) DONE SENDER, 1,
	 EVIL EVIL, false},
	{S_MAIL "BDAT 10 LAST\r\n..x\r\n..\r\n.", H_MAIL DONE, 1, "..x\r\n..\r\n.", false},
	{S_MAIL "BDAT 6 LAST\r\na\nb\rc\n", H_MAIL DONE, 1, "a\nb\rc\n", false},
	/* DATA and BDAT in one session, not in one transaction. */
	{S_MAIL "BDAT 3 LAST\r\n1\r\n" MAIL TO "DATA\r\n2\r\n.\r\n" MAIL TO "BDAT 3 LAST\r\n3\r\n",
	 H_MAIL DONE SENDER RCPT GO DONE SENDER RCPT DONE, 3, "3\r\n", false},
	{S_MAIL "BDAT 3\r\n1\r\nDATA\r\n" MAIL TO "BDAT 3 LAST\r\n2\r\n",
	 H_MAIL TAKEN(3) CHUNKS NESTED CHUNKS DONE, 1, "1\r\n2\r\n", false},
	/* What is allowed between chunks. */
	{S_MAIL "BDAT 3\r\n1\r\nNOOP\r\nVRFY a\r\nHELP\r\nBDAT 0 LAST\r\n",
	 H_MAIL TAKEN(3) OK "252 2.0.0 Cannot verify, send some mail and see\r\n"
	 "214 2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP: RFC 5321\r\n" DONE, 1,
	 "1\r\n", false},
	{S_MAIL "BDAT 3\r\n1\r\nWHAT\r\nBDAT 0 LAST\r\n",
	 H_MAIL TAKEN(3) "500 5.5.1 Command not recognized\r\n" DONE, 1, "1\r\n", false},
	{S_MAIL "BDAT 3\r\n1\r\nQUIT\r\nBDAT 0 LAST\r\n", H_MAIL TAKEN(3) BYE, 0, NULL, true},
	{S_MAIL "BDAT 3\r\n1\r\nXCLIENT ADDR=192.0.2.1\r\nBDAT 0 LAST\r\n",
	 H_MAIL TAKEN(3) "550 5.7.0 XCLIENT is not for you\r\n" DONE, 1, "1\r\n", false},
	/* What resets. */
	{S_MAIL "BDAT 3\r\n1\r\nRSET\r\n" MAIL TO "BDAT 3 LAST\r\n2\r\n",
	 H_MAIL TAKEN(3) OK SENDER RCPT DONE, 1, "2\r\n", false},
	{S_MAIL "BDAT 3\r\n1\r\nRSET\r\nBDAT 4 LAST\r\nQUITNOOP\r\n", H_MAIL TAKEN(3) OK NEED_MAIL OK,
	 0, NULL, false},
	{S_MAIL "BDAT 3\r\n1\r\nEHLO d\r\n" MAIL TO "DATA\r\n2\r\n.\r\n",
	 H_MAIL TAKEN(3) EHLO SENDER RCPT GO DONE, 1, "2\r\n", false},
	{S_MAIL "BDAT 3\r\n1\r\nHELO d\r\nBDAT 0 LAST\r\n", H_MAIL TAKEN(3) HELO NEED_MAIL, 0, NULL,
	 false},
	/* Out of order: the chunk is swallowed, and leaves nothing. */
	{"BDAT 6 LAST\r\nQUIT\r\nBDAT 6\r\nQUIT\r\nEHLO c\r\nBDAT 0 LAST\r\n" MAIL,
	 BANNER NEED_MAIL NEED_MAIL EHLO NEED_MAIL SENDER, 0, NULL, false},
	{S_MAIL "BDAT 3 LAST\r\n1\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
	 H_MAIL DONE NEED_MAIL NEED_MAIL OK, 1, "1\r\n", false},
	/* No recipient: the transaction has failed, as each of its chunks is told. */
	{"EHLO c\r\n" MAIL "RCPT TO:<no@example.com>\r\nBDAT 6\r\nQUIT\r\n" TO "BDAT 6\r\nQUIT\r\n" MAIL
	 "BDAT 6 LAST\r\nQUIT\r\n" MAIL,
	 BANNER EHLO SENDER "550 5.1.1 No such user\r\n" NO_RCPT CHUNKS NO_RCPT NESTED NO_RCPT SENDER,
	 0, NULL, false},
	{"EHLO c\r\n" MAIL "BDAT 6\r\nQUIT\r\nRSET\r\n" MAIL TO "BDAT 3 LAST\r\n1\r\n",
	 BANNER EHLO SENDER NO_RCPT OK SENDER RCPT DONE, 1, "1\r\n", false},
	{"EHLO c\r\n" MAIL "BDAT 0 LAST\r\n" MAIL TO "BDAT 3 LAST\r\n1\r\n",
	 BANNER EHLO SENDER NO_RCPT SENDER RCPT DONE, 1, "1\r\n", false},
	/* Over the size, from the number alone. */
	{S_MAIL "BDAT 3\r\n1\r\nBDAT 998\r\nQUIT\r\n", H_MAIL TAKEN(3), 0, NULL, false},
	{S_MAIL "BDAT 18446744073709551615 LAST\r\n" EVIL EVIL, H_MAIL, 0, NULL, false},
	/* How long the chunk is nobody knows: no more commands. */
	{S_MAIL "BDAT -1\r\n" MAIL, H_MAIL BAD_CHUNK, 0, NULL, true},
	{S_MAIL "BDAT 18446744073709551616\r\n" MAIL, H_MAIL BAD_CHUNK, 0, NULL, true},
	{"BDAT\r\n" MAIL, BANNER BAD_CHUNK, 0, NULL, true},
	{S_MAIL "BDAT 3\nabc" MAIL, H_MAIL BAD_CHUNK, 0, NULL, true},
	{S_MAIL " \tBDAT\t3\r\nabc" MAIL, H_MAIL BAD_CHUNK, 0, NULL, true},
	{S_MAIL "BDAT 3\r\nabcBDAT 3 LAST LAST\r\n" MAIL, H_MAIL TAKEN(3) BAD_CHUNK, 0, NULL, true},
};

static void test_scripts(void **state)
{
	(void)state;
	run_scripts(scripts, sizeof(scripts) / sizeof(scripts[0]));
}

static void say_chunk(const char *p, size_t n, bool last)
{
	char line[64];

	snprintf(line, sizeof(line), "BDAT %zu%s\r\n", n, last ? " LAST" : "");
	say(line);
	fake_feed(f, p, n, true);
}

/* Lines that are too long to be read are swallowed; not if they were meant as BDAT. */
static void test_over_long_line(void **state)
{
	char line[4000];

	(void)state;
	for (size_t n = 600; n < sizeof(line); n += 1100)
		for (size_t cut = 1; cut < n; cut += 83) {
			memset(line, ' ', n);
			memcpy(line, "bdat 5 LAST", 11);
			line[n - 3] = 'x';
			memcpy(line + n - 2, "\r\n", 2);
			start();
			fake_feed(f, line, cut, true);
			fake_feed(f, line + cut, n - cut, true);
			say("NOOP\r\n");
			hear(BANNER BAD_CHUNK);
			assert_true(f->closed && f->how == SMTP_CLOSE_AFTER_REPLY);
			assert_int_equal(cnt(CNT_smtp_bad_chunk), 1);
			stop();
		}
}

static void test_facts(void **state)
{
	struct handoff_config c = fake_config();
	char line[1200];

	(void)state;
	memset(line, 'x', sizeof(line));
	c.max_message = 1 << 20;
	start_with(&c);
	fake_answer(f);
	say(S_MAIL);
	/* A line goes on in the next chunk; so does CRLF. */
	say_chunk("a\r", 2, false);
	say_chunk("\nb\xe9\0", 4, false);
	say_chunk("\r\n", 2, true);
	assert_int_equal(f->facts.flags, RECORD_F_BDAT | RECORD_F_8BIT | RECORD_F_NUL);
	assert_int_equal(f->facts.size, 8);
	say(MAIL TO);
	say_chunk("a\r", 2, false);
	say_chunk("b\n", 2, true);
	assert_int_equal(f->facts.flags, RECORD_F_BDAT | RECORD_F_BARE_CR | RECORD_F_BARE_LF |
					 RECORD_F_NO_FINAL_CRLF);
	say(MAIL TO);
	for (int i = 0; i < 2; i++)
		say_chunk(line, 500, false);
	say_chunk("\r\n", 2, true);
	assert_int_equal(f->facts.flags, RECORD_F_BDAT | RECORD_F_LONG_LINE);
	/* A bare LF ends no line. */
	line[900] = '\n';
	say(MAIL TO);
	say_chunk(line, 1100, false);
	say_chunk("\r\n", 2, true);
	assert_int_equal(f->facts.flags, RECORD_F_BDAT | RECORD_F_LONG_LINE | RECORD_F_BARE_LF);
	assert_int_equal(f->messages, 4);
	assert_int_equal(cnt(CNT_smtp_lookalike), 0);
	assert_int_equal(cnt(CNT_smtp_bare_lf) + cnt(CNT_smtp_bare_cr), 0);
	assert_int_equal(cnt(CNT_smtp_message_bytes), 8 + 4 + 1002 + 1102);
	stop();
}

#define REFUSED_CR "554 5.6.0 Message refused: bare CR in content\r\n"
#define REFUSED_LINE "554 5.6.0 Message refused: line too long in content\r\n"

static void test_refused_content(void **state)
{
	struct handoff_config c = fake_config();
	char line[1200];

	(void)state;
	memset(line, 'x', sizeof(line));
	c.max_message = 1 << 20;
	c.max_line = 1100;
	c.refuse_bare_cr = 1;
	start_with(&c);
	fake_answer(f);
	say(S_MAIL);
	f->out_n = 0;
	say("BDAT 8\r\na\rb");
	assert_int_equal(f->ends, 1); /* the room is free before the chunk is whole */
	hear("");
	/* A chunk behind the refused one is not looked at, and hears the same. */
	say("cdefgBDAT 5\r\n\n.\n.\n" MAIL "BDAT 2 LAST\r\nxx");
	hear(REFUSED_CR REFUSED_CR NESTED REFUSED_CR);
	assert_int_equal(cnt(CNT_smtp_bare_cr), 1);
	assert_int_equal(cnt(CNT_smtp_reply_5xx), 1);
	assert_int_equal(cnt(CNT_smtp_lookalike), 0);
	/* Bare because nothing followed. */
	say(MAIL TO);
	say_chunk("a\r", 2, false);
	say_chunk("", 0, true);
	hear(SENDER RCPT TAKEN(2) REFUSED_CR);
	say(MAIL TO);
	say_chunk(line, 600, false);
	say_chunk(line, 600, false);
	say("RSET\r\n");
	hear(SENDER RCPT TAKEN(600) REFUSED_LINE OK);
	assert_int_equal(cnt(CNT_smtp_line_limit), 1);
	/* Several reasons: the one that is named does not hang on how the octets came. */
	say(MAIL TO "BDAT 1202 LAST\r\n");
	fake_feed(f, line, 1200, true);
	say("\rx");
	hear(SENDER RCPT REFUSED_CR);
	assert_int_equal(f->messages, 0);
	assert_int_equal(f->ends, 4);
	stop();
}

static void test_size(void **state)
{
	char block[1001];

	(void)state;
	memset(block, 'Q', sizeof(block));
	start();
	say(S_MAIL);
	f->out_n = 0;
	say_chunk(block, 1000, true);
	hear(DONE);
	say(MAIL TO);
	say_chunk(block, 600, false);
	say_chunk(block, 401, false);
	/* It would fit, but the message is lost. */
	say_chunk(block, 1, true);
	hear(SENDER RCPT TAKEN(600) TOO_BIG TOO_BIG);
	assert_int_equal(cnt(CNT_smtp_size_exceeded), 1);
	assert_int_equal(cnt(CNT_smtp_reply_5xx), 1);
	say(MAIL TO);
	say_chunk(block, 1001, true);
	hear(SENDER RCPT TOO_BIG);
	assert_int_equal(f->messages, 1);
	stop();
}

static void test_resources(void **state)
{
	struct handoff_config c = fake_config();

	(void)state;
	/* No room: also the rest of the message hears 452, and not that it were out of order. */
	start();
	f->no_arena = true;
	say(S_MAIL);
	f->out_n = 0;
	say_chunk("QUIT\r\n", 6, false);
	f->no_arena = false;
	say_chunk("QUIT\r\n", 6, true);
	say(MAIL TO);
	say_chunk("1\r\n", 3, true);
	hear(NO_STORAGE NO_STORAGE SENDER RCPT DONE);
	assert_int_equal(cnt(CNT_smtp_no_arena), 1);
	stop();
	/* Control is down at the end, or while the last chunk is empty; and was at MAIL. */
	start();
	say(S_MAIL);
	f->out_n = 0;
	say_chunk("1\r\n", 3, false);
	f->down = true;
	say_chunk("2\r\n", 3, true);
	f->down = false;
	say(MAIL TO);
	f->down = true;
	say_chunk("", 0, true);
	say(MAIL);
	say_chunk("QUIT\r\n", 6, true);
	hear(TAKEN(3) DOWN SENDER RCPT DOWN DOWN NEED_MAIL);
	f->down = false;
	say(MAIL TO);
	say_chunk("3\r\n", 3, true);
	hear(SENDER RCPT DONE);
	assert_int_equal(f->messages, 1);
	stop();
	/* Lost while the message is judged. */
	start();
	say(S_MAIL "BDAT 1 LAST\r\n");
	fake_feed(f, "xNOOP\r\n", 7, false);
	assert_int_equal(smtp_phase(f->s), SMTP_PHASE_SUBMITTED);
	f->asked = FAKE_NONE;
	f->out_n = 0;
	smtp_control_lost(f->s);
	say("");
	hear(DOWN OK);
	stop();
	/* No room for a reply. */
	start();
	say(S_MAIL);
	f->send_full = true;
	say_chunk("1\r\n", 3, false);
	assert_true(f->closed && f->how == SMTP_CLOSE_ABORT && f->ends == 1);
	stop();
	/* A new configuration is for the next message. */
	start();
	say(S_MAIL);
	f->out_n = 0;
	say_chunk("1234", 4, false);
	c.max_message = 3;
	smtp_config_free(f->config);
	f->config = smtp_config_new(&c);
	smtp_server_set_config(f->server, f->config);
	say_chunk("5678", 4, true);
	say(MAIL TO);
	say_chunk("1234", 4, true);
	hear(TAKEN(4) DONE SENDER RCPT TOO_BIG);
	stop();
}

/* One place for content: who holds it between its chunks holds it. */
static void test_content_pool(void **state)
{
	struct handoff_config c = fake_config();
	struct smtp_config *config = smtp_config_new(&c);
	struct smtp_sizes sizes = {.sessions = 3, .contents = 1};
	struct fake *g = calloc(3, sizeof(*g));
	struct smtp_server *v;

	(void)state;
	assert_non_null(g);
	v = smtp_server_new(&sizes, &fake_ops, g[0].counters);
	assert_non_null(v);
	smtp_server_set_config(v, config);
	for (int i = 0; i < 3; i++) {
		g[i].s = smtp_session_open(v, &g[i], 0);
		fake_answer(&g[i]);
		fake_feed(&g[i], S_MAIL, strlen(S_MAIL), true);
		g[i].out_n = 0;
	}
	fake_feed(&g[0], "BDAT 1\r\nx", 9, true);
	fake_feed(&g[1], "BDAT 1\r\nx", 9, true);
	assert_true(g[1].closed && g[1].ends == 1);
	assert_memory_equal(g[1].out, "421 4.3.2", 9);
	assert_int_equal(g[0].counters[CNT_smtp_no_content], 1);
	fake_feed(&g[0], "RSET\r\n", 6, true);
	fake_feed(&g[2], "BDAT 1\r\nx", 9, true);
	assert_false(g[2].closed);
	smtp_session_free(g[2].s);
	fake_feed(&g[0], "BDAT 6\r\nQUIT\r\n" MAIL TO "BDAT 1\r\nx",
		  strlen("BDAT 6\r\nQUIT\r\n" MAIL TO "BDAT 1\r\nx"), true);
	assert_false(g[0].closed);
	smtp_session_free(g[0].s);
	smtp_session_free(g[1].s);
	smtp_server_free(v);
	smtp_config_free(config);
	free(g);
}

static void pass_until(uint64_t t)
{
	assert_int_equal(smtp_deadline(f->s), t);
	smtp_timeout(f->s, t - 1);
	assert_false(f->closed);
	smtp_timeout(f->s, t);
	assert_true(f->closed);
}

static void test_deadlines(void **state)
{
	struct handoff_config c = fake_config();

	(void)state;
	c.min_rate = 0;
	/* Within a chunk: no progress. */
	start_with(&c);
	fake_answer(f);
	say(S_MAIL "BDAT 5\r\n");
	f->now += 100000;
	say("x");
	f->out_n = 0;
	pass_until(1000 + 100000 + 180000);
	hear(TIMEOUT);
	assert_int_equal(f->ends, 1);
	stop();
	/* Between two: that of a command, which a command that drips in does not move. */
	start_with(&c);
	fake_answer(f);
	say(S_MAIL);
	say_chunk("x", 1, false);
	f->now += 100000;
	say("NOOP\r\n");
	f->now += 100000;
	say("BDA");
	f->out_n = 0;
	pass_until(1000 + 100000 + 300000);
	hear(TIMEOUT);
	assert_int_equal(f->ends, 1);
	assert_int_equal(cnt(CNT_smtp_timeout), 1);
	stop();
	/* The next chunk has its own again. */
	start_with(&c);
	fake_answer(f);
	say(S_MAIL);
	say_chunk("x", 1, false);
	f->now += 200000;
	say("BDAT 3\r\n");
	pass_until(1000 + 200000 + 180000);
	stop();
	/* All chunks together: the time of DATA. */
	start_with(&c);
	fake_answer(f);
	say(S_MAIL);
	for (; f->now < 1801000; f->now += 100000)
		say_chunk("x", 1, false);
	pass_until(1801000);
	stop();
	/* Behind the last one it is over. */
	start_with(&c);
	fake_answer(f);
	say(S_MAIL);
	say_chunk("x", 1, false);
	say_chunk("x", 1, true);
	assert_int_equal(smtp_deadline(f->s), f->now + 300000);
	stop();
	/* A refused peer may swallow for as long as it may think about its QUIT. */
	start_with(&c);
	f->asked = FAKE_NONE;
	smtp_answer_connect(f->s, &(struct smtp_reply){554, 5, 7, 1, STR("Not you")});
	say("BDAT 6\r\nQUIT\r\n");
	hear("554 Not you\r\n503 5.5.1 Service refused, QUIT is all that is left\r\n");
	say("BDAT 1000000\r\nQUIT\r\n");
	pass_until(1000 + LIMIT_REFUSED_QUIT_S * 1000);
	stop();
}

/* The rate is one of the message: what passes between its chunks counts. */
static void test_rate(void **state)
{
	char block[1000];

	(void)state;
	memset(block, 'x', sizeof(block));
	for (int refused = 0; refused < 2; refused++) {
		struct handoff_config c = fake_config();

		c.max_message = refused ? 10 : 1 << 20;
		start_with(&c);
		fake_answer(f);
		say(S_MAIL);
		f->now += 5000; /* the command's */
		for (int i = 0; i < 40; i++)
			say_chunk(block, 1000, false);
		f->now += 30000;
		say("NOOP\r\n");
		f->out_n = 0;
		pass_until(6000 + 80000);
		hear(SLOW);
		assert_int_equal(cnt(CNT_smtp_slow), 1);
		stop();
	}
	/* The time that we had no room is not the client's; the chunk waits in TCP. */
	start();
	say(S_MAIL "BDAT 3\r\n");
	f->no_room = true;
	fake_feed(f, "1\r\nNOOP\r\n", 9, true);
	assert_true(smtp_waiting(f->s));
	assert_int_equal(f->held_n, 9);
	f->now += 30000;
	f->no_room = false;
	f->out_n = 0;
	fake_feed(f, "", 0, true);
	hear(TAKEN(3) OK);
	assert_false(smtp_waiting(f->s));
	pass_until(1000 + 60000 + 30000);
	stop();
	/* What is swallowed needs none. */
	start();
	f->no_room = true;
	say(MAIL "BDAT 6\r\nQUIT\r\nNOOP\r\n");
	assert_int_equal(f->held_n, 0);
	stop();
}

static void test_budgets(void **state)
{
	(void)state;
	/* Chunks out of order are errors, the further ones of a refused message are none. */
	start();
	say("EHLO c\r\n" MAIL);
	for (int i = 0; i < 20; i++)
		say_chunk("x", 1, false);
	assert_false(f->closed);
	say("RSET\r\n");
	f->out_n = 0;
	for (int i = 0; i < 4; i++)
		say_chunk("x", 1, false);
	assert_true(f->closed);
	hear(NEED_MAIL NEED_MAIL NEED_MAIL "421 4.7.0 Too many errors, closing\r\n");
	stop();
	/* Empty chunks lead nowhere. */
	start();
	say(S_MAIL);
	for (int i = 0; i < LIMIT_IDLE_COMMANDS + 3; i++)
		say_chunk("", 0, false);
	assert_false(f->closed);
	say_chunk("", 0, false);
	say_chunk("", 0, false);
	assert_true(f->closed && f->ends == 1);
	stop();
}

static void test_shutdown(void **state)
{
	(void)state;
	/* Within a chunk and between two it waits for the message and its answer. */
	for (int i = 0; i < 2; i++) {
		start();
		say(S_MAIL "BDAT 3\r\n1\r");
		if (i)
			say("\n");
		f->out_n = 0;
		assert_int_equal(smtp_phase(f->s), SMTP_PHASE_DATA);
		smtp_shutdown(f->s, STR("Going down"));
		say(i ? "" : "\n");
		say("NOOP\r\n");
		assert_false(f->closed);
		fake_feed(f, "BDAT 0 LAST\r\n", 13, false);
		hear(i ? OK : TAKEN(3) OK);
		fake_answer(f);
		hear(DONE DRAIN);
		assert_true(f->closed && f->messages == 1);
		stop();
		/* Eviction does not. */
		start();
		say(S_MAIL "BDAT 3\r\n1\r");
		if (i)
			say("\n");
		f->out_n = 0;
		smtp_evict(f->s, STR("Going down"));
		hear(DRAIN);
		assert_true(f->closed && f->ends == 1);
		say("\nBDAT 0 LAST\r\n");
		assert_int_equal(f->messages, 0);
		stop();
	}
	/* A message that is no longer sent, or refused, is not waited for. */
	start();
	say(S_MAIL);
	say_chunk("x", 1, false);
	smtp_shutdown(f->s, STR("Going down"));
	f->out_n = 0;
	say("RSET\r\n");
	hear(OK DRAIN);
	stop();
	start();
	say("EHLO c\r\n" MAIL);
	say_chunk("x", 1, false);
	assert_int_equal(smtp_phase(f->s), SMTP_PHASE_COMMAND);
	f->out_n = 0;
	smtp_shutdown(f->s, STR("Going down"));
	hear(DRAIN);
	stop();
	start();
	say("EHLO c\r\n" MAIL "BDAT 2\r\nx");
	f->out_n = 0;
	smtp_shutdown(f->s, STR("Going down"));
	hear("");
	say("x");
	hear(NO_RCPT DRAIN);
	stop();
}

static void test_eof(void **state)
{
	static const char *const at[] = {"BDAT 3\r\n", "BDAT 3\r\nx", "BDAT 3\r\nxyz",
					 "BDAT 3\r\nxyzBDAT", "BDAT 2000\r\nx",
					 "BDAT 2000 LAST\r\nx"};

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		start();
		say(S_MAIL);
		say(at[i]);
		smtp_eof(f->s);
		assert_true(f->closed && f->ends == 1 && f->messages == 0);
		stop();
		/* The connection is lost. */
		start();
		say(S_MAIL);
		say(at[i]);
		smtp_session_free(f->s);
		f->s = NULL;
		assert_int_equal(f->ends, 1);
		stop();
	}
	start();
	say(S_MAIL);
	fake_feed(f, "BDAT 1 LAST\r\nx", 14, false);
	f->out_n = 0;
	smtp_eof(f->s);
	assert_false(f->closed);
	fake_answer(f);
	hear(DONE);
	assert_true(f->closed);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts), cmocka_unit_test(test_over_long_line),
		cmocka_unit_test(test_facts), cmocka_unit_test(test_refused_content),
		cmocka_unit_test(test_size), cmocka_unit_test(test_resources),
		cmocka_unit_test(test_content_pool), cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_rate), cmocka_unit_test(test_budgets),
		cmocka_unit_test(test_shutdown), cmocka_unit_test(test_eof),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
