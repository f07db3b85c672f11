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

static void test_inline_check(void **state)
{
	static struct handoff_config good;
	struct handoff_config c;
	char text[256];

	(void)state;
	good = good_config();
	good.n_inlines = 2;
	good.inlined[0] = (struct handoff_inline){.tcp_port = 25, .id = HANDOFF_LISTENER_INLINE,
						  .prefix_len = 128, .flags = INLINE_F_TLS, .name = 1};
	good.inlined[1] = (struct handoff_inline){.tcp_port = 25, .id = HANDOFF_LISTENER_INLINE + 1,
						  .mode = INLINE_BYPASS, .prefix_len = 0};
	good.n_inline_own = 1;
	good.n_inline_names = 1;
	strcpy(good.inline_name[0], "mail.example.org");
	good.exception[PORT_MODE_INLINE][CAUSE_GAP] = ACT_COUNT - 1;
	good.exception[PORT_MODE_GATEWAY][CAUSE_MALFORMED] = ACT_IGNORE;
	good.exception[PORT_MODE_TAP][CAUSE_NO_MEMORY] = ACT_BYPASS;
	good.exception[PORT_MODE_TAP][CAUSE_GAP] = ACT_BYPASS;
	good.bypass = 1;
	assert_int_equal(dp_config_check(&good, 100000, text, sizeof(text)), 0);
#define BAD_INLINE(field, value) \
	do { \
		c = good; \
		c.field = value; \
		assert_int_equal(dp_config_check(&c, 100000, text, sizeof(text)), EINVAL); \
	} while (0)
	BAD_INLINE(n_inlines, HANDOFF_MAX_INLINE + 1);
	BAD_INLINE(n_inlines, 3); /* one of zeros: no port */
	BAD_INLINE(n_inlines, UINT32_MAX);
	BAD_INLINE(n_inline_own, HANDOFF_MAX_INLINE_OWN + 1);
	BAD_INLINE(n_inline_names, HANDOFF_MAX_INLINE_NAMES + 1);
	BAD_INLINE(n_inline_names, 2); /* an empty one */
	BAD_INLINE(n_inline_names, 0);
	BAD_INLINE(inlined[0].tcp_port, 0);
	BAD_INLINE(inlined[1].prefix_len, 129);
	BAD_INLINE(inlined[0].mode, INLINE_BYPASS + 1);
	BAD_INLINE(inlined[0].id, 3);
	BAD_INLINE(inlined[0].id, HANDOFF_LISTENER_TAP);
	BAD_INLINE(inlined[0].flags, 4);
	BAD_INLINE(inlined[0].name, 2);
	BAD_INLINE(inline_name[0][0], '\0');
	BAD_INLINE(inline_name[0][4], '\r');
	BAD_INLINE(inline_own[0].prefix_len, 129);
	BAD_INLINE(exception[PORT_MODE_GATEWAY][0], ACT_COUNT);
	BAD_INLINE(exception[PORT_MODE_GATEWAY][CAUSE_MALFORMED], ACT_BYPASS);
	BAD_INLINE(exception[PORT_MODE_TAP][CAUSE_FRAGMENT], ACT_BYPASS);
	BAD_INLINE(exception[PORT_MODE_TAP][CAUSE_NO_MEMORY], ACT_IGNORE);
	BAD_INLINE(exception[PORT_MODE_TAP][CAUSE_COUNT - 1], UINT8_MAX);
	BAD_INLINE(bypass, 2);
	c = good;
	memset(c.inline_name[0], 'x', sizeof(c.inline_name[0]));
	assert_int_equal(dp_config_check(&c, 100000, text, sizeof(text)), EINVAL);
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
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_config_check),
		cmocka_unit_test(test_inline_check), cmocka_unit_test(test_tls_check)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
