/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What a client may say to be read otherwise by the passive parser than by its server: nothing that
 * the server took is lost, and what can not be decided is never told as whole. */

#include "dataplane/tap/test_tap_script.h"

#define UNSURE "\"complete\":false,\"incomplete\":\"unsure\","

/* The transaction that a client would hide; of `who`. */
#define HIDDEN(who)                                                                                \
	"C: MAIL FROM:<" who "@example.org>\nS: 250 x\nC: RCPT TO:<x@example.net>\nS: 250 x\n"     \
	"C: DATA\nS: 354 x\nC: hello\nC: .\nS: 250 hidden\n"
#define TOLD(who) "\"" who "@example.org\",\"rcpt_to\":[\"x@example.net\"],\"rcpt_refused\":[],"

/* A chunk without end, refused; the server reads on. */
static void test_chunk_of_commands(void **state)
{
	const char *out;

	(void)state;
	out = run(HELLO "C: BDAT 4000000000\nS: 503 x\n" HIDDEN("a") HIDDEN("c") BYE);
	one(out, TOLD("a") HELLO_TEXT);
	one(out, TOLD("c") HELLO_TEXT);
	out = run(HELLO ENVELOPE
		  "C: BDAT 4000000000 LAST\nS: 552 x\nC: RSET\nS: 250 x\n" HIDDEN("a") BYE);
	one(out, TOLD("a") HELLO_TEXT);
	/* In one go, so that the refusal comes behind. */
	out = run(HELLO "C: BDAT 4000000000\nC: MAIL FROM:<a@example.org>\nC: RCPT "
			"TO:<x@example.net>\nC: DATA\nS: 503 x\nS: 250 x\nS: 250 x\nS: 354 x\n"
			"C: hello\nC: .\nS: 250 hidden\n" HIDDEN("c") BYE);
	one(out, TOLD("a"));
	one(out, TOLD("c"));
	/* Of just the size of the commands: who swallowed them, and who read them, sound alike. */
	out = run(HELLO "C: BDAT 64\nC: MAIL FROM:<a@example.org>\nC: RCPT TO:<x@example.net>\n"
			"C: DATA\nC: 0123\nS: 503 x\nS: 250 x\nS: 250 x\nS: 354 x\n"
			"C: hello\nC: .\nS: 250 hidden\n" BYE);
	one(out, TOLD("a"));
	none(out, "\"complete\":true");
	/* More than is kept of it, before the refusal. */
	{
		static char lines[16384];
		size_t n = (size_t)sprintf(lines, HELLO "C: BDAT 4000000000\n");

		for (unsigned int i = 0; i < 400; i++)
			n += (size_t)sprintf(lines + n, "C: NOOP\n");
		n += (size_t)sprintf(lines + n, "S: 503 x\n");
		for (unsigned int i = 0; i < 400; i++)
			n += (size_t)sprintf(lines + n, "S: 250 x\n");
		sprintf(lines + n, HIDDEN("a") BYE);
		out = run(lines);
		one(out, TOLD("a"));
	}
}

/* And one that it swallows: what the text of the chunk says is no command. */
static void test_chunk_swallowed(void **state)
{
	const char *out;

	(void)state;
	/* Early, the rest comes and passes in silence. */
	out = run(HELLO ENVELOPE "C: BDAT 31\nC: hello\nS: 552 x\nC: some text of the chunk\n"
				 "C: RSET\nS: 250 x\n" ENVELOPE
				 "C: DATA\nS: 354 x\nC: hello\nC: .\nS: 250 b\n" BYE);
	one(out, "\"complete\":false,\"incomplete\":\"aborted\",\"bdat\":true,\"reply\":\"552 x\"");
	one(out, FROM_A HELLO_TEXT "\"bdat\":false,\"reply\":\"250 b\"");
	/* With a transaction in it, and a line that goes over its end. */
	out = run(HELLO ENVELOPE "C: BDAT 35\nC: hello\nS: 552 x\nC: MAIL FROM:<e@example.org>\nC: "
				 "xQUIT\nS: 221 x\n");
	none(out, "\"e@");
	out = run(HELLO ENVELOPE
		  "C: BDAT 72\nC: hello\nS: 552 x\nC: MAIL FROM:<e@example.org>\n"
		  "C: RCPT TO:<x@example.net>\nC: BDAT 5 LAST\nC: RSET\nS: 250 x\n" HIDDEN("a")
			  BYE);
	one(out, TOLD("a"));
	none(out,
	     "\"e@example.org\",\"rcpt_to\":[\"x@example.net\"],\"rcpt_refused\":[]," HELLO_TEXT);
	/* The whole chunk, then the refusal. */
	out = run(HELLO ENVELOPE "C: BDAT 13\nC: hello\nC: text\nS: 552 x\nC: RSET\nS: 250 "
				 "x\n" ENVELOPE "C: BDAT 7 LAST\nC: hello\nS: 250 b\n" BYE);
	one(out, FROM_A HELLO_TEXT "\"bdat\":true,\"reply\":\"250 b\",\"anomalies\":[]");
	/* Without end, and no word of the server: none is believed, all ends. */
	out = run(HELLO ENVELOPE "C: BDAT 4000000000\nS: 552 x\nC: MAIL FROM:<e@example.org>\n"
				 "C: RCPT TO:<x@example.net>\nC: DATA\nC: hello\nC: .\n");
	none(out, "\"complete\":true");
}

