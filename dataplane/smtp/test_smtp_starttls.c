/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* STARTTLS as the machine sees it: when it is taken, what is forgotten, what is never executed. The
 * handshake itself is the owner's, which here is the test. */

#include "dataplane/smtp/smtp_internal.h"
#include "dataplane/smtp/smtp_script.h"

#define EHLO_TLS                                                                                   \
	"250-mx.example.net\r\n250-STARTTLS\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n"    \
	"250-SMTPUTF8\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n"
#define TLS_GO "220 2.0.0 Ready to start TLS\r\n"
#define INJECTED "554 5.5.0 Commands behind STARTTLS, closing\r\n"

static void begin(void)
{
	start();
	smtp_config_offer_tls(f->config);
	hear(BANNER);
}

static void secure(void)
{
	begin();
	say("EHLO c.example.org\r\nSTARTTLS\r\n");
	hear(EHLO_TLS TLS_GO);
	smtp_tls_established(f->s);
}

static void test_state_reset(void **state)
{
	(void)state;
	secure();
	assert_int_equal(f->tls_starts, 1);
	assert_int_equal(cnt(CNT_smtp_starttls), 1);
	hear("");
	/* RFC 3207 4.2: EHLO of before is forgotten, and STARTTLS is not announced again. */
	say(MAIL);
	hear("503 5.5.1 Send EHLO or HELO first\r\n");
	say("EHLO d.example.org\r\nSTARTTLS\r\n");
	hear(EHLO "503 5.5.1 TLS is active already\r\n");
	say(MAIL TO "DATA\r\nx\r\n.\r\n");
	hear(SENDER RCPT GO DONE);
	assert_string_equal(f->helo, "d.example.org");
	assert_int_equal(f->proto, PROTO_ESMTPS);
	say("MAIL FROM:<\xc3\xa4@example.org> SMTPUTF8\r\nRSET\r\n");
	hear(SENDER OK);
	assert_int_equal(f->proto, PROTO_UTF8SMTPS);
	say("HELO e.example.org\r\n" MAIL);
	hear(HELO SENDER);
	assert_int_equal(f->proto, PROTO_SMTP);
	stop();
}

static void test_refused(void **state)
{
	(void)state;
	start();
	hear(BANNER);
	say("EHLO c.example.org\r\nSTARTTLS\r\n");
	hear(EHLO "502 5.5.1 Command not implemented\r\n");
	stop();
	begin();
	say("EHLO c.example.org\r\n" MAIL "STARTTLS\r\nRSET\r\n");
	hear(EHLO_TLS SENDER "503 5.5.1 No STARTTLS within a transaction\r\n" OK);
	say("STARTTLS now\r\n");
	hear("501 5.5.4 This command takes no argument\r\n");
	f->no_tls = true;
	say("STARTTLS\r\n");
	hear("454 4.7.0 TLS not available now, try again later\r\n");
	/* The session goes on in clear. */
	say(MAIL);
	hear(SENDER);
	assert_int_equal(f->tls_starts, 0);
	stop();
	/* Nor between two chunks, or behind a refused one. */
	begin();
	say("EHLO c.example.org\r\n" MAIL TO "BDAT 3\r\n1\r\nSTARTTLS\r\nBDAT 6 LAST\r\nQUIT\r\n");
	hear(EHLO_TLS SENDER RCPT "250 2.0.0 3 octets taken\r\n"
	     "503 5.5.1 No STARTTLS within a transaction\r\n" DONE);
	say(MAIL "BDAT 6\r\nQUIT\r\nSTARTTLS\r\nRSET\r\n");
	hear(SENDER "554 5.5.1 No valid recipients\r\n"
	     "503 5.5.1 No STARTTLS within a transaction\r\n" OK);
	assert_int_equal(f->tls_starts, 0);
	stop();
}

