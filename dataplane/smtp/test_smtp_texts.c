/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Texts of the configuration, and trace ids, in what is said. */

#include "dataplane/smtp/smtp_script.h"
#include "dataplane/smtp/smtp_reply.h"

#define ID " id=0123456789ABCDEF\r\n"

static void set(char *to, size_t cap, const char *text)
{
	assert_true(strlen(text) < cap);
	memcpy(to, text, strlen(text) + 1);
}
#define SET(field, text) set(c.field, sizeof(c.field), text)

static void test_texts(void **state)
{
	struct handoff_config c = fake_config();

	(void)state;
	SET(banner, "no spam");
	SET(help, "see https://postmaster.example.net/");
	SET(contact, "https://postmaster.example.net/");
	start_with(&c);
	fake_answer(f);
	hear("220 mx.example.net ESMTP no spam\r\n");
	say("HELP\r\nNOOP\r\nXYZZY\r\n");
	hear("214 2.0.0 see https://postmaster.example.net/\r\n" OK
	     "500 5.5.1 Command not recognized; https://postmaster.example.net/\r\n");
	smtp_shutdown(f->s, STR("Service is closing"));
	hear("421 4.3.2 Service is closing; https://postmaster.example.net/\r\n");
	stop();
	/* 4xx that are not the end of it, and what control says, stay as they are. */
	start_with(&c);
	fake_answer(f);
	f->no_record = true;
	say("EHLO c.example.org\r\n" MAIL);
	f->no_record = false;
	say(MAIL "RCPT TO:<no@example.com>\r\n");
	assert_null(strstr(f->out, "storage, try again later;"));
	assert_non_null(strstr(f->out, "550 5.1.1 No such user\r\n"));
	stop();
}

static void test_longest(void **state)
{
	struct handoff_config c = fake_config();
	uint8_t line[LIMIT_REPLY_LINE];

	(void)state;
	memset(c.hostname, 'h', 255);
	memset(c.banner, 'b', sizeof(c.banner) - 1);
	memset(c.help, 'e', sizeof(c.help) - 1);
	memset(c.contact, 'c', sizeof(c.contact) - 1);
	start_with(&c); /* fake_send() minds the length */
	f->asked = FAKE_NONE;
	smtp_answer_connect(f->s, &(struct smtp_reply){220, 0, 0, 0, str_make(c.help, 255)});
	assert_int_equal(f->out_n, LIMIT_REPLY_LINE);
	say("HELP\r\nXYZZY\r\n");
	stop();
	for (unsigned int i = SAY_NONE + 1; i < SAY_COUNT; i++) {
		size_t n = smtp_say_format(line, i, str_make(c.contact, SMTP_CONTACT_MAX),
					   (const uint8_t *)"0123456789ABCDEF");

		assert_true(n <= sizeof(line));
		assert_memory_equal(line + n - 2, "\r\n", 2);
		assert_ptr_equal(memchr(line, '\n', n), line + n - 1);
		assert_int_equal(memmem(line, n, "id=", 3) != NULL, smtp_say_code(i) >= 400);
	}
}

/* Nothing that could make two lines of one. */
static void test_forged(void **state)
{
	struct handoff_config c;

	(void)state;
#define BAD(field, text) \
	do { \
		c = fake_config(); \
		SET(field, text); \
		assert_null(smtp_config_new(&c)); \
	} while (0)
	BAD(hostname, "mx.example.net\r\n250");
	BAD(hostname, "mx example");
	BAD(hostname, "");
	BAD(banner, "a\r\n220 b");
	BAD(banner, "a\tb");
	BAD(help, "a\n");
	BAD(contact, "a\r");
	BAD(contact, "caf\xc3\xa9");
	c = fake_config();
	memset(c.contact, 'c', sizeof(c.contact));
	assert_null(smtp_config_new(&c));
}

/* Who hears a refusal of a message can name it, also when the record is given back already. */
static void test_trace(void **state)
{
	struct handoff_config c = fake_config();

	(void)state;
	start();
	f->trace = true;
	say(S_MAIL "DATA\r\n");
	f->out_n = 0;
	say("a\nb\r\n");
	assert_int_equal(f->ends, 1);
	say(".\r\n");
	hear("554 5.6.0 Message refused: bare LF in content" ID);
	say(MAIL TO "DATA\r\n");
	f->down = true;
	f->out_n = 0;
	say("x\r\n.\r\n");
	hear("451 4.3.2 System not accepting messages now, try again later" ID);
	f->down = false;
	/* With control, which dies or does not answer. */
	for (int i = 0; i < 2; i++) {
		say(MAIL TO "DATA\r\n");
		fake_feed(f, "x\r\n.\r\n", 6, false);
		f->out_n = 0;
		if (i)
			smtp_control_lost(f->s);
		else
			smtp_timeout(f->s, f->now + 600000);
		hear(i ? "451 4.3.2 System not accepting messages now, try again later" ID
		       : "451 4.3.2 No decision in time, try again later" ID);
		f->asked = FAKE_NONE;
	}
	/* Another message's id is for none of these. */
	say("XYZZY\r\n");
	hear("500 5.5.1 Command not recognized\r\n");
	stop();
	SET(contact, "+1 555 0100");
	start_with(&c);
	fake_answer(f);
	f->trace = true;
	say(S_MAIL "DATA\r\n");
	f->out_n = 0;
	smtp_timeout(f->s, f->now + 180000);
	hear("421 4.4.2 Data comes too slowly, closing; +1 555 0100" ID);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