/* BDAT that our own grammar refuses: the server may take it all the same. */
static void test_odd_bdat(void **state)
{
	static const char *const odd[] = {" BDAT ", "\tBDAT ", "BDAT \t", "BDAT 00000"};
	static char lines[4096];
	const char *out;

	(void)state;
	for (unsigned int i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		snprintf(lines, sizeof(lines),
			 HELLO ENVELOPE "C: %s100 LAST\nC: MAIL FROM:<e@example.org>\nC: RCPT "
					"TO:<x@example.net>\nC: DATA\nC: 0123456789012345678901234"
					"567890123456789\nS: 250 b\n" HIDDEN("c") HIDDEN("d") BYE,
			 odd[i]);
		out = run(lines);
		one(out, "\"a@example.org\",\"rcpt_to\":[\"b@example.net\"],\"rcpt_refused\":[],"
			 "\"size\":100,");
		none(out, "\"e@");
		one(out, TOLD("c"));
		one(out, TOLD("d") HELLO_TEXT);
	}
	/* Over-long. */
	snprintf(lines, sizeof(lines),
		 HELLO ENVELOPE "C: BDAT 30 LAST%*s\nC: MAIL FROM:<e@example.org>\nC: x\nS: 250 "
				"b\n" HIDDEN("c") BYE,
		 600, "");
	out = run(lines);
	one(out, "\"size\":30,");
	none(out, "\"e@");
	one(out, TOLD("c"));
	/* A size that servers may read in several ways. */
	out = run(HELLO ENVELOPE "C: BDAT 0x48\nC: MAIL FROM:<e@example.org>\nC: RCPT "
				 "TO:<x@example.net>\nC: DATA\nC: 01234\nC: BDAT 7 LAST\nC: hello\n"
				 "S: 250 b\nS: 250 c\n" BYE);
	none(out, "\"complete\":true");
	/* White space before other commands: the reply says that it was one. */
	out = run(HELLO "C:  MAIL FROM:<a@example.org>\nS: 250 x\nC: \tRCPT TO:<b@example.net>\n"
			"S: 250 x\nC:  DATA\nS: 354 x\nC: hello\nC: .\nS: 250 b\n" BYE);
	one(out, FROM_A HELLO_TEXT);
}

static void test_nested_in_bdat(void **state)
{
	const char *out;

	(void)state;
	/* Refused: the message is that of the first MAIL. */
	out = run(HELLO ENVELOPE
		  "C: BDAT 3\nC: a\nS: 250 x\nC: MAIL FROM:<e@example.org>\nS: 503 x\n"
		  "C: RCPT TO:<x@example.net>\nS: 503 x\nC: BDAT 4 LAST\nC: bc\n"
		  "S: 250 b\n" BYE);
	one(out, "\"a@example.org\",\"rcpt_to\":[\"b@example.net\"],\"rcpt_refused\":[\"x@example."
		 "net\"],"
		 "\"size\":7,");
	one(out, "\"complete\":true,\"bdat\":true,\"reply\":\"250 b\"");
	none(out, "\"e@");
	/* The same without waiting. */
	out = run(HELLO ENVELOPE "C: BDAT 3\nC: a\nC: MAIL FROM:<e@example.org>\nC: RCPT "
				 "TO:<x@example.net>\nC: BDAT 4 LAST\nC: bc\nS: 250 x\nS: 503 x\n"
				 "S: 503 x\nS: 250 b\n" BYE);
	one(out, "\"size\":7,");
	none(out, "\"e@");
	/* Taken. */
	out = run(HELLO ENVELOPE "C: BDAT 3\nC: a\nC: MAIL FROM:<e@example.org>\nC: RCPT "
				 "TO:<x@example.net>\nC: BDAT 4 LAST\nC: bc\nS: 250 x\nS: 250 x\n"
				 "S: 250 x\nS: 250 b\n" BYE);
	one(out,
	    "\"a@example.org\",\"rcpt_to\":[\"b@example.net\"],\"rcpt_refused\":[],\"size\":3,");
	one(out, "\"incomplete\":\"aborted\"");
	one(out,
	    "\"e@example.org\",\"rcpt_to\":[\"x@example.net\"],\"rcpt_refused\":[],\"size\":4,");
}

