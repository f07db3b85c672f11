/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Deadlines, rates, sizes, budgets and pools of a session, on a clock of the test's own. */

#include "dataplane/smtp/smtp_script.h"

/* Without reply: the time is up at exactly this time, not before. */
static void pass_until(uint64_t t)
{
	assert_int_equal(smtp_deadline(f->s), t);
	smtp_timeout(f->s, t - 1);
	assert_false(f->closed);
	smtp_timeout(f->s, t);
}

#define TIMEOUT "421 4.4.2 Timeout, closing\r\n"

static void test_timeouts(void **state)
{
	struct handoff_config c = fake_config();

	(void)state;
	start();
	f->now += 5000;
	say("NOOP\r\n");
	/* A line that drips in does not buy time. */
	f->now += 200000;
	say("NOO");
	f->out_n = 0;
	pass_until(1000 + 5000 + 300000);
	hear(TIMEOUT);
	assert_true(f->closed);
	assert_int_equal(cnt(CNT_smtp_timeout), 1);
	stop();

	/* No answer to CONNECT. */
	start_with(&c);
	pass_until(1000 + 300000);
	hear(BANNER);
	stop();

	/* No answer to RCPT. */
	start();
	fake_feed(f, S_MAIL, strlen(S_MAIL), false);
	f->out_n = 0;
	pass_until(1000 + 300000);
	hear(DOWN);
	assert_int_equal(smtp_phase(f->s), SMTP_PHASE_COMMAND);
	stop();

	/* No verdict: 451, and the session lives. */
	start();
	say(S_MAIL "DATA\r\nx\r\n");
	fake_feed(f, ".\r\n", 3, false);
	f->out_n = 0;
	pass_until(1000 + 600000);
	hear("451 4.3.2 No decision in time, try again later\r\n");
	assert_int_equal(smtp_phase(f->s), SMTP_PHASE_COMMAND);
	assert_int_equal(cnt(CNT_smtp_verdict_timeout), 1);
	f->asked = FAKE_NONE;
	f->now = 601000;
	say("NOOP\r\n");
	hear(OK);
	stop();

	/* An answer that came after long does not find the next deadline passed. */
	start();
	say(S_MAIL "DATA\r\nx\r\n");
	fake_feed(f, ".\r\n", 3, false);
	fake_answer(f);
	f->out_n = 0;
	smtp_timeout(f->s, 500000);
	hear("");
	pass_until(500000 + 300000);
	hear(TIMEOUT);
	stop();
}

static void test_data_limits(void **state)
{
	struct handoff_config c = fake_config();
	char block[1000];

	(void)state;
	memset(block, 'x', sizeof(block));
	c.max_message = 1 << 20;
	c.min_rate = 0;
	/* No progress. */
	start_with(&c);
	fake_answer(f);
	say(S_MAIL "DATA\r\n");
	f->now += 100000;
	say("x");
	f->out_n = 0;
	pass_until(1000 + 100000 + 180000);
	hear(TIMEOUT);
	assert_int_equal(f->ends, 1);
	stop();
	/* Progress, but for too long. */
	start_with(&c);
	fake_answer(f);
	say(S_MAIL "DATA\r\n");
	for (f->now += 100000; f->now < 1801000; f->now += 100000)
		say("x");
	f->out_n = 0;
	pass_until(1801000);
	hear(TIMEOUT);
	stop();
	/* Too slow: 500 octets a second on average, looked at from the 60th second on. */
	c.min_rate = 500;
	start_with(&c);
	fake_answer(f);
	say(S_MAIL "DATA\r\n");
	fake_feed(f, block, 1000, true);
	f->out_n = 0;
	pass_until(1000 + 60000);
	hear("421 4.4.2 Data comes too slowly, closing\r\n");
	assert_int_equal(cnt(CNT_smtp_slow), 1);
	stop();
	/* 40 000 octets buy 80 s; a window that we closed is not the client's fault. */
	start_with(&c);
	fake_answer(f);
	say(S_MAIL "DATA\r\n");
	for (int i = 0; i < 40; i++)
		fake_feed(f, block, 1000, true);
	assert_int_equal(smtp_deadline(f->s), 1000 + 80000);
	f->now += 10000;
	f->no_room = true;
	fake_feed(f, "y", 1, true);
	assert_true(smtp_waiting(f->s));
	assert_int_equal(f->held_n, 1);
	f->now += 30000;
	f->no_room = false;
	assert_false(smtp_waiting(f->s));
	fake_feed(f, "", 0, true);
	assert_int_equal(f->held_n, 0);
	f->out_n = 0;
	pass_until(1000 + 80000 + 30000 + 2);
	hear("421 4.4.2 Data comes too slowly, closing\r\n");
	stop();
}

