/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Of whom a refusal speaks, where the table of docs/smtp.md cannot show it: by our own address, and by
 * words that mean something else at another stage. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "control/deliver/verdict.h"

#define OWN "192.0.2.1"

static void feed_from(struct deliver_reply *r, const char *line, const char *hop, const char *own)
{
	struct reply_parser p;
	size_t used;

	memset(&p, 0, sizeof(p));
	reply_reset(&p);
	assert_int_equal(reply_feed(&p, (const uint8_t *)line, strlen(line), &used), REPLY_MORE);
	assert_int_equal(reply_feed(&p, (const uint8_t *)"\r\n", 2, &used), REPLY_DONE);
	verdict_from_parser(r, &p, NULL, NULL, hop, own);
}

static void feed(struct deliver_reply *r, const char *line, const char *own)
{
	feed_from(r, line, NULL, own);
}

static void of_whom(void **state)
{
	static const struct {
		enum stage at;
		const char *line;
		enum verdict_class is;
	} row[] = {
		{STAGE_RCPT, "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied", VERDICT_RELAY},
		{STAGE_RCPT, "550 host 192.0.2.1 is listed at dnsbl.example.net", VERDICT_RELAY},
		{STAGE_RCPT, "550 5.7.511 Access denied, banned sender[192.0.2.1]", VERDICT_RELAY},
		{STAGE_RCPT, "554 5.7.1 Client host [192.0.2.10] blocked", VERDICT_REJECT},
		{STAGE_RCPT, "550 5.1.1 nobody here (from 192.0.2.1)", VERDICT_REJECT},
		{STAGE_DOT, "550 5.7.1 [192.0.2.1 12] likely unsolicited mail", VERDICT_REJECT},
		{STAGE_RCPT, "450 4.2.0 [192.0.2.1] greylisted", VERDICT_THROTTLE},
		{STAGE_EHLO, "421 4.7.1 hop Error: Client certificate not trusted", VERDICT_RELAY},
		{STAGE_RCPT, "550 5.7.1 no valid client certificate", VERDICT_RELAY},
		{STAGE_DOT, "550 5.7.1 signed with a client certificate that was revoked", VERDICT_REJECT},
		{STAGE_RCPT, "454 4.7.1 Relay access denied", VERDICT_RELAY},
		{STAGE_MAIL, "451 4.7.550 banned for now", VERDICT_RELAY}, /* as configured */
		{STAGE_MAIL, "451 4.7.551 slow down", VERDICT_THROTTLE},
	};
	char *codes[] = {(char *)(uintptr_t)"4.7.550"};
	struct config c = {.relay_fault_code = codes, .n_relay_fault_codes = 1};
	struct deliver_reply r;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		feed(&r, row[i].line, OWN);
		if (verdict_classify(&c, row[i].at, &r) != row[i].is)
			fail_msg("%s: %s", stage_name(row[i].at), row[i].line);
	}
}

/* Where the server takes us for the client, what it says of that one is the client's. */
static void of_the_client(void **state)
{
	static const struct {
		enum stage at;
		const char *line;
		enum verdict_class is;
	} row[] = {
		{STAGE_RCPT, "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", VERDICT_REJECT},
		{STAGE_RCPT, "550 5.7.25 Client host rejected: cannot find your hostname", VERDICT_REJECT},
		{STAGE_RCPT, "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied", VERDICT_REJECT},
		{STAGE_RCPT, "554 5.7.1 Relay access denied", VERDICT_REJECT},
		{STAGE_MAIL, "530 5.7.0 Must issue a STARTTLS command first", VERDICT_RELAY},
		{STAGE_EHLO, "502 5.5.2 Error: command not recognized", VERDICT_RELAY},
		{STAGE_RCPT, "550 5.7.1 no valid client certificate", VERDICT_RELAY},
	};
	struct config c = {0};
	struct deliver_reply r;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		feed(&r, row[i].line, OWN);
		r.to_client = true;
		if (verdict_classify(&c, row[i].at, &r) != row[i].is)
			fail_msg("%s: %s", stage_name(row[i].at), row[i].line);
	}
}

/* Whether a text names our address: whole, with brackets or the tag of a literal around it or not. */
static void our_own_address(void **state)
{
	static const struct {
		const char *text, *own;
		bool is;
	} row[] = {
		{"550 192.0.2.1", OWN, true},
		{"550 listed: 192.0.2.1.", OWN, true},
		{"550 [192.0.2.10] blocked", OWN, false},
		{"550 [1.192.0.2.1] blocked", OWN, false},
		{"550 [192.0.2.1] blocked", "", false},
		{"550 [192.0.2.1] blocked", NULL, false},
		{"550 [2001:DB8::1] blocked", "2001:db8::1", true},
		{"550 [IPv6:2001:db8::1] is listed", "2001:db8::1", true},
		{"550 [2001:db8::10] is listed", "2001:db8::1", false},
		{"550 ", OWN, false},
	};
	struct deliver_reply r;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		feed(&r, row[i].text, row[i].own);
		assert_int_equal(r.names_us, row[i].is);
	}
	/* A next hop on this machine: whose address it is nobody knows. */
	feed_from(&r, "554 5.7.1 [192.0.2.1] blocked", OWN, OWN);
	assert_false(r.names_us);
	feed_from(&r, "554 5.7.1 [192.0.2.1] blocked", "192.0.2.2", OWN);
	assert_true(r.names_us);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(of_whom), cmocka_unit_test(of_the_client), cmocka_unit_test(our_own_address)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
