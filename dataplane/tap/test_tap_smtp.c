/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The passive parser by scripts: what is told of a session, of its gaps, of what is odd in it. */

#include "dataplane/tap/test_tap_script.h"

/* The message of ENVELOPE with "hello", and nothing else. */
static void expect_hello(const char *lines, const char *rest)
{
	char want[1024];

	snprintf(want, sizeof(want), FROM_A HELLO_TEXT "%s}\n", rest);
	assert_string_equal(run(lines), want);
}

static void test_plain(void **state)
{
	(void)state;
	expect_hello(HELLO ENVELOPE "C: DATA\nS: 354 go\nC: hello\nC: .\nS: 250-a\nS: 250 b\n" BYE,
		     "\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[]");
	expect_hello(HELLO ENVELOPE "C: DATA\nS: 354 go\nC: hello\nC: .\nS: 554 5.7.1 spam\n" BYE,
		     "\"bdat\":false,\"reply\":\"554 5.7.1 spam\",\"anomalies\":[]");
	/* The null path, a path without brackets, UTF-8, and octets that are none. */
	one(run(HELLO "C: MAIL FROM:<>\nS: 250 x\nC: RCPT TO:b@example.net\nS: 250 x\n"
		      "C: RCPT TO:<\xc3\xa4@example.net>\nS: 250 x\nC: RCPT "
		      "TO:<\xff\"\\\x01@x>\nS: 250 x\n"
		      "C: DATA\nS: 354 x\nC: .\nS: 250 x\n" BYE),
	    "\"mail_from\":\"\",\"rcpt_to\":[\"b@example.net\",\"\xc3\xa4@example.net\","
	    "\"\\\\xff\\\"\\\\\\u0001@x\"],\"rcpt_refused\":[],\"size\":0,");
}

static void test_pipelining(void **state)
{
	const char *out;

	(void)state;
	expect_hello(HELLO
		     "C: MAIL FROM:<a@example.org>\nC: RCPT TO:<b@example.net>\nC: DATA\n"
		     "S: 250 x\nS: 250 x\nS: 354 x\nC: hello\nC: .\nC: QUIT\nS: 250 x\nS: 221 x\n",
		     "\"bdat\":false,\"reply\":\"250 x\",\"anomalies\":[]");
	/* MAIL refused: what was pipelined behind it is void. */
	assert_string_equal(
		run(HELLO "C: MAIL FROM:<a@example.org>\nC: RCPT TO:<b@example.net>\nC: DATA\n"
			  "S: 550 x\nS: 503 x\nS: 503 x\nC: QUIT\nS: 221 x\n"),
		"");
	assert_int_equal(counters[CNT_tap_data_refused], 1);
	/* The next transaction right behind the dot. */
	out = run(HELLO ENVELOPE
		  "C: DATA\nS: 354 x\nC: hello\nC: .\nC: MAIL FROM:<d@example.org>\n"
		  "C: RCPT TO:<e@example.net>\nC: DATA\nS: 250 one\nS: 250 x\nS: 250 x\nS: 354 x\n"
		  "C: hello\nC: .\nS: 250 two\n" BYE);
	one(out, "\"a@example.org\",\"rcpt_to\":[\"b@example.net\"],\"rcpt_refused\":[]," HELLO_TEXT
		 "\"bdat\":false,\"reply\":\"250 one\",\"anomalies\":[]");
	one(out, "\"d@example.org\",\"rcpt_to\":[\"e@example.net\"],\"rcpt_refused\":[]," HELLO_TEXT
		 "\"bdat\":false,\"reply\":\"250 two\",\"anomalies\":[]");
	assert_int_equal(lines_with(out, "\n"), 2);
}

