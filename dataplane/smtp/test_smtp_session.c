/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Whole sessions: what the client says, what it hears. */

#include "dataplane/smtp/smtp_script.h"

#define NOT_ASCII "553 5.6.7 Non-ASCII addresses take SMTPUTF8 and plain UTF-8\r\n"

static const struct script scripts[] = {
	{"EHLO c.example.org\r\nQUIT\r\n", BANNER EHLO BYE, 0, NULL, true},
	{"HELO c.example.org\r\n" MAIL TO "DATA\r\nA: b\r\n\r\nhi\r\n.\r\nQUIT\r\n",
	 BANNER HELO SENDER RCPT GO DONE BYE, 1, "A: b\r\n\r\nhi\r\n", true},
	{S_MAIL "DATA\r\n.\r\n", H_MAIL GO DONE, 1, "", false},
	{S_MAIL "DATA\r\n..x\r\n..\r\n.\r\n", H_MAIL GO DONE, 1, ".x\r\n.\r\n", false},
	/* Two messages, everything in one go. */
	{S_MAIL "DATA\r\n1\r\n.\r\n" MAIL TO TO "DATA\r\n2\r\n.\r\nQUIT\r\n",
	 H_MAIL GO DONE SENDER RCPT RCPT GO DONE BYE, 2, "2\r\n", true},
	/* What follows QUIT is not heard. */
	{"QUIT\r\n" S_MAIL, BANNER BYE, 0, NULL, true},
	{"NOOP\r\nnoop x\r\nRSET\r\nVRFY a\r\nHELP\r\n",
	 BANNER OK OK OK "252 2.0.0 Cannot verify, send some mail and see\r\n"
	 "214 2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP: RFC 5321\r\n", 0, NULL,
	 false},
	/* Order of commands. */
	{MAIL TO "DATA\r\n", BANNER "503 5.5.1 Send EHLO or HELO first\r\n" NEED_MAIL NEED_MAIL, 0,
	 NULL, false},
	{S_MAIL MAIL "RSET\r\n" TO, H_MAIL "503 5.5.1 Sender already given\r\n" OK NEED_MAIL,
	 0, NULL, false},
	{S_MAIL "EHLO d.example.org\r\nDATA\r\n", H_MAIL EHLO NEED_MAIL, 0, NULL, false},
	{S_MAIL "DATA\r\nx\r\n.\r\n" TO, H_MAIL GO DONE NEED_MAIL, 1, "x\r\n", false},
	/* Recipients: refused ones, none left, too many. */
	{"EHLO c\r\n" MAIL "RCPT TO:<no@example.com>\r\nDATA\r\n",
	 BANNER EHLO SENDER "550 5.1.1 No such user\r\n554 5.5.1 No valid recipients\r\n", 0, NULL,
	 false},
	{"EHLO c\r\n" MAIL "RCPT TO:<no@example.com>\r\n" TO "RCPT TO:<later@example.com>\r\n"
	 "DATA\r\nx\r\n.\r\n",
	 BANNER EHLO SENDER "550 5.1.1 No such user\r\n" RCPT "450 4.2.1 Later\r\n" GO DONE, 1,
	 "x\r\n", false},
	{S_MAIL TO TO TO TO "DATA\r\nx\r\n.\r\n",
	 H_MAIL RCPT RCPT
	 "452 4.5.3 Too many recipients, send the rest in a new transaction\r\n"
	 "452 4.5.3 Too many recipients, send the rest in a new transaction\r\n" GO DONE,
	 1, "x\r\n", false},
	{"EHLO c\r\n" MAIL "RCPT TO:<bye@example.com>\r\n" TO,
	 BANNER EHLO SENDER "421 4.7.0 Go away\r\n", 0, NULL, true},
	/* An answer of control that would open DATA is not passed on. */
	{"EHLO c\r\n" MAIL "RCPT TO:<odd@example.com>\r\nDATA\r\n",
	 BANNER EHLO SENDER "451 4.3.0 Internal error, try again later\r\n"
	 "554 5.5.1 No valid recipients\r\n", 0, NULL, false},
	{"EHLO c\r\nMAIL FROM:<> SIZE=1001\r\nMAIL FROM:<> SIZE=1000\r\nRCPT TO:<postmaster>\r\n",
	 BANNER EHLO "552 5.3.4 Message size exceeds the maximum\r\n" SENDER RCPT, 0, NULL, false},
	{"EHLO c\r\n" MAIL "RCPT TO:<@r.example:b@example.com>\r\n",
	 BANNER EHLO SENDER "550 5.7.1 Source routes are not relayed\r\n", 0, NULL, false},
	/* RFC 6531: what is not ASCII comes with SMTPUTF8, for this transaction only. */
	{"EHLO c\r\nMAIL FROM:<\xc3\xa4@example.org>\r\n" MAIL "RCPT TO:<\xc3\xa4@example.com>\r\n" TO,
	 BANNER EHLO NOT_ASCII SENDER NOT_ASCII RCPT, 0, NULL, false},
	{"EHLO c\r\nMAIL FROM:<\xc3\xa4@example.org> SMTPUTF8\r\nRCPT TO:<\xc3\xb6@b\xc3\xbc.example>\r\n"
	 "DATA\r\nx\r\n.\r\n" MAIL "RCPT TO:<\xc3\xb6@b\xc3\xbc.example>\r\n",
	 BANNER EHLO SENDER RCPT GO DONE SENDER NOT_ASCII, 1, "x\r\n", false},
	{"EHLO c\r\nMAIL FROM:<> SMTPUTF8\r\nRSET\r\n" MAIL "RCPT TO:<\xc3\xb6@example.com>\r\n",
	 BANNER EHLO SENDER OK SENDER NOT_ASCII, 0, NULL, false},
	{"EHLO c\r\nRCPT TO:<\xc3\xb6@example.com>\r\nVRFY \xc3\xb6\r\nVRFY \xc3\xb6 SMTPUTF8\r\n",
	 BANNER EHLO NEED_MAIL NOT_ASCII "252 2.0.0 Cannot verify, send some mail and see\r\n", 0,
	 NULL, false},
	/* Not announced. */
	{"EHLO c\r\nSTARTTLS\r\nAUTH LOGIN\r\nEXPN a\r\n",
	 BANNER EHLO "502 5.5.1 Command not implemented\r\n502 5.5.1 Command not implemented\r\n"
	 "502 5.5.1 Command not implemented\r\n", 0, NULL, false},
	/* Lines. */
	{"EHLO c\nEHLO c\r\n", BANNER "500 5.5.2 Lines end in CRLF\r\n" EHLO, 0, NULL, false},
	{"EHLO a\rb\r\n\r\n", BANNER "500 5.5.2 Control character in command\r\n"
	 "500 5.5.1 Command not recognized\r\n", 0, NULL, false},
	{S_MAIL "DATA\nx\r\n.\r\n", H_MAIL "500 5.5.2 Lines end in CRLF\r\n"
	 "500 5.5.1 Command not recognized\r\n500 5.5.1 Command not recognized\r\n", 0, NULL,
	 false},
	/* Budget of errors: the fifth says good-bye. */
	{"A\r\nB\r\nC\r\nD\r\nE\r\nF\r\n",
	 BANNER "500 5.5.1 Command not recognized\r\n500 5.5.1 Command not recognized\r\n"
	 "500 5.5.1 Command not recognized\r\n500 5.5.1 Command not recognized\r\n"
	 "421 4.7.0 Too many errors, closing\r\n", 0, NULL, true},
	/* Other protocols. */
	{"GET / HTTP/1.1\r\nHost: x\r\n\r\n" S_MAIL,
	 BANNER "421 4.7.0 This is SMTP, closing\r\n", 0, NULL, true},
	{"EHLO c\r\nPOST / HTTP/1.1\r\n" MAIL, BANNER EHLO "421 4.7.0 This is SMTP, closing\r\n", 0,
	 NULL, true},
	{"\x16\x03\x01\x02\n" S_MAIL, BANNER, 0, NULL, true},
	/* Content that is refused: swallowed to its end, then the session goes on. */
	{S_MAIL "DATA\r\na\nb\r\n.\r\n" MAIL,
	 H_MAIL GO "554 5.6.0 Message refused: bare LF in content\r\n"
	 SENDER, 0, NULL, false},
	{S_MAIL "DATA\r\na\r.\r\n.\r\nDATA\r\n", H_MAIL GO
	 "554 5.6.0 Message refused: bare CR in content\r\n" NEED_MAIL, 0, NULL, false},
	{S_MAIL "DATA\r\na\rb\r\n.\r\n", H_MAIL GO DONE, 1, "a\rb\r\n", false},
	/* Budget of transactions: four, not five. */
	{"EHLO c\r\n" MAIL "RSET\r\n" MAIL "RSET\r\n" MAIL "RSET\r\n" MAIL "RSET\r\n" MAIL,
	 BANNER EHLO SENDER OK SENDER OK SENDER OK SENDER OK
	 "421 4.7.0 Too many messages in this session, closing\r\n", 0, NULL, true},
};

