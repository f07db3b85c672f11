/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */
#pragma once

/* The session that the tests of the tracker spoil, and what is expected of it. */

#include "dataplane/tap/test_tap_util.h"

static const char session[] = "S: 220 mx.example.net ESMTP\n"
			      "C: EHLO client.example.org\n"
			      "S: 250-mx.example.net\n"
			      "S: 250 PIPELINING\n"
			      "C: MAIL FROM:<a@example.org> SIZE=100 RET=FULL\n"
			      "S: 250 2.1.0 ok\n"
			      "C: RCPT TO:<b@example.net> NOTIFY=NEVER\n"
			      "S: 250 2.1.5 ok\n"
			      "C: RCPT TO:<c@example.net>\n"
			      "S: 550 5.1.1 no\n"
			      "C: DATA\n"
			      "S: 354 go\n"
			      "C: Subject: one\nC: \nC: ..dot\nC: text\nC: .\n"
			      "S: 250 2.0.0 queued as 1\n"
			      "C: QUIT\n"
			      "S: 221 bye\n";

/* sha256sum of "Subject: one", "", ".dot", "text", each with CRLF */
#define SHA  "ecd19121d78197611d960e39f4f92858f6deef12c6d7268fc6a0e89d887ff0d6"
#define HEAD "{\"type\":\"message\",\"flow\":\"192.0.2.1:40000>198.51.100.7:25\","
#define MESSAGE                                                                                    \
	HEAD "\"mail_from\":\"a@example.org\",\"rcpt_to\":[\"b@example.net\"],"                    \
	     "\"rcpt_refused\":[\"c@example.net\"],\"size\":28,\"sha256\":\"" SHA                  \
	     "\",\"complete\":true,"                                                               \
	     "\"bdat\":false,\"reply\":\"250 2.0.0 queued as 1\",\"anomalies\":["

static struct capture base, c;

static inline void make(uint32_t client_isn, uint32_t server_isn)
{
	memset(&base, 0, sizeof(base));
	handshake(&base, client_isn, server_isn);
	script(&base, session);
	goodbye(&base);
	c = base;
}

static inline int setup(void **state)
{
	make(1000, 77000);
	return tap_setup(state);
}

/* The message, and nothing odd. */
static inline void expect_clean(const char *what, unsigned int i, unsigned int k)
{
	const char *out = play(&c);

	if (strcmp(out, MESSAGE "]}\n") != 0)
		fail_msg("%s %u %u: %s", what, i, k, out);
}

/* The message, and this anomaly alone. */
static inline void expect_odd(const char *name)
{
	const char *out = play(&c);
	char want[512];

	snprintf(want, sizeof(want), MESSAGE "\"%s\"]}\n", name);
	if (lines_with(out, want) != 1 || lines_with(out, "\"type\":\"message\"") != 1)
		fail_msg("%s: wanted %s in %s", name, want, out);
	snprintf(want, sizeof(want), "\"anomaly\":\"%s\"}", name);
	if (lines_with(out, want) != 1 || lines_with(out, "\"type\":\"anomaly\"") != 1)
		fail_msg("%s: %s", name, out);
}

static inline void only(enum tap_side side)
{
	for (unsigned int i = 0; i < c.n;)
		if (c.seg[i].side == side)
			i++;
		else
			take_out(&c, i);
}