static void test_reset(void **state)
{
	(void)state;
	expect_hello(
		HELLO
		"C: MAIL FROM:<z@example.org>\nS: 250 x\nC: RCPT TO:<z@example.net>\nS: 250 x\n"
		"C: RSET\nS: 250 x\n" ENVELOPE "C: DATA\nS: 354 go\nC: hello\nC: .\nS: 250 b\n" BYE,
		"\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[]");
	/* DATA refused, then another attempt. */
	expect_hello(
		HELLO
		"C: MAIL FROM:<z@example.org>\nS: 250 x\nC: RCPT TO:<z@example.net>\nS: 550 x\n"
		"C: DATA\nS: 554 x\nC: RSET\nS: 250 x\n" ENVELOPE
		"C: DATA\nS: 354 go\nC: hello\nC: .\nS: 250 b\n" BYE,
		"\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[]");
	/* A second MAIL: refused, and taken. */
	one(run(HELLO ENVELOPE
		"C: MAIL FROM:<z@example.org>\nS: 503 x\nC: DATA\nS: 354 go\nC: hello\nC: .\n"
		"S: 250 b\n" BYE),
	    FROM_A HELLO_TEXT "\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[\"nested_mail\"]");
	one(run(HELLO ENVELOPE
		"C: MAIL FROM:<z@example.org>\nS: 250 x\nC: RCPT TO:<y@example.net>\nS: 250 x\n"
		"C: DATA\nS: 354 go\nC: hello\nC: .\nS: 250 b\n" BYE),
	    "\"mail_from\":\"z@example.org\",\"rcpt_to\":[\"y@example.net\"]");
	/* The same without waiting for the first one's reply. */
	one(run(HELLO "C: MAIL FROM:<a@example.org>\nC: MAIL FROM:<z@example.org>\nS: 250 x\nS: 503 x\n"
		"C: RCPT TO:<b@example.net>\nS: 250 x\nC: DATA\nS: 354 go\nC: hello\nC: .\nS: 250 b\n" BYE),
	    FROM_A HELLO_TEXT "\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[\"nested_mail\"]");
	for (unsigned int pairs = 1; pairs < 2 * LIMIT_TAP_OPEN_MESSAGES; pairs++) {
		static char text[8192];
		size_t n = (size_t)sprintf(text, "%s", HELLO);

		for (unsigned int i = 0; i < pairs; i++)
			n += (size_t)sprintf(text + n, "C: MAIL FROM:<a@example.org>\nC: MAIL FROM:<z@example.org>\n"
						       "S: 250 x\nS: 250 x\nC: RSET\nS: 250 x\n");
		sprintf(text + n, "%s%s", ENVELOPE "C: DATA\nS: 354 go\nC: hello\nC: .\nS: 250 b\n", BYE);
		one(run(text), FROM_A HELLO_TEXT);
	}
}

static void test_bdat(void **state)
{
	const char *out;

	(void)state;
	expect_hello(HELLO ENVELOPE "C: BDAT 7 LAST\nC: hello\nS: 250 b\n" BYE,
		     "\"bdat\":true,\"reply\":\"250 b\",\"anomalies\":[]");
	expect_hello(
		HELLO
		"C: MAIL FROM:<a@example.org>\nC: RCPT TO:<b@example.net>\nC: BDAT 7\nC: hello\n"
		"C: BDAT 0 LAST\nC: QUIT\nS: 250 x\nS: 250 x\nS: 250 x\nS: 250 b\nS: 221 x\n",
		"\"bdat\":true,\"reply\":\"250 b\",\"anomalies\":[]");
	/* A chunk is no command, a dot no end. */
	one(run(HELLO ENVELOPE "C: BDAT 17 LAST\nC: .\nC: RSET\nC: DATA\nC: \nS: 250 b\n" BYE),
	    "\"size\":17,");
	/* A refused chunk: given up with RSET. */
	one(run(HELLO ENVELOPE "C: BDAT 7\nC: hello\nS: 552 too much\nC: RSET\nS: 250 x\n" BYE),
	    "\"complete\":false,\"incomplete\":\"aborted\",\"bdat\":true,\"reply\":\"552 too "
	    "much\"");
	/* Two messages under way. */
	out = run(HELLO "C: MAIL FROM:<a@example.org>\nC: RCPT TO:<b@example.net>\nC: BDAT 7 "
			"LAST\nC: hello\n"
			"C: MAIL FROM:<c@example.org>\nC: RCPT TO:<d@example.net>\nC: BDAT 7 "
			"LAST\nC: hello\n"
			"S: 250 x\nS: 250 x\nS: 250 one\nS: 250 x\nS: 550 x\nS: 554 two\n" BYE);
	one(out, FROM_A HELLO_TEXT "\"bdat\":true,\"reply\":\"250 one\"");
	one(out, "\"c@example.org\",\"rcpt_to\":[],\"rcpt_refused\":[\"d@example.net\"]," HELLO_TEXT
		 "\"bdat\":true,\"reply\":\"554 two\"");
	one(run(HELLO ENVELOPE "C: BDAT x LAST\nS: 501 x\n" BYE), "\"anomaly\":\"bad_bdat\"}");
}