/* More commands than can be counted off. The content holds commands; it is content. */
static void test_many_commands(void **state)
{
	static char lines[65536];
	const unsigned int many = LIMIT_TAP_PIPELINE + 300;
	size_t n = (size_t)sprintf(lines, HELLO);
	const char *out;

	(void)state;
	for (unsigned int i = 0; i < many; i++)
		n += (size_t)sprintf(lines + n, "C: NOOP\n");
	n += (size_t)sprintf(lines + n,
			     "C: MAIL FROM:<a@example.org>\nC: RCPT TO:<b@example.net>\nC: DATA\n"
			     "C: RSET\nC: MAIL FROM:<e@example.org>\nC: RCPT TO:<x@example.net>\n"
			     "C: DATA\nC: hello\nC: .\n");
	for (unsigned int i = 0; i < many + 2; i++)
		n += (size_t)sprintf(lines + n, "S: 250 x\n");
	sprintf(lines + n, "S: 354 x\nS: 250 b\n" BYE);
	/* More than may wait: no reply can be told from another. */
	none(run(lines), "\"complete\":true");
	track_options.pieces = track_options.blocks = 4096;
	out = run(lines);
	one(out, FROM_A "\"size\":71,");
	none(out, "\"e@");
	assert_int_equal(lines_with(out, "\"type\":\"message\""), 1);
}

/* Without the client's segments of this begin, up to and with the last of them. */
static const char *without(const char *lines, enum tap_side side, const char *first,
			   unsigned int many)
{
	make_script(&c, lines);
	for (unsigned int at = find(&c, side, first); many; many--)
		take_out(&c, at);
	return play(&c);
}

/* A gap hides where commands begin: what is found behind it may be text. */
static void test_behind_gap(void **state)
{
	const char *out;

	(void)state;
	/* The line of a chunk whose text looks like a transaction. */
	out = without(HELLO ENVELOPE "C: BDAT 78 LAST\nC: MAIL FROM:<e@example.org>\nC: RCPT "
				     "TO:<x@example.net>\nC: DATA\nC: hello\nC: .\nC: 01234567\n"
				     "S: 250 b\n" HIDDEN("c") HIDDEN("d") BYE,
		      TAP_CLIENT, "BDAT", 1);
	none(out,
	     "\"e@example.org\",\"rcpt_to\":[\"x@example.net\"],\"rcpt_refused\":[]," HELLO_TEXT);
	/* A short one within the lines of a transaction that was said to a reader of chunks. */
	out = without(HELLO ENVELOPE "C: BDAT 52 LAST\nC: MAIL FROM:<e@example.org>\nC: RCPT "
				     "TO:<x@example.net>\nS: 250 b\nC: BDAT 7 LAST\nC: hello\n"
				     "S: 503 x\n" HIDDEN("c") HIDDEN("d") BYE,
		      TAP_CLIENT, "BDAT 52", 1);
	none(out,
	     "\"e@example.org\",\"rcpt_to\":[\"x@example.net\"],\"rcpt_refused\":[]," HELLO_TEXT);
	one(out, TOLD("d"));
	/* DATA, with its content sent at once: the reply stands for what the gap took. */
	out = without(HELLO ENVELOPE
		      "C: DATA\nC: RSET\nC: MAIL FROM:<e@example.org>\nC: RCPT "
		      "TO:<x@example.net>\nC: DATA\nS: 354 x\nC: hello\nC: .\nS: 250 "
		      "b\n" HIDDEN("c") HIDDEN("d") BYE,
		      TAP_CLIENT, "DATA", 1);
	none(out,
	     "\"e@example.org\",\"rcpt_to\":[\"x@example.net\"],\"rcpt_refused\":[]," HELLO_TEXT);
	assert_int_equal(lines_with(out, "\"e@"), 1);
	one(out, TOLD("d"));
	/* A gap that took DATA and its 354: what the content holds is not told as whole. */
	make_script(&c,
		    HELLO "C: NOOP\nC: NOOP\n" ENVELOPE
			  "C: DATA\nS: 250 x\nS: 250 x\nS: 354 x\nC: MAIL FROM:<e@example.org>\n"
			  "C: RCPT TO:<x@example.net>\nC: DATA\nC: hello\nC: .\nS: 250 b\n" BYE);
	take_out(&c, find(&c, TAP_CLIENT, "DATA"));
	take_out(&c, find(&c, TAP_SERVER, "354"));
	out = play(&c);
	none(out, "\"complete\":true");
	/* DATA and all of the content. */
	make_script(&c, HELLO HIDDEN("c") HIDDEN("d") HIDDEN("a") BYE);
	for (unsigned int i = 0, at = find(&c, TAP_CLIENT, "DATA"); i < 3; i++)
		take_out(&c, i ? find(&c, TAP_CLIENT, i == 1 ? "hello" : ".") : at);
	out = play(&c);
	one(out, TOLD("d"));
	one(out, TOLD("a") HELLO_TEXT);
	/* A client that waits is found again with its next message. */
	out = without(HELLO HIDDEN("a") HIDDEN("c") HIDDEN("d") BYE, TAP_CLIENT, "MAIL FROM:<c", 1);
	one(out, TOLD("a") HELLO_TEXT);
	one(out, TOLD("d") HELLO_TEXT);
	assert_int_equal(lines_with(out, "\"complete\":true"), 2);
}