static void test_scripts(void **state)
{
	(void)state;
	run_scripts(scripts, sizeof(scripts) / sizeof(scripts[0]));
}

static void test_envelope(void **state)
{
	(void)state;
	start();
	say("EHLO [192.0.2.9]\r\n"
	    "MAIL FROM: <@r.example:\"x y\"@example.org> SIZE=77 BODY=8BITMIME\r\n");
	assert_string_equal(f->helo, "[192.0.2.9]");
	assert_string_equal(f->from, "\"x y\"@example.org");
	assert_int_equal(f->declared, 77);
	assert_int_equal(f->body, BODY_8BITMIME);
	assert_int_equal(f->proto, PROTO_ESMTP);
	say("HELO h.example.org\r\nMAIL FROM:<>\r\n");
	assert_string_equal(f->helo, "h.example.org");
	assert_string_equal(f->from, "");
	assert_int_equal(f->proto, PROTO_SMTP);
	stop();
}

/* RFC 6531 4.3: what Received will say. */
static void test_utf8_proto(void **state)
{
	(void)state;
	start();
	say("EHLO c\r\nMAIL FROM:<> SMTPUTF8\r\n");
	assert_int_equal(f->proto, PROTO_UTF8SMTP);
	assert_true(f->utf8);
	say("RSET\r\n" MAIL);
	assert_int_equal(f->proto, PROTO_ESMTP);
	assert_false(f->utf8);
	say("HELO c\r\n" MAIL);
	assert_int_equal(f->proto, PROTO_SMTP);
	stop();
}