static void test_tls(void **state)
{
	const char *out;

	(void)state;
	out = run(HELLO
		  "C: STARTTLS\nS: 220 go\nC: \x16\x03\x01 not text\nS: \x16\x03\x03 nor this\n");
	one(out, "{\"type\":\"encrypted\",\"flow\":\"192.0.2.1:40000>198.51.100.7:25\"}");
	assert_int_equal(lines_with(out, "\n"), 1);
	/* Refused: the session goes on in clear. */
	expect_hello(HELLO "C: STARTTLS\nS: 454 no\n" ENVELOPE
			   "C: DATA\nS: 354 go\nC: hello\nC: .\nS: 250 b\n" BYE,
		     "\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[]");
	/* Clear text behind STARTTLS. */
	one(run(HELLO "C: STARTTLS\nC: RSET\nS: 220 go\nC: \x16\x03\x01\n"),
	    "\"anomaly\":\"starttls_injection\"}");
	one(run("C: \x16\x03\x01 hello\nS: \x16\x03\x03 hello\n"), "\"type\":\"encrypted\"");
}

static void test_auth(void **state)
{
	(void)state;
	/* A response is no command, whatever it says; and it is printed nowhere. */
	expect_hello(HELLO "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: DATA\nS: 334 UGFzc3dvcmQ6\nC: "
			   "QUIT\nS: 235 ok\n" ENVELOPE
			   "C: DATA\nS: 354 go\nC: hello\nC: .\nS: 250 b\n" BYE,
		     "\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[]");
	expect_hello(HELLO "C: AUTH PLAIN AGEAYg==\nS: 535 no\n" ENVELOPE
			   "C: DATA\nS: 354 go\nC: hello\nC: .\nS: 250 b\n" BYE,
		     "\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[]");
	expect_hello("C: PROXY TCP4 192.0.2.9 198.51.100.7 1 25\n" HELLO ENVELOPE
		     "C: DATA\nS: 354 go\nC: hello\nC: .\nS: 250 b\n" BYE,
		     "\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[]");
}

/* Raw octets of the client as one segment. */
static const char *run_raw(const char *before, const void *p, size_t n, const char *after)
{
	memset(&c, 0, sizeof(c));
	handshake(&c, 1, 1);
	script(&c, before);
	talk(&c, TAP_CLIENT, p, n);
	script(&c, after);
	goodbye(&c);
	return play(&c);
}
#define RAW(text) text, sizeof(text) - 1
#define TO_DATA   HELLO ENVELOPE "C: DATA\nS: 354 x\n"

