/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/*
 * Recipients that are open while the next ones come: whatever the client pipelines, however it is
 * cut and however late answers come, it hears what it would hear if it waited for each reply.
 */

#include "dataplane/smtp/smtp_internal.h"
#include "dataplane/smtp/smtp_script.h"

#define NO "RCPT TO:<no@example.com>\r\n"
#define LATER "RCPT TO:<later@example.com>\r\n"
#define GOODBYE "RCPT TO:<bye@example.com>\r\n"
#define NO_USER "550 5.1.1 No such user\r\n"
#define IS_LATER "450 4.2.1 Later\r\n"
#define UTF8 "RCPT TO:<\xc3\xa4@example.com>\r\n"
#define SURPLUS "452 4.5.3 Too many recipients, send the rest in a new transaction\r\n"
#define FIVE TO NO TO LATER TO
#define DRAIN "421 4.3.2 Going down\r\n"
#define ALL 1000u

/* Gives answers as long as more than `lag` recipients are open; what else is asked is answered. */
static void answer_down_to(unsigned int lag)
{
	while (f->asked != FAKE_NONE && (f->asked != FAKE_RCPT || f->n_open > lag)) {
		fake_answer(f);
		fake_feed(f, "", 0, false);
	}
}

static void drive(const char *in, size_t n, size_t first, size_t piece, unsigned int lag)
{
	for (size_t i = 0, k = first; i < n; i += k, k = piece) {
		if (k > n - i)
			k = n - i;
		fake_feed(f, in + i, k, false);
		answer_down_to(lag);
	}
	answer_down_to(0);
	assert_int_equal(f->held_n, 0);
}

/* One line after the other, each answered before the next. */
static size_t in_turn(const char *in, char *heard)
{
	size_t n;

	start();
	while (*in) {
		n = (size_t)(strchr(in, '\n') - in) + 1;
		fake_feed(f, in, n, true);
		in += n;
	}
	n = f->out_n;
	memcpy(heard, f->out, n);
	stop();
	return n;
}

static void same(const char *in, size_t first, size_t piece, unsigned int lag, const char *want,
		 size_t n)
{
	start();
	drive(in, strlen(in), first, piece, lag);
	if (f->out_n != n || memcmp(f->out, want, n) != 0)
		fail_msg("%s\ncut at %zu, then by %zu, lag %u, heard:\n%.*s\nwanted:\n%.*s", in,
			 first, piece, lag, (int)f->out_n, f->out, (int)n, want);
	assert_int_equal(f->txns, f->ends + f->messages + f->txn);
	stop();
}

/* Every cut of sessions with five recipients, answers with every delay. */
static void test_cuts(void **state)
{
	static const char *const in[] = {
		S_MAIL TO NO TO LATER "DATA\r\nx\r\n.\r\nQUIT\r\n",
		S_MAIL NO "NOOP\r\n" NO "RSET\r\n" MAIL TO TO "DATA\r\n.\r\n" MAIL TO "QUIT\r\n",
		S_MAIL "RCPT TO:b\r\n" TO "RCPT TO:<b@example.com>\n" TO TO TO "DATA\r\n.\r\n",
		"EHLO c\r\n" MAIL NO NO NO NO NO "DATA\r\nNOOP\r\n",
		S_MAIL GOODBYE TO "DATA\r\n.\r\n",
		/* Good only behind SMTPUTF8; and chunks, whose octets are no commands. */
		S_MAIL UTF8 TO "RSET\r\nMAIL FROM:<a@example.org> SMTPUTF8\r\n" UTF8 UTF8
			"DATA\r\n.\r\n",
		S_MAIL TO "BDAT 6\r\nNOOP\r\n" TO "BDAT 6 LAST\r\nRSET\r\nQUIT\r\n",
		S_MAIL TO "BDAT x\r\nNOOP\r\n",
	};
	char want[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
		size_t n = in_turn(in[i], want);

		for (unsigned int lag = 0; lag < 4; lag++) {
			for (size_t cut = 1; cut <= strlen(in[i]); cut++)
				same(in[i], cut, ALL, lag, want, n);
			for (size_t piece = 1; piece < 80; piece += 6)
				same(in[i], piece, piece, lag, want, n);
		}
	}
}