static void test_early_talker(void **state)
{
	struct handoff_config c = fake_config();

	(void)state;
	start_with(&c);
	fake_feed(f, "EHLO c\r\n", 8, false);
	fake_feed(f, "NOOP\r\n", 6, false);
	assert_int_equal(f->held_n, 14);
	hear("");
	assert_int_equal(cnt(CNT_smtp_early_talker), 1);
	fake_answer(f);
	say("");
	hear(BANNER EHLO OK);
	say(MAIL TO "DATA\r\nx\xe9\r\n.\r\n");
	assert_int_equal(f->facts.flags, RECORD_F_EARLY_TALKER | RECORD_F_8BIT);
	assert_int_equal(smtp_session_flags(f->s), RECORD_F_EARLY_TALKER);
	stop();
}

static void refuse(uint16_t code, const char *text)
{
	struct handoff_config c = fake_config();
	struct smtp_reply r = {code, (uint8_t)(code / 100), 7, 1, str_c(text)};

	start_with(&c);
	f->asked = FAKE_NONE;
	smtp_answer_connect(f->s, &r);
}

static void test_refused_connect(void **state)
{
	(void)state;
	refuse(554, "Not you");
	hear("554 Not you\r\n");
	assert_false(f->closed);
	say(S_MAIL);
	hear("503 5.5.1 Service refused, QUIT is all that is left\r\n"
	     "503 5.5.1 Service refused, QUIT is all that is left\r\n"
	     "503 5.5.1 Service refused, QUIT is all that is left\r\n");
	assert_int_equal(f->txns, 0);
	assert_int_equal(smtp_deadline(f->s), f->now + LIMIT_REFUSED_QUIT_S * 1000);
	say("QUIT\r\n");
	hear(BYE);
	assert_true(f->closed);
	assert_int_equal(cnt(CNT_smtp_refused_connect), 1);
	stop();
	refuse(421, "Later");
	hear("421 Later\r\n");
	assert_true(f->closed);
	stop();
	/* 250 is no greeting. */
	refuse(250, "Hm");
	hear("421 4.3.2 System not accepting messages now, closing\r\n");
	assert_true(f->closed);
	stop();
}

