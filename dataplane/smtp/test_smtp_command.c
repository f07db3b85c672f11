/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* The grammar of command lines, paths and replies, as tables. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/smtp/smtp_command.h"
#include "dataplane/smtp/smtp_path.h"

#define X10 "xxxxxxxxxx"
#define X60 X10 X10 X10 X10 X10 X10
#define L63 X60 "xxx"

/* Parsed from an exact copy, so that the sanitizer sees a read past its end. */
static struct smtp_command parse(const char *line, char **copy)
{
	struct smtp_command cmd;
	size_t n = strlen(line);

	*copy = malloc(n ? n : 1);
	assert_non_null(*copy);
	memcpy(*copy, line, n);
	smtp_command_parse(str_make(*copy, n), &cmd);
	return cmd;
}

static void test_verbs(void **state)
{
	static const struct {
		const char *line;
		enum smtp_verb verb;
		enum smtp_say fault;
	} t[] = {
		{"HELO a", VERB_HELO, SAY_NONE}, {"helo a", VERB_HELO, SAY_NONE},
		{"EHLO [192.0.2.1]", VERB_EHLO, SAY_NONE}, {"EhLo (none)", VERB_EHLO, SAY_NONE},
		{"EHLO win_pc  ", VERB_EHLO, SAY_NONE}, {"EHLO  two", VERB_EHLO, SAY_NONE},
		{"EHLO", VERB_EHLO, SAY_NEED_ARGUMENT}, {"EHLO ", VERB_EHLO, SAY_NEED_ARGUMENT},
		{"EHLO a b", VERB_EHLO, SAY_BAD_HELO}, {"EHLO \xc3\xa4", VERB_EHLO, SAY_BAD_HELO},
		{"EHLO a\tb", VERB_EHLO, SAY_CONTROL_CHAR},
		{"EHLO a\x7f", VERB_EHLO, SAY_CONTROL_CHAR},
		{"EHLO a\rb", VERB_EHLO, SAY_CONTROL_CHAR},
		{"EHLO " L63 L63 L63 L63 "xxx", VERB_EHLO, SAY_NONE},
		{"EHLO " L63 L63 L63 L63 "xxxx", VERB_EHLO, SAY_BAD_HELO},
		{"DATA", VERB_DATA, SAY_NONE}, {"data ", VERB_DATA, SAY_NONE},
		{"DATA x", VERB_DATA, SAY_NO_ARGUMENT}, {"DATAX", VERB_UNKNOWN, SAY_UNKNOWN},
		{"RSET", VERB_RSET, SAY_NONE}, {"RSET x", VERB_RSET, SAY_NO_ARGUMENT},
		{"NOOP", VERB_NOOP, SAY_NONE}, {"NOOP x y", VERB_NOOP, SAY_NONE},
		{"QUIT", VERB_QUIT, SAY_NONE}, {"QUIT now", VERB_QUIT, SAY_NO_ARGUMENT},
		{"VRFY a", VERB_VRFY, SAY_NONE}, {"VRFY", VERB_VRFY, SAY_NEED_ARGUMENT},
		{"VRFY a SMTPUTF8", VERB_VRFY, SAY_NONE}, {"VRFY SMTPUTF8", VERB_VRFY, SAY_NONE},
		{"VRFY \xc3\xa4 smtputf8 ", VERB_VRFY, SAY_NONE},
		{"VRFY \xc3\xa4", VERB_VRFY, SAY_NOT_ASCII},
		{"VRFY \xe4 SMTPUTF8", VERB_VRFY, SAY_NOT_ASCII},
		{"VRFY a SMTPUTF8 SMTPUTF8", VERB_VRFY, SAY_BAD_PARAM},
		{"VRFY a SMTPUTF8=1", VERB_VRFY, SAY_BAD_PARAM},
		{"VRFY a SMTPUTF8=", VERB_VRFY, SAY_BAD_PARAM},
		{"HELP", VERB_HELP, SAY_NONE}, {"HELP MAIL", VERB_HELP, SAY_NONE},
		{"EXPN a", VERB_NOT_OFFERED, SAY_NOT_IMPLEMENTED},
		{"ETRN a", VERB_NOT_OFFERED, SAY_NOT_IMPLEMENTED},
		{"AUTH PLAIN", VERB_NOT_OFFERED, SAY_NOT_IMPLEMENTED},
		{"TURN", VERB_NOT_OFFERED, SAY_NOT_IMPLEMENTED},
		{"STARTTLS", VERB_STARTTLS, SAY_NONE}, {"STARTTLS x", VERB_STARTTLS, SAY_NO_ARGUMENT},
		{"", VERB_UNKNOWN, SAY_UNKNOWN}, {" ", VERB_UNKNOWN, SAY_UNKNOWN},
		{" NOOP", VERB_UNKNOWN, SAY_UNKNOWN}, {"XYZZY", VERB_UNKNOWN, SAY_UNKNOWN},
		{"\xff\xfe", VERB_UNKNOWN, SAY_UNKNOWN},
		{"GET / HTTP/1.1", VERB_FOREIGN, SAY_FOREIGN},
		{"POST /x HTTP/1.1", VERB_FOREIGN, SAY_FOREIGN},
		{"CONNECT a:25 HTTP/1.1", VERB_FOREIGN, SAY_FOREIGN},
		{"PRI * HTTP/2.0", VERB_FOREIGN, SAY_FOREIGN},
		{"SSH-2.0-x", VERB_FOREIGN, SAY_FOREIGN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char *copy;
		struct smtp_command cmd = parse(t[i].line, &copy);

		if (cmd.verb != t[i].verb || cmd.fault != t[i].fault)
			fail_msg("%s: verb %d fault %d", t[i].line, cmd.verb, cmd.fault);
		free(copy);
	}
}

static void test_mail(void **state)
{
	static const struct {
		const char *arg;
		enum smtp_say fault;
		const char *path;
		uint64_t size;
		uint8_t body;
	} t[] = {
		{"FROM:<>", SAY_NONE, "", 0, 0},
		{"FROM:<a@example.com>", SAY_NONE, "a@example.com", 0, 0},
		{"from: <a@example.com>", SAY_NONE, "a@example.com", 0, 0},
		{"FROM:<a@example.com> SIZE=1000 BODY=8BITMIME",
		 SAY_NONE, "a@example.com", 1000, 1},
		{"FROM:<a@example.com>  body=7bit", SAY_NONE, "a@example.com", 0, 0},
		{"FROM:<> SIZE=99999999999999999999", SAY_NONE, "", UINT64_MAX, 0},
		{"FROM:<> SIZE=18446744073709551615", SAY_NONE, "", UINT64_MAX, 0},
		{"FROM:<> SIZE=18446744073709551616", SAY_NONE, "", UINT64_MAX, 0},
		{"FROM:<> SIZE=0", SAY_NONE, "", 0, 0},
		{"FROM:<> SIZE=100000000000000000000", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> SIZE=", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> SIZE", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> SIZE=-1", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> SIZE=1 SIZE=1", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> BODY=BINARYMIME", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> BODY=7BIT BODY=7BIT", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> SMTPUTF8", SAY_NONE, "", 0, 0},
		{"FROM:<a@example.com> smtputf8 SIZE=7", SAY_NONE, "a@example.com", 7, 0},
		{"FROM:<> SMTPUTF8=", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> SMTPUTF8=1", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> SMTPUTF8 SMTPUTF8", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> SMTPUTF8 X\xc3\xa4=1", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<\xc3\xa4@example.com> SMTPUTF8", SAY_NONE, "\xc3\xa4@example.com", 0, 0},
		{"FROM:<a@\xc3\xa4.example> BODY=8BITMIME SMTPUTF8",
		 SAY_NONE, "a@\xc3\xa4.example", 0, 1},
		{"FROM:<@r\xc3\xa4.example:a@example.com>", SAY_NOT_ASCII, NULL, 0, 0},
		{"FROM:<@r\xc3\xa4.example:a@example.com> SMTPUTF8", SAY_NONE, "a@example.com", 0, 0},
		{"FROM:<\xe4@example.com> SMTPUTF8", SAY_NOT_ASCII, NULL, 0, 0},
		{"FROM:<\xe4@example.com>", SAY_NOT_ASCII, NULL, 0, 0},
		{"FROM:<\xc3\xa4@example.com> FOO", SAY_UNKNOWN_PARAM, NULL, 0, 0},
		{"FROM:<> AUTH=<>", SAY_UNKNOWN_PARAM, NULL, 0, 0},
		{"FROM:<> RET=HDRS", SAY_UNKNOWN_PARAM, NULL, 0, 0},
		{"FROM:<> =x", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> X=", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> -X=1", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> X=a=b", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<> X_Y", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<>SIZE=1", SAY_BAD_PARAM, NULL, 0, 0},
		{"FROM:<@r.example:a@example.com>", SAY_NONE, "a@example.com", 0, 0},
		{"FROM:<@r.example,@s.example:a@example.com> SIZE=5",
		 SAY_NONE, "a@example.com", 5, 0},
		{"FROM:<@r.example,a@example.com>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<@:a@example.com>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<@r.example:>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:a@example.com", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<a@example.com", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<", SAY_BAD_SENDER, NULL, 0, 0}, {"FROM:", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM", SAY_BAD_SENDER, NULL, 0, 0},
		{"TO:<a@example.com>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:< >", SAY_BAD_SENDER, NULL, 0, 0}, {"FROM:<a>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<postmaster>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<a@b@example.com>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<\"a@b\"@example.com>", SAY_NONE, "\"a@b\"@example.com", 0, 0},
		{"FROM:<\"a >\\\"b\"@example.com>", SAY_NONE, "\"a >\\\"b\"@example.com", 0, 0},
		{"FROM:<\"a\\\"@example.com>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<a%b.example@example.com>", SAY_NONE, "a%b.example@example.com", 0, 0},
		{"FROM:<a..b@example.com>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<.a@example.com>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<a.@example.com>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<@example.com>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<a b@example.com>", SAY_BAD_SENDER, NULL, 0, 0},
		{"FROM:<\xc3\xa4@example.com>", SAY_NOT_ASCII, NULL, 0, 0},
		{"FROM:<a@\xc3\xa4.example>", SAY_NOT_ASCII, NULL, 0, 0},
		{"FROM:<" L63 "x@example.com>", SAY_NONE, L63 "x@example.com", 0, 0},
		{"FROM:<" L63 "xx@example.com>", SAY_SENDER_LONG, NULL, 0, 0},
		{"FROM:<a@" L63 "." L63 "." L63 "." X60 "x>", SAY_SENDER_LONG, NULL, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char line[1024], *copy;
		struct smtp_command cmd;

		snprintf(line, sizeof(line), "MAIL %s", t[i].arg);
		cmd = parse(line, &copy);
		if (cmd.fault != t[i].fault)
			fail_msg("%s: fault %d", line, cmd.fault);
		if (!cmd.fault && (!str_eq(cmd.mail.reverse_path, str_c(t[i].path)) ||
				   cmd.mail.size != t[i].size || cmd.mail.body != t[i].body))
			fail_msg("%s: %.*s", line, STR_FMT(cmd.mail.reverse_path));
		free(copy);
	}
}

static void test_bdat(void **state)
{
	static const struct {
		const char *arg;
		uint64_t chunk;
		bool good, last;
	} t[] = {
		{" 0", 0, true, false}, {" 0 LAST", 0, true, true}, {" 86 last", 86, true, true},
		{"  86   LaSt  ", 86, true, true}, {" 00012 ", 12, true, false},
		{" 18446744073709551615", UINT64_MAX, true, false},
		{" 000000000000000000000000018446744073709551615", UINT64_MAX, true, false},
		{" 18446744073709551616", 0, false, false},
		{" 18446744073709551620", 0, false, false},
		{" 99999999999999999999999", 0, false, false},
		{"", 0, false, false}, {" ", 0, false, false}, {" -1", 0, false, false},
		{" +1", 0, false, false}, {" 0x10", 0, false, false}, {" 1.0", 0, false, false},
		{" 1,0", 0, false, false}, {" 10LAST", 0, false, false}, {" LAST", 0, false, false},
		{" 10 LAST 5", 0, false, false}, {" 10 LASTS", 0, false, false},
		{" 10 10", 0, false, false}, {" 1\t", 1, true, false}, {" 1\tLAST", 0, false, false},
		{"\t1", 0, false, false}, {":1", 0, false, false}, {" 1\xe9", 0, false, false},
	};
	char line[700] = "BDAT 1";

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct smtp_command cmd;

		snprintf(line, sizeof(line), "bdAt%s", t[i].arg);
		smtp_command_parse(str_c(line), &cmd);
		if (t[i].good != !cmd.fault)
			fail_msg("%s", line);
		assert_true(smtp_meant_bdat(str_c(line)));
		if (!t[i].good)
			continue;
		assert_int_equal(cmd.verb, VERB_BDAT);
		assert_true(cmd.chunk == t[i].chunk);
		assert_int_equal(cmd.last, t[i].last);
	}
	assert_true(smtp_meant_bdat(STR(" \tBDAT")));
	assert_false(smtp_meant_bdat(STR("BDATA 5")));
	assert_false(smtp_meant_bdat(STR("BDAT5")));
	assert_false(smtp_meant_bdat(STR("BDA")));
	assert_false(smtp_meant_bdat(STR_NONE));
}

static void test_rcpt(void **state)
{
	static const struct {
		const char *arg;
		enum smtp_say fault;
		const char *path;
	} t[] = {
		{"TO:<a@example.com>", SAY_NONE, "a@example.com"},
		{"To: <a@example.com> ", SAY_NONE, "a@example.com"},
		{"TO:<Postmaster>", SAY_NONE, "Postmaster"},
		{"TO:<postmaster@[192.0.2.7]>", SAY_NONE, "postmaster@[192.0.2.7]"},
		{"TO:<a@[IPv6:2001:db8::1]>", SAY_NONE, "a@[IPv6:2001:db8::1]"},
		{"TO:<>", SAY_BAD_RCPT, NULL}, {"TO:<a>", SAY_BAD_RCPT, NULL},
		{"TO:a@example.com", SAY_BAD_RCPT, NULL},
		{"FROM:<a@example.com>", SAY_BAD_RCPT, NULL},
		{"TO:<a@[192.0.2.256]>", SAY_BAD_RCPT, NULL}, {"TO:<a@[]>", SAY_BAD_RCPT, NULL},
		{"TO:<a@[192.0.2.1>", SAY_BAD_RCPT, NULL},
		{"TO:<a@[IPv6:192.0.2.1]>", SAY_BAD_RCPT, NULL},
		{"TO:<a@[2001:db8::1]>", SAY_NONE, "a@[2001:db8::1]"},
		{"TO:<a@-example.com>", SAY_BAD_RCPT, NULL},
		{"TO:<a@example-.com>", SAY_BAD_RCPT, NULL},
		{"TO:<a@example..com>", SAY_BAD_RCPT, NULL},
		{"TO:<a@example.com.>", SAY_BAD_RCPT, NULL},
		{"TO:<a@exa mple.com>", SAY_BAD_RCPT, NULL},
		{"TO:<a@" L63 "x.com>", SAY_BAD_RCPT, NULL},
		{"TO:<a@" L63 ".com>", SAY_NONE, "a@" L63 ".com"},
		{"TO:<@r.example:a@example.com>", SAY_SOURCE_ROUTE, NULL},
		{"TO:<" L63 "xx@example.com>", SAY_RCPT_LONG, NULL},
		{"TO:<a@example.com> NOTIFY=NEVER", SAY_UNKNOWN_PARAM, NULL},
		{"TO:<a@example.com> SIZE=1", SAY_UNKNOWN_PARAM, NULL},
		{"TO:<a@example.com>x", SAY_BAD_PARAM, NULL},
		{"TO:<\xc3\xa4@example.com>", SAY_NONE, "\xc3\xa4@example.com"},
		{"TO:<\xc3\xa4@example.com> SMTPUTF8", SAY_UNKNOWN_PARAM, NULL},
		{"TO:<\xe4@example.com>", SAY_NOT_ASCII, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char line[1024], *copy;
		struct smtp_command cmd;

		snprintf(line, sizeof(line), "RCPT %s", t[i].arg);
		cmd = parse(line, &copy);
		if (cmd.fault != t[i].fault)
			fail_msg("%s: fault %d", line, cmd.fault);
		if (!cmd.fault && !str_eq(cmd.rcpt, str_c(t[i].path)))
			fail_msg("%s: %.*s", line, STR_FMT(cmd.rcpt));
		if (!cmd.fault)
			assert_int_equal(cmd.rcpt_utf8, strchr(t[i].path, '\xc3') != NULL);
		free(copy);
	}
}

/* RFC 5321 4.5.3.1.4: 512 with CRLF, but for the two commands that extensions make longer. */
static void test_long_lines(void **state)
{
	char line[1200], *copy;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "NOOP ", 5);
	line[510] = '\0';
	assert_int_equal(parse(line, &copy).fault, SAY_NONE);
	free(copy);
	line[510] = 'x';
	line[511] = '\0';
	assert_int_equal(parse(line, &copy).fault, SAY_LINE_TOO_LONG);
	free(copy);
	line[511] = 'x';
	line[1000] = '\0';
	memcpy(line, "MAIL FROM:<> ", 13);
	assert_int_equal(parse(line, &copy).fault, SAY_UNKNOWN_PARAM);
	free(copy);
}

static void test_domains(void **state)
{
	(void)state;
	assert_true(smtp_domain_valid(STR("localhost")));
	assert_true(smtp_domain_valid(STR("a_b.example.com")));
	assert_true(smtp_domain_valid(STR("1.example")));
	assert_false(smtp_domain_valid(STR("")));
	assert_false(smtp_domain_valid(STR(".")));
	assert_false(smtp_domain_valid(STR("a.")));
	assert_false(smtp_domain_valid(STR("a@b")));
	assert_true(smtp_literal_valid(STR("[x-tag:data]")));
	assert_false(smtp_literal_valid(STR("[x-tag:]")));
	assert_false(smtp_literal_valid(STR("[:data]")));
	assert_false(smtp_literal_valid(STR("[a b:data]")));
	assert_false(smtp_literal_valid(STR("[")));
	assert_false(smtp_literal_valid(STR("[IPv6:]")));
}

/* RFC 2034 4: code, enhanced code of the same class, text, CRLF. */
static void test_replies(void **state)
{
	uint8_t out[LIMIT_REPLY_LINE], huge[2000];
	const uint8_t *id = (const uint8_t *)"0123456789ABCDEF";
	struct smtp_reply r = {550, 5, 1, 1, STR("No such user")};
	size_t n;

	(void)state;
	for (int say = SAY_NONE + 1; say < SAY_COUNT; say++) {
		struct str l = smtp_say_line((enum smtp_say)say);

		assert_int_equal(l.p[0], l.p[4]);
		assert_int_equal(l.p[0] - '0', smtp_say_code((enum smtp_say)say) / 100);
		assert_true(str_iends(l, STR("\r\n")));
	}
#define IS(text) assert_true(str_eq(str_make(out, n), STR(text)))
	n = smtp_reply_format(out, &r, false, NULL);
	IS("550 5.1.1 No such user\r\n");
	n = smtp_reply_format(out, &r, true, NULL);
	IS("550 No such user\r\n");
	r.enh_class = 4;
	n = smtp_reply_format(out, &r, false, id);
	IS("550 5.0.0 No such user id=0123456789ABCDEF\r\n");
	r = (struct smtp_reply){250, 2, 0, 0, STR("a\r\n250 b\0\xff")};
	n = smtp_reply_format(out, &r, false, NULL);
	IS("250 2.0.0 a??250 b??\r\n");
	r.text = STR_NONE;
	n = smtp_reply_format(out, &r, false, NULL);
	IS("250 2.0.0 Ok\r\n");
	memset(huge, 'x', sizeof(huge));
	r = (struct smtp_reply){450, 4, 65535, 65535, str_make(huge, sizeof(huge))};
	n = smtp_reply_format(out, &r, false, id);
	assert_int_equal(n, LIMIT_REPLY_LINE);
	assert_memory_equal(out, "450 4.0.0 xxx", 13);
	assert_memory_equal(out + n - 22, " id=0123456789ABCDEF\r\n", 22);
}

static void announces(const struct handoff_config *c, const char *line)
{
	struct smtp_config *k = smtp_config_new(c);

	assert_non_null(k);
	assert_non_null(strstr((const char *)k->face[0].ehlo, line));
	smtp_config_free(k);
}

static void test_config(void **state)
{
	struct handoff_config c = {.hostname = "mx.example.com", .max_message = 12345};
	struct smtp_config *k = smtp_config_new(&c);

	(void)state;
	assert_non_null(k);
	assert_true(str_eq(str_make(k->face[0].ehlo, k->face[0].ehlo_len),
			   STR("250-mx.example.com\r\n250-PIPELINING\r\n250-SIZE 12345\r\n"
			       "250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n"
			       "250 ENHANCEDSTATUSCODES\r\n")));
	assert_int_equal(k->c.max_rcpt, DEFAULT_MAX_RCPT);
	smtp_config_free(k);
	/* RFC 9422: where domains go different ways. */
	c.many_routes = 1;
	announces(&c, "\r\n250-LIMITS RCPTMAX=100 RCPTDOMAINMAX=1\r\n250 ");
	c.max_rcpt = c.max_transactions = UINT32_MAX;
	announces(&c, "\r\n250-LIMITS RCPTMAX=512 MAILMAX=4294967295 RCPTDOMAINMAX=1\r\n250 ");
	/* A name of a cable's server is no less looked at. */
	c.n_inline_names = 1;
	assert_null(smtp_config_new(&c));
	memcpy(c.inline_name[0], "a\r\n250 b", 9);
	assert_null(smtp_config_new(&c));
	c.n_inline_names = HANDOFF_MAX_INLINE_NAMES + 1;
	assert_null(smtp_config_new(&c));
	c.n_inline_names = 0;
	memcpy(c.hostname, "a\r\n250 b", 9);
	assert_null(smtp_config_new(&c));
	c.hostname[0] = '\0';
	assert_null(smtp_config_new(&c));
	memset(c.hostname, 'x', sizeof(c.hostname));
	assert_null(smtp_config_new(&c));
	c.hostname[255] = '\0';
	k = smtp_config_new(&c);
	assert_non_null(k);
	assert_true(k->face[0].banner_len < LIMIT_REPLY_LINE);
	assert_true(k->face[0].ehlo_len < sizeof(k->face[0].ehlo)); /* with the longest name and all keywords */
	smtp_config_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs), cmocka_unit_test(test_mail),
		cmocka_unit_test(test_rcpt), cmocka_unit_test(test_bdat), cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_domains), cmocka_unit_test(test_replies),
		cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
