/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Who speaks: the trust list, PROXY headers in front of sessions, XCLIENT within them. */

#include "dataplane/smtp/smtp_internal.h"
#include "dataplane/smtp/smtp_script.h"
#include "dataplane/smtp/smtp_xclient.h"

#define LB "\xcb\x00\x71\x05" /* 203.0.113.5 */
#define V1 "PROXY TCP4 198.51.100.7 192.0.2.25 4711 25\r\n"
#define V1_UNKNOWN "PROXY UNKNOWN\r\n"
#define V2 "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\xc0\0\2\x19\x12\x67\0\x19"
#define V2_LOCAL "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
#define EHLO_X                                                                                     \
	"250-mx.example.net\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n"                \
	"250-SMTPUTF8\r\n250-CHUNKING\r\n250-ENHANCEDSTATUSCODES\r\n250 " SMTP_XCLIENT_OFFER "\r\n"
#define DENIED "550 5.7.0 XCLIENT is not for you\r\n"
#define BAD "501 5.5.4 Bad XCLIENT attribute\r\n"

static void map4(uint8_t out[16], const char *four)
{
	memset(out, 0, 10);
	memset(out + 10, 0xff, 2);
	memcpy(out + 12, four, 4);
}

/* A session of 203.0.113.5, which the list trusts with `flags`. */
static void begin(uint8_t flags)
{
	struct handoff_config c = fake_config();

	c.n_trusts = 1;
	c.trust[0] = (struct handoff_trust){.prefix_len = 128, .flags = flags};
	map4(c.trust[0].address, LB);
	fresh();
	f->now = 1000;
	map4(f->real.peer, LB);
	f->real.peer_port = 1024;
	f->real.local_port = 25;
	assert_true(fake_start(f, &c));
}

static void is_client(const char *four, unsigned int port, enum handoff_via via)
{
	struct smtp_client c;
	uint8_t want[16];

	map4(want, four);
	fake_client(f, &c);
	assert_memory_equal(c.peer, want, 16);
	assert_int_equal(c.peer_port, port);
	assert_int_equal(c.via, via);
}

static void test_trust(void **state)
{
	struct handoff_config c = {.n_trusts = 3};
	uint8_t a[16];

	(void)state;
	map4(a, LB);
	map4(c.trust[0].address, "\xcb\0\x71\0");
	c.trust[0].prefix_len = 96 + 24;
	c.trust[0].flags = TRUST_XCLIENT;
	map4(c.trust[1].address, "\xcb\0\x71\x04");
	c.trust[1].prefix_len = 96 + 31;
	c.trust[1].flags = TRUST_PROXY;
	memset(c.trust[2].address, 0x20, 16);
	c.trust[2].prefix_len = 128;
	c.trust[2].flags = TRUST_PROXY;
	assert_int_equal(smtp_trust(&c, a), TRUST_XCLIENT | TRUST_PROXY);
	a[15] = 6;
	assert_int_equal(smtp_trust(&c, a), TRUST_XCLIENT);
	a[14] = 0x70;
	assert_int_equal(smtp_trust(&c, a), 0);
	assert_int_equal(smtp_trust(&c, c.trust[2].address), TRUST_PROXY);
	c.n_trusts = 0;
	map4(a, LB);
	assert_int_equal(smtp_trust(&c, a), 0);
}

/* At every split, with what the client sends behind it. */
static void test_proxy(void **state)
{
	static const struct { const char *p; size_t n; bool local; } header[] = {
		{V1, sizeof(V1) - 1, false}, {V2, sizeof(V2) - 1, false},
		{V1_UNKNOWN, sizeof(V1_UNKNOWN) - 1, true}, {V2_LOCAL, sizeof(V2_LOCAL) - 1, true},
	};

	(void)state;
	for (size_t k = 0; k < sizeof(header) / sizeof(header[0]); k++) {
		for (size_t i = 1; i <= header[k].n; i++) {
			begin(TRUST_PROXY);
			assert_int_equal(smtp_phase(f->s), SMTP_PHASE_PROXY);
			assert_int_equal(f->connects, 0);
			fake_feed(f, header[k].p, i, false);
			assert_int_equal(f->connects, i == header[k].n);
			fake_feed(f, header[k].p + i, header[k].n - i, false);
			assert_int_equal(f->connects, 1);
			if (header[k].local)
				is_client(LB, 1024, VIA_NONE);
			else
				is_client("\xc6\x33\x64\x07", 4711, VIA_PROXY);
			hear("");
			fake_answer(f);
			hear(BANNER);
			assert_int_equal(smtp_session_flags(f->s), 0);
			say(S_MAIL);
			hear(EHLO SENDER RCPT);
			assert_int_equal(cnt(CNT_proxy_headers), 1);
			stop();
		}
	}
}

static void test_proxy_early(void **state)
{
	(void)state;
	begin(TRUST_PROXY);
	fake_feed(f, V1 "EHLO c.example.org\r\n", sizeof(V1 "EHLO c.example.org\r\n") - 1, false);
	fake_answer(f);
	say("");
	hear(BANNER EHLO);
	assert_int_equal(cnt(CNT_smtp_early_talker), 1);
	stop();
}