/* Every order of what may follow a recipient. */
static void test_orders(void **state)
{
	static const char *const line[] = {
		TO, NO, LATER, "RCPT TO:<b@\r\n", "RCPT TO:<b@example.com>\n", "NOOP\r\n",
		"DATA\r\n.\r\n" MAIL, "RSET\r\n" MAIL,
	};
	const unsigned int kinds = sizeof(line) / sizeof(line[0]);
	char in[1024], want[4096];

	(void)state;
	for (unsigned int i = 0; i < kinds * kinds * kinds * kinds; i++) {
		size_t n = 0;

		n += (size_t)snprintf(in, sizeof(in), "%s", S_MAIL);
		for (unsigned int k = i, j = 0; j < 4; j++, k /= kinds)
			n += (size_t)snprintf(in + n, sizeof(in) - n, "%s", line[k % kinds]);
		n = in_turn(in, want);
		same(in, ALL, ALL, ALL, want, n);
		same(in, 7, 19, i % 3, want, n);
	}
}

/* The first octets of five recipients, and how many of these were answered. */
static unsigned int five(size_t n_octets, unsigned int answers)
{
	struct handoff_config c = fake_config();
	unsigned int n = 0;

	c.max_rcpt = 10;
	start_with(&c);
	fake_answer(f);
	say("EHLO c\r\n" MAIL);
	fake_feed(f, FIVE, n_octets, false);
	for (; n < answers && f->asked == FAKE_RCPT; n++)
		fake_answer(f);
	f->out_n = 0;
	return n;
}

/* How often the text was said since five(). */
static unsigned int said(const char *text)
{
	unsigned int n = 0;

	f->out[f->out_n] = '\0';
	for (const char *p = f->out; (p = strstr(p, text)); p += strlen(text))
		n++;
	return n;
}

static unsigned int open_now(void)
{
	return f->asked == FAKE_RCPT ? f->n_open : 0;
}

/* The rest of the five, after all that were open were answered 451. */
static void goes_on(size_t octets, unsigned int answered, unsigned int open)
{
	assert_int_equal(said(DOWN), open);
	assert_int_equal(smtp_phase(f->s), SMTP_PHASE_COMMAND);
	f->asked = FAKE_NONE;
	smtp_answer_rcpt(f->s, &(struct smtp_reply){250, 2, 1, 5, STR("Too late")});
	fake_feed(f, FIVE + octets, strlen(FIVE) - octets, true);
	say("NOOP\r\n");
	assert_int_equal(said(RCPT) + said(NO_USER) + said(IS_LATER) + said(DOWN), 5 - answered);
	assert_int_equal(said("Too late"), 0);
	assert_int_equal(said(OK), 1);
	assert_int_equal(f->asked, FAKE_NONE);
}

/* What may happen while recipients are open, at every octet, with none or some answered. */
static void test_events(void **state)
{
	static const char *const end = "DATA\r\n.\r\n";

	(void)state;
	for (size_t n = strlen(TO); n <= strlen(FIVE); n++) {
		unsigned int answered = five(n, n % 3), open = open_now();

		smtp_control_lost(f->s);
		goes_on(n, answered, open);
		stop();
	}
	for (size_t n = strlen(TO); n <= strlen(FIVE); n++) {
		unsigned int open;

		five(n, 0);
		open = open_now();
		assert_true(open > 0);
		/* All goes with the deadline, also what was half said. */
		f->now = smtp_deadline(f->s);
		smtp_timeout(f->s, f->now);
		assert_int_equal(cnt(CNT_smtp_timeout), 1);
		goes_on(n, 0, open);
		stop();
		five(n, 0);
		smtp_eof(f->s);
		assert_false(f->closed);
		hear("");
		while (f->asked != FAKE_NONE) {
			assert_false(f->closed);
			fake_answer(f);
		}
		assert_int_equal(said(RCPT) + said(NO_USER) + said(IS_LATER), open);
		assert_true(f->closed && f->ends == 1);
		stop();
		five(n, 0);
		if (n % 2)
			smtp_shutdown(f->s, STR("Going down"));
		else
			smtp_evict(f->s, STR("Going down"));
		/* No more are asked; it ends with the last answer. */
		fake_feed(f, FIVE + n, strlen(FIVE) - n, false);
		fake_feed(f, end, strlen(end), false);
		assert_int_equal(open_now(), open);
		while (f->asked != FAKE_NONE) {
			assert_int_equal(said(DRAIN), 0);
			fake_answer(f);
		}
		assert_int_equal(said(RCPT) + said(NO_USER) + said(IS_LATER), open);
		assert_int_equal(said(DRAIN), 1);
		assert_true(f->closed && f->ends == 1 && f->messages == 0);
		stop();
		five(n, n % 2); /* the connection is gone */
		stop();
	}
}