static void test_control_down(void **state)
{
	struct handoff_config c = fake_config();

	(void)state;
	/* At CONNECT: the connection stays, nothing is taken, also when control is back. */
	fresh();
	f->down = true;
	assert_true(fake_start(f, &c));
	hear(BANNER);
	f->down = false;
	say("EHLO c\r\n" MAIL);
	hear(EHLO DOWN);
	stop();
	/* At MAIL, RCPT and end of data. */
	start();
	say("EHLO c\r\n");
	f->down = true;
	say(MAIL);
	f->down = false;
	say(MAIL);
	f->down = true;
	say(TO);
	f->down = false;
	say(TO "DATA\r\n");
	f->down = true;
	say("x\r\n.\r\n");
	f->down = false;
	say(MAIL TO "DATA\r\ny\r\n.\r\n");
	hear(BANNER EHLO DOWN SENDER DOWN RCPT GO DOWN SENDER RCPT GO DONE);
	assert_int_equal(cnt(CNT_smtp_control_down), 3);
	assert_int_equal(f->messages, 1);
	stop();
	c.down_action = DOWN_421;
	fresh();
	f->down = true;
	assert_true(fake_start(f, &c));
	hear(DOWN_BYE);
	assert_true(f->closed);
	stop();
	start_with(&c);
	fake_answer(f);
	say("EHLO c\r\n");
	f->down = true;
	say(MAIL);
	hear(BANNER EHLO DOWN_BYE);
	assert_true(f->closed);
	stop();
}

static void test_control_lost(void **state)
{
	struct handoff_config c = fake_config();
	struct smtp_reply late = {250, 2, 0, 0, STR("Too late")};

	(void)state;
	start_with(&c);
	smtp_control_lost(f->s);
	f->asked = FAKE_NONE;
	smtp_answer_connect(f->s, &late);
	say("EHLO c\r\n" MAIL);
	hear(BANNER EHLO DOWN);
	stop();
	start();
	fake_feed(f, S_MAIL "DATA\r\n", strlen(S_MAIL) + 6, false);
	assert_int_equal(smtp_phase(f->s), SMTP_PHASE_RCPT_ASKED);
	smtp_control_lost(f->s);
	f->asked = FAKE_NONE;
	/* The answer comes after all: it is not the answer to anything. */
	smtp_answer_rcpt(f->s, &late);
	say("");
	hear(BANNER EHLO SENDER DOWN "554 5.5.1 No valid recipients\r\n");
	say(TO "DATA\r\n");
	fake_feed(f, "x\r\n.\r\nNOOP\r\n", 12, false);
	assert_int_equal(smtp_phase(f->s), SMTP_PHASE_SUBMITTED);
	smtp_control_lost(f->s);
	f->asked = FAKE_NONE;
	smtp_answer_message(f->s, &late, NULL);
	say("");
	hear(RCPT GO DOWN OK);
	assert_int_equal(cnt(CNT_smtp_reply_4xx), 1);
	/* With nothing asked there is nothing to lose. */
	smtp_control_lost(f->s);
	hear("");
	stop();
}

