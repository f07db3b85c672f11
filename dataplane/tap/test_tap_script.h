/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* Scripts of sessions for the tests of the passive parser, and what is expected of them. */

#include "dataplane/tap/test_tap_util.h"

#define HELLO    "S: 220 x\nC: EHLO c.example\nS: 250 x\n"
#define ENVELOPE "C: MAIL FROM:<a@example.org>\nS: 250 ok\nC: RCPT TO:<b@example.net>\nS: 250 ok\n"
#define BYE      "C: QUIT\nS: 221 bye\n"
#define FLOW     "\"flow\":\"192.0.2.1:40000>198.51.100.7:25\","
#define FROM_A                                                                                     \
	"{\"type\":\"message\"," FLOW                                                              \
	"\"mail_from\":\"a@example.org\",\"rcpt_to\":[\"b@example.net\"],"                         \
	"\"rcpt_refused\":[],"
/* of "hello" CRLF */
#define SHA_HELLO  "cd2eca3535741f27a8ae40c31b0c41d4057a7a7b912b33b9aed86485d1c84676"
#define HELLO_TEXT "\"size\":7,\"sha256\":\"" SHA_HELLO "\",\"complete\":true,"

static struct capture c;

static inline void make_script(struct capture *to, const char *lines)
{
	memset(to, 0, sizeof(*to));
	handshake(to, 1, 1);
	script(to, lines);
	goodbye(to);
}

static inline const char *run(const char *lines)
{
	make_script(&c, lines);
	return play(&c);
}

static inline void one(const char *printed, const char *text)
{
	if (lines_with(printed, text) != 1)
		fail_msg("not once: %s\nin: %s", text, printed);
}

static inline void none(const char *printed, const char *text)
{
	if (lines_with(printed, text) != 0)
		fail_msg("there: %s\nin: %s", text, printed);
}