/* 421 to one recipient: the others hear nothing any more, the transaction ends once. */
static void test_goodbye(void **state)
{
	(void)state;
	start();
	fake_feed(f, S_MAIL GOODBYE TO "QUIT\r\n", strlen(S_MAIL GOODBYE TO "QUIT\r\n"), false);
	assert_int_equal(f->n_open, 3);
	f->out_n = 0;
	fake_answer(f);
	fake_answer(f);
	hear(RCPT "421 4.7.0 Go away\r\n");
	assert_true(f->closed && f->ends == 1);
	assert_int_equal(f->asked, FAKE_NONE);
	smtp_answer_rcpt(f->s, &(struct smtp_reply){250, 2, 1, 5, STR("Too late")});
	smtp_control_lost(f->s);
	hear("");
	stop();
	/* A reply that does not go out: the same. */
	start();
	fake_feed(f, S_MAIL TO TO, strlen(S_MAIL TO TO), false);
	f->send_full = true;
	smtp_control_lost(f->s);
	assert_true(f->closed && f->ends == 1 && f->how == SMTP_CLOSE_ABORT);
	stop();
}

static void test_limits(void **state)
{
	struct handoff_config c = fake_config();

	(void)state;
	c.max_rcpt = 100;
	start_with(&c);
	fake_answer(f);
	say("EHLO c\r\n" MAIL);
	f->out_n = 0;
	for (unsigned int i = 0; i < 102; i++)
		fake_feed(f, TO, strlen(TO), false);
	assert_int_equal(f->n_open, LIMIT_RCPT_OPEN);
	for (unsigned int i = 0; i < 100 - LIMIT_RCPT_OPEN; i++) {
		fake_answer(f);
		fake_feed(f, "", 0, false);
		assert_int_equal(f->n_open, LIMIT_RCPT_OPEN);
	}
	answer_down_to(0);
	assert_int_equal(said(RCPT), 100);
	assert_int_equal(said(SURPLUS), 2);
	assert_int_equal(cnt(CNT_smtp_rcpt_limit), 2);
	stop();
	/* Three are accepted. A refusal makes room for another, also for one that waits. */
	start();
	say("EHLO c\r\n" MAIL);
	f->out_n = 0;
	fake_feed(f, TO NO TO TO TO, strlen(TO NO TO TO TO), false);
	assert_int_equal(f->n_open, 3);
	fake_answer(f);
	fake_feed(f, "", 0, false);
	assert_int_equal(f->n_open, 2);
	fake_answer(f);
	fake_feed(f, "", 0, false);
	assert_int_equal(f->n_open, 2);
	answer_down_to(0);
	hear(RCPT NO_USER RCPT RCPT SURPLUS);
	stop();
	/* The record holds 512, refused ones too. */
	c.max_rcpt = HANDOFF_MAX_RCPTS;
	start_with(&c);
	fake_answer(f);
	say("EHLO c\r\n" MAIL);
	f->out_n = 0;
	for (unsigned int i = 0; i < HANDOFF_MAX_RCPTS + 1; i++) {
		fake_feed(f, NO, strlen(NO), false);
		answer_down_to(LIMIT_RCPT_OPEN - 1);
	}
	answer_down_to(0);
	assert_int_equal(cnt(CNT_smtp_refused_rcpt), HANDOFF_MAX_RCPTS);
	assert_int_equal(cnt(CNT_smtp_rcpt_limit), 1);
	stop();
}