static void test_lines(void **state)
{
	const char *out;

	(void)state;
	/* LF alone: the server takes it or not, and says so. */
	out = run_raw(HELLO, RAW("MAIL FROM:<a@example.org>\n"),
		      "S: 250 x\nC: RCPT TO:<b@example.net>\nS: 250 x\nC: DATA\nS: 354 x\nC: "
		      "hello\nC: .\n"
		      "S: 250 x\n" BYE);
	one(out,
	    HELLO_TEXT "\"bdat\":false,\"reply\":\"250 x\",\"anomalies\":[\"bare_lf_command\"]");
	one(run_raw(TO_DATA, RAW("a\nb\r\n.\r\n"), "S: 250 x\n" BYE),
	    "\"anomalies\":[\"bare_lf\"]");
	one(run_raw(TO_DATA, RAW("a\rb\r\n.\r\n"), "S: 250 x\n" BYE),
	    "\"anomalies\":[\"bare_cr\"]");
	one(run_raw(TO_DATA, RAW("a\0b\r\n.\r\n"), "S: 250 x\n" BYE), "\"anomalies\":[\"nul\"]");
	/* A look-alike that the server did not take for the end. */
	one(run_raw(TO_DATA, RAW("a\n.\nb\r\n.\r\n"), "S: 250 x\n" BYE), "\"size\":7,\"sha256\":");
	one(run_raw(TO_DATA, RAW("a\n.\nb\r\n.\r\n"), "S: 250 x\n" BYE),
	    "\"complete\":true,\"bdat\":false,\"reply\":\"250 "
	    "x\",\"anomalies\":[\"bare_lf\",\"lookalike\"]");
	/* One that it did. */
	out = run_raw(TO_DATA, RAW("a\n.\r\nMAIL FROM:<s@example.org>\r\n"),
		      "S: 250 x\nS: 250 x\nC: RCPT TO:<b@example.net>\nS: 250 x\n" BYE);
	one(out, "\"anomaly\":\"disputed_end\"}");
	one(out, "\"mail_from\":\"a@example.org\"");
	/* Over the limit of a line. */
	{
		static char line[LIMIT_COMMAND_EXT + 50];

		memset(line, 'x', sizeof(line));
		memcpy(line + sizeof(line) - 2, "\r\n", 2);
		out = run_raw(HELLO, line, sizeof(line),
			      "S: 500 x\n" ENVELOPE
			      "C: DATA\nS: 354 x\nC: hello\nC: .\nS: 250 b\n" BYE);
		one(out,
		    HELLO_TEXT "\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[\"long_line\"]");
	}
}

static void test_replies(void **state)
{
	(void)state;
	one(run(HELLO "S: 250 unasked\n" BYE), "\"anomaly\":\"unpaired_reply\"}");
	one(run(HELLO "S: hello\n" BYE), "\"anomaly\":\"bad_reply\"}");
	assert_string_equal(run(HELLO "S: 421 shutting down\n"), "");
	one(run(TO_DATA "C: hello\nS: 452 full\nC: world\nC: .\n" BYE),
	    "\"reply\":\"452 full\",\"anomalies\":[\"early_reply\"]");
	one(run("C: EHLO c.example\nS: 220 x\nS: 250 x\n" BYE), "\"anomaly\":\"early_talk\"}");
	/* Content that did not wait. */
	one(run(HELLO ENVELOPE "C: DATA\nC: hello\nC: .\nS: 354 go\nS: 250 b\n" BYE),
	    HELLO_TEXT "\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[\"early_data\"]");
	/* And that was none: the server refused DATA, and these are commands. */
	one(run(HELLO "C: DATA\nC: MAIL FROM:<a@example.org>\nC: RCPT TO:<b@example.net>\nC: DATA\n"
		      "S: 503 x\nS: 250 x\nS: 250 x\nS: 354 x\nC: hello\nC: .\nS: 250 b\n" BYE),
	    FROM_A HELLO_TEXT "\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[\"early_data\"]");
}

static const char *without(const char *lines, enum tap_side side, const char *begin)
{
	memset(&c, 0, sizeof(c));
	handshake(&c, 1, 1);
	script(&c, lines);
	goodbye(&c);
	take_out(&c, find(&c, side, begin));
	return play(&c);
}