static void test_shutdown(void **state)
{
#define DRAIN "421 4.3.2 Going down\r\n"
	(void)state;
	start();
	say(S_MAIL);
	f->out_n = 0;
	smtp_shutdown(f->s, STR("Going down"));
	hear(DRAIN);
	assert_true(f->closed && f->ends == 1);
	stop();
	/* With a recipient asked, in DATA, and with a message under way it waits. */
	start();
	fake_feed(f, S_MAIL, strlen(S_MAIL), false);
	smtp_shutdown(f->s, STR("Going down"));
	hear(BANNER EHLO SENDER);
	fake_answer(f);
	hear(RCPT DRAIN);
	stop();
	start();
	say(S_MAIL "DATA\r\nx");
	f->out_n = 0;
	smtp_shutdown(f->s, STR("Going down"));
	fake_feed(f, "\r\n.\r\n", 5, false);
	hear("");
	fake_answer(f);
	hear(DONE DRAIN);
	assert_true(f->closed && f->messages == 1);
	stop();
	/* Eviction does not wait for DATA. */
	start();
	say(S_MAIL "DATA\r\nx");
	f->out_n = 0;
	smtp_evict(f->s, STR("Going\r\n down"));
	hear("421 4.3.2 Going?? down\r\n");
	assert_true(f->closed && f->ends == 1);
	say("y\r\n.\r\n");
	assert_int_equal(f->messages, 0);
	stop();
}

static void test_eof(void **state)
{
	(void)state;
	start();
	say(S_MAIL);
	smtp_eof(f->s);
	assert_true(f->closed && f->ends == 1);
	stop();
	start();
	say(S_MAIL "DATA\r\nx\r\n");
	smtp_eof(f->s);
	assert_true(f->closed && f->ends == 1 && f->messages == 0);
	stop();
	/* Half-closed behind the dot: it still wants to know. */
	start();
	say(S_MAIL "DATA\r\n");
	fake_feed(f, "x\r\n.\r\n", 6, false);
	f->out_n = 0;
	smtp_eof(f->s);
	assert_false(f->closed);
	fake_answer(f);
	hear(DONE);
	assert_true(f->closed);
	stop();
	/* Gone while the message is judged. */
	start();
	say(S_MAIL "DATA\r\n");
	fake_feed(f, "x\r\n.\r\n", 6, false);
	smtp_session_free(f->s);
	f->s = NULL;
	assert_int_equal(cnt(CNT_smtp_client_gone), 1);
	assert_int_equal(f->ends, 0);
	stop();
}

static void test_new_config(void **state)
{
	struct handoff_config c = fake_config();
	struct smtp_config *next;

	(void)state;
	start();
	say(S_MAIL "DATA\r\n");
	c.max_message = 2;
	memcpy(c.hostname, "new.example.net", 16);
	next = smtp_config_new(&c);
	smtp_server_set_config(f->server, next);
	smtp_config_free(f->config);
	f->config = next;
	/* The message that began under the old one ends under it. */
	say("four\r\n.\r\nHELO c\r\n" MAIL TO "DATA\r\nfour\r\n.\r\n");
	hear(H_MAIL GO DONE "250 new.example.net\r\n"
	     SENDER RCPT GO "552 5.3.4 Message too big\r\n");
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_utf8_proto),
		cmocka_unit_test(test_early_talker),
		cmocka_unit_test(test_refused_connect),
		cmocka_unit_test(test_control_down),
		cmocka_unit_test(test_control_lost),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_eof),
		cmocka_unit_test(test_new_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