/* What cannot be asked is answered by the machine, and not before its turn. */
static void test_not_asked(void **state)
{
	(void)state;
	start();
	say("EHLO c\r\n" MAIL);
	f->out_n = 0;
	fake_feed(f, TO, strlen(TO), false);
	f->no_rcpt = true;
	fake_feed(f, TO, strlen(TO), false);
	hear("");
	assert_int_equal(f->held_n, strlen(TO));
	fake_answer(f);
	say("");
	hear(RCPT SURPLUS);
	f->no_rcpt = false;
	fake_feed(f, TO, strlen(TO), false);
	f->down = true;
	fake_feed(f, TO, strlen(TO), false);
	hear("");
	smtp_control_lost(f->s);
	f->asked = FAKE_NONE;
	say("");
	hear(DOWN DOWN);
	stop();
}

/* Parts of lines take buffers as ever; without one, the part waits. */
static void test_parts(void **state)
{
	static char longest[LIMIT_COMMAND_EXT + 3];
	struct handoff_config c = fake_config();
	uint32_t taken[64];
	unsigned int n = 0;

	(void)state;
	start_with(&c);
	fake_answer(f);
	say("EHLO c\r\n" MAIL);
	f->out_n = 0;
	fake_feed(f, TO, strlen(TO), false);
	while (n < 64 && (taken[n] = smtp_pool_get(&f->server->line)) != SMTP_NONE)
		n++;
	fake_feed(f, "RCPT TO:<b", 10, false);
	assert_int_equal(f->held_n, 10);
	while (n)
		smtp_pool_put(&f->server->line, taken[--n]);
	fake_feed(f, "@example.com>", 13, false);
	assert_int_equal(f->held_n, 0);
	fake_feed(f, "\r\n", 2, false);
	assert_int_equal(f->n_open, 2);
	/* Over-long: what it is, and its reply, have their turn. */
	memset(longest, 'x', sizeof(longest) - 1);
	fake_feed(f, longest, 100, false);
	assert_int_equal(f->held_n, 0);
	fake_feed(f, longest + 100, sizeof(longest) - 101, false);
	fake_feed(f, "more\r\nNOOP\r\n", 12, false);
	hear("");
	fake_answer(f);
	fake_feed(f, "", 0, false);
	assert_int_equal(f->held_n, sizeof(longest) - 101 + 12);
	fake_answer(f);
	say("");
	hear(RCPT RCPT "500 5.5.2 Line too long\r\n" OK);
	assert_int_equal(cnt(CNT_smtp_line_too_long), 1);
	assert_int_equal(cnt(CNT_smtp_commands), 6);
	stop();
	/* An over-long BDAT is one also if it came while recipients were open. */
	start();
	say("EHLO c\r\n" MAIL);
	f->out_n = 0;
	fake_feed(f, TO "BDAT 6 ", strlen(TO "BDAT 6 "), false);
	fake_feed(f, longest, sizeof(longest) - 1, false);
	fake_feed(f, "\r\nNOOP\r\n", 8, false);
	fake_answer(f);
	say("");
	assert_true(f->closed);
	assert_int_equal(cnt(CNT_smtp_bad_chunk), 1);
	assert_int_equal(said(OK), 0);
	stop();
}

/* The time for an answer begins with the first question, and again with every answer. */
static void test_deadline(void **state)
{
	(void)state;
	start();
	f->now = 10000;
	fake_feed(f, S_MAIL, strlen(S_MAIL), false);
	f->now = 20000;
	fake_feed(f, TO TO, strlen(TO TO), false);
	assert_int_equal(f->n_open, 3);
	assert_int_equal(smtp_deadline(f->s), 310000);
	fake_answer(f);
	assert_int_equal(smtp_deadline(f->s), 320000);
	assert_int_equal(smtp_phase(f->s), SMTP_PHASE_RCPT_ASKED);
	assert_true(smtp_waiting(f->s));
	smtp_timeout(f->s, 319999);
	assert_int_equal(smtp_phase(f->s), SMTP_PHASE_RCPT_ASKED);
	f->out_n = 0;
	smtp_timeout(f->s, 320000);
	hear(DOWN DOWN);
	assert_int_equal(smtp_phase(f->s), SMTP_PHASE_COMMAND);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_goodbye),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_not_asked),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