static void test_content_limits(void **state)
{
	struct handoff_config c = fake_config();
	char line[1101];

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	start();
	say(S_MAIL "DATA\r\n");
	say(line);
	assert_int_equal(f->ends, 1); /* the arena is free before the end of data is seen */
	say(line);
	say(".\r\nNOOP\r\n");
	hear(H_MAIL GO "552 5.3.4 Message too big\r\n" OK);
	assert_int_equal(cnt(CNT_smtp_size_exceeded), 1);
	stop();
	c.max_message = 1 << 20;
	start_with(&c);
	fake_answer(f);
	say(S_MAIL "DATA\r\n");
	f->out_n = 0;
	say(line);
	say(".\r\n");
	hear(DONE);
	assert_int_equal(f->facts.flags, RECORD_F_LONG_LINE);
	stop();
	c.max_line = 1099;
	c.refuse_bare_cr = 1;
	start_with(&c);
	fake_answer(f);
	say(S_MAIL "DATA\r\n");
	f->out_n = 0;
	say(line);
	say(".\r\n" MAIL TO "DATA\r\na\rb\r\n.\r\n");
	hear("554 5.6.0 Message refused: line too long in content\r\n" SENDER RCPT GO
		       "554 5.6.0 Message refused: bare CR in content\r\n");
	assert_int_equal(cnt(CNT_smtp_line_limit), 1);
	assert_int_equal(cnt(CNT_smtp_bare_cr), 1);
	stop();
}

static void test_resources(void **state)
{
	(void)state;
	start();
	f->no_record = true;
	say("EHLO c\r\n" MAIL TO);
	f->no_record = false;
	f->no_arena = true;
	say(MAIL TO "DATA\r\nDATA\r\n");
#define NO_STORAGE "452 4.3.1 Insufficient system storage, try again later\r\n"
	hear(BANNER EHLO NO_STORAGE NEED_MAIL SENDER RCPT NO_STORAGE NEED_MAIL);
	assert_int_equal(f->ends, 1);
	stop();
	/* No room for a reply. */
	start();
	say(S_MAIL);
	f->send_full = true;
	say("NOOP\r\nNOOP\r\n");
	assert_true(f->closed && f->how == SMTP_CLOSE_ABORT && f->ends == 1);
	stop();
}

static void test_command_lines(void **state)
{
	char line[4000];

	(void)state;
	/* Over-long lines are swallowed whole and blamed once, however they come. */
	memset(line, 'x', sizeof(line));
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	for (size_t cut = 1; cut < sizeof(line); cut += 131) {
		start();
		fake_feed(f, line, cut, true);
		fake_feed(f, line + cut, sizeof(line) - 1 - cut, true);
		say("NOOP\r\n");
		hear(BANNER "500 5.5.2 Line too long\r\n" OK);
		assert_int_equal(cnt(CNT_smtp_line_too_long), 1);
		stop();
	}
	/* A TLS hello is cut without a word; the same octet later is only an error. */
	start();
	say("\x16\x03\x01");
	hear(BANNER);
	assert_true(f->closed && f->how == SMTP_CLOSE_ABORT);
	assert_int_equal(cnt(CNT_smtp_non_smtp), 1);
	stop();
	start();
	say("NOOP\r\n\x16\x03\r\n");
	hear(BANNER OK "500 5.5.2 Control character in command\r\n");
	stop();
	/* Commands that lead nowhere. */
	start();
	for (int i = 0; i < LIMIT_IDLE_COMMANDS + 4; i++)
		say("NOOP\r\n");
	assert_false(f->closed);
	f->out_n = 0;
	say("NOOP\r\n");
	hear("421 4.7.0 Too many errors, closing\r\n");
	stop();
}