/* A reply more than was counted off: the message is proved by its 354, or it is not. */
static void test_doubt(void **state)
{
	const char *out;

	(void)state;
	out = run(HELLO "S: 250 more\n" HIDDEN("a") BYE);
	one(out, TOLD("a") HELLO_TEXT);
	out = run(HELLO "S: 250 more\n" ENVELOPE "C: BDAT 7 LAST\nC: hello\nS: 250 b\n" BYE);
	one(out, "\"sha256\":\"" SHA_HELLO "\"," UNSURE);
	/* One reply that two gaps share, and one that had others before it. */
	make_script(&c,
		    HELLO "C: NOOP\nC: NOOP\nC: NOOP\nS: 250 n1\nS: 250 n2\nS: 550 n3\n" ENVELOPE
			  "C: BDAT 7 LAST\nC: hello\nS: 250 b\n" BYE);
	take_out(&c, find(&c, TAP_SERVER, "250 n1"));
	out = play(&c);
	one(out, "\"sha256\":\"" SHA_HELLO "\"," UNSURE);
}

/* What a gap took is one reply, and the client waited for it: nothing is in doubt. */
static void test_one_reply_lost(void **state)
{
	static char text[3000];
	const char *out;

	(void)state;
	make_script(&c, HELLO HIDDEN("a") HIDDEN("c") ENVELOPE
		    "C: BDAT 7 LAST\nC: hello\nS: 250 b\n" BYE);
	take_out(&c, find(&c, TAP_SERVER, "250 hidden"));
	out = play(&c);
	one(out, TOLD("a") HELLO_TEXT "\"bdat\":false,\"reply\":null,");
	one(out, TOLD("c") HELLO_TEXT);
	one(out, FROM_A HELLO_TEXT "\"bdat\":true,\"reply\":\"250 b\"");
	/* And a gap in content before. */
	memset(text, 'x', sizeof(text));
	make_script(&c, HELLO ENVELOPE "C: DATA\nS: 354 x\nC: lost\nC: y\nC: .\nS: 250 x\n" HIDDEN(
				"c") ENVELOPE "C: BDAT 7 LAST\nC: hello\nS: 250 b\n" BYE);
	c.seg[find(&c, TAP_CLIENT, "lost")].p = (const uint8_t *)text;
	take_out(&c, find(&c, TAP_CLIENT, "xxx"));
	take_out(&c, find(&c, TAP_SERVER, "250 hidden"));
	out = play(&c);
	one(out, TOLD("c") HELLO_TEXT);
	one(out, FROM_A HELLO_TEXT "\"bdat\":true,\"reply\":\"250 b\"");
}

/* Commands that are missing behind one that waited for its reply. */
static void test_gap_while_waiting(void **state)
{
	const char *out;

	(void)state;
	out = without(HELLO ENVELOPE
		      "C: DATA\nC: RCPT TO:<lost@example.net>\nC: NOOP\nS: 451 x\nS: "
		      "250 x\nS: 250 x\nC: DATA\nS: 354 x\nC: hello\nC: .\nS: 250 "
		      "b\n" BYE,
		      TAP_CLIENT, "RCPT TO:<lost", 1);
	none(out, "\"complete\":true");
	one(out, "\"sha256\":\"" SHA_HELLO "\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_chunk_of_commands, tap_setup),
		cmocka_unit_test_setup(test_chunk_swallowed, tap_setup),
		cmocka_unit_test_setup(test_odd_bdat, tap_setup),
		cmocka_unit_test_setup(test_nested_in_bdat, tap_setup),
		cmocka_unit_test_setup(test_many_commands, tap_setup),
		cmocka_unit_test_setup(test_behind_gap, tap_setup),
		cmocka_unit_test_setup(test_doubt, tap_setup),
		cmocka_unit_test_setup(test_gap_while_waiting, tap_setup),
		cmocka_unit_test_setup(test_one_reply_lost, tap_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
