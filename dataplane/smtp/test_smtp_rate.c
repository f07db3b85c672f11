/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* How fast content must come, and what the modes of a limit make of who passes it. */

#include "dataplane/smtp/smtp_script.h"

#define SLOW "421 4.4.2 Data comes too slowly, closing\r\n"
#define TIMEOUT "421 4.4.2 Timeout, closing\r\n"

static char block[10000];

static struct handoff_config large_config(void)
{
	struct handoff_config c = fake_config();

	c.max_message = 100u << 20;
	c.min_rate = 0;
	c.min_rate_large = 10000;
	return c;
}

static void in_data(const struct handoff_config *c)
{
	memset(block, 'x', sizeof(block));
	start_with(c);
	fake_answer(f);
	say(S_MAIL "DATA\r\n");
	f->out_n = 0;
}

static void octets(size_t n)
{
	while (n) {
		size_t k = n < sizeof(block) ? n : sizeof(block);

		f->content_n = 0; /* nobody looks at it */
		fake_feed(f, block, k, true);
		n -= k;
	}
}

/* Per second for so long; time is passed on as the worker does it. */
static void stream(size_t rate, unsigned int seconds)
{
	while (seconds-- && !f->closed) {
		octets(rate);
		f->now += 1000;
		if (smtp_deadline(f->s) <= f->now)
			smtp_timeout(f->s, f->now);
	}
}

static void test_large(void **state)
{
	struct handoff_config c = large_config();

	(void)state;
	/* A small message has its time. */
	in_data(&c);
	stream(5000, 150);
	assert_false(f->closed);
	/* From 1 MiB on it is too slow, and is cut as soon as it is there. */
	stream(5000, 100);
	assert_true(f->closed);
	hear(SLOW);
	assert_int_equal(f->now, 1000 + 210 * 1000);
	assert_int_equal(cnt(CNT_smtp_slow_large), 1);
	assert_int_equal(cnt(CNT_smtp_slow), 0);
	stop();

	/* Fast enough for ever. */
	in_data(&c);
	stream(10100, 1500);
	assert_false(f->closed);
	stop();

	/* Twice the rate, then silence: half a minute later there is a minute of half the rate. */
	in_data(&c);
	stream(20000, 120);
	assert_false(f->closed);
	assert_int_equal(smtp_deadline(f->s), 1000 + 120000 + 30000);
	smtp_timeout(f->s, 1000 + 120000 + 29999);
	assert_false(f->closed);
	smtp_timeout(f->s, 1000 + 120000 + 30000);
	hear(SLOW);
	stop();

	/* All of it in the first second: the last minute begins with it. */
	in_data(&c);
	octets(2 << 20);
	assert_int_equal(smtp_deadline(f->s), 1000 + 60000 + 60000 - 600000ull * 60000 / (2 << 20));
	stop();
}

/* What we keep waiting is not slow, and does not run out of time. */
static void test_held(void **state)
{
	struct handoff_config c = large_config();

	(void)state;
	c.data_total_timeout_s = 200;
	in_data(&c);
	stream(20000, 120);
	f->no_room = true;
	octets(1);
	assert_true(smtp_waiting(f->s));
	assert_int_equal(smtp_deadline(f->s), UINT64_MAX);
	f->now += 500000;
	smtp_timeout(f->s, f->now);
	assert_false(f->closed);
	f->no_room = false;
	fake_feed(f, "", 0, true);
	assert_int_equal(f->held_n, 0);
	assert_int_equal(smtp_deadline(f->s), 1000 + 500000 + 120000 + 30001); /* an octet more */
	stream(20000, 79);
	assert_false(f->closed);
	stream(20000, 1);
	hear(TIMEOUT);
	assert_int_equal(f->now, 1000 + 500000 + 200000);
	stop();
}

/* Content that is refused is swallowed: it holds nothing, so the large rate is not asked of it. */
static void test_swallowed(void **state)
{
	struct handoff_config c = large_config();

	(void)state;
	c.max_message = 3u << 20;
	in_data(&c);
	octets(4 << 20);
	assert_int_equal(f->ends, 1);
	assert_int_equal(smtp_deadline(f->s), 1000 + 180000);
	stop();
}

static void test_rate_modes(void **state)
{
	struct handoff_config c = fake_config();

	(void)state;
	c.max_message = 100u << 20;
	c.min_rate_large = 10000;
	c.data_total_timeout_s = 250;
	c.min_rate_mode = c.min_rate_large_mode = c.data_total_mode = MODE_OBSERVE;
	in_data(&c);
	stream(100, 100); /* below min_rate */
	octets(1 << 20);
	stream(100, 100); /* below min_rate_large */
	assert_int_equal(cnt(CNT_smtp_slow_observed), 2);
	assert_int_equal(cnt(CNT_smtp_data_total_observed), 0);
	stream(100, 100);
	assert_false(f->closed);
	assert_int_equal(cnt(CNT_smtp_slow_observed), 2); /* each once */
	assert_int_equal(cnt(CNT_smtp_data_total_observed), 1);
	assert_int_equal(cnt(CNT_smtp_slow) + cnt(CNT_smtp_slow_large) + cnt(CNT_smtp_timeout), 0);
	/* That nothing comes at all is no matter of rates. */
	f->now += 180000;
	smtp_timeout(f->s, f->now);
	hear(TIMEOUT);
	stop();

	c.min_rate_mode = c.min_rate_large_mode = c.data_total_mode = MODE_OFF;
	in_data(&c);
	octets(1 << 20);
	stream(100, 400);
	assert_false(f->closed);
	assert_int_equal(cnt(CNT_smtp_slow_observed) + cnt(CNT_smtp_data_total_observed), 0);
	stop();
}

