/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The Postern Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/origin/relays.h"

static void hops_as_text(void **state)
{
	static char message[] =
		"Received: from mail.example.org (mail.example.org [198.51.100.7])\r\n"
		"\tby gw.example.net (Postfix) with ESMTPS id ABC123; Fri, 1 Jan 2021 00:00:00 +0000\r\n"
		"Received: from laptop ([203.0.113.9]) by mail.example.org with ESMTPSA id Q9\r\n"
		"\tfor <x@example.com>; Fri, 1 Jan 2021 00:00:00 +0000\r\n"
		"Subject: x\r\n\r\nbody\r\n";
	struct iovec iov = {message, sizeof(message) - 1};
	struct mail_bytes bytes = {&iov, 1, sizeof(message) - 1};
	struct ip_range range;
	struct origin_relay relay = {.name = "gw", .range = &range, .n_ranges = 1, .hops = 1};
	struct origin_relays relays = {&relay, 1};
	struct mail_envelope env = {.helo = STR("gw.example.net"), .mail_from = STR("a]b@example.org")};
	struct headers h = {0};
	struct relays_text t;
	struct origin o;

	(void)state;
	assert_true(ip_range_parse(STR("192.0.2.1"), &range));
	assert_true(ip_parse(STR("192.0.2.1"), &env.peer));
	assert_int_equal(headers_parse(&h, &bytes), 0);
	assert_int_equal(origin_walk(&relays, &env, &h, false, &o), 0);
	assert_int_equal(o.status, ORIGIN_VIA);
	assert_int_equal(relays_make(&o, &env, &h, STR("us.example.com"), STR("gw.example.net"), &t), 0);
	assert_string_equal(t.trusted, "[ ip=192.0.2.1 rdns=gw.example.net helo=gw.example.net "
			    "by=us.example.com ident= envfrom=a_b@example.org intl=1 id= auth= msa=0 ]");
	assert_non_null(strstr(t.untrusted, "[ ip=198.51.100.7 rdns=mail.example.org helo=mail.example.org "
			       "by=gw.example.net ident= envfrom= intl=0 id=ABC123 auth= msa=0 ]"));
	assert_non_null(strstr(t.untrusted, "] [ ip=203.0.113.9 "));
	assert_non_null(strstr(t.untrusted, "auth=ESMTPSA msa=0 ]"));
	/* The line in which the relay names the stranger is on both sides. */
	assert_int_equal(t.first_untrusted, o.hop[1].field);
	assert_int_equal(t.end_trusted, o.hop[1].field + 1);
	relays_free(&t);
	origin_free(&o);
	/* Who connected is a stranger. */
	assert_int_equal(origin_walk(&(struct origin_relays){0}, &env, &h, false, &o), 0);
	assert_int_equal(relays_make(&o, &env, &h, STR("us.example.com"), STR(""), &t), 0);
	assert_int_equal(t.first_untrusted, 0);
	assert_int_equal(t.end_trusted, 0);
	assert_string_equal(t.trusted, "");
	relays_free(&t);
	origin_free(&o);
	headers_free(&h);
}

/* Lines of one machine, as a mailbox has them, below a relay that wrote none. */
static void lines_of_one_machine(void **state)
{
	static uint8_t message[] =
		"Received: (qmail 1 invoked by uid 2); 1 Jan 2021 00:00:00 -0000\r\n"
		"Received: from a.example.org (localhost [127.0.0.1]) by b.example.org with ESMTP id 1;\r\n"
		"\tFri, 1 Jan 2021 00:00:00 +0000\r\n"
		"X-A: 1\r\n"
		"Received: from c.example.org (c.example.org [198.51.100.7]) by a.example.org with ESMTP id 2;\r\n"
		"\tFri, 1 Jan 2021 00:00:00 +0000\r\n"
		"Received: from d.example.org (localhost [127.0.0.1]) by c.example.org with ESMTP id 3;\r\n"
		"\tFri, 1 Jan 2021 00:00:00 +0000\r\n\r\nbody\r\n";
	struct iovec iov = {message, sizeof(message) - 1};
	struct mail_bytes bytes = {&iov, 1, sizeof(message) - 1};
	struct ip_range range;
	struct origin_relay relay = {.name = "gw", .range = &range, .n_ranges = 1, .hops = 1};
	struct origin_relays relays = {&relay, 1};
	struct mail_envelope env = {.helo = STR("gw.example.net")};
	struct headers h = {0};
	struct relays_text t;
	struct origin o;

	(void)state;
	assert_true(ip_range_parse(STR("192.0.2.1"), &range));
	assert_true(ip_parse(STR("192.0.2.1"), &env.peer));
	assert_int_equal(headers_parse(&h, &bytes), 0);
	assert_int_equal(origin_walk(&relays, &env, &h, false, &o), 0);
	assert_int_equal(o.status, ORIGIN_UNRESOLVED);
	assert_int_equal(relays_make(&o, &env, &h, STR("us.example.com"), STR(""), &t), 0);
	assert_non_null(strstr(t.trusted, "by=b.example.org ident= envfrom= intl=1"));
	assert_null(strstr(t.trusted, "by=c.example.org"));
	assert_int_equal(strncmp(t.untrusted, "[ ip=198.51.100.7 ", 18), 0);
	assert_non_null(strstr(t.untrusted, "by=c.example.org ident= envfrom= intl=0"));
	assert_int_equal(t.first_untrusted, 3);
	assert_int_equal(t.end_trusted, 4);
	relays_free(&t);
	origin_free(&o);
	headers_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(hops_as_text),
					   cmocka_unit_test(lines_of_one_machine)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