/* Of two messages some segment is missing. The other one is told as it is. */
static void test_gaps(void **state)
{
	static const char two[] = HELLO ENVELOPE
		"C: DATA\nS: 354 go1\nC: hello\nC: MAIL FROM:<evil@example.org>\nC: .\nS: 250 one\n"
		"C: MAIL FROM:<c@example.org>\nS: 250 second\nC: RCPT TO:<d@example.net>\nS: 251 "
		"x\nC: DATA\n"
		"S: 354 go2\nC: hello\nC: .\nS: 250 two\n" BYE;
	static const char second[] =
		"\"c@example.org\",\"rcpt_to\":[\"d@example.net\"],\"rcpt_refused\":[]," HELLO_TEXT
		"\"bdat\":false,\"reply\":\"250 two\"";
	const char *out;

	(void)state;
	out = without(two, TAP_CLIENT, "hello");
	one(out, "\"incomplete\":\"gap,7\",\"bdat\":false,\"reply\":\"250 one\"");
	one(out, second);
	/* The end of data: the server says that it was there. Its tail is no envelope. */
	out = without(two, TAP_CLIENT, ".\r\n");
	one(out, "\"incomplete\":\"gap,3\",\"bdat\":false,\"reply\":\"250 one\"");
	one(out, second);
	none(out, "evil");
	/* DATA itself. */
	out = without(two, TAP_CLIENT, "DATA");
	one(out, "\"incomplete\":\"gap,6\",\"bdat\":false,\"reply\":\"250 one\"");
	one(out, second);
	none(out, "\"evil");
	/* MAIL, RCPT of the second. */
	out = without(two, TAP_CLIENT, "MAIL FROM:<c");
	one(out, "\"reply\":\"250 one\",\"anomalies\":[]");
	one(out, "\"mail_from\":null,\"rcpt_to\":[\"d@example.net\"]");
	none(out, second);
	out = without(two, TAP_CLIENT, "RCPT TO:<d");
	one(out, "\"mail_from\":\"c@example.org\",\"rcpt_to\":[],");
	assert_int_equal(lines_with(out, "\"complete\":false"), 1);
	/* Behind an end of data that was pipelined: its reply is sure. */
	out = without(HELLO ENVELOPE
		      "C: DATA\nS: 354 go\nC: hello\nC: .\nC: MAIL FROM:<c@example.org>\n"
		      "C: RCPT TO:<d@example.net>\nS: 250 one\nS: 250 x\nS: 250 x\n" BYE,
		      TAP_CLIENT, "MAIL FROM:<c");
	one(out, FROM_A HELLO_TEXT "\"bdat\":false,\"reply\":\"250 one\"");
	/* Replies. */
	out = without(two, TAP_SERVER, "354 go1");
	one(out, "\"mail_from\":\"a@example.org\"");
	one(out, second);
	none(out, "\"evil");
	out = without(two, TAP_SERVER, "250 one");
	one(out, "\"mail_from\":\"a@example.org\",\"rcpt_to\":[\"b@example.net\"],\"rcpt_refused\":"
		 "[],\"size\":37,");
	one(out, second);
	out = without(two, TAP_SERVER, "250 second");
	one(out, second);
	assert_int_equal(lines_with(out, "\"type\":\"message\""), 2);
}

static void test_gaps_bdat(void **state)
{
	static const char lines[] =
		HELLO ENVELOPE "C: BDAT 20 LAST\nC: hello\nC: world\nC: RSET\nS: 250 one\n" ENVELOPE
			       "C: BDAT 7 LAST\nC: hello\nS: 250 two\n" BYE;
	const char *out;

	(void)state;
	/* Its length was told: the gap ends where it ends. */
	out = without(lines, TAP_CLIENT, "world");
	one(out, "\"size\":13,");
	one(out, "\"incomplete\":\"gap,7\",\"bdat\":true,\"reply\":\"250 one\"");
	one(out, HELLO_TEXT "\"bdat\":true,\"reply\":\"250 two\"");
	/* The line that told it. */
	out = without(lines, TAP_CLIENT, "BDAT 20");
	none(out, "\"size\":20,");
	/* Nothing proves that what follows is no text of a chunk. */
	one(out, "\"sha256\":\"" SHA_HELLO "\",\"complete\":false,\"incomplete\":\"unsure\","
		 "\"bdat\":true,\"reply\":\"250 two\"");
}

/* Of these lines the client's alone. */
static const char *one_sided(const char *lines)
{
	memset(&c, 0, sizeof(c));
	handshake(&c, 1, 1);
	script(&c, lines);
	goodbye(&c);
	for (unsigned int i = 0; i < c.n;)
		if (c.seg[i].side == TAP_CLIENT)
			i++;
		else
			take_out(&c, i);
	return play(&c);
}

