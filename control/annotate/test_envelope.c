/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What a message that is sent elsewhere says of its envelope. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/annotate/annotate.h"

static char body[] = "From: a\r\n\r\nx\r\n";
static struct iovec piece = {body, sizeof(body) - 1};
static const struct mail_bytes content = {&piece, 1, sizeof(body) - 1};

/* The fields above "X: y", to be freed. */
static char *fields(bool utf8, struct str from, const struct str *rcpt, size_t n,
		    const char *reason)
{
	const struct annotate_held held = {.prefix = "X-Gate",
					   .mail_from = from,
					   .rcpt = rcpt,
					   .n_rcpts = n,
					   .reason = reason};
	struct annotate_output out;
	char *text;

	assert_int_equal(annotate_assemble(STR("X: y\r\n"), utf8, &content, NULL, 0, &out), 0);
	assert_int_equal(annotate_envelope(&out, &held), 0);
	assert_int_equal(annotate_prove(&out, &content, NULL, 0), 0);
	assert_memory_equal(out.block + out.block_len - 6, "X: y\r\n", 6);
	text = strndup(out.block, out.block_len - 6);
	annotate_free(&out);
	return text;
}

static void expect(bool utf8, struct str from, struct str rcpt, const char *reason,
		   const char *want)
{
	char *text = fields(utf8, from, &rcpt, 1, reason);

	assert_string_equal(text, want);
	free(text);
}

static void forms(void **state)
{
	(void)state;
	expect(false, STR("s@example.net"), STR("a@example.com"), "rule X",
	       "X-Gate-Quarantine: rule X\r\nX-Gate-Envelope-From: <s@example.net>\r\n"
	       "X-Gate-Envelope-To: <a@example.com>\r\n");
	/* the null reverse-path; no reason */
	expect(false, STR_NONE, STR("\"a b\"@example.com"), "",
	       "X-Gate-Quarantine: policy\r\nX-Gate-Envelope-From: <>\r\n"
	       "X-Gate-Envelope-To: <\"a b\"@example.com>\r\n");
	/* RFC 6532: UTF-8 stands only in a message that is sent so */
	expect(true, STR("\xc3\xbc@example.net"), STR("a@\xc3\xbc.example"), "x",
	       "X-Gate-Quarantine: x\r\nX-Gate-Envelope-From: <\xc3\xbc@example.net>\r\n"
	       "X-Gate-Envelope-To: <a@\xc3\xbc.example>\r\n");
	expect(false, STR("\xc3\xbc@example.net"), STR("a@example.com"), "x",
	       "X-Gate-Quarantine: x\r\nX-Gate-Envelope-From: <%C3%BC@example.net>\r\n"
	       "X-Gate-Envelope-To: <a@example.com>\r\n");
	/* nothing ends the line; half a character is none */
	expect(true, STR("a\r\nX-Evil: 1@example.net"), STR("a\xc3@example.com"), "x\r\ny",
	       "X-Gate-Quarantine: x%0D%0Ay\r\nX-Gate-Envelope-From: <a%0D%0AX-Evil: "
	       "1@example.net>\r\n"
	       "X-Gate-Envelope-To: <a%C3@example.com>\r\n");
}

/* Many recipients, each as long as a path may be, none of it ASCII. */
static void bounds(void **state)
{
	static char path[2048];
	static struct str rcpt[1000];
	char *text;
	size_t n = 0;

	(void)state;
	memset(path, '\xff', sizeof(path));
	for (size_t i = 0; i < 1000; i++)
		rcpt[i] = str_make(path, i * 2);
	text = fields(false, rcpt[999], rcpt, 1000, "x");
	for (const char *p = text; (p = strstr(p, "X-Gate-Envelope-To: <")); p++)
		n++;
	assert_int_equal(n, 1000);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(forms), cmocka_unit_test(bounds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