static void end_is(uint32_t flags, uint32_t errors, uint32_t messages)
{
	struct smtp_end e;

	smtp_session_end(f->s, &e);
	assert_int_equal(e.flags, flags);
	assert_int_equal(e.errors, errors);
	assert_int_equal(e.messages, messages);
}

static void test_end(void **state)
{
	struct handoff_config c = large_config();

	(void)state;
	start();
	say(S_MAIL "DATA\r\nx\r\n.\r\n" MAIL TO "DATA\r\nx\r\n.\r\nXYZZY\r\n");
	end_is(0, 1, 2);
	for (int i = 0; i < 4; i++)
		say("XYZZY\r\n");
	end_is(END_F_ERRORS, 5, 2);
	stop();
	start();
	say("GET / HTTP/1.1\r\n");
	end_is(END_F_FOREIGN, 0, 0);
	stop();
	start();
	say("\x16\x03\x01");
	end_is(END_F_FOREIGN, 0, 0);
	stop();
	in_data(&c);
	stream(5000, 250);
	end_is(END_F_SLOW, 0, 0);
	stop();
	in_data(&c);
	smtp_timeout(f->s, 1000 + 180000);
	end_is(END_F_TIMEOUT, 0, 0);
	stop();
	start();
	say(S_MAIL "DATA\r\nx\r\n");
	smtp_evict(f->s, STR("Out of memory"));
	smtp_session_note(f->s, END_F_TLS_FAILED);
	end_is(END_F_PRESSURE | END_F_TLS_FAILED, 0, 0);
	/* Closed already: it is not told to go again. */
	smtp_evict(f->s, STR("Out of memory"));
	stop();
	/* A drain is nobody's pressure. */
	start();
	smtp_shutdown(f->s, STR("drain"));
	end_is(0, 0, 0);
	stop();
}

static void test_budget_modes(void **state)
{
	struct handoff_config c = fake_config();

	(void)state;
	c.max_idle = 3;
	/* Observed: told of once where the limit is passed. */
	c.max_errors_mode = c.max_idle_mode = MODE_OBSERVE;
	start_with(&c);
	fake_answer(f);
	for (int i = 0; i < 3; i++)
		say("NOOP\r\n");
	assert_int_equal(cnt(CNT_smtp_idle_observed), 0);
	for (int i = 0; i < 300; i++)
		say("NOOP\r\n");
	assert_int_equal(cnt(CNT_smtp_idle_observed), 1);
	assert_int_equal(cnt(CNT_smtp_idle_command), 0);
	for (int i = 0; i < 4; i++)
		say("XYZZY\r\n");
	assert_int_equal(cnt(CNT_smtp_errors_observed), 0);
	for (int i = 0; i < 10; i++)
		say("XYZZY\r\n");
	assert_int_equal(cnt(CNT_smtp_errors_observed), 1);
	assert_int_equal(cnt(CNT_smtp_too_many_errors), 0);
	assert_false(f->closed);
	stop();

	c.max_errors_mode = c.max_idle_mode = MODE_OFF;
	start_with(&c);
	fake_answer(f);
	for (int i = 0; i < 300; i++)
		say("NOOP\r\nXYZZY\r\n");
	assert_false(f->closed);
	assert_int_equal(cnt(CNT_smtp_idle_observed) + cnt(CNT_smtp_errors_observed), 0);
	stop();

	/* Enforced: behind the third each is an error, of which five are too many. */
	c.max_errors_mode = c.max_idle_mode = MODE_ENFORCE;
	start_with(&c);
	fake_answer(f);
	for (int i = 0; i < 7; i++)
		say("NOOP\r\n");
	assert_false(f->closed);
	say("NOOP\r\n");
	assert_true(f->closed);
	assert_int_equal(cnt(CNT_smtp_idle_command), 5);
	assert_int_equal(cnt(CNT_smtp_too_many_errors), 1);
	stop();
}

static void test_early(void **state)
{
	struct handoff_config c = fake_config();

	(void)state;
	c.early = EARLY_REFUSE;
	start_with(&c);
	fake_feed(f, "EHLO c.example.org\r\n", 20, false);
	hear("");
	fake_answer(f);
	hear("554 5.5.0 You spoke before our greeting, closing\r\n");
	assert_true(f->closed && f->how == SMTP_CLOSE_AFTER_REPLY);
	assert_int_equal(cnt(CNT_smtp_early_talker), 1);
	assert_int_equal(cnt(CNT_smtp_early_refused), 1);
	stop();
	/* The same while control is down. */
	start_with(&c);
	fake_feed(f, "EHLO c.example.org\r\n", 20, false);
	smtp_control_lost(f->s);
	hear("554 5.5.0 You spoke before our greeting, closing\r\n");
	assert_true(f->closed);
	stop();
	/* Who waits is served. */
	start_with(&c);
	fake_answer(f);
	say("NOOP\r\n");
	hear(BANNER OK);
	assert_int_equal(cnt(CNT_smtp_early_refused), 0);
	stop();
	c.early = EARLY_OBSERVE;
	start_with(&c);
	fake_feed(f, "NOOP\r\n", 6, false);
	fake_answer(f);
	fake_feed(f, "", 0, true);
	hear(BANNER OK);
	assert_int_equal(cnt(CNT_smtp_early_talker), 1);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_swallowed),
		cmocka_unit_test(test_rate_modes),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_budget_modes),
		cmocka_unit_test(test_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