/* One direction alone. */
static void test_one_way(void **state)
{
	static const char two[] =
		HELLO "C: AUTH LOGIN\nC: dXNlcg==\nC: cGFzcw==\nC: STARTTLS\n" ENVELOPE
		      "C: DATA\nC: RSET\nC: MAIL FROM:<c@example.org>\nC: RCPT "
		      "TO:<d@example.net>\nC: DATA\n"
		      "C: hello\nC: .\nC: MAIL FROM:<e@example.org>\nC: RCPT TO:<f@example.net>\n"
		      "C: BDAT 7 LAST\nC: hello\nC: QUIT\n";
	const char *out;

	(void)state;
	out = one_sided(two);
	one(out, "\"c@example.org\",\"rcpt_to\":[\"d@example.net\"],\"rcpt_refused\":[]," HELLO_TEXT
		 "\"bdat\":false,\"reply\":null,\"anomalies\":[]");
	one(out, "\"e@example.org\",\"rcpt_to\":[\"f@example.net\"],\"rcpt_refused\":[]," HELLO_TEXT
		 "\"bdat\":true,\"reply\":null,\"anomalies\":[]");
	assert_int_equal(lines_with(out, "\n"), 2);
	/* AUTH whose reply nobody saw, then MAIL with what we do not offer. */
	one(one_sided("C: AUTH PLAIN AGEAYg==\nC: MAIL FROM:<a@example.org> BODY=BINARYMIME\n"
		      "C: RCPT TO:<b@example.net>\nC: BDAT 7 LAST\nC: hello\nC: QUIT\n"),
	    FROM_A HELLO_TEXT "\"bdat\":true,\"reply\":null,\"anomalies\":[]");
	(void)one_sided(two);
	/* A gap in content: nothing says where it ends, so the next message begins at its MAIL. */
	take_out(&c, find(&c, TAP_CLIENT, "hello"));
	out = play(&c);
	one(out,
	    "\"c@example.org\",\"rcpt_to\":[\"d@example.net\"],\"rcpt_refused\":[],\"size\":0,");
	one(out, "\"incomplete\":\"gap,7\"");
	one(out,
	    "\"e@example.org\",\"rcpt_to\":[\"f@example.net\"],\"rcpt_refused\":[]," HELLO_TEXT);
}

static void test_many(void **state)
{
	static char lines[65536];
	size_t n = 0;
	const char *out;

	(void)state;
	n += (size_t)sprintf(lines + n, HELLO "C: MAIL FROM:<a@example.org>\n");
	for (unsigned int i = 0; i < LIMIT_TAP_RCPTS + 10; i++)
		n += (size_t)sprintf(lines + n, "C: RCPT TO:<u%u@example.net>\n", i);
	n += (size_t)sprintf(lines + n, "C: DATA\nS: 250 x\n");
	for (unsigned int i = 0; i < LIMIT_TAP_RCPTS + 10; i++)
		n += (size_t)sprintf(lines + n, i % 2 ? "S: 550 x\n" : "S: 250 x\n");
	(void)sprintf(lines + n, "S: 354 x\nC: hello\nC: .\nS: 250 b\n" BYE);
	out = run(lines);
	one(out, "\"u254@example.net\"],\"rcpt_refused\":[\"u1@example.net\"");
	one(out, "\"rcpt_more\":10,");
	one(out, HELLO_TEXT "\"bdat\":false,\"reply\":\"250 b\",\"anomalies\":[\"cut\"]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_plain, tap_setup),
		cmocka_unit_test_setup(test_pipelining, tap_setup),
		cmocka_unit_test_setup(test_reset, tap_setup),
		cmocka_unit_test_setup(test_bdat, tap_setup),
		cmocka_unit_test_setup(test_tls, tap_setup),
		cmocka_unit_test_setup(test_auth, tap_setup),
		cmocka_unit_test_setup(test_lines, tap_setup),
		cmocka_unit_test_setup(test_replies, tap_setup),
		cmocka_unit_test_setup(test_gaps, tap_setup),
		cmocka_unit_test_setup(test_gaps_bdat, tap_setup),
		cmocka_unit_test_setup(test_one_way, tap_setup),
		cmocka_unit_test_setup(test_many, tap_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
