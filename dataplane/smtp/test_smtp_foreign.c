/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Other protocols that come to this port, by mistake or by somebody's design. */

#include "dataplane/smtp/smtp_script.h"

#define THIS_IS_SMTP "421 4.7.0 This is SMTP, closing\r\n"
#define BYTES(s) (s), sizeof(s) - 1

/* A whole mail that would go through if it were read. */
#define SMUGGLED "EHLO c.example.org\r\n" MAIL TO "DATA\r\nx\r\n.\r\n"

enum { ALWAYS, FIRST, SILENT };

static const struct {
	const char *p;
	size_t n;
	int how; /* 421 at any time, before the first command only, or cut without a word */
} table[] = {
	{BYTES("GET / HTTP/1.1\r\n"), ALWAYS},
	{BYTES("POST / HTTP/1.1\r\n"), ALWAYS},
	{BYTES("put /x HTTP/1.0\r\n"), ALWAYS},
	{BYTES("HEAD / HTTP/1.1\r\n"), ALWAYS},
	{BYTES("OPTIONS * HTTP/1.1\r\n"), ALWAYS},
	{BYTES("CONNECT mx.example.net:25 HTTP/1.1\r\n"), ALWAYS},
	{BYTES("PRI * HTTP/2.0\r\n"), ALWAYS},
	{BYTES("PROPFIND / HTTP/1.1\r\n"), ALWAYS},
	{BYTES("M-SEARCH * HTTP/1.1\r\n"), ALWAYS},
	{BYTES("HTTP/1.1 400 Bad Request\r\n"), ALWAYS},
	{BYTES("Host: mx.example.net:25\r\n"), ALWAYS},
	{BYTES("host:mx.example.net\r\n"), ALWAYS},
	{BYTES("Content-Length: 400\r\n"), ALWAYS},
	{BYTES("Transfer-Encoding: chunked\r\n"), ALWAYS},
	{BYTES("Cookie: a=b\r\n"), ALWAYS},
	{BYTES("GET / HTTP/1.1\n"), ALWAYS}, /* a line is a line */
	{BYTES("USER anonymous\n"), FIRST},
	{BYTES("SSH-2.0-OpenSSH_9.2\r\n"), ALWAYS},
	{BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n"), ALWAYS},
	{BYTES("RTSP/1.0 200 OK\r\n"), ALWAYS},
	{BYTES("SIP/2.0 200 OK\r\n"), ALWAYS},
	{BYTES("Accept: */*\r\n"), FIRST},
	{BYTES("Accept-Language: en\r\n"), FIRST},
	{BYTES("User-Agent: x\r\n"), FIRST},
	{BYTES("DESCRIBE rtsp://mx.example.net/ RTSP/1.0\r\n"), FIRST},
	{BYTES("SETUP rtsp://mx.example.net/ RTSP/1.0\r\n"), FIRST},
	{BYTES("INVITE sip:a@example.net SIP/2.0\r\n"), FIRST},
	{BYTES("REGISTER sip:example.net SIP/2.0\r\n"), FIRST},
	{BYTES("CSeq: 1 OPTIONS\r\n"), FIRST},
	{BYTES("USER anonymous\r\n"), FIRST},
	{BYTES("PASS secret\r\n"), FIRST},
	{BYTES("CAPA\r\n"), FIRST},
	{BYTES("a001 CAPABILITY\r\n"), FIRST},
	{BYTES(". login user secret\r\n"), FIRST},
	{BYTES("NICK somebody\r\n"), FIRST},
	{BYTES("CAP LS 302\r\n"), FIRST},
	{BYTES("set key 0 0 5\r\n"), FIRST},
	{BYTES("stats\r\n"), FIRST},
	{BYTES("*1\r\n$4\r\nPING\r\n"), FIRST},
	{BYTES("$4\r\n"), FIRST},
	{BYTES("<?xml version='1.0'?>\r\n"), FIRST},
	{BYTES("RFB 003.008\r\n"), FIRST},
	{BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc"), SILENT},             /* TLS */
	{BYTES("\x80\x2e\x01\x00\x02"), SILENT},                             /* SSLv2 */
	{BYTES("\x00\x00\x00\x54\xffSMB"), SILENT},                          /* SMB */
	{BYTES("\x03\x00\x00\x13\x0e\xe0"), SILENT},                         /* RDP */
	{BYTES("\x00\x00\x00\x08\x04\xd2\x16\x2f"), SILENT},                 /* PostgreSQL */
	{BYTES("\x13" "BitTorrent protocol"), SILENT},
	{BYTES("0\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00\n"), SILENT}, /* LDAP bind */
};

/* To where the first command is awaited: in clear, or under TLS that began with commands in clear,
 * as somebody in the middle may say them in front of another's TLS. */
static void at_first_command(bool tls)
{
	start();
	if (tls) {
		smtp_config_offer_tls(f->config);
		say("EHLO c.example.org\r\nSTARTTLS\r\n");
		smtp_tls_established(f->s);
	}
	f->out_n = 0;
}

/* Whatever the split, what follows is not read. */
static void test_first(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (size_t cut = 0; cut <= 2 * table[i].n + 1; cut++) {
			size_t k = cut / 2;

			at_first_command(cut & 1);
			fake_feed(f, table[i].p, k, true);
			fake_feed(f, table[i].p + k, table[i].n - k, true);
			say(SMUGGLED);
			hear(table[i].how == SILENT ? "" : THIS_IS_SMTP);
			if (!f->closed || f->txns || cnt(CNT_smtp_non_smtp) != 1)
				fail_msg("%s", table[i].p);
			assert_int_equal(f->how, table[i].how == SILENT ? SMTP_CLOSE_ABORT
									: SMTP_CLOSE_AFTER_REPLY);
			stop();
		}
}

/* Also behind a request line that is too long for a command. */
static void test_long_request(void **state)
{
	char line[4000] = "GET /";

	(void)state;
	memset(line + 5, 'x', sizeof(line) - 5);
	start();
	fake_feed(f, line, sizeof(line), true);
	f->out_n = 0;
	say(" HTTP/1.1\r\nAccept: */*\r\n\r\n" SMUGGLED);
	hear("500 5.5.2 Line too long\r\n" THIS_IS_SMTP);
	assert_int_equal(f->txns, 0);
	stop();
}

/* Later only what is beyond doubt: a message that nobody asked for is no protocol. */
static void test_later(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		start();
		say("NOOP\r\n");
		f->out_n = 0;
		fake_feed(f, table[i].p, table[i].n, true);
		assert_int_equal(f->closed, table[i].how == ALWAYS);
		assert_int_equal(cnt(CNT_smtp_non_smtp), table[i].how == ALWAYS);
		stop();
	}
}

/* What is not foreign, though nobody understands it. */
static void test_mistakes(void **state)
{
	static const char *const lines[] = {
		"HELLO\r\n", "EHLO\r\n", "\r\n", " EHLO x\r\n", "Subject: x\r\n", "From: a@example.org\r\n",
		"Received: from x\r\n", "MAIL\r\n", "xyzzy\r\n", "SEND FROM:<a@example.org>\r\n",
		"GETX\r\n", "NOOP\n", "\n", "\t\r\n", "caf\xc3\xa9\r\n", "*\r\n", "$\r\n", "EH\bLO x\r\n", "a001\r\n", "Hostile: x\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		start();
		f->out_n = 0;
		say(lines[i]);
		if (f->closed || f->out[0] != '5')
			fail_msg("%s", lines[i]);
		assert_int_equal(cnt(CNT_smtp_non_smtp), 0);
		stop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_long_request),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
