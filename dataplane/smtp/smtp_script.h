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
	"250 ENHANCEDSTATUSCODES\r\n"
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

static inline void start_with(const struct handoff_config *c)
{
	f = calloc(1, sizeof(*f));
	assert_non_null(f);
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
	free(f);
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