/* Sessions with half a line each: one more than there are line buffers. */
static void test_line_pool(void **state)
{
	enum { N = 65 };
	struct handoff_config c = fake_config();
	struct smtp_config *config = smtp_config_new(&c);
	struct smtp_server *v;
	struct fake *g = calloc(N + 1, sizeof(*g));

	(void)state;
	assert_non_null(g);
	v = smtp_server_new(&(struct smtp_sizes){.sessions = N}, &fake_ops, g[0].counters);
	assert_non_null(v);
	assert_null(smtp_session_open(v, &g[0], 0));
	smtp_server_set_config(v, config);
	for (int i = 0; i < N; i++) {
		g[i].s = smtp_session_open(v, &g[i], 0);
		assert_non_null(g[i].s);
		fake_answer(&g[i]);
		g[i].out_n = 0;
		fake_feed(&g[i], "NO", 2, true);
		assert_int_equal(g[i].closed, i == N - 1);
	}
	assert_null(smtp_session_open(v, &g[N], 0));
	assert_int_equal(g[0].counters[CNT_smtp_no_line_buffer], 1);
	assert_memory_equal(g[N - 1].out, "421 4.3.2", 9);
	/* Buffers come back, with the line and with the session. */
	fake_feed(&g[0], "OP\r\n", 4, true);
	assert_int_equal(g[0].out_n, strlen(OK));
	smtp_session_free(g[1].s);
	smtp_session_free(g[N - 1].s);
	for (int i = 0; i < 2; i++) {
		memset(&g[N], 0, sizeof(g[N]));
		g[N].s = smtp_session_open(v, &g[N], 0);
		assert_non_null(g[N].s);
		fake_answer(&g[N]);
		fake_feed(&g[N], "NO", 2, true);
		assert_false(g[N].closed);
	}
	smtp_server_free(v);
	smtp_config_free(config);
	free(g);
}

/* The beginning of a line over 256 octets moves to a long buffer, and is the same line. */
static void test_long_lines(void **state)
{
	enum { N = 65 };
	struct handoff_config c = fake_config();
	struct smtp_config *config = smtp_config_new(&c);
	struct smtp_sizes sizes = {.sessions = N, .lines = N, .long_lines = 2, .contents = 1};
	struct fake *g = calloc(N, sizeof(*g));
	char line[700], name[256];
	struct smtp_server *v;

	(void)state;
	assert_non_null(g);
	memset(line, 'x', sizeof(line));
	memset(name, 'n', sizeof(name));
	v = smtp_server_new(&sizes, &fake_ops, g[0].counters);
	assert_non_null(v);
	smtp_server_set_config(v, config);
	for (int i = 0; i < 4; i++) {
		g[i].s = smtp_session_open(v, &g[i], 0);
		fake_answer(&g[i]);
		g[i].out_n = 0;
		fake_feed(&g[i], "NOOP ", 5, true);
		fake_feed(&g[i], line, 240, true);
		assert_false(g[i].closed);
		fake_feed(&g[i], line, 300, true);
		assert_int_equal(g[i].closed, i >= 2);
	}
	assert_int_equal(g[0].counters[CNT_smtp_no_line_buffer], 2);
	fake_feed(&g[0], "\r\n", 2, true);
	assert_memory_equal(g[0].out, "500 5.5.2", 9); /* over 512 octets, and parsed whole */
	/* Long names are kept as well, for the next message. */
	for (int i = 3; i < 255; i += 50)
		name[i] = '.';
	name[252] = '\0';
	for (int k = 0; k < 2; k++) {
		fake_feed(&g[0], "EHLO ", 5, true);
		fake_feed(&g[0], name, k ? 20 : 252, true);
		fake_feed(&g[0], "\r\n" MAIL "RSET\r\n", strlen("\r\n" MAIL "RSET\r\n"), true);
		assert_int_equal(strlen(g[0].helo), k ? 20 : 252);
		assert_memory_equal(g[0].helo, name, k ? 20 : 252);
	}
	/* One in DATA; the next gets 452 and keeps its session. */
	g[2].closed = g[3].closed = false;
	for (int i = 2; i < 4; i++) {
		smtp_session_free(g[i].s);
		g[i] = (struct fake){.s = smtp_session_open(v, &g[i], 0), .asked = FAKE_CONNECT};
		fake_answer(&g[i]);
		g[i].out_n = 0;
		fake_feed(&g[i], S_MAIL "DATA\r\n", strlen(S_MAIL "DATA\r\n"), true);
		assert_int_equal(smtp_phase(g[i].s), i == 2 ? SMTP_PHASE_DATA : SMTP_PHASE_COMMAND);
	}
	assert_int_equal(g[0].counters[CNT_smtp_no_content], 1);
	fake_feed(&g[2], "x\r\n.\r\n", 6, true);
	fake_feed(&g[3], S_MAIL "DATA\r\n", strlen(S_MAIL "DATA\r\n"), true);
	assert_int_equal(smtp_phase(g[3].s), SMTP_PHASE_DATA);
	smtp_server_free(v);
	smtp_config_free(config);
	free(g);
}

