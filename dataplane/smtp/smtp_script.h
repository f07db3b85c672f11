/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* For the session tests: one session at a time, what is said and what must be heard. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/smtp/smtp_fake.h"

#define BANNER "220 mx.example.net ESMTP\r\n"
#define EHLO                                                                                       \
	"250-mx.example.net\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n"                \
	"250-SMTPUTF8\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n"
#define HELO "250 mx.example.net\r\n"
#define OK "250 2.0.0 Ok\r\n"
#define SENDER "250 2.1.0 Sender ok\r\n"
#define RCPT "250 2.1.5 Recipient ok\r\n"
#define GO "354 Start mail input; end with <CRLF>.<CRLF>\r\n"
#define DONE "250 2.0.0 Delivered id=0123456789ABCDEF\r\n"
#define BYE "221 2.0.0 Bye\r\n"
#define NEED_MAIL "503 5.5.1 Need MAIL first\r\n"
#define MAIL "MAIL FROM:<a@example.org>\r\n"
#define TO "RCPT TO:<b@example.com>\r\n"

#define S_MAIL "EHLO c.example.org\r\n" MAIL TO
#define H_MAIL BANNER EHLO SENDER RCPT

#define DOWN "451 4.3.2 System not accepting messages now, try again later\r\n"
#define DOWN_BYE "421 4.3.2 System not accepting messages now, closing\r\n"

static struct fake *f;

/* `f` as it begins. It is the same again for each script: a test has thousands of them, and what is as large comes from
 * the kernel each time. */
static inline void fresh(void)
{
	static struct fake *kept;

	if (!kept)
		kept = calloc(1, sizeof(*kept));
	assert_non_null(kept);
	f = memset(kept, 0, sizeof(*kept));
}

static inline void start_with(const struct handoff_config *c)
{
	fresh();
	f->now = 1000;
	assert_true(fake_start(f, c));
}

static inline void start(void)
{
	struct handoff_config c = fake_config();

	start_with(&c);
	fake_answer(f);
}

static inline void stop(void)
{
	fake_stop(f);
	f = NULL;
}

static inline void say(const char *text)
{
	fake_feed(f, text, strlen(text), true);
}

/* What came since the last time. */
static inline void hear(const char *text)
{
	if (f->out_n != strlen(text) || memcmp(f->out, text, f->out_n) != 0)
		fail_msg("heard:\n%.*s\nwanted:\n%s", (int)f->out_n, f->out, text);
	f->out_n = 0;
}

static inline uint64_t cnt(enum postern_counter c)
{
	return f->counters[c];
}

/* A whole session: what the client says, what it hears. */
struct script {
	const char *in;
	const char *out;
	unsigned int messages;
	const char *content; /* of the last message */
	bool closed;
};

static inline void judge_script(const struct script *s, size_t i)
{
	if (f->out_n != strlen(s->out) || memcmp(f->out, s->out, f->out_n) != 0)
		fail_msg("script %zu heard:\n%.*s\nwanted:\n%s", i, (int)f->out_n, f->out, s->out);
	assert_int_equal(f->messages, s->messages);
	assert_int_equal(f->closed, s->closed);
	if (s->content) {
		assert_int_equal(f->content_n, strlen(s->content));
		if (f->content_n)
			assert_memory_equal(f->content, s->content, f->content_n);
	}
	/* Every record was given back or handed over, but for the one in hand. */
	assert_int_equal(f->txns, f->ends + f->messages + f->txn);
	assert_int_equal(f->counters[CNT_smtp_messages], s->messages);
}

/* Each is run whole, and cut in two at every octet, and octet by octet, with answers at once and
 * with answers late. */
static inline void run_scripts(const struct script *scripts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *in = scripts[i].in;
		size_t n = strlen(in);

		for (size_t cut = 0; cut <= n; cut++) {
			start();
			fake_feed(f, in, cut, true);
			fake_feed(f, in + cut, n - cut, true);
			judge_script(&scripts[i], i);
			stop();
			/* Answers only once the client has sent everything. */
			start();
			f->room_step = cut % 3;
			fake_feed(f, in, cut, false);
			fake_feed(f, in + cut, n - cut, false);
			while (f->asked != FAKE_NONE || f->held_n) {
				fake_answer(f);
				fake_feed(f, "", 0, false);
			}
			judge_script(&scripts[i], i);
			stop();
		}
		start();
		for (size_t k = 0; k < n; k++)
			fake_feed(f, in + k, 1, true);
		judge_script(&scripts[i], i);
		stop();
	}
}