static void test_proxy_bad(void **state)
{
	static const char *const line[] = {"EHLO c.example.org\r\n", "PROXY TCP9 ", "\r\n\r\nEHLO", "Q"};

	(void)state;
	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++) {
		begin(TRUST_PROXY);
		for (const char *p = line[i]; *p; p++)
			fake_feed(f, p, 1, false);
		hear("");
		assert_true(f->closed && f->how == SMTP_CLOSE_ABORT);
		assert_int_equal(f->connects, 0);
		assert_int_equal(cnt(CNT_proxy_bad), 1);
		stop();
	}
	/* Too slow. */
	begin(TRUST_PROXY);
	say("PROXY TCP4 1");
	f->now += LIMIT_PROXY_S * 1000 - 1;
	smtp_timeout(f->s, f->now);
	assert_false(f->closed);
	smtp_timeout(f->s, ++f->now);
	assert_true(f->closed);
	assert_int_equal(cnt(CNT_proxy_timeout), 1);
	stop();
	/* A health check that only connects. */
	begin(TRUST_PROXY);
	smtp_eof(f->s);
	assert_true(f->closed);
	assert_int_equal(f->connects, 0);
	stop();
}

/* From who may not: no header is taken for one. */
static void test_proxy_untrusted(void **state)
{
	(void)state;
	for (unsigned int flags = 0; flags <= TRUST_XCLIENT; flags++) {
		begin((uint8_t)flags);
		assert_int_equal(f->connects, 1);
		fake_answer(f);
		say(V1);
		hear(BANNER "421 4.7.0 This is SMTP, closing\r\n");
		assert_true(f->closed);
		is_client(LB, 1024, VIA_NONE);
		stop();
		begin((uint8_t)flags);
		fake_answer(f);
		fake_feed(f, V2, sizeof(V2) - 1, true);
		is_client(LB, 1024, VIA_NONE);
		assert_int_equal(f->connects, 1);
		assert_int_equal(cnt(CNT_proxy_headers), 0);
		stop();
	}
}

static void test_xclient(void **state)
{
	(void)state;
	begin(TRUST_XCLIENT);
	fake_answer(f);
	say("EHLO lb.example.net\r\n");
	hear(BANNER EHLO_X);
	say("XCLIENT NAME=mx.example.org ADDR=198.51.100.7 PORT=4711\r\n");
	hear(BANNER);
	assert_int_equal(f->connects, 2);
	is_client("\xc6\x33\x64\x07", 4711, VIA_XCLIENT);
	/* The name from before is forgotten. */
	say(MAIL);
	hear("503 5.5.1 Send EHLO or HELO first\r\n");
	say("EHLO mx.example.org\r\n" MAIL TO);
	hear(EHLO_X SENDER RCPT);
	assert_string_equal(f->helo, "mx.example.org");
	say("XCLIENT ADDR=198.51.100.8\r\n");
	hear("503 5.5.1 No XCLIENT within a transaction\r\n");
	say("DATA\r\nx\r\n.\r\n");
	hear(GO DONE);
	/* The next client; trust is of the TCP peer, and the last one is not it. */
	say("XCLIENT ADDR=198.51.100.8 HELO=other.example.org PROTO=ESMTP\r\n" MAIL);
	hear(BANNER SENDER);
	is_client("\xc6\x33\x64\x08", 0, VIA_XCLIENT);
	assert_string_equal(f->helo, "other.example.org");
	assert_int_equal(f->proto, PROTO_ESMTP);
	say("RSET\r\nEHLO own.example.org\r\n" MAIL);
	hear(OK EHLO_X SENDER);
	assert_string_equal(f->helo, "own.example.org");
	/* In two commands; without an address it is the peer itself. */
	say("RSET\r\nXCLIENT NAME=[TEMPUNAVAIL] ADDR=[UNAVAILABLE]\r\nXCLIENT PORT=5\r\n");
	hear(OK BANNER BANNER);
	is_client(LB, 5, VIA_XCLIENT);
	assert_int_equal(cnt(CNT_xclient), 4);
	assert_int_equal(smtp_session_flags(f->s), 0);
	stop();
}

static void test_xclient_refused(void **state)
{
	struct smtp_reply no = {550, 5, 7, 1, STR("Not you")};

	(void)state;
	begin(TRUST_PROXY);
	say(V1 "EHLO c.example.org\r\n");
	hear(BANNER EHLO);
	say("XCLIENT ADDR=198.51.100.8\r\nXCLIENT\r\n");
	hear(DENIED DENIED);
	assert_int_equal(cnt(CNT_xclient_denied), 2);
	is_client("\xc6\x33\x64\x07", 4711, VIA_PROXY);
	stop();
	begin(TRUST_XCLIENT);
	fake_answer(f);
	say("XCLIENT\r\nXCLIENT ADDR=1.2.3\r\nXCLIENT FOO=bar\r\n");
	hear(BANNER BAD BAD BAD);
	is_client(LB, 1024, VIA_NONE);
	/* Control may refuse the client that is named. */
	fake_feed(f, "XCLIENT ADDR=198.51.100.8\r\n", 27, false);
	f->asked = FAKE_NONE;
	smtp_answer_connect(f->s, &no);
	say("EHLO c.example.org\r\n");
	hear("550 Not you\r\n503 5.5.1 Service refused, QUIT is all that is left\r\n");
	stop();
	/* Nobody is there to ask: no transaction for the new client. */
	begin(TRUST_XCLIENT);
	fake_answer(f);
	f->down = true;
	say("XCLIENT ADDR=198.51.100.8 HELO=c.example.org\r\n");
	f->down = false;
	say(MAIL);
	hear(BANNER BANNER DOWN);
	stop();
}

/* A peer that is trusted with both. */
static void test_both(void **state)
{
	(void)state;
	begin(TRUST_XCLIENT | TRUST_PROXY);
	say(V1);
	hear(BANNER);
	say("XCLIENT ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE]\r\n");
	hear(BANNER);
	is_client(LB, 0, VIA_XCLIENT);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trust), cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_proxy_early), cmocka_unit_test(test_proxy_bad),
		cmocka_unit_test(test_proxy_untrusted), cmocka_unit_test(test_xclient),
		cmocka_unit_test(test_xclient_refused), cmocka_unit_test(test_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