/* CVE-2011-0411: whatever stands behind the command, and however it is cut before its end. */
static void test_injection(void **state)
{
	static const char *const behind[] = {"RSET\r\n", "E", "\r\n", "\x16\x03\x01", "QUIT\r\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++)
		for (size_t cut = 0; cut < 10; cut++) {
			char line[64];

			begin();
			say("EHLO c\r\n");
			f->out_n = 0;
			snprintf(line, sizeof(line), "STARTTLS\r\n%s", behind[i]);
			fake_feed(f, line, cut, true);
			fake_feed(f, line + cut, strlen(line) - cut, true);
			hear(INJECTED);
			assert_true(f->closed);
			assert_int_equal(f->how, SMTP_CLOSE_AFTER_REPLY);
			assert_int_equal(f->tls_starts, 0);
			assert_int_equal(cnt(CNT_smtp_tls_injected), 1);
			stop();
		}
	/* Seen by the owner only, when the 220 is queued. */
	begin();
	say("STARTTLS\r\n");
	smtp_tls_injected(f->s);
	assert_true(f->closed);
	assert_int_equal(f->how, SMTP_CLOSE_ABORT);
	stop();
}

/* Until the handshake is over nothing is taken and nothing is said. */
static void test_phase(void **state)
{
	struct smtp_end end;

	(void)state;
	begin();
	say("STARTTLS\r\n");
	hear(TLS_GO);
	assert_int_equal(smtp_phase(f->s), SMTP_PHASE_TLS);
	assert_true(smtp_waiting(f->s));
	assert_int_equal(smtp_input(f->s, (const uint8_t *)"NOOP\r\n", 6, f->now), 0);
	smtp_control_lost(f->s);
	smtp_shutdown(f->s, STR("Service is closing"));
	hear("");
	assert_false(f->closed);
	smtp_tls_established(f->s);
	hear("421 4.3.2 Service is closing\r\n");
	assert_true(f->closed);
	stop();

	begin();
	say("STARTTLS\r\n");
	smtp_tls_failed(f->s);
	assert_true(f->closed);
	smtp_tls_established(f->s); /* late: not heard */
	assert_int_equal(smtp_phase(f->s), SMTP_PHASE_CLOSING);
	stop();

	begin();
	say("STARTTLS\r\n");
	smtp_evict(f->s, STR("Out of memory"));
	assert_int_equal(f->how, SMTP_CLOSE_ABORT);
	stop();

	begin();
	say("STARTTLS\r\n");
	smtp_eof(f->s);
	assert_true(f->closed);
	stop();

	begin();
	say("STARTTLS\r\n");
	smtp_timeout(f->s, f->now + 59999);
	assert_false(f->closed);
	smtp_timeout(f->s, f->now + 60000);
	assert_true(f->closed);
	assert_int_equal(f->how, SMTP_CLOSE_ABORT);
	assert_int_equal(cnt(CNT_smtp_tls_timeout), 1);
	smtp_session_end(f->s, &end);
	assert_int_equal(end.flags, END_F_TLS_FAILED | END_F_TIMEOUT);
	stop();
}

/* A session in the name of a server behind a cable: its name, and STARTTLS only if a certificate is of
 * that name. */
static void test_faces(void **state)
{
	struct handoff_config c = fake_config();
	struct smtp_reply yes = {220, 0, 0, 0, STR_NONE};

	(void)state;
	c.n_inline_names = 2;
	memcpy(c.inline_name[0], "one.example.com", 16);
	memcpy(c.inline_name[1], "two.example.com", 16);
	start_with(&c);
	smtp_config_offer_tls(f->config);
	f->face = 2;
	f->asked = FAKE_NONE;
	smtp_answer_connect(f->s, &yes);
	hear("220 two.example.com ESMTP\r\n");
	say("HELO c.example.org\r\nEHLO c.example.org\r\n");
	hear("250 two.example.com\r\n250-two.example.com\r\n250-STARTTLS\r\n250-PIPELINING\r\n"
	     "250-SIZE 1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n"
	     "250 ENHANCEDSTATUSCODES\r\n");
	f->face = 1;
	f->face_clear = true;
	say("EHLO c.example.org\r\nSTARTTLS\r\n");
	hear("250-one.example.com\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n"
	     "250-SMTPUTF8\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n"
	     "502 5.5.1 Command not implemented\r\n");
	assert_int_equal(f->tls_starts, 0);
	/* A reload has taken its name away. */
	f->face = 3;
	say("HELO c.example.org\r\n");
	hear(HELO);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_state_reset),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_faces),
		cmocka_unit_test(test_injection),
		cmocka_unit_test(test_phase),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
