/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* What a pushed configuration may say. That pushes reach this check: test_link.c. */

#include "dataplane/handoff/internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "postern/limits.h"

static struct handoff_config good_config(void)
{
	struct handoff_config c = {
		.magic = HANDOFF_MAGIC, .size = sizeof(c), .generation = 3,
		.hostname = "mx.example.org", .max_message = 100000, .max_rcpt = 100,
		.max_errors = 10, .max_transactions = 10, .command_timeout_s = 300,
		.data_timeout_s = 180, .data_total_timeout_s = 1800, .verdict_timeout_s = 600,
		.n_listeners = 1, .listener = {{.tcp_port = 25, .prefix_len = 128}},
	};

	return c;
}

static void test_config_check(void **state)
{
	struct handoff_config c = good_config();
	char text[256];

	(void)state;
	assert_int_equal(dp_config_check(&c, 100000, text, sizeof(text)), 0);
	assert_int_equal(dp_config_check(&c, 99999, text, sizeof(text)), EINVAL);
	assert_non_null(strstr(text, "99999"));
#define BAD(field, value) \
	do { \
		c = good_config(); \
		c.field = value; \
		assert_true(dp_config_check(&c, 100000, text, sizeof(text)) > 0); \
	} while (0)
	BAD(magic, 0);
	BAD(size, 1);
	BAD(hostname[0], '\0');
	BAD(hostname[2], '\n');
	BAD(max_message, 0);
	BAD(max_rcpt, 0);
	BAD(max_rcpt, HANDOFF_MAX_RCPTS + 1);
	BAD(max_errors, 0);
	BAD(max_transactions, 0);
	BAD(command_timeout_s, 0);
	BAD(verdict_timeout_s, 0);
	BAD(down_action, 2);
	BAD(refuse_bare_cr, 2);
	BAD(early, EARLY_REFUSE + 1);
	BAD(min_rate_mode, MODE_OFF + 1);
	BAD(min_rate_large_mode, MODE_OFF + 1);
	BAD(data_total_mode, MODE_OFF + 1);
	BAD(max_errors_mode, MODE_OFF + 1);
	BAD(max_idle_mode, MODE_OFF + 1);
	BAD(arena_share, 101);
	BAD(banner[0], '\n');
	BAD(help[0], '\r');
	BAD(contact[0], '\x7f');
	c = good_config();
	memset(c.contact, 'x', sizeof(c.contact));
	assert_true(dp_config_check(&c, 100000, text, sizeof(text)) > 0);
	c.contact[sizeof(c.contact) - 1] = '\0';
	assert_int_equal(dp_config_check(&c, 100000, text, sizeof(text)), 0);
	BAD(arena_share_mode, MODE_OFF + 1);
	BAD(max_idle, LIMIT_IDLE_COMMANDS_MAX + 1);
	BAD(listener[0].tcp_port, 0);
	BAD(listener[0].prefix_len, 129);
	BAD(n_trusts, HANDOFF_MAX_TRUSTS + 1);
	BAD(n_trusts, 1); /* without a flag */
}

static void test_tls_check(void **state)
{
	static union {
		struct handoff_tls t;
		uint8_t octets[sizeof(struct handoff_tls) + 100];
	} u;
	const struct handoff_tls good = {
		.magic = HANDOFF_MAGIC, .size = sizeof(u), .n_certificates = 1,
		.certificate = {{.chain = {sizeof(u.t), 60}, .key = {sizeof(u.t) + 60, 40}}},
	};
	char text[256];

	(void)state;
	u.t = good;
	assert_int_equal(dp_tls_check(&u.t, sizeof(u), text, sizeof(text)), 0);
	assert_true(dp_tls_check(&u.t, sizeof(u) - 1, text, sizeof(text)) > 0);
	assert_true(dp_tls_check(&u.t, 10, text, sizeof(text)) > 0);
#define BAD_TLS(field, value) \
	do { \
		u.t = good; \
		u.t.field = value; \
		assert_true(dp_tls_check(&u.t, sizeof(u), text, sizeof(text)) > 0); \
	} while (0)
	BAD_TLS(magic, 0);
	BAD_TLS(n_certificates, 0);
	BAD_TLS(n_certificates, 2);
	BAD_TLS(n_certificates, UINT32_MAX);
	BAD_TLS(certificate[0].key.len, 41);
	BAD_TLS(certificate[0].key.len, 0);
	BAD_TLS(certificate[0].chain.off, 0);
	BAD_TLS(certificate[0].chain.off, UINT32_MAX - 10);
	BAD_TLS(client_ca.len, 1);
	BAD_TLS(ask_client, 2);
	BAD_TLS(ciphers.len, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_config_check), cmocka_unit_test(test_tls_check)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
