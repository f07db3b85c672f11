/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

/* Section tap. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "control/config/config.h"

#define ROUTE "route b { domains = [\"example.com\"], hosts = [\"198.51.100.1\"] }\n"
#define MX    "route b { domains = [\"example.com\"], mx = true }\n"

static struct config *parse(const char *text, struct config_error *err, size_t *n)
{
	struct config *c = NULL;
	int rc = config_parse("test", text, strlen(text), 1, &c, err, 4, n);

	assert_true((rc == 0) == (c != NULL));
	return c;
}

static void test_good(void **state)
{
	struct config_error err[4];
	struct config *c;
	size_t n;

	(void)state;
	/* Who only watches needs no listener, and no route. */
	c = parse("hostname = mx.example.net\ntap { }\n", err, &n);
	if (!c)
		fail_msg("%s: %s", err[0].key, err[0].reason);
	assert_int_equal(c->dataplane.n_tap_ports, 1);
	assert_int_equal(c->dataplane.tap_port[0], 25);
	assert_int_equal(c->dataplane.n_listeners, 0);
	assert_null(c->tap.journal_route);
	config_unref(c);
	c = parse("hostname = mx.example.net\ntap { ports = [25, 587]; midstream = true; ignore-checksums = true; "
		  "journal-route = b; journal-mailbox = \"j@example.com\" }\n" ROUTE, err, &n);
	if (!c)
		fail_msg("%s: %s", err[0].key, err[0].reason);
	assert_int_equal(c->dataplane.n_tap_ports, 2);
	assert_int_equal(c->dataplane.tap_port[1], 587);
	assert_int_equal(c->dataplane.tap_midstream, 1);
	assert_int_equal(c->dataplane.tap_ignore_checksums, 1);
	assert_ptr_equal(c->tap.journal_route, &c->route[0]);
	assert_string_equal(c->tap.journal_mailbox, "j@example.com");
	config_unref(c);
	/* Without the section the dataplane keeps what its command line says. */
	c = parse("hostname = mx.example.net\nlistener a { port = 1; address = [\"192.0.2.25/24\"] }\n" ROUTE,
		  err, &n);
	assert_non_null(c);
	assert_int_equal(c->dataplane.n_tap_ports, 0);
	config_unref(c);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text, *key, *says;
	} t[] = {
		{"tap { ports = [] }", "tap.ports", "1 to 16"},
		{"tap { ports = 25 }", "tap.ports", "array"},
		{"tap { ports = [0] }", "tap.ports", "1 to 65535"},
		{"tap { ports = [65536] }", "tap.ports", "1 to 65535"},
		{"tap { ports = [25.5] }", "tap.ports", "1 to 65535"},
		{"tap { ports = [25s] }", "tap.ports", "1 to 65535"},
		{"tap { ports = [smtp] }", "tap.ports", "1 to 65535"},
		{"tap { ports = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17] }", "tap.ports", "1 to 16"},
		{"tap { midstream = 1 }", "tap.midstream", "true or false"},
		{"tap { server = [25] }", "tap.server", "unknown"},
		{"tap { journal-route = c }\n" ROUTE, "tap.journal-route", "no route \"c\""},
		{"tap { journal-mailbox = \"j@example.com\" }\n" ROUTE, "tap.journal-mailbox", "journal-route"},
		{"tap { journal-route = b }\n" MX, "tap.journal-route", "already"},
		{"tap { }\nlistener a { port = 1; address = [\"192.0.2.25/24\"] }", "route", "missing"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct config_error err[4] = {0};
		char text[1000] = "hostname = mx.example.net\n";
		size_t n = 0;

		strcat(text, t[i].text);
		assert_null(parse(text, err, &n));
		if (strncmp(err[0].key, t[i].key, strlen(t[i].key)) || !strstr(err[0].reason, t[i].says))
			fail_msg("%s: %s: %s", t[i].text, err[0].key, err[0].reason);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests_name("config_tap", tests, NULL, NULL);
}