/* Every session is found by its deadline, once, whatever moved meanwhile; none before its time. */
static void test_wheel(void **state)
{
	enum { N = 300 };
	struct handoff_config c = fake_config();
	struct fake *g = calloc(N, sizeof(*g));
	struct smtp_sizes sizes = {.sessions = N};
	struct smtp_config *config;
	struct smtp_server *v;
	struct smtp_session *s;
	uint64_t now = 77777, last = 0;
	unsigned int found = 0, seed = 1, budget;

	(void)state;
	assert_non_null(g);
	c.command_timeout_s = 4000; /* more than a turn of the wheel */
	config = smtp_config_new(&c);
	v = smtp_server_new(&sizes, &fake_ops, g[0].counters);
	assert_non_null(v);
	smtp_server_set_config(v, config);
	budget = 10;
	assert_null(smtp_expired(v, now, &budget));
	for (int i = 0; i < N; i++) {
		now += (seed = seed * 1103515245 + 12345) / 65536 % 3000;
		g[i].s = smtp_session_open(v, &g[i], now);
		g[i].now = now;
		fake_answer(&g[i]);
		if (i % 3 == 0) /* DATA: sooner, then later again */
			fake_feed(&g[i], S_MAIL "DATA\r\nx\r\n.\r\n",
				  strlen(S_MAIL "DATA\r\nx\r\n.\r\n"), true);
		if (i % 7 == 0) {
			smtp_session_free(g[i].s);
			g[i].s = NULL;
			found++;
		}
	}
	for (; found < N && now < 20000000; now += 500) {
		budget = 50;
		while ((s = smtp_expired(v, now, &budget))) {
			struct fake *k = smtp_owner(s);
			bool soft = smtp_deadline(s) <= now;

			assert_true(soft); /* never before its time */
			assert_true(now - smtp_deadline(s) < 2500);
			last = smtp_deadline(s);
			smtp_timeout(s, now);
			if (k->closed) {
				found++;
				smtp_session_free(s);
				k->s = NULL;
			}
		}
	}
	assert_int_equal(found, N);
	assert_true(last > 4000000);
	budget = 10;
	assert_null(smtp_expired(v, now, &budget));
	smtp_server_free(v);
	smtp_config_free(config);
	free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_data_limits),
		cmocka_unit_test(test_content_limits),
		cmocka_unit_test(test_resources),
		cmocka_unit_test(test_command_lines),
		cmocka_unit_test(test_line_pool),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_wheel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
